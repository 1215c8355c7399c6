use std::time::{Duration, Instant, SystemTime};

use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::finding::{Finding, Level};

/// Asks each relay for its health, whatever it answers: that shows name, route, TLS and clock.
pub(super) fn check(relays: &[String], timeout: Duration) -> Vec<Finding> {
    let agent = agent(timeout);
    relays.iter().flat_map(|relay| ask(&agent, relay)).collect()
}

fn ask(agent: &Agent, relay: &str) -> Vec<Finding> {
    let url = health_url(relay);
    let start = Instant::now();
    let answer = match agent.get(&url).call() {
        Ok(answer) => answer,
        Err(error) => {
            return vec![Finding::bad(
                "relay",
                Level::MustChange,
                format!("{url}: {error}"),
                "an answer",
                "look at the name, the route, the firewall, and the certificates of this machine",
            )];
        }
    };
    let took = start.elapsed();
    let status = answer.status().as_u16();
    let found = format!("{url} answers {status} after {took:.0?}");
    let mut findings = vec![Finding::good("relay", found)];
    let date = answer.headers().get("date");
    let date = date.and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    findings.extend(date.map(|date| judge_date(relay, date, SystemTime::now())));
    findings
}

/// The header has whole seconds, and is some time on its way.
fn judge_date(relay: &str, date: SystemTime, now: SystemTime) -> Finding {
    let (apart, word) = match now.duration_since(date) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let found = format!("it is {:.0} s {word} that of {relay}", apart.as_secs_f64());
    if apart <= MOST_APART {
        return Finding::good("clock", found);
    }
    let expected = format!(
        "{} s or less: cursors of version 1 are times",
        MOST_APART.as_secs()
    );
    let change = "let chrony, ntpd or systemd-timesyncd keep the time";
    Finding::bad("clock", Level::MustChange, found, expected, change)
}

/// Where a host says that it is well: relays are named in several ways.
fn health_url(relay: &str) -> String {
    let (scheme, rest) = match relay.split_once("://") {
        Some(("ws" | "http", rest)) => ("http", rest),
        Some((_, rest)) => ("https", rest),
        None => ("https", relay),
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    format!("{scheme}://{authority}/xrpc/_health")
}

/// With the roots that connections to relays have.
fn agent(timeout: Duration) -> Agent {
    let found = rustls_native_certs::load_native_certs();
    let roots = found.certs.iter();
    let roots = roots.map(|root| Certificate::from_der(root).to_owned());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots.collect::<Vec<_>>()))
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .build()
        .into()
}

const MOST_APART: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_asked_at_its_host_however_it_is_named() {
        for (relay, expected) in [
            ("a.example", "https://a.example/xrpc/_health"),
            (
                "wss://a.example:8/xrpc/x?y",
                "https://a.example:8/xrpc/_health",
            ),
            ("ws://127.0.0.1:9", "http://127.0.0.1:9/xrpc/_health"),
        ] {
            assert_eq!(health_url(relay), expected);
        }
    }

    #[test]
    fn a_clock_that_is_minutes_off_must_be_set() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let near = judge_date("a", now - Duration::from_secs(2), now);
        assert_eq!(near.level, Level::Good);
        let behind = judge_date("a", now + Duration::from_secs(120), now);
        assert_eq!(behind.level, Level::MustChange);
        assert!(behind.found.contains("120 s behind"), "{}", behind.found);
    }
}
