//! Which names are taken in the folders of the hours, and by which recording of this run.
//!
//! Is given a folder's listing once; answers from memory while recordings of that folder come,
//! so that an hour of ten thousand recordings is listed once and not ten thousand times.
//!
//! **Invariant**: two recordings of one run never have the same name, nor names that differ in
//! case only. Memory is bounded by the last few folders; names are kept as hashes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use xxhash_rust::xxh3::xxh3_64;

use super::error::{Doing, TreeError};
use crate::layout::{fold, hashed_name, safe_name};

/// How many folders are remembered.
const REMEMBERED: usize = 8;

/// The listings of the last few folders.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<VecDeque<(PathBuf, Listing)>>);

#[derive(Debug, Default)]
struct Listing {
    /// The names there, and the start of the recording that has claimed each in this run.
    names: HashMap<u64, Option<DateTime<Utc>>>,
    /// The same names, case ignored.
    folded: HashSet<u64>,
}

/// What is known of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing has it.
    Free,
    /// It was there before this run.
    There,
    /// A recording that started at this time has claimed it.
    Claimed(DateTime<Utc>),
    /// One that differs in case only is there or claimed.
    Taken,
}

impl Places {
    /// Gives the name of a recording's folder, before any number: with a hash where the plain
    /// one is taken by another that differs in case only.
    pub(super) fn base(&self, parent: &Path, id: &str) -> Result<String, TreeError> {
        self.with(parent, |listing| {
            let (plain, hashed) = (safe_name(id), hashed_name(id));
            let is_hashed = !listing.has(&plain)
                && (listing.has(&hashed) || listing.folded.contains(&hash(&fold(&plain))));
            if is_hashed { hashed } else { plain }
        })
    }

    /// Tells what is known of a name.
    pub(super) fn look(&self, parent: &Path, name: &str) -> Result<Place, TreeError> {
        self.with(parent, |listing| match listing.names.get(&hash(name)) {
            None if listing.folded.contains(&hash(&fold(name))) => Place::Taken,
            None => Place::Free,
            Some(None) => Place::There,
            Some(&Some(started_at)) => Place::Claimed(started_at),
        })
    }

    /// Claims a name for the recording that started at a time; `false` if another was faster.
    pub(super) fn claim(
        &self,
        parent: &Path,
        name: &str,
        started_at: DateTime<Utc>,
    ) -> Result<bool, TreeError> {
        self.with(parent, |listing| {
            let is_new = !listing.has(name);
            if is_new && listing.folded.contains(&hash(&fold(name))) {
                return false;
            }
            listing.folded.insert(hash(&fold(name)));
            let claim = listing.names.entry(hash(name)).or_default();
            *claim.get_or_insert(started_at) == started_at
        })
    }

    fn with<T>(
        &self,
        parent: &Path,
        use_listing: impl FnOnce(&mut Listing) -> T,
    ) -> Result<T, TreeError> {
        let mut listings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let listing = match listings.iter().position(|(path, _)| path == parent) {
            Some(index) => listings.remove(index),
            None => None,
        };
        let (path, mut listing) = match listing {
            Some(listing) => listing,
            None => (parent.to_owned(), list(parent)?),
        };
        let result = use_listing(&mut listing);
        listings.push_front((path, listing));
        listings.truncate(REMEMBERED);
        Ok(result)
    }
}

impl Listing {
    fn has(&self, name: &str) -> bool {
        self.names.contains_key(&hash(name))
    }
}

fn list(parent: &Path) -> Result<Listing, TreeError> {
    let mut listing = Listing::default();
    let entries = match fs::read_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listing),
        entries => entries.doing("list", parent)?,
    };
    for entry in entries {
        let name = entry.doing("list", parent)?.file_name();
        let name = name.to_string_lossy();
        listing.names.insert(hash(&name), None);
        listing.folded.insert(hash(&fold(&name)));
    }
    Ok(listing)
}

fn hash(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_that_ask_at_once_one_is_refused() {
        let (places, parent) = (Places::default(), Path::new("no/such/folder"));
        let at = |millis| DateTime::from_timestamp_millis(millis).expect("in range");
        for (name, started_at, is_claimed) in
            [("A", 1, true), ("A", 2, false), ("a", 1, false), ("A", 1, true), ("b", 2, true)]
        {
            assert_eq!(places.claim(parent, name, at(started_at)).unwrap(), is_claimed, "{name}");
        }
        assert_eq!(places.look(parent, "A").unwrap(), Place::Claimed(at(1)));
        assert_eq!(places.look(parent, "a").unwrap(), Place::Taken);
        assert_eq!(places.look(parent, "c").unwrap(), Place::Free);
        assert_eq!(places.base(parent, "a").unwrap(), hashed_name("a"));
    }

    #[test]
    fn only_the_last_few_folders_are_remembered() {
        let places = Places::default();
        for number in 0..100 {
            places.look(Path::new(&number.to_string()), "A").unwrap();
        }
        assert_eq!(places.0.lock().unwrap().len(), REMEMBERED);
    }
}
