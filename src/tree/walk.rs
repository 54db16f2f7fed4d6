//! Every folder of recordings below a root, one after another.
//!
//! Is given a root, and perhaps a path below it to stay under; gives what lies in each folder.
//!
//! **Invariant**: reads only, follows no link below the root, and keeps no more in memory than the
//! names in the folders that lead to where it is. What cannot be read is an item, not the end.

use std::collections::VecDeque;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use super::disk;
use super::error::{Doing, TreeError};

/// What lies in one folder that holds files of recordings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walked {
    /// The folder's path below the root, with `/`; empty for the root itself.
    pub path: String,
    /// The metadata file, if there is one; of several the first by name.
    pub metadata: Option<Found>,
    /// The media files, `<name>.bin`, by name.
    pub media: Vec<Found>,
    /// What was kept although it is no envelope, `<name>.raw`, by name.
    pub raw: Vec<Found>,
    /// All else, by name; only where it was asked for.
    pub others: Vec<Found>,
}

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name in its folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// The folders of recordings, in the order of their names, a folder before what is below it.
#[derive(Debug)]
pub struct Walk {
    root: PathBuf,
    /// Whether what is no file of a recording is told as well.
    has_others: bool,
    /// Folders still to be visited, the next one last.
    folders: Vec<String>,
    /// Troubles of the folder visited last, and the folder.
    items: VecDeque<Result<Walked, TreeError>>,
}

/// Begins to walk at a path below a root, or at the root itself if the path is empty.
///
/// The tree's own files, and all names that begin with a dot, are left out. The root may be a link.
pub fn walk(root: &Path, below: &str) -> Walk {
    let (root_path, has_others) = (root.to_owned(), false);
    let mut walk =
        Walk { root: root_path, has_others, folders: Vec::new(), items: VecDeque::new() };
    match is_reached_without_links(root, below) {
        Ok(()) => walk.folders.push(below.to_owned()),
        Err(error) => walk.items.push_back(Err(error)),
    }
    walk
}

/// Does the same, and tells of files too that are none of recordings.
pub fn walk_all(root: &Path, below: &str) -> Walk {
    Walk { has_others: true, ..walk(root, below) }
}

impl Iterator for Walk {
    type Item = Result<Walked, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Some(item);
            }
            let folder = self.folders.pop()?;
            if let Err(error) = self.visit(folder) {
                self.items.push_back(Err(error));
            }
        }
    }
}

impl Walk {
    fn visit(&mut self, path: String) -> Result<(), TreeError> {
        let on_disk = on_disk(&self.root, &path);
        let mut here = Walked { path, ..Walked::default() };
        let mut below = Vec::new();
        for entry in sorted(&on_disk)? {
            match self.look(&entry, &mut here) {
                Ok(Some(folder)) => below.push(folder),
                Ok(None) => {}
                Err(error) => self.items.push_back(Err(error)),
            }
        }
        self.folders.extend(below.into_iter().rev());
        let Walked { metadata, media, raw, others, .. } = &here;
        if metadata.is_some() || [media, raw, others].iter().any(|files| !files.is_empty()) {
            self.items.push_back(Ok(here));
        }
        Ok(())
    }

    /// Notes a file that counts; gives the path of a folder.
    fn look(&self, entry: &DirEntry, here: &mut Walked) -> Result<Option<String>, TreeError> {
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") {
            return Ok(None);
        }
        let kind = entry.file_type().doing("look at", &entry.path())?;
        if kind.is_symlink() {
            return Err(TreeError::Link(entry.path()));
        }
        let Ok(name) = name.into_string() else {
            return Err(TreeError::Name(entry.path().display().to_string()));
        };
        if kind.is_dir() {
            let parent = &here.path;
            return Ok(Some(if parent.is_empty() { name } else { format!("{parent}/{name}") }));
        }
        let is_metadata = name.ends_with("_metadata.json") && here.metadata.is_none();
        let is_raw = name.ends_with(".raw");
        let is_media = name.ends_with(".bin");
        if !kind.is_file() || !(is_metadata || is_raw || is_media || self.has_others) {
            return Ok(None);
        }
        let bytes = match disk::entry_metadata(entry) {
            // A backup that is at work has moved it away meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.doing("look at", &entry.path())?.len(),
        };
        let found = Found { name, bytes };
        if is_metadata {
            here.metadata = Some(found);
        } else if is_raw {
            here.raw.push(found);
        } else if is_media {
            here.media.push(found);
        } else {
            here.others.push(found);
        }
        Ok(None)
    }
}

fn sorted(folder: &Path) -> Result<Vec<DirEntry>, TreeError> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    let mut entries = entries.doing("list", folder)?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

/// Joins a folder's path below the root with a name in it.
pub fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Gives the path on the disk of a path below the root.
pub fn on_disk(root: &Path, path: &str) -> PathBuf {
    super::parts(path).fold(root.to_owned(), |folder, part| folder.join(part))
}

fn is_reached_without_links(root: &Path, below: &str) -> Result<(), TreeError> {
    let mut on_disk = root.to_owned();
    for part in super::parts(below) {
        on_disk.push(super::checked(part)?);
        disk::look(&on_disk)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn tree(files: &[(&str, &str)]) -> TempDir {
        let dir = TempDir::new().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    /// Each item as a line: the folder and the files in it, or what is wrong.
    fn lines(root: &Path, below: &str) -> Vec<String> {
        let names = |files: &[Found]| {
            files.iter().map(|one| format!(" {}:{}", one.name, one.bytes)).collect::<String>()
        };
        let line = |item| match item {
            Ok(Walked { path, metadata, media, raw, .. }) => {
                let metadata: Vec<_> = metadata.into_iter().collect();
                format!("{path}|{} |{} |{}", names(&metadata), names(&media), names(&raw))
            }
            Err::<_, TreeError>(error) => {
                error.to_string().replace(&root.display().to_string(), "ROOT")
            }
        };
        walk(root, below).map(line).collect()
    }

    #[test]
    fn folders_come_in_order_with_their_files_and_without_the_trees_own() {
        let dir = tree(&[
            ("2018/02/12/19/B/B_metadata.json", "{}"),
            ("2018/02/12/19/B/b.mp3.bin", "123"),
            ("2018/02/12/19/B/a.mp4.bin", ""),
            ("2018/02/12/19/B/c.mp3.bin.raw", "x"),
            ("2018/02/12/19/B/c.mp3", "not ours"),
            ("2018/02/12/19/A/A_metadata.json", "{}"),
            ("2018/02/12/08/A/x.bin", "1"),
            ("2018/02/12/09/empty/notes.txt", ""),
            ("z.bin", "12"),
            (".rcbs/old/2018/x.bin", ""),
            ("2018/.snapshot/2018/x.bin", ""),
            ("last_recording_endtime.txt", "0"),
        ]);
        let b = "2018/02/12/19/B| B_metadata.json:2 | a.mp4.bin:0 b.mp3.bin:3 | c.mp3.bin.raw:1";
        let hour = ["2018/02/12/19/A| A_metadata.json:2 | |", b];
        let all = [&["| | z.bin:2 |", "2018/02/12/08/A| | x.bin:1 |"], &hour[..]].concat();
        assert_eq!(lines(dir.path(), ""), all);
        assert_eq!(lines(dir.path(), "2018/02/12/19"), hour);
        assert_eq!(lines(dir.path(), "2018/02/12/19/B"), [b]);
    }

    #[test]
    fn what_is_no_file_of_a_recording_is_told_where_it_is_asked_for() {
        let dir = tree(&[
            ("2018/A/A_metadata.json", "{}"),
            ("2018/A/B_metadata.json", "{}"),
            ("2018/A/a.mp3.bin", "1"),
            ("2018/A/a.mp3", "12"),
            ("2018/B/notes.txt", ""),
            ("2018/B/.hidden", ""),
        ]);
        let others = |item: Result<Walked, TreeError>| {
            let Walked { path, others, .. } = item.unwrap();
            (path, others.into_iter().map(|one| one.name).collect::<Vec<_>>())
        };
        let told: Vec<_> = walk_all(dir.path(), "").map(others).collect();
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let expected = [
            ("2018/A".to_owned(), own(&["B_metadata.json", "a.mp3"])),
            ("2018/B".to_owned(), own(&["notes.txt"])),
        ];
        assert_eq!(told, expected);
        let told: Vec<_> = walk(dir.path(), "").map(others).collect();
        assert_eq!(told, [("2018/A".to_owned(), Vec::new())]);
    }

    #[test]
    fn what_cannot_be_walked_is_named() {
        let dir = tree(&[("a.bin", "1")]);
        assert_eq!(lines(dir.path(), "2018"), ["cannot list `ROOT/2018`"]);
        assert_eq!(lines(dir.path(), "a.bin"), ["cannot list `ROOT/a.bin`"]);
        let leaves = lines(dir.path(), "2018/..");
        assert_eq!(leaves, ["`..` is no name for a file or folder of the tree"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_named_and_not_followed_and_the_rest_goes_on() {
        let dir = tree(&[("elsewhere/x.bin", "1"), ("tree/2018/A/x.bin", "1")]);
        let root = dir.path().join("tree");
        for link in ["2017", "2018/A/y.bin", "2018/A/z_metadata.json"] {
            std::os::unix::fs::symlink(dir.path().join("elsewhere"), root.join(link)).unwrap();
        }
        let link = |path: &str| {
            format!("`ROOT/{path}` is a symbolic link, and none is followed below the target")
        };
        let folder = "2018/A| | x.bin:1 |".to_owned();
        let below = [link("2018/A/y.bin"), link("2018/A/z_metadata.json"), folder];
        assert_eq!(lines(&root, ""), [&[link("2017")], &below[..]].concat());
        assert_eq!(lines(&root, "2017"), [link("2017")]);
        // The root itself may be one.
        let other = dir.path().join("link");
        std::os::unix::fs::symlink(&root, &other).unwrap();
        assert_eq!(lines(&other, "2018"), below);
    }
}
