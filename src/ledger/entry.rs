//! What stands in the ledger, as values.

use chrono::{DateTime, Utc};
use openssl::sha::Sha256;

use crate::recording::{Awaits, Location};

/// A SHA-256.
pub type Sum = [u8; 32];

/// One recording, as it is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The recording's id.
    pub id: String,
    /// When it started, to the millisecond.
    pub started_at: DateTime<Utc>,
    /// Its folder's path below the target, with `/`.
    pub folder: String,
    /// A hash of its record as it was listed last, and of the rules by which it was kept; none
    /// where it is not known.
    pub record_hash: Option<[u8; 16]>,
    /// Its metadata file; none where there is none yet.
    pub metadata: Option<MetadataEntry>,
    /// What is still to come at the source, if something is.
    pub awaits: Option<Awaits>,
    /// Its media files, by name.
    pub media: Vec<MediaEntry>,
}

/// A metadata file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataEntry {
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 of its bytes; none where nobody has read it.
    pub sha256: Option<Sum>,
}

/// A media file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaEntry {
    /// Its name in the recording's folder.
    pub name: String,
    /// Its `mediaId`.
    pub media_id: String,
    /// Where it came from.
    pub source: SourceHash,
    /// The `size` that the record gave when it was saved, in bytes.
    pub size: Option<u64>,
    /// The file's length.
    pub bytes: u64,
    /// The SHA-256 of the file's bytes; none where nobody has read it since the ledger was made anew.
    pub sha256: Option<Sum>,
    /// The ETag that the source gave.
    pub etag: Option<String>,
    /// What it was checked against when it came, by names such as `length crc64nvme`.
    pub checked: String,
    /// How it came: `attached`, `joined`, `sealed` or `empty`; none where that is not known.
    pub form: Option<String>,
    /// The serial number of the certificate that it is encrypted for, in hexadecimal digits.
    pub key_serial: Option<String>,
    /// When it was saved.
    pub saved_at: DateTime<Utc>,
}

/// A place at the source that can be told from others, but not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceHash(pub [u8; 16]);

impl SourceHash {
    /// Gives the first half of the SHA-256 of a place: keys and addresses may hold what is
    /// nobody's business, and the metadata file has them anyway.
    pub fn of(location: &Location) -> SourceHash {
        SourceHash(match location {
            Location::S3 { bucket, key } => hash(&[b"s3", bucket.as_bytes(), key.as_bytes()]),
            Location::Http { uri } => hash(&[b"http", uri.as_bytes()]),
            Location::Unusable { reason } => hash(&[b"none", reason.as_bytes()]),
        })
    }
}

/// Hashes a record as it was listed, and the rules by which it is kept.
pub fn record_hash(json: &str, rules: &str) -> [u8; 16] {
    hash(&[json.as_bytes(), rules.as_bytes()])
}

/// Gives the first half of the SHA-256 of parts, none of which has a zero byte but the last.
fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update(b"\0");
    }
    let mut half = [0; 16];
    half.copy_from_slice(&hash.finish()[..16]);
    half
}

/// One thing that could not be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureEntry {
    /// The recording's id.
    pub id: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// The `mediaId`; empty where the recording itself has failed.
    pub media_id: String,
    /// Why, as it was said last.
    pub cause: String,
    /// How many runs have tried.
    pub attempts: u64,
    /// When it failed first.
    pub first_failed_at: DateTime<Utc>,
    /// When it failed last.
    pub last_failed_at: DateTime<Utc>,
    /// When and why an operator has accepted the loss.
    pub accepted: Option<Accepted>,
}

/// That a loss cannot be cured, as an operator has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// When.
    pub at: DateTime<Utc>,
    /// Why.
    pub why: String,
}

/// What a run has done to one recording; written with others in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The recording as it is held now, with those of its media that are new or other than before;
    /// none where nothing of it is held.
    pub held: Option<Entry>,
    /// Its id.
    pub id: String,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// The ids of its media that are held now: what failed of them is cured.
    pub cured: Vec<String>,
    /// What failed this time: media ids, empty for the recording itself, and causes.
    pub failures: Vec<(String, String)>,
}

impl From<Entry> for Change {
    /// What is held is entered; nothing is cured by it, and nothing failed.
    fn from(entry: Entry) -> Change {
        Change {
            id: entry.id.clone(),
            started_at: entry.started_at,
            held: Some(entry),
            cured: Vec::new(),
            failures: Vec::new(),
        }
    }
}

/// What a run covered, for the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunEntry {
    /// The instance.
    pub instance: u32,
    /// Of how many.
    pub instances: u32,
    /// Where its window begins.
    pub from: DateTime<Utc>,
    /// Where it ends.
    pub to: DateTime<Utc>,
}
