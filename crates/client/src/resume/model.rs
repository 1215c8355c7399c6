//! Hosts as a model: each has all events, under numbers and times of its own.

use std::time::Duration;

use jetwash_event::Micros;
use proptest::prelude::*;

use super::{Mark, Resume, Verdict};
use crate::protocol::Protocol;

/// A host that has every event.
#[derive(Clone, Debug)]
struct Host {
    protocol: Protocol,
    /// How far its clock is ahead, in milliseconds.
    skew: i64,
    /// The number of its first event.
    first_seq: u64,
}

/// One connection: the host, by how many events the log grows before it, and how many are sent.
#[derive(Clone, Debug)]
struct Step {
    host: usize,
    grows: u64,
    sends: u64,
}

const START: u64 = 1_783_000_000_000_000;

impl Host {
    fn mark(&self, event: u64, spacing: u64) -> Mark {
        let time = (START + event * spacing).saturating_add_signed(self.skew * 1000);
        Mark {
            time: Micros::new(time),
            seq: (self.protocol == Protocol::V2).then_some(self.first_seq + event),
            hash: event.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        }
    }

    /// The events that a cursor asks for, of `length` that there are.
    fn from(&self, cursor: Option<u64>, length: u64, spacing: u64) -> u64 {
        let Some(cursor) = cursor else {
            return length;
        };
        let is_asked = |event: &u64| {
            let mark = self.mark(*event, spacing);
            match mark.seq {
                Some(seq) if cursor < 1_000_000_000_000_000 => seq >= cursor,
                _ => mark.time.get() >= cursor,
            }
        };
        (0..length).find(is_asked).unwrap_or(length)
    }
}

/// Hosts whose clocks are up to `skew` milliseconds off.
fn hosts(skew: i64) -> impl Strategy<Value = Vec<Host>> {
    let host = (any::<bool>(), -skew..=skew, 1..1_000_000_u64);
    let host = host.prop_map(|(is_v2, skew, first_seq)| Host {
        protocol: if is_v2 { Protocol::V2 } else { Protocol::V1 },
        skew,
        first_seq,
    });
    prop::collection::vec(host, 1..4)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..3_usize, 0..400_u64, 0..600_u64);
    let step = step.prop_map(|(host, grows, sends)| Step { host, grows, sends });
    prop::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever hosts the connections lead to and wherever they break, the stream has each event
    /// once and in order, and no gap: the hosts have all events, and their clocks are apart by less
    /// than the overlap.
    #[test]
    fn each_event_is_new_once_and_in_order(
        hosts in hosts(1000),
        steps in steps(),
        spacing in 2_000..40_000_u64,
    ) {
        let mut resume = Resume::new(None, Duration::from_secs(10), 8192);
        // Long enough that two hosts have events in common.
        let mut length = 6_000_000 / spacing;
        let mut next = None;
        for (index, step) in steps.into_iter().enumerate() {
            let at = if index == 0 { 0 } else { step.host % hosts.len() };
            let host = &hosts[at];
            let cursor = resume.begin(at, &at.to_string(), host.protocol);
            let cursor = cursor.expect("there is no cursor of a number alone");
            // The first one is live from before the first event.
            let first = if index == 0 { 0 } else { host.from(cursor, length, spacing) };
            length += step.grows;
            let sends = if index == 0 { length } else { step.sends };
            for event in (first..length).take(sends as usize) {
                let mark = host.mark(event, spacing);
                let judged = resume.judge(mark);
                if judged.verdict == Verdict::New {
                    prop_assert!(judged.gap.is_none(), "{:?}", judged.gap);
                    prop_assert_eq!(event, *next.get_or_insert(event));
                    next = Some(event + 1);
                    resume.pass(mark);
                } else {
                    prop_assert_ne!(judged.verdict, Verdict::Renumbered);
                    prop_assert!(next.is_none_or(|next| event < next), "{event} is lost");
                }
            }
        }
    }

    /// Also with clocks as far apart as the overlap: where events are left out, there is a gap.
    #[test]
    fn nothing_is_left_out_without_a_gap(
        hosts in hosts(5000),
        steps in steps(),
        spacing in 2_000..40_000_u64,
    ) {
        let mut resume = Resume::new(None, Duration::from_secs(10), 8192);
        let mut length = 6_000_000 / spacing;
        // The first event that has not come, and whether a gap was reported before it.
        let (mut next, mut has_gap) = (0, false);
        for (index, step) in steps.into_iter().enumerate() {
            let at = if index == 0 { 0 } else { step.host % hosts.len() };
            let host = &hosts[at];
            let cursor = resume.begin(at, &at.to_string(), host.protocol);
            let cursor = cursor.expect("there is no cursor of a number alone");
            let first = if index == 0 { 0 } else { host.from(cursor, length, spacing) };
            length += step.grows;
            let sends = if index == 0 { length } else { step.sends };
            for event in (first..length).take(sends as usize) {
                let mark = host.mark(event, spacing);
                let judged = resume.judge(mark);
                has_gap |= judged.gap.is_some();
                if judged.verdict == Verdict::New {
                    resume.pass(mark);
                }
                // An event that is taken for one from before the cursor is left out as well.
                if event >= next && judged.verdict == Verdict::New {
                    prop_assert!(event == next || has_gap, "{next} to {event} is left out");
                    next = event + 1;
                    has_gap = false;
                }
                prop_assert!(event < next || judged.verdict != Verdict::Repeat);
            }
        }
    }
}
