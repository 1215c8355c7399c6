//! Tasks whose panics are seen.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use jetwash::Jetstream;

/// Runs a task to its end. Returns `None` if it panics, which is reported under `task` and ends
/// nothing else.
pub(crate) async fn watched<T>(
    jetstream: &Jetstream,
    task: &'static str,
    run: impl Future<Output = T>,
) -> Option<T> {
    // Its work may be half done: the caller begins anew, or gives it up.
    match AssertUnwindSafe(run).catch_unwind().await {
        Ok(outcome) => Some(outcome),
        Err(payload) => {
            jetstream.report_panic(task, &*payload);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_the_task_and_is_told() {
        let (jetstream, _ingest) = Jetstream::builder().build().expect("a log in memory");
        let outcome = watched(&jetstream, "shard", async { 7 }).await;
        assert_eq!(outcome, Some(7));
        let outcome = watched(&jetstream, "shard", async { panic!("it broke") }).await;
        assert_eq!(outcome, None::<()>);
        assert_eq!(jetstream.snapshot().panics["shard"], 1);
    }
}
