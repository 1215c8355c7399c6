/// Whether an event is read from the past, or as it happens.
///
/// A subscription, and a consumer in each of its runs, begins with `Replay` unless it starts at the
/// log's tip. From when it has first caught up with the tip, its events are `Live`. The order of
/// events is the same in both: a bot that must not answer what is old asks for the phase, most
/// others need not.
///
/// # Examples
///
/// ```
/// use jetwash::testing::{SimChange, did, events_of};
/// use jetwash::{Event, Phase};
///
/// /// Answers what is new, and only takes note of the rest.
/// fn answers(event: &Event) -> bool {
///     event.phase() == Phase::Live
/// }
/// let events = events_of([SimChange::identity(did(0), None)])?;
/// assert!(answers(&events[0]));
/// # Ok::<(), jetwash::testing::TestingError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The reader has not yet caught up with the log.
    Replay,
    /// The reader has caught up with the log at least once.
    Live,
}

impl Phase {
    pub(crate) const fn at_tip(is_at_tip: bool) -> Self {
        if is_at_tip { Self::Live } else { Self::Replay }
    }
}
