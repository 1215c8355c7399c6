//! Random sequences of calls against a plain list of events.
//!
//! `JETWASH_MODEL_CASES` says how many on each backend; by default there are few.

use std::collections::BTreeMap;
use std::time::Duration;

use jetwash_dict::Dictionary;
use jetwash_store::{
    AccountState, Appender, Cursor, CursorError, Gap, GapCause, Micros, Options, PackedRepo, Read,
    Retention, Seq, Store,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::support::{Event, Place, START, compress, dictionary, event, push, taken};

thread_local! {
    static DICTIONARIES: [Dictionary; 2] = [dictionary(1), dictionary(2)];
}

fn numbered(index: u8) -> Dictionary {
    DICTIONARIES.with(|dictionaries| dictionaries[usize::from(index)].clone())
}

#[derive(Clone, Debug)]
enum Step {
    Push { events: u8, apart_us: u32 },
    Commit,
    ClockBack { us: u32 },
    ClockAhead { us: u32 },
    Advance { name: u8, from: Believed, to: u64 },
    Reset { name: u8, to: u64 },
    Remove { name: u8 },
    SetCursor { name: u8, value: u64 },
    SetAccount { did: u8, rev: u64 },
    SetDictionary { index: u8 },
    NoFrames,
    Trim { later_us: u32 },
    Read { at: u16, blocks: u8 },
    Time { at: u16, off: i8 },
    Reopen,
}

/// Where a consumer believes its cursor to be.
#[derive(Clone, Copy, Debug)]
enum Believed {
    WhereItIs,
    Nowhere,
    At(u64),
}

fn believed() -> impl Strategy<Value = Believed> {
    prop_oneof![
        4 => Just(Believed::WhereItIs),
        1 => Just(Believed::Nowhere),
        1 => (0..100_u64).prop_map(Believed::At),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..30_u8, 1..5_000_u32).prop_map(|(events, apart_us)| Step::Push { events, apart_us }),
        6 => Just(Step::Commit),
        1 => (1..1_000_000_u32).prop_map(|us| Step::ClockBack { us }),
        1 => (1..10_000_000_u32).prop_map(|us| Step::ClockAhead { us }),
        3 => (0..3_u8, believed(), 0..100_u64)
            .prop_map(|(name, from, to)| Step::Advance { name, from, to }),
        1 => (0..3_u8, 0..100_u64).prop_map(|(name, to)| Step::Reset { name, to }),
        1 => (0..3_u8).prop_map(|name| Step::Remove { name }),
        2 => (0..3_u8, any::<u64>()).prop_map(|(name, value)| Step::SetCursor { name, value }),
        2 => (0..3_u8, any::<u64>()).prop_map(|(did, rev)| Step::SetAccount { did, rev }),
        1 => (0..2_u8).prop_map(|index| Step::SetDictionary { index }),
        1 => Just(Step::NoFrames),
        2 => (0..100_000_u32).prop_map(|later_us| Step::Trim { later_us }),
        4 => (any::<u16>(), 1..5_u8).prop_map(|(at, blocks)| Step::Read { at, blocks }),
        3 => (any::<u16>(), -2..3_i8).prop_map(|(at, off)| Step::Time { at, off }),
        1 => Just(Step::Reopen),
    ]
}

fn options() -> impl Strategy<Value = Options> {
    let age = prop_oneof![
        Just(None),
        (1..200_u64).prop_map(|ms| Some(Duration::from_millis(ms)))
    ];
    let bytes = prop_oneof![Just(None), (2_000..50_000_u64).prop_map(Some)];
    let sizes = (1..40_usize, 100..4_000_usize, 1..200_u64, 500..9_000_u64);
    (
        age,
        bytes,
        sizes,
        0..20_000_usize,
        0..20_000_usize,
        any::<bool>(),
    )
        .prop_map(
            |(max_age, max_bytes, sizes, hot_bytes, cache_bytes, aged)| {
                let (block_events, block_bytes, bucket_events, bucket_bytes) = sizes;
                let options = Options::default()
                    .retention(Retention { max_age, max_bytes })
                    .block_events(block_events)
                    .block_bytes(block_bytes)
                    .bucket_events(bucket_events)
                    .bucket_bytes(bucket_bytes)
                    .hot_bytes(hot_bytes)
                    .cache_bytes(cache_bytes)
                    .memtable_bytes(1 << 16);
                if aged {
                    options
                } else {
                    options.bucket_age(Duration::from_secs(1 << 20))
                }
            },
        )
}

/// The events that a ring should hold.
#[derive(Default)]
struct Model {
    /// Everything ever pushed; the event of position `seq` at `seq - 1`.
    events: Vec<Event>,
    committed: usize,
    oldest: u64,
    cursors: BTreeMap<String, u64>,
    committed_cursors: BTreeMap<String, u64>,
    /// The revisions of accounts.
    accounts: BTreeMap<String, u64>,
    committed_accounts: BTreeMap<String, u64>,
    /// Those of consumers, which need no commit.
    named: BTreeMap<String, u64>,
    dictionary: Option<u8>,
    frames: bool,
    now_us: u64,
}

impl Model {
    fn next_seq(&self) -> u64 {
        self.committed as u64 + 1
    }

    fn advance(&mut self, store: &Store, name: u8, from: Believed, to: u64) {
        let name = name.to_string();
        let current = self.named.get(&name).copied();
        let expected = match from {
            Believed::WhereItIs => current,
            Believed::Nowhere => None,
            Believed::At(cursor) => Some(cursor),
        };
        let outcome = store.advance_named_cursor(&name, expected.map(Cursor::new), Cursor::new(to));
        if expected != current {
            assert!(
                matches!(outcome, Err(CursorError::Moved { current: told, .. }) if told == current.map(Cursor::new))
            );
        } else if current.is_some_and(|current| to < current) {
            assert!(matches!(outcome, Err(CursorError::Backwards { .. })));
        } else {
            outcome.unwrap();
            self.named.insert(name, to);
        }
    }

    fn kept(&self) -> &[Event] {
        &self.events[self.oldest as usize - 1..self.committed]
    }
}

struct World {
    place: Place,
    options: Options,
    ring: Option<(Appender, Store)>,
    model: Model,
}

impl World {
    fn new(place: Place, options: Options) -> Self {
        let ring = Some(place.open(options.clone()));
        let model = Model {
            oldest: 1,
            now_us: START,
            ..Model::default()
        };
        Self {
            place,
            options,
            ring,
            model,
        }
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each step of the model")]
    fn run(&mut self, step: &Step) {
        let Self {
            ring,
            model,
            options,
            place,
        } = self;
        let (appender, store) = ring.as_mut().unwrap();
        match step {
            Step::Push { events, apart_us } => {
                for _ in 0..*events {
                    model.now_us += u64::from(*apart_us);
                    let last = model.events.last().map_or(0, |event| event.time_us);
                    let time_us = appender.next_time_us(Micros::new(model.now_us));
                    assert_eq!(time_us, Micros::new(model.now_us.max(last + 1)));
                    let seq = model.events.len() as u64 + 1;
                    assert_eq!(appender.next_seq(), Seq::new(seq));
                    let made = event(seq, time_us.get());
                    let dictionary = model.dictionary.filter(|_| model.frames);
                    let packed = dictionary.map(|at| compress(&numbered(at), &made.json));
                    assert_eq!(push(appender, &made, packed.as_deref()), seq);
                    model.events.push(made);
                }
            }
            Step::Commit => {
                appender.commit().unwrap();
                model.committed = model.events.len();
                model.committed_cursors.clone_from(&model.cursors);
                model.committed_accounts.clone_from(&model.accounts);
            }
            Step::ClockBack { us } => model.now_us -= u64::from(*us),
            Step::ClockAhead { us } => model.now_us += u64::from(*us),
            Step::Advance { name, from, to } => model.advance(store, *name, *from, *to),
            Step::Reset { name, to } => {
                let before = store
                    .reset_named_cursor(&name.to_string(), Cursor::new(*to))
                    .unwrap();
                assert_eq!(
                    model.named.insert(name.to_string(), *to),
                    before.map(Cursor::get)
                );
            }
            Step::Remove { name } => {
                let before = store.remove_named_cursor(&name.to_string()).unwrap();
                assert_eq!(
                    model.named.remove(&name.to_string()),
                    before.map(Cursor::get)
                );
            }
            Step::SetCursor { name, value } => {
                appender.set_cursor(&name.to_string(), *value);
                model.cursors.insert(name.to_string(), *value);
            }
            Step::SetAccount { did, rev } => {
                let mut state = AccountState::default();
                state.rev = *rev;
                state.repo = PackedRepo::new(&rev.to_be_bytes());
                let did = format!("did:web:{did}.example");
                appender.set_account(&did, &state);
                model.accounts.insert(did, *rev);
            }
            Step::SetDictionary { index } => {
                appender.set_dictionary(&numbered(*index)).unwrap();
                model.dictionary = Some(*index);
                model.frames = true;
            }
            Step::NoFrames => model.frames = false,
            Step::Trim { later_us } => {
                let now_us = model.now_us + u64::from(*later_us);
                let trimmed = appender
                    .trim_after(Micros::new(now_us), Duration::MAX)
                    .unwrap();
                assert_eq!(trimmed.oldest_seq.get() - model.oldest, trimmed.events);
                check_trim(model, options, store, now_us, trimmed.oldest_seq.get());
                model.oldest = trimmed.oldest_seq.get();
            }
            Step::Read { at, blocks } => check_read(model, store, *at, *blocks),
            Step::Time { at, off } => check_time(model, store, *at, *off),
            Step::Reopen if place.is_disk() => {
                *ring = None;
                *ring = Some(place.open(options.clone()));
                model.events.truncate(model.committed);
                model.cursors.clone_from(&model.committed_cursors);
                model.accounts.clone_from(&model.committed_accounts);
            }
            Step::Reopen => {}
        }
        let (appender, store) = ring.as_mut().unwrap();
        for number in 0..3 {
            let did = format!("did:web:{number}.example");
            let found = appender.account(&did).unwrap();
            let found = found.map(|state| (state.rev, state.repo.unwrap().as_bytes().to_vec()));
            let expected = model.accounts.get(&did);
            assert_eq!(
                found,
                expected.map(|rev| (*rev, rev.to_be_bytes().to_vec()))
            );
        }
        check(model, appender, store);
    }
}

fn check(model: &Model, appender: &Appender, store: &Store) {
    let bounds = store.bounds();
    assert_eq!(
        (bounds.oldest_seq, bounds.next_seq),
        (Seq::new(model.oldest), Seq::new(model.next_seq()))
    );
    assert_eq!(
        bounds.oldest_time_us,
        model
            .kept()
            .first()
            .map(|event| event.time_us)
            .map(Micros::new)
    );
    assert_eq!(
        bounds.newest_time_us,
        model
            .kept()
            .last()
            .map(|event| event.time_us)
            .map(Micros::new)
    );
    assert_eq!(*store.tip().borrow(), Seq::new(model.next_seq()));
    let cursors = model
        .cursors
        .iter()
        .map(|(name, value)| (name.as_str(), *value));
    assert!(appender.cursors().eq(cursors));
    let named = store.named_cursors().into_iter();
    let named = named.map(|(name, cursor)| (name, cursor.get()));
    assert!(named.eq(model.named.clone()));
    assert_eq!(appender.next_seq(), Seq::new(model.events.len() as u64 + 1));
}

/// Nothing young goes, nothing stays in an old ring, and the bytes hold.
fn check_trim(model: &Model, options: &Options, store: &Store, now_us: u64, oldest: u64) {
    let bounds = store.bounds();
    assert_eq!(bounds.oldest_seq, Seq::new(oldest));
    let age = options.retention.max_age.map(|age| age.as_micros() as u64);
    if let Some(age) = age {
        let too_old = |event: &Event| event.time_us < now_us.saturating_sub(age);
        if options.retention.max_bytes.is_none() {
            assert!(
                model.events[model.oldest as usize - 1..oldest as usize - 1]
                    .iter()
                    .all(too_old)
            );
        }
        if model.kept().iter().all(too_old) {
            assert_eq!(bounds.events(), 0);
        }
    } else if options.retention.max_bytes.is_none() {
        assert_eq!(oldest, model.oldest);
    }
    if let Some(max_bytes) = options.retention.max_bytes {
        let tail = (options.block_bytes + 400) as u64;
        assert!(
            store.usage().buckets <= 1 || bounds.bytes <= max_bytes + tail,
            "{bounds:?}"
        );
    }
}

fn check_read(model: &Model, store: &Store, at: u16, blocks: u8) {
    let mut position = (u64::from(at) % (model.next_seq() + 1)).max(1);
    for _ in 0..blocks {
        let read = store.read(Seq::new(position)).unwrap();
        if let Some(hot) = store.read_hot(Seq::new(position)) {
            assert_eq!(std::mem::discriminant(&hot), std::mem::discriminant(&read));
        }
        match read {
            Read::Gap(gap) => {
                assert!(position < model.oldest);
                let lost = model.oldest - position;
                let told = Gap::new(
                    Seq::new(position),
                    Seq::new(model.oldest),
                    GapCause::Trimmed,
                );
                assert_eq!(gap, told.events(lost));
                position = model.oldest;
            }
            Read::AtTip => return assert_eq!(position, model.next_seq()),
            Read::Events(run) => {
                for index in run.indexes() {
                    let found = taken(run.block(), index).unwrap();
                    assert_eq!(found, model.events[position as usize - 1]);
                    assert!(position >= model.oldest);
                    if let Some(compressed) = run.block().compressed().unwrap() {
                        let id = run.block().dictionary_id().unwrap();
                        let dictionary = store.dictionary(id).unwrap();
                        let json =
                            crate::support::decompress(&dictionary, compressed.get(index).unwrap());
                        assert_eq!(json, found.json);
                    }
                    position += 1;
                }
                assert_eq!(position, run.next_seq().get());
            }
        }
    }
}

fn check_time(model: &Model, store: &Store, at: u16, off: i8) {
    let kept = model.kept();
    let base = match kept.get(usize::from(at) % (kept.len() + 1)) {
        Some(event) => event.time_us,
        None => model.now_us,
    };
    let time_us = base.saturating_add_signed(off.into());
    let found = kept.iter().find(|event| event.time_us >= time_us);
    let expected = found.map_or_else(|| model.next_seq(), |event| event.seq);
    assert_eq!(
        store.seq_at_time(Micros::new(time_us)).unwrap(),
        Seq::new(expected)
    );
}

fn run(cases: u32, place: fn() -> Place) {
    let chosen = std::env::var("JETWASH_MODEL_CASES");
    let cases = chosen.map_or(cases, |cases| cases.parse().unwrap());
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let steps = prop::collection::vec(step(), 1..80);
    let result = TestRunner::new(config).run(&(options(), steps), |(options, steps)| {
        let mut world = World::new(place(), options);
        for step in &steps {
            world.run(step);
        }
        for step in [
            Step::Commit,
            Step::Reopen,
            Step::Read {
                at: 0,
                blocks: u8::MAX,
            },
        ] {
            world.run(&step);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn the_ring_in_memory_does_as_the_model() {
    run(300, Place::memory);
}

#[test]
fn the_ring_on_disk_does_as_the_model() {
    run(40, Place::disk);
}
