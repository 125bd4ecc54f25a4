//! Requests of `wasi:http/outgoing-handler`: HTTP/1.1, each on a connection of its own that ends with the guest's handles.
//!
//! The types of the interface are wasmtime-wasi-http's; here are the ways out. Redirects are the guest's to follow, each one
//! a request that is judged like the first. Errors take their names from `error-code`.

use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Parts, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::rustls;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{
    Error, RequestOptions, Result, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use super::network::Network;
use super::state::State;
use super::tls;
use crate::project::network::Host;

/// How long a guest waits that sets no limit itself.
const PATIENCE: Duration = Duration::from_secs(600);
/// Bytes that the head of a response may take, and, with what they take in memory beside their text, the header fields
/// that a guest makes.
pub const HEAD: usize = 128 << 10;

/// Bytes of a request's body that are taken from the guest at once; twice as many wait in the host at most.
const CHUNK: usize = 64 << 10;

/// Of one run that has used `wasi:http`.
pub struct Http {
    context: WasiHttpCtx,
    hooks: Hooks,
}

struct Hooks(Arc<Network>);

impl Http {
    pub fn new(network: Arc<Network>) -> Http {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(HEAD);
        Http {
            context,
            hooks: Hooks(network),
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let (http, table) = self.http_and_table();
        WasiHttpCtxView {
            hooks: &mut http.hooks,
            table,
            ctx: &mut http.context,
        }
    }
}

/// What goes on after the head of the response has come.
type Rest = Box<dyn Future<Output = Result<()>> + Send>;
type Answer = Result<(Response<WasiBody>, Rest)>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<()>> + Send>,
    ) -> Box<dyn Future<Output = Answer> + Send> {
        Box::new(send(self.0.clone(), request, options.unwrap_or_default()))
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }
}

async fn send(network: Arc<Network>, request: Request<WasiBody>, options: RequestOptions) -> Answer {
    let destination = Destination::of(request.uri()).ok_or(Error::HttpRequestUriInvalid)?;
    if !network.may_try(&destination.host, destination.port) {
        return Err(Error::HttpRequestDenied);
    }
    let patience = options.connect_timeout.unwrap_or(PATIENCE);
    let connecting = timeout(patience, connect(&network, &destination));
    match connecting.await.map_err(|_| Error::ConnectionTimeout)?? {
        Connection::Plain(stream) => exchange(stream, request, options).await,
        Connection::Secure(stream) => exchange(*stream, request, options).await,
    }
}

struct Destination {
    host: Host,
    port: u16,
    secure: bool,
}

impl Destination {
    /// None for an authority with a user in it, or that is neither a name nor an address.
    fn of(uri: &Uri) -> Option<Destination> {
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let after_host = &authority.as_str()[authority.host().len()..];
        let port = match after_host {
            "" if secure => 443,
            "" => 80,
            _ => authority.port_u16().filter(|port| *port > 0)?,
        };
        Some(Destination {
            host: Host::parse(authority.host())?,
            port,
            secure,
        })
    }
}

enum Connection {
    Plain(TcpStream),
    Secure(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

async fn connect(network: &Network, destination: &Destination) -> Result<Connection> {
    let addresses = addresses(network, destination).await?;
    let stream = reach(&addresses).await.map_err(|error| unreached(&error))?;
    // Only a hint to the system, which may not know it.
    let _ = stream.set_nodelay(true);
    if !destination.secure {
        return Ok(Connection::Plain(stream));
    }
    match network.tls().secure(&destination.host, stream).await {
        Ok(stream) => Ok(Connection::Secure(Box::new(stream))),
        Err(error) => {
            let whom = destination.host.with_port(destination.port);
            network.tell(&format!("tls {whom}"), || format!("no TLS with {whom}: {error}"));
            Err(insecure(&error))
        }
    }
}

/// Where to connect to: all of it judged.
async fn addresses(network: &Network, destination: &Destination) -> Result<Vec<SocketAddr>> {
    let name = match &destination.host {
        Host::Address(address) => return Ok(vec![SocketAddr::new(*address, destination.port)]),
        Host::Name(name) => name,
    };
    let found = network.look_up(name).await.map_err(|error| Error::DnsError {
        rcode: Some(error.to_string()),
        info_code: None,
    })?;
    let found = found.into_iter().map(|ip| SocketAddr::new(ip, destination.port));
    match network.judge(name, found.collect()) {
        allowed if allowed.is_empty() => Err(Error::DestinationIpProhibited),
        allowed => Ok(allowed),
    }
}

/// The first of them that answers.
async fn reach(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut failed = io::Error::from(io::ErrorKind::HostUnreachable);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn unreached(error: &io::Error) -> Error {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable, TimedOut};
    match error.kind() {
        ConnectionRefused => Error::ConnectionRefused,
        TimedOut => Error::ConnectionTimeout,
        HostUnreachable | NetworkUnreachable | NetworkDown => Error::DestinationUnavailable,
        // Out of descriptors, mostly.
        _ => Error::InternalError(Some(error.to_string())),
    }
}

fn insecure(error: &io::Error) -> Error {
    match tls::said(error) {
        Some(rustls::Error::InvalidCertificate(_)) => Error::TlsCertificateError,
        Some(rustls::Error::AlertReceived(alert)) => Error::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: Some(format!("{alert:?}")),
        },
        Some(_) => Error::TlsProtocolError,
        None if error.kind() == io::ErrorKind::InvalidInput => Error::ConfigurationError,
        None => Error::ConnectionTerminated,
    }
}

async fn exchange<S>(stream: S, mut request: Request<WasiBody>, options: RequestOptions) -> Answer
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    *request.uri_mut() = path_alone(request.uri());
    let mut connection = Some(Box::pin(connection));
    let patience = options.first_byte_timeout.unwrap_or(PATIENCE);
    let response = {
        let mut sending = pin!(sender.send_request(request));
        // Nothing moves on a connection that nobody polls.
        let answered = poll_fn(|cx| {
            if let Poll::Ready(answer) = sending.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            if let Some(driven) = &mut connection {
                // Its failure is told to who waits for the response.
                let _ = ready!(driven.as_mut().poll(cx));
                connection = None;
            }
            sending.as_mut().poll(cx)
        });
        let answered = timeout(patience, answered).await;
        answered
            .map_err(|_| Error::ConnectionReadTimeout)?
            .map_err(|error| failed(&error))?
    };
    let patience = options.between_bytes_timeout.unwrap_or(PATIENCE);
    let response = response.map(|body| Incoming::new(body, patience).boxed_unsync());
    let rest = async move {
        match connection {
            Some(connection) => connection.await.map_err(|error| failed(&error)),
            None => Ok(()),
        }
    };
    Ok((response, Box::new(rest)))
}

/// Without scheme and authority, which only a proxy is told. An empty path is `/` in a request.
fn path_alone(uri: &Uri) -> Uri {
    let path = match uri.path() {
        "" => "/",
        path => path,
    };
    let target = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    let mut parts = Parts::default();
    parts.path_and_query = Some(target.unwrap_or_else(|_| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).unwrap_or_default()
}

/// What the guest gets to know of a failed exchange.
fn failed(error: &hyper::Error) -> Error {
    // A body of another length than was announced has a name of its own.
    if let Some(Error::HttpRequestBodySize(size)) = error.source().and_then(|cause| cause.downcast_ref()) {
        return Error::HttpRequestBodySize(*size);
    }
    if error.is_parse_too_large() {
        return Error::HttpResponseHeaderSectionSize(u32::try_from(HEAD).ok());
    }
    if error.is_incomplete_message() {
        return Error::HttpResponseIncomplete;
    }
    if error.is_timeout() {
        return Error::HttpResponseTimeout;
    }
    let broken = error.source().is_some_and(|cause| cause.is::<io::Error>());
    if broken || error.is_closed() || error.is_canceled() {
        return Error::ConnectionTerminated;
    }
    Error::HttpProtocolError
}

/// The body of a response, given up when nothing of it comes for too long while the guest waits.
struct Incoming {
    body: hyper::body::Incoming,
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    fn new(body: hyper::body::Incoming, patience: Duration) -> Incoming {
        Incoming {
            body,
            patience,
            waiting: None,
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.waiting = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| failed(&error))));
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that turns out to be shorter than announced.
    struct Short;

    impl Body for Short {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
            Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(5)))))
        }
    }

    #[test]
    fn a_body_of_another_length_than_announced_is_named() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let (near, _far) = tokio::io::duplex(1024);
        let request = Request::post("http://example.org/").header("content-length", "11");
        let request = request.body(Short.boxed_unsync()).unwrap();
        let answer = runtime.block_on(exchange(near, request, RequestOptions::default()));
        let error = answer.err();
        assert!(matches!(error, Some(Error::HttpRequestBodySize(Some(5)))), "{error:?}");
    }

    #[test]
    fn an_empty_path_is_sent_as_a_slash() {
        for (path, sent) in [
            ("", "/"),
            ("/", "/"),
            ("?x=1", "/?x=1"),
            ("/a%2Fb?q=a%20b", "/a%2Fb?q=a%20b"),
            ("/echo?a=1&a=2&b=", "/echo?a=1&a=2&b="),
            ("/?", "/?"),
        ] {
            let uri = Uri::builder()
                .scheme("http")
                .authority("example.org")
                .path_and_query(path);
            assert_eq!(path_alone(&uri.build().unwrap()).to_string(), sent, "{path}");
        }
    }

    #[test]
    fn destinations_are_a_plain_host_and_a_port() {
        let of = |text: &str| {
            let uri: Uri = text.parse().unwrap();
            Destination::of(&uri).map(|to| to.host.with_port(to.port))
        };
        for (uri, host) in [
            ("http://Example.org/x", Some("example.org:80")),
            ("https://example.org./", Some("example.org:443")),
            ("http://[::1]:8080/", Some("[::1]:8080")),
            ("http://[::ffff:127.0.0.1]/", Some("127.0.0.1:80")),
            ("https://example.org:8443/", Some("example.org:8443")),
            ("http://allowed.org@127.0.0.1/", None),
            ("http://allowed.org:80@127.0.0.1:81/", None),
            ("http://127.1/", None),
            ("http://example.org:0/", None),
            ("http://example.org:/", None),
            ("http://example.org:99999/", None),
        ] {
            assert_eq!(of(uri).as_deref(), host, "{uri}");
        }
    }
}
