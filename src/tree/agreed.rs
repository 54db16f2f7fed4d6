//! A small file outside of any tree that several processes agree on.
//!
//! **Invariant**: one process at a time looks and decides; the file is replaced at one stroke, and
//! what it says is on stable storage before it is taken to be so.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::error::{Doing, TreeError};
use super::{Modes, disk, lock};

/// Lets `decide` look at the file and give what shall stand there instead, if something shall.
pub fn agree<T, E: From<TreeError>>(
    path: &Path,
    modes: Modes,
    decide: impl FnOnce(Option<&[u8]>) -> Result<(Option<Vec<u8>>, T), E>,
) -> Result<T, E> {
    disk::make_root(folder(path), modes)?;
    let _gate = lock::wait(&beside(path, ".lock"), path, modes)?;
    disk::ask_anew(folder(path))?;
    let (new, agreed) = decide(disk::read(path)?.as_deref())?;
    if let Some(bytes) = new {
        replace(path, &bytes, modes)?;
    }
    Ok(agreed)
}

/// Reads such a file without changing anything.
pub fn agreed(path: &Path) -> Result<Option<Vec<u8>>, TreeError> {
    disk::read(path)
}

/// Replaces the file; for whoever keeps others from doing so meanwhile.
pub(super) fn replace(path: &Path, bytes: &[u8], modes: Modes) -> Result<(), TreeError> {
    let new = beside(path, ".new");
    if disk::file_bytes(&new)?.is_some() {
        fs::remove_file(&new).doing("remove", &new)?;
    }
    let mut file = disk::create(&new, modes)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).doing("write", &new)?;
    disk::rename(&new, path)?;
    disk::sync_folder(folder(path))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(end);
    path.with_file_name(name)
}
