use thiserror::Error;

use crate::status::Trouble;

/// Why [`FileSpool::run`](crate::FileSpool::run) did not end as it should.
///
/// # Examples
///
/// ```
/// use jetwash_spool::SpoolRunError;
///
/// fn report(error: &SpoolRunError) {
///     match error {
///         SpoolRunError::Unfinished { cursor, trouble } => {
///             eprintln!("the next run continues after {cursor}: {trouble}");
///         }
///         other => eprintln!("{other}"),
///     }
/// }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpoolRunError {
    /// The thread that writes the files died.
    #[error("the spool's thread panicked")]
    Panicked,
    /// The operating system did not start a thread.
    #[error("the spool's thread could not be started: {0}")]
    Thread(std::io::Error),
    /// It ended before everything that the log had was in a file.
    #[error("the spool ends at cursor {cursor}, and will go on from there: {trouble}")]
    Unfinished {
        /// Up to where everything is in the files.
        cursor: u64,
        /// The trouble that kept it from going further.
        trouble: Trouble,
    },
}
