//! The recordings of a ledger, page by page, and which of their files are read.
//!
//! **Invariant**: no more than a page is in memory, and a page holds up nobody who writes.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use super::Scope;
use super::sample::Sampler;
use crate::ledger::{Entry, Key, LedgerError, Ledgers};
use crate::tree::joined;

/// How many recordings are read from the ledger at a stroke.
const PAGE: usize = 500;

/// A recording that is looked for.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) entry: Entry,
    /// The names of those of its media files that are read; the others are only looked at.
    pub(super) read: Reading,
}

/// What of a recording is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading {
    All,
    /// The media files of these names, and if there are any, the metadata.
    Only(Vec<String>),
}

impl Reading {
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Reading::All => true,
            Reading::Only(names) => names.iter().any(|one| one == name),
        }
    }

    pub(super) fn has_metadata(&self) -> bool {
        *self != Reading::Only(Vec::new())
    }
}

/// Gives the recordings of a part of what is held.
pub(super) fn rows<'a>(
    ledger: &'a Ledgers,
    scope: &'a Scope,
    mut sampler: Option<Sampler>,
) -> impl Iterator<Item = Result<Row, LedgerError>> + Send + 'a {
    entries(ledger, scope).map(move |entry| {
        let entry = entry?;
        let Some(sampler) = &mut sampler else { return Ok(Row { entry, read: Reading::All }) };
        let names = media(&entry, scope).filter(|_| sampler.takes_next()).map(str::to_owned);
        let read = Reading::Only(names.collect());
        Ok(Row { entry, read })
    })
}

/// Counts the media files of a part of what is held, and what they weigh.
pub(super) fn count(ledger: &Ledgers, scope: &Scope) -> Result<(u64, u64), LedgerError> {
    if let Some(only) = ledger.only().filter(|_| scope.is_open()) {
        let totals = only.totals()?;
        return Ok((totals.media, totals.bytes));
    }
    let (mut files, mut bytes) = (0, 0);
    for entry in entries(ledger, scope) {
        let entry = entry?;
        for file in
            entry.media.iter().filter(|file| scope.covers(&joined(&entry.folder, &file.name)))
        {
            files += 1;
            bytes += file.bytes;
        }
    }
    Ok((files, bytes))
}

fn media<'a>(entry: &'a Entry, scope: &'a Scope) -> impl Iterator<Item = &'a str> {
    let names = entry.media.iter().map(|file| file.name.as_str());
    names.filter(|name| scope.covers(&joined(&entry.folder, name)))
}

fn entries<'a>(
    ledger: &'a Ledgers,
    scope: &'a Scope,
) -> impl Iterator<Item = Result<Entry, LedgerError>> + Send + 'a {
    let pages = Pages { ledgers: ledger, scope, page: VecDeque::new(), which: 0, at: At::Start };
    pages.filter(|entry| entry.as_ref().map_or(true, |entry| scope.meets(&entry.folder)))
}

/// The entries of one ledger after the other, in the order in which they came, or by their start if
/// that counts.
struct Pages<'a> {
    ledgers: &'a Ledgers,
    scope: &'a Scope,
    page: VecDeque<Entry>,
    /// Which ledger is read.
    which: usize,
    at: At,
}

enum At {
    Start,
    Behind(Key),
    BehindStart(DateTime<Utc>, String),
    End,
}

impl Pages<'_> {
    fn turn(&mut self) -> Result<(), LedgerError> {
        let Some(ledger) = self.ledgers.each().nth(self.which) else {
            self.at = At::End;
            return Ok(());
        };
        let page: Vec<Entry>;
        let last = if self.scope.has_times() {
            let behind = match &self.at {
                At::BehindStart(at, id) => Some((*at, id.as_str())),
                _ => None,
            };
            let from = self.scope.from.unwrap_or(DateTime::<Utc>::MIN_UTC);
            let to = self.scope.to.unwrap_or(DateTime::<Utc>::MAX_UTC);
            page = ledger.between(from, to, behind, PAGE)?;
            page.last().map(|last| At::BehindStart(last.started_at, last.id.clone()))
        } else {
            let behind = match self.at {
                At::Behind(key) => key,
                _ => Key::default(),
            };
            let keyed = ledger.page(behind, PAGE)?;
            let last = keyed.last().map(|(key, _)| At::Behind(*key));
            page = keyed.into_iter().map(|(_, entry)| entry).collect();
            last
        };
        if last.is_none() {
            self.which += 1;
        }
        self.at = last.unwrap_or(At::Start);
        for entry in page {
            self.page.extend(self.ledgers.once(self.which, entry)?);
        }
        Ok(())
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<Entry, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.page.is_empty() && !matches!(self.at, At::End) {
            if let Err(error) = self.turn() {
                self.at = At::End;
                return Some(Err(error));
            }
        }
        self.page.pop_front().map(Ok)
    }
}
