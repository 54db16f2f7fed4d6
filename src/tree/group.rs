//! Giving staged files their final names, one or hundreds at a time.
//!
//! Is given staged files, each with the folder and the name it shall have. All are flushed
//! together, then all are renamed, then the folders that got an entry are flushed together.
//!
//! **Invariant**: no file is renamed before all of its group are on stable storage, and a group
//! that is reported as published stays so whatever happens to the machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::error::TreeError;
use super::flush::Oldest;
use super::staged::{Finished, Staged};
use super::{Folder, OWN, Tree, checked, disk, flush, joined, parts};

/// How often another instance may be faster to the same name before it is taken from it.
const RACES: u32 = 100;

/// A staged file and the place it shall have.
#[derive(Debug)]
pub struct Placement {
    /// The file.
    pub staged: Staged,
    /// The folder's path below the root, with `/`; it need not be there.
    pub folder: String,
    /// The name in that folder. A file that has it moves to `.rcbs/old/`.
    pub name: String,
}

/// Names that were given, but are perhaps not on stable storage yet.
#[derive(Debug, Default)]
pub struct Unsettled {
    /// Folders that got an entry.
    entered: BTreeSet<PathBuf>,
    /// Folders whose own entry is among those.
    made: BTreeSet<PathBuf>,
    /// The oldest descriptor of all groups.
    oldest: Option<Oldest>,
}

impl Unsettled {
    /// Tells how many folders are to be settled.
    pub fn folders(&self) -> usize {
        self.entered.len()
    }
}

impl Tree {
    /// Gives a staged file its final name, durably. A file that has the name moves to
    /// `.rcbs/old/`.
    pub fn publish(&self, staged: Staged, folder: &Folder, name: &str) -> Result<(), TreeError> {
        let (folder, name) = (folder.path.clone(), name.to_owned());
        self.publish_all(vec![Placement { staged, folder, name }])
    }

    /// Gives staged files their final names, durably, in the order given.
    ///
    /// After a failure those that have their names keep them, and are whole; the others are gone.
    pub fn publish_all(&self, files: Vec<Placement>) -> Result<(), TreeError> {
        let mut unsettled = Unsettled::default();
        self.name_all(files, &mut unsettled)?;
        self.settle(unsettled)
    }

    /// Does the same, but only what is in the files is on stable storage at once; their names are
    /// when they are [settled](Self::settle), perhaps together with those of other groups.
    pub fn name_all(
        &self,
        files: Vec<Placement>,
        unsettled: &mut Unsettled,
    ) -> Result<(), TreeError> {
        let (staged, places): (Vec<_>, Vec<_>) =
            files.into_iter().map(|file| (file.staged, (file.folder, file.name))).unzip();
        // Its descriptor is as old as the first byte of the group: errors since then are seen.
        let Some(oldest) = flush::oldest(&staged)? else { return Ok(()) };
        flush::files(&staged, &oldest)?;
        flush::forget(&staged);
        unsettled.oldest.get_or_insert(oldest);
        for (staged, (folder, name)) in staged.into_iter().zip(&places) {
            let mut finished = staged.finished();
            match self.place(&mut finished, folder, name, unsettled) {
                // Somebody moves recordings away while we bring new ones: make the folders anew.
                Err(error) if super::is_not_found(&error) => {
                    self.made.clear();
                    unsettled.made.clear();
                    self.place(&mut finished, folder, name, unsettled)?;
                }
                placed => placed?,
            }
        }
        Ok(())
    }

    /// Puts names that were given on stable storage.
    pub fn settle(&self, unsettled: Unsettled) -> Result<(), TreeError> {
        flush::folders(&unsettled.entered, unsettled.oldest.as_ref())?;
        unsettled.made.into_iter().for_each(|folder| self.made.add(folder));
        Ok(())
    }

    fn place(
        &self,
        finished: &mut Finished,
        folder: &str,
        name: &str,
        unsettled: &mut Unsettled,
    ) -> Result<(), TreeError> {
        // If the whole target has gone away, nothing is made in its place.
        finished.look()?;
        let on_disk = self.prepare(folder, unsettled)?;
        let path = on_disk.join(checked(name)?);
        if disk::file_bytes(&path)?.is_some() {
            self.put_aside(&path, folder, name)?;
        }
        if self.is_shared() {
            self.rename_beside_others(finished, &path, folder, name)?;
        } else {
            finished.rename(&path)?;
        }
        unsettled.entered.insert(on_disk);
        Ok(())
    }

    /// Gives a file its name where another instance may give it to one of its own just now.
    fn rename_beside_others(
        &self,
        finished: &mut Finished,
        path: &Path,
        folder: &str,
        name: &str,
    ) -> Result<(), TreeError> {
        for _ in 0..RACES {
            if finished.rename_new(path)? {
                return Ok(());
            }
            self.put_aside(path, folder, name)?;
        }
        finished.rename(path)
    }

    /// Moves a file to `.rcbs/old/`; gives its path there.
    pub(super) fn put_aside(
        &self,
        on_disk: &Path,
        folder: &str,
        name: &str,
    ) -> Result<String, TreeError> {
        let old = self.make(&format!("{OWN}/old/{folder}"))?;
        let mut copy = 1;
        let aside = loop {
            let aside = aside(&joined(folder, name), copy);
            let free = super::on_disk(&self.options.root, &aside);
            let is_free = disk::look(&free)?.is_none();
            match is_free && self.is_shared() {
                true if disk::rename_new(on_disk, &free)? => break aside,
                false if is_free => {
                    disk::rename(on_disk, &free)?;
                    break aside;
                }
                true | false => copy += 1,
            }
        };
        // At once, or a crash could take both names from it.
        disk::sync_folder(&old)?;
        Ok(aside)
    }

    /// Makes a folder, durably, with all that lead to it.
    pub(super) fn make(&self, path: &str) -> Result<PathBuf, TreeError> {
        let mut unsettled = Unsettled::default();
        let on_disk = self.prepare(path, &mut unsettled)?;
        self.settle(unsettled)?;
        Ok(on_disk)
    }

    /// Makes a folder with all that lead to it, durable once it is settled.
    fn prepare(&self, path: &str, unsettled: &mut Unsettled) -> Result<PathBuf, TreeError> {
        let mut on_disk = self.options.root.clone();
        for part in parts(path) {
            let parent = on_disk.clone();
            on_disk.push(checked(part)?);
            if !self.made.has(&on_disk) && !unsettled.made.contains(&on_disk) {
                disk::ensure_folder(&on_disk, self.options.modes)?;
                unsettled.entered.insert(parent);
                unsettled.made.insert(on_disk.clone());
            }
        }
        Ok(on_disk)
    }
}

/// Gives the path below the root that the file of a path has once it is set aside, as the first of
/// that name, or the second …
pub fn aside(path: &str, copy: u32) -> String {
    let number = if copy > 1 { format!(".{copy}") } else { String::new() };
    format!("{OWN}/old/{path}{number}")
}
