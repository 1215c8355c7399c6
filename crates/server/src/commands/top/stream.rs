use std::error::Error;
use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

use crate::output::OutputError;

/// A message of a server.
#[derive(Clone, Debug)]
pub(super) enum Message {
    Status(Value),
    Event(Value),
}

/// Returns the body of an answer.
pub(super) fn get(url: &str) -> Result<String, ureq::Error> {
    let mut answer = agent().get(url).call()?;
    let body = answer.body_mut().with_config().limit(LONGEST);
    body.read_to_string()
}

/// Reads the server's stream to its end.
pub(super) fn follow(
    server: &str,
    mut take: impl FnMut(Message) -> Result<(), OutputError>,
) -> Result<(), Box<dyn Error>> {
    let mut answer = agent().get(format!("{server}/page/live")).call()?;
    let mut input = BufReader::new(answer.body_mut().as_reader());
    let (mut line, mut name) = (String::new(), String::new());
    loop {
        line.clear();
        // A server that sends no end of line must not fill the memory.
        let mut bounded = input.by_ref().take(LONGEST);
        if bounded.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let text = line.trim_end();
        if let Some(found) = text.strip_prefix("event:") {
            found.trim().clone_into(&mut name);
        } else if let Some(data) = text.strip_prefix("data:") {
            let value = serde_json::from_str(data)?;
            match &*name {
                "status" => take(Message::Status(value))?,
                "event" => take(Message::Event(value))?,
                _ => {}
            }
        }
    }
}

fn agent() -> Agent {
    // A proxy of the environment is for other hosts.
    Agent::config_builder()
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_recv_body(Some(STREAM))
        .max_redirects(0)
        .proxy(None)
        .build()
        .into()
}

/// More than a status with 100 subscribers has.
const LONGEST: u64 = 4 << 20;
const PATIENCE: Duration = Duration::from_secs(5);
/// The server ends its stream after 50 s.
const STREAM: Duration = Duration::from_secs(90);
