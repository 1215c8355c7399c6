use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::options::ServeOptions;
use crate::subscriber::addresses::Share;
use crate::subscriber::bucket::Bucket;

/// The bytes that a subscriber may send. Those that come too early are left in its socket.
#[derive(Debug)]
pub(crate) struct Allowance {
    own: Bucket,
    share: Option<Arc<Share>>,
    options: Arc<ServeOptions>,
}

impl Allowance {
    pub(crate) fn new(options: Arc<ServeOptions>, share: Option<Arc<Share>>) -> Self {
        Self {
            own: Bucket::full(options.max_message_bytes as f64, Instant::now()),
            share,
            options,
        }
    }

    /// Notes bytes and messages that have arrived. Returns how long to wait before reading more.
    pub(crate) fn take(&mut self, bytes: usize, messages: usize, now: Instant) -> Duration {
        let cost = bytes.saturating_add(messages.saturating_mul(MESSAGE)) as f64;
        let rate = f64::from(self.options.max_received_bytes.max(1));
        let own = self.own.take(cost, rate, now);
        let others = self.share.as_ref();
        own.max(others.map_or(Duration::ZERO, |share| share.receive(cost, rate, now)))
    }
}

/// The cost of a message besides its bytes.
const MESSAGE: usize = 256;
