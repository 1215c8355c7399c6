//! The page for people who look: one file of HTML, one endpoint of JSON, one stream of events.
//!
//! [`status_page`] is the public handle and has the routes, within [`options`]; [`guard`] checks
//! requests and sets the headers of answers. Nothing is computed while nobody looks, but for the
//! [`history`], of which a [`sampler`] takes a sample every ten seconds.
//!
//! The [`board`] makes the [`status`] at most once a second, for all who look together. It is put
//! together from what the Jetstream says of itself, from views of [`subscribers`] and [`consumers`],
//! and from [`collections`], which are counted in the log's index; [`numbers`] says how they stand there.
//!
//! A [`viewer`] is one connection to the stream. It gets the status, new samples, and its [`tail`]: a few
//! events a second of those that its [`wish`] matches, and how many were passed over.

mod board;
mod collections;
mod consumers;
mod guard;
mod history;
mod numbers;
pub(crate) mod options;
mod sampler;
mod status;
pub(crate) mod status_page;
mod subscribers;
mod tail;
mod viewer;
mod wish;
