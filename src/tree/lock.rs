//! One run per folder: a lock of the operating system, which dies with its process.
//!
//! **Invariant**: nobody else's lock is broken, and the lock file is never removed; its text is
//! for the reader, the lock alone decides.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use super::disk::{self, Modes};
use super::error::{Doing, LOCK, TreeError};
use super::flush;

/// Who holds a lock: what a second run tells its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The name of the machine.
    pub host: String,
    /// When the run began.
    pub since: DateTime<Utc>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.since.to_rfc3339_opts(SecondsFormat::Secs, true);
        write!(f, "process {} on {} since {since}", std::process::id(), self.host)
    }
}

/// Locks that are held as long as this lives.
#[derive(Debug)]
pub(super) struct Lock {
    /// Closing them gives the locks back.
    files: Vec<File>,
}

impl Lock {
    /// Holds another one as well.
    pub(super) fn add(&mut self, other: Lock) {
        self.files.extend(other.files);
    }

    /// Says who holds it to whoever is refused, where the system lets several write to the file.
    pub(super) fn tell(&mut self, text: &str) {
        for file in &mut self.files {
            let _ = tell(file, text);
        }
    }
}

fn tell(file: &mut File, text: &str) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{text}\n").as_bytes())?;
    // Other machines see what their server has.
    if flush::is_on_local_disk(file) { Ok(()) } else { file.sync_data() }
}

/// How often, and how long each time, a lock is waited for that others hold for a moment.
const TRIES: u32 = 600;
const BETWEEN: Duration = Duration::from_millis(50);

/// Takes the lock in the file `path` on `folder`, or says who holds it.
pub(super) fn take(
    path: &Path,
    folder: &Path,
    holder: &Holder,
    modes: Modes,
) -> Result<Lock, TreeError> {
    let mut file = open(path, modes)?;
    if !is_free(file.try_lock(), path)? {
        return Err(TreeError::Locked { path: folder.to_owned(), holder: read_holder(file) });
    }
    tell(&mut file, &holder.to_string()).doing("write", path)?;
    Ok(Lock { files: vec![file] })
}

/// Takes the lock together with others who do the same.
pub(super) fn take_shared(path: &Path, folder: &Path, modes: Modes) -> Result<Lock, TreeError> {
    let file = open(path, modes)?;
    if !is_free(file.try_lock_shared(), path)? {
        return Err(TreeError::Locked { path: folder.to_owned(), holder: read_holder(file) });
    }
    Ok(Lock { files: vec![file] })
}

/// Takes a lock that nobody holds for long, and waits for it.
pub(super) fn wait(path: &Path, folder: &Path, modes: Modes) -> Result<Lock, TreeError> {
    let file = open(path, modes)?;
    for _ in 0..TRIES {
        if is_free(file.try_lock(), path)? {
            return Ok(Lock { files: vec![file] });
        }
        std::thread::sleep(BETWEEN);
    }
    Err(TreeError::Locked { path: folder.to_owned(), holder: read_holder(file) })
}

/// Says who holds a lock, if somebody does.
pub(super) fn holder(path: &Path) -> Result<Option<String>, TreeError> {
    if disk::file_bytes(path)?.is_none() {
        return Ok(None);
    }
    let file = reopen(path)?;
    Ok(if is_free(file.try_lock(), path)? { None } else { Some(read_holder(file)) })
}

fn open(path: &Path, modes: Modes) -> Result<File, TreeError> {
    if disk::file_bytes(path)?.is_none() {
        match disk::create(path, modes) {
            Err(TreeError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::AlreadyExists => {}
            created => drop(created?),
        }
    }
    reopen(path)
}

fn reopen(path: &Path) -> Result<File, TreeError> {
    OpenOptions::new().read(true).write(true).open(path).doing("open the lock file", path)
}

fn is_free(tried: Result<(), TryLockError>, path: &Path) -> Result<bool, TreeError> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error).doing(LOCK, path),
    }
}

fn read_holder(file: File) -> String {
    let mut text = String::new();
    // Windows does not even let others read a locked file.
    let _ = file.take(1000).read_to_string(&mut text);
    let text = text.trim();
    if text.is_empty() { "its process is not known".to_owned() } else { text.to_owned() }
}
