//! Documents and texts from hosts that nobody vouches for.

mod error;

pub use error::FetchError;
