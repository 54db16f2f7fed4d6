//! The most bytes a second that media may take, over all connections together, at each time of the
//! week.
//!
//! Given a [`Timetable`] and the time on the wall, a [`Limiter`] has each chunk wait for its turn,
//! first come, first served.
//!
//! **Invariant:** nothing is read to be thrown away or kept for later: who waits here reads no more
//! from its connection, so that the sender waits too. All that is decided is decided in `pacer`
//! and `timetable`, which know no clock.

mod pacer;
#[cfg(test)]
mod tests;
mod timetable;

use std::time::Duration;

use chrono::NaiveDateTime;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use self::pacer::{Pacer, Stretch};

pub use self::timetable::{BadBandwidth, Rate, Timetable};

/// How long a rate is believed in before the time on the wall is looked at again: it may be set, and
/// it jumps twice a year.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Tells the time on the wall, as the operator reads it.
pub type WallClock = Box<dyn Fn() -> NaiveDateTime + Send + Sync>;

/// What all connections wait for.
pub struct Limiter {
    timetable: Timetable,
    wall_clock: WallClock,
    begun_at: Instant,
    /// Whoever has it waits until its chunk is paid for; it goes on in the order of asking.
    turn: Mutex<Turn>,
}

struct Turn {
    pacer: Pacer,
    stretch: Stretch,
}

impl Limiter {
    /// Begins to count.
    pub fn new(timetable: Timetable, wall_clock: WallClock) -> Limiter {
        let turn = Mutex::new(Turn { pacer: Pacer::default(), stretch: Stretch::OVER });
        Limiter { timetable, wall_clock, begun_at: Instant::now(), turn }
    }

    /// Waits until a chunk that has come is within the limit, behind those that came before.
    ///
    /// Whoever gives up before its turn does not count.
    pub async fn wait_for(&self, bytes: usize) {
        let mut turn = self.turn.lock().await;
        let mut left = bytes as f64;
        while left > 0.0 {
            let now = self.begun_at.elapsed();
            if turn.stretch.is_over(now) {
                turn.stretch = self.stretch(now);
            }
            let Turn { pacer, stretch } = &mut *turn;
            left = pacer.charge(now, left, stretch);
            let paid_at = pacer.paid_at();
            if paid_at > now {
                sleep_until(self.begun_at + paid_at).await;
            }
        }
    }

    /// Looks up what counts now, and how long that is certain.
    fn stretch(&self, now: Duration) -> Stretch {
        let Some(rate) = self.timetable.only_rate() else {
            let wall = (self.wall_clock)();
            let (rate, lasts) = self.timetable.at(wall);
            return Stretch { rate, ends_at: now + lasts.min(LOOK_AGAIN) };
        };
        Stretch { rate: Some(rate), ends_at: Duration::MAX }
    }
}
