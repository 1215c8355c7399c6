//! `compare`: whether two Jetstreams deliver the same events.
//!
//! [`side`] reads a stream, [`event`] says what is the same event at both, [`judge`] pairs the events
//! and finds those without a partner, [`delays`] counts how far apart they came, and [`report`] prints
//! the outcome.

mod arguments;
mod delays;
mod error;
mod event;
mod judge;
mod report;
mod side;

use std::error::Error;
use std::hash::RandomState;
use std::pin::pin;
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::error::CompareError;
use self::judge::{Judge, Times};
use self::report::Report;
use self::side::{Notice, Side, SideState};
use crate::address;
use crate::exit::{Ended, Outcome, UsageError};
use crate::output;
use crate::progress;

pub(crate) use self::arguments::Arguments;

pub(crate) fn run(arguments: &Arguments) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(compare(arguments)).map_err(wrong_use)?;
    match arguments.format.json {
        true => output::print_json(&report.json())?,
        false => output::print(report.to_string().as_bytes())?,
    }
    Ok(match report.is_equal() {
        true => Outcome::Well,
        false => Outcome::Found,
    })
}

/// An address or a filter that is not usable is a wrong use.
fn wrong_use(error: CompareError) -> Box<dyn Error> {
    match error {
        CompareError::Filter(_) | CompareError::Address { .. } => {
            UsageError(error.to_string()).into()
        }
        error => error.into(),
    }
}

async fn compare(arguments: &Arguments) -> Result<Report, CompareError> {
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let (mut comparison, mut notices) = Comparison::start(arguments)?;
    let waited_out = Instant::now() + arguments.wait;
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_interrupted = false;
    while !comparison.judge.is_done(Instant::now()) {
        let is_over = is_interrupted || Instant::now() >= waited_out;
        if is_over && !comparison.judge.has_begun() {
            let [a, b] = comparison.states.map(|state| state.to_string());
            return Err(CompareError::NothingInCommon { a, b });
        }
        // Events that wait were stamped when they came, so it does not matter that they come last.
        tokio::select! {
            biased;
            _ = &mut interrupted, if !is_interrupted => {
                is_interrupted = true;
                comparison.judge.close(Instant::now());
            }
            _ = tick.tick() => {
                comparison.judge.forget(Instant::now());
                comparison.progress.show(&comparison.judge, Instant::now());
            }
            Some((side, notice)) = notices.recv() => comparison.take(side, notice)?,
        }
    }
    Ok(comparison.finish(arguments.list))
}

/// Both streams, and what has come of them so far.
struct Comparison {
    addresses: [String; 2],
    states: [SideState; 2],
    judge: Judge,
    progress: Progress,
}

impl Comparison {
    /// Begins to read both streams.
    fn start(arguments: &Arguments) -> Result<(Self, Receiver<(Side, Notice)>), CompareError> {
        let addresses = [&arguments.a, &arguments.b].map(|text| address::url_of(text));
        let (sender, notices) = mpsc::channel(READ_AHEAD);
        // Random, but the same for both.
        let hashes = RandomState::new();
        for (side, address) in Side::BOTH.into_iter().zip(&addresses) {
            let client = side::client(address, arguments)?;
            tokio::spawn(side::read(side, client, hashes.clone(), sender.clone()));
        }
        let times = Times {
            warm_up: arguments.warm_up,
            judged: arguments.duration,
            patience: arguments.drain,
        };
        let comparison = Self {
            addresses,
            states: [SideState::default(), SideState::default()],
            judge: Judge::new(times),
            progress: Progress(progress::spinner()),
        };
        Ok((comparison, notices))
    }

    fn take(&mut self, side: Side, notice: Notice) -> Result<(), CompareError> {
        let state = &mut self.states[side as usize];
        match notice {
            Notice::Event(at, event) => {
                state.events += 1;
                let had_begun = self.judge.has_begun();
                self.judge.arrive(side, at, event);
                if !had_begun && self.judge.has_begun() {
                    self.progress
                        .line("both have delivered the same event: judging begins");
                }
            }
            Notice::Ended(source) => {
                let address = self.addresses[side as usize].clone();
                return Err(CompareError::Stream { address, source });
            }
            other => {
                if let Some(line) = state.note(other) {
                    self.progress.line(&format!("{side}: {line}"));
                }
            }
        }
        Ok(())
    }

    fn finish(self, list: usize) -> Report {
        self.progress.end();
        Report::new(self.addresses, self.states, self.judge.finish(), list)
    }
}

/// Tells on standard error how far it has come: a line that changes on a terminal, otherwise a line
/// for each change of the connections.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn line(&self, text: &str) {
        match &self.0 {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    fn show(&self, judge: &Judge, now: Instant) {
        if let Some(bar) = &self.0 {
            bar.set_message(judge.progress(now));
            bar.tick();
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// How many events may wait to be judged. What waits longer stays in the sockets.
const READ_AHEAD: usize = 1024;
const TICK: Duration = Duration::from_millis(200);
