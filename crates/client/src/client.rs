use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::vec;

use futures_core::Stream;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::builder::ClientBuilder;
use crate::cursor::UpstreamCursor;
use crate::error::{ClientBuildError, ClientError};
use crate::filter::ClientFilter;
use crate::item::ClientItem;
use crate::run::{Batch, Output, Runner};
use crate::snapshot::{ClientSnapshot, Counters};

/// The stream of events of a Jetstream server, over any number of connections.
///
/// It ends only with an error that another attempt would repeat. A task connects, reads, decodes
/// and reconnects; it reads ahead by a bounded number of events, and ends when the client is
/// dropped.
///
/// # Examples
///
/// ```no_run
/// use jetwash_client::{Client, ClientItem};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut client = Client::builder(["jetstream2.us-east.bsky.network"]).build()?;
/// while let Some(item) = client.next().await {
///     match item? {
///         ClientItem::Event(event) => println!("{} {}", event.kind(), event.did()),
///         ClientItem::Gap(gap) => eprintln!("events are missing: {}", gap.cause),
///         _ => {}
///     }
/// }
/// # Ok(()) }
/// ```
pub struct Client {
    batches: mpsc::Receiver<Batch>,
    batch: vec::IntoIter<ClientItem>,
    handle: ClientHandle,
    cursor: Option<UpstreamCursor>,
    host: Arc<str>,
}

impl Client {
    /// Sets up a client of these hosts: names, or URLs with or without a path.
    ///
    /// The first is connected to, and the next when that one fails.
    pub fn builder<T: Into<String>>(hosts: impl IntoIterator<Item = T>) -> ClientBuilder {
        ClientBuilder::new(hosts.into_iter().map(Into::into).collect())
    }

    pub(crate) fn new(
        batches: mpsc::Receiver<Batch>,
        filters: watch::Sender<Arc<ClientFilter>>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            batches,
            batch: Vec::new().into_iter(),
            handle: ClientHandle {
                filters: Arc::new(filters),
                counters,
            },
            cursor: None,
            host: "".into(),
        }
    }

    /// Waits for the next item; `None` after an error.
    ///
    /// It may be dropped and called again: no item is lost.
    pub async fn next(&mut self) -> Option<Result<ClientItem, ClientError>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Returns the cursor of the last event that was returned, `None` if there was none. A program
    /// that stores it once the event is handled continues after it.
    #[must_use]
    pub fn cursor(&self) -> Option<UpstreamCursor> {
        self.cursor.clone()
    }

    /// Returns a handle to change the filter and to read the counters.
    #[must_use]
    pub fn handle(&self) -> ClientHandle {
        self.handle.clone()
    }

    /// Returns the counters.
    #[must_use]
    pub fn snapshot(&self) -> ClientSnapshot {
        self.handle.snapshot()
    }

    fn note(&mut self, item: &ClientItem) {
        match item {
            ClientItem::Event(event) => {
                let host = Arc::clone(&self.host);
                self.cursor = Some(UpstreamCursor::new(host, event.time(), event.seq()));
            }
            ClientItem::Connected(connected) => self.host = Arc::clone(&connected.host),
            _ => {}
        }
    }
}

impl ClientBuilder {
    /// Starts the client, as a task of the current Tokio runtime.
    ///
    /// # Errors
    ///
    /// When a setting is not usable, or there is no runtime.
    pub fn build(self) -> Result<Client, ClientBuildError> {
        let (settings, filter) = self.prepare()?;
        let runtime = Handle::try_current().map_err(|_| ClientBuildError::NoRuntime)?;
        let counters = Arc::new(Counters::default());
        let (filters, changes) = watch::channel(Arc::new(filter));
        let (output, batches) = Output::new();
        let runner = Runner::new(settings, changes, output, Arc::clone(&counters));
        runtime.spawn(runner.run());
        Ok(Client::new(batches, filters, counters))
    }
}

impl Stream for Client {
    type Item = Result<ClientItem, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(item) = self.batch.next() {
                self.note(&item);
                return Poll::Ready(Some(Ok(item)));
            }
            match ready!(self.batches.poll_recv(context)) {
                Some(Ok(items)) => self.batch = items.into_iter(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

/// Changes the filter of a [`Client`] and reads its counters, from any part of a program.
///
/// # Examples
///
/// ```no_run
/// use jetwash_client::{Client, ClientFilter};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder(["jetstream.example"]).build()?;
/// let handle = client.handle();
/// handle.set_filter(ClientFilter::new().dids(["did:plc:ewvi7nxzyoun6zhxrhs64oiz"])?);
/// println!("{} events delivered", handle.snapshot().delivered);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ClientHandle {
    filters: Arc<watch::Sender<Arc<ClientFilter>>>,
    counters: Arc<Counters>,
}

impl ClientHandle {
    /// Replaces the filter. The events that the client has read ahead were judged by the old one.
    ///
    /// Version 1 is told over the open connection, version 2 over another one. Neither asks for
    /// past events again.
    pub fn set_filter(&self, filter: ClientFilter) {
        self.filters.send_replace(Arc::new(filter));
    }

    /// Returns the filter that was set last.
    #[must_use]
    pub fn filter(&self) -> Arc<ClientFilter> {
        Arc::clone(&self.filters.borrow())
    }

    /// Returns the counters.
    #[must_use]
    pub fn snapshot(&self) -> ClientSnapshot {
        self.counters.snapshot()
    }
}
