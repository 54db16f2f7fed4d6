//! What a volume of recordings needs: disk, inodes, bandwidth, requests, instances.
//!
//! Is given a planned volume, or what the metadata API listed; gives the figures. The formulas and
//! their sources stand in docs/planning.md.
//!
//! **Invariant:** pure: no network, no disk, no clock. Whole numbers only, rounded up, and no input
//! overflows: what does not fit stays at the largest number.

mod listed;
mod needs;
mod planned;
mod quantity;
mod tally;

pub use listed::{Listed, Medium, Wanted};
pub use needs::{Fit, Footprint, Free, Needs, Terms, Volume};
pub use planned::{Planned, Usual};
pub use quantity::{Milli, hours, milli};
pub use tally::{Group, Rate, Rates, Sizes, Tally};

/// The documented bit rate of a voice recording, in kbit/s (1,000 bits).
pub const VOICE_KBPS: u64 = 32;

/// The documented bit rate of a screen recording with its voice, in kbit/s.
pub const SCREEN_KBPS: u64 = 256;

/// What the metadata of a recording are taken for where nothing is known, in kB; the documents have
/// an upper bound only.
pub const METADATA_KB: u64 = 30;

/// The documented upper bound of the metadata of a voice recording.
pub const METADATA_BOUND: u64 = 1_000_000;

/// The documented upper bound of what a screen recording adds to the metadata.
pub const SCREEN_METADATA_BOUND: u64 = 8_000;

/// What a recording takes in the ledger: 652 MiB for a million, measured in docs/performance.md.
pub const LEDGER_BYTES: u64 = 684;
