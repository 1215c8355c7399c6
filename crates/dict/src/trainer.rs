use std::collections::HashMap;
use std::ops::RangeInclusive;

use sha2::{Digest, Sha256};

use crate::dictionary::{Dictionary, TrainError};
use crate::evaluation::Evaluation;
use crate::random::Random;
use crate::scrub::{self, Scrubber};
use crate::trained::{Candidate, Trained};

/// Gathers events and trains the dictionary that suits them.
///
/// It keeps a sample of all events added, in bounded memory. Each collection and operation has its
/// share, and rare ones more than that, so that the frequent ones do not drown them. The accounts
/// are parted by the hash of their DID: about one eighth is held out from training, and the
/// candidates are judged by its events. The smallest dictionary wins that does about as well as
/// the best. Samples are [scrubbed](Self::scrub) of personal data first.
///
/// The same events in the same order give the same dictionary.
///
/// # Examples
///
/// ```
/// use jetwash_dict::Trainer;
///
/// let mut trainer = Trainer::new();
/// for n in 0..4000 {
///     trainer.add(&format!(
///         r#"{{"did":"did:web:{}.example","time_us":{n},"kind":"identity"}}"#, n % 100,
///     ));
/// }
/// let trained = trainer.train(None)?;
/// assert!(trained.held_out().ratio() < 0.8);
/// assert!(Trainer::IDS.contains(&trained.dictionary().id()));
/// # Ok::<(), jetwash_dict::TrainError>(())
/// ```
#[derive(Debug)]
pub struct Trainer {
    groups: HashMap<Box<[u8]>, Group>,
    random: Random,
    is_scrubbed: bool,
    sizes: Vec<usize>,
    rival: Option<Dictionary>,
    max_bytes: usize,
    bytes: usize,
    /// How many samples a group may have at the moment.
    share: usize,
    seen: u64,
}

impl Trainer {
    /// The numbers that dictionaries may have without being registered (RFC 8878, 6.1).
    pub const IDS: RangeInclusive<u32> = 1 << 15..=(1 << 31) - 1;

    /// The sizes that are tried by default, in bytes: 4 to 112 KiB.
    pub const SIZES: [usize; 6] = [4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 112 << 10];

    /// Makes a trainer that has seen no events.
    #[must_use]
    pub fn new() -> Self {
        Self {
            groups: HashMap::new(),
            random: Random::new(SEED),
            is_scrubbed: true,
            sizes: Self::SIZES.to_vec(),
            rival: None,
            max_bytes: MAX_BYTES,
            bytes: 0,
            share: usize::MAX,
            seen: 0,
        }
    }

    /// Sets whether identifiers, times, names and texts are replaced by made-up ones before
    /// training. Defaults to `true`.
    ///
    /// Keys, numbers, types, collections, languages, media types, and texts that sixteen accounts
    /// or more have in common are kept. Scrubbing makes the dictionary better rather than worse:
    /// the text of one account helps no other.
    #[must_use]
    pub const fn scrub(mut self, is_scrubbed: bool) -> Self {
        self.is_scrubbed = is_scrubbed;
        self
    }

    /// Sets the sizes to try, in bytes.
    #[must_use]
    pub fn sizes(mut self, sizes: impl Into<Vec<usize>>) -> Self {
        self.sizes = sizes.into();
        self
    }

    /// Judges another dictionary by the same held-out events: see [`Trained::compared`].
    #[must_use]
    pub fn compare(mut self, dictionary: Dictionary) -> Self {
        self.rival = Some(dictionary);
        self
    }

    /// Sets how many bytes of events are kept at most. Defaults to 24 MiB.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Adds the line of an event.
    pub fn add(&mut self, line: &str) {
        let bytes = line.as_bytes();
        self.seen += 1;
        if bytes.len() > MAX_EVENT {
            return;
        }
        let group = scrub::find(bytes, "collection").or_else(|| scrub::find(bytes, "kind"));
        let operation = scrub::find(bytes, "operation").unwrap_or_default();
        let group = [group.unwrap_or_default(), b" ", operation].concat();
        // Made-up collections must not fill the memory with their names.
        let known = self.groups.contains_key(&group[..]) || self.groups.len() < MAX_GROUPS;
        let group = if known { &group[..] } else { b"" };
        let entry = self.groups.entry(group.into()).or_default();
        entry.seen += 1;
        let new = Sample {
            owner: scrub::find(bytes, "did").map_or(0, scrub::hash),
            line: line.into(),
        };
        self.bytes += line.len();
        if entry.samples.len() < self.share {
            entry.samples.push(new);
        } else {
            // Each event of the group has the same chance to be among those kept.
            let place = self
                .random
                .below(usize::try_from(entry.seen).unwrap_or(usize::MAX));
            match entry.samples.get_mut(place) {
                Some(old) => self.bytes -= std::mem::replace(old, new).line.len(),
                None => self.bytes -= new.line.len(),
            }
        }
        if self.bytes > self.max_bytes {
            self.shrink();
        }
    }

    /// How many events have been added.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// Trains the candidates and picks one. The number is `id`; if that is `None`, it is drawn from
    /// the content of the dictionary, so that no two ever share one.
    ///
    /// # Errors
    ///
    /// When there are too few events, or `id` is 0.
    pub fn train(self, id: Option<u32>) -> Result<Trained, TrainError> {
        self.train_with(id, |line| Some(line.into()), |_| {})
    }

    /// Works as [`train`](Self::train), for events in another form than their lines, and reports
    /// each candidate once it has been judged.
    ///
    /// `compress` returns the form of a line, which may have been scrubbed; lines for which it
    /// returns `None` are left out.
    ///
    /// # Errors
    ///
    /// As [`train`](Self::train).
    pub fn train_with(
        mut self,
        id: Option<u32>,
        mut compress: impl FnMut(&str) -> Option<Vec<u8>>,
        mut progress: impl FnMut(&Candidate),
    ) -> Result<Trained, TrainError> {
        let (samples, held_out) = self.part();
        let samples: Vec<_> = samples.iter().filter_map(|line| compress(line)).collect();
        let held_out: Vec<_> = held_out
            .into_iter()
            .filter_map(|(group, line)| Some((group, compress(&line)?)))
            .collect();
        let candidates = self.candidates(id, &samples, &held_out, &mut progress)?;
        let best = candidates
            .iter()
            .map(|(candidate, _)| candidate.result.ratio())
            .fold(f64::INFINITY, f64::min);
        // Sizes come in the caller's order, so the first that is good enough is the one to take.
        let good = |(candidate, _): &(Candidate, _)| candidate.result.ratio() <= best * TOLERANCE;
        let chosen = candidates.iter().find(|candidate| good(candidate));
        let Some((chosen, dictionary)) = chosen.cloned() else {
            return Err(no_size_asked_for(&samples));
        };
        let all = || held_out.iter().map(|(_, event)| &event[..]);
        Ok(Trained {
            compared: self
                .rival
                .as_ref()
                .map(|rival| Evaluation::of(rival, all())),
            held_out: chosen.result,
            groups: by_group(&dictionary, &held_out),
            samples: samples.len(),
            dictionary,
            candidates: candidates
                .into_iter()
                .map(|(candidate, _)| candidate)
                .collect(),
        })
    }

    /// Trains a dictionary of each size and judges it by the held-out events.
    ///
    /// Fails only if none of the sizes could be trained: the larger ones need more samples.
    fn candidates(
        &self,
        id: Option<u32>,
        samples: &[Vec<u8>],
        held_out: &[(Box<[u8]>, Vec<u8>)],
        progress: &mut impl FnMut(&Candidate),
    ) -> Result<Vec<(Candidate, Dictionary)>, TrainError> {
        // The numbers are given after training: content alone decides them, unless `id` does.
        let mut candidates = Vec::new();
        let mut failure = None;
        for &size in &self.sizes {
            let trained = match Dictionary::train(samples, size, id.unwrap_or(1)) {
                Ok(trained) => trained,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            let dictionary = match id {
                Some(_) => trained,
                None => renumbered(&trained)?,
            };
            let result = Evaluation::of(&dictionary, held_out.iter().map(|(_, event)| &event[..]));
            let candidate = Candidate { size, result };
            progress(&candidate);
            candidates.push((candidate, dictionary));
        }
        match failure {
            Some(error) if candidates.is_empty() => Err(error),
            _ => Ok(candidates),
        }
    }

    /// Halves the largest groups.
    fn shrink(&mut self) {
        let largest = self.groups.values().map(|group| group.samples.len()).max();
        self.share = (largest.unwrap_or(0) / 2).max(1);
        for group in self.groups.values_mut() {
            while group.samples.len() > self.share {
                let place = self.random.below(group.samples.len());
                self.bytes -= group.samples.swap_remove(place).line.len();
            }
        }
    }

    /// Parts the events into the samples to train on and the held-out ones, sorted by group.
    fn part(&mut self) -> (Vec<String>, Vec<HeldOut>) {
        let mut groups: Vec<_> = std::mem::take(&mut self.groups).into_iter().collect();
        groups.sort_by(|one, other| one.0.cmp(&other.0));
        let samples = groups.iter().flat_map(|(_, group)| &group.samples);
        let held = samples
            .clone()
            .filter(|sample| sample.is_held_out())
            .count();
        let all = samples.count();
        // With few accounts the hash may part them badly: then single events are held out.
        let by_owner = held * 50 >= all && held * 2 <= all;
        let largest = groups.iter().max_by_key(|(_, group)| group.seen);
        let (most, most_kept) = largest.map_or((1, 0), |(_, group)| {
            (group.seen, group.samples.len() as u64)
        });
        let (mut samples, mut held_out) = (Vec::new(), Vec::new());
        for (name, group) in groups {
            for (index, sample) in group.samples.into_iter().enumerate() {
                let index = index as u64;
                let is_held_out = if by_owner {
                    sample.is_held_out()
                } else {
                    index.is_multiple_of(HELD_OUT)
                };
                if !is_held_out {
                    samples.push(sample);
                } else if index * most < group.seen * most_kept {
                    // The held-out events have the mix that readers get.
                    held_out.push((name.clone(), sample.line));
                }
            }
        }
        samples.sort_by_key(|sample| sample.owner);
        (self.prepare(samples), held_out)
    }

    fn prepare(&mut self, samples: Vec<Sample>) -> Vec<String> {
        if !self.is_scrubbed {
            return samples
                .into_iter()
                .map(|sample| sample.line.into())
                .collect();
        }
        let mut scrubber = Scrubber::default();
        for sample in &samples {
            scrubber.count(sample.owner, &sample.line);
        }
        let random = &mut self.random;
        let scrub = |sample: Sample| scrubber.scrub(&sample.line, random);
        samples.into_iter().map(scrub).collect()
    }
}

impl Default for Trainer {
    fn default() -> Self {
        Self::new()
    }
}

/// A collection and an operation, or a kind.
#[derive(Debug, Default)]
struct Group {
    samples: Vec<Sample>,
    seen: u64,
}

#[derive(Debug)]
struct Sample {
    /// The hash of the account.
    owner: u64,
    line: Box<str>,
}

impl Sample {
    const fn is_held_out(&self) -> bool {
        self.owner.is_multiple_of(HELD_OUT)
    }
}

/// The group of a held-out event, and its line.
type HeldOut = (Box<[u8]>, Box<str>);

/// How small a dictionary makes the events of each group; `held_out` is sorted by group.
fn by_group(
    dictionary: &Dictionary,
    held_out: &[(Box<[u8]>, Vec<u8>)],
) -> Vec<(String, Evaluation)> {
    let groups = held_out.chunk_by(|one, other| one.0 == other.0);
    let evaluate = |group: &[(Box<[u8]>, Vec<u8>)]| {
        let events = group.iter().map(|(_, event)| &event[..]);
        (
            String::from_utf8_lossy(&group[0].0).into_owned(),
            Evaluation::of(dictionary, events),
        )
    };
    groups.map(evaluate).collect()
}

fn no_size_asked_for(samples: &[Vec<u8>]) -> TrainError {
    TrainError::Samples {
        count: samples.len(),
        bytes: samples.iter().map(Vec::len).sum(),
        max_size: 0,
        reason: "no size was asked for".to_owned(),
    }
}

/// Returns the same dictionary with a number drawn from its content.
fn renumbered(dictionary: &Dictionary) -> Result<Dictionary, TrainError> {
    let mut bytes = dictionary.bytes().to_vec();
    let (start, end) = (*Trainer::IDS.start(), *Trainer::IDS.end());
    let digest: [u8; 32] = Sha256::digest(&bytes).into();
    let [a, b, c, d, ..] = digest;
    let id = start + u32::from_le_bytes([a, b, c, d]) % (end - start + 1);
    if let Some(number) = bytes.get_mut(4..8) {
        number.copy_from_slice(&id.to_le_bytes());
    }
    Ok(Dictionary::from_bytes(bytes)?)
}

/// One in this many accounts is held out.
const HELD_OUT: u64 = 8;
/// A smaller dictionary is taken if it is worse than the best by no more than this factor.
const TOLERANCE: f64 = 1.005;
const MAX_BYTES: usize = 24 << 20;
const MAX_GROUPS: usize = 512;
/// Longer events compress well by themselves, and would crowd out others.
const MAX_EVENT: usize = 8 << 10;
const SEED: u64 = 0x006a_6574_7761_7368;
