//! The window that all instances of one run have in common, whatever their clocks say and whenever
//! they start.
//!
//! Is given a file and the window that this instance would take; the first to come writes it down,
//! and the others are given what it wrote.
//!
//! **Invariant**: a file that cannot be understood is an error and is never written over; that of
//! an earlier run holds nobody back for longer than [`VALID_FOR`].

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::tree::{Modes, TreeError, agree, agreed};
use crate::window::{BackupWindow, format_rfc3339};

/// How long a window counts where nothing tells one run from another.
pub const VALID_FOR: TimeDelta = TimeDelta::hours(12);

/// What stands for the id of the run in the name of the file.
pub const RUN: &str = "{run}";

/// What an instance brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ours {
    /// What the run is called, if anything names it.
    pub run: Option<String>,
    /// How many instances it has.
    pub instances: u32,
    /// The window that this one would take.
    pub window: BackupWindow,
    /// Where the window ends because the operator wrote that down.
    pub end: Option<DateTime<Utc>>,
    /// All before it is handled by this instance; none where that does not count.
    pub handled_to: Option<DateTime<Utc>>,
    /// The time of this run.
    pub now: DateTime<Utc>,
    /// The time at which it is written down.
    pub written_at: DateTime<Utc>,
}

/// What stands in the file. Fields that a later version adds are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    run: Option<String>,
    instances: u32,
    from: Time,
    to: Time,
    now: Time,
    written_at: Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Time(DateTime<Utc>);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let time = DateTime::parse_from_rfc3339(&text).map_err(|_| format!("no time: `{text}`"))?;
        Ok(Self(time.to_utc()))
    }
}

impl From<Time> for String {
    fn from(Time(at): Time) -> Self {
        format_rfc3339(at)
    }
}

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreed {
    /// This instance came first.
    Ours(BackupWindow),
    /// Another did.
    Theirs(BackupWindow),
}

/// Says why there is no agreement.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The disk refused.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The file is something else, or half of it.
    #[error("`{}` is no window that instances could share", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The instances do not know how many they are.
    #[error("`{}` is of a run of {theirs} instances, and this one is of {ours}", path.display())]
    OtherTotal {
        /// The file.
        path: PathBuf,
        /// How many the others count.
        theirs: u32,
        /// How many this one counts.
        ours: u32,
    },
    /// The operator asks for another end than the others cover.
    #[error(
        "`{}` says that the window ends at {}, and `--to` or minDate says {}",
        path.display(), format_rfc3339(*theirs), format_rfc3339(*ours)
    )]
    OtherEnd {
        /// The file.
        path: PathBuf,
        /// Its end.
        theirs: DateTime<Utc>,
        /// The end that was written.
        ours: DateTime<Utc>,
    },
    /// The name asks for what nobody says.
    #[error("`{}` asks for the id of the run, and nothing says it", .0.display())]
    NoRun(PathBuf),
}

impl ManifestError {
    /// Says what the operator can do, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Tree(error) => error.hint(),
            Self::Damaged { .. } => Some(
                "name another file with `--window-from`, or remove this one: the first instance \
                 to come writes it anew",
            ),
            Self::OtherTotal { .. } => Some(
                "give all instances the same totalRcbsInstances; if that was changed on purpose, \
                 remove the file",
            ),
            Self::OtherEnd { .. } => Some("name a file for this export alone"),
            Self::NoRun(_) => Some(
                "set RCBS_RUN_ID to the same word in all instances of a run, or leave `{run}` out",
            ),
        }
    }
}

impl From<Agreed> for BackupWindow {
    fn from(agreed: Agreed) -> Self {
        match agreed {
            Agreed::Ours(window) | Agreed::Theirs(window) => window,
        }
    }
}

/// Gives the path of the file, with the id of the run in its name if that was asked for.
pub fn path(named: &Path, run: Option<&str>) -> Result<PathBuf, ManifestError> {
    let text = named.to_string_lossy();
    if !text.contains(RUN) {
        return Ok(named.to_owned());
    }
    let run = run.ok_or_else(|| ManifestError::NoRun(named.to_owned()))?;
    // It is a server's word, and must lead to no other folder.
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    Ok(PathBuf::from(text.replace(RUN, &run.chars().map(safe).collect::<String>())))
}

/// Agrees on a window with whoever came first; writes the file only if nobody did.
pub fn share(path: &Path, ours: &Ours, modes: Modes) -> Result<Agreed, ManifestError> {
    agree(path, modes, |text| match judge(path, text, ours)? {
        Some(window) => Ok((None, Agreed::Theirs(window))),
        None => Ok((Some(written(ours)), Agreed::Ours(ours.window))),
    })
}

/// Tells what would be agreed on, and writes nothing.
pub fn look(path: &Path, ours: &Ours) -> Result<Agreed, ManifestError> {
    let theirs = judge(path, agreed(path)?.as_deref(), ours)?;
    Ok(theirs.map_or(Agreed::Ours(ours.window), Agreed::Theirs))
}

fn written(ours: &Ours) -> Vec<u8> {
    let manifest = Manifest {
        run: ours.run.clone(),
        instances: ours.instances,
        from: Time(ours.window.from),
        to: Time(ours.window.to),
        now: Time(ours.now),
        written_at: Time(ours.written_at),
    };
    let mut text = serde_json::to_vec_pretty(&manifest).expect("plain data has a JSON text");
    text.push(b'\n');
    text
}

/// Gives the window that counts; none where the file is of another run, or not there.
fn judge(
    path: &Path,
    text: Option<&[u8]>,
    ours: &Ours,
) -> Result<Option<BackupWindow>, ManifestError> {
    let Some(text) = text else { return Ok(None) };
    let found: Manifest = serde_json::from_slice(text)
        .map_err(|source| ManifestError::Damaged { path: path.to_owned(), source })?;
    let window = BackupWindow { from: found.from.0, to: found.to.0 };
    if window.is_empty() {
        let source = serde::de::Error::custom("`from` is not before `to`");
        return Err(ManifestError::Damaged { path: path.to_owned(), source });
    }
    let is_same_run = match (&found.run, &ours.run) {
        (Some(theirs), Some(ours)) => theirs == ours,
        _ => is_recent(&found, ours) && ours.handled_to.is_none_or(|to| to < window.to),
    };
    if !is_same_run {
        return Ok(None);
    }
    if found.instances != ours.instances {
        let (theirs, ours) = (found.instances, ours.instances);
        return Err(ManifestError::OtherTotal { path: path.to_owned(), theirs, ours });
    }
    match ours.end {
        Some(end) if end != window.to => {
            let path = path.to_owned();
            Err(ManifestError::OtherEnd { path, theirs: window.to, ours: end })
        }
        _ => Ok(Some(window)),
    }
}

fn is_recent(found: &Manifest, ours: &Ours) -> bool {
    (ours.now - found.written_at.0).abs() < VALID_FOR
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    fn ours(run: Option<&str>, instances: u32, now: i64) -> Ours {
        Ours {
            run: run.map(str::to_owned),
            instances,
            window: BackupWindow { from: hour(now - 48), to: hour(now) },
            end: None,
            handled_to: None,
            now: hour(now),
            written_at: hour(now),
        }
    }

    /// What an instance makes of what another has written at hour 100.
    fn judged(run: Option<&str>, ours: &Ours) -> Result<Option<BackupWindow>, String> {
        let written = written(&self::ours(run, 4, 100));
        judge(Path::new("w"), Some(&written), ours).map_err(|error| error.to_string())
    }

    #[test]
    fn the_window_of_the_same_run_counts_and_that_of_another_does_not() {
        let first = BackupWindow { from: hour(52), to: hour(100) };
        let handled = |to| Ours { handled_to: Some(hour(to)), ..ours(None, 4, 101) };
        for (run, ours, expected) in [
            (None, ours(None, 4, 101), true),
            // A clock that is behind.
            (None, ours(None, 4, 90), true),
            (None, ours(None, 4, 111), true),
            (None, ours(None, 4, 112), false),
            (None, ours(None, 4, 88), false),
            (None, handled(99), true),
            // What it has handled already was an earlier run's.
            (None, handled(100), false),
            (None, handled(101), false),
            (Some("7"), ours(Some("7"), 4, 101), true),
            // Put back into the queue for a day.
            (Some("7"), ours(Some("7"), 4, 130), true),
            (Some("7"), ours(Some("8"), 4, 101), false),
            (Some("7"), ours(Some("8"), 3, 101), false),
            (Some("7"), ours(None, 4, 101), true),
            (Some("7"), ours(None, 4, 130), false),
            (None, ours(None, 3, 130), false),
            (None, Ours { end: Some(hour(100)), ..ours(None, 4, 101) }, true),
        ] {
            assert_eq!(judged(run, &ours), Ok(expected.then_some(first)), "{run:?} {ours:?}");
        }
        let refused = [
            (ours(None, 3, 101), "`w` is of a run of 4 instances, and this one is of 3"),
            (
                Ours { end: Some(hour(99)), ..ours(None, 4, 101) },
                "`w` says that the window ends at 1970-01-05T04:00:00.000Z, and `--to` or minDate \
                 says 1970-01-05T03:00:00.000Z",
            ),
        ];
        for (ours, expected) in refused {
            assert_eq!(judged(None, &ours), Err(expected.to_owned()));
        }
    }

    #[test]
    fn what_is_no_window_is_an_error() {
        let sound = String::from_utf8(written(&ours(None, 4, 100))).unwrap();
        let ours = ours(None, 4, 101);
        let judge = |text: &str| judge(Path::new("w"), Some(text.as_bytes()), &ours);
        assert!(judge(&sound).is_ok());
        let later = sound.replace("\"run\": null", "\"later\": 1");
        assert!(later != sound && judge(&later).is_ok());
        let backwards = sound.replace("1970-01-03T04", "1970-01-05T04");
        for text in ["", "{}", "[]", &sound[..sound.len() / 2], &backwards, "maxAge=3"] {
            let error = judge(text).expect_err(text);
            assert!(matches!(error, ManifestError::Damaged { .. }), "{error}");
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn the_name_takes_the_id_of_the_run_and_leads_nowhere_else() {
        let of = |name: &str, run| path(Path::new(name), run).map_err(|error| error.to_string());
        assert_eq!(of("a/w.json", None), Ok("a/w.json".into()));
        assert_eq!(of("a/w-{run}.json", Some("71")), Ok("a/w-71.json".into()));
        assert_eq!(of("a/w-{run}.json", Some("../x:1")), Ok("a/w-.._x_1.json".into()));
        let error = "`w-{run}` asks for the id of the run, and nothing says it";
        assert_eq!(of("w-{run}", None), Err(error.to_owned()));
    }
}
