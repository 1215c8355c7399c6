use jetwash_identity::is_private_address;
use url::{Host, Url};

use super::endpoint::{host_of, with_cursor};
use super::error::RelayError;

/// The redirects so far, which limit where the next may lead.
pub(super) struct Way {
    pub(super) url: Url,
    pub(super) origin: url::Origin,
    pub(super) was_tls: bool,
    /// Whether the first host is on a private network; only then a redirect may lead to one.
    pub(super) is_private: Option<bool>,
}

impl Way {
    pub(super) fn new(url: Url) -> Self {
        Self {
            origin: url.origin(),
            was_tls: false,
            is_private: None,
            url,
        }
    }

    /// Where a redirect leads, if it may be followed.
    pub(super) fn next(
        &self,
        location: &str,
        cursor: Option<u64>,
        redirects: u32,
    ) -> Result<Url, &'static str> {
        if redirects >= MAX_REDIRECTS {
            return Err("it is the sixth");
        }
        let next = (!location.is_empty()).then(|| self.url.join(location));
        let mut next = next.and_then(Result::ok).ok_or("it is not a URL")?;
        let scheme = match next.scheme() {
            "https" | "wss" => "wss",
            "http" | "ws" if self.was_tls => return Err("it leads to a connection without TLS"),
            "http" | "ws" => "ws",
            _ => return Err("its scheme is not https, http, wss or ws"),
        };
        let is_set = next.set_scheme(scheme).is_ok() && next.host().is_some();
        if !is_set || !next.username().is_empty() || next.password().is_some() {
            return Err("it is not the address of a websocket");
        }
        next.set_fragment(None);
        Ok(with_cursor(next, cursor))
    }

    /// Notes of the first host whether it is private; those after it may be so only if it is.
    pub(super) fn check(&mut self, is_private: bool) -> Result<(), RelayError> {
        let allowed = *self.is_private.get_or_insert(is_private);
        if is_private && !allowed {
            return Err(RelayError::Redirect {
                location: host_of(&self.url).to_owned(),
                reason: "it leads from the internet to a private address",
            });
        }
        Ok(())
    }
}

/// Whether a host is on a private network, as far as its name says.
pub(super) fn is_private_name(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_private_address(address.into()),
        Some(Host::Ipv6(address)) => is_private_address(address.into()),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            let top = name.rsplit_once('.').map(|(_, top)| top);
            top.is_none_or(|top| ["internal", "local", "localhost"].contains(&top))
        }
        None => true,
    }
}

const MAX_REDIRECTS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_keeps_the_cursor_and_never_gives_tls_up() {
        let mut from = Way::new(Url::parse("wss://a.example/xrpc/x?cursor=7").unwrap());
        from.was_tls = true;
        let next = |location: &str| {
            let next = from.next(location, Some(7), 0);
            next.map(String::from)
        };
        assert_eq!(next("/other").unwrap(), "wss://a.example/other?cursor=7");
        let other = "wss://b.example/x?a=b%20c&cursor=7";
        assert_eq!(next("https://b.example/x?a=b%20c").unwrap(), other);
        assert_eq!(
            next("//b.example/?cursor=3").unwrap(),
            "wss://b.example/?cursor=7"
        );
        next("http://b.example/").unwrap_err();
        next("ws://b.example/").unwrap_err();
        next("ftp://b.example/").unwrap_err();
        next("https://user@b.example/").unwrap_err();
        next("").unwrap_err();
        from.next("/again", None, MAX_REDIRECTS).unwrap_err();
    }

    #[test]
    fn a_redirect_from_the_internet_never_leads_to_a_private_name() {
        let mut proxied = Way::new(Url::parse("ws://169.254.169.254/").unwrap());
        proxied.check(false).unwrap();
        proxied.check(is_private_name(&proxied.url)).unwrap_err();
    }
}
