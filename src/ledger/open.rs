//! Opening the ledger: a new one, one that is there, or one that is damaged.
//!
//! **Invariant**: a damaged file is set aside, never removed, and no symbolic link is followed.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{Ledger, LedgerError, LedgerErrorKind};
use crate::tree::{Tree, on_disk, verbatim};

/// The name of the ledger, among what a run keeps for itself.
pub const LEDGER_FILE: &str = "ledger.sqlite";

/// What else SQLite may have left beside it.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// "rcbs", so that tools can tell what it is.
const APPLICATION_ID: i64 = 0x7263_6273;

/// One script for each version of the schema, each leading on from the one before.
const MIGRATIONS: [&str; 1] = [include_str!("schema.sql")];

/// How long another program may hold it locked.
const PATIENCE: Duration = Duration::from_secs(20);

/// A ledger, and how it was found.
#[derive(Debug)]
pub struct Opened {
    /// The ledger.
    pub ledger: Ledger,
    /// Whether no backup has written it yet, so that it need not know what the tree holds.
    pub is_new: bool,
    /// Where the damaged one was put, if there was one, below the target.
    pub set_aside: Option<String>,
}

impl Ledger {
    /// Opens the ledger of a tree that this run alone writes to; makes it where there is none, and
    /// sets a damaged one aside.
    pub fn open(tree: &Tree) -> Result<Opened, LedgerError> {
        let opened =
            Ledger::open_to_write(tree).and_then(|ledger| Ok((ledger.has_no_run()?, ledger)));
        match opened {
            Ok((is_new, ledger)) => Ok(Opened { ledger, is_new, set_aside: None }),
            Err(error) if error.kind() == LedgerErrorKind::Damaged => Ledger::open_anew(tree),
            Err(error) => Err(error),
        }
    }

    /// Sets the ledger of a tree aside, whatever state it is in, and makes a new one.
    pub fn open_anew(tree: &Tree) -> Result<Opened, LedgerError> {
        let set_aside = Ledger::set_aside(tree)?;
        let ledger = Ledger::open_to_write(tree)?;
        Ok(Opened { ledger, is_new: true, set_aside: Some(set_aside) })
    }

    /// Moves the ledger to `.rcbs/old/`; gives where it is now, below the target.
    fn set_aside(tree: &Tree) -> Result<String, LedgerError> {
        let path = tree.set_aside(&tree.own(LEDGER_FILE))?;
        for end in BESIDE {
            let beside = tree.own(&format!("{LEDGER_FILE}{end}"));
            if tree.held(&beside)?.is_some() {
                tree.set_aside(&beside)?;
            }
        }
        Ok(path)
    }

    /// Opens the ledger below a folder for reading only, without a lock; none if there is none. A
    /// backup may be at work meanwhile.
    pub fn open_to_read(tree: &Tree) -> Result<Option<Ledger>, LedgerError> {
        let below = tree.own(LEDGER_FILE);
        if tree.held(&below)?.is_none() {
            return Ok(None);
        }
        let path = verbatim(&on_disk(&tree.options().root, &below));
        let reader = connect_to_read(&path).map_err(failed("open", &path))?;
        let ledger = Ledger { path, reader: Mutex::new(reader), writer: None };
        let found = version(&ledger.read()).map_err(ledger.error("read"))?;
        match usize::try_from(found) {
            Ok(found) if (1..=MIGRATIONS.len()).contains(&found) => Ok(Some(ledger)),
            Ok(found) if found > MIGRATIONS.len() => {
                Err(LedgerError::Later { path: ledger.path, found: found as i64 })
            }
            // One that was never finished; the next run does.
            _ => Ok(None),
        }
    }

    /// Reads all of it and tells whether its structure is as it should be.
    pub fn is_sound(&self) -> Result<bool, LedgerError> {
        let query = "PRAGMA quick_check(1)";
        let said = self.read().query_row(query, [], |row| row.get::<_, String>(0));
        match said.map_err(self.error("check")) {
            Ok(said) => Ok(said == "ok"),
            Err(error) if error.kind() == LedgerErrorKind::Damaged => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the error that it is damaged, where that was told and not met.
    pub fn damaged(&self) -> LedgerError {
        self.error("use")(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            None,
        ))
    }

    fn open_to_write(tree: &Tree) -> Result<Ledger, LedgerError> {
        let below = tree.own(LEDGER_FILE);
        tree.ensure_file(&below)?;
        for end in BESIDE {
            tree.held(&format!("{below}{end}"))?;
        }
        let path = verbatim(&on_disk(&tree.options().root, &below));
        // Servers and file systems in user space have no shared memory for a log, nor have two
        // machines, and those of other instances read this one.
        let has_log = tree.is_on_local_disk() && !tree.is_shared();
        let journal = if has_log { "WAL" } else { "TRUNCATE" };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let writer = connect(&path, flags)?;
            writer.pragma_update(None, "journal_mode", journal)?;
            writer.pragma_update(None, "synchronous", "FULL")?;
            let found = version(&writer)?;
            if found as usize > MIGRATIONS.len() {
                return Ok(Err(found));
            }
            migrate(&writer, found)?;
            let reader = connect(&path, flags)?;
            reader.pragma_update(None, "query_only", true)?;
            Ok(Ok((reader, writer)))
        };
        match open().map_err(failed("open", &path))? {
            Ok((reader, writer)) => {
                Ok(Ledger { path, reader: Mutex::new(reader), writer: Some(Mutex::new(writer)) })
            }
            Err(found) => Err(LedgerError::Later { path, found }),
        }
    }
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    #[cfg(not(windows))]
    let connection = Connection::open_with_flags(path, flags)?;
    // The usual one stops at a thousand bytes.
    #[cfg(windows)]
    let connection = Connection::open_with_flags_and_vfs(path, flags, "win32-longpath")?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "cache_size", -4_000)?;
    // A partial index would have every query compiled anew for its values.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Connects to read, with as few rights as it takes: who may write leaves no log behind at the end;
/// who may only read needs one that is there; and on a medium that cannot be written SQLite asks to
/// be told that nobody writes.
fn connect_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let immutable = format!("file:{}?immutable=1", escaped(path));
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let read_only = flags | OpenFlags::SQLITE_OPEN_READ_ONLY;
    let attempt = |path: &Path, flags| {
        let connection = connect(path, flags)?;
        connection.pragma_update(None, "query_only", true)?;
        version(&connection)?;
        Ok(connection)
    };
    attempt(path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE)
        .or_else(|_| attempt(path, read_only))
        .or_else(|_| attempt(Path::new(&immutable), read_only | OpenFlags::SQLITE_OPEN_URI))
}

/// Reads the version of the schema; 0 where there is none yet.
fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn migrate(connection: &Connection, found: i64) -> rusqlite::Result<()> {
    for (at, script) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        let transaction = connection.unchecked_transaction()?;
        transaction.execute_batch(script)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", at as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

fn failed(doing: &'static str, path: &Path) -> impl Fn(rusqlite::Error) -> LedgerError {
    let path = path.to_owned();
    move |source| LedgerError::Sqlite { doing, path: path.clone(), source }
}

fn escaped(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}
