//! What an audit prints: a table, or a JSON document that is written while it goes on.
//!
//! **Invariant:** no more is kept than the lines that will be printed, a fixed number.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use serde::Serialize;
use serde_json::json;

use super::super::{document, print};
use crate::audit::{Counts, Finding, Loss, State, Tally};
use crate::error::Error;
use crate::http::chain;
use crate::window::{BackupWindow, format_rfc3339};

/// How much that is not held is named in a table.
const NAMED: usize = 1_000;

pub(super) struct Report {
    is_json: bool,
    window: BackupWindow,
    instances: u32,
    targets: Vec<PathBuf>,
    /// What is not held, as it will be printed below the table.
    lines: Vec<String>,
    /// How much of it there is.
    findings: u64,
}

impl Report {
    pub(super) fn new(
        is_json: bool,
        window: BackupWindow,
        instances: u32,
        targets: &[PathBuf],
    ) -> Report {
        let targets = targets.to_vec();
        Report { is_json, window, instances, targets, lines: Vec::new(), findings: 0 }
    }

    pub(super) fn begin(&mut self) -> Result<(), Error> {
        if !self.is_json {
            return Ok(());
        }
        let [from, to] = self.edges();
        print(&format!("{{\"schema\":{},", json!(document::schema("audit"))))?;
        print(&format!("\"from\":{},\"to\":{},", json!(from), json!(to)))?;
        print("\"notHeld\":[")
    }

    /// Takes note of what is not held.
    pub(super) fn found(&mut self, finding: Finding) -> Result<(), Error> {
        self.findings += 1;
        if self.is_json {
            let comma = if self.findings > 1 { "," } else { "" };
            return print(&format!("{comma}{}", text(&finding)));
        }
        if self.lines.len() < NAMED {
            self.lines.push(line(&finding));
        }
        Ok(())
    }

    pub(super) fn end(self, tally: &Tally) -> Result<(), Error> {
        if self.is_json { self.end_json(tally) } else { self.end_table(tally) }
    }

    /// Ends a document of which something is lacking.
    pub(super) fn break_off(&self, error: &Error) -> Result<(), Error> {
        match self.is_json {
            true => print(&format!("],\n\"isComplete\":false,\"error\":{}}}", json!(chain(error)))),
            false => Ok(()),
        }
    }

    fn edges(&self) -> [String; 2] {
        [self.window.from, self.window.to].map(format_rfc3339)
    }

    fn end_json(&self, tally: &Tally) -> Result<(), Error> {
        let Tally { days, instances, targets, rejected, unlisted } = tally;
        print("],\n\"days\":{")?;
        for (at, (day, counts)) in days.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            print(&format!("{comma}\"{day}\":{}", text(counts)))?;
        }
        let targets: Vec<_> = self.targets.iter().zip(targets).collect();
        let targets: Vec<_> = targets
            .iter()
            .map(|(path, has)| json!({ "path": shown(path), "recordings": has }))
            .collect();
        print(&format!("}},\n\"instances\":{},", text(instances)))?;
        print(&format!("\"targets\":{},", text(&targets)))?;
        print(&format!("\"totals\":{},", text(&tally.totals())))?;
        print(&format!("\"rejected\":{rejected},\"unlisted\":{unlisted},"))?;
        print(&format!("\"isComplete\":{}}}", tally.is_complete()))
    }

    fn end_table(&self, tally: &Tally) -> Result<(), Error> {
        let [from, to] = self.edges();
        print(&format!("Recordings that began from {from} to {to} (exclusive), by day in UTC"))?;
        print_table(tally)?;
        if self.instances > 1 {
            for (instance, counts) in &tally.instances {
                print(&share(*instance, self.instances, counts))?;
            }
        }
        if self.targets.len() > 1 {
            for (path, has) in self.targets.iter().zip(&tally.targets) {
                print(&format!("target {}: {has} of these recordings", shown(path)))?;
            }
        }
        self.lines.iter().try_for_each(|line| print(line))?;
        let more = self.findings - self.lines.len() as u64;
        if more > 0 {
            print(&format!("and {more} more: `--json` has them all"))?;
        }
        print(&conclusion(tally))
    }
}

fn print_table(tally: &Tally) -> Result<(), Error> {
    let heads = State::ALL.map(|state| format!("{:>9}", state.name()));
    print(&format!("{:<10}{}{:>10}", "day", heads.concat(), "total"))?;
    let mut last: Option<NaiveDate> = None;
    for (day, counts) in &tally.days {
        let empty = last.map_or(0, |last| (*day - last).num_days() - 1);
        if empty > 0 {
            print(&format!("{:<10}  days without a recording: {empty}", "…"))?;
        }
        print(&row(&day.to_string(), counts))?;
        last = Some(*day);
    }
    print(&row("total", &tally.totals()))
}

fn row(day: &str, counts: &Counts) -> String {
    let cells = State::ALL.map(|state| format!("{:>9}", counts[state]));
    format!("{day:<10}{}{:>10}", cells.concat(), counts.total())
}

fn share(instance: u32, instances: u32, counts: &Counts) -> String {
    let (total, held) = (counts.total(), counts.held());
    let doubt = match held == 0 && counts[State::Missing] == total {
        true => ": was it ever run, and is its target among `--targets`?",
        false => "",
    };
    format!("instance {instance} of {instances}: {total} recordings, {held} held{doubt}")
}

/// One line for what is not held.
fn line(finding: &Finding) -> String {
    let line = match finding {
        Finding::Recording { state, id, started_at, instance, losses } => {
            let losses: Vec<_> = losses.iter().map(loss).collect();
            let (name, at) = (state.name(), format_rfc3339(*started_at));
            format!("{name:<9} {id} {at} (instance {instance}): {}", losses.join("; "))
        }
        Finding::Rejected { state, id, cause } => {
            let id = id.as_deref().unwrap_or("a record without id");
            format!("{state:<9} {id}: {cause}")
        }
        Finding::Unlisted { state, from, to, cause, held } => {
            let (from, to) = (format_rfc3339(*from), format_rfc3339(*to));
            format!("{state:<9} {from} to {to}: {cause}; held of that time: {held} recordings")
        }
    };
    // Ids are a server's, and a terminal obeys what is printed.
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn loss(loss: &Loss) -> String {
    let Loss { media, cause, attempts, why, .. } = loss;
    let media = media.as_ref().map(|media| format!("media file {media}: ")).unwrap_or_default();
    let attempts = match attempts {
        0 => String::new(),
        1 => " (1 attempt)".to_owned(),
        more => format!(" ({more} attempts)"),
    };
    let why = why.as_ref().map(|why| format!("; accepted: {why}")).unwrap_or_default();
    format!("{media}{cause}{attempts}{why}")
}

fn conclusion(tally: &Tally) -> String {
    let totals = tally.totals();
    if tally.is_complete() {
        let accepted = totals[State::Accepted];
        return format!("Complete: {} held, {accepted} accepted as lost", totals.held());
    }
    let states =
        [State::Failed, State::Missing, State::Gone].map(|state| (state.name(), totals[state]));
    let others = [("rejected", tally.rejected), ("ranges not listed", tally.unlisted)];
    let all = states.into_iter().chain(others).filter(|(_, count)| *count > 0);
    let all: Vec<_> = all.map(|(name, count)| format!("{name}: {count}")).collect();
    format!("Not complete: {} held of {}; {}", totals.held(), totals.total(), all.join(", "))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it has names for keys")
}
