use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use jetwash_dict::Dictionary;
use tokio::sync::watch;

use crate::appender::{Appender, AppenderParts};
use crate::backend::Durable;
use crate::backend::state;
use crate::backend::{
    self, Backend, Batch, Bucket, BucketName, DiskBackend, MemoryBackend, Opened, Reserved,
};
use crate::block::{Block, Cache, Dictionaries, check_payload, decode_index, decode_piece};
use crate::crash::crash_point;
use crate::error::{BackendError, OpenError};
use crate::frames::{FrameRing, FrameWriter, StoredFrames};
use crate::gap::{MAX_NOTED, Noted};
use crate::identity::LogId;
use crate::options::{Location, Options};
use crate::read::Store;
use crate::ring::{KnownTotals, NamedCursors, Ring, View};

/// Opens a ring, making it if it does not exist: the side that writes and the side that reads.
///
/// A folder can be open once at a time. It is closed when the appender and every clone of the store
/// are dropped. A block that somebody keeps has what was loaded of it until then, and no more.
///
/// # Errors
///
/// When an option is out of its range, the folder cannot be used or is open elsewhere, or what is
/// in it was written by a newer version or is damaged.
///
/// # Examples
///
/// ```
/// use jetwash_store::{Location, Options, open};
///
/// let (appender, store) = open(Location::Memory, Options::default())?;
/// assert_eq!(appender.next_seq(), 1);
/// assert_eq!(store.bounds().events(), 0);
/// # Ok::<(), jetwash_store::OpenError>(())
/// ```
pub fn open(location: Location, options: Options) -> Result<(Appender, Store), OpenError> {
    options.check()?;
    match location {
        Location::Memory => {
            let opened = MemoryBackend::open();
            recover(opened, PathBuf::new(), options, How::AsItIs)
        }
        Location::Disk(path) => open_disk(path, options, How::AsItIs),
    }
}

/// What a ring is taken for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    /// What its files say.
    AsItIs,
    /// One that has lost commits: it goes on behind all positions that may have been given out.
    BehindTheMark,
    /// The same, but it is not known which positions those are.
    AsAnotherLog,
}

pub(crate) fn open_disk(
    path: PathBuf,
    options: Options,
    how: How,
) -> Result<(Appender, Store), OpenError> {
    DiskBackend::open(&path, &options)
        .and_then(|opened| recover(opened, path.clone(), options, how))
        .map_err(|error| backend::diagnose(&path, error))
}

fn recover(
    opened: Opened,
    path: PathBuf,
    options: Options,
    how: How,
) -> Result<(Appender, Store), OpenError> {
    let Opened {
        backend,
        state,
        buckets,
        reserved,
        mark,
    } = opened;
    let (is_known, reserved) = match how {
        How::AsItIs => (true, reserved),
        How::BehindTheMark => (true, Some(mark)),
        How::AsAnotherLog => (false, Some(mark)),
    };
    let state = State::read(state, &path)?;
    let storage = |source: BackendError| OpenError::Storage {
        path: path.clone(),
        source,
    };
    backend.begin().map_err(storage)?;
    crash_point!("open.versioned");
    let id = match state.id.filter(|_| is_known) {
        Some(id) => id,
        None => begin_log(&*backend).map_err(storage)?,
    };
    let (buckets, frame_buckets) = by_content(buckets);
    let kept = open_frames(state.frames, frame_buckets, &*backend, &options).map_err(storage)?;
    let (frame_writer, frames) = kept.unzip();
    let dictionaries = Arc::new(Dictionaries::default());
    state
        .dictionaries
        .into_iter()
        .for_each(|dictionary| dictionaries.add(dictionary));

    let mut view = View {
        next_seq: state.next_seq,
        last_time: state.last_time,
        gaps: state.gaps,
        noted: state.noted.into(),
        ..View::default()
    };
    let useless = list_buckets(&mut view, buckets, state.floor).map_err(storage)?;
    for first_seq in useless {
        let name = BucketName::Events(first_seq);
        backend.delete_bucket(name).map_err(storage)?;
        crash_point!("open.bucket_deleted");
    }
    let end = end_of_buckets(&mut view);
    let (Ok(in_buckets) | Err(in_buckets)) = end;
    let slots = state.tail.len() as u32;
    let mut pieces = Vec::new();
    for bytes in state.tail {
        // What cannot be read is a gap: readers are told of it when they come to it.
        let Ok((index, payload)) = decode_piece(&bytes) else {
            continue;
        };
        if index.first_seq < in_buckets.max(state.floor) {
            continue;
        }
        let payload = bytes.slice(payload..);
        if check_payload(&index, &payload).is_err() {
            view.next_seq = view.next_seq.max(index.next_seq());
            continue;
        }
        let is_json = index.compressed_ends.is_empty();
        let (compressed, json) = if is_json {
            (None, Some(payload))
        } else {
            (Some(payload), None)
        };
        let block = Block::in_memory(index, compressed, json, Arc::clone(&dictionaries));
        pieces.push(Arc::new(block));
    }
    pieces.sort_by_key(|piece| piece.first_seq());
    for piece in pieces {
        view.next_seq = view.next_seq.max(piece.next_seq());
        view.last_time = view.last_time.max(piece.index().last_time());
        view.push_tail(piece);
    }

    if end.is_err() {
        // The damage reaches up to what can be read again.
        let next = view
            .tail()
            .next()
            .map_or(view.next_seq, |piece| piece.first_seq());
        if let Some(last) = view.buckets.back_mut() {
            last.next_seq = next;
        }
    }

    let mut cursors = state.cursors;
    let changed_cursors = mend_cursors(&mut cursors, &view, end.is_ok(), state.next_seq);
    if let Some(reserved) = reserved {
        let mut batch = Batch::default();
        for name in &changed_cursors {
            let value = cursors.get(name).copied().unwrap_or_default();
            batch.set(state::cursor_key(name), state::encode_numbers(&[value]));
        }
        skip_reserved(&mut view, &*backend, reserved, batch).map_err(storage)?;
    }
    view.gaps = newest_gaps(&view);
    backend.take_stock().map_err(storage)?;

    let (sender, tip) = watch::channel(view.next_seq);
    let ring = Arc::new(Ring {
        id,
        view: RwLock::new(view),
        cache: Arc::new(Cache::new(options.cache_bytes)),
        dictionaries,
        durable: Durable::new(backend, options.durability),
        named: NamedCursors::new(state.named),
        letter_totals: KnownTotals::default(),
        frames,
        tip,
    });
    let appender = Appender::new(AppenderParts {
        ring: Arc::clone(&ring),
        options,
        tip: sender,
        slots,
        cursors,
        changed_cursors,
        accounted: state.accounted,
        uses: state.uses,
        frames: frame_writer,
    });
    Ok((appender, Store::new(ring)))
}

/// Gives a log its identity. It is safe before anybody can have seen it.
fn begin_log(backend: &dyn Backend) -> Result<LogId, BackendError> {
    let id = LogId::random();
    let mut batch = Batch::default();
    batch.set(state::LOG.to_vec(), state::encode_numbers(&[id.get()]));
    backend.write(&batch)?;
    backend.sync()?;
    Ok(id)
}

/// Buckets with the number that each is known by.
type Buckets = Vec<(u64, Arc<dyn Bucket>)>;

/// Those of events, and those of frames.
fn by_content(buckets: Vec<(BucketName, Arc<dyn Bucket>)>) -> (Buckets, Buckets) {
    let (mut events, mut frames) = (Vec::new(), Vec::new());
    for (name, bucket) in buckets {
        match name {
            BucketName::Events(first_seq) => events.push((first_seq, bucket)),
            BucketName::Frames(number) => frames.push((number, bucket)),
        }
    }
    (events, frames)
}

/// Opens the ring of frames, or drops the frames that an earlier run has kept.
fn open_frames(
    stored: StoredFrames,
    buckets: Buckets,
    backend: &dyn Backend,
    options: &Options,
) -> Result<Option<(FrameWriter, FrameRing)>, BackendError> {
    let all: Vec<u64> = buckets.iter().map(|(number, _)| *number).collect();
    let forgotten = stored.keys();
    let (opened, useless) = match options.frame_bytes {
        Some(max_bytes) => {
            let (writer, ring, useless) = FrameWriter::open(stored, buckets, max_bytes);
            (Some((writer, ring)), useless)
        }
        None => (None, all),
    };
    if opened.is_none() && !forgotten.is_empty() {
        let mut batch = Batch::default();
        forgotten.into_iter().for_each(|key| batch.remove(key));
        backend.write(&batch)?;
    }
    for number in useless {
        backend.delete_bucket(BucketName::Frames(number))?;
    }
    Ok(opened)
}

/// Has the cursors fit the events that are there: they are kept with the blocks as well as in the
/// state, and damage to the journal may take what one of the two had and the other has. Tells which
/// are changed.
///
/// If blocks are newer than the state, the upstreams need not send again what is in them; if events
/// are missing after the last block, they must.
fn mend_cursors(
    cursors: &mut BTreeMap<String, u64>,
    view: &View,
    is_end_known: bool,
    stored_seq: u64,
) -> BTreeSet<String> {
    let mut changed = BTreeSet::new();
    let Some((kept_seq, kept)) = kept_cursors(view) else {
        return changed;
    };
    let is_whole = is_end_known && !lacks_events(view, stored_seq);
    if is_whole && kept_seq <= stored_seq {
        return changed;
    }
    for (name, value) in kept {
        if cursors.get(&name) != Some(&value) {
            cursors.insert(name.clone(), value);
            changed.insert(name);
        }
    }
    changed
}

/// Whether events are missing after the last block, up to the position that was stored.
fn lacks_events(view: &View, stored_seq: u64) -> bool {
    let mut at = view.buckets.back().map_or(0, |bucket| bucket.next_seq);
    for piece in view.tail() {
        if piece.first_seq() > view.after_gap(at) {
            return true;
        }
        at = piece.next_seq();
    }
    stored_seq > view.after_gap(at)
}

/// The cursors that were kept with the last block that has any, and the position they belong to.
fn kept_cursors(view: &View) -> Option<(u64, BTreeMap<String, u64>)> {
    let mut at = u64::MAX;
    for _ in 0..BLOCKS_ASKED {
        let place = view.cold_block(at)?;
        let kept = place.bucket.cursors(&place.key).ok().flatten();
        if let Some(kept) = kept.and_then(|bytes| state::decode_cursors(&bytes)) {
            return Some(kept);
        }
        at = place.key.first_seq.checked_sub(1)?;
    }
    None
}

/// A block has no cursors if it was written by an earlier version, or in one commit with others.
const BLOCKS_ASKED: usize = 64;

/// Goes on after all that readers may have seen, and remembers the gap. The store may have
/// forgotten what was committed last: the power failed, or it was damaged.
fn skip_reserved(
    view: &mut View,
    backend: &dyn Backend,
    reserved: Reserved,
    mut batch: Batch,
) -> Result<(), BackendError> {
    let Reserved { seq, time_us } = reserved;
    if seq <= view.next_seq && time_us <= view.last_time {
        return Ok(());
    }
    if seq > view.next_seq {
        match view.gaps.last_mut() {
            Some((_, next)) if *next == view.next_seq => *next = seq,
            _ => view.gaps.push((view.next_seq, seq)),
        }
        view.next_seq = seq;
    }
    view.last_time = view.last_time.max(time_us);
    let position = state::encode_numbers(&[view.next_seq, view.last_time]);
    batch.set(state::POSITION.to_vec(), position);
    batch.set(state::GAPS.to_vec(), state::encode_gaps(&newest_gaps(view)));
    backend.write(&batch)?;
    backend.sync()
}

/// The gaps that are remembered: also those that the ring has moved past, to know how many events
/// it has dropped.
fn newest_gaps(view: &View) -> Vec<(u64, u64)> {
    let start = view.gaps.len().saturating_sub(MAX_GAPS);
    view.gaps.get(start..).unwrap_or_default().to_vec()
}

/// Notes what the buckets hold, and returns those that hold nothing that is still wanted.
fn list_buckets(
    view: &mut View,
    buckets: Vec<(u64, Arc<dyn Bucket>)>,
    floor: u64,
) -> Result<Vec<u64>, BackendError> {
    let mut useless = Vec::new();
    for (first_seq, bucket) in buckets {
        let keys = bucket.keys()?;
        let wrong = keys.first().is_none_or(|key| key.first_seq != first_seq);
        if wrong || first_seq < floor {
            useless.push(first_seq);
            continue;
        }
        keys.iter()
            .for_each(|key| view.push_stored(&bucket, first_seq, key));
    }
    let firsts: Vec<u64> = view.buckets.iter().map(|view| view.first_seq).collect();
    for (bucket, next) in view.buckets.iter_mut().zip(firsts.into_iter().skip(1)) {
        bucket.next_seq = next;
    }
    Ok(useless)
}

/// The position after the last event in a bucket, which only the last block knows. `Err` if it is
/// damaged, with a position that is at most that one.
fn end_of_buckets(view: &mut View) -> Result<u64, u64> {
    let place = view.cold_block(u64::MAX);
    let Some((place, last)) = place.zip(view.buckets.back_mut()) else {
        return Ok(0);
    };
    let index = place.bucket.index(&place.key).ok().flatten();
    let Some(index) = index.and_then(|bytes| decode_index(&bytes).ok()) else {
        return Err(place.key.first_seq + 1);
    };
    last.next_seq = index.next_seq();
    view.next_seq = view.next_seq.max(index.next_seq());
    view.last_time = view.last_time.max(index.last_time());
    Ok(index.next_seq())
}

/// What is stored beside the blocks.
struct State {
    id: Option<LogId>,
    next_seq: u64,
    last_time: u64,
    floor: u64,
    gaps: Vec<(u64, u64)>,
    noted: Vec<Noted>,
    cursors: BTreeMap<String, u64>,
    accounted: u64,
    named: BTreeMap<String, u64>,
    uses: Vec<(u64, u32)>,
    frames: StoredFrames,
    dictionaries: Vec<Dictionary>,
    tail: Vec<Bytes>,
}

impl State {
    fn read(pairs: Vec<(Bytes, Bytes)>, path: &Path) -> Result<Self, OpenError> {
        let mut state = Self {
            id: None,
            next_seq: 1,
            last_time: 0,
            floor: 0,
            gaps: Vec::new(),
            noted: Vec::new(),
            cursors: BTreeMap::new(),
            accounted: 0,
            named: BTreeMap::new(),
            uses: Vec::new(),
            frames: StoredFrames::default(),
            dictionaries: Vec::new(),
            tail: Vec::new(),
        };
        let version = pairs.iter().find(|(key, _)| &key[..] == state::VERSION);
        match version {
            Some((_, version)) if !state::is_known(version) => {
                return Err(other_format(path, version));
            }
            _ => {}
        }
        for (key, value) in pairs {
            state.take(&key, value).ok_or_else(|| OpenError::Corrupt {
                path: path.to_owned(),
                what: format!("the entry {}", key.escape_ascii()),
            })?;
        }
        state.noted.sort_by_key(|noted| noted.number);
        let too_many = state.noted.len().saturating_sub(MAX_NOTED);
        state.noted.drain(..too_many);
        let newest = |id| state.uses.iter().rposition(|(_, used)| *used == id);
        state
            .dictionaries
            .sort_by_key(|dictionary| newest(dictionary.id()));
        Ok(state)
    }

    fn take(&mut self, key: &[u8], value: Bytes) -> Option<()> {
        if let Some(name) = state::cursor_name(key) {
            let [cursor] = state::decode_numbers(&value)?;
            self.cursors.insert(name.to_owned(), cursor);
        } else if let Some(name) = state::named_name(key) {
            let [cursor] = state::decode_numbers(&value)?;
            self.named.insert(name.to_owned(), cursor);
        } else if let Some(id) = state::dictionary_id(key) {
            let dictionary = Dictionary::from_bytes(&value[..]).ok()?;
            (dictionary.id() == id).then(|| self.dictionaries.push(dictionary))?;
        } else if let Some(number) = state::noted_number(key) {
            self.noted.push(Noted::decode(number, &value)?);
        } else if state::is_tail(key) {
            self.tail.push(value);
        } else if key == state::POSITION {
            [self.next_seq, self.last_time] = state::decode_numbers(&value)?;
        } else if key == state::LOG {
            let [id] = state::decode_numbers(&value)?;
            self.id = Some(LogId::from_number(id));
        } else if key == state::FLOOR {
            [self.floor] = state::decode_numbers(&value)?;
        } else if key == state::ACCOUNTS {
            [self.accounted] = state::decode_numbers(&value)?;
        } else if key == state::GAPS {
            self.gaps = state::decode_gaps(&value)?;
        } else if key == state::USES {
            self.uses = state::decode_uses(&value)?;
        } else if key != state::VERSION {
            self.frames.take(key, &value)?;
        }
        Some(())
    }
}

/// One for each power failure.
const MAX_GAPS: usize = 1_024;

fn other_format(path: &Path, version: &[u8]) -> OpenError {
    let found = match version.try_into() {
        Ok(version) => u32::from_le_bytes(version).to_string(),
        Err(_) => format!("{}", version.escape_ascii()),
    };
    OpenError::Format {
        path: path.to_owned(),
        found,
        supported: state::FORMAT,
    }
}
