//! The files that remember how far the recordings are handled.
//!
//! Is given a target and the folder of its state; gives what earlier runs left, and stores what
//! this one adds: the time in `last_recording_endtime.txt`, all else in `.rcbs/state.json`.
//!
//! **Invariant**: what it says is never ahead of what is on stable storage, and a file that
//! cannot be read is an error, never taken for none.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::tree::{TargetId, Tree, TreeError, TreeOptions};
use crate::watermark::{Earned, Scope, Segment, Stored};

/// The name of the file with the watermark, as the original has it.
pub const WATERMARK_FILE: &str = "last_recording_endtime.txt";
const STATE_FILE: &str = ".rcbs/state.json";

/// The state of one target, held by this run.
#[derive(Debug)]
pub struct Checkpoint {
    /// The target itself, or the tree of another folder.
    home: Arc<Tree>,
}

/// What earlier runs left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// What it says.
    pub stored: Stored,
    /// The file elsewhere, of the original tool, that the watermark was taken from.
    pub adopted: Option<PathBuf>,
}

/// Says why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The disk refused.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A watermark file in another folder could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The watermark file does not hold a time.
    #[error("`{}` holds no time: `{found}`", path.display())]
    Watermark {
        /// The file.
        path: PathBuf,
        /// How it begins.
        found: String,
    },
    /// The file beside the watermark cannot be understood.
    #[error("cannot understand `{}`", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The state belongs to another target.
    #[error(
        "`{}` is not the target that the state in `{}` belongs to: is the disk mounted?",
        target.display(),
        state_dir.display()
    )]
    OtherTarget {
        /// The target.
        target: PathBuf,
        /// The folder of the state.
        state_dir: PathBuf,
    },
}

impl Checkpoint {
    /// Takes the state of a target, which lies in the target or in another folder; that one is
    /// locked too. Nothing is made or locked for a target that was opened for reading only.
    pub fn open(target: &Arc<Tree>, state_dir: &Path) -> Result<Self, CheckpointError> {
        let options = target.options();
        let home = if is_same_folder(state_dir, &options.root) {
            Arc::clone(target)
        } else {
            let options = TreeOptions { root: state_dir.to_owned(), ..options.clone() };
            let is_peeked = target.is_peeked();
            Arc::new(if is_peeked { Tree::peek(options) } else { Tree::open(options)? })
        };
        check_id(target, &home)?;
        Ok(Self { home })
    }

    /// Reads what earlier runs left. Where there is no watermark yet, one of the original tool
    /// is looked for in the folders `search`; it stays there, and counts until one is saved.
    pub fn load(&self, search: &[PathBuf]) -> Result<Loaded, CheckpointError> {
        let path = self.watermark_file();
        let (mut watermark, mut adopted) = (None, None);
        if let Some(text) = self.home.read(WATERMARK_FILE)? {
            watermark = Some(parse_watermark(&text, &path)?);
        } else if let Some((found, text)) = find_elsewhere(search)? {
            watermark = Some(parse_watermark(&text, &found)?);
            adopted = Some(found);
        }
        let state = match self.home.read(STATE_FILE)? {
            Some(text) => serde_json::from_slice(&text).map_err(|source| {
                CheckpointError::State { path: self.home.options().root.join(STATE_FILE), source }
            })?,
            None => State::default(),
        };
        Ok(Loaded { stored: state.into_stored(watermark), adopted })
    }

    /// Stores what the run has added, durably.
    ///
    /// The state goes first. If we die between the two files, its segments reach over the old
    /// watermark and are cut there when they are read: they claim less than was handled. The
    /// other way round, an old segment would reach up to the new watermark, over ground that was
    /// handled under another scope.
    pub fn save(&self, stored: &Stored) -> Result<(), CheckpointError> {
        let mut text =
            serde_json::to_vec_pretty(&State::of(stored)).expect("plain data has a JSON text");
        text.push(b'\n');
        if self.home.read(STATE_FILE)?.as_ref() != Some(&text) {
            self.home.replace(STATE_FILE, &text)?;
        }
        if let Some(watermark) = stored.watermark {
            let text = format!("{}\n", watermark.timestamp_millis());
            self.home.replace(WATERMARK_FILE, text.as_bytes())?;
        }
        Ok(())
    }

    /// Gives the path of the file with the watermark.
    pub fn watermark_file(&self) -> PathBuf {
        self.home.options().root.join(WATERMARK_FILE)
    }

    /// Gives the command with which an operator sets the watermark to a time.
    pub fn reset_command(&self, to: DateTime<Utc>) -> String {
        let path = self.watermark_file();
        if cfg!(windows) {
            return format!("echo {}> \"{}\"", time(to), path.display());
        }
        let quoted = path.display().to_string().replace('\'', r"'\''");
        format!("echo {} > '{quoted}'", time(to))
    }
}

impl CheckpointError {
    /// Says what the operator can do, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Tree(error) => error.hint().map(str::to_owned),
            Self::Read { .. } => None,
            Self::Watermark { .. } => Some(
                "write the time before which all is saved into it, as `1519047014000` or \
                 `2018-02-19T13:30:14Z`; or remove it, and the next run begins at maxAge"
                    .to_owned(),
            ),
            Self::State { .. } => Some(
                "remove it: all before the watermark then counts as saved under the present \
                 settings"
                    .to_owned(),
            ),
            Self::OtherTarget { state_dir, .. } => Some(format!(
                "mount it and run again; if the target was changed on purpose, remove `{}`",
                state_dir.join(".rcbs/id").display()
            )),
        }
    }
}

fn check_id(target: &Arc<Tree>, home: &Arc<Tree>) -> Result<(), CheckpointError> {
    let (id, known) = (target.id()?, home.id()?);
    if known.is_some() && known != id {
        return Err(CheckpointError::OtherTarget {
            target: target.options().root.clone(),
            state_dir: home.options().root.clone(),
        });
    }
    if known.is_some() || target.is_peeked() {
        return Ok(());
    }
    let id = match id {
        Some(id) => id,
        None => {
            let id = TargetId::random(&target.options().root)?;
            target.set_id(&id)?;
            id
        }
    };
    if !Arc::ptr_eq(target, home) {
        home.set_id(&id)?;
    }
    Ok(())
}

fn is_same_folder(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

fn find_elsewhere(search: &[PathBuf]) -> Result<Option<(PathBuf, Vec<u8>)>, CheckpointError> {
    for folder in search {
        let path = folder.join(WATERMARK_FILE);
        match std::fs::read(&path) {
            Ok(text) => return Ok(Some((path, text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(CheckpointError::Read { path, source }),
        }
    }
    Ok(None)
}

fn parse_watermark(text: &[u8], path: &Path) -> Result<DateTime<Utc>, CheckpointError> {
    let text = String::from_utf8_lossy(text);
    let text = text.trim();
    let millis = text.parse().ok().and_then(DateTime::from_timestamp_millis);
    millis.or_else(|| parse_time(text)).ok_or_else(|| CheckpointError::Watermark {
        path: path.to_owned(),
        found: text.chars().take(60).collect(),
    })
}

fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// The text of `state.json`. Fields that a later version adds are passed over.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    #[serde(default)]
    rescanned_at: Option<Time>,
    #[serde(default)]
    segments: Vec<StateSegment>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StateSegment {
    since: Time,
    metadata_only: bool,
    media_type_pattern: String,
    gws_uri_prefix: String,
    total_rcbs_instances: u64,
    rcbs_instance_id: u64,
}

/// A time that stands in the file as RFC 3339 text.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Time(DateTime<Utc>);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_time(&text).map(Self).ok_or_else(|| format!("not a time: `{text}`"))
    }
}

impl From<Time> for String {
    fn from(Time(at): Time) -> Self {
        time(at)
    }
}

impl State {
    fn of(stored: &Stored) -> Self {
        let segments =
            stored.earned.segments().iter().map(|Segment { since, scope }| StateSegment {
                since: Time(*since),
                metadata_only: scope.metadata_only,
                media_type_pattern: scope.media_type_pattern.clone(),
                gws_uri_prefix: scope.gws_uri_prefix.clone(),
                total_rcbs_instances: scope.total,
                rcbs_instance_id: scope.id,
            });
        Self { rescanned_at: stored.rescanned_at.map(Time), segments: segments.collect() }
    }

    fn into_stored(self, watermark: Option<DateTime<Utc>>) -> Stored {
        let segments = self.segments.into_iter().map(|segment| Segment {
            since: segment.since.0,
            scope: Scope {
                metadata_only: segment.metadata_only,
                media_type_pattern: segment.media_type_pattern,
                gws_uri_prefix: segment.gws_uri_prefix,
                total: segment.total_rcbs_instances,
                id: segment.rcbs_instance_id,
            },
        });
        Stored {
            watermark,
            earned: Earned::new(segments.collect(), watermark),
            rescanned_at: self.rescanned_at.map(|Time(at)| at),
        }
    }
}
