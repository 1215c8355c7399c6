use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jetwash::{Change, Cursor, Event};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use thiserror::Error;

use crate::rule::{Post, Rule};

/// The posts of the feed and how far it has come, in an SQLite database.
#[derive(Debug)]
pub struct Index {
    connection: Mutex<Connection>,
}

/// Some of the feed, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The addresses of the posts.
    pub posts: Vec<String>,
    /// Where the next page starts; `None` if there is nothing more.
    pub next: Option<u64>,
}

impl Index {
    /// Opens the database of a path, or one in memory.
    ///
    /// # Errors
    ///
    /// When SQLite cannot open it.
    pub fn open(path: Option<&Path>) -> Result<Self, IndexError> {
        let connection = match path {
            Some(path) => Connection::open(path)?,
            None => Connection::open_in_memory()?,
        };
        connection.execute_batch(SCHEMA)?;
        let connection = Mutex::new(connection);
        let index = Self { connection };
        index.move_statuses()?;
        Ok(index)
    }

    /// A database of before had the account's status on each of its posts.
    fn move_statuses(&self) -> Result<(), IndexError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        let find = "SELECT COUNT(*) FROM pragma_table_info('post') WHERE name = 'is_hidden'";
        let columns: i64 = transaction.query_row(find, [], |row| row.get(0))?;
        if columns > 0 {
            transaction.execute_batch(
                "INSERT OR IGNORE INTO away SELECT DISTINCT did FROM post WHERE is_hidden;
                 ALTER TABLE post DROP COLUMN is_hidden;",
            )?;
        }
        Ok(transaction.commit()?)
    }

    /// The position up to which everything is in the index; `None` if nothing ever was.
    ///
    /// # Errors
    ///
    /// When SQLite fails.
    pub fn cursor(&self) -> Result<Option<Cursor>, IndexError> {
        let find = "SELECT position FROM cursor";
        let found = self.connection().query_row(find, [], |row| row.get(0));
        let found: Option<i64> = found.optional()?;
        Ok(found.map(|position| Cursor::new(position.unsigned_abs())))
    }

    /// Takes in events up to `cursor`: all of it, or on an error nothing.
    ///
    /// # Errors
    ///
    /// When SQLite fails, or a line is not an event.
    pub fn apply(&self, events: &[Event], cursor: Cursor, rule: &Rule) -> Result<(), IndexError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        for event in events {
            apply(&transaction, event, rule)?;
        }
        if let Some(newest) = events.last() {
            let oldest = newest.time_us().get().saturating_sub(KEPT_US);
            transaction.execute("DELETE FROM post WHERE time_us < ?1", [signed(oldest)])?;
        }
        let save = "INSERT INTO cursor VALUES (0, ?1) ON CONFLICT DO UPDATE SET position = ?1";
        transaction.execute(save, [signed(cursor.get())])?;
        Ok(transaction.commit()?)
    }

    /// Up to `limit` posts of the feed, those before `before` if it is given.
    ///
    /// # Errors
    ///
    /// When SQLite fails.
    pub fn page(&self, limit: usize, before: Option<u64>) -> Result<Page, IndexError> {
        let connection = self.connection();
        let mut query = connection.prepare(
            "SELECT time_us, uri FROM post WHERE time_us < ?1 AND did NOT IN (SELECT did FROM away)
             ORDER BY time_us DESC LIMIT ?2",
        )?;
        let bounds = params![signed(before.unwrap_or(u64::MAX)), signed(limit as u64)];
        let rows = query.query_map(bounds, |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows: Vec<(i64, String)> = rows.collect::<Result<_, _>>()?;
        // A page that is not full is the last.
        let is_full = rows.len() == limit;
        let next = rows.last().filter(|_| is_full);
        Ok(Page {
            next: next.map(|(time_us, _)| time_us.unsigned_abs()),
            posts: rows.into_iter().map(|(_, uri)| uri).collect(),
        })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A transaction that a panic left behind was rolled back when it was dropped.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the index cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IndexError {
    /// An event that cannot be parsed.
    #[error("an event cannot be parsed: {0}")]
    Event(#[from] serde_json::Error),
    /// The database fails.
    #[error("the feed's database: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// Takes in one event. That it comes again does no harm.
fn apply(transaction: &Transaction<'_>, event: &Event, rule: &Rule) -> Result<(), IndexError> {
    let (did, uri) = (event.did(), event.uri());
    match event.change()? {
        Change::Create(commit) | Change::Update(commit) => {
            // A record of another type does not belong into the feed.
            if commit.record().is_ok_and(|post: Post| rule.matches(&post)) {
                let sql = "INSERT INTO post VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
                transaction.execute(sql, params![uri, did, signed(event.time_us().get())])?;
            } else {
                transaction.execute("DELETE FROM post WHERE uri = ?1", [uri])?;
            }
        }
        Change::Delete(_) => {
            transaction.execute("DELETE FROM post WHERE uri = ?1", [uri])?;
        }
        Change::Account(account) => {
            if account.status.as_deref() == Some("deleted") {
                transaction.execute("DELETE FROM post WHERE did = ?1", [did])?;
            }
            // Of the account, not of its posts: some may arrive while it is away.
            let sql = if account.active {
                "DELETE FROM away WHERE did = ?1"
            } else {
                "INSERT OR IGNORE INTO away VALUES (?1)"
            };
            transaction.execute(sql, [did])?;
        }
        // Posts are named by DID, which stays.
        // A feed that must be right would fetch the posts of the account again at a sync.
        Change::Identity(_) | Change::Sync(_) => {}
    }
    Ok(())
}

/// SQLite's integers have a sign.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS post (
        uri TEXT PRIMARY KEY,
        did TEXT NOT NULL,
        time_us INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS post_by_time ON post (time_us);
    CREATE INDEX IF NOT EXISTS post_by_did ON post (did);
    CREATE TABLE IF NOT EXISTS away (did TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS cursor (
        id INTEGER PRIMARY KEY CHECK (id = 0),
        position INTEGER NOT NULL
    );
";

/// How long posts are kept, in microseconds: nobody scrolls further than a week.
const KEPT_US: u64 = 7 * 24 * 3600 * 1_000_000;
