use std::time::Duration;

use clap::Args;
use jetwash_serve::{HttpLimits, ServeOptions};

use crate::values::{parse_bytes, parse_duration};

/// The options that say what subscribers get, and how much of everything.
#[derive(Debug, Args)]
pub(crate) struct SubscriberOptions {
    /// How long an event may wait for others, to be sent with them; 0s sends at once
    #[arg(
        long,
        value_name = "TIME",
        default_value = "20ms",
        value_parser = parse_duration
    )]
    max_delay: Duration,

    /// How long events are gathered for subscribers that want them in batches of up to 64
    #[arg(
        long,
        value_name = "TIME",
        default_value = "20ms",
        value_parser = parse_duration
    )]
    batch_delay: Duration,

    /// How many subscribers may have everything compressed as one stream, each for itself
    #[arg(long, value_name = "NUMBER", default_value_t = 8)]
    max_streams: usize,

    /// How many of those one address may have; half of them if not given
    #[arg(long, value_name = "NUMBER")]
    max_streams_per_address: Option<usize>,

    /// A subscriber whose socket takes no byte for so long is closed
    #[arg(
        long,
        value_name = "TIME",
        default_value = "90s",
        value_parser = parse_duration
    )]
    write_timeout: Duration,

    /// How many events a second all subscribers of one address may have together; 0 for any number
    #[arg(
        long,
        value_name = "NUMBER",
        env = "JETSTREAM_MAX_SUB_RATE",
        default_value = "0",
        value_parser = parse_events_per_second
    )]
    max_sub_rate: u32,

    /// How many connections there may be, subscribers or not.
    ///
    /// If not given, as many as there may be open files, less a quarter (192 at least, 1,024 at
    /// most) for the log, the relays and the metrics. The limit of open files is raised to what the
    /// system allows.
    #[arg(long, value_name = "NUMBER", value_parser = parse_positive)]
    max_connections: Option<usize>,

    /// How many subscribers one address may have; 0 for any number.
    ///
    /// If not given, half of all connections. Of IPv6 addresses those of a /64 count as one.
    #[arg(long, value_name = "NUMBER")]
    max_connections_per_address: Option<usize>,

    /// How much memory subscribers may take together, for filters, for what they have begun to send,
    /// and for events that their sockets do not take.
    ///
    /// When it is used up, the costliest are closed or refused.
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "64MiB",
        value_parser = parse_bytes
    )]
    subscriber_memory: u64,

    /// Take the last address in X-Forwarded-For for the subscriber's: only behind a proxy
    #[arg(long)]
    trust_forwarded_for: bool,

    /// Leave the addresses of subscribers out of the log
    #[arg(long)]
    hide_addresses: bool,

    /// How many accounts a filter may name
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    max_dids: usize,
}

impl SubscriberOptions {
    pub(super) fn serve_options(&self) -> ServeOptions {
        let mut options = ServeOptions::default()
            .max_delay(self.max_delay)
            .batch_delay(self.batch_delay)
            .max_streams(self.max_streams)
            .write_timeout(self.write_timeout)
            .max_dids(self.max_dids)
            .trust_forwarded_for(self.trust_forwarded_for)
            .hide_addresses(self.hide_addresses);
        if self.max_sub_rate > 0 {
            options = options.max_events_per_address(self.max_sub_rate);
        }
        let mut limits = HttpLimits::default();
        if let Some(connections) = self.max_connections {
            limits = limits.max_connections(connections);
        }
        let share = (limits.max_connections / 2).max(LEAST_SHARE);
        match self.max_connections_per_address.unwrap_or(share) {
            0 => {}
            connections => options = options.max_connections_per_address(connections),
        }
        if let Some(streams) = self.max_streams_per_address {
            options = options.max_streams_per_address(streams);
        }
        let memory = usize::try_from(self.subscriber_memory).unwrap_or(usize::MAX);
        options.memory_budget(memory).http(limits)
    }
}

/// A rate as the official variable gives it: a number with or without a fraction. One that is not
/// whole is rounded up, so that no limit becomes none at all.
fn parse_events_per_second(text: &str) -> Result<u32, String> {
    let rate: f64 = text.parse().map_err(|_| "it must be a number".to_owned())?;
    if !(0.0..=f64::from(u32::MAX)).contains(&rate) {
        return Err(format!("it must be between 0 and {}", u32::MAX));
    }
    Ok(rate.ceil() as u32)
}

fn parse_positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err("it must be a number from 1 up".to_owned()),
    }
}

/// How many subscribers an address may have at least, if that is not given.
const LEAST_SHARE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_may_have_a_fraction_as_the_official_variable_does() {
        assert_eq!(parse_events_per_second("5000.0"), Ok(5000));
        assert_eq!(parse_events_per_second("0"), Ok(0));
        assert_eq!(parse_events_per_second("0.5"), Ok(1));
        for bad in ["-1", "NaN", "inf", "5e9", "many"] {
            assert!(parse_events_per_second(bad).is_err(), "{bad}");
        }
    }
}
