-- Version 1. Times are epoch milliseconds, lengths bytes; docs/ledger.md explains each column.

CREATE TABLE recordings (
    key             INTEGER PRIMARY KEY,
    id              TEXT NOT NULL,
    started_at      INTEGER NOT NULL,
    folder          TEXT NOT NULL,
    record_hash     BLOB,
    metadata_bytes  INTEGER,
    metadata_sha256 BLOB,
    awaits          TEXT,
    UNIQUE (started_at, id)
);

CREATE INDEX folders ON recordings (folder);

CREATE INDEX awaiting ON recordings (started_at) WHERE awaits IS NOT NULL;

CREATE TABLE media (
    recording  INTEGER NOT NULL REFERENCES recordings (key),
    name       TEXT NOT NULL,
    media_id   TEXT NOT NULL,
    source     BLOB NOT NULL,
    size       INTEGER,
    bytes      INTEGER NOT NULL,
    sha256     BLOB,
    etag       TEXT,
    checked    TEXT NOT NULL,
    form       TEXT,
    key_serial TEXT,
    saved_at   INTEGER NOT NULL,
    PRIMARY KEY (recording, name)
) WITHOUT ROWID;

CREATE TABLE failures (
    id              TEXT NOT NULL,
    started_at      INTEGER NOT NULL,
    media_id        TEXT NOT NULL,
    cause           TEXT NOT NULL,
    attempts        INTEGER NOT NULL,
    first_failed_at INTEGER NOT NULL,
    last_failed_at  INTEGER NOT NULL,
    accepted_at     INTEGER,
    accepted_why    TEXT,
    PRIMARY KEY (started_at, id, media_id)
) WITHOUT ROWID;

CREATE TABLE runs (
    key             INTEGER PRIMARY KEY,
    version         TEXT NOT NULL,
    instance        INTEGER NOT NULL,
    instances       INTEGER NOT NULL,
    window_from     INTEGER NOT NULL,
    window_to       INTEGER NOT NULL,
    started_at      INTEGER NOT NULL,
    ended_at        INTEGER,
    shards          INTEGER,
    failed_shards   INTEGER,
    downloaded      INTEGER,
    skipped         INTEGER,
    moved           INTEGER,
    failed          INTEGER,
    saved_bytes     INTEGER,
    exit_code       INTEGER
);
