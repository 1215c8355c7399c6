use std::collections::BTreeMap;
use std::time::Duration;

use jetwash::{Behind, ConsumerStatus, Jetstream};
use serde::Serialize;
use tokio::time::Instant;

use crate::page::numbers::{cut, seconds};

/// A consumer as the page shows it.
#[derive(Debug, Serialize)]
pub(crate) struct ConsumerView {
    name: String,
    running: bool,
    /// Up to here everything is done; `null` before it has started.
    cursor: Option<u64>,
    stored: Option<u64>,
    handled: u64,
    failed: u64,
    panicked: u64,
    skipped: u64,
    lost: u64,
    gaps: u64,
    at_hand: usize,
    at_hand_bytes: usize,
    in_progress: usize,
    window_full: bool,
    held_by: Option<HeldView>,
    stuck: Vec<StuckView>,
    /// How many more are stuck than are listed.
    more_stuck: usize,
    lag: LagView,
    dead_letters: LettersView,
}

#[derive(Debug, Serialize)]
struct HeldView {
    seq: u64,
    did: String,
}

#[derive(Debug, Serialize)]
struct StuckView {
    seq: u64,
    did: String,
    for_s: f64,
    attempt: u32,
}

#[derive(Debug, Serialize)]
struct LagView {
    upstream_s: f64,
    decode: BehindView,
    handler: BehindView,
}

#[derive(Debug, Serialize)]
struct BehindView {
    s: f64,
    events: u64,
    bytes: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct LettersView {
    /// Put aside since the start.
    new: u64,
    /// In the store; `null` if that cannot be read.
    held: Option<u64>,
    bytes: Option<u64>,
}

/// How many dead letters there are, as it was last looked up: that reads the disk.
#[derive(Default)]
pub(crate) struct Letters {
    looked_up: Option<Instant>,
    held: BTreeMap<String, LettersView>,
}

/// The consumers that are listed, and how many there are.
#[derive(Debug, Default)]
pub(crate) struct ConsumerViews {
    pub(crate) count: usize,
    pub(crate) listed: Vec<ConsumerView>,
}

impl Letters {
    /// Looks at the consumers, up to 100 of them.
    pub(crate) async fn views(&mut self, jetstream: &Jetstream) -> ConsumerViews {
        let mut handles = jetstream.consumers();
        let count = handles.len();
        handles.truncate(MOST_LISTED);
        let statuses: Vec<_> = handles.iter().map(|handle| handle.status()).collect();
        let now = Instant::now();
        if self.looked_up.is_none_or(|last| now - last > LETTERS_EVERY) {
            self.looked_up = Some(now);
            self.held.clear();
            for status in &statuses {
                self.look_up(jetstream, &status.name).await;
            }
        }
        let view = |status: ConsumerStatus| {
            let letters = self.held.get(&status.name).copied().unwrap_or_default();
            ConsumerView::new(status, letters)
        };
        ConsumerViews {
            count,
            listed: statuses.into_iter().map(view).collect(),
        }
    }

    async fn look_up(&mut self, jetstream: &Jetstream, name: &str) {
        let held = jetstream.dead_letters(name).held().await.ok();
        let view = LettersView {
            new: 0,
            held: held.map(|held| held.letters),
            bytes: held.map(|held| held.bytes),
        };
        self.held.insert(name.to_owned(), view);
    }
}

impl ConsumerView {
    fn new(status: ConsumerStatus, letters: LettersView) -> Self {
        let stuck = status.stuck.iter().take(MOST_STUCK).map(|stuck| StuckView {
            seq: stuck.seq.get(),
            did: cut(&stuck.did),
            for_s: seconds(stuck.since),
            attempt: stuck.attempt,
        });
        Self {
            running: status.running,
            cursor: status.cursor.map(|cursor| cursor.get()),
            stored: status.stored.map(|cursor| cursor.get()),
            handled: status.handled,
            failed: status.failed,
            panicked: status.panicked,
            skipped: status.skipped,
            lost: status.lost,
            gaps: status.gaps,
            at_hand: status.at_hand,
            at_hand_bytes: status.at_hand_bytes,
            in_progress: status.in_progress,
            window_full: status.window_full,
            held_by: status.held_by.map(|held| HeldView {
                seq: held.seq.get(),
                did: cut(&held.did),
            }),
            stuck: stuck.collect(),
            more_stuck: status.stuck.len().saturating_sub(MOST_STUCK),
            lag: LagView {
                upstream_s: seconds(status.lag.upstream),
                decode: status.lag.decode.into(),
                handler: status.lag.handler.into(),
            },
            dead_letters: LettersView {
                new: status.dead_lettered,
                ..letters
            },
            name: status.name,
        }
    }
}

impl From<Behind> for BehindView {
    fn from(behind: Behind) -> Self {
        Self {
            s: seconds(behind.time),
            events: behind.events,
            bytes: behind.bytes,
        }
    }
}

const MOST_LISTED: usize = 100;
const MOST_STUCK: usize = 10;
const LETTERS_EVERY: Duration = Duration::from_secs(10);
