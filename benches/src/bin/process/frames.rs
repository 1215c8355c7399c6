use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use jetwash::Dictionary;
use jetwash_benches::{Renewable, add_header, round_of};
use jetwash_sim::{Network, NetworkConfig};

/// Frames made beforehand, as the messages that a relay sends, one after the other.
pub(crate) struct Frames {
    count: usize,
    messages: Arc<[u8]>,
    dictionary: Vec<u8>,
}

impl Frames {
    /// Makes `count` frames, or finds them in the file that an earlier run kept.
    pub(crate) fn load(
        count: usize,
        is_real: bool,
        kept: Option<&Path>,
    ) -> Result<Self, Box<dyn Error>> {
        let kept = kept.filter(|_| !is_real);
        let known = kept.and_then(|path| fs::read(path).ok());
        let messages = match known {
            Some(messages) => messages,
            None if is_real => recorded(count)?,
            None => simulated(count)?,
        };
        if let Some(path) = kept {
            fs::write(path, &messages)?;
        }
        let dictionary = match jetwash_corpus::corpus("the official dictionary") {
            Some(corpus) => corpus.bytes("dictionaries/legacy_subscribe.zdict"),
            None => Dictionary::builtin()?.bytes().to_vec(),
        };
        Ok(Self {
            count,
            messages: messages.into(),
            dictionary,
        })
    }

    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn mean(&self) -> usize {
        self.messages.len() / self.count.max(1)
    }

    pub(crate) const fn last_seq(&self) -> u64 {
        FIRST_SEQ + self.count as u64 - 1
    }

    pub(crate) fn messages(&self) -> Arc<[u8]> {
        Arc::clone(&self.messages)
    }

    pub(crate) fn dictionary(&self) -> &[u8] {
        &self.dictionary
    }
}

fn simulated(count: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let config = NetworkConfig {
        first_seq: FIRST_SEQ,
        ..NetworkConfig::full_size()
    };
    let mut messages = Vec::new();
    for frame in Network::new(config)?.take(count) {
        add_header(frame.bytes.len(), &mut messages);
        messages.extend_from_slice(&frame.bytes);
    }
    Ok(messages)
}

/// The recorded frames again and again, each time under later revisions.
fn recorded(count: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let corpus = jetwash_corpus::corpus("the recorded frames").ok_or("JETWASH_CORPUS is unset")?;
    let frames = corpus.frames("firehose-2026-07-04/frames.bin.zst");
    let mut known = Vec::new();
    for frame in frames {
        // A sequence number of eight bytes, which can be replaced in place.
        let at = frame.windows(5).position(|window| window == b"\x63seq\x1b");
        let at = at.ok_or("a frame without its sequence number")? + 5;
        known.push((Renewable::new(&frame), at, frame));
    }
    let round = round_of(known.iter().map(|(places, ..)| places));
    let mut messages = Vec::new();
    for index in 0..count {
        let (places, seq_at, frame) = &known[index % known.len()];
        add_header(frame.len(), &mut messages);
        let start = messages.len();
        messages.extend_from_slice(frame);
        let seq = FIRST_SEQ + index as u64;
        messages[start + seq_at..][..8].copy_from_slice(&seq.to_be_bytes());
        let by = (index / known.len()) as u64 * round;
        places.renew(&mut messages[start..], by);
    }
    Ok(messages)
}

/// So large that each number takes the same room.
const FIRST_SEQ: u64 = 1 << 40;
