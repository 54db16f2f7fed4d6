//! How many requests of one service are under way at the same time: as many as help, and no more.
//!
//! Given requests that wish to begin, a [`Gate`] lets as many pass as its limit says. How they end,
//! and when, moves the limit by the rules of [`control`].
//!
//! **Invariant:** nobody waits while fewer are under way than the limit says, and whoever waits
//! longest passes first. What is under way is never broken off.

pub mod control;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;

use self::control::{Bounds, Control, Ended, Outcome};

/// How many things may at least be made ready for requests that adapt.
const READY_AT_LEAST: usize = 32;

/// The way to one service.
#[derive(Debug)]
pub struct Gate {
    service: &'static str,
    most: usize,
    /// From it the times count that the rules are told.
    opened_at: Instant,
    state: Mutex<State>,
    /// One permit for each request that may begin.
    free: Arc<Semaphore>,
}

#[derive(Debug)]
struct State {
    control: Control,
    /// What the permits out and in add up to, but for what is owed.
    limit: usize,
    under_way: usize,
    /// Permits that are to be kept when they come back.
    owed: usize,
}

impl Gate {
    /// Lets always so many pass.
    pub fn fixed(service: &'static str, limit: usize) -> Arc<Gate> {
        Gate::new(service, Bounds { least: limit, first: limit, most: limit })
    }

    /// Lets as many pass as help.
    pub fn adaptive(service: &'static str, bounds: Bounds) -> Arc<Gate> {
        Gate::new(service, bounds)
    }

    fn new(service: &'static str, bounds: Bounds) -> Arc<Gate> {
        let control = Control::new(bounds);
        let limit = control.limit();
        Arc::new(Gate {
            service,
            most: bounds.most,
            opened_at: Instant::now(),
            state: Mutex::new(State { control, limit, under_way: 0, owed: 0 }),
            free: Arc::new(Semaphore::new(limit)),
        })
    }

    /// How many may be under way now.
    pub fn limit(&self) -> usize {
        self.state().limit
    }

    /// How many things may be made ready at the same time, so that some always wait to pass.
    pub fn ready_at_once(&self) -> usize {
        let limit = self.limit();
        (limit + limit / 4 + 4).max(READY_AT_LEAST).min(self.most.max(limit))
    }

    /// Waits until one more may be under way.
    pub async fn pass(self: &Arc<Gate>) -> Pass {
        let permit = self.free.acquire().await;
        permit.expect("the gate is never closed").forget();
        self.state().under_way += 1;
        Pass {
            gate: Arc::clone(self),
            began_at: Instant::now(),
            answered_at: None,
            outcome: Outcome::Failed,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two calls, whatever panicked meanwhile.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self, pass: &Pass) {
        let now = Instant::now();
        let since = |at: Instant| at.saturating_duration_since(self.opened_at);
        let mut state = self.state();
        let ended = Ended {
            at: since(now),
            began_at: since(pass.began_at),
            answered_at: since(pass.answered_at.unwrap_or(now)),
            under_way: state.under_way,
            outcome: pass.outcome,
        };
        state.under_way -= 1;
        state.control.ended(&ended);
        self.give_back(&mut state);
        let limit = state.control.limit();
        if limit != state.limit {
            tracing::debug!(service = self.service, from = state.limit, to = limit, "in flight");
            self.set(&mut state, limit);
        }
    }

    fn give_back(&self, state: &mut State) {
        if state.owed > 0 {
            state.owed -= 1;
        } else {
            self.free.add_permits(1);
        }
    }

    fn set(&self, state: &mut State, limit: usize) {
        for _ in state.limit..limit {
            self.give_back(state);
        }
        let fewer = state.limit.saturating_sub(limit);
        state.owed += fewer - self.free.forget_permits(fewer);
        state.limit = limit;
    }
}

/// A request that is under way, until it is dropped.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    began_at: Instant,
    answered_at: Option<Instant>,
    outcome: Outcome,
}

impl Pass {
    /// Takes note that the service has begun to answer.
    pub fn answered(&mut self) {
        self.answered_at.get_or_insert_with(Instant::now);
    }

    /// Takes note that so many bytes of an answer have come.
    pub fn received(&mut self, more: u64) {
        let before = match self.outcome {
            Outcome::Came { bytes } => bytes,
            _ => 0,
        };
        self.outcome = Outcome::Came { bytes: before + more };
    }

    /// Takes note that the service, or the way to it, asks for fewer requests.
    pub fn pushed_back(&mut self) {
        self.outcome = Outcome::PushedBack;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.ended(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(gate: &Arc<Gate>) -> Vec<Pass> {
        let mut passes = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            while gate.free.available_permits() > 0 {
                passes.push(gate.pass().await);
            }
        });
        passes
    }

    #[test]
    fn as_many_pass_as_the_limit_says_also_after_it_has_changed() {
        let gate = Gate::adaptive("a test", Bounds { least: 1, first: 8, most: 100 });
        let under_way = passes(&gate);
        assert_eq!(under_way.len(), 8);
        // Fewer than are under way: the first ones to end are not followed by others.
        gate.state().control = Control::new(Bounds { least: 3, first: 3, most: 3 });
        gate.set(&mut gate.state(), 3);
        let mut under_way = under_way.into_iter();
        for left in [7, 6, 5, 4, 3] {
            drop(under_way.next());
            assert_eq!((passes(&gate).len(), gate.state().under_way), (0, left));
        }
        gate.set(&mut gate.state(), 5);
        assert_eq!(passes(&gate).len(), 2);
        // Fewer and more again, while all are under way.
        gate.set(&mut gate.state(), 1);
        gate.set(&mut gate.state(), 4);
        assert_eq!(passes(&gate).len(), 1);
    }

    #[test]
    fn a_fixed_gate_stays_as_it_is_whatever_comes() {
        let gate = Gate::fixed("a test", 2);
        for _ in 0..100 {
            passes(&gate).iter_mut().for_each(Pass::pushed_back);
            passes(&gate).iter_mut().for_each(|pass| pass.received(1 << 20));
            assert_eq!((gate.limit(), gate.ready_at_once()), (2, 2));
        }
    }
}
