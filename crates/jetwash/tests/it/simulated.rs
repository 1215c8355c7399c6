//! The simulator's own truth against what comes out.

use jetwash_sim::{Network, NetworkConfig, SimEvent};
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
        pipeline.frame("simulator", &frame.bytes, NOW_US).unwrap();
        let did = &frame.did;
        match &frame.event {
            SimEvent::Commit(commit) => expected.extend(commit.ops.iter().map(|op| {
                let path = format!("{}/{}", op.collection, op.rkey);
                format!("{did} {} {} {path}", commit.rev, op.action.as_str())
            })),
            SimEvent::Identity { .. } => expected.push(format!("{did} identity")),
            SimEvent::Account { active, .. } => expected.push(format!("{did} account {active}")),
            _ => {}
        }
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

fn describe(line: &str) -> String {
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
        _ => format!("{did} account {}", event["account"]["active"]),
    }
}
