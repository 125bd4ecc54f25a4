//! Guests that reach servers of this test through the built program: TLS, and what is said about what is not reached.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::harness::{Folder, guest};
use crate::projects::wasm;

fn certificates(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/tls").join(name)
}

fn config() -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(certificates("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(certificates("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    Arc::new(config)
}

/// Answers every request over TLS with "secret".
fn secure_server() -> u16 {
    let config = config();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            // A client that does not trust us is gone already.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret");
            let _ = stream.flush();
        }
    });
    port
}

fn fetching(patterns: &str) -> Folder {
    let fields = format!("    imports: [wasi:http]\n    wasi: {{ network: [{patterns}] }}\n");
    wasm("fetch", "send", &fields)
}

#[test]
fn https_trusts_the_certificates_that_are_named() {
    let port = secure_server();
    let folder = fetching(&format!("\"localhost:{port}\", \"127.0.0.1:{port}\""));
    let fetch = |host: &str| folder.wippy_args(&["run", "main", "true", &format!("{host}:{port}"), "/", "[]"]);
    fetch("localhost")
        .env("SSL_CERT_FILE", certificates("ca.pem"))
        .without("SSL_CERT_DIR")
        .run()
        .code(0)
        .stdout("[200,\"secret\"]\n")
        .quiet();
    // The certificate is for the name alone.
    fetch("127.0.0.1")
        .env("SSL_CERT_FILE", certificates("ca.pem"))
        .without("SSL_CERT_DIR")
        .run()
        .code(1)
        .stderr_has(&format!("no TLS with 127.0.0.1:{port}: "))
        .stderr_has("TLS-certificate-error");
    fetch("localhost")
        .without("SSL_CERT_FILE")
        .without("SSL_CERT_DIR")
        .run()
        .code(1)
        .stderr_has("TLS-certificate-error");
}

#[test]
fn certificates_that_are_named_and_not_there_are_not_replaced_by_others() {
    let port = secure_server();
    let folder = fetching(&format!("\"localhost:{port}\""));
    folder
        .wippy_args(&["run", "main", "true", &format!("localhost:{port}"), "/", "[]"])
        .env("SSL_CERT_FILE", "/nowhere/ca.pem")
        .without("SSL_CERT_DIR")
        .run()
        .code(1)
        .stderr_has("no certificates in SSL_CERT_FILE=/nowhere/ca.pem")
        .stderr_has("configuration-error");
}

#[test]
fn a_denial_says_what_would_allow_it() {
    fetching("\"example.org:443\"")
        .wippy_args(&["run", "main", "false", "127.0.0.1:1", "/", "[]"])
        .run()
        .code(1)
        .stderr_has("wasi: {network: [\"example.org:443\", \"127.0.0.1:1\"]}")
        .stderr_has("error[Internal]: HTTP-request-denied");
    let folder = Folder::new();
    folder.copy_in(&guest("fetch"), "guest.wasm");
    let run = |network: &[&str]| {
        let options = [&["run", "--grant", "wasi:http", "--method", "get"], network].concat();
        folder
            .wippy_args(&[&options[..], &["guest.wasm", "127.0.0.1:1", "/"]].concat())
            .run()
            .code(1)
    };
    run(&[])
        .stderr_has("--network '127.0.0.1:1'")
        .stderr_has("HTTP-request-denied");
    // Nobody listens on port 1.
    run(&["--network", "127.0.0.1:1"]).stderr_has("connection-refused");
}

#[test]
fn wrong_patterns_are_found_with_what_to_write_instead() {
    let folder = fetching("\"https://example.org\", \"::1:443\"");
    folder
        .wippy("check")
        .run()
        .code(3)
        .stdout_has("host and port alone, like `example.org:443`")
        .stdout_has("an IPv6 address stands in brackets");
}
