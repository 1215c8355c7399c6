use crate::reason::Reason;

/// The result of verifying a frame, from a fixed list. A frame gets the worst that applies.
///
/// Source: the sync specification, and proposal 0006 for the proof.
///
/// # Examples
///
/// ```
/// use jetwash_verify::{Reason, Verdict};
///
/// let verdict = Verdict::Invalid(Reason::RootMismatch);
/// assert_eq!((verdict.name(), verdict.reason()), ("invalid", Some(Reason::RootMismatch)));
/// assert_eq!(Verdict::from_byte(verdict.to_byte()), Some(verdict));
/// assert_eq!(Verdict::from_byte(0), None, "an event that was not verified");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// All holds: the account signed it, the operations are exactly what changed, and it follows
    /// what came before, as far as that is known.
    Verified,
    /// The account signed it. That the operations are exactly what changed cannot be proven,
    /// because the host is older than Sync 1.1: there is no `prevData`, an operation has no `prev`,
    /// or `tooBig` is set.
    Legacy,
    /// The account signed it. That the operations are exactly what changed is not proven, because
    /// the frame lacks blocks of the tree.
    InsufficientProof,
    /// The account signed it, and it does not follow what came before: a commit is missing.
    Discontinuous,
    /// No key can be found now, so who made it is not known. Nothing else speaks against it.
    Unresolved,
    /// It is false, or not a frame at all.
    Invalid(Reason),
}

impl Verdict {
    /// A short name, for a counter's label; the [reason](Self::reason) is the second label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Legacy => "legacy",
            Self::InsufficientProof => "insufficient_proof",
            Self::Discontinuous => "discontinuous",
            Self::Unresolved => "unresolved",
            Self::Invalid(_) => "invalid",
        }
    }

    /// Why it is invalid, if it is.
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Invalid(reason) => Some(reason),
            _ => None,
        }
    }

    /// One byte for the log, from 1 to 127. Zero is left for events that were not verified.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Verified => 1,
            Self::Legacy => 2,
            Self::InsufficientProof => 3,
            Self::Discontinuous => 4,
            Self::Unresolved => 5,
            Self::Invalid(reason) => INVALID | reason as u8,
        }
    }

    /// Reads the byte of [`to_byte`](Self::to_byte); `None` for zero and for bytes that no version
    /// of this crate up to this one writes.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Verified),
            2 => Some(Self::Legacy),
            3 => Some(Self::InsufficientProof),
            4 => Some(Self::Discontinuous),
            5 => Some(Self::Unresolved),
            INVALID..0x80 => Reason::from_code(byte & !INVALID).map(Self::Invalid),
            _ => None,
        }
    }
}

const INVALID: u8 = 0x40;
