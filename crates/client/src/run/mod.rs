//! The task that keeps a connection and feeds the stream.
//!
//! - `settings`: the caller's settings, checked.
//! - `runner`: from one connection to the next, and from one host to the next.
//! - `hosts`: what is known of each host.
//! - `session`: one connection, message by message.
//! - `reading`: from a message to a decision.
//! - `request`: the filter as the wire can say it.
//! - `dictionaries`: gets and keeps dictionaries.
//! - `pace`: distinguishes silence from a quiet hour.
//! - `output`: hands items over in batches.

mod dictionaries;
mod hosts;
mod output;
mod pace;
mod reading;
mod request;
mod runner;
mod session;
mod settings;

pub(crate) use output::{Batch, Output};
pub(crate) use runner::Runner;
pub(crate) use settings::{DictionarySettings, Settings};
