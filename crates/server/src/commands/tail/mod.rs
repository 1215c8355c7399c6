use std::error::Error;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::StreamExt;
use indicatif::ProgressBar;
use jetwash::dict::{Decompressor, Dictionary};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::exit::{Ended, Outcome};
use crate::output::{self, OutputError};
use crate::progress;

/// Print the events of a Jetstream as they come
///
/// Each event is a line of JSON on standard output; on a terminal it is cut to the width, and the
/// last line shows rates and sizes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The Jetstream
    #[arg(default_value = "ws://127.0.0.1:6008/subscribe")]
    url: String,

    /// Only this collection, or with `.*` at its end all that start so; may be given more than once
    #[arg(long = "collection", value_name = "NSID")]
    collections: Vec<String>,

    /// Only this account; may be given more than once
    #[arg(long = "did", value_name = "DID")]
    dids: Vec<String>,

    /// From this time on, in microseconds since 1970; 0 for everything there is
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    cursor: Option<i64>,

    /// Ask for compressed events
    #[arg(long)]
    compress: bool,

    /// The server's zstd dictionary; if not given, the server is asked for it
    #[arg(long, value_name = "FILE", requires = "compress")]
    dictionary: Option<PathBuf>,

    /// Stop after this number of events
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,

    /// Show only rates and sizes
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn run(arguments: Arguments) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(tail(arguments))?;
    Ok(Outcome::Well)
}

async fn tail(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let mut decoder = decoder(&arguments)?;
    let url = address(&arguments);
    let connected = connect_async(&url).await;
    let (mut socket, _) = connected.map_err(|error| refusal(&url, error))?;
    let mut tally = Tally::new();
    let mut show = Show::new(arguments.quiet);
    let mut second = tokio::time::interval(Duration::from_secs(1));
    while arguments.count.is_none_or(|count| tally.events < count) {
        let message = tokio::select! {
            _ = second.tick() => {
                show.status(&tally);
                continue;
            }
            _ = tokio::signal::ctrl_c() => break,
            message = socket.next() => message,
        };
        match message {
            Some(Ok(Message::Text(text))) => {
                tally.add(text.len(), text.len());
                show.event(&text)?;
            }
            Some(Ok(Message::Binary(frame))) => {
                let mut json = Vec::new();
                decoder.decompress(&frame, MAX_EVENT_BYTES, &mut json)?;
                tally.add(frame.len(), json.len());
                show.event(&String::from_utf8(json)?)?;
            }
            Some(Ok(Message::Close(reason))) => {
                show.status(&tally);
                let reason = reason.map(|reason| format!("{}: {}", reason.code, reason.reason));
                return Err(
                    format!("closed by the server ({})", reason.unwrap_or_default()).into(),
                );
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.into()),
            None => return Err("the connection ended".into()),
        }
    }
    show.end(&tally);
    // The server hears of it, but may be gone already.
    let _ = socket.close(None).await;
    Ok(())
}

/// Describes why a connection failed, in the words of the server if it sent any.
fn refusal(url: &str, error: tungstenite::Error) -> String {
    let tungstenite::Error::Http(answer) = error else {
        return format!(
            "{url}: {error}\nIs a server running? `cargo run --release -p jetwash-server -- --sim` \
             starts one"
        );
    };
    let body = answer.body().as_deref().unwrap_or_default();
    let body = String::from_utf8_lossy(&body[..body.len().min(MAX_REFUSAL_BYTES)]);
    // Whatever a server sends, it must not move the cursor of a terminal.
    let body = body.replace(|character: char| character.is_control(), " ");
    let status = answer.status();
    match body.trim() {
        "" => format!("{url}: refused with {status}"),
        body => format!("{url}: refused with {status}: {body}"),
    }
}

/// With the dictionary of the file, or else with the one that the server says it uses.
fn decoder(arguments: &Arguments) -> Result<Decompressor, Box<dyn Error>> {
    if !arguments.compress {
        return Ok(Decompressor::without_dictionary());
    }
    let Some(path) = &arguments.dictionary else {
        return ask_for_dictionary(&arguments.url);
    };
    let file = |error: &dyn Error| format!("--dictionary {}: {error}", path.display());
    let bytes = std::fs::read(path).map_err(|error| file(&error))?;
    let dictionary = Dictionary::from_bytes(bytes).map_err(|error| file(&error))?;
    Ok(dictionary.decompressor())
}

fn ask_for_dictionary(url: &str) -> Result<Decompressor, Box<dyn Error>> {
    let server = url.replacen("ws", "http", 1);
    let server = server
        .split_once("/subscribe")
        .map_or(server.as_str(), |(server, _)| server);
    let url = format!("{server}/xrpc/network.bsky.jetstream.getZstdDictionary?format=v1");
    match ureq::get(&url).call() {
        Ok(mut answer) => {
            Ok(Dictionary::from_bytes(answer.body_mut().read_to_vec()?)?.decompressor())
        }
        Err(ureq::Error::StatusCode(404)) => Ok(Decompressor::without_dictionary()),
        Err(error) => Err(format!("{url}: {error}; give the dictionary as a file").into()),
    }
}

fn address(arguments: &Arguments) -> String {
    let mut query = Vec::new();
    query.extend(
        arguments
            .collections
            .iter()
            .map(|value| format!("wantedCollections={value}")),
    );
    query.extend(
        arguments
            .dids
            .iter()
            .map(|value| format!("wantedDids={value}")),
    );
    query.extend(arguments.cursor.map(|cursor| format!("cursor={cursor}")));
    query.extend(arguments.compress.then(|| "compress=true".to_owned()));
    if query.is_empty() {
        return arguments.url.clone();
    }
    let separator = if arguments.url.contains('?') {
        '&'
    } else {
        '?'
    };
    format!("{}{separator}{}", arguments.url, query.join("&"))
}

/// Counts what was received.
struct Tally {
    start: Instant,
    events: u64,
    wire_bytes: u64,
    json_bytes: u64,
}

impl Tally {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            events: 0,
            wire_bytes: 0,
            json_bytes: 0,
        }
    }

    fn add(&mut self, wire: usize, json: usize) {
        self.events += 1;
        self.wire_bytes += wire as u64;
        self.json_bytes += json as u64;
    }

    fn text(&self) -> String {
        let seconds = self.start.elapsed().as_secs_f64().max(0.001);
        let each = |bytes: u64| bytes.checked_div(self.events).unwrap_or_default();
        format!(
            "{} events, {:.0} a second; {} bytes each in JSON, {} on the wire; {:.1} MB in all",
            self.events,
            self.events as f64 / seconds,
            each(self.json_bytes),
            each(self.wire_bytes),
            self.wire_bytes as f64 / 1e6,
        )
    }
}

/// Standard output for events, standard error for what is said about them.
struct Show {
    status: Option<ProgressBar>,
    width: Option<usize>,
    is_quiet: bool,
}

impl Show {
    fn new(is_quiet: bool) -> Self {
        let status = progress::spinner();
        let size = console::Term::stdout().size_checked();
        let width = size
            .filter(|_| io::stdout().is_terminal())
            .map(|(_, width)| width.into());
        Self {
            status,
            width,
            is_quiet,
        }
    }

    fn event(&mut self, json: &str) -> Result<(), OutputError> {
        if self.is_quiet {
            return Ok(());
        }
        let print = || match self.width {
            Some(width) => output::print_line(&console::truncate_str(json, width, "…")),
            None => output::print_line(json),
        };
        match &self.status {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn status(&self, tally: &Tally) {
        match &self.status {
            Some(bar) => {
                bar.set_message(tally.text());
                bar.tick();
            }
            None if self.is_quiet => eprintln!("{}", tally.text()),
            None => {}
        }
    }

    fn end(&self, tally: &Tally) {
        match &self.status {
            Some(bar) => bar.finish_with_message(tally.text()),
            None => eprintln!("{}", tally.text()),
        }
    }
}

/// How much of a refusal is shown.
const MAX_REFUSAL_BYTES: usize = 1000;
/// The largest event that is unpacked.
const MAX_EVENT_BYTES: usize = 8 << 20;
