//! The form of events on the wire.
//!
//! A [`Format`](format::Format) says what an event looks like and what is compressed together, and a
//! [`framing`] how one message is told from the next.
//! [`encoder`] writes one subscriber's messages. What is the same for many subscribers is made
//! once: [`recoder`], unless there is a [`recode_error`], makes the [`events`] of a block in formats
//! that the log does not have ([`from_lines`] by a [`line_encoder`], with their [`verdicts`], or
//! compressed by [`compressors`] with one of the [`dictionaries`]), and [`messages`] are ready to be
//! sent.
//! [`content_size`] is that of a compressed event.

pub(crate) mod compressors;
pub(crate) mod content_size;
pub(crate) mod dictionaries;
pub(crate) mod encoder;
pub(crate) mod events;
pub(crate) mod format;
pub(crate) mod framing;
pub(crate) mod from_lines;
pub(crate) mod line_encoder;
pub(crate) mod messages;
pub(crate) mod recode_error;
pub(crate) mod recoder;
pub(crate) mod verdicts;
