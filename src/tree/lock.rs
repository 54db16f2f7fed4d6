//! One run per folder: a lock of the operating system, which dies with its process.
//!
//! **Invariant**: nobody else's lock is broken, and the lock file is never removed; its text is
//! for the reader, the lock alone decides.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use chrono::{DateTime, SecondsFormat, Utc};

use super::disk::{self, Modes};
use super::error::{Doing, TreeError};

/// Who holds a lock: what a second run tells its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The name of the machine.
    pub host: String,
    /// When the run began.
    pub since: DateTime<Utc>,
}

/// A lock that is held as long as this lives.
#[derive(Debug)]
pub(super) struct Lock {
    /// Closing it gives the lock back.
    _file: File,
}

/// Takes the lock in the file `path` on `folder`, or says who holds it.
pub(super) fn take(
    path: &Path,
    folder: &Path,
    holder: &Holder,
    modes: Modes,
) -> Result<Lock, TreeError> {
    if disk::file_bytes(path)?.is_none() {
        match disk::create(path, modes) {
            Err(TreeError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::AlreadyExists => {}
            created => drop(created?),
        }
    }
    let doing = "open the lock file";
    let mut file = OpenOptions::new().read(true).write(true).open(path).doing(doing, path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(TreeError::Locked { path: folder.to_owned(), holder: read_holder(file) });
        }
        Err(TryLockError::Error(error)) => return Err(error).doing("lock", path),
    }
    let since = holder.since.to_rfc3339_opts(SecondsFormat::Secs, true);
    let text = format!("process {} on {} since {since}\n", std::process::id(), holder.host);
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(text.as_bytes()))
        .doing("write", path)?;
    Ok(Lock { _file: file })
}

fn read_holder(file: File) -> String {
    let mut text = String::new();
    // Windows does not even let others read a locked file.
    let _ = file.take(1000).read_to_string(&mut text);
    let text = text.trim();
    if text.is_empty() { "its process is not known".to_owned() } else { text.to_owned() }
}
