//! The limit in made-up time: what is handed on, and when.

use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta};
use proptest::prelude::*;
use tokio::task::JoinSet;

use super::*;

mod texts;

fn table(text: &str) -> Timetable {
    Timetable::parse(text).expect(text).expect("a limit")
}

/// A Monday, at a time with seconds.
fn monday(time: &str) -> NaiveDateTime {
    let day = NaiveDate::from_ymd_opt(2026, 3, 2).unwrap();
    day.and_time(time.parse().unwrap())
}

/// A limiter that begins on Monday at this time; its clock goes on as the time of the test does.
fn limiter(text: &str, from: &str) -> Arc<Limiter> {
    let (from, begun_at) = (monday(from), Instant::now());
    let wall = move || from + TimeDelta::from_std(begun_at.elapsed()).unwrap();
    Arc::new(Limiter::new(table(text), Box::new(wall)))
}

/// What was handed on: when, by which connection, how many bytes.
type Handed = Vec<(Duration, usize, usize)>;

/// Has so many connections take chunks of a size until there are no more, each as soon as the
/// network has it: so long after the one before was handed on.
async fn transfer(
    limiter: &Arc<Limiter>,
    connections: usize,
    chunks: usize,
    bytes: usize,
    network: Duration,
) -> Handed {
    let begun_at = Instant::now();
    let mut tasks = JoinSet::new();
    for connection in 0..connections {
        let limiter = Arc::clone(limiter);
        let share = chunks / connections + usize::from(connection < chunks % connections);
        tasks.spawn(async move {
            let mut handed = Handed::new();
            for _ in 0..share {
                if !network.is_zero() {
                    tokio::time::sleep(network).await;
                }
                limiter.wait_for(bytes).await;
                handed.push((begun_at.elapsed(), connection, bytes));
            }
            handed
        });
    }
    let mut handed: Handed = tasks.join_all().await.concat();
    handed.sort();
    handed
}

fn sum(handed: &Handed) -> usize {
    handed.iter().map(|(_, _, bytes)| bytes).sum()
}

#[track_caller]
fn assert_within_5_percent(is: f64, should_be: f64, what: &str) {
    assert!((is / should_be - 1.0).abs() <= 0.05, "{what}: {is}, and not {should_be}");
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_kept_within_5_percent_by_all_sizes_of_chunks_and_numbers_of_connections() {
    for (text, rate) in [("100K", 1e5 * 1.024), ("2M", 2.0 * 1048576.0), ("20M", 20.0 * 1048576.0)]
        .into_iter()
        .chain([("0.93132257461G", 1e9)])
    {
        for bytes in [1_000, 8_192, 65_536, 1_000_000] {
            for connections in [1, 2, 32, 200] {
                let case = format!("{text}, {connections} connections, chunks of {bytes}");
                // A tenth of a second at least, and each connection three times.
                let least = (rate / 10.0 / bytes as f64).ceil() as usize;
                let chunks = least.max(3 * connections);
                let limiter = limiter(text, "12:00:00");
                let handed = transfer(&limiter, connections, chunks, bytes, Duration::ZERO).await;
                assert_eq!(sum(&handed), chunks * bytes, "{case}");
                let took = handed.last().unwrap().0.as_secs_f64();
                assert_within_5_percent(sum(&handed) as f64 / took, rate, &case);
                assert!(sum(&handed) as f64 / took <= rate * 1.000_001, "{case}: above the limit");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_limit_is_kept_within_5_percent_and_at_no_time_exceeded(
        rate in (1e5_f64.ln()..1e9_f64.ln()).prop_map(f64::exp),
        bytes in (1e3_f64.ln()..1e6_f64.ln()).prop_map(|size| size.exp() as usize),
        connections in 1_usize..200,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let rate = (rate / 1024.0).floor() * 1024.0;
        let least = (rate / 5.0 / bytes as f64).ceil() as usize;
        let chunks = least.clamp(3 * connections, 20_000.max(3 * connections));
        let handed = runtime.block_on(async {
            let limiter = limiter(&format!("{}K", rate / 1024.0), "12:00:00");
            transfer(&limiter, connections, chunks, bytes, Duration::ZERO).await
        });
        let took = handed.last().unwrap().0.as_secs_f64();
        // The timer's thousandth of a second is more than 5 % of what is over in less.
        let is = sum(&handed) as f64 / rate;
        prop_assert!(took >= is * 0.999_999 && took <= is * 1.05 + 0.002, "{took} s, not {is}");
        // No burst: never more than what the time so far and the credit allow, and one chunk.
        let mut first = 0;
        let mut within = 0;
        for (at, _, chunk) in &handed {
            within += chunk;
            while handed[first].0 + Duration::from_secs(1) < *at {
                within -= handed[first].2;
                first += 1;
            }
            prop_assert!(within as f64 <= rate * 1.102 + bytes as f64, "{within} in a second");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_connection_gets_its_turn() {
    for connections in [2, 100, 200] {
        let limiter = limiter("50K", "12:00:00");
        let handed =
            transfer(&limiter, connections, 10 * connections, 65_536, Duration::ZERO).await;
        for round in handed.chunks(connections) {
            let mut served: Vec<_> = round.iter().map(|(_, connection, _)| *connection).collect();
            served.sort_unstable();
            assert_eq!(served, (0..connections).collect::<Vec<_>>());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_network_is_late_is_made_up_for_up_to_a_tenth_of_a_second() {
    // A chunk of half a tenth of a second at the rate, and what the network takes for it besides.
    for (network_ms, seconds) in [(0, 5.0), (40, 5.0), (60, 6.0), (500, 50.0)] {
        let limiter = limiter("1M", "12:00:00");
        let network = Duration::from_millis(network_ms);
        let handed = transfer(&limiter, 1, 100, 52_429, network).await;
        let took = handed.last().unwrap().0.as_secs_f64();
        assert_within_5_percent(took, seconds, &format!("{network_ms} ms"));
    }
    // After a rest there is no more than that at once, and then 4 % above.
    let limiter = limiter("1M", "12:00:00");
    transfer(&limiter, 1, 1, 1_000, Duration::ZERO).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let handed = transfer(&limiter, 1, 2_000, 1_049, Duration::ZERO).await;
    let took = handed.last().unwrap().0.as_secs_f64();
    assert!((1.81..1.85).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn what_a_busy_machine_loses_is_made_up_for_and_the_limit_is_kept_all_the_same() {
    let limiter = limiter("1M", "12:00:00");
    let begun_at = Instant::now();
    // A minute of chunks of a twentieth of a second, and every second a standstill.
    for chunk in 1..=1_200 {
        limiter.wait_for(52_429).await;
        let is = f64::from(chunk) * 52_429.0 / 1_048_576.0;
        assert!(begun_at.elapsed().as_secs_f64() >= is * 0.999_999, "above the limit");
        if chunk % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(135)).await;
        }
    }
    let took = begun_at.elapsed().as_secs_f64();
    assert!((60.0..60.5).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_timetable_counts_in_the_middle_of_whatever_waits() {
    for bytes in [4_096, 65_536, 1_048_576] {
        for connections in [1, 20, 200] {
            let case = format!("{connections} connections, chunks of {bytes}");
            // 20 seconds of 1M, then of 4M; and of 4M, then of 1M.
            for (text, before, after) in [("08:00,4M 19:00,1M", 1, 4), ("08:00,1M 19:00,4M", 4, 1)]
            {
                let limiter = limiter(text, "07:59:40");
                let megabytes = 20 * (before + after);
                let chunks = megabytes * 1_048_576 / bytes;
                let handed = transfer(&limiter, connections, chunks, bytes, Duration::ZERO).await;
                let took = handed.last().unwrap().0.as_secs_f64();
                assert_within_5_percent(took, 40.0, &format!("{text}, {case}"));
                let at_eight: Handed =
                    handed.into_iter().take_while(|(at, ..)| at.as_secs() < 20).collect();
                let by_then = (sum(&at_eight) + bytes / 2) as f64 / 1_048_576.0;
                assert_within_5_percent(by_then, 20.0 * before as f64, &format!("{text}, {case}"));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_goes_on_at_once_when_the_limit_ends_and_waits_when_it_begins() {
    // An hour of waiting at the rate, half a minute before it ends.
    let limiter = limiter("08:00,off 19:00,100K", "07:59:30");
    let handed = transfer(&limiter, 200, 400, 1_000_000, Duration::ZERO).await;
    let took = handed.last().unwrap().0;
    assert!(took >= Duration::from_secs(30) && took < Duration::from_millis(30_010), "{took:?}");

    // 50 connections of 10 chunks a second each, and then a limit of a tenth of that.
    let limiter = self::limiter("08:00,50K 19:00,off", "07:59:50");
    let handed = transfer(&limiter, 50, 6_000, 1_024, Duration::from_millis(100)).await;
    let took = handed.last().unwrap().0.as_secs_f64();
    assert_within_5_percent(took, 10.0 + 1_000.0 / 50.0, "a limit that begins");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_counts_within_ten_seconds() {
    // The wall shows noon for five seconds, and then it is set to the evening.
    let begun_at = Instant::now();
    let wall = move || match begun_at.elapsed() < Duration::from_secs(5) {
        true => monday("12:00:00"),
        false => monday("20:00:00"),
    };
    let limiter = Arc::new(Limiter::new(table("08:00,1K 19:00,off"), Box::new(wall)));
    let handed = transfer(&limiter, 10, 1_000, 1_024, Duration::ZERO).await;
    let took = handed.last().unwrap().0;
    assert!(took <= Duration::from_millis(10_010), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_lets_the_next_one_go_on() {
    let limiter = limiter("1K", "12:00:00");
    let hour = limiter.wait_for(3_600 * 1_024);
    assert!(tokio::time::timeout(Duration::from_secs(1), hour).await.is_err());
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let limiter = Arc::clone(&limiter);
            tokio::spawn(async move { limiter.wait_for(3_600 * 1_024).await })
        })
        .collect();
    tokio::task::yield_now().await;
    waiting.iter().for_each(|task| task.abort());
    // What was its turn was taken, and the five others never were.
    let began = Instant::now();
    limiter.wait_for(1_024).await;
    assert!(began.elapsed() <= Duration::from_secs(7_200), "{:?}", began.elapsed());
}
