use std::time::Duration;

use clap::Args;
use serde::Serialize;
use thiserror::Error;
use ureq::Agent;

use crate::commands::page_address::PageAddress;
use crate::exit::{Ended, Outcome};
use crate::output::{self, FormatOptions};
use crate::values::parse_duration;

/// Ask a running server whether it is well, for a container's health check
///
/// Ends with 0 if the server answers that it is, and with 1 if it answers otherwise or not at all.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    server: PageAddress,

    /// Ask whether events flow (/readyz), not only whether the server runs (/healthz)
    #[arg(long)]
    ready: bool,

    /// How long the answer may take
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    timeout: Duration,

    #[command(flatten)]
    format: FormatOptions,
}

pub(crate) fn run(arguments: &Arguments) -> Ended {
    let path = if arguments.ready {
        "/readyz"
    } else {
        "/healthz"
    };
    let url = format!("{}{path}", arguments.server.url());
    let answer = ask(&url, arguments.timeout).map_err(|source| HealthError::Unanswered {
        url: url.clone(),
        source,
    })?;
    if arguments.format.json {
        output::print_json(&answer)?;
    } else if answer.status == 200 {
        output::print_line(&answer.text)?;
    }
    if answer.status == 200 {
        return Ok(Outcome::Well);
    }
    let Answer { status, text } = answer;
    Err(HealthError::Unwell { url, status, text }.into())
}

#[derive(Debug, Error)]
enum HealthError {
    #[error("{url}: {source}")]
    Unanswered { url: String, source: ureq::Error },
    #[error("{url} answers {status}: {text}")]
    Unwell {
        url: String,
        status: u16,
        text: String,
    },
}

/// The answer of a server.
#[derive(Debug, Serialize)]
struct Answer {
    status: u16,
    text: String,
}

fn ask(url: &str, timeout: Duration) -> Result<Answer, ureq::Error> {
    // A proxy of the environment is for other hosts.
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .build()
        .into();
    let mut answer = agent.get(url).call()?;
    let body = answer.body_mut().with_config().limit(MAX_BYTES);
    let text = body.read_to_string()?;
    // An answer from elsewhere must not move the cursor of a terminal.
    let text = text.trim().replace(char::is_control, " ");
    Ok(Answer {
        status: answer.status().as_u16(),
        text,
    })
}

/// More than any answer of a server has.
const MAX_BYTES: u64 = 64 << 10;
