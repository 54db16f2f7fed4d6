//! What faults do to the records of a page.
//!
//! Given a page, the one before it and the actions that strike it, gives the page changed. **Invariant**: without
//! actions nothing is changed; what is kept from a listing is noted.

use std::collections::BTreeSet;

use crate::fault::Action;
use crate::log::lock;
use crate::server::Shared;
use crate::sim::read;
use crate::world::{Row, calls};

/// Puts rows into no order: another one for each `salt`, always the same for the same.
pub(super) fn shuffle(rows: &mut [Row], salt: u64) {
    let mut dice = calls::Dice::new(calls::mix(salt, rows.len() as u64));
    for last in (1..rows.len()).rev() {
        rows.swap(last, dice.below(last as u64 + 1) as usize);
    }
}

/// Drops, repeats and reorders the records of the page, as the actions want it and in their order.
pub(super) fn spoil(page: &mut Vec<Row>, before: &[Row], actions: &[Action], number: u64) {
    let at_most = |rows: u64, of: &[Row]| usize::try_from(rows).unwrap_or(of.len()).min(of.len());
    for action in actions {
        match action {
            Action::DropRows(rows) => {
                let rows = at_most(*rows, page);
                let first = (page.len() - rows) / 2;
                page.drain(first..first + rows);
            }
            Action::RepeatRows(rows) => page.extend_from_within(..at_most(*rows, page)),
            Action::StaleRows(rows) => {
                let first = before.len() - at_most(*rows, before);
                page.splice(0..0, before[first..].iter().cloned());
            }
            Action::Reorder => shuffle(page, number),
            _ => {}
        }
    }
}

/// Notes what a fault keeps from a listing: of all that the range has, what does not stand on the page.
///
/// Not only what was taken away, because what is behind it may not be asked for any more.
pub(super) fn note_hidden(shared: &Shared, rows: &[Row], page: &[Row], actions: &[Action]) {
    let hides = |action: &Action| {
        // A page that is longer than the cap does not look as if it were cut.
        matches!(
            action,
            Action::EmptyPage | Action::RepeatedPage | Action::DropRows(_) | Action::StaleRows(_)
        )
    };
    if !actions.iter().any(hides) {
        return;
    }
    let world = read(&shared.world);
    let ids = |rows: &[Row]| -> BTreeSet<String> {
        rows.iter().map(|row| world.recording(row).id.clone()).collect()
    };
    lock(&shared.hidden).extend(&ids(rows) - &ids(page));
}
