//! A long-lived program whose processes come and go stays as large as it was.

use crate::harness::{guest, hash};
use crate::projects::project;

const MAIN: &str = r#"
local function live(id, ...)
  assert(process.spawn_linked_monitored(id, "app:processes", ...))
end

-- So many lives in flights of a hundred, each ending in its own way.
local function lives(count)
  for _ = 1, count / 100 do
    for way = 1, 99 do
      live("app:child", way % 4)
    end
    live("app:guest", 6, 7)
    local exits = 0
    while exits < 100 do
      if process.receive().type == "EXIT" then
        exits = exits + 1
      end
    end
  end
end

return function()
  process.set_options({ trap_links = true })
  -- The first line starts whatever reads lines, which counts as there from the start.
  io.readline()
  for _, count in ipairs({ 2000, 4000 }) do
    lives(count)
    io.print(count, "lived")
    io.readline()
  end
end
"#;

const CHILD: &str = r#"
return function(way)
  if way == 0 then return "done" end
  if way == 1 then error("failed") end
  if way == 2 then process.terminate(process.pid()) end
  process.registry.register(process.pid():gsub("%W", "") .. "")
  process.send(process.pid(), "note", string.rep("x", 1000))
  return process.receive().value
end
"#;

#[test]
#[cfg(target_os = "linux")]
fn thousands_of_lives_come_back_to_the_memory_handles_and_threads_of_the_start() {
    let entries = format!(
        "  - name: main\n    kind: process.lua\n    meta: {{ command: {{ name: main }} }}\n    source: file://main.lua\n    \
         modules: [io]\n  - name: child\n    kind: process.lua\n    source: file://child.lua\n  - name: modules\n    kind: \
         fs.directory\n    directory: ./wasm\n  - name: guest\n    kind: process.wasm\n    fs: modules\n    path: \
         guest.wasm\n    hash: {}\n    method: compute\n",
        hash("compute")
    );
    let folder = project(&entries);
    folder.write("src/main.lua", MAIN);
    folder.write("src/child.lua", CHILD);
    folder.write("wasm/.keep", "");
    folder.copy_in(&guest("compute"), "wasm/guest.wasm");

    let mut running = folder.wippy("run main").start_open();
    running.enter("");
    running.until("2000\tlived");
    let before = running.resources();
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.child.id())).unwrap();
    assert!(
        !status.contains("THP_enabled:\t0"),
        "no huge pages after the start: {status}"
    );
    running.enter("");
    running.until("4000\tlived");
    let after = running.resources();
    running.enter("");
    running.wait().code(0);
    assert!(after.memory < before.memory + (24 << 20), "{before:?} {after:?}");
    assert!(after.files <= before.files, "{before:?} {after:?}");
    // Threads for blocking work come and go with what there is to do.
    assert!(after.threads <= before.threads + 4, "{before:?} {after:?}");
}
