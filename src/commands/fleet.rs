//! What an instance has to do with the others: those of its target, and those of its run.
//!
//! **Invariant:** all that is decided is decided elsewhere, by `watermark`, `manifest` and
//! `ledger`; of other instances nothing is written.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};

use super::World;
use crate::checkpoint::{Checkpoint, Loaded};
use crate::config::{Config, Newer};
use crate::error::Error;
use crate::http::chain;
use crate::instance::Instance;
use crate::ledger::{Inherited, Ledger, LedgerError, LedgerErrorKind};
use crate::manifest::{self, Agreed, Ours};
use crate::monitor::{Event, Monitor};
use crate::tree::{Modes, Tree};
use crate::watermark::{Mode, Other, Period, Scope, Stored, ground};
use crate::window::{BackupWindow, format_rfc3339};

/// What says that an instance knows what the others hold, among its own files.
const JOINED: &str = "joined.json";

/// What was stored for this instance, and by the others of its target.
pub(super) struct Known {
    pub(super) stored: Stored,
    /// Where the watermark was taken from, if that is elsewhere.
    pub(super) adopted: Option<PathBuf>,
    others: Vec<Other>,
    /// Whether this instance has run since the number of instances changed.
    pub(super) is_joined: bool,
    has_heard_all: bool,
}

/// Reads what was stored. Where others share the target, no watermark of the original tool counts.
pub(super) fn known(
    tree: &Tree,
    checkpoint: &Checkpoint,
    search: &[PathBuf],
) -> Result<Known, Error> {
    let mut others = Vec::new();
    for part in other_parts(tree)? {
        let part = Arc::new(part);
        let checkpoint = Checkpoint::open(&part, &part.options().root)?;
        let stored = checkpoint.load(&[])?.stored;
        others.push(Other { stored, had_all: part.instance().is_none() });
    }
    others.retain(|other| other.stored.watermark.is_some());
    let search = if others.is_empty() { search } else { &[] };
    let Loaded { stored, adopted } = checkpoint.load(search)?;
    let is_joined = match joined(tree)? {
        Some(joined) => tree.read(&tree.own(JOINED))?.as_ref() == Some(&joined),
        None => true,
    };
    Ok(Known { stored, adopted, others, is_joined, has_heard_all: false })
}

/// What an instance writes down that knows of all the others; nothing where there are none.
fn joined(tree: &Tree) -> Result<Option<Vec<u8>>, Error> {
    let fleet = tree.fleet()?.filter(|_| tree.is_shared());
    Ok(fleet.map(|fleet| serde_json::to_vec(&fleet).expect("plain data has a JSON text")))
}

/// Writes down that what the others hold, and where their ground begins, is known and stored.
pub(super) fn join(tree: &Tree) -> Result<(), Error> {
    match joined(tree)? {
        Some(joined) => Ok(tree.replace(&tree.own(JOINED), &joined)?),
        None => Ok(()),
    }
}

impl Known {
    /// Takes note of what others have let this instance know.
    pub(super) fn heard(&mut self, heard: Heard) {
        self.has_heard_all = heard != Heard::NotAll;
    }

    /// Tells whether it is to be written down that this instance is one of those of now.
    pub(super) fn is_joining(&self) -> bool {
        !self.is_joined && self.has_heard_all
    }

    /// Takes into account where the others leave the ground of this share to it; tells whether
    /// there is something to store.
    pub(super) fn go_back(&mut self, period: &mut Period, scope: &Scope) -> bool {
        let ground = ground(&self.others, scope, period.late());
        period.ground = ground.filter(|_| self.stored.watermark.is_none());
        !self.is_joined && self.stored.owe_since(ground, period.late())
    }
}

fn other_parts(tree: &Tree) -> Result<Vec<Tree>, Error> {
    if !tree.is_shared() {
        return Ok(Vec::new());
    }
    let mut parts = tree.parts()?;
    parts.retain(|part| part.instance() != tree.instance());
    Ok(parts)
}

/// What came of learning from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// They know all that the tree holds.
    All,
    /// Perhaps not all.
    Something,
    /// One could not be read.
    NotAll,
}

/// Lets an instance know what the others of its target hold of its share.
pub(super) fn inherit(
    tree: &Tree,
    ledger: &Ledger,
    instance: Instance,
    now: DateTime<Utc>,
    monitor: &dyn Monitor,
) -> Result<Heard, Error> {
    let Some(fleet) = tree.fleet()?.filter(|_| tree.is_shared()) else {
        return Ok(Heard::Something);
    };
    let (mut others, mut heard) = (Vec::new(), Heard::Something);
    for part in other_parts(tree)? {
        match Ledger::open_to_read(&part) {
            Ok(Some(ledger)) => {
                if heard == Heard::Something && (fleet.began_empty || part.instance().is_none()) {
                    heard = Heard::All;
                }
                others.push(ledger);
            }
            Ok(None) => {}
            // What it knew of ours is found in the tree as it is listed.
            Err(error) if error.kind() == LedgerErrorKind::Damaged => {
                monitor.on(&Event::Warning { text: chain(&error) });
                heard = Heard::NotAll;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let is_ours = |id: &str| instance.owns(id);
    match ledger.inherit(tree, &others, is_ours, now) {
        Ok(Inherited { recordings: 0, failures: 0 }) => {}
        Ok(Inherited { recordings, failures }) => {
            let text = format!(
                "learned from other instances of this target: {recordings} recordings, and \
                 {failures} failures"
            );
            monitor.on(&Event::Note { text });
        }
        Err(error) if is_elsewhere(&error, tree) => {
            monitor.on(&Event::Warning { text: chain(&error) });
            heard = Heard::NotAll;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(heard)
}

/// Tells whether it is the ledger of another instance that is damaged.
fn is_elsewhere(error: &LedgerError, tree: &Tree) -> bool {
    let own = tree.options().root.join(tree.own(""));
    let is_own = matches!(error, LedgerError::Sqlite { path, .. } if path.starts_with(&own));
    error.kind() == LedgerErrorKind::Damaged && !is_own
}

/// What decides about the window that the instances of a run share.
pub(super) struct Sharing<'a> {
    pub(super) named: &'a std::path::Path,
    pub(super) config: &'a Config,
    pub(super) mode: Mode,
    /// The window that this instance would take, and how far it has come.
    pub(super) window: BackupWindow,
    pub(super) watermark: Option<DateTime<Utc>>,
    pub(super) now: DateTime<Utc>,
    /// What GWS's clock says, if it says something.
    pub(super) gws_now: Option<DateTime<Utc>>,
    pub(super) is_dry_run: bool,
}

/// Agrees on a window with the other instances of this run.
pub(super) fn agree(sharing: &Sharing<'_>, world: &World<'_>) -> Result<BackupWindow, Error> {
    let Sharing { named, config, mode, window, watermark, now, gws_now, is_dry_run } = *sharing;
    let path = world.current_dir.join(manifest::path(named, config.run_id.as_deref())?);
    let ours = Ours {
        run: config.run_id.clone(),
        instances: config.instance.total,
        window,
        end: match config.period.newer {
            Newer::At(at) => Some(at.trunc_subsecs(3)),
            Newer::Age(_) => None,
        },
        handled_to: watermark.filter(|_| mode != Mode::OneShot),
        now,
        written_at: (world.clock)(),
    };
    let modes = Modes { file: config.file_mode, folder: config.folder_mode };
    let agreed = match is_dry_run {
        true => manifest::look(&path, &ours)?,
        false => manifest::share(&path, &ours, modes)?,
    };
    let mut window = BackupWindow::from(agreed);
    let (from, to) = (format_rfc3339(window.from), format_rfc3339(window.to));
    let text = match agreed {
        Agreed::Theirs(_) => {
            format!("the window of this run, by `{}`: {from} to {to}", path.display())
        }
        Agreed::Ours(_) if is_dry_run => return Ok(window),
        Agreed::Ours(_) => {
            format!("the first of this run: its window, {from} to {to}, is in `{}`", path.display())
        }
    };
    world.monitor.on(&Event::Note { text });
    // A watermark later than that would stand where nothing was recorded yet.
    let latest = gws_now.unwrap_or(now);
    if window.to > latest {
        let text = format!(
            "the window of this run ends at {to}, and GWS's clock says {}: this instance ends there",
            format_rfc3339(latest)
        );
        world.monitor.on(&Event::Warning { text });
        window.to = latest;
    }
    Ok(window)
}
