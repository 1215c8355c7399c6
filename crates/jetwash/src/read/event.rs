use std::fmt;
use std::sync::{Arc, OnceLock};

use jetwash_event::{
    Body, Cid, ContentFilter, Facts, Kind, LabelEvent, Micros, Operation, ParseRecordError,
    RecordCborError, record_cbor,
};
use jetwash_store::{Block, Cursor, EventKind, Page, Seq};
use jetwash_verify::Verdict;
use serde::de::DeserializeOwned;

use crate::read::line::Line;
use crate::read::{Change, EventId, Phase};

/// An event of the log. It is cheap to clone, and carries its bytes: nothing is parsed until asked.
///
/// An event keeps its block of a few hundred events in memory. A program that keeps events for long
/// should keep their [`json`](Self::json) instead.
#[derive(Clone)]
pub struct Event {
    block: Arc<Block>,
    page: Page,
    index: usize,
    seq: Seq,
    time_us: Micros,
    kind: EventKind,
    phase: Phase,
    /// Whether it is an update that a filter by content does not match.
    no_longer: bool,
    /// Filled in when a part of the line is first asked for.
    line: OnceLock<Line>,
}

impl Event {
    /// Its position in the log.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// The cursor of a reader that has had it: a later subscription continues behind it.
    #[must_use]
    pub const fn cursor(&self) -> Cursor {
        Cursor::after(self.seq)
    }

    /// Its time: when it went into the log. No two events share one.
    #[must_use]
    pub const fn time_us(&self) -> Micros {
        self.time_us
    }

    /// The account's DID.
    #[must_use]
    pub fn did(&self) -> &str {
        self.block.meta(self.index).map_or("", |meta| meta.did)
    }

    /// Returns the kind of event.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind.kind()
    }

    /// Returns the operation on the record; `None` if the event is not about one.
    #[must_use]
    pub const fn operation(&self) -> Option<Operation> {
        match self.kind {
            EventKind::Create => Some(Operation::Create),
            EventKind::Update => Some(Operation::Update),
            EventKind::Delete => Some(Operation::Delete),
            _ => None,
        }
    }

    /// The record's collection; `None` if the event is not about a record.
    #[must_use]
    pub fn collection(&self) -> Option<&str> {
        let collection = self.block.meta(self.index)?.collection;
        (!collection.is_empty()).then_some(collection)
    }

    /// Which operation of its commit it is, counted from 0; `None` if the event is not about a
    /// record.
    ///
    /// It counts as the commit upstream does: where an ingest filter, or a fault, keeps some of a
    /// commit's operations out of the log, their numbers are missing.
    #[must_use]
    pub fn commit_index(&self) -> Option<u32> {
        Some(self.block.meta(self.index)?.commit?.index)
    }

    /// How many operations its commit has upstream, those that are not in the log included;
    /// `None` if the event is not about a record.
    ///
    /// Without an ingest filter, the events of one commit are together when
    /// [`commit_index`](Self::commit_index) plus 1 is this.
    #[must_use]
    pub fn commit_len(&self) -> Option<u32> {
        Some(self.block.meta(self.index)?.commit?.len)
    }

    /// The name of the source that it came from: a relay's [`Endpoint`](crate::Endpoint) as text,
    /// or what [`JetstreamBuilder::frame_stream`](crate::JetstreamBuilder::frame_stream) was given.
    /// With several, the one that was first to send it.
    #[must_use]
    pub fn source(&self) -> &str {
        self.block.meta(self.index).map_or("", |meta| meta.source)
    }

    /// Returns what verification said of its commit or sync. `None` where nothing was
    /// [verified](crate::Verify), and for the kinds that nobody signs: identity and account. A sync is
    /// signed as a commit is.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash::{Event, Verdict};
    ///
    /// /// Whether to act on who said what.
    /// fn is_certain(event: &Event) -> bool {
    ///     event.verdict() == Some(Verdict::Verified)
    /// }
    /// ```
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        Verdict::from_byte(self.block.meta(self.index)?.verdict)
    }

    /// Whether it is read from the past, or as it happens.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The event as the line that Jetstream sends, without a newline.
    #[must_use]
    pub fn json(&self) -> &str {
        // The log takes nothing but what our encoder wrote, and checks it for damage when it reads.
        let json = std::str::from_utf8(self.bytes());
        debug_assert!(json.is_ok(), "the log holds a line that is not UTF-8");
        json.unwrap_or_default()
    }

    /// The event as structs, with the record still in JSON.
    ///
    /// # Errors
    ///
    /// When the event is a [label](Self::label), or the log holds a line that is not an event, which
    /// only a fault can cause.
    pub fn parse(&self) -> Result<jetwash_event::ParsedEvent, serde_json::Error> {
        serde_json::from_slice(self.bytes())
    }

    /// Returns a name that only this event has, in this log and in any that reads the same relay:
    /// for databases that must recognise an event that comes twice.
    ///
    /// # Examples
    ///
    /// An operation is named by account, revision, path and action; any other event by the relay's
    /// time and sequence number. A label has a name that only this log has.
    ///
    /// ```text
    /// did:plc:ewvi7nxzyoun6zhxrhs64oiz/3l3qo2vutsw2b/app.bsky.feed.like/3l3qo2vuowo2b/delete
    /// did:plc:ewvi7nxzyoun6zhxrhs64oiz/account/2026-07-04T14:38:07.517Z/31527015322
    /// ```
    #[must_use]
    pub fn id(&self) -> EventId {
        let (did, json, line) = (self.did(), self.json(), self.line());
        EventId(match (line.commit, line.message) {
            (Some(commit), _) => {
                let operation = self.operation().map_or("", Operation::as_str);
                let collection = self.collection().unwrap_or_default();
                let (rev, rkey) = (commit.rev.cut(json), commit.rkey.cut(json));
                format!("{did}/{rev}/{collection}/{rkey}/{operation}")
            }
            (None, Some(message)) => {
                let time = message.time.cut(json);
                format!("{did}/{}/{time}/{}", self.kind(), message.seq)
            }
            (None, None) => format!("{did}/{}/{}", self.kind(), self.time_us()),
        })
    }

    /// The revision of the repository that the commit made, or that a sync names; `None` for the
    /// other kinds.
    #[must_use]
    pub fn rev(&self) -> Option<&str> {
        let line = self.line();
        let rev = line.commit.map(|commit| commit.rev);
        let rev = rev.or_else(|| line.message?.rev)?;
        Some(rev.cut(self.json()))
    }

    /// The key of the record in its collection; `None` if the event is not about one.
    #[must_use]
    pub fn rkey(&self) -> Option<&str> {
        Some(self.line().commit?.rkey.cut(self.json()))
    }

    /// Where the record is, as an `at://` URI; `None` if the event is not about one.
    #[must_use]
    pub fn uri(&self) -> Option<String> {
        let (did, collection, rkey) = (self.did(), self.collection()?, self.rkey()?);
        Some(format!("at://{did}/{collection}/{rkey}"))
    }

    /// The CID of the record; `None` if the event carries none.
    #[must_use]
    pub fn cid(&self) -> Option<Cid> {
        self.line().commit?.cid?.cut(self.json()).parse().ok()
    }

    /// Parses the record.
    ///
    /// # Errors
    ///
    /// When the event carries none, or it does not fit the type.
    pub fn record<T: DeserializeOwned>(&self) -> Result<T, ParseRecordError> {
        let json = self.record_json().ok_or(ParseRecordError::Absent)?;
        Ok(serde_json::from_str(json)?)
    }

    /// The record as JSON, as it stands in [`json`](Self::json); `None` if the event carries none.
    #[must_use]
    pub fn record_json(&self) -> Option<&str> {
        Some(self.line().commit?.record?.cut(self.json()))
    }

    /// The record as the DAG-CBOR that its repository holds, to the byte: regenerated from the
    /// JSON, and checked against the CID.
    ///
    /// # Errors
    ///
    /// When the event carries no record, or one of the few whose JSON leaves something out.
    pub fn record_cbor(&self) -> Result<Vec<u8>, RecordCborError> {
        let json = self.record_json().ok_or(RecordCborError::Absent)?;
        record_cbor(json, &self.cid().ok_or(RecordCborError::Absent)?)
    }

    /// Returns the content in a form that a `match` has to treat in full: deletes and changes of
    /// accounts too. An update that [no longer matches](Self::no_longer_matches) a filter by
    /// content is a [`Change::Delete`].
    ///
    /// # Errors
    ///
    /// When the event is a [label](Self::label), or the log holds a line that is not an event, which
    /// only a fault can cause.
    pub fn change(&self) -> Result<Change, serde_json::Error> {
        Ok(match self.parse()?.body {
            Body::Commit(commit) => match commit.operation {
                Operation::Create => Change::Create(commit),
                Operation::Update if self.no_longer_matches() => Change::Delete(commit),
                Operation::Update => Change::Update(commit),
                Operation::Delete => Change::Delete(commit),
            },
            Body::Identity(identity) => Change::Identity(identity),
            Body::Account(account) => Change::Account(account),
            Body::Sync(sync) => Change::Sync(sync),
        })
    }

    /// Returns the label that was given or taken back; `None` if the event is of another kind. Only a
    /// Jetstream of [labelers](crate::JetstreamBuilder::labeler) has labels, and nothing else.
    ///
    /// # Errors
    ///
    /// When the log holds a line that is not an event, which only a fault can cause.
    pub fn label(&self) -> Option<Result<LabelEvent, serde_json::Error>> {
        (self.kind == EventKind::Label).then(|| serde_json::from_slice(self.bytes()))
    }

    /// Returns the facts that content filters check: found once, by the first subscription that
    /// asks, and shared by all. `None` if the event carries no record.
    #[must_use]
    pub fn facts(&self) -> Option<&Facts> {
        self.facts_for(true)
    }

    fn facts_for(&self, with_details: bool) -> Option<&Facts> {
        let record = self.record_json()?;
        self.block.facts(self.index, with_details, || record)
    }

    /// Whether it is an update whose record does not match the content filter of the
    /// [subscription](crate::Subscription::content) or [consumer](crate::Consumer::content) that
    /// gave it.
    ///
    /// The record may have matched before: a post about coffee that is about tea now. A program
    /// that keeps matching records treats the update as a delete, as [`change`](Self::change) does.
    /// The record before the update is not looked up, so updates of records that never matched pass
    /// too.
    #[must_use]
    pub const fn no_longer_matches(&self) -> bool {
        self.no_longer
    }

    /// The event at an index of a block whose JSON has been loaded.
    pub(crate) fn at(block: &Arc<Block>, page: &Page, index: usize, phase: Phase) -> Option<Self> {
        let meta = block.meta(index)?;
        Some(Self {
            seq: meta.seq,
            time_us: meta.time_us,
            kind: meta.kind,
            phase,
            block: Arc::clone(block),
            page: page.clone(),
            index,
            no_longer: false,
            line: OnceLock::new(),
        })
    }

    /// The block and the index in it.
    pub(crate) const fn place(&self) -> (&Arc<Block>, usize) {
        (&self.block, self.index)
    }

    /// The number of the block that it keeps in memory, and about how many bytes that takes.
    pub(crate) fn memory(&self) -> (u64, usize) {
        let index = self.block.len() * BYTES_OF_INDEX;
        (
            self.block.first_seq().get(),
            self.page.bytes().len() + index,
        )
    }

    fn bytes(&self) -> &[u8] {
        let bytes = self.page.get(self.index);
        debug_assert!(bytes.is_some(), "an event is made of a page that has it");
        bytes.unwrap_or_default()
    }

    /// Whether a filter by content gives this event; notes it if that is only because the record
    /// may have matched before.
    pub(crate) fn is_given_by(&mut self, content: &[ContentFilter]) -> bool {
        if content.is_empty() {
            return true;
        }
        // What no filter asks for is not looked for.
        let with_details = content.iter().any(ContentFilter::needs_details);
        let matches = self
            .facts_for(with_details)
            .is_none_or(|facts| content.iter().all(|filter| filter.matches(facts)));
        if !matches && self.operation() == Some(Operation::Update) {
            self.no_longer = true;
            return true;
        }
        matches
    }

    fn line(&self) -> Line {
        *self.line.get_or_init(|| Line::parse(self.json()))
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("seq", &self.seq)
            .field("json", &self.json())
            .finish()
    }
}

/// The bytes of an event in a block's index, its share of names included.
const BYTES_OF_INDEX: usize = 64;
