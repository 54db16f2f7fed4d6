//! Putting many files and folders on stable storage.
//!
//! Many at once are flushed by one `syncfs` where that is known to report what went wrong: on
//! local file systems of Linux since 5.8, for a descriptor that was opened before the first byte
//! was written. Elsewhere, and where it reports something, each is flushed on its own.
//!
//! **Invariant**: what is reported as flushed is on stable storage; a failure is never forgotten
//! because another thread or program has seen it first.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;

use super::disk;
use super::error::{Doing, TreeError};
use super::staged::Staged;

/// From how many on the whole file system is flushed instead of each of them.
const MANY: usize = 4;

/// How many are flushed side by side where each must be.
const AT_ONCE: usize = 8;

/// A descriptor that sees every error since the first byte of a group was written.
#[derive(Debug)]
pub(super) struct Oldest(File);

/// Gives the descriptor of the file that was staged first.
pub(super) fn oldest(staged: &[Staged]) -> Result<Option<Oldest>, TreeError> {
    let Some(first) = staged.iter().min_by_key(|staged| staged.order) else { return Ok(None) };
    // A duplicate has the same memory of errors, as it is the same open file.
    let file = first.file().try_clone().doing("keep open", first.path())?;
    Ok(Some(Oldest(file)))
}

/// Flushes what was written to files.
pub(super) fn files(staged: &[Staged], oldest: &Oldest) -> Result<(), TreeError> {
    if staged.len() >= MANY && whole_file_system(&oldest.0) {
        return Ok(());
    }
    side_by_side(staged, Staged::sync)
}

/// Gives back the memory that the system keeps flushed files in: nobody reads them soon, and what
/// others read should stay.
#[cfg(target_os = "linux")]
pub(super) fn forget(staged: &[Staged]) {
    for staged in staged {
        // It is only advice.
        let _ = rustix::fs::fadvise(staged.file(), 0, None, rustix::fs::Advice::DontNeed);
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn forget(_: &[Staged]) {}

/// Flushes the entries of folders.
pub(super) fn folders(
    folders: &BTreeSet<PathBuf>,
    oldest: Option<&Oldest>,
) -> Result<(), TreeError> {
    if folders.len() >= MANY && oldest.is_some_and(|oldest| whole_file_system(&oldest.0)) {
        return Ok(());
    }
    let folders: Vec<_> = folders.iter().collect();
    side_by_side(&folders, |folder| disk::sync_folder(folder))
}

/// Does all of them, in several threads if there are many; gives the first failure.
fn side_by_side<T: Sync>(
    all: &[T],
    flush: impl Fn(&T) -> Result<(), TreeError> + Sync,
) -> Result<(), TreeError> {
    if all.len() < MANY {
        return all.iter().try_for_each(flush);
    }
    let flush = &flush;
    std::thread::scope(|scope| {
        let share = |share: &'_ [T]| share.iter().try_for_each(flush);
        let chunks = all.chunks(all.len().div_ceil(AT_ONCE));
        let threads: Vec<_> = chunks.map(|chunk| scope.spawn(move || share(chunk))).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(flushed) => flushed,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// Flushes the file system that a file lies on; `false` if that is not to be relied upon, or if
/// something, of whatever file of whichever program, could not be written.
#[cfg(target_os = "linux")]
fn whole_file_system(file: &File) -> bool {
    is_on_local_disk(file) && kernel_reports_errors() && rustix::fs::syncfs(file).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn whole_file_system(_: &File) -> bool {
    false
}

/// Tells whether a file lies on a file system of this machine: ext2 to ext4, XFS, Btrfs, F2FS.
/// Servers and file systems in user space answer for themselves.
#[cfg(target_os = "linux")]
pub(super) fn is_on_local_disk(file: &File) -> bool {
    const LOCAL: [u32; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010];
    rustix::fs::fstatfs(file).is_ok_and(|system| LOCAL.contains(&(system.f_type as u32)))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_on_local_disk(_: &File) -> bool {
    false
}

/// Older kernels lose errors of writing back.
#[cfg(target_os = "linux")]
fn kernel_reports_errors() -> bool {
    let name = rustix::system::uname();
    is_since_5_8(&name.release().to_string_lossy())
}

#[cfg(target_os = "linux")]
fn is_since_5_8(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (5, 8),
        _ => false,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_lose_errors_are_known_by_their_release() {
        for (release, is_since) in [
            ("6.18.44-fc-v445", true),
            ("5.10.0-28-amd64", true),
            ("5.8", true),
            ("5.4.0-150-generic", false),
            ("4.18.0-553.el8_10.x86_64", false),
            ("unknown", false),
            ("", false),
        ] {
            assert_eq!(is_since_5_8(release), is_since, "{release}");
        }
    }

    #[test]
    fn one_failure_among_many_is_given() {
        for count in [1, MANY - 1, MANY, 100] {
            for bad in [None, Some(0), Some(count - 1)] {
                let all: Vec<_> = (0..count).collect();
                let flushed = side_by_side(&all, |one| match bad == Some(*one) {
                    true => Err(TreeError::Name(one.to_string())),
                    false => Ok(()),
                });
                assert_eq!(flushed.err().map(|error| error.to_string()), {
                    bad.map(|one| TreeError::Name(one.to_string()).to_string())
                });
            }
        }
    }
}
