/// A stream of numbers that depends on its seed alone, on every machine and with every version of
/// every dependency: the frames of a seed must stay the same bytes.
///
/// The generator is SplitMix64, which is small and good enough for making things up.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A separate stream for one thing among many, such as one record of an account.
    pub(crate) const fn of(seed: u64, purpose: Purpose, number: u64) -> Self {
        let label = (purpose as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let mut mixed = Self::new(seed ^ label);
        let seed = mixed.next();
        let mut mixed = Self::new(seed ^ number.wrapping_mul(0xa076_1d64_78bd_642f));
        Self::new(mixed.next())
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number from zero up to, and without, `limit`.
    pub(crate) const fn below(&mut self, limit: u64) -> u64 {
        ((self.next() as u128 * limit as u128) >> 64) as u64
    }

    /// A number from `low` up to, and without, `high`.
    pub(crate) const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low))
    }

    pub(crate) const fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// Returns `true` in `times` of a hundred draws.
    pub(crate) const fn percent(&mut self, times: u64) -> bool {
        self.below(100) < times
    }

    /// One of a list that is not empty.
    pub(crate) const fn pick<T: Copy, const N: usize>(&mut self, list: &[T; N]) -> T {
        list[self.index(N)]
    }

    /// One of a list, each as often as its weight says; the last if the weights are all zero.
    pub(crate) fn weighted<T: Copy, const N: usize>(&mut self, list: &[(u64, T); N]) -> T {
        let total = list.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(total);
        for (weight, value) in list {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return *value,
            }
        }
        list[N - 1].1
    }
}

/// The use of a [`Random`], so that no two uses share a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Account = 1,
    Population,
    Profile,
    Traffic,
}
