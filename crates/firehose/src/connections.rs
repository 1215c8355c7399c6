use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::refusal::Refusal;

/// Counts readers, together and for each network. A network is forgotten with its last reader, so
/// the memory is bounded by the number of readers.
#[derive(Debug)]
pub(crate) struct Connections {
    most: usize,
    most_each: Option<usize>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// One reader. It is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    connections: Arc<Connections>,
    network: Option<IpAddr>,
}

impl Connections {
    pub(crate) fn new(most: usize, most_each: Option<usize>) -> Self {
        Self {
            most,
            most_each,
            counts: Mutex::default(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.counts().all
    }

    /// Counts one more reader, unless a limit is reached.
    pub(crate) fn enter(self: &Arc<Self>, ip: Option<IpAddr>) -> Result<Connection, Refusal> {
        let network = ip.map(network);
        let mut counts = self.counts();
        if counts.all >= self.most {
            return Err(Refusal::Total);
        }
        if let Some(network) = network {
            let each = counts.by_network.get(&network).copied().unwrap_or_default();
            if self.most_each.is_some_and(|most| each >= most) {
                return Err(Refusal::Address);
            }
            counts.by_network.insert(network, each + 1);
        }
        counts.all += 1;
        Ok(Connection {
            connections: Arc::clone(self),
            network,
        })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Nothing is left half done under this lock, so a poisoned one is as good as any.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut counts = self.connections.counts();
        debug_assert!(counts.all > 0, "each reader is counted once");
        counts.all -= 1;
        if let Some(network) = self.network
            && let Some(each) = counts.by_network.get_mut(&network)
        {
            *each -= 1;
            if *each == 0 {
                counts.by_network.remove(&network);
            }
        }
    }
}

/// The part of an address that counts. Of IPv6 it is the first 64 bits, because one client usually
/// has all addresses that begin with them.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_counted_together_and_by_network_and_forgotten() {
        let connections = Arc::new(Connections::new(4, Some(2)));
        let enter = |ip: &str| connections.enter(Some(ip.parse().unwrap()));
        let first = enter("2001:db8::1").unwrap();
        let second = enter("2001:db8::2").unwrap();
        assert_eq!(enter("2001:db8::3").unwrap_err(), Refusal::Address);
        let third = enter("2001:db8:0:1::1").unwrap();
        let unknown = connections.enter(None).unwrap();
        assert_eq!(connections.enter(None).unwrap_err(), Refusal::Total);
        drop((first, second, third, unknown));
        assert_eq!(connections.count(), 0);
        assert!(connections.counts().by_network.is_empty());
        let mapped = enter("::ffff:192.0.2.1").unwrap();
        let plain = enter("192.0.2.1").unwrap();
        assert_eq!(enter("192.0.2.1").unwrap_err(), Refusal::Address);
        drop((mapped, plain));
    }
}
