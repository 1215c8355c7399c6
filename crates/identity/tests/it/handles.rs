//! Handles, in both directions.

use std::io;
use std::sync::Mutex;

use futures_core::future::BoxFuture;
use jetwash_event::Handle;
use jetwash_identity::{AccountHandle, FetchError, HandleError, Identities, TxtLookup};

use crate::server::{Reply, Server, ok, status};
use crate::web::web_options;
use crate::{HOUR, TestClock, document, plc};

/// A directory in which the DID 1 claims `alice.test`, and a page for every handle.
async fn server(page: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Server {
    let pages = Mutex::new(0);
    Server::start(move |path, _| match path {
        "/.well-known/atproto-did" => {
            let mut pages = pages.lock().unwrap();
            *pages += 1;
            page(*pages - 1)
        }
        _ => ok(&document(&path[1..], "a", "alice.test")),
    })
    .await
}

fn alice() -> Handle {
    "alice.test".parse().unwrap()
}

fn verified() -> AccountHandle {
    AccountHandle::Verified(alice())
}

/// The TXT records of every name.
struct Texts(Vec<&'static str>);

impl TxtLookup for Texts {
    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<String>>> {
        assert_eq!(name, "_atproto.alice.test");
        let texts = self.0.iter().map(|text| (*text).to_owned()).collect();
        Box::pin(async { Ok(texts) })
    }
}

async fn both(identities: &Identities) -> (Result<AccountHandle, HandleError>, String) {
    let verified = identities.verified_handle(&plc(1)).await;
    let resolved = identities.resolve_handle(&alice()).await;
    let resolved = match resolved {
        Ok(did) => did.to_string(),
        Err(error) => error.to_string(),
    };
    (verified, resolved)
}

#[tokio::test]
async fn a_handle_counts_when_its_page_names_the_did() {
    let server = server(|_| ok(&format!("{}\n", plc(1)))).await;
    let identities = web_options(&server).start().unwrap();
    for _ in 0..10 {
        let expected = (Ok(verified()), plc(1).to_string());
        assert_eq!(both(&identities).await, expected);
    }
    assert_eq!(server.count(), 2, "a document and a page");
    let upper = "Alice.Test".parse().unwrap();
    assert_eq!(identities.resolve_handle(&upper).await, Ok(plc(1)));
}

#[tokio::test]
async fn a_handle_whose_page_names_another_did_does_not_count() {
    let server = server(|_| ok("did:web:pds.test")).await;
    let identities = web_options(&server).start().unwrap();
    let found = identities.verified_handle(&plc(1)).await;
    assert_eq!(found, Ok(AccountHandle::Invalid));
}

#[tokio::test]
async fn a_did_that_claims_another_handle_does_not_get_this_one() {
    let server = server(|_| ok(plc(1).as_ref())).await;
    let identities = web_options(&server).start().unwrap();
    let handle: Handle = "bob.test".parse().unwrap();
    let error = identities.resolve_handle(&handle).await.unwrap_err();
    let did = plc(1);
    assert_eq!(error, HandleError::NotClaimed { handle, did });
}

#[tokio::test]
async fn a_page_that_names_no_did_is_no_answer() {
    for page in [
        "",
        "<html>",
        "did:plc",
        "did:plc:a did:plc:b",
        "\u{feff}did:web:a.test",
    ] {
        let server = server(move |_| ok(page)).await;
        let identities = web_options(&server).start().unwrap();
        let error = identities.resolve_handle(&alice()).await.unwrap_err();
        assert_eq!(error, HandleError::NotFound { handle: alice() }, "{page}");
        let found = identities.verified_handle(&plc(1)).await;
        assert_eq!(found, Ok(AccountHandle::Invalid));
        assert_eq!(server.count(), 2, "it is remembered");
    }
    let server = server(|_| status(404)).await;
    let identities = web_options(&server).start().unwrap();
    let found = identities.verified_handle(&plc(1)).await;
    assert_eq!(found, Ok(AccountHandle::Invalid));
}

#[tokio::test]
async fn a_host_that_fails_says_nothing_about_the_handle() {
    let server = server(|_| status(500)).await;
    let identities = web_options(&server).start().unwrap();
    let error = identities.verified_handle(&plc(1)).await.unwrap_err();
    let expected = HandleError::Host {
        handle: alice(),
        error: FetchError::Status(500),
    };
    assert_eq!(error, expected);
}

#[tokio::test]
async fn a_page_of_more_than_a_did_is_not_read() {
    let server = server(|_| {
        let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        Reply::Endless(head, b"did:plc:".to_vec())
    })
    .await;
    let identities = web_options(&server).start().unwrap();
    let error = identities.resolve_handle(&alice()).await.unwrap_err();
    assert!(matches!(
        error,
        HandleError::Host {
            error: FetchError::TooLong,
            ..
        }
    ));
}

#[tokio::test]
async fn the_dns_counts_more_than_the_page() {
    let did: &'static str = Box::leak(format!("did={}", plc(1)).into_boxed_str());
    for (texts, expected) in [
        (vec![did], Ok(plc(1))),
        (vec!["v=spf1 -all", did], Ok(plc(1))),
        (
            vec![did, "did=did:web:a.test"],
            Err(HandleError::Ambiguous { handle: alice() }),
        ),
        (
            vec!["did=nonsense"],
            Err(HandleError::NotFound { handle: alice() }),
        ),
        (vec![], Err(HandleError::NotFound { handle: alice() })),
    ] {
        let server = server(|_| ok("no DID")).await;
        let options = web_options(&server).txt_lookup(Texts(texts));
        let identities = options.start().unwrap();
        assert_eq!(identities.resolve_handle(&alice()).await, expected);
    }
}

#[tokio::test]
async fn without_an_answer_of_the_dns_the_page_counts() {
    struct Failing;
    impl TxtLookup for Failing {
        fn texts<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<String>>> {
            Box::pin(async { Err(io::ErrorKind::TimedOut.into()) })
        }
    }
    let server = server(|_| ok(plc(1).as_ref())).await;
    let identities = web_options(&server).txt_lookup(Failing).start().unwrap();
    assert_eq!(identities.resolve_handle(&alice()).await, Ok(plc(1)));
}

#[tokio::test]
async fn reserved_names_are_never_looked_up() {
    let server = server(|_| ok(plc(1).as_ref())).await;
    let identities = web_options(&server)
        .txt_lookup(Texts(Vec::new()))
        .start()
        .unwrap();
    for name in [
        "handle.invalid",
        "a.local",
        "a.LOCALHOST",
        "a.internal",
        "a.arpa",
        "a.onion",
    ] {
        let handle: Handle = name.parse().unwrap();
        let error = identities.resolve_handle(&handle).await.unwrap_err();
        assert!(matches!(error, HandleError::Reserved { .. }), "{name}");
    }
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn a_handle_is_checked_again_after_an_hour_and_after_an_invalidation() {
    let server = server(|number| ok(plc(number % 2 + 1).as_ref())).await;
    let clock = TestClock::new();
    let identities = web_options(&server).clock(clock.clone()).start().unwrap();
    assert_eq!(identities.verified_handle(&plc(1)).await, Ok(verified()));
    clock.advance(HOUR);
    let found = identities.verified_handle(&plc(1)).await;
    assert_eq!(found, Ok(AccountHandle::Invalid));
    identities.invalidate(&plc(1));
    assert_eq!(identities.verified_handle(&plc(1)).await, Ok(verified()));
}
