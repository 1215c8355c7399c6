use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jetwash::store::{LogMessage, LogStream, Store};
use jetwash::{Micros, ReadError, Seq, run_blocking};
use tokio::io::AsyncRead;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::metrics::{Delivered, Metrics, Mirrored};
use crate::subscriber::addresses::Share;
use crate::subscriber::end::End;
use crate::subscriber::goodbye::say_goodbye;
use crate::subscriber::inbound::Inbound;
use crate::subscriber::output::Output;
use crate::subscriber::register::Report;
use crate::subscriber::socket::Socket;
use crate::subscriber::turns::turn;
use crate::websocket::{Opcode, write_frame};

/// One mirror. Its task reads the log, waits at its end and for a socket that takes nothing, and
/// answers pings.
pub(crate) struct MirrorConnection<R, W> {
    pub(crate) inbound: Inbound<R>,
    pub(crate) output: Output<W>,
    pub(crate) share: Option<Arc<Share>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) mirrored: Mirrored,
    pub(crate) report: Arc<Report>,
}

impl<R: AsyncRead + Unpin, W: Socket> MirrorConnection<R, W> {
    /// Serves until either side ends it, and says goodbye where the socket still allows it.
    pub(crate) async fn run(mut self, stream: LogStream, store: &Store) -> End {
        let end = match self.serve(stream, store).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        say_goodbye(&mut self.inbound, self.output, &end).await;
        end
    }

    /// Sends the log, and at its end waits for more. A message is held only while it is written: the
    /// next one is read once the socket has taken it.
    async fn serve(&mut self, mut stream: LogStream, store: &Store) -> Result<Infallible, End> {
        let mut tip = store.tip();
        loop {
            // Before the log is looked at: what comes in between is not missed.
            let known = *tip.borrow_and_update();
            let before = stream.events();
            let message;
            (stream, message) = self.next(stream, store.may_block()).await?;
            let Some(message) = message else {
                self.wait(&mut tip, known, store).await?;
                continue;
            };
            self.pace(stream.events() - before).await?;
            write_frame(Opcode::Binary, &message, self.output.buffer());
            let delivered = Delivered {
                events: stream.events() - before,
                bytes: message.len() as u64,
            };
            drop(message);
            self.metrics.delivered(delivered);
            self.mirrored.sent(delivered);
            self.report.sent(delivered);
            self.report.at(stream.position(), Micros::EPOCH);
            self.flush().await?;
        }
    }

    /// Reads the next message on a thread that may wait for the disk, when it is this mirror's turn.
    async fn next(
        &mut self,
        mut stream: LogStream,
        may_block: bool,
    ) -> Result<(LogStream, Option<bytes::Bytes>), End> {
        let turn = loop {
            match turn(&mut self.inbound).await? {
                Some(turn) => break turn,
                None => self.flush().await?,
            }
        };
        let mut read = run_blocking(may_block, move || {
            let next = stream.next();
            drop(turn);
            next.map(|message| (stream, message))
        });
        loop {
            if let Some(read) = self.inbound.attend(&mut read).await? {
                let read = read.map_err(ReadError::from);
                let read = read.and_then(|read| read.map_err(ReadError::from));
                return read.map_err(End::Read);
            }
            self.flush().await?;
        }
    }

    /// Waits at the end of the log until there is more, and now and then says that there is nothing.
    async fn wait(
        &mut self,
        tip: &mut watch::Receiver<Seq>,
        known: Seq,
        store: &Store,
    ) -> Result<(), End> {
        let mut quiet_at = Instant::now() + QUIET;
        loop {
            let more = async {
                tokio::select! {
                    changed = tip.wait_for(|&next| next > known) => Some(changed.is_ok()),
                    () = sleep_until(quiet_at) => None,
                }
            };
            match self.inbound.attend(more).await? {
                None => {}
                Some(Some(true)) => return Ok(()),
                Some(Some(false)) => return Err(End::ShuttingDown),
                Some(None) => {
                    let tip = LogMessage::tip(store.bounds().oldest_seq, known).encode();
                    write_frame(Opcode::Binary, &tip, self.output.buffer());
                    quiet_at = Instant::now() + QUIET;
                }
            }
            self.flush().await?;
        }
    }

    /// Waits until the mirror's address may have this many events.
    async fn pace(&mut self, events: u64) -> Result<(), End> {
        let Some(share) = self.share.clone() else {
            return Ok(());
        };
        let mut left = usize::try_from(events).unwrap_or(usize::MAX);
        while left > 0 {
            let now = Instant::now();
            let (granted, wait) = share.reserve(left, now.into_std());
            left = left.saturating_sub(granted.max(1));
            let from = now + wait;
            while from > Instant::now() {
                self.flush().await?;
                self.inbound.attend(sleep_until(from)).await?;
            }
        }
        Ok(())
    }

    /// Writes the rest of the output, and all that is wanted besides the log.
    async fn flush(&mut self) -> Result<(), End> {
        loop {
            if !self.output.write_now()? {
                self.inbound.expect_write();
                if let Some(outcome) = self.inbound.attend(self.output.write_some()).await? {
                    outcome?;
                    self.inbound.wrote();
                }
                continue;
            }
            self.inbound.wrote();
            let wanted = self.inbound.take_wanted();
            if let Some(payload) = &wanted.pong {
                write_frame(Opcode::Pong, payload, self.output.buffer());
            }
            if wanted.ping {
                write_frame(Opcode::Ping, &[], self.output.buffer());
                self.inbound.pinged();
            }
            if self.output.is_empty() {
                return Ok(());
            }
        }
    }
}

/// How long nothing is sent before the mirror is told that nothing is missing.
const QUIET: Duration = Duration::from_secs(5);
