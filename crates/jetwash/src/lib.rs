//! A Jetstream you embed: the AT Protocol firehose as small JSON events inside your program.
