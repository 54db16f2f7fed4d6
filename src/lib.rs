//! Saves the call and screen recordings of a contact centre before the cloud deletes them.
//!
//! The modules in the order in which to read them; each imports only from those on a lower floor.

// Floor 4: the page to read first.
pub mod pipeline;
// Floor 3: one recording.
pub mod download;
// Floor 2: the edges, each with one outside thing.
pub mod checkpoint;
pub mod envelope;
pub mod source;
// Floor 1: tools.
pub mod http;
pub mod monitor;
pub mod tree;
// Floor 0: words; no async, no files, no clock.
pub mod checksum;
pub mod instance;
pub mod json;
pub mod layout;
pub mod metadata;
pub mod properties;
pub mod recording;
pub mod secret;
pub mod watermark;
pub mod window;
// Floors 5 to 7: what the operator meets.
pub mod cli;
pub mod commands;
pub mod config;
pub mod error;
pub mod progress;
