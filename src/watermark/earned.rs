//! Under which settings the ground before the watermark was handled.
//!
//! Is given handled stretches of time with their scope; gives the point to go back to when the
//! scope of today asks for more than an earlier one did.
//!
//! **Invariant**: a segment claims no more than was handled. Ground before the first segment has
//! nothing but the watermark's word, and that is believed.

use chrono::{DateTime, Utc};

/// The settings that decide which recordings, and how much of each, a run holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Whether media were left out.
    pub metadata_only: bool,
    /// The pattern that media types had to match.
    pub media_type_pattern: String,
    /// The address of the API, without user info.
    pub gws_uri_prefix: String,
    /// The number of instances that share the recordings.
    pub total: u32,
    /// Which of them this was.
    pub id: u32,
}

/// A stretch of time that was handled under one scope; it ends where the next one begins, the
/// last one at the watermark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins.
    pub since: DateTime<Utc>,
    /// The scope it was handled under.
    pub scope: Scope,
}

/// The segments before a watermark, in the order of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Earned(Vec<Segment>);

impl Scope {
    /// Tells whether ground handled under this scope is handled under another one as well.
    pub fn covers(&self, other: &Scope) -> bool {
        self.gws_uri_prefix == other.gws_uri_prefix
            && self.media_type_pattern == other.media_type_pattern
            && (!self.metadata_only || other.metadata_only)
            && (self.total == 1 || (self.total, self.id) == (other.total, other.id))
    }
}

impl Earned {
    /// Takes segments that were stored, and drops those that begin at the watermark or later:
    /// after a crash between the two files they are ahead of it.
    pub fn new(mut segments: Vec<Segment>, watermark: Option<DateTime<Utc>>) -> Self {
        segments.retain(|segment| watermark.is_none_or(|end| segment.since < end));
        segments.sort_by_key(|segment| segment.since);
        Self(segments)
    }

    /// Gives the segments, to be stored.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Puts a segment before all others.
    pub(super) fn begin_with(&mut self, segment: Segment) {
        self.0.insert(0, segment);
    }

    /// Gives where the first ground begins that was handled under less than this scope.
    pub fn first_not_covering(&self, scope: &Scope) -> Option<DateTime<Utc>> {
        self.0.iter().find(|segment| !segment.scope.covers(scope)).map(|segment| segment.since)
    }

    /// Records that the ground from `from` to `to` is handled under a scope, where `watermark`
    /// is the end of the ground so far and not before `from`; without one, all starts at `from`.
    ///
    /// Ground that was handled under a scope that covers this one keeps it.
    pub fn record(
        &mut self,
        watermark: Option<DateTime<Utc>>,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        scope: &Scope,
    ) {
        if from >= to {
            return;
        }
        let watermark = watermark.unwrap_or(from);
        // Where the operator has put the watermark back, what lay behind it counts no more.
        self.0.retain(|segment| segment.since < watermark);
        let end = watermark.max(to);
        let mut segments: Vec<Segment> = Vec::with_capacity(self.0.len() + 2);
        let mut push = |since: DateTime<Utc>, scope: &Scope| match segments.last() {
            Some(last) if last.scope == *scope => {}
            _ => segments.push(Segment { since, scope: scope.clone() }),
        };
        // Ground between `from` and the first segment, and behind the watermark, is new.
        let first = self.0.first().map_or(end, |segment| segment.since);
        if from < first {
            push(from, scope);
        }
        for (index, Segment { since, scope: earlier }) in self.0.iter().enumerate() {
            let until = self.0.get(index + 1).map_or(watermark, |segment| segment.since);
            if to <= *since || until <= from || earlier.covers(scope) {
                push(*since, earlier);
                continue;
            }
            if *since < from {
                push(*since, earlier);
            }
            push(from.max(*since), scope);
            if to < until {
                push(to, earlier);
            }
        }
        if watermark < to {
            push(watermark, scope);
        }
        self.0 = segments;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    fn hour(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    fn scope(metadata_only: bool, total: u32, id: u32) -> Scope {
        Scope {
            metadata_only,
            media_type_pattern: "audio/mp3".to_owned(),
            gws_uri_prefix: "https://example.com/api/v2".to_owned(),
            total,
            id,
        }
    }

    #[test]
    fn a_scope_covers_what_asks_for_no_more() {
        let all = scope(false, 1, 0);
        let pattern = Scope { media_type_pattern: "video/mp4".to_owned(), ..all.clone() };
        let prefix = Scope { gws_uri_prefix: "https://example.org".to_owned(), ..all.clone() };
        for (scope, other, expected) in [
            (&all, &all, true),
            (&all, &scope(true, 1, 0), true),
            (&scope(true, 1, 0), &all, false),
            (&all, &scope(false, 3, 2), true),
            (&scope(false, 3, 2), &all, false),
            (&scope(false, 3, 2), &scope(true, 3, 2), true),
            (&scope(false, 3, 2), &scope(false, 3, 1), false),
            (&scope(false, 3, 2), &scope(false, 4, 2), false),
            (&all, &pattern, false),
            (&all, &prefix, false),
        ] {
            assert_eq!(scope.covers(other), expected, "{scope:?} {other:?}");
        }
    }

    #[test]
    fn metadata_only_for_a_while_and_then_another_share_goes_back_to_the_right_place() {
        let (all, metadata) = (scope(false, 1, 0), scope(true, 1, 0));
        let mut earned = Earned::default();
        earned.record(Some(hour(0)), hour(0), hour(10), &all);
        earned.record(Some(hour(10)), hour(4), hour(20), &metadata);
        assert_eq!(earned.first_not_covering(&all), Some(hour(10)));
        assert_eq!(earned.first_not_covering(&metadata), None);
        assert_eq!(earned.first_not_covering(&scope(false, 2, 1)), Some(hour(10)));
        // Half of the way back is done under the full scope, then a crash.
        earned.record(Some(hour(20)), hour(10), hour(15), &all);
        assert_eq!(earned.first_not_covering(&all), Some(hour(15)));
        earned.record(Some(hour(20)), hour(15), hour(24), &all);
        assert_eq!(earned.segments(), [Segment { since: hour(0), scope: all }]);
    }

    #[test]
    fn segments_ahead_of_the_watermark_are_dropped() {
        let segments =
            [8, 3, 5].map(|since| Segment { since: hour(since), scope: scope(false, 1, 0) });
        let earned = Earned::new(segments.to_vec(), Some(hour(5)));
        assert_eq!(earned.segments(), &segments[1..2]);
        assert_eq!(Earned::new(segments.to_vec(), None).segments().len(), 3);
    }

    #[test]
    fn a_removed_watermark_leaves_no_claim_over_what_it_once_covered() {
        let (all, metadata) = (scope(false, 1, 0), scope(true, 1, 0));
        let old = Earned::new(vec![Segment { since: hour(0), scope: all.clone() }], None);
        let mut earned = old.clone();
        earned.record(None, hour(50), hour(60), &metadata);
        assert_eq!(earned.first_not_covering(&all), Some(hour(50)));
        let mut earned = old;
        earned.record(Some(hour(0)), hour(0), hour(60), &metadata);
        assert_eq!(earned.first_not_covering(&all), Some(hour(0)));
    }

    #[test]
    fn what_lay_behind_a_watermark_that_was_put_back_counts_no_more() {
        let (all, metadata) = (scope(false, 1, 0), scope(true, 1, 0));
        let segments = [(0, all.clone()), (40, metadata)];
        let segments = segments.map(|(since, scope)| Segment { since: hour(since), scope });
        let mut earned = Earned::new(segments.to_vec(), None);
        earned.record(Some(hour(20)), hour(20), hour(60), &all);
        assert_eq!(earned.segments(), &segments[..1]);
    }

    /// The same by brute force: a scope for every hour.
    #[derive(Default)]
    struct Model(BTreeMap<i64, Scope>);

    impl Model {
        fn record(&mut self, watermark: i64, from: i64, to: i64, scope: &Scope) {
            for hour in from..watermark.max(to) {
                let is_handled = hour < to;
                let earlier = self.0.get(&hour);
                // Ground between two stretches has only the watermark's word: it is taken for
                // what stands before it, which is never more than that word.
                let filled = earlier.or_else(|| self.0.get(&(hour - 1))).unwrap_or(scope).clone();
                let covers = earlier.is_some_and(|earlier| earlier.covers(scope));
                self.0.insert(hour, if is_handled && !covers { scope.clone() } else { filled });
            }
        }
    }

    proptest! {
        #[test]
        fn segments_say_what_a_map_of_hours_says(
            first in 0_i64..40,
            steps in prop::collection::vec((0_i64..60, 0_i64..30, any::<bool>(), 1_u32..3), 1..12),
        ) {
            let (mut earned, mut model, mut watermark) = (Earned::default(), Model::default(), first);
            for (back, length, metadata_only, total) in steps {
                let scope = scope(metadata_only, total, 0);
                let from = watermark - back;
                let to = from + length;
                earned.record(Some(hour(watermark)), hour(from), hour(to), &scope);
                if from < to {
                    model.record(watermark, from, to, &scope);
                    watermark = watermark.max(to);
                }
                for asked in [(false, 1), (true, 1), (false, 2), (true, 2)] {
                    let asked = self::scope(asked.0, asked.1, 0);
                    let expected = model.0.iter().find(|(_, scope)| !scope.covers(&asked));
                    prop_assert_eq!(
                        earned.first_not_covering(&asked),
                        expected.map(|(&at, _)| hour(at))
                    );
                }
                let segments = earned.segments();
                prop_assert!(segments.windows(2).all(|pair| pair[0].since < pair[1].since
                    && pair[0].scope != pair[1].scope));
                prop_assert!(segments.iter().all(|segment| segment.since < hour(watermark)));
            }
        }
    }
}
