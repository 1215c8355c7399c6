use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};

use bytes::Bytes;

use super::letter::{DeadLetterError, LetterLimits, NewDeadLetter, StoredLetter, decode, encode};
use super::store::Store;
use crate::backend::Batch;
use crate::error::StoreError;
use crate::ring::LetterTotals;
use crate::seq::Seq;

impl Store {
    /// The dead letters of a consumer: the events that it could not handle, put aside so that it
    /// can continue. They are copies, which stay when the ring moves on, until they are discarded.
    #[must_use]
    pub fn dead_letters(&self, consumer: &str) -> DeadLetters {
        DeadLetters {
            store: self.clone(),
            consumer: consumer.to_owned(),
        }
    }

    /// Returns the names of the consumers that have dead letters, in their order.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub fn dead_letter_consumers(&self) -> Result<Vec<String>, DeadLetterError> {
        let backend = self.ring().durable.backend();
        let (mut names, mut from) = (Vec::new(), Vec::new());
        loop {
            let pairs = backend.letters(&[], &from, 1);
            let pairs = pairs.map_err(StoreError::storage("read dead letters"))?;
            let Some((key, _)) = pairs.first() else {
                return Ok(names);
            };
            let name = key.split(|byte| *byte == 0).next().unwrap_or_default();
            names.push(String::from_utf8_lossy(name).into_owned());
            // The zero byte is below all that may follow in a longer name.
            from = [name, &[1]].concat();
        }
    }
}

/// The dead letters of one consumer. All its calls block on the disk.
///
/// # Examples
///
/// ```
/// use jetwash_store::{
///     CommitPart, EventKind, LetterLimits, Location, Micros, NewDeadLetter, NewEvent, Options, Read,
///     Seq, open,
/// };
///
/// let (mut appender, store) = open(Location::Memory, Options::default())?;
/// appender.push(&NewEvent {
///     kind: EventKind::Create,
///     did: "did:plc:z72i7hdynmk6r22z27h6tvur",
///     collection: "app.bsky.feed.post",
///     commit: CommitPart::WHOLE,
///     source: "wss://relay.example",
///     verdict: 0,
///     time_us: Micros::new(1_700_000_000_000_000),
///     json: b"{}",
///     compressed: None,
/// })?;
/// appender.commit()?;
/// let Read::Events(run) = store.read(Seq::FIRST)? else { panic!("nothing there") };
///
/// let letters = store.dead_letters("feed");
/// let letter = NewDeadLetter {
///     block: run.block(),
///     index: 0,
///     reason: "no text",
///     attempts: 5,
///     failed_at_us: Micros::new(1_700_000_001_000_000),
/// };
/// letters.put(&letter, LetterLimits::default())?;
/// assert_eq!(letters.list(None, 10)?[0].reason(), "no text");
/// assert!(letters.discard(Seq::FIRST)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DeadLetters {
    store: Store,
    consumer: String,
}

impl DeadLetters {
    /// Puts an event aside. One that is there already is replaced: a letter's name is the position
    /// of its event. It is as durable as a commit.
    ///
    /// # Errors
    ///
    /// When there is no room for it, or it cannot be written. Nothing is changed then.
    pub fn put(
        &self,
        letter: &NewDeadLetter<'_>,
        limits: LetterLimits,
    ) -> Result<(), DeadLetterError> {
        let (seq, value) = encode(letter, &self.store.ring().dictionaries)?;
        let key = self.key(seq);
        // Held until the letter is written, or two of them could take the last room.
        let mut totals = self.known_totals();
        let held = self.totals(&mut totals)?;
        let old = self.read(&key, &key, 1)?;
        let old = old
            .first()
            .map_or_else(LetterTotals::default, LetterTotals::of);
        let new = LetterTotals {
            letters: held.letters - old.letters + 1,
            bytes: held.bytes - old.bytes + value.len() as u64,
        };
        if new.letters > limits.letters || new.bytes > limits.bytes {
            return Err(DeadLetterError::Full {
                consumer: self.consumer.clone(),
                held,
                limits,
            });
        }
        self.write(key, Some(value.into()))?;
        totals.insert(self.consumer.clone(), new);
        Ok(())
    }

    /// The letters after the one of position `after`, or from the first on, in the order of
    /// their events; at most `max`.
    ///
    /// # Errors
    ///
    /// When they cannot be read, or one is damaged.
    pub fn list(
        &self,
        after: Option<Seq>,
        max: usize,
    ) -> Result<Vec<StoredLetter>, DeadLetterError> {
        let from = self.key(after.map(Seq::next).unwrap_or_default());
        if after == Some(Seq::MAX) {
            return Ok(Vec::new());
        }
        let pairs = self.read(&self.prefix(), &from, max)?;
        pairs
            .iter()
            .map(|(key, value)| self.decode(key, value))
            .collect()
    }

    /// Returns the letter of the event at a position; `None` if the event has no letter.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is damaged.
    pub fn get(&self, seq: Seq) -> Result<Option<StoredLetter>, DeadLetterError> {
        let key = self.key(seq);
        let pairs = self.read(&key, &key, 1)?;
        let letter = pairs.first().map(|(key, value)| self.decode(key, value));
        letter.transpose()
    }

    /// Removes a letter; `false` if the event has no letter.
    ///
    /// # Errors
    ///
    /// When that cannot be written. The letter is still there then.
    pub fn discard(&self, seq: Seq) -> Result<bool, DeadLetterError> {
        let key = self.key(seq);
        let mut totals = self.known_totals();
        let held = self.totals(&mut totals)?;
        let pairs = self.read(&key, &key, 1)?;
        let Some(old) = pairs.first().map(LetterTotals::of) else {
            return Ok(false);
        };
        self.write(key, None)?;
        let new = LetterTotals {
            letters: held.letters - old.letters,
            bytes: held.bytes - old.bytes,
        };
        totals.insert(self.consumer.clone(), new);
        Ok(true)
    }

    /// Returns how many letters there are, and how many bytes they take.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub fn held(&self) -> Result<LetterTotals, DeadLetterError> {
        self.totals(&mut self.known_totals())
    }

    /// The totals, counted once and then kept up to date.
    fn totals(
        &self,
        known: &mut HashMap<String, LetterTotals>,
    ) -> Result<LetterTotals, DeadLetterError> {
        if let Some(totals) = known.get(&self.consumer) {
            return Ok(*totals);
        }
        let (prefix, mut totals, mut next) =
            (self.prefix(), LetterTotals::default(), Seq::default());
        loop {
            let page = self.read(&prefix, &self.key(next), PAGE)?;
            for pair in &page {
                totals.letters += 1;
                totals.bytes += LetterTotals::of(pair).bytes;
            }
            let last = page.last().and_then(|(key, _)| seq_of(key));
            match last {
                Some(last) if page.len() == PAGE && last < Seq::MAX => next = last.next(),
                _ => break,
            }
        }
        known.insert(self.consumer.clone(), totals);
        Ok(totals)
    }

    /// Held while a letter is written, so that what is counted is what is there.
    fn known_totals(&self) -> MutexGuard<'_, HashMap<String, LetterTotals>> {
        let totals = &self.store.ring().letter_totals;
        totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(
        &self,
        prefix: &[u8],
        from: &[u8],
        max: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, DeadLetterError> {
        let backend = self.store.ring().durable.backend();
        let pairs = backend.letters(prefix, from, max);
        Ok(pairs.map_err(StoreError::storage("read dead letters"))?)
    }

    fn write(&self, key: Vec<u8>, value: Option<Bytes>) -> Result<(), DeadLetterError> {
        let mut batch = Batch::default();
        batch.letters.push((key, value));
        let written = self.store.ring().durable.write(&batch);
        Ok(written.map_err(StoreError::storage("write a dead letter"))?)
    }

    fn decode(&self, key: &[u8], value: &Bytes) -> Result<StoredLetter, DeadLetterError> {
        let damaged = DeadLetterError::Damaged {
            consumer: self.consumer.clone(),
            seq: seq_of(key).unwrap_or_default(),
        };
        decode(value, &self.store.ring().dictionaries).ok_or(damaged)
    }

    /// The beginning of this consumer's keys. A name has no control characters, so none is the prefix of
    /// another.
    fn prefix(&self) -> Vec<u8> {
        [self.consumer.as_bytes(), &[0]].concat()
    }

    fn key(&self, seq: Seq) -> Vec<u8> {
        [&self.prefix(), &seq.get().to_be_bytes()[..]].concat()
    }
}

fn seq_of(key: &[u8]) -> Option<Seq> {
    Some(Seq::new(u64::from_be_bytes(*key.last_chunk()?)))
}

/// The letters that are read at once to count them.
const PAGE: usize = 256;
