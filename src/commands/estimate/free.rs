//! What is free where the target is, or will be.
//!
//! **Invariant:** nothing is made; where the system does not say, nothing is known.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::estimate::Free;

/// Looks at the target, which need not be there: then at the nearest folder above it that is.
pub(super) fn free(target: &Path) -> Free {
    for path in target.ancestors() {
        match fs::metadata(path) {
            Ok(_) => return of(path),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // Whatever is above may be another disk.
            Err(_) => break,
        }
    }
    Free::default()
}

#[cfg(target_os = "linux")]
fn of(path: &Path) -> Free {
    let Ok(system) = rustix::fs::statvfs(path) else { return Free::default() };
    Free {
        bytes: Some(system.f_bavail.saturating_mul(system.f_frsize)),
        // btrfs and others have no table of inodes, and say 0 of 0.
        inodes: (system.f_files > 0).then_some(system.f_favail),
    }
}

/// Windows has no table of files that could become full.
#[cfg(windows)]
fn of(path: &Path) -> Free {
    Free { bytes: fs4::available_space(path).ok(), inodes: None }
}

#[cfg(not(any(target_os = "linux", windows)))]
fn of(_: &Path) -> Free {
    Free::default()
}
