//! The accounts on disk: a file that people edit, and a journal of the changes made since.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jetwash::event::Did;
use jetwash::{DidChange, DidFile, DidFileError, DidSet};
use thiserror::Error;

/// A set of accounts whose changes are on the disk before they hold.
///
/// The file is only read: it belongs to those who edit it. Changes go to a journal beside it, a
/// line each: `+did:…` or `-did:…`. It is read after the file, and shortened when most of its lines
/// have been overruled by later ones.
#[derive(Debug)]
pub(crate) struct Accounts {
    set: DidSet,
    journal: Mutex<Journal>,
}

#[derive(Debug)]
struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    lines: usize,
    /// Shortened when it has more lines than this.
    most_lines: usize,
}

/// A change to the set of accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Add,
    Remove,
}

impl Accounts {
    /// Reads the file, which may be missing, and the journal.
    pub(crate) fn open(path: &Path) -> Result<Self, AccountsError> {
        let set = DidSet::new();
        if path.exists() {
            DidFile::new(path, set.clone()).load()?;
        }
        let mut journal = path.as_os_str().to_owned();
        journal.push(".changes");
        let journal = Mutex::new(Journal::open(journal.into(), &set)?);
        Ok(Self { set, journal })
    }

    /// The accounts, for a filter.
    pub(crate) const fn set(&self) -> &DidSet {
        &self.set
    }

    /// Adds or removes accounts. It blocks on the disk: when it returns, the change is there.
    pub(crate) fn change(&self, action: Action, dids: &[Did]) -> io::Result<DidChange> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.append(action, dids)?;
        // Still under the lock, so that the set changes in the order of the journal.
        match action {
            Action::Add => self.set.add_all(dids).map_err(io::Error::other),
            Action::Remove => Ok(self.set.remove_all(dids)),
        }
    }
}

impl Journal {
    fn open(path: PathBuf, set: &DidSet) -> Result<Self, AccountsError> {
        let mut file = open_append(&path).map_err(|error| AccountsError::io(&path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AccountsError::Locked(path)),
            Err(TryLockError::Error(error)) => return Err(AccountsError::io(&path, error)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text)
            .map_err(|error| AccountsError::io(&path, error))?;
        // A line that was cut short by a crash has never been answered for.
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        file.set_len(text.len() as u64)
            .map_err(|error| AccountsError::io(&path, error))?;
        for (index, line) in text.lines().enumerate() {
            match line.split_at_checked(1) {
                Some(("+", did)) => drop(
                    set.add(did)
                        .map_err(|error| AccountsError::line(&path, index, did, error.rule()))?,
                ),
                Some(("-", did)) => drop(set.remove(did)),
                _ => {
                    return Err(AccountsError::line(
                        &path,
                        index,
                        line,
                        "neither + nor - before it",
                    ));
                }
            }
        }
        let lines = text.lines().count();
        Ok(Self {
            path,
            file,
            bytes: text.len() as u64,
            lines,
            most_lines: 2 * lines + SPARE_LINES,
        })
    }

    fn append(&mut self, action: Action, dids: &[Did]) -> io::Result<()> {
        if self.lines > self.most_lines {
            self.shorten()?;
        }
        let sign = if action == Action::Add { '+' } else { '-' };
        let text: String = dids.iter().map(|did| format!("{sign}{did}\n")).collect();
        let written = self.file.write_all(text.as_bytes());
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            // So that the next line does not continue where this one was cut short.
            self.file.set_len(self.bytes)?;
            return Err(error);
        }
        self.bytes += text.len() as u64;
        self.lines += dids.len();
        Ok(())
    }

    /// Leaves the last line of each account.
    fn shorten(&mut self) -> io::Result<()> {
        let text = fs::read_to_string(&self.path)?;
        let by_did = |line| Some((str::get(line, 1..)?, line));
        let last: HashMap<&str, &str> = text.lines().filter_map(by_did).collect();
        let short: String = last.values().flat_map(|line| [line, "\n"]).collect();
        let part = self.path.with_extension("part");
        let mut file = open_append(&part)?;
        file.set_len(0)?;
        file.try_lock()?;
        file.write_all(short.as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, &self.path)?;
        if let (true, Some(folder)) = (cfg!(unix), self.path.canonicalize()?.parent()) {
            File::open(folder)?.sync_all()?;
        }
        *self = Self {
            path: std::mem::take(&mut self.path),
            file,
            bytes: short.len() as u64,
            lines: last.len(),
            most_lines: 2 * last.len() + SPARE_LINES,
        };
        Ok(())
    }
}

fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
}

/// Why the accounts cannot be read.
#[derive(Debug, Error)]
pub(crate) enum AccountsError {
    #[error(transparent)]
    File(#[from] Arc<DidFileError>),
    #[error("{path}: {error}")]
    Io { path: String, error: io::Error },
    #[error("{path}:{line}: `{text}` is not a DID: {rule}")]
    Line {
        path: String,
        line: usize,
        text: String,
        rule: &'static str,
    },
    #[error("{0}: another did-spool has it open")]
    Locked(PathBuf),
}

impl AccountsError {
    fn io(path: &Path, error: io::Error) -> Self {
        let path = path.display().to_string();
        Self::Io { path, error }
    }

    fn line(path: &Path, index: usize, text: &str, rule: &'static str) -> Self {
        Self::Line {
            path: path.display().to_string(),
            line: index + 1,
            text: text.chars().take(100).collect(),
            rule,
        }
    }
}

const SPARE_LINES: usize = 10_000;
