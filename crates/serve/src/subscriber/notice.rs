use jetwash::{Gap, Micros, Seq};
use serde::Serialize;

/// A message that is not an event, for subscribers that asked for it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Notice<'a> {
    /// Playback has met the live end.
    CaughtUp,
    /// Events are missing.
    Gap(&'a Gap),
    /// A time as cursor was before the oldest event. In version 2 alone.
    OutdatedCursor,
    /// The stream has got as far as this.
    Progress,
}

impl Notice<'_> {
    /// The name of its kind.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CaughtUp => "caughtUp",
            Self::Gap(_) => "gap",
            Self::OutdatedCursor => "outdatedCursor",
            Self::Progress => "progress",
        }
    }

    /// The notice in JSON. `time_us` is the time of the last event passed, from which a subscriber
    /// would resume.
    pub(crate) fn to_json(self, time_us: Micros) -> String {
        let kind = self.name();
        let gap = match self {
            Self::Gap(gap) => serde_json::to_string(&GapJson::of(gap)).ok(),
            Self::CaughtUp | Self::OutdatedCursor | Self::Progress => None,
        };
        debug_assert_eq!(
            gap.is_some(),
            matches!(self, Self::Gap(_)),
            "a gap has only numbers and texts"
        );
        match gap {
            Some(gap) => format!(r#"{{"kind":"{kind}","time_us":{time_us},"gap":{gap}}}"#),
            None => format!(r#"{{"kind":"{kind}","time_us":{time_us}}}"#),
        }
    }
}

impl Notice<'_> {
    /// The notice in version 2, whose info has a name and a text. `next_seq` is the position from
    /// which a subscriber would resume.
    pub(crate) fn to_v2(self, next_seq: Seq) -> String {
        let (name, message) = match self {
            Self::CaughtUp => ("CaughtUp", format!("resume at seq {next_seq}")),
            Self::Progress => ("Progress", format!("resume at seq {next_seq}")),
            Self::OutdatedCursor => (
                "OutdatedCursor",
                format!("the cursor is older than the log, resumed at seq {next_seq}"),
            ),
            Self::Gap(gap) => {
                let cause = gap.cause.name();
                let (first, next) = (gap.first_seq, gap.next_seq);
                let message = format!("events are missing ({cause}) from seq {first} up to {next}");
                ("Gap", message)
            }
        };
        format!(
            r##"{{"$type":"message","payload":{{"$type":"network.bsky.jetstream.subscribeEvents#info","message":"{message}","name":"{name}"}}}}"##
        )
    }
}

/// A gap as `docs/wire.md` describes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GapJson<'a> {
    cause: &'static str,
    from: Seq,
    to: Seq,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_from: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_to: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    did: Option<&'a str>,
}

impl<'a> GapJson<'a> {
    fn of(gap: &'a Gap) -> Self {
        let upstream = gap.upstream.as_ref();
        Self {
            cause: gap.cause.name(),
            from: gap.first_seq,
            to: gap.next_seq,
            events: gap.events,
            source: upstream.map(|upstream| &*upstream.source),
            source_from: upstream.and_then(|upstream| upstream.first),
            source_to: upstream.and_then(|upstream| upstream.next),
            did: upstream.and_then(|upstream| upstream.did.as_deref()),
        }
    }
}
