use thiserror::Error;

/// A mistake in the [`RelayOptions`](crate::RelayOptions).
///
/// # Examples
///
/// ```
/// use jetwash::{Jetstream, Mistake, RelayOptionError, RelayOptions};
///
/// let options = RelayOptions::new().header("Host", "elsewhere.example");
/// let error = Jetstream::builder().relay("a.example").relay_options(options).build().unwrap_err();
/// match &error.mistakes()[0] {
///     Mistake::RelayOption(RelayOptionError::Header { name, .. }) => assert_eq!(name, "Host"),
///     other => panic!("{other}"),
/// }
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayOptionError {
    /// A header that cannot be sent, or that the websocket needs for itself.
    #[error("the header {name:?} for relays: {reason}")]
    Header {
        /// Its name.
        name: String,
        /// The mistake.
        reason: &'static str,
    },
    /// A proxy that cannot be used, from the environment or from the options.
    #[error(
        "the proxy for relays: {reason}; give a URL such as `http://proxy.example:3128`, or set \
         NO_PROXY"
    )]
    Proxy {
        /// The mistake. The URL may hold a password and is not repeated.
        reason: &'static str,
    },
    /// Text or bytes that hold no usable certificate.
    #[error("root certificates for relays: {reason}")]
    Roots {
        /// The mistake.
        reason: String,
    },
    /// A TLS configuration has roots of its own.
    #[error("root certificates are given besides a TLS configuration, which has its own")]
    RootsWithTls,
    /// A user agent that no header can hold.
    #[error("the user agent for relays must be of printable ASCII characters")]
    UserAgent,
    /// No time at all.
    #[error("{name} of relays is 0 s: give more")]
    Zero {
        /// The option.
        name: &'static str,
    },
}
