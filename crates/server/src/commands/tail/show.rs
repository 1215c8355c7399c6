use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::time::Instant;

use indicatif::ProgressBar;

use crate::output::{self, OutputError};
use crate::progress;

/// Counts what was received.
#[derive(Debug)]
pub(super) struct Tally {
    start: Instant,
    pub(super) events: u64,
    json_bytes: u64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            events: 0,
            json_bytes: 0,
        }
    }

    pub(super) const fn add(&mut self, json: &[u8]) {
        self.events += 1;
        self.json_bytes += json.len() as u64;
    }

    fn text(&self, wire_bytes: u64) -> String {
        let seconds = self.start.elapsed().as_secs_f64().max(0.001);
        let each = |bytes: u64| bytes.checked_div(self.events).unwrap_or_default();
        format!(
            "{} events, {:.0} a second; {} bytes each in JSON, {} on the wire; {:.1} MB in all",
            self.events,
            self.events as f64 / seconds,
            each(self.json_bytes),
            each(wire_bytes),
            wire_bytes as f64 / 1e6,
        )
    }
}

/// Standard output for events, standard error for what is said about them.
#[derive(Debug)]
pub(super) struct Show {
    status: Option<ProgressBar>,
    /// The width to cut events to.
    width: Option<usize>,
    mode: Mode,
}

/// Chooses what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Events, cut to the width of a terminal, and how many there are.
    People,
    /// Whole events and nothing else.
    Json,
    /// Only how many there are.
    Quiet,
}

impl Show {
    pub(super) fn new(mode: Mode) -> Self {
        let size = console::Term::stdout().size_checked();
        let is_cut = mode == Mode::People && io::stdout().is_terminal();
        Self {
            status: progress::spinner().filter(|_| mode != Mode::Json),
            width: size.filter(|_| is_cut).map(|(_, width)| width.into()),
            mode,
        }
    }

    pub(super) fn event(&self, json: &[u8]) -> Result<(), OutputError> {
        if self.mode == Mode::Quiet {
            return Ok(());
        }
        let json = String::from_utf8_lossy(json);
        let line = match self.width {
            Some(width) => Cow::Owned(console::truncate_str(&json, width, "…").into_owned()),
            None => json,
        };
        self.beside_status(|| output::print_line(&line))
    }

    /// Says something about the connection.
    pub(super) fn note(&self, text: impl Display) {
        self.beside_status(|| eprintln!("jetwash-server: {text}"));
    }

    pub(super) fn status(&self, tally: &Tally, wire_bytes: u64) {
        match &self.status {
            Some(bar) => {
                bar.set_message(tally.text(wire_bytes));
                bar.tick();
            }
            None if self.mode == Mode::Quiet => eprintln!("{}", tally.text(wire_bytes)),
            None => {}
        }
    }

    pub(super) fn end(&self, tally: &Tally, wire_bytes: u64) {
        match &self.status {
            Some(bar) => bar.finish_with_message(tally.text(wire_bytes)),
            None if self.mode == Mode::Json => {}
            None => eprintln!("{}", tally.text(wire_bytes)),
        }
    }

    fn beside_status<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.status {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}
