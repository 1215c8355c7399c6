//! Does what handles ask for.

use super::Driver;
use super::work::{Stop, Work};
use crate::consumer::Handler;
use crate::consumer::handle::Command;
use crate::consumer::letters::event_of;

impl<H: Handler> Driver<H> {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::SetFilters {
                filter,
                content,
                reply,
            } => {
                if let Some(content) = content {
                    self.settings.content = vec![*content];
                }
                // What has been read was judged by then, and nothing else was.
                let since = match filter {
                    Some(filter) => self.walk.set_filter(filter),
                    None => self.walk.cursor(),
                };
                // Who asked may have gone away.
                let _ = reply.send(since);
            }
            Command::Replay(letter, reply) => {
                let Some(mut event) = event_of(&letter) else {
                    return;
                };
                // It is wanted as it is; this only notes if it no longer matches.
                event.is_given_by(&self.settings.content);
                let did = event.did().to_owned();
                // Letters are in blocks of their own, whose numbers no block of the log has.
                let block = (u64::MAX - event.seq().get(), event.memory().1);
                let work = Work {
                    event,
                    replay: Some(reply),
                    panicked: None,
                };
                self.window.push_apart(&did, block, work);
            }
            Command::Stop => self.stop = Some(Stop::Asked),
        }
    }
}
