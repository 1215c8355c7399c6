use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jetwash_event::Micros;
use jetwash_websocket::Socket;
use tokio::time::{Instant, sleep_until};

use super::request::{Pushed, Start};
use super::runner::{End, Runner};
use crate::connection::{ConnectionError, Refusal};
use crate::error::ClientError;
use crate::item::{ClientItem, Connected};
use crate::protocol::Protocol;
use crate::snapshot::Count;

/// One connection.
pub(super) struct Session {
    pub(super) socket: Socket,
    pub(super) protocol: Protocol,
    pub(super) host: usize,
    /// The part of the filter that the server knows.
    pushed: Pushed,
    /// How many bytes it was noted to have received.
    noted: u64,
    /// When the last bytes came, and the last event.
    pub(super) heard: Instant,
    pub(super) last_event: Instant,
    has_pinged: bool,
    /// How many dictionaries were asked for.
    pub(super) lookups: u32,
}

impl Session {
    /// Returns how many bytes have come since this was last asked.
    const fn take_received(&mut self) -> u64 {
        let received = self.socket.received();
        let new = received - self.noted;
        self.noted = received;
        new
    }
}

impl Runner {
    /// Makes a connection and reads from it until it ends.
    pub(super) async fn connection(&mut self) -> Result<Infallible, End> {
        self.take_filter();
        let closed = self.output.closed();
        let mut session = tokio::select! {
            session = self.open() => session?,
            () = closed => return Err(End::Stopped),
        };
        let end = self.read(&mut session).await;
        self.tally
            .add(Count::BytesReceived, session.take_received());
        if matches!(end, Err(End::Again(_) | End::Refilter | End::Stopped)) {
            // The host deserves a goodbye, but is not waited for.
            let _ = tokio::time::timeout(GOODBYE, session.socket.close(Some(NORMAL))).await;
        }
        end
    }

    /// Opens a websocket at the host whose turn it is, in the version that it speaks.
    async fn open(&mut self) -> Result<Session, End> {
        let index = self.hosts.current();
        let state = self.hosts.state();
        let protocol = state.protocol.unwrap_or(Protocol::V2);
        let pushed = Pushed::new(&self.filter, protocol, state.omits_dids);
        let host = state.host.clone();
        let compresses = self.settings.compresses && !state.is_plain();
        let asked = self.resume.begin(index, &host.name, protocol);
        let Ok(cursor) = asked else {
            return Err(self.seq_of_another_host());
        };
        let dictionary = if compresses && protocol == Protocol::V2 {
            self.v2_dictionary().await
        } else {
            None
        };
        let request = pushed.request(
            protocol,
            Start {
                cursor,
                compress: compresses,
                dictionary,
            },
        );
        let path = format!("{}?{}", host.stream_path(protocol), request.query);
        let path = path.trim_end_matches('?');
        let subprotocol = (protocol == Protocol::V2).then_some(SUBPROTOCOL);
        let opened = self.dialer.websocket(&host.location, path, subprotocol);
        let mut socket = match opened.await {
            Ok(socket) => socket,
            Err(ConnectionError::Refused(refusal)) => {
                return Err(self.on_refusal(refusal, protocol, &pushed).await);
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(hello) = &request.hello {
            socket.send_text(hello)?;
        }
        self.opened(
            index,
            protocol,
            compresses && (protocol == Protocol::V1 || dictionary.is_some()),
        );
        let now = Instant::now();
        Ok(Session {
            socket,
            protocol,
            host: index,
            pushed,
            noted: 0,
            heard: now,
            last_event: now,
            has_pinged: false,
            lookups: 0,
        })
    }

    fn opened(&mut self, index: usize, protocol: Protocol, is_compressed: bool) {
        let state = self.hosts.state();
        state.works();
        state.protocol = Some(protocol);
        self.resume.connected(Micros::from(SystemTime::now()));
        let host = Arc::clone(&self.settings.hosts[index].name);
        self.tally.add(Count::Connections, 1);
        self.counters.take(&mut self.tally);
        self.counters.connected(Arc::clone(&host), protocol);
        self.output.push(ClientItem::Connected(Connected {
            host,
            protocol,
            is_compressed,
        }));
    }

    /// The dictionary to ask a host of version 2 for; `None` where messages come
    /// plain.
    async fn v2_dictionary(&mut self) -> Option<u32> {
        let state = self.hosts.state();
        if let Some(id) = state.dictionary {
            return Some(id);
        }
        let host = state.host.clone();
        let is_guess = state.protocol.is_none();
        let fetched = self.dictionaries.fetch(None, &mut self.dialer, &host).await;
        // A host that does not speak version 2 need not have one.
        if fetched.is_err() && is_guess {
            return None;
        }
        self.note_dictionary(fetched.is_ok());
        if let Ok(id) = fetched {
            self.hosts.state().dictionary = Some(id);
            return Some(id);
        }
        // A host that is not there is no host without a dictionary: the stream will show it.
        if fetched.is_err_and(|error| error.refusal().is_some()) {
            self.hosts.state().make_plain();
        }
        None
    }

    pub(super) const fn note_dictionary(&mut self, is_fetched: bool) {
        let what = if is_fetched {
            Count::DictionariesFetched
        } else {
            Count::DictionariesFailed
        };
        self.tally.add(what, 1);
    }

    /// Decides what an answer means that opens no websocket.
    async fn on_refusal(&mut self, refusal: Refusal, protocol: Protocol, pushed: &Pushed) -> End {
        let state = self.hosts.state();
        if protocol == Protocol::V2 && state.protocol.is_none() && refusal.is_absent() {
            // All that was found out was about version 2.
            state.protocol = Some(Protocol::V1);
            state.omits_dids = false;
            state.dictionary = None;
            return End::Again("the host does not speak version 2");
        }
        match refusal.name.as_str() {
            "UnknownZstdDictionary" => {
                let host = state.host.clone();
                // The message names the dictionary in use.
                let id = number_in(&refusal.message);
                let got = match id {
                    Some(id) => self.dictionaries.get(id, &mut self.dialer, &host).await,
                    None => Err(ConnectionError::Refused(refusal)),
                };
                self.note_dictionary(got.is_ok());
                let state = self.hosts.state();
                if got.is_ok() && state.dictionary != id {
                    state.dictionary = id;
                } else {
                    state.make_plain();
                }
                End::Again("the host has another dictionary in use")
            }
            "CursorTooOld" => {
                state.is_too_old = true;
                if self.hosts.are_too_old() {
                    self.resume.too_old(refusal.message);
                    return End::Again("no host has the number of the cursor any more");
                }
                self.hosts.advance();
                End::Again("the host no longer has the number of the cursor")
            }
            _ if matches!(refusal.status, 414 | 431) && pushed.has_dids() => {
                state.omits_dids = true;
                End::Again("the host does not take so long a request")
            }
            _ => End::Failed(ConnectionError::Refused(refusal)),
        }
    }

    /// The cursor has only a number of another sequence: another host may have it.
    fn seq_of_another_host(&mut self) -> End {
        let host = self.hosts.state().host.to_string();
        self.hosts.state().is_too_old = true;
        if self.hosts.are_too_old() {
            return End::Fatal(ClientError::SeqOfAnotherHost { host });
        }
        self.hosts.advance();
        End::Again("the cursor is of the sequence of another host")
    }

    /// Reads until the connection ends.
    async fn read(&mut self, session: &mut Session) -> Result<Infallible, End> {
        let check = self.settings.silence / 8;
        let check = check.clamp(Duration::from_millis(10), Duration::from_secs(5));
        let mut closed = pin!(self.output.closed());
        let mut next = pin!(sleep_until(Instant::now() + check));
        loop {
            while let Some(incoming) = session.socket.parse()? {
                self.take_message(session, incoming).await?;
                if self.output.is_full() {
                    self.hand_over(session).await?;
                }
            }
            if !self.output.is_empty() {
                self.hand_over(session).await?;
            }
            tokio::select! {
                filled = session.socket.fill() => {
                    filled?;
                    session.heard = Instant::now();
                    session.has_pinged = false;
                }
                changed = self.filters.changed() => match changed {
                    Ok(()) => self.change_filter(session)?,
                    // All handles are gone with the reader.
                    Err(_) => return Err(End::Stopped),
                },
                () = &mut next => {
                    next.set(sleep_until(Instant::now() + check));
                    self.tally.add(Count::BytesReceived, session.take_received());
                    self.counters.take(&mut self.tally);
                    self.check_silence(session)?;
                }
                () = &mut closed => return Err(End::Stopped),
            }
        }
    }

    /// Hands the batch over. The time that the reader takes is not the host's silence.
    async fn hand_over(&mut self, session: &mut Session) -> Result<(), End> {
        self.tally
            .add(Count::BytesReceived, session.take_received());
        self.counters.take(&mut self.tally);
        let before = Instant::now();
        self.output.flush().await?;
        if before.elapsed() > BLOCKED {
            let now = Instant::now();
            session.heard = now;
            session.last_event = now;
        }
        Ok(())
    }

    /// Ends a connection that is silent: no answer to a ping, or no event where some must be.
    fn check_silence(&self, session: &mut Session) -> Result<(), ConnectionError> {
        let silence = self.settings.silence;
        let quiet = session.heard.elapsed();
        if quiet >= silence {
            return Err(ConnectionError::Silent(quiet));
        }
        if quiet >= silence / 3 && !session.has_pinged {
            session.has_pinged = true;
            session.socket.ping();
        }
        let is_filtered = !session.pushed.is_empty();
        let quiet = session.last_event.elapsed();
        match self.pace.limit(silence, is_filtered) {
            Some(limit) if quiet >= limit => Err(ConnectionError::NoEvents(quiet)),
            _ => Ok(()),
        }
    }

    /// Takes the filter that was set last, if it is another.
    fn take_filter(&mut self) -> bool {
        let filter = Arc::clone(&self.filters.borrow_and_update());
        let is_new = !Arc::ptr_eq(&filter, &self.filter);
        if is_new {
            self.filter = filter;
            self.resume.filter_changed();
            self.pace = super::pace::Pace::default();
        }
        is_new
    }

    /// Applies another filter: at once here, and at the server with a message of version 1 or
    /// another connection of version 2, if that has to be told something else.
    fn change_filter(&mut self, session: &mut Session) -> Result<(), End> {
        if !self.take_filter() {
            return Ok(());
        }
        let omits_dids = self.hosts.state().omits_dids;
        let pushed = Pushed::new(&self.filter, session.protocol, omits_dids);
        if pushed == session.pushed {
            return Ok(());
        }
        session.last_event = Instant::now();
        if session.protocol == Protocol::V2 {
            return Err(End::Refilter);
        }
        session.socket.send_text(&pushed.update())?;
        session.pushed = pushed;
        Ok(())
    }
}

/// The last number in a text.
fn number_in(text: &str) -> Option<u32> {
    let numbers = text.split(|c: char| !c.is_ascii_digit());
    let mut numbers = numbers.filter(|digits| !digits.is_empty());
    numbers.next_back()?.parse().ok()
}

const SUBPROTOCOL: &str = "xrpc.v1.json";
/// The code of a connection that has done its work (RFC 6455, section 7.4.1).
const NORMAL: u16 = 1000;
const GOODBYE: Duration = Duration::from_millis(500);
/// A hand-over that takes longer has waited for the reader.
const BLOCKED: Duration = Duration::from_millis(1);
