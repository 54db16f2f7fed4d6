//! How far the recordings are handled, and what the next run therefore has to cover.
//!
//! Is given what earlier runs left ([`Stored`]), the period asked for and the present settings;
//! gives the window of this run, and what to remember as its shards are completed.
//!
//! **Invariant**: pure: no I/O, no clock. The watermark never moves backwards and never over
//! ground that was not handled; where the settings now ask for more than was handled, the next
//! window goes back.

mod advance;
mod earned;
mod fleet;
mod note;
mod plan;
mod retention;

pub use advance::Advance;
pub use earned::{Earned, Scope, Segment};
pub use fleet::{Other, ground};
pub use note::Note;
pub use plan::{Mode, Older, Period, Plan, PlanError, plan, reads_watermark};
pub use retention::Retention;

use chrono::{DateTime, Utc};

/// What earlier runs left for the next one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored {
    /// The time before which all is handled.
    pub watermark: Option<DateTime<Utc>>,
    /// Under which settings the ground before the watermark was handled.
    pub earned: Earned,
    /// When a run last listed the days before the watermark again.
    pub rescanned_at: Option<DateTime<Utc>>,
}
