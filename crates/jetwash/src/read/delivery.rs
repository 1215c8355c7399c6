use jetwash_store::Gap;

use crate::read::Event;

/// An item of a [`Subscription`](crate::Subscription) with gaps.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Delivery {
    /// The next event.
    Event(Event),
    /// Events are missing, or may be, before the next event.
    Gap(Gap),
}
