use std::fmt;

/// A `did:plc` in 15 bytes: its 24 characters stand for five bits each.
///
/// Nearly every account of the network has one. Only the canonical form is one: `did:plc:` and 24
/// characters of `a` to `z` and `2` to `7`. Source: the specification of the method.
///
/// # Examples
///
/// ```
/// use jetwash_event::PlcDid;
///
/// let did = PlcDid::parse("did:plc:ewvi7nxzyoun6zhxrhs64oiz").unwrap();
/// assert_eq!(did.to_string(), "did:plc:ewvi7nxzyoun6zhxrhs64oiz");
/// assert_eq!(PlcDid::from_bytes(&did.to_bytes()), did);
/// assert_eq!(PlcDid::parse("did:web:a.example"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlcDid {
    /// The first 56 bits.
    high: u64,
    /// The last 64.
    low: u64,
}

impl PlcDid {
    /// The length of its text.
    pub const TEXT_LENGTH: usize = 32;

    /// Reads one from its text; `None` if the text is anything else.
    #[inline]
    #[must_use]
    pub fn parse(did: &str) -> Option<Self> {
        let characters: &[u8; 24] = did.strip_prefix(PREFIX)?.as_bytes().try_into().ok()?;
        let (words, []) = characters.as_chunks() else {
            return None;
        };
        let [first, second, third] = *words else {
            return None;
        };
        let (first, second, third) = (forty_bits(first)?, forty_bits(second)?, forty_bits(third)?);
        Some(Self {
            high: first << 16 | second >> 24,
            low: second << 40 | third,
        })
    }

    /// The one that [`to_bytes`](Self::to_bytes) gave.
    #[inline]
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 15]) -> Self {
        let word = |chunk: Option<&[u8; 8]>| chunk.map_or(0, |word| u64::from_be_bytes(*word));
        Self {
            high: word(bytes.first_chunk()) >> 8,
            low: word(bytes.last_chunk()),
        }
    }

    /// The bits of its characters, the first of them foremost.
    #[inline]
    #[must_use]
    pub fn to_bytes(self) -> [u8; 15] {
        let mut bytes = [0; 15];
        bytes[..8].copy_from_slice(&(self.high << 8).to_be_bytes());
        bytes[7..].copy_from_slice(&self.low.to_be_bytes());
        bytes
    }

    /// Appends its text, [`TEXT_LENGTH`](Self::TEXT_LENGTH) ASCII characters.
    #[inline]
    pub fn write_to(self, text: &mut Vec<u8>) {
        text.extend_from_slice(&self.text());
    }

    /// Its bits as two numbers, of which the first has at most 56.
    #[inline]
    pub(crate) const fn to_words(self) -> (u64, u64) {
        (self.high, self.low)
    }

    #[inline]
    pub(crate) const fn from_words(high: u64, low: u64) -> Self {
        Self { high, low }
    }

    #[inline]
    fn text(self) -> [u8; Self::TEXT_LENGTH] {
        let mut text = [0; Self::TEXT_LENGTH];
        let words = [
            self.high >> 16,
            (self.high & 0xffff) << 24 | self.low >> 40,
            self.low & 0xff_ffff_ffff,
        ];
        text[..8].copy_from_slice(PREFIX.as_bytes());
        text[8..16].copy_from_slice(&eight_characters(words[0]));
        text[16..24].copy_from_slice(&eight_characters(words[1]));
        text[24..].copy_from_slice(&eight_characters(words[2]));
        text
    }
}

impl fmt::Debug for PlcDid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlcDid({self})")
    }
}

impl fmt::Display for PlcDid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text();
        let text = std::str::from_utf8(&text);
        debug_assert!(text.is_ok(), "characters that are not ASCII");
        f.pad(text.unwrap_or_default())
    }
}

const PREFIX: &str = "did:plc:";
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x80 * ONES;

/// The bits of eight characters, all at once: every frame's account comes this way.
#[inline]
fn forty_bits(characters: [u8; 8]) -> Option<u64> {
    let word = u64::from_be_bytes(characters);
    if word & HIGHS != 0 {
        return None;
    }
    // The top bit of each byte that is not below a limit; nothing carries into the next byte.
    let at_least = |limit: u8| word + (0x80 - limit as u64) * ONES;
    let letters = at_least(b'a') & !at_least(b'z' + 1) & HIGHS;
    let digits = at_least(b'2') & !at_least(b'7' + 1) & HIGHS;
    if letters | digits != HIGHS {
        return None;
    }
    let bits = word - (letters >> 7) * b'a' as u64 - (digits >> 7) * (b'2' - 26) as u64;
    // Five bits of each byte: to 10, 20 and 40 together.
    let bits = bits & 0x001f_001f_001f_001f | (bits & 0x1f00_1f00_1f00_1f00) >> 3;
    let bits = bits & 0x0000_03ff_0000_03ff | (bits & 0x03ff_0000_03ff_0000) >> 6;
    Some(bits & 0xf_ffff | (bits & 0x000f_ffff_0000_0000) >> 12)
}

/// The characters of 40 bits, all eight at once: scanning a ring for one account spends much of
/// its time here.
#[inline]
const fn eight_characters(bits: u64) -> [u8; 8] {
    // Five bits to each byte: by halves to 20, 10 and 5.
    let bits = bits & 0xf_ffff | (bits & 0xff_fff0_0000) << 12;
    let bits = bits & 0x0000_03ff_0000_03ff | (bits & 0x000f_fc00_000f_fc00) << 6;
    let bits = bits & 0x001f_001f_001f_001f | (bits & 0x03e0_03e0_03e0_03e0) << 3;
    // The letters come first; from 26 on, which is where 102 more reaches 128, the digits from 2.
    let digits = (bits + 102 * ONES) >> 7 & ONES;
    let characters = bits + b'a' as u64 * ONES - digits * (b'a' + 26 - b'2') as u64;
    characters.to_be_bytes()
}
