//! What is to be opened, and whether it may be opened into where it shall.
//!
//! Given the paths that were named and the folder for the output; gives roots with what to open
//! below them, or says why not.
//!
//! **Invariant**: every path is compared as it really is, without links and `..`. Nothing is ever
//! opened into a folder that holds sealed recordings, nor around one.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// How the names of sealed media end.
const SEALED: &str = ".bin";

/// How the names of metadata end.
const METADATA: &str = "_metadata.json";

/// A tree, a part of one, or a single file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The folder that paths are relative to, without links.
    pub(super) root: PathBuf,
    /// The path below it that is to be opened, with `/`; empty is all.
    pub(super) below: String,
    /// The single file in that folder that is.
    pub(super) file: Option<String>,
    /// Whether the root is a tree's, and not just the folder of a file.
    is_tree: bool,
}

/// Why something cannot be opened into somewhere.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// What was named cannot be found.
    #[error("cannot look at `{}`", path.display())]
    Look {
        /// What was named.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A name that no tree of this program has.
    #[error("`{}` is not UTF-8", .0.display())]
    Name(PathBuf),
    /// The output would lie among the originals.
    #[error("the output `{}` lies in `{}`, which is kept as it is", out.display(), source_root.display())]
    Inside {
        /// The output.
        out: PathBuf,
        /// The folder of the originals.
        source_root: PathBuf,
    },
    /// The originals lie in the output.
    #[error("`{}` lies in the output `{}`", source_path.display(), out.display())]
    Around {
        /// The originals.
        source_path: PathBuf,
        /// The output.
        out: PathBuf,
    },
    /// The output is the target of a backup.
    #[error("the output `{}` holds a backup", .0.display())]
    Backup(PathBuf),
    /// Two files would get the same name.
    #[error("`{}` and `{}` would both become `{name}`", first.display(), second.display())]
    SameName {
        /// The one.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// The path below the output.
        name: String,
    },
}

impl Source {
    /// Finds the tree that what was named belongs to, which may be the one of the configuration.
    pub fn find(named: &Path, target: Option<&Path>) -> Result<Self, SourceError> {
        let real = real(named)?;
        let is_folder = real.is_dir();
        let folder = if is_folder { real.as_path() } else { real.parent().unwrap_or(&real) };
        let target = target.and_then(|target| target.canonicalize().ok());
        let target = target.filter(|target| folder.starts_with(target));
        let tree = folder.ancestors().find(|folder| folder.join(".rcbs").is_dir());
        let tree = target.as_deref().or(tree);
        let root = tree.unwrap_or(folder).to_owned();
        let below = folder.strip_prefix(&root).unwrap_or(Path::new(""));
        let below: Option<Vec<_>> = below.iter().map(|part| part.to_str()).collect();
        let below = below.ok_or_else(|| SourceError::Name(real.clone()))?.join("/");
        let name = real.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let file = match is_folder {
            true => None,
            false => Some(name.ok_or_else(|| SourceError::Name(real.clone()))?),
        };
        let is_tree = is_folder || tree.is_some();
        Ok(Self { root, below, file, is_tree })
    }

    /// Gives the path on the disk of what this brings to a name in a folder of the output, if it
    /// has something for there.
    pub(super) fn rival(&self, folder: &str, out: &str) -> Option<PathBuf> {
        let is_metadata = out.ends_with(METADATA);
        let name = match &self.file {
            _ if !self.covers(folder) => return None,
            Some(file) if out_name(file) == out => file.clone(),
            Some(_) if !is_metadata => return None,
            _ if is_metadata => out.to_owned(),
            _ => format!("{out}{SEALED}"),
        };
        let path = self.on_disk(folder, &name);
        fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()).then_some(path)
    }

    fn covers(&self, folder: &str) -> bool {
        match folder.strip_prefix(&self.below) {
            Some("") => true,
            Some(rest) if self.file.is_none() => self.below.is_empty() || rest.starts_with('/'),
            _ => false,
        }
    }

    /// Gives the path on the disk of a file of a folder below the root.
    pub(super) fn on_disk(&self, folder: &str, name: &str) -> PathBuf {
        let parts = folder.split('/').filter(|part| !part.is_empty());
        parts.fold(self.root.clone(), |path, part| path.join(part)).join(name)
    }
}

/// Gives the real path of an output, whose last folders need not be there, unless it lies among
/// originals or around them.
pub fn output(
    out: &Path,
    sources: &[Source],
    target: Option<&Path>,
) -> Result<PathBuf, SourceError> {
    let out = real_or_to_be(out)?;
    let target = target.and_then(|target| target.canonicalize().ok());
    let trees = sources.iter().filter(|source| source.is_tree).map(|source| &source.root);
    for root in trees.chain(&target) {
        if out.starts_with(root) {
            return Err(SourceError::Inside { out, source_root: root.clone() });
        }
    }
    for source in sources {
        let source_path = match &source.file {
            Some(file) if !source.is_tree => source.on_disk(&source.below, file),
            _ => source.root.clone(),
        };
        if source_path.starts_with(&out) {
            return Err(SourceError::Around { source_path, out });
        }
    }
    Ok(out)
}

/// Gives the name that a file gets in the output.
pub(super) fn out_name(name: &str) -> &str {
    name.strip_suffix(SEALED).filter(|name| !name.is_empty()).unwrap_or(name)
}

fn real(path: &Path) -> Result<PathBuf, SourceError> {
    path.canonicalize().map_err(|source| SourceError::Look { path: path.to_owned(), source })
}

/// Follows links as far as a path is there; of the rest `..` takes back what stands before it.
fn real_or_to_be(path: &Path) -> Result<PathBuf, SourceError> {
    let look = |source| SourceError::Look { path: path.to_owned(), source };
    let mut real = PathBuf::new();
    for part in std::path::absolute(path).map_err(look)?.components() {
        match part {
            Component::ParentDir => drop(real.pop()),
            part => real.push(part),
        }
        match real.canonicalize() {
            Ok(there) => real = there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(look(error)),
        }
    }
    Ok(real)
}
