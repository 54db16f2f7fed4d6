//! Holds what is listed against the ledgers, and what the ledgers name against what was listed.
//!
//! **Invariant:** of a shard only hashes are remembered, and only until it is listed to the end;
//! ledgers are read by key or page by page.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use xxhash_rust::xxh3::xxh3_128;

use super::finding::{Finding, State};
use super::tally::Tally;
use super::verdict::{Known, Listed, Verdict, of_listed, of_unlisted};
use crate::instance::Instance;
use crate::ledger::{Entry, FailureEntry, Ledger, LedgerError, Ledgers};
use crate::source::listing::Unlisted;
use crate::window::{BackupWindow, Shard};

/// How many rows of a ledger are read at once.
const PAGE: usize = 500;

/// How many records that cannot be understood are told from each other.
const REJECTED: usize = 100_000;

pub(super) struct Comparer {
    /// All ledgers, each with the target that it is of.
    ledgers: Vec<(usize, Arc<Ledger>)>,
    instances: u32,
    waiting_since: DateTime<Utc>,
    tally: Tally,
    /// The recordings of the shard under way, and in which state each was counted.
    seen: HashMap<u128, State>,
    /// Those that were listed where they were not asked for, and counted. The listing bounds them.
    outsiders: HashMap<u128, State>,
    rejected: HashSet<u128>,
    /// What is left to do of a shard that was listed.
    rest: Option<Rest>,
}

/// The pages of the ledgers over a shard that was listed.
struct Rest {
    within: BackupWindow,
    unlisted: Vec<(Unlisted, u64)>,
    /// Which ledger is read.
    ledger: usize,
    pages: Pages,
}

enum Pages {
    /// Behind which recording to go on.
    Entries(Option<(DateTime<Utc>, String)>),
    /// Behind which failure to go on.
    Failures(Option<(DateTime<Utc>, String, String)>),
}

impl Comparer {
    pub(super) fn new(
        targets: &[Ledgers],
        instances: u32,
        waiting_since: DateTime<Utc>,
    ) -> Comparer {
        let of = |(target, all): (usize, &Ledgers)| -> Vec<_> {
            all.each().map(|ledger| (target, Arc::clone(ledger))).collect()
        };
        Comparer {
            tally: Tally { targets: vec![0; targets.len()], ..Tally::default() },
            ledgers: targets.iter().enumerate().flat_map(of).collect(),
            instances,
            waiting_since,
            seen: HashMap::new(),
            outsiders: HashMap::new(),
            rejected: HashSet::new(),
            rest: None,
        }
    }

    pub(super) fn into_tally(self) -> Tally {
        self.tally
    }

    /// Counts a recording that was listed where `within` was asked for.
    pub(super) fn listed(
        &mut self,
        within: BackupWindow,
        listed: &Listed,
    ) -> Result<Option<Finding>, LedgerError> {
        let key = key(&listed.id, listed.started_at);
        let (known, targets) = self.known(&listed.id, listed.started_at)?;
        let verdict = of_listed(listed, &known, self.waiting_since);
        if !within.contains(listed.started_at) {
            // What is held is no loss, and if its time is audited too, it is counted there.
            if verdict.state.is_settled() {
                return Ok(None);
            }
            let before = self.outsiders.insert(key, verdict.state);
            return Ok(self.count(&listed.id, listed.started_at, verdict, before, &targets));
        }
        let before = self.seen.get(&key).or_else(|| self.outsiders.get(&key)).copied();
        // The same recording listed once more, with other media: the worse of both counts.
        let worst = before.map_or(verdict.state, |before| before.max(verdict.state));
        self.seen.insert(key, worst);
        Ok(self.count(&listed.id, listed.started_at, verdict, before, &targets))
    }

    /// Counts a record that cannot be understood; it is listed again by each shard.
    pub(super) fn rejected(
        &mut self,
        key: u128,
        id: Option<String>,
        cause: &'static str,
    ) -> Option<Finding> {
        if self.rejected.contains(&key) {
            return None;
        }
        if self.rejected.len() < REJECTED {
            self.rejected.insert(key);
        }
        self.tally.rejected += 1;
        Some(Finding::Rejected { state: "rejected", id, cause })
    }

    /// Begins to look for what the ledgers name in a shard and was not listed.
    pub(super) fn shard_ended(&mut self, shard: &Shard, unlisted: Vec<Unlisted>) {
        self.rest = Some(Rest {
            within: BackupWindow { from: shard.from, to: shard.to },
            unlisted: unlisted.into_iter().map(|part| (part, 0)).collect(),
            ledger: 0,
            pages: Pages::Entries(None),
        });
    }

    /// Reads the next page of a ledger; nothing where nothing is left to do.
    pub(super) fn go_on(&mut self) -> Result<Option<Vec<Finding>>, LedgerError> {
        let Some(mut rest) = self.rest.take() else { return Ok(None) };
        let BackupWindow { from, to } = rest.within;
        let Some((_, ledger)) = self.ledgers.get(rest.ledger) else {
            self.seen.clear();
            self.tally.unlisted += rest.unlisted.len() as u64;
            return Ok(Some(rest.unlisted.into_iter().map(not_listed).collect()));
        };
        let unread: Vec<(String, DateTime<Utc>)>;
        match &mut rest.pages {
            Pages::Entries(behind) => {
                let at = behind.as_ref().map(|(at, id)| (*at, id.as_str()));
                let page = ledger.between(from, to, at, PAGE)?;
                match page.last() {
                    Some(Entry { id, started_at, .. }) => *behind = Some((*started_at, id.clone())),
                    None => rest.pages = Pages::Failures(None),
                }
                unread = page.into_iter().map(|entry| (entry.id, entry.started_at)).collect();
            }
            Pages::Failures(behind) => {
                let at = behind.as_ref().map(|(at, id, media)| (*at, id.as_str(), media.as_str()));
                let page = ledger.failures(from, to, at, PAGE)?;
                match page.last() {
                    Some(FailureEntry { id, started_at, media_id, .. }) => {
                        *behind = Some((*started_at, id.clone(), media_id.clone()));
                    }
                    None => {
                        rest.ledger += 1;
                        rest.pages = Pages::Entries(None);
                    }
                }
                unread = page.into_iter().map(|row| (row.id, row.started_at)).collect();
            }
        }
        let mut findings = Vec::new();
        for (id, started_at) in unread {
            findings.extend(self.not_listed(&mut rest, &id, started_at)?);
        }
        self.rest = Some(rest);
        Ok(Some(findings))
    }

    /// Counts a recording that a ledger names, unless it was listed.
    fn not_listed(
        &mut self,
        rest: &mut Rest,
        id: &str,
        started_at: DateTime<Utc>,
    ) -> Result<Option<Finding>, LedgerError> {
        let key = key(id, started_at);
        if self.seen.contains_key(&key) || self.outsiders.contains_key(&key) {
            return Ok(None);
        }
        let (known, targets) = self.known(id, started_at)?;
        let at = started_at.timestamp_millis();
        let mut parts = rest.unlisted.iter_mut();
        let part = parts.find(|(part, _)| (part.from_ms..part.to_ms).contains(&at));
        let verdict = of_unlisted(&known, part.is_none());
        self.seen.insert(key, verdict.state);
        match part {
            // Whether it is all of what is listed now, nobody knows.
            Some((_, held)) if verdict.state == State::Hidden => {
                *held += 1;
                Ok(None)
            }
            _ => Ok(self.count(id, started_at, verdict, None, &targets)),
        }
    }

    fn count(
        &mut self,
        id: &str,
        started_at: DateTime<Utc>,
        verdict: Verdict,
        before: Option<State>,
        targets: &[bool],
    ) -> Option<Finding> {
        let Verdict { state, losses } = verdict;
        if before.is_some_and(|before| before >= state) {
            return None;
        }
        let instance = Instance::owner(id, self.instances);
        self.tally.count(started_at, instance, state, before);
        if before.is_none() {
            let places = self.tally.targets.iter_mut().zip(targets);
            places.for_each(|(count, has)| *count += u64::from(*has));
        }
        let id = id.to_owned();
        let finding = Finding::Recording { state, id, started_at, instance, losses };
        (!state.is_held()).then_some(finding)
    }

    /// What the ledgers say of a recording, and which of them hold something of it.
    fn known(
        &self,
        id: &str,
        started_at: DateTime<Utc>,
    ) -> Result<(Known, Vec<bool>), LedgerError> {
        let mut known = Known::default();
        let mut targets = vec![false; self.tally.targets.len()];
        for (target, ledger) in &self.ledgers {
            let entry = ledger.entry(id, started_at)?;
            targets[*target] |= entry.is_some();
            known.entries.extend(entry);
            known.failures.extend(ledger.failures_of(id, started_at)?);
        }
        Ok((known, targets))
    }
}

/// A recording is its id and its startTime.
fn key(id: &str, started_at: DateTime<Utc>) -> u128 {
    let at = started_at.timestamp_millis().to_le_bytes();
    xxh3_128(&[&at, id.as_bytes()].concat())
}

fn not_listed((part, held): (Unlisted, u64)) -> Finding {
    let time = |ms| DateTime::from_timestamp_millis(ms).unwrap_or_default();
    Finding::Unlisted {
        state: "unlisted",
        from: time(part.from_ms),
        to: time(part.to_ms),
        cause: part.reason,
        held,
    }
}
