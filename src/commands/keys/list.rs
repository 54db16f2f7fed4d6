//! `rcbs keys list`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use chrono::{DateTime, Utc};

use serde_json::{Value, json};

use super::super::{World, keyfiles, print};
use super::Done;
use super::heads::{self, Folder};
use crate::config::Local;
use crate::error::{Error, Exit};
use crate::http::chain;
use crate::keyring::{Keyring, rsa_recipients};
use crate::tree::{Found, TreeError};
use crate::window::format_rfc3339;

/// What `keys list` is told on the command line.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Example:
  rcbs keys list --keys keys /srv/recordings")]
pub struct ListArgs {
    /// A file with private keys and certificates, or a folder of such files; may be repeated
    #[arg(long, value_name = "FILE_OR_FOLDER")]
    keys: Vec<PathBuf>,
    /// Prints one JSON document
    #[arg(long)]
    pub json: bool,
    /// The folders to count media files in; none: the configured targetDir
    #[arg(value_name = "FOLDER")]
    folders: Vec<PathBuf>,
}

/// How much of what is held needs one certificate's key.
#[derive(Debug, Default, Clone, Copy)]
struct Need {
    recordings: u64,
    files: u64,
}

/// What all that is held needs.
#[derive(Debug, Default)]
struct Needs {
    is_json: bool,
    /// By the label of the certificate.
    by_label: BTreeMap<String, Need>,
    /// Of media files that need no key, or nobody can tell which.
    unreadable: u64,
    /// Folders that could not be looked into, and why.
    not_walked: Vec<String>,
}

/// Reads the keys, and gives what is then to be done.
pub(super) fn prepare(
    args: &ListArgs,
    local: &Local,
    world: &World<'_>,
) -> Result<impl FnOnce() -> Result<Done, Error> + Send + use<>, Error> {
    let keyring =
        keyfiles::keys_and_certificates(&args.keys, local.key_passphrase.as_ref(), world)?;
    let roots = super::roots(&args.folders, local, world);
    if roots.is_empty() && args.keys.is_empty() {
        return Err(Error::NothingNamed);
    }
    super::warn_of_expiry(&keyring, world);
    let is_json = args.json;
    Ok(move || list(&keyring, &roots, is_json))
}

fn list(keyring: &Keyring, roots: &[PathBuf], is_json: bool) -> Result<Done, Error> {
    let mut needs = Needs { is_json, ..Needs::default() };
    heads::each(
        roots,
        |folder| labels_by_file(keyring, folder),
        |looked| needs.take(looked.map(|(_, files)| files)),
    )?;
    let exit = if needs.not_walked.is_empty() { Exit::Complete } else { Exit::Incomplete };
    if is_json {
        let document = document(keyring, needs, exit);
        return Ok(Done { exit, document: Some(("keys-list", document)) });
    }
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    for certificate in keyring.certificates() {
        let need = needs.by_label.remove(&super::label_of(certificate)).unwrap_or_default();
        let key = keyring.key_of(certificate).map_or("missing", |key| key.file.as_str());
        let day = |time: DateTime<Utc>| time.format("%Y-%m-%d").to_string();
        let serial = format!("{} ({})", certificate.serial, certificate.serial_hex);
        let validity = [day(certificate.not_before), day(certificate.not_after)];
        rows.push(row(&certificate.subject, &serial, validity, key, Some(need)));
    }
    let unknown = || ["-", "-"].map(str::to_owned);
    for key in keyring.keys_without_certificate() {
        rows.push(row("no certificate", "-", unknown(), &key.file, None));
    }
    for (label, need) in &needs.by_label {
        rows.push(row(&format!("not here: {label}"), "-", unknown(), "-", Some(*need)));
    }
    super::print_table(&rows)?;
    if needs.unreadable > 0 {
        print(&format!("media files that name no certificate: {}", needs.unreadable))?;
    }
    Ok(Done { exit, document: None })
}

fn document(keyring: &Keyring, mut needs: Needs, exit: Exit) -> Value {
    let certificates = keyring.certificates().iter().map(|certificate| {
        let need = needs.by_label.remove(&super::label_of(certificate)).unwrap_or_default();
        json!({
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "serial": certificate.serial,
            "serialHex": certificate.serial_hex,
            "from": format_rfc3339(certificate.not_before),
            "until": format_rfc3339(certificate.not_after),
            "keyFile": keyring.key_of(certificate).map(|key| &key.file),
            "recordings": need.recordings,
            "mediaFiles": need.files,
        })
    });
    let certificates: Vec<_> = certificates.collect();
    let keys: Vec<_> = keyring.keys_without_certificate().map(|key| &key.file).collect();
    let absent = needs.by_label.iter().map(|(label, need)| {
        json!({ "certificate": label, "recordings": need.recordings, "mediaFiles": need.files })
    });
    json!({
        "certificates": certificates,
        "keysWithoutCertificate": keys,
        "certificatesNotHere": absent.collect::<Vec<_>>(),
        "mediaFilesWithoutCertificate": needs.unreadable,
        "foldersNotRead": needs.not_walked,
        "exitCode": exit as u8,
    })
}

const HEADINGS: [&str; 7] =
    ["SUBJECT", "SERIAL (HEX)", "FROM", "UNTIL", "KEY", "RECORDINGS", "FILES"];

fn row(
    subject: &str,
    serial: &str,
    [from, until]: [String; 2],
    key: &str,
    need: Option<Need>,
) -> [String; 7] {
    let count = |of: fn(Need) -> u64| need.map_or_else(|| "-".to_owned(), |it| of(it).to_string());
    let (recordings, files) = (count(|it| it.recordings), count(|it| it.files));
    [subject.to_owned(), serial.to_owned(), from, until, key.to_owned(), recordings, files]
}

/// Gives for each media file of a folder the certificates that open it, by their labels.
fn labels_by_file(keyring: &Keyring, folder: &Folder) -> Vec<BTreeSet<String>> {
    let mut buffer = Vec::new();
    let labels = |file: &Found| {
        let Ok(head) = folder.head(file, &mut buffer) else { return BTreeSet::new() };
        rsa_recipients(&head).map(|it| super::label(keyring, &it.id)).collect()
    };
    folder.files.media.iter().map(labels).collect()
}

impl Needs {
    fn take(&mut self, folder: Result<Vec<BTreeSet<String>>, TreeError>) -> Result<(), Error> {
        let files = match folder {
            Ok(files) => files,
            Err(error) => {
                self.not_walked.push(chain(&error));
                return if self.is_json { Ok(()) } else { print(&chain(&error)) };
            }
        };
        self.unreadable += files.iter().filter(|labels| labels.is_empty()).count() as u64;
        for label in files.iter().flatten().cloned().collect::<BTreeSet<_>>() {
            self.by_label.entry(label).or_default().recordings += 1;
        }
        for label in files.into_iter().flatten() {
            self.by_label.entry(label).or_default().files += 1;
        }
        Ok(())
    }
}
