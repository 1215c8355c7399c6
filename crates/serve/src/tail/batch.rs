use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use jetwash::store::{Block, Run};
use jetwash::{Dictionary, Reader, Reading};

use crate::form::recoder::{Content, Form, Packing, Recoder};
use crate::websocket::{Opcode, write_frame};

/// Events that follow each other, and were all committed at about the same time: what subscribers
/// at the end of the log are given together.
#[derive(Debug)]
pub(crate) struct Batch {
    first_seq: u64,
    next_seq: u64,
    /// Empty if the subscribers have to read the log themselves.
    runs: Vec<Run>,
    messages: Mutex<Vec<(Form, SharedMessages)>>,
}

/// Made by the first who asks; `None` if they cannot be.
type SharedMessages = Arc<OnceLock<Option<Messages>>>;

/// All events of a batch as websocket messages, which are the same for all who want them all.
#[derive(Clone, Debug)]
pub(crate) struct Messages {
    pub(crate) bytes: Bytes,
    pub(crate) events: usize,
    /// The bytes of the events alone.
    pub(crate) payload: usize,
}

impl Batch {
    pub(crate) fn new(first_seq: u64, next_seq: u64, runs: Vec<Run>) -> Self {
        Self {
            first_seq,
            next_seq,
            runs,
            messages: Mutex::default(),
        }
    }

    /// The position after the last event.
    pub(crate) const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Whether it holds the event at `position`.
    pub(crate) fn covers(&self, position: u64) -> bool {
        (self.first_seq..self.next_seq).contains(&position) && !self.runs.is_empty()
    }

    /// Whether the event at `position` is its first.
    pub(crate) fn begins_at(&self, position: u64) -> bool {
        self.covers(position) && self.first_seq == position
    }

    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The time of the last event.
    pub(crate) fn last_time_us(&self) -> Option<u64> {
        self.runs.last()?.block().times().last().copied()
    }

    /// The events as messages of a form, made for the first who asks.
    pub(crate) fn messages(
        &self,
        form: Form,
        dictionary: Option<&Dictionary>,
        recoder: &Recoder,
    ) -> Option<Messages> {
        let shared = {
            let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
            match messages.iter().find(|(found, _)| *found == form) {
                Some((_, shared)) => Arc::clone(shared),
                None => {
                    let shared = SharedMessages::default();
                    messages.push((form, Arc::clone(&shared)));
                    shared
                }
            }
        };
        let make = || match form.packing {
            Packing::Batches(_) => self.make_batches(form.content, dictionary, recoder),
            Packing::Frames(_) | Packing::Plain => self.make_messages(form, dictionary, recoder),
        };
        shared.get_or_init(make).clone()
    }

    /// A message for each event.
    fn make_messages(
        &self,
        form: Form,
        dictionary: Option<&Dictionary>,
        recoder: &Recoder,
    ) -> Option<Messages> {
        let opcode = match (form.content, form.packing) {
            (Content::Json, Packing::Plain) => Opcode::Text,
            _ => Opcode::Binary,
        };
        let mut bytes = Vec::new();
        let (mut events, mut payload) = (0, 0);
        for run in &self.runs {
            let page = recoder.events(run.block(), form, dictionary).ok()?;
            for index in run.indexes() {
                let event = page.get(index)?;
                if event.is_empty() {
                    continue;
                }
                write_frame(opcode, event, &mut bytes);
                events += 1;
                payload += event.len();
            }
        }
        Some(Messages {
            bytes: bytes.into(),
            events,
            payload,
        })
    }

    /// A message for as many events as a frame may have.
    fn make_batches(
        &self,
        content: Content,
        dictionary: Option<&Dictionary>,
        recoder: &Recoder,
    ) -> Option<Messages> {
        let plain = Form {
            content,
            packing: Packing::Plain,
        };
        let page = |run: &Run| recoder.events(run.block(), plain, None).ok();
        let pages = self.runs.iter().map(page).collect::<Option<Vec<_>>>()?;
        let events = self
            .runs
            .iter()
            .zip(&pages)
            .flat_map(|(run, page)| run.indexes().filter_map(|index| page.get(index)));
        let batches = recoder.batches(content, events, dictionary).ok()?;
        let mut bytes = Vec::new();
        let mut payload = 0;
        for batch in batches.iter().filter(|batch| !batch.is_empty()) {
            write_frame(Opcode::Binary, batch, &mut bytes);
            payload += batch.len();
        }
        Some(Messages {
            bytes: bytes.into(),
            events: self.runs.iter().map(|run| run.indexes().len()).sum(),
            payload,
        })
    }
}

/// Waits for something new and goes on to the end of the log. Gives nothing if it is more than
/// subscribers should be given at once, or not in memory; `None` when the log has ended.
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

/// What one subscriber may have to keep of a batch that its socket does not take.
const MAX_BATCH_BYTES: usize = 64 << 10;
/// More than any batch has, with room to add to it.
const TOO_MANY: usize = usize::MAX / 2;
