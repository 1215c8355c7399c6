use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use jetwash_benches::Link;

use crate::shared::Shared;
use crate::truth::lock;
use crate::wish::Start;

/// Threads that connect, so that those who read do not wait for the answers.
pub(crate) struct Dialers {
    calls: Sender<Call>,
    answers: Receiver<Answer>,
}

/// A connection that is asked for.
pub(crate) struct Call {
    /// The subscriber's.
    pub(crate) index: usize,
    pub(crate) target: String,
    pub(crate) receive_buffer: Option<usize>,
    pub(crate) start: Start,
    /// How many events had been seen, and which process there was, when it was asked for.
    pub(crate) after: usize,
    pub(crate) generation: u64,
}

/// The result of a call.
pub(crate) struct Answer {
    pub(crate) call: Call,
    pub(crate) link: io::Result<Link>,
    /// How many events there were when the answer had come.
    pub(crate) latest: usize,
}

impl Dialers {
    /// Starts the threads. They end when this is dropped.
    pub(crate) fn start(server: SocketAddr, shared: &Arc<Shared>) -> io::Result<Self> {
        let (calls, waiting) = channel::<Call>();
        let (answered, answers) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..THREADS {
            let (waiting, answered) = (Arc::clone(&waiting), answered.clone());
            let shared = Arc::clone(shared);
            thread::Builder::new()
                .name("dialer".to_owned())
                .spawn(move || {
                    loop {
                        let Ok(call) = lock(&waiting).recv() else {
                            return;
                        };
                        let link = Link::connect(server, &call.target, call.receive_buffer);
                        let latest = lock(&shared.truth).len();
                        if answered.send(Answer { call, link, latest }).is_err() {
                            return;
                        }
                    }
                })?;
        }
        Ok(Self { calls, answers })
    }

    pub(crate) fn call(&self, call: Call) {
        // The threads are there as long as this is.
        let _ = self.calls.send(call);
    }

    pub(crate) fn answer(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }
}

const THREADS: usize = 6;
