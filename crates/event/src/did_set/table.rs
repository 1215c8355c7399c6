use super::sync::{AtomicU64, Ordering};
use crate::plc_did::PlcDid;

/// The generations that an entry belongs to, a bit each; 0 once it has been removed.
pub(super) type Bits = u8;

/// A hash table that many may read while one writes: 17 bytes a slot, of which a look-up that
/// finds nothing reads, nearly always, one.
///
/// Slots come in groups of eight, with a word that holds a byte of each slot's hash: its tag. A
/// look-up reads the tags of a group at once, follows the ones that match, and ends at a group with
/// a free slot. A slot is taken once and then never given to another DID, which is why reading
/// needs no lock: a removed entry only loses its bits, and its slot is reused when the table is
/// built anew.
pub(super) struct Table {
    /// Eight tags each; 0 is a free slot.
    tags: Box<[AtomicU64]>,
    groups: Box<[Group]>,
}

type Group = [Slot; GROUP];

#[derive(Default)]
pub(super) struct Slot {
    /// The first 56 bits of the DID, and then the [`Bits`].
    high: AtomicU64,
    /// The last 64 bits.
    low: AtomicU64,
}

impl Table {
    /// Makes a table that takes at least `entries` entries.
    pub(super) fn with_room_for(entries: usize) -> Self {
        let groups = if entries == 0 {
            0
        } else {
            (entries * 100).div_ceil(GROUP * MOST_PERCENT)
        };
        Self {
            tags: (0..groups).map(|_| AtomicU64::default()).collect(),
            groups: (0..groups).map(|_| Group::default()).collect(),
        }
    }

    /// How many slots may be taken; some are always left free, for a look-up to end at.
    pub(super) const fn capacity(&self) -> usize {
        self.tags.len() * GROUP * MOST_PERCENT / 100
    }

    /// The memory it takes, in bytes.
    pub(super) const fn memory(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.tags) + size_of_val(&*self.groups)
    }

    /// The slot of a DID, if it has ever been given one.
    #[inline]
    pub(super) fn find(&self, hash: u64, did: PlcDid) -> Option<&Slot> {
        if self.tags.is_empty() {
            return None;
        }
        let wanted = tag(hash) * ONES;
        let mut index = self.first_group(hash);
        loop {
            let tags = self.tags.get(index)?.load(Ordering::Acquire);
            // The comparison may also flag a byte above one that fits, never miss one.
            let mut fitting = zero_bytes(tags ^ wanted);
            while fitting != 0 {
                let slot = &self.groups[index][fitting.trailing_zeros() as usize / 8];
                if slot.is(did) {
                    return Some(slot);
                }
                fitting &= fitting - 1;
            }
            if zero_bytes(tags) != 0 {
                return None;
            }
            index = self.following(index);
        }
    }

    /// Takes a slot for a DID that has no slot. For the one writer alone, and only below the
    /// capacity.
    pub(super) fn insert(&self, hash: u64, did: PlcDid, bits: Bits) {
        let mut index = self.first_group(hash);
        for _ in 0..self.tags.len() {
            let tags = self.tags[index].load(Ordering::Relaxed);
            let free = zero_bytes(tags);
            if free != 0 {
                let place = free.trailing_zeros() / 8;
                let (high, low) = did.to_words();
                let slot = &self.groups[index][place as usize];
                slot.low.store(low, Ordering::Relaxed);
                slot.high
                    .store(high << 8 | u64::from(bits), Ordering::Relaxed);
                // A reader that sees the tag sees the slot.
                self.tags[index].store(tags | tag(hash) << (8 * place), Ordering::Release);
                return;
            }
            index = self.following(index);
        }
        debug_assert!(false, "the table is full");
    }

    /// The slots that are taken, with their DIDs.
    pub(super) fn slots(&self) -> impl Iterator<Item = (PlcDid, &Slot)> {
        let groups = self.tags.iter().zip(&self.groups);
        groups.flat_map(|(tags, group)| {
            let tags = tags.load(Ordering::Acquire).to_le_bytes();
            group
                .iter()
                .zip(tags)
                .filter(|&(_, tag)| tag != 0)
                .map(|(slot, _)| (slot.did(), slot))
        })
    }

    #[inline]
    const fn first_group(&self, hash: u64) -> usize {
        // The lower half of the hash, scaled to the number of groups: no division.
        (((hash & 0xffff_ffff) * self.tags.len() as u64) >> 32) as usize
    }

    #[inline]
    const fn following(&self, index: usize) -> usize {
        if index + 1 == self.tags.len() {
            0
        } else {
            index + 1
        }
    }
}

impl Slot {
    #[inline]
    pub(super) fn bits(&self) -> Bits {
        self.high.load(Ordering::Acquire) as Bits
    }

    /// For the one writer alone.
    pub(super) fn set_bits(&self, bits: Bits) {
        let high = self.high.load(Ordering::Relaxed);
        self.high
            .store(high & !0xff | u64::from(bits), Ordering::Release);
    }

    #[inline]
    fn is(&self, did: PlcDid) -> bool {
        self.did() == did
    }

    #[inline]
    fn did(&self) -> PlcDid {
        let high = self.high.load(Ordering::Relaxed) >> 8;
        PlcDid::from_words(high, self.low.load(Ordering::Relaxed))
    }
}

/// A byte of the hash that neither the shard nor the group is chosen by; never 0.
#[inline]
const fn tag(hash: u64) -> u64 {
    let tag = hash >> 32 & 0xff;
    if tag == 0 { 1 } else { tag }
}

/// The top bit of each byte that is 0; perhaps also of bytes above one.
#[inline]
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & (0x80 * ONES)
}

const GROUP: usize = 8;
const ONES: u64 = 0x0101_0101_0101_0101;

/// The fullest that a table gets: fuller ones take less memory, and look-ups longer.
const MOST_PERCENT: usize = 85;
