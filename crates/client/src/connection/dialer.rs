use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jetwash_websocket::{Request, Socket, SocketError, Stream, interleave, race};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::error::{ConnectionError, Refusal};
use super::host::Location;
use super::tls::system_roots;

/// How connections are made.
#[derive(Clone)]
pub(crate) struct DialerOptions {
    /// Further headers of each request, checked.
    pub(crate) headers: Vec<(String, String)>,
    /// `None`: with the machine's roots, which are read when they are first needed.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// How long each step may take: to look the name up, to connect, and to get an answer.
    pub(crate) timeout: Duration,
    /// The longest message that a websocket takes, in bytes.
    pub(crate) max_message: usize,
}

/// Makes connections.
pub(crate) struct Dialer {
    options: DialerOptions,
}

impl Dialer {
    pub(crate) const fn new(options: DialerOptions) -> Self {
        Self { options }
    }

    /// Opens a websocket.
    pub(crate) async fn websocket(
        &mut self,
        location: &Location,
        path: &str,
        subprotocol: Option<&str>,
    ) -> Result<Socket, ConnectionError> {
        let limit = self.options.timeout;
        let max_message = self.options.max_message;
        let mut addresses = self.resolve(location).await?;
        loop {
            let (mut stream, address) = self.open(location, &addresses).await?;
            let request = self.request(location, path);
            let asking = async {
                let mut head = request.upgrade(&mut stream, subprotocol).await?;
                if head.status == 101 {
                    return Ok(head.rest);
                }
                let (status, wait) = (head.status, head.retry_after());
                let content = head.start_of_body(&mut stream, MAX_REFUSAL).await;
                // The status alone says enough.
                let content = content.unwrap_or_default();
                let refusal = Refusal::new(status, wait, &content);
                Err(ConnectionError::Refused(refusal))
            };
            let answer = timeout(limit, asking).await;
            match answer.unwrap_or(Err(ConnectionError::Timeout(limit))) {
                Ok(rest) => return Ok(Socket::new(stream, rest, max_message)),
                // Another address may belong to another machine, in better health.
                Err(
                    ConnectionError::Socket(SocketError::Connect(_)) | ConnectionError::Timeout(_),
                ) if addresses.len() > 1 => addresses.retain(|other| *other != address),
                Err(error) => return Err(error),
            }
        }
    }

    /// Fetches a file of up to `max_bytes`. Redirects are not followed.
    pub(crate) async fn file(
        &mut self,
        location: &Location,
        path: &str,
        max_bytes: usize,
    ) -> Result<Vec<u8>, ConnectionError> {
        let limit = self.options.timeout;
        let addresses = self.resolve(location).await?;
        let (mut stream, _) = self.open(location, &addresses).await?;
        let request = self.request(location, path).header("Connection", "close");
        let asking = async {
            let mut head = request.send(&mut stream).await?;
            if head.status == 200 {
                return Ok(head.body(&mut stream, max_bytes).await?);
            }
            let (status, wait) = (head.status, head.retry_after());
            let content = head.start_of_body(&mut stream, MAX_REFUSAL).await;
            let refusal = Refusal::new(status, wait, &content.unwrap_or_default());
            Err(ConnectionError::Refused(refusal))
        };
        let answer = timeout(limit, asking).await;
        answer.unwrap_or(Err(ConnectionError::Timeout(limit)))
    }

    fn request(&self, location: &Location, path: &str) -> Request {
        let headers = self.options.headers.iter();
        headers.fold(
            Request::get(&location.authority, path),
            |request, (name, value)| request.header(name, value),
        )
    }

    async fn open(
        &mut self,
        location: &Location,
        addresses: &[SocketAddr],
    ) -> Result<(Box<dyn Stream>, SocketAddr), ConnectionError> {
        let limit = self.options.timeout;
        let (stream, address) = race(addresses, limit).await?;
        if !location.is_tls {
            return Ok((Box::new(stream), address));
        }
        if self.options.tls.is_none() {
            self.options.tls = Some(system_roots()?);
        }
        let no_config = || ConnectionError::Tls("there is no configuration".to_owned());
        let config = self.options.tls.clone().ok_or_else(no_config)?;
        let name = ServerName::try_from(location.name.clone());
        let name = name.map_err(|error| ConnectionError::Tls(error.to_string()))?;
        let connecting = TlsConnector::from(config).connect(name, stream);
        let stream = timeout(limit, connecting).await;
        let stream = stream.map_err(|_| ConnectionError::Timeout(limit))??;
        Ok((Box::new(stream), address))
    }

    async fn resolve(&self, location: &Location) -> Result<Vec<SocketAddr>, ConnectionError> {
        let limit = self.options.timeout;
        let found = lookup_host((location.name.as_str(), location.port));
        let found = timeout(limit, found).await;
        let found = found.map_err(|_| ConnectionError::Timeout(limit))??;
        Ok(interleave(found))
    }
}

/// Of an answer that is a refusal no more is read.
const MAX_REFUSAL: usize = 8 << 10;
