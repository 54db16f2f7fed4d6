//! The files that remember how far the recordings are handled.
//!
//! Is given a target and the folder of its state; gives what earlier runs left, and stores what
//! this one adds: the time in `last_recording_endtime.txt`, all else in `.rcbs/state.json`.
//!
//! **Invariant**: what it says is never ahead of what is on stable storage, and a file that
//! cannot be read is an error, never taken for none.

mod state;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::tree::{TargetId, Tree, TreeError, TreeOptions, on_disk};
use crate::watermark::Stored;
use state::{State, parse_time, time};

/// The name of the file with the watermark, as the original has it.
pub const WATERMARK_FILE: &str = "last_recording_endtime.txt";
const STATE_FILE: &str = "state.json";

/// The state of one target, held by this run.
#[derive(Debug)]
pub struct Checkpoint {
    /// The target itself, or the tree of another folder.
    home: Arc<Tree>,
    /// The file with the watermark, below it. It lies open where one run has the target alone.
    watermark: String,
    /// The file beside it.
    state: String,
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
        let watermark = match home.is_shared() {
            true => home.own(WATERMARK_FILE),
            false => WATERMARK_FILE.to_owned(),
        };
        let state = home.own(STATE_FILE);
        Ok(Self { home, watermark, state })
    }

    /// Reads what earlier runs left. Where there is no watermark yet, one of the original tool
    /// is looked for in the folders `search`; it stays there, and counts until one is saved.
    pub fn load(&self, search: &[PathBuf]) -> Result<Loaded, CheckpointError> {
        let path = self.watermark_file();
        let (mut watermark, mut adopted) = (None, None);
        if let Some(text) = self.home.read(&self.watermark)? {
            watermark = Some(parse_watermark(&text, &path)?);
        } else if let Some((found, text)) = find_elsewhere(search)? {
            watermark = Some(parse_watermark(&text, &found)?);
            adopted = Some(found);
        }
        let state = match self.home.read(&self.state)? {
            Some(text) => serde_json::from_slice(&text).map_err(|source| {
                CheckpointError::State { path: self.on_disk(&self.state), source }
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
        if self.home.read(&self.state)?.as_ref() != Some(&text) {
            self.home.replace(&self.state, &text)?;
        }
        if let Some(watermark) = stored.watermark {
            let text = format!("{}\n", watermark.timestamp_millis());
            self.home.replace(&self.watermark, text.as_bytes())?;
        }
        Ok(())
    }

    /// Gives the path of the file with the watermark.
    pub fn watermark_file(&self) -> PathBuf {
        self.on_disk(&self.watermark)
    }

    fn on_disk(&self, path: &str) -> PathBuf {
        on_disk(&self.home.options().root, path)
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
                "mount it and run again; if the target was changed on purpose, remove `{}`, and \
                 `{}` too unless the new one holds all that the old one held",
                state_dir.join(".rcbs/id").display(),
                state_dir.join(WATERMARK_FILE).display()
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

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests lay out files of their own")]
mod tests {
    use std::fs;

    use chrono::TimeDelta;
    use tempfile::TempDir;

    use super::*;
    use crate::tree::{Holder, Modes, Share, TreeErrorKind};
    use crate::watermark::{Earned, Scope, Segment};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_519_047_014, 0).expect("in range") + TimeDelta::seconds(seconds)
    }

    fn options(root: &Path) -> TreeOptions {
        TreeOptions {
            root: root.to_owned(),
            modes: Modes { file: 0o640, folder: 0o750 },
            holder: Holder { host: "archive1".to_owned(), since: at(0) },
            share: Share::Alone,
        }
    }

    fn open(target: &Path, state_dir: &Path) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::open(&Arc::new(Tree::open(options(target))?), state_dir)
    }

    fn stored(watermark: i64) -> Stored {
        let scope = Scope {
            metadata_only: true,
            media_type_pattern: r"audio\/mp3".to_owned(),
            gws_uri_prefix: "https://example.com/api/v2".to_owned(),
            total: 3,
            id: 2,
        };
        let segments = vec![
            Segment { since: at(-10), scope: scope.clone() },
            Segment { since: at(20), scope: Scope { metadata_only: false, ..scope } },
        ];
        let watermark = Some(at(watermark));
        let rescanned_at = Some(at(5) + TimeDelta::nanoseconds(7));
        Stored { watermark, earned: Earned::new(segments, watermark), rescanned_at }
    }

    #[test]
    fn what_is_saved_is_loaded_again() {
        let dir = TempDir::new().unwrap();
        let checkpoint = open(dir.path(), dir.path()).unwrap();
        let none = Loaded { stored: Stored::default(), adopted: None };
        assert_eq!(checkpoint.load(&[]).unwrap(), none);
        for watermark in [30, 40] {
            checkpoint.save(&stored(watermark)).unwrap();
            assert_eq!(checkpoint.load(&[]).unwrap().stored, stored(watermark));
        }
        let text = fs::read_to_string(dir.path().join(WATERMARK_FILE)).unwrap();
        assert_eq!(text, "1519047054000\n");
    }

    #[test]
    fn a_crash_between_the_two_files_claims_less_and_not_more() {
        let dir = TempDir::new().unwrap();
        let checkpoint = open(dir.path(), dir.path()).unwrap();
        checkpoint.save(&stored(10)).unwrap();
        let watermark = fs::read(dir.path().join(WATERMARK_FILE)).unwrap();
        checkpoint.save(&stored(30)).unwrap();
        fs::write(dir.path().join(WATERMARK_FILE), watermark).unwrap();
        assert_eq!(checkpoint.load(&[]).unwrap().stored, stored(10));
    }

    #[test]
    fn the_watermark_may_be_written_by_hand() {
        for (text, expected) in [
            ("1519047014000", Some(at(0))),
            (" 1519047014000\r\n", Some(at(0))),
            ("2018-02-19T13:30:14Z\n", Some(at(0))),
            ("2018-02-19T14:30:14.000+01:00", Some(at(0))),
            ("", None),
            ("\0\0\0", None),
            ("1519047014000 x", None),
            ("1519047014000\n1519047014000", None),
            ("2018-02-19", None),
            ("99999999999999999999", None),
            ("9999999999999999999", None),
        ] {
            let dir = TempDir::new().unwrap();
            let path = dir.path().join(WATERMARK_FILE);
            fs::write(&path, text).unwrap();
            let loaded = open(dir.path(), dir.path()).unwrap().load(&[]);
            match expected {
                Some(_) => assert_eq!(loaded.unwrap().stored.watermark, expected, "{text:?}"),
                None => {
                    let error = loaded.expect_err(text);
                    let start = format!("`{}` holds no time: `", path.display());
                    assert!(error.to_string().starts_with(&start), "{error}");
                    assert!(error.hint().is_some());
                }
            }
        }
    }

    #[test]
    fn unknown_fields_are_passed_over_and_broken_state_is_refused() {
        let dir = TempDir::new().unwrap();
        let checkpoint = open(dir.path(), dir.path()).unwrap();
        let path = dir.path().join(".rcbs").join(STATE_FILE);
        fs::write(&path, r#"{"later": [1], "rescannedAt": "2018-02-19T13:30:14Z"}"#).unwrap();
        assert_eq!(checkpoint.load(&[]).unwrap().stored.rescanned_at, Some(at(0)));
        for text in ["", "{", r#"{"segments": [{}]}"#, r#"{"rescannedAt": "yesterday"}"#] {
            fs::write(&path, text).unwrap();
            let error = checkpoint.load(&[]).expect_err(text);
            assert_eq!(error.to_string(), format!("cannot understand `{}`", path.display()));
            assert!(std::error::Error::source(&error).is_some());
        }
    }

    #[test]
    fn a_watermark_of_the_original_tool_is_adopted_until_there_is_one() {
        let dir = TempDir::new().unwrap();
        let [target, empty, java] = ["target", "empty", "java"].map(|name| dir.path().join(name));
        fs::create_dir_all(&empty).unwrap();
        fs::create_dir_all(&java).unwrap();
        fs::write(java.join(WATERMARK_FILE), "1519047014000").unwrap();
        let search = [empty, dir.path().join("missing"), java.clone()];
        let checkpoint = open(&target, &target).unwrap();
        for _ in 0..2 {
            let loaded = checkpoint.load(&search).unwrap();
            assert_eq!(loaded.stored.watermark, Some(at(0)));
            assert_eq!(loaded.adopted, Some(java.join(WATERMARK_FILE)));
        }
        checkpoint.save(&stored(30)).unwrap();
        assert_eq!(checkpoint.load(&search).unwrap().adopted, None);
        assert_eq!(fs::read(java.join(WATERMARK_FILE)).unwrap(), b"1519047014000");
    }

    #[test]
    fn state_in_another_folder_is_locked_and_belongs_to_one_target() {
        let dir = TempDir::new().unwrap();
        let [target, other, state] = ["target", "other", "state"].map(|name| dir.path().join(name));
        let checkpoint = open(&target, &state).unwrap();
        checkpoint.save(&stored(30)).unwrap();
        assert!(state.join(WATERMARK_FILE).exists() && !target.join(WATERMARK_FILE).exists());

        let Err(CheckpointError::Tree(error)) = open(&other, &state) else { panic!("it is held") };
        assert_eq!(error.kind(), TreeErrorKind::Locked);
        drop(checkpoint);
        drop(open(&target, &state).unwrap());

        // A target without an id may be the folder under a disk that is not mounted.
        for _ in 0..2 {
            let error = open(&other, &state).expect_err("another target");
            assert_eq!(
                error.to_string(),
                format!(
                    "`{}` is not the target that the state in `{}` belongs to: is the disk mounted?",
                    other.display(),
                    state.display()
                )
            );
            // Without its id alone, the watermark would be believed of a target that is empty.
            let hint = error.hint().unwrap();
            for file in [".rcbs/id", WATERMARK_FILE] {
                assert!(hint.contains(&format!("`{}`", state.join(file).display())), "{hint}");
            }
            assert!(!other.join(".rcbs/id").exists());
        }
        drop(open(&other, &other).unwrap());
        assert!(matches!(open(&other, &state), Err(CheckpointError::OtherTarget { .. })));
        fs::remove_file(state.join(".rcbs/id")).unwrap();
        drop(open(&other, &state).unwrap());
        assert!(matches!(open(&target, &state), Err(CheckpointError::OtherTarget { .. })));
    }

    #[test]
    fn a_peeked_target_is_read_without_a_trace() {
        let dir = TempDir::new().unwrap();
        let [target, state] = ["target", "state"].map(|name| dir.path().join(name));
        let peek = |state: &Path| Checkpoint::open(&Arc::new(Tree::peek(options(&target))), state);
        assert_eq!(peek(&state).unwrap().load(&[]).unwrap().stored, Stored::default());
        assert!(!target.exists() && !state.exists());
        let held = open(&target, &target).unwrap();
        held.save(&stored(30)).unwrap();
        assert_eq!(peek(&target).unwrap().load(&[]).unwrap().stored, stored(30));
    }

    #[cfg(unix)]
    #[test]
    fn the_command_that_resets_the_watermark_names_time_and_file() {
        let dir = TempDir::new().unwrap();
        let target = dir.path().join("it's");
        let checkpoint =
            Checkpoint::open(&Arc::new(Tree::peek(options(&target))), &target).unwrap();
        let path = dir.path().display();
        assert_eq!(
            checkpoint.reset_command(at(0)),
            format!(r"echo 2018-02-19T13:30:14Z > '{path}/it'\''s/{WATERMARK_FILE}'")
        );
    }
}
