//! The look-ups that a bad signature may cause.

use jetwash_identity::Budget;

use crate::server::{Server, ok};
use crate::{HOUR, MINUTE, SECOND, TestClock, did, document_at, key_of, options, plc};

#[tokio::test]
async fn a_suspicion_causes_one_look_up_in_five_minutes() {
    let server = Server::start(|path, number| {
        let key = "abcdefgh";
        ok(&document_at(path, &key[number..=number]))
    })
    .await;
    let clock = TestClock::new();
    let identities = options(&server).clock(clock.clone()).start().unwrap();
    let did = plc(1);
    identities.resolve(&did).await.unwrap();
    assert!(identities.suspect(&did));
    assert_eq!(identities.cached(&did), None);
    assert_eq!(key_of(&identities.resolve(&did).await.unwrap()), "b");
    for _ in 0..1000 {
        assert!(!identities.suspect(&did));
        identities.resolve(&did).await.unwrap();
    }
    assert_eq!(server.count(), 2);
    clock.advance(5 * MINUTE - SECOND);
    assert!(!identities.suspect(&did));
    clock.advance(SECOND);
    assert!(identities.suspect(&did));
    assert_eq!(key_of(&identities.resolve(&did).await.unwrap()), "c");
    let snapshot = identities.snapshot();
    assert_eq!(
        (snapshot.suspicions, snapshot.suspicions_refused),
        (2, 1001)
    );
}

#[tokio::test]
async fn suspicions_about_many_dids_stay_within_their_budget() {
    let server = Server::start(|path, _| ok(&document_at(path, "a"))).await;
    let options = options(&server).suspicion_budget(Budget::new(10, HOUR));
    let identities = options.start().unwrap();
    for number in 0..200 {
        identities.resolve(&plc(number)).await.unwrap();
        // These cannot be looked up, and take nothing from the budget.
        assert!(!identities.suspect(&did(&format!("did:key:{number}"))));
    }
    let allowed = (0..200).filter(|number| identities.suspect(&plc(*number)));
    assert_eq!(allowed.count(), 10);
    for number in 0..200 {
        identities.resolve(&plc(number)).await.unwrap();
    }
    assert_eq!(server.count(), 210);
}
