use bytes::Bytes;
use jetwash_dict::Dictionary;

use super::adopt::check_log;
use super::check::{Checked, LAST_SEQ};
use super::error::MirrorError;
use super::events::LogEvents;
use super::message::LogMessage;
use crate::append::Appender;
use crate::block::Encoding;
use crate::event::{CommitPart, NewEvent};
use crate::gap::{Gap, GapCause};
use crate::seq::Seq;

impl Appender {
    /// Takes over a message of the log that this ring is a [mirror](Self::become_mirror) of: pushes
    /// events at the positions and times that they have there, leaves out positions, notes gaps, and
    /// keeps dictionaries. [`commit`](Self::commit) makes it visible and durable, all of it or nothing.
    ///
    /// Events and positions that the ring has already are left out, so a message may come again.
    ///
    /// # Errors
    ///
    /// When the ring is no mirror, or the message is of another log, does not follow what is there, or
    /// cannot be right. The ring is unchanged then. What is wrong may come from a lie, or from a
    /// connection: nothing says that another origin would not do better.
    pub fn apply(&mut self, message: &LogMessage) -> Result<Applied, MirrorError> {
        let store = self.store();
        if !store.is_mirror() {
            return Err(MirrorError::NotMirror);
        }
        match message {
            LogMessage::Hello {
                version,
                log,
                next_seq,
                ..
            } => {
                if *version != LogMessage::VERSION {
                    return Err(MirrorError::Version {
                        found: *version,
                        supported: LogMessage::VERSION,
                    });
                }
                check_log(store.log_id(), *log)?;
                self.check_end(*next_seq)?;
                Ok(Applied::default())
            }
            LogMessage::Dictionary { id, bytes } => self.apply_dictionary(*id, bytes),
            LogMessage::Events(events) => self.apply_events(events),
            LogMessage::Gap(gap) => self.apply_gap(gap),
            LogMessage::Tip { next_seq, .. } => {
                self.check_end(*next_seq)?;
                Ok(Applied::default())
            }
        }
    }

    fn check_end(&self, found: Seq) -> Result<(), MirrorError> {
        let own = self.next_seq();
        if found >= own {
            return Ok(());
        }
        Err(MirrorError::Behind { own, found })
    }

    /// Remembers a dictionary until events need it: only then it is stored, so that nobody can fill the
    /// ring with dictionaries alone.
    fn apply_dictionary(&mut self, id: u32, bytes: &Bytes) -> Result<Applied, MirrorError> {
        let known = self.store().dictionary(id);
        if let Some(known) = known {
            return match known.bytes() == &bytes[..] {
                true => Ok(Applied::default()),
                false => Err(MirrorError::OtherDictionary { id }),
            };
        }
        let error = |source| MirrorError::Dictionary { id, source };
        let dictionary = Dictionary::from_bytes(&bytes[..]).map_err(error)?;
        if dictionary.id() != id {
            return Err(MirrorError::OtherDictionary { id });
        }
        self.offer_dictionary(dictionary);
        Ok(Applied::default())
    }

    fn apply_events(&mut self, events: &LogEvents) -> Result<Applied, MirrorError> {
        let Some(Checked { start, json }) = self.check_events(events)? else {
            return Ok(Applied::default());
        };
        let index = events.index();
        if let Encoding::Compressed { dictionary } = index.encoding {
            self.use_dictionary(dictionary)?;
        }
        let bytes = json.len() as u64;
        // Nothing fails from here on.
        let mut json = &json[..];
        let before = |ends: &[u32]| {
            let end = start.checked_sub(1).and_then(|event| ends.get(event));
            end.map_or(0, |end| *end as usize)
        };
        let mut at = before(&index.compressed_ends);
        for event in start..index.times.len() {
            let (json_length, length) = index.lengths(event);
            let (own, rest) = json.split_at_checked(json_length).unwrap_or_default();
            json = rest;
            let compressed = match index.encoding {
                Encoding::Compressed { .. } => events.payload().get(at..at + length),
                Encoding::Json | Encoding::PackedJson => None,
            };
            at += length;
            let Some(meta) = index.meta(event) else {
                continue;
            };
            self.push_mirrored(&NewEvent {
                kind: meta.kind,
                did: meta.did,
                collection: meta.collection,
                commit: meta.commit.unwrap_or(CommitPart::WHOLE),
                source: meta.source,
                verdict: meta.verdict,
                time_us: meta.time_us,
                json: own,
                compressed,
            });
        }
        debug_assert_eq!(
            self.next_seq(),
            events.next_seq(),
            "each event has its position"
        );
        Ok(Applied {
            events: (index.times.len() - start) as u64,
            bytes,
            ..Applied::default()
        })
    }

    /// Makes the dictionary the one that the next events have, if it is known, and there are not too
    /// many.
    fn use_dictionary(&mut self, id: u32) -> Result<(), MirrorError> {
        let Some(dictionary) = self.known_dictionary(id) else {
            return Err(MirrorError::NoDictionary { id });
        };
        let is_new = self.store().dictionary(id).is_none();
        let all = self.store().dictionaries();
        let bytes = all.iter().map(|known| known.bytes().len()).sum::<usize>();
        let bytes = bytes + if is_new { dictionary.bytes().len() } else { 0 };
        let uses = self.dictionary_uses(id);
        if bytes > MAX_DICTIONARY_BYTES || uses > MAX_USES {
            return Err(MirrorError::TooManyDictionaries { bytes, uses });
        }
        Ok(self.set_dictionary(&dictionary)?)
    }

    fn apply_gap(&mut self, gap: &Gap) -> Result<Applied, MirrorError> {
        let next = self.next_seq();
        if gap.first_seq > next {
            return Err(MirrorError::Order {
                expected: next,
                found: gap.first_seq,
            });
        }
        match gap.cause {
            GapCause::Trimmed | GapCause::Damaged | GapCause::Skipped => {}
            GapCause::OtherLog | GapCause::CursorAhead => {
                return Err(MirrorError::Event {
                    seq: gap.first_seq,
                    what: "it lacks events for a cause that is a reader's own",
                });
            }
            _ if gap.first_seq == next => {
                self.note_mirrored(gap.clone());
                return Ok(Applied::default());
            }
            _ => return Ok(Applied::default()),
        }
        if gap.next_seq > LAST_SEQ {
            return Err(MirrorError::Event {
                seq: gap.next_seq,
                what: "its position is not one that a log gives out",
            });
        }
        if gap.next_seq <= next {
            return Ok(Applied::default());
        }
        self.skip_to(gap.next_seq, gap.cause);
        Ok(Applied {
            positions_skipped: gap.next_seq.since(next),
            ..Applied::default()
        })
    }
}

/// The part of a message that was new.
///
/// # Examples
///
/// ```
/// use jetwash_store::{Gap, GapCause, Location, LogId, LogMessage, Options, Seq, open};
///
/// let (mut appender, _store) = open(Location::Memory, Options::default())?;
/// appender.become_mirror(LogId::from_number(1))?;
/// let gap = LogMessage::Gap(Gap::new(Seq::FIRST, Seq::new(1_000), GapCause::Trimmed));
/// assert_eq!(appender.apply(&gap)?.positions_skipped, 999);
/// assert_eq!(appender.apply(&gap)?.positions_skipped, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The number of events that were pushed.
    pub events: u64,
    /// The number of positions that were left out.
    pub positions_skipped: u64,
    /// The bytes of the events' JSON.
    pub bytes: u64,
}

/// The bytes of the dictionaries that a mirror keeps: hundreds of those that are in use.
const MAX_DICTIONARY_BYTES: usize = 64 << 20;
/// How often the dictionary may change among the events of a ring.
const MAX_USES: usize = 4_096;
