//! How often a directory is asked.

use futures_util::future::join_all;
use jetwash_identity::{Budget, ResolveError, ResolveErrorKind};

use crate::server::{Server, ok};
use crate::{HOUR, SECOND, document_at, options, plc};

#[tokio::test]
async fn a_directory_is_not_asked_more_often_than_its_budget() {
    let server = Server::start(|path, _| ok(&document_at(path, "a"))).await;
    let options = options(&server).directory_budget(Budget::new(5, HOUR));
    let identities = options.start().unwrap();
    let dids: Vec<_> = (0..100).map(plc).collect();
    let answers = join_all(dids.iter().map(|did| identities.resolve(did))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 5);
    for error in answers.into_iter().filter_map(Result::err) {
        let ResolveError::Budget { retry_after, .. } = error else {
            panic!("{error}");
        };
        assert!(retry_after > HOUR / 6 && retry_after <= HOUR / 5);
    }
    assert_eq!(server.count(), 5);
    let refused = identities.snapshot().errors(ResolveErrorKind::Budget);
    assert_eq!(refused, 95);
}

#[tokio::test]
async fn a_look_up_waits_for_a_budget_that_is_earned_in_time() {
    let server = Server::start(|path, _| ok(&document_at(path, "a"))).await;
    let options = options(&server).directory_budget(Budget::new(5, SECOND / 2));
    let identities = options.start().unwrap();
    let dids: Vec<_> = (0..12).map(plc).collect();
    let begun = std::time::Instant::now();
    let answers = join_all(dids.iter().map(|did| identities.resolve(did))).await;
    assert!(answers.iter().all(Result::is_ok));
    // Seven were not in the budget, and each took a tenth of a second to earn.
    assert!(begun.elapsed() >= SECOND * 6 / 10);
}

#[tokio::test]
async fn mirrors_have_a_budget_each() {
    let first = Server::start(|path, _| ok(&document_at(path, "a"))).await;
    let second = Server::start(|path, _| ok(&document_at(path, "b"))).await;
    let options = options(&first).directories([first.url(), second.url()]);
    let options = options.directory_budget(Budget::new(5, HOUR));
    let identities = options.start().unwrap();
    for number in 0..10 {
        identities.resolve(&plc(number)).await.unwrap();
    }
    identities.resolve(&plc(10)).await.unwrap_err();
    assert_eq!((first.count(), second.count()), (5, 5));
}
