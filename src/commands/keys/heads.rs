//! The heads of all media files below some folders, on all cores.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;

use crate::envelope::{Head, HeadError, LONGEST_HEAD};
use crate::error::Error;
use crate::http::chain;
use crate::threads::in_order;
use crate::tree::{Found, TreeError, Walked, walk};

/// How much of a file is read at first; nearly all heads are shorter.
const FIRST_READ: usize = 8 * 1024;

/// One folder of a recording.
pub(super) struct Folder {
    /// The root that it lies below.
    root: PathBuf,
    /// What lies in it.
    pub(super) files: Walked,
}

impl Folder {
    /// Names one of its files for people.
    pub(super) fn name(&self, file: &Found) -> String {
        self.on_disk(file).display().to_string()
    }

    /// Reads the head of one of its media files.
    pub(super) fn head(&self, file: &Found, buffer: &mut Vec<u8>) -> Result<Head, String> {
        head(&self.on_disk(file), file.bytes, buffer)
    }

    fn on_disk(&self, file: &Found) -> PathBuf {
        self.root.join(&self.files.path).join(&file.name)
    }
}

/// Looks at every folder below the roots, on all cores, and hands over what came of it in the
/// order of the folders; stops at the first error of `take`.
pub(super) fn each<T: Send>(
    roots: &[PathBuf],
    look: impl Fn(&Folder) -> T + Sync,
    mut take: impl FnMut(Result<(Folder, T), TreeError>) -> Result<(), Error>,
) -> Result<(), Error> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let folders = roots.iter().flat_map(|root| {
        walk(root, "").map(|files| Ok(Folder { root: root.clone(), files: files? }))
    });
    let look = |(): &mut (), folder: Result<Folder, TreeError>| {
        folder.map(|folder| {
            let found = look(&folder);
            (folder, found)
        })
    };
    in_order(threads, folders, || (), look, &mut take)
}

/// Reads as much of a file as its head is long, mostly at one stroke.
fn head(path: &Path, file_bytes: u64, buffer: &mut Vec<u8>) -> Result<Head, String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let most = usize::try_from(file_bytes).unwrap_or(usize::MAX).min(LONGEST_HEAD);
    let mut filled = 0;
    let mut wanted = FIRST_READ.min(most);
    loop {
        buffer.resize(buffer.len().max(wanted), 0);
        while filled < wanted {
            match file.read(&mut buffer[filled..wanted]) {
                Ok(0) => return Err("it became shorter while it was read".to_owned()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        match Head::read(&buffer[..filled]) {
            Ok(head) => return Ok(head),
            Err(HeadError::Incomplete) if filled < most => wanted = (filled * 8).min(most),
            Err(error) => return Err(chain(&error)),
        }
    }
}
