//! The arithmetic of a limit: which time which bytes are paid for with.
//!
//! Given the time since the limit began, gives the time until which whoever has the bytes waits.
//!
//! **Invariant:** pure. Time is paid with once: bytes of a stretch never exceed its rate times its
//! length and [`Pacer::CREDIT`].

use std::time::Duration;

use super::timetable::Rate;

/// A time in which one rate counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    /// The rate; none is no limit.
    pub(super) rate: Option<Rate>,
    /// When something else may count.
    pub(super) ends_at: Duration,
}

impl Stretch {
    /// One that is over, whenever it is.
    pub(super) const OVER: Stretch = Stretch { rate: None, ends_at: Duration::ZERO };

    pub(super) fn is_over(&self, now: Duration) -> bool {
        self.ends_at <= now
    }
}

/// Until when the time is paid with.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    paid_at: Option<Duration>,
}

impl Pacer {
    /// How much of the time that nobody used may be used later: what timers and the network are late
    /// is made up for, and no more.
    pub(super) const CREDIT: Duration = Duration::from_millis(100);

    /// Pays for bytes, as far as the stretch goes; gives how many are left for the next one.
    ///
    /// They may be handed on at [`Pacer::paid_at`].
    pub(super) fn charge(&mut self, now: Duration, bytes: f64, stretch: &Stretch) -> f64 {
        let Some(rate) = stretch.rate else {
            self.paid_at = Some(now);
            return 0.0;
        };
        let rate = rate.bytes_a_second() as f64;
        // The very first byte has no time before it.
        let from = self.paid_at.map_or(now, |at| at.max(now.saturating_sub(Self::CREDIT)));
        let seconds = bytes / rate;
        let time = stretch.ends_at.saturating_sub(from);
        if seconds <= time.as_secs_f64() {
            // Rounded up: many small chunks would add up to more than the rate.
            self.paid_at = Some(from + Duration::from_nanos((seconds * 1e9).ceil() as u64));
            return 0.0;
        }
        self.paid_at = Some(from.max(stretch.ends_at));
        bytes - time.as_secs_f64() * rate
    }

    /// The time at which all that was charged is paid for.
    pub(super) fn paid_at(&self) -> Duration {
        self.paid_at.unwrap_or_default()
    }
}
