use std::sync::LazyLock;
use std::thread;

use tokio::io::AsyncRead;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::subscriber::end::End;
use crate::subscriber::inbound::Inbound;

/// Waits until it is a subscriber's turn to get as much as goes into one write. Returns `None` if there
/// is something else to do first.
pub(crate) async fn turn<R: AsyncRead + Unpin>(
    inbound: &mut Inbound<R>,
) -> Result<Option<SemaphorePermit<'static>>, End> {
    match TURNS.try_acquire() {
        Ok(turn) => Ok(Some(turn)),
        // It is never closed.
        Err(_) => Ok(inbound.attend(TURNS.acquire()).await?.and_then(Result::ok)),
    }
}

/// Waits for a turn before there is a subscriber. `None` never happens, as the turns have no end.
pub(crate) async fn first_turn() -> Option<SemaphorePermit<'static>> {
    TURNS.acquire().await.ok()
}

/// The turns of subscribers that get old events. There may be thousands of them, and without turns
/// the subscribers at the end of the log would wait for all of them.
static TURNS: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    Semaphore::new(2 * cores)
});
