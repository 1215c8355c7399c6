//! Mistakes in the settings.

use std::time::Duration;

use jetwash::{Jetstream, Mistake};

#[test]
fn every_mistake_is_reported_at_once_with_its_value() {
    let error = Jetstream::builder()
        .relay("ftp://relay.example")
        .relay("a.example")
        .relay("wss://a.example/xrpc/com.atproto.sync.subscribeRepos")
        .relay_cursor("b.example", 7)
        .retain_for(Duration::ZERO)
        .retain_bytes(1000)
        .commit_delay(Duration::from_secs(11))
        .intake_bytes(1)
        .memory_budget(9)
        .keep_frames(5)
        .build()
        .unwrap_err();
    assert_eq!(error.mistakes().len(), 9, "{error}");
    let text = error.to_string();
    for part in [
        "ftp://relay.example",
        "given twice",
        "b.example",
        "1000 bytes",
        "11s",
        "1 bytes",
        "memory of 9 bytes",
        "frames of 5 bytes",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Jetstream::builder()
        .folder(file.path().join("below"))
        .build()
        .unwrap_err();
    assert!(matches!(error.mistakes(), [Mistake::Store(_)]));
    assert!(error.to_string().contains("below"), "{error}");
}
