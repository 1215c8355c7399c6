use std::time::Duration;

use jetwash_event::{Micros, Operation, Tid};
use jetwash_frame::{FrameKind, Peek};
use metrics::{counter, gauge};

/// Counts for the `metrics` facade, under the names of Jetstream version 1, so that its dashboards
/// continue working.
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
    delays: Delays,
}

/// How old the latest commits were when they came. Anyone can sign a commit that
/// claims to be of 2018 or 2046, so one says nothing: the median of them does.
#[derive(Debug, Default)]
struct Delays {
    ages: [Duration; 31],
    len: usize,
    next: usize,
}

impl Delays {
    /// Notes when a commit says that it was made, as far as that can be.
    fn note(&mut self, made: Micros, now: Micros) {
        if made > now.plus(FUTURE) {
            return;
        }
        let age = now.since(made).min(PAST);
        if let Some(place) = self.ages.get_mut(self.next) {
            *place = age;
        }
        self.next = (self.next + 1) % self.ages.len();
        self.len = self.ages.len().min(self.len + 1);
    }

    fn median(&self) -> Option<Duration> {
        let mut ages = self.ages;
        let ages = ages.get_mut(..self.len)?;
        ages.sort_unstable();
        ages.get(ages.len().saturating_sub(1) / 2).copied()
    }
}

/// No clock is so wrong, and no relay replays so much.
const FUTURE: Duration = Duration::from_secs(10 * 60);
const PAST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Counts the frames of one source since the last commit.
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

    /// Counts events that were taken over with their positions.
    pub(crate) const fn mirrored(&mut self, events: u64, bytes: u64) {
        self.events += events;
        self.event_bytes += bytes;
    }

    /// Hands over what has been counted. Returns the age of new commits if there were any.
    pub(crate) fn flush(&mut self, now_us: Micros) -> Option<Duration> {
        let made = self.rev.parse::<Tid>().ok().map(|rev| rev.time());
        self.rev.clear();
        // Anyone can sign a commit of any date, so the gauges show the median of the latest.
        let age = made.and_then(|made| {
            self.delays.note(made, now_us);
            self.delays.median()
        });
        let ops = std::mem::take(&mut self.ops);
        let events = std::mem::take(&mut self.events);
        let event_bytes = std::mem::take(&mut self.event_bytes);
        if let Some(age) = age {
            let made = now_us.minus(age);
            gauge!("consumer_last_evt_created_at").set(made.get() as f64 * 1e3);
            gauge!("consumer_last_evt_created_evt_processed_gap").set(age.as_secs_f64());
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
        self.message(peeked.kind, peeked.seq);
    }

    /// Counts a message of this kind, which had this number if it had one.
    pub(crate) fn message(&mut self, kind: FrameKind, seq: Option<u64>) {
        let index = FRAMES.iter().position(|listed| *listed == kind);
        if let Some(count) = index.and_then(|index| self.frames.get_mut(index)) {
            *count += 1;
        }
        self.last_seq = seq.or(self.last_seq);
    }

    pub(crate) fn flush(&mut self, source: &str, now_us: Micros) {
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
            gauge!("consumer_last_evt_processed_at", &label).set(now_us.get() as f64 * 1e3);
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_783_175_888_000_000;

    const SHORT: Duration = Duration::from_millis(700);

    /// A TID of that time, as the specification makes it.
    fn rev(made_us: u64) -> String {
        let digits = b"234567abcdefghijklmnopqrstuvwxyz";
        let bits = made_us << 10;
        let digit = |index: u32| digits[(bits >> (60 - 5 * index)) as usize % 32];
        (0..13).map(|index| char::from(digit(index))).collect()
    }

    #[test]
    fn the_delay_is_not_that_of_a_record_that_claims_2018_or_2046() {
        let mut tally = Tally::default();
        let year = 365 * 24 * 3600 * 1_000_000;
        let mut flush = |made_us| {
            tally.commit(&rev(made_us));
            tally.flush(Micros::new(NOW))
        };
        assert_eq!(flush(NOW + 20 * year), None);
        for _ in 0..5 {
            assert_eq!(flush(NOW - 700_000), Some(SHORT));
            assert_eq!(flush(NOW - 700_000), Some(SHORT));
            assert_eq!(flush(NOW - 8 * year), Some(SHORT));
            assert_eq!(flush(NOW + 20 * year), Some(SHORT));
        }
        // A lie that could be true says nothing as long as it is one of a few.
        assert_eq!(flush(NOW - 3600 * 1_000_000), Some(SHORT));
        assert_eq!(flush(NOW + 1_000_000), Some(SHORT));
        assert_eq!(tally.flush(Micros::new(NOW)), None);
    }

    #[test]
    fn the_delay_follows_what_most_commits_say() {
        let mut tally = Tally::default();
        for _ in 0..100 {
            tally.commit(&rev(NOW - 700_000));
            tally.flush(Micros::new(NOW));
        }
        for _ in 0..16 {
            tally.commit(&rev(NOW - 9_000_000));
            tally.flush(Micros::new(NOW));
        }
        tally.commit(&rev(NOW - 9_000_000));
        assert_eq!(tally.flush(Micros::new(NOW)), Some(Duration::from_secs(9)));
    }
}
