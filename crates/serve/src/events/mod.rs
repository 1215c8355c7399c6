//! Events over plain HTTP: a subscriber whose socket is the body of an answer.
//!
//! [`request`] is what it may ask for besides what a websocket may: server-sent events or lines, the
//! event that it has seen last, and where the answer ends. A [`pipe`] carries its bytes from the
//! subscriber's task to the [`body`] that HTTP sends, and tells the task when the client takes nothing,
//! or has gone. All the rest is that of every [subscriber](crate::subscriber).

pub(crate) mod body;
pub(crate) mod pipe;
pub(crate) mod request;
