//! How many requests are under way at the same time, and that none of it loses anything.

use rcbs_sim::gws::Order;
use rcbs_sim::{Request, Route, Sim, WorldSpec};

use crate::harness::{DAY_MS, HOUR_MS, REGION, Run, Site, now_ms};
use crate::listing::{ids, would_fetch};

/// Recordings of one voice file each over two days and a half.
fn site(recordings: usize) -> Site {
    let mut site = Site::over(Sim::of(WorldSpec {
        from_ms: now_ms() - 5 * DAY_MS / 2,
        to_ms: now_ms() - HOUR_MS,
        recordings,
        screen_share: 0.0,
        transfer_share: 0.0,
        burst_share: 0.0,
        metadata_bytes: 0,
        ..WorldSpec::default()
    }));
    site.properties += REGION;
    site
}

/// Runs the program over slow services, and tells how many requests of a kind were unanswered at
/// most, while this one and the next seven came.
fn run_and_count(site: &Site, args: &[&str], route: Route, number: u64) -> (Run, usize) {
    let is_meant = |request: &Request| request.route == route;
    std::thread::scope(|scope| {
        let run = scope.spawn(|| site.rcbs(args));
        let mut most = 0;
        for number in number..number + 8 {
            assert!(site.sim.wait_for(|one| is_meant(one) && one.number >= number));
            let requests = site.sim.requests();
            let unanswered = requests.iter().filter(|one| is_meant(one) && one.status == 0);
            most = most.max(unanswered.count());
        }
        (run.join().unwrap(), most)
    })
}

#[test]
fn several_shards_are_listed_at_the_same_time() {
    let mut site = site(40);
    site.properties += "shardBy=PT4H\n";
    site.sim.add_faults(&"listing delay-ms=200".parse().unwrap());
    let (run, unanswered) = run_and_count(&site, &["--dry-run"], Route::Listing, 7);
    run.exits(0);
    assert!((3..=8).contains(&unanswered), "{unanswered} at once\n{run}");
    assert_eq!(would_fetch(&run), ids(&site), "{run}");
    // A page and, where it held anything, the proof that nothing is behind it.
    assert!(site.sim.listings() <= 2 * 18 + 1, "{} listings", site.sim.listings());
}

#[test]
fn a_large_shard_is_listed_at_several_places_at_the_same_time() {
    for order in [Order::NewestFirst, Order::OldestFirst, Order::Unsorted] {
        let mut site = site(2_000);
        site.properties += "shardBy=10\n";
        site.sim.gws(|gws| gws.order = order);
        site.sim.add_faults(&"listing delay-ms=200".parse().unwrap());
        let (run, unanswered) = run_and_count(&site, &["--dry-run"], Route::Listing, 12);
        run.exits(0);
        assert!((2..=8).contains(&unanswered), "{order:?}: {unanswered} at once\n{run}");
        assert_eq!(would_fetch(&run), ids(&site), "{order:?}\n{run}");
        // Twenty pages hold anything; pieces of nights hold little, and end each with a proof.
        let most = if matches!(order, Order::Unsorted) { 120 } else { 42 };
        assert!(site.sim.listings() <= most, "{order:?}: {} listings", site.sim.listings());
    }
}

#[test]
fn a_large_shard_in_pieces_is_listed_once_whatever_the_edges_and_caps() {
    for (order, cap, edges) in [
        (Order::NewestFirst, 100, (false, false)),
        (Order::OldestFirst, 50, (true, false)),
        (Order::OldestFirst, 100, (false, true)),
        (Order::Unsorted, 50, (true, true)),
    ] {
        let mut site = site(1_000);
        site.properties += "shardBy=10\n";
        site.sim.edit(|world| {
            (0..3).for_each(|n| drop(world.add_burst(now_ms() - 9 * HOUR_MS + 10 * n, 30)))
        });
        site.sim.gws(|gws| {
            (gws.order, gws.cap) = (order, cap);
            (gws.lower_edge_inclusive, gws.upper_edge_inclusive) = edges;
        });
        site.sim.add_faults(&"listing every=9 status=503; listing every=7 reset".parse().unwrap());
        let run = site.rcbs(&["--dry-run", "--set", "s3MaxErrorRetry=4"]);
        run.exits(0);
        assert_eq!(would_fetch(&run), ids(&site), "{order:?} {cap} {edges:?}\n{run}");
    }
}

#[test]
fn more_media_are_asked_for_at_the_same_time_where_answers_take_long() {
    let mut site = site(360);
    site.properties += "shardBy=10\n";
    site.sim.add_faults(&"s3 delay-ms=300".parse().unwrap());
    let (run, unanswered) = run_and_count(&site, &["--verbose"], Route::S3, 150);
    run.exits(0).says("in flight");
    // It begins with 16.
    assert!(unanswered > 16, "{unanswered} at once\n{run}");
    site.assert_holds(|_| true);
}

#[test]
fn no_more_media_are_asked_for_at_the_same_time_than_max_connections() {
    let site = site(60);
    site.sim.add_faults(&"s3 delay-ms=100".parse().unwrap());
    for most in [1, 8] {
        let number = site.sim.asked() + 30;
        site.sim.clear_requests();
        let _ = std::fs::remove_dir_all(site.target());
        let setting = format!("maxConnections={most}");
        let (run, unanswered) = run_and_count(&site, &["--set", &setting], Route::S3, number);
        run.exits(0);
        assert!((1..=most).contains(&unanswered), "{unanswered} at once\n{run}");
    }
}

#[test]
fn a_store_that_asks_for_fewer_requests_gets_them_and_loses_nothing() {
    let site = site(120);
    site.sim.add_faults(&"s3 every=6 status=503 s3-error=SlowDown".parse().unwrap());
    let run = site.rcbs(&["--set", "s3MaxErrorRetry=6", "--verbose"]);
    run.exits(0).says("to=4");
    site.assert_holds(|_| true);
}
