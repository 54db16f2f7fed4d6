//! What can go wrong with the tree, and what the operator can do about it.

use std::io;
use std::path::{Path, PathBuf};

/// What is being done where a lock is asked for.
pub(super) const LOCK: &str = "lock";

/// Says what was being done to which path when it failed.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The system refused.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// A verb and what it is done to.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder or file of the tree is a symbolic link.
    #[error("`{}` is a symbolic link, and none is followed below the target", .0.display())]
    Link(PathBuf),
    /// A file stands where a folder belongs, or the other way round.
    #[error("`{}` is not a {expected}", path.display())]
    WrongKind {
        /// Where.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
    },
    /// Another run holds the folder.
    #[error("another run holds `{}`: {holder}", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Which run, and since when.
        holder: String,
    },
    /// The tree is shared, and this run would have it alone.
    #[error("`{}` is shared by instances of sharedTarget=true", .0.display())]
    Shared(PathBuf),
    /// Instances are at work that count another number of them.
    #[error(
        "`{}` is in use by instance {id} of {total}, and this run counts {wanted}: {holder}",
        path.display()
    )]
    OtherTotal {
        /// The root.
        path: PathBuf,
        /// One that is at work.
        id: u32,
        /// How many it counts.
        total: u32,
        /// How many this run counts.
        wanted: u32,
        /// Which run that is, and since when.
        holder: String,
    },
    /// The file that says how many instances there are cannot be understood.
    #[error("cannot understand `{}`", path.display())]
    Fleet {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A name that would leave its folder.
    #[error("`{0}` is no name for a file or folder of the tree")]
    Name(String),
    /// The tree was opened for reading only.
    #[error("`{}` was opened for reading only", .0.display())]
    Peeked(PathBuf),
}

/// The kinds of failure that ask for different help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeErrorKind {
    /// Another run is at work: exit 5.
    Locked,
    /// The disk or a quota is full.
    Full,
    /// The user of this run may not write there.
    Denied,
    /// The file system is mounted read-only.
    ReadOnly,
    /// A symbolic link stands in the way.
    Link,
    /// It is shared, and the configuration says that it is not.
    Shared,
    /// The configurations of two instances contradict each other.
    OtherTotal,
    /// What says how many instances there are is damaged.
    Fleet,
    /// The file system gives no locks.
    NoLocks,
    /// Anything else.
    Other,
}

impl TreeError {
    /// Tells which help it asks for.
    pub fn kind(&self) -> TreeErrorKind {
        match self {
            Self::Locked { .. } => TreeErrorKind::Locked,
            Self::Link(_) => TreeErrorKind::Link,
            Self::Io { doing: LOCK, .. } => TreeErrorKind::NoLocks,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge => TreeErrorKind::Full,
                io::ErrorKind::PermissionDenied => TreeErrorKind::Denied,
                io::ErrorKind::ReadOnlyFilesystem => TreeErrorKind::ReadOnly,
                _ => TreeErrorKind::Other,
            },
            Self::Shared(_) => TreeErrorKind::Shared,
            Self::OtherTotal { .. } => TreeErrorKind::OtherTotal,
            Self::Fleet { .. } => TreeErrorKind::Fleet,
            Self::WrongKind { .. } | Self::Name(_) | Self::Peeked(_) => TreeErrorKind::Other,
        }
    }

    /// Says what the operator can do, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self.kind() {
            TreeErrorKind::Locked => Some("nothing to do: the other run goes on"),
            TreeErrorKind::Full => Some("make room on the disk or raise the quota, then run again"),
            TreeErrorKind::Denied => Some("let the user of this run write there, then run again"),
            TreeErrorKind::ReadOnly => Some("mount the file system for writing, then run again"),
            TreeErrorKind::Link => {
                Some("put a real folder there, or set targetDir to where the link points")
            }
            TreeErrorKind::Shared => Some(
                "set sharedTarget=true, with totalRcbsInstances=1 for a single instance; a target \
                 that was shared once stays so",
            ),
            TreeErrorKind::OtherTotal => Some(
                "give all instances the same totalRcbsInstances; to change it, let those that are \
                 at work come to their end first",
            ),
            TreeErrorKind::Fleet => Some(
                "remove it: the next run writes it anew, and every instance looks once more at \
                 what the others hold",
            ),
            TreeErrorKind::NoLocks => Some(
                "mount it such that its server gives the locks: NFS 4, or NFS 3 with lockd and \
                 without `nolock`",
            ),
            TreeErrorKind::Other => None,
        }
    }
}

/// Joins a result of the system with what was being done.
pub(super) trait Doing<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, TreeError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, TreeError> {
        self.map_err(|source| TreeError::Io { doing, path: path.to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_with_a_disk_has_its_kind_and_its_hint() {
        use TreeErrorKind::*;
        for (reason, kind, start) in [
            (io::ErrorKind::StorageFull, Full, Some("make room")),
            (io::ErrorKind::QuotaExceeded, Full, Some("make room")),
            (io::ErrorKind::PermissionDenied, Denied, Some("let the user")),
            (io::ErrorKind::ReadOnlyFilesystem, ReadOnly, Some("mount")),
            (io::ErrorKind::Other, Other, None),
        ] {
            let source = io::Error::from(reason);
            let error = Err::<(), _>(source).doing("write", Path::new("/a/b")).expect_err("fails");
            assert_eq!(error.to_string(), "cannot write `/a/b`");
            assert!(std::error::Error::source(&error).is_some());
            assert_eq!(error.kind(), kind, "{reason}");
            match (error.hint(), start) {
                (Some(hint), Some(start)) => assert!(hint.starts_with(start), "{hint}"),
                (hint, start) => assert_eq!(hint, start),
            }
        }
    }
}
