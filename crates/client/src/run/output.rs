use tokio::sync::mpsc;

use crate::error::ClientError;
use crate::item::ClientItem;

/// Items that are handed over together, or the error that ends the stream.
pub(crate) type Batch = Result<Vec<ClientItem>, ClientError>;

/// Hands items over in batches. Their number is bounded: the socket is not read while the reader
/// does not take them.
pub(crate) struct Output {
    sender: mpsc::Sender<Batch>,
    items: Vec<ClientItem>,
    bytes: usize,
}

/// The reader is gone.
#[derive(Debug)]
pub(super) struct Stopped;

impl Output {
    /// Makes an output, and the end that is read from.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Batch>) {
        let (sender, receiver) = mpsc::channel(MAX_BATCHES);
        let output = Self {
            sender,
            items: Vec::new(),
            bytes: 0,
        };
        (output, receiver)
    }

    pub(super) fn push(&mut self, item: ClientItem) {
        if let ClientItem::Event(event) = &item {
            self.bytes += event.text().len();
        }
        self.items.push(item);
    }

    /// Whether it is time to hand over.
    pub(super) const fn is_full(&self) -> bool {
        self.items.len() >= MAX_ITEMS || self.bytes >= MAX_BYTES
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Hands over the items, and waits until there is room for them.
    pub(super) async fn flush(&mut self) -> Result<(), Stopped> {
        if self.items.is_empty() {
            return Ok(());
        }
        let items = std::mem::take(&mut self.items);
        self.bytes = 0;
        self.sender.send(Ok(items)).await.map_err(|_| Stopped)
    }

    /// Ends the stream with an error.
    pub(super) async fn fail(mut self, error: ClientError) {
        if self.flush().await.is_ok() {
            let _ = self.sender.send(Err(error)).await;
        }
    }

    /// Returns what waits until the reader is gone.
    pub(super) fn closed(&self) -> impl Future<Output = ()> + use<> {
        let sender = self.sender.clone();
        async move { sender.closed().await }
    }
}

const MAX_BATCHES: usize = 4;
const MAX_ITEMS: usize = 256;
const MAX_BYTES: usize = 256 << 10;
