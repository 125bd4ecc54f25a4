//! Has the linker pack the program's relative relocations, of which there are near a hundred thousand: reading them is a good
//! part of what a start takes before `main`.
//!
//! Only where the loader is known to understand that: the one here, for a program that is to run here. On a machine with an
//! older one the program says at once which version it needs, as any that was built with a newer C library.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if unpacks() {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Since glibc 2.36; the usual linkers learnt it before that. Whoever has chosen another one may have one that does not know it.
#[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
fn unpacks() -> bool {
    use std::ffi::{CStr, c_char};

    unsafe extern "C" {
        fn gnu_get_libc_version() -> *const c_char;
    }
    let is_for_here = std::env::var("HOST") == std::env::var("TARGET");
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let is_usual = std::env::var_os("RUSTC_LINKER").is_none() && !flags.contains("link");
    // SAFETY: it takes nothing, and gives a text that is a constant of the library.
    let version = unsafe { CStr::from_ptr(gnu_get_libc_version()) }.to_string_lossy();
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    is_for_here && is_usual && (numbers.next(), numbers.next()) >= (Some(2), Some(36))
}

#[cfg(not(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64")))]
fn unpacks() -> bool {
    false
}
