//! `rcbs accept`: writes down that a loss cannot be cured.
//!
//! **Invariant:** the file in `.rcbs/accepted/` comes before the row in the ledger, which can be made
//! again from it; what was accepted before is never lost.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{CommonArgs, World, document, print};
use crate::error::Error;
use crate::error::Exit;
use crate::layout::safe_name;
use crate::ledger::{FailureEntry, Ledger};
use crate::monitor::Event;
use crate::tree::{Holder, Modes, Share, Tree, TreeOptions};
use crate::window::format_rfc3339;

/// Where accepted losses stand, below the target.
const ACCEPTED: &str = ".rcbs/accepted";

/// What accepting is told on the command line.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Example:
  rcbs accept 01F62DGIBGD8369P7GC362LAES00000G --why 'deleted by the tenant on 2018-03-01'

It takes targetDir from the configuration, or from `--set targetDir=DIR`.")]
pub struct AcceptArgs {
    /// The id of the recording, as `rcbs audit` names it
    #[arg(value_name = "ID")]
    pub id: String,
    /// Why the loss cannot be cured; it stands in every audit
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub why: String,
    /// Accepts the loss of this media file only; else of all that has failed
    #[arg(long, value_name = "MEDIA_ID")]
    pub media: Option<String>,
    /// Prints one JSON document
    #[arg(long)]
    pub json: bool,
}

fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("write why, so that whoever reads an audit knows".to_owned()),
        text => Ok(text.to_owned()),
    }
}

/// Losses of one recording that were accepted together; one file has those of one id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    id: String,
    /// Epoch milliseconds.
    started_at: i64,
    /// Media ids; empty for the recording itself.
    media: Vec<String>,
    why: String,
    /// Epoch milliseconds.
    at: i64,
}

/// What the file holds: one record as it is, several as a list.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Records {
    One(Record),
    Several(Vec<Record>),
}

/// Accepts what has failed of a recording.
pub fn run(args: &AcceptArgs, common: &CommonArgs, world: &World<'_>) -> Result<Exit, Error> {
    let local = super::local(world, common, None, None)?;
    let options = TreeOptions {
        root: local.target_dir.clone().ok_or(Error::NothingNamed)?,
        modes: Modes { file: local.file_mode, folder: local.folder_mode },
        holder: Holder { host: world.host.clone(), since: world.now },
        share: Share::Whole,
    };
    // A target that is not there must not be made, nor a damaged ledger be set aside.
    super::ledgers_of(&Tree::peek(options.clone()))?;
    let tree = Tree::open(options)?;
    let mut all = Vec::new();
    for part in tree.parts()? {
        if Ledger::open_to_read(&part)?.is_none() {
            continue;
        }
        let ledger = Arc::new(Ledger::open(&part)?.ledger);
        let mut failures = ledger.failures_named(&args.id)?;
        let is_meant = |media: &String| args.media.as_ref().is_none_or(|wanted| wanted == media);
        failures.retain(|failure| is_meant(&failure.media_id));
        all.extend(failures.into_iter().map(|failure| (Arc::clone(&ledger), failure)));
    }
    if all.is_empty() {
        return Err(nothing_failed(args, &tree));
    }
    // Where the instances were dealt anew, two of them may know the same failure.
    let mut failures: Vec<FailureEntry> = Vec::new();
    for (_, failure) in &all {
        let is_same = |known: &FailureEntry| {
            known.started_at == failure.started_at && known.media_id == failure.media_id
        };
        if !failures.iter().any(is_same) {
            failures.push(failure.clone());
        }
    }
    write_down(args, &failures, &tree, world)?;
    for (ledger, FailureEntry { id, started_at, media_id, .. }) in &all {
        ledger.accept(id, *started_at, media_id, &args.why, world.now)?;
    }
    for FailureEntry { id, started_at, media_id, cause, .. } in &failures {
        if !args.json {
            let what = named(id, Some(media_id));
            let at = format_rfc3339(*started_at);
            print(&format!("accepted the loss of {what}, which began at {at}: {cause}"))?;
        }
    }
    if args.json {
        document::tell(world, "accept", &accepted(args, &failures))?;
    }
    Ok(Exit::Complete)
}

/// What the document says of losses that were accepted.
fn accepted(args: &AcceptArgs, failures: &[FailureEntry]) -> serde_json::Value {
    let loss = |failure: &FailureEntry| {
        serde_json::json!({
            "id": failure.id,
            "startedAt": format_rfc3339(failure.started_at),
            "mediaId": Some(&failure.media_id).filter(|id| !id.is_empty()),
            "cause": failure.cause,
        })
    };
    serde_json::json!({
        "why": args.why,
        "accepted": failures.iter().map(loss).collect::<Vec<_>>(),
    })
}

fn named(id: &str, media_id: Option<&str>) -> String {
    match media_id {
        Some(media_id) if !media_id.is_empty() => {
            format!("media file {media_id} of recording {id}")
        }
        _ => format!("recording {id}"),
    }
}

fn nothing_failed(args: &AcceptArgs, tree: &Tree) -> Error {
    let what = named(&args.id, args.media.as_deref());
    let target: PathBuf = tree.options().root.clone();
    Error::NothingFailed { what, target }
}

/// Adds to what was accepted of this id before.
fn write_down(
    args: &AcceptArgs,
    failures: &[FailureEntry],
    tree: &Tree,
    world: &World<'_>,
) -> Result<(), Error> {
    let path = format!("{ACCEPTED}/{}.json", safe_name(&args.id));
    let before = match tree.read(&path)?.map(|bytes| serde_json::from_slice(&bytes)) {
        None => Vec::new(),
        Some(Ok(Records::One(record))) => vec![record],
        Some(Ok(Records::Several(records))) => records,
        Some(Err(_)) => {
            let aside = tree.set_aside(&path)?;
            let text = format!("`{path}` cannot be understood; it was moved to `{aside}`");
            world.monitor.on(&Event::Warning { text });
            Vec::new()
        }
    };
    let mut records = merged(before, failures, &args.why, world.now.timestamp_millis());
    let records = match records.len() {
        1 => Records::One(records.remove(0)),
        _ => Records::Several(records),
    };
    let mut text = serde_json::to_vec_pretty(&records).expect("it has names for keys");
    text.push(b'\n');
    Ok(tree.replace(&path, &text)?)
}

/// Joins what was accepted before with what is accepted now, which counts where both name a file.
fn merged(before: Vec<Record>, failures: &[FailureEntry], why: &str, at: i64) -> Vec<Record> {
    let mut records = before;
    for failure in failures {
        let started_at = failure.started_at.timestamp_millis();
        let is_same = |record: &Record| record.id == failure.id && record.started_at == started_at;
        for record in records.iter_mut().filter(|record| is_same(record)) {
            record.media.retain(|media| *media != failure.media_id);
        }
        records.retain(|record| !record.media.is_empty());
        let now = |record: &&mut Record| is_same(record) && record.at == at && record.why == why;
        let media = failure.media_id.clone();
        match records.iter_mut().find(now) {
            Some(record) => record.media.push(media),
            None => records.push(Record {
                id: failure.id.clone(),
                started_at,
                media: vec![media],
                why: why.to_owned(),
                at,
            }),
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn failure(id: &str, started_ms: i64, media_id: &str) -> FailureEntry {
        let at = |ms| DateTime::from_timestamp_millis(ms).expect("in range");
        FailureEntry {
            id: id.to_owned(),
            started_at: at(started_ms),
            media_id: media_id.to_owned(),
            cause: "gone".to_owned(),
            attempts: 1,
            first_failed_at: at(0),
            last_failed_at: at(0),
            accepted: None,
        }
    }

    fn record(id: &str, started_at: i64, media: &[&str], why: &str, at: i64) -> Record {
        let media = media.iter().map(|&media| media.to_owned()).collect();
        Record { id: id.to_owned(), started_at, media, why: why.to_owned(), at }
    }

    #[test]
    fn what_was_accepted_before_stays_unless_it_is_accepted_anew() {
        let both = [failure("R", 5, "a"), failure("R", 5, "b")];
        let first = merged(Vec::new(), &both, "x", 10);
        assert_eq!(first, [record("R", 5, &["a", "b"], "x", 10)]);
        let second = merged(first, &both[1..], "y", 20);
        let anew = [record("R", 5, &["a"], "x", 10), record("R", 5, &["b"], "y", 20)];
        assert_eq!(second, anew);
        // Another time is another recording, and so is an id that differs in case only.
        let others = [failure("R", 6, "a"), failure("r", 5, "a")];
        let third = merged(second, &others, "z", 30);
        assert_eq!(third[..2], anew);
        let new = [record("R", 6, &["a"], "z", 30), record("r", 5, &["a"], "z", 30)];
        assert_eq!(third[2..], new);
        assert_eq!(merged(third, &both, "w", 40).len(), 3);
    }

    #[test]
    fn a_reason_is_asked_for() {
        assert_eq!(reason(" deleted \n").as_deref(), Ok("deleted"));
        assert!(reason("").is_err() && reason(" \t").is_err());
    }
}
