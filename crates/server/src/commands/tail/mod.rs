//! Prints what a Jetstream serves.
//!
//! - `show`: what is printed, and where.

mod show;

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use jetwash_client::{
    Client, ClientBuildError, ClientError, ClientFilter, ClientItem, Dictionary, Disconnected,
    Micros, Protocol, UpstreamCursor,
};
use thiserror::Error;
use tokio::runtime;

use crate::address;
use crate::exit::{Ended, Outcome, UsageError};
use crate::output::OutputError;
use show::{Mode, Show, Tally};

/// Print the events of a Jetstream as they come
///
/// Each event is a line of JSON on standard output; on a terminal it is cut to the width, and the
/// last line shows rates and sizes. A connection that ends is made again, and the stream continues
/// after the last event. An address that never answered, or that refuses, ends it.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The Jetstream: a host, host:port, or a URL of ws, wss, http or https
    ///
    /// A host has TLS, unless it is localhost or an IP address: that has port 6008. With another port
    /// than 443 there is no TLS.
    #[arg(default_value = "127.0.0.1:6008")]
    address: String,

    /// Only this collection, or with `.*` at its end all that start so; may be given more than once
    #[arg(long = "collection", value_name = "NSID")]
    collections: Vec<String>,

    /// Only this account; may be given more than once
    #[arg(long = "did", value_name = "DID")]
    dids: Vec<String>,

    /// From this time on, in microseconds since 1970; 0 for everything there is
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    cursor: Option<i64>,

    /// Speak version 2 where the address has no path, and version 1 only if the server has no other
    #[arg(long)]
    v2: bool,

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
    #[arg(long, conflicts_with = "json")]
    quiet: bool,

    /// Print whole events on a terminal too, and no rates and sizes
    #[arg(long)]
    json: bool,
}

impl Arguments {
    const fn mode(&self) -> Mode {
        match (self.json, self.quiet) {
            (true, _) => Mode::Json,
            (_, true) => Mode::Quiet,
            _ => Mode::People,
        }
    }

    /// A client of the address, which connects when it is asked for events.
    fn client(&self, url: &str) -> Result<Client, TailError> {
        let filter = ClientFilter::new()
            .collections(&self.collections)
            .and_then(|filter| filter.dids(&self.dids))
            .map_err(ClientBuildError::from)?;
        let mut builder = Client::builder([url])
            .filter(filter)
            .compress(self.compress)
            .user_agent(concat!("jetwash-server/", env!("CARGO_PKG_VERSION")));
        if !self.v2 {
            builder = builder.protocol(Protocol::V1);
        }
        if let Some(cursor) = self.cursor {
            let time = Micros::new(u64::try_from(cursor).unwrap_or_default());
            builder = builder.cursor(UpstreamCursor::at_time(time));
        }
        if let Some(path) = &self.dictionary {
            builder = builder.dictionary(dictionary(path.clone())?);
        }
        Ok(builder.build()?)
    }
}

pub(crate) fn run(arguments: &Arguments) -> Ended {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime
        .block_on(follow(arguments))
        .map_err(TailError::sort)?;
    Ok(Outcome::Well)
}

/// Why nothing more is printed.
#[derive(Debug, Error)]
enum TailError {
    #[error("{0}")]
    Setting(#[from] ClientBuildError),
    #[error("--dictionary {}: {reason}", path.display())]
    Dictionary { path: PathBuf, reason: String },
    #[error("{url}: {reason}\nIs a server running? `jetwash-server --sim` starts one")]
    Unreachable { url: String, reason: String },
    #[error("{url}: refused with {status}{}", colon(message))]
    Refused {
        url: String,
        /// With its usual name.
        status: String,
        message: String,
    },
    #[error(transparent)]
    Client(ClientError),
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl TailError {
    fn sort(self) -> Box<dyn std::error::Error> {
        match self {
            Self::Output(error) => error.into(),
            Self::Setting(ClientBuildError::Host(error)) if error.text.contains('?') => {
                let instead = "--collection, --did and --cursor say what is wanted";
                UsageError(format!("{error}; {instead}")).into()
            }
            Self::Setting(error) => UsageError(error.to_string()).into(),
            other => other.into(),
        }
    }

    fn of_client(url: &str, error: ClientError) -> Self {
        let ClientError::Refused {
            status,
            name,
            message,
            ..
        } = error
        else {
            return Self::Client(error);
        };
        let is_whole = name.is_empty() || message.is_empty();
        let between = if is_whole { "" } else { ": " };
        Self::Refused {
            url: url.to_owned(),
            status: axum::http::StatusCode::from_u16(status)
                .map_or_else(|_| status.to_string(), |status| status.to_string()),
            message: format!("{name}{between}{message}"),
        }
    }
}

fn colon(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

/// Prints events until there are enough, or until the program is interrupted.
async fn follow(arguments: &Arguments) -> Result<(), TailError> {
    let url = address::url_of(&arguments.address);
    let mut client = arguments.client(&url)?;
    let mut tail = Tail {
        url,
        tally: Tally::new(),
        show: Show::new(arguments.mode()),
        has_connected: false,
    };
    let mut second = tokio::time::interval(Duration::from_secs(1));
    // Made once, so that no signal is missed between two events.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    while arguments
        .count
        .is_none_or(|count| tail.tally.events < count)
    {
        tokio::select! {
            _ = second.tick() => tail.show.status(&tail.tally, client.snapshot().bytes_received),
            _ = &mut interrupted => break,
            item = client.next() => match item {
                Some(Ok(item)) => tail.take(item)?,
                Some(Err(error)) => return Err(TailError::of_client(&tail.url, error)),
                None => break,
            },
        }
    }
    tail.show.end(&tail.tally, client.snapshot().bytes_received);
    say_goodbye(client).await;
    Ok(())
}

/// Lets the client close its connection, so that the server need not find out.
async fn say_goodbye(client: Client) {
    drop(client);
    // Its task is the only one.
    let tasks = runtime::Handle::current().metrics();
    let gone = async {
        while tasks.num_alive_tasks() > 0 {
            tokio::time::sleep(LOOK).await;
        }
    };
    // A server that does not answer is left as it is.
    let _ = tokio::time::timeout(GOODBYE, gone).await;
}

/// A stream that is printed.
#[derive(Debug)]
struct Tail {
    url: String,
    tally: Tally,
    show: Show,
    has_connected: bool,
}

impl Tail {
    fn take(&mut self, item: ClientItem) -> Result<(), TailError> {
        match item {
            ClientItem::Event(event) => {
                self.tally.add(event.text());
                self.show.event(event.text())?;
            }
            ClientItem::Connected(connected) => {
                if self.has_connected {
                    let host = connected.host;
                    self.show.note(format_args!("{host}: connected again"));
                }
                self.has_connected = true;
            }
            ClientItem::Disconnected(end) => self.disconnected(&end)?,
            ClientItem::Gap(gap) => {
                let words = colon(&gap.message.unwrap_or_default());
                let cause = gap.cause;
                self.show
                    .note(format_args!("events are missing: {cause}{words}"));
            }
            ClientItem::Malformed(reason) => {
                self.show
                    .note(format_args!("a message cannot be read: {reason}"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Says why the connection ended; an error if there never was one.
    fn disconnected(&self, end: &Disconnected) -> Result<(), TailError> {
        // A client that does not wait asks the same host in another way.
        if !self.has_connected && !end.wait.is_zero() {
            return Err(TailError::Unreachable {
                url: self.url.clone(),
                reason: end.reason.clone(),
            });
        }
        let (host, reason) = (&end.host, &end.reason);
        let wait = end.wait.as_secs_f32();
        self.show.note(format_args!(
            "{host}: {reason}; the next attempt is in {wait:.1} s"
        ));
        Ok(())
    }
}

fn dictionary(path: PathBuf) -> Result<Dictionary, TailError> {
    let read = std::fs::read(&path).map_err(|error| error.to_string());
    let made =
        read.and_then(|bytes| Dictionary::from_bytes(bytes).map_err(|error| error.to_string()));
    made.map_err(|reason| TailError::Dictionary { path, reason })
}

const GOODBYE: Duration = Duration::from_secs(1);
/// How often the client is looked at that closes its connection.
const LOOK: Duration = Duration::from_millis(1);
