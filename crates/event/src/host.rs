//! The host of an address.

/// Returns the host of an address of the web in lower case; `None` if it is not one.
///
/// Browsers read a backslash as a slash, so it ends the host here too: otherwise an address could
/// show one host to a filter and lead to another.
pub(crate) fn host_of(address: &str) -> Option<Box<str>> {
    let (scheme, rest) = address.trim().split_once("://")?;
    if !(scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")) {
        return None;
    }
    let authority = rest.split(['/', '\\', '?', '#']).next()?;
    // Before an `@` may be a user's name, which may look like a host.
    let (_, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let host = match place.strip_prefix('[') {
        Some(ip) => ip.split(']').next()?,
        None => place.split(':').next()?,
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty()).then(|| host.to_lowercase().into())
}

/// Whether `host` is `domain` or below it. Both are in lower case.
pub(crate) fn is_within(host: &str, domain: &str) -> bool {
    let rest = host.strip_suffix(domain);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::{host_of, is_within};

    #[test]
    fn the_host_is_where_a_browser_would_go() {
        let is = |address: &str, host: &str| assert_eq!(host_of(address).as_deref(), Some(host));
        is("https://www.BBC.co.uk/news?x=1#y", "www.bbc.co.uk");
        is("HTTP://example.com.:8080", "example.com");
        is("https://bbc.co.uk@evil.example/", "evil.example");
        is("https://a@b@evil.example?bbc.co.uk", "evil.example");
        is("https://evil.example\\@bbc.co.uk/", "evil.example");
        is("https://KØBENHAVN.dk/", "københavn.dk");
        is("http://[2001:DB8::1]:80/", "2001:db8::1");
        for none in [
            "",
            "bbc.co.uk",
            "mailto:a@b.example",
            "https:///x",
            "https://",
            "at://did:web:a.example/x",
        ] {
            assert_eq!(host_of(none), None, "{none}");
        }
    }

    #[test]
    fn a_domain_has_what_is_below_it() {
        assert!(is_within("bbc.co.uk", "bbc.co.uk") && is_within("news.bbc.co.uk", "bbc.co.uk"));
        assert!(!is_within("notbbc.co.uk", "bbc.co.uk") && !is_within("co.uk", "bbc.co.uk"));
    }
}
