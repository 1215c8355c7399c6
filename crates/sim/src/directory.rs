use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::account::{self, Account, PLC};
use crate::config::{ConfigError, NetworkConfig};

/// The DID documents of a [`Network`](crate::Network) without the network at hand, for a program
/// that reads its frames and verifies them. Copies share everything.
///
/// Keys, curves and PDS are those of [`Network::did_document`](crate::Network::did_document) at any
/// time: accounts of a simulated network keep their keys. A handle is the first one of its account,
/// even after the network has changed it. Accounts that join as the network runs are known from the
/// start, and those that left still are.
///
/// Accounts are found by number in a table, which is made at the first question: 8 to 16 bytes for
/// each account of the start. Another, for three times as many accounts that may join later, is made
/// at the first question about a DID that the first table does not have. From then on, an
/// unknown DID costs a few steps. A network of the default or of full size takes 40 kB and a
/// millisecond in all; one of 10 million accounts takes 400 MB, and some ten seconds for each table,
/// in which the question waits. Documents are made at each question and not kept.
///
/// # Examples
///
/// ```
/// use jetwash_sim::{Network, NetworkConfig, SimDirectory};
///
/// let config = NetworkConfig { accounts: 5, records: 100, ..NetworkConfig::default() };
/// let directory = SimDirectory::new(&config)?;
/// let mut network = Network::new(config)?;
/// let frame = network.next().unwrap();
/// assert_eq!(directory.document(&frame.did), network.did_document(&frame.did));
/// assert_eq!(directory.document("did:web:other.test"), None);
/// # Ok::<(), jetwash_sim::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct SimDirectory {
    shared: Arc<Shared>,
}

struct Shared {
    config: NetworkConfig,
    /// The accounts of the start.
    first: Table,
    /// The accounts that may join.
    later: Table,
}

impl SimDirectory {
    /// Makes the directory of the network of this configuration. Of that only the seed, the number
    /// of accounts and the PDS matter.
    ///
    /// # Errors
    ///
    /// When a setting is out of its range.
    pub fn new(config: &NetworkConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let (first, most) = (config.accounts as u32, config.most_accounts() as u32);
        let shared = Shared {
            first: Table::new(config.seed, 0..first),
            later: Table::new(config.seed, first..most),
            config: config.clone(),
        };
        let shared = Arc::new(shared);
        Ok(Self { shared })
    }

    /// Returns the DID document of an account, as JSON, or `None` if no account of the network has
    /// this DID or can come to have it.
    #[must_use]
    pub fn document(&self, did: &str) -> Option<String> {
        let digits: &[u8; 24] = did.strip_prefix(PLC)?.as_bytes().try_into().ok()?;
        let Shared {
            config,
            first,
            later,
        } = &*self.shared;
        let number = first.find(digits).or_else(|| later.find(digits))?;
        let account = Account::new(config.seed, number.into(), None);
        Some(account.document(config.seed, &config.pds))
    }
}

impl fmt::Debug for SimDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDirectory")
            .field("config", &self.shared.config)
            .finish()
    }
}

/// The numbers of accounts by their DIDs.
///
/// DIDs are not kept: they follow from the numbers, and are made again to be compared.
struct Table {
    seed: u64,
    numbers: Range<u32>,
    /// Each number where its DID says or as soon after as there is room; at most half full. Empty
    /// until it is needed.
    slots: OnceLock<Box<[Option<Number>]>>,
}

/// The number of an account and one, so that a slot has the size of a number.
type Number = std::num::NonZeroU32;

impl Table {
    const fn new(seed: u64, numbers: Range<u32>) -> Self {
        Self {
            seed,
            numbers,
            slots: OnceLock::new(),
        }
    }

    fn find(&self, digits: &[u8; 24]) -> Option<u32> {
        let slots = self.slots.get_or_init(|| self.fill());
        // Ends at an empty slot, and half of all are empty: an unknown DID takes a few steps.
        places(digits, slots.len())
            .map_while(|place| slots[place])
            .map(|number| number.get() - 1)
            .find(|number| self.digits(*number) == *digits)
    }

    fn fill(&self) -> Box<[Option<Number>]> {
        let length = (self.numbers.len() * 2).next_power_of_two();
        let mut slots = vec![None; length].into_boxed_slice();
        for number in self.numbers.clone() {
            let free = places(&self.digits(number), length).find(|place| slots[*place].is_none());
            if let Some(place) = free {
                slots[place] = Number::new(number + 1);
            }
        }
        slots
    }

    fn digits(&self, number: u32) -> [u8; 24] {
        account::digits(self.seed, number.into())
    }
}

/// The slots in which a DID may be, from the best one on. `length` is a power of two.
fn places(digits: &[u8; 24], length: usize) -> impl Iterator<Item = usize> {
    // FNV-1a, since neither the bits of a digit nor digits that a stranger chose are spread evenly.
    let mix = |hash: u64, digit: &u8| (hash ^ u64::from(*digit)).wrapping_mul(0x0100_0000_01b3);
    let first = digits.iter().fold(0xcbf2_9ce4_8422_2325, mix) as usize;
    (0..length).map(move |step| first.wrapping_add(step) & (length - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_account_is_found_and_an_unknown_did_ends_soon() {
        let table = Table::new(7, 100..50_000);
        let steps = |digits: &[u8; 24]| {
            let slots = table.slots.get().map_or(&[][..], |slots| slots);
            let full = places(digits, slots.len()).take_while(|place| slots[*place].is_some());
            full.count()
        };
        for number in 100..50_000 {
            let digits = table.digits(number);
            assert_eq!(table.find(&digits), Some(number));
        }
        let mut most = 0;
        for number in (0..100).chain(50_000..150_000) {
            let digits = table.digits(number);
            assert_eq!(table.find(&digits), None);
            most = most.max(steps(&digits));
        }
        // Nearly four times as many slots as accounts; of 65,536 clusters the longest.
        assert!(most < 50, "{most}");
        assert_eq!(table.slots.get().map(|slots| slots.len()), Some(131_072));
    }

    #[test]
    fn a_text_that_is_not_a_did_of_plc_makes_no_table() {
        let directory = SimDirectory::new(&NetworkConfig::default()).unwrap();
        for did in [
            "",
            "did:plc:",
            "did:plc:short",
            "did:web:sim.test",
            "did:plc:\u{e4}",
        ] {
            assert_eq!(directory.document(did), None);
        }
        let is_made = |table: &Table| table.slots.get().is_some();
        let shared = &directory.shared;
        assert!(!is_made(&shared.first) && !is_made(&shared.later));
        assert!(directory.document(&account::did(42, 999)).is_some());
        assert!(is_made(&shared.first) && !is_made(&shared.later));
        assert!(directory.document(&account::did(42, 3999)).is_some());
        assert!(is_made(&shared.later));
        assert_eq!(directory.document(&account::did(42, 4000)), None);
    }
}
