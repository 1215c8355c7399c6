//! Mutated real frames: what this crate can see of each class of fault, it must see.

use jetwash_frame::{Car, Frame};

#[test]
fn every_class_of_edge_frame_gets_its_verdict() {
    let Some(corpus) = jetwash_corpus::corpus("edge frames") else {
        return;
    };
    let frames = corpus.frames("edge-frames/edge_frames.bin.zst");
    let rows = corpus.json_lines("edge-frames/edge_frames.jsonl");
    assert_eq!((frames.len(), rows.len()), (201, 201));
    for (bytes, row) in frames.iter().zip(&rows) {
        let name = &row["name"];
        let decoded = Frame::decode(bytes);
        match row["class"].as_str().unwrap() {
            "malformed_frame" | "limit_exceeded" => assert!(decoded.is_err(), "{name}"),
            "ignore" => assert!(matches!(decoded, Ok(Frame::Unknown(_))), "{name}"),
            "error_frame" => assert!(matches!(decoded, Ok(Frame::Error(_))), "{name}"),
            "info" => assert!(matches!(decoded, Ok(Frame::Info(_))), "{name}"),
            "car_invalid" => assert_eq!(blocks_verdict(&decoded.unwrap()), "car", "{name}"),
            "hash_mismatch" => assert_eq!(blocks_verdict(&decoded.unwrap()), "hash", "{name}"),
            // The others are well formed frames around well formed CARs: what is wrong with them
            // is for those who know identifiers, trees, keys and history.
            "record_missing" | "accept" => {
                let frame = decoded.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(blocks_verdict(&frame), "good", "{name}");
            }
            _ => assert!(decoded.is_ok(), "{name}: {decoded:?}"),
        }
    }
}

fn blocks_verdict(frame: &Frame<'_>) -> &'static str {
    let (bytes, commit) = match frame {
        Frame::Commit(commit) => (commit.blocks, Some(commit.commit)),
        Frame::Sync(sync) => (sync.blocks, None),
        _ => return "good",
    };
    let Ok(car) = Car::parse(bytes) else {
        return "car";
    };
    let Ok(blocks) = car.blocks().collect::<Result<Vec<_>, _>>() else {
        return "car";
    };
    let root = commit.unwrap_or_else(|| car.root());
    if !blocks.iter().any(|block| block.cid == root) {
        return "car";
    }
    if blocks.iter().all(|block| block.verify().is_ok()) {
        "good"
    } else {
        "hash"
    }
}
