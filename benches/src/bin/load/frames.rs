use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use jetwash::store::{Location, Options, Read, open};
use jetwash::{Dictionary, Micros, Pipeline};
use jetwash_benches::{Renewable, add_header, round_of};
use jetwash_sim::{Network, NetworkConfig, SimEvent};

/// Frames made beforehand, and what is needed to ask for some of their events.
pub(crate) struct Frames {
    frames: Vec<Prepared>,
    /// How much later the revisions are each time.
    round: u64,
    /// How many events a frame has in the mean.
    pub(crate) events_per_frame: f64,
    /// A hundred accounts that are among them.
    pub(crate) dids: Vec<String>,
    /// The collection that has the fewest events.
    pub(crate) rare: String,
    pub(crate) dictionary: Dictionary,
}

/// A frame as a websocket message of a server.
struct Prepared {
    message: Vec<u8>,
    /// Where the frame begins.
    frame_at: usize,
    /// Where the eight bytes of the sequence number are.
    seq_at: usize,
    places: Renewable,
}

impl Frames {
    pub(crate) fn prepare(count: usize) -> Result<Self, Box<dyn Error>> {
        let config = NetworkConfig {
            first_seq: FIRST_SEQ,
            ..NetworkConfig::full_size()
        };
        let mut frames = Vec::with_capacity(count);
        let (mut dids, mut collections) = (BTreeSet::new(), BTreeMap::<String, usize>::new());
        let (log, store) = open(Location::Memory, Options::default())?;
        let mut pipeline = Pipeline::new(log);
        for frame in Network::new(config)?.take(count) {
            pipeline.frame("load", &frame.bytes, Micros::new(frame.seq))?;
            if let SimEvent::Commit(commit) = &frame.event {
                dids.insert(frame.did.to_string());
                for op in &commit.ops {
                    *collections.entry(op.collection.clone()).or_default() += 1;
                }
            }
            frames.push(Prepared::new(frame.seq, &frame.bytes)?);
        }
        pipeline.commit()?;
        let rare = collections.into_iter().min_by_key(|(_, count)| *count);
        let mut lines = Vec::new();
        let mut position = store.bounds().oldest_seq;
        while let Read::Events(run) = store.read(position)? {
            let json = run.block().json()?;
            lines.extend(
                run.indexes()
                    .filter_map(|index| json.get(index).map(<[u8]>::to_vec)),
            );
            position = run.next_seq();
        }
        Ok(Self {
            events_per_frame: lines.len() as f64 / frames.len() as f64,
            round: round_of(frames.iter().map(|frame| &frame.places)),
            frames,
            dids: dids.into_iter().take(100).collect(),
            rare: rare.ok_or("no frame has an operation")?.0,
            dictionary: Dictionary::train(lines, DICTIONARY_BYTES, 20_261_122)?,
        })
    }

    /// Appends the frame that is sent as number `index`, counted from 0: they come again and again,
    /// each time under later revisions, and their sequence numbers continue.
    pub(crate) fn write(&self, index: u64, out: &mut Vec<u8>) {
        let count = self.frames.len() as u64;
        let Prepared {
            message,
            frame_at,
            seq_at,
            places,
        } = &self.frames[(index % count) as usize];
        let start = out.len();
        out.extend_from_slice(message);
        let seq = (FIRST_SEQ + index).to_be_bytes();
        out[start + seq_at..][..8].copy_from_slice(&seq);
        if index >= count {
            let by = index / count * self.round;
            places.renew(&mut out[start + frame_at..], by);
        }
    }
}

impl Prepared {
    fn new(seq: u64, frame: &[u8]) -> Result<Self, Box<dyn Error>> {
        let mut message = Vec::new();
        add_header(frame.len(), &mut message);
        let frame_at = message.len();
        message.extend(frame);
        let mut number = b"\x63seq\x1b".to_vec();
        number.extend(seq.to_be_bytes());
        let at = message
            .windows(number.len())
            .position(|window| window == number);
        let seq_at = at.ok_or("a frame without its sequence number")? + number.len() - 8;
        Ok(Self {
            message,
            frame_at,
            seq_at,
            places: Renewable::new(frame),
        })
    }
}

/// So large that each number takes the same room, and can be replaced in place.
const FIRST_SEQ: u64 = 1 << 40;
const DICTIONARY_BYTES: usize = 64 << 10;
