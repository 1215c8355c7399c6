//! The forms in which verdicts and states are stored.

use std::collections::HashSet;

use jetwash_cbor::{Cid, Codec};
use jetwash_event::Tid;
use jetwash_verify::{
    Claim, HostingState, Policy, PublicKey, Reason, RepoState, StateError, Verdict,
};
use proptest::prelude::*;

fn tids() -> impl Strategy<Value = Tid> {
    "[2-7a-j][2-7a-z]{12}".prop_map(|text| text.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_state_is_read_as_it_was_packed(rev in tids(), content: [u8; 8], flag: bool) {
        let data = Cid::of(Codec::DagCbor, &content);
        let mut bytes = RepoState::new(rev, data).to_bytes();
        bytes[1] = u8::from(flag);
        let state = RepoState::from_bytes(&bytes).unwrap();
        prop_assert_eq!((state.rev(), state.data(), state.is_desynchronised()), (rev, &data, flag));
        prop_assert_eq!(state.to_bytes(), bytes);
    }

    #[test]
    fn packed_revisions_are_in_the_order_of_the_revisions(a in tids(), b in tids()) {
        let data = Cid::of(Codec::DagCbor, b"");
        let [left, right] = [a, b].map(|rev| RepoState::new(rev, data).to_bytes());
        prop_assert_eq!(left[2..10].cmp(&right[2..10]), a.cmp(&b));
    }

    #[test]
    fn any_bytes_are_a_state_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(state) = RepoState::from_bytes(&bytes) {
            prop_assert_eq!(&state.to_bytes()[..], &bytes[..]);
        }
    }
}

/// The format as it stands: what was stored must be read by every later version.
#[test]
fn a_stored_state_is_read_for_ever() {
    let root = "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm";
    let state = RepoState::new("3jzfcijpj2z2a".parse().unwrap(), root.parse().unwrap());
    let mut stored = vec![1, 0];
    // 1,688,137,381,887,007 microseconds and clock 6.
    stored.extend((1_688_137_381_887_007_u64 << 10 | 6).to_be_bytes());
    stored.extend(root.parse::<Cid>().unwrap().digest());
    assert_eq!(RepoState::from_bytes(&stored), Ok(state));
    assert_eq!(stored.len(), RepoState::LENGTH);
    assert_eq!(RepoState::from_bytes(&[]), Err(StateError::Length(0)));
    assert_eq!(
        RepoState::from_bytes(&stored[..41]),
        Err(StateError::Length(41))
    );
    stored[1] = 2;
    assert_eq!(RepoState::from_bytes(&stored), Err(StateError::Damaged));
    stored[0] = 2;
    assert_eq!(RepoState::from_bytes(&stored), Err(StateError::Format(2)));
}

#[test]
fn a_verdict_is_one_byte_and_no_two_share_it() {
    let good = [
        Verdict::Verified,
        Verdict::Legacy,
        Verdict::InsufficientProof,
        Verdict::Discontinuous,
        Verdict::Unresolved,
    ];
    let all: Vec<_> = good
        .into_iter()
        .chain(Reason::ALL.into_iter().map(Verdict::Invalid))
        .collect();
    for (number, verdict) in (1..).zip(&good) {
        assert_eq!(verdict.to_byte(), number, "as it is stored");
    }
    assert_eq!(Verdict::Invalid(Reason::FrameMalformed).to_byte(), 0x41);
    assert_eq!(Verdict::Invalid(Reason::KeyUnusable).to_byte(), 0x5d);
    let bytes: HashSet<u8> = all.iter().map(|verdict| verdict.to_byte()).collect();
    assert_eq!(bytes.len(), all.len());
    for byte in 0..=u8::MAX {
        let verdict = all.iter().find(|verdict| verdict.to_byte() == byte);
        assert_eq!(Verdict::from_byte(byte), verdict.copied(), "{byte}");
    }
    let names: HashSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(names.len(), Reason::ALL.len());
}

#[test]
fn the_policies_deliver_what_they_say() {
    let verdicts = [
        Verdict::Verified,
        Verdict::Legacy,
        Verdict::InsufficientProof,
        Verdict::Discontinuous,
        Verdict::Unresolved,
        Verdict::Invalid(Reason::Tree),
    ];
    for (name, delivered) in [
        ("off", [true; 6]),
        ("structure", [true, true, true, true, true, false]),
        ("lenient", [true, true, true, true, true, false]),
        ("strict", [true, false, false, false, false, false]),
    ] {
        let policy: Policy = name.parse().unwrap();
        assert_eq!(policy.to_string(), name);
        assert_eq!(verdicts.map(|verdict| policy.delivers(verdict)), delivered);
    }
    assert!("Lenient".parse::<Policy>().is_err());
    assert!(!Policy::Off.is_on() && Policy::Structure.is_on());
    assert!(!Policy::Structure.needs_keys() && Policy::Lenient.needs_keys());
}

/// As the documentation says.
#[test]
fn what_is_kept_of_an_account_is_small() {
    assert_eq!(size_of::<RepoState>(), 50);
    assert!(size_of::<Claim>() <= 256, "{}", size_of::<Claim>());
    assert!(size_of::<PublicKey>() <= 104, "{}", size_of::<PublicKey>());
}

#[test]
fn hosting_states_are_one_byte() {
    for state in [HostingState::Active, HostingState::Inactive] {
        assert_eq!(HostingState::from_byte(state.to_byte()), state);
    }
    assert_eq!(
        (
            HostingState::Active.to_byte(),
            HostingState::Inactive.to_byte()
        ),
        (0, 1)
    );
    assert_eq!(HostingState::from_byte(77), HostingState::Active);
}
