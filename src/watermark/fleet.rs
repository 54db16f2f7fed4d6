//! Where an instance begins in a target that others share, or have shared.
//!
//! **Invariant**: ground that an instance has no word of its own about is taken for handled only
//! as far as another handled all of it, for every share.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Scope, Segment, Stored};

/// What another run of the same target has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// What it has stored.
    pub stored: Stored,
    /// Whether it had the target alone, so that its watermark speaks of all shares.
    pub had_all: bool,
}

/// Gives where the ground begins that nobody has handled for a scope, as far as the others of a
/// target tell; none where none of them has begun.
///
/// Where somebody had handled all up to there, media may have come `late` to what lies before.
pub fn ground(others: &[Other], scope: &Scope, late: TimeDelta) -> Option<DateTime<Utc>> {
    let of = |Other { stored, had_all }: &Other| {
        let watermark = stored.watermark?;
        let first = stored.earned.segments().first().map(|first| first.since);
        Some(match stored.earned.first_not_covering(scope) {
            Some(since) if first == Some(since) => since,
            // It has just begun, or somebody has put its watermark there.
            None if first.is_none() && !had_all => watermark,
            covered_to => {
                let to = covered_to.unwrap_or(watermark);
                to.checked_sub_signed(late).unwrap_or(DateTime::UNIX_EPOCH)
            }
        })
    };
    others.iter().filter_map(of).min()
}

impl Stored {
    /// Takes note that the shares were dealt anew and that the ground of all begins earlier than
    /// this instance has any word about: from there on it has still to look for what is of its
    /// share now. Tells whether there is something to store.
    ///
    /// A run goes back from owed ground by as much as media may be `late`.
    pub fn owe_since(&mut self, ground: Option<DateTime<Utc>>, late: TimeDelta) -> bool {
        let (Some(ground), Some(first)) = (ground, self.earned.segments().first().cloned()) else {
            return false;
        };
        let is_owed = ground < first.since;
        if is_owed {
            let since = ground.checked_add_signed(late).unwrap_or(ground).min(first.since);
            let nothing = Scope { total: 0, id: 0, ..first.scope };
            self.earned.begin_with(Segment { since, scope: nothing });
        }
        is_owed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watermark::Earned;

    fn hour(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(1_000 + hours)
    }

    fn scope((total, id): (u32, u32)) -> Scope {
        Scope {
            metadata_only: false,
            media_type_pattern: "audio/mp3".to_owned(),
            gws_uri_prefix: "https://example.com/api/v2".to_owned(),
            total,
            id,
        }
    }

    /// A watermark, and shares by where each began.
    fn stored(watermark: i64, shares: &[(i64, (u32, u32))]) -> Stored {
        let segment = |(since, share): &(i64, (u32, u32))| Segment {
            since: hour(*since),
            scope: scope(*share),
        };
        let watermark = Some(hour(watermark));
        let earned = Earned::new(shares.iter().map(segment).collect(), watermark);
        Stored { watermark, earned, rescanned_at: None }
    }

    #[test]
    fn a_newcomer_begins_where_nobody_has_handled_its_share() {
        let one = |stored| Other { stored, had_all: false };
        let alone = |stored| Other { stored, had_all: true };
        let none = || one(Stored::default());
        for (others, share, expected) in [
            (vec![], (4, 3), None),
            (vec![none()], (4, 3), None),
            // Others of the fleet, one of which lags, and one that does not exist any more.
            (
                vec![one(stored(20, &[(10, (4, 0))])), one(stored(15, &[(11, (4, 1))]))],
                (5, 4),
                Some(10),
            ),
            (
                vec![one(stored(20, &[(10, (3, 0))])), one(stored(3, &[(1, (4, 3))]))],
                (5, 4),
                Some(1),
            ),
            (vec![none(), one(stored(20, &[(10, (4, 0))]))], (4, 3), Some(10)),
            // One that has just begun.
            (vec![one(stored(10, &[]))], (4, 3), Some(10)),
            // One that had it alone has handled all up to its watermark, but for late media.
            (vec![alone(stored(20, &[(10, (1, 0))]))], (4, 3), Some(20 - 2)),
            (vec![alone(stored(20, &[]))], (4, 3), Some(20 - 2)),
            (vec![one(stored(30, &[(10, (1, 0)), (20, (4, 0))]))], (4, 3), Some(20 - 2)),
            (
                vec![alone(stored(20, &[(10, (1, 0))])), one(stored(30, &[(19, (4, 0))]))],
                (4, 3),
                Some(20 - 2),
            ),
        ] {
            let ground = ground(&others, &scope(share), TimeDelta::hours(2));
            assert_eq!(ground, expected.map(hour), "{others:?}");
        }
        // Less than what is asked for now is not handled either.
        let less = Scope { metadata_only: true, ..scope((1, 0)) };
        let earned = Earned::new(vec![Segment { since: hour(5), scope: less }], Some(hour(20)));
        let others = [alone(Stored { earned, ..stored(20, &[]) })];
        assert_eq!(ground(&others, &scope((4, 0)), TimeDelta::hours(2)), Some(hour(5)));
    }

    #[test]
    fn whose_share_changes_goes_back_to_where_the_ground_of_all_begins() {
        for (ground, own, from) in [
            (Some(10), stored(30, &[(20, (4, 1))]), Some(10)),
            // Its own way back leads further than that.
            (Some(19), stored(30, &[(20, (4, 1))]), Some(18)),
            (Some(20), stored(30, &[(20, (4, 1))]), Some(18)),
            (Some(25), stored(30, &[(20, (4, 1))]), Some(18)),
            (None, stored(30, &[(20, (4, 1))]), Some(18)),
            // The share is the same, and what lies before was another's.
            (Some(10), stored(30, &[(20, (3, 1))]), Some(10)),
            (Some(19), stored(30, &[(20, (3, 1))]), Some(18)),
            (Some(20), stored(30, &[(20, (3, 1))]), None),
            // A watermark without any more words stands for all before it.
            (Some(10), stored(30, &[]), None),
        ] {
            let (mut own, late) = (own, TimeDelta::hours(2));
            let is_owed = own.owe_since(ground.map(hour), late);
            assert_eq!(is_owed, own.earned.segments().iter().any(|one| one.scope.total == 0));
            let goes_back = own.earned.first_not_covering(&scope((3, 1))).map(|at| at - late);
            assert_eq!(goes_back, from.map(hour), "{own:?}");
            let Some(from) = from else { continue };
            // What is owed is paid once.
            own.earned.record(own.watermark, hour(from), hour(31), &scope((3, 1)));
            own.watermark = Some(hour(31));
            assert_eq!(own.earned.first_not_covering(&scope((3, 1))), None, "{own:?}");
            assert!(!own.owe_since(Some(hour(from)), late));
        }
    }
}
