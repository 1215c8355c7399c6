use super::error::MirrorError;
use crate::append::Appender;
use crate::identity::LogId;

impl Appender {
    /// Makes this ring a mirror of the log `log`: from now on it has that identity, and takes over
    /// events with [`apply`](Self::apply) alone. It is kept on disk, and never undone.
    ///
    /// Nothing happens if it is a mirror of that log already. Readers that asked for
    /// [`Store::log_id`](crate::Store::log_id) before were told another one.
    ///
    /// # Errors
    ///
    /// When something was ever written to the ring, it is a mirror of another log, or the disk fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_store::{Location, Options, open};
    ///
    /// let (_appender, origin) = open(Location::Memory, Options::default())?;
    /// let (mut appender, mirror) = open(Location::Memory, Options::default())?;
    /// appender.become_mirror(origin.log_id())?;
    /// assert!(mirror.is_mirror());
    /// assert_eq!(mirror.log_id(), origin.log_id());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn become_mirror(&mut self, log: LogId) -> Result<(), MirrorError> {
        let store = self.store();
        if store.is_mirror() {
            return check_log(store.log_id(), log);
        }
        if !self.is_untouched() {
            let next_seq = self.next_seq();
            return Err(MirrorError::NotEmpty { next_seq });
        }
        Ok(self.adopt(log)?)
    }
}

pub(super) fn check_log(own: LogId, found: LogId) -> Result<(), MirrorError> {
    if own == found {
        return Ok(());
    }
    Err(MirrorError::OtherLog { own, found })
}
