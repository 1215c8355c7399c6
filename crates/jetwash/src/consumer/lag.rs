use std::time::Duration;

/// How far a consumer is behind the network, by stage.
///
/// An event passes three stages, and only one of them is slow, as a rule: if it is `upstream`, the
/// relay or the line; if it is `decode`, this process cannot keep up with what arrives; if it is
/// `handler`, the consumer's own code.
///
/// # Examples
///
/// ```
/// use jetwash::{Jetstream};
///
/// let (jetstream, _ingest) = Jetstream::builder().build()?;
/// let lag = jetstream.consumer("feed").handle().lag();
/// println!("{:?} behind, mostly in {:?}", lag.handler.time, lag.slowest());
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lag {
    /// From when the newest commit was made, as its revision says, to when it arrived. Clocks of
    /// others are part of it. How many events wait there is not known.
    pub upstream: Duration,
    /// From arrival to the log: frames that wait to be decoded, and how long the last one waited.
    pub decode: Behind,
    /// From the log to being done: the events of the log after the consumer's cursor, wanted or
    /// not, their bytes as they are stored, and how long ago the first of them came in.
    pub handler: Behind,
}

impl Lag {
    /// The stage that takes the most time.
    #[must_use]
    pub fn slowest(&self) -> Stage {
        let stages = [
            (self.upstream, Stage::Upstream),
            (self.decode.time, Stage::Decode),
            (self.handler.time, Stage::Handler),
        ];
        let slowest = stages.into_iter().max_by_key(|(time, _)| *time);
        slowest.map_or(Stage::Handler, |(_, stage)| stage)
    }
}

/// The lag of one stage.
///
/// # Examples
///
/// ```
/// use jetwash::{Behind, Jetstream};
///
/// let (jetstream, _ingest) = Jetstream::builder().build()?;
/// let lag = jetstream.consumer("feed").handle().lag();
/// // Nothing has come yet.
/// assert_eq!(lag.decode, Behind::default());
/// assert_eq!(lag.handler.events, 0);
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Behind {
    /// How long.
    pub time: Duration,
    /// How many events; frames, where they are not yet decoded.
    pub events: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// A stage that events pass.
///
/// # Examples
///
/// ```
/// use jetwash::{Jetstream, Stage};
///
/// let (jetstream, _ingest) = Jetstream::builder().build()?;
/// let lag = jetstream.consumer("feed").handle().lag();
/// match lag.slowest() {
///     Stage::Upstream => println!("the relay, or the line"),
///     Stage::Decode => println!("this process"),
///     Stage::Handler => println!("our own code"),
/// }
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The network, up to this process.
    Upstream,
    /// From arrival to the log.
    Decode,
    /// From the log to being done.
    Handler,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_stage_is_the_one_that_takes_the_most_time() {
        let mut lag = Lag {
            upstream: Duration::from_millis(700),
            ..Lag::default()
        };
        assert_eq!(lag.slowest(), Stage::Upstream);
        lag.handler.time = Duration::from_secs(2);
        assert_eq!(lag.slowest(), Stage::Handler);
        lag.decode.time = Duration::from_secs(3);
        assert_eq!(lag.slowest(), Stage::Decode);
    }
}
