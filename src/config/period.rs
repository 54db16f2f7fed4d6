//! The edges of the window, as an operator sets them.
//!
//! Given minAge, maxAge, minDate and maxDate, or `--from` and `--to`, gives the two edges by their
//! place in time; the names, the wrong way round for everyone, stay in here.
//!
//! **Invariant:** no watermark is known here; whether one replaces the older edge is decided by it.

use chrono::{DateTime, TimeDelta, Utc};

use super::layers::Reader;
use super::{Origin, value};
use crate::window::{Age, Unit};

/// The period that a run is asked to cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// The edge of maxAge or maxDate.
    pub older: Older,
    /// The edge of minAge or minDate.
    pub newer: Newer,
    /// Whether this is a one-time export, which neither reads nor writes the watermark.
    pub one_shot: Option<OneShot>,
    /// Whether the watermark is not read.
    pub skip_last_recording_check: bool,
}

/// The older edge of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Older {
    /// As far back as there are recordings.
    AnyAge,
    /// So long before now, unless a watermark says otherwise.
    Age(Age),
    /// A fixed time, which overrides the watermark.
    At(DateTime<Utc>),
}

/// The newer edge of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Newer {
    /// So long before now.
    Age(Age),
    /// A fixed time.
    At(DateTime<Utc>),
}

/// Where a one-time export was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OneShot {
    /// By minDate in the file, where it may have been forgotten.
    File,
    /// For this run alone.
    CommandLine,
}

impl Older {
    /// Resolves the edge; `None` is any age.
    pub fn at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::AnyAge => None,
            Self::Age(age) => Some(age.before(now)),
            Self::At(at) => Some(*at),
        }
    }
}

impl Newer {
    /// Resolves the edge.
    pub fn at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Age(age) => age.before(now),
            Self::At(at) => *at,
        }
    }
}

/// Reads the edges; `None` where one is bad, which has been noted then.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Period> {
    let max_age = reader.required("maxAge", |text| value::age(text, Unit::Days));
    let min_age = reader.required("minAge", |text| value::age(text, Unit::Days));
    let max_date = reader.optional("maxDate", value::edge);
    let min_date = reader.optional("minDate", value::edge);
    let skip_last_recording_check = reader.required("skipLastRecordingCheck", value::boolean);
    let noted = reader.problems.len();
    if let (Some(Some(older)), Some(Some(newer))) = (max_date, min_date)
        && older >= newer
    {
        dates_contradict(reader, older, newer);
    }
    // What replaces an age makes it void, but not free to be nonsense.
    let (max_age, min_age, max_date, min_date) = (max_age?, min_age?, max_date?, min_date?);
    if max_date.is_none() && min_date.is_none() {
        compare_ages(reader, max_age, min_age);
    }
    let one_shot = one_shot(reader);
    let sound = reader.problems.len() == noted;
    if let (true, Some(OneShot::File), Some(newer)) = (sound, one_shot, min_date)
        && newer < reader.layers.now - TimeDelta::days(7)
    {
        let message =
            format!("more than 7 days back, so nothing new is saved: `{}`", newer_text(reader));
        reader.warn("minDate", &message, "delete the line once the export is done".to_owned());
    }
    Some(Period {
        older: match max_date {
            Some(at) => Older::At(at),
            None if max_age.is_zero() => Older::AnyAge,
            None => Older::Age(max_age),
        },
        newer: min_date.map_or(Newer::Age(min_age), Newer::At),
        one_shot,
        skip_last_recording_check: skip_last_recording_check?,
    })
}

/// Reads `--from` and `--to` as they were typed, whatever the file says of the window.
pub(super) fn typed(reader: &mut Reader<'_>) -> Option<[Option<DateTime<Utc>>; 2]> {
    let edge = |reader: &mut Reader<'_>, name| match reader.origin(name) {
        Origin::CommandLine(_) => reader.optional(name, value::edge),
        _ => Some(None),
    };
    let (from, to) = (edge(reader, "maxDate"), edge(reader, "minDate"));
    if let (Some(Some(from)), Some(Some(to))) = (from, to)
        && from >= to
    {
        dates_contradict(reader, from, to);
    }
    Some([from?, to?])
}

/// Tells whether the run is a one-time export, and where that was asked for.
pub(super) fn one_shot(reader: &Reader<'_>) -> Option<OneShot> {
    let from_typed = matches!(reader.origin("maxDate"), Origin::CommandLine(_));
    match reader.origin("minDate") {
        Origin::Set | Origin::CommandLine(_) => Some(OneShot::CommandLine),
        _ if from_typed => Some(OneShot::CommandLine),
        Origin::File { .. } => Some(OneShot::File),
        _ => None,
    }
}

fn newer_text(reader: &Reader<'_>) -> String {
    reader.value("minDate").unwrap_or_default().to_owned()
}

fn dates_contradict(reader: &mut Reader<'_>, older: DateTime<Utc>, newer: DateTime<Utc>) {
    let typed = |name| match reader.origin(name) {
        Origin::CommandLine(option) => (option.to_owned(), ' '),
        _ => (name.to_owned(), '='),
    };
    let ((older_name, older_joint), (newer_name, newer_joint)) =
        (typed("maxDate"), typed("minDate"));
    let newer_text = newer_text(reader);
    let older_text = reader.value("maxDate").unwrap_or_default().to_owned();
    if older == newer {
        let day_after = (newer + TimeDelta::days(1)).format("%Y-%m-%d");
        let message =
            format!("the same as `{older_name}`, and itself not in the window: `{newer_text}`");
        let hint =
            format!("for the whole of that day write `{newer_name}{newer_joint}{day_after}`");
        return reader.contradiction("minDate", &message, hint);
    }
    let message = format!(
        "earlier than `{older_name}`, but `{newer_name}` is the newer edge of the window and \
         `{older_name}` the older one: `{newer_text}`"
    );
    let hint = format!(
        "write\n    {older_name}{older_joint}{newer_text}\n    {newer_name}{newer_joint}{older_text}"
    );
    reader.contradiction("minDate", &message, hint);
}

fn compare_ages(reader: &mut Reader<'_>, max_age: Age, min_age: Age) {
    let now = reader.layers.now;
    if max_age.is_zero() || min_age.before(now) > max_age.before(now) {
        return;
    }
    let text = |name| {
        let default = if reader.is_set(name) { "" } else { " by default" };
        (reader.value(name).unwrap_or_default().to_owned(), default)
    };
    let ((oldest, oldest_default), (newest, _)) = (text("maxAge"), text("minAge"));
    let message =
        format!("not less than `maxAge`, which is `{oldest}`{oldest_default}: `{newest}`");
    let hint = format!("write a `maxAge` that is more than `{newest}`, or `maxAge=0` for any age");
    reader.contradiction("minAge", &message, hint);
}
