use thiserror::Error;

/// Why a host gave no answer that can be used.
///
/// # Examples
///
/// ```
/// use jetwash_identity::FetchError;
///
/// let error = FetchError::Status(503);
/// assert_eq!(error.to_string(), "it answers with the HTTP status 503");
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FetchError {
    /// It redirects to a host that has had its share of requests.
    #[error("it redirects to a host whose budget is used up")]
    Budget,
    /// No address takes a connection.
    #[error("no address of it takes a connection")]
    Connect,
    /// The name has no address.
    #[error("its name has no address")]
    NoAddress,
    /// All its addresses are private or reserved, and that was not allowed.
    #[error("its addresses are private or reserved")]
    PrivateAddress,
    /// It broke off, or does not speak HTTP/1.1 within the bounds of 16 KiB and 64 headers.
    #[error("its answer is not HTTP within the bounds, or is cut short")]
    Protocol,
    /// It redirects more than three times, from TLS to plain text, or to what is not a web address.
    #[error("it redirects too often, or to an address that is not allowed")]
    Redirect,
    /// It answers with a status that says nothing about what was asked for.
    #[error("it answers with the HTTP status {0}")]
    Status(u16),
    /// It took too long.
    #[error("it took too long")]
    Timeout,
    /// There is no TLS with it: its certificate is not valid, or this machine trusts none.
    #[error("there is no valid TLS with it")]
    Tls,
    /// The answer is longer than what is read of it.
    #[error("its answer is too long")]
    TooLong,
}
