//! Frames against the stored state of their account, and the state that they leave behind.

use jetwash_cbor::{Cid, Codec};
use jetwash_event::Micros;
use jetwash_frame::Frame;
use jetwash_verify::{
    HostingState, Judgement, Known, KnownKey, Need, Outcome, Reason, RepoState, Skip, Verdict,
    Verifier,
};

use crate::RECORDED_US;
use crate::scene::{self, REV, SINCE, Scene};

/// Verifies a frame of the account whose key the scenes are signed with.
fn judge(bytes: &[u8], state: Option<&RepoState>) -> Outcome {
    let key = scene::key();
    let known = Known {
        state,
        key: KnownKey::Fresh(&key),
        ..Known::default()
    };
    Verifier::new().verify(
        &Frame::decode(bytes).unwrap(),
        &known,
        Micros::new(RECORDED_US),
    )
}

fn judged(bytes: &[u8], state: Option<&RepoState>) -> Judgement {
    match judge(bytes, state) {
        Outcome::Judged(judgement) => judgement,
        other => panic!("{other:?}"),
    }
}

fn scene() -> Scene {
    Scene::new(&[4, 0, 4, 1, 2])
}

/// A state of the scene's account at a revision.
fn state(rev: &str, data: Cid) -> RepoState {
    RepoState::new(rev.parse().unwrap(), data)
}

#[test]
fn the_first_frame_of_an_account_is_proven_and_becomes_its_state() {
    let scene = scene();
    let judgement = judged(&scene.frame(), None);
    let expected = Judgement {
        verdict: Verdict::Verified,
        state: Some(state(REV, scene.data)),
        needs_repository: false,
    };
    assert_eq!(judgement, expected);
}

#[test]
fn a_commit_that_follows_the_state_is_verified() {
    let scene = scene();
    let judgement = judged(&scene.frame(), Some(&scene.state()));
    assert_eq!(judgement.verdict, Verdict::Verified);
    assert_eq!(judgement.state, Some(state(REV, scene.data)));
}

#[test]
fn a_commit_that_builds_on_another_root_is_discontinuous_and_the_next_is_not() {
    let scene = scene();
    let other = Cid::of(Codec::DagCbor, b"another");
    for stored in [state(SINCE, other), state("3mptbwv4pn32t", other)] {
        let judgement = judged(&scene.frame(), Some(&stored));
        assert_eq!(judgement.verdict, Verdict::Discontinuous);
        assert!(judgement.needs_repository);
        let after = judgement.state.unwrap();
        assert_eq!((after.rev().as_str(), after.data()), (REV, &scene.data));
        assert!(after.is_desynchronised());

        // An empty commit that builds on it.
        let mut next = Scene::new(&[]);
        (next.data, next.prev_data) = (scene.data, Some(scene.data));
        (next.since, next.rev) = (Some(REV.to_owned()), "3mptbypluud2b".to_owned());
        let judgement = judged(&next.frame(), Some(&after));
        assert_eq!(judgement.verdict, Verdict::Verified);
        assert!(!judgement.needs_repository, "it was said once");
        assert!(
            judgement.state.unwrap().is_desynchronised(),
            "until it is fetched"
        );
    }
}

#[test]
fn another_revision_before_with_the_same_root_loses_nothing() {
    let scene = scene();
    let stored = state("3mptbwv4pn32t", scene.prev_data.unwrap());
    for since in [Some(SINCE.to_owned()), None] {
        let scene = Scene {
            since,
            ..scene.clone()
        };
        let judgement = judged(&scene.frame(), Some(&stored));
        assert_eq!(judgement.verdict, Verdict::Discontinuous);
        assert!(!judgement.needs_repository);
        assert_eq!(judgement.state, Some(state(REV, scene.data)));
    }
}

#[test]
fn a_legacy_commit_is_held_to_the_root_that_its_operations_lead_to() {
    let scene = scene();
    let legacy = Scene {
        prev_data: None,
        ..scene.clone()
    };
    let verdict = |stored: &RepoState| judged(&legacy.frame(), Some(stored)).verdict;
    assert_eq!(verdict(&scene.state()), Verdict::Legacy);
    let other = Cid::of(Codec::DagCbor, b"another");
    assert_eq!(verdict(&state(SINCE, other)), Verdict::Discontinuous);

    // Where they lead nowhere, the revision alone decides.
    let mut older = legacy.clone();
    older.ops.iter_mut().for_each(|op| op.prev = None);
    let judge = |stored: &RepoState| judged(&older.frame(), Some(stored));
    assert_eq!(judge(&state(SINCE, other)).verdict, Verdict::Legacy);
    let broken = judge(&state("3mptbwv4pn32t", other));
    assert_eq!(
        (broken.verdict, broken.needs_repository),
        (Verdict::Discontinuous, true)
    );
}

#[test]
fn what_is_old_or_repeated_is_skipped_before_anything_is_asked() {
    let scene = scene();
    let frame = scene.frame();
    let sync = scene.sync();
    for rev in [REV, "3mptbypluud2b", "jzzzzzzzzzzzz"] {
        let stored = state(rev, scene.data);
        let known = Known {
            state: Some(&stored),
            ..Known::default()
        };
        for bytes in [&frame, &sync] {
            let frame = Frame::decode(bytes).unwrap();
            let outcome = Verifier::new().verify(&frame, &known, Micros::new(RECORDED_US));
            assert_eq!(outcome, Outcome::Skipped(Skip::Stale));
        }
        assert_eq!(
            Skip::of(REV, HostingState::Active, Some(&stored)),
            Some(Skip::Stale)
        );
    }
    // Nothing is said of text that is not a revision.
    let stored = state(REV, scene.data);
    assert_eq!(
        Skip::of("3mptbypluud00", HostingState::Active, Some(&stored)),
        None
    );
}

#[test]
fn an_account_that_is_not_active_is_skipped() {
    let scene = scene();
    let bytes = scene.frame();
    let known = Known {
        hosting: HostingState::Inactive,
        ..Known::default()
    };
    let outcome = Verifier::new().verify(
        &Frame::decode(&bytes).unwrap(),
        &known,
        Micros::new(RECORDED_US),
    );
    assert_eq!(outcome, Outcome::Skipped(Skip::Inactive));
}

#[test]
fn a_sync_of_the_known_root_moves_the_revision_and_no_more() {
    let scene = scene();
    let stored = state(SINCE, scene.data);
    let judgement = judged(&scene.sync(), Some(&stored));
    let expected = Judgement {
        verdict: Verdict::Verified,
        state: Some(state(REV, scene.data)),
        needs_repository: false,
    };
    assert_eq!(judgement, expected);
}

#[test]
fn a_sync_of_another_root_desynchronises() {
    let scene = scene();
    let judgement = judged(&scene.sync(), Some(&scene.state()));
    assert_eq!(judgement.verdict, Verdict::Discontinuous);
    assert!(judgement.needs_repository);
    assert!(judgement.state.unwrap().is_desynchronised());
    let first = judged(&scene.sync(), None);
    assert_eq!(first.verdict, Verdict::Verified);
    assert_eq!(first.state, Some(state(REV, scene.data)));
}

/// The root in it is the right one, so only the signature tells; were the revision believed, all
/// commits up to it would be old.
#[test]
fn a_forged_sync_with_the_known_root_changes_nothing() {
    let scene = scene();
    let stored = state(SINCE, scene.data);
    let bytes = scene.sync();
    let frame = Frame::decode(&bytes).unwrap();
    let wrong = scene::other_key();
    let with = |key| {
        let known = Known {
            state: Some(&stored),
            key,
            ..Known::default()
        };
        Verifier::new().verify(&frame, &known, Micros::new(RECORDED_US))
    };
    assert_eq!(
        with(KnownKey::Cached(&wrong)),
        Outcome::Needs(Need::FreshKey)
    );
    let forged = Outcome::Judged(Judgement {
        verdict: Verdict::Invalid(Reason::SignatureMismatch),
        state: None,
        needs_repository: false,
    });
    assert_eq!(with(KnownKey::Fresh(&wrong)), forged);
}

#[test]
fn what_did_not_pass_leaves_the_state_alone() {
    let scene = scene();
    let mut wrong = scene.clone();
    wrong.ops.pop();
    let judgement = judged(&wrong.frame(), Some(&scene.state()));
    assert_eq!(judgement.verdict, Verdict::Invalid(Reason::RootMismatch));
    assert_eq!((judgement.state, judgement.needs_repository), (None, false));
}

#[test]
fn frames_that_are_no_commit_and_no_sync_are_not_verified() {
    let bytes = b"\xa2\x61t\x65#info\x62op\x01\xa1\x64name\x6eOutdatedCursor";
    assert_eq!(judge(bytes, None), Outcome::Skipped(Skip::NoRepository));
}
