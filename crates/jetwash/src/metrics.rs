use jetwash_event::{Operation, Tid};
use jetwash_frame::{FrameKind, Peek};
use metrics::{counter, gauge};

/// What the pipeline tells the `metrics` facade, under the names that Jetstream version 1 uses, so
/// that its dashboards go on working.
///
/// Counts are plain numbers here, and are handed over with each commit: the recorder is asked once
/// for hundreds of events. Labels come from fixed lists, never from what the network says: of
/// collections only those in [`COLLECTIONS`] are named.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    ops: [[u64; COLLECTIONS.len() + 1]; OPERATIONS.len()],
    events: u64,
    event_bytes: u64,
    /// The newest commit's revision, which says when it was made.
    rev: String,
}

/// What came from one source since the last commit.
#[derive(Debug, Default)]
pub(crate) struct SourceTally {
    frames: [u64; FRAMES.len()],
    last_seq: Option<u64>,
}

impl Tally {
    pub(crate) fn op(&mut self, operation: Operation, collection: &str) {
        let collection = COLLECTIONS.iter().position(|name| *name == collection);
        let row = OPERATIONS.iter().position(|listed| *listed == operation);
        let row = row.and_then(|row| self.ops.get_mut(row));
        if let Some(count) = row.and_then(|row| row.get_mut(collection.unwrap_or(OTHER))) {
            *count += 1;
        }
    }

    pub(crate) fn commit(&mut self, rev: &str) {
        self.rev.clear();
        self.rev.push_str(rev);
    }

    pub(crate) const fn event(&mut self, bytes: usize) {
        self.events += 1;
        self.event_bytes += bytes as u64;
    }

    /// Hands over what has been counted. Gives the age of the newest commit in microseconds.
    pub(crate) fn flush(&mut self, now_us: u64) -> Option<u64> {
        let Self {
            ops,
            events,
            event_bytes,
            rev,
        } = std::mem::take(self);
        let made = rev.parse::<Tid>().ok().map(|rev| rev.microseconds());
        let age = made.map(|made| now_us.saturating_sub(made));
        if let Some((made, age)) = made.zip(age) {
            gauge!("consumer_last_evt_created_at").set(made as f64 * 1e3);
            gauge!("consumer_last_evt_created_evt_processed_gap").set(age as f64 / 1e6);
        }
        for (operation, row) in OPERATIONS.iter().zip(ops) {
            let names = COLLECTIONS.iter().copied().chain(["other"]);
            for (collection, count) in names.zip(row).filter(|(_, count)| *count > 0) {
                let labels = [("kind", operation.as_str()), ("op_path", collection)];
                counter!("consumer_ops_processed_total", &labels).increment(count);
            }
        }
        if events > 0 {
            counter!("consumer_events_sequenced_total").increment(events);
            counter!("consumer_events_persisted_total").increment(events);
            counter!("jetstream_events_emitted_total").increment(events);
            counter!("jetstream_bytes_emitted_total").increment(event_bytes);
        }
        age
    }
}

impl SourceTally {
    pub(crate) fn frame(&mut self, peeked: &Peek<'_>) {
        let index = FRAMES.iter().position(|listed| *listed == peeked.kind);
        if let Some(count) = index.and_then(|index| self.frames.get_mut(index)) {
            *count += 1;
        }
        self.last_seq = peeked.seq.or(self.last_seq);
    }

    pub(crate) fn flush(&mut self, source: &str, now_us: u64) {
        let Self { frames, last_seq } = std::mem::take(self);
        for (kind, count) in FRAMES.iter().zip(frames).filter(|(_, count)| *count > 0) {
            let labels = [
                ("event_type", kind.as_str().to_owned()),
                ("socket_url", source.into()),
            ];
            counter!("consumer_events_processed_total", &labels).increment(count);
        }
        if let Some(seq) = last_seq {
            let label = [("socket_url", source.to_owned())];
            gauge!("consumer_last_seq", &label).set(seq as f64);
            gauge!("consumer_last_evt_processed_at", &label).set(now_us as f64 * 1e3);
        }
    }
}

/// The collections that are told apart; all others count as `other`.
const COLLECTIONS: [&str; 13] = [
    "app.bsky.feed.like",
    "app.bsky.feed.post",
    "app.bsky.feed.repost",
    "app.bsky.graph.follow",
    "app.bsky.graph.block",
    "app.bsky.graph.list",
    "app.bsky.graph.listitem",
    "app.bsky.graph.listblock",
    "app.bsky.actor.profile",
    "app.bsky.feed.threadgate",
    "app.bsky.feed.postgate",
    "app.bsky.feed.generator",
    "chat.bsky.actor.declaration",
];
const OTHER: usize = COLLECTIONS.len();

const OPERATIONS: [Operation; 3] = [Operation::Create, Operation::Update, Operation::Delete];

const FRAMES: [FrameKind; 7] = [
    FrameKind::Commit,
    FrameKind::Identity,
    FrameKind::Account,
    FrameKind::Sync,
    FrameKind::Info,
    FrameKind::Error,
    FrameKind::Unknown,
];
