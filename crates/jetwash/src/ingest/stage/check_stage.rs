use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;

use jetwash_event::{Did, Micros};
use jetwash_frame::peek;
use jetwash_verify::SignatureCheck;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::ingest::check::{Checked, Done, Given, Key, Keys, Outcome, Task, Workers};
use crate::ingest::intake::{Arrival, Content};
use crate::ingest::numbering::numbered;
use crate::ingest::pipeline::{Pipeline, Sort};
use crate::ingest::stage::lanes::{Held, Lanes};
use crate::ingest::stage::window::{Slot, Window};
use crate::stats::Stats;
use crate::verify::Verify;

/// The stage between the queue and the pipeline in which frames are checked. It gives frames out in
/// the order in which they came, but for those of accounts whose key is looked up.
pub(crate) struct CheckStage {
    keys: Arc<Keys>,
    workers: Workers,
    done: mpsc::UnboundedReceiver<Vec<Done>>,
    tasks: Vec<Task>,
    window: Window,
    lanes: Lanes,
    hasher: RandomState,
    resolved: mpsc::UnboundedReceiver<Resolved>,
    resolving: mpsc::UnboundedSender<Resolved>,
    /// Of accounts whose lane is at its end: the frames to work on next.
    released: VecDeque<Held>,
    runtime: Handle,
}

/// A key that was looked up for an account.
struct Resolved {
    account: u64,
    /// The number of the lane that it was looked up for.
    lane: u64,
    key: Key,
    /// The signature of the frame that the key was looked up for.
    first: SignatureCheck,
}

/// The next step for the pipeline.
pub(crate) enum Ready {
    /// Something that has arrived, checked if there is something to check.
    Arrival(Arrival, Given),
    /// A frame that is dropped, because its check panicked.
    Lost(Arrival),
    /// A frame that waits from now on; the pipeline notes its number.
    Hold(Hold),
    /// A frame that has waited.
    Held(Held),
}

/// A frame that begins to wait.
pub(crate) struct Hold {
    pub(crate) held: Held,
    /// The answer of the predicate, if it was asked.
    pub(crate) is_let_in: Option<bool>,
    account: u64,
}

impl CheckStage {
    /// Starts the workers.
    pub(crate) fn start(
        verify: &Verify,
        keys: Arc<Keys>,
        stats: &Arc<Stats>,
        runtime: Handle,
        may_block: bool,
    ) -> io::Result<Self> {
        let (sender, done) = mpsc::unbounded_channel();
        let (resolving, resolved) = mpsc::unbounded_channel();
        Ok(Self {
            workers: if may_block {
                Workers::start(verify.worker_count(), &keys, stats, &sender)?
            } else {
                Workers::inline(&keys, stats, &sender)
            },
            keys,
            done,
            tasks: Vec::new(),
            window: Window::default(),
            lanes: Lanes::new(verify.hold_bytes, verify.hold_for),
            hasher: RandomState::new(),
            resolved,
            resolving,
            released: VecDeque::new(),
            runtime,
        })
    }

    /// Whether no more can be taken in before something has left.
    pub(crate) fn is_full(&self) -> bool {
        self.window.is_full()
    }

    /// Whether everything that came has left, but for what waits for keys.
    pub(crate) fn is_empty(&self) -> bool {
        self.window.len() == 0 && self.released.is_empty()
    }

    /// How many frames wait for keys.
    pub(crate) fn held(&self) -> usize {
        self.lanes.frames()
    }

    /// When the frames of an account have waited for their key long enough.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.lanes.due()
    }

    /// Takes something in. [`send`](Self::send) has to follow.
    pub(crate) fn admit(&mut self, arrival: Arrival, pipeline: &mut Pipeline, now: Micros) {
        let (mut account, mut outcome) = (None, Some(Outcome::Nothing));
        let mut is_let_in = None;
        if let Content::Frame(frame) = &arrival.content
            && let Ok(peeked) = peek(frame)
        {
            let peeked = numbered(peeked, arrival.number);
            account = peeked.did.map(|did| self.hasher.hash_one(did));
            let sorted = pipeline.sort(&arrival.source, &peeked, frame);
            is_let_in = sorted.is_let_in;
            match sorted.sort {
                Sort::Check => {
                    outcome = None;
                    self.tasks.push(Task {
                        ticket: self.window.next_ticket(),
                        frame: frame.clone(),
                        now,
                    });
                }
                // At once, so that the frames behind it are checked with the new key.
                Sort::Invalidate => {
                    peeked.did.inspect(|did| self.keys.invalidate(did));
                }
                Sort::Pass => {}
            }
        }
        self.window.push(Slot {
            arrival,
            account,
            is_let_in,
            outcome,
        });
    }

    /// Has all that was taken in checked.
    pub(crate) fn send(&mut self) {
        self.workers.check(&mut self.tasks);
    }

    /// Waits until a check is done or a key is there.
    pub(crate) async fn progress(&mut self) {
        tokio::select! {
            // There is a sender on this side.
            Some(resolved) = self.resolved.recv() => self.release(resolved),
            // Workers end only when they are dropped.
            Some(done) = self.done.recv() => {
                done.into_iter().for_each(|done| self.window.done(done));
            }
        }
    }

    /// Takes note of all checks and keys that are there.
    pub(crate) fn collect(&mut self) {
        while let Ok(done) = self.done.try_recv() {
            done.into_iter().for_each(|done| self.window.done(done));
        }
        while let Ok(resolved) = self.resolved.try_recv() {
            self.release(resolved);
        }
    }

    /// The next step, if there is one.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Ready> {
        if let Some(held) = self.released.pop_front() {
            return Some(Ready::Held(held));
        }
        if let Some(account) = self.lanes.overdue(now) {
            self.give_up(account);
            return self.pop(now);
        }
        let (outcome, slot) = self.window.pop()?;
        let checked = match outcome {
            Outcome::Checked(checked) => Some(checked),
            Outcome::Nothing => None,
            Outcome::Panicked => return Some(Ready::Lost(slot.arrival)),
        };
        Some(self.place(slot, checked))
    }

    /// The next step for the first of the window.
    fn place(&mut self, slot: Slot, checked: Option<Checked>) -> Ready {
        let Slot {
            arrival,
            account,
            is_let_in,
            ..
        } = slot;
        let number = arrival.number;
        let needs_key = checked.as_ref().is_some_and(Checked::needs_key);
        let waiting = account.filter(|&account| needs_key || self.lanes.has(account));
        let (Some(account), Content::Frame(frame)) = (waiting, &arrival.content) else {
            let given = Given {
                checked,
                is_let_in,
                number,
            };
            return Ready::Arrival(arrival, given);
        };
        let has_room = self.lanes.has_room(account, frame.len());
        if has_room {
            return Ready::Hold(Hold {
                held: Held {
                    source: Arc::clone(&arrival.source),
                    frame: frame.clone(),
                    number,
                    checked,
                },
                is_let_in,
                account,
            });
        }
        // No room: it does without a key, behind all that is held of its account.
        self.give_up(account);
        let checked = checked.map(without_key);
        match self.released.pop_front() {
            Some(held) => {
                let outcome = checked.map_or(Outcome::Nothing, Outcome::Checked);
                self.window.put_back(Slot {
                    arrival,
                    account: Some(account),
                    is_let_in,
                    outcome: Some(outcome),
                });
                Ready::Held(held)
            }
            None => {
                let given = Given {
                    checked,
                    is_let_in,
                    number,
                };
                Ready::Arrival(arrival, given)
            }
        }
    }

    /// Holds a frame, and has the key looked up if nobody does yet.
    pub(crate) fn hold(&mut self, hold: Hold, now: Instant) {
        let Hold { account, held, .. } = hold;
        if !self.lanes.has(account) {
            self.look_up(account, &held);
        }
        self.lanes.hold(account, held, now);
    }

    /// Ends the waiting for keys: returns what was held of frames that no source would send again.
    pub(crate) fn end(&mut self, is_sent_again: impl Fn(&Held) -> bool) -> Vec<Held> {
        let mut left = Vec::new();
        while let Some(account) = self.lanes.any() {
            let lane = self.lanes.take(account);
            let lost = lane.into_iter().filter(|held| !is_sent_again(held));
            left.extend(lost.map(Held::without_key));
        }
        left
    }

    fn look_up(&self, account: u64, held: &Held) {
        let did = peek(&held.frame).ok().and_then(|peeked| peeked.did);
        let did = did.and_then(|did| did.parse::<Did>().ok());
        let claim = held
            .checked
            .as_ref()
            .and_then(|checked| checked.claim.as_ref().ok());
        let (Some(did), Some(claim)) = (did, claim.cloned()) else {
            debug_assert!(false, "a frame that needs a key has a claim and a DID");
            return;
        };
        let (keys, resolving) = (Arc::clone(&self.keys), self.resolving.clone());
        let lane = self.lanes.next_number();
        self.runtime.spawn(async move {
            let key = keys.resolve(&did).await;
            // Here, and not in the writer, so that many of them take several threads.
            let first = claim.check_signature(key.as_known());
            // The stage may have ended.
            let _ = resolving.send(Resolved {
                account,
                lane,
                key,
                first,
            });
        });
    }

    /// Lets go what is held of an account, now that its key is there.
    fn release(&mut self, resolved: Resolved) {
        let Resolved {
            account,
            lane,
            key,
            first,
        } = resolved;
        if !self.lanes.is_current(account, lane) {
            return;
        }
        let mut first = Some(first);
        for mut held in self.lanes.take(account) {
            if let Some(checked) = &mut held.checked
                && checked.needs_key()
                && let Ok(claim) = &checked.claim
            {
                let known = first.take();
                checked.signature = known.unwrap_or_else(|| claim.check_signature(key.as_known()));
            }
            self.released.push_back(held);
        }
    }

    /// Lets go what is held of an account, without a key.
    fn give_up(&mut self, account: u64) {
        let held = self.lanes.take(account);
        self.released
            .extend(held.into_iter().map(Held::without_key));
    }
}

impl Held {
    fn without_key(self) -> Self {
        Self {
            checked: self.checked.map(without_key),
            ..self
        }
    }
}

fn without_key(checked: Checked) -> Checked {
    if !checked.needs_key() {
        return checked;
    }
    Checked {
        signature: SignatureCheck::Unresolved,
        ..checked
    }
}
