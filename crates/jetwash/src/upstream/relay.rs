use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use jetwash_frame::{Frame, FrameKind, MAX_FRAME_BYTES, peek};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};
use tokio_tungstenite::{Connector, connect_async_tls_with_config};
use tracing::{info, warn};

use super::backoff::Backoff;
use super::{Content, Endpoint, Intake, Stopped};
use crate::stats::Stats;

/// A connection to a relay that is made again whenever it ends.
pub(crate) struct Relay {
    endpoint: Endpoint,
    source: Arc<str>,
    intake: Intake,
    stats: Arc<Stats>,
    tls: Option<Arc<ClientConfig>>,
}

impl Relay {
    pub(crate) fn new(endpoint: Endpoint, intake: Intake, stats: Arc<Stats>) -> Self {
        let source = endpoint.to_string().into();
        Self {
            endpoint,
            source,
            intake,
            stats,
            tls: None,
        }
    }

    /// Feeds the pipeline until it stops. Every other end of a connection leads to the next one,
    /// from the cursor that `cursor` gives by then.
    pub(crate) async fn run(mut self, cursor: impl Fn(&str) -> Option<u64>) {
        let mut backoff = Backoff::new(seed(&self.source));
        loop {
            let from = cursor(&self.source);
            let start = Instant::now();
            match self.connection(from).await {
                Ok(Stopped) => return,
                Err(error) => {
                    self.stats.reconnect(error.reason());
                    if start.elapsed() >= HEALTHY {
                        backoff.reset();
                    }
                    let wait = backoff.next();
                    warn!(
                        relay = %self.source,
                        "connection ended: {}; the next attempt follows in {:.1} s",
                        error.chain(),
                        wait.as_secs_f32(),
                    );
                    sleep(wait).await;
                }
            }
        }
    }

    async fn connection(&mut self, cursor: Option<u64>) -> Result<Stopped, RelayError> {
        let url = self.endpoint.with_cursor(cursor);
        let connector = self.connector()?;
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES))
            .read_buffer_size(READ_BYTES);
        let connect = connect_async_tls_with_config(url, Some(limits), true, Some(connector));
        let (socket, _) = timeout(CONNECT, connect)
            .await
            .map_err(|_| RelayError::Timeout)??;
        info!(relay = %self.source, ?cursor, "connected");
        let connected = Content::Connected { cursor };
        if self.intake.pass_on(&self.source, connected).await.is_err() {
            return Ok(Stopped);
        }
        let (mut sink, mut stream) = socket.split();
        let mut ping = interval_at(Instant::now() + PING, PING);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                biased;
                message = stream.next() => {
                    heard = Instant::now();
                    match message {
                        None => return Err(RelayError::Closed),
                        Some(Ok(Message::Binary(frame))) => {
                            if let Err(error) = check_error_frame(&frame) {
                                // What it means for the cursor is for the pipeline to say.
                                return match self.intake.send(&self.source, frame).await {
                                    Ok(()) => Err(error),
                                    Err(stopped) => Ok(stopped),
                                };
                            }
                            if self.intake.send(&self.source, frame).await.is_err() {
                                // The relay is told, but the stop does not hang on its answer.
                                let _ = timeout(CLOSE, sink.close()).await;
                                return Ok(Stopped);
                            }
                        }
                        Some(Ok(Message::Text(_))) => return Err(RelayError::Text),
                        Some(Ok(_)) => {}
                        Some(Err(error)) => return Err(error.into()),
                    }
                }
                _ = ping.tick() => {
                    if heard.elapsed() > SILENCE {
                        return Err(RelayError::Silent);
                    }
                    sink.send(Message::Ping(Bytes::new())).await?;
                }
            }
        }
    }

    /// TLS with the platform's roots, set up when a relay first needs it.
    fn connector(&mut self) -> Result<Connector, RelayError> {
        if !self.endpoint.is_tls() {
            return Ok(Connector::Plain);
        }
        if let Some(tls) = &self.tls {
            return Ok(Connector::Rustls(Arc::clone(tls)));
        }
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (usable, _) = roots.add_parsable_certificates(found.certs);
        if usable == 0 {
            return Err(RelayError::Roots);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| RelayError::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = Arc::new(config);
        self.tls = Some(Arc::clone(&tls));
        Ok(Connector::Rustls(tls))
    }
}

/// Why a connection to a relay ended.
#[derive(Debug, Error)]
enum RelayError {
    #[error("the relay closed it")]
    Closed,
    #[error("connecting failed")]
    Connect(#[source] io::Error),
    #[error("the relay sent the error {name}{message}")]
    Frame { name: String, message: String },
    #[error("no usable root certificates on this machine")]
    Roots,
    #[error("not even a pong came within {} s", SILENCE.as_secs())]
    Silent,
    #[error("a text message, where only binary ones are legal")]
    Text,
    #[error("connecting took longer than {} s", CONNECT.as_secs())]
    Timeout,
    #[error("TLS could not be set up: {0}")]
    Tls(String),
    #[error("the websocket failed")]
    WebSocket(#[source] WebSocketError),
}

impl RelayError {
    /// A short name for a counter's label.
    fn reason(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Connect(_) => "connect_failed",
            Self::Frame { .. } => "error_frame",
            Self::Roots | Self::Tls(_) => "tls",
            Self::Silent => "silent",
            Self::Text => "text_message",
            Self::Timeout => "connect_timeout",
            Self::WebSocket(_) => "websocket",
        }
    }

    /// The error with everything that caused it, in one line.
    fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    }
}

impl From<WebSocketError> for RelayError {
    fn from(error: WebSocketError) -> Self {
        match error {
            WebSocketError::ConnectionClosed => Self::Closed,
            WebSocketError::Io(error) => Self::Connect(error),
            other => Self::WebSocket(other),
        }
    }
}

/// An error frame ends the stream, whatever the relay does to the socket.
fn check_error_frame(frame: &[u8]) -> Result<(), RelayError> {
    if !matches!(peek(frame), Ok(peeked) if peeked.kind == FrameKind::Error) {
        return Ok(());
    }
    match Frame::decode(frame) {
        Ok(Frame::Error(error)) => {
            let message = error.message.map(|text| format!(": {}", short(text)));
            Err(RelayError::Frame {
                name: short(error.error),
                message: message.unwrap_or_default(),
            })
        }
        // A malformed error frame is counted by the pipeline like any malformed frame.
        _ => Ok(()),
    }
}

/// At most 200 characters of a text from outside, for a log line.
fn short(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(200)
        .collect()
}

fn seed(source: &str) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(source)
}

/// How much is read at once. A frame keeps what it was read with in memory until it is done with.
const READ_BYTES: usize = 32 << 10;
const CONNECT: Duration = Duration::from_secs(30);
const CLOSE: Duration = Duration::from_secs(1);
const PING: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(75);
/// A connection that lasted so long did its work.
const HEALTHY: Duration = Duration::from_secs(10);
