//! A log of labels beside that of events: `--labeler`.

use std::time::Duration;

use futures_util::StreamExt;
use jetwash_sim::SimLabeler;
use serde_json::Value;
use tokio::task::block_in_place;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;

use crate::{Program, refused};

const LABELER: &str = "did:web:labeler.example";

/// Starts a server, and returns the address of its labels.
fn start(folder: &str, labeler: &str) -> (Program, String) {
    let mut program = Program::start(&[folder, labeler]);
    let url = program.url();
    let url = url.replace("/subscribe", "/labels");
    (program, url)
}

/// The first labels from a cursor on, with the cursor behind each.
async fn read(url: &str, cursor: u64, count: usize) -> Vec<(String, u64)> {
    let reading = async {
        let (mut socket, _) = connect_async(format!("{url}?cursor={cursor}"))
            .await
            .unwrap();
        let mut seen = Vec::new();
        while seen.len() < count {
            let text = socket.next().await.unwrap().unwrap().into_text().unwrap();
            let line: Value = serde_json::from_str(&text).unwrap();
            let val = line["label"]["val"].as_str().unwrap().to_owned();
            seen.push((val, line["time_us"].as_u64().unwrap()));
        }
        seen
    };
    timeout(Duration::from_secs(60), reading).await.unwrap()
}

fn values(seen: &[(String, u64)]) -> Vec<&str> {
    seen.iter().map(|(val, _)| val.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_served_beside_events_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = format!("--data-dir={}", folder.path().display());
    let mut labeler = SimLabeler::start(LABELER).await.unwrap();
    let option = format!("--labeler={}={LABELER}", labeler.url());
    labeler.label("did:web:a.example", "a");
    labeler.label("did:web:a.example", "b");
    let (program, url) = block_in_place(|| start(&data_dir, &option));
    let seen = read(&url, 0, 2).await;
    assert_eq!(values(&seen), ["a", "b"]);
    let (ended, lines) = block_in_place(|| program.stop());
    assert!(ended, "{lines:#?}");
    assert!(folder.path().join("labels").is_dir());

    labeler.label("did:web:a.example", "c");
    let (program, url) = block_in_place(|| start(&data_dir, &option));
    let again = read(&url, seen[1].1, 2).await;
    assert_eq!(values(&again), ["b", "c"]);
    assert_eq!(again[0], seen[1]);
    let (ended, lines) = block_in_place(|| program.stop());
    assert!(ended, "{lines:#?}");
}

#[test]
fn a_labeler_without_its_did_is_refused() {
    let error = refused(&["--labeler=labeler.example"]);
    assert!(
        error.contains("it must be an address, a = and a DID"),
        "{error}"
    );
    let error = refused(&["--labeler=ftp://a.example=did:web:a.example", "--check"]);
    assert!(
        error.contains("the scheme must be ws, wss, http or https"),
        "{error}"
    );
}
