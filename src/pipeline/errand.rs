//! What is tried before the window is: recordings that failed in earlier runs, and those whose
//! media come late.
//!
//! **Invariant:** pure; every recording that failed and lies outside the window is on an errand.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::lister::Key;
use crate::window::BackupWindow;

/// How far two recordings may lie apart to be listed together.
const TOGETHER: TimeDelta = TimeDelta::minutes(1);

/// From how many recordings in the window on they come with the window, because listing them
/// apart would list most of it twice.
const MANY: usize = 1_000;

/// A stretch of time to list, and what of it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// Where it begins.
    pub from: DateTime<Utc>,
    /// Where it ends.
    pub to: DateTime<Utc>,
    /// Which recordings, by id and start.
    pub wanted: HashMap<Key, Reason>,
}

/// Why a recording is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Something of it is not held.
    Missing,
    /// Something of it may still come.
    Awaiting,
}

/// Puts together what is asked for apart from the window, the oldest first.
pub fn errands(missing: Vec<Key>, awaiting: Vec<Key>, window: Option<BackupWindow>) -> Vec<Errand> {
    let is_inside = |key: &Key| window.is_some_and(|window| window.contains(key.1));
    let inside = missing.iter().filter(|key| is_inside(key)).count();
    let mut all: Vec<(Key, Reason)> = Vec::new();
    all.extend(
        awaiting.into_iter().filter(|key| !is_inside(key)).map(|key| (key, Reason::Awaiting)),
    );
    all.extend(
        missing
            .into_iter()
            .filter(|key| inside < MANY || !is_inside(key))
            .map(|key| (key, Reason::Missing)),
    );
    // Of equal ones the stronger reason comes last, and stays.
    all.sort_by_key(|(key, _)| key.1);
    let mut errands: Vec<Errand> = Vec::new();
    for (key, reason) in all {
        let to = key.1 + TimeDelta::milliseconds(1);
        match errands.last_mut() {
            Some(last) if key.1 - last.to <= TOGETHER => {
                last.to = to;
                last.wanted.insert(key, reason);
            }
            _ => errands.push(Errand { from: key.1, to, wanted: HashMap::from([(key, reason)]) }),
        }
    }
    errands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, seconds: i64) -> Key {
        (id.to_owned(), DateTime::from_timestamp(1_518_462_191 + seconds, 0).expect("in range"))
    }

    fn told(errands: &[Errand]) -> Vec<String> {
        let one = |errand: &Errand| {
            let mut wanted: Vec<_> =
                errand.wanted.iter().map(|((id, _), reason)| format!("{id} {reason:?}")).collect();
            wanted.sort();
            format!("{}: {}", (errand.to - errand.from).num_milliseconds(), wanted.join(", "))
        };
        errands.iter().map(one).collect()
    }

    #[test]
    fn what_lies_close_together_is_listed_together() {
        let missing = vec![key("c", 200), key("a", 0), key("b", 60)];
        let awaiting = vec![key("a", 0), key("d", 210)];
        assert_eq!(
            told(&errands(missing, awaiting, None)),
            ["60001: a Missing, b Missing", "10001: c Missing, d Awaiting"]
        );
    }

    #[test]
    fn what_comes_with_the_window_anyway_is_not_asked_for_apart_but_for_a_few_failures() {
        let window = BackupWindow { from: key("", 0).1, to: key("", 5_000).1 };
        let awaiting = vec![key("in", 10), key("out", 6_000)];
        let asked = errands(vec![key("a", 10), key("b", -10)], awaiting, Some(window));
        assert_eq!(told(&asked), ["20001: a Missing, b Missing", "1: out Awaiting"]);
        let many: Vec<_> = (0..MANY).map(|n| key(&n.to_string(), n as i64)).collect();
        let asked = errands([many, vec![key("b", -10)]].concat(), Vec::new(), Some(window));
        assert_eq!(told(&asked), ["1: b Missing"]);
    }
}
