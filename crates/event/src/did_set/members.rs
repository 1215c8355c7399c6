use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError};

use super::sync::{ArcSwap, Hashing, Mutex, MutexGuard, RwLock, TABLES};
use super::table::{Bits, Table};
use crate::plc_did::PlcDid;

/// A DID as it is kept.
#[derive(Debug)]
pub(super) enum Member {
    Plc(PlcDid),
    Other(Box<str>),
}

impl Member {
    pub(super) fn new(did: &str) -> Self {
        PlcDid::parse(did).map_or_else(|| Self::Other(did.into()), Self::Plc)
    }
}

/// The DIDs and the bits of each. Reading waits for nobody; writers take turns.
///
/// The `did:plc` are spread over many tables, so that growing one takes little time and memory.
pub(super) struct Members {
    hasher: Hashing,
    tables: Box<[ArcSwap<Table>]>,
    /// How full each table is; a writer holds the lock.
    tallies: Mutex<Box<[Tally]>>,
    /// DIDs of other methods, and texts that are not a canonical `did:plc`: a few in ten thousand.
    others: RwLock<HashMap<Box<str>, Bits, Hashing>>,
}

/// A writer's count of a table.
#[derive(Clone, Copy, Default)]
struct Tally {
    /// The slots taken.
    taken: usize,
    /// Those of them whose DID has been removed.
    removed: usize,
}

impl Members {
    pub(super) fn new() -> Self {
        let empty = Arc::new(Table::with_room_for(0));
        let tables = (0..TABLES).map(|_| ArcSwap::new(Arc::clone(&empty)));
        Self {
            hasher: Hashing::default(),
            tables: tables.collect(),
            tallies: Mutex::new([Tally::default(); TABLES].into()),
            others: RwLock::default(),
        }
    }

    #[inline]
    pub(super) fn bits(&self, did: &str) -> Bits {
        let Some(plc) = PlcDid::parse(did) else {
            return self.bits_of_other(did);
        };
        let hash = self.hash(plc);
        let table = self.tables[table_of(hash)].load();
        table.find(hash, plc).map_or(0, |slot| slot.bits())
    }

    /// Sets `bits` of a DID and returns the bits that it had before.
    pub(super) fn set(&self, member: &Member, bits: Bits) -> Bits {
        let mut tallies = self.lock();
        match member {
            Member::Plc(did) => self.set_plc(&mut tallies, *did, bits),
            Member::Other(did) => {
                let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
                if let Some(known) = others.get_mut(did) {
                    let before = *known;
                    *known |= bits;
                    return before;
                }
                others.insert(did.clone(), bits);
                0
            }
        }
    }

    /// Clears `bits` of a DID and returns the bits that it had before.
    pub(super) fn clear(&self, member: &Member, bits: Bits) -> Bits {
        let mut tallies = self.lock();
        match member {
            Member::Plc(did) => self.clear_plc(&mut tallies, *did, bits),
            Member::Other(did) => {
                let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
                let Some(known) = others.get_mut(did) else {
                    return 0;
                };
                let before = *known;
                *known &= !bits;
                if *known == 0 {
                    others.remove(did);
                }
                before
            }
        }
    }

    /// Clears all bits but `keep`, table by table, and frees the memory of entries without bits.
    pub(super) fn sweep(&self, keep: Bits) {
        for (index, table) in self.tables.iter().enumerate() {
            let mut tallies = self.lock();
            let mut removed = 0;
            for (_, slot) in table.load().slots() {
                let bits = slot.bits() & keep;
                slot.set_bits(bits);
                removed += usize::from(bits == 0);
            }
            tallies[index].removed = removed;
            self.shrink(&mut tallies[index], index);
        }
        let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
        others.retain(|_, bits| {
            *bits &= keep;
            *bits != 0
        });
        others.shrink_to_fit();
    }

    /// The DIDs that have any of the bits, in no order, table by table.
    pub(super) fn with_bits(&self, wanted: Bits) -> impl Iterator<Item = Member> {
        let plc = self.tables.iter().flat_map(move |table| {
            let table = table.load_full();
            let found: Vec<Member> = table
                .slots()
                .filter(|(_, slot)| slot.bits() & wanted != 0)
                .map(|(did, _)| Member::Plc(did))
                .collect();
            found
        });
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        let others: Vec<Member> = others
            .iter()
            .filter(|&(_, bits)| bits & wanted != 0)
            .map(|(did, _)| Member::Other(did.clone()))
            .collect();
        plc.chain(others)
    }

    /// The memory it takes, in bytes.
    pub(super) fn memory(&self) -> usize {
        let tables: usize = self.tables.iter().map(|table| table.load().memory()).sum();
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        let text: usize = others.keys().map(|did| did.len()).sum();
        size_of::<Self>()
            + TABLES * (size_of::<ArcSwap<Table>>() + size_of::<Tally>())
            + tables
            + text
            + others.capacity() * size_of::<(Box<str>, Bits)>()
    }

    #[inline]
    fn hash(&self, did: PlcDid) -> u64 {
        self.hasher.hash_one(did.to_words())
    }

    #[cold]
    fn bits_of_other(&self, did: &str) -> Bits {
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        others.get(did).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Box<[Tally]>> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_plc(&self, tallies: &mut [Tally], did: PlcDid, bits: Bits) -> Bits {
        let hash = self.hash(did);
        let index = table_of(hash);
        let (tally, table) = (&mut tallies[index], &self.tables[index]);
        if let Some(slot) = table.load().find(hash, did) {
            let before = slot.bits();
            slot.set_bits(before | bits);
            tally.removed -= usize::from(before == 0);
            return before;
        }
        if tally.taken >= table.load().capacity() {
            let live = tally.taken - tally.removed;
            self.rebuild(tally, index, live + live / GROWTH + 1);
        }
        table.load().insert(hash, did, bits);
        tally.taken += 1;
        0
    }

    fn clear_plc(&self, tallies: &mut [Tally], did: PlcDid, bits: Bits) -> Bits {
        let hash = self.hash(did);
        let index = table_of(hash);
        let table = self.tables[index].load();
        let Some(slot) = table.find(hash, did) else {
            return 0;
        };
        let before = slot.bits();
        slot.set_bits(before & !bits);
        if before != 0 && before & !bits == 0 {
            tallies[index].removed += 1;
            self.shrink(&mut tallies[index], index);
        }
        before
    }

    /// Builds a table anew if much of it is unused.
    fn shrink(&self, tally: &mut Tally, index: usize) {
        let live = tally.taken - tally.removed;
        if tally.removed > live / GROWTH + FEW_REMOVED || tally.taken > 0 && live == 0 {
            self.rebuild(tally, index, live + live / (2 * GROWTH));
        }
    }

    /// Replaces a table by one with room for `entries`; entries without bits are left out.
    fn rebuild(&self, tally: &mut Tally, index: usize, entries: usize) {
        let table = Table::with_room_for(entries);
        let mut taken = 0;
        for (did, slot) in self.tables[index].load().slots() {
            let bits = slot.bits();
            if bits != 0 {
                table.insert(self.hash(did), did, bits);
                taken += 1;
            }
        }
        *tally = Tally { taken, removed: 0 };
        self.tables[index].store(Arc::new(table));
    }
}

#[inline]
const fn table_of(hash: u64) -> usize {
    (hash >> 56) as usize % TABLES
}

/// A table grows by a fifth: more would waste memory, less would move entries more often.
const GROWTH: usize = 5;

/// Fewer removed entries than this are not worth a rebuild.
const FEW_REMOVED: usize = 32;
