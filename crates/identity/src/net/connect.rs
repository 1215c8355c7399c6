use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use super::address::is_private_address;
use super::error::FetchError;
use super::lookup::AddressLookup;
use super::tls::Tls;

/// Makes connections. The address that is checked is the address that is connected to.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) lookup: Arc<dyn AddressLookup>,
    pub(super) tls: Arc<Tls>,
    pub(super) limit: Duration,
    pub(super) may_be_private: bool,
}

impl Connector {
    /// Connects within the limit, however many addresses there are.
    pub(super) async fn connect(self, uri: Uri) -> Result<Socket, FetchError> {
        let connected = timeout(self.limit, self.open(&uri)).await;
        connected.unwrap_or(Err(FetchError::Timeout))
    }

    async fn open(&self, uri: &Uri) -> Result<Socket, FetchError> {
        let host = uri.host().ok_or(FetchError::NoAddress)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_tls = matches!(uri.scheme_str(), Some("https" | "wss"));
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = race(&self.addresses(host).await?, port).await?;
        if !is_tls {
            return Ok(Socket(Box::new(stream)));
        }
        let config = self.tls.config().ok_or(FetchError::Tls)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| FetchError::Tls)?;
        let stream = TlsConnector::from(config).connect(name, stream).await;
        Ok(Socket(Box::new(stream.map_err(|_| FetchError::Tls)?)))
    }

    /// The addresses of a host that may be connected to. Private ones are left out, and are the
    /// error if there is no other.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, FetchError> {
        let mut found = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => {
                let found = self.lookup.addresses(host).await;
                found.map_err(|_| FetchError::NoAddress)?
            }
        };
        if found.is_empty() {
            return Err(FetchError::NoAddress);
        }
        if !self.may_be_private {
            found.retain(|address| !is_private_address(*address));
        }
        found.truncate(MAX_ADDRESSES);
        if found.is_empty() {
            return Err(FetchError::PrivateAddress);
        }
        Ok(found)
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Socket>;
    type Error = FetchError;
    type Future = BoxFuture<'static, Result<Self::Response, FetchError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connect = self.clone().connect(uri);
        Box::pin(async { connect.await.map(TokioIo::new) })
    }
}

/// A connection, with TLS or without.
pub(crate) struct Socket(Box<dyn Stream>);

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Connects to the first address that answers. The next is tried as well after a head start, or at
/// once when one fails (RFC 8305, section 5).
async fn race(addresses: &[IpAddr], port: u16) -> Result<TcpStream, FetchError> {
    let mut waiting = addresses.iter().map(|ip| SocketAddr::new(*ip, port));
    let mut attempts = FuturesUnordered::new();
    loop {
        match waiting.next() {
            Some(address) => attempts.push(TcpStream::connect(address)),
            None if attempts.is_empty() => return Err(FetchError::Connect),
            None => {}
        }
        let has_more = waiting.len() > 0;
        tokio::select! {
            Some(outcome) = attempts.next() => if let Ok(stream) = outcome {
                // Only speed depends on it.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            },
            () = sleep(HEAD_START), if has_more => {}
        }
    }
}

/// A host with more addresses than that is not tried at all of them.
const MAX_ADDRESSES: usize = 8;
const HEAD_START: Duration = Duration::from_millis(250);
