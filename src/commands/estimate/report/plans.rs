//! What is printed of planned volumes.

use serde::Serialize;

use super::super::words::{bytes, length, rate};
use super::{demands, on_disk, row, row_of_bytes};
use crate::check::grouped;
use crate::estimate::{Footprint, METADATA_BOUND, Milli, Needs, Planned, Terms, Usual};

/// Planned volumes, and what each needs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::commands::estimate) struct Plans {
    assumptions: Assumptions,
    terms: Terms,
    /// In the order in which they were asked for.
    pub(in crate::commands::estimate) volumes: Vec<Planning>,
    #[serde(skip)]
    usual: Usual,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Assumptions {
    minutes: f64,
    screen_percent: f64,
    voice_files: f64,
    voice_bits_per_second: u64,
    screen_bits_per_second: u64,
    metadata_bytes: u64,
}

/// One planned volume.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::commands::estimate) struct Planning {
    day: Planned,
    needs: Needs,
    at_most: AtMost,
}

/// The disk, were all metadata as large as the documents allow.
#[derive(Serialize)]
struct AtMost {
    day: Footprint,
    held: Footprint,
}

impl Plans {
    pub(in crate::commands::estimate) fn of(
        usual: Usual,
        terms: Terms,
        days: impl Iterator<Item = Planned>,
    ) -> Plans {
        let planning = |day: Planned| {
            let most = Footprint::of(&day.at_most(), 1);
            let needs = Needs::of(&day.volume(), &terms);
            let at_most = AtMost { day: most, held: most.times(terms.days) };
            Planning { day, needs, at_most }
        };
        let decimal = |milli: Milli| milli.0 as f64 / 1_000.0;
        let assumptions = Assumptions {
            minutes: decimal(usual.minutes),
            screen_percent: decimal(usual.screen_percent),
            voice_files: decimal(usual.voice_files),
            voice_bits_per_second: usual.voice_kbps * 1_000,
            screen_bits_per_second: usual.screen_kbps * 1_000,
            metadata_bytes: usual.metadata_bytes,
        };
        Plans { assumptions, terms, volumes: days.map(planning).collect(), usual }
    }

    /// Everything about one volume.
    pub(in crate::commands::estimate) fn text(&self, planning: &Planning) -> Vec<String> {
        let Planning { day, needs, at_most } = planning;
        let Usual { voice_kbps, screen_kbps, metadata_bytes, .. } = self.usual;
        let days = self.terms.days;
        let metadata = format!("metadata, {} each", bytes(u128::from(metadata_bytes)));
        let bound = format!("  were all metadata {}", bytes(u128::from(METADATA_BOUND)));
        let mut lines = vec![
            format!("{} recordings a day {}", grouped(day.recordings), self.each()),
            String::new(),
            row("", "a day", &held(days)),
            row_of_bytes(&format!("voice, {voice_kbps} kbit/s"), day.voice_bytes, days),
            row_of_bytes(&format!("screen, {screen_kbps} kbit/s"), day.screen_bytes, days),
            row_of_bytes(&metadata, day.metadata_bytes, days),
        ];
        lines.extend(on_disk(needs));
        lines.push(row(&bound, &bytes(at_most.day.disk_bytes), &bytes(at_most.held.disk_bytes)));
        lines.push(String::new());
        lines.extend(demands(needs, &self.terms));
        lines
    }

    /// A line for each volume, as Markdown.
    pub(in crate::commands::estimate) fn table(&self) -> Vec<String> {
        let (days, within) = (held(self.terms.days), length(self.terms.within_seconds));
        let mut lines = vec![
            format!("Recordings {}", self.each()),
            String::new(),
            format!(
                "| recordings a day | voice a day | screen a day | metadata a day | disk, {days} | \
                 inodes, {days} | ledger, {days} | GWS pages a day | bandwidth, 24 h | \
                 bandwidth, {within} | instances, {within} |"
            ),
            format!("|{}", "---:|".repeat(11)),
        ];
        for Planning { day, needs, .. } in &self.volumes {
            let cells = [
                grouped(day.recordings),
                bytes(day.voice_bytes),
                bytes(day.screen_bytes),
                bytes(day.metadata_bytes),
                bytes(needs.held.disk_bytes),
                grouped(needs.held.inodes),
                bytes(needs.held.ledger_bytes),
                grouped(needs.api_pages),
                rate(needs.day_bits_per_second),
                rate(needs.within_bits_per_second),
                needs.instances.map_or_else(|| "–".to_owned(), grouped),
            ];
            lines.push(format!("| {} |", cells.join(" | ")));
        }
        lines
    }

    /// What a recording is like.
    fn each(&self) -> String {
        let Usual { minutes, screen_percent, voice_files, .. } = self.usual;
        format!(
            "of {} minutes with {} voice files, {} % of them with a screen recording",
            minutes.text(),
            voice_files.text(),
            screen_percent.text()
        )
    }
}

fn held(days: u64) -> String {
    if days == 1 { "1 day".to_owned() } else { format!("{} days", grouped(u128::from(days))) }
}
