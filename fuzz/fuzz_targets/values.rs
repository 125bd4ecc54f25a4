#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wippy::fuzz::values(bytes));
