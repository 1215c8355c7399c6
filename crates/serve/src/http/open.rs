use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts open connections, together and for each network, from the moment that they are accepted.
/// A network is forgotten with its last connection.
#[derive(Debug)]
pub(crate) struct OpenConnections {
    most: usize,
    most_each: Option<usize>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// One open connection; it is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    connections: Arc<OpenConnections>,
    network: IpAddr,
}

/// Why one more connection is too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMany {
    Together,
    FromAddress,
}

impl OpenConnections {
    pub(crate) fn new(most: usize, most_each: Option<usize>) -> Self {
        Self {
            most,
            most_each,
            counts: Mutex::default(),
        }
    }

    /// Counts one more connection, unless a limit is reached.
    pub(crate) fn open(self: &Arc<Self>, ip: IpAddr) -> Result<Open, TooMany> {
        let network = network(ip);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= self.most {
            return Err(TooMany::Together);
        }
        let each = counts.by_network.get(&network).copied().unwrap_or_default();
        if self.most_each.is_some_and(|most| each >= most) {
            return Err(TooMany::FromAddress);
        }
        counts.all += 1;
        counts.by_network.insert(network, each + 1);
        ::metrics::gauge!("jetwash_connections_open").increment(1);
        Ok(Open {
            connections: Arc::clone(self),
            network,
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        ::metrics::gauge!("jetwash_connections_open").decrement(1);
        let counts = &self.connections.counts;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        debug_assert!(counts.all > 0, "each connection is counted once");
        counts.all -= 1;
        if let Some(each) = counts.by_network.get_mut(&self.network) {
            *each -= 1;
            if *each == 0 {
                counts.by_network.remove(&self.network);
            }
        }
    }
}

impl TooMany {
    /// A short name for a counter's label.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Together => "total",
            Self::FromAddress => "address",
        }
    }
}

/// The part of an address that counts. Of IPv6 it is the first 64 bits, because one client usually
/// has all addresses that begin with them.
pub(crate) fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let prefix = ip.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(prefix).into()
        }
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_together_and_by_network() {
        let connections = Arc::new(OpenConnections::new(3, Some(2)));
        let open = |ip: &str| connections.open(ip.parse().unwrap());
        let first = open("2001:db8::1").unwrap();
        let _second = open("2001:db8::2").unwrap();
        assert_eq!(open("2001:db8::3").unwrap_err(), TooMany::FromAddress);
        let _third = open("2001:db8:0:1::1").unwrap();
        assert_eq!(open("192.0.2.1").unwrap_err(), TooMany::Together);
        drop(first);
        drop(open("::ffff:192.0.2.1").unwrap());
        assert_eq!(connections.counts.lock().unwrap().by_network.len(), 2);
    }
}
