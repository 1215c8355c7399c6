//! A mirror that reads at random moments, is killed, and loses the power, of an origin to which
//! everything happens that can happen to a log.

use std::collections::BTreeMap;
use std::time::Duration;

use jetwash_dict::Dictionary;
use jetwash_store::{
    Appender, GapCause, LogMessage, LogStream, Micros, Options, Read, Retention, Seq, Store,
    UpstreamGap,
};

use crate::mirror::{Met, met};
use crate::random::Random;
#[cfg(unix)]
use crate::restart::fail_power;
use crate::support::{Event, Place, START, compress, dictionary, event, push, tiny};

const RUNS: u64 = 10;

#[test]
fn a_mirror_has_all_that_its_origin_has_whatever_happens_to_both() {
    let dictionaries = [dictionary(7), dictionary(8), dictionary(9)];
    let mut lost = 0;
    for seed in 0..RUNS {
        let mut pair = Pair::new(seed, dictionaries.clone(), false);
        for _ in 0..60 {
            pair.step();
        }
        pair.catch_up();
        let (origin, mirror) = (
            met(pair.origin(), Seq::FIRST),
            met(pair.mirror(), Seq::FIRST),
        );
        assert!(origin.len() > 50, "seed {seed}: {}", origin.len());
        assert!(origin == mirror, "seed {seed}: {origin:?}\n{mirror:?}");
        assert_eq!(pair.origin().bounds().lost, pair.mirror().bounds().lost);
        lost += pair.origin().bounds().lost;
    }
    // The power failed, and positions were skipped.
    assert!(cfg!(not(unix)) || lost > 0);
}

#[test]
fn a_mirror_of_a_log_that_forgets_has_each_event_where_it_was_or_a_gap() {
    let dictionaries = [dictionary(7), dictionary(8), dictionary(9)];
    let mut trimmed = 0;
    for seed in 0..RUNS {
        let mut pair = Pair::new(RUNS + seed, dictionaries.clone(), true);
        for _ in 0..90 {
            pair.step();
        }
        pair.catch_up();
        let mut next = Seq::FIRST;
        for met in met(pair.mirror(), Seq::FIRST) {
            match met {
                Met::Event(event, compressed) => {
                    assert_eq!(event.seq, next.get(), "seed {seed}");
                    let expected = &pair.written[&event.seq];
                    assert_eq!((&event, &compressed), (&expected.0, &expected.1));
                    next = next.next();
                }
                Met::Gap(gap) if gap.positions() > 0 => {
                    assert_eq!(gap.first_seq, next, "seed {seed}");
                    next = gap.next_seq;
                    trimmed += u64::from(gap.cause == GapCause::Trimmed);
                    for seq in gap.first_seq.get()..gap.next_seq.get() {
                        let is_there = pair.written.contains_key(&seq);
                        assert_eq!(
                            is_there,
                            gap.cause == GapCause::Trimmed,
                            "seed {seed}: {gap}"
                        );
                    }
                }
                Met::Gap(_) => {}
            }
        }
        assert_eq!(next, pair.origin().bounds().next_seq);
    }
    assert!(trimmed > RUNS / 2, "{trimmed}");
}

/// An origin and its mirror, both on disk.
struct Pair {
    random: Random,
    dictionaries: [Dictionary; 3],
    forgets: bool,
    origin: Ring,
    mirror: Ring,
    stream: Option<LogStream>,
    /// Everything that the origin has ever committed.
    written: BTreeMap<u64, Written>,
}

/// An event, and its dictionary and bytes if it is compressed.
type Written = (Event, Option<(u32, Vec<u8>)>);

struct Ring {
    place: Place,
    open: Option<(Appender, Store)>,
}

impl Ring {
    fn new(options: Options) -> Self {
        let place = Place::disk();
        let open = Some(place.open(options));
        Self { place, open }
    }

    fn appender(&mut self) -> &mut Appender {
        &mut self.open.as_mut().unwrap().0
    }

    fn reopen(&mut self, options: Options, has_power: bool) {
        let ring = self.open.take().unwrap();
        if has_power {
            drop(ring);
        } else {
            #[cfg(unix)]
            fail_power(&self.place, ring);
        }
        self.open = Some(self.place.open(options));
    }
}

impl Pair {
    fn new(seed: u64, dictionaries: [Dictionary; 3], forgets: bool) -> Self {
        let mut pair = Self {
            random: Random(seed),
            dictionaries,
            forgets,
            origin: Ring::new(options()),
            mirror: Ring::new(options()),
            stream: None,
            written: BTreeMap::new(),
        };
        let log = pair.origin().log_id();
        pair.mirror.appender().become_mirror(log).unwrap();
        pair
    }

    fn origin(&self) -> &Store {
        &self.origin.open.as_ref().unwrap().1
    }

    fn mirror(&self) -> &Store {
        &self.mirror.open.as_ref().unwrap().1
    }

    fn step(&mut self) {
        match self.random.below(12) {
            0..4 => self.write(),
            4 => self.note(),
            5 if self.forgets => self.forget(),
            6 => {
                // A reader would keep the folder open.
                self.stream = None;
                self.origin.reopen(options(), self.random.below(2) == 0);
            }
            7 => {
                self.mirror.reopen(options(), self.random.below(2) == 0);
                self.stream = None;
            }
            _ => {
                let messages = 1 + self.random.below(12);
                self.follow(messages);
            }
        }
    }

    /// Pushes events, compressed or not, in a commit or several.
    fn write(&mut self) {
        let choice = self.random.below(5) as usize;
        let dictionary = self.dictionaries.get(choice).cloned();
        if let Some(dictionary) = &dictionary {
            self.origin.appender().set_dictionary(dictionary).unwrap();
        }
        for _ in 0..=self.random.below(3) {
            for _ in 0..self.random.below(14) {
                let origin = self.origin.appender();
                let seq = origin.next_seq();
                let time_us = origin.next_time_us(Micros::new(START + seq.get() * 1_000));
                let made = event(seq.get(), time_us.get());
                let compressed = dictionary.as_ref().map(|it| compress(it, &made.json));
                push(origin, &made, compressed.as_deref());
                let id = dictionary.as_ref().map(Dictionary::id);
                let whole = (made, id.zip(compressed));
                self.written.insert(seq.get(), whole);
            }
            self.origin.appender().commit().unwrap();
        }
    }

    fn note(&mut self) {
        let (first, events) = (self.random.below(99), self.random.below(3));
        let cause = [
            GapCause::UpstreamJump,
            GapCause::UpstreamOutdated,
            GapCause::Discontinuous,
        ][self.random.below(3) as usize];
        let upstream = UpstreamGap::new("wss://relay.example/", Some(first), None);
        let is_committed = self.random.below(2) == 0;
        let origin = self.origin.appender();
        origin.note_gap(cause, (events > 0).then_some(events), Some(upstream));
        if is_committed {
            origin.commit().unwrap();
        }
    }

    fn forget(&mut self) {
        let newest = self.origin().bounds().newest_time_us.unwrap_or_default();
        let age = Duration::from_millis(self.random.below(200));
        let origin = self.origin.appender();
        origin.trim_after(newest.plus(age), Duration::MAX).unwrap();
    }

    /// Takes over some messages; the mirror may not get to commit the last of them.
    fn follow(&mut self, messages: u64) {
        for _ in 0..messages {
            let Some(message) = self.next() else { break };
            self.mirror.appender().apply(&message).unwrap();
            if self.random.below(3) == 0 {
                self.mirror.appender().commit().unwrap();
            }
        }
    }

    fn next(&mut self) -> Option<LogMessage> {
        if self.stream.is_none() {
            let from = self.mirror.appender().next_seq();
            let stream = self.origin().log_stream(from);
            // The two agree on the event before, as far as both have it.
            let own = self.mirror().bounds().newest_time_us;
            if let Some(time_us) = stream.time_before().unwrap()
                && matches!(self.mirror().read(from.previous()), Ok(Read::Events(_)))
            {
                assert_eq!(own, Some(time_us));
            }
            self.stream = Some(stream);
        }
        let bytes = self.stream.as_mut().unwrap().next().unwrap()?;
        let message = LogMessage::decode(bytes.clone()).unwrap();
        assert_eq!(message.encode(), bytes);
        Some(message)
    }

    fn catch_up(&mut self) {
        // What was noted last is told before the event behind it.
        self.write();
        self.origin.appender().commit().unwrap();
        while let Some(message) = self.next() {
            self.mirror.appender().apply(&message).unwrap();
        }
        self.mirror.appender().commit().unwrap();
    }
}

fn options() -> Options {
    tiny().retention(Retention {
        max_age: Some(Duration::from_millis(150)),
        max_bytes: None,
    })
}
