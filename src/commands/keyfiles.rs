//! The files that `--keys` names.
//!
//! **Invariant:** nobody is asked for anything: a passphrase comes from the environment or not at
//! all.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::World;
use crate::error::Error;
use crate::keyring::Keyring;
use crate::secret::Secret;

/// Longer files hold no keys; a folder of keys may hold anything.
const LONGEST_FILE: u64 = 1 << 20;

/// Reads private keys, and the certificates beside them; none at all is an error.
pub(super) fn private_keys(
    named: &[PathBuf],
    passphrase: Option<&Secret>,
    world: &World<'_>,
) -> Result<Keyring, Error> {
    let keyring = keys_and_certificates(named, passphrase, world)?;
    if keyring.keys().is_empty() {
        return Err(Error::NoKeys { what: "private key", looked_at: listed(named) });
    }
    Ok(keyring)
}

/// Reads keys and certificates from files, and from all files of folders, one level deep; if
/// something is named, finding nothing in it is an error.
pub(super) fn keys_and_certificates(
    named: &[PathBuf],
    passphrase: Option<&Secret>,
    world: &World<'_>,
) -> Result<Keyring, Error> {
    let mut keyring = Keyring::default();
    for path in named {
        for file in files(path, &world.current_dir).map_err(unreadable(path))? {
            let pem = beginning(&world.current_dir.join(&file)).map_err(unreadable(&file))?;
            keyring.add(&file.display().to_string(), &pem, passphrase)?;
        }
    }
    let is_empty = keyring.keys().is_empty() && keyring.certificates().is_empty();
    if is_empty && !named.is_empty() {
        let what = "private key and no certificate";
        return Err(Error::NoKeys { what, looked_at: listed(named) });
    }
    Ok(keyring)
}

/// Gives a file as it is, and the files of a folder by name.
fn files(path: &Path, current_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let on_disk = current_dir.join(path);
    if !fs::metadata(&on_disk)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(&on_disk)? {
        let name = entry?.file_name();
        // Secrets are often mounted as links, so these are followed; one that leads nowhere is no
        // key.
        if fs::metadata(on_disk.join(&name)).is_ok_and(|found| found.is_file()) {
            files.push(path.join(name));
        }
    }
    files.sort();
    Ok(files)
}

fn beginning(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::File { what: "the keys", path: path.to_owned(), source }
}

fn listed(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    paths.join(", ")
}
