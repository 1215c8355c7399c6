/// Numbers that look random and follow from a seed: `SplitMix64`.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The numbers of one part of the program; each part has its own, so that they do not depend on
    /// which thread comes first.
    pub(crate) const fn new(seed: u64, part: u64) -> Self {
        Self(seed ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a limit; 0 if that is 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % (limit as u64).max(1)) as usize
    }

    /// Whether something happens that happens `count` times in a million.
    pub(crate) const fn in_a_million(&mut self, count: u64) -> bool {
        self.next() % 1_000_000 < count
    }

    pub(crate) const fn percent(&mut self, share: u64) -> bool {
        self.next() % 100 < share
    }

    /// A time with this mean that has no memory: short ones are frequent, long ones are rare.
    pub(crate) fn around(&mut self, mean: std::time::Duration) -> std::time::Duration {
        let share = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        mean.mul_f64((-(1.0 - share).ln()).min(8.0))
    }
}
