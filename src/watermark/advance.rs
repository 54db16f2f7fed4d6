//! How far a run has come, when its shards are completed in any order.
//!
//! Is given each shard as it ends, well or badly; gives the time up to which all is handled.
//!
//! **Invariant**: nothing is handled behind a shard that failed or is still open.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

/// Follows the shards of one run.
#[derive(Debug, Default)]
pub struct Advance {
    /// The first shard that is not known to be handled.
    next: u64,
    /// Shards behind it that have ended: the end of each, if it was handled.
    ended: BTreeMap<u64, Option<DateTime<Utc>>>,
}

impl Advance {
    /// Takes note of a shard, counted from 0, that ended at `end` in time; `is_handled` says
    /// that it was listed to the end and that all of it is held.
    ///
    /// Gives the time up to which the run has now handled all, if that has moved.
    pub fn shard_done(
        &mut self,
        index: u64,
        end: DateTime<Utc>,
        is_handled: bool,
    ) -> Option<DateTime<Utc>> {
        self.ended.insert(index, is_handled.then_some(end));
        let mut handled_to = None;
        // A failed shard stays where it is, and so holds all behind it.
        while let Some(&Some(end)) = self.ended.get(&self.next) {
            self.ended.remove(&self.next);
            self.next += 1;
            handled_to = Some(end);
        }
        handled_to
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn the_watermark_moves_only_over_shards_that_are_all_handled() {
        let hour = |hours: u64| DateTime::UNIX_EPOCH + TimeDelta::hours(hours as i64);
        for shards in [
            &[(0, true, Some(1)), (1, true, Some(2)), (2, true, Some(3))][..],
            &[(2, true, None), (1, true, None), (0, true, Some(3))],
            &[(0, true, Some(1)), (1, false, None), (2, true, None), (3, true, None)],
            &[(1, false, None), (2, true, None), (0, true, Some(1))],
            &[(0, false, None), (1, true, None)],
        ] {
            let mut advance = Advance::default();
            for &(index, is_handled, expected) in shards {
                let handled_to = advance.shard_done(index, hour(index + 1), is_handled);
                assert_eq!(handled_to, expected.map(hour), "{shards:?} at {index}");
            }
        }
    }
}
