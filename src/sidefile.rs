//! Files outside of the target that an administrator names: a log, and what a monitor reads.
//!
//! Is given texts and the path they shall stand under.
//!
//! **Invariant**: no folder is made, nothing but a plain file is ever replaced or set aside, nobody
//! is waited for, and a reader sees the whole of the old text or the whole of the new one.
#![expect(clippy::disallowed_methods, reason = "these files lie outside of the tree")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Puts a text in the place of a file at one stroke, with these Unix permissions.
pub fn replace(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    // A rename would put a plain file in the place of a device, or of a link to elsewhere.
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"));
    }
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    // Not ending like the file itself: whoever reads a whole folder must not read this one.
    let unfinished = path.with_file_name(format!(".{}.{}", name.display(), std::process::id()));
    let written = write_new(&unfinished, text, mode).and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written
}

fn write_new(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    let mut file = open(&mut options, path, mode)?;
    // Others must be able to read it, whatever the mask of this process is.
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    file.write_all(text)?;
    file.sync_all()
}

/// A log that is set aside when it has become long: `rcbs.log`, then `rcbs.log.1`, and so on.
///
/// It is opened for each line, so that several runs may write to it, and another program may set
/// it aside.
#[derive(Debug, Clone)]
pub struct Log {
    /// The file.
    pub path: PathBuf,
    /// How long it becomes.
    pub max_bytes: u64,
    /// How many are kept besides.
    pub keep: u32,
    /// The Unix permissions of those that are made.
    pub mode: u32,
}

impl Log {
    /// Appends a line, which is given with its end.
    pub fn append(&self, line: &[u8]) -> io::Result<()> {
        if fs::metadata(&self.path).is_ok_and(|found| would_hang(&found)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"));
        }
        let mut file = self.open()?;
        let bytes = file.metadata()?.len();
        // Whoever has the lock sets the file aside; nobody waits for it.
        let is_long = bytes > 0 && bytes + line.len() as u64 > self.max_bytes;
        if let Some(_gate) = is_long.then(|| self.gate(&file)).flatten() {
            if self.is_here(&file)? {
                match self.set_aside() {
                    Err(error) if is_in_use(&error) => {}
                    done => done?,
                }
            }
            file = self.open()?;
        }
        // In one piece, so that lines of several runs do not mix.
        file.write_all(line)
    }

    fn open(&self) -> io::Result<File> {
        open(OpenOptions::new().append(true).create(true), &self.path, self.mode)
    }

    /// Takes the lock for setting a file aside, unless another run has it.
    #[cfg(unix)]
    fn gate(&self, file: &File) -> Option<File> {
        file.try_lock().ok()?;
        // A second descriptor of the same open file has the same lock.
        file.try_clone().ok()
    }

    /// Takes the lock for setting a file aside, unless another run has it. Where a lock keeps others
    /// from writing, too, it is that of a file beside it.
    #[cfg(not(unix))]
    fn gate(&self, _: &File) -> Option<File> {
        let mut name = self.path.clone().into_os_string();
        name.push(".lock");
        let gate = OpenOptions::new().write(true).create(true).truncate(false).open(name).ok()?;
        gate.try_lock().is_ok().then_some(gate)
    }

    /// Tells whether a file is still the one under the path, and no other run has set it aside.
    #[cfg(unix)]
    fn is_here(&self, file: &File) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt;
        let ours = file.metadata()?;
        let is_ours = |here: fs::Metadata| (ours.dev(), ours.ino()) == (here.dev(), here.ino());
        Ok(fs::symlink_metadata(&self.path).is_ok_and(is_ours))
    }

    #[cfg(not(unix))]
    fn is_here(&self, file: &File) -> io::Result<bool> {
        let ours = file.metadata()?.len();
        Ok(fs::symlink_metadata(&self.path).is_ok_and(|here| here.len() == ours))
    }

    fn set_aside(&self) -> io::Result<()> {
        // Those above a gap need not move.
        let is_free = |number: &u32| fs::symlink_metadata(self.aside(*number)).is_err();
        let last = (1..self.keep).find(is_free).unwrap_or(self.keep);
        for number in (1..last).rev() {
            match fs::rename(self.aside(number), self.aside(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.aside(1))
    }

    fn aside(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

/// Tells whether another program keeps a file from being renamed, as who follows a log may do on
/// Windows. The log is then longer for a while, and no line is lost.
fn is_in_use(error: &io::Error) -> bool {
    // ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION
    cfg!(windows) && matches!(error.raw_os_error(), Some(5 | 32))
}

/// Tells whether to open something might wait for another program.
fn would_hang(found: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        found.file_type().is_fifo() || found.file_type().is_socket()
    }
    #[cfg(not(unix))]
    {
        let _ = found;
        false
    }
}

fn open(options: &mut OpenOptions, path: &Path, mode: u32) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tempfile::TempDir;

    use super::*;

    fn log(folder: &TempDir, max_bytes: u64, keep: u32) -> Log {
        Log { path: folder.path().join("rcbs.log"), max_bytes, keep, mode: 0o640 }
    }

    fn names(folder: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_log_is_set_aside_before_it_is_too_long_and_the_oldest_goes() {
        let folder = TempDir::new().unwrap();
        let log = log(&folder, 20, 3);
        for number in 0..9 {
            log.append(format!("line {number}\n").as_bytes()).unwrap();
        }
        assert_eq!(names(&folder), ["rcbs.log", "rcbs.log.1", "rcbs.log.2", "rcbs.log.3"]);
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("rcbs.log"), "line 8\n");
        assert_eq!(read("rcbs.log.1"), "line 6\nline 7\n");
        assert_eq!(read("rcbs.log.2"), "line 4\nline 5\n");
        assert_eq!(read("rcbs.log.3"), "line 2\nline 3\n");
        // A line that is too long by itself has a file of its own, and is not cut.
        log.append(&[b'x'; 50]).unwrap();
        log.append(b"after\n").unwrap();
        assert_eq!((read("rcbs.log"), read("rcbs.log.1").len()), ("after\n".to_owned(), 50));
    }

    #[test]
    fn several_runs_write_to_one_log_and_no_line_is_lost_or_torn() {
        let folder = TempDir::new().unwrap();
        let log = log(&folder, 400, 1_000);
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let log = &log;
                scope.spawn(move || {
                    for number in 0..200 {
                        let line = format!("writer {writer} line {number:03} {:>20}\n", "end");
                        log.append(line.as_bytes()).unwrap();
                    }
                });
            }
        });
        let names = names(&folder);
        assert!(names.len() > 5, "{names:?}");
        let mut lines = BTreeSet::new();
        for name in names {
            let text = fs::read_to_string(folder.path().join(name)).unwrap();
            for line in text.lines() {
                assert!(line.starts_with("writer ") && line.ends_with(" end"), "{line}");
                assert!(lines.insert(line.to_owned()), "{line}");
            }
        }
        assert_eq!(lines.len(), 8 * 200);
    }

    #[test]
    fn a_log_that_another_program_sets_aside_is_begun_anew() {
        let folder = TempDir::new().unwrap();
        let log = log(&folder, 1_000, 5);
        log.append(b"before\n").unwrap();
        fs::rename(&log.path, folder.path().join("elsewhere")).unwrap();
        log.append(b"after\n").unwrap();
        assert_eq!(fs::read(&log.path).unwrap(), b"after\n");
    }

    #[test]
    fn nothing_but_a_plain_file_is_replaced_and_nothing_is_left_behind() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("rcbs.prom");
        replace(&path, b"one\n", 0o644).unwrap();
        replace(&path, b"two\n", 0o644).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two\n");
        fs::create_dir(folder.path().join("folder")).unwrap();
        assert!(replace(&folder.path().join("folder"), b"three\n", 0o644).is_err());
        assert!(replace(&folder.path().join("absent/rcbs.prom"), b"four\n", 0o644).is_err());
        assert_eq!(names(&folder), ["folder", "rcbs.prom"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_replaced_and_pipes_are_not_waited_for() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("rcbs.prom");
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert!(replace(&path, b"x", 0o644).is_err());
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        let log = log(&folder, 1_000, 5);
        let made = std::process::Command::new("mkfifo").arg(&log.path).status().unwrap();
        assert!(made.success());
        assert!(log.append(b"nobody reads\n").is_err());
        // Where a container's log goes.
        let log = Log { path: "/dev/null".into(), ..log };
        log.append(b"nobody reads\n").unwrap();
    }
}
