//! Documents that the program brings itself.

use std::future::pending;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::future::join_all;
use jetwash_event::Did;
use jetwash_identity::{
    DidDocument, DocumentAnswer, DocumentError, DocumentSource, IdentityMistake, IdentityOptions,
    ResolveError, ResolveErrorKind,
};
use tokio::sync::watch;

use crate::server::{Server, ok};
use crate::web::Everywhere;
use crate::{
    HOUR, MINUTE, SECOND, TestClock, did, document, document_at, key_of, options, plc, reopen,
    until, until_quiet,
};

/// The behaviour of a source towards a question.
#[derive(Clone)]
enum Says {
    Answer(DocumentAnswer),
    Fails(String),
    Nothing,
    /// The document with this key, once the gate is open.
    After(watch::Receiver<bool>, &'static str),
}

type Behaviour = dyn Fn(&Did, usize) -> Says + Send + Sync;

/// A source that says what a test wants, and remembers the questions.
#[derive(Clone)]
struct TestSource {
    says: Arc<Behaviour>,
    asked: Arc<Mutex<Vec<Did>>>,
}

impl TestSource {
    fn new(says: impl Fn(&Did, usize) -> Says + Send + Sync + 'static) -> Self {
        Self {
            says: Arc::new(says),
            asked: Arc::default(),
        }
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl DocumentSource for TestSource {
    fn document<'a>(&'a self, did: &'a Did) -> BoxFuture<'a, io::Result<DocumentAnswer>> {
        let number = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(did.clone());
            asked.len() - 1
        };
        let says = (self.says)(did, number);
        Box::pin(async move {
            match says {
                Says::Answer(answer) => Ok(answer),
                Says::Fails(text) => Err(io::Error::other(text)),
                Says::Nothing => pending().await,
                Says::After(mut gate, key) => {
                    gate.wait_for(|is_open| *is_open).await.unwrap();
                    Ok(found(did, key))
                }
            }
        })
    }
}

fn found(did: &Did, key: &str) -> DocumentAnswer {
    DocumentAnswer::Document(document(did.as_ref(), key, "alice.test").into_bytes())
}

/// Documents with the key `a` at first, `b` the second time, and so on.
fn lettered() -> TestSource {
    TestSource::new(|did, number| Says::Answer(found(did, &"abcdefgh"[number..=number])))
}

/// Options with this source, and a directory that must not be asked.
async fn with(source: &TestSource) -> (IdentityOptions, Server) {
    let directory = Server::start(|path, _| ok(&document_at(path, "z"))).await;
    let options = options(&directory).document_source(source.clone());
    (options, directory)
}

#[tokio::test]
async fn a_source_answers_for_every_did_in_the_place_of_the_network() {
    let source = TestSource::new(|did, _| Says::Answer(found(did, "a")));
    let (options, directory) = with(&source).await;
    let options = options.insecure_web_port(directory.address.port());
    let identities = options.start().unwrap();
    for did in [plc(1), did("did:web:pds.test")] {
        let document = identities.resolve(&did).await.unwrap();
        assert_eq!((key_of(&document), document.did()), ("a", &did));
    }
    let snapshot = identities.snapshot();
    assert_eq!((snapshot.sourced, snapshot.requests), (2, 0));
    assert_eq!((source.count(), directory.count()), (2, 0));
}

#[tokio::test]
async fn a_did_that_cannot_be_looked_up_is_not_asked_for() {
    let source = TestSource::new(|did, _| Says::Answer(found(did, "a")));
    let (options, _directory) = with(&source).await;
    let identities = options.start().unwrap();
    for text in ["did:key:zQ3sh", "did:plc:short", "did:web:127.0.0.1"] {
        identities.resolve(&did(text)).await.unwrap_err();
    }
    assert_eq!((source.count(), identities.snapshot().sourced), (0, 0));
}

#[tokio::test]
async fn an_answer_that_is_kept_is_not_asked_for_again() {
    let source = lettered();
    let (options, _directory) = with(&source).await;
    let clock = TestClock::new();
    let identities = options.clock(clock.clone()).start().unwrap();
    for _ in 0..100 {
        let document = identities.resolve(&plc(1)).await.unwrap();
        assert_eq!(key_of(&document), "a");
    }
    assert_eq!(source.count(), 1);
    assert!(identities.cached(&plc(1)).unwrap().is_ok());
    // It grows old as any other.
    clock.advance(HOUR);
    let old = identities.resolve(&plc(1)).await.unwrap();
    assert_eq!(key_of(&old), "a");
    until_quiet(&identities).await;
    let new = identities.resolve(&plc(1)).await.unwrap();
    assert_eq!((key_of(&new), source.count()), ("b", 2));
    assert_eq!(identities.snapshot().refreshes, 1);
}

#[tokio::test]
async fn an_invalidation_or_a_suspicion_asks_it_again() {
    let source = lettered();
    let (options, _directory) = with(&source).await;
    let identities = options.start().unwrap();
    let did = plc(1);
    identities.resolve(&did).await.unwrap();
    identities.invalidate(&did);
    assert_eq!(key_of(&identities.resolve(&did).await.unwrap()), "b");
    assert!(identities.suspect(&did));
    assert_eq!(key_of(&identities.resolve(&did).await.unwrap()), "c");
    // Too soon: memory answers.
    assert!(!identities.suspect(&did));
    assert_eq!(key_of(&identities.resolve(&did).await.unwrap()), "c");
    assert_eq!(source.count(), 3);
}

#[tokio::test]
async fn an_answer_that_was_outdated_on_its_way_is_not_kept() {
    let (open, gate) = watch::channel(false);
    let source = TestSource::new(move |did, number| match number {
        0 => Says::After(gate.clone(), "first"),
        _ => Says::Answer(found(did, "second")),
    });
    let (options, _directory) = with(&source).await;
    let identities = options.start().unwrap();
    let did = plc(1);
    let first = tokio::spawn({
        let (identities, did) = (identities.clone(), did.clone());
        async move { identities.resolve(&did).await }
    });
    until(|| source.count() == 1).await;
    identities.invalidate(&did);
    assert_eq!(key_of(&identities.resolve(&did).await.unwrap()), "second");
    open.send_replace(true);
    assert_eq!(key_of(&first.await.unwrap().unwrap()), "first");
    assert_eq!(key_of(&identities.resolve(&did).await.unwrap()), "second");
    assert_eq!(source.count(), 2);
}

#[tokio::test]
async fn a_did_that_the_source_does_not_find_is_believed_missing_for_a_minute() {
    let source = TestSource::new(|_, _| Says::Answer(DocumentAnswer::NotFound));
    let (options, directory) = with(&source).await;
    let clock = TestClock::new();
    let identities = options.clock(clock.clone()).start().unwrap();
    let missing = ResolveError::NotFound { did: plc(1) };
    for _ in 0..3 {
        assert_eq!(identities.resolve(&plc(1)).await, Err(missing.clone()));
    }
    assert_eq!((source.count(), identities.snapshot().negative), (1, 2));
    clock.advance(MINUTE);
    assert_eq!(identities.resolve(&plc(1)).await, Err(missing));
    assert_eq!((source.count(), directory.count()), (2, 0));
}

#[tokio::test]
async fn a_did_that_is_not_for_the_source_goes_the_usual_way() {
    let source = TestSource::new(|_, _| Says::Answer(DocumentAnswer::NotMine));
    let host = Server::start(|_, _| ok(&document("did:web:pds.test", "w", "a.test"))).await;
    let (options, directory) = with(&source).await;
    let options = options
        .insecure_web_port(host.address.port())
        .allow_private(true);
    let options = options.address_lookup(Everywhere::new(&["127.0.0.1"]));
    let identities = options.start().unwrap();
    let document = identities.resolve(&plc(1)).await.unwrap();
    assert_eq!(key_of(&document), "z");
    let document = identities.resolve(&did("did:web:pds.test")).await.unwrap();
    assert_eq!(key_of(&document), "w");
    assert_eq!((source.count(), directory.count(), host.count()), (2, 1, 1));
    let snapshot = identities.snapshot();
    assert_eq!((snapshot.sourced, snapshot.requests), (2, 2));
}

#[tokio::test]
async fn an_error_is_for_now_and_asks_neither_directory_nor_host() {
    let source = TestSource::new(|did, number| match number {
        0..3 => Says::Fails("the database is locked".to_owned()),
        _ => Says::Answer(found(did, "a")),
    });
    let (options, directory) = with(&source).await;
    let options = options.insecure_web_port(directory.address.port());
    let identities = options.start().unwrap();
    for did in [plc(1), did("did:web:pds.test"), plc(1)] {
        let error = identities.resolve(&did).await.unwrap_err();
        let text = "the document source does not answer: the database is locked";
        assert_eq!(
            (error.to_string().as_str(), error.is_transient()),
            (text, true)
        );
        assert!(identities.cached(&did).is_none());
    }
    identities.resolve(&plc(1)).await.unwrap();
    let snapshot = identities.snapshot();
    assert_eq!(snapshot.errors(ResolveErrorKind::Source), 3);
    assert_eq!((source.count(), directory.count()), (4, 0));
}

#[tokio::test]
async fn an_error_does_not_take_a_document_away() {
    let source = TestSource::new(|did, number| match number {
        0 => Says::Answer(found(did, "a")),
        _ => Says::Fails("down".to_owned()),
    });
    let (options, _directory) = with(&source).await;
    let clock = TestClock::new();
    let identities = options.clock(clock.clone()).start().unwrap();
    identities.resolve(&plc(1)).await.unwrap();
    clock.advance(2 * HOUR);
    for _ in 0..3 {
        let document = identities.resolve(&plc(1)).await.unwrap();
        assert_eq!(key_of(&document), "a");
        until_quiet(&identities).await;
    }
    assert_eq!(source.count(), 2);
}

#[tokio::test]
async fn an_error_text_without_end_is_cut_short() {
    let source = TestSource::new(|_, _| Says::Fails("ö".repeat(1 << 20)));
    let (options, _directory) = with(&source).await;
    let error = options.start().unwrap().resolve(&plc(1)).await.unwrap_err();
    let reason = "ö".repeat(200).into();
    assert_eq!(error, ResolveError::Source { reason });
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_answers_is_given_up_after_the_limit_of_a_request() {
    let source = TestSource::new(|_, _| Says::Nothing);
    for (request, look_up) in [(5, 10), (10, 5), (5, 5), (u64::MAX, 5)] {
        let options = IdentityOptions::new()
            .document_source(source.clone())
            .without_directories()
            .request_limit(Duration::from_secs(request))
            .look_up_limit(look_up * SECOND);
        let identities = options.start().unwrap();
        let begun = tokio::time::Instant::now();
        let error = identities.resolve(&plc(1)).await.unwrap_err();
        let passed = begun.elapsed();
        let reason = "no answer in time".into();
        assert_eq!(error, ResolveError::Source { reason });
        assert!((5 * SECOND..6 * SECOND).contains(&passed), "{passed:?}");
        assert!(identities.cached(&plc(1)).is_none());
        until_quiet(&identities).await;
    }
}

#[tokio::test]
async fn questions_stay_within_the_limits_of_number() {
    let (open, gate) = watch::channel(false);
    let source = TestSource::new(move |_, _| Says::After(gate.clone(), "a"));
    let (options, _directory) = with(&source).await;
    let options = options.max_requests(3).max_waiting(8);
    let identities = options.start().unwrap();
    let dids: Vec<Did> = (0..20).map(plc).collect();
    let questions = join_all(dids.iter().map(|did| identities.resolve(did)));
    let opened = async {
        let is_full = || {
            let snapshot = identities.snapshot();
            snapshot.under_way == 8 && snapshot.sourced == 3
        };
        until(is_full).await;
        assert_eq!(source.count(), 3);
        open.send_replace(true);
    };
    let (answers, ()) = tokio::join!(questions, opened);
    let busy = Err(ResolveError::Busy { waiting: 8 });
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 8);
    assert_eq!(answers.iter().filter(|answer| **answer == busy).count(), 12);
    assert_eq!(source.count(), 8);
}

#[tokio::test]
async fn a_hundred_questions_about_one_did_are_one_question_to_the_source() {
    let (open, gate) = watch::channel(false);
    let source = TestSource::new(move |_, _| Says::After(gate.clone(), "a"));
    let (options, _directory) = with(&source).await;
    let identities = options.start().unwrap();
    let did = plc(1);
    let questions = join_all((0..100).map(|_| identities.resolve(&did)));
    let opened = async {
        until(|| identities.snapshot().joined == 99 && source.count() == 1).await;
        open.send_replace(true);
    };
    let (answers, ()) = tokio::join!(questions, opened);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(source.count(), 1);
}

/// The error about the document that a source answers with, which is kept.
async fn refused(json: Vec<u8>) -> DocumentError {
    let answer = DocumentAnswer::Document(json);
    let source = TestSource::new(move |_, _| Says::Answer(answer.clone()));
    let (options, directory) = with(&source).await;
    let identities = options.start().unwrap();
    let error = identities.resolve(&plc(1)).await.unwrap_err();
    assert_eq!(identities.resolve(&plc(1)).await.as_ref(), Err(&error));
    assert_eq!((source.count(), directory.count()), (1, 0));
    match error {
        ResolveError::Document { did, error } if did == plc(1) => error,
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_document_that_cannot_be_used_is_refused_as_from_the_network() {
    let valid = document(plc(1).as_ref(), "a", "alice.test");
    let padded = |length: usize| format!("{valid}{}", " ".repeat(length - valid.len()));
    let long = refused(padded(DidDocument::MAX_BYTES + 1).into_bytes()).await;
    assert_eq!(long, DocumentError::TooLong { length: 65_537 });
    let other = refused(document(plc(2).as_ref(), "a", "b.test").into_bytes()).await;
    let found = plc(2).to_string();
    assert_eq!(other, DocumentError::Id { found });
    let deep = format!("{{\"id\":{}", "[".repeat(60_000));
    assert_eq!(refused(deep.into_bytes()).await, DocumentError::TooDeep);
    for wrong in [&b""[..], b"[]", b"{\xff}", b"null"] {
        let error = refused(wrong.to_vec()).await;
        assert!(matches!(error, DocumentError::Json { .. }), "{error}");
    }
    let longest = DocumentAnswer::Document(padded(DidDocument::MAX_BYTES).into_bytes());
    let source = TestSource::new(move |_, _| Says::Answer(longest.clone()));
    let (options, _directory) = with(&source).await;
    options.start().unwrap().resolve(&plc(1)).await.unwrap();
}

#[tokio::test]
async fn without_directories_nothing_is_sent_for_a_did_of_plc() {
    let source = TestSource::new(|_, _| Says::Answer(DocumentAnswer::NotMine));
    let clock = TestClock::new();
    let lookup = Everywhere::new(&[]);
    let names = Arc::clone(&lookup.asked);
    let options = IdentityOptions::new().clock(clock.clone());
    let options = options
        .document_source(source.clone())
        .without_directories()
        .address_lookup(lookup);
    let identities = options.start().unwrap();
    let expected = ResolveError::NoDirectory { did: plc(1) };
    assert!(!expected.is_transient());
    for _ in 0..3 {
        assert_eq!(identities.resolve(&plc(1)).await, Err(expected.clone()));
    }
    assert_eq!((source.count(), identities.snapshot().requests), (1, 0));
    clock.advance(MINUTE);
    assert_eq!(identities.resolve(&plc(1)).await, Err(expected));
    let snapshot = identities.snapshot();
    assert_eq!(snapshot.errors(ResolveErrorKind::NoDirectory), 2);
    assert_eq!((source.count(), snapshot.requests), (2, 0));
    assert_eq!(names.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn no_directory_is_a_mistake_without_a_source() {
    for options in [
        IdentityOptions::new().without_directories(),
        IdentityOptions::new().directories::<String>([]),
    ] {
        let error = options.clone().start().unwrap_err();
        assert_eq!(error.mistakes, [IdentityMistake::NoDirectory]);
        options.document_source(lettered()).start().unwrap();
    }
}

#[tokio::test]
async fn the_disk_answers_before_the_source_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identities");
    let source = lettered();
    let (options, _directory) = with(&source).await;
    let open = || options.clone().disk(reopen(&path, 1 << 20));
    let first = open().start().unwrap();
    first.resolve(&plc(1)).await.unwrap();
    until_quiet(&first).await;
    drop(first);
    let second = open().start().unwrap();
    let document = second.resolve(&plc(1)).await.unwrap();
    assert_eq!((key_of(&document), source.count()), ("a", 1));
    assert_eq!(second.snapshot().disk_hits, 1);
}
