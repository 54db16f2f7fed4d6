//! What commands need that stay on this machine: no login, no service, no window.
//!
//! **Invariant:** what is wrong elsewhere in the configuration is no concern of theirs.

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::layers::Reader;
use super::{ConfigErrors, Layers, Problem, checked_path, credentials, period, value};
use crate::secret::Secret;

/// The part of the configuration that is about this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// targetDir; `None` where there is no file and nobody sets it.
    pub target_dir: Option<PathBuf>,
    /// stateDir, else targetDir.
    pub state_dir: Option<PathBuf>,
    /// encryptionCertificate.
    pub encryption_certificate: Option<PathBuf>,
    /// numThreads.
    pub num_threads: usize,
    /// rememberMoved.
    pub remember_moved: bool,
    /// fileMode.
    pub file_mode: u32,
    /// folderMode.
    pub folder_mode: u32,
    /// `--from`, where it was typed; what the file says of the window does not count.
    pub from: Option<DateTime<Utc>>,
    /// `--to`, likewise.
    pub to: Option<DateTime<Utc>>,
    /// RCBS_KEY_PASSPHRASE, or what the file holds that RCBS_KEY_PASSPHRASE_FILE names.
    pub key_passphrase: Option<Secret>,
}

impl Local {
    /// Makes it of the same layers as a whole configuration, and tells what was odd about it.
    pub fn load(layers: &Layers<'_>) -> Result<(Self, Vec<Problem>), ConfigErrors> {
        let mut reader = Reader::new(layers);
        let local = read(&mut reader);
        let Reader { problems, warnings, .. } = reader;
        match local {
            Some(local) if problems.is_empty() => Ok((local, warnings)),
            _ => Err(ConfigErrors { problems, warnings }),
        }
    }
}

fn read(reader: &mut Reader<'_>) -> Option<Local> {
    let current_dir = reader.layers.current_dir.clone();
    let path = |text: &str| value::path(&current_dir, text);
    let target_dir = checked_path(reader, "targetDir", path);
    let state_dir = checked_path(reader, "stateDir", path);
    let encryption_certificate = checked_path(reader, "encryptionCertificate", path);
    let num_threads = reader.required("numThreads", |text| value::number(text, 1..=1_000, 4));
    let remember_moved = reader.required("rememberMoved", value::boolean);
    let file_mode = reader.required("fileMode", |text| value::permissions(text, 0o600));
    let folder_mode = reader.required("folderMode", |text| value::permissions(text, 0o700));
    let edges = period::typed(reader);
    let key_passphrase = credentials::variable(reader, "RCBS_KEY_PASSPHRASE");
    // The default alone would mean whatever folder the operator happens to stand in.
    let is_named = reader.layers.file.is_some() || reader.is_set("targetDir");
    let target_dir = target_dir?.filter(|_| is_named);
    let [from, to] = edges?;
    Some(Local {
        state_dir: state_dir?.or_else(|| target_dir.clone()),
        target_dir,
        encryption_certificate: encryption_certificate?,
        num_threads: num_threads?,
        remember_moved: remember_moved?,
        file_mode: file_mode?,
        folder_mode: folder_mode?,
        from,
        to,
        key_passphrase: key_passphrase?,
    })
}
