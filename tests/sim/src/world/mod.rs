//! The world: what there is to back up, as a pure function of (seed, spec), plus what a test put in or took out by hand.
//!
//! Given a [`WorldSpec`], gives recordings by time and by id, and objects by bucket and key. A recording is a row of 24
//! bytes until somebody asks for it, so a world of a million is small. **Invariant**: rows are sorted by start.

pub mod calls;
mod media;
pub mod metadata;
pub mod object;
mod prepared;
mod recording;
mod spec;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use calls::{Dice, mix};
pub use media::{Form, Media, Pkcs7};
use object::Object;
use prepared::Prepared;
pub use recording::Recording;
pub use spec::{Bucket, Keys, WorldSpec};

/// A recording's place in the listing.
#[derive(Clone, Debug)]
pub struct Row {
    /// When the recording starts, in epoch milliseconds.
    pub start_ms: i64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Generated(u32),
    ByHand(Arc<Recording>),
}

/// All recordings and objects there are.
#[derive(Clone, Debug)]
pub struct World {
    spec: WorldSpec,
    starts: Vec<i64>,
    rows: Vec<Row>,
    objects: HashMap<(String, String), Media>,
    lost: HashSet<(String, String)>,
    late_is_out: bool,
    /// The records as the listing has them, and as objects.
    prepared: Option<Prepared>,
    prepared_objects: Option<Prepared>,
    /// Another number whenever other objects exist.
    stamp: u64,
}

impl World {
    /// Makes the world that a spec describes.
    pub fn new(spec: WorldSpec) -> Self {
        let starts = calls::starts(&spec);
        let row = |(number, &start_ms): (usize, &i64)| Row {
            start_ms,
            what: What::Generated(number as u32),
        };
        let rows = starts.iter().enumerate().map(row).collect();
        Self {
            spec,
            starts,
            rows,
            objects: HashMap::new(),
            lost: HashSet::new(),
            late_is_out: false,
            prepared: None,
            prepared_objects: None,
            stamp: stamp(),
        }
    }

    /// Gives the numbers that the world was made from.
    pub fn spec(&self) -> &WorldSpec {
        &self.spec
    }

    /// Gives the number of recordings.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Says whether there are no recordings.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Gives the rows that start in `[from_ms, to_ms)`, oldest first.
    pub fn rows_between(&self, from_ms: i64, to_ms: i64) -> &[Row] {
        let first = self.rows.partition_point(|row| row.start_ms < from_ms);
        let end = self.rows.partition_point(|row| row.start_ms < to_ms);
        &self.rows[first..end.max(first)]
    }

    /// Gives the recording of a row.
    pub fn recording(&self, row: &Row) -> Arc<Recording> {
        match &row.what {
            What::Generated(number) => Arc::new(self.generate(*number)),
            What::ByHand(recording) => Arc::clone(recording),
        }
    }

    /// Gives the JSON of a row's recording, as the API would answer it now.
    pub fn json(&self, row: &Row) -> String {
        metadata::render(&self.recording(row), self.late_is_out)
    }

    /// Renders all records once, so that nothing has to be rendered while they are served.
    ///
    /// It takes as much memory as their texts; recordings put in by hand are not among them.
    pub fn prepare(&mut self) {
        let newest_first = || (0..self.starts.len() as u32).rev();
        let record = |number| metadata::render(&self.generate(number), self.late_is_out);
        let prepared = Prepared::new(newest_first().map(record));
        let object = |number| self.metadata_text(number);
        let objects = self.spec.metadata_objects.then(|| Prepared::new(newest_first().map(object)));
        (self.prepared, self.prepared_objects) = (Some(prepared), objects);
    }

    /// Gives the JSON of these rows with commas between, if it was prepared and they follow each other, newest first.
    pub(crate) fn prepared(&self, rows: &[Row]) -> Option<Bytes> {
        let number = |row: &Row| match row.what {
            What::Generated(number) => Some(number),
            What::ByHand(_) => None,
        };
        let prepared = self.prepared.as_ref()?;
        let newest = number(rows.first()?)?;
        let follows =
            |(n, row)| number(row).and_then(|number| number.checked_add(n)) == Some(newest);
        (0..).zip(rows).all(follows).then(|| prepared.down_from(newest, rows.len()))?
    }

    /// Gives a number that is another one whenever other objects exist.
    pub(crate) fn stamp(&self) -> u64 {
        self.stamp
    }

    /// Gives all recordings, oldest first.
    pub fn recordings(&self) -> impl Iterator<Item = Arc<Recording>> + '_ {
        self.rows.iter().map(|row| self.recording(row))
    }

    /// Gives the recording with this id; of several, the oldest.
    pub fn find(&self, id: &str) -> Option<Arc<Recording>> {
        self.place(id).map(|place| self.recording(&self.rows[place]))
    }

    /// Gives the media files that the API lists by now.
    pub fn listed_media(&self, recording: &Recording) -> Vec<Media> {
        recording.media.iter().filter(|media| self.late_is_out || !media.late).cloned().collect()
    }

    /// Adds a recording; others with its id stay.
    pub fn add(&mut self, recording: Recording) {
        self.stamp = stamp();
        for media in &recording.media {
            let place = (media.bucket.clone(), media.key.clone());
            self.lost.remove(&place);
            self.objects.insert(place, media.clone());
        }
        let start_ms = recording.start_ms;
        let at = self.rows.partition_point(|row| row.start_ms <= start_ms);
        self.rows.insert(at, Row { start_ms, what: What::ByHand(Arc::new(recording)) });
    }

    /// Adds `count` recordings with one media file each, all starting in one millisecond; gives their ids.
    pub fn add_burst(&mut self, start_ms: i64, count: usize) -> Vec<String> {
        let bucket = self.spec.buckets[0].name.clone();
        let mut ids = Vec::with_capacity(count);
        for n in 0..count {
            let id = calls::recording_id(self.spec.seed ^ start_ms as u64, 0x3000_0000 + n as u32);
            let media =
                Media::voice(&format!("{id}_burst-00000001.mp3.bin"), &bucket, 500 + n as u64 % 97);
            self.add(Recording::new(&id, start_ms).with(media));
            ids.push(id);
        }
        ids
    }

    /// Puts a recording in the place of the one with its id, or adds it.
    pub fn put(&mut self, recording: Recording) {
        self.remove(&recording.id);
        self.add(recording);
    }

    /// Takes a recording out of the listing; its objects stay. Says whether there was one.
    pub fn remove(&mut self, id: &str) -> bool {
        let place = self.place(id);
        if let Some(place) = place {
            self.rows.remove(place);
        }
        place.is_some()
    }

    /// Takes a row out of the listing.
    pub(crate) fn remove_row(&mut self, row: &Row) {
        let id = self.recording(row).id.clone();
        self.rows
            .retain(|other| other.start_ms != row.start_ms || self_id(&self.spec, other) != id);
    }

    /// Adds or replaces an object that need not belong to a recording.
    pub fn put_object(&mut self, media: Media) {
        self.stamp = stamp();
        let place = (media.bucket.clone(), media.key.clone());
        self.lost.remove(&place);
        self.objects.insert(place, media);
    }

    /// Makes an object vanish, as a bucket's lifecycle rule would.
    pub fn remove_object(&mut self, bucket: &str, key: &str) {
        self.stamp = stamp();
        self.lost.insert((bucket.to_owned(), key.to_owned()));
    }

    /// Lists the media files that were held back until now.
    pub fn publish_late(&mut self) {
        self.late_is_out = true;
        self.prepared = None;
    }

    /// Gives the media file whose object has this key.
    pub fn media_at(&self, bucket: &str, key: &str) -> Option<Media> {
        let place = (bucket.to_owned(), key.to_owned());
        if self.lost.contains(&place) {
            return None;
        }
        if let Some(media) = self.objects.get(&place) {
            return Some(media.clone());
        }
        self.generated_at(bucket, key)
    }

    /// Gives the object with this key.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Object> {
        self.media_at(bucket, key)?.object()
    }

    /// Gives the exact bytes of an object, for tests to compare with.
    ///
    /// # Panics
    /// If there is no such object.
    pub fn expected_object(&self, bucket: &str, key: &str) -> Vec<u8> {
        let object = self.object(bucket, key).unwrap_or_else(|| panic!("no object {bucket}/{key}"));
        object.read(0..object.len())
    }

    /// Gives the exact bytes of the file that a backup makes of an object, as [`Media::file`] says.
    pub fn expected_file(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let file = self.media_at(bucket, key)?.file()?;
        Some(file.read(0..file.len()))
    }

    /// Gives the file that a backup makes of an object that was replaced, within the envelope of the first one.
    ///
    /// Nothing where [`expected_file`](Self::expected_file) gives nothing.
    pub fn replaced_file(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let media = self.media_at(bucket, key)?;
        let bytes = |object: Object| object.read(0..object.len());
        let (mut file, before) = (bytes(media.file()?), bytes(media.object()?));
        let after = bytes(media.replaced().object()?);
        let is_place = |place: &[u8]| place == before;
        let at =
            if before.is_empty() { 0 } else { file.windows(before.len()).position(is_place)? };
        file.splice(at..at + before.len(), after);
        Some(file)
    }

    /// Gives what the file that a backup makes of an object must open to.
    ///
    /// # Panics
    /// If there is no such object, or it does not open.
    pub fn plaintext(&self, bucket: &str, key: &str) -> Vec<u8> {
        let media =
            self.media_at(bucket, key).unwrap_or_else(|| panic!("no object {bucket}/{key}"));
        media.plaintext().unwrap_or_else(|| panic!("{bucket}/{key} does not open"))
    }

    /// Gives the name and region of a bucket.
    pub fn bucket(&self, name: &str) -> Option<&Bucket> {
        self.spec.buckets.iter().find(|bucket| bucket.name == name)
    }

    /// Gives all media files that have an object, in no particular order.
    pub fn all_objects(&self) -> impl Iterator<Item = Media> + '_ {
        let kept = |media: &Media| {
            let place = (media.bucket.clone(), media.key.clone());
            media.form != Form::Absent && !self.lost.contains(&place)
        };
        let generated = (0..self.starts.len() as u32).flat_map(|number| {
            let recording = self.generate(number);
            let metadata = self.metadata_object(number, &recording);
            recording.media.into_iter().chain(metadata)
        });
        let generated = generated
            .filter(|media| !self.objects.contains_key(&(media.bucket.clone(), media.key.clone())));
        generated.chain(self.objects.values().cloned()).filter(kept)
    }

    fn place(&self, id: &str) -> Option<usize> {
        self.rows.iter().position(|row| self_id(&self.spec, row) == id)
    }

    fn generate(&self, number: u32) -> Recording {
        let spec = &self.spec;
        let seed = mix(spec.seed, u64::from(number));
        let mut dice = Dice::new(seed);
        let id = calls::recording_id(spec.seed, number);
        let start_ms = self.starts[number as usize];
        let duration_ms = calls::duration_ms(&mut dice);
        Recording {
            media: media::media_of(spec, &id, start_ms, duration_ms, &mut dice),
            id,
            start_ms,
            stop_ms: start_ms + duration_ms,
            region: "usw1".to_owned(),
            seed,
            metadata_bytes: spec.metadata_bytes,
            json: None,
        }
    }

    /// Reads the recording's number out of the key, so that no map of all keys is needed.
    fn generated_at(&self, bucket: &str, key: &str) -> Option<Media> {
        key.match_indices("LAES").find_map(|(at, _)| {
            let id = key.get(at.checked_sub(22)?..at + 10)?;
            let number = calls::number_of(id)?;
            self.starts.get(number as usize)?;
            let recording = self.generate(number);
            if key.ends_with(METADATA) {
                let metadata = self.metadata_object(number, &recording);
                return metadata.filter(|media| media.bucket == bucket && media.key == key);
            }
            recording.media.into_iter().find(|media| media.bucket == bucket && media.key == key)
        })
    }

    /// Gives the object that holds the metadata of a recording.
    fn metadata_object(&self, number: u32, recording: &Recording) -> Option<Media> {
        if !self.spec.metadata_objects {
            return None;
        }
        let bucket = &recording.media.first()?.bucket;
        let prepared = self.prepared_objects.as_ref();
        let text = match prepared.and_then(|prepared| prepared.down_from(number, 1)) {
            Some(text) => Arc::from(text.as_ref()),
            None => Arc::from(self.metadata_text(number).into_bytes()),
        };
        Some(Media {
            key: media::tree_key(
                recording.start_ms,
                &recording.id,
                &format!("{}{METADATA}", recording.id),
            ),
            form: Form::Literal(text),
            stop_ms: recording.stop_ms,
            ..Media::voice("", bucket, 0)
        })
    }

    fn metadata_text(&self, number: u32) -> String {
        metadata::laid_out(&metadata::render(&self.generate(number), true), ": ") + "\n"
    }
}

/// The end of the key of a recording's metadata.
const METADATA: &str = "_metadata.json";

/// Gives a number that was not given before.
fn stamp() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn self_id(spec: &WorldSpec, row: &Row) -> String {
    match &row.what {
        What::Generated(number) => calls::recording_id(spec.seed, *number),
        What::ByHand(recording) => recording.id.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(seed: u64) -> World {
        World::new(WorldSpec { seed, screen_share: 0.5, ..WorldSpec::default() })
    }

    #[test]
    fn a_world_is_a_function_of_its_seed() {
        let texts = |seed| {
            let world = small(seed);
            world.rows.iter().map(|row| world.json(row)).collect::<Vec<_>>()
        };
        assert_eq!(texts(1), texts(1));
        assert_ne!(texts(1), texts(2));
    }

    #[test]
    fn a_world_is_the_same_in_every_process() {
        let world = small(1);
        let all: String = world.rows.iter().map(|row| world.json(row)).collect();
        let objects = world.recordings().flat_map(|recording| recording.media.clone());
        let digests: String =
            objects.map(|media| crate::s3::md5_hex(&media.object().unwrap())).collect();
        let hashes = [all, digests].map(|text| xxhash_rust::xxh3::xxh3_64(text.as_bytes()));
        assert_eq!(hashes, [8_162_044_164_525_665_664, 17_127_299_625_384_582_006]);
    }

    #[test]
    fn every_listed_object_is_found_by_its_key_and_keys_are_unique() {
        let world = small(3);
        let mut keys = HashSet::new();
        for recording in world.recordings() {
            assert_eq!(recording.id.len(), 32);
            for media in &recording.media {
                let found = world.media_at(&media.bucket, &media.key).expect("the object is there");
                assert_eq!(found.seed, media.seed);
                assert!(keys.insert(media.key.clone()), "{}", media.key);
            }
        }
        assert_eq!(world.all_objects().count(), keys.len());
        assert!(world.media_at("recordings-usw1", "tenant-2027/nothing").is_none());
    }

    #[test]
    fn records_are_json_of_about_the_size_asked_for_whatever_their_layout() {
        for metadata_bytes in [1_500, 30_000] {
            let world = World::new(WorldSpec {
                metadata_bytes,
                recordings: 20,
                forms: vec![Form::Detached],
                ..WorldSpec::default()
            });
            for row in &world.rows {
                let json = world.json(row);
                let value: serde_json::Value = serde_json::from_str(&json).unwrap();
                assert!(
                    json.len() >= metadata_bytes && json.len() < metadata_bytes + 9_000,
                    "{}",
                    json.len()
                );
                assert_eq!(value["mediaFiles"][0]["mediaDescriptor"]["storage"], "awsS3");
                assert!(value["mediaFiles"][0]["size"].is_string());
                let pretty = metadata::pretty(&json);
                assert_eq!(serde_json::from_str::<serde_json::Value>(&pretty).unwrap(), value);
            }
        }
    }

    #[test]
    fn recordings_and_objects_come_and_go_by_hand() {
        let mut world = small(4);
        let before = world.len();
        let at = world.spec().from_ms + 5;
        world.add(Recording::new("../../x", at).with(Media::voice("a", "recordings-usw1", 40)));
        assert_eq!(world.len(), before + 1);
        assert_eq!(world.rows_between(at, at + 1).len(), 1);
        assert!(!world.expected_object("recordings-usw1", "by-hand/a").is_empty());
        world.put(Recording::new("../../x", at + 1).with_json("{}"));
        assert_eq!(world.find("../../x").unwrap().json.as_deref(), Some("{}"));
        assert!(world.remove("../../x") && !world.remove("../../x"));
        world.remove_object("recordings-usw1", "by-hand/a");
        assert!(world.object("recordings-usw1", "by-hand/a").is_none());
        assert_eq!(world.add_burst(at, 7).len(), 7);
        assert_eq!(world.rows_between(at, at + 1).len(), 7);
    }

    #[test]
    fn late_media_are_listed_once_they_are_published() {
        let mut world = World::new(WorldSpec {
            late_share: 1.0,
            transfer_share: 0.0,
            screen_share: 0.0,
            ..WorldSpec::default()
        });
        let row = world.rows[0].clone();
        let recording = world.recording(&row);
        assert!(world.json(&row).contains(r#""mediaFiles":[]"#));
        assert!(world.listed_media(&recording).is_empty());
        world.publish_late();
        assert_eq!(world.listed_media(&recording).len(), 1);
        assert!(world.json(&row).contains(".mp3.bin"));
    }
}
