//! The simulator's own truth against what comes out.

use jetwash::store::{CommitPart, Read, Store};
use jetwash::{Filter, Micros};
use jetwash_sim::{Network, NetworkConfig, SimEvent, SimFrame};
use serde_json::Value;

use crate::{NOW_US, lines, pipeline};

#[test]
fn every_operation_of_the_simulated_network_comes_out_in_order() {
    let config = NetworkConfig {
        accounts: 30,
        records: 300,
        ..NetworkConfig::default()
    };
    let (mut pipeline, log) = pipeline();
    let mut expected = Vec::new();
    for frame in Network::new(config).unwrap().take(2000) {
        pipeline
            .frame("simulator", &frame.bytes, Micros::new(NOW_US))
            .unwrap();
        expected.extend(expected_of(&frame));
    }
    pipeline.commit().unwrap();
    let found: Vec<String> = lines(&log).iter().map(|line| describe(line)).collect();
    assert!(found.len() >= 2000);
    assert_eq!(found, expected);
    assert!(
        pipeline.snapshot().dropped.is_empty(),
        "{:?}",
        pipeline.snapshot().dropped
    );
}

/// The network's truth about the operations in the log, with and without a filter.
#[test]
fn every_event_says_which_operation_of_its_commit_it_is_and_who_sent_it() {
    let config = NetworkConfig {
        accounts: 30,
        records: 100,
        ..NetworkConfig::default()
    };
    let wanted = "app.bsky.graph.follow";
    let (all, log) = pipeline();
    let (some, filtered_log) = pipeline();
    let mut pipelines = [
        all,
        some.filter(Filter::new().collections([wanted]).unwrap()),
    ];
    let (mut expected, mut filtered) = (Vec::new(), Vec::new());
    for (number, frame) in Network::new(config).unwrap().take(2000).enumerate() {
        let source = ["one", "two"][number / 300 % 2];
        for pipeline in &mut pipelines {
            pipeline
                .frame(source, &frame.bytes, Micros::new(NOW_US))
                .unwrap();
        }
        match &frame.event {
            SimEvent::Commit(commit) => {
                let len = commit.ops.len() as u32;
                for (index, op) in (0..).zip(&commit.ops) {
                    let row = (Some(CommitPart { index, len }), source.to_owned());
                    if op.collection == wanted {
                        filtered.push(row.clone());
                    }
                    expected.push(row);
                }
            }
            _ => expected.push((None, source.to_owned())),
        }
    }
    for pipeline in &mut pipelines {
        pipeline.commit().unwrap();
    }
    assert!(
        filtered.iter().any(|(part, _)| part.unwrap().index > 0),
        "the filter keeps nothing but first operations"
    );
    assert_eq!(origins(&log), expected);
    let mut found = origins(&filtered_log);
    found.retain(|(part, _)| part.is_some());
    assert_eq!(found, filtered);
}

fn origins(log: &Store) -> Vec<(Option<CommitPart>, String)> {
    let mut rows = Vec::new();
    let mut position = log.bounds().oldest_seq;
    while let Read::Events(run) = log.read(position).unwrap() {
        for index in run.indexes() {
            let meta = run.block().meta(index).unwrap();
            rows.push((meta.commit, meta.source.to_owned()));
        }
        position = run.next_seq();
    }
    rows
}

/// The events that must come of a frame, as [`describe`] writes them.
pub(crate) fn expected_of(frame: &SimFrame) -> Vec<String> {
    let did = &frame.did;
    match &frame.event {
        SimEvent::Commit(commit) => commit
            .ops
            .iter()
            .map(|op| {
                let path = format!("{}/{}", op.collection, op.rkey);
                format!("{did} {} {} {path}", commit.rev, op.action.as_str())
            })
            .collect(),
        SimEvent::Identity { .. } => vec![format!("{did} identity")],
        SimEvent::Account { active, .. } => vec![format!("{did} account {active}")],
        SimEvent::Sync { rev, .. } => vec![format!("{did} sync {rev}")],
        _ => Vec::new(),
    }
}

/// Describes a line: the account, and the revision, operation and path if it is about a record.
pub(crate) fn describe(line: &str) -> String {
    let event: Value = serde_json::from_str(line).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let did = text(&event["did"]);
    match event["kind"].as_str().unwrap() {
        "commit" => {
            let commit = &event["commit"];
            let field = |name: &str| text(&commit[name]);
            let path = format!("{}/{}", field("collection"), field("rkey"));
            format!("{did} {} {} {path}", field("rev"), field("operation"))
        }
        "identity" => format!("{did} identity"),
        "sync" => format!("{did} sync {}", text(&event["sync"]["rev"])),
        _ => format!("{did} account {}", event["account"]["active"]),
    }
}
