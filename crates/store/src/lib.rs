//! The ring in which Jetstream events wait: one ordered log, on disk or in memory.
