//! How long what is known is served.

use jetwash_identity::{Identities, ResolveError, ResolveErrorKind};

use crate::server::{Reply, Server, ok, response, status};
use crate::{
    HOUR, MINUTE, SECOND, TestClock, document_at, key_of, options, plc, until, until_quiet,
};

/// A directory with a new key at each request, until it fails or knows nothing any more.
async fn changing(answers: usize, then: u16) -> (Server, Identities, TestClock) {
    let server = Server::start(move |path, number| {
        if number < answers {
            ok(&document_at(path, &"abcdefgh"[number..=number]))
        } else {
            // A host that asks for no rest gets none, and the test does not wait for it.
            Reply::Send(response(then, "Retry-After: 0\r\n", ""))
        }
    })
    .await;
    let clock = TestClock::new();
    let identities = options(&server).clock(clock.clone()).start().unwrap();
    (server, identities, clock)
}

async fn key(identities: &Identities) -> Result<String, ResolveError> {
    let document = identities.resolve(&plc(1)).await?;
    Ok(key_of(&document).to_owned())
}

#[tokio::test]
async fn an_old_document_is_served_while_it_is_looked_up_again_once() {
    let (server, identities, clock) = changing(8, 500).await;
    assert_eq!(key(&identities).await.unwrap(), "a");
    clock.advance(HOUR * 8 / 10);
    assert_eq!(key(&identities).await.unwrap(), "a");
    until_quiet(&identities).await;
    assert_eq!(server.count(), 1, "it is fresh for most of an hour");
    clock.advance(HOUR * 2 / 10);
    for _ in 0..10 {
        assert_eq!(key(&identities).await.unwrap(), "a");
    }
    until(|| server.count() == 2).await;
    until_quiet(&identities).await;
    assert_eq!(key(&identities).await.unwrap(), "b");
    let snapshot = identities.snapshot();
    assert_eq!((snapshot.stale, snapshot.refreshes), (10, 1));
}

#[tokio::test]
async fn a_thread_without_a_runtime_has_an_old_document_looked_up_again() {
    let (server, identities, clock) = changing(8, 500).await;
    assert_eq!(key(&identities).await.unwrap(), "a");
    clock.advance(HOUR);
    let asking = identities.clone();
    let thread = std::thread::spawn(move || {
        let document = asking.cached(&plc(1)).unwrap().unwrap();
        key_of(&document).to_owned()
    });
    assert_eq!(thread.join().unwrap(), "a");
    until(|| server.count() == 2).await;
    until_quiet(&identities).await;
    assert_eq!(key(&identities).await.unwrap(), "b");
}

#[test]
fn a_look_up_whose_runtime_has_ended_is_an_error_and_no_hang() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let (first, second) = (runtime(), runtime());
    let (_server, identities, _clock) = first.block_on(changing(8, 500));
    drop(first);
    let error = second.block_on(key(&identities)).unwrap_err();
    assert_eq!(error, ResolveError::Ended);
}

#[tokio::test]
async fn an_old_document_is_served_for_a_day_while_the_directory_fails() {
    let (server, identities, clock) = changing(1, 500).await;
    assert_eq!(key(&identities).await.unwrap(), "a");
    for _ in 0..23 {
        clock.advance(HOUR);
        assert_eq!(key(&identities).await.unwrap(), "a");
        until_quiet(&identities).await;
        // It is not asked again for each question.
        let asked = server.count();
        assert_eq!(key(&identities).await.unwrap(), "a");
        until_quiet(&identities).await;
        assert_eq!(server.count(), asked);
    }
    clock.advance(HOUR);
    let error = key(&identities).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn an_old_document_is_dropped_when_the_did_is_gone() {
    let (_server, identities, clock) = changing(1, 410).await;
    assert_eq!(key(&identities).await.unwrap(), "a");
    clock.advance(HOUR);
    assert_eq!(key(&identities).await.unwrap(), "a");
    until_quiet(&identities).await;
    let error = key(&identities).await.unwrap_err();
    assert_eq!(error, ResolveError::Tombstoned { did: plc(1) });
}

#[tokio::test]
async fn that_a_did_is_not_found_is_believed_for_a_minute() {
    let server = Server::start(|path, number| match number {
        0 => status(404),
        _ => ok(&document_at(path, "a")),
    })
    .await;
    let clock = TestClock::new();
    let identities = options(&server).clock(clock.clone()).start().unwrap();
    let not_found = || ResolveError::NotFound { did: plc(1) };
    for _ in 0..10 {
        assert_eq!(key(&identities).await, Err(not_found()));
    }
    clock.advance(MINUTE - SECOND);
    assert_eq!(identities.cached(&plc(1)), Some(Err(not_found())));
    assert_eq!(server.count(), 1);
    clock.advance(SECOND);
    assert_eq!(identities.cached(&plc(1)), None);
    assert_eq!(key(&identities).await.unwrap(), "a");
    assert_eq!(server.count(), 2);
    let snapshot = identities.snapshot();
    assert_eq!(snapshot.negative, 10);
    assert_eq!(snapshot.errors(ResolveErrorKind::NotFound), 1);
}

#[tokio::test]
async fn an_invalidated_document_is_looked_up_before_it_is_served() {
    let (server, identities, _clock) = changing(8, 500).await;
    assert_eq!(key(&identities).await.unwrap(), "a");
    identities.invalidate(&plc(1));
    assert_eq!(identities.cached(&plc(1)), None);
    assert_eq!(key(&identities).await.unwrap(), "b");
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn invalidations_in_a_row_are_one_now_and_one_after_the_interval() {
    let (server, identities, clock) = changing(8, 500).await;
    assert_eq!(key(&identities).await.unwrap(), "a");
    identities.invalidate(&plc(1));
    assert_eq!(key(&identities).await.unwrap(), "b");
    for _ in 0..100 {
        identities.invalidate(&plc(1));
        assert_eq!(key(&identities).await.unwrap(), "b");
    }
    until_quiet(&identities).await;
    assert_eq!(server.count(), 2);
    clock.advance(10 * SECOND);
    assert_eq!(key(&identities).await.unwrap(), "b");
    until(|| server.count() == 3).await;
    until_quiet(&identities).await;
    assert_eq!(key(&identities).await.unwrap(), "c");
    clock.advance(MINUTE);
    assert_eq!(key(&identities).await.unwrap(), "c");
    until_quiet(&identities).await;
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn a_clock_that_goes_back_makes_documents_old_and_errors_void() {
    let (server, identities, clock) = changing(8, 500).await;
    assert_eq!(key(&identities).await.unwrap(), "a");
    clock.go_back(HOUR);
    assert_eq!(key(&identities).await.unwrap(), "a");
    until(|| server.count() == 2).await;
    until_quiet(&identities).await;
    assert_eq!(key(&identities).await.unwrap(), "b");
    let (server, identities, clock) = changing(0, 404).await;
    key(&identities).await.unwrap_err();
    clock.go_back(HOUR);
    key(&identities).await.unwrap_err();
    assert_eq!(server.count(), 2);
}
