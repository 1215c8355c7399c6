//! The bound of the memory.

use jetwash_identity::Budget;

use crate::server::{Server, ok, status};
use crate::{SECOND, document_at, options, plc};

#[tokio::test]
async fn documents_and_errors_stay_within_the_budget() {
    let server = Server::start(|path, number| match number % 2 {
        0 => ok(&document_at(path, "a")),
        _ => status(404),
    })
    .await;
    let options = options(&server).memory_bytes(100_000);
    let options = options.directory_budget(Budget::new(100_000, SECOND));
    let identities = options.start().unwrap();
    for number in 0..1000 {
        let outcome = identities.resolve(&plc(number)).await;
        assert_eq!(outcome.is_ok(), number % 2 == 0);
        assert!(identities.snapshot().bytes <= 100_000);
    }
    let entries = identities.snapshot().entries;
    assert!((100..300).contains(&entries), "{entries}");
}
