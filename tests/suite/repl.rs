//! `wippy repl`: at a prompt on a pseudo-terminal, and with texts of the command line.

use std::os::unix::fs::PermissionsExt;

use crate::harness::{Folder, guest};
use crate::projects::wasm;
use crate::pty::{CTRL_C, CTRL_D, Pty, UP};

fn session(folder: &Folder) -> Pty {
    Pty::start(folder.wippy("repl"))
}

#[track_caller]
fn leave(mut pty: Pty) -> String {
    pty.sees("> ").keys(CTRL_D);
    let (code, drawn) = pty.end();
    assert_eq!(code, 0, "{drawn}");
    drawn
}

#[test]
fn two_lines_drive_a_guest() {
    let folder = wasm("compute", "compute", "");
    let mut pty = session(&folder);
    pty.sees("> ")
        .keys("pid = process.spawn_monitored(\"app:main\", \"app:processes\", 6, 7)\r");
    pty.line("process.receive(time.seconds(10))", "{ at = ")
        .sees("from = \"{app:processes|0x00002}\"")
        .sees("type = \"EXIT\", value = 42 }");
    leave(pty);
}

#[test]
fn an_expression_shows_its_values_and_a_statement_nothing() {
    let folder = Folder::new();
    let mut pty = session(&folder);
    pty.line("6 * 7, 'a\\n' .. 'b', nil", "42\t\"a\\nb\"\tnil\n");
    pty.line("t = {3, 2, b = 1, a = {x = 'y'}} t.self = t", "");
    pty.line("t", "{ 3, 2, a = { x = \"y\" }, b = 1, self = <cycle> }");
    pty.line("_.b + 40", "41");
    pty.line("process.spawn('no:such', 'repl:processes')", "error[NotFound]: ");
    pty.line("error({code = 7})", "error: { code = 7 }");
    pty.line("error('a\\27[2Jb\\u{9b}')", "repl:1: a\\u{1b}[2Jb\\u{9b}");
    pty.line("fs.get('a\\27[2J')", "filesystem not found: repl:a\\u{1b}[2J");
    pty.line("nothing.at.all", "attempt to index a nil value (global 'nothing')");
    pty.line("x = = 1", "unexpected symbol near '='");
    pty.line("#process.list() + 1000", "1001");
    leave(pty);
}

#[test]
fn a_local_survives_the_line_and_a_statement_may_have_many() {
    let folder = Folder::new();
    let mut pty = session(&folder);
    pty.line("local x <const>, y: number = 20, 22", "");
    pty.line("x + y", "42");
    pty.sees("> ")
        .keys("function double(n)\r")
        .keys("return n * 2\r")
        .keys("end\r");
    pty.line("double(50) + 23", "123");
    pty.sees("> ")
        .keys("\x1b[200~local a = 100\nlocal b = 11\na * b + 11\x1b[201~\r")
        .sees("syntax error");
    pty.sees("> ")
        .keys("\x1b[200~local a = 100\nlocal b = 11\nreturn a * b + 11\x1b[201~\r")
        .sees("1111");
    leave(pty);
}

#[test]
fn ctrl_c_stops_what_runs_and_keeps_the_session() {
    let folder = wasm("spin", "spin", "");
    let mut pty = session(&folder);
    pty.line("kept = 4200", "");
    for busy in [
        "time.sleep('1h')",
        "process.receive()",
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "string.rep('x', 10):gsub('x', function() while true do end end)",
        "process.exec('app:main', 'app:processes')",
        "channel.new():receive(time.sleep('1h'))",
        "io.readline()",
    ] {
        pty.sees("> ")
            .keys(&format!("io.print('o' .. 'n') {busy}\r"))
            .sees("on\n");
        pty.keys(CTRL_C).sees("interrupted");
        pty.line("kept + 42", "4242");
    }
    // The guest that the interrupted call waited for has ended too.
    pty.line(
        "while #process.list() > 1 do time.sleep('1ms') end io.print('a' .. 'lone')",
        "alone",
    );
    leave(pty);
}

#[test]
fn ctrl_c_stops_what_runs_in_raw_mode_too() {
    let folder = Folder::new();
    let mut pty = session(&folder);
    pty.line("io.raw() io.print('o' .. 'n') while true do end", "on\n");
    pty.keys(CTRL_C).sees("interrupted").line("6 * 7", "42");
    leave(pty);
}

#[test]
fn ctrl_c_clears_the_line_and_ctrl_d_stops_everything() {
    let folder = Folder::with(&[("worker.lua", "process.receive()")]);
    let mut pty = session(&folder);
    pty.sees("> ").keys("error('typed in vain')").sees("vain").keys(CTRL_C);
    pty.line("process.spawn('./worker.lua'):sub(1, 16)", "\"{repl:processes|\"");
    let drawn = leave(pty);
    assert!(!drawn.contains("error:"), "{drawn}");
}

#[test]
fn keys_that_are_no_text_cost_a_line_and_not_the_session() {
    let folder = Folder::new();
    for kind in ["xterm", "dumb"] {
        let mut pty = Pty::of_kind(kind, folder.wippy("repl"));
        pty.sees("> ").keys("kept = 4200\r").sees("> ");
        pty.bytes(b"'gr\xfc\xdfe'\r").sees("not UTF-8 text");
        pty.line("kept + 42", "4242");
        leave(pty);
    }
}

#[test]
fn ctrl_c_ends_at_once_what_ctrl_d_waits_for() {
    let stubborn =
        "local to = ... local events = process.events() process.send(to, 'ready') while true do events:receive() end";
    let folder = Folder::with(&[("stubborn.lua", stubborn)]);
    let mut pty = session(&folder);
    let spawn = "process.spawn('./stubborn.lua', nil, process.pid()) and process.receive().topic";
    pty.line(spawn, "\"ready\"");
    pty.sees("> ")
        .keys(CTRL_D)
        .sees("Ctrl-C ends them at once")
        .keys(CTRL_C);
    let (code, drawn) = pty.end();
    assert_eq!(code, 0, "{drawn}");
}

#[test]
fn wippy_alone_on_a_terminal_is_a_session() {
    let folder = Folder::new();
    let mut pty = Pty::start(folder.wippy(""));
    pty.line("process.id()", "\"repl:session\"");
    leave(pty);
    folder.wippy("").run().code(2).stderr_has("Usage: wippy");
}

#[test]
fn a_terminal_that_only_prints_has_a_prompt_too() {
    let folder = Folder::new();
    for kind in ["dumb", "emacs", "cons25"] {
        let mut pty = Pty::of_kind(kind, folder.wippy("repl"));
        pty.sees("> ").keys("6 * 7 + 4200\n").sees("4242");
        pty.sees("> ").keys("io.write('no end')\n").sees("no end");
        pty.sees("> ")
            .keys("for i = 1, 2 do\n")
            .keys("io.print('a' .. i) end\n")
            .sees("a1\na2\n");
        pty.sees("> ")
            .keys("io.print('o' .. 'n') time.sleep('1h')\n")
            .sees("on\n");
        pty.keys(CTRL_C).sees("interrupted");
        leave(pty);
    }
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let folder = Folder::new();
    for (signal, code) in [
        (libc::SIGTERM, 143),
        (libc::SIGHUP, 143),
        (libc::SIGQUIT, -libc::SIGQUIT),
        (libc::SIGABRT, -libc::SIGABRT),
        (libc::SIGKILL, -libc::SIGKILL),
    ] {
        let mut pty = session(&folder);
        pty.sees("> ").draws("\x1b[?2004h").signal(signal);
        pty.draws("\x1b[?2004l");
        assert_eq!(pty.end().0, code);
    }
}

#[test]
fn a_session_that_is_stopped_lends_the_terminal_as_it_was() {
    let folder = Folder::new();
    let stopped = "wippy repl; stty -a | grep -o -e '-*icanon' -e '-*isig'; fg; echo 'f'in";
    let mut pty = Pty::start(folder.program("sh", &["-m", "-c", stopped]));
    pty.sees("> ").keys("40 + ").sees("40 + ").keys("\x1a");
    pty.sees("isig\nicanon\n").sees("> 40 + ").keys("2\r").sees("42\n");
    pty.sees("> ").keys(CTRL_D).sees("fin");
    assert_eq!(pty.end().0, 0);
}

#[test]
fn history_is_private_and_survives_a_crash() {
    let folder = Folder::new();
    let mut pty = session(&folder);
    pty.line("40 + 2", "42");
    pty.line(" 'secret' .. 'ly'", "secretly");
    pty.sees("> ").signal(libc::SIGKILL);
    pty.end();
    let file = folder.path().join(".local/state/wippy/history");
    let mode = file.metadata().expect("the history").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = folder.read(".local/state/wippy/history");
    assert!(kept.contains("40 + 2") && !kept.contains("secret"), "{kept}");
    let mut pty = session(&folder);
    pty.sees("> ").keys(UP).sees("40 + 2").keys(" + 100\r").sees("142");
    leave(pty);
}

#[test]
fn output_of_others_does_not_break_the_line() {
    let talker =
        "local from = ... process.receive() require('logger'):info('from ' .. 'afar') process.send(from, 'done')";
    let folder = Folder::with(&[("talker.lua", talker)]);
    let mut pty = session(&folder);
    pty.line("pid = process.spawn('./talker.lua', nil, process.pid())", "");
    pty.line(
        "coroutine.spawn(function() time.sleep('300ms') process.send(pid, 'go') end) return process.receive()",
        "MESSAGE",
    );
    pty.line("process.spawn('./later.lua')", "NotFound");
    let later = "local time, dir = require('time'), require('fs').get('repl:dir')\nwhile not dir:exists('go') do \
                 time.sleep('1ms') end\nrequire('logger'):info('from ' .. 'afar, later')";
    folder.write("later.lua", later);
    pty.line("process.spawn('./later.lua') ~= nil", "true");
    pty.sees("> ").keys("20 + ").sees("20 + ");
    folder.write("go", "");
    pty.sees("from afar, later").keys("22\r").sees("42");
    leave(pty);
}

#[test]
fn the_prompt_counts_what_waits() {
    let folder = Folder::new();
    let mut pty = session(&folder);
    pty.line("process.send(process.pid(), 'hello', 1, 'two')", "true");
    pty.sees("[1] > ")
        .keys(":flush\r")
        .sees("topic = \"hello\"")
        .sees("n = 2");
    pty.line("6 * 7", "42");
    leave(pty);
}

#[test]
fn commands_begin_with_a_colon() {
    let folder = Folder::with(&[
        ("worker.lua", "process.receive()"),
        ("setup.lua", "local n = 20\nfunction more() return n + 22 end"),
    ]);
    let mut pty = session(&folder);
    pty.line(":help", ":entries");
    pty.line(":help process.send", "process.send(dest, topic");
    pty.line(":help :kill", ":kill pid");
    pty.line(":help why", "what a process waits for");
    pty.line(":entries", "repl:processes  process.host");
    pty.line("pid = process.spawn('./worker.lua')", "");
    pty.line(":ps", "file:worker.lua");
    pty.line(":kill 2", "");
    pty.line("process.send(pid, 'x')", "process not found");
    pty.line(":load setup.lua", "");
    pty.line("more()", "42");
    pty.line(":time time.sleep('1ms')", "ms");
    pty.line("process.spawn('./worker.lua') ~= nil", "true");
    pty.line(":tree", "\n  {repl:processes|0x00003} file:worker.lua");
    pty.line(":save kept.lua", "");
    pty.line(":nonsense", "no command :nonsense");
    pty.sees("> ").keys(":quit\r");
    assert_eq!(pty.end().0, 0);
    assert!(
        folder
            .read("kept.lua")
            .contains("pid = process.spawn('./worker.lua')\n")
    );
}

#[test]
fn what_was_saved_runs_again() {
    let folder = Folder::new();
    let mut pty = session(&folder);
    pty.line("local n = 20", "")
        .line("n + 22", "42\n")
        .line("_ * 100", "4200\n");
    pty.line("(function() kept = _ end)()", "")
        .line("return kept + 1 -- more", "4201\n");
    pty.line("(function() kept = _ end)()", "")
        .line("io.print(kept .. '!')", "4201!\n");
    pty.line(":save kept.lua", "").sees("> ").keys(":quit\r");
    assert_eq!(pty.end().0, 0);
    folder.wippy("run kept.lua").run().code(0).stdout("4201!\n");
    let mut pty = session(&folder);
    pty.line(":load kept.lua", "4201!\n").line("kept + 42", "4243\n");
    leave(pty);
}

#[test]
fn tab_completes_what_is_there() {
    let folder = Folder::new();
    let mut pty = session(&folder);
    pty.sees("> ").keys("tostri\t(42) .. '!'\r").sees("\"42!\"");
    pty.line("account = {balance = 4200}", "");
    pty.sees("> ").keys("account.ba\t + 42\r").sees("4242");
    pty.sees("> ")
        .keys("process.info(process.pid()).host == 'repl:term\t'\r")
        .sees("true");
    leave(pty);
}

#[test]
fn tab_completes_the_methods_of_objects() {
    let folder = Folder::new();
    let mut pty = session(&folder);
    for (object, begun, rest) in [
        ("channel.new(1)", "case_rec", "() ~= nil"),
        ("time.parse_duration('90m')", "minu", "() == 90"),
        ("time.now()", "unix_n", "() > 0"),
        ("fs.get('repl:dir')", "isd", "('/')"),
        ("errors.new('no')", "mess", "() == 'no'"),
        ("logger", "nam", "('x') ~= nil"),
    ] {
        pty.line(&format!("object = {object}"), "");
        pty.sees("> ").keys(&format!("object:{begun}\t{rest}\r")).sees("\ntrue");
    }
    leave(pty);
}

#[test]
fn a_session_that_died_is_followed_by_a_new_one() {
    let folder = Folder::new();
    let mut pty = session(&folder);
    pty.line("process.terminate(process.pid())", "process terminated");
    pty.line("6 * 7", "42");
    leave(pty);
}

#[test]
fn code_of_the_command_line_needs_no_terminal() {
    let folder = Folder::new();
    folder
        .wippy_args(&["repl", "-e", "local x = 5", "-e", "x * 2, 'a'"])
        .run()
        .code(0)
        .stdout("10\t\"a\"\n")
        .quiet();
    folder
        .wippy_args(&["repl", "-e", "return 7"])
        .run()
        .code(7)
        .stdout("")
        .quiet();
    let failed = folder.wippy_args(&["repl", "-e", "error('no')", "-e", "1"]).run();
    failed.code(1).stdout("").stderr_has("error[Internal]: -e:1: no");
    let refused = folder
        .wippy_args(&["repl", "-e", "process.spawn('no:such', 'repl:processes')"])
        .run();
    refused.code(1).stdout("").stderr_has("error[NotFound]: ");
    folder
        .wippy_args(&["repl", "-e", "x = = 1"])
        .run()
        .code(3)
        .stderr_has("-e:1:5");
}

#[test]
fn piped_input_is_one_script() {
    let folder = Folder::with(&[("setup.lua", "io.print('set up') return 9")]);
    let script = "local x = 1\nio.print(x)\nreturn x + 2\n";
    folder.wippy("repl").stdin(script).run().code(3).stdout("1\n").quiet();
    folder.wippy("repl").stdin("").run().code(0).stdout("").quiet();
    folder.wippy("repl setup.lua").run().code(9).stdout("set up\n").quiet();
    let absent = folder.wippy("repl nowhere.lua").run().code(4);
    absent.stderr_has("error[NotFound]: no such file: nowhere.lua");
    folder
        .wippy("repl")
        .stdin("io.print(1)\nend")
        .run()
        .code(3)
        .stdout("")
        .stderr_has("stdin:2");
}

#[test]
fn a_text_may_begin_as_a_file_does() {
    for (text, line) in [("#!/usr/bin/env wippy\nx = = 1", 2), ("\u{feff}x = = 1", 1)] {
        let folder = Folder::with(&[("main.lua", &text.replace("x = = 1", "return 7"))]);
        folder.wippy("repl main.lua").run().code(7).quiet();
        folder
            .wippy("repl")
            .stdin(folder.read("main.lua"))
            .run()
            .code(7)
            .quiet();
        let mut pty = session(&folder);
        pty.line(":load main.lua", "");
        leave(pty);
        let refused = folder.wippy("repl").stdin(text).run().code(3);
        refused.stdout("").stderr_has(&format!("stdin:{line}"));
    }
}

#[test]
fn commands_are_lines_of_a_text() {
    let folder = Folder::with(&[("set.lua", "y = 41\n:time 1\nlocal z = ('a')\n  :rep(3)\nprint(z)")]);
    folder
        .wippy("repl")
        .stdin(":help process.send\nprint('one' .. 1)\n")
        .run()
        .code(0)
        .stdout_has("process.send(dest")
        .stdout_has("\none1\n");
    folder
        .wippy("repl set.lua")
        .stdin("y + 1")
        .run()
        .code(0)
        .stdout_has("\naaa\n42\n");
    let failed = folder.wippy("repl").stdin("print(1)\n:ps\n\nx = = 1").run().code(3);
    failed.stdout("").stderr_has("stdin:4");
    let unknown = folder
        .wippy("repl")
        .stdin("print(1)\n:nonsense\nprint(2)")
        .run()
        .code(1);
    unknown.stdout("1\n").stderr_has("no command :nonsense");
    let mut pty = session(&folder);
    pty.sees("> ")
        .keys("\x1b[200~:time 1\n'pasted ' .. 'too'\x1b[201~\r")
        .sees("\"pasted too\"");
    leave(pty);
}

#[test]
fn files_are_processes_in_scripts() {
    let folder = Folder::with(&[
        ("chunk.lua", "local a, b = ...\nreturn a * b"),
        ("table.lua", "return { main = function(a, b) return a + b end }"),
        ("function.lua", "return function(a) return process.id() .. a end"),
        (
            "main.lua",
            "local io = require('io')\nlocal function ends(pid, err)\n  assert(pid, tostring(err))\n  local event = process.receive('20s')\n  return \
             event.value or event.error:message()\nend\nio.print(ends(process.spawn_monitored('./chunk.lua', nil, 6, \
             7)))\nio.print(process.exec('./table.lua', nil, 6, \
             7))\nio.print(process.exec('./function.lua', nil, '!'))\nio.print(ends(process.spawn_monitored('./guest.wasm#compute', nil, 6, \
             7)))\nlocal pid, err = process.spawn('./none.lua')\nio.print(pid, err:kind())\nlocal pid, err = \
             process.spawn('./../x.lua', nil)\nio.print(pid, err:kind())\n",
        ),
    ]);
    folder.copy_in(&guest("compute"), "guest.wasm");
    folder
        .wippy("run main.lua")
        .run()
        .code(0)
        .stdout("42\n13\tnil\nfile:function.lua!\tnil\n42\nnil\tNotFound\nnil\tNotFound\n")
        .quiet();
}

#[test]
fn files_can_be_called() {
    let folder = Folder::with(&[
        ("double.lua", "local n = ...\nreturn n * 2"),
        ("fails.lua", "error(errors.new({ message = 'no', kind = 'Conflict' }))"),
        (
            "main.lua",
            "local io, funcs = require('io'), require('funcs')\nio.print(funcs.call('./double.lua', \
             21))\nio.print(funcs.new():call('./guest.wasm#compute', 6, \
             7))\nio.print(funcs.async('./double.lua', 4):response():receive():data())\nfor _, file in ipairs({ \
             './none.lua', './fails.lua', './guest.wasm#nothing', './x.txt' }) do\n  local value, err = \
             funcs.call(file)\n  io.print(value, err:kind())\nend\n",
        ),
    ]);
    folder.copy_in(&guest("compute"), "guest.wasm");
    let shown = "42\tnil\n42\tnil\n8\nnil\tNotFound\nnil\tConflict\nnil\tInternal\nnil\tInvalid\n";
    folder.wippy("run main.lua").run().code(0).stdout(shown).quiet();
    folder
        .wippy_args(&["repl", "-e", "funcs.call('./double.lua', 5)"])
        .run()
        .code(0)
        .stdout("10\tnil\n");
}

#[test]
fn entries_cannot_name_files() {
    let folder = crate::projects::lua(
        "return function() local pid, err = process.spawn('./x.lua', 'app:processes') io.print(pid, err:kind()) end",
    );
    folder.write("x.lua", "return 1");
    folder.wippy("run main").run().code(0).stdout("nil\tInvalid\n");
}

#[test]
fn a_process_says_why_it_waits_and_where() {
    let folder = Folder::with(&[
        (
            "sleeper.lua",
            "local time = require('time')\nlocal function doze()\n  time.sleep('1h')\nend\ndoze()",
        ),
        ("caller.lua", "process.exec('./sleeper.lua', nil)"),
        ("busy.lua", "while true do end"),
    ]);
    let mut pty = session(&folder);
    // Whoever waits has begun to.
    pty.line(
        "function rests(pid) while process.info(pid).state ~= 'waiting' do time.sleep('1ms') end end",
        "",
    );
    pty.line("rests(process.spawn('./sleeper.lua'))", "");
    pty.line(":why 2", "{repl:processes|0x00002} file:sleeper.lua: waiting\n")
        .sees("  main sleeps, ")
        .sees(" at most\n    at sleeper.lua:3: in doze\n    at sleeper.lua:5");
    pty.line("rests(process.spawn('./caller.lua'))", "");
    pty.line("while #process.list() < 4 do time.sleep('1ms') end", "");
    pty.line(
        ":why 3",
        "  main waits for the end of file:sleeper.lua {repl:processes|0x00004}",
    );
    pty.line("busy = process.spawn('./busy.lua')", "");
    pty.line("while process.info(busy).steps == 0 do time.sleep('1ms') end", "");
    pty.line(":why 5", "  main could go on\n    at busy.lua:1");
    pty.line(":why 99", "could not resolve '99'");
    leave(pty);
}

#[test]
fn a_guest_says_whether_it_runs() {
    let folder = wasm("spin", "spin", "");
    let mut pty = session(&folder);
    pty.line("guest = process.spawn('app:main', nil)", "");
    pty.line("while process.info(guest).steps == 0 do time.sleep('1ms') end", "");
    // Running, or ready while another one runs.
    pty.line(":why 2", "{app:processes|0x00002} app:main: r");
    leave(pty);
}

#[test]
fn a_reload_takes_what_is_on_the_disk_and_leaves_what_lives() {
    let folder = crate::projects::project("  - name: worker\n    kind: process.lua\n    source: file://worker.lua\n");
    folder.write("src/worker.lua", "return function() return 'old' .. 'er' end");
    folder.write("words.lua", "return 'hello'");
    let mut pty = session(&folder);
    pty.line("require('words') .. '!'", "\"hello!\"");
    pty.line("process.exec('app:worker', nil)", "\"older\"");
    folder.write("src/worker.lua", "return function() return process.receive().value end");
    folder.write("words.lua", "return 'good'");
    pty.line(":reload", "1 entry has changed\n  app:worker\n");
    pty.line("require('words') .. '!'", "\"good!\"");
    pty.line("pid = process.spawn_monitored('app:worker', nil)", "");
    let more =
        folder.read("src/_index.yaml") + "  - name: wonderful\n    kind: process.lua\n    source: return function(\n";
    folder.write("src/_index.yaml", more);
    folder.write("src/worker.lua", "return function() return 'new' .. 'er' end");
    pty.line(
        ":reload",
        "2 entries have changed\n  app:wonderful\n  app:worker\nerror[lua-syntax]",
    );
    pty.line("process.exec('app:worker', nil)", "\"newer\"");
    // The one that was there before has kept what it ran.
    pty.line("process.send(pid, 'x', 4200 + 42)", "true");
    pty.line("process.receive().value", "4242");
    pty.sees("> ")
        .keys("'app:won\t' == 'app:' .. 'wonderful'\r")
        .sees("true");
    pty.line(":reload", "no entry has changed");
    leave(pty);
}

#[test]
fn a_reload_takes_away_what_is_gone() {
    let more = "  - name: kept\n    kind: fs.directory\n    directory: .\n  - name: values\n    kind: env.storage.static\n    values: \
                { WORD: here }\n  - name: word\n    kind: env.variable\n    storage: app:values\n    variable: WORD\n";
    let folder = crate::projects::project(more);
    let mut pty = session(&folder);
    pty.line("tostring(fs.get('app:kept') ~= nil) .. env.get('WORD')", "\"truehere\"");
    folder.write("src/_index.yaml", folder.read("src/_index.yaml").replace(more, ""));
    pty.line(":reload", "3 entries have changed\n  app:kept (gone)");
    for look in ["fs.get('app:kept')", "env.get('WORD')", "env.get('app:word')"] {
        pty.line(&format!("select(2, {look}):kind() .. '!'"), "\"NotFound!\"");
    }
    leave(pty);
}

#[test]
fn an_entry_can_be_looked_at() {
    let folder = wasm("compute", "compute", "");
    let mut pty = session(&folder);
    pty.sees("> ")
        .keys(":inspect app:ma\t\r")
        .sees("guest.wasm: component of ")
        .sees("exports:\n  compute(");
    pty.line(":inspect app:processes", "kind: process.host");
    pty.line(":inspect app:mian", "no entry app:mian; did you mean app:main?");
    leave(pty);
}

#[test]
fn what_is_known_without_a_terminal_too() {
    let folder = wasm("compute", "compute", "");
    folder
        .wippy_args(&["repl", "-e", ":inspect app:main", "-e", ":reload"])
        .run()
        .code(0)
        .stdout_has("compute(")
        .stdout_has("no entry has changed\n");
}
