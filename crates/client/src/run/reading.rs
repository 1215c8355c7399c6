use bytes::Bytes;
use jetwash_dict::{DecompressError, compressed_dictionary_id};
use jetwash_websocket::Incoming;

use super::runner::{End, Runner};
use super::session::Session;
use crate::connection::ConnectionError;
use crate::item::{ClientGap, ClientGapCause, ClientItem};
use crate::resume::{Mark, Verdict};
use crate::snapshot::Count;
use crate::wire::{ClientEvent, Malformed, Message, read};

impl Runner {
    /// Takes in a message: at most one item for the reader comes of it.
    pub(super) async fn take_message(
        &mut self,
        session: &mut Session,
        incoming: Incoming,
    ) -> Result<(), End> {
        // A copy of its own, so that an event that is kept does not keep all that was read with
        // it. Long ones are worth more than that.
        let text = match incoming {
            Incoming::Text(text) if text.len() < LONG => Bytes::copy_from_slice(&text),
            Incoming::Text(text) => text.freeze(),
            Incoming::Binary(compressed) => {
                self.know_dictionary(session, &compressed).await?;
                match self.decompress(&compressed) {
                    Ok(text) => text,
                    Err(reason) => {
                        self.malformed(reason);
                        return Ok(());
                    }
                }
            }
            Incoming::Sign => return Ok(()),
            Incoming::Skipped(..) => {
                self.malformed(Malformed::TooLarge);
                return Ok(());
            }
        };
        match read(session.protocol, text) {
            Ok(Message::Event(event)) => self.take_event(session, event)?,
            Ok(Message::Gap(gap)) => {
                let cause = ClientGapCause::Server;
                self.deliver_gap(ClientGap {
                    cause,
                    after: gap.after,
                    before: None,
                    message: Some(gap.cause),
                });
            }
            Ok(Message::Info { name, message }) if name == "OutdatedCursor" => {
                self.resume
                    .note_gap(ClientGapCause::OutdatedCursor, message);
            }
            Ok(Message::Error { name, message }) => {
                return Err(ConnectionError::Frame { name, message }.into());
            }
            Ok(Message::Info { .. } | Message::Unknown) => self.tally.add(Count::Unknown, 1),
            Err(reason) => self.malformed(reason),
        }
        Ok(())
    }

    fn take_event(&mut self, session: &mut Session, event: ClientEvent) -> Result<(), End> {
        self.tally.add(Count::Received, 1);
        let mark = Mark {
            time: event.time(),
            seq: event.seq(),
            hash: event.content_hash(&self.hashes),
        };
        let judged = self.resume.judge(mark);
        match judged.verdict {
            Verdict::New => {}
            Verdict::Repeat => {
                // It is life, if nothing new.
                session.last_event = session.heard;
                self.tally.add(Count::Repeats, 1);
                return Ok(());
            }
            Verdict::Before => {
                session.last_event = session.heard;
                self.tally.add(Count::BeforeCursor, 1);
                return Ok(());
            }
            Verdict::Renumbered => return Err(End::Again("the host counts its events anew")),
        }
        session.last_event = session.heard;
        if self.new_events == 0 {
            self.hosts.progress();
        }
        self.new_events += 1;
        self.pace.event(mark.time);
        if let Some(gap) = judged.gap {
            self.deliver_gap(gap);
        }
        if !self.filter.passes(&event) {
            self.tally.add(Count::Filtered, 1);
            return Ok(());
        }
        self.resume.pass(mark);
        self.tally.add(Count::Delivered, 1);
        self.output.push(ClientItem::Event(event));
        Ok(())
    }

    /// Gets the dictionary of a message if it is not known. Where that fails, the connection is
    /// made anew without compression, so that nothing is lost.
    async fn know_dictionary(
        &mut self,
        session: &mut Session,
        compressed: &[u8],
    ) -> Result<(), End> {
        let Some(id) = compressed_dictionary_id(compressed) else {
            return Ok(());
        };
        if self.dictionaries.decompressor(Some(id)).is_some() {
            return Ok(());
        }
        session.lookups += 1;
        let host = self.settings.hosts[session.host].clone();
        let got = if session.lookups > MAX_LOOKUPS {
            let reason = "the host uses too many".to_owned();
            Err(ConnectionError::Dictionary { id, reason })
        } else {
            self.dictionaries.get(id, &mut self.dialer, &host).await
        };
        match got {
            Ok(true) => self.note_dictionary(true),
            Ok(false) => {}
            Err(_) => {
                self.note_dictionary(false);
                self.hosts.state().make_plain();
                return Err(End::Again("the dictionary of the host is not to be found"));
            }
        }
        Ok(())
    }

    fn decompress(&mut self, compressed: &[u8]) -> Result<Bytes, Malformed> {
        let id = compressed_dictionary_id(compressed);
        let decompressor = self.dictionaries.decompressor(id);
        let decompressor = decompressor.ok_or(Malformed::Compression)?;
        self.scratch.clear();
        let limit = self.settings.max_message;
        let decompressed = decompressor.decompress(compressed, limit, &mut self.scratch);
        decompressed.map_err(|error| match error {
            DecompressError::TooLarge { .. } => Malformed::TooLarge,
            _ => Malformed::Compression,
        })?;
        self.tally
            .add(Count::BytesDecompressed, self.scratch.len() as u64);
        let text = Bytes::copy_from_slice(&self.scratch);
        // One long message is no reason to hold so much memory for ever.
        if self.scratch.capacity() > LONG {
            self.scratch = Vec::new();
        }
        Ok(text)
    }

    fn deliver_gap(&mut self, gap: ClientGap) {
        self.tally.add(Count::Gaps, 1);
        self.output.push(ClientItem::Gap(gap));
    }

    fn malformed(&mut self, reason: Malformed) {
        self.tally.malformed(reason);
        self.output.push(ClientItem::Malformed(reason));
    }
}

/// From this length on, a message is not copied.
const LONG: usize = 64 << 10;
/// How many dictionaries a connection may need. Each costs a request.
const MAX_LOOKUPS: u32 = 8;
