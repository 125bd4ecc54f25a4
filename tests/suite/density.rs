//! How many guests sleep at once on a host with `wasm.density: dense`, what each takes, and what is said past the last one.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::harness::{Folder, Running};
use crate::projects::wasm;

/// Spawns as many sleepers as it is told, waits until all are asleep, and says how many there are.
const MAIN: &str = r#"
local function asleep(pid)
  local info = assert(process.info(pid))
  return info.steps > 0 and info.state == "waiting"
end

return function(wanted)
  assert(process.exec("app:main", "app:dense", 1))
  io.print("ready")
  io.readline()
  local living, refused = {}, nil
  while #living < tonumber(wanted) do
    local pid, err = process.spawn_monitored("app:main", "app:dense", 600000)
    if not pid then
      refused = err
      break
    end
    living[#living + 1] = pid
  end
  for _, pid in ipairs(living) do
    while not asleep(pid) do
      time.sleep("1ms")
    end
  end
  io.print("asleep", #living)
  io.print("refused", refused and refused:kind(), refused and refused:retryable(), refused)
  io.readline()
  for _, pid in ipairs(living) do
    process.terminate(pid)
  end
  for _ = 1, #living do
    assert(process.receive().type == "EXIT")
  end
  assert(process.exec("app:main", "app:dense", 1))
  io.print("again")
  io.readline()
end
"#;

fn project(guest: &str, method: &str, host: &str) -> Folder {
    let folder = wasm(guest, method, "    imports: [wasi:io, wasi:clocks]\n");
    let entries = format!(
        "  - name: dense\n    kind: process.host\n    wasm: {{ {host} }}\n  - name: lua\n    kind: process.lua\n    source: \
         file://lua.lua\n    modules: [io, time]\n"
    );
    folder.write("src/_index.yaml", folder.read("src/_index.yaml") + &entries);
    folder.write("src/lua.lua", MAIN);
    folder
}

struct Taken {
    bytes: f64,
    mappings: usize,
}

fn taken(running: &Running) -> Taken {
    let maps = PathBuf::from(format!("/proc/{}/maps", running.child.id()));
    Taken {
        bytes: running.resources().memory as f64,
        mappings: fs::read_to_string(maps).expect("a living child").lines().count(),
    }
}

/// So many guests fall asleep; gives KiB and mappings of each, and what was said about the next one.
fn sleep(guest: &str, wanted: usize, host: &str) -> (usize, f64, f64, String) {
    let folder = project(guest, "sleep-ms", host);
    let mut running = folder
        .wippy(&format!("run -x app:lua {wanted}"))
        .without_huge_pages()
        .start_open();
    running.until("ready\n");
    let before = taken(&running);
    running.enter("");
    let said = running.line_with("refused\t");
    let after = taken(&running);
    let count = running.line_with("asleep\t");
    let count: usize = count.trim_start_matches("asleep\t").parse().expect("a number");
    let each = |before: f64, after: f64| (after - before) / count as f64;
    let kib = each(before.bytes, after.bytes) / 1024.0;
    let mappings = each(before.mappings as f64, after.mappings as f64);
    println!("{count} guests of {guest}: {kib:.1} KiB, {mappings:.2} mappings each; then: {said}");
    running.enter("");
    running.until("again\n");
    let began = Instant::now();
    while taken(&running).mappings > before.mappings + 200 {
        assert!(
            began.elapsed() < WATCHDOG,
            "{} mappings are left",
            taken(&running).mappings
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    running.enter("");
    running.wait().code(0);
    (count, kib, mappings, said)
}

/// What a sleeping guest may take.
const KIB: f64 = 28.0;
const WATCHDOG: Duration = Duration::from_secs(60);

#[test]
fn a_dense_guest_takes_little_memory_and_two_mappings() {
    for guest in ["wait", "sleeper"] {
        let (count, kib, mappings, _) = sleep(guest, 4_000, "density: dense");
        assert_eq!(count, 4_000);
        assert!(kib <= KIB, "{kib} KiB");
        assert!(mappings < 2.2, "{mappings}");
    }
}

#[test]
fn past_the_setting_the_next_dense_guest_is_refused() {
    let (count, _, _, said) = sleep("sleeper", 1_000, "density: dense, max_instances: 100");
    assert_eq!(count, 100);
    assert_eq!(
        said,
        "refused\tUnavailable\ttrue\ttoo many WebAssembly instances are alive: wasm.max_instances is 100"
    );
}

const SYSCTL: &str = "/proc/sys/vm/max_map_count";

fn max_map_count() -> usize {
    let text = fs::read_to_string(SYSCTL).expect("the kernel's limit");
    text.trim().parse().expect("a number")
}

/// The kernel's limit, as it was before once this is gone.
struct Limit(usize);

impl Limit {
    /// None where it may not be changed.
    fn set(limit: usize) -> Option<Limit> {
        let old = max_map_count();
        fs::write(SYSCTL, limit.to_string()).ok().map(|()| Limit(old))
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        fs::write(SYSCTL, self.0.to_string()).expect("what was changed can be changed back");
    }
}

/// Both in one test, for the limit is the machine's.
#[test]
#[ignore = "takes 3 GB and changes a limit of the machine"]
fn as_many_dense_guests_sleep_as_the_kernel_allows_and_the_next_one_is_refused() {
    let stock = 65_530;
    let may = |limit| match Limit::set(limit) {
        Some(set) => Some(set),
        None => {
            println!("{SYSCTL} cannot be set to {limit} here: it stays {}", max_map_count());
            None
        }
    };
    let lowered = may(stock);
    if max_map_count() == stock {
        let (count, kib, _, said) = sleep("sleeper", 30_000, "density: dense");
        assert!(count >= 25_000 && kib <= KIB, "{count} guests of {kib} KiB");
        assert_eq!(
            said,
            "refused\tUnavailable\ttrue\ttoo many WebAssembly instances are alive: vm.max_map_count of the operating \
             system is 65530; raise it to have more"
        );
    }
    drop(lowered);
    let raised = may(262_144);
    if max_map_count() >= 262_144 {
        let (count, kib, ..) = sleep("sleeper", 100_000, "density: dense");
        assert!(count == 100_000 && kib <= KIB, "{count} guests of {kib} KiB");
    }
    drop(raised);
}
