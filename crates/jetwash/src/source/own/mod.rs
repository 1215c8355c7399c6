//! Sources as the ingest runs them: those of the caller, and all others in the same way.
//!
//! - `contract`: the trait that sources implement.
//! - `handle`: its way into the log, and how far it is.
//! - `boxed`: a source of any type, with its name.
//! - `supervisor`: runs it, again after a panic or an error.

mod boxed;
mod contract;
mod handle;
mod supervisor;

pub(crate) use boxed::BoxedSource;
pub use contract::Source;
pub use handle::SourceHandle;
pub(crate) use handle::SourceParts;
pub(crate) use supervisor::supervise;
