//! What an estimate prints: for people, or as one JSON document.
//!
//! **Invariant:** both say the same figures; docs/planning.md has the document.

mod listing;
mod plans;

pub(super) use self::listing::{Listing, Room};
pub(super) use self::plans::Plans;

use super::words::{bytes, length, rate};
use crate::check::grouped;
use crate::estimate::{Needs, Terms};

/// What a day asks of the network, the services and the machines.
fn demands(needs: &Needs, terms: &Terms) -> Vec<String> {
    let Terms { runs_per_day, overlap_hours, rescan_hours, .. } = terms;
    let within = length(terms.within_seconds);
    let instances = match needs.instances {
        Some(count) => format!("{} to save a day within {within}", grouped(count)),
        None => format!("no number of them saves a day within {within}: each lists everything"),
    };
    vec![
        format!(
            "network    {} to save a day within a day, {} within {within}",
            rate(needs.day_bits_per_second),
            rate(needs.within_bits_per_second)
        ),
        format!(
            "instances  {instances} (each {} recordings/s, {})",
            grouped(u128::from(terms.instance_recordings_per_second)),
            rate(u128::from(terms.instance_bits_per_second))
        ),
        format!(
            "GWS        {} pages, {} requests a day of each instance (runs a day: {runs_per_day}, \
             overlap {overlap_hours} h, rescan {rescan_hours} h)",
            grouped(needs.api_pages),
            grouped(needs.api_requests)
        ),
        format!("S3         {} requests a day, at least", grouped(needs.storage_requests)),
    ]
}

/// A line of a table: what it is, of a day, of all days that are held.
fn row(name: &str, day: &str, held: &str) -> String {
    format!("{name:<32} {day:>16} {held:>20}")
}

fn row_of_bytes(name: &str, day: u128, days: u64) -> String {
    row(name, &bytes(day), &bytes(day.saturating_mul(u128::from(days))))
}

/// What lies on the disk, of a day and of all days that are held.
fn on_disk(needs: &Needs) -> Vec<String> {
    let Needs { day, held, .. } = needs;
    vec![
        row("files", &grouped(day.files), &grouped(held.files)),
        row("inodes", &grouped(day.inodes), &grouped(held.inodes)),
        row("ledger", &bytes(day.ledger_bytes), &bytes(held.ledger_bytes)),
        row("disk, all of it", &bytes(day.disk_bytes), &bytes(held.disk_bytes)),
    ]
}
