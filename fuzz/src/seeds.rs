use std::fs;
use std::path::Path;

use jetwash_cbor::{Cid, Codec, Reader, Writer};
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
        "frame" => frames(),
        "car" => cars(),
        "tree_node" => nodes(),
        "record_json" => records(),
        "event" => events(),
        "batch" => batches(&events()),
        "binary" => binary(&events()),
        "dict" => packed(&events()),
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
        let mut writer = Writer::new();
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
    let mut error = Writer::new();
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
    writers.map(Writer::into_bytes).to_vec()
}

fn cars() -> Vec<Vec<u8>> {
    let record = records().remove(0);
    let cid = Cid::of(Codec::DagCbor, &record);
    let key = &b"app.bsky.feed.like/3mptbyplj5d2a"[..];
    let node = write_node(None, [(key, cid, None)]);
    let blocks = [node, record];
    let root = Cid::of(Codec::DagCbor, &blocks[0]);
    let mut header = Writer::new();
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

fn varint(mut value: usize) -> Vec<u8> {
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
    let mut like = Writer::new();
    like.map(3).text("$type").text("app.bsky.feed.like");
    like.text("subject").map(2).text("cid").text(&text);
    like.text("uri")
        .text("at://did:web:a.example/app.bsky.feed.post/3mptbyplj5d2a");
    like.text("createdAt").text("2026-07-04T14:38:07.517Z");
    let mut blob = Writer::new();
    blob.map(2).text("a").array(2).bytes(&[1, 2]).null();
    blob.text("b").map(4);
    blob.text("ref").link(&cid);
    blob.text("size").unsigned(10);
    blob.text("$type").text("blob");
    blob.text("mimeType").text("image/png");
    let mut special = Writer::new();
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
    let mut plain = Writer::new();
    plain
        .map(3)
        .text("b")
        .integer(-1)
        .text("a!")
        .text("<&>\u{2028}\"\n\\");
    plain.text("a ").map(0);
    [like, blob, special, plain]
        .map(Writer::into_bytes)
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
        "at://did:web:a.example/app.bsky.feed.like/3l3qo2vuowo2b".to_owned(),
        "2026-07-04T14:38:07.517+01:00".to_owned(),
    ];
    lines.map(String::into_bytes).to_vec()
}

fn batches(events: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut seeds = vec![events.join(&b'\n')];
    for encoder in [
        dictionary().encoder(),
        jetwash_dict::Encoder::without_dictionary(1),
    ] {
        let mut encoder = jetwash_dict::BatchEncoder::new(encoder);
        for batch in events.chunks(3) {
            let mut frame = Vec::new();
            let lines = batch.iter().map(Vec::as_slice);
            encoder.encode(lines, &mut frame).expect("a seed is a line");
            seeds.push(frame);
        }
    }
    seeds
}

fn binary(lines: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut encoder = jetwash_event::BinaryEncoder::new();
    let mut seeds = lines.to_vec();
    for line in lines.iter().filter_map(|line| std::str::from_utf8(line).ok()) {
        let mut event = Vec::new();
        // Among the seeds of events there are identifiers, which are none.
        if encoder.encode(line, &mut event).is_ok() {
            seeds.push(event);
        }
    }
    seeds
}

fn packed(events: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut encoders = [
        dictionary().encoder(),
        jetwash_dict::Encoder::without_dictionary(1),
    ];
    let mut frames = vec![dictionary().bytes().to_vec()];
    for event in events {
        for encoder in &mut encoders {
            let mut frame = Vec::new();
            encoder
                .encode(event, &mut frame)
                .expect("a seed can be compressed");
            frames.push(frame);
        }
        frames.push(zstd::encode_all(&event[..], 1).expect("a seed can be compressed"));
    }
    frames
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
        let mut reader = Reader::new(block);
        !is_node(block) && reader.skip().is_ok()
    };
    match target {
        "frame" => frames,
        "car" => slices.map(<[u8]>::to_vec).collect(),
        "tree_node" => blocks.filter(is_node).map(<[u8]>::to_vec).collect(),
        "record_json" => blocks.filter(is_record).map(<[u8]>::to_vec).collect(),
        "batch" | "binary" | "event" | "dict" => {
            let lines = corpus.lines("events/golden_v1.jsonl");
            let lines: Vec<Vec<u8>> = lines.into_iter().map(String::into_bytes).collect();
            match target {
                "batch" => batches(&lines),
                "binary" => binary(&lines),
                "dict" => packed(&lines),
                _ => lines,
            }
        }
        _ => Vec::new(),
    }
}
