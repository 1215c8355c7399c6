use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The news that an account's repository has to be fetched anew. Only version 2 sends it.
///
/// Source: `com.atproto.sync.subscribeRepos#sync`, which the server passes on.
///
/// # Examples
///
/// ```
/// use jetwash_client::{ClientBody, ClientEvent};
///
/// fn revision(event: &ClientEvent) -> Option<&str> {
///     match event.body() {
///         ClientBody::Sync(sync) => Some(&sync.rev),
///         _ => None,
///     }
/// }
/// # let _ = revision;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientSync {
    /// The revision of the repository now.
    pub rev: Box<str>,
    /// The number of the message in the sequence of the upstream relay.
    pub seq: u64,
    /// When the upstream relay sent it.
    pub time: Box<str>,
    /// The commit as a CAR file in base64 without padding, empty if it was not sent.
    pub blocks: Box<str>,
}

impl ClientSync {
    /// Returns the commit as a CAR file, empty if it was not sent; `None` if it is not base64.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_client::{ClientBody, ClientEvent};
    ///
    /// fn car(event: &ClientEvent) -> Option<Vec<u8>> {
    ///     match event.body() {
    ///         ClientBody::Sync(sync) => sync.car(),
    ///         _ => None,
    ///     }
    /// }
    /// # let _ = car;
    /// ```
    #[must_use]
    pub fn car(&self) -> Option<Vec<u8>> {
        STANDARD_NO_PAD.decode(&*self.blocks).ok()
    }
}
