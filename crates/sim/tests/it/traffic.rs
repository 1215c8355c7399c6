//! Shares and sizes are near those measured in the real network.

use std::collections::{HashMap, HashSet};

use jetwash_sim::{Network, NetworkConfig, SimAction, SimEvent, SimOp};

use crate::network;

fn ops(frames: usize) -> Vec<SimOp> {
    let commits = network(21, 200)
        .take(frames)
        .filter_map(|frame| match frame.event {
            SimEvent::Commit(commit) if commit.ops.len() == 1 => Some(commit.ops),
            _ => None,
        });
    commits.flatten().collect()
}

/// How many in a hundred are so.
fn share(ops: &[SimOp], is_so: impl Fn(&SimOp) -> bool) -> f64 {
    let count = ops.iter().filter(|op| is_so(op)).count();
    100.0 * count as f64 / ops.len() as f64
}

#[test]
fn shares_are_those_of_the_real_network() {
    let ops = ops(6000);
    let of = |collection: &'static str| share(&ops, |op| op.collection == collection);
    let like = of("app.bsky.feed.like");
    assert!((63.0..73.0).contains(&like), "{like}");
    let post = of("app.bsky.feed.post");
    assert!((9.5..14.0).contains(&post), "{post}");
    let repost = of("app.bsky.feed.repost");
    assert!((8.0..12.0).contains(&repost), "{repost}");
    let follow = of("app.bsky.graph.follow");
    assert!((3.0..7.0).contains(&follow), "{follow}");
    let delete = share(&ops, |op| op.action == SimAction::Delete);
    assert!((2.0..4.5).contains(&delete), "{delete}");
    let update = share(&ops, |op| op.action == SimAction::Update);
    assert!((0.3..2.5).contains(&update), "{update}");
}

#[test]
fn records_are_as_large_as_real_ones() {
    let ops = ops(6000);
    let mean = |collection: &str| {
        let sizes: Vec<usize> = ops
            .iter()
            .filter(|op| op.collection == collection)
            .filter_map(|op| op.record.as_ref().map(|record| record.len()))
            .collect();
        sizes.iter().sum::<usize>() / sizes.len()
    };
    assert!((225..250).contains(&mean("app.bsky.feed.like")));
    assert!((440..580).contains(&mean("app.bsky.feed.post")));
    assert!((100..115).contains(&mean("app.bsky.graph.follow")));
}

#[test]
fn frames_are_as_large_as_real_ones() {
    let network = Network::new(NetworkConfig {
        accounts: 16,
        ..NetworkConfig::full_size()
    });
    let sizes: Vec<usize> = network
        .unwrap()
        .take(1000)
        .map(|frame| frame.bytes.len())
        .collect();
    let mean = sizes.iter().sum::<usize>() / sizes.len();
    assert!((4600..6400).contains(&mean), "{mean}");
}

#[test]
fn collections_and_keys_are_of_all_sorts() {
    let ops: Vec<SimOp> = network(22, 200)
        .take(10_000)
        .filter_map(|frame| match frame.event {
            SimEvent::Commit(commit) => Some(commit.ops),
            _ => None,
        })
        .flatten()
        .collect();
    let collections: HashSet<&str> = ops.iter().map(|op| &*op.collection).collect();
    assert!(collections.len() >= 15, "{collections:?}");
    let keys: HashSet<&str> = ops.iter().map(|op| &*op.rkey).collect();
    for key in ["self", "~", ":", "pre:fix"] {
        assert!(keys.contains(key), "{key}");
    }
    assert!(keys.iter().any(|key| key.len() > 200));
    assert!(keys.iter().all(|key| (1..=512).contains(&key.len())));
}

#[test]
fn texts_are_in_several_scripts() {
    let mut seen = HashMap::new();
    for op in ops(3000) {
        let record = op.record.unwrap_or_default();
        let text = String::from_utf8_lossy(&record).into_owned();
        for (script, letter) in [
            ("Danish", 'å'),
            ("Japanese", 'を'),
            ("Arabic", 'ق'),
            ("Cyrillic", 'ж'),
            ("a joined emoji", '\u{200d}'),
            ("a line break", '\n'),
            ("a quotation mark", '"'),
            ("an ampersand", '&'),
        ] {
            *seen.entry(script).or_insert(0) += usize::from(text.contains(letter));
        }
    }
    assert!(seen.values().all(|&count| count > 5), "{seen:?}");
}

#[test]
fn few_accounts_write_most() {
    let mut commits = HashMap::new();
    for frame in network(23, 200).take(3000) {
        *commits.entry(frame.did).or_insert(0) += 1;
    }
    let mut counts: Vec<usize> = commits.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let first: usize = counts.iter().take(20).sum();
    assert!((900..2000).contains(&first), "{first}");
    assert!(counts.len() > 150, "{}", counts.len());
}

#[test]
fn commits_of_many_ops_stay_within_the_limits() {
    let mut most = 0;
    for frame in network(24, 50).take(9000) {
        if let SimEvent::Commit(commit) = frame.event {
            most = most.max(commit.ops.len());
            assert!(commit.ops.len() <= 200);
            let paths: HashSet<_> = commit
                .ops
                .iter()
                .map(|op| (&op.collection, &op.rkey))
                .collect();
            assert_eq!(paths.len(), commit.ops.len());
        }
        assert!(frame.bytes.len() < 2_000_000);
    }
    assert!(most > 20, "{most}");
}
