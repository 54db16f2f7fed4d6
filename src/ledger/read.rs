//! What the ledger says.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, params};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::entry::{Accepted, Entry, FailureEntry, MediaEntry, MetadataEntry, SourceHash};
use super::{Ledger, LedgerError};
use crate::recording::Awaits;

const RECORDING: &str =
    "key, id, started_at, folder, record_hash, metadata_bytes, metadata_sha256, awaits";
const FAILURE: &str = "id, started_at, media_id, cause, attempts, first_failed_at, \
                       last_failed_at, accepted_at, accepted_why";

/// The place of a recording in the ledger, by which it is read page by page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Key(pub i64);

/// What the ledger holds in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Recordings.
    pub recordings: u64,
    /// Media files.
    pub media: u64,
    /// What the media files weigh, in bytes.
    pub bytes: u64,
}

/// Which recordings have failures, by a hash of each; some memory, however long their ids are.
#[derive(Debug, Default)]
pub struct Failing(HashSet<u64>);

impl Failing {
    /// Tells whether something of a recording has failed.
    pub fn has(&self, id: &str, started_at: DateTime<Utc>) -> bool {
        !self.0.is_empty() && self.0.contains(&failing(id, started_at.timestamp_millis()))
    }
}

fn failing(id: &str, started_at: i64) -> u64 {
    xxh3_64_with_seed(id.as_bytes(), started_at as u64)
}

impl Ledger {
    /// Gives which recordings have failures, accepted ones too.
    pub fn failing(&self) -> Result<Failing, LedgerError> {
        let query = "SELECT id, started_at FROM failures";
        let hash = |row: &Row<'_>| Ok(failing(row.get_ref(0)?.as_str()?, row.get(1)?));
        let hashes: Vec<u64> = self.all(query, [], hash)?;
        Ok(Failing(hashes.into_iter().collect()))
    }

    /// Gives a recording as it is held, if the ledger knows it.
    pub fn entry(&self, id: &str, started_at: DateTime<Utc>) -> Result<Option<Entry>, LedgerError> {
        let connection = self.read();
        entry(&connection, id, started_at).map_err(self.error("read"))
    }

    /// Gives several recordings as they are held, each that the ledger knows, in the order asked.
    pub fn entries_for<'k>(
        &self,
        keys: impl Iterator<Item = (&'k str, DateTime<Utc>)>,
    ) -> Result<Vec<Option<Entry>>, LedgerError> {
        let connection = self.read();
        let read = || {
            // Looking for each would lock and unlock the file for each.
            let transaction = connection.unchecked_transaction()?;
            let entries = keys.map(|(id, started_at)| entry(&transaction, id, started_at));
            entries.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.error("read"))
    }

    /// Gives the recordings of an id, at whatever time.
    pub fn entries_of(&self, id: &str) -> Result<Vec<Entry>, LedgerError> {
        self.entries(&format!("SELECT {RECORDING} FROM recordings WHERE id = ?1"), params![id])
    }

    /// Gives the recordings that are said to be in a folder, below the target.
    pub fn entries_in(&self, folder: &str) -> Result<Vec<Entry>, LedgerError> {
        let query = format!("SELECT {RECORDING} FROM recordings WHERE folder = ?1");
        self.entries(&query, params![folder])
    }

    /// Gives recordings in the order of their keys, so many behind a key.
    pub fn page(&self, behind: Key, count: usize) -> Result<Vec<(Key, Entry)>, LedgerError> {
        let query =
            format!("SELECT {RECORDING} FROM recordings WHERE key > ?1 ORDER BY key LIMIT ?2");
        self.keyed(&query, params![behind.0, count as i64])
    }

    /// Gives recordings that began in `[from, to)`, in the order of their start and id, so many
    /// behind the one given.
    pub fn between(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        behind: Option<(DateTime<Utc>, &str)>,
        count: usize,
    ) -> Result<Vec<Entry>, LedgerError> {
        let query = format!(
            "SELECT {RECORDING} FROM recordings WHERE started_at >= ?1 AND started_at < ?2 \
             AND (started_at, id) > (?3, ?4) ORDER BY started_at, id LIMIT ?5"
        );
        let (at, id) = behind.map_or((i64::MIN, ""), |(at, id)| (at.timestamp_millis(), id));
        let (from, to) = (from.timestamp_millis(), to.timestamp_millis());
        self.entries(&query, params![from, to, at, id, count as i64])
    }

    /// Gives recordings that began at a time or later and still await something, oldest first.
    pub fn awaiting(
        &self,
        since: DateTime<Utc>,
    ) -> Result<Vec<(String, DateTime<Utc>)>, LedgerError> {
        let query = "SELECT id, started_at FROM recordings \
                     WHERE awaits IS NOT NULL AND started_at >= ?1 ORDER BY started_at";
        self.all(query, [since.timestamp_millis()], |row| Ok((row.get(0)?, time(row, 1)?)))
    }

    /// Gives failures in the order of their recordings' start, so many from `[from, to)` behind the
    /// one given (start, id, media id).
    pub fn failures(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        behind: Option<(DateTime<Utc>, &str, &str)>,
        count: usize,
    ) -> Result<Vec<FailureEntry>, LedgerError> {
        let query = format!(
            "SELECT {FAILURE} FROM failures WHERE started_at >= ?1 AND started_at < ?2 \
             AND (started_at, id, media_id) > (?3, ?4, ?5) \
             ORDER BY started_at, id, media_id LIMIT ?6"
        );
        let (at, id, media) =
            behind.map_or((i64::MIN, "", ""), |(at, id, media)| (at.timestamp_millis(), id, media));
        let (from, to) = (from.timestamp_millis(), to.timestamp_millis());
        self.all(&query, params![from, to, at, id, media, count as i64], failure)
    }

    /// Gives the failures of one recording.
    pub fn failures_of(
        &self,
        id: &str,
        started_at: DateTime<Utc>,
    ) -> Result<Vec<FailureEntry>, LedgerError> {
        let query = format!("SELECT {FAILURE} FROM failures WHERE started_at = ?1 AND id = ?2");
        self.all(&query, params![started_at.timestamp_millis(), id], failure)
    }

    /// Gives the failures of the recordings of an id, at whatever time.
    pub fn failures_named(&self, id: &str) -> Result<Vec<FailureEntry>, LedgerError> {
        let query =
            format!("SELECT {FAILURE} FROM failures WHERE id = ?1 ORDER BY started_at, media_id");
        self.all(&query, params![id], failure)
    }

    /// Gives the recordings of which something failed that nobody has given up, oldest first.
    pub fn missing(&self) -> Result<Vec<(String, DateTime<Utc>)>, LedgerError> {
        let query = "SELECT DISTINCT id, started_at FROM failures \
                     WHERE accepted_at IS NULL ORDER BY started_at, id";
        self.all(query, [], |row| Ok((row.get(0)?, time(row, 1)?)))
    }

    /// Tells when the last run ended that has left nothing missing.
    pub fn last_success(&self) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let query = "SELECT max(ended_at) FROM runs WHERE exit_code = 0";
        let at: Option<i64> =
            self.read().query_row(query, [], |row| row.get(0)).map_err(self.error("read"))?;
        Ok(at.and_then(DateTime::from_timestamp_millis))
    }

    /// Tells whether no run is written down.
    pub(super) fn has_no_run(&self) -> Result<bool, LedgerError> {
        let query = "SELECT NOT EXISTS (SELECT 1 FROM runs)";
        self.read().query_row(query, [], |row| row.get(0)).map_err(self.error("read"))
    }

    /// Tells how much it holds.
    pub fn totals(&self) -> Result<Totals, LedgerError> {
        let query = "SELECT (SELECT count(*) FROM recordings), count(*), coalesce(sum(bytes), 0) \
                     FROM media";
        let totals = |row: &Row<'_>| {
            Ok(Totals {
                recordings: unsigned(row, 0)?,
                media: unsigned(row, 1)?,
                bytes: unsigned(row, 2)?,
            })
        };
        self.read().query_row(query, [], totals).map_err(self.error("read"))
    }

    fn entries(
        &self,
        query: &str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<Entry>, LedgerError> {
        Ok(self.keyed(query, params)?.into_iter().map(|(_, entry)| entry).collect())
    }

    fn keyed(
        &self,
        query: &str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<(Key, Entry)>, LedgerError> {
        let connection = self.read();
        let read = || {
            let mut statement = connection.prepare_cached(query)?;
            let rows = statement.query_map(params, recording)?;
            rows.map(|row| with_media(&connection, row?)).collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.error("read"))
    }

    fn all<T>(
        &self,
        query: &str,
        params: impl rusqlite::Params,
        row: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, LedgerError> {
        let connection = self.read();
        let read = || {
            let mut statement = connection.prepare_cached(query)?;
            statement.query_map(params, row)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.error("read"))
    }
}

/// Reads one recording with its media.
pub(super) fn entry(
    connection: &Connection,
    id: &str,
    started_at: DateTime<Utc>,
) -> rusqlite::Result<Option<Entry>> {
    let query = format!("SELECT {RECORDING} FROM recordings WHERE started_at = ?1 AND id = ?2");
    let found = connection
        .prepare_cached(&query)?
        .query_row(params![started_at.timestamp_millis(), id], recording)
        .optional()?;
    Ok(found.map(|found| with_media(connection, found)).transpose()?.map(|(_, entry)| entry))
}

fn with_media(
    connection: &Connection,
    (key, mut entry): (Key, Entry),
) -> rusqlite::Result<(Key, Entry)> {
    let query = "SELECT name, media_id, source, size, bytes, sha256, etag, checked, form, \
                 key_serial, saved_at FROM media WHERE recording = ?1 ORDER BY name";
    let mut statement = connection.prepare_cached(query)?;
    entry.media = statement.query_map([key.0], media)?.collect::<Result<_, _>>()?;
    Ok((key, entry))
}

fn recording(row: &Row<'_>) -> rusqlite::Result<(Key, Entry)> {
    let bytes: Option<i64> = row.get(5)?;
    let sha256 = row.get(6)?;
    let awaits: Option<String> = row.get(7)?;
    let entry = Entry {
        id: row.get(1)?,
        started_at: time(row, 2)?,
        folder: row.get(3)?,
        record_hash: row.get(4)?,
        metadata: bytes.map(|bytes| MetadataEntry { bytes: bytes as u64, sha256 }),
        awaits: awaits.as_deref().and_then(Awaits::from_name),
        media: Vec::new(),
    };
    Ok((Key(row.get(0)?), entry))
}

fn media(row: &Row<'_>) -> rusqlite::Result<MediaEntry> {
    let size: Option<i64> = row.get(3)?;
    Ok(MediaEntry {
        name: row.get(0)?,
        media_id: row.get(1)?,
        source: SourceHash(row.get(2)?),
        size: size.map(|size| size as u64),
        bytes: unsigned(row, 4)?,
        sha256: row.get(5)?,
        etag: row.get(6)?,
        checked: row.get(7)?,
        form: row.get(8)?,
        key_serial: row.get(9)?,
        saved_at: time(row, 10)?,
    })
}

fn failure(row: &Row<'_>) -> rusqlite::Result<FailureEntry> {
    let accepted_at: Option<i64> = row.get(7)?;
    let why: Option<String> = row.get(8)?;
    Ok(FailureEntry {
        id: row.get(0)?,
        started_at: time(row, 1)?,
        media_id: row.get(2)?,
        cause: row.get(3)?,
        attempts: unsigned(row, 4)?,
        first_failed_at: time(row, 5)?,
        last_failed_at: time(row, 6)?,
        accepted: accepted_at
            .and_then(DateTime::from_timestamp_millis)
            .map(|at| Accepted { at, why: why.unwrap_or_default() }),
    })
}

fn unsigned(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at).map(|number| number as u64)
}

fn time(row: &Row<'_>, at: usize) -> rusqlite::Result<DateTime<Utc>> {
    let millis = row.get(at)?;
    DateTime::from_timestamp_millis(millis)
        .ok_or(rusqlite::Error::IntegralValueOutOfRange(at, millis))
}
