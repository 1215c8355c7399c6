use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::{SinkExt, StreamExt};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use crate::frames;

/// A relay on loopback that follows a test, one step after the other.
///
/// The script is the test itself: each step is a future that is done when the step is. What a
/// client asked for is [recorded](Self::cursors). Nothing happens between the steps; in particular,
/// pings are answered only by [`stay_silent`](ScriptedConnection::stay_silent) and
/// [`until_closed`](ScriptedConnection::until_closed), so that a relay that has died can be played
/// too.
///
/// # Examples
///
/// A client loses its connection, and asks for what follows the last frame that it has:
///
/// ```
/// use futures_util::StreamExt;
/// use jetwash_sim::{SimChange, ManualNetwork, ScriptedRelay, did};
/// use tokio_tungstenite::connect_async;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let frame = ManualNetwork::new().apply(&SimChange::account(did(0), true, None))?;
/// let mut relay = ScriptedRelay::start().await?;
/// let url = relay.url();
/// let client = tokio::spawn(async move {
///     let (mut socket, _) = connect_async(&url).await.unwrap();
///     while let Some(Ok(_)) = socket.next().await {}
///     connect_async(format!("{url}?cursor=1")).await.unwrap()
/// });
///
/// let mut connection = relay.accept().await?;
/// connection.send([frame.bytes]).await?;
/// connection.disconnect();
/// let mut connection = relay.accept_at(Some(1)).await?;
/// connection.fail("ConsumerTooSlow", "You are too slow").await?;
/// assert_eq!(relay.cursors(), [None, Some(1)]);
/// # drop(client);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ScriptedRelay {
    listener: TcpListener,
    address: SocketAddr,
    cursors: Vec<Option<u64>>,
}

impl ScriptedRelay {
    /// Listens on a free port of the loopback address.
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            cursors: Vec::new(),
        })
    }

    /// Where clients connect: a websocket URL with the path of `subscribeRepos`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://{}{SUBSCRIBE_REPOS}", self.address)
    }

    /// The cursor that each client asked for so far, in the order they came; `None` for a client
    /// that asked without one.
    #[must_use]
    pub fn cursors(&self) -> &[Option<u64>] {
        &self.cursors
    }

    /// Waits for the next client.
    ///
    /// # Errors
    ///
    /// When it is not a websocket client, or its cursor is not a number.
    pub async fn accept(&mut self) -> Result<ScriptedConnection, ScriptError> {
        let (stream, _) = self.listener.accept().await?;
        let mut query = String::new();
        #[allow(clippy::result_large_err, reason = "the signature is the library's")]
        let look = |request: &Request, response: Response| {
            query = request.uri().query().unwrap_or_default().to_owned();
            Ok(response)
        };
        let socket = accept_hdr_async(stream, look).await?;
        let cursor = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("cursor="));
        let cursor = match cursor {
            None => None,
            Some(text) => {
                let number = text.parse();
                Some(number.map_err(|_| ScriptError::Cursor(text.to_owned()))?)
            }
        };
        self.cursors.push(cursor);
        Ok(ScriptedConnection { socket, cursor })
    }

    /// Waits for the next client, which has to ask for this cursor.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept), and when the client asks for another cursor.
    pub async fn accept_at(
        &mut self,
        expected: Option<u64>,
    ) -> Result<ScriptedConnection, ScriptError> {
        let connection = self.accept().await?;
        if connection.cursor != expected {
            let asked = connection.cursor;
            return Err(ScriptError::OtherCursor { asked, expected });
        }
        Ok(connection)
    }

    /// Waits for the next client and answers its request with this text instead of opening a
    /// websocket: a redirect, or a refusal. Returns the head of the request.
    ///
    /// # Errors
    ///
    /// When the client sends no request, or goes.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(relay: &mut jetwash_sim::ScriptedRelay) -> Result<(), jetwash_sim::ScriptError> {
    /// let answer = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n";
    /// let request = relay.answer(answer).await?;
    /// assert!(request.starts_with("GET /xrpc/com.atproto.sync.subscribeRepos"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn answer(&mut self, answer: &str) -> Result<String, ScriptError> {
        let (mut stream, _) = self.listener.accept().await?;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            if request.len() > MAX_REQUEST || stream.read_buf(&mut request).await? == 0 {
                return Err(ScriptError::Gone);
            }
        }
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        Ok(String::from_utf8_lossy(&request).into_owned())
    }

    /// Waits for the next client and breaks off before the handshake.
    ///
    /// # Errors
    ///
    /// When the listener fails.
    pub async fn refuse(&mut self) -> Result<(), ScriptError> {
        drop(self.listener.accept().await?);
        Ok(())
    }
}

/// One client of a [`ScriptedRelay`]. Dropped, it breaks off.
///
/// # Examples
///
/// ```
/// use jetwash_sim::{ScriptError, ScriptedConnection};
///
/// /// Sends a frame twice, as some relays do after a restart, and breaks off.
/// async fn repeat(mut client: ScriptedConnection, frame: Vec<u8>) -> Result<(), ScriptError> {
///     client.send([frame.clone(), frame]).await?;
///     client.disconnect();
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct ScriptedConnection {
    socket: WebSocketStream<TcpStream>,
    cursor: Option<u64>,
}

impl ScriptedConnection {
    /// The cursor that the client asked for.
    #[must_use]
    pub const fn cursor(&self) -> Option<u64> {
        self.cursor
    }

    /// Sends binary messages: frames, the same frames again, or anything else.
    ///
    /// # Errors
    ///
    /// When the client has gone.
    pub async fn send(
        &mut self,
        frames: impl IntoIterator<Item = impl Into<Bytes>>,
    ) -> Result<(), ScriptError> {
        for frame in frames {
            self.socket.feed(Message::Binary(frame.into())).await?;
        }
        Ok(self.socket.flush().await?)
    }

    /// Sends a text message, which the protocol does not have.
    ///
    /// # Errors
    ///
    /// When the client has gone.
    pub async fn send_text(&mut self, text: &str) -> Result<(), ScriptError> {
        Ok(self.socket.send(Message::text(text)).await?)
    }

    /// Writes bytes past the websocket protocol, which breaks it.
    ///
    /// # Errors
    ///
    /// When the client has gone.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> Result<(), ScriptError> {
        Ok(self.socket.get_mut().write_all(bytes).await?)
    }

    /// Sends an `#info` frame, such as `OutdatedCursor`.
    ///
    /// # Errors
    ///
    /// When the client has gone.
    pub async fn inform(&mut self, name: &str, message: &str) -> Result<(), ScriptError> {
        self.send([frames::info(name, message)]).await
    }

    /// Sends an error frame (`{"op": -1}`), such as `FutureCursor` or `ConsumerTooSlow`. The
    /// connection stays open: a relay would [close](Self::close) it now.
    ///
    /// # Errors
    ///
    /// When the client has gone.
    pub async fn fail(&mut self, error: &str, message: &str) -> Result<(), ScriptError> {
        self.send([frames::error(error, message)]).await
    }

    /// Sends nothing for `duration`, but answers pings: a relay of a network where nothing happens.
    ///
    /// # Errors
    ///
    /// When the client goes meanwhile.
    pub async fn stay_silent(&mut self, duration: Duration) -> Result<(), ScriptError> {
        match timeout(duration, self.drain()).await {
            Ok(outcome) => Err(outcome.err().unwrap_or(ScriptError::Gone)),
            Err(_) => Ok(()),
        }
    }

    /// Waits until the client has closed the connection, or broken it off. Pings are answered.
    pub async fn until_closed(mut self) {
        // How the client leaves makes no difference.
        let _ = self.drain().await;
    }

    /// Closes the websocket as the protocol has it, and waits for the client to do the same.
    ///
    /// # Errors
    ///
    /// When the client has gone already.
    pub async fn close(mut self, code: u16, reason: &str) -> Result<(), ScriptError> {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        self.socket.close(Some(frame)).await?;
        self.until_closed().await;
        Ok(())
    }

    /// Breaks the connection off, without a word.
    pub fn disconnect(self) {
        drop(self);
    }

    /// Reads until the client's end.
    async fn drain(&mut self) -> Result<(), ScriptError> {
        while let Some(message) = self.socket.next().await {
            message?;
        }
        Ok(())
    }
}

/// Why a step of a script could not be done.
///
/// # Examples
///
/// ```
/// use jetwash_sim::ScriptError;
///
/// let error = ScriptError::OtherCursor { asked: None, expected: Some(1) };
/// assert_eq!(error.to_string(), "the client asked for the cursor None instead of Some(1)");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// The client's cursor is not a number.
    #[error("the client's cursor {0:?} is not a number")]
    Cursor(String),
    /// The client went while it was to stay.
    #[error("the client has gone")]
    Gone,
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Io(#[from] io::Error),
    /// The client asked for another cursor than the script says.
    #[error("the client asked for the cursor {asked:?} instead of {expected:?}")]
    OtherCursor {
        /// The cursor it asked for.
        asked: Option<u64>,
        /// The cursor in the script.
        expected: Option<u64>,
    },
    /// The websocket failed.
    #[error("the websocket failed: {0}")]
    WebSocket(Box<WebSocketError>),
}

impl From<WebSocketError> for ScriptError {
    fn from(error: WebSocketError) -> Self {
        Self::WebSocket(Box::new(error))
    }
}

const MAX_REQUEST: usize = 64 << 10;
const SUBSCRIBE_REPOS: &str = "/xrpc/com.atproto.sync.subscribeRepos";
