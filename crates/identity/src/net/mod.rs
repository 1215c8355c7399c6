//! Documents and texts from hosts that nobody vouches for.

mod address;
mod connect;
mod error;
mod fetch;
#[cfg(feature = "hickory")]
mod hickory;
mod lookup;
mod tls;

pub use address::is_private_address;
pub(crate) use connect::Socket;
pub use error::FetchError;
pub(crate) use fetch::Failure;
pub(crate) use fetch::{Answer, Ask, Fetcher};
#[cfg(feature = "hickory")]
pub use hickory::HickoryTxt;
pub use lookup::{AddressLookup, SystemLookup, TxtLookup};
