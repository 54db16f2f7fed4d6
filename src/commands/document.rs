//! The one JSON document that a command prints where `--json` asks for it.
//!
//! **Invariant:** each begins with `schema`, the name of the file in docs/schema that says what
//! else it has; what stands there changes with the number in it only.

use serde::Serialize;

use super::{World, print};
use crate::check::Sampled;
use crate::error::{Error, Exit};
use crate::monitor::{Checked, Opened};

/// How much that is wrong is named in a document.
pub(super) const NAMED: usize = 1_000;

/// Whether a command prints for people or for programs.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct JsonArgs {
    /// Prints one JSON document
    #[arg(long)]
    pub json: bool,
}

/// A document with its name.
#[derive(Serialize)]
struct Document<'d, T> {
    schema: String,
    #[serde(flatten)]
    body: &'d T,
}

/// Something that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) path: String,
    pub(super) reason: String,
}

/// A command that could not do what it was asked for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed {
    exit_code: u8,
    errors: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    error: String,
    hint: Option<String>,
}

/// What the member `schema` of a document says.
pub(super) fn schema(name: &str) -> String {
    format!("rcbs/{name}/1")
}

/// Prints the document of a command, its only one.
pub(super) fn tell(world: &World<'_>, name: &str, body: &impl Serialize) -> Result<(), Error> {
    begun(world);
    let document = Document { schema: schema(name), body };
    print(&serde_json::to_string_pretty(&document).expect("it has names for keys"))
}

/// Takes note that a document has been begun, so that no other will be.
pub(super) fn begun(world: &World<'_>) {
    let _ = world.document.set(());
}

/// Prints the document of a command that failed before it had one to print.
pub fn fail(world: &World<'_>, error: &Error) -> Result<(), Error> {
    if world.document.get().is_some() {
        return Ok(());
    }
    let lines = error.lines().into_iter().map(|(error, hint)| Line { error, hint });
    tell(world, "error", &Failed { exit_code: error.exit() as u8, errors: lines.collect() })
}

/// Names what was found with paths and reasons.
fn findings(all: Vec<(String, String)>) -> Vec<Finding> {
    all.into_iter().map(|(path, reason)| Finding { path, reason }).collect()
}

/// What reading again what is held came to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Read {
    recordings: u64,
    media_files: u64,
    read_files: u64,
    read_bytes: u64,
    entered_recordings: u64,
    damaged: u64,
    missing: u64,
    repaired: u64,
    moved_away: u64,
    unexplained: u64,
    twice: u64,
    raw: u64,
    /// Whether something could not be checked at all.
    is_blind: bool,
    sample: Option<Sample>,
    findings: Vec<Finding>,
    unnamed_findings: u64,
    is_sound: bool,
    exit_code: u8,
}

#[derive(Serialize)]
struct Sample {
    taken: u64,
    all: u64,
    seed: u64,
}

impl Read {
    pub(super) fn of(checked: Checked, sampled: Option<Sampled>, exit: Exit) -> Read {
        Read {
            recordings: checked.recordings,
            media_files: checked.files,
            read_files: checked.read_files,
            read_bytes: checked.read_bytes,
            entered_recordings: checked.entered,
            damaged: checked.damaged,
            missing: checked.missing,
            repaired: checked.repaired,
            moved_away: checked.moved,
            unexplained: checked.unexplained,
            twice: checked.doubled,
            raw: checked.raw,
            is_blind: checked.is_blind,
            sample: sampled.map(|Sampled { taken, all, seed }| Sample { taken, all, seed }),
            is_sound: checked.is_sound(),
            findings: findings(checked.failures),
            unnamed_findings: checked.unnamed_failures,
            exit_code: exit as u8,
        }
    }
}

/// What opening came to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Open {
    opened_files: u64,
    opened_bytes: u64,
    skipped_files: u64,
    failed_files: u64,
    copied_metadata: u64,
    warnings: u64,
    findings: Vec<Finding>,
    unnamed_findings: u64,
    is_complete: bool,
    exit_code: u8,
}

impl Open {
    pub(super) fn of(opened: Opened, exit: Exit) -> Open {
        Open {
            opened_files: opened.files,
            opened_bytes: opened.bytes,
            skipped_files: opened.skipped,
            failed_files: opened.failed,
            copied_metadata: opened.copied_metadata,
            warnings: opened.warnings,
            is_complete: opened.is_complete(),
            findings: findings(opened.failures),
            unnamed_findings: opened.unnamed_failures,
            exit_code: exit as u8,
        }
    }
}
