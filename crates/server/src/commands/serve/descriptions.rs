//! Describes each metric. `docs/metrics.md` has the same list, with labels.

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// The sort of a metric, as Prometheus has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Counter,
    Gauge,
    Histogram,
}

impl Sort {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Tells the recorder.
pub(crate) fn describe() {
    for (name, sort, help) in RECORDED {
        match sort {
            Counter => describe_counter!(*name, *help),
            Gauge => describe_gauge!(*name, *help),
            Histogram => describe_histogram!(*name, *help),
        }
    }
}

use Sort::{Counter, Gauge, Histogram};

/// Those that the libraries record.
pub(crate) const RECORDED: &[(&str, Sort, &str)] = &[
    (
        "consumer_event_processing_duration_seconds",
        Histogram,
        "Time from a frame's arrival until its events were in the log, each.",
    ),
    (
        "consumer_events_persisted_total",
        Counter,
        "Events written to the log.",
    ),
    (
        "consumer_events_processed_total",
        Counter,
        "Frames that came, by kind and source.",
    ),
    (
        "consumer_events_sequenced_total",
        Counter,
        "Events that were given a position.",
    ),
    (
        "consumer_last_evt_created_at",
        Gauge,
        "When the newest commit was made, by its revision, in nanoseconds since 1970.",
    ),
    (
        "consumer_last_evt_created_evt_processed_gap",
        Gauge,
        "Age of the newest commit when it was written to the log, in seconds.",
    ),
    (
        "consumer_last_evt_processed_at",
        Gauge,
        "When the newest frame of a source was written to the log, in nanoseconds since 1970.",
    ),
    (
        "consumer_last_seq",
        Gauge,
        "Sequence number of the newest frame of a source.",
    ),
    (
        "consumer_ops_processed_total",
        Counter,
        "Operations on records, by what they do and the collection, of which all but a few count as other.",
    ),
    (
        "jetstream_bytes_delivered_total",
        Counter,
        "Bytes of events written to subscribers.",
    ),
    (
        "jetstream_bytes_emitted_total",
        Counter,
        "Bytes of the JSON of all events.",
    ),
    (
        "jetstream_events_delivered_total",
        Counter,
        "Events written to subscribers.",
    ),
    (
        "jetstream_events_emitted_total",
        Counter,
        "Events that subscribers could have.",
    ),
    (
        "jetstream_subscribe_bytes_sent_total",
        Counter,
        "Bytes of events written to subscribers of version 2.",
    ),
    (
        "jetstream_subscribe_clean_disconnects_total",
        Counter,
        "Subscribers of version 2 that closed their connections themselves.",
    ),
    (
        "jetstream_subscribe_cursor_requests_total",
        Counter,
        "Cursors of subscribers of version 2, by what they were.",
    ),
    (
        "jetstream_subscribe_events_sent_total",
        Counter,
        "Events written to subscribers of version 2.",
    ),
    (
        "jetstream_subscribe_subprotocol_negotiations_total",
        Counter,
        "Subscribers of version 2, by what they said about the subprotocol.",
    ),
    (
        "jetstream_subscribe_subscribers",
        Gauge,
        "Subscribers of version 2 that are connected.",
    ),
    (
        "jetstream_subscribers_connected",
        Gauge,
        "Subscribers that are connected.",
    ),
    (
        "jetwash_accept_errors_total",
        Counter,
        "Connections that could not be accepted, for want of files or another reason.",
    ),
    (
        "jetwash_clock_jumps_total",
        Counter,
        "Jumps of the clock that the log's time did not follow at once.",
    ),
    (
        "jetwash_connections_open",
        Gauge,
        "Connections that are open, subscribers or not.",
    ),
    (
        "jetwash_connections_refused_total",
        Counter,
        "Connections that were refused, as there were too many in all or of one address.",
    ),
    (
        "jetwash_connections_timed_out_total",
        Counter,
        "Connections that were closed as a head, a request or the next request did not come in time.",
    ),
    (
        "jetwash_cursors_clamped_total",
        Counter,
        "Subscribers whose cursor was before the oldest event, and who began with that.",
    ),
    (
        "jetwash_delivery_delay_seconds",
        Histogram,
        "Time from an event's arrival until it was written to subscribers at the end of the log.",
    ),
    (
        "jetwash_dictionaries_trained_total",
        Counter,
        "Dictionaries trained by --dictionary auto.",
    ),
    (
        "jetwash_dictionary_ratio",
        Gauge,
        "Size of compressed events with the dictionary in use, as a part of their JSON.",
    ),
    (
        "jetwash_dropped_total",
        Counter,
        "Frames and operations that could not be used, by reason.",
    ),
    (
        "jetwash_gaps_total",
        Counter,
        "Gaps that readers were told of, once for each reader, by cause.",
    ),
    (
        "jetwash_held_frames",
        Gauge,
        "Frames that wait for the key of their account.",
    ),
    (
        "jetwash_ignored_total",
        Counter,
        "Frames of kinds that are not known, which is no loss.",
    ),
    (
        "jetwash_log_stalled",
        Gauge,
        "1 while the log cannot be written, else 0.",
    ),
    (
        "jetwash_mirror_bytes_sent_total",
        Counter,
        "Bytes of messages written to mirrors.",
    ),
    (
        "jetwash_mirror_events_sent_total",
        Counter,
        "Events written to mirrors.",
    ),
    (
        "jetwash_mirrors_connected",
        Gauge,
        "Mirrors that are connected, as part of the subscribers.",
    ),
    (
        "jetwash_panics_total",
        Counter,
        "Panics that were caught, by where they were.",
    ),
    (
        "jetwash_reconnects_total",
        Counter,
        "Connections to relays and to hosts of a mirrored log that ended, by reason.",
    ),
    (
        "jetwash_page_viewers",
        Gauge,
        "Viewers of the page that are connected.",
    ),
    (
        "jetwash_page_viewers_refused_total",
        Counter,
        "Viewers of the page that were refused, as there were too many.",
    ),
    (
        "jetwash_repeated_total",
        Counter,
        "Frames with something in them that was in the log already, which is no loss.",
    ),
    (
        "jetwash_resyncs_total",
        Counter,
        "Repositories that turned out to lack commits, by what showed it.",
    ),
    (
        "jetwash_subscriber_memory_bytes",
        Gauge,
        "Memory that subscribers take together, in bytes.",
    ),
    (
        "jetwash_subscribers_ended_total",
        Counter,
        "Subscribers that have gone, by reason.",
    ),
    (
        "jetwash_subscribers_refused_total",
        Counter,
        "Subscribers that were refused, by reason.",
    ),
    (
        "jetwash_subscribers_slowed_total",
        Counter,
        "Times that a subscriber was slowed that sent more than it may.",
    ),
    (
        "jetwash_upstream_gaps_total",
        Counter,
        "Gaps in what upstreams sent, by cause.",
    ),
    (
        "jetwash_upstream_lag_seconds",
        Gauge,
        "How old the last commits of a relay were when they came, the median of a few.",
    ),
    (
        "jetwash_upstream_last_event_age_seconds",
        Gauge,
        "How long ago the last frame of a relay came.",
    ),
    (
        "jetwash_upstream_last_message_age_seconds",
        Gauge,
        "How long ago a relay was heard: by a frame, a ping or a pong.",
    ),
    (
        "jetwash_upstream_state",
        Gauge,
        "How the connection to a relay is: 0 connecting, 1 connected, 2 silent, 3 stalled.",
    ),
    (
        "jetwash_verdicts_total",
        Counter,
        "Commits and #sync frames that were verified, by verdict, and what is invalid by reason.",
    ),
];

/// Those that are looked up when somebody asks.
pub(crate) const LOOKED_UP: &[(&str, Sort, &str)] = &[
    (
        "jetwash_build_info",
        Gauge,
        "1; the label says which version runs.",
    ),
    (
        "jetwash_identity_bytes",
        Gauge,
        "Memory that DID documents take, in bytes.",
    ),
    (
        "jetwash_identity_disk_errors_total",
        Counter,
        "Times that the file of identities could not be read or written to.",
    ),
    (
        "jetwash_identity_disk_hits_total",
        Counter,
        "Look-ups of identities that the file answered.",
    ),
    (
        "jetwash_identity_entries",
        Gauge,
        "DID documents in memory.",
    ),
    (
        "jetwash_identity_errors_total",
        Counter,
        "Look-ups of identities that failed, by kind.",
    ),
    (
        "jetwash_identity_export_failures_total",
        Counter,
        "Lines of an export that could not be read, and endings of its pages and its stream.",
    ),
    (
        "jetwash_identity_exported_total",
        Counter,
        "Operations that were taken from the export of a directory.",
    ),
    (
        "jetwash_identity_invalidations_total",
        Counter,
        "DID documents that were forgotten because they were said to have changed.",
    ),
    (
        "jetwash_identity_not_kept_total",
        Counter,
        "DID documents that were too long for the file of identities.",
    ),
    (
        "jetwash_identity_questions_total",
        Counter,
        "Questions for DID documents, by what answered them.",
    ),
    (
        "jetwash_identity_refreshes_total",
        Counter,
        "Look-ups of old DID documents, for which nobody waits.",
    ),
    (
        "jetwash_identity_requests_total",
        Counter,
        "Requests that were sent to directories and hosts of did:web.",
    ),
    (
        "jetwash_identity_sourced_total",
        Counter,
        "Questions to the simulated network, or another source in the process.",
    ),
    (
        "jetwash_identity_suspicions_total",
        Counter,
        "Bad signatures that made a key suspect, by whether it was looked up again.",
    ),
    (
        "jetwash_identity_under_way",
        Gauge,
        "Look-ups of identities that are under way or waiting.",
    ),
    (
        "jetwash_late_total",
        Counter,
        "Events that one of several Jetstreams had left out and another brought.",
    ),
    (
        "jetwash_log_bytes",
        Gauge,
        "Bytes of all events in the log, compressed.",
    ),
    ("jetwash_log_events", Gauge, "Events in the log."),
    (
        "jetwash_log_oldest_timestamp_seconds",
        Gauge,
        "When the oldest event in the log came, in seconds since 1970.",
    ),
    (
        "process_cpu_seconds_total",
        Counter,
        "Time on processors, of user and system, in seconds.",
    ),
    ("process_max_fds", Gauge, "Files that may be open at most."),
    ("process_open_fds", Gauge, "Files that are open."),
    (
        "process_resident_memory_bytes",
        Gauge,
        "Memory in use, in bytes.",
    ),
    (
        "process_start_time_seconds",
        Gauge,
        "When the process began, in seconds since 1970.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    use jetwash::Reason;
    use jetwash::identity::ResolveErrorKind;

    fn docs() -> String {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        std::fs::read_to_string(path).unwrap()
    }

    /// The text under a heading, up to the next one.
    fn section<'a>(docs: &'a str, heading: &str) -> &'a str {
        let (_, after) = docs.split_once(heading).unwrap();
        after.split_once("\n##").unwrap().0
    }

    #[test]
    fn the_docs_have_every_reason_of_what_is_invalid() {
        let docs = docs();
        let rows = section(&docs, "### Verdicts").lines();
        let rows = rows.filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
        let listed: Vec<_> = rows.skip_while(|name| *name != "---").skip(1).collect();
        assert_eq!(listed, Reason::ALL.map(Reason::name));
    }

    #[test]
    fn the_docs_have_every_kind_of_error_of_identities() {
        let docs = docs();
        let (_, kinds) = section(&docs, "### Identities").split_once("\n- ").unwrap();
        let mut listed: Vec<_> = kinds.split('`').skip(1).step_by(2).collect();
        listed.sort_unstable();
        assert_eq!(listed, ResolveErrorKind::ALL.map(ResolveErrorKind::as_str));
    }

    #[test]
    fn the_docs_have_the_same_list() {
        let text = docs();
        let (server, _) = text.split_once("## Of consumers and spools").unwrap();
        let mut listed = Vec::new();
        for line in server.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            listed.push((cells[1].trim_matches('`'), cells[2]));
        }
        let described = RECORDED.iter().chain(LOOKED_UP);
        let described: Vec<_> = described
            .map(|(name, sort, _)| (*name, sort.as_str()))
            .collect();
        for metric in &described {
            assert!(
                listed.contains(metric),
                "{metric:?} is not in docs/metrics.md"
            );
        }
        for metric in &listed {
            assert!(
                described.contains(metric),
                "{metric:?} is in docs/metrics.md only"
            );
        }
    }
}
