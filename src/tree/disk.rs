//! Single steps on the disk that are safe against links, crashes and masks.
//!
//! **Invariant**: no step follows a symbolic link in its last component, and none replaces a
//! file but [`rename`], of a file that is on stable storage.

use std::collections::HashSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::error::{Doing, TreeError};

/// How many folders are remembered as checked, before all are checked anew.
const REMEMBERED: usize = 4096;

/// The Unix permissions of what is written; of no effect on Windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Modes {
    /// Of files.
    pub file: u32,
    /// Of folders.
    pub folder: u32,
}

/// A bounded set of folders that need no second look in this run.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<HashSet<PathBuf>>);

impl Seen {
    pub(super) fn has(&self, path: &Path) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    pub(super) fn add(&self, path: PathBuf) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        seen.insert(path);
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Looks at what stands under a path, without following a link there.
pub(super) fn look(path: &Path) -> Result<Option<Metadata>, TreeError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => Err(TreeError::Link(path.to_owned())),
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing("look at", path),
    }
}

/// Tells whether a folder stands under a path; a file there is an error.
pub(super) fn is_folder(path: &Path) -> Result<bool, TreeError> {
    match look(path)? {
        Some(metadata) if metadata.is_dir() => Ok(true),
        Some(_) => Err(TreeError::WrongKind { path: path.to_owned(), expected: "folder" }),
        None => Ok(false),
    }
}

/// Gives the length of the file that stands under a path; a folder there is an error.
pub(super) fn file_bytes(path: &Path) -> Result<Option<u64>, TreeError> {
    match look(path)? {
        Some(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
        Some(_) => Err(TreeError::WrongKind { path: path.to_owned(), expected: "file" }),
        None => Ok(None),
    }
}

/// Looks at what a listing has named.
#[cfg(not(windows))]
pub(super) fn entry_metadata(entry: &fs::DirEntry) -> io::Result<Metadata> {
    entry.metadata()
}

/// Looks at what a listing has named: the listing itself may tell the length of a file as it was
/// when its name was made.
#[cfg(windows)]
pub(super) fn entry_metadata(entry: &fs::DirEntry) -> io::Result<Metadata> {
    fs::symlink_metadata(entry.path())
}

/// Reads a whole file, if there is one.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, TreeError> {
    match file_bytes(path)? {
        Some(_) => fs::read(path).map(Some).doing("read", path),
        None => Ok(None),
    }
}

/// Makes a folder that may already be there, and makes its entry durable.
///
/// That it is there is no sign that it is durable: another thread, or a run that was killed, may
/// have made it just now.
pub(super) fn make_folder(path: &Path, parent: &Path, modes: Modes) -> Result<(), TreeError> {
    ensure_folder(path, modes)?;
    sync_folder(parent)
}

/// Makes a folder that may already be there; its entry is not durable yet.
pub(super) fn ensure_folder(path: &Path, modes: Modes) -> Result<(), TreeError> {
    if is_folder(path)? {
        return Ok(());
    }
    match create_folder(path, modes.folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => is_folder(path).map(drop),
        made => {
            made.doing("create the folder", path)?;
            set_folder_mode(path, modes.folder);
            Ok(())
        }
    }
}

/// Makes the folder that a tree begins at, with all above it. Links above it are followed.
pub(super) fn make_root(path: &Path, modes: Modes) -> Result<(), TreeError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_root(parent, modes)?;
        return make_folder(path, parent, modes);
    }
    make_folder(path, Path::new("."), modes)
}

/// Creates a file that must not be there yet.
pub(super) fn create(path: &Path, modes: Modes) -> Result<File, TreeError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, modes.file);
    let file = options.open(path).doing("create the file", path)?;
    set_file_mode(&file, modes.file);
    Ok(file)
}

/// Gives a file its final name; what stood there is replaced at one stroke.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), TreeError> {
    patiently(|| fs::rename(from, to)).doing("move a file to", to)
}

#[cfg(not(windows))]
fn patiently<T>(step: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    step()
}

/// Tries a step again for a while: scanners and indexers of Windows open what is new, and nobody
/// else can move it for that moment.
#[cfg(windows)]
fn patiently<T>(step: impl Fn() -> io::Result<T>) -> io::Result<T> {
    const TRIES: u32 = 40;
    const BETWEEN: std::time::Duration = std::time::Duration::from_millis(50);
    // ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION
    const IN_USE: [Option<i32>; 2] = [Some(32), Some(33)];
    for _ in 1..TRIES {
        match step() {
            Err(error)
                if error.kind() == io::ErrorKind::PermissionDenied
                    || IN_USE.contains(&error.raw_os_error()) =>
            {
                std::thread::sleep(BETWEEN);
            }
            done => return done,
        }
    }
    step()
}

/// Gives a path in the form that Windows takes whatever its length. The standard library brings it
/// into that form by itself; this is for other libraries.
pub fn verbatim(path: &Path) -> PathBuf {
    match path.to_str() {
        Some(text) if cfg!(windows) => as_verbatim(text).into(),
        _ => path.to_owned(),
    }
}

/// Nothing is interpreted in such a path any more, not even `/`; so it must be absolute before.
fn as_verbatim(path: &str) -> String {
    let path = path.replace('/', "\\");
    match path.strip_prefix(r"\\") {
        Some(rest) if rest.starts_with(['?', '.']) => path,
        Some(share) => format!(r"\\?\UNC\{share}"),
        None if path.get(1..3) == Some(r":\") => format!(r"\\?\{path}"),
        None => path,
    }
}

/// Gives a file a name, unless something has it by now; tells whether it has the name.
pub(super) fn rename_new(from: &Path, to: &Path) -> Result<bool, TreeError> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(true),
            Err(Errno::EXIST) => return Ok(false),
            // Network file systems do not know it.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(io::Error::from(error)).doing("move a file to", to),
        }
    }
    link_new(from, to)
}

/// Does the same by a second name for the file.
fn link_new(from: &Path, to: &Path) -> Result<bool, TreeError> {
    match patiently(|| fs::hard_link(from, to)) {
        Ok(()) => {}
        // A server that is asked once more, because its answer was lost, finds the name that it
        // gave. So may a run that could not remove the first name before.
        Err(_) if is_one_file(from, to) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        // Nor do all of them know second names; then to look first is all that can be done.
        Err(_) if look(to)?.is_some() => return Ok(false),
        Err(_) => return rename(from, to).map(|()| true),
    }
    match fs::remove_file(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        removed => removed.map(|()| true).doing("remove", from),
    }
}

/// Tells whether two names are of the same file.
#[cfg(unix)]
fn is_one_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let file = |path| fs::symlink_metadata(path).map(|found| (found.dev(), found.ino())).ok();
    file(one).is_some_and(|one| Some(one) == file(other))
}

/// Nothing tells it here.
#[cfg(not(unix))]
fn is_one_file(_: &Path, _: &Path) -> bool {
    false
}

/// Has the system ask anew which names are in a folder.
///
/// A network file system remembers for up to a minute that a name was not there, and a lock does
/// not end that; to open the folder does.
pub(super) fn ask_anew(folder: &Path) -> Result<(), TreeError> {
    fs::read_dir(folder).map(drop).doing("list", folder)
}

/// Puts the entries of a folder on stable storage.
pub(super) fn sync_folder(path: &Path) -> Result<(), TreeError> {
    match open_folder(path).and_then(|folder| folder.sync_all()) {
        Err(error) if is_beyond_it(&error) => Ok(()),
        synced => synced.doing("put on stable storage the folder", path),
    }
}

#[cfg(not(windows))]
fn open_folder(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Windows opens a folder for those who say that they mean it, and flushes it for those only who
/// might write.
#[cfg(windows)]
fn open_folder(path: &Path) -> io::Result<File> {
    const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;
    let mut options = OpenOptions::new();
    options.write(true);
    std::os::windows::fs::OpenOptionsExt::custom_flags(&mut options, FILE_FLAG_BACKUP_SEMANTICS);
    options.open(path)
}

/// Tells whether a file system cannot flush folders, and says so: network file systems, and most
/// of Windows', which write their folders into a journal in the order of the changes.
fn is_beyond_it(error: &io::Error) -> bool {
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => true,
        // ERROR_INVALID_FUNCTION, ERROR_ACCESS_DENIED, ERROR_INVALID_HANDLE
        _ => cfg!(windows) && matches!(error.raw_os_error(), Some(1 | 5 | 6)),
    }
}

/// Makes a folder that is at no moment open to more than it shall be.
#[cfg(unix)]
fn create_folder(path: &Path, mode: u32) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode);
    builder.create(path)
}

/// Makes a folder, which inherits who may do what with it.
#[cfg(not(unix))]
fn create_folder(path: &Path, _: u32) -> io::Result<()> {
    fs::create_dir(path)
}

/// Sets what the mask of the process has taken away. A file system without such permissions
/// refuses, and must take the recording all the same.
#[cfg(unix)]
fn set_file_mode(file: &File, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    if file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o777 != mode) {
        let _ = file.set_permissions(fs::Permissions::from_mode(mode));
    }
}

#[cfg(unix)]
fn set_folder_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    let present = metadata.permissions().mode();
    if present & 0o777 != mode {
        // The set-group-ID bit that it inherited stays.
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(present & 0o7000 | mode));
    }
}

#[cfg(not(unix))]
fn set_file_mode(_: &File, _: u32) {}

#[cfg(not(unix))]
fn set_folder_mode(_: &Path, _: u32) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_replaces_nothing_that_is_there() {
        for give in [rename_new, link_new] {
            let dir = tempfile::TempDir::new().unwrap();
            let [first, second, name] = ["1", "2", "name"].map(|name| dir.path().join(name));
            fs::write(&first, "first").unwrap();
            fs::write(&second, "second").unwrap();
            assert!(give(&first, &name).unwrap());
            assert!(!give(&second, &name).unwrap());
            assert_eq!(fs::read_to_string(&name).unwrap(), "first");
            assert_eq!(fs::read_to_string(&second).unwrap(), "second");
            assert!(!first.exists());
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_was_given_before_is_given_once_more() {
        let dir = tempfile::TempDir::new().unwrap();
        let [file, name] = ["file", "name"].map(|name| dir.path().join(name));
        fs::write(&file, "text").unwrap();
        // As after an answer that never came.
        fs::hard_link(&file, &name).unwrap();
        assert!(link_new(&file, &name).unwrap());
        assert_eq!(fs::read_to_string(&name).unwrap(), "text");
        assert!(!file.exists());
    }

    #[test]
    fn paths_of_windows_are_made_such_that_their_length_does_not_matter() {
        for (path, long) in [
            (r"C:\a\b", r"\\?\C:\a\b"),
            ("D:/a/b", r"\\?\D:\a\b"),
            (r"\\server\share\a", r"\\?\UNC\server\share\a"),
            ("//server/share/a", r"\\?\UNC\server\share\a"),
            (r"\\?\C:\a", r"\\?\C:\a"),
            (r"\\?\UNC\server\share", r"\\?\UNC\server\share"),
            (r"\\.\pipe\a", r"\\.\pipe\a"),
            // What is not absolute cannot be made so here.
            (r"C:a", "C:a"),
            (r"a\b", r"a\b"),
            ("", ""),
        ] {
            assert_eq!(as_verbatim(path), long, "{path}");
        }
    }
}
