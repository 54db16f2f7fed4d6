//! A file on its way into the tree.
//!
//! Is given bytes, in order or at offsets; gives them back for checking. Only publishing it
//! gives it a final name; dropped before that, it is gone.
//!
//! **Invariant**: it lies in the `staged/` of its run, where no reader of the tree looks.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::{self, Modes};
use super::error::{Doing, TreeError};

/// A file that is being written.
#[derive(Debug)]
pub struct Staged {
    /// Files that were opened later have higher ones.
    pub(super) order: u64,
    file: File,
    /// Removes it, unless it has been moved.
    leftover: Leftover,
}

#[derive(Debug)]
struct Leftover {
    path: PathBuf,
    is_moved: bool,
}

impl Drop for Leftover {
    fn drop(&mut self) {
        if !self.is_moved {
            // What cannot be removed here is removed by the next run.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Staged {
    pub(super) fn create(
        path: PathBuf,
        modes: Modes,
        counter: &AtomicU64,
    ) -> Result<Self, TreeError> {
        let file = disk::create(&path, modes)?;
        // Counted now that it is open: who gets a higher number has written nothing yet.
        let order = counter.fetch_add(1, Ordering::AcqRel);
        Ok(Self { order, file, leftover: Leftover { path, is_moved: false } })
    }

    /// Appends bytes to what [`write_all`](Self::write_all) has written before.
    pub fn write_all(&mut self, bytes: &[u8]) -> Result<(), TreeError> {
        self.file.write_all(bytes).doing("write", self.path())
    }

    /// Writes bytes at an offset, from any thread.
    pub fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), TreeError> {
        write_all_at(&self.file, offset, bytes).doing("write", self.path())
    }

    /// Gives the length so far, in bytes.
    pub fn bytes(&self) -> Result<u64, TreeError> {
        self.file.metadata().map(|metadata| metadata.len()).doing("look at", self.path())
    }

    /// Opens it for reading from its start.
    fn reader(&self) -> Result<File, TreeError> {
        File::open(self.path()).doing("read", self.path())
    }

    /// Gives a range of it, piece by piece, as it stands on the disk.
    pub fn read_back(
        &self,
        range: Range<u64>,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), TreeError> {
        let mut reader = self.reader()?;
        reader.seek(SeekFrom::Start(range.start)).doing("read", self.path())?;
        let mut reader = reader.take(range.end - range.start);
        // So much stays in the cache next to the processor until it is summed up.
        let mut buffer = vec![0; 128 << 10];
        loop {
            match reader.read(&mut buffer).doing("read", self.path())? {
                0 => return Ok(()),
                bytes => take(&buffer[..bytes]),
            }
        }
    }

    /// Tells whether another file has the same bytes.
    pub(super) fn is_same(&self, other: &Path) -> Result<bool, TreeError> {
        if disk::file_bytes(other)? != Some(self.bytes()?) {
            return Ok(false);
        }
        let mut reader = self.reader()?;
        let mut other_reader = File::open(other).doing("read", other)?;
        let (mut buffer, mut other_buffer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        loop {
            let bytes = reader.read(&mut buffer).doing("read", self.path())?;
            if bytes == 0 {
                return Ok(true);
            }
            other_reader.read_exact(&mut other_buffer[..bytes]).doing("read", other)?;
            if buffer[..bytes] != other_buffer[..bytes] {
                return Ok(false);
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.leftover.path
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Puts it on stable storage.
    pub(super) fn sync(&self) -> Result<(), TreeError> {
        self.file.sync_all().doing("put on stable storage", self.path())
    }

    /// Ends the writing of a file that has been put on stable storage.
    pub(super) fn finished(self) -> Finished {
        Finished(self.leftover)
    }
}

/// A staged file that is whole and on stable storage.
#[derive(Debug)]
pub(super) struct Finished(Leftover);

impl Finished {
    /// Makes sure that it is still where it was staged.
    pub(super) fn look(&self) -> Result<(), TreeError> {
        fs::symlink_metadata(&self.0.path).map(drop).doing("find again", &self.0.path)
    }

    /// Gives it its final name. It may be tried again after a failure.
    pub(super) fn rename(&mut self, to: &Path) -> Result<(), TreeError> {
        disk::rename(&self.0.path, to)?;
        self.0.is_moved = true;
        Ok(())
    }

    /// Gives it its final name, unless something has that by now; tells whether it has it.
    pub(super) fn rename_new(&mut self, to: &Path) -> Result<bool, TreeError> {
        self.0.is_moved = disk::rename_new(&self.0.path, to)?;
        Ok(self.0.is_moved)
    }
}

/// Removes what earlier runs left, and tells how many files that were.
pub(super) fn remove_leftovers(folder: &Path) -> Result<u64, TreeError> {
    let mut leftovers = 0;
    for entry in fs::read_dir(folder).doing("list", folder)? {
        let entry = entry.doing("list", folder)?;
        if entry.file_type().doing("look at", &entry.path())?.is_file() {
            fs::remove_file(entry.path()).doing("remove", &entry.path())?;
            leftovers += 1;
        }
    }
    Ok(leftovers)
}

#[cfg(unix)]
fn write_all_at(file: &File, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut offset: u64, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        offset += written as u64;
        bytes = &bytes[written..];
    }
    Ok(())
}
