//! All keys of a world in order, made once for each state of it, so that a listing in pages is quick.
//!
//! Given a world, gives the keys of a bucket from any place on. **Invariant**: what is given belongs to the world as it
//! is now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::log::lock;
use crate::world::World;

/// The index of the world as it was when somebody last listed it.
#[derive(Debug, Default)]
pub(crate) struct Index(Mutex<Option<(u64, Arc<Keys>)>>);

/// The objects of each bucket, by key.
#[derive(Debug, Default)]
pub(super) struct Keys(HashMap<String, Vec<Entry>>);

/// An object as a listing shows it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) bytes: u64,
    pub(super) stop_ms: i64,
}

impl Index {
    /// Gives the keys of the world as it is now.
    pub(super) fn of(&self, world: &World) -> Arc<Keys> {
        let mut known = lock(&self.0);
        if let Some((stamp, keys)) = known.as_ref()
            && *stamp == world.stamp()
        {
            return Arc::clone(keys);
        }
        let mut keys = Keys::default();
        for media in world.all_objects() {
            let Some(object) = media.object() else { continue };
            let entry = Entry { key: media.key, bytes: object.len(), stop_ms: media.stop_ms };
            keys.0.entry(media.bucket).or_default().push(entry);
        }
        keys.0.values_mut().for_each(|entries| entries.sort_by(|a, b| a.key.cmp(&b.key)));
        let keys = Arc::new(keys);
        *known = Some((world.stamp(), Arc::clone(&keys)));
        keys
    }
}

impl Keys {
    /// Gives the objects of a bucket behind `after` and not before `prefix`, in order.
    pub(super) fn from(&self, bucket: &str, prefix: &str, after: &str) -> &[Entry] {
        let Some(entries) = self.0.get(bucket) else { return &[] };
        let is_before = |entry: &Entry| entry.key.as_str() < prefix || entry.key.as_str() <= after;
        &entries[entries.partition_point(is_before)..]
    }
}
