//! TLS for outgoing requests: the certificates that are trusted, loaded when the first request needs them.
//!
//! They are the machine's own, or those that `SSL_CERT_FILE` or `SSL_CERT_DIR` name; where the machine has none and nobody
//! named any, Mozilla's as of this build.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use crate::project::network::Host;

/// Makes connections secure.
#[derive(Default)]
pub struct Tls(OnceCell<TlsConnector>);

impl Tls {
    /// The connection to a host as a secure one.
    ///
    /// # Errors
    /// `InvalidInput` when no certificate is to be had; what the host's handshake says, with a [`rustls::Error`] in it.
    pub async fn secure(&self, host: &Host, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let connector = self.0.get_or_try_init(load).await?;
        let name = match host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(invalid)?,
        };
        connector.connect(name, stream).await
    }
}

/// What rustls said, when it was rustls.
pub fn said(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

/// Reading and parsing a few hundred certificates takes some milliseconds and the disk.
async fn load() -> io::Result<TlsConnector> {
    tokio::task::spawn_blocking(|| connector(roots()?)).await?
}

fn roots() -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(|name| (name, std::env::var_os(name)));
    if let Some((name, Some(path))) = named.into_iter().find(|(_, path)| path.is_some()) {
        // Who names the certificates to trust does not want others.
        let why = found
            .errors
            .first()
            .map(|error| format!(": {error}"))
            .unwrap_or_default();
        let text = format!("no certificates in {name}={}{why}", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    Ok(roots)
}

fn connector(roots: RootCertStore) -> io::Result<TlsConnector> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(invalid)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
