//! `bench`: figures, and nothing left behind.

use std::fs;

use crate::command;

#[test]
fn figures_are_taken_and_the_log_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let dir = format!("--dir={}", folder.path().display());
    let output = command(&["bench", &dir, "--for=50ms", "--json"]);
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{figures}");
    for name in [
        "frames",
        "frame_bytes",
        "frames_per_s",
        "stored_events_per_s",
        "json_events_per_s",
        "sync_most_ms",
    ] {
        assert!(figures[name].as_f64() > Some(0.0), "{name}: {figures}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    let nowhere = folder.path().join("nowhere");
    let output = command(&["bench", "--dir", nowhere.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(nowhere.to_str().unwrap()), "{said}");
}
