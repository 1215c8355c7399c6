//! Documents and texts from hosts that nobody vouches for.

mod address;
mod connect;
mod error;
mod fetch;
mod lookup;
mod tls;

pub(crate) use address::is_private;
pub use error::FetchError;
pub(crate) use fetch::{Answer, Ask, Fetcher};
pub use lookup::{AddressLookup, SystemLookup, TxtLookup};
