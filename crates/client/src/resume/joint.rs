use jetwash_event::Micros;

/// How a connection is joined to the one before. Each but the first ends at some event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    /// There is nothing to join any more.
    Open,
    /// The host was asked for its sequence from this number on.
    Seq { last: u64 },
    /// As it no longer had that number, the host was asked by time; what is up to the number is a
    /// repeat.
    AfterSeq { last: u64 },
    /// The host of the last connection was asked from a little before the last event.
    SameLine {
        /// The time of the last event.
        high: Micros,
        /// Whether the last event that the server's filter surely lets pass is still to come.
        is_awaited: bool,
    },
    /// Another host was asked from a few seconds before the last event; what is older than `from`
    /// is not wanted.
    OtherLine { from: Micros },
    /// Events up to this moment are not wanted.
    Skip { until: Micros },
}
