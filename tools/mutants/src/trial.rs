//! Builds and runs tests in the copy, with a time limit.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::mutant::Mutant;
use crate::scratch::Scratch;
use crate::tier::Tier;

/// The outcome of a mutant, or of tests that were run without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A test failed: the first one that did.
    Caught(String),
    /// The tests did not end in time, which counts as caught.
    Hung,
    /// All tests passed, as many as this.
    Survived(usize),
    /// The edit has no valid program as its result.
    DoesNotBuild,
}

/// Tries mutants in a copy of the workspace.
pub(crate) struct Trial<'a> {
    pub(crate) scratch: &'a Scratch,
    pub(crate) limit: Duration,
}

impl Trial<'_> {
    /// Applies a mutant, runs its tests until one fails, and takes the edit back.
    pub(crate) fn mutant(&self, mutant: &Mutant) -> Result<Outcome, String> {
        let edited = mutant.edited(self.scratch.root())?;
        self.scratch.write(&mutant.file, &edited.after)?;
        let log = self.scratch.log(&mutant.name);
        let (mut outcome, mut survived) = (Ok(Outcome::Survived(0)), 0);
        for tier in &mutant.tiers {
            outcome = self.tier(tier, &log);
            let Ok(Outcome::Survived(tests)) = &mut outcome else {
                break;
            };
            survived += *tests;
            *tests = survived;
        }
        self.scratch.write(&mutant.file, &edited.before)?;
        outcome
    }

    /// Builds and runs tests as the copy is now.
    pub(crate) fn tier(&self, tier: &Tier, log: &Path) -> Result<Outcome, String> {
        let failed = |error: io::Error| format!("cannot run cargo: {error}");
        if self
            .cargo(tier, cargo(), &tier.build(), log, BUILD_LIMIT)
            .map_err(failed)?
            != Some(true)
        {
            return Ok(Outcome::DoesNotBuild);
        }
        let ended = self
            .cargo(tier, bounded(), &tier.run(), log, self.limit)
            .map_err(failed)?;
        let text = std::fs::read(log).map_err(failed)?;
        let text = String::from_utf8_lossy(&text);
        Ok(match ended {
            None => Outcome::Hung,
            Some(true) => Outcome::Survived(passed(&text)),
            Some(false) => Outcome::Caught(failing(&text)),
        })
    }

    /// Runs `cargo`, and says whether it succeeded; `None` if it had to be killed.
    fn cargo(
        &self,
        tier: &Tier,
        mut command: Command,
        arguments: &[&str],
        log: &Path,
        limit: Duration,
    ) -> io::Result<Option<bool>> {
        let output = File::create(log)?;
        command
            .args(arguments)
            .current_dir(self.scratch.root())
            .env("CARGO_TARGET_DIR", self.scratch.target())
            .env("CARGO_TERM_COLOR", "never")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        // Most of the time is building, so the code is not optimised, and only what an edit touches
        // is built again.
        for (name, value) in [
            ("CARGO_INCREMENTAL", "1"),
            ("CARGO_PROFILE_DEV_OPT_LEVEL", "0"),
            ("CARGO_PROFILE_DEV_DEBUG", "0"),
        ] {
            command.env(name, value);
        }
        if let Some((flags, folder)) = tier.own_build() {
            command
                .env("RUSTFLAGS", flags)
                .env("CARGO_TARGET_DIR", self.scratch.target().join(folder))
                .env("CARGO_PROFILE_RELEASE_LTO", "off");
        }
        // A group of its own: the tests and the processes that they start can be ended together.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        wait(command.spawn()?, log, limit)
    }
}

fn cargo() -> Command {
    Command::new(cargo_path())
}

/// `cargo` for tests. A mutant may ask for memory without end, faster than the time limit ends it
/// and more than the machine has, so there is a limit for that where the system knows one.
fn bounded() -> Command {
    if cfg!(not(unix)) {
        return cargo();
    }
    let mut command = Command::new("sh");
    let script = format!("ulimit -d {MOST_KIB}; exec \"$0\" \"$@\"");
    command.arg("-c").arg(script).arg(cargo_path());
    command
}

fn cargo_path() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Waits for a process group until it ends, a test fails, or the limit has passed. The first test
/// that fails is enough, so the others are not waited for.
fn wait(mut child: Child, log: &Path, limit: Duration) -> io::Result<Option<bool>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        let has_failed = std::fs::read(log)?
            .split(|byte| *byte == b'\n')
            .any(|line| line.starts_with(b"test ") && line.ends_with(FAILED.as_bytes()));
        if has_failed || start.elapsed() >= limit {
            end(&mut child)?;
            return Ok(has_failed.then_some(false));
        }
        thread::sleep(LOOK);
    }
}

/// Ends a process and those that it started, as far as the system knows groups.
fn end(child: &mut Child) -> io::Result<()> {
    #[cfg(unix)]
    Command::new("kill")
        .args(["-KILL", "--", &format!("-{}", child.id())])
        .status()?;
    #[cfg(not(unix))]
    child.kill()?;
    child.wait()?;
    Ok(())
}

/// The end of a log, for those who see only what this program prints.
pub(crate) fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

/// The number of tests that passed, over all that ran.
fn passed(text: &str) -> usize {
    let results = text.lines().filter_map(|line| {
        let (_, counts) = line.split_once("test result: ok. ")?;
        counts.split_once(" passed")?.0.parse::<usize>().ok()
    });
    results.sum()
}

fn failing(text: &str) -> String {
    let failed = text.lines().find_map(|line| {
        let name = line.strip_prefix("test ")?.strip_suffix(FAILED)?;
        Some(name.to_owned())
    });
    failed.unwrap_or_else(|| "the test process ended early".to_owned())
}

const FAILED: &str = " ... FAILED";
const LAST_LINES: usize = 30;
const LOOK: Duration = Duration::from_millis(100);
/// More than any test needs without a mutant.
const MOST_KIB: u64 = 4 << 20;
const BUILD_LIMIT: Duration = Duration::from_secs(1_800);
