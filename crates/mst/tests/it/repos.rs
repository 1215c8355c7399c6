//! Walks over real repositories, and over parts of them.

use std::collections::BTreeSet;

use jetwash_cbor::Cid;
use jetwash_corpus::{Corpus, corpus};
use jetwash_frame::Car;
use jetwash_mst::{BlockIndex, LeafError, Walk, WalkEntry, WalkError};

use crate::load;
use crate::proofs::data_of;

#[test]
fn walk_yields_every_record_of_whole_repositories() {
    let Some(corpus) = corpus("walk_yields_every_record_of_whole_repositories") else {
        return;
    };
    let expected = [
        ("empty.car", 0, 2),
        ("tiny.car", 8, 12),
        ("little.car", 278, 375),
        ("jetstream-corpus.car", 23, 29),
        ("midsize.car", 11_585, 14_673),
    ];
    for (name, records, blocks) in expected {
        with_repo(&corpus, name, |index, root| {
            assert_eq!(index.rejected(), 0, "{name}");
            assert_eq!(index.len(), blocks, "{name}");
            let entries: Vec<_> = Walk::new(index, root).map(Result::unwrap).collect();
            assert_eq!(entries.len(), records, "{name}");
            assert!(entries.iter().all(|entry| entry.record.is_ok()), "{name}");
            assert!(entries.is_sorted_by(|a, b| a.key < b.key), "{name}");
            // The commit, the nodes and the records are all there is; equal records share a block.
            let records: BTreeSet<_> = entries.iter().map(|entry| entry.cid.as_bytes()).collect();
            let nodes = load(index, root).nodes().len();
            assert_eq!(1 + nodes + records.len(), blocks, "{name}");
        });
    }
}

#[test]
fn walk_yields_paths_and_cids_of_the_recorded_list() {
    let Some(corpus) = corpus("walk_yields_paths_and_cids_of_the_recorded_list") else {
        return;
    };
    let expected = corpus.lines("repos/jetstream-corpus.records.tsv");
    with_repo(&corpus, "jetstream-corpus.car", |index, root| {
        let entries = Walk::new(index, root).map(Result::unwrap);
        let lines: Vec<String> = entries
            .map(|entry| format!("{}\t{}", String::from_utf8(entry.key).unwrap(), entry.cid))
            .collect();
        assert_eq!(lines, expected);
    });
}

#[test]
fn walk_goes_on_behind_what_a_slice_leaves_out() {
    let Some(corpus) = corpus("walk_goes_on_behind_what_a_slice_leaves_out") else {
        return;
    };
    for name in [
        "slice-one.car",
        "slice-node-after.car",
        "slice-node-first-key.car",
        "slice-proving-absence.car",
    ] {
        with_repo(&corpus, name, |index, root| {
            let steps: Vec<_> = Walk::new(index, root).collect();
            let entries: Vec<&WalkEntry<'_>> = steps.iter().flatten().collect();
            assert!(!entries.is_empty(), "{name}");
            assert!(entries.is_sorted_by(|a, b| a.key < b.key), "{name}");
            let gaps = steps.iter().filter_map(|step| step.as_ref().err());
            assert!(gaps.clone().count() > 0, "{name}");
            assert!(
                gaps.clone().all(|gap| matches!(gap, WalkError::Missing(_))),
                "{name}"
            );
            let there = entries.iter().filter(|entry| entry.record.is_ok());
            // The commit, the nodes, and the records that were found: nothing is left unread.
            assert!(there.count() < index.len(), "{name}");
            let missing = entries.iter().filter_map(|entry| entry.record.err());
            assert!(
                missing.into_iter().all(|error| error == LeafError::Missing),
                "{name}"
            );
        });
    }
}

#[test]
fn a_corrupt_record_costs_that_record_alone() {
    let Some(corpus) = corpus("a_corrupt_record_costs_that_record_alone") else {
        return;
    };
    let mut bytes = corpus.bytes("repos/jetstream-corpus.car");
    let car = Car::parse(&bytes).unwrap();
    let index = BlockIndex::from_car(&car).unwrap();
    let root = data_of(&index, car.root().try_into().unwrap());
    let victim = Walk::new(&index, root).nth(5).unwrap().unwrap();
    let place = victim.record.unwrap().as_ptr() as usize - bytes.as_ptr() as usize;
    let victim = victim.key;
    bytes[place + 20] ^= 1;

    let car = Car::parse(&bytes).unwrap();
    let index = BlockIndex::from_car(&car).unwrap();
    assert_eq!(index.rejected(), 1);
    for entry in Walk::new(&index, root) {
        let entry = entry.unwrap();
        assert_eq!(entry.record.is_err(), entry.key == victim);
    }
}

#[test]
fn a_corrupt_node_leaves_a_gap() {
    let Some(corpus) = corpus("a_corrupt_node_leaves_a_gap") else {
        return;
    };
    with_repo(&corpus, "midsize.car", |index, root| {
        let tree = load(index, root);
        let nodes = tree.nodes();
        let (victim, rest) = nodes.split_last().unwrap();
        let broken = [victim.bytes, &[0]].concat();
        let mut index = BlockIndex::new();
        for node in rest {
            assert!(index.insert(node.cid.as_link(), node.bytes));
        }
        assert!(!index.insert(victim.cid.as_link(), &broken));
        let errors: Vec<_> = Walk::new(&index, root).filter_map(Result::err).collect();
        assert_eq!(errors, [WalkError::Missing(victim.cid)]);
    });
}

fn with_repo(corpus: &Corpus, name: &str, check: impl FnOnce(&BlockIndex<'_>, Cid)) {
    let bytes = corpus.bytes(&format!("repos/{name}"));
    let car = Car::parse(&bytes).unwrap();
    let index = BlockIndex::from_car(&car).unwrap();
    let root = data_of(&index, car.root().try_into().unwrap());
    check(&index, root);
}
