use std::fmt;

use serde_json::{Value, json};

use super::event::EventName;
use super::judge::{Found, MAX_LISTED, Verdict};
use super::side::{Side, SideState};

/// The outcome of a comparison, to be printed.
#[derive(Clone, Debug)]
pub(super) struct Report {
    addresses: [String; 2],
    states: [SideState; 2],
    verdict: Verdict,
    list: usize,
}

impl Report {
    pub(super) fn new(
        addresses: [String; 2],
        states: [SideState; 2],
        verdict: Verdict,
        list: usize,
    ) -> Self {
        Self {
            addresses,
            states,
            verdict,
            list: list.min(MAX_LISTED),
        }
    }

    /// Whether no difference was found. Events that came late are not one.
    pub(super) const fn is_equal(&self) -> bool {
        let [missing, extra] = &self.verdict.single;
        missing.count == 0 && extra.count == 0 && self.verdict.different.count == 0
    }

    pub(super) fn json(&self) -> Value {
        let [a, b] = self.sides().map(|(address, state)| {
            json!({
                "address": address,
                "events": state.events,
                "connections": state.connections,
                "gaps": state.gaps,
                "malformed": state.malformed,
            })
        });
        let [missing, extra] = self.verdict.single.each_ref().map(|found| {
            let name = |(_, name, ()): &(u64, EventName, ())| json!(name);
            self.json_of(found, name)
        });
        let different = self.json_of(&self.verdict.different, |(_, name, parts)| {
            let mut event = json!(name);
            event["parts"] = json!(parts);
            event
        });
        json!({
            "result": if self.is_equal() { "equal" } else { "different" },
            "a": a,
            "b": b,
            "equal": self.verdict.equal,
            "missing": missing,
            "extra": extra,
            "different": different,
            "late": self.verdict.late,
            "delay_ms": self.verdict.delays.summary(),
        })
    }

    fn list<T>(
        &self,
        title: &str,
        found: &Found<T>,
        parts: impl Fn(&T) -> String,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        for (_, name, what) in found.listed.iter().take(self.list) {
            writeln!(f, "{title}: {name}{}", parts(what))?;
        }
        match found.count - self.list.min(found.listed.len()) as u64 {
            0 => Ok(()),
            more => writeln!(f, "{title}: and {more} more"),
        }
    }

    fn json_of<T>(&self, found: &Found<T>, one: impl Fn(&(u64, EventName, T)) -> Value) -> Value {
        let listed: Vec<_> = found.listed.iter().take(self.list).map(one).collect();
        json!({ "count": found.count, "listed": listed })
    }

    fn sides(&self) -> [(&String, &SideState); 2] {
        let [a, b] = &self.addresses;
        [(a, &self.states[0]), (b, &self.states[1])]
    }
}

/// The report for people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (side, (address, state)) in Side::BOTH.iter().zip(self.sides()) {
            let SideState {
                events,
                connections,
                gaps,
                malformed,
                ..
            } = state;
            writeln!(
                f,
                "{side}  {address}: {events} events, {connections} connections, {gaps} gaps, \
                 {malformed} messages that cannot be read"
            )?;
        }
        let Verdict {
            equal,
            single: [missing, extra],
            different,
            late,
            delays,
        } = &self.verdict;
        writeln!(
            f,
            "{equal} events are equal, {} missing from B, {} only in B, {} different, {late} late",
            missing.count, extra.count, different.count
        )?;
        // Without a pair there is no delay.
        if let Some(delay) = delays.summary() {
            writeln!(
                f,
                "B after A, in ms: least {:.1}, 5 % {:.1}, median {:.1}, 95 % {:.1}, 99 % {:.1}, \
                 most {:.1}",
                delay.min, delay.p5, delay.p50, delay.p95, delay.p99, delay.max
            )?;
        }
        self.list("missing from B", missing, |()| String::new(), f)?;
        self.list("only in B", extra, |()| String::new(), f)?;
        let parts = |parts: &Vec<&str>| format!(" (its {})", parts.join(" and "));
        self.list("different", different, parts, f)?;
        let outcome = if self.is_equal() {
            "equal"
        } else {
            "different"
        };
        writeln!(f, "{outcome}")
    }
}
