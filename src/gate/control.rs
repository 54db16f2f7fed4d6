//! The rules by which the number of requests in flight follows what helps.
//!
//! Given how requests ended, and when, gives a limit. At first it doubles with each round, as long
//! as answers do not come later than before. Then one trial follows the other: a few more in
//! flight, or fewer where answers are late, are kept if the work done a second says so. What fails
//! is tried more and more rarely. Where the service asks for less, the limit is halved, comes back
//! soon to below where that was, and then slowly.
//!
//! **Invariant:** pure, no clock; the limit stays within its bounds. A round in which the limit was
//! not used up teaches nothing.

use std::time::Duration;

/// Between what the limit moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Never fewer.
    pub least: usize,
    /// What to begin with.
    pub first: usize,
    /// Never more.
    pub most: usize,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// So much of an answer.
    Came {
        /// Bytes of its body.
        bytes: u64,
    },
    /// The service, or the way to it, asks for fewer requests.
    PushedBack,
    /// Something that has nothing to do with how many there are.
    Failed,
}

/// The end of a request.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// When it ended; all times count from one moment.
    pub at: Duration,
    /// When it began.
    pub began_at: Duration,
    /// When the first of the answer came.
    pub answered_at: Duration,
    /// How many were under way, with it.
    pub under_way: usize,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a request costs besides its bytes, in bytes that could have come instead.
const REQUEST_WORTH: f64 = 65_536.0;
/// How long a round is at least, once the limit has been found roughly.
const ROUND: Duration = Duration::from_millis(100);
/// By how much later than at best answers speak of too many requests.
const LATE: f64 = 1.5;
/// The same at first, where half of them have to connect before they ask.
const LATE_AT_FIRST: f64 = 2.0;
/// What does not count as late, in seconds: less is the noise of this machine.
const LATENESS: f64 = 0.002;
/// Which part of the work that more requests could do at best they have to do.
const WORTHWHILE: f64 = 0.4;
/// Which part of the work has to be left where fewer are in flight.
const UNHARMED: f64 = 0.97;
/// By how much the work of a round has to differ for conditions to have changed.
const CHANGED: f64 = 0.3;
/// How many rounds to stay at each limit just below where the service asked for less.
const ROUNDS_BELOW_CEILING: u32 = 8;
/// The most rounds between two trials.
const LONGEST_REST: u32 = 32;

/// The limit, and what it is based on.
#[derive(Debug)]
pub struct Control {
    bounds: Bounds,
    limit: usize,
    phase: Phase,
    round: Round,
    /// When the limit changed last.
    changed_at: Duration,
    /// The shortest mean wait for an answer, in seconds; slowly forgotten.
    best_wait: f64,
    /// How many rounds to wait after the next trial that fails.
    rest: u32,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Doubling, with the limit before and the work that a second did then.
    Starting { before: Option<(usize, f64)> },
    /// Between two trials, with the work that a second does.
    Resting { rounds: u32, work: Option<f64> },
    /// Seeing whether another limit is better than this one was.
    Trying { before: usize, work: f64 },
    /// Coming back from where the service asked for less.
    Returning { ceiling: usize, rounds: u32 },
}

#[derive(Debug, Clone, Copy, Default)]
struct Round {
    began_at: Option<Duration>,
    ends: usize,
    /// How many of them came when the limit was used up.
    full: usize,
    work: f64,
    waited: f64,
}

impl Control {
    /// Begins with the first limit of these bounds.
    pub fn new(bounds: Bounds) -> Control {
        Control {
            bounds,
            limit: bounds.first.clamp(bounds.least, bounds.most),
            phase: Phase::Starting { before: None },
            round: Round::default(),
            changed_at: Duration::ZERO,
            best_wait: f64::INFINITY,
            rest: 1,
        }
    }

    /// How many may be under way.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Takes note of the end of a request.
    pub fn ended(&mut self, ended: &Ended) {
        let bytes = match ended.outcome {
            Outcome::Failed => return,
            Outcome::PushedBack => return self.pushed_back(ended),
            Outcome::Came { bytes } => bytes,
        };
        let is_starting = matches!(self.phase, Phase::Starting { .. });
        // What began under another limit says nothing of this one.
        if ended.began_at < self.changed_at && !is_starting {
            return;
        }
        let round = &mut self.round;
        let began_at = *round.began_at.get_or_insert(match is_starting {
            true => ended.began_at,
            false => ended.at,
        });
        round.ends += 1;
        round.full += usize::from(ended.under_way >= self.limit);
        round.work += bytes as f64 + REQUEST_WORTH;
        round.waited += ended.answered_at.saturating_sub(ended.began_at).as_secs_f64();
        let lasted = ended.at.saturating_sub(began_at);
        let is_over = round.ends >= self.limit && (is_starting || lasted >= ROUND);
        if is_over {
            let round = std::mem::take(&mut self.round);
            self.round_ended(round, lasted.as_secs_f64(), ended.at);
        }
    }

    fn round_ended(&mut self, round: Round, seconds: f64, now: Duration) {
        if round.full * 2 < round.ends {
            // Nobody knows what the limit would do. A trial ends as it began.
            if let Phase::Trying { before, work } = self.phase {
                self.phase = Phase::Resting { rounds: self.rest, work: Some(work) };
                self.set(before, now);
            }
            return;
        }
        let (work, wait) = (round.work / seconds.max(1e-6), round.waited / round.ends as f64);
        let is_later = |factor: f64, best: f64| wait > best * factor + LATENESS;
        match self.phase {
            Phase::Starting { before } => {
                let pays =
                    |(limit, before): (usize, f64)| is_worthwhile(self.limit, limit, work / before);
                if is_later(LATE_AT_FIRST, self.best_wait) || !before.is_none_or(pays) {
                    self.phase = Phase::Resting { rounds: 1, work: None };
                    self.set(before.map_or(self.limit, |(before, _)| before), now);
                } else if self.limit == self.bounds.most {
                    self.phase = Phase::Resting { rounds: 1, work: None };
                } else {
                    self.phase = Phase::Starting { before: Some((self.limit, work)) };
                    self.set(self.limit * 2, now);
                }
            }
            Phase::Resting { rounds, work: before } => {
                let mean = before.map_or(work, |before| (before + work) / 2.0);
                let has_changed =
                    before.is_some_and(|before| (work - before).abs() > before * CHANGED);
                if has_changed {
                    self.rest = 1;
                }
                if rounds > 0 && !has_changed {
                    self.phase = Phase::Resting { rounds: rounds - 1, work: Some(mean) };
                } else {
                    let other = match is_later(LATE, self.best_wait) {
                        true => self.limit * 4 / 5,
                        false => self.limit + self.limit.div_ceil(4),
                    };
                    self.phase = Phase::Trying { before: self.limit, work: mean };
                    self.set(other, now);
                }
            }
            Phase::Trying { before, work: work_before } => {
                if self.limit != before && is_worthwhile(self.limit, before, work / work_before) {
                    self.rest = 1;
                    self.phase = Phase::Resting { rounds: 0, work: Some(work) };
                } else {
                    self.phase = Phase::Resting { rounds: self.rest, work: Some(work_before) };
                    self.rest = (self.rest * 2).min(LONGEST_REST);
                    self.set(before, now);
                }
            }
            Phase::Returning { ceiling, rounds } => {
                let soon = ceiling * 19 / 20;
                if self.limit < soon {
                    self.set((self.limit + self.limit.div_ceil(2)).min(soon), now);
                } else if rounds > 0 {
                    self.phase = Phase::Returning { ceiling, rounds: rounds - 1 };
                } else if self.limit < ceiling {
                    self.phase = Phase::Returning { ceiling, rounds: ROUNDS_BELOW_CEILING };
                    self.set(self.limit + ceiling.div_ceil(50), now);
                } else {
                    self.phase = Phase::Resting { rounds: self.rest, work: Some(work) };
                }
            }
        }
        self.best_wait = (self.best_wait * 1.02).min(wait);
    }

    fn pushed_back(&mut self, ended: &Ended) {
        // What began before the limit was halved does not halve it again.
        if ended.began_at < self.changed_at && matches!(self.phase, Phase::Returning { .. }) {
            return;
        }
        let ceiling = ended.under_way.min(self.limit);
        self.phase = Phase::Returning { ceiling, rounds: ROUNDS_BELOW_CEILING };
        self.set(ceiling / 2, ended.at);
    }

    fn set(&mut self, limit: usize, now: Duration) {
        self.limit = limit.clamp(self.bounds.least, self.bounds.most);
        self.round = Round::default();
        self.changed_at = now;
    }
}

/// Whether a limit that makes this difference to the work is better than the one before.
fn is_worthwhile(limit: usize, before: usize, difference: f64) -> bool {
    let more = limit as f64 / before as f64 - 1.0;
    difference >= if more > 0.0 { 1.0 + WORTHWHILE * more } else { UNHARMED }
}

#[cfg(test)]
mod tests;
