//! Guests that reach servers of this test, and that do not reach what their list does not name.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use wasmtime_wasi::sockets::SocketAddrUse;

use super::*;
use crate::project::entry::WasmSpec;
use crate::project::network::AllowList;
use crate::wasm::network::{Network, Reach};
use crate::wasm::serving::Serving;

/// What is served: one connection at a time, each on its own thread.
fn serve(handle: impl Fn(TcpStream) + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let handle = handle.clone();
            thread::spawn(move || handle(stream));
        }
    });
    port
}

/// The head of a request and so much of its body as its length says.
fn request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).unwrap();
    let length = head.to_ascii_lowercase();
    let length = length
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8(body).unwrap()
}

/// Answers every request with a text.
fn answering(answer: impl Fn(String) -> String + Clone + Send + 'static) -> u16 {
    serve(move |mut stream| {
        let text = answer(request(&mut stream));
        // A guest that is gone hears nothing.
        let _ = stream.write_all(text.as_bytes());
    })
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Takes connections and leaves them to the test.
fn silent() -> (u16, Receiver<TcpStream>) {
    let (sender, taken) = channel();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if sender.send(stream).is_err() {
                return;
            }
        }
    });
    (port, taken)
}

fn reaching(name: &str, method: &str, patterns: &[String]) -> Entry {
    guest_with(name, method, |spec: &mut WasmSpec| {
        spec.imports = owned(&["wasi:http", "wasi:sockets"]);
        spec.network = patterns.to_vec();
    })
}

fn local(port: u16) -> Vec<String> {
    vec![format!("127.0.0.1:{port}")]
}

fn get(patterns: &[String]) -> Entry {
    reaching("fetch", "get", patterns)
}

fn target(authority: &str) -> Vec<Value> {
    vec![Value::from(authority), Value::from("/path?q=1")]
}

fn response(status: i64, body: &str) -> Value {
    Value::array([Value::Int(status), Value::from(body)])
}

/// The arguments of `send`: no header, a body, a patience.
fn sending(authority: String, body: Option<&str>, patience: Option<i64>) -> Vec<Value> {
    vec![
        Value::Bool(false),
        Value::from(authority.as_str()),
        Value::from("/"),
        Value::array([]),
        body.map_or(Value::Nil, Value::from),
        patience.map_or(Value::Nil, Value::Int),
    ]
}

fn address(octets: [u8; 4]) -> Value {
    Value::array(octets.map(|octet| Value::Int(octet.into())))
}

fn asked(octets: [u8; 4], port: u16) -> Vec<Value> {
    vec![address(octets), Value::Int(port.into()), Value::from("hello")]
}

impl World {
    /// What the log says beside how processes ended.
    fn said(&self) -> Vec<String> {
        let records = lock(&self.records);
        let said = records.iter().map(|record| record.message.clone());
        said.filter(|message| message.contains("network")).collect()
    }
}

const HERE: [u8; 4] = [127, 0, 0, 1];

#[test]
fn a_request_reaches_what_is_listed_and_comes_back() {
    let world = World::new();
    let port = answering(|request| ok(&request.lines().next().unwrap().to_lowercase()));
    let here = format!("127.0.0.1:{port}");
    let line = response(200, "get /path?q=1 http/1.1");
    assert_eq!(world.value(get(&local(port)), &target(&here)), line);
    let named = format!("LOCALHOST.:{port}");
    let by_name = [format!("localhost:{port}")];
    assert_eq!(world.value(get(&by_name), &target(&named)), line);
}

#[test]
fn a_body_and_header_fields_are_sent() {
    let world = World::new();
    let port = answering(|request| ok(&request));
    let mut args = sending(format!("127.0.0.1:{port}"), Some("the body"), None);
    args[3] = Value::array([
        Value::array([Value::from("x-one"), Value::from("1")]),
        Value::array([Value::from("content-length"), Value::from("8")]),
    ]);
    let value = world.value(reaching("fetch", "send", &local(port)), &args);
    let Value::Table(table) = value else {
        panic!("{value:?}")
    };
    let text = table.array[1].as_str().unwrap();
    assert!(text.starts_with("POST / HTTP/1.1\r\n"), "{text}");
    assert!(
        text.contains("\r\nx-one: 1\r\n") && text.ends_with("\r\n\r\nthe body"),
        "{text}"
    );
}

#[test]
fn what_is_not_listed_is_denied_and_the_log_says_once_what_would_allow_it() {
    let world = World::new();
    let port = answering(|_| ok("reached"));
    let other = [format!("127.0.0.1:{}", if port == 1 { 2 } else { 1 })];
    let error = world.failure(get(&other), &target(&format!("127.0.0.1:{port}")));
    assert_eq!(error.message(), "HTTP-request-denied");
    assert_eq!(
        world.said(),
        [format!(
            "the network list denies a connection to 127.0.0.1:{port}; to allow it, write into the entry: \
             wasi: {{network: [\"{}\", \"127.0.0.1:{port}\"]}}",
            other[0]
        )]
    );
    for authority in [
        "example.org:1",
        &format!("localhost:{port}"),
        &format!("[::ffff:127.0.0.1]:{port}"),
    ] {
        let error = world.failure(get(&[]), &target(authority));
        assert_eq!(error.message(), "HTTP-request-denied", "{authority}");
    }
    let error = world.failure(get(&local(port)), &target(&format!("user@127.0.0.1:{port}")));
    assert_eq!(error.message(), "HTTP-request-URI-invalid");
}

#[test]
fn a_redirect_is_a_request_like_any_other() {
    let world = World::new();
    let port =
        answering(|_| "HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n".to_owned());
    let value = world.value(get(&local(port)), &target(&format!("127.0.0.1:{port}")));
    assert_eq!(value, response(302, ""));
}

#[test]
fn servers_that_misbehave_have_their_error_codes() {
    let world = World::new();
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n";
    for (answer, code) in [
        (String::new(), "HTTP-response-incomplete"),
        ("HTTP/1.1 200 OK\r\nX: ".to_owned(), "HTTP-response-incomplete"),
        ("nonsense\r\n\r\n".to_owned(), "HTTP-protocol-error"),
        (
            format!("{head}X: {}\r\n\r\n0123456789", "x".repeat(300 << 10)),
            "HTTP-response-header-section-size",
        ),
        (format!("{head}\r\n01234"), "read failed"),
    ] {
        let port = answering(move |_| answer.clone());
        let error = world.failure(get(&local(port)), &target(&format!("127.0.0.1:{port}")));
        assert_eq!(error.message(), code);
    }
    // Nobody listens on port 1.
    let error = world.failure(get(&local(1)), &target("127.0.0.1:1"));
    assert_eq!(error.message(), "connection-refused");
}

#[test]
fn the_timeouts_of_a_request_are_kept() {
    let world = World::new();
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234";
    for (answer, patience, expected) in [("", 50, "connection-read-timeout"), (half, 1_000, "read failed")] {
        let (hold, held) = channel();
        let port = serve(move |mut stream| {
            let _ = request(&mut stream);
            let _ = stream.write_all(answer.as_bytes());
            let _ = hold.send(stream);
        });
        let args = sending(format!("127.0.0.1:{port}"), None, Some(patience));
        let error = world.failure(reaching("fetch", "send", &local(port)), &args);
        // A machine may be so slow that it is one of the earlier timeouts.
        let early = ["connection-timeout", "connection-read-timeout"].contains(&error.message());
        assert!(early || error.message() == expected, "{error}");
        drop(held);
    }
}

#[test]
fn header_fields_without_end_are_a_limit() {
    let world = World::new();
    let mut args = sending("127.0.0.1:1".to_owned(), None, None);
    let field = Value::array([Value::from("x"), Value::from("y".repeat(1 << 10).as_str())]);
    args[3] = Value::array(vec![field; 200]);
    let error = world.failure(reaching("fetch", "send", &[]), &args);
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::LimitExceeded, "http_headers limit exceeded: 128KiB")
    );
}

#[test]
fn hundreds_that_wait_for_a_server_hold_no_thread_and_close_their_connections_at_their_end() {
    const GUESTS: usize = 200;
    let world = World::new();
    let (port, taken) = silent();
    let args = target(&format!("127.0.0.1:{port}"));
    let entry = || get(&local(port));
    let waiting: Vec<_> = (0..GUESTS).map(|_| world.spawn(entry(), &args).unwrap()).collect();
    // All of them are there at once, on a kernel of two workers; none has had an answer.
    let mut connections: Vec<TcpStream> = taken.iter().take(GUESTS).collect();
    assert_eq!(world.value(guest("compute", "compute"), &ints(&[6, 7])), Value::Int(42));
    let (terminated, answered) = waiting.split_at(GUESTS / 2);
    for process in terminated {
        world.kernel.terminate(process.pid()).unwrap();
        world.exit(process);
    }
    // Which connection is whose nobody knows: half of them end by themselves, the other half after the answer.
    for connection in &mut connections {
        let _ = request(connection);
        // One whose guest is gone may refuse it.
        let _ = connection.write_all(ok("late").as_bytes());
    }
    for process in answered {
        assert_eq!(value(&world.exit(process)), response(200, "late"));
    }
    for mut connection in connections {
        let mut rest = Vec::new();
        // Ends, by a close or by a reset, because nobody holds the other end any more.
        let _ = connection.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
}

#[test]
fn tcp_reaches_what_is_listed_alone() {
    let world = World::new();
    let port = serve(|mut stream| {
        let mut text = [0; 5];
        stream.read_exact(&mut text).unwrap();
        stream.write_all(&text).unwrap();
    });
    let ask = |patterns: &[String]| reaching("net", "ask", patterns);
    assert_eq!(world.value(ask(&local(port)), &asked(HERE, port)), Value::from("hello"));
    for patterns in [
        vec![],
        vec!["127.0.0.2:*".to_owned()],
        vec![format!("localhost:{port}")],
    ] {
        let error = world.failure(ask(&patterns), &asked(HERE, port));
        assert_eq!(error.message(), "access-denied", "{patterns:?}");
    }
    let said = world.said();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(
        said[0].contains(&format!("wasi: {{network: [\"127.0.0.1:{port}\"]}}")),
        "{said:?}"
    );
}

#[test]
fn an_address_is_judged_by_the_name_that_gave_it() {
    let world = World::new();
    let port = serve(|mut stream| {
        let mut text = [0; 5];
        stream.read_exact(&mut text).unwrap();
        stream.write_all(&text).unwrap();
    });
    let ask = |patterns: &[String]| reaching("net", "ask-name", patterns);
    let named = |name: &str| vec![Value::from(name), Value::Int(port.into()), Value::from("hello")];
    let by_name = [format!("localhost:{port}")];
    // The second one in the letters of another width, which IDNA takes for the same.
    for name in ["localhost", "ｌｏｃａｌｈｏｓｔ"] {
        assert_eq!(world.value(ask(&by_name), &named(name)), Value::from("hello"));
    }
    for (pattern, name, code) in [
        // Another port than the one that the name is listed with.
        ("localhost:1", "localhost", "access-denied"),
        ("127.0.0.1:*", "localhost", "access-denied"),
        ("*.localhost:*", "localhost", "access-denied"),
        ("localhost:*", "127.0.0.1", "access-denied"),
        ("*:*", "127.1", "invalid-argument"),
        ("*:*", "bü cher.example", "invalid-argument"),
    ] {
        let error = world.failure(ask(&owned(&[pattern])), &named(name));
        assert_eq!(error.message(), code, "{pattern} {name}");
    }
    let look_up = |patterns: &[&str]| reaching("net", "look-up", &owned(patterns));
    let found = world.value(look_up(&["localhost:1"]), &[Value::from("localhost")]);
    assert_eq!(found, Value::array([address(HERE)]));
    let literal = world.value(look_up(&[]), &[Value::from("10.1.2.3")]);
    assert_eq!(literal, Value::array([address([10, 1, 2, 3])]));
}

#[test]
fn a_socket_too_many_is_the_guests_own_failure_to_handle() {
    let world = World::new();
    // The network itself is the first handle.
    let limited = |method: &str| {
        let mut entry = reaching("net", method, &owned(&["localhost:1", "127.0.0.1:1"]));
        if let Spec::Wasm(spec) = &mut entry.spec {
            spec.limits.max_handles = 1;
        }
        entry
    };
    for method in ["ask", "ask-udp"] {
        let error = world.failure(limited(method), &asked(HERE, 1));
        assert_eq!(error.message(), "new-socket-limit", "{method}");
    }
    let error = world.failure(limited("look-up"), &[Value::from("localhost")]);
    assert_eq!(error.message(), "new-socket-limit");
}

#[test]
fn datagrams_go_where_the_list_says() {
    let world = World::new();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let serving = thread::spawn(move || {
        let mut text = [0; 16];
        let (length, from) = socket.recv_from(&mut text).unwrap();
        // Heard by nobody, for the list does not name who says it.
        stranger.send_to(b"intruder", from).unwrap();
        socket.send_to(&text[..length], from).unwrap();
    });
    let ask = |patterns: &[String]| reaching("net", "ask-udp", patterns);
    let error = world.failure(ask(&[]), &asked(HERE, port));
    assert_eq!(error.message(), "access-denied");
    assert_eq!(world.value(ask(&local(port)), &asked(HERE, port)), Value::from("hello"));
    serving.join().unwrap();
}

#[test]
fn nobody_listens_unless_the_list_says_so() {
    let world = World::new();
    let listen = |patterns: &[&str]| reaching("net", "listen", &owned(patterns));
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let args = [address(HERE), Value::Int(free.into())];
    for patterns in [&[][..], &["*:*", "127.0.0.1:*"]] {
        let error = world.failure(listen(patterns), &args);
        assert_eq!(error.message(), "access-denied");
    }
    assert!(world.said()[0].ends_with(&format!("wasi: {{network: [\"0.0.0.0:{free}\"]}}")));
    let any = [address(HERE), Value::Int(0)];
    assert_eq!(world.value(listen(&["0.0.0.0:*"]), &any), Value::Nil);
}

/// What a run with these patterns may reach, without a guest in it.
fn network(world: &World, patterns: &[&str]) -> Network {
    let process = world.spawn(guest("sleeper", "sleep-ms"), &ints(&[0])).unwrap();
    let reach = Reach {
        list: AllowList::new(&owned(patterns)),
        ..Reach::default()
    };
    Network::new(Arc::new(reach), Arc::new(Serving::new(process, Packed::empty())))
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn a_name_that_leads_to_the_machine_itself_leads_nowhere() {
    let world = World::new();
    let network = network(&world, &["example.org:80"]);
    let outside = at("93.184.216.34:80");
    let judged = network.judge(
        "example.org",
        vec![at("127.0.0.1:80"), at("169.254.169.254:80"), outside],
    );
    assert_eq!(judged, [outside]);
    assert!(network.judge("example.org", vec![at("[::1]:80")]).is_empty());
    let said = world.said();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("[::1]:80, where example.org leads,"), "{said:?}");
    // Nor does a socket get there, although the look-up was its own.
    network.remember("example.org", &[at("127.0.0.1:80").ip(), outside.ip()]);
    assert!(!network.may_use(at("127.0.0.1:80"), SocketAddrUse::TcpConnect));
    assert!(network.may_use(outside, SocketAddrUse::TcpConnect));
}

#[test]
fn look_ups_are_known_to_their_own_run_for_the_ports_of_their_name() {
    let world = World::new();
    let network = |patterns| network(&world, patterns);
    let (first, second) = (network(&["*.example.org:443"]), network(&["*.example.org:443"]));
    let found = at("93.184.216.34:443");
    first.remember("www.example.org", &[found.ip()]);
    for purpose in [
        SocketAddrUse::TcpConnect,
        SocketAddrUse::UdpSend,
        SocketAddrUse::UdpReceive,
    ] {
        assert!(first.may_use(found, purpose), "{purpose:?}");
        assert!(!second.may_use(found, purpose), "{purpose:?}");
        assert!(!first.may_use(at("93.184.216.34:80"), purpose), "{purpose:?}");
    }
    // What is known does not grow without end; the oldest goes first.
    for number in 0..2_000_u32 {
        first.remember(
            "a.example.org",
            &[std::net::Ipv4Addr::from(0x0b00_0000 + number).into()],
        );
    }
    assert!(!first.may_use(found, SocketAddrUse::TcpConnect));
    assert!(first.may_use(at("11.0.7.207:443"), SocketAddrUse::TcpConnect));
}

#[test]
fn a_run_that_keeps_trying_does_not_fill_the_log() {
    let world = World::new();
    let network = network(&world, &[]);
    for port in 1..100 {
        let host = crate::project::network::Host::Address(Ipv4Addr::LOCALHOST.into());
        assert!(!network.may_try(&host, port) && !network.may_try(&host, port));
    }
    let said = world.said();
    assert_eq!(said.len(), 11, "{said:?}");
    assert_eq!(said[10], "this run's further troubles with the network are not logged");
}

#[test]
fn guests_of_wasi_0_3_reach_what_the_list_names_and_nothing_else() {
    let world = World::new();
    let port = answering(|request| ok(request.lines().next().unwrap_or_default()));
    let target = target(&format!("127.0.0.1:{port}"));
    let get = |patterns: &[String]| reaching("fetch3", "get", patterns);
    let answer = world.value(get(&local(port)), &target);
    assert_eq!(answer, response(200, "GET /path?q=1 HTTP/1.1"));
    let error = world.failure(get(&[]), &target);
    assert_eq!(error.message(), "HTTP-request-denied");
    let look_up = |pattern: &str| world.value(reaching("needs-later", "look-up", &owned(&[pattern])), &[]);
    // The arms of its result.
    assert_eq!(look_up("localhost:*"), Value::Int(0));
    assert_eq!(look_up("example.org:*"), Value::Int(1));
}
