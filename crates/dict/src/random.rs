/// Numbers that look random and are the same each time: the same events must give the same
/// dictionary.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(crate) const fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn pick(&mut self, bytes: &[u8]) -> u8 {
        debug_assert!(!bytes.is_empty(), "nothing to pick from");
        bytes.get(self.below(bytes.len())).copied().unwrap_or(b'a')
    }

    /// A common word of English.
    pub(crate) fn word(&mut self) -> &'static [u8] {
        // The smaller of two draws, because the first words are by far the most frequent.
        let index = self.below(WORDS.len()).min(self.below(WORDS.len()));
        WORDS.get(index).map_or(b"a", |word| word.as_bytes())
    }
}

const WORDS: &[&str] = &[
    "the", "to", "and", "a", "of", "i", "is", "in", "it", "you", "that", "for", "on", "this", "my",
    "be", "with", "so", "are", "have", "not", "but", "was", "just", "like", "all", "at", "me",
    "they", "if", "what", "we", "do", "as", "out", "your", "from", "can", "about", "or", "up",
    "an", "one", "now", "get", "by", "more", "has", "no", "time", "good", "new", "how", "people",
    "when", "there", "will", "know", "some", "who", "see", "day", "today", "love", "go", "their",
    "would", "think", "really", "make", "been", "much", "here", "great", "back", "want", "need",
    "our", "only", "still", "them", "then", "right", "too", "any", "work", "other", "well", "year",
    "way",
];
