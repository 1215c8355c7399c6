use std::fmt;

use url::{Host, Url};

/// The origin of a personal data server: `http` or `https`, a host, and a port if it is not the
/// usual one.
///
/// It comes from a stranger's document: refuse private addresses when connecting to it.
///
/// # Examples
///
/// ```
/// use jetwash_identity::PdsEndpoint;
///
/// let pds = PdsEndpoint::parse("https://PDS.test:443/").ok_or("not an origin")?;
/// assert_eq!(pds.as_str(), "https://pds.test");
/// assert!(PdsEndpoint::parse("https://pds.test/path").is_none());
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PdsEndpoint(Box<str>);

impl PdsEndpoint {
    /// The longest text that is accepted, in bytes.
    pub const MAX_LENGTH: usize = 512;

    /// Reads an origin and brings it into its usual form. Returns `None` if it is not one: with a
    /// path, a query, a fragment, a user, or another scheme, or with a host that no name server
    /// could have.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > Self::MAX_LENGTH {
            return None;
        }
        let url = Url::parse(text).ok()?;
        // A browser would take `https:/pds.test` as well.
        let (_, rest) = text.split_once(':')?;
        let is_origin = matches!(url.scheme(), "http" | "https")
            && rest.starts_with("//")
            && url.host().is_some_and(|host| is_host(&host))
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        is_origin.then(|| Self(url.origin().ascii_serialization().into()))
    }

    /// The origin, without a slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether it is an address, or a name in the form of RFC 1123. Underscores are seen in the wild.
fn is_host(host: &Host<&str>) -> bool {
    let Host::Domain(name) = host else {
        return true;
    };
    let is_label = |label: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(is_allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

impl fmt::Display for PdsEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
