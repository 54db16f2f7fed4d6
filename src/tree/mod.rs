//! The directory tree that recordings are kept in: the only module that writes to the disk.
//!
//! Is given staged files with the folder and name they shall have; gives what is held.
//!
//! **Invariant**: nothing stands under a final name before it is whole and on stable storage,
//! nothing under a final name is ever lost (it moves to `.rcbs/old/`), and below the root no
//! symbolic link is followed.
#![expect(clippy::disallowed_methods, reason = "this is the module that writes to the disk")]

mod agreed;
mod disk;
mod error;
mod fleet;
mod flush;
mod group;
mod lock;
mod places;
mod staged;
#[cfg(test)]
mod tests;
mod walk;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use openssl::sha::sha256;

pub use agreed::{agree, agreed};
pub use disk::{Modes, verbatim};
pub use error::{TreeError, TreeErrorKind};
pub use fleet::{Fleet, Share};
pub use group::{Placement, Unsettled, aside};
pub use lock::Holder;
pub use staged::Staged;
pub use walk::{Found, Walk, Walked, joined, on_disk, walk, walk_all};

use crate::instance::Instance;
use crate::layout::{metadata_name, safe_name};
use disk::Seen;
use error::Doing;
use lock::Lock;
use places::{Place, Places};

/// The folder of the tree's own files.
const OWN: &str = ".rcbs";

/// The permissions of what only its owner may see.
const PRIVATE: Modes = Modes { file: 0o600, folder: 0o700 };

/// What a tree needs to know to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeOptions {
    /// The folder that it begins at.
    pub root: PathBuf,
    /// The permissions of what is written.
    pub modes: Modes,
    /// The run that opens it.
    pub holder: Holder,
    /// How that run uses it.
    pub share: Share,
}

/// A directory tree that this run writes to, alone or beside other instances.
#[derive(Debug)]
pub struct Tree {
    options: TreeOptions,
    /// The folder of what this run keeps for itself, below the root.
    own: String,
    /// None where the tree was opened for reading only.
    lock: Option<Arc<Lock>>,
    leftovers: u64,
    staged: AtomicU64,
    places: Places,
    /// Folders that are no links.
    entered: Seen,
    /// Folders whose entries are on stable storage.
    made: Seen,
}

/// The folder of one recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Its path below the root, with `/`. It may not be there yet.
    pub path: String,
    /// The text of the metadata file that stands in it.
    pub metadata: Option<String>,
    on_disk: PathBuf,
}

/// A file that was put beside the final ones, once for each content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its path below the root, with `/`.
    pub path: String,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// The random name of a tree, by which it is known again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetId(pub String);

impl Tree {
    /// Opens a tree for writing: makes its folders, takes its lock, and removes what earlier
    /// runs have left of unfinished files.
    pub fn open(options: TreeOptions) -> Result<Self, TreeError> {
        let TreeOptions { root, modes, holder, share } = &options;
        disk::make_root(root, *modes)?;
        let own = root.join(OWN);
        disk::make_folder(&own, root, *modes)?;
        let lock = match share {
            Share::One(instance) => fleet::join(root, *instance, holder, *modes)?,
            Share::Alone | Share::Whole => lock::take(&own.join("lock"), root, holder, *modes)?,
        };
        let mut tree = Self { lock: Some(Arc::new(lock)), ..Self::peek(options) };
        tree.refuse_if_shared()?;
        let own = walk::on_disk(&tree.options.root, &tree.own);
        let staged = own.join("staged");
        disk::make_folder(&staged, &own, tree.options.modes)?;
        tree.leftovers = staged::remove_leftovers(&staged)?;
        Ok(tree)
    }

    /// Opens a tree, which need not be there, for reading only: nothing is made or locked.
    pub fn peek(options: TreeOptions) -> Self {
        Self {
            own: options.share.own(),
            options,
            lock: None,
            leftovers: 0,
            staged: AtomicU64::new(0),
            places: Places::default(),
            entered: Seen::default(),
            made: Seen::default(),
        }
    }

    /// Gives what it was opened with.
    pub fn options(&self) -> &TreeOptions {
        &self.options
    }

    /// Refuses a tree that instances share to a run that would have it alone.
    pub fn refuse_if_shared(&self) -> Result<(), TreeError> {
        match self.options.share {
            Share::Alone if self.fleet()?.is_some() => {
                Err(TreeError::Shared(self.options.root.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Tells whether this run is one of several instances.
    pub fn is_shared(&self) -> bool {
        matches!(self.options.share, Share::One(_))
    }

    /// Gives which of the instances this run is; none where it is none.
    pub fn instance(&self) -> Option<u32> {
        match self.options.share {
            Share::One(instance) => Some(instance.id),
            Share::Alone | Share::Whole => None,
        }
    }

    /// Gives how many instances share the tree; none where it is not shared.
    pub fn fleet(&self) -> Result<Option<Fleet>, TreeError> {
        fleet::read(&self.options.root)
    }

    /// Gives the path below the root of a file that this run keeps for itself.
    pub fn own(&self, name: &str) -> String {
        joined(&self.own, name)
    }

    /// Gives the tree as each run has it, or has had it, that keeps something there: the one that
    /// had it alone, and the instances by their ids. They are for reading only, unless all of it is
    /// locked.
    pub fn parts(&self) -> Result<Vec<Tree>, TreeError> {
        let one = |id| Share::One(Instance { id, total: id.saturating_add(1) });
        let ids = fleet::ids(&self.options.root)?.into_iter().map(one);
        let shares = [Share::Alone].into_iter().chain(ids);
        let lock = self.lock.as_ref().filter(|_| self.options.share == Share::Whole);
        let options = |share| TreeOptions { share, ..self.options.clone() };
        let part = |share| Tree { lock: lock.cloned(), ..Tree::peek(options(share)) };
        Ok(shares.map(part).collect())
    }

    /// Gives the tree as an instance has it, where all of it is locked already.
    pub fn part(&self, instance: Instance) -> Result<Tree, TreeError> {
        let options = TreeOptions { share: Share::One(instance), ..self.options.clone() };
        let part = Tree { lock: self.lock.clone(), ..Tree::peek(options) };
        part.make(&part.own("staged"))?;
        Ok(part)
    }

    /// Tells whether it was opened for reading only.
    pub fn is_peeked(&self) -> bool {
        self.lock.is_none()
    }

    /// Tells how many unfinished files of earlier runs were removed.
    pub fn leftovers(&self) -> u64 {
        self.leftovers
    }

    /// Gives the folder of a recording, where `parent` is its formatted `recordingFolderFormat`
    /// and `is_same` tells from the text of a metadata file whether that is of this recording,
    /// and not of another one of the same id.
    ///
    /// The answer is the same in every run, whatever came in between: a folder with metadata of
    /// this recording, else the first of `<id>`, `<id>~2`, … that no other recording has.
    pub fn folder(
        &self,
        parent: &str,
        id: &str,
        started_at: DateTime<Utc>,
        is_same: impl Fn(&str) -> bool,
    ) -> Result<Folder, TreeError> {
        let parent_on_disk = self.enter(parent)?;
        loop {
            let base = self.places.base(&parent_on_disk, id)?;
            let found = self.find(&parent_on_disk, &base, id, started_at, &is_same)?;
            // Another recording of this run may have come first since: then look once more.
            let Some((name, metadata)) = found else { continue };
            if self.places.claim(&parent_on_disk, &name, started_at)? {
                let on_disk = parent_on_disk.join(&name);
                return Ok(Folder { path: format!("{parent}/{name}"), metadata, on_disk });
            }
        }
    }

    /// Gives a recording's folder that is known from before, if it is still there and no other
    /// recording of this run has taken it. Its metadata is not read.
    pub fn known_folder(
        &self,
        path: &str,
        started_at: DateTime<Utc>,
    ) -> Result<Option<Folder>, TreeError> {
        let on_disk = self.enter(path)?;
        let (parent, name) = split(path);
        let is_ours = disk::is_folder(&on_disk)?
            && self.places.claim(&self.enter(parent)?, name, started_at)?;
        Ok(is_ours.then(|| Folder { path: path.to_owned(), metadata: None, on_disk }))
    }

    /// Begins a file.
    pub fn stage(&self) -> Result<Staged, TreeError> {
        if self.is_peeked() {
            return Err(TreeError::Peeked(self.options.root.clone()));
        }
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        let path = on_disk(&self.options.root, &self.own("staged")).join(number.to_string());
        Staged::create(path, self.options.modes, &self.staged)
    }

    /// Gives a staged file its final name, as [`publish`](Self::publish) does, unless a file of the
    /// same bytes has it.
    pub fn publish_once(
        &self,
        staged: Staged,
        folder: &Folder,
        name: &str,
    ) -> Result<(), TreeError> {
        match staged.is_same(&folder.on_disk.join(checked(name)?))? {
            true => Ok(()),
            false => self.publish(staged, folder, name),
        }
    }

    /// Moves a file that stands under a path below the root to `.rcbs/old/`; gives its path there.
    pub fn set_aside(&self, path: &str) -> Result<String, TreeError> {
        let (parent, name) = split(path);
        let on_disk = self.enter(parent)?.join(checked(name)?);
        self.put_aside(&on_disk, parent, name)
    }

    /// Makes an empty file with the permissions of the tree, unless there is a file already.
    pub fn ensure_file(&self, path: &str) -> Result<(), TreeError> {
        let (parent, name) = split(path);
        let on_disk = self.make(parent)?.join(checked(name)?);
        if disk::file_bytes(&on_disk)?.is_none() {
            disk::create(&on_disk, self.options.modes)?;
            disk::sync_folder(&self.enter(parent)?)?;
        }
        Ok(())
    }

    /// Tells whether it lies on a disk of this machine, of a kind that is known.
    pub fn is_on_local_disk(&self) -> bool {
        std::fs::File::open(&self.options.root).is_ok_and(|root| flush::is_on_local_disk(&root))
    }

    /// Keeps a file that is not to replace the better one which has its name, in `.rcbs/old/`.
    pub fn put_beside(&self, folder: &Folder, name: &str, bytes: &[u8]) -> Result<Kept, TreeError> {
        let (beside, name) = beside(folder, name, bytes);
        self.keep(&beside, &name, bytes)
    }

    /// Tells whether [`put_beside`](Self::put_beside) has kept these bytes before.
    pub fn is_beside(&self, folder: &Folder, name: &str, bytes: &[u8]) -> Result<bool, TreeError> {
        let (beside, name) = beside(folder, name, bytes);
        Ok(disk::file_bytes(&self.enter(&beside)?.join(checked(&name)?))?.is_some())
    }

    /// Keeps the text of a record that could not be understood, in `.rcbs/rejected/`.
    pub fn reject(&self, json: &[u8]) -> Result<Kept, TreeError> {
        let name = format!("{}.json", hex(&sha256(json)));
        self.keep(&format!("{OWN}/rejected"), &name, json)
    }

    /// Gives the length of the file that stands under a path below the root, if there is one.
    pub fn held(&self, path: &str) -> Result<Option<u64>, TreeError> {
        let (parent, name) = split(path);
        disk::file_bytes(&self.enter(parent)?.join(checked(name)?))
    }

    /// Reads a small file, if it is there.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, TreeError> {
        let (parent, name) = split(path);
        disk::read(&self.enter(parent)?.join(checked(name)?))
    }

    /// Replaces a small file at one stroke, durably.
    pub fn replace(&self, path: &str, bytes: &[u8]) -> Result<(), TreeError> {
        let (parent, name) = split(path);
        let mut staged = self.stage()?;
        staged.write_all(bytes)?;
        staged.sync()?;
        let mut finished = staged.finished();
        let folder = self.make(parent)?;
        let on_disk = folder.join(checked(name)?);
        disk::file_bytes(&on_disk)?;
        finished.rename(&on_disk)?;
        disk::sync_folder(&folder)
    }

    /// Reads the name of the tree, if it has one.
    pub fn id(&self) -> Result<Option<TargetId>, TreeError> {
        let text = self.read(&format!("{OWN}/id"))?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        Ok((!text.is_empty()).then_some(TargetId(text)))
    }

    /// Writes the name of the tree.
    pub fn set_id(&self, id: &TargetId) -> Result<(), TreeError> {
        self.replace(&format!("{OWN}/id"), format!("{}\n", id.0).as_bytes())
    }

    /// Finds the name of a recording's folder, and its metadata; none if its plain name has
    /// just been taken by another that differs in case only.
    fn find(
        &self,
        parent: &Path,
        base: &str,
        id: &str,
        started_at: DateTime<Utc>,
        is_same: &impl Fn(&str) -> bool,
    ) -> Result<Option<(String, Option<String>)>, TreeError> {
        let mut free = None;
        let mut number = 0;
        loop {
            number += 1;
            let name = if number == 1 { base.to_owned() } else { format!("{base}~{number}") };
            let place = self.places.look(parent, &name)?;
            match place {
                Place::Free => return Ok(Some((free.unwrap_or(name), None))),
                Place::Taken if name == safe_name(id) => return Ok(None),
                Place::Taken => continue,
                Place::Claimed(other) if other != started_at => continue,
                Place::There | Place::Claimed(_) => {}
            }
            let metadata = self.metadata(&parent.join(&name), id)?;
            let is_mine = place == Place::Claimed(started_at);
            match metadata {
                metadata if is_mine => return Ok(Some((name, metadata))),
                Some(text) if is_same(&text) => return Ok(Some((name, Some(text)))),
                Some(_) => {}
                // A folder whose recording was never completed does not tell whose it is; one
                // further on may.
                None => free = free.or(Some(name)),
            }
        }
    }

    fn metadata(&self, folder: &Path, id: &str) -> Result<Option<String>, TreeError> {
        if !disk::is_folder(folder)? {
            return Ok(None);
        }
        let bytes = disk::read(&folder.join(metadata_name(id)))?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Gives the path on the disk of a folder that may be there, and that no link leads to.
    fn enter(&self, path: &str) -> Result<PathBuf, TreeError> {
        let mut on_disk = self.options.root.clone();
        let mut is_there = true;
        for part in parts(path) {
            on_disk.push(checked(part)?);
            if is_there && !self.entered.has(&on_disk) {
                is_there = disk::is_folder(&on_disk)?;
                if is_there {
                    self.entered.add(on_disk.clone());
                }
            }
        }
        Ok(on_disk)
    }

    fn keep(&self, folder: &str, name: &str, bytes: &[u8]) -> Result<Kept, TreeError> {
        let path = format!("{folder}/{name}");
        let is_new = disk::file_bytes(&self.enter(folder)?.join(checked(name)?))?.is_none();
        if is_new {
            self.replace(&path, bytes)?;
        }
        Ok(Kept { path, is_new })
    }
}

/// Writes a file that nobody else may read, durably; its folder is made if it is not there. It
/// belongs to no tree, and what has its name is never replaced: that is an error.
pub fn create_private(path: &Path, bytes: &[u8]) -> Result<(), TreeError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    disk::make_root(parent, PRIVATE)?;
    let mut file = disk::create(path, PRIVATE)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key is worse than none; that it cannot be removed either is told by its length.
        let _ = std::fs::remove_file(path);
    }
    written.doing("write", path)?;
    disk::sync_folder(parent)
}

fn beside(folder: &Folder, name: &str, bytes: &[u8]) -> (String, String) {
    (format!("{OWN}/old/{}", folder.path), format!("{name}.{}", &hex(&sha256(bytes))[..16]))
}

impl Folder {
    /// Gives the length of the file that stands under a final name, in bytes.
    pub fn held(&self, name: &str) -> Result<Option<u64>, TreeError> {
        disk::file_bytes(&self.on_disk.join(checked(name)?))
    }
}

impl TargetId {
    /// Makes up a name that no other tree has.
    pub fn random(root: &Path) -> Result<Self, TreeError> {
        let mut bytes = [0; 16];
        openssl::rand::rand_bytes(&mut bytes)
            .map_err(std::io::Error::other)
            .doing("make up an id for", root)?;
        Ok(Self(hex(&bytes)))
    }
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|_| !path.is_empty())
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Refuses what would leave a folder, should a caller have made a name without `layout`.
fn checked(name: &str) -> Result<&str, TreeError> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', '\0']) {
        return Err(TreeError::Name(name.to_owned()));
    }
    Ok(name)
}

fn is_not_found(error: &TreeError) -> bool {
    matches!(error, TreeError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
