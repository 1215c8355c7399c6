//! The way out of the log: events from a position on, that a filter matches.
//!
//! - `cursor` and `start_from`: positions, and where reading starts.
//! - `reader`: the log block by block; `pages` loads what is in a block, `selection` picks the
//!   events that a filter matches.
//! - `walk`: a reader and a filter, event by event.
//! - `subscription`, `subscription_with_gaps`, `poll`: a walk as a stream, with `delivery` of gaps,
//!   or by calls.
//! - `event`, with its `phase`, `event_id`, `line` and `change`: an event and what it says.
//! - `gaps` and `read_error`: what is told where events are missing or cannot be read.
//! - `kept_frames`: the relay's frames, where they are kept.

mod change;
mod delivery;
mod event;
mod event_id;
mod gaps;
mod kept_frames;
mod line;
mod pages;
mod phase;
mod poll;
mod read_error;
mod reader;
mod selection;
mod start_from;
mod subscription;
mod subscription_with_gaps;
mod walk;

pub use change::Change;
pub use delivery::Delivery;
pub use event::Event;
pub use event_id::EventId;
pub use kept_frames::{FrameSubscription, FramesError};
pub use pages::{compressed_of, json_of, some_json_of};
pub use phase::Phase;
pub use poll::Polled;
pub use read_error::ReadError;
pub use reader::{Reader, Reading};
pub use selection::Selection;
pub use start_from::StartFrom;
pub use subscription::Subscription;
pub use subscription_with_gaps::SubscriptionWithGaps;
pub(crate) use walk::{Loaded, Walk};
