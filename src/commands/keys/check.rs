//! `rcbs keys check`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::document::{Finding as Named, NAMED};
use super::super::{World, keyfiles, print};
use super::Done;
use super::heads::{self, Folder};
use crate::config::Local;
use crate::envelope::RecipientId;
use crate::error::{Error, Exit};
use crate::http::chain;
use crate::keyring::{Keyring, NoKey};
use crate::monitor::{Event, Monitor};
use crate::tree::{Found, TreeError};

/// How many files there are from one sign of life to the next, which is some seconds.
const TOLD_EVERY: u64 = 20_000;

/// What `keys check` is told on the command line.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Nothing is decrypted but the key to each file's content, so 100,000 files take seconds.
RCBS_KEY_PASSPHRASE, or the file that RCBS_KEY_PASSPHRASE_FILE names, opens encrypted keys.

Example:
  rcbs keys check --keys keys --keys old/tenant-2019.key

Exit code 3 tells that something cannot be opened; each file is named, with the certificate that it
asks for.")]
pub struct CheckArgs {
    /// A file with private keys and certificates, or a folder of such files; may be repeated
    #[arg(long, value_name = "FILE_OR_FOLDER", required = true)]
    keys: Vec<PathBuf>,
    /// Prints one JSON document
    #[arg(long)]
    pub json: bool,
    /// The folders to check; none: the configured targetDir
    #[arg(value_name = "FOLDER")]
    folders: Vec<PathBuf>,
}

/// What was found out about one media file.
enum Finding {
    /// A key opens it, for this recipient.
    Opens(RecipientId),
    NoKey(NoKey),
    Unreadable(String),
    Empty,
}

/// What all findings come to.
#[derive(Default)]
struct Tally {
    is_json: bool,
    /// What is not as it should be, for the document.
    named: Vec<Named>,
    unnamed: u64,
    /// By recipient: how many files open, and how many do not.
    groups: BTreeMap<String, (u64, u64)>,
    files: u64,
    with_key: u64,
    without_key: u64,
    unreadable: u64,
    empty: u64,
    raw: u64,
    without_metadata: u64,
    not_walked: u64,
}

/// Reads the keys, and gives what is then to be done.
pub(super) fn prepare(
    args: &CheckArgs,
    local: &Local,
    world: &World<'_>,
) -> Result<impl FnOnce() -> Result<Done, Error> + Send + use<>, Error> {
    let keyring = keyfiles::private_keys(&args.keys, local.key_passphrase.as_ref(), world)?;
    let roots = super::roots(&args.folders, local, world);
    if roots.is_empty() {
        return Err(Error::NothingNamed);
    }
    super::warn_of_expiry(&keyring, world);
    let monitor = Arc::clone(&world.monitor);
    let is_json = args.json;
    Ok(move || check(&keyring, &roots, is_json, &*monitor))
}

fn check(
    keyring: &Keyring,
    roots: &[PathBuf],
    is_json: bool,
    monitor: &dyn Monitor,
) -> Result<Done, Error> {
    let mut tally = Tally { is_json, ..Tally::default() };
    let mut told = 0;
    heads::each(
        roots,
        |folder| look(keyring, folder),
        |looked| {
            tally.take(keyring, looked)?;
            if tally.files >= told + TOLD_EVERY {
                told = tally.files;
                let text = format!("checked so far: {told} media files");
                monitor.on(&Event::Note { text });
            }
            Ok(())
        },
    )?;
    tally.end()
}

fn look(keyring: &Keyring, folder: &Folder) -> Vec<Finding> {
    let mut buffer = Vec::new();
    let media = folder.files.media.iter();
    media.map(|file| finding(keyring, folder, file, &mut buffer)).collect()
}

fn finding(keyring: &Keyring, folder: &Folder, file: &Found, buffer: &mut Vec<u8>) -> Finding {
    if file.bytes == 0 {
        return Finding::Empty;
    }
    let head = match folder.head(file, buffer) {
        Ok(head) => head,
        Err(why) => return Finding::Unreadable(why),
    };
    // An alias would only say which key to try first.
    let first = keyring.candidates(&head, &[]).next();
    match first {
        Some(candidate) => Finding::Opens(candidate.recipient.clone()),
        None => Finding::NoKey(keyring.reason(&head)),
    }
}

impl Tally {
    /// Counts what a folder came to, and names what is not as it should be.
    fn take(
        &mut self,
        keyring: &Keyring,
        looked: Result<(Folder, Vec<Finding>), TreeError>,
    ) -> Result<(), Error> {
        let (folder, findings) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                self.not_walked += 1;
                return self.name(None, chain(&error));
            }
        };
        for (file, finding) in folder.files.media.iter().zip(findings) {
            let wrong = self.count(keyring, finding);
            if let Some(wrong) = wrong {
                self.name(Some(folder.name(file)), wrong)?;
            }
            if folder.files.metadata.is_none() {
                self.without_metadata += 1;
                self.name(Some(folder.name(file)), "no metadata beside it".to_owned())?;
            }
        }
        for file in &folder.files.raw {
            self.raw += 1;
            let reason = "kept raw, as it is no envelope".to_owned();
            self.name(Some(folder.name(file)), reason)?;
        }
        Ok(())
    }

    /// Prints what is not as it should be, or keeps it for the document.
    fn name(&mut self, path: Option<String>, reason: String) -> Result<(), Error> {
        if !self.is_json {
            let path = path.map(|path| format!("{path}: ")).unwrap_or_default();
            return print(&format!("{path}{reason}"));
        }
        if self.named.len() < NAMED {
            self.named.push(Named { path: path.unwrap_or_default(), reason });
        } else {
            self.unnamed += 1;
        }
        Ok(())
    }

    /// Counts one media file, and says what is wrong with it.
    fn count(&mut self, keyring: &Keyring, finding: Finding) -> Option<String> {
        self.files += 1;
        match finding {
            Finding::Opens(id) => {
                self.with_key += 1;
                self.groups.entry(super::label(keyring, &id)).or_default().0 += 1;
                None
            }
            Finding::NoKey(why) => {
                self.without_key += 1;
                let group = match &why {
                    NoKey::Missing { asked } => {
                        let asked = asked.iter().map(|id| super::label(keyring, id));
                        asked.collect::<Vec<_>>().join(" or ")
                    }
                    NoKey::DoesNotOpen { asked } => super::label(keyring, asked),
                    NoKey::Unsupported(_) => "not for RSA keys".to_owned(),
                };
                self.groups.entry(group).or_default().1 += 1;
                Some(why.to_string())
            }
            Finding::Unreadable(why) => {
                self.unreadable += 1;
                Some(why)
            }
            Finding::Empty => {
                self.empty += 1;
                Some("empty".to_owned())
            }
        }
    }

    fn end(&self) -> Result<Done, Error> {
        let all_open = self.without_key + self.unreadable + self.not_walked == 0;
        let exit = if all_open { Exit::Complete } else { Exit::Incomplete };
        let document = self.is_json.then(|| ("keys-check", self.document(exit)));
        if !self.is_json {
            self.print()?;
        }
        Ok(Done { exit, document })
    }

    fn document(&self, exit: Exit) -> Value {
        let certificates = self.groups.iter().map(|(certificate, (open, closed))| {
            json!({ "certificate": certificate, "open": open, "doNotOpen": closed })
        });
        json!({
            "mediaFiles": self.files,
            "withKey": self.with_key,
            "withoutKey": self.without_key,
            "unreadable": self.unreadable,
            "empty": self.empty,
            "raw": self.raw,
            "withoutMetadata": self.without_metadata,
            "foldersNotRead": self.not_walked,
            "certificates": certificates.collect::<Vec<_>>(),
            "findings": self.named,
            "unnamedFindings": self.unnamed,
            "exitCode": exit as u8,
        })
    }

    fn print(&self) -> Result<(), Error> {
        for (group, (open, closed)) in &self.groups {
            print(&format!("{group}: {open} open, {closed} do not"))?;
        }
        let Tally { files, with_key, without_key, unreadable, empty, raw, .. } = self;
        print(&format!(
            "Checked: {files} media files, with a key: {with_key}, without: {without_key}, \
             unreadable: {unreadable}, empty: {empty}; beside them raw: {raw}, \
             without metadata: {}",
            self.without_metadata
        ))
    }
}
