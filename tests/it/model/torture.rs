//! The same on all processors until a time is over, as `scripts/torture` asks for by two variables.
//!
//! Given `RCBS_TORTURE_SECONDS`, and `RCBS_TORTURE_SEED` or the clock, draws case after case and plays it; prints what was
//! done, and each case that breaks an invariant, with what replays it. **Invariant**: a broken case does not end it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::case::Case;
use super::drive::{Figures, play};
use crate::harness::now_ms;

/// How long to go on, if anybody asks for that.
pub(super) fn seconds() -> Option<u64> {
    std::env::var("RCBS_TORTURE_SECONDS").ok()?.parse().ok()
}

/// Plays cases for so many seconds; fails if any of them broke an invariant.
pub(super) fn go_on<S: Strategy<Value = Case>>(seconds: u64, strategy: impl Fn() -> S + Sync) {
    let seed = std::env::var("RCBS_TORTURE_SEED").ok().and_then(|seed| seed.parse().ok());
    let first: u64 = seed.unwrap_or(now_ms() as u64);
    println!("torture: {seconds} seconds, RCBS_TORTURE_SEED={first}");
    let until = Instant::now() + Duration::from_secs(seconds);
    let next = AtomicU64::new(first);
    let total = Mutex::new((Figures::default(), 0_u64));
    let work = || {
        let drawn = strategy();
        while Instant::now() < until {
            let case = draw(next.fetch_add(1, Ordering::Relaxed), &drawn);
            let mut figures = Figures::default();
            let played = catch_unwind(AssertUnwindSafe(|| play(&case, &mut figures)));
            let broken = match played {
                Ok(played) => played.err(),
                // The message has been printed.
                Err(_) => Some("the test itself panicked".to_owned()),
            };
            let mut total = total.lock().unwrap();
            total.0.add(figures);
            if let Some(broken) = broken {
                total.1 += 1;
                println!("BROKEN: {broken}\nRCBS_MODEL_CASE='{case}'");
            }
        }
    };
    // Half of the time a case waits for its program to start and to end.
    let threads = 2 * std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let (figures, broken) = *total.lock().unwrap();
    let Figures { cases, runs, kills, faults } = figures;
    println!(
        "torture: {cases} cases, {runs} runs of the program, {kills} kills, {faults} faults fired, \
         {broken} cases broke an invariant"
    );
    assert_eq!(broken, 0, "each is printed above, with what replays it");
}

/// Draws the case that belongs to a seed.
fn draw(seed: u64, drawn: &impl Strategy<Value = Case>) -> Case {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    drawn.new_tree(&mut runner).expect("nothing is filtered out").current()
}
