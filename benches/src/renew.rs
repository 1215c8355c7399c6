use std::ops::Range;

use jetwash::event::Tid;
use jetwash::frame::{Car, Frame};
use sha2::{Digest, Sha256};

/// A commit that can be sent again under a later revision: a relay that repeats itself is
/// recognised, so a bench cannot send the same frame twice.
///
/// The commit object keeps matching its CID; its signature does not match, which nobody checks
/// here. Other frames stay as they are.
pub struct Renewable {
    revision: u64,
    /// Where the revision stands, in the payload and in the commit object.
    revisions: Vec<usize>,
    /// Where the commit object lies.
    object: Range<usize>,
    /// Where the hash of the commit object stands.
    hashes: Vec<usize>,
}

impl Renewable {
    /// Looks up what has to change in a frame.
    ///
    /// # Panics
    ///
    /// When the frame cannot be decoded.
    #[must_use]
    #[allow(
        clippy::expect_used,
        reason = "a bench without its input has nothing to do"
    )]
    pub fn new(frame: &[u8]) -> Self {
        let decoded = Frame::decode(frame).expect("a frame of a bench is sound");
        let mut renewable = Self {
            revision: 0,
            revisions: Vec::new(),
            object: 0..0,
            hashes: Vec::new(),
        };
        if let Frame::Commit(commit) = &decoded {
            let car = Car::parse(commit.blocks).expect("a commit has a CAR slice");
            let block = car.find(car.root()).expect("the CAR slice can be read");
            let object = block.expect("a commit has its object").data;
            let start = offset(frame, object);
            renewable.object = start..start + object.len();
            let inside = places(object, commit.rev.as_bytes());
            let revision: Tid = commit.rev.parse().expect("a revision is a TID");
            renewable.revision = revision.time().get() << 10 | u64::from(revision.clock());
            renewable.revisions = inside.into_iter().map(|at| start + at).collect();
            renewable
                .revisions
                .push(offset(frame, commit.rev.as_bytes()));
            renewable.hashes = places(frame, &Sha256::digest(object));
        }
        renewable
    }

    /// The revision as a number; 0 for frames that have none.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Makes a copy of the frame one whose revision is later by `by`.
    pub fn renew(&self, frame: &mut [u8], by: u64) {
        if self.revisions.is_empty() {
            return;
        }
        let text = format(self.revision + by);
        for at in &self.revisions {
            frame[*at..][..text.len()].copy_from_slice(&text);
        }
        let hash = Sha256::digest(&frame[self.object.clone()]);
        for at in &self.hashes {
            frame[*at..][..hash.len()].copy_from_slice(&hash);
        }
    }
}

/// How far apart the rounds of these frames have to be for revisions to keep growing.
#[must_use]
pub fn round_of<'a>(frames: impl IntoIterator<Item = &'a Renewable>) -> u64 {
    let revisions = frames.into_iter().map(Renewable::revision);
    let (mut first, mut last) = (u64::MAX, 0);
    for revision in revisions.filter(|&revision| revision > 0) {
        first = first.min(revision);
        last = last.max(revision);
    }
    last.saturating_sub(first) + 1
}

fn offset(frame: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - frame.as_ptr() as usize
}

/// Where `part` stands in `whole`.
fn places(whole: &[u8], part: &[u8]) -> Vec<usize> {
    let windows = whole.windows(part.len()).enumerate();
    let found = windows.filter(|(_, window)| *window == part);
    found.map(|(at, _)| at).collect()
}

/// Writes a TID: 13 digits of 5 bits.
fn format(number: u64) -> [u8; 13] {
    std::array::from_fn(|index| DIGITS[(number >> (5 * (12 - index))) as usize % DIGITS.len()])
}

const DIGITS: &[u8; 32] = b"234567abcdefghijklmnopqrstuvwxyz";

#[cfg(test)]
mod tests {
    use jetwash::mst::leaves;
    use jetwash_sim::{Network, NetworkConfig};

    use super::*;

    #[test]
    fn a_renewed_commit_is_sound_and_of_a_later_revision() {
        let config = NetworkConfig {
            accounts: 10,
            records: 50,
            ..NetworkConfig::default()
        };
        let frames: Vec<_> = Network::new(config).unwrap().take(50).collect();
        let renewable: Vec<_> = frames.iter().map(|it| Renewable::new(&it.bytes)).collect();
        let round = round_of(&renewable);
        let mut commits = 0;
        for (frame, renewable) in frames.iter().zip(&renewable) {
            let mut bytes = frame.bytes.clone();
            renewable.renew(&mut bytes, round);
            let Frame::Commit(commit) = Frame::decode(&bytes).unwrap() else {
                continue;
            };
            let expected = renewable.revision() + round;
            assert_eq!(commit.rev.as_bytes(), format(expected));
            assert_eq!(Renewable::new(&bytes).revision(), expected);
            leaves(&commit).unwrap();
            commits += 1;
        }
        assert!(commits > 30);
    }
}
