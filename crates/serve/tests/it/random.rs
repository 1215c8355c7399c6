//! Random subscribers against the log, filtered by hand.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::TestCaseError;
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite::Message;

use crate::client::Client;
use crate::log::{Entry, World, lines};
use crate::modes::Lines;

/// The wishes of a subscriber; the accounts by their number.
#[derive(Clone, Debug)]
struct Wanted {
    collections: Vec<&'static str>,
    dids: Vec<usize>,
    size: usize,
}

impl Wanted {
    const ALL: Self = Self {
        collections: Vec::new(),
        dids: Vec::new(),
        size: 0,
    };

    fn query(&self, dids: &[String]) -> String {
        let mut query = format!("&maxMessageSizeBytes={}", self.size);
        for collection in &self.collections {
            query += &format!("&wantedCollections={collection}");
        }
        for &did in &self.dids {
            query += &format!("&wantedDids={}", dids[did]);
        }
        query
    }

    fn payload(&self, dids: &[String]) -> String {
        let dids: Vec<_> = self.dids.iter().map(|&did| &dids[did]).collect();
        serde_json::json!({
            "wantedCollections": self.collections,
            "wantedDids": dids,
            "maxMessageSizeBytes": self.size,
        })
        .to_string()
    }

    /// The rules of Jetstream in the plainest way.
    fn lets_pass(&self, dids: &[String], entry: &Entry) -> bool {
        let is_collection = |wanted: &&str| match wanted.strip_suffix('*') {
            Some(start) => entry.collection.starts_with(start),
            None => entry.collection == *wanted,
        };
        let collections = &self.collections;
        (collections.is_empty() || !entry.is_commit() || collections.iter().any(is_collection))
            && (self.dids.is_empty() || self.dids.iter().any(|&did| dids[did] == entry.did))
            && (self.size == 0 || entry.json.len() <= self.size)
    }
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let collections = subsequence(
        vec![
            "app.bsky.feed.post",
            "app.bsky.feed.like",
            "app.bsky.graph.*",
            "app.bsky.feed.*",
            "com.whtwnd.blog.entry",
            "test.*",
        ],
        0..=3,
    );
    let dids = subsequence((0..10).collect::<Vec<_>>(), 0..=4);
    let size = select(vec![0, 0, 0, 300, 500]);
    (collections, dids, size).prop_map(|(collections, dids, size)| Wanted {
        collections,
        dids,
        size,
    })
}

/// Where the first connection starts.
#[derive(Clone, Copy, Debug)]
enum Start {
    Oldest,
    Before,
    /// At an event, by its share of the log, and this many microseconds later.
    At(f64, i64),
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        Just(Start::Oldest),
        Just(Start::Before),
        (0.0..1.0, -2..3_i64).prop_map(|(share, offset)| Start::At(share, offset)),
    ]
}

impl Start {
    fn cursor(self, log: &[Entry]) -> i64 {
        match self {
            Self::Oldest => 0,
            Self::Before => log[0].time_us as i64 - 5_000_000,
            Self::At(share, offset) => {
                log[(share * log.len() as f64) as usize].time_us as i64 + offset
            }
        }
    }
}

/// The subscriber's action after it has read this many events.
#[derive(Clone, Debug)]
enum Action {
    /// Goes away without a word, and comes back at the last event that it has seen.
    Drop,
    /// The same, with a proper close.
    Close,
    Update(Wanted),
}

fn steps() -> impl Strategy<Value = Vec<(usize, Action)>> {
    let action = prop_oneof![
        Just(Action::Drop),
        Just(Action::Close),
        wanted().prop_map(Action::Update)
    ];
    vec((0..60_usize, action), 0..6)
}

/// The messages that one connection saw.
#[derive(Clone, Debug)]
struct Transcript {
    cursor: i64,
    wanted: Wanted,
    events: Vec<Entry>,
    /// New wishes, with how many events had been read when they were sent and when they were
    /// known to be in force.
    updates: Vec<(Wanted, usize, usize)>,
    /// Whether it was read to the end of the log.
    is_whole: bool,
}

impl Transcript {
    const fn new(cursor: i64, wanted: Wanted) -> Self {
        Self {
            cursor,
            wanted,
            events: Vec::new(),
            updates: Vec::new(),
            is_whole: false,
        }
    }

    /// Whether the events are those of the log, each once, in order, none left out: those that the
    /// wishes in force let pass, where each change may have been at any place that the subscriber
    /// cannot tell from where it was.
    fn check(&self, dids: &[String], log: &[Entry]) -> Result<(), TestCaseError> {
        // For each number of changes so far, how many events may have been read: a set, as a
        // change that alters nothing yet can be anywhere.
        let mut reached = vec![vec![false; self.events.len() + 1]; self.updates.len() + 1];
        reached[0][0] = true;
        let mut longest = 0;
        for entry in log
            .iter()
            .filter(|entry| entry.time_us as i64 >= self.cursor)
        {
            self.change(&mut reached);
            let mut next = vec![vec![false; self.events.len() + 1]; self.updates.len() + 1];
            for (changes, row) in reached.iter().enumerate() {
                let wanted = changes
                    .checked_sub(1)
                    .map_or(&self.wanted, |last| &self.updates[last].0);
                let passes = wanted.lets_pass(dids, entry);
                for read in (0..row.len()).filter(|&read| row[read]) {
                    if !passes {
                        next[changes][read] = true;
                    } else if self
                        .events
                        .get(read)
                        .is_some_and(|seen| seen.json == entry.json)
                    {
                        next[changes][read + 1] = true;
                        longest = longest.max(read + 1);
                    } else if read == self.events.len() && !self.is_whole {
                        return Ok(());
                    }
                }
            }
            reached = next;
        }
        self.change(&mut reached);
        let is_end = reached[self.updates.len()][self.events.len()];
        prop_assert!(
            is_end,
            "follows the log for {longest} of {} events",
            self.events.len()
        );
        Ok(())
    }

    fn change(&self, reached: &mut [Vec<bool>]) {
        for (index, &(_, sent, known)) in self.updates.iter().enumerate() {
            let (before, after) = reached.split_at_mut(index + 1);
            let places = before[index].iter().zip(&mut after[0]);
            for (before, after) in places.take(known + 1).skip(sent) {
                *after |= before;
            }
        }
    }
}

/// Follows the steps, and then reads to the end.
async fn subscriber(
    world: &World,
    start: Start,
    mut wanted: Wanted,
    steps: Vec<(usize, Action)>,
    written: tokio::sync::oneshot::Receiver<()>,
) -> Vec<Transcript> {
    let log = world.log();
    let mut done = Vec::new();
    let mut now = Transcript::new(start.cursor(&log), wanted.clone());
    let mut client = connect(world, &now).await;
    let newest = log.last().unwrap().time_us;
    // What came before the wishes in force may have been passed by under others.
    let mut since = 0;
    for (count, action) in steps {
        // It must not wait for what may never come: what is in the log now is certain.
        let log = world.log();
        let certain = log.iter().filter(|entry| {
            entry.time_us as i64 >= now.cursor
                && entry.time_us > since
                && now
                    .events
                    .last()
                    .is_none_or(|last| last.time_us < entry.time_us)
                && wanted.lets_pass(&world.dids, entry)
        });
        for _ in 0..certain.count().min(count) {
            now.events.push(Entry::parse(client.text().await));
        }
        match action {
            Action::Update(new) => {
                let sent = now.events.len();
                update(&mut client, &new, world, &mut now).await;
                let known = now.events.len();
                now.updates.push((new.clone(), sent, known));
                since = world.log().last().unwrap().time_us;
                wanted = new;
            }
            leave => {
                if matches!(leave, Action::Close) {
                    client.close().await;
                }
                since = 0;
                let last = now.events.last().map(|last| last.time_us as i64);
                let next = Transcript::new(last.unwrap_or(now.cursor), wanted.clone());
                done.push(std::mem::replace(&mut now, next));
                client = connect(world, &now).await;
            }
        }
    }
    // When everything has been written, one more event that is wanted for certain is the end.
    written.await.unwrap();
    let sent = now.events.len();
    update(&mut client, &Wanted::ALL, world, &mut now).await;
    let known = now.events.len();
    now.updates.push((Wanted::ALL, sent, known));
    while world.log().last().unwrap().time_us == newest {
        world.push(1).await;
    }
    world.push(3).await;
    let end = world.log().last().unwrap().time_us;
    while now.events.last().is_none_or(|last| last.time_us < end) {
        now.events.push(Entry::parse(client.text().await));
    }
    now.is_whole = true;
    done.push(now);
    done
}

async fn connect(world: &World, transcript: &Transcript) -> Client {
    let wanted = transcript.wanted.query(&world.dids);
    let query = format!("cursor={}{wanted}", transcript.cursor);
    world.connect(&query).await
}

/// Sends new wishes and reads until they are in force.
async fn update(client: &mut Client, wanted: &Wanted, world: &World, transcript: &mut Transcript) {
    client.update(&wanted.payload(&world.dids)).await;
    client.settle().await;
    for message in client.take_early() {
        let Message::Text(text) = message else {
            panic!("not text: {message:?}");
        };
        transcript
            .events
            .push(Entry::parse(text.as_str().to_owned()));
    }
}

fn run(test: impl Future<Output = Result<(), TestCaseError>>) -> Result<(), TestCaseError> {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        max_shrink_iters: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_subscriber_sees_what_the_log_has_whatever_it_does(
        start in start(),
        wanted in wanted(),
        steps in steps(),
        before in 1..120_usize,
        later in vec(1..40_usize, 0..6),
    ) {
        run(async {
            let world = World::with(before).await;
            let (done, written) = tokio::sync::oneshot::channel();
            let writer = async {
                for frames in later {
                    world.push(frames).await;
                }
                done.send(()).unwrap();
            };
            let reader = subscriber(&world, start, wanted, steps, written);
            let ((), transcripts) = tokio::join!(writer, reader);
            let log = world.log();
            for transcript in &transcripts {
                transcript.check(&world.dids, &log)?;
            }
            Ok(())
        })?;
    }

    #[test]
    fn connections_one_after_another_give_the_filtered_log_and_nothing_else(
        start in start(),
        wanted in wanted(),
        leave in vec(0..80_usize, 0..8),
        later in vec(1..40_usize, 1..6),
        mode in select(vec!["no", "true", "batch", "stream"]),
    ) {
        // The size of a message is another when it is compressed.
        let size = if mode == "true" || mode == "batch" { 0 } else { wanted.size };
        let wanted = Wanted { size, ..wanted };
        run(async {
            let world = World::with(100).await;
            let log = world.log();
            let cursor = start.cursor(&log);
            // Until the last write is done, the reader takes what is certain to come.
            let (done, mut written) = tokio::sync::watch::channel(());
            let writer = async {
                for frames in later {
                    world.push(frames).await;
                }
                done.send_replace(());
            };
            let reader = async {
                let mut seen: Vec<Entry> = Vec::new();
                let mut from = cursor;
                for count in leave {
                    let certain = log.iter().filter(|entry| {
                        entry.time_us as i64 >= from && wanted.lets_pass(&world.dids, entry)
                    });
                    let count = certain.count().min(count);
                    let query = format!("cursor={from}{}", wanted.query(&world.dids));
                    let mut client = Lines::connect(&world, mode, &query).await;
                    take(&mut seen, client.lines(count).await);
                    from = seen.last().map_or(from, |last| last.time_us as i64);
                }
                written.changed().await.unwrap();
                let query = format!("cursor={from}&caughtUp=true{}", wanted.query(&world.dids));
                let mut client = Lines::connect(&world, mode, &query).await;
                take(&mut seen, client.playback().await);
                seen
            };
            let ((), seen) = tokio::join!(writer, reader);
            let log = world.log();
            let expected = log.iter().filter(|entry| {
                entry.time_us as i64 >= cursor && wanted.lets_pass(&world.dids, entry)
            });
            prop_assert_eq!(lines(&seen), lines(expected));
            Ok(())
        })?;
    }
}

/// Adds what a connection gave, without the one event that was there before: a cursor gives the
/// event that it is of once more.
fn take(seen: &mut Vec<Entry>, texts: Vec<String>) {
    for text in texts {
        let entry = Entry::parse(text);
        if seen.last().is_none_or(|last| last.json != entry.json) {
            seen.push(entry);
        }
    }
}
