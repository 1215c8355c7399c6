use std::time::Duration;

use jetwash::{Endpoint, Jetstream};
use tokio::net::TcpListener;
use tracing::info;

use crate::commands::serve::arguments::Arguments;
use crate::commands::serve::verification::{self, Keys};

/// Where events come from, in words.
fn source_of(arguments: &Arguments) -> String {
    match (&arguments.replay, arguments.sim) {
        (Some(path), _) => format!("the file {}", path.display()),
        (None, true) => "a simulated network in this process".to_owned(),
        (None, false) if arguments.is_mirror() => {
            format!(
                "the log of {}, which is mirrored",
                arguments.mirrors.join(" or ")
            )
        }
        (None, false) => {
            let relays = arguments.relays();
            let full = |relay: &String| relay.parse::<Endpoint>().map(|relay| relay.to_string());
            let mut names: Vec<_> = relays.iter().filter_map(|relay| full(relay).ok()).collect();
            if !arguments.jetstreams.is_empty() {
                let word = if arguments.union { " and " } else { " or " };
                let hosts = arguments.jetstreams.join(word);
                names.push(format!("the Jetstream {hosts}"));
            }
            names.join(" and ")
        }
    }
}

/// For how long events are kept, and in how many bytes, in words.
pub(super) fn kept(age: Duration, bytes: Option<u64>) -> String {
    let limit = match bytes {
        Some(bytes) if bytes.is_multiple_of(MEGABYTE) => {
            format!(" and at most {} MB", bytes / MEGABYTE)
        }
        Some(bytes) => format!(" and at most {bytes} bytes"),
        None => String::new(),
    };
    format!("for {}{limit}", humantime::format_duration(age))
}

/// Prints where events come from, where they are kept, and where they are served.
pub(super) fn announce(
    arguments: &Arguments,
    keys: &Keys<'_>,
    jetstream: &Jetstream,
    listener: &TcpListener,
    metrics_listener: &TcpListener,
) {
    let source = source_of(arguments);
    let place = match arguments.folder() {
        Some(folder) => format!("in the folder {}", folder.display()),
        None => "in memory".to_owned(),
    };
    let kept = kept(arguments.event_ttl, arguments.max_bytes);
    let address = listener.local_addr().map_or_else(
        |_| arguments.listen.to_string(),
        |address| match address.ip().is_unspecified() {
            true => format!("localhost:{}", address.port()),
            false => address.to_string(),
        },
    );
    let whose = match &arguments.dictionary {
        _ if arguments.is_mirror() => "the dictionaries that it has there".to_owned(),
        Some(name) if name.as_os_str() == "v1" => "the official dictionary".to_owned(),
        Some(name) if name.as_os_str() == "auto" => {
            format!(
                "dictionaries trained every {} events if need be",
                arguments.dictionary_events
            )
        }
        Some(name) => format!("the dictionary in {}", name.display()),
        None => "jetwash's own dictionary".to_owned(),
    };
    let id = jetstream
        .dictionary()
        .map_or(0, |dictionary| dictionary.id());
    info!("events come from {source}");
    let number = match id {
        0 => String::new(),
        id => format!(", number {id}"),
    };
    info!("they are kept {place} {kept}, and compressed with {whose}{number}");
    info!("{}", verification::policy_line(keys));
    info!("subscribe at ws://{address}/subscribe");
    info!("print events with: jetwash-server tail {address}");
    if let Ok(address) = metrics_listener.local_addr() {
        info!("a page to look at is at http://{address}/");
        info!("metrics at http://{address}/metrics");
    }
}

const MEGABYTE: u64 = 1_000_000;
