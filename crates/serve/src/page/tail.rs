use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;

use jetwash::store::{Block, Run};
use jetwash::{
    Cursor, Jetstream, ReadError, Reader, Reading, Selection, Seq, StartFrom, Verdict, json_of,
    some_json_of,
};
use serde::Serialize;
use tokio::time::Instant;

use crate::page::wish::Wish;

/// The newest events for one viewer: a position in the log, and a few events a second.
pub(crate) struct Tail {
    wish: Wish,
    reader: Reader,
    selection: Selection,
    rate: f64,
    /// How many events may be shown now.
    allowance: f64,
    since: Instant,
}

/// Events that were not shown since the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct PassedOver {
    /// Events that match, and were too many.
    passed: u64,
    /// Events that were not looked at, as they were too many at once, and may match or not.
    unread: u64,
    /// Gaps in the log, and blocks that cannot be read.
    gaps: u64,
}

/// An event in a block.
type Found = (Arc<Block>, usize);

impl Tail {
    /// Starts after the last event that the viewer has seen, or a little before the end of the log.
    pub(crate) async fn start(
        jetstream: &Jetstream,
        wish: Wish,
        rate: u32,
    ) -> Result<Self, ReadError> {
        let bounds = jetstream.bounds();
        let first = bounds.next_seq.minus(FIRST_READ);
        // An event that is not there yet is one of another log.
        let after = wish.after.map(Seq::next);
        let start = after.filter(|next| *next <= bounds.next_seq);
        let start = start.unwrap_or(first).max(bounds.oldest_seq);
        let cursor = StartFrom::Cursor(Cursor::before(start));
        Ok(Self {
            wish,
            reader: jetstream.reader(cursor).await?,
            selection: Selection::default(),
            rate: f64::from(rate),
            allowance: f64::from(rate),
            since: Instant::now(),
        })
    }

    /// The position of the last event that was looked at.
    pub(crate) fn last(&self) -> u64 {
        self.reader.next_seq().previous().get()
    }

    /// Reads on to the end of the log, and appends the newest events that match, as many as may be
    /// shown, as messages of an event stream.
    pub(crate) async fn read(&mut self, jetstream: &Jetstream, out: &mut String) {
        let now = Instant::now();
        let more = (now - self.since).as_secs_f64() * self.rate;
        (self.allowance, self.since) = ((self.allowance + more).min(self.rate), now);
        let most = self.allowance as usize;
        let mut over = PassedOver::default();
        let mut found = VecDeque::new();
        let end = jetstream.bounds().next_seq;
        let near = end.minus(MOST_READ);
        if self.reader.next_seq() < near {
            over.unread += near.since(self.reader.next_seq());
            self.reader.skip_to(near);
        }
        while !self.reader.is_at_tip() && self.reader.next_seq() < end {
            match self.reader.next().await {
                Some(Ok(Reading::Events(run))) => match self.look(&run, most, &mut found).await {
                    Ok(left_out) => over.passed += left_out,
                    Err(_) => over.gaps += 1,
                },
                Some(Ok(_)) => over.gaps += 1,
                Some(Err(_)) => {
                    over.gaps += 1;
                    over.unread += end.since(self.reader.next_seq());
                    self.reader.skip_to(end);
                }
                None => break,
            }
        }
        for (block, index) in found {
            let is_shown = show(&block, index, out).await;
            self.allowance -= 1.0;
            over.gaps += u64::from(is_shown.is_err());
        }
        if over != PassedOver::default() {
            self.push_passed_over(over, out);
        }
    }

    /// Adds the events of a run that match to those that were `found`, of which the newest stay.
    /// Returns how many were left out.
    async fn look(
        &mut self,
        run: &Run,
        most: usize,
        found: &mut VecDeque<Found>,
    ) -> Result<u64, ReadError> {
        let block = run.block();
        self.selection.select(run, &self.wish.filter);
        let mut left_out = 0;
        let page = match self.wish.has_text() && !self.selection.is_empty() {
            true => Some(json_of(block).await?),
            false => None,
        };
        for index in self.selection.by_ref() {
            let line = page
                .as_ref()
                .map(|page| page.get(index).unwrap_or_default());
            if line.is_some_and(|line| !self.wish.wants(line)) {
                continue;
            }
            found.push_back((Arc::clone(block), index));
            if found.len() > most {
                found.pop_front();
                left_out += 1;
            }
        }
        Ok(left_out)
    }

    fn push_passed_over(&self, over: PassedOver, out: &mut String) {
        if let Ok(json) = serde_json::to_string(&over) {
            push_message(out, self.last(), "passed", &json);
        }
    }
}

/// Appends an event as a message.
async fn show(block: &Arc<Block>, index: usize, out: &mut String) -> Result<(), ReadError> {
    let page = some_json_of(block, &[index]).await?;
    let (Some(line), Some(meta)) = (page.get(index), block.meta(index)) else {
        return Ok(());
    };
    let line = std::str::from_utf8(line).unwrap_or_default();
    let seq = block.first_seq().plus(index as u64).get();
    let bytes = line.len();
    let verdict = Verdict::from_byte(meta.verdict).map(Verdict::name);
    let head = Head {
        seq,
        bytes,
        verdict,
        did: meta.did,
        collection: meta.collection,
    };
    let Ok(mut json) = serde_json::to_string(&head) else {
        return Ok(());
    };
    json.pop();
    // A line has no line breaks but as escapes. If one had, it could pass for a message of its own.
    let is_shown = bytes <= MOST_LINE && !line.contains(['\n', '\r']) && !line.is_empty();
    let event = if is_shown { line } else { "null" };
    let _ = write!(json, r#","event":{event}}}"#);
    push_message(out, seq, "event", &json);
    Ok(())
}

/// The facts of an event besides its line.
#[derive(Debug, Serialize)]
struct Head<'a> {
    seq: u64,
    bytes: usize,
    verdict: Option<&'static str>,
    did: &'a str,
    /// Empty unless it is about a record.
    collection: &'a str,
}

/// Appends a message of an event stream (HTML, section 9.2.6), whose data has no line breaks.
pub(crate) fn push_message(out: &mut String, id: u64, name: &str, data: &str) {
    debug_assert!(!data.contains('\n'), "a message has one line of data");
    // Writing to a string does not fail.
    let _ = write!(out, "id: {id}\nevent: {name}\ndata: {data}\n\n");
}

/// How many events back a viewer begins: a block of them.
const FIRST_READ: u64 = 512;
/// How many events one look reads: beyond 8,000 a second the rest is passed over.
const MOST_READ: u64 = 2_048;
/// Longer lines are named, not shown.
const MOST_LINE: usize = 16 << 10;
