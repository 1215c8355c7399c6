//! Brings the files of `did-spool` into SQLite: each exactly once, whatever happens.
//!
//! A file and its number go into the database in one transaction. While the database is away or
//! locked, the files wait. The posts of an account that was deleted are removed; those of one that
//! is taken down, suspended or deactivated stay, but are not in the view `shown`.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use clap::Parser;
use jetwash::Operation;
use jetwash::event::{Body, ParsedEvent};
use jetwash_spool::{SpoolFile, SpoolReadError, SpoolReader};
use rusqlite::{Connection, Transaction, params};

#[derive(Debug, Parser)]
struct Arguments {
    /// The folder that `did-spool` writes to.
    #[arg(long, default_value = "did-spool/spool")]
    spool: PathBuf,
    /// The database.
    #[arg(long, default_value = "posts.sqlite")]
    database: PathBuf,
    /// Remove loaded files only when they are this number of seconds old.
    #[arg(long, default_value_t = 0.0)]
    keep: f64,
    /// End when all files are loaded, instead of waiting for more.
    #[arg(long)]
    once: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("did-spool-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let keep = Duration::try_from_secs_f64(arguments.keep)?;
    let mut wait = FIRST_WAIT;
    loop {
        match load_all(arguments, keep) {
            Ok(()) if arguments.once => return Ok(()),
            Ok(()) => wait = FIRST_WAIT,
            // Going on would leave something out, so somebody has to look.
            Err(error) if matches!(error.downcast_ref(), Some(SpoolReadError::Removed { .. })) => {
                return Err(error);
            }
            Err(error) => {
                wait = (2 * wait).min(LONGEST_WAIT);
                eprintln!("did-spool-load: {error}; again in {wait:?}");
            }
        }
        sleep(wait);
    }
}

/// Loads what there is, and lets go of it.
fn load_all(arguments: &Arguments, keep: Duration) -> Result<(), Box<dyn Error>> {
    let mut spool = SpoolReader::open(&arguments.spool)?.keep_loaded(keep);
    let mut database = Connection::open(&arguments.database)?;
    database.execute_batch(TABLES)?;
    let last = "SELECT coalesce(max(number), 0) FROM files";
    let mut loaded: u64 = database.query_row(last, [], |row| row.get(0))?;
    for file in spool.files_after(loaded)? {
        let transaction = database.transaction()?;
        load(&transaction, &file)?;
        transaction.commit()?;
        loaded = file.number();
        println!("file {loaded}: {} events", file.events());
    }
    spool.remove_through(loaded)?;
    Ok(())
}

/// Loads a file, one row for each `(did, path)` with its latest revision, and one for each account
/// with its latest status.
///
/// Should events come again, then in order and to the end. So a post of before, whose revision is
/// not later, changes nothing, and what an account's deletion removed it removes again.
fn load(transaction: &Transaction<'_>, file: &SpoolFile) -> Result<(), Box<dyn Error>> {
    let mut upsert = transaction.prepare(UPSERT)?;
    let mut status = transaction.prepare("REPLACE INTO accounts VALUES (?1, ?2, ?3, ?4)")?;
    let mut forget = transaction.prepare("DELETE FROM posts WHERE did = ?1")?;
    for line in file.lines()? {
        let event: ParsedEvent = serde_json::from_str(&line?)?;
        let did = event.did.as_str();
        match &event.body {
            Body::Commit(commit) => {
                // A post that was deleted leaves its key, so that nothing older brings it back.
                let record = match commit.operation {
                    Operation::Delete => None,
                    _ => commit.record.as_ref().map(|record| record.get()),
                };
                let path = format!("{}/{}", commit.collection, commit.rkey);
                upsert.execute(params![
                    did,
                    path,
                    commit.rev.as_str(),
                    event.time_us.get(),
                    record
                ])?;
            }
            Body::Account(account) => {
                let why = account.status.as_deref();
                status.execute(params![did, account.active, why, event.time_us.get()])?;
                if !account.active && why == Some("deleted") {
                    forget.execute([did])?;
                }
            }
            Body::Identity(_) | Body::Sync(_) => {}
        }
    }
    transaction.execute(
        "INSERT INTO files (number, events) VALUES (?1, ?2)",
        [file.number(), file.events()],
    )?;
    Ok(())
}

const TABLES: &str = "
    PRAGMA busy_timeout = 1000;
    PRAGMA journal_mode = WAL;
    CREATE TABLE IF NOT EXISTS files (number INTEGER PRIMARY KEY, events INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS posts (
        did TEXT NOT NULL,
        path TEXT NOT NULL,
        rev TEXT NOT NULL,
        time_us INTEGER NOT NULL,
        record TEXT, -- NULL once it has been deleted
        PRIMARY KEY (did, path)
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX IF NOT EXISTS changes ON posts (did, rev, path);
    CREATE TABLE IF NOT EXISTS accounts (
        did TEXT PRIMARY KEY,
        active INTEGER NOT NULL,
        status TEXT, -- why it is not active, if that was said
        time_us INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE VIEW IF NOT EXISTS shown AS
        SELECT * FROM posts
        WHERE record IS NOT NULL AND did NOT IN (SELECT did FROM accounts WHERE NOT active);
";

const UPSERT: &str = "
    INSERT INTO posts (did, path, rev, time_us, record) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (did, path) DO UPDATE
    SET rev = excluded.rev, time_us = excluded.time_us, record = excluded.record
    WHERE excluded.rev > rev
";

const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
