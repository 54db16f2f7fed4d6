//! A tree that several instances share: which run uses it how, and where each keeps its own files.
//!
//! Is given the root and which instance comes; gives the locks that it holds. Each instance has a
//! folder `.rcbs/instances/<id>/`, and all have one file that says how many they are.
//!
//! **Invariant**: runs that count a different number of instances are never at work at the same
//! time, nor is a run that shares beside one that does not; that number changes only while no
//! instance is at work.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::disk::{self, Modes};
use super::error::{Doing, TreeError};
use super::lock::{self, Holder, Lock};
use super::{OWN, TargetId, agreed, joined};
use crate::instance::Instance;

/// The folder of what the instances keep, below the root.
const INSTANCES: &str = ".rcbs/instances";

/// The file that says how many they are.
const FLEET: &str = ".rcbs/instances/fleet.json";

/// How a run uses a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Share {
    /// It has the tree to itself, at every time.
    #[default]
    Alone,
    /// It is one of several instances, which may be at work at the same time.
    One(Instance),
    /// It looks after all of it, whoever uses it otherwise; none may be at work meanwhile.
    Whole,
}

/// How many instances share a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fleet {
    /// A random word, another one each time that the number changes.
    pub generation: String,
    /// The number.
    pub instances: u32,
    /// Whether nothing was there when it was shared first, so that all that is there is known to
    /// one of those who have shared it.
    #[serde(default)]
    pub began_empty: bool,
}

impl Share {
    /// Gives the folder of the files that a run keeps for itself, below the root.
    pub(super) fn own(self) -> String {
        match self {
            Share::Alone | Share::Whole => OWN.to_owned(),
            Share::One(instance) => format!("{INSTANCES}/{}", instance.id),
        }
    }
}

/// Reads how many instances share a tree; none where it is not shared.
pub(super) fn read(root: &Path) -> Result<Option<Fleet>, TreeError> {
    let path = root.join(FLEET);
    let Some(text) = disk::read(&path)? else { return Ok(None) };
    match serde_json::from_slice(&text) {
        Ok(fleet) => Ok(Some(fleet)),
        Err(source) => Err(TreeError::Fleet { path, source }),
    }
}

/// Gives the ids of all instances that have ever kept something there, in their order.
pub(super) fn ids(root: &Path) -> Result<Vec<u32>, TreeError> {
    let folder = root.join(INSTANCES);
    if !disk::is_folder(&folder)? {
        return Ok(Vec::new());
    }
    let mut ids = Vec::new();
    for entry in fs::read_dir(&folder).doing("list", &folder)? {
        let name = entry.doing("list", &folder)?.file_name();
        let id = name.to_str().and_then(|name| Some((name, name.parse::<u32>().ok()?)));
        ids.extend(id.filter(|(name, id)| id.to_string() == *name).map(|(_, id)| id));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Takes the locks of an instance.
pub(super) fn join(
    root: &Path,
    instance: Instance,
    holder: &Holder,
    modes: Modes,
) -> Result<Lock, TreeError> {
    let mut lock = lock::take_shared(&root.join(OWN).join("lock"), root, modes)?;
    let folder = root.join(INSTANCES);
    disk::make_folder(&folder, &root.join(OWN), modes)?;
    // Whoever comes at the same time waits here, for a moment.
    let gate = lock::wait(&folder.join("lock"), &folder, modes)?;
    // What another machine wrote before it left the gate counts.
    disk::ask_anew(&folder)?;
    let known = read(root)?;
    if known.as_ref().is_none_or(|fleet| fleet.instances != instance.total) {
        let began_empty = match known {
            Some(fleet) => refuse_others(root, &fleet, instance).map(|()| fleet.began_empty)?,
            None => is_empty(root)?,
        };
        let TargetId(generation) = TargetId::random(root)?;
        write(root, &Fleet { generation, instances: instance.total, began_empty }, modes)?;
    }
    lock.tell(&format!("instances of {}, the last to come being {holder}", instance.total));
    let own = folder.join(instance.id.to_string());
    disk::make_folder(&own, &folder, modes)?;
    let name = Path::new(INSTANCES).join(instance.id.to_string());
    lock.add(lock::take(&own.join("lock"), &root.join(name), holder, modes)?);
    drop(gate);
    Ok(lock)
}

/// Refuses to count the instances anew while one of them is at work.
fn refuse_others(root: &Path, fleet: &Fleet, wanted: Instance) -> Result<(), TreeError> {
    for id in ids(root)? {
        let path = root.join(joined(INSTANCES, &id.to_string())).join("lock");
        if let Some(holder) = lock::holder(&path)? {
            return Err(TreeError::OtherTotal {
                path: root.to_owned(),
                id,
                total: fleet.instances,
                wanted: wanted.total,
                holder,
            });
        }
    }
    Ok(())
}

/// Tells whether nothing lies open in a folder.
fn is_empty(root: &Path) -> Result<bool, TreeError> {
    for entry in fs::read_dir(root).doing("list", root)? {
        let name = entry.doing("list", root)?.file_name();
        if !name.as_encoded_bytes().starts_with(b".") {
            return Ok(false);
        }
    }
    Ok(true)
}

fn write(root: &Path, fleet: &Fleet, modes: Modes) -> Result<(), TreeError> {
    let mut text = serde_json::to_vec(fleet).expect("plain data has a JSON text");
    text.push(b'\n');
    agreed::replace(&root.join(FLEET), &text, modes)
}
