//! The arithmetic of a limit: which time which bytes are paid for with.
//!
//! Given the time since the limit began, gives the time until which whoever has the bytes waits.
//!
//! **Invariant:** pure. Time is paid with once: since the first byte there never were more bytes than
//! the rate allows in that time; in any part of it no more than 5 % above, and [`Pacer::CREDIT`].

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
    /// Seconds that nobody used and that were too long ago for the credit.
    lost: f64,
}

impl Pacer {
    /// How much of the time that nobody used may be used at once later: as much as timers and the
    /// network are late.
    pub(super) const CREDIT: Duration = Duration::from_millis(100);
    /// The part of the rate by which it is exceeded to make up for what was lost, by a disk or a
    /// machine that was busy.
    const MAKING_UP: f64 = 0.04;
    /// How many seconds are made up for; a rest is no loss.
    const MOST_LOST: f64 = 10.0;

    /// Pays for bytes, as far as the stretch goes; gives how many are left for the next one.
    ///
    /// They may be handed on at [`Pacer::paid_at`].
    pub(super) fn charge(&mut self, now: Duration, bytes: f64, stretch: &Stretch) -> f64 {
        let Some(rate) = stretch.rate else {
            *self = Pacer { paid_at: Some(now), lost: 0.0 };
            return 0.0;
        };
        let rate = rate.bytes_a_second() as f64;
        // The very first byte has no time before it.
        let from = self.paid_at.map_or(now, |at| at.max(now.saturating_sub(Self::CREDIT)));
        let unused = from.saturating_sub(self.paid_at.unwrap_or(from));
        self.lost = (self.lost + unused.as_secs_f64()).min(Self::MOST_LOST);
        let made_up = self.lost.min(bytes / rate * Self::MAKING_UP);
        let seconds = bytes / rate - made_up;
        let time = stretch.ends_at.saturating_sub(from);
        if seconds <= time.as_secs_f64() {
            self.lost -= made_up;
            // Rounded up: many small chunks would add up to more than the rate.
            self.paid_at = Some(from + Duration::from_nanos((seconds * 1e9).ceil() as u64));
            return 0.0;
        }
        let part = time.as_secs_f64() / seconds;
        self.lost -= made_up * part;
        self.paid_at = Some(from.max(stretch.ends_at));
        bytes * (1.0 - part)
    }

    /// The time at which all that was charged is paid for.
    pub(super) fn paid_at(&self) -> Duration {
        self.paid_at.unwrap_or_default()
    }
}
