//! did:plc, from one directory or several.

use std::time::Duration;

use jetwash_identity::{FetchError, IdentityMistake, IdentityOptions, ResolveError};

use crate::server::{Reply, Server, ok, response, status};
use crate::{MINUTE, SECOND, did, document_at, key_of, options, plc};

/// A directory that has a document of every DID, with this key.
async fn directory(key: &'static str) -> Server {
    Server::start(move |path, _| ok(&document_at(path, key))).await
}

#[tokio::test]
async fn a_document_comes_from_the_directory_and_then_from_memory() {
    let server = directory("a").await;
    let identities = options(&server).start().unwrap();
    assert_eq!(identities.cached(&plc(1)), None);
    let document = identities.resolve(&plc(1)).await.unwrap();
    assert_eq!(*document.did(), plc(1));
    assert_eq!(key_of(&document), "a");
    assert_eq!(document.pds().unwrap().as_str(), "https://pds.test");
    assert_eq!(identities.resolve(&plc(1)).await.unwrap(), document);
    assert_eq!(identities.cached(&plc(1)).unwrap().unwrap(), document);
    assert_eq!(server.asked(), [format!("/{}", plc(1))]);
    let snapshot = identities.snapshot();
    assert_eq!((snapshot.look_ups, snapshot.hits), (1, 2));
    assert_eq!((snapshot.requests, snapshot.entries), (1, 1));
}

#[tokio::test]
async fn a_directory_may_have_a_path() {
    let server = directory("a").await;
    let options = options(&server).directories([format!("{}/plc/", server.url())]);
    let identities = options.start().unwrap();
    identities.resolve(&plc(1)).await.unwrap();
    assert_eq!(server.asked(), [format!("/plc/{}", plc(1))]);
}

#[tokio::test]
async fn not_found_and_given_up_are_told_apart() {
    let server = Server::start(|path, _| status(if path.ends_with('b') { 404 } else { 410 })).await;
    let identities = options(&server).start().unwrap();
    let (unknown, given_up) = (plc(1), plc(2));
    let error = identities.resolve(&unknown).await.unwrap_err();
    assert_eq!(error, ResolveError::NotFound { did: unknown });
    let error = identities.resolve(&given_up).await.unwrap_err();
    assert_eq!(error, ResolveError::Tombstoned { did: given_up });
}

#[tokio::test]
async fn a_did_of_another_method_or_form_is_refused_without_a_request() {
    let server = directory("a").await;
    let identities = options(&server).start().unwrap();
    for text in ["did:key:zQ3sh", "did:example:alice", "did:webvh:a.test"] {
        let error = identities.resolve(&did(text)).await.unwrap_err();
        assert_eq!(error, ResolveError::UnsupportedMethod { did: did(text) });
    }
    for text in ["did:plc:short", "did:web:a.test:path", "did:web:127.0.0.1"] {
        let error = identities.resolve(&did(text)).await.unwrap_err();
        assert!(matches!(error, ResolveError::InvalidDid { .. }), "{error}");
    }
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn a_mirror_answers_for_a_directory_that_does_not() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refuses = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let fails = Server::start(|_, _| status(500)).await;
    let lies = Server::start(|_, _| ok(r#"{"id":"did:plc:another"}"#)).await;
    let silent = Server::start(|_, _| Reply::Silent).await;
    let mirror = directory("mirror").await;
    for first in [refuses, fails.url(), lies.url(), silent.url()] {
        let options = options(&mirror).directories([first, mirror.url()]);
        let options = options.request_limit(SECOND / 2);
        let identities = options.start().unwrap();
        let document = identities.resolve(&plc(1)).await.unwrap();
        assert_eq!(key_of(&document), "mirror");
    }
}

#[tokio::test]
async fn a_directory_that_failed_is_left_alone_while_a_mirror_answers() {
    let fails = Server::start(|_, _| Reply::Send(response(503, "Retry-After: 60\r\n", ""))).await;
    let mirror = directory("mirror").await;
    let options = options(&mirror).directories([fails.url(), mirror.url()]);
    let identities = options.start().unwrap();
    for number in 0..20 {
        identities.resolve(&plc(number)).await.unwrap();
    }
    assert_eq!((fails.count(), mirror.count()), (1, 20));
}

#[tokio::test]
async fn a_directory_that_failed_is_asked_again_after_its_rest() {
    let server = Server::start(|path, number| match number {
        0 => status(500),
        _ => ok(&document_at(path, "a")),
    })
    .await;
    let identities = options(&server).start().unwrap();
    let error = identities.resolve(&plc(1)).await.unwrap_err();
    let failed = FetchError::Status(500);
    assert!(matches!(&error, ResolveError::Host { error, .. } if *error == failed));
    assert!(error.is_transient());
    // The rest is up to half a second, and a look-up waits for its end.
    identities.resolve(&plc(1)).await.unwrap();
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_directory_that_asks_to_be_left_alone_is() {
    let server = Server::start(|_, _| Reply::Send(response(429, "Retry-After: 100\r\n", ""))).await;
    let identities = options(&server).start().unwrap();
    let error = identities.resolve(&plc(1)).await.unwrap_err();
    let refused = FetchError::Status(429);
    assert!(matches!(error, ResolveError::Host { error, .. } if error == refused));
    for number in 2..50 {
        let error = identities.resolve(&plc(number)).await.unwrap_err();
        let ResolveError::Resting { retry_after, .. } = error else {
            panic!("{error}");
        };
        assert!(retry_after > MINUTE && retry_after <= Duration::from_secs(100));
    }
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn when_every_directory_fails_the_last_error_is_told() {
    let first = Server::start(|_, _| status(500)).await;
    let second = Server::start(|_, _| status(502)).await;
    let options = options(&first).directories([first.url(), second.url()]);
    let identities = options.start().unwrap();
    let error = identities.resolve(&plc(1)).await.unwrap_err();
    let host = second.address.to_string().into();
    let error_of_second = FetchError::Status(502);
    let expected = ResolveError::Host {
        host,
        error: error_of_second,
    };
    assert_eq!(error, expected);
}

#[tokio::test]
async fn every_mistake_in_the_options_is_told() {
    let options = IdentityOptions::new()
        .directories(["https://user@plc.test", "plc.test"])
        .forget_after(SECOND)
        .max_waiting(0)
        .user_agent("two\nlines");
    let url = |text: &str| IdentityMistake::Directory {
        url: text.to_owned(),
    };
    let mistakes = options.start().unwrap_err().mistakes;
    let expected = [
        url("https://user@plc.test"),
        url("plc.test"),
        IdentityMistake::Ages,
        IdentityMistake::NoLookUps,
        IdentityMistake::UserAgent,
    ];
    assert_eq!(mistakes, expected);
    let none = IdentityOptions::new().directories([""; 0]).start();
    assert_eq!(none.unwrap_err().mistakes, [IdentityMistake::NoDirectory]);
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let error = IdentityOptions::new().start().unwrap_err();
    assert_eq!(error.mistakes, [IdentityMistake::NoRuntime]);
}
