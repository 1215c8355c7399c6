//! Which addresses are not for strangers to send a client to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is this machine's, of a network that is not the public internet, or reserved
/// (RFC 6890 and the registries that it set up). No stranger may have a program connect there.
///
/// # Examples
///
/// ```
/// use jetwash_identity::is_private_address;
///
/// assert!(is_private_address("169.254.169.254".parse()?));
/// // An IPv4 address in another form.
/// assert!(is_private_address("64:ff9b::10.0.0.1".parse()?));
/// assert!(!is_private_address("1.1.1.1".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[must_use]
pub fn is_private_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || first == 0
        || first >= 240
        // Carrier-grade NAT, benchmarks, protocol assignments, 6to4 relays.
        || (first, second & 0xc0) == (100, 64)
        || (first, second & 0xfe) == (198, 18)
        || (first, second, third) == (192, 0, 0)
        || (first, second, third) == (192, 88, 99)
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [first, second, third, .., seventh, eighth] = segments;
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_private_v4(Ipv4Addr::new(a, b, c, d))
    };
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_private_v4(mapped);
    }
    match (first, second) {
        // NAT64, Teredo and 6to4 carry an IPv4 address that the packet ends up at. Teredo has its
        // bits turned around.
        (0x64, 0xff9b) if segments[2..6] == [0; 4] => embedded(seventh, eighth),
        (0x64, 0xff9b) => true,
        (0x2001, 0) => embedded(!seventh, !eighth),
        (0x2002, _) => embedded(second, third),
        // Loopback, unspecified and what is reserved beside them.
        (0, _) => true,
        // Protocol assignments and documentation.
        (0x2001, second) if second < 0x200 || second == 0xdb8 => true,
        (0x3fff, second) if second < 0x1000 => true,
        // What is outside of 2000::/3 is not global: unique-local, link-local, multicast.
        _ => first & 0xe000 != 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_reserved_addresses_are_known_in_all_their_disguises() {
        for text in [
            "127.0.0.1",
            "127.255.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "0.0.0.0",
            "0.1.2.3",
            "255.255.255.255",
            "240.0.0.1",
            "224.0.0.1",
            "239.1.1.1",
            "192.0.0.8",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "198.18.0.1",
            "192.88.99.1",
            "::1",
            "::",
            "::2",
            "::7f00:1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::1.1.1.1",
            "2002:7f00:1::",
            "2002:c0a8:101::",
            "2001:db8::1",
            "2001:2::1",
            "3fff::1",
            "100::1",
            "4000::1",
            "2001:0:1:2:3:4:80ff:fffe",
        ] {
            assert!(is_private_address(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "172.32.0.1",
            "172.15.0.1",
            "100.128.0.1",
            "192.0.3.1",
            "198.20.0.1",
            "9.255.255.255",
            "2606:4700::1111",
            "64:ff9b::1.1.1.1",
            "2002:101:101::",
            "2001:4860:4860::8888",
            "::ffff:1.1.1.1",
            "2a00::1",
        ] {
            assert!(!is_private_address(text.parse().unwrap()), "{text}");
        }
    }
}
