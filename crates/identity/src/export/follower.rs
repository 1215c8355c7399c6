use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use http::HeaderValue;
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use url::Url;

use super::operation::Operation;
use super::position::Position;
use crate::cache::Kept;
use crate::document::DidDocument;
use crate::hosts::{Budget, HostState, name_of};
use crate::identities::Identities;
use crate::net::{Ask, Failure, FetchError, Socket};
use crate::service::Service;
use crate::stats::Count;

/// Fills the cache from the export of a directory, so that no did:plc need be looked up.
///
/// It reads the pages of `/export` from where it was before, and then follows `/export/stream`.
/// While it does, documents of did:plc that are in the cache do not grow old. The place up to which
/// it came is noted on disk together with the documents.
///
/// The directory is trusted as much as in a look-up: neither the signatures of operations nor that
/// a DID is the hash of its first operation is checked.
///
/// # Examples
///
/// ```no_run
/// use jetwash_identity::{ExportFollower, FileCache, IdentityOptions};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let disk = FileCache::open("identities", 4 << 30)?;
/// let identities = IdentityOptions::new().disk(disk).start()?;
/// let follower = ExportFollower::new(&identities, "https://plc.directory")?;
/// tokio::spawn(follower.start_at_oldest().run(std::future::pending()));
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct ExportFollower {
    service: Arc<Service>,
    kept: Arc<Kept>,
    directory: Url,
    name: Box<str>,
    host: HostState,
    budget: Budget,
    starts_at_oldest: bool,
    position: Option<Position>,
}

/// Why a round of following ended.
enum Trouble {
    /// The directory failed, or says how long to leave it alone.
    Failed(Option<Duration>),
    /// The place is too old for the stream; pages go on from it.
    Outdated,
    /// The directory is not as far as the place: it is another one than before.
    Future,
}

impl ExportFollower {
    /// Makes a follower that begins at the place on disk, or else with the next operation.
    ///
    /// # Errors
    ///
    /// When the identities have no disk, or the directory is not an `http` or `https` URL.
    pub fn new(identities: &Identities, directory: &str) -> Result<Self, ExportError> {
        let service = identities.service();
        let kept = service.kept.clone().ok_or(ExportError::NoDisk)?;
        let url = Url::parse(directory).ok().filter(is_directory);
        let url = url.ok_or_else(|| ExportError::Directory {
            url: directory.to_owned(),
        })?;
        Ok(Self {
            kept,
            name: name_of(&url),
            directory: url,
            host: HostState::default(),
            budget: Budget::new(500, Duration::from_secs(300)),
            starts_at_oldest: false,
            position: None,
            service,
        })
    }

    /// Begins at the first operation there ever was, unless there is a place on disk. There are
    /// about a hundred million, in pages of a thousand, within the budget.
    pub const fn start_at_oldest(mut self) -> Self {
        self.starts_at_oldest = true;
        self
    }

    /// The pages and connections that the directory gets. Defaults to 500 in five minutes.
    pub const fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Follows until `shutdown`. A directory that fails is asked again after a rest.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = self.follow() => {}
        }
        self.note().await;
    }

    async fn follow(&mut self) {
        if let Ok(Some(note)) = self.kept.note().await {
            self.position = Position::decode(&note, &self.name);
        }
        if self.position.is_none() && self.starts_at_oldest {
            self.position = Some(Position { seq: 0, from_ms: 0 });
        }
        loop {
            let ended = self.round().await;
            self.note().await;
            match ended {
                Trouble::Failed(asked) => {
                    self.service.counters.count(Count::ExportFailure);
                    let now = Instant::now();
                    self.host.failed(now, asked, &self.service.random);
                }
                Trouble::Outdated => {}
                Trouble::Future => {
                    self.service.counters.count(Count::ExportFailure);
                    self.service.followed.clear();
                    self.position = None;
                }
            }
        }
    }

    /// Pages until there is nothing new, and then the stream.
    async fn round(&mut self) -> Trouble {
        while let Some(position) = &self.position {
            let after = position.seq;
            match self.page(after).await {
                Ok(0) => break,
                Ok(_) => self.note().await,
                Err(failure) => return Trouble::Failed(failure.retry_after),
            }
        }
        match self.connect().await {
            Ok(stream) => self.stream(stream).await,
            Err(failure) => Trouble::Failed(failure.retry_after),
        }
    }

    /// Takes the operations after a number. Returns how many there were.
    async fn page(&mut self, after: u64) -> Result<usize, Failure> {
        self.wait().await;
        let asked = Instant::now();
        let mut url = self.endpoint("export");
        url.set_query(Some(&format!("count={PAGE}&after={after}")));
        let ask = Ask {
            accept: "application/jsonlines, application/json",
            max_bytes: MAX_PAGE_BYTES,
            may_be_private: true,
            others_may_be_private: self.service.rules.allow_private,
        };
        let answer = self.service.fetcher.get_within(&url, ask, PAGE_LIMIT);
        let answer = answer.await?;
        if answer.status != http::StatusCode::OK {
            return Err(FetchError::Status(answer.status.as_u16()).into());
        }
        self.host.answered();
        let lines = answer.body.split(|byte| *byte == b'\n');
        let lines: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).collect();
        let taken = self.take(&lines).await;
        if taken == 0 && !lines.is_empty() {
            // It would be asked for the same page for ever.
            return Err(FetchError::Protocol.into());
        }
        if taken == 0 {
            self.mark_current(asked.elapsed());
        }
        Ok(taken)
    }

    async fn connect(&mut self) -> Result<WebSocketStream<Socket>, Failure> {
        self.wait().await;
        let mut url = self.endpoint("export/stream");
        if let Some(position) = &self.position {
            url.set_query(Some(&format!("cursor={}", position.seq)));
        }
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        let is_set = url.set_scheme(scheme).is_ok();
        debug_assert!(is_set, "a web address can become one of a websocket");
        let request = url.as_str().into_client_request();
        let mut request = request.map_err(|_| FetchError::Protocol)?;
        let agent = HeaderValue::from_str(self.service.fetcher.agent());
        if let Ok(agent) = agent {
            request.headers_mut().insert("User-Agent", agent);
        }
        let socket = self.service.fetcher.connect(&url).await?;
        let mut config = WebSocketConfig::default();
        config.max_message_size = Some(DidDocument::MAX_BYTES);
        config.max_frame_size = Some(DidDocument::MAX_BYTES);
        let opened = client_async_with_config(request, socket, Some(config));
        match timeout(PAGE_LIMIT, opened).await {
            Ok(Ok((stream, _))) => Ok(stream),
            Ok(Err(_)) => Err(FetchError::Protocol.into()),
            Err(_) => Err(FetchError::Timeout.into()),
        }
    }

    /// Takes operations as they come.
    async fn stream(&mut self, mut stream: WebSocketStream<Socket>) -> Trouble {
        self.host.answered();
        if self.position.is_none() {
            // The clocks of the two machines may differ a little.
            let from_ms = self.service.clock.now_ms() + SKEW_MS;
            self.position = Some(Position { seq: 0, from_ms });
        }
        let (mut heard, mut noted) = (Instant::now(), Instant::now());
        loop {
            match timeout(QUIET, stream.next()).await {
                // Nothing for a while: there is nothing that was not taken.
                Err(_) if heard.elapsed() < SILENCE => self.mark_current(QUIET),
                Err(_) => return Trouble::Failed(None),
                Ok(Some(Ok(Message::Text(line)))) => {
                    heard = Instant::now();
                    self.take(&[line.as_bytes()]).await;
                }
                Ok(Some(Ok(Message::Close(close)))) => {
                    let reason = close.map(|close| close.reason.to_string());
                    return match reason.unwrap_or_default() {
                        reason if reason.contains("OutdatedCursor") => Trouble::Outdated,
                        reason if reason.contains("FutureCursor") => Trouble::Future,
                        _ => Trouble::Failed(None),
                    };
                }
                Ok(Some(Ok(_))) => heard = Instant::now(),
                Ok(Some(Err(_)) | None) => return Trouble::Failed(None),
            }
            if noted.elapsed() > QUIET {
                self.note().await;
                noted = Instant::now();
            }
        }
    }

    /// Takes the operations of some lines. Returns how many were new.
    async fn take(&mut self, lines: &[&[u8]]) -> usize {
        let Some(position) = &mut self.position else {
            return 0;
        };
        let mut changes = Vec::new();
        let mut count = 0;
        for line in lines {
            let Some(operation) = Operation::parse(line) else {
                self.service.counters.count(Count::ExportFailure);
                continue;
            };
            if operation.seq > position.seq {
                position.seq = operation.seq;
                count += 1;
                changes.extend(operation.change);
            }
        }
        let last_ms = changes.last().map(|change| change.at_ms);
        self.service.apply(changes).await;
        if let Some(last_ms) = last_ms {
            let until_ms = last_ms.min(self.service.clock.now_ms());
            self.service.followed.set(self.complete_from_ms(), until_ms);
        }
        count
    }

    /// Notes in memory that everything up to a time ago was taken.
    fn mark_current(&self, ago: Duration) {
        let now_ms = self.service.clock.now_ms();
        let until_ms = now_ms.saturating_sub(ago.as_millis() as u64);
        self.service.followed.set(self.complete_from_ms(), until_ms);
    }

    fn complete_from_ms(&self) -> u64 {
        let position = self.position.as_ref();
        position.map_or(u64::MAX, |position| position.from_ms)
    }

    /// Notes the place on disk.
    async fn note(&self) {
        let Some(position) = self.position.as_ref().filter(|position| position.seq > 0) else {
            return;
        };
        let note = position.encode(&self.name);
        if self.kept.set_note(note).await.is_err() {
            self.service.counters.count(Count::DiskError);
        }
    }

    /// Waits for the budget, and for the end of a rest.
    async fn wait(&mut self) {
        let admitted = self.host.admit(self.budget, Instant::now(), Duration::MAX);
        sleep(admitted.unwrap_or_default()).await;
    }

    fn endpoint(&self, name: &str) -> Url {
        let mut url = self.directory.clone();
        let path = format!("{}/{name}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }
}

impl std::fmt::Debug for ExportFollower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExportFollower")
            .field("directory", &self.name)
            .finish_non_exhaustive()
    }
}

/// Why an export cannot be followed.
///
/// # Examples
///
/// ```
/// use jetwash_identity::{ExportError, ExportFollower, IdentityOptions};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let identities = IdentityOptions::new().start()?;
/// let error = ExportFollower::new(&identities, "https://plc.directory").err();
/// assert_eq!(error, Some(ExportError::NoDisk));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportError {
    /// The identities are kept in memory only.
    #[error("an export cannot be followed without a cache on disk")]
    NoDisk,
    /// The directory is not an `http` or `https` URL.
    #[error("the directory {url:?} is not an http or https URL")]
    Directory {
        /// The text.
        url: String,
    },
}

fn is_directory(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.query().is_none()
        && url.fragment().is_none()
}

/// Operations on a page.
const PAGE: usize = 1000;
/// An operation has up to 7,500 bytes, and a few hundred around it.
const MAX_PAGE_BYTES: usize = 16 << 20;
const PAGE_LIMIT: Duration = Duration::from_secs(60);
const QUIET: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(120);
const SKEW_MS: u64 = 60_000;
