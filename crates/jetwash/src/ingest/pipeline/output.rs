use std::ops::Range;

use jetwash_event::{Draft, DraftBody, Encoder, Micros, RecordErrorKind};
use jetwash_store::CommitPart;

use crate::ingest::pipeline::fault::Fault;

/// The output of a frame, within a budget: its JSON may be many times its size, since a character
/// may become six, and one block may be the record of all its operations.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// The bytes of JSON that await the next commit.
    pub(super) pending: usize,
    /// Those that the frame at hand has made.
    of_frame: usize,
    /// Whether a record of the frame at hand did not fit any more: then the records after it are
    /// not tried, since each try may cost as much as one that fits.
    is_over: bool,
    /// The larger records of the frame at hand as JSON, by where they are in the frame: operations
    /// that share a block have it encoded once.
    records: Vec<(usize, usize, Range<usize>)>,
    json: Vec<u8>,
}

impl Output {
    #[inline]
    pub(super) fn begin_frame(&mut self) {
        self.of_frame = 0;
        self.is_over = false;
        if !self.records.is_empty() {
            self.records.clear();
            self.json.clear();
            self.json.shrink_to(KEPT_JSON);
        }
    }

    pub(super) const fn taken(&mut self, bytes: usize) {
        self.of_frame += bytes;
        self.pending += bytes;
    }

    /// Encodes an event, and returns where in `line` its record is; empty if it has none.
    pub(super) fn encode(
        &mut self,
        encoder: &mut Encoder,
        draft: &Draft<'_>,
        commit: CommitPart,
        time_us: Micros,
        line: &mut Vec<u8>,
    ) -> Result<Range<usize>, Fault> {
        let left = FRAME_JSON.saturating_sub(self.of_frame);
        let record = match &draft.body {
            DraftBody::Commit { record, .. } => record.map(|(record, _)| record),
            _ => None,
        };
        let Some(record) = record else {
            // What has no record is short, and of deletions none may be missing.
            return encoder
                .encode_within(draft, time_us, FRAME_JSON, line)
                .map_err(Fault::Record);
        };
        if self.is_over {
            return Err(Fault::OutputTooLong);
        }
        let is_shared = commit.len > 1 && record.len() >= SHARED;
        let place = (record.as_ptr().addr(), record.len());
        let is_it = |known: &&(usize, usize, _)| (known.0, known.1) == place;
        let known = self.records.iter().find(is_it).filter(|_| is_shared);
        let known = known.map(|(_, _, json)| json.clone());
        let is_new = is_shared && known.is_none();
        let encoded = match known {
            Some(json) => {
                let json = self.json.get(json);
                debug_assert!(json.is_some(), "ranges and JSON are cleared together");
                let json = json.unwrap_or_default();
                encoder.encode_again(draft, time_us, json, left, line)
            }
            None => encoder.encode_within(draft, time_us, left, line),
        };
        match encoded {
            Ok(json) if is_new => {
                debug_assert!(
                    line.get(json.clone()).is_some(),
                    "the record is in the line"
                );
                let start = self.json.len();
                self.json
                    .extend_from_slice(line.get(json.clone()).unwrap_or_default());
                self.records
                    .push((place.0, place.1, start..self.json.len()));
                Ok(json)
            }
            Ok(json) => Ok(json),
            Err(error) => {
                self.is_over = error.kind == RecordErrorKind::OutputLength;
                Err(Fault::Record(error))
            }
        }
    }
}

/// The JSON of one frame: eight times what the blocks of a commit may have.
const FRAME_JSON: usize = 16 << 20;
/// A record of at least this many bytes is kept for later operations that share it.
const SHARED: usize = 512;
/// The larger JSON of a frame is given back down to this many bytes.
const KEPT_JSON: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use jetwash_event::Operation;

    use super::*;

    #[test]
    fn a_record_that_operations_share_is_encoded_once() {
        // {"text": …} with 600 letters.
        let mut record = b"\xa1\x64text\x79\x02\x58".to_vec();
        record.resize(record.len() + 600, b'a');
        let cid = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a";
        let cid = cid.parse().expect("a CID");
        let draft = Draft {
            did: "did:web:a.example",
            body: DraftBody::Commit {
                rev: "3l3qo2vutsw2b",
                operation: Operation::Create,
                collection: "app.bsky.feed.post",
                rkey: "self",
                record: Some((&record, &cid)),
            },
        };
        let (mut encoder, mut output) = (Encoder::new(), Output::default());
        let mut line = |output: &mut Output, part| {
            let mut line = Vec::new();
            let encoded = output.encode(&mut encoder, &draft, part, Micros::new(7), &mut line);
            assert!(encoded.is_ok());
            String::from_utf8(line).expect("JSON")
        };
        let part = CommitPart { index: 0, len: 3 };
        let first = line(&mut output, part);
        assert_eq!(line(&mut output, part), first);
        // What is kept of it is what the next event gets, so it is not encoded again.
        output.json.fill(b'x');
        let again = line(&mut output, part);
        let json = format!(r#"{{"text":"{}"}}"#, "a".repeat(600));
        assert_eq!(again, first.replace(&json, &"x".repeat(json.len())));
        // The next frame has records of its own, and of one operation nothing is kept.
        output.begin_frame();
        assert_eq!(line(&mut output, CommitPart::WHOLE), first);
        assert!(output.records.is_empty());
    }
}
