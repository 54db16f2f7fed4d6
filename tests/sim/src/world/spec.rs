//! What a world is made of: the numbers that, with a seed, decide every byte of it.
//!
//! **Invariant**: plain data; nothing is computed here.

use crate::envelope::Cipher;

/// A bucket and the region that it lives in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The name of the bucket.
    pub name: String,
    /// The only region that it answers for.
    pub region: String,
}

impl Bucket {
    /// Names a bucket and its region.
    pub fn new(name: &str, region: &str) -> Self {
        Self { name: name.to_owned(), region: region.to_owned() }
    }
}

/// How the keys of objects are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// As the cloud does: below the prefix, by day.
    #[default]
    Tenant,
    /// As the files of a tree lie that somebody may want: `yyyy/MM/dd/HH/<id>/<file name>`.
    Tree,
}

/// The numbers that decide a world.
#[derive(Clone, Debug)]
pub struct WorldSpec {
    /// Decides everything that the other fields leave open.
    pub seed: u64,
    /// The first instant of the world, in epoch milliseconds.
    pub from_ms: i64,
    /// The end of the world, exclusive, in epoch milliseconds.
    pub to_ms: i64,
    /// How many recordings there are, spread over the hours as calls are.
    pub recordings: usize,
    /// The share of recordings that have a screen recording too, 0 to 1.
    pub screen_share: f64,
    /// The share of recordings that were transferred and so have a second voice file, 0 to 1.
    pub transfer_share: f64,
    /// The share of recordings whose last media file is listed only after [`World::publish_late`](super::World::publish_late).
    pub late_share: f64,
    /// The share of recordings that start in the same millisecond as the one before, 0 to 1.
    pub burst_share: f64,
    /// The size that the JSON of one recording is filled up to.
    pub metadata_bytes: usize,
    /// Voice bytes per second of call: 4,000 is the real thing, 32 kbit/s.
    pub voice_bytes_per_second: u64,
    /// Screen bytes per second of call: 32,000 is the real thing.
    pub screen_bytes_per_second: u64,
    /// How many bytes every voice file has, however long the call lasts; `None`: it follows from the call.
    pub voice_bytes: Option<u64>,
    /// How many bytes every screen recording has; `None`: it follows from the call.
    pub screen_bytes: Option<u64>,
    /// Where media are kept; a recording's bucket follows from its seed.
    pub buckets: Vec<Bucket>,
    /// The first part of every key, without a slash at its end.
    pub key_prefix: String,
    /// How keys are made.
    pub keys: Keys,
    /// True: the metadata of each recording is an object too, where [`Keys::Tree`] has its media.
    pub metadata_objects: bool,
    /// What the objects look like; of several, each media file takes one by its seed.
    pub forms: Vec<super::Form>,
    /// What encrypts the content; chosen like the form.
    pub ciphers: Vec<Cipher>,
    /// How many of [`recipients`](crate::envelope::recipients) there are to seal for; chosen like the form.
    pub recipients: usize,
}

/// 2026-03-02, a Monday, at midnight UTC.
const MONDAY_MS: i64 = 1_772_409_600_000;
/// One day.
const DAY_MS: i64 = 86_400_000;

impl Default for WorldSpec {
    /// Describes a small world for tests: 100 recordings over three days with media of a few kilobytes.
    fn default() -> Self {
        Self {
            seed: 1,
            from_ms: MONDAY_MS,
            to_ms: MONDAY_MS + 3 * DAY_MS,
            recordings: 100,
            screen_share: 0.2,
            transfer_share: 0.1,
            late_share: 0.0,
            burst_share: 0.02,
            metadata_bytes: 2_000,
            voice_bytes_per_second: 20,
            screen_bytes_per_second: 80,
            voice_bytes: None,
            screen_bytes: None,
            buckets: vec![Bucket::new("recordings-usw1", "us-west-2")],
            key_prefix: "tenant-2027".to_owned(),
            keys: Keys::Tenant,
            metadata_objects: false,
            forms: vec![super::Form::Attached],
            ciphers: vec![Cipher::Aes128],
            recipients: 1,
        }
    }
}

impl WorldSpec {
    /// Describes a world with sizes as they are in real life.
    pub fn realistic(seed: u64, from_ms: i64, to_ms: i64, recordings: usize) -> Self {
        Self {
            seed,
            from_ms,
            to_ms,
            recordings,
            metadata_bytes: 30_000,
            voice_bytes_per_second: 4_000,
            screen_bytes_per_second: 32_000,
            ..Self::default()
        }
    }
}
