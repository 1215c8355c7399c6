use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use jetwash_benches::Server;

use crate::random::Random;
use crate::shared::{Phase, Shared};

/// The server process, which is stopped, killed and started again on the same port and log.
pub(crate) struct Process {
    shared: Arc<Shared>,
    server: Option<Server>,
    port: u16,
    arguments: Vec<String>,
    random: Random,
    /// The mean time from one start to the next end, and when that is.
    life: Duration,
    ends: Instant,
    pub(crate) kills: u32,
    pub(crate) stops: u32,
}

impl Process {
    /// Starts the first one.
    pub(crate) fn start(
        shared: Arc<Shared>,
        random: Random,
        life: Duration,
        relay: &str,
        folder: &Path,
        dictionary: &Path,
    ) -> Result<Self, Box<dyn Error>> {
        let text = |path: &Path| path.display().to_string();
        let arguments = [
            ("--relay", relay.to_owned()),
            ("--data-dir", text(folder)),
            ("--dictionary", text(dictionary)),
        ];
        let mut process = Self {
            shared,
            server: None,
            port: 0,
            arguments: arguments
                .into_iter()
                .flat_map(|(name, value)| [name.to_owned(), value])
                .collect(),
            random,
            life,
            ends: Instant::now(),
            kills: 0,
            stops: 0,
        };
        process.begin()?;
        Ok(process)
    }

    pub(crate) fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    fn begin(&mut self) -> Result<(), Box<dyn Error>> {
        self.shared.starts();
        let server = Server::start(None, self.port, &self.arguments)?;
        self.port = server.address().port();
        self.server = Some(server);
        self.shared.set_up(true);
        self.ends =
            Instant::now() + SHORTEST + self.random.around(self.life.saturating_sub(SHORTEST));
        Ok(())
    }

    /// Ends the process if it is time for that, starts another one, and says what was done.
    pub(crate) fn look(&mut self) -> Result<Option<&'static str>, Box<dyn Error>> {
        if let Some(server) = &mut self.server
            && let Some(status) = server.ended()?
        {
            return Err(format!("the server ended by itself: {status}").into());
        }
        if Instant::now() < self.ends || self.shared.phase() != Phase::Running {
            return Ok(None);
        }
        self.shared.wants_cut.store(true, Ordering::Release);
        if !self.shared.may_cut() {
            return Ok(None);
        }
        let is_killed = self.random.percent(60);
        self.shared.set_up(false);
        if let Some(server) = self.server.take() {
            if is_killed {
                self.kills += 1;
                server.kill()?;
            } else {
                self.stops += 1;
                server.stop(LONGEST_STOP)?;
            }
        }
        self.shared.is_purging.store(true, Ordering::Release);
        let asked = Instant::now();
        while self.shared.is_purging.load(Ordering::Acquire) {
            if asked.elapsed() > LONGEST_STOP {
                return Err("the relay does not answer".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        if self.random.percent(50) {
            thread::sleep(self.random.around(Duration::from_secs(1)));
        }
        self.begin()?;
        self.shared.wants_cut.store(false, Ordering::Release);
        Ok(Some(if is_killed { "kill" } else { "stop" }))
    }

    /// Stops the last one.
    pub(crate) fn end(mut self) -> Result<(), Box<dyn Error>> {
        self.shared.set_up(false);
        match self.server.take() {
            Some(server) => server.stop(LONGEST_STOP),
            None => Ok(()),
        }
    }
}

/// The bytes of all files in a folder. Files that go meanwhile are left out.
pub(crate) fn bytes_in(folder: &Path) -> u64 {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => bytes += metadata.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}

const SHORTEST: Duration = Duration::from_secs(2);
const LONGEST_STOP: Duration = Duration::from_secs(60);
