//! The window of a run.
//!
//! Is given the period asked for, what is stored, the scope of today and the time; gives the
//! window, whether the watermark goes with it, and notes for the operator.
//!
//! **Invariant**: every rule about `from`, `to` and the watermark is here, and is decided before
//! the first request.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use super::note::{Note, text};
use super::{Scope, Stored};
use crate::window::BackupWindow;

/// How far ahead of the clock a watermark may be.
const CLOCK_SLACK: TimeDelta = TimeDelta::minutes(10);
/// How long a rescan is good for.
const RESCAN_EVERY: TimeDelta = TimeDelta::hours(24);

/// The older edge that the settings ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Older {
    /// Any age: the start of the oldest recording that was found, if any was.
    AnyAge(Option<DateTime<Utc>>),
    /// A resolved instant.
    At(DateTime<Utc>),
}

/// What decides where a run starts, and whether it moves the watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The watermark decides, if there is one.
    Continue,
    /// `maxDate` or `skipLastRecordingCheck` is set: the older edge decides.
    Override,
    /// `minDate`, `--from` or `--to` is set: the watermark is neither read nor written.
    OneShot,
}

/// What a run is asked to cover, with ages and dates resolved to instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// What decides.
    pub mode: Mode,
    /// The older edge; of no account where the watermark decides.
    pub older: Older,
    /// The newer edge.
    pub newer: DateTime<Utc>,
    /// How far before the watermark every run scans again.
    pub overlap: TimeDelta,
    /// How far before the watermark one run a day scans again; zero: never.
    pub rescan: TimeDelta,
    /// Where an instance without a watermark starts because others of its target have one.
    pub ground: Option<DateTime<Utc>>,
    /// The window that the instances of a run have agreed on: it ends this one, and begins it
    /// where this one would begin later.
    pub agreed: Option<BackupWindow>,
}

impl Period {
    /// How long after a recording its media may come.
    pub fn late(&self) -> TimeDelta {
        self.overlap.max(self.rescan)
    }
}

/// What a run covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The time to cover.
    pub window: BackupWindow,
    /// Whether handled ground moves the watermark.
    pub moves_watermark: bool,
    /// What the first listing that succeeds writes as the watermark, before any download.
    pub first_watermark: Option<DateTime<Utc>>,
    /// Whether this is the rescan of the day.
    pub is_rescan: bool,
    /// What the operator is told.
    pub notes: Vec<Note>,
}

/// Says why there is nothing to run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The watermark cannot be right.
    #[error("the watermark {} is later than now, {}", text(.watermark), text(.now))]
    FutureWatermark {
        /// The watermark.
        watermark: DateTime<Utc>,
        /// The time of the run.
        now: DateTime<Utc>,
    },
    /// The window is empty, which is no failure: exit 0, and the watermark stays.
    #[error("nothing to do: the window would start at {} and end at {}", text(.from), text(.to))]
    EmptyWindow {
        /// The older edge.
        from: DateTime<Utc>,
        /// The newer edge, not after the older one.
        to: DateTime<Utc>,
    },
    /// Any age was asked for, and there is not one recording, which is no failure either.
    #[error("nothing to do: no recording of any age was found")]
    NoRecordings,
}

/// Tells whether the watermark, and not the older edge, decides where the run starts.
pub fn reads_watermark(mode: Mode, stored: &Stored) -> bool {
    mode == Mode::Continue && stored.watermark.is_some()
}

/// Decides what a run covers.
pub fn plan(
    period: &Period,
    stored: &Stored,
    scope: &Scope,
    now: DateTime<Utc>,
) -> Result<Plan, PlanError> {
    let newer = period.agreed.map_or(period.newer, |agreed| agreed.to);
    let period = &Period { newer, ..*period };
    let mut plan = match (period.mode, stored.watermark) {
        (Mode::Continue, Some(watermark)) => continued(period, stored, watermark, scope, now)?,
        (Mode::OneShot, _) => one_shot(period)?,
        (mode, watermark) => fresh(period, mode, watermark)?,
    };
    // The watermark and the API count milliseconds; a finer edge would come back as another one.
    plan.window.from = plan.window.from.trunc_subsecs(3);
    plan.window.to = plan.window.to.trunc_subsecs(3);
    let BackupWindow { from, to } = plan.window;
    if from >= to { Err(PlanError::EmptyWindow { from, to }) } else { Ok(plan) }
}

fn continued(
    period: &Period,
    stored: &Stored,
    watermark: DateTime<Utc>,
    scope: &Scope,
    now: DateTime<Utc>,
) -> Result<Plan, PlanError> {
    if watermark > now + CLOCK_SLACK {
        return Err(PlanError::FutureWatermark { watermark, now });
    }
    let mut from = before(watermark, period.overlap);
    let mut notes = Vec::new();

    // A rescan in the future was made under a wrong clock.
    let is_fresh = |at: DateTime<Utc>| at <= now && now - at < RESCAN_EVERY;
    let rescan_from = before(watermark, period.rescan);
    let is_rescan = rescan_from < from && !stored.rescanned_at.is_some_and(is_fresh);
    if is_rescan {
        from = rescan_from;
        notes.push(Note::Rescan { from });
    }
    if let Some(since) = stored.earned.first_not_covering(scope) {
        // Media of the time just before came late while less was asked for, and no overlap or
        // rescan has brought them.
        from = from.min(before(since, period.late()));
        notes.push(Note::WiderScope { since });
    }
    if let Some(agreed) = period.agreed.filter(|agreed| agreed.from < from) {
        from = agreed.from;
        notes.push(Note::Agreed { from });
    }
    notes.insert(0, Note::Continuing { from });
    let window = BackupWindow { from, to: period.newer };
    Ok(Plan { window, moves_watermark: true, first_watermark: None, is_rescan, notes })
}

fn fresh(period: &Period, mode: Mode, watermark: Option<DateTime<Utc>>) -> Result<Plan, PlanError> {
    // Where the watermark counts, that of the others comes before maxAge too.
    let ground = period.ground.filter(|_| mode == Mode::Continue);
    let from = match ground {
        Some(ground) => agreed(period, ground),
        None => older(period)?,
    };
    let from = from.trunc_subsecs(3);
    let gap = watermark.filter(|&watermark| watermark < from);
    // Else days of failure would let the start of the window slide past recordings.
    let first_watermark = (mode == Mode::Continue).then_some(from);
    let beginning = first_watermark.map(|from| match ground {
        Some(_) => Note::Joining { from },
        None => Note::Beginning { from },
    });
    let gap_note = gap.map(|watermark| Note::Gap { watermark, from });
    Ok(Plan {
        window: BackupWindow { from, to: period.newer },
        moves_watermark: gap.is_none(),
        first_watermark,
        is_rescan: false,
        notes: beginning.into_iter().chain(gap_note).collect(),
    })
}

fn one_shot(period: &Period) -> Result<Plan, PlanError> {
    let (from, to) = (older(period)?, period.newer);
    let window = BackupWindow { from, to };
    let notes = Vec::new();
    Ok(Plan { window, moves_watermark: false, first_watermark: None, is_rescan: false, notes })
}

fn older(period: &Period) -> Result<DateTime<Utc>, PlanError> {
    match (period.older, period.agreed) {
        (Older::At(at) | Older::AnyAge(Some(at)), _) => Ok(agreed(period, at)),
        (Older::AnyAge(None), Some(agreed)) => Ok(agreed.from),
        (Older::AnyAge(None), None) => Err(PlanError::NoRecordings),
    }
}

fn agreed(period: &Period, from: DateTime<Utc>) -> DateTime<Utc> {
    period.agreed.map_or(from, |agreed| from.min(agreed.from))
}

fn before(at: DateTime<Utc>, span: TimeDelta) -> DateTime<Utc> {
    at.checked_sub_signed(span).unwrap_or(DateTime::UNIX_EPOCH)
}

impl PlanError {
    /// Tells whether there is simply nothing to do.
    pub fn is_nothing_to_do(&self) -> bool {
        !matches!(self, Self::FutureWatermark { .. })
    }
}

impl Stored {
    /// Takes note that a first listing has succeeded; tells whether there is something to store.
    pub fn begin(&mut self, plan: &Plan) -> bool {
        let is_first = self.watermark.is_none() && plan.first_watermark.is_some();
        if is_first {
            self.watermark = plan.first_watermark;
        }
        is_first
    }

    /// Takes note that all from the start of the window to `to` is handled; tells whether there
    /// is something to store.
    pub fn handled(
        &mut self,
        plan: &Plan,
        scope: &Scope,
        to: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> bool {
        if !plan.moves_watermark {
            return false;
        }
        let rescan_end = self.watermark.map_or(to, |watermark| watermark.min(plan.window.to));
        if plan.is_rescan && to >= rescan_end {
            self.rescanned_at = Some(now);
        }
        self.earned.record(self.watermark, plan.window.from, to, scope);
        self.watermark = self.watermark.max(Some(to));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watermark::{Earned, Segment};

    /// Hours since the start of a day in 2018; the run is at hour 1000.
    fn hour(hours: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_514_764_800 + hours * 3600, 0).expect("in range")
    }

    fn scope() -> Scope {
        Scope {
            metadata_only: false,
            media_type_pattern: "audio/mp3".to_owned(),
            gws_uri_prefix: "https://example.com/api/v2".to_owned(),
            total: 1,
            id: 0,
        }
    }

    /// The defaults: maxAge 2, minAge 0, overlap 6 hours, rescan 3 days.
    fn period(mode: Mode) -> Period {
        Period {
            mode,
            older: Older::At(hour(952)),
            newer: hour(1000),
            overlap: TimeDelta::hours(6),
            rescan: TimeDelta::hours(72),
            ground: None,
            agreed: None,
        }
    }

    fn stored(watermark: i64, rescanned_at: i64) -> Stored {
        Stored {
            watermark: Some(hour(watermark)),
            earned: Earned::default(),
            rescanned_at: Some(hour(rescanned_at)),
        }
    }

    fn decide(period: &Period, stored: &Stored) -> Result<Plan, PlanError> {
        plan(period, stored, &scope(), hour(1000))
    }

    #[test]
    fn the_window_starts_where_the_rules_say() {
        use Mode::*;
        let none = Stored::default();
        // mode, stored, from, moves the watermark, writes a first one, is a rescan
        for (mode, stored, from, moves, first, rescan) in [
            (Continue, &none, 952, true, true, false),
            (Override, &none, 952, true, false, false),
            (OneShot, &none, 952, false, false, false),
            // Newer and older than maxAge.
            (Continue, &stored(990, 999), 984, true, false, false),
            (Continue, &stored(500, 999), 494, true, false, false),
            (Override, &stored(990, 999), 952, true, false, false),
            (Override, &stored(952, 999), 952, true, false, false),
            (Override, &stored(951, 999), 952, false, false, false),
            (OneShot, &stored(990, 0), 952, false, false, false),
            // A day after the last rescan, and after one under a clock that was ahead.
            (Continue, &stored(990, 976), 918, true, false, true),
            (Continue, &stored(990, 977), 984, true, false, false),
            (Continue, &stored(990, 1001), 918, true, false, true),
            (Override, &stored(990, 0), 952, true, false, false),
        ] {
            let plan = decide(&period(mode), stored).expect("a plan");
            let context = format!("{mode:?} {stored:?}");
            assert_eq!(plan.window, BackupWindow { from: hour(from), to: hour(1000) }, "{context}");
            assert_eq!(plan.moves_watermark, moves, "{context}");
            assert_eq!(plan.first_watermark, first.then_some(hour(952)), "{context}");
            assert_eq!(plan.is_rescan, rescan, "{context}");
            assert_eq!(reads_watermark(mode, stored), mode == Continue && *stored != none);
        }
    }

    #[test]
    fn an_agreed_window_ends_every_run_and_begins_it_no_later() {
        use Mode::*;
        let none = Stored::default();
        let agreed = |from, to| Some(BackupWindow { from: hour(from), to: hour(to) });
        // mode, stored, where the others' ground begins, agreed, and the window
        for (mode, stored, ground, agreed, from, to) in [
            (Continue, &none, None, agreed(951, 999), 951, 999),
            (Continue, &none, None, agreed(960, 999), 952, 999),
            (Continue, &none, Some(970), agreed(960, 999), 960, 999),
            (Continue, &none, Some(900), agreed(960, 999), 900, 999),
            (Continue, &none, Some(970), None, 970, 1000),
            (Continue, &none, Some(100), None, 100, 1000),
            (Override, &none, Some(100), None, 952, 1000),
            (OneShot, &none, Some(100), agreed(953, 998), 952, 998),
            // One's own watermark is older, and newer.
            (Continue, &stored(500, 999), Some(1), agreed(984, 999), 494, 999),
            (Continue, &stored(990, 999), Some(1), agreed(984, 999), 984, 999),
            (Continue, &stored(999, 999), None, agreed(984, 998), 984, 998),
            (Override, &stored(990, 999), None, agreed(951, 999), 951, 999),
        ] {
            let ground = ground.map(hour);
            let plan = decide(&Period { ground, agreed, ..period(mode) }, stored).expect("a plan");
            let context = format!("{mode:?} {stored:?} {ground:?} {agreed:?}");
            assert_eq!(plan.window, BackupWindow { from: hour(from), to: hour(to) }, "{context}");
            let first = (mode == Continue && *stored == none).then_some(hour(from));
            assert_eq!(plan.first_watermark, first, "{context}");
        }
        let any_age = Period { older: Older::AnyAge(None), ..period(Continue) };
        let plan = decide(&Period { agreed: agreed(7, 9), ..any_age }, &none).expect("a plan");
        assert_eq!(plan.window, BackupWindow { from: hour(7), to: hour(9) });
    }

    #[test]
    fn a_rescan_of_zero_or_within_the_overlap_never_happens() {
        for rescan in [0, 6] {
            let period = Period { rescan: TimeDelta::hours(rescan), ..period(Mode::Continue) };
            let plan = decide(&period, &stored(990, 0)).expect("a plan");
            assert!(!plan.is_rescan);
            assert_eq!(plan.window.from, hour(984));
        }
    }

    #[test]
    fn settings_that_ask_for_more_go_back_to_where_less_was_saved() {
        let metadata = Scope { metadata_only: true, ..scope() };
        let earned = |segments: [(i64, &Scope); 3]| {
            let segments =
                segments.map(|(since, scope)| Segment { since: hour(since), scope: scope.clone() });
            let watermark = Some(hour(990));
            Stored { earned: Earned::new(segments.to_vec(), watermark), ..stored(990, 999) }
        };
        let mut stored = earned([(100, &scope()), (300, &metadata), (985, &scope())]);
        let plan = decide(&period(Mode::Continue), &stored).expect("a plan");
        assert_eq!(plan.window.from, hour(300 - 72));
        assert_eq!(
            plan.notes,
            [Note::Continuing { from: hour(300 - 72) }, Note::WiderScope { since: hour(300) }]
        );
        // A way back that breaks off goes on where it was.
        assert!(stored.handled(&plan, &scope(), hour(400), hour(1000)));
        assert_eq!(stored.watermark, Some(hour(990)));
        let plan = decide(&period(Mode::Continue), &stored).expect("a plan");
        assert_eq!(plan.window.from, hour(400 - 72));
        // As far back as the overlap or the rescan, whichever is longer.
        let late = earned([(100, &scope()), (987, &metadata), (988, &scope())]);
        let period = Period { rescan: TimeDelta::hours(1), ..period(Mode::Continue) };
        let period = Period { overlap: TimeDelta::hours(2), ..period };
        let plan = decide(&period, &late).expect("a plan");
        assert_eq!(plan.window.from, hour(985));
        let period = Period { overlap: TimeDelta::hours(1000), ..period };
        assert_eq!(decide(&period, &late).expect("a plan").window.from, hour(987 - 1000));
        let covered = earned([(100, &scope()), (988, &scope()), (989, &scope())]);
        let plan = decide(&period, &covered).expect("a plan");
        assert_eq!(plan.notes, [Note::Continuing { from: hour(-10) }]);
    }

    #[test]
    fn empty_windows_and_a_future_watermark_are_told_apart() {
        let ahead = |minutes| Stored {
            watermark: Some(hour(1000) + TimeDelta::minutes(minutes)),
            ..stored(0, 999)
        };
        let soon = ahead(10);
        assert!(decide(&period(Mode::Continue), &soon).is_ok());
        let error = decide(&period(Mode::Continue), &ahead(11)).expect_err("in the future");
        assert!(!error.is_nothing_to_do());
        assert_eq!(
            error.to_string(),
            "the watermark 2018-02-11T16:11:00Z is later than now, 2018-02-11T16:00:00Z"
        );
        // Where the watermark does not decide, it does not stand in the way either.
        assert!(decide(&period(Mode::Override), &ahead(11)).is_ok());
        assert!(decide(&period(Mode::OneShot), &ahead(11)).is_ok());

        let early = Period { newer: hour(952), ..period(Mode::Override) };
        let error = decide(&early, &Stored::default()).expect_err("empty");
        assert!(error.is_nothing_to_do());
        assert_eq!(
            error.to_string(),
            "nothing to do: the window would start at 2018-02-09T16:00:00Z and end at \
             2018-02-09T16:00:00Z"
        );
        let period = Period { older: Older::AnyAge(None), ..period(Mode::Continue) };
        assert_eq!(decide(&period, &Stored::default()), Err(PlanError::NoRecordings));
    }

    #[test]
    fn the_operator_is_told_in_plain_words() {
        for (period, stored, expected) in [
            (
                period(Mode::Continue),
                &stored(990, 999),
                "maxAge is not used: continuing at 2018-02-11T00:00:00Z; to go back use --from",
            ),
            (
                period(Mode::Continue),
                &Stored::default(),
                "there is no watermark: beginning at 2018-02-09T16:00:00Z, as far back as maxAge \
                 says; to go back further use --from",
            ),
            (
                period(Mode::Override),
                &stored(900, 999),
                "there is a gap: recordings from the watermark 2018-02-07T12:00:00Z to \
                 2018-02-09T16:00:00Z are not covered by this run, so the watermark stays",
            ),
            (period(Mode::OneShot), &stored(990, 999), ""),
        ] {
            let plan = decide(&period, stored).expect("a plan");
            let notes: Vec<_> = plan.notes.iter().map(Note::to_string).collect();
            assert_eq!(notes.join("\n"), expected);
        }
    }

    #[test]
    fn the_watermark_follows_the_ground_and_never_goes_back() {
        let mut stored = Stored::default();
        let plan = decide(&period(Mode::Continue), &stored).expect("a plan");
        assert!(stored.begin(&plan));
        assert_eq!(stored.watermark, Some(hour(952)));
        assert!(!stored.begin(&plan));
        for (to, expected) in [(976, 976), (960, 976), (1000, 1000)] {
            assert!(stored.handled(&plan, &scope(), hour(to), hour(1000)));
            assert_eq!(stored.watermark, Some(hour(expected)));
        }
        assert_eq!(stored.rescanned_at, None);

        let gap = Plan { moves_watermark: false, ..plan };
        assert!(!stored.handled(&gap, &scope(), hour(2000), hour(1000)));
        assert_eq!(stored.watermark, Some(hour(1000)));
    }

    #[test]
    fn a_rescan_counts_when_it_has_reached_the_watermark() {
        let mut stored = stored(990, 0);
        let plan = decide(&period(Mode::Continue), &stored).expect("a plan");
        for (to, expected) in [(942, 0), (989, 0), (990, 1000)] {
            stored.handled(&plan, &scope(), hour(to), hour(1000));
            assert_eq!(stored.rescanned_at, Some(hour(expected)), "{to}");
        }
    }
}
