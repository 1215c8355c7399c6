use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval};

use crate::page::board::Board;
use crate::page::numbers::now_ms;
use crate::supervise::watched;

/// Begins to take samples, until the board is dropped, unless that has been begun or there is no
/// runtime to do it in.
pub(crate) fn keep_history(board: &Arc<Board>) {
    let Ok(runtime) = Handle::try_current() else {
        return;
    };
    if board.is_kept.swap(true, Ordering::Relaxed) {
        return;
    }
    let (jetstream, board) = (board.jetstream.clone(), Arc::downgrade(board));
    runtime.spawn(async move {
        watched(&jetstream, "page", keep(board)).await;
    });
}

async fn keep(board: Weak<Board>) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Some(board) = board.upgrade() else {
            return;
        };
        let counts = board.counts();
        board.history().take(counts, now_ms());
    }
}

const EVERY: Duration = Duration::from_secs(10);
