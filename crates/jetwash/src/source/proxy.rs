//! Proxies, as the environment or the caller names them.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::{Host, Url};

use super::endpoint::{host_of, port_of};
use super::relay_option_error::RelayOptionError;
use super::socks::Credentials;

/// A proxy that connections are made through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proxy {
    /// Where it is: with the scheme `https` if it is spoken to through TLS, otherwise `http`.
    pub(super) url: Url,
    pub(super) protocol: Protocol,
}

/// How a proxy is asked for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// With `CONNECT` of HTTP, and what the header `Proxy-Authorization` says.
    Http { authorization: Option<String> },
    /// With SOCKS 5.
    Socks {
        credentials: Option<Credentials>,
        /// Whether names of hosts are looked up here; otherwise the proxy does it.
        looks_up: bool,
    },
}

/// Which proxy is for which relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    exceptions: Vec<String>,
}

impl Proxies {
    /// One proxy for all.
    pub(super) fn all(text: &str) -> Result<Self, RelayOptionError> {
        let proxy = Proxy::parse(text)?;
        Ok(Self {
            http: Some(proxy.clone()),
            https: Some(proxy),
            exceptions: Vec::new(),
        })
    }

    /// Reads the environment: `HTTP_PROXY` for `ws`, `HTTPS_PROXY` for `wss`, `ALL_PROXY` for
    /// both and `NO_PROXY` for exceptions, in small letters too, which come first.
    pub(super) fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, RelayOptionError> {
        let read = |name: &str| {
            let value = variable(&name.to_lowercase()).filter(|value| !value.trim().is_empty());
            let value = value.or_else(|| {
                // A web server hands the header `Proxy` to its CGI programs as `HTTP_PROXY`.
                let is_forged = name == "HTTP_PROXY" && variable("REQUEST_METHOD").is_some();
                variable(name).filter(|_| !is_forged)
            });
            value.filter(|value| !value.trim().is_empty())
        };
        let proxy = |name: &str| {
            let text = read(name).or_else(|| read("ALL_PROXY"));
            text.map(|text| Proxy::parse(&text)).transpose()
        };
        let exceptions = read("NO_PROXY").unwrap_or_default();
        Ok(Self {
            http: proxy("HTTP_PROXY")?,
            https: proxy("HTTPS_PROXY")?,
            exceptions: exceptions
                .split([',', ' '])
                .filter(|entry| !entry.is_empty())
                .map(str::to_lowercase)
                .collect(),
        })
    }

    /// The proxy to reach `url` through, if any.
    pub(super) fn for_url(&self, url: &Url) -> Option<&Proxy> {
        let proxy = if url.scheme() == "wss" {
            self.https.as_ref()
        } else {
            self.http.as_ref()
        };
        let port = url.port_or_known_default();
        let host = url.host()?;
        let is_exception = |entry: &String| is_exception(entry, &host, port);
        proxy.filter(|_| !self.exceptions.iter().any(is_exception))
    }
}

impl Proxy {
    fn parse(text: &str) -> Result<Self, RelayOptionError> {
        let text = text.trim();
        let full = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        // The text may hold a password, so the error does not say it.
        let error = |reason| RelayOptionError::Proxy { reason };
        let mut url = Url::parse(&full).map_err(|_| error("it is not a URL"))?;
        let looks_up = match url.scheme() {
            "http" | "https" => None,
            "socks5" => Some(true),
            "socks5h" => Some(false),
            "socks4" | "socks4a" => {
                return Err(error("SOCKS 4 is not supported, only socks5 and socks5h"));
            }
            _ => return Err(error("its scheme must be http, https, socks5 or socks5h")),
        };
        if looks_up.is_some() {
            // With a scheme that the URL parser knows, it reads addresses in the host as such.
            let port = url.port().unwrap_or(SOCKS_PORT);
            let rest = full.split_once("://").map_or("", |(_, rest)| rest);
            url = Url::parse(&format!("http://{rest}")).map_err(|_| error("it is not a URL"))?;
            url.set_port(Some(port))
                .map_err(|()| error("it is not a URL"))?;
        }
        let pair = (!url.username().is_empty() || url.password().is_some()).then(|| {
            let password = url.password().unwrap_or_default();
            (percent_decoded(url.username()), percent_decoded(password))
        });
        // What is left names the proxy in errors.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let protocol = match looks_up {
            None => Protocol::Http {
                authorization: pair.map(|(user, password)| {
                    let pair = [&user[..], b":", &password].concat();
                    format!("Basic {}", STANDARD.encode(pair))
                }),
            },
            Some(looks_up) => {
                let credentials = pair.map(|(user, password)| {
                    let credentials = Credentials::new(user, password);
                    let reason = "SOCKS takes a user and a password of 1 to 255 bytes each";
                    credentials.ok_or_else(|| error(reason))
                });
                Protocol::Socks {
                    credentials: credentials.transpose()?,
                    looks_up,
                }
            }
        };
        Ok(Self { url, protocol })
    }

    /// Whether names of hosts are looked up here, and not by the proxy.
    pub(super) const fn looks_up(&self) -> bool {
        matches!(self.protocol, Protocol::Socks { looks_up: true, .. })
    }

    /// Its name in errors, without a password.
    pub(super) fn name(&self) -> String {
        match self.protocol {
            Protocol::Http { .. } => self.url.to_string(),
            Protocol::Socks { looks_up, .. } => {
                let scheme = if looks_up { "socks5" } else { "socks5h" };
                let (host, port) = (host_of(&self.url), port_of(&self.url));
                format!("{scheme}://{host}:{port}")
            }
        }
    }
}

const SOCKS_PORT: u16 = 1080;

/// Whether an entry of `NO_PROXY` is about this host: `*`, a name with all that is below it, an
/// address, or a network such as `10.0.0.0/8`; each may end in `:port`, but the last.
fn is_exception(entry: &str, host: &Host<&str>, port: Option<u16>) -> bool {
    if entry == "*" {
        return true;
    }
    let address = match host {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(IpAddr::V4(*address)),
        Host::Ipv6(address) => Some(IpAddr::V6(*address)),
    };
    let plain = entry.trim_start_matches('[').trim_end_matches(']');
    if let Ok(listed) = plain.parse::<IpAddr>() {
        return address == Some(listed);
    }
    if let Some((network, bits)) = entry.split_once('/') {
        let network = (network.parse().ok()).zip(bits.parse().ok());
        return network
            .zip(address)
            .is_some_and(|((network, bits), address)| is_within(address, network, bits));
    }
    // An IPv6 address has colons too, and was recognised above unless a port follows it.
    let (name, listed_port) = match entry.rsplit_once(':') {
        Some((name, digits)) => (name, digits.parse::<u16>().ok()),
        None => (entry, None),
    };
    if listed_port.is_some() && listed_port != port {
        return false;
    }
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if let Some(address) = address {
        return name.parse() == Ok(address);
    }
    let name = name.trim_start_matches("*.").trim_matches('.');
    let Host::Domain(host) = host else {
        return false;
    };
    let host = host.trim_end_matches('.').to_lowercase();
    // Only whole labels match: `a.example` covers `b.a.example`, but not `aa.example`.
    let above = host.strip_suffix(name);
    !name.is_empty() && above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => (
            u128::from(address.to_bits()),
            u128::from(network.to_bits()),
            32,
        ),
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    bits <= width && (bits == 0 || (address ^ network) >> (width - bits) == 0)
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = match (first, tail) {
            (b'%', [high, low, ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                digit(*high).zip(digit(*low))
            }
            _ => None,
        };
        (rest, decoded) = match code {
            Some((high, low)) => {
                decoded.push((high * 16 + low) as u8);
                (tail.get(2..).unwrap_or_default(), decoded)
            }
            None => {
                decoded.push(*first);
                (tail, decoded)
            }
        };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::from_environment(|name| {
            let found = variables.iter().find(|(listed, _)| *listed == name);
            found.map(|(_, value)| (*value).to_owned())
        })
        .unwrap()
    }

    fn through(proxies: &Proxies, url: &str) -> Option<String> {
        let proxy = proxies.for_url(&Url::parse(url).unwrap());
        proxy.map(|proxy| proxy.url.host_str().unwrap().to_owned())
    }

    #[test]
    fn the_environment_names_a_proxy_for_each_scheme() {
        let found = proxies(&[
            ("HTTPS_PROXY", "http://secure.example:3128"),
            ("ALL_PROXY", "any.example:1080"),
        ]);
        let secure = through(&found, "wss://relay.example/");
        assert_eq!(secure.as_deref(), Some("secure.example"));
        let plain = through(&found, "ws://relay.example/");
        assert_eq!(plain.as_deref(), Some("any.example"));
        let forged = proxies(&[("HTTP_PROXY", "a.example"), ("REQUEST_METHOD", "GET")]);
        assert_eq!(through(&forged, "ws://relay.example/"), None);
        assert_eq!(
            through(&proxies(&[("ALL_PROXY", "")]), "ws://a.example/"),
            None
        );
    }

    #[test]
    fn no_proxy_names_hosts_domains_addresses_and_networks() {
        let list =
            "internal.example, .corp.example,*.dev.example,10.0.0.0/8,[fd00::1],b.example:99";
        let found = proxies(&[("all_proxy", "http://proxy.example"), ("NO_PROXY", list)]);
        for direct in [
            "ws://internal.example/",
            "ws://a.internal.example/",
            "ws://corp.example/",
            "wss://a.dev.example/",
            "ws://10.200.0.1:7777/",
            "ws://[fd00::1]/",
            "ws://b.example:99/",
        ] {
            assert_eq!(through(&found, direct), None, "{direct}");
        }
        for proxied in [
            "ws://notinternal.example/",
            "ws://11.0.0.1/",
            "ws://b.example/",
            "ws://[fd00::2]/",
        ] {
            assert!(through(&found, proxied).is_some(), "{proxied}");
        }
        let none = proxies(&[("all_proxy", "proxy.example"), ("no_proxy", "*")]);
        assert_eq!(through(&none, "ws://relay.example/"), None);
    }

    #[test]
    fn a_proxys_user_and_password_become_a_header() {
        let proxy = Proxy::parse("http://us%3Aer:pa%20ss@proxy.example:3128").unwrap();
        // By hand: base64 of `us:er:pa ss`.
        let authorization = Some("Basic dXM6ZXI6cGEgc3M=".to_owned());
        assert_eq!(proxy.protocol, Protocol::Http { authorization });
        assert_eq!(proxy.url.as_str(), "http://proxy.example:3128/");
    }

    #[test]
    fn a_socks_proxy_has_its_port_its_password_and_its_way_to_look_up_names() {
        let proxy = Proxy::parse("socks5h://us%3Aer:pass@[::1]").unwrap();
        let credentials = Credentials::new(b"us:er".to_vec(), b"pass".to_vec());
        let looks_up = false;
        let protocol = Protocol::Socks {
            credentials,
            looks_up,
        };
        assert_eq!(proxy.protocol, protocol);
        assert_eq!(proxy.name(), "socks5h://[::1]:1080");
        let proxy = Proxy::parse("socks5://127.0.0.1:80").unwrap();
        assert_eq!(proxy.name(), "socks5://127.0.0.1:80");
        assert!(matches!(proxy.url.host(), Some(Host::Ipv4(_))));
        for wrong in [
            "socks4://proxy.example",
            "socks5://",
            "socks5://user@proxy.example",
            "ftp://proxy.example",
        ] {
            Proxy::parse(wrong).unwrap_err();
        }
    }
}
