//! The one place where work leaves the runtime: what may block, and the loop of the writer.
//!
//! On a log of which nothing blocks, as only a simulation has one, all of it stays on the runtime, in
//! an order that is the same each time.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};

use crate::panic::Panic;

/// Runs what may block on a thread where that is allowed, and what may not as a task.
#[doc(hidden)]
pub fn run_blocking<T: Send + 'static>(
    may_block: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    if may_block {
        tokio::task::spawn_blocking(work)
    } else {
        tokio::spawn(async move { work() })
    }
}

/// As [`run_blocking`], in a set.
pub(crate) fn run_blocking_in<T: Send + 'static>(
    set: &mut JoinSet<T>,
    may_block: bool,
    work: impl FnOnce() -> T + Send + 'static,
) {
    if may_block {
        set.spawn_blocking(work);
    } else {
        set.spawn(async move { work() });
    }
}

/// Drives a future on this thread, with the clock and the timers of a runtime, which a test may have
/// paused.
///
/// Between two of its polls the thread is not the runtime's: what the future calls may block on
/// tokio's locks and channels.
pub(crate) fn drive<T>(future: impl Future<Output = T>, runtime: &Handle) -> T {
    let _context = runtime.enter();
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Drives what may panic. It is not polled again after that.
pub(crate) async fn catch_async<T>(future: impl Future<Output = T>) -> Result<T, Panic> {
    let mut future = pin!(future);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(payload) => Poll::Ready(Err(Panic::new(&*payload))),
        }
    })
    .await
}
