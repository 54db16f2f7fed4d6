//! Any small world, any fault plan, any kill point: the five invariants hold on the disk after every run.
//!
//! A [`Case`] is drawn, or read from its text; the built program is run against it, killed where the case says so, and
//! looked at after each run; then the faults are cured and all must be held. **Invariant**: what is checked is what stands
//! on the disk and what went over the wire, never what the program knows.
//!
//! A case that fails prints its text. `RCBS_MODEL_CASE='…'` makes `model::a_case_that_failed_before_holds` run that one.
//! `PROPTEST_CASES` scales the number of cases (256 is what is usual), `scripts/torture` goes on for ten minutes.
#![cfg(unix)]
#![expect(clippy::print_stdout, reason = "whoever looks for faults sees how much was done")]

mod case;
mod check;
mod draw;
mod drive;
mod torture;

use std::sync::Mutex;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use self::case::Case;
use self::draw::{cases, killed, page_plans, plans, undisturbed};
use self::drive::{Figures, play};

/// Plays so many cases, the same ones each time.
fn hold(cases: u32, seed: u8, drawn: impl Strategy<Value = Case>) {
    let defaults = Config::default();
    let config = Config {
        cases: (cases * defaults.cases).div_ceil(256),
        // A step takes a second, and what depends on timing does not get smaller anyway.
        max_shrink_iters: 30,
        failure_persistence: None,
        ..defaults
    };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]));
    let figures = Mutex::new(Figures::default());
    let result = runner.run(&drawn, |case| {
        let mut of_case = Figures::default();
        let played = play(&case, &mut of_case);
        figures.lock().unwrap().add(of_case);
        played.map_err(TestCaseError::fail)
    });
    println!("{:?}", figures.lock().unwrap());
    match result {
        Ok(()) => {}
        Err(TestError::Fail(broken, case)) => panic!("{broken}\nRCBS_MODEL_CASE='{case}'"),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

#[test]
fn whatever_goes_wrong_what_is_held_is_right_and_what_is_missing_is_named() {
    hold(50, 1, cases(plans(1..=4), undisturbed(), 1));
}

#[test]
fn whatever_pages_do_to_rows_every_row_that_was_shown_is_held_or_named() {
    hold(50, 2, cases(page_plans(), undisturbed(), 1));
}

#[test]
fn whenever_it_is_killed_what_is_held_is_whole_and_the_next_run_completes() {
    hold(50, 3, cases(plans(0..=0), killed(1..=2), 3));
}

#[test]
fn whatever_goes_wrong_and_however_often_it_is_killed_nothing_is_lost_without_a_trace() {
    let drawn = || {
        let plans = prop_oneof![3 => plans(0..=3).boxed(), 1 => page_plans().boxed()];
        cases(plans, killed(1..=5), 3)
    };
    match torture::seconds() {
        None => hold(50, 4, drawn()),
        Some(seconds) => torture::go_on(seconds, drawn),
    }
}

#[test]
fn a_case_that_failed_before_holds() {
    // This one stands for all; another one comes from whoever looks for a fault.
    let text = std::env::var("RCBS_MODEL_CASE").unwrap_or_else(|_| {
        "seed=7 recordings=25 forms=abd cap=10 order=newest lower=true upper=false links=false \
         shard=24 sums=md5 retries=0 instances=2 instance=1 runs=request:20,staged:2,whole \
         plan: s3 every=5 corrupt=90; listing nth=3 gws-code=4 status=500"
            .to_owned()
    });
    let case: Case = text.parse().unwrap();
    assert_eq!(case.to_string(), text);
    if let Err(broken) = play(&case, &mut Figures::default()) {
        panic!("{broken}");
    }
}
