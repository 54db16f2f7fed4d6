//! What is written down.

use std::sync::{MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, params};

use super::entry::{Change, Entry, FailureEntry, MediaEntry, RunEntry};
use super::{Ledger, LedgerError};
use crate::monitor::Summary;
use crate::recording::Awaits;
use crate::tree::TreeError;

/// A run that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunKey(i64);

impl Ledger {
    /// Writes down what became of a group of recordings, all or nothing, durably.
    pub fn record(&self, changes: &[Change], now: DateTime<Utc>) -> Result<(), LedgerError> {
        self.write("write to", |connection| {
            changes.iter().try_for_each(|change| record(connection, change, now))
        })
    }

    /// Writes down that a run begins.
    pub fn begin_run(&self, run: &RunEntry, now: DateTime<Utc>) -> Result<RunKey, LedgerError> {
        self.write("write to", |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO runs (version, instance, instances, window_from, window_to, \
                     started_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![
                    env!("CARGO_PKG_VERSION"),
                    run.instance,
                    run.instances,
                    run.from.timestamp_millis(),
                    run.to.timestamp_millis(),
                    now.timestamp_millis(),
                ])?;
            Ok(RunKey(connection.last_insert_rowid()))
        })
    }

    /// Writes down how a run has ended.
    pub fn end_run(
        &self,
        run: RunKey,
        summary: &Summary,
        exit_code: u8,
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        self.write("write to", |connection| {
            connection
                .prepare_cached(
                    "UPDATE runs SET ended_at = ?2, shards = ?3, failed_shards = ?4, \
                     downloaded = ?5, skipped = ?6, moved = ?7, failed = ?8, saved_bytes = ?9, \
                     exit_code = ?10 WHERE key = ?1",
                )?
                .execute(params![
                    run.0,
                    now.timestamp_millis(),
                    summary.shards as i64,
                    summary.failed_shards as i64,
                    summary.files.downloaded as i64,
                    summary.files.skipped as i64,
                    summary.files.moved as i64,
                    summary.files.failed as i64,
                    summary.saved_bytes as i64,
                    exit_code,
                ])
                .map(drop)
        })
    }

    /// Writes down that the loss of a recording, or of one of its media files, is accepted. Where
    /// nothing of it has failed yet, that is a failure from now on, of this cause.
    pub fn accept(
        &self,
        id: &str,
        started_at: DateTime<Utc>,
        media_id: &str,
        why: &str,
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        self.write("write to", |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO failures (id, started_at, media_id, cause, attempts, \
                     first_failed_at, last_failed_at, accepted_at, accepted_why) \
                     VALUES (?1, ?2, ?3, 'accepted before it was tried', 0, ?4, ?4, ?4, ?5) \
                     ON CONFLICT DO UPDATE SET accepted_at = ?4, accepted_why = ?5",
                )?
                .execute(params![
                    id,
                    started_at.timestamp_millis(),
                    media_id,
                    now.timestamp_millis(),
                    why
                ])
                .map(drop)
        })
    }

    /// Takes over failures that another ledger has, as they stand there.
    pub(super) fn take_failures(&self, failures: &[FailureEntry]) -> Result<(), LedgerError> {
        self.write("write to", |connection| {
            failures.iter().try_for_each(|failure| {
                connection
                    .prepare_cached(
                        "INSERT INTO failures (id, started_at, media_id, cause, attempts, \
                         first_failed_at, last_failed_at, accepted_at, accepted_why) \
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET \
                         attempts = max(attempts, ?5), \
                         first_failed_at = min(first_failed_at, ?6), \
                         last_failed_at = max(last_failed_at, ?7), \
                         accepted_why = coalesce(accepted_why, ?9), \
                         accepted_at = coalesce(accepted_at, ?8)",
                    )?
                    .execute(params![
                        failure.id,
                        failure.started_at.timestamp_millis(),
                        failure.media_id,
                        failure.cause,
                        failure.attempts as i64,
                        failure.first_failed_at.timestamp_millis(),
                        failure.last_failed_at.timestamp_millis(),
                        failure.accepted.as_ref().map(|accepted| accepted.at.timestamp_millis()),
                        failure.accepted.as_ref().map(|accepted| &accepted.why),
                    ])
                    .map(drop)
            })
        })
    }

    fn write<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let connection = self.writer()?;
        let written = || {
            let transaction = connection.unchecked_transaction()?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        written().map_err(self.error(doing))
    }

    fn writer(&self) -> Result<MutexGuard<'_, Connection>, LedgerError> {
        let writer = self.writer.as_ref();
        let writer = writer.ok_or_else(|| TreeError::Peeked(self.path.clone()))?;
        Ok(writer.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn record(connection: &Connection, change: &Change, now: DateTime<Utc>) -> rusqlite::Result<()> {
    if let Some(entry) = &change.held {
        let key = hold(connection, entry)?;
        entry.media.iter().try_for_each(|media| hold_media(connection, key, media))?;
    }
    let started_at = change.started_at.timestamp_millis();
    for media_id in &change.cured {
        connection
            .prepare_cached(
                "DELETE FROM failures WHERE started_at = ?1 AND id = ?2 AND media_id = ?3",
            )?
            .execute(params![started_at, change.id, media_id])?;
    }
    for (media_id, cause) in &change.failures {
        connection
            .prepare_cached(
                "INSERT INTO failures (id, started_at, media_id, cause, attempts, \
                 first_failed_at, last_failed_at) VALUES (?1, ?2, ?3, ?4, 1, ?5, ?5) \
                 ON CONFLICT DO UPDATE SET cause = ?4, attempts = attempts + 1, \
                 last_failed_at = ?5",
            )?
            .execute(params![change.id, started_at, media_id, cause, now.timestamp_millis()])?;
    }
    Ok(())
}

fn hold(connection: &Connection, entry: &Entry) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(
            "INSERT INTO recordings (id, started_at, folder, record_hash, metadata_bytes, \
             metadata_sha256, awaits) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
             ON CONFLICT (started_at, id) DO UPDATE SET folder = ?3, record_hash = ?4, \
             metadata_bytes = ?5, metadata_sha256 = ?6, awaits = ?7 RETURNING key",
        )?
        .query_row(
            params![
                entry.id,
                entry.started_at.timestamp_millis(),
                entry.folder,
                entry.record_hash,
                entry.metadata.map(|metadata| metadata.bytes as i64),
                entry.metadata.and_then(|metadata| metadata.sha256),
                entry.awaits.map(Awaits::name),
            ],
            |row| row.get(0),
        )
}

fn hold_media(connection: &Connection, key: i64, media: &MediaEntry) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO media (recording, name, media_id, source, size, bytes, \
             sha256, etag, checked, form, key_serial, saved_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            key,
            media.name,
            media.media_id,
            media.source.0,
            media.size.map(|size| size as i64),
            media.bytes as i64,
            media.sha256,
            media.etag,
            media.checked,
            media.form,
            media.key_serial,
            media.saved_at.timestamp_millis(),
        ])
        .map(drop)
}
