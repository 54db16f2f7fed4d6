//! What is known of one recording.
//!
//! **Invariant:** pure, and total: whatever is listed and whatever the ledgers say, there is exactly
//! one [`State`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use super::Wanted;
use super::finding::{Loss, State};
use crate::ledger::{Entry, FailureEntry};
use crate::recording::{Recording, matches};

/// A recording as it is listed now, without what an audit does not need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// The ids of the media files that a backup saves; the same id twice is two files.
    pub wanted: Vec<String>,
    /// The ids of the others.
    pub unwanted: Vec<String>,
    /// Whether its record speaks of more that is to come.
    pub awaits_more: bool,
}

/// What all ledgers say of one recording.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// What is held of it, where something is.
    pub entries: Vec<Entry>,
    /// What has failed of it.
    pub failures: Vec<FailureEntry>,
}

/// What an audit says of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The state.
    pub state: State,
    /// What is lacking; nothing where it is held.
    pub losses: Vec<Loss>,
}

impl Listed {
    /// Takes from a record what an audit needs.
    pub fn of(recording: Recording, wanted: &Wanted) -> Listed {
        let is_wanted = |media_type: Option<&str>| {
            !wanted.metadata_only && matches(&wanted.media_type_pattern, media_type)
        };
        let Recording { id, started_at, media, awaits, .. } = recording;
        let (wanted, unwanted): (Vec<_>, Vec<_>) =
            media.into_iter().partition(|media| is_wanted(media.media_type.as_deref()));
        let ids = |media: Vec<crate::recording::MediaFile>| {
            media.into_iter().map(|media| media.id).collect::<Vec<_>>()
        };
        let awaits_more = awaits.is_some();
        Listed { id, started_at, wanted: ids(wanted), unwanted: ids(unwanted), awaits_more }
    }

    fn names(&self, media_id: &str) -> bool {
        self.wanted.iter().chain(&self.unwanted).any(|listed| listed == media_id)
    }
}

impl Known {
    /// How many files of a media id are held: in one target, as two may hold the same one.
    fn held(&self, media_id: &str) -> usize {
        let of = |entry: &Entry| entry.media.iter().filter(|one| one.media_id == media_id).count();
        self.entries.iter().map(of).max().unwrap_or(0)
    }

    fn has_metadata(&self) -> bool {
        self.entries.iter().any(|entry| entry.metadata.is_some())
    }

    /// Each thing that has failed, once; that it was accepted in one target is enough.
    fn failures(&self) -> BTreeMap<&str, &FailureEntry> {
        let mut all = BTreeMap::new();
        for failure in &self.failures {
            let place = all.entry(failure.media_id.as_str()).or_insert(failure);
            let weight = |one: &FailureEntry| (one.accepted.is_some(), one.last_failed_at);
            if weight(failure) > weight(place) {
                *place = failure;
            }
        }
        all
    }
}

/// Says what is known of a recording that is listed.
pub fn of_listed(listed: &Listed, known: &Known, waiting_since: DateTime<Utc>) -> Verdict {
    if known.entries.is_empty() && known.failures.is_empty() {
        return verdict(vec![Loss::new("", State::Missing, "in no ledger", 0)], State::Missing);
    }
    let failures = known.failures();
    let mut losses = Vec::new();
    for media_id in lacking(listed, known) {
        // Where the recording itself has failed, so has all that nobody came to.
        let failure = failures.get(media_id).or_else(|| failures.get(""));
        losses.push(match failure {
            Some(failure) => tried(failure, media_id, State::Failed),
            None if media_id.is_empty() => {
                Loss::new("", State::Missing, "its metadata are not held", 0)
            }
            None => Loss::new(media_id, State::Missing, "not held, and no run has tried", 0),
        });
    }
    for (&media_id, failure) in &failures {
        let is_settled = media_id.is_empty() || known.held(media_id) > 0;
        if !is_settled && !listed.names(media_id) {
            losses.push(tried(failure, media_id, State::Gone));
        }
    }
    let waits = listed.awaits_more && listed.started_at >= waiting_since;
    verdict(losses, if waits { State::Waiting } else { State::Held })
}

/// Says what is known of a recording that the ledgers name and that is not listed; `was_asked`
/// tells whether its time was listed at all.
pub fn of_unlisted(known: &Known, was_asked: bool) -> Verdict {
    let state = if was_asked { State::Gone } else { State::Failed };
    let mut losses = Vec::new();
    for (media_id, failure) in known.failures() {
        let is_cured = match media_id {
            "" => known.has_metadata(),
            _ => known.held(media_id) > 0,
        };
        if !is_cured {
            losses.push(tried(failure, media_id, state));
        }
    }
    let is_anything_held =
        known.has_metadata() || known.entries.iter().any(|e| !e.media.is_empty());
    if losses.is_empty() && !is_anything_held {
        losses.push(Loss::new("", state, "nothing of it is held", 0));
    }
    verdict(losses, State::Hidden)
}

/// The worst of what is lacking decides.
fn verdict(losses: Vec<Loss>, otherwise: State) -> Verdict {
    let worst = losses.iter().map(|loss| loss.state).max();
    Verdict { state: worst.unwrap_or(otherwise), losses }
}

/// The wanted media that are not held, each id once; empty for the metadata.
fn lacking<'l>(listed: &'l Listed, known: &Known) -> BTreeSet<&'l str> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for media_id in &listed.wanted {
        *counts.entry(media_id).or_default() += 1;
    }
    let lacks = counts.into_iter().filter(|(media_id, count)| known.held(media_id) < *count);
    let metadata = (!known.has_metadata()).then_some("");
    lacks.map(|(media_id, _)| media_id).chain(metadata).collect()
}

fn tried(failure: &FailureEntry, media_id: &str, state: State) -> Loss {
    let loss = Loss::new(media_id, state, &failure.cause, failure.attempts);
    match &failure.accepted {
        Some(accepted) => loss.accepted(accepted.clone()),
        None => loss,
    }
}
