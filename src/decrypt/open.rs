//! Opens one file.
//!
//! Given the path of a sealed file and the keys, gives the plaintext as a staged file.
//!
//! **Invariant**: constant memory for a file of any size. What fails is staged no longer, and no
//! message tells a wrong key from a damaged content.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::envelope::{ContentKey, Head, HeadError, LONGEST_HEAD, OpenError, Opener};
use crate::keyring::{Keyring, NoKey};
use crate::tree::{Staged, Tree, TreeError};

use super::record::Known;

/// How much is read, and how much is written, at once.
pub(super) const PIECE_BYTES: usize = 256 << 10;

/// Why a file is not opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// The file cannot be read.
    #[error("cannot read it")]
    Read(#[source] io::Error),
    /// It does not begin as an envelope.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// No key opens it.
    #[error(transparent)]
    Key(#[from] NoKey),
    /// The content does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The plaintext is not what was recorded.
    #[error(
        "it opens to {opened} bytes, but its metadata says {expected}; `--any-size` writes it all \
         the same"
    )]
    Size {
        /// What came out.
        opened: u64,
        /// What should have.
        expected: u64,
    },
    /// The output cannot be written; this ends the run.
    #[error(transparent)]
    Output(#[from] TreeError),
}

/// What one thread needs for opening, used again for each file.
pub(super) struct Hands<'a> {
    keyring: &'a Keyring,
    pub(super) out: &'a Tree,
    sealed: Vec<u8>,
    plain: Vec<u8>,
}

impl<'a> Hands<'a> {
    pub(super) fn new(keyring: &'a Keyring, out: &'a Tree) -> Self {
        let (sealed, plain) = (vec![0; PIECE_BYTES], Vec::with_capacity(PIECE_BYTES + 64));
        Self { keyring, out, sealed, plain }
    }

    /// Opens a file whose plaintext is `known` to some degree; `count` is told how many bytes were
    /// read, whenever there are some.
    pub(super) fn open(
        &mut self,
        path: &Path,
        known: &Known,
        count: &mut dyn FnMut(u64),
    ) -> Result<(Staged, u64), FileError> {
        let mut file = File::open(path).map_err(FileError::Read)?;
        let mut first = fill(&mut file, &mut self.sealed, 0)?;
        let head = loop {
            match Head::read(&self.sealed[..first]) {
                // It has many recipients.
                Err(HeadError::Incomplete)
                    if first == self.sealed.len() && first < LONGEST_HEAD =>
                {
                    self.sealed.resize(LONGEST_HEAD, 0);
                    first = fill(&mut file, &mut self.sealed, first)?;
                }
                head => break head?,
            }
        };
        let keyring = self.keyring;
        let mut failed = None;
        for candidate in keyring.candidates(&head, &known.cert_alias) {
            if failed.is_some() {
                file.seek(SeekFrom::Start(0)).map_err(FileError::Read)?;
                first = fill(&mut file, &mut self.sealed, 0)?;
            }
            let count: &mut dyn FnMut(u64) = if failed.is_none() { count } else { &mut |_| {} };
            match self.unseal(&mut file, first, &head, &candidate.content_key, known.bytes, count) {
                // Another key may be the right one.
                Err(
                    error @ (FileError::Open(OpenError::KeyOrContent) | FileError::Size { .. }),
                ) => drop(failed.get_or_insert(error)),
                opened => return opened,
            }
        }
        Err(failed.unwrap_or_else(|| keyring.reason(&head).into()))
    }

    /// Opens a file with a key, where its first piece has been read.
    fn unseal(
        &mut self,
        file: &mut File,
        first: usize,
        head: &Head,
        key: &ContentKey,
        expected: Option<u64>,
        count: &mut dyn FnMut(u64),
    ) -> Result<(Staged, u64), FileError> {
        let mut opener = Opener::new(head, key)?;
        let mut staged = self.out.stage()?;
        let mut opened = 0;
        self.plain.clear();
        let (mut start, mut end) = (head.bytes, first);
        while end > 0 {
            count(end as u64);
            opener.update(&self.sealed[start..end], &mut self.plain)?;
            opened += flush(&mut staged, &mut self.plain)?;
            // A short piece is the last one.
            let is_last = end < self.sealed.len();
            (start, end) = (0, if is_last { 0 } else { fill(file, &mut self.sealed, 0)? });
        }
        opener.finish(&mut self.plain)?;
        opened += flush(&mut staged, &mut self.plain)?;
        match expected {
            Some(expected) if expected != opened => Err(FileError::Size { opened, expected }),
            _ => Ok((staged, opened)),
        }
    }
}

/// Reads until the buffer is full from an offset on, or the file ends; gives where that is.
fn fill(file: &mut File, buffer: &mut [u8], from: usize) -> Result<usize, FileError> {
    let mut end = from;
    while end < buffer.len() {
        match file.read(&mut buffer[end..]) {
            Ok(0) => break,
            Ok(bytes) => end += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(FileError::Read(error)),
        }
    }
    Ok(end)
}

fn flush(staged: &mut Staged, plain: &mut Vec<u8>) -> Result<u64, TreeError> {
    if !plain.is_empty() {
        staged.write_all(plain)?;
    }
    let bytes = plain.len() as u64;
    plain.clear();
    Ok(bytes)
}
