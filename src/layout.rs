//! Where a recording and its files belong in the tree: the folder of an hour, and safe names.
//!
//! Is given a start time, recording ids and media ids, which come from a server and may be
//! anything; gives relative paths with `/` that every file system takes.
//!
//! **Invariant**: pure. A name is a function of the ids alone, so every run gives the same one;
//! it never holds a separator, so nothing leaves its folder.

mod folder_format;
mod names;

pub use folder_format::{FolderFormat, FolderFormatError};
pub use names::{fold, hashed_name, media_names, metadata_name, raw_name, safe_name};
