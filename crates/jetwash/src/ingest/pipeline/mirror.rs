use jetwash_dict::Dictionary;
use jetwash_event::Micros;
use jetwash_store::{LogMessage, MirrorError, StoreError};

use super::Pipeline;
use crate::ingest::mirroring::{MirrorRefusal, newest_time};

/// The fate of a message of another log.
pub(crate) enum MirrorFault {
    /// It is not what the next message of that log could be.
    Refused(MirrorRefusal),
    Store(StoreError),
}

impl Pipeline {
    /// Takes over a message of the log that this one mirrors. A message that is refused changes
    /// nothing; what came before it stays.
    pub(crate) fn mirror(
        &mut self,
        message: &LogMessage,
        bytes: usize,
        now_us: Micros,
    ) -> Result<(), MirrorFault> {
        self.now_us = now_us;
        if let Some(refusal) = MirrorRefusal::of_time(newest_time(message), now_us) {
            return Err(MirrorFault::Refused(refusal));
        }
        if let LogMessage::Hello { log, .. } = message {
            self.appender.become_mirror(*log)?;
        }
        let applied = self.appender.apply(message)?;
        self.pending += usize::try_from(applied.events).unwrap_or(usize::MAX);
        self.output.pending += bytes;
        self.stats.mirrored(bytes, applied.events, applied.bytes);
        self.tally.mirrored(applied.events, applied.bytes);
        if let LogMessage::Gap(gap) = message {
            self.stats.gap(gap.cause.name());
        }
        Ok(())
    }

    /// The dictionary that the newest events are compressed with.
    pub(crate) fn newest_dictionary(&self) -> Option<Dictionary> {
        self.appender.dictionary()
    }
}

impl From<MirrorError> for MirrorFault {
    fn from(error: MirrorError) -> Self {
        let text = error.to_string();
        let (reason, is_lasting) = match error {
            MirrorError::Store(error) => return Self::Store(error),
            MirrorError::OtherLog { .. } => ("other_log", true),
            MirrorError::Parted { .. } => ("log_parted", true),
            MirrorError::Behind { .. } => ("position_ahead", true),
            MirrorError::Version { .. } => ("message_version", true),
            // A message that was damaged on its way is not damaged again.
            _ => ("message_refused", false),
        };
        Self::Refused(MirrorRefusal {
            reason,
            text,
            is_lasting,
        })
    }
}
