//! Addresses of Jetstreams, as people write them.

use std::net::IpAddr;

/// Returns the URL of a Jetstream from its address as people write it.
///
/// A URL stays as it is. A host without a port has TLS, unless it is localhost or an IP address, where
/// it has the port of this server; one with a port has TLS if that is 443.
pub(crate) fn url_of(text: &str) -> String {
    if text.contains("://") {
        return text.to_owned();
    }
    let end = text.find(['/', '?', '#']).unwrap_or(text.len());
    let (host, path) = text.split_at(end);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return match ip {
            IpAddr::V4(ip) => format!("ws://{ip}:{PORT}{path}"),
            IpAddr::V6(ip) => format!("ws://[{ip}]:{PORT}{path}"),
        };
    }
    match host.rsplit_once(':') {
        Some((_, "443")) => format!("wss://{host}{path}"),
        Some(_) => format!("ws://{host}{path}"),
        None if host.eq_ignore_ascii_case("localhost") => format!("ws://{host}:{PORT}{path}"),
        None => format!("wss://{host}{path}"),
    }
}

/// Where this server listens unless told otherwise.
const PORT: u16 = 6008;

#[cfg(test)]
mod tests {
    use super::url_of;

    #[test]
    fn an_address_may_leave_out_what_is_usual() {
        for (text, url) in [
            (
                "jetstream2.us-east.bsky.network",
                "wss://jetstream2.us-east.bsky.network",
            ),
            ("a.example/base", "wss://a.example/base"),
            ("a.example:443", "wss://a.example:443"),
            ("jetwash:6008", "ws://jetwash:6008"),
            ("a.example:6008/subscribe", "ws://a.example:6008/subscribe"),
            ("localhost", "ws://localhost:6008"),
            ("localhost:7", "ws://localhost:7"),
            ("127.0.0.1", "ws://127.0.0.1:6008"),
            ("127.0.0.1:7", "ws://127.0.0.1:7"),
            ("::1", "ws://[::1]:6008"),
            ("[::1]", "ws://[::1]:6008"),
            ("[::1]:7", "ws://[::1]:7"),
            ("https://a.example", "https://a.example"),
            ("http://a.example", "http://a.example"),
        ] {
            assert_eq!(url_of(text), url, "{text}");
        }
    }
}
