use std::io;
use std::net::IpAddr;

use futures_core::future::BoxFuture;

/// Looks the addresses of a host up. The default is [`SystemLookup`].
///
/// Every address that it returns is checked, and then connected to without a second look-up: a
/// name that resolves to a private address is refused whenever it does.
///
/// # Examples
///
/// ```
/// use std::io;
/// use std::net::{IpAddr, Ipv4Addr};
///
/// use futures_core::future::BoxFuture;
/// use jetwash_identity::AddressLookup;
///
/// /// Sends every name to this machine.
/// struct Here;
///
/// impl AddressLookup for Here {
///     fn addresses<'a>(&'a self, _host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
///         Box::pin(async { Ok(vec![Ipv4Addr::LOCALHOST.into()]) })
///     }
/// }
/// ```
pub trait AddressLookup: Send + Sync + 'static {
    /// Looks up a host name. The look-up is dropped when its time is over.
    ///
    /// # Errors
    ///
    /// When there is no such host, or no answer.
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// Looks the TXT records of a name up, for handles.
///
/// # Examples
///
/// ```
/// use std::io;
///
/// use futures_core::future::BoxFuture;
/// use jetwash_identity::TxtLookup;
///
/// /// Knows one handle.
/// struct OneHandle;
///
/// impl TxtLookup for OneHandle {
///     fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<String>>> {
///         let texts = match name {
///             "_atproto.alice.test" => vec!["did=did:web:pds.test".to_owned()],
///             _ => Vec::new(),
///         };
///         Box::pin(async { Ok(texts) })
///     }
/// }
/// ```
pub trait TxtLookup: Send + Sync + 'static {
    /// Looks up the TXT records of a name, each with its parts joined. A name without any is not an
    /// error. The look-up is dropped when its time is over.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<String>>>;
}

/// Looks addresses up as every program of this machine does.
///
/// # Examples
///
/// ```
/// use jetwash_identity::{AddressLookup, SystemLookup};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let addresses = SystemLookup.addresses("127.0.0.1").await?;
/// assert!(addresses[0].is_loopback());
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

impl AddressLookup for SystemLookup {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}
