//! Consumers: programs' own code, called for each event, with what every such program needs
//! around it.

mod builder;
mod driver;
mod error;
mod handle;
mod handler;
mod lag;
mod letters;
mod meter;
mod retry;
mod settings;
mod status;
mod window;

pub use builder::Consumer;
pub use error::ConsumerError;
pub use handle::{ConsumerHandle, NotRunning};
pub use handler::{Blocking, Failure, Handler, Reaction, Typed, TypedHandler, blocking, typed};
pub use lag::{Behind, Lag, Stage};
pub use letters::{DeadLetter, Letters, LettersError, Replayed};
pub use retry::Retry;
pub use settings::WhenStuck;
pub use status::{ConsumerStatus, HeldBy, StuckHandler};

pub(crate) use handle::Registry;
