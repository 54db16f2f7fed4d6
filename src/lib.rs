//! Saves the call and screen recordings of a contact centre before the cloud deletes them.
//!
//! Recordings are **listed** from a [`source`] shard by shard, **fetched** file by file
//! ([`download`]), and **published** into a [`tree`]; a [`watermark`] says how far this is true, and
//! a [`checkpoint`] remembers it. [`pipeline`] joins them.
//!
//! The modules are in the order in which to read them; each imports only from a lower floor.

// Floor 5: the page to read first; what is held against what there is and against the disk; the
// ledger, made again.
pub mod audit;
pub mod check;
pub mod pipeline;
pub mod rebuild;
// Floor 4: one recording; opening what is held; reading one file of it; what a volume needs; what
// Prometheus is told.
pub mod decrypt;
pub mod download;
pub mod estimate;
pub mod examine;
pub mod metrics;
// Floor 3: the edges, each with one outside thing.
pub mod checkpoint;
pub mod ledger;
pub mod manifest;
pub mod ping;
pub mod source;
// Floor 2: tools.
pub mod bandwidth;
pub mod gate;
pub mod http;
pub mod metadata;
pub mod monitor;
pub mod sidefile;
pub mod threads;
pub mod tree;
// Floor 1: words; no async, no files, no clock.
pub mod keyring;
pub mod recording;
pub mod watermark;
// Floor 0: letters, which words are made of.
pub mod checksum;
pub mod envelope;
pub mod instance;
pub mod json;
pub mod layout;
pub mod properties;
pub mod schedule;
pub mod secret;
pub mod window;
// Floors 6 to 10: what the operator meets.
pub mod cli;
pub mod commands;
pub mod config;
pub mod error;
pub mod progress;
