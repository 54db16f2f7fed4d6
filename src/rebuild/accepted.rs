//! Losses that an operator has accepted, which stand beside the ledger too.
//!
//! **Invariant**: what was accepted is entered again at the time and for the reason given then.

use std::fs;
use std::io;
use std::path::Path;

use chrono::DateTime;
use serde::Deserialize;

use super::Job;
use crate::ledger::{Ledger, LedgerError};
use crate::monitor::{Event, Teller};
use crate::tree::Tree;

/// Where they stand, below the target.
const FOLDER: &str = ".rcbs/accepted";

/// One of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Loss {
    id: String,
    started_at: i64,
    /// The ids of the media; an empty one is the recording itself.
    media: Vec<String>,
    why: String,
    at: i64,
}

/// A file of them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Losses {
    Many(Vec<Loss>),
    One(Loss),
}

/// Enters them.
pub(super) fn enter(
    tree: &Tree,
    ledger: &Ledger,
    job: &Job,
    teller: &mut Teller<'_>,
) -> Result<(), LedgerError> {
    let folder = tree.options().root.join(FOLDER);
    let names = match names(&folder) {
        Ok(names) => names,
        Err(error) => {
            teller.tell(Event::Damaged { path: FOLDER.to_owned(), reason: error.to_string() });
            return Ok(());
        }
    };
    for name in names {
        let path = format!("{FOLDER}/{name}");
        let text = match tree.read(&path) {
            Ok(text) => text.unwrap_or_default(),
            Err(error) => {
                teller.tell(Event::Damaged { path, reason: error.to_string() });
                continue;
            }
        };
        let losses = match serde_json::from_slice(&text) {
            Ok(Losses::Many(losses)) => losses,
            Ok(Losses::One(loss)) => vec![loss],
            Err(_) => {
                let reason = "it does not say what was accepted".to_owned();
                teller.tell(Event::Damaged { path, reason });
                continue;
            }
        };
        for loss in losses.iter().filter(|loss| job.is_meant(&loss.id)) {
            accept(loss, ledger)?;
        }
    }
    Ok(())
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let name = |entry: io::Result<fs::DirEntry>| {
        Ok(entry?.file_name().into_string().ok().filter(|name| name.ends_with(".json")))
    };
    entries.map(name).filter_map(Result::transpose).collect()
}

fn accept(loss: &Loss, ledger: &Ledger) -> Result<(), LedgerError> {
    let time = |millis| DateTime::from_timestamp_millis(millis).unwrap_or_default();
    let whole = [String::new()];
    let media = if loss.media.is_empty() { &whole[..] } else { &loss.media };
    for media in media {
        ledger.accept(&loss.id, time(loss.started_at), media, &loss.why, time(loss.at))?;
    }
    Ok(())
}
