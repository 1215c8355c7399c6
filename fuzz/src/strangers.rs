//! Targets for what clients, operators and a damaged disk hand over.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{LazyLock, OnceLock};

use jetwash::{DidFile, DidSet};
use jetwash_event::{AtUri, Datetime, Did, Handle, Nsid, PlcDid, RecordKey, Tid};
use jetwash_identity::{DidDocument, PdsEndpoint};
use jetwash_serve::fuzzing;
use jetwash_store::fuzzing as stored;
use regex::Regex;

use crate::targets::dictionary;

/// The query string of a subscriber, of either version.
///
/// Accepted queries keep to the limits, and an unknown parameter changes nothing.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let result = fuzzing::query(text);
    match &result {
        Ok((collections, dids)) => assert!(*collections <= 100 && *dids <= 10_000),
        Err(reason) => assert!(!reason.is_empty()),
    }
    assert_eq!(fuzzing::query(&format!("{text}&novelty=1")), result);
    let events = fuzzing::events_query(text);
    match &events {
        Ok((collections, dids)) => assert!(*collections <= 100 && *dids <= 10_000),
        Err(reason) => assert!(!reason.is_empty()),
    }
    assert_eq!(fuzzing::events_query(&format!("{text}&novelty=1")), events);
}

/// A text message of a subscriber.
///
/// Accepted messages are JSON and keep to the limits; spaces around them change nothing.
pub fn options_update(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let result = fuzzing::options_update(text);
    match &result {
        Ok(None) => {}
        Ok(Some((collections, dids))) => assert!(*collections <= 100 && *dids <= 10_000),
        Err(reason) => assert!(!reason.is_empty()),
    }
    let padded = fuzzing::options_update(&format!("{text} \n"));
    assert_eq!(padded.is_ok(), result.is_ok());
    if result.is_ok() {
        assert_eq!(padded, result);
        assert!(serde_json::from_str::<serde_json::Value>(text).is_ok());
    }
}

/// A DID document, which must be that of one DID.
///
/// Accepted documents are objects about that DID, and every part of them stands in the JSON, as an
/// independent parser reads it. Spaces around it change nothing.
pub fn did_document(data: &[u8]) {
    let did: Did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse().expect("a DID");
    let Ok(document) = DidDocument::parse(data, &did) else {
        return;
    };
    let json: serde_json::Value = match serde_json::from_slice(data) {
        Ok(json) => json,
        Err(error) => {
            // JSON may have these, in fields that are not read, but no value here can.
            let text = error.to_string();
            assert!(
                text.contains("number out of range") || text.contains("hex escape"),
                "accepted JSON is not JSON: {text}"
            );
            return;
        }
    };
    assert_eq!(json["id"], did.as_ref());
    let has = |list: &str, name: &str, is_it: &dyn Fn(&str) -> bool| {
        let items = json[list].as_array().into_iter().flatten();
        let mut texts = items.map(|item| if name.is_empty() { item } else { &item[name] });
        texts.any(|text| text.as_str().is_some_and(is_it))
    };
    if let Some(key) = document.signing_key() {
        let methods = "verificationMethod";
        assert!(has(methods, "publicKeyMultibase", &|text| text
            == key.multibase()));
        assert!(has(methods, "type", &|text| text == key.key_type().as_str()));
        assert!(has(methods, "controller", &|text| text == did.as_ref()));
    }
    if let Some(pds) = document.pds() {
        assert_eq!(PdsEndpoint::parse(pds.as_str()).as_ref(), Some(pds));
        let same = |text: &str| PdsEndpoint::parse(text).as_ref() == Some(pds);
        assert!(has("service", "serviceEndpoint", &same));
    }
    if let Some(handle) = document.claimed_handle() {
        let alias = format!("at://{handle}");
        assert!(has("alsoKnownAs", "", &|text| text.to_ascii_lowercase()
            == alias));
    }
    if data.len() < DidDocument::MAX_BYTES {
        let spaced = [b" ", data].concat();
        assert_eq!(DidDocument::parse(&spaced, &did), Ok(document));
    }
}

/// A client's bytes after the handshake. The first byte says in pieces of what length they come,
/// which must not matter.
pub fn client_frames(data: &[u8]) {
    const LIMIT: usize = 1 << 14;
    let Some((piece, bytes)) = data.split_first() else {
        return;
    };
    let whole = fuzzing::client_frames(bytes, bytes.len(), LIMIT);
    assert_eq!(fuzzing::client_frames(bytes, (*piece).into(), LIMIT), whole);
}

/// A file of DIDs, plain or compressed. A plain one is taken if each line is fit, and gives the DIDs
/// that a simpler reader finds.
pub fn did_file(data: &[u8]) {
    // A few bytes of zstd can stand for a gigabyte of blank lines: harmless, but slow.
    if data.starts_with(b"\x28\xb5\x2f\xfd") && data.len() > 4096 {
        return;
    }
    static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
        let name = format!("jetwash-fuzz-{}.txt", std::process::id());
        // In memory where the system has such a folder.
        let memory = PathBuf::from("/dev/shm");
        let folder = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        folder.join(name)
    });
    fs::write(&*PATH, data).expect("the temporary folder can be written to");
    let set = DidSet::new();
    let loaded = DidFile::new(&*PATH, set.clone()).load();
    let found: BTreeSet<String> = set.iter().map(|did| did.as_str().to_owned()).collect();
    match &loaded {
        Ok(change) => assert_eq!(found.len(), change.count()),
        Err(error) => assert!(found.is_empty() && !error.to_string().is_empty()),
    }
    assert!(found.iter().all(|did| Did::check(did).is_ok()));
    let is_packed = [&b"\x1f\x8b"[..], b"\x28\xb5\x2f\xfd"];
    if !is_packed.iter().any(|magic| data.starts_with(magic)) {
        assert_eq!(loaded.is_ok().then_some(found), plain_dids(data));
    }
}

fn plain_dids(data: &[u8]) -> Option<BTreeSet<String>> {
    let mut dids = BTreeSet::new();
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        if line.len() > 4096 {
            return None;
        }
        let line = std::str::from_utf8(line).ok()?;
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        let did = line.split('#').next().unwrap_or_default().trim();
        if !did.is_empty() {
            Did::check(did).ok()?;
            dids.insert(did.to_owned());
        }
    }
    Some(dids)
}

/// Identifiers against the regular expressions of their specifications.
pub fn identifiers(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let patterns = Patterns::get();
    let is = |pattern: &Regex, length: usize| text.len() <= length && pattern.is_match(text);
    assert_eq!(Did::check(text).is_ok(), is(&patterns.did, 2048));
    assert_eq!(Handle::check(text).is_ok(), is(&patterns.handle, 253));
    let is_nsid = is(&patterns.nsid, 317);
    assert_eq!(Nsid::check(text).is_ok(), is_nsid);
    let is_dots = text == "." || text == "..";
    let is_key = is(&patterns.record_key, 512) && !is_dots;
    assert_eq!(RecordKey::check(text).is_ok(), is_key);
    assert_eq!(Tid::check(text).is_ok(), is(&patterns.tid, 13));
    assert_eq!(PlcDid::parse(text).is_some(), is(&patterns.plc_did, 32));

    if let Ok(tid) = text.parse::<Tid>() {
        assert_eq!(tid.to_string(), text);
        // The pattern lets the first bit be set, which makes 54 bits of the 53 for the time.
        assert!(tid.time().get() < 1 << 54 && tid.clock() < 1 << 10);
    }
    if let Some(did) = PlcDid::parse(text) {
        assert_eq!(did.to_string(), text);
        assert_eq!(PlcDid::from_bytes(&did.to_bytes()), did);
    }
    if let Ok(nsid) = text.parse::<Nsid>() {
        assert_eq!(format!("{}.{}", nsid.authority(), nsid.name()), text);
    }
    if let Ok(uri) = text.parse::<AtUri>() {
        let parts = [Some(uri.authority()), uri.collection(), uri.record_key()];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        assert_eq!(format!("at://{}", parts.join("/")), text);
        assert!(Did::check(parts[0]).is_ok() || Handle::check(parts[0]).is_ok());
    }
    if Datetime::check(text).is_ok() {
        assert!(Datetime::check_rfc3339(text).is_ok());
    }
}

/// As the specifications print them.
struct Patterns {
    did: Regex,
    handle: Regex,
    nsid: Regex,
    plc_did: Regex,
    record_key: Regex,
    tid: Regex,
}

impl Patterns {
    fn get() -> &'static Self {
        static PATTERNS: OnceLock<Patterns> = OnceLock::new();
        PATTERNS.get_or_init(|| {
            let regex = |pattern: &str| Regex::new(&format!(r"\A(?:{pattern})\z")).expect("valid");
            let segment = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?";
            let first = "[a-zA-Z](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?";
            Self {
                did: regex("did:[a-z]+:[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]"),
                handle: regex(&format!(r"(?:{segment}\.)+{first}")),
                nsid: regex(&format!(
                    r"{first}(?:\.{segment})+\.[a-zA-Z][a-zA-Z0-9]{{0,62}}"
                )),
                plc_did: regex("did:plc:[a-z2-7]{24}"),
                record_key: regex("[a-zA-Z0-9_~.:-]{1,512}"),
                tid: regex("[234567abcdefghij][234567abcdefghijklmnopqrstuvwxyz]{12}"),
            }
        })
    }
}

/// Messages of a log, one behind the other with their lengths before them in four bytes, taken over by
/// a mirror in memory. Checksums are made to fit, so that only the mirror's own care is left.
pub fn log_message(data: &[u8]) {
    use jetwash_store::{Location, LogId, LogMessage, Options, Read, Seq, open};

    let (mut mirror, store) =
        open(Location::Memory, Options::default()).expect("a log in memory opens");
    let become_mirror = mirror.become_mirror(LogId::from_number(1));
    become_mirror.expect("nothing was written to it");
    let mut rest = data;
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = (u32::from_le_bytes(*length) as usize).min(after.len());
        let (message, after) = after.split_at(length);
        rest = after;
        let _ = LogMessage::decode(message.to_vec().into());
        let mut message = message.to_vec();
        if let [3, piece @ ..] = &mut message[..] {
            stored::seal(piece);
        }
        let Ok(message) = LogMessage::decode(message.into()) else {
            continue;
        };
        let again = LogMessage::decode(message.encode());
        assert_eq!(again.as_ref(), Ok(&message), "it is read as it was written");
        let before = mirror.next_seq();
        match mirror.apply(&message) {
            Ok(applied) => {
                let moved = applied.events + applied.positions_skipped;
                assert_eq!(mirror.next_seq(), before.plus(moved));
            }
            Err(_) => assert_eq!(mirror.next_seq(), before, "what is refused changes nothing"),
        }
    }
    mirror.commit().expect("memory can be written");
    // Every reader gets through, and what was taken over can be sent.
    let (mut position, mut time) = (Seq::FIRST, None);
    loop {
        match store.read(position).expect("memory can be read") {
            Read::AtTip => break,
            Read::Gap(gap) => {
                assert!(gap.next_seq > position);
                position = gap.next_seq;
            }
            Read::Events(run) => {
                let page = run.block().json().expect("it was unpacked before");
                for index in run.indexes() {
                    assert!(
                        page.get(index)
                            .is_some_and(|json| str::from_utf8(json).is_ok())
                    );
                    let next = run.block().times().get(index).copied();
                    assert!(next > time);
                    time = next;
                }
                position = run.next_seq();
            }
        }
    }
    assert_eq!(position, mirror.next_seq());
}

/// A stored block whose checksums fit, so that only the reader's own care is left.
pub fn store_block(data: &[u8]) {
    const MOST: usize = 16 << 20;
    let _ = stored::read_block(data, None);
    let mut bytes = data.to_vec();
    stored::seal(&mut bytes);
    let Some(block) = stored::read_block(&bytes, Some(dictionary())) else {
        return;
    };
    let count = block.len();
    assert!(count > 0 && block.next_seq().since(block.first_seq()) == count as u64);
    assert_eq!((block.times().len(), block.kinds().len()), (count, count));
    let mut length = 0_usize;
    for index in 0..count {
        if let Some(meta) = block.meta(index) {
            length = length.saturating_add(meta.json_len);
            assert_eq!(meta.seq, block.first_seq().plus(index as u64));
        }
        let _ = block.index_at_time(block.times()[index]);
    }
    assert!(block.meta(count).is_none());
    if length > MOST {
        return;
    }
    if let Ok(page) = block.json_of(&[0]) {
        let _ = page.get(0);
    }
    if let Ok(Some(page)) = block.compressed() {
        (0..=count).for_each(|index| drop(page.slice(index)));
    }
    if let Ok(page) = block.json() {
        for index in 0..=count {
            assert_eq!(page.get(index), page.slice(index).as_deref());
        }
    }
}
