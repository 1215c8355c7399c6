//! One look-up for all who ask, and a bound on all look-ups.

use futures_util::future::join_all;
use jetwash_identity::{ResolveError, ResolveErrorKind};
use tokio::sync::watch;

use crate::server::{Reply, Server, ok};
use crate::{document_at, key_of, options, plc, until};

/// A directory that answers when the gate is opened.
async fn gated() -> (Server, watch::Sender<bool>) {
    let (open, gate) = watch::channel(false);
    let server = Server::start(move |path, number| {
        let document = document_at(path, &"abcdefgh"[number % 8..=number % 8]);
        Reply::After(gate.clone(), Box::new(ok(&document)))
    })
    .await;
    (server, open)
}

#[tokio::test]
async fn a_hundred_questions_about_one_did_are_one_request() {
    let (server, open) = gated().await;
    let identities = options(&server).start().unwrap();
    let did = plc(1);
    let questions = join_all((0..100).map(|_| identities.resolve(&did)));
    let opened = async {
        until(|| identities.snapshot().joined == 99 && server.count() == 1).await;
        open.send_replace(true);
    };
    let (answers, ()) = tokio::join!(questions, opened);
    for answer in answers {
        assert_eq!(key_of(&answer.unwrap()), "a");
    }
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_look_up_goes_on_when_the_one_who_asked_is_gone() {
    let (server, open) = gated().await;
    let identities = options(&server).start().unwrap();
    let first = tokio::spawn({
        let identities = identities.clone();
        async move { identities.resolve(&plc(1)).await }
    });
    until(|| server.count() == 1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    open.send_replace(true);
    identities.resolve(&plc(1)).await.unwrap();
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_miss_does_not_hold_up_what_memory_knows() {
    let (server, open) = gated().await;
    let identities = options(&server).start().unwrap();
    open.send_replace(true);
    identities.resolve(&plc(1)).await.unwrap();
    open.send_replace(false);
    let waiting = tokio::spawn({
        let identities = identities.clone();
        async move { identities.resolve(&plc(2)).await }
    });
    until(|| server.count() == 2).await;
    for _ in 0..1000 {
        identities.resolve(&plc(1)).await.unwrap();
    }
    assert!(!waiting.is_finished());
    open.send_replace(true);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn one_look_up_too_many_is_busy_at_once_and_counted() {
    let (server, open) = gated().await;
    let identities = options(&server).max_waiting(3).start().unwrap();
    let dids: Vec<_> = (0..3).map(plc).collect();
    let questions = join_all(dids.iter().map(|did| identities.resolve(did)));
    let full = async {
        until(|| identities.snapshot().under_way == 3).await;
        let error = identities.resolve(&plc(9)).await.unwrap_err();
        assert_eq!(error, ResolveError::Busy { waiting: 3 });
        assert_eq!(identities.snapshot().errors(ResolveErrorKind::Busy), 1);
        open.send_replace(true);
    };
    let (answers, ()) = tokio::join!(questions, full);
    assert!(answers.iter().all(Result::is_ok));
    identities.resolve(&plc(9)).await.unwrap();
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_are_allowed() {
    let (server, open) = gated().await;
    let identities = options(&server).max_requests(5).start().unwrap();
    let dids: Vec<_> = (0..40).map(plc).collect();
    let questions = join_all(dids.iter().map(|did| identities.resolve(did)));
    let opened = async {
        until(|| server.count() == 5 && identities.snapshot().under_way == 40).await;
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.count(), 5);
        open.send_replace(true);
    };
    let (answers, ()) = tokio::join!(questions, opened);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(server.count(), 40);
}

#[tokio::test]
async fn what_was_invalidated_during_its_look_up_is_looked_up_anew() {
    let (server, open) = gated().await;
    let identities = options(&server).start().unwrap();
    let did = plc(1);
    let first = tokio::spawn({
        let (identities, did) = (identities.clone(), did.clone());
        async move { identities.resolve(&did).await }
    });
    until(|| server.count() == 1).await;
    identities.invalidate(&did);
    let second = tokio::spawn({
        let (identities, did) = (identities.clone(), did.clone());
        async move { identities.resolve(&did).await }
    });
    until(|| server.count() == 2).await;
    open.send_replace(true);
    assert_eq!(key_of(&first.await.unwrap().unwrap()), "a");
    assert_eq!(key_of(&second.await.unwrap().unwrap()), "b");
    assert_eq!(key_of(&identities.resolve(&did).await.unwrap()), "b");
    assert_eq!(server.count(), 2);
}
