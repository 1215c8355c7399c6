use axum::http::StatusCode;
use jetwash::store::{LogStream, Store};
use jetwash::{LogId, Micros, ReadError, Seq, run_blocking};

use crate::subscriber::pairs::Pairs;
use crate::subscriber::refusal::Refusal;
use crate::subscriber::turns::first_turn;

/// The parameters of a mirror's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MirrorQuery {
    /// The next position that it wants.
    seq: Seq,
    /// The log that it has, if it has one.
    log: Option<LogId>,
    /// The time of the event before that position, if it has it.
    time_us: Option<Micros>,
}

impl MirrorQuery {
    pub(crate) fn parse(query: &str) -> Result<Self, Refusal> {
        let pairs = Pairs::parse(query);
        let number = |name: &str, least: u64| {
            let text = pairs.first(name);
            if !pairs.has(name) {
                return Ok(None);
            }
            // Digits alone: a sign would be taken as well.
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse().ok().filter(|number| *number >= least);
            match number.filter(|_| is_number) {
                Some(number) => Ok(Some(number)),
                None => Err(invalid(format!("{name} is not a number from {least} on"))),
            }
        };
        let seq = number("seq", 1)?.map_or(Seq::FIRST, Seq::new);
        let log = match pairs.first("log") {
            "" if !pairs.has("log") => None,
            text => Some(
                text.parse::<LogId>()
                    .map_err(|error| invalid(error.to_string()))?,
            ),
        };
        let time_us = number("time_us", 0)?.map(Micros::new);
        if time_us.is_some() && seq == Seq::FIRST {
            return Err(invalid(
                "time_us is that of the event before seq, which has to be above 1".to_owned(),
            ));
        }
        Ok(Self { seq, log, time_us })
    }

    /// The log from the position on, if it is the one that the mirror has.
    pub(crate) async fn open(self, store: &Store) -> Result<LogStream, Refusal> {
        let own = store.log_id();
        if let Some(log) = self.log.filter(|log| *log != own) {
            let message = format!("this is the log {own}, and not {log}");
            return Err(Refusal::Xrpc(StatusCode::CONFLICT, "OtherLog", message));
        }
        let next_seq = store.bounds().next_seq;
        if self.seq > next_seq {
            let seq = self.seq;
            let message = format!("seq {seq} is ahead of the log, whose next event is {next_seq}");
            return Err(Refusal::Xrpc(
                StatusCode::CONFLICT,
                "PositionAhead",
                message,
            ));
        }
        let stream = store.log_stream(self.seq);
        let Some(time_us) = self.time_us else {
            return Ok(stream);
        };
        // The event may be on the disk, from which no more is read at once than by playback.
        let _turn = first_turn().await;
        let looked = run_blocking(store.may_block(), move || {
            let found = stream.time_before();
            found.map(|found| (stream, found))
        });
        let looked = looked.await.map_err(ReadError::from);
        let looked = looked.and_then(|looked| looked.map_err(ReadError::from));
        let (stream, found) = looked.map_err(|error| {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Refusal::Xrpc(status, "ServiceUnavailable", error.to_string())
        })?;
        match found.filter(|found| *found != time_us) {
            None => Ok(stream),
            Some(found) => {
                let seq = self.seq.previous();
                let message = format!(
                    "the event {seq} has the time {found} here and {time_us} there: the logs have \
                     parted, and the mirror has to begin anew"
                );
                Err(Refusal::Xrpc(StatusCode::CONFLICT, "LogParted", message))
            }
        }
    }
}

fn invalid(message: String) -> Refusal {
    Refusal::Xrpc(StatusCode::BAD_REQUEST, "InvalidRequest", message)
}

/// The refusal of a server whose log is not given away.
pub(crate) fn disabled() -> Refusal {
    let message = "this server has no mirrors".to_owned();
    Refusal::Xrpc(StatusCode::NOT_FOUND, "MirroringDisabled", message)
}
