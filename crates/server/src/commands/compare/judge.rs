use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::delays::Delays;
use super::event::{Content, Event, EventName};
use super::side::Side;

/// The times of a comparison.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// From the first common event until events are judged.
    pub(super) warm_up: Duration,
    /// From then on.
    pub(super) judged: Duration,
    /// How much later an event may come from the other side.
    pub(super) patience: Duration,
}

/// Pairs the events of two sides. An event is judged by when it came: what came before or after the
/// time that is judged may have a partner, but need not.
///
/// It holds at most [`WINDOW`] events, and the keys of as many that had no partner in time.
#[derive(Debug)]
pub(super) struct Judge {
    times: Times,
    /// The time that is judged, of each side, once both have delivered an event.
    judged: Option<[(Instant, Instant); 2]>,
    /// Events without a partner so far. Those of a key are of one side.
    pending: HashMap<u64, VecDeque<Pending>>,
    /// All arrivals in their order, some of which have been paired since.
    order: VecDeque<(Instant, u64, u64)>,
    /// Counts arrivals.
    number: u64,
    missed: Missed,
    verdict: Verdict,
}

/// The outcome of a comparison.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    pub(super) equal: u64,
    /// Events that only one side delivered, by that side.
    pub(super) single: [Found<()>; 2],
    pub(super) different: Found<Vec<&'static str>>,
    /// Events that the other side delivered too, but after the patience.
    pub(super) late: u64,
    pub(super) delays: Delays,
}

/// A kind of difference: how many there are, and the first of them.
#[derive(Clone, Debug)]
pub(super) struct Found<T> {
    pub(super) count: u64,
    pub(super) listed: Vec<(u64, EventName, T)>,
}

#[derive(Debug)]
struct Pending {
    number: u64,
    side: Side,
    at: Instant,
    content: Content,
    name: EventName,
}

impl Judge {
    pub(super) fn new(times: Times) -> Self {
        Self {
            times,
            judged: None,
            pending: HashMap::new(),
            order: VecDeque::new(),
            number: 0,
            missed: Missed::default(),
            verdict: Verdict::default(),
        }
    }

    /// Whether both sides have delivered the same event.
    pub(super) const fn has_begun(&self) -> bool {
        self.judged.is_some()
    }

    /// Takes an event in the order of arrival at its side.
    pub(super) fn arrive(&mut self, side: Side, at: Instant, event: Event) {
        self.forget(at);
        let key = event.key;
        if self.missed.take(key, side.other()) {
            self.verdict.single[side.other() as usize].take_back(key);
            self.verdict.late += 1;
            return;
        }
        // Tells events of the same key apart, which one side has sent twice.
        self.number += 1;
        let arrived = Pending {
            number: self.number,
            side,
            at,
            content: event.content,
            name: event.name,
        };
        let waiting = self.pending.entry(key).or_default();
        let first = match waiting.front() {
            Some(first) if first.side != side => waiting.pop_front(),
            _ => None,
        };
        match first {
            Some(first) => {
                if waiting.is_empty() {
                    self.pending.remove(&key);
                }
                self.pair(key, first, &arrived);
            }
            None => {
                waiting.push_back(arrived);
                self.order.push_back((at, key, self.number));
            }
        }
    }

    /// Gives up events whose partner has not come in time.
    pub(super) fn forget(&mut self, now: Instant) {
        while let Some(&(at, key, number)) = self.order.front() {
            let waiting = self.pending.get(&key);
            let is_paired = waiting.is_none_or(|all| all.iter().all(|it| it.number != number));
            let is_old = at + self.times.patience <= now || self.order.len() >= WINDOW;
            if !is_paired && !is_old {
                return;
            }
            self.order.pop_front();
            if !is_paired {
                self.give_up(key);
            }
        }
    }

    /// Ends the time that is judged.
    pub(super) fn close(&mut self, now: Instant) {
        for (_, end) in self.judged.iter_mut().flatten() {
            *end = now.min(*end);
        }
    }

    /// Whether all that is judged is decided, or has had its time.
    pub(super) fn is_done(&self, now: Instant) -> bool {
        let Some(judged) = self.judged else {
            return false;
        };
        let end = judged[0].1.max(judged[1].1);
        if now < end {
            return false;
        }
        let is_open = |it: &Pending| self.is_judged(it);
        now >= end + self.times.patience || !self.pending.values().flatten().any(is_open)
    }

    /// Decides what is still open.
    pub(super) fn finish(mut self) -> Verdict {
        for (_, key, _) in std::mem::take(&mut self.order) {
            if self.pending.contains_key(&key) {
                self.give_up(key);
            }
        }
        self.verdict
    }

    /// Describes how far it has come.
    pub(super) fn progress(&self, now: Instant) -> String {
        let Some([(start, end), _]) = self.judged else {
            return "waits for an event that both deliver".to_owned();
        };
        let Verdict {
            equal,
            single,
            different,
            ..
        } = &self.verdict;
        let left = end.saturating_duration_since(now.max(start)).as_secs();
        format!(
            "{equal} equal, {} missing, {} extra, {} different; {left} s left",
            single[0].count, single[1].count, different.count
        )
    }

    fn pair(&mut self, key: u64, first: Pending, second: &Pending) {
        let Times {
            warm_up, judged, ..
        } = self.times;
        if self.judged.is_none() {
            let span = |at: Instant| (at + warm_up, at + warm_up + judged);
            let mut spans = [span(first.at); 2];
            spans[second.side as usize] = span(second.at);
            self.judged = Some(spans);
        }
        if !self.is_judged(&first) && !self.is_judged(second) {
            return;
        }
        let apart = second.at.saturating_duration_since(first.at);
        self.verdict.delays.add(apart, second.side == Side::B);
        let differences = first.content.differences(second.content);
        match differences.is_empty() {
            true => self.verdict.equal += 1,
            false => self.verdict.different.add(key, first.name, differences),
        }
    }

    fn give_up(&mut self, key: u64) {
        let Some(waiting) = self.pending.get_mut(&key) else {
            return;
        };
        let first = waiting.pop_front();
        if waiting.is_empty() {
            self.pending.remove(&key);
        }
        if let Some(first) = first.filter(|first| self.is_judged(first)) {
            self.missed.add(key, first.side);
            self.verdict.single[first.side as usize].add(key, first.name, ());
        }
    }

    fn is_judged(&self, event: &Pending) -> bool {
        self.judged.is_some_and(|spans| {
            let (start, end) = spans[event.side as usize];
            (start..end).contains(&event.at)
        })
    }
}

impl<T> Found<T> {
    fn add(&mut self, key: u64, name: EventName, what: T) {
        self.count += 1;
        if self.listed.len() < MAX_LISTED {
            self.listed.push((key, name, what));
        }
    }

    fn take_back(&mut self, key: u64) {
        self.count = self.count.saturating_sub(1);
        if let Some(index) = self.listed.iter().position(|(listed, ..)| *listed == key) {
            self.listed.remove(index);
        }
    }
}

impl<T> Default for Found<T> {
    fn default() -> Self {
        Self {
            count: 0,
            listed: Vec::new(),
        }
    }
}

/// The events that had no partner in time, to tell "late" from "never".
#[derive(Debug, Default)]
struct Missed {
    keys: HashMap<u64, Side>,
    order: VecDeque<u64>,
}

impl Missed {
    fn add(&mut self, key: u64, side: Side) {
        if self.order.len() >= WINDOW
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
        self.order.push_back(key);
        self.keys.insert(key, side);
    }

    /// Whether an event of this side had no partner until now.
    fn take(&mut self, key: u64, side: Side) -> bool {
        let is_missed = self.keys.get(&key) == Some(&side);
        if is_missed {
            self.keys.remove(&key);
        }
        is_missed
    }
}

/// How many events are held: of a busy network those of a minute.
const WINDOW: usize = 1 << 17;
/// How many events of each kind of difference are kept to be listed.
pub(super) const MAX_LISTED: usize = 1000;

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use jetwash_client::{ClientEvent, Protocol};

    use super::*;

    /// A judge at whose sides events of numbers arrive, at seconds.
    struct Scene {
        judge: Judge,
        start: Instant,
        hashes: RandomState,
    }

    impl Scene {
        fn new(warm_up: u64) -> Self {
            let times = Times {
                warm_up: Duration::from_secs(warm_up),
                judged: Duration::from_secs(100),
                patience: Duration::from_secs(10),
            };
            Self {
                judge: Judge::new(times),
                start: Instant::now(),
                hashes: RandomState::new(),
            }
        }

        fn at(&self, second: u64) -> Instant {
            self.start + Duration::from_secs(second)
        }

        fn arrive(&mut self, side: Side, second: u64, number: u64) {
            let text = format!(
                r#"{{"did":"did:web:a.example","time_us":1,"kind":"account","account":{{"active":true,"did":"did:web:a.example","seq":1,"time":"{number}"}}}}"#
            );
            let event = ClientEvent::parse(Protocol::V1, text).unwrap();
            let event = Event::new(&event, &self.hashes);
            self.judge.arrive(side, self.at(second), event);
        }

        fn both(&mut self, second: u64, number: u64) {
            self.arrive(Side::A, second, number);
            self.arrive(Side::B, second, number);
        }
    }

    fn counts(verdict: &Verdict) -> [u64; 4] {
        let [missing, extra] = &verdict.single;
        [verdict.equal, missing.count, extra.count, verdict.late]
    }

    #[test]
    fn what_came_before_the_first_common_event_is_not_judged() {
        let mut scene = Scene::new(0);
        scene.arrive(Side::A, 0, 1);
        scene.arrive(Side::A, 1, 2);
        assert!(!scene.judge.has_begun());
        scene.both(2, 3);
        scene.arrive(Side::A, 3, 4);
        assert_eq!(counts(&scene.judge.finish()), [1, 1, 0, 0]);
    }

    #[test]
    fn what_comes_while_it_warms_up_may_be_missing() {
        let mut scene = Scene::new(5);
        scene.both(0, 1);
        scene.arrive(Side::B, 4, 2);
        scene.arrive(Side::B, 5, 3);
        assert_eq!(counts(&scene.judge.finish()), [0, 0, 1, 0]);
    }

    #[test]
    fn an_event_that_comes_after_the_patience_is_late_and_not_missing() {
        let mut scene = Scene::new(0);
        scene.both(0, 1);
        scene.arrive(Side::A, 1, 2);
        scene.arrive(Side::B, 11, 2);
        scene.arrive(Side::A, 12, 3);
        scene.arrive(Side::B, 30, 4);
        scene.arrive(Side::B, 31, 3);
        assert_eq!(counts(&scene.judge.finish()), [1, 0, 1, 2]);
    }

    #[test]
    fn an_event_that_comes_twice_from_one_side_is_a_difference() {
        let mut scene = Scene::new(0);
        scene.both(0, 1);
        scene.both(1, 2);
        scene.arrive(Side::B, 2, 2);
        assert_eq!(counts(&scene.judge.finish()), [2, 0, 1, 0]);
    }

    #[test]
    fn of_two_that_one_side_sends_first_the_other_side_lacks_one() {
        let mut scene = Scene::new(0);
        scene.both(0, 1);
        scene.arrive(Side::A, 1, 2);
        scene.arrive(Side::A, 2, 2);
        scene.arrive(Side::B, 3, 2);
        assert_eq!(counts(&scene.judge.finish()), [2, 1, 0, 0]);
    }

    #[test]
    fn the_side_that_is_behind_is_judged_from_its_own_first_event_on() {
        let mut scene = Scene::new(2);
        scene.arrive(Side::A, 0, 1);
        scene.arrive(Side::B, 5, 1);
        scene.arrive(Side::B, 6, 2);
        assert_eq!(counts(&scene.judge.finish()), [0, 0, 0, 0]);
    }

    #[test]
    fn the_side_that_is_ahead_is_judged_from_its_own_first_event_on() {
        let mut scene = Scene::new(2);
        scene.arrive(Side::A, 0, 1);
        scene.arrive(Side::A, 3, 2);
        scene.arrive(Side::B, 5, 1);
        assert_eq!(counts(&scene.judge.finish()), [0, 1, 0, 0]);
    }

    #[test]
    fn a_pair_counts_if_the_first_of_it_came_in_time() {
        let mut scene = Scene::new(0);
        scene.both(0, 1);
        scene.arrive(Side::A, 99, 2);
        scene.arrive(Side::B, 101, 2);
        assert_eq!(counts(&scene.judge.finish()), [2, 0, 0, 0]);
    }

    #[test]
    fn a_pair_counts_if_the_second_of_it_came_in_time() {
        let mut scene = Scene::new(5);
        scene.both(0, 1);
        scene.arrive(Side::A, 4, 2);
        scene.arrive(Side::B, 6, 2);
        assert_eq!(counts(&scene.judge.finish()), [1, 0, 0, 0]);
    }

    #[test]
    fn a_pair_does_not_count_if_both_came_while_it_warmed_up_or_after_the_end() {
        let mut scene = Scene::new(5);
        scene.both(0, 1);
        scene.both(4, 2);
        scene.both(105, 3);
        assert_eq!(counts(&scene.judge.finish()), [0, 0, 0, 0]);
    }

    #[test]
    fn a_late_event_is_not_listed_as_missing_and_counts_once() {
        let mut scene = Scene::new(0);
        scene.both(0, 1);
        scene.arrive(Side::A, 1, 2);
        scene.arrive(Side::A, 2, 3);
        scene.arrive(Side::B, 20, 2);
        // Again: of this the other side has no other.
        scene.arrive(Side::B, 21, 2);
        let verdict = scene.judge.finish();
        assert_eq!(counts(&verdict), [1, 1, 1, 1]);
        assert_eq!(verdict.single[0].listed.len(), 1);
    }

    #[test]
    fn it_waits_for_what_is_open_when_the_time_is_over_and_not_for_what_came_after() {
        let mut scene = Scene::new(0);
        scene.both(0, 1);
        scene.arrive(Side::A, 50, 2);
        let end = scene.at(51);
        scene.judge.close(end);
        scene.arrive(Side::B, 52, 3);
        assert!(!scene.judge.is_done(scene.at(52)));
        scene.arrive(Side::B, 53, 2);
        assert!(scene.judge.is_done(scene.at(53)));
        assert_eq!(counts(&scene.judge.finish()), [2, 0, 0, 0]);
    }

    #[test]
    fn no_more_events_are_held_than_the_window_has_room_for() {
        let mut scene = Scene::new(0);
        scene.both(0, 1);
        let more = 1000;
        for number in 2..(WINDOW + more) as u64 {
            scene.arrive(Side::A, 1, number);
        }
        assert!(scene.judge.order.len() <= WINDOW);
        assert!(scene.judge.pending.len() <= WINDOW);
        let verdict = scene.judge.verdict.clone();
        assert_eq!(verdict.single[0].count, (more - 2) as u64);
        assert_eq!(verdict.single[0].listed.len(), more - 2);
    }
}
