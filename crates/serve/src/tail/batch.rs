use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jetwash::store::{Block, Run};
use jetwash::{Micros, Reader, Reading, Seq};

use crate::form::encoder::{Encoder, Sharing};
use crate::form::messages::Messages;

/// Events that follow each other and were committed at about the same time. Subscribers at the end
/// of the log get them together.
#[derive(Debug)]
pub(crate) struct Batch {
    first_seq: Seq,
    next_seq: Seq,
    /// Empty if the subscribers have to read the log themselves.
    runs: Vec<Run>,
    messages: Mutex<Vec<(Sharing, SharedMessages)>>,
}

/// Messages that the first who asks makes; `None` if that failed.
type SharedMessages = Arc<OnceLock<Option<Messages>>>;

impl Batch {
    pub(crate) fn new(first_seq: Seq, next_seq: Seq, runs: Vec<Run>) -> Self {
        debug_assert!(first_seq <= next_seq, "the log only grows");
        Self {
            first_seq,
            next_seq,
            runs,
            messages: Mutex::default(),
        }
    }

    /// The position of the first event.
    pub(crate) const fn first_seq(&self) -> Seq {
        self.first_seq
    }

    /// The position after the last event.
    pub(crate) const fn next_seq(&self) -> Seq {
        self.next_seq
    }

    /// Whether it holds the event at `seq`.
    pub(crate) fn covers(&self, seq: Seq) -> bool {
        (self.first_seq..self.next_seq).contains(&seq) && !self.runs.is_empty()
    }

    /// Whether the event at `seq` is its first.
    pub(crate) fn begins_at(&self, seq: Seq) -> bool {
        self.covers(seq) && self.first_seq == seq
    }

    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The time of the last event.
    pub(crate) fn last_time_us(&self) -> Option<Micros> {
        self.runs.last()?.block().times().last().copied()
    }

    /// All events as messages for the subscriber that has `encoder`; `None` if it shares its
    /// messages with no other, or they cannot be made.
    pub(crate) fn messages(&self, encoder: &Encoder) -> Option<Messages> {
        let sharing = encoder.sharing()?;
        let shared = {
            let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
            match messages.iter().find(|(found, _)| *found == sharing) {
                Some((_, shared)) => Arc::clone(shared),
                None => {
                    let shared = SharedMessages::default();
                    messages.push((sharing, Arc::clone(&shared)));
                    shared
                }
            }
        };
        // Outside the lock: shards that want other formats do not wait for this one.
        let make = || encoder.shared_messages(&self.runs);
        shared.get_or_init(make).clone()
    }
}

/// Waits for something new and reads on to the end of the log. Returns no runs if they are more
/// than subscribers should get at once, or not in memory; `None` when the log has ended.
pub(crate) async fn gather(reader: &mut Reader) -> Option<Vec<Run>> {
    let (mut runs, mut bytes) = (Vec::new(), 0);
    loop {
        match reader.next().await? {
            Ok(Reading::Events(run)) => {
                bytes += ready_bytes(run.block()).unwrap_or(TOO_MANY);
                runs.push(run);
            }
            // Each subscriber finds out for itself.
            Ok(_) | Err(_) => bytes = TOO_MANY,
        }
        if bytes > MAX_BATCH_BYTES {
            (runs, bytes) = (Vec::new(), TOO_MANY);
        }
        if reader.is_at_tip() {
            return Some(runs);
        }
    }
}

/// The size of a block's events, if they are in memory in every form.
fn ready_bytes(block: &Block) -> Option<usize> {
    let is_ready = block.has_json() && block.has_compressed();
    is_ready.then(|| Some(block.json().ok()?.bytes().len()))?
}

/// The most that a subscriber may have to keep of a batch that its socket does not take.
const MAX_BATCH_BYTES: usize = 64 << 10;
/// More than any batch has, with room to add to it.
const TOO_MANY: usize = usize::MAX / 2;
