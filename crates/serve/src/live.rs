use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use jetwash::store::{Block, Run};
use jetwash::{Dictionary, Jetstream, ReadError, Reader, StartFrom};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::recoded::{Content, Form, Packing, Recoder};
use crate::websocket::{Opcode, write_frame};

/// The end of the log as all subscribers see it.
///
/// One task follows the log for all of them, for as long as there are any. It gathers what is
/// committed within a short time into a [`Batch`], so that a subscriber is woken once for several
/// events, writes them with one call, and needs neither the log's locks nor a timer of its own.
#[derive(Debug)]
pub(crate) struct Live {
    batches: Mutex<Weak<watch::Sender<Arc<Batch>>>>,
    /// How long events are gathered at most.
    max_delay: Duration,
    /// How much longer for each subscriber.
    delay_each: Duration,
}

/// Events that follow each other, and were all committed at about the same time.
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

impl Live {
    /// Events reach a few subscribers at once, and many within `max_delay`.
    pub(crate) fn new(max_delay: Duration) -> Self {
        Self {
            batches: Mutex::default(),
            max_delay,
            delay_each: DELAY_EACH,
        }
    }

    /// Events are gathered for `delay`, however few subscribers there are.
    pub(crate) fn gathering(delay: Duration) -> Self {
        Self {
            batches: Mutex::default(),
            max_delay: delay,
            delay_each: delay,
        }
    }

    /// The newest batch, and those to come. They stop when the log ends.
    pub(crate) async fn subscribe(
        self: &Arc<Self>,
        jetstream: &Jetstream,
    ) -> Result<watch::Receiver<Arc<Batch>>, ReadError> {
        if let Some(batches) = self.lock().upgrade() {
            return Ok(batches.subscribe());
        }
        let reader = jetstream.reader(StartFrom::Live).await?;
        let mut running = self.lock();
        // Another may have come first.
        if let Some(batches) = running.upgrade() {
            return Ok(batches.subscribe());
        }
        let start = Batch::new(reader.position(), reader.position(), Vec::new());
        let (batches, receiver) = watch::channel(Arc::new(start));
        let batches = Arc::new(batches);
        *running = Arc::downgrade(&batches);
        tokio::spawn(Arc::clone(self).follow(reader, batches));
        Ok(receiver)
    }

    /// Announces what is new in the log, until it ends or nobody listens.
    async fn follow(self: Arc<Self>, mut reader: Reader, batches: Arc<watch::Sender<Arc<Batch>>>) {
        let mut due = Instant::now();
        loop {
            let first_seq = reader.position();
            let gathered = tokio::select! {
                () = batches.closed() => {
                    let mut running = self.lock();
                    if batches.receiver_count() == 0 {
                        // Whoever comes now begins anew.
                        *running = Weak::new();
                        return;
                    }
                    continue;
                }
                gathered = async {
                    sleep_until(due).await;
                    gather(&mut reader).await
                } => gathered,
            };
            let Some(runs) = gathered else { return };
            let subscribers = u32::try_from(batches.receiver_count()).unwrap_or(u32::MAX);
            due = Instant::now()
                + self
                    .max_delay
                    .min(self.delay_each.saturating_mul(subscribers));
            let batch = Batch::new(first_seq, reader.position(), runs);
            batches.send_replace(Arc::new(batch));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Weak<watch::Sender<Arc<Batch>>>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    fn new(first_seq: u64, next_seq: u64, runs: Vec<Run>) -> Self {
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

    /// Whether it begins with the event at `position`.
    pub(crate) fn begins_at(&self, position: u64) -> bool {
        self.first_seq == position
    }

    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
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
async fn gather(reader: &mut Reader) -> Option<Vec<Run>> {
    let (mut runs, mut bytes) = (Vec::new(), 0);
    loop {
        match reader.next().await? {
            Ok(run) => {
                bytes += ready_bytes(run.block()).unwrap_or(usize::MAX / 2);
                runs.push(run);
            }
            // Each subscriber finds out for itself.
            Err(_) => bytes = usize::MAX / 2,
        }
        if bytes > MAX_BATCH_BYTES {
            runs.clear();
        }
        if reader.is_at_tip() {
            return Some(if bytes > MAX_BATCH_BYTES {
                Vec::new()
            } else {
                runs
            });
        }
    }
}

/// The size of a block's events, if they are in memory in every form.
fn ready_bytes(block: &Block) -> Option<usize> {
    let is_ready = block.has_json() && block.has_frames();
    is_ready.then(|| Some(block.json().ok()?.bytes().len()))?
}

/// How much longer batches are gathered for each subscriber.
///
/// A few get events as soon as they are committed. For many, to wake each and call the kernel for
/// it, which takes some microseconds however little there is to send, has to be worth it: with
/// this share it takes less than half of one core.
const DELAY_EACH: Duration = Duration::from_micros(10);
/// What one subscriber may have to keep of a batch that its socket does not take.
const MAX_BATCH_BYTES: usize = 64 << 10;
