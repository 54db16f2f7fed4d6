//! What is held, what failed and what each run did, in one SQLite file that any tool can read.
//!
//! Is given what became of recordings, a group at a time; gives it back by recording, by time, and
//! page by page. `docs/ledger.md` documents the schema.
//!
//! **Invariant**: what it says is held was on stable storage before it was written down, and it is
//! never the only place of anything that is needed to hold a recording: it can be made again.

mod all;
mod entry;
mod inherit;
mod open;
mod read;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests damage files")]
mod tests;
mod write;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, ErrorCode};

pub use all::Ledgers;
pub use entry::{
    Accepted, Change, Entry, FailureEntry, MediaEntry, MetadataEntry, RunEntry, SourceHash, Sum,
    record_hash,
};
pub use inherit::Inherited;
pub use open::{LEDGER_FILE, Opened};
pub use read::{Failing, Key, Totals};
pub use write::RunKey;

use crate::tree::TreeError;

/// The ledger of one target.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    /// Two, so that what is looked up need not wait for what is being written.
    reader: Mutex<Connection>,
    /// None where it was opened for reading only.
    writer: Option<Mutex<Connection>>,
}

/// Says why the ledger cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite refused.
    #[error("cannot {doing} the ledger `{}`", path.display())]
    Sqlite {
        /// A verb.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file was made by a later version of this program.
    #[error("the ledger `{}` was written by a later version of rcbs (schema {found})", path.display())]
    Later {
        /// The file.
        path: PathBuf,
        /// The version of its schema.
        found: i64,
    },
    /// The disk refused.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// The kinds of failure that ask for different help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerErrorKind {
    /// The file is not what it should be.
    Damaged,
    /// The disk is full.
    Full,
    /// It may not be written.
    Denied,
    /// Another program holds it locked for too long.
    Busy,
    /// A later version made it.
    Later,
    /// The disk failed.
    Disk,
    /// Anything else.
    Other,
}

impl LedgerError {
    /// Tells which help it asks for.
    pub fn kind(&self) -> LedgerErrorKind {
        let LedgerError::Sqlite { source, .. } = self else {
            return match self {
                LedgerError::Later { .. } => LedgerErrorKind::Later,
                _ => LedgerErrorKind::Other,
            };
        };
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => LedgerErrorKind::Damaged,
            Some(ErrorCode::DiskFull) => LedgerErrorKind::Full,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => LedgerErrorKind::Denied,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => LedgerErrorKind::Busy,
            Some(ErrorCode::SystemIoFailure) => LedgerErrorKind::Disk,
            Some(_) => LedgerErrorKind::Other,
            // A value that cannot be there, a table or column that is missing.
            None => LedgerErrorKind::Damaged,
        }
    }

    /// Says what the operator can do, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match (self, self.kind()) {
            (LedgerError::Tree(error), _) => error.hint(),
            (_, LedgerErrorKind::Damaged) => {
                Some("run `rcbs rebuild`, which sets it aside and makes it again from the tree")
            }
            (_, LedgerErrorKind::Full) => {
                Some("make room on the disk or raise the quota, then run again")
            }
            (_, LedgerErrorKind::Denied) => Some("let the user of this run write there"),
            (_, LedgerErrorKind::Busy) => Some("close the program that has it open"),
            (_, LedgerErrorKind::Later) => Some("install the latest version of rcbs"),
            (_, LedgerErrorKind::Disk) => {
                Some("see whether the disk is mounted, writable and sound, then run again")
            }
            (_, LedgerErrorKind::Other) => None,
        }
    }
}

impl Ledger {
    fn read(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> LedgerError {
        move |source| LedgerError::Sqlite { doing, path: self.path.clone(), source }
    }
}
