//! `top`: the page of a running server, in a terminal.
//!
//! [`stream`] reads what the server tells, and [`picture`] makes lines of it.

mod picture;
mod stream;

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::thread;
use std::time::Duration;

use clap::Args;
use console::Term;
use serde_json::Value;
use thiserror::Error;

use self::picture::Picture;
use self::stream::Message;
use crate::commands::page_address::PageAddress;
use crate::exit::{Ended, Outcome};
use crate::output::{self, FormatOptions, OutputError};

/// Show a running server: rates, upstreams, subscribers, consumers, losses, and events as they come
///
/// It is fed by the address that --metrics-listen of the server names. It continues when the server is
/// started anew, until it is interrupted.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    server: PageAddress,

    /// Print one picture and end; also done where standard output is not a terminal.
    ///
    /// With --json the status of the page, once or a line every two seconds.
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    format: FormatOptions,
}

/// Why a server cannot be shown.
#[derive(Debug, Error)]
enum TopError {
    #[error("{url}: {source}")]
    Unanswered { url: String, source: ureq::Error },
    #[error("{url}: the answer is not the status of a server: {source}")]
    Unknown {
        url: String,
        source: serde_json::Error,
    },
}

pub(crate) fn run(arguments: &Arguments) -> Ended {
    let server = arguments.server.url();
    let is_live = arguments.format.json || io::stdout().is_terminal();
    if arguments.once || !is_live {
        once(&server, arguments.format.json)?;
        return Ok(Outcome::Well);
    }
    let mut show = Show {
        server: server.clone(),
        last: None,
        events: VecDeque::new(),
        trouble: None,
        is_json: arguments.format.json,
    };
    loop {
        let ended = stream::follow(&server, |message| show.take(message));
        // A stream that ends in order is made again at once: no stream lasts for ever.
        if let Err(error) = ended {
            if error.is::<OutputError>() {
                return Err(error);
            }
            show.trouble = Some(error.to_string());
            show.draw()?;
            thread::sleep(AGAIN);
        }
    }
}

fn once(server: &str, is_json: bool) -> Result<(), Box<dyn std::error::Error>> {
    let url = format!("{server}/page/status.json");
    let answer = stream::get(&url).map_err(|source| TopError::Unanswered {
        url: url.clone(),
        source,
    })?;
    let answer: Value =
        serde_json::from_str(&answer).map_err(|source| TopError::Unknown { url, source })?;
    let status = &answer["status"];
    if is_json {
        return Ok(output::print_json(status)?);
    }
    let width = Term::stdout()
        .size_checked()
        .map_or(WIDTH, |(_, width)| width.into());
    // A single status has no rates: these need another one before it.
    let picture = Picture {
        server,
        status,
        before: None,
        events: &VecDeque::new(),
        trouble: None,
    };
    for line in picture.lines(width, usize::MAX) {
        output::print_line(&line)?;
    }
    Ok(())
}

/// All that is on the screen.
struct Show {
    server: String,
    /// The last status, and the one before it.
    last: Option<(Value, Option<Value>)>,
    events: VecDeque<String>,
    trouble: Option<String>,
    is_json: bool,
}

impl Show {
    fn take(&mut self, message: Message) -> Result<(), OutputError> {
        match message {
            Message::Status(status) if self.is_json => output::print_json(&status),
            Message::Status(status) => {
                self.trouble = None;
                let before = self.last.take().map(|(status, _)| status);
                self.last = Some((status, before));
                self.draw()
            }
            Message::Event(event) => {
                if self.events.len() == EVENTS {
                    self.events.pop_front();
                }
                self.events.push_back(picture::event_line(&event));
                Ok(())
            }
        }
    }

    fn draw(&self) -> Result<(), OutputError> {
        if self.is_json {
            return Ok(());
        }
        let (height, width) = Term::stdout().size();
        let picture = Picture {
            server: &self.server,
            status: self
                .last
                .as_ref()
                .map_or(&Value::Null, |(status, _)| status),
            before: self.last.as_ref().and_then(|(_, before)| before.as_ref()),
            events: &self.events,
            trouble: self.trouble.as_deref(),
        };
        // To the top, each line and what was behind it, and all that was below.
        let mut screen = String::from("\x1b[H");
        let room = usize::from(height).saturating_sub(1);
        for line in picture.lines(width.into(), room) {
            screen.push_str(&line);
            screen.push_str("\x1b[K\n");
        }
        screen.push_str("\x1b[J");
        output::print(screen.as_bytes())
    }
}

const AGAIN: Duration = Duration::from_secs(1);
const EVENTS: usize = 100;
/// Of a picture that is not on a terminal.
const WIDTH: usize = 120;
