use std::fmt;

/// The name of an event: see [`Event::id`](crate::Event::id).
///
/// # Examples
///
/// ```
/// use jetwash::testing::{SimChange, did, events_of};
///
/// let events = events_of([SimChange::identity(did(0), Some("alice.test"))])?;
/// let id = events[0].id();
/// assert!(id.as_str().starts_with(&format!("{}/identity/", did(0))));
/// # Ok::<(), jetwash::testing::TestingError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub(super) String);

impl EventId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<EventId> for String {
    fn from(id: EventId) -> Self {
        id.0
    }
}
