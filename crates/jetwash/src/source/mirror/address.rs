use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;
use url::Url;

/// The address of a host that serves a log to mirrors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MirrorAddress {
    /// Without a query.
    url: Url,
    name: Arc<str>,
}

impl MirrorAddress {
    /// The address to connect to, without the place to continue from.
    pub(super) const fn url(&self) -> &Url {
        &self.url
    }

    /// The address without the path of the endpoint, for people to read.
    pub(super) const fn name(&self) -> &Arc<str> {
        &self.name
    }
}

impl FromStr for MirrorAddress {
    type Err = MirrorAddressError;

    fn from_str(text: &str) -> Result<Self, MirrorAddressError> {
        let error = |reason| MirrorAddressError {
            text: text.to_owned(),
            reason,
        };
        let full = match text.split_once("://") {
            Some(("ws" | "wss", _)) => text.to_owned(),
            Some(("http", rest)) => format!("ws://{rest}"),
            Some(("https", rest)) => format!("wss://{rest}"),
            Some(_) => return Err(error("the scheme must be ws, wss, http or https")),
            None => format!("wss://{text}"),
        };
        let mut url = Url::parse(&full).map_err(|_| error("it is not a URL"))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(error("it names no host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(error("user and password are not supported"));
        }
        if url.query().is_some() {
            return Err(error("the query is jetwash's own: leave it out"));
        }
        url.set_fragment(None);
        let path = url.path().trim_end_matches('/');
        let base = path.strip_suffix(PATH).unwrap_or(path).to_owned();
        url.set_path(&base);
        let name = url.as_str().trim_end_matches('/').into();
        url.set_path(&format!("{base}{PATH}"));
        Ok(Self { url, name })
    }
}

/// Why a text is not the address of a host to mirror.
///
/// # Examples
///
/// ```
/// use jetwash::{Jetstream, Mistake};
///
/// let error = Jetstream::builder().mirror("ftp://a.example").build().unwrap_err();
/// let [Mistake::Mirror(error)] = error.mistakes() else { panic!("{error}") };
/// assert_eq!(error.reason, "the scheme must be ws, wss, http or https");
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "mirror {text:?}: {reason}; give a host such as `jetwash.example` or a URL such as \
     `ws://127.0.0.1:6008`"
)]
pub struct MirrorAddressError {
    /// The text.
    pub text: String,
    /// The mistake in it.
    pub reason: &'static str,
}

const PATH: &str = "/mirror";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_the_path_or_not_and_keeps_what_is_before_it() {
        for (text, url, name) in [
            ("A.example", "wss://a.example/mirror", "wss://a.example"),
            (
                "http://127.0.0.1:6008/",
                "ws://127.0.0.1:6008/mirror",
                "ws://127.0.0.1:6008",
            ),
            (
                "wss://a.example/base/mirror",
                "wss://a.example/base/mirror",
                "wss://a.example/base",
            ),
        ] {
            let address: MirrorAddress = text.parse().unwrap();
            assert_eq!((address.url().as_str(), &**address.name()), (url, name));
        }
    }

    #[test]
    fn what_is_no_address_of_a_host_is_refused() {
        for text in ["", "ftp://a", "wss://", "a.example?seq=3", "ws://u:p@a"] {
            text.parse::<MirrorAddress>().unwrap_err();
        }
    }
}
