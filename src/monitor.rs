//! What happens during a run, told to whoever wants to know.
//!
//! The backup emits [`Event`]s to a [`Monitor`]; [`Summary`] is what they add up to.
//!
//! **Invariant**: nothing in an event is a phone number, a name, attached data or a secret.

mod checked;
mod opened;
mod summary;
mod teller;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::window::{Shard, serialize_time};

pub use checked::Checked;
pub use opened::Opened;
pub use summary::{Failure, FileCounts, MAX_NAMED_FAILURES, ShardFailure, Summary};
pub use teller::Teller;

/// Receives the events of a run, from any thread.
pub trait Monitor: Send + Sync {
    /// Takes note of one event.
    fn on(&self, event: &Event);
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The window is known and has been cut.
    RunStarted {
        /// Where the window begins.
        #[serde(serialize_with = "serialize_time")]
        from: DateTime<Utc>,
        /// Where it ends, exclusively.
        #[serde(serialize_with = "serialize_time")]
        to: DateTime<Utc>,
        /// How many shards it was cut into.
        shards: u64,
    },
    /// A shard is about to be listed.
    ShardStarted {
        /// Which one.
        shard: Shard,
    },
    /// A shard was listed to its end.
    ShardListed {
        /// Which one.
        shard: Shard,
        /// How many recordings the service listed in it.
        recordings: u64,
        /// How many of them are this instance's share.
        owned: u64,
    },
    /// A recording of this instance's share was listed.
    RecordingFound {
        /// Its id.
        recording: String,
        /// How many of its media files match the pattern.
        media: u64,
        /// What they are expected to weigh, as far as the record says.
        bytes: u64,
    },
    /// A media file of a type that is not wanted was left out.
    LeftOut {
        /// The recording's id.
        recording: String,
        /// The media file's id.
        media: String,
        /// Its type.
        media_type: String,
    },
    /// A record is not a recording that could be saved.
    RecordRejected {
        /// Its id, or what else there is to name it by.
        record: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A media file is missing, and a dry run does not fetch it.
    WouldDownload {
        /// The recording's id.
        recording: String,
        /// The media file's id.
        media: String,
        /// Where it would be kept, below the target.
        path: String,
        /// What it is said to weigh.
        bytes: u64,
    },
    /// A media file is being fetched.
    MediaStarted {
        /// The recording's id.
        recording: String,
        /// The media file's id.
        media: String,
        /// How much is expected, as the record said when it was found.
        bytes: u64,
    },
    /// Content of media came in.
    BytesReceived {
        /// How much since the last time.
        bytes: u64,
    },
    /// A media file is held, durably.
    MediaSaved {
        /// The recording's id.
        recording: String,
        /// The media file's id.
        media: String,
        /// The size of the file.
        bytes: u64,
    },
    /// A media file was held already.
    MediaSkipped {
        /// The recording's id.
        recording: String,
        /// The media file's id.
        media: String,
        /// How much was expected, as the record said when it was found.
        bytes: u64,
    },
    /// A media file was saved once and moved away since, and is not fetched again.
    MediaMoved {
        /// The recording's id.
        recording: String,
        /// The media file's id.
        media: String,
        /// How much was expected, as the record said when it was found.
        bytes: u64,
    },
    /// A media file could not be saved, and an operator has accepted that.
    LossAccepted {
        /// The recording's id.
        recording: String,
        /// The media file's id.
        media: String,
        /// Why it could not be saved this time.
        reason: String,
    },
    /// What failed in an earlier run is still not saved, and could not even be asked for.
    StillMissing {
        /// The recording's id.
        recording: String,
        /// The media file's id; `None` where it is about the recording.
        media: Option<String>,
        /// Why not.
        reason: String,
    },
    /// A media file could not be saved.
    MediaFailed {
        /// The recording's id.
        recording: String,
        /// The media file's id.
        media: String,
        /// Why.
        reason: String,
    },
    /// The metadata file of a recording was written.
    MetadataSaved {
        /// The recording's id.
        recording: String,
    },
    /// New metadata lacked something, so it was kept beside the better one.
    MetadataKeptBeside {
        /// The recording's id.
        recording: String,
        /// Where, below the target.
        path: String,
    },
    /// Everything of a shard is held.
    ShardFinished {
        /// Which one.
        shard: Shard,
        /// Its media files in numbers.
        files: FileCounts,
    },
    /// A shard could not be listed to its end, or something in it failed.
    ShardFailed {
        /// Which one.
        shard: Shard,
        /// Its media files in numbers.
        files: FileCounts,
        /// Why.
        reason: String,
    },
    /// What there is to open is known.
    OpeningStarted {
        /// How many files.
        files: u64,
        /// What they weigh, sealed.
        bytes: u64,
    },
    /// Sealed content was read.
    SealedRead {
        /// How much since the last time.
        bytes: u64,
    },
    /// A file was opened, and its plaintext is in the output, durably.
    FileOpened {
        /// The path below the output.
        path: String,
        /// The size of the plaintext.
        bytes: u64,
    },
    /// A file of that name was in the output already.
    FileWasOpen {
        /// The path below the output.
        path: String,
        /// What it weighs, sealed.
        bytes: u64,
    },
    /// A file could not be opened, or a folder not be looked into.
    OpeningFailed {
        /// Where it lies.
        path: String,
        /// Why.
        reason: String,
    },
    /// The metadata beside opened files is in the output, durably.
    MetadataCopied {
        /// The path below the output.
        path: String,
    },
    /// Another tenth is done.
    OpeningProgress {
        /// How much is done, of the bytes there are to open.
        percent: u64,
        /// How many files were opened.
        files: u64,
        /// What came out of them.
        bytes: u64,
        /// How many were there already.
        skipped: u64,
        /// How many could not be opened.
        failed: u64,
    },
    /// Opening is over, completely or not.
    OpeningFinished {
        /// What it came to.
        summary: Box<Opened>,
    },
    /// How much of what is held is to be read again is known.
    ReadingStarted {
        /// What for, such as `Checking`.
        what: &'static str,
        /// How many media files.
        files: u64,
        /// What they weigh.
        bytes: u64,
    },
    /// A recording was looked at.
    RecordingLookedAt {
        /// Its id, or its folder where that is not known.
        recording: String,
        /// How many media files it has.
        files: u64,
    },
    /// A file is kept although it is no envelope.
    KeptRaw {
        /// Its path below the target.
        path: String,
    },
    /// A media file was read to its end.
    FileRead {
        /// Its path below the target.
        path: String,
        /// Its length.
        bytes: u64,
    },
    /// What is held of a recording was entered in the ledger, durably.
    RecordingEntered {
        /// Its id.
        recording: String,
    },
    /// A file is not what it should be, or cannot be read.
    Damaged {
        /// Its path below the target.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that should be there is not.
    Missing {
        /// Its path below the target.
        path: String,
        /// The recording's id.
        recording: String,
    },
    /// A file is not there, and need not be.
    MovedAway {
        /// Its path below the target.
        path: String,
    },
    /// A file is there, and nothing says why, or nothing yet.
    Unexplained {
        /// Its path below the target.
        path: String,
        /// What is known of it.
        reason: String,
    },
    /// A file, or a recording, is there a second time.
    Doubled {
        /// Its path below the target.
        path: String,
        /// What it is the same as.
        reason: String,
    },
    /// What was damaged or missing is held again, durably.
    Repaired {
        /// Its path below the target.
        path: String,
    },
    /// Something cannot be checked at all.
    Blind {
        /// What, and why.
        reason: String,
    },
    /// Another tenth is read.
    ReadingProgress {
        /// How much, of the bytes there are to read.
        percent: u64,
        /// How many media files.
        files: u64,
        /// What they weigh.
        bytes: u64,
        /// How many files are damaged or missing.
        wrong: u64,
    },
    /// Reading is over, completely or not.
    ReadingFinished {
        /// What it came to.
        summary: Box<Checked>,
    },
    /// The cloud will soon delete what is not held yet, or has begun to.
    RetentionNears {
        /// From when on there may be recordings that are not held.
        #[serde(serialize_with = "serialize_time")]
        oldest: DateTime<Utc>,
        /// When the cloud deletes the first of them.
        #[serde(serialize_with = "serialize_time")]
        deadline: DateTime<Utc>,
        /// Whole hours until then; less than zero where it lies back.
        hours_left: i64,
        /// How long the cloud keeps a recording.
        retention_days: i64,
    },
    /// Something the operator should know and look into.
    Warning {
        /// What.
        text: String,
    },
    /// Something the operator may like to know.
    Note {
        /// What.
        text: String,
    },
    /// The run is over, completely or not.
    RunFinished {
        /// What it came to.
        summary: Box<Summary>,
    },
}
