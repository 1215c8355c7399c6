//! Where the document of a DID is.

use jetwash_event::{Did, Handle};
use url::Url;

use crate::error::ResolveError;

/// Where the document of a DID is to be asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// In a directory.
    Plc,
    /// On the host of this page.
    Web(Url),
}

/// How pages of strangers are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WebRules {
    /// Whether `localhost` is a host, with a port and without TLS.
    pub(crate) allow_private: bool,
    /// Plain HTTP at this port, for tests.
    pub(crate) insecure_port: Option<u16>,
}

impl Method {
    pub(crate) fn of(did: &Did, rules: WebRules) -> Result<Self, ResolveError> {
        let invalid = |reason| ResolveError::InvalidDid {
            did: did.clone(),
            reason,
        };
        let text: &str = did.as_ref();
        match (did.method(), text.get(8..)) {
            ("plc", Some(digits)) => {
                let is_digit = |byte: u8| matches!(byte, b'a'..=b'z' | b'2'..=b'7');
                if digits.len() != 24 || !digits.bytes().all(is_digit) {
                    return Err(invalid("it does not end in 24 digits of base32"));
                }
                Ok(Self::Plc)
            }
            ("web", Some(host)) => web(host, rules).map(Self::Web).map_err(invalid),
            _ => Err(ResolveError::UnsupportedMethod { did: did.clone() }),
        }
    }
}

impl WebRules {
    /// The page of a host name that was checked.
    pub(crate) fn page(self, host: &str, path: &str) -> Option<Url> {
        let text = match self.insecure_port {
            Some(port) => format!("http://{host}:{port}{path}"),
            None => format!("https://{host}{path}"),
        };
        Url::parse(&text).ok()
    }
}

/// Whether a name is under a top-level domain that never resolves.
pub(crate) fn is_reserved(name: &str) -> bool {
    let top = name.rsplit('.').next().unwrap_or_default();
    RESERVED
        .iter()
        .any(|reserved| top.eq_ignore_ascii_case(reserved))
}

fn web(host: &str, rules: WebRules) -> Result<Url, &'static str> {
    let path = "/.well-known/did.json";
    let local = host.strip_prefix("localhost");
    if let Some(rest) = local.filter(|rest| rest.is_empty() || rest.starts_with('%')) {
        if !rules.allow_private {
            return Err("its host is this machine");
        }
        let digits = rest
            .strip_prefix("%3A")
            .or_else(|| rest.strip_prefix("%3a"));
        let port: Option<u16> = digits.and_then(|digits| digits.parse().ok());
        if port.is_none() && !rest.is_empty() {
            return Err("its port is not a number");
        }
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        return Url::parse(&format!("http://localhost{port}{path}")).map_err(|_| NOT_A_HOST);
    }
    if host.contains(':') {
        return Err("it has a path");
    }
    if host.contains('%') {
        return Err("only localhost may have a port");
    }
    // A host name follows the rules of a handle: the last part is not a number, so it is never an
    // address.
    Handle::check(host).map_err(|_| NOT_A_HOST)?;
    if is_reserved(host) {
        return Err("its top-level domain never resolves");
    }
    rules.page(host, path).ok_or(NOT_A_HOST)
}

const NOT_A_HOST: &str = "its host is not a host name of two parts or more";

/// Handle section of the atproto specification.
const RESERVED: [&str; 8] = [
    "alt",
    "arpa",
    "example",
    "internal",
    "invalid",
    "local",
    "localhost",
    "onion",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn method(did: &str, allow_private: bool) -> Result<String, &'static str> {
        let rules = WebRules {
            allow_private,
            insecure_port: None,
        };
        match Method::of(&did.parse().unwrap(), rules) {
            Ok(Method::Plc) => Ok("plc".to_owned()),
            Ok(Method::Web(url)) => Ok(url.into()),
            Err(ResolveError::InvalidDid { reason, .. }) => Err(reason),
            Err(error) => Err(error.kind().as_str()),
        }
    }

    #[test]
    fn a_did_says_where_its_document_is() {
        let plc = method("did:plc:ewvi7nxzyoun6zhxrhs64oiz", false);
        assert_eq!(plc.unwrap(), "plc");
        let web = method("did:web:pds.test", false).unwrap();
        assert_eq!(web, "https://pds.test/.well-known/did.json");
        let local = method("did:web:localhost%3A2583", true).unwrap();
        assert_eq!(local, "http://localhost:2583/.well-known/did.json");
        let local = method("did:web:localhost", true).unwrap();
        assert_eq!(local, "http://localhost/.well-known/did.json");
    }

    #[test]
    fn a_did_that_leads_nowhere_or_to_a_place_of_its_own_choice_is_refused() {
        assert_eq!(method("did:key:zQ3sh", true), Err("unsupported_method"));
        assert_eq!(
            method("did:webvh:pds.test", true),
            Err("unsupported_method")
        );
        for text in [
            "did:plc:ewvi7nxzyoun6zhxrhs64oi",
            "did:plc:ewvi7nxzyoun6zhxrhs64oiza",
            "did:plc:EWVI7NXZYOUN6ZHXRHS64OIZ",
            "did:plc:ewvi7nxzyoun6zhxrhs64oi1",
            "did:plc:x",
            "did:web:pds.test:path",
            "did:web:pds.test%3A8080",
            "did:web:pds.test%2Fpath",
            "did:web:127.0.0.1",
            "did:web:1.1",
            "did:web:0x7f000001",
            "did:web:localhost.",
            "did:web:test",
            "did:web:pds.test.",
            "did:web:pds..test",
            "did:web:-pds.test",
            "did:web:pds.local",
            "did:web:pds.INTERNAL",
            "did:web:pds.onion",
            "did:web:pds.localhost",
            "did:web:localhost%3A",
            "did:web:localhost%3Ax",
            "did:web:localhost%2Fx",
            "did:web:localhost%3A80%2Fx",
            "did:web:localhost%3A99999",
        ] {
            let Ok(_) = text.parse::<Did>() else {
                assert!(text.ends_with('%'), "{text}");
                continue;
            };
            assert!(method(text, true).is_err(), "{text}");
        }
        assert!(method("did:web:localhost", false).is_err());
        assert!(method("did:web:localhost%3A80", false).is_err());
    }
}
