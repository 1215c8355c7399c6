//! Good commits, and what each kind of change does to their verdict.

use jetwash_cbor::{Cid, Codec};
use jetwash_event::Micros;
use jetwash_frame::{Action, Frame};
use jetwash_verify::{
    Known, KnownKey, Need, Outcome, Proof, Reason, SignatureCheck, Skip, Verdict, Verifier,
};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::RECORDED_US;
use crate::parts::shuffled;
use crate::scene::{self, Scene};

/// Scenes of up to 200 keys, of which some change.
fn scenes() -> impl Strategy<Value = Scene> {
    let choices = prop::collection::vec(prop_oneof![4 => 4..8_u8, 1 => 0..4_u8], 1..200);
    let few = prop::collection::vec(prop_oneof![40 => Just(4_u8), 1 => 0..4_u8], 1..200);
    prop_oneof![choices, few]
        .prop_map(|choices| Scene::new(&choices))
        .prop_filter("at most 200 operations", |scene| scene.ops.len() <= 200)
}

fn changed_scenes() -> impl Strategy<Value = Scene> {
    scenes().prop_filter("an operation", |scene| !scene.ops.is_empty())
}

/// The verdict with the account's key and the state before the commit.
fn verdict(scene: &Scene) -> Verdict {
    verdict_of(&scene.frame(), scene)
}

fn verdict_of(bytes: &[u8], scene: &Scene) -> Verdict {
    let frame = Frame::decode(bytes).unwrap();
    let state = scene.prev_data.map(|_| scene.state());
    let key = scene::key();
    let known = Known {
        state: state.as_ref(),
        key: KnownKey::Fresh(&key),
        ..Known::default()
    };
    let outcome = Verifier::new().verify(&frame, &known, Micros::new(RECORDED_US));
    outcome.verdict().unwrap()
}

const ROOT: Verdict = Verdict::Invalid(Reason::RootMismatch);
const OP: Verdict = Verdict::Invalid(Reason::OpMismatch);

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_good_commit_is_verified_in_any_order_of_its_operations(scene in scenes(), seed in 0..99_u64) {
        prop_assert_eq!(verdict(&scene), Verdict::Verified);
        let shuffled = Scene { ops: shuffled(&scene.ops, seed), ..scene.clone() };
        prop_assert_eq!(verdict(&shuffled), Verdict::Verified);
    }

    #[test]
    fn without_an_operation_the_root_before_is_another(scene in changed_scenes(), index: Index) {
        let mut less = scene.clone();
        less.ops.remove(index.index(scene.ops.len()));
        let verdict = verdict(&less);
        prop_assert!(matches!(verdict, ROOT | Verdict::InsufficientProof), "{:?}", verdict);
    }

    #[test]
    fn an_operation_that_did_not_happen_is_refused(scene in scenes(), choice in 0..3_u8, number in 0..400_usize) {
        let mut more = scene;
        let cid = Cid::of(Codec::DagCbor, b"never written");
        let path = format!("com.example.note/{}", number * 7919);
        prop_assume!(more.ops.iter().all(|op| op.path != path));
        let (action, prev) = match choice {
            0 => (Action::Create, None),
            1 => (Action::Update, Some(Cid::of(Codec::DagCbor, b"before"))),
            _ => (Action::Delete, Some(cid)),
        };
        let cid = (choice < 2).then_some(cid);
        more.ops.push(crate::parts::Op { action, path, cid, prev });
        let verdict = verdict(&more);
        prop_assert!(matches!(verdict, ROOT | OP | Verdict::InsufficientProof), "{:?}", verdict);
    }

    #[test]
    fn an_operation_with_another_record_is_refused(scene in changed_scenes(), index: Index) {
        let other = Cid::of(Codec::DagCbor, b"never written");
        let index = index.index(scene.ops.len());
        let mut changed = scene.clone();
        if changed.ops[index].cid.is_some() {
            changed.ops[index].cid = Some(other);
            prop_assert_eq!(verdict(&changed), OP);
        }
        let mut changed = scene;
        if changed.ops[index].prev.is_some() {
            changed.ops[index].prev = Some(other);
            prop_assert_eq!(verdict(&changed), ROOT);
        }
    }

    #[test]
    fn another_root_before_is_refused(scene in scenes()) {
        let state = scene.state();
        let changed = Scene { prev_data: Some(Cid::of(Codec::DagCbor, b"another")), ..scene };
        prop_assert_eq!(verdict(&changed), ROOT);
        prop_assert!(state.data() != &changed.prev_data.unwrap());
    }

    #[test]
    fn without_a_node_the_proof_is_short_and_never_false(scene in changed_scenes(), index: Index) {
        let mut less = scene.clone();
        let cid = *scene.nodes.keys().nth(index.index(scene.nodes.len())).unwrap();
        less.nodes.remove(&cid);
        let verdict = verdict(&less);
        let is_root = cid == scene.data;
        // A covering proof may have more than is needed, but it always needs the root.
        let is_fine = verdict == Verdict::InsufficientProof || !is_root && verdict == Verdict::Verified;
        prop_assert!(is_fine, "{:?}", verdict);
    }

    #[test]
    fn a_damaged_block_is_noticed(scene in changed_scenes(), index: Index, bit in 0..8_u8) {
        let mut damaged = scene.clone();
        let node = damaged.nodes.values_mut().nth(index.index(scene.nodes.len())).unwrap();
        let at = index.index(node.len());
        node[at] ^= 1 << bit;
        prop_assert_eq!(verdict(&damaged), Verdict::Invalid(Reason::CarHash));
    }

    #[test]
    fn without_its_record_an_operation_is_lost_and_the_commit_is_not(scene in changed_scenes(), index: Index) {
        prop_assume!(!scene.records.is_empty());
        let cid = *scene.records.keys().nth(index.index(scene.records.len())).unwrap();
        let mut missing = scene.clone();
        missing.records.remove(&cid);
        let mut damaged = scene;
        damaged.records.insert(cid, b"\x60".to_vec());
        for scene in [missing, damaged] {
            prop_assert_eq!(verdict(&scene), Verdict::Verified);
            let bytes = scene.frame();
            let Ok(Frame::Commit(commit)) = Frame::decode(&bytes) else { panic!() };
            let claim = Verifier::new().commit(&commit, Micros::new(RECORDED_US)).unwrap();
            prop_assert_eq!(claim.missing_records(), 1);
        }
    }

    #[test]
    fn a_signature_with_a_changed_bit_is_refused(scene in scenes(), bit in 0..512_usize) {
        let mut signature = scene::sign(&scene.object(&[]));
        signature[bit / 8] ^= 1 << (bit % 8);
        let verdict = verdict_of(&scene.frame_with(&scene.object(&signature)), &scene);
        let expected = [Reason::SignatureMismatch, Reason::SignatureForm].map(Verdict::Invalid);
        prop_assert!(expected.contains(&verdict), "{:?}", verdict);
    }

    #[test]
    fn what_has_changed_in_a_frame_is_never_verified(
        scene in scenes(),
        flips in prop::collection::vec(any::<(Index, u8)>(), 1..4),
    ) {
        let original = scene.frame();
        let mut bytes = original.clone();
        for (index, bit) in flips {
            let at = index.index(bytes.len());
            bytes[at] ^= 1 << (bit % 8);
        }
        let Ok(Frame::Commit(before)) = Frame::decode(&original) else { panic!() };
        let Ok(frame) = Frame::decode(&bytes) else { return Ok(()) };
        let (state, key) = (scene.state(), scene::key());
        let known = Known { state: Some(&state), key: KnownKey::Fresh(&key), ..Known::default() };
        let outcome = Verifier::new().verify(&frame, &known, Micros::new(RECORDED_US));
        if outcome.verdict() == Some(Verdict::Verified) {
            let Frame::Commit(after) = &frame else { panic!("{frame:?}") };
            // Neither the sequence number nor the time is the account's.
            prop_assert_eq!((after.repo, after.rev, after.since), (before.repo, before.rev, before.since));
            prop_assert_eq!(after.ops(), before.ops());
            prop_assert_eq!((after.commit, after.prev_data), (before.commit, before.prev_data));
        }
    }

    #[test]
    fn bytes_of_any_kind_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let header = b"\xa2\x61t\x67#commit\x62op\x01";
        for bytes in [bytes.clone(), [&header[..], &bytes].concat()] {
            if let Ok(frame) = Frame::decode(&bytes) {
                let _ = Verifier::new().verify(&frame, &Known::default(), Micros::new(RECORDED_US));
            }
        }
        let root = Cid::of(Codec::DagCbor, &bytes);
        let slice = crate::parts::car(&root, &[(root, bytes)]);
        let _ = Verifier::new().invert(&slice, &root, &[], None);
    }
}

#[test]
fn a_commit_without_the_root_before_is_legacy_unless_it_is_the_first() {
    let scene = Scene::new(&[4, 0, 4, 1, 2, 4]);
    let legacy = Scene {
        prev_data: None,
        ..scene.clone()
    };
    assert_eq!(verdict(&legacy), Verdict::Legacy);
    let mut without_prev = scene.clone();
    without_prev.ops[1].prev = None;
    assert_eq!(verdict(&without_prev), Verdict::Legacy);
    let flagged = Scene {
        too_big: true,
        ..scene
    };
    assert_eq!(verdict(&flagged), Verdict::Legacy);
    // What can be proven wrong is wrong all the same.
    let mut wrong = legacy;
    wrong.ops[0].cid = Some(Cid::of(Codec::DagCbor, b"never written"));
    assert_eq!(verdict(&wrong), OP);

    let first = Scene {
        prev_data: None,
        since: None,
        ..Scene::new(&[0, 0, 0])
    };
    assert_eq!(verdict(&first), Verdict::Verified);
    let mut hidden = first;
    hidden.ops.pop();
    assert_eq!(verdict(&hidden), Verdict::Legacy);
    let empty = Scene {
        prev_data: None,
        since: None,
        ..Scene::new(&[])
    };
    assert_eq!(verdict(&empty), Verdict::Verified);
}

#[test]
fn an_empty_commit_needs_no_node() {
    let scene = Scene::new(&[4, 4, 4]);
    assert!(scene.ops.is_empty() && scene.nodes.is_empty());
    assert_eq!(verdict(&scene), Verdict::Verified);
    let moved = Scene {
        data: Cid::of(Codec::DagCbor, b"another"),
        ..scene.clone()
    };
    assert_eq!(verdict(&moved), ROOT);
    let flagged = Scene {
        too_big: true,
        ..scene
    };
    assert_eq!(verdict(&flagged), Verdict::Invalid(Reason::TooBig));
}

#[test]
fn what_the_frame_says_is_what_was_signed() {
    let scene = Scene::new(&[4, 0, 4]);
    let rev = Scene {
        signed_rev: Some("3mptbypluud2b".to_owned()),
        ..scene.clone()
    };
    assert_eq!(verdict(&rev), Verdict::Invalid(Reason::CommitRev));
    let did = Scene {
        signed_did: Some("did:web:b.example"),
        ..scene.clone()
    };
    assert_eq!(verdict(&did), Verdict::Invalid(Reason::CommitDid));
    // Both changed alike, under the old signature.
    let signature = scene::sign(&scene.object(&[]));
    let both = Scene {
        rev: "3mptbypluud2b".to_owned(),
        ..scene
    };
    let verdict = verdict_of(&both.frame_with(&both.object(&signature)), &both);
    assert_eq!(verdict, Verdict::Invalid(Reason::SignatureMismatch));
}

#[test]
fn a_commit_object_that_is_said_to_be_raw_is_refused() {
    let scene = Scene {
        codec: Codec::Raw,
        ..Scene::new(&[4, 0, 4])
    };
    for bytes in [scene.frame(), scene.sync()] {
        let expected = Verdict::Invalid(Reason::CommitMalformed);
        assert_eq!(verdict_of(&bytes, &scene), expected);
    }
}

#[test]
fn fields_of_the_commit_object_that_are_not_known_are_signed_too() {
    let scene = Scene::new(&[4, 0, 4]);
    let with = |object: &[u8], extra: &[u8]| {
        // After `sig` and before `data`, both in the order of the keys.
        let at = object
            .windows(5)
            .position(|key| key == b"\x64data")
            .unwrap();
        let (before, after) = object.split_at(at);
        let head = [before[0] + 1];
        [&head[..], &before[1..], extra, after].concat()
    };
    let extra = b"\x64abcd\x01";
    let unsigned = with(&scene.object(&[]), extra);
    let signed = with(&scene.object(&scene::sign(&unsigned)), extra);
    assert_eq!(
        verdict_of(&scene.frame_with(&signed), &scene),
        Verdict::Verified
    );
    let other = with(&scene.object(&scene::sign(&unsigned)), b"\x64abcd\x02");
    let expected = Verdict::Invalid(Reason::SignatureMismatch);
    assert_eq!(verdict_of(&scene.frame_with(&other), &scene), expected);
}

#[test]
fn a_revision_may_be_five_minutes_ahead_and_no_more() {
    let scene = Scene::new(&[4, 0, 4]);
    let bytes = scene.frame();
    let Ok(Frame::Commit(commit)) = Frame::decode(&bytes) else {
        panic!()
    };
    let made_us = "3mptbypluud2a"
        .parse::<jetwash_event::Tid>()
        .unwrap()
        .time();
    let at = |now| {
        Verifier::new()
            .commit(&commit, now)
            .map(|claim| claim.proof())
    };
    assert_eq!(
        at(Micros::new(made_us.get() - 300_000_000)),
        Ok(Some(Proof::Complete))
    );
    assert_eq!(
        at(Micros::new(made_us.get() - 300_000_001)),
        Err(Reason::RevFuture)
    );
    let sync = scene.sync();
    let Ok(Frame::Sync(sync)) = Frame::decode(&sync) else {
        panic!()
    };
    let at = |now| Verifier::new().sync(&sync, now).map(|claim| claim.rev());
    assert!(at(Micros::new(made_us.get() - 300_000_000)).is_ok());
    assert_eq!(
        at(Micros::new(made_us.get() - 300_000_001)).unwrap_err(),
        Reason::RevFuture
    );
    // The last revision there is, of the year 2255 and beyond.
    let last = Scene {
        rev: "jzzzzzzzzzzzz".to_owned(),
        ..scene
    };
    assert_eq!(verdict(&last), Verdict::Invalid(Reason::RevFuture));
}

#[test]
fn a_key_is_asked_for_once_and_a_newer_one_once_more() {
    let scene = Scene::new(&[4, 0, 4]);
    let bytes = scene.frame();
    let frame = Frame::decode(&bytes).unwrap();
    let (right, wrong) = (scene::key(), scene::other_key());
    let with = |key| {
        let known = Known {
            key,
            ..Known::default()
        };
        Verifier::new().verify(&frame, &known, Micros::new(RECORDED_US))
    };
    assert_eq!(with(KnownKey::Missing), Outcome::Needs(Need::Key));
    assert_eq!(
        with(KnownKey::Cached(&wrong)),
        Outcome::Needs(Need::FreshKey)
    );
    for key in [KnownKey::Cached(&right), KnownKey::Fresh(&right)] {
        assert_eq!(with(key).verdict(), Some(Verdict::Verified));
    }
    let refused = |reason| Some(Verdict::Invalid(reason));
    assert_eq!(
        with(KnownKey::Fresh(&wrong)).verdict(),
        refused(Reason::SignatureMismatch)
    );
    assert_eq!(
        with(KnownKey::Unusable).verdict(),
        refused(Reason::KeyUnusable)
    );
    let Outcome::Judged(unresolved) = with(KnownKey::Unavailable) else {
        panic!()
    };
    assert_eq!(
        (unresolved.verdict, unresolved.state),
        (Verdict::Unresolved, None)
    );
}

#[test]
fn a_signature_that_no_key_makes_valid_asks_for_none() {
    let scene = Scene::new(&[4, 0, 4]);
    let low = scene::sign(&scene.object(&[]));
    let mut high = low;
    // The order of secp256k1 less `s`, which is valid but for the rule.
    let order = k256::ecdsa::Signature::from_slice(&low).unwrap();
    let s = (-*order.s()).to_bytes();
    high[32..].copy_from_slice(&s);
    for signature in [&low[..63], &[&low[..], &[0]].concat(), &high, &[0; 64]] {
        let bytes = scene.frame_with(&scene.object(signature));
        let frame = Frame::decode(&bytes).unwrap();
        let outcome = Verifier::new().verify(&frame, &Known::default(), Micros::new(RECORDED_US));
        assert_eq!(
            outcome.verdict(),
            Some(Verdict::Invalid(Reason::SignatureForm))
        );
    }
    // Too high for P-256 and not for secp256k1, so it depends on the key.
    let mut between = low;
    between[32..].fill(0xff);
    between[32] = 0x7f;
    between[48] = 0;
    let bytes = scene.frame_with(&scene.object(&between));
    let frame = Frame::decode(&bytes).unwrap();
    let outcome = Verifier::new().verify(&frame, &Known::default(), Micros::new(RECORDED_US));
    assert_eq!(outcome, Outcome::Needs(Need::Key));
}

#[test]
fn a_claim_can_be_judged_apart_from_its_frame() {
    let scene = Scene::new(&[4, 0, 4]);
    let claim = {
        let bytes = scene.frame();
        let Ok(Frame::Commit(commit)) = Frame::decode(&bytes) else {
            panic!()
        };
        Verifier::new()
            .commit(&commit, Micros::new(RECORDED_US))
            .unwrap()
    };
    let worker = claim.clone();
    let check = std::thread::spawn(move || worker.check_signature(KnownKey::Fresh(&scene::key())));
    let check = check.join().unwrap();
    assert_eq!(check, SignatureCheck::Valid);
    let state = scene.state();
    let outcome = claim.judge(check, Some(&state));
    assert_eq!(outcome.verdict(), Some(Verdict::Verified));
    // In between, the same frame came by another way.
    let Outcome::Judged(judgement) = outcome else {
        panic!()
    };
    let again = claim.judge(check, judgement.state.as_ref());
    assert_eq!(again, Outcome::Skipped(Skip::Stale));
}
