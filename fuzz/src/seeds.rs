use std::fs;
use std::path::Path;

use jetwash_cbor::{CborReader, CborWriter, Cid, Codec};
use jetwash_corpus::{Corpus, corpus};
use jetwash_frame::{Car, Frame};
use jetwash_mst::{Node, write_node};

use crate::targets::dictionary;

/// Writes what `target` starts from into the folder that `JETWASH_FUZZ_SEEDS` names, if it does.
///
/// Some is made by hand here; where `JETWASH_CORPUS` is set there is recorded data too.
///
/// # Panics
///
/// When the folder cannot be written to.
pub fn write_seeds(target: &str) {
    let Some(folder) = std::env::var_os("JETWASH_FUZZ_SEEDS") else {
        return;
    };
    let mut seeds = match target {
        "frame" => [frames(), deep_frames()].concat(),
        "car" => [cars(), deep_cars()].concat(),
        "tree_node" => [nodes(), deep_cbor(b"\xa2\x61e")].concat(),
        "record_json" => [records(), deep_cbor(b"\xa1\x61x")].concat(),
        "event" => [events(), deep_lines(), deep_json("")].concat(),
        "batch" => batches(&events()),
        "binary" => {
            let deep = deep_cbor(b"\xa1\x66commit\xa1\x63rec");
            [binary(&events()), deep_lines(), deep].concat()
        }
        "client_frames" => client_frames(),
        "client_message" => [events(), deep_lines(), crate::client::seeds()].concat(),
        "dict" => packed(&events()),
        "did_document" => [did_documents(), deep_json("")].concat(),
        "did_file" => did_files(),
        "identifiers" => identifiers(),
        "options_update" => [updates(), deep_json("")].concat(),
        "query" => queries(),
        "label_frame" => label_frames(),
        "log_message" => logs(&events()),
        "store_block" => stored_blocks(&events()),
        "verify" => [frames(), crate::verify::seeds()].concat(),
        _ => Vec::new(),
    };
    if let Some(corpus) = corpus("recorded seeds") {
        seeds.extend(recorded(target, &corpus));
    }
    fs::create_dir_all(&folder).expect("the folder for seeds can be made");
    for (number, seed) in seeds.iter().enumerate() {
        let file = Path::new(&folder).join(format!("seed-{number:04}"));
        fs::write(file, seed).expect("a seed can be written");
    }
}

fn frames() -> Vec<Vec<u8>> {
    let header = |name: &str| {
        let mut writer = CborWriter::new();
        writer.map(2).text("t").text(name).text("op").integer(1);
        writer
    };
    let mut identity = header("#identity");
    identity.map(4);
    identity.text("did").text("did:web:a.example");
    identity.text("seq").unsigned(7);
    identity.text("time").text("2026-07-04T14:38:07.517Z");
    identity.text("handle").text("a.example");
    let mut account = header("#account");
    account.map(5);
    account.text("did").text("did:web:a.example");
    account.text("seq").unsigned(8);
    account.text("time").text("2026-07-04T14:38:07.517Z");
    account.text("active").boolean(false);
    account.text("status").text("deactivated");
    let mut info = header("#info");
    info.map(1).text("name").text("OutdatedCursor");
    let mut error = CborWriter::new();
    error.map(1).text("op").integer(-1);
    error.map(1).text("error").text("FutureCursor");

    let record = &records()[0];
    let cid = Cid::of(Codec::DagCbor, record);
    let car = &cars()[0];
    let root = Car::parse(car).expect("a seed is valid").root();
    let root = Cid::try_from(root).expect("a seed is valid");
    let mut commit = header("#commit");
    commit.map(12);
    commit.text("ops").array(2);
    commit.map(3).text("cid").link(&cid);
    commit.text("path").text("app.bsky.feed.like/3mptbyplj5d2a");
    commit.text("action").text("create");
    commit.map(3).text("cid").null();
    commit.text("path").text("app.bsky.feed.like/3mptbyplj5d2b");
    commit.text("action").text("delete");
    commit.text("rev").text("3mptbypluud2a");
    commit.text("seq").unsigned(9);
    commit.text("repo").text("did:web:a.example");
    commit.text("time").text("2026-07-04T14:38:07.517Z");
    commit.text("blobs").array(0);
    commit.text("since").null();
    commit.text("blocks").bytes(car);
    commit.text("commit").link(&root);
    commit.text("rebase").boolean(false);
    commit.text("tooBig").boolean(false);
    commit.text("prevData").link(&root);

    let mut sync = header("#sync");
    sync.map(5);
    sync.text("did").text("did:web:a.example");
    sync.text("rev").text("3mptbypluud2a");
    sync.text("seq").unsigned(10);
    sync.text("time").text("2026-07-04T14:38:07.517Z");
    sync.text("blocks").bytes(car);
    let writers = [commit, identity, account, sync, info, error];
    writers.map(CborWriter::into_bytes).to_vec()
}

fn cars() -> Vec<Vec<u8>> {
    let record = records().remove(0);
    let cid = Cid::of(Codec::DagCbor, &record);
    let key = &b"app.bsky.feed.like/3mptbyplj5d2a"[..];
    let node = write_node(None, [(key, cid, None)]);
    let mut object = CborWriter::new();
    object.map(6).text("did").text("did:web:a.example");
    object.text("rev").text("3mptbypluud2a");
    object.text("sig").bytes(&[7; 64]);
    object.text("data").link(&Cid::of(Codec::DagCbor, &node));
    object.text("prev").null().text("version").unsigned(3);
    let blocks = [object.into_bytes(), node, record];
    let root = Cid::of(Codec::DagCbor, &blocks[0]);
    let mut header = CborWriter::new();
    header.map(2).text("roots").array(1).link(&root);
    header.text("version").unsigned(1);
    let header = header.into_bytes();
    let mut car = varint(header.len());
    car.extend_from_slice(&header);
    for block in &blocks {
        car.extend(varint(Cid::LENGTH + block.len()));
        car.extend_from_slice(Cid::of(Codec::DagCbor, block).as_bytes());
        car.extend_from_slice(block);
    }
    vec![car]
}

pub(crate) fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn nodes() -> Vec<Vec<u8>> {
    let cid = Cid::of(Codec::DagCbor, &[0xa0]);
    vec![
        write_node(None, []),
        write_node(Some(cid), []),
        write_node(None, [(&b"a/4"[..], cid, None), (b"a/5", cid, None)]),
        write_node(
            Some(cid),
            [(&b"app.bsky.feed.post/454397e440ec"[..], cid, Some(cid))],
        ),
    ]
}

fn records() -> Vec<Vec<u8>> {
    let cid = Cid::of(Codec::Raw, b"content");
    let text = cid.to_string();
    let mut like = CborWriter::new();
    like.map(3).text("$type").text("app.bsky.feed.like");
    like.text("subject").map(2).text("cid").text(&text);
    like.text("uri")
        .text("at://did:web:a.example/app.bsky.feed.post/3mptbyplj5d2a");
    like.text("createdAt").text("2026-07-04T14:38:07.517Z");
    let mut blob = CborWriter::new();
    blob.map(2).text("a").array(2).bytes(&[1, 2]).null();
    blob.text("b").map(4);
    blob.text("ref").link(&cid);
    blob.text("size").unsigned(10);
    blob.text("$type").text("blob");
    blob.text("mimeType").text("image/png");
    let mut special = CborWriter::new();
    special.map(4);
    special.text("a").map(1).text("$link").text(&text);
    special.text("b").map(1).text("$bytes").text("AQI");
    special
        .text("c")
        .map(2)
        .text("cid")
        .text(&text)
        .text("mimeType")
        .text("a/b");
    special
        .text("d")
        .raw(&[0xfb, 0x40, 0x5e, 0xc0, 0, 0, 0, 0, 0]);
    let mut plain = CborWriter::new();
    plain
        .map(3)
        .text("b")
        .integer(-1)
        .text("a!")
        .text("<&>\u{2028}\"\n\\");
    plain.text("a ").map(0);
    [like, blob, special, plain]
        .map(CborWriter::into_bytes)
        .to_vec()
}

fn events() -> Vec<Vec<u8>> {
    let did = "did:web:a.example";
    let start = format!(r#"{{"did":"{did}","time_us":1725911162329308"#);
    let lines = [
        format!(
            r#"{start},"kind":"commit","commit":{{"rev":"3l3qo2vutsw2b","operation":"create","collection":"app.bsky.feed.like","rkey":"3l3qo2vuowo2b","record":{{"$type":"app.bsky.feed.like"}},"cid":"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"}}}}"#
        ),
        format!(
            r#"{start},"kind":"identity","identity":{{"did":"{did}","handle":"a.example","seq":7,"time":"2026-07-04T14:38:07.517Z"}}}}"#
        ),
        format!(
            r#"{start},"kind":"account","account":{{"active":false,"did":"{did}","seq":7,"status":"new\u003c","time":"2026-07-04T14:38:07.517Z"}}}}"#
        ),
        format!(
            r#"{start},"kind":"sync","sync":{{"blocks":{{"$bytes":"oQFk"}},"did":"{did}","rev":"3l3qo2vutsw2b","seq":7,"time":"2026-07-04T14:38:07.517Z"}}}}"#
        ),
        "at://did:web:a.example/app.bsky.feed.like/3l3qo2vuowo2b".to_owned(),
        "2026-07-04T14:38:07.517+01:00".to_owned(),
    ];
    lines.map(String::into_bytes).to_vec()
}

fn batches(events: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut seeds = vec![events.join(&b'\n')];
    for encoder in [
        dictionary().compressor(),
        jetwash_dict::Compressor::without_dictionary(1),
    ] {
        let mut encoder = jetwash_dict::BatchCompressor::new(encoder);
        for batch in events.chunks(3) {
            let mut frame = Vec::new();
            let lines = batch.iter().map(Vec::as_slice);
            encoder
                .compress(lines, &mut frame)
                .expect("a seed is a line");
            seeds.push(frame);
        }
    }
    seeds
}

fn binary(lines: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut encoder = jetwash_event::BinaryEncoder::new();
    let mut seeds = lines.to_vec();
    for line in lines
        .iter()
        .filter_map(|line| std::str::from_utf8(line).ok())
    {
        let mut event = Vec::new();
        // The seeds of events include identifiers, which are not events.
        if encoder.encode(line, &mut event).is_ok() {
            seeds.push(event);
        }
    }
    seeds
}

fn packed(events: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut encoders = [
        dictionary().compressor(),
        jetwash_dict::Compressor::without_dictionary(1),
    ];
    let mut frames = vec![dictionary().bytes().to_vec()];
    for event in events {
        for encoder in &mut encoders {
            let mut frame = Vec::new();
            encoder
                .compress(event, &mut frame)
                .expect("a seed can be compressed");
            frames.push(frame);
        }
        frames.push(zstd::encode_all(&event[..], 1).expect("a seed can be compressed"));
    }
    frames
}

/// Every way to put an item of DAG-CBOR into another, far beyond the bound, after what comes first.
fn deep_cbor(before: &[u8]) -> Vec<Vec<u8>> {
    let ways: [&[u8]; 7] = [
        b"\x81",
        b"\xa1\x61a",
        b"\xd8\x2a",
        b"\xc1",
        b"\x81\xa1\x61a",
        b"\x81\xd8\x2a",
        b"\xa1\x61a\x81\xd8\x2a",
    ];
    let lengths = [128, 129, 60_000].into_iter();
    let seeds = lengths.flat_map(|length| {
        ways.map(|way| {
            let levels = way.repeat(if length < 1_000 {
                length
            } else {
                length / way.len()
            });
            [before, &levels[..], b"\x00"].concat()
        })
    });
    seeds.collect()
}

fn label_frames() -> Vec<Vec<u8>> {
    let label = |writer: &mut CborWriter, is_long: bool| {
        writer.map(if is_long { 8 } else { 4 });
        writer.text("cts").text("2026-07-04T14:38:07.517Z");
        if is_long {
            writer.text("exp").text("2027-07-04T14:38:07.517Z");
            writer.text("neg").boolean(true);
            writer.text("sig").bytes(&[7; 64]);
        }
        writer.text("src").text("did:web:l.example");
        writer.text("uri").text("did:web:a.example");
        writer.text("val").text("spam");
        if is_long {
            writer.text("ver").integer(1);
        }
    };
    let mut labels = CborWriter::new();
    labels.map(2).text("t").text("#labels").text("op").integer(1);
    labels.map(2).text("seq").unsigned(7).text("labels").array(2);
    label(&mut labels, false);
    label(&mut labels, true);
    vec![labels.into_bytes()]
}

fn deep_frames() -> Vec<Vec<u8>> {
    let header = b"\xa2\x61t\x67#commit\x62op\x01";
    let mut seeds = deep_cbor(b"\xa3\x61t\x67#commit\x61x");
    for field in ["x", "ops", "repo", "commit"] {
        let key = [&[0xa1, 0x60 + field.len() as u8], field.as_bytes()].concat();
        seeds.extend(deep_cbor(&[header, &key[..]].concat()));
    }
    // The keys of the header in the other order.
    for frame in frames() {
        if let Some(rest) = frame.strip_prefix(header) {
            seeds.push([b"\xa2\x62op\x01\x61t\x67#commit", rest].concat());
        }
    }
    seeds
}

fn deep_cars() -> Vec<Vec<u8>> {
    let headers = [&b"\xa1\x65roots\x81"[..], b"\xa1\x61x"].map(deep_cbor);
    let car = |header: &Vec<u8>| [varint(header.len()), header.clone()].concat();
    headers.concat().iter().map(car).collect()
}

/// As [`deep_cbor`], in JSON.
fn deep_json(before: &str) -> Vec<Vec<u8>> {
    let ways = [
        ("[", "]"),
        (r#"{"a":"#, "}"),
        (r#"{"$link":"#, "}"),
        (r#"{"$bytes":"#, "}"),
        (r#"[{"a":"#, "}]"),
    ];
    let lengths = [64, 129, 60_000].into_iter();
    let seeds = lengths.flat_map(|length| {
        ways.map(|(open, close)| {
            let long = length / (open.len() + close.len());
            let levels = if length < 1_000 { length } else { long };
            format!("{before}{}1{}", open.repeat(levels), close.repeat(levels)).into_bytes()
        })
    });
    seeds.collect()
}

fn deep_lines() -> Vec<Vec<u8>> {
    let before = r#"{"did":"did:web:a.example","time_us":7,"kind":"commit","commit":{"rev":"3l3qo2vutsw2b","operation":"create","collection":"com.example.note","rkey":"1","cid":"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a","record":"#;
    let mut lines = deep_json(before);
    lines.iter_mut().for_each(|line| line.extend(b"}}"));
    lines
}

fn client_frames() -> Vec<Vec<u8>> {
    let frame = |first: u8, payload: &[u8]| {
        let mut bytes = vec![first];
        match payload.len() {
            short @ ..126 => bytes.push(0x80 | short as u8),
            long => bytes.extend([0xfe, (long >> 8) as u8, long as u8]),
        }
        bytes.extend([1, 2, 3, 4]);
        let masked = payload.iter().zip([1, 2, 3, 4].into_iter().cycle());
        bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
        bytes
    };
    let update = updates().remove(0);
    let messages = [
        frame(0x81, &update),
        frame(0x82, b"\x00"),
        frame(0x89, b"ping"),
        frame(0x8a, b""),
        frame(0x88, &1001_u16.to_be_bytes()),
        frame(0x81, &vec![b' '; 16_000]),
        frame(0x81, &vec![b' '; 17_000]),
        [frame(0x01, b"a"), frame(0x89, b""), frame(0x80, b"b")].concat(),
        [&[0x81, 0xff][..], &u64::MAX.to_be_bytes()].concat(),
    ];
    let pieces = [1, 3, 255].into_iter();
    let one = |piece: u8| {
        messages
            .iter()
            .map(move |bytes| [&[piece], &bytes[..]].concat())
    };
    let mut seeds: Vec<_> = pieces.flat_map(one).collect();
    seeds.push([&[2], &messages[..4].concat()[..]].concat());
    seeds
}

/// Documents of the DID that the target asks for, whole and with parts that are not valid.
fn did_documents() -> Vec<Vec<u8>> {
    const WHOLE: &str = r##"{"id":"DID","alsoKnownAs":["https://a.test","at://A.test"],
"verificationMethod":[{"id":"DID#atproto","type":"Multikey","controller":"DID",
"publicKeyMultibase":"zQ3shrc8v5X6ZiANcZxA6JerfT2T4SskeCGxpmtDfMuHF9KRj"}],"service":[
{"id":"#atproto_pds","type":"AtprotoPersonalDataServer","serviceEndpoint":"https://pds.test"}]}"##;
    let legacy = "EcdsaSecp256r1VerificationKey2019";
    let variants = [
        WHOLE.to_owned(),
        WHOLE.replace("Multikey", legacy),
        WHOLE.replace("DID#atproto", "#atproto"),
        WHOLE.replace("https://pds.test", "http://[::1]:2583/"),
        WHOLE.replace("\"controller\":\"DID\"", "\"controller\":7"),
        r#"{"id":"DID","service":[null,{}],"verificationMethod":{},"alsoKnownAs":7}"#.to_owned(),
        r#"{"id":"DID","id":"DID"}"#.to_owned(),
    ];
    let did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
    variants
        .map(|text| text.replace("DID", did).into_bytes())
        .to_vec()
}

fn did_files() -> Vec<Vec<u8>> {
    let plain =
        b"# Danes\ndid:plc:ewvi7nxzyoun6zhxrhs64oiz\r\n\n did:web:a.example # Anne\n".to_vec();
    let packed = zstd::encode_all(&plain[..], 1).expect("a seed can be compressed");
    // The same as a gzip file of one stored block.
    let mut gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01".to_vec();
    gzip.extend((plain.len() as u16).to_le_bytes());
    gzip.extend((!(plain.len() as u16)).to_le_bytes());
    gzip.extend(&plain);
    let wrong = [b"did:web:a.example\nalice\n".to_vec(), vec![b'a'; 5000]];
    [
        vec![plain, packed, gzip, b"\xef\xbb\xbfdid:web:a.b".to_vec()],
        wrong.to_vec(),
    ]
    .concat()
}

fn identifiers() -> Vec<Vec<u8>> {
    let texts = [
        "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
        "did:web:example.com%3A8080",
        "alice.bsky.social",
        "xn--ls8h.test",
        "app.bsky.feed.post",
        "3jzfcijpj2z2a",
        "~1.2-3_a:b",
        "at://did:web:a.example/app.bsky.feed.like/3l3qo2vuowo2b",
        "at://alice.bsky.social",
        "2026-07-04T14:38:07.517+01:00",
        "1985-04-12T23:20:50.123Z",
    ];
    let mut seeds: Vec<_> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    seeds.push(format!("{}.com", "a.".repeat(120)).into_bytes());
    seeds.push(format!("did:a:{}", "b".repeat(2041)).into_bytes());
    seeds
}

fn queries() -> Vec<Vec<u8>> {
    let texts = [
        "",
        "wantedCollections=app.bsky.feed.post&wantedCollections=app.bsky.graph.*",
        "wantedDids=did:plc:ewvi7nxzyoun6zhxrhs64oiz&cursor=1725519626134432",
        "compress=true&requireHello=true&maxMessageSizeBytes=1000",
        "compress=batch&format=binary&zstdDictionary=7&progress=5&caughtUp=true",
        "format=v0&cursor=-1&a%20b=%zz;&+&=",
        "cursor=seq&cursor=500",
        "kinds=commit&kinds=sync&collections=app.bsky.graph.*&dids=did:web:a.example&cursor=500",
        "cursor=1750000000000000&maxMessageSizeBytes=1000&zstdDictionary=7",
    ];
    let mut seeds: Vec<_> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    seeds.push("wantedCollections=a.b.c&".repeat(2_000).into_bytes());
    seeds
}

fn updates() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"type":"options_update","payload":{"wantedCollections":["app.bsky.feed.post","app.bsky.graph.*"],"wantedDids":["did:plc:ewvi7nxzyoun6zhxrhs64oiz"],"maxMessageSizeBytes":1000}}"#,
        r#"{"TYPE":"options_update","Payload":{"WANTEDDIDS":null,"wantedDids":[null]}}"#,
        r#"{"type":"novelty"}"#,
        "null",
    ];
    let mut seeds: Vec<_> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    let dids = vec![r#""did:web:a.example""#; 3_000].join(",");
    let many = format!(r#"{{"type":"options_update","payload":{{"wantedDids":[{dids}]}}}}"#);
    seeds.push(many.into_bytes());
    seeds
}

/// Blocks as the ring has them, without dictionary and with it.
/// A log of some events, with and without a dictionary.
fn log_of(events: &[Vec<u8>], is_packed: bool) -> (jetwash_store::Appender, jetwash_store::Store) {
    use jetwash_store::{CommitPart, EventKind, Location, Micros, NewEvent, Options, open};

    let (mut appender, store) =
        open(Location::Memory, Options::default()).expect("a log in memory opens");
    if is_packed {
        let set = appender.set_dictionary(dictionary());
        set.expect("a dictionary can be kept");
    }
    let mut encoder = dictionary().compressor();
    for (number, event) in (0..).zip(events) {
        let mut frame = Vec::new();
        encoder
            .compress(event, &mut frame)
            .expect("a seed can be compressed");
        let event = NewEvent {
            kind: [EventKind::Create, EventKind::Identity, EventKind::Sync][number as usize % 3],
            did: ["did:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:web:a.example"][number as usize % 2],
            collection: ["app.bsky.feed.like", ""][number as usize % 2],
            commit: CommitPart::WHOLE,
            source: "wss://relay.example",
            // A block with a column of verdicts, and one without.
            verdict: [0, 1, 1, 0x41][number as usize % 4] * u8::from(is_packed),
            time_us: Micros::new(1_700_000_000_000_000 + number),
            json: event,
            compressed: is_packed.then_some(&frame[..]),
        };
        appender.push(&event).expect("a seed is an event");
    }
    appender.commit().expect("memory can be written");
    (appender, store)
}

/// The messages of logs, each with its length before it: a hello, a dictionary, events, gaps of both
/// sorts and a tip.
fn logs(events: &[Vec<u8>]) -> Vec<Vec<u8>> {
    use jetwash_store::{Gap, GapCause, LogMessage, Seq, UpstreamGap};

    let mut seeds = Vec::new();
    for is_packed in [false, true] {
        let (_appender, store) = log_of(events, is_packed);
        let mut stream = store.log_stream(Seq::FIRST);
        let mut seed = Vec::new();
        let mut add = |message: &[u8]| {
            seed.extend((message.len() as u32).to_le_bytes());
            seed.extend(message);
        };
        while let Some(message) = stream.next().expect("memory can be read") {
            add(&message);
        }
        let next = stream.position();
        let mut noted = Gap::new(next, next, GapCause::UpstreamJump);
        noted.events = Some(3);
        noted.upstream = Some(UpstreamGap::new("wss://relay.example", Some(4), Some(7)));
        add(&LogMessage::Gap(noted).encode());
        let gap = Gap::new(next, next.plus(100), GapCause::Damaged);
        add(&LogMessage::Gap(gap).encode());
        add(&LogMessage::tip(Seq::FIRST, next.plus(100)).encode());
        seeds.push(seed);
    }
    seeds
}

fn stored_blocks(events: &[Vec<u8>]) -> Vec<Vec<u8>> {
    use jetwash_store::{Read, Seq, fuzzing};

    let mut seeds = Vec::new();
    for is_packed in [false, true] {
        let (_appender, store) = log_of(events, is_packed);
        let Ok(Read::Events(run)) = store.read(Seq::FIRST) else {
            continue;
        };
        let seed = fuzzing::write_block(run.block()).expect("a seed can be written");
        let block = fuzzing::read_block(&seed, Some(dictionary())).expect("a seed can be read");
        assert_eq!(
            block.json().expect("a seed has events").bytes(),
            run.block().json().expect("memory can be read").bytes()
        );
        seeds.push(seed);
    }
    seeds
}

fn recorded(target: &str, corpus: &Corpus) -> Vec<Vec<u8>> {
    let mut frames = corpus.frames("firehose-2026-07-04/frames.bin.zst");
    frames.truncate(40);
    let slices = frames
        .iter()
        .filter_map(|frame| match Frame::decode(frame) {
            Ok(Frame::Commit(commit)) => Some(commit.blocks),
            _ => None,
        });
    let blocks = slices.clone().flat_map(|slice| {
        let car = Car::parse(slice).expect("a recorded slice is valid");
        car.blocks().filter_map(Result::ok).map(|block| block.data)
    });
    let is_node = |block: &&[u8]| Node::decode(block).is_ok();
    let is_record = |block: &&[u8]| {
        let mut reader = CborReader::new(block);
        !is_node(block) && reader.skip().is_ok()
    };
    match target {
        "frame" | "verify" => frames,
        "car" => slices.map(<[u8]>::to_vec).collect(),
        "did_document" => {
            let documents = corpus.json("firehose-2026-07-04/did_docs.json");
            let documents = documents.as_object().into_iter().flatten();
            let asked_for = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
            let renamed = documents.map(|(did, json)| json.to_string().replace(did, asked_for));
            renamed.map(String::into_bytes).collect()
        }
        "tree_node" => blocks.filter(is_node).map(<[u8]>::to_vec).collect(),
        "record_json" => blocks.filter(is_record).map(<[u8]>::to_vec).collect(),
        "batch" | "binary" | "event" | "dict" | "log_message" | "store_block" => {
            let lines = corpus.lines("events/golden_v1.jsonl");
            let lines: Vec<Vec<u8>> = lines.into_iter().map(String::into_bytes).collect();
            match target {
                "batch" => batches(&lines),
                "binary" => binary(&lines),
                "dict" => packed(&lines),
                "label_frame" => label_frames(),
        "log_message" => logs(&lines),
                "store_block" => stored_blocks(&lines),
                _ => lines,
            }
        }
        _ => Vec::new(),
    }
}
