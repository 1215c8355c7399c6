use std::sync::Arc;
use std::time::Duration;

use jetwash_client::{ClientEvent, UpstreamCursor};
use jetwash_event::Micros;
use jetwash_store::Appender;

/// How far the events of a Jetstream have been dealt with, by the clock and the sequence of the
/// host that they came from.
///
/// The log has one number for each cursor: the time is under the name of the host, and the number in
/// its sequence under that name with a fragment. Of several hosts only the one that was followed
/// last has a time other than 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPlace {
    host: Arc<str>,
    time: Micros,
    seq: Option<u64>,
    /// The hosts that were followed before, whose places are out of date.
    left: Vec<Arc<str>>,
}

impl HostPlace {
    /// The place behind an event.
    pub(crate) fn behind(host: &Arc<str>, event: &ClientEvent) -> Self {
        Self {
            host: Arc::clone(host),
            time: event.time(),
            seq: event.seq(),
            left: Vec::new(),
        }
    }

    /// The place of a host that was connected to at this moment by the clock here, and has sent
    /// nothing yet.
    pub(crate) fn at_contact(host: &Arc<str>, now: Micros) -> Self {
        Self {
            host: Arc::clone(host),
            time: now.minus(CLOCKS_APART),
            seq: None,
            left: Vec::new(),
        }
    }

    pub(crate) const fn time(&self) -> Micros {
        self.time
    }

    /// Moves on to an event of this host or another.
    pub(crate) fn advance(&mut self, host: &Arc<str>, event: &ClientEvent) {
        if !Arc::ptr_eq(&self.host, host) && self.host != *host {
            self.left.retain(|left| left != host);
            self.left
                .push(std::mem::replace(&mut self.host, Arc::clone(host)));
        }
        self.time = event.time();
        self.seq = event.seq();
    }

    /// Sets the cursors of the host, and forgets those of the hosts before it: by a clock that is
    /// ahead they would seem to be newer.
    pub(crate) fn store(&mut self, appender: &mut Appender) {
        for host in self.left.drain(..) {
            appender.set_cursor(&host, NO_TIME);
        }
        appender.set_cursor(&self.host, self.time.get());
        let name = seq_name(&self.host);
        if self.seq.is_some() || appender.cursor(&name).is_some() {
            appender.set_cursor(&name, self.seq.unwrap_or(NO_SEQ));
        }
    }

    fn load(host: &str, appender: &Appender) -> Option<Self> {
        let time = appender.cursor(host).filter(|&time| time != NO_TIME)?;
        let seq = appender.cursor(&seq_name(host));
        Some(Self {
            host: host.into(),
            time: Micros::new(time),
            seq: seq.filter(|&seq| seq != NO_SEQ),
            left: Vec::new(),
        })
    }

    /// The cursor to continue with, `back` before the time.
    ///
    /// The number is exact. The time is not, at another host: what comes again is recognised, and
    /// what is skipped would be lost.
    pub(crate) fn cursor(&self, back: Duration) -> UpstreamCursor {
        let (time, host) = (self.time.minus(back), &self.host);
        let text = match self.seq {
            Some(seq) => format!("time={time};seq={seq};host={host}"),
            None => format!("time={time};host={host}"),
        };
        // A host whose name has a semicolon cannot be said.
        text.parse()
            .unwrap_or_else(|_| UpstreamCursor::at_time(time))
    }
}

/// The newest of the places that the log has of these hosts.
pub(crate) fn newest_place<'h>(
    hosts: impl Iterator<Item = &'h str>,
    appender: &Appender,
) -> Option<HostPlace> {
    hosts
        .filter_map(|host| HostPlace::load(host, appender))
        .max_by_key(HostPlace::time)
}

/// The name under which the log has how far the sequence of a host was read.
fn seq_name(host: &str) -> String {
    format!("{host}#seq")
}

/// Stands for a host that has no sequence, or no longer has one.
const NO_SEQ: u64 = 0;
/// Stands for a host that another was followed after.
const NO_TIME: u64 = 0;
/// How far the clock of a host may be behind the one here.
const CLOCKS_APART: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use jetwash_client::Protocol;
    use jetwash_store::{Location, Options, open};

    use super::*;

    fn event(time: u64, seq: Option<u64>) -> ClientEvent {
        let seq = seq.map_or_else(String::new, |seq| format!(r#""cursor":{seq},"#));
        let line = format!(
            r#"{{"did":"did:web:a.example","time_us":{time},{seq}"kind":"account","account":{{"active":true,"did":"did:web:a.example","seq":1,"time":"2026-01-01T00:00:00Z"}}}}"#
        );
        ClientEvent::parse(Protocol::V1, line).unwrap()
    }

    #[test]
    fn a_host_that_has_sent_nothing_is_continued_ten_seconds_before_it_was_connected_to() {
        let host: Arc<str> = "wss://a.example".into();
        let place = HostPlace::at_contact(&host, Micros::new(1_783_000_000_000_000));
        assert_eq!(
            place.cursor(Duration::ZERO).to_string(),
            "time=1782999990000000;host=wss://a.example"
        );
    }

    #[test]
    fn a_place_comes_back_as_what_it_was() {
        let (mut appender, _store) = open(Location::Memory, Options::default()).unwrap();
        let hosts: [Arc<str>; 2] = ["wss://a.example".into(), "wss://b.example".into()];
        let newest = |appender: &Appender| newest_place(hosts.iter().map(|host| &**host), appender);
        assert_eq!(newest(&appender), None);
        let [one, other] = &hosts;
        let mut place = HostPlace::behind(one, &event(100, Some(7)));
        place.store(&mut appender);
        assert_eq!(newest(&appender), Some(place.clone()));
        let text = place.cursor(Duration::from_micros(1)).to_string();
        assert_eq!(text, "time=99;seq=7;host=wss://a.example");
        // The host no longer says a number.
        place.advance(one, &event(101, None));
        place.store(&mut appender);
        assert_eq!(newest(&appender), Some(place.clone()));
        // The clock of the other is behind, and still it is the one that was followed last.
        place.advance(other, &event(90, Some(1)));
        place.store(&mut appender);
        let text = newest(&appender)
            .unwrap()
            .cursor(Duration::ZERO)
            .to_string();
        assert_eq!(text, "time=90;seq=1;host=wss://b.example");
        // And back again.
        place.advance(one, &event(95, None));
        place.store(&mut appender);
        let text = newest(&appender)
            .unwrap()
            .cursor(Duration::ZERO)
            .to_string();
        assert_eq!(text, "time=95;host=wss://a.example");
    }
}
