use std::collections::VecDeque;
use std::time::Duration;

use humantime::format_duration;
use serde_json::Value;

/// A status of a server, to be made into lines.
pub(super) struct Picture<'a> {
    pub(super) server: &'a str,
    pub(super) status: &'a Value,
    /// The status before it, for rates.
    pub(super) before: Option<&'a Value>,
    /// The newest events, as lines.
    pub(super) events: &'a VecDeque<String>,
    /// Why the server does not answer.
    pub(super) trouble: Option<&'a str>,
}

impl Picture<'_> {
    /// Makes lines that fit: the newest events take the room that is left.
    pub(super) fn lines(&self, width: usize, height: usize) -> Vec<String> {
        let mut lines = vec![self.head()];
        lines.extend(
            self.trouble
                .map(|trouble| format!("no answer: {}", plain(trouble))),
        );
        if self.status.is_object() {
            lines.extend([self.totals(), self.log()]);
            lines.extend(self.losses());
            lines.push(String::new());
            lines.extend(each(&self.status["upstreams"]).map(upstream));
            lines.extend(each(&self.status["consumers"]).map(consumer));
            self.add_subscribers(&mut lines);
            self.add_collections(&mut lines);
        }
        let room = height.saturating_sub(lines.len() + 1);
        if room > 0 && !self.events.is_empty() {
            lines.push(String::new());
            let skipped = self.events.len().saturating_sub(room);
            lines.extend(self.events.iter().skip(skipped).cloned());
        }
        lines.truncate(height);
        let cut = |line: String| console::truncate_str(&line, width, "…").into_owned();
        lines.into_iter().map(cut).collect()
    }

    fn head(&self) -> String {
        let status = self.status;
        let state = match (status["ready"].as_bool(), status["not_ready"].as_str()) {
            (Some(true), _) => "ready".to_owned(),
            (Some(false), reason) => format!("NOT READY: {}", plain(reason.unwrap_or("unknown"))),
            (None, _) => "waits for the server".to_owned(),
        };
        let version = plain(status["version"].as_str().unwrap_or_default());
        format!("jetwash {version}  {}  {state}", self.server)
    }

    fn totals(&self) -> String {
        let totals = &self.status["totals"];
        let rate = |name: &str| {
            let rate = self.rate(name).map(|rate| format!(" ({rate:.0}/s)"));
            format!("{}{}", number(&totals[name]), rate.unwrap_or_default())
        };
        format!(
            "frames {}  events {}  delivered {}  rejected {}  reconnects {}",
            rate("frames"),
            rate("events"),
            rate("delivered_events"),
            number(&totals["rejected"]),
            sum(&totals["reconnects"]),
        )
    }

    /// How much a total has grown a second; `None` after a restart of the server.
    fn rate(&self, name: &str) -> Option<f64> {
        let before = self.before?;
        let of = |status: &Value, pointer: &str| status.pointer(pointer)?.as_f64();
        let total = format!("/totals/{name}");
        let grown = of(self.status, &total)? - of(before, &total)?;
        let millis = of(self.status, "/at_ms")? - of(before, "/at_ms")?;
        (grown >= 0.0 && millis > 0.0).then(|| grown * 1e3 / millis)
    }

    fn log(&self) -> String {
        let log = &self.status["log"];
        let megabytes = log["bytes"].as_f64().unwrap_or_default() / 1e6;
        let stalled = log["stalled"].as_str();
        let stalled = stalled.map(|reason| format!("  STALLED: {}", plain(reason)));
        format!(
            "log {} events from {} on, {megabytes:.1} MB, {:.1} hours{}",
            number(&log["events"]),
            number(&log["oldest_seq"]),
            log["hours_held"].as_f64().unwrap_or_default(),
            stalled.unwrap_or_default(),
        )
    }

    /// The losses, which should all be zero; `None` if they are.
    fn losses(&self) -> Option<String> {
        let losses = self.status["losses"].as_object()?;
        let counts = losses.iter().map(|(name, count)| (name, sum(count)));
        let counts: Vec<_> = counts
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| format!("{} {count}", name.replace('_', " ")))
            .collect();
        (!counts.is_empty()).then(|| format!("losses: {}", counts.join(", ")))
    }

    fn add_subscribers(&self, lines: &mut Vec<String>) {
        let subscribers = &self.status["subscribers"];
        lines.push(format!("subscribers {}", number(&subscribers["count"])));
        let listed = each(&subscribers["listed"]).take(LISTED);
        lines.extend(listed.map(|it| {
            format!(
                "  {:>5}  {:<21}  {:<6}  {:<6}  {} events  {} behind",
                number(&it["number"]),
                plain(it["address"].as_str().unwrap_or("-")),
                plain(it["format"].as_str().unwrap_or_default()),
                plain(it["compression"].as_str().unwrap_or_default()),
                number(&it["events"]),
                number(&it["lag_events"]),
            )
        }));
    }

    fn add_collections(&self, lines: &mut Vec<String>) {
        let rates = each(&self.status["collections"]["rates"]).take(LISTED);
        let rates = rates.map(|it| {
            let rate = it["rate"].as_f64().unwrap_or_default();
            format!(
                "{} {rate:.1}/s",
                plain(it["name"].as_str().unwrap_or_default())
            )
        });
        let rates: Vec<_> = rates.collect();
        if !rates.is_empty() {
            lines.push(format!("collections  {}", rates.join(", ")));
        }
    }
}

/// Describes an event of the stream.
pub(super) fn event_line(event: &Value) -> String {
    let text = |value: &Value| plain(value.as_str().unwrap_or_default());
    let commit = &event["event"]["commit"];
    let what = match text(&commit["operation"]) {
        operation if operation.is_empty() => text(&event["event"]["kind"]),
        operation => format!("{operation} {}", text(&event["collection"])),
    };
    let record = &commit["record"]["text"];
    format!(
        "{} {} {what}  {}",
        number(&event["seq"]),
        text(&event["did"]),
        text(record)
    )
}

fn upstream(upstream: &Value) -> String {
    let text = |name: &str| upstream[name].as_str().map(plain);
    let since = upstream["connected_s"].as_u64().map(Duration::from_secs);
    let since = since.map(|since| format!(" for {}", format_duration(since)));
    let lag = upstream["lag_s"]
        .as_f64()
        .map(|lag| format!(", {lag:.1} s late"));
    let end = text("last_end").filter(|_| upstream["state"] != "connected");
    format!(
        "{}  {}{}, {:.0}/s{}{}",
        text("name").unwrap_or_default(),
        text("state").unwrap_or_default(),
        since.unwrap_or_default(),
        upstream["rate"].as_f64().unwrap_or_default(),
        lag.unwrap_or_default(),
        end.map(|end| format!(" ({end})")).unwrap_or_default(),
    )
}

fn consumer(consumer: &Value) -> String {
    let is_running = consumer["running"].as_bool().unwrap_or_default();
    format!(
        "consumer {}  {}, {} handled, {} failed, {} events behind, {} dead letters",
        plain(consumer["name"].as_str().unwrap_or_default()),
        if is_running { "runs" } else { "does not run" },
        number(&consumer["handled"]),
        number(&consumer["failed"]),
        number(&consumer["lag"]["handler"]["events"]),
        number(&consumer["dead_letters"]["held"]),
    )
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn number(value: &Value) -> String {
    value
        .as_u64()
        .map_or_else(|| "?".to_owned(), |number| number.to_string())
}

/// Adds up a count, or counts by reason.
fn sum(value: &Value) -> u64 {
    match value {
        Value::Object(counts) => counts.values().map(sum).sum(),
        value => value.as_u64().unwrap_or_default(),
    }
}

/// Text from outside, which must not move the cursor of a terminal.
fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// How many subscribers and collections are shown.
const LISTED: usize = 8;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_picture_fits_and_shows_rates_trouble_and_no_control_characters() {
        let status = |at: u64, frames: u64| {
            json!({
                "version": "1\u{1b}[2J", "at_ms": at, "ready": true,
                "totals": { "frames": frames, "events": 7, "reconnects": { "ended": 2 } },
                "losses": { "panics": 0, "dropped": { "a": 1, "b": 2 } },
                "upstreams": [{ "name": "ws://a", "state": "connecting", "last_end": "gone" }],
            })
        };
        let (before, now) = (status(1_000, 100), status(3_000, 500));
        let picture = Picture {
            server: "http://a",
            status: &now,
            before: Some(&before),
            events: &(0..50).map(|number| format!("event {number}")).collect(),
            trouble: Some("refused"),
        };
        let lines = picture.lines(60, 12);
        let text = lines.join("\n");
        for expected in [
            "frames 500 (200/s)",
            "reconnects 2",
            "losses: dropped 3",
            "(gone)",
        ] {
            assert!(
                picture.lines(200, 30).join("\n").contains(expected),
                "{expected}"
            );
        }
        assert!(text.contains("no answer: refused"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(lines.len() <= 12 && text.ends_with("event 49"), "{text}");
        assert!(
            lines
                .iter()
                .all(|line| console::measure_text_width(line) <= 60)
        );
    }
}
