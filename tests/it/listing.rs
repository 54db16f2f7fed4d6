//! Whatever the metadata API does with its pages: each recording once, or its shard is named.

use std::collections::BTreeSet;

use rcbs_sim::gws::{Drift, Links, Order};
use rcbs_sim::{Recording, Sim, WorldSpec};

use crate::harness::{DAY_MS, HOUR_MS, Run, Site, now_ms};

const ORDERS: [Order; 3] = [Order::NewestFirst, Order::OldestFirst, Order::Unsorted];
/// More than anybody asks for.
const NO_CAP: usize = 1_000_000;

/// Recordings of one voice file each over two and a half days, so three shards.
fn site(recordings: usize) -> Site {
    let site = Site::over(Sim::of(WorldSpec {
        from_ms: now_ms() - 5 * DAY_MS / 2,
        to_ms: now_ms() - HOUR_MS,
        recordings,
        screen_share: 0.0,
        transfer_share: 0.0,
        burst_share: 0.0,
        metadata_bytes: 0,
        ..WorldSpec::default()
    }));
    site.sim.gws(|gws| gws.cap = NO_CAP);
    site
}

/// The middle of the second of the three shards.
fn second_day() -> i64 {
    now_ms() - 36 * HOUR_MS
}

pub(crate) fn ids(site: &Site) -> Vec<String> {
    let mut ids: Vec<_> = site.sim.world().recordings().map(|one| one.id.clone()).collect();
    ids.sort();
    ids
}

/// The recordings that a dry run would fetch, one entry for each time that it says so.
pub(crate) fn would_fetch(run: &Run) -> Vec<String> {
    let paths = run.stdout.lines().filter_map(|line| line.trim().split_once(' '));
    let mut ids: Vec<_> = paths
        .filter_map(|(_, path)| Some(path.rsplit('/').nth(1)?.to_owned()))
        .filter(|id| id.len() == 32)
        .collect();
    ids.sort();
    ids
}

/// The shards that a run names as failed.
fn failed_shards(run: &Run) -> BTreeSet<String> {
    let named = run.stderr.lines().filter_map(|line| line.strip_prefix("error: shard <"));
    named.filter_map(|rest| Some(rest.split_once('>')?.0.to_owned())).collect()
}

/// The watermark stands so many hours before now, give or take a minute.
#[track_caller]
fn assert_watermark(site: &Site, hours_ago: i64, run: &Run) {
    let expected = now_ms() - hours_ago * HOUR_MS;
    let watermark = site.watermark().expect("there is a watermark");
    assert!((expected - watermark).abs() < 60_000, "{watermark} is not {expected}\n{run}");
}

#[test]
fn every_order_cap_and_edge_lists_every_recording_once() {
    let site = site(70);
    // Together more than a page, each alone less than any cap.
    site.sim.edit(|world| (0..4).for_each(|n| drop(world.add_burst(second_day() + 10 * n, 45))));
    let ids = ids(&site);
    let mut links = [None, Some("nextUri"), Some("next"), Some("paging.next")].iter().cycle();
    let both_kinds = [[(true, true), (false, false)], [(true, false), (false, true)]];
    let mut edges = both_kinds.into_iter().cycle();
    for order in ORDERS {
        for cap in [NO_CAP, 50, 100] {
            for (lower, upper) in edges.next().unwrap() {
                let property = links.next().unwrap();
                site.sim.gws(|gws| {
                    (gws.order, gws.cap) = (order, cap);
                    (gws.lower_edge_inclusive, gws.upper_edge_inclusive) = (lower, upper);
                    gws.links = property.map(Links::new);
                });
                let run = site.rcbs(&["--dry-run"]);
                let case = format!("{order:?} {cap} {lower} {upper} {property:?}");
                assert_eq!(run.code, 0, "{case}\n{run}");
                assert_eq!(would_fetch(&run), ids, "{case}\n{run}");
            }
        }
        // So that links meet other caps and edges in the next order.
        links.next();
    }
}

#[test]
fn a_burst_in_one_millisecond_is_listed_by_a_larger_limit_or_by_links() {
    let servers = [(NO_CAP, None), (50, Some("nextUri")), (100, Some("paging.next"))];
    for ((cap, links), order) in servers.into_iter().zip(ORDERS) {
        let site = site(60);
        site.sim.edit(|world| world.add_burst(second_day(), 130));
        site.sim.gws(|gws| (gws.cap, gws.order) = (cap, order));
        site.sim.gws(|gws| gws.links = links.map(Links::new));
        let run = site.rcbs(&["--dry-run"]);
        assert_eq!(run.code, 0, "{cap} {order:?}\n{run}");
        assert_eq!(would_fetch(&run), ids(&site), "{cap} {order:?}\n{run}");
    }
}

#[test]
fn a_burst_beyond_the_cap_fails_its_shard_and_no_other() {
    for (cap, order) in [50, 100].into_iter().zip([Order::OldestFirst, Order::Unsorted]) {
        let site = site(60);
        let burst = second_day();
        let burst_ids: BTreeSet<_> =
            site.sim.edit(|world| world.add_burst(burst, 130)).into_iter().collect();
        site.sim.gws(|gws| (gws.cap, gws.order) = (cap, order));
        let run = site.rcbs(&["--set", "metadataOnly=true"]);
        run.exits(3).says("the server cuts its pages at");
        assert_eq!(failed_shards(&run).len(), 1, "{run}");
        assert_watermark(&site, 48, &run);
        // Of the burst what came, of the rest everything.
        let held: BTreeSet<_> =
            site.tree().keys().map(|path| path.rsplit('/').nth(1).unwrap().to_owned()).collect();
        for id in ids(&site).into_iter().filter(|id| !burst_ids.contains(id)) {
            assert!(held.contains(&id), "{id} is missing\n{run}");
        }
    }
}

#[test]
fn links_that_never_end_or_lead_in_circles_lose_nothing_in_silence() {
    for (looping, order) in [(false, Order::OldestFirst), (true, Order::NewestFirst)] {
        let site = site(60);
        site.sim.edit(|world| world.add_burst(second_day(), 130));
        site.sim.gws(|gws| {
            (gws.cap, gws.order) = (50, order);
            gws.links = Some(Links { always: true, looping, ..Links::new("next") });
        });
        let run = site.rcbs(&["--dry-run"]);
        let mut listed = would_fetch(&run);
        let times = listed.len();
        listed.dedup();
        assert_eq!(listed.len(), times, "a recording came twice\n{run}");
        // Such links never say that they are at their end, so no range of one millisecond ends.
        run.exits(3).says("the server's links");
        assert!(!failed_shards(&run).is_empty(), "{run}");
    }
}

#[test]
fn links_to_a_foreign_host_are_followed_on_the_configured_origin() {
    let elsewhere = Sim::of(WorldSpec { recordings: 0, ..WorldSpec::default() });
    let site = site(20);
    site.sim.edit(|world| world.add_burst(second_day(), 130));
    let prefix = elsewhere.gws_uri_prefix();
    let origin = prefix.strip_suffix("/api/v2").unwrap().to_owned();
    site.sim.gws(|gws| {
        gws.cap = 50;
        gws.links = Some(Links { origin: Some(origin), ..Links::new("nextUri") });
    });
    let run = site.rcbs(&["--dry-run"]);
    run.exits(0);
    assert_eq!(would_fetch(&run), ids(&site), "{run}");
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn rows_that_come_and_go_while_paging_hide_no_other_row() {
    for order in ORDERS {
        let site = site(150);
        site.sim.edit(|world| (0..3).for_each(|n| drop(world.add_burst(second_day() + 9 * n, 40))));
        let before = ids(&site);
        let newcomer = |n: i64| {
            let id = format!("NEWCOMER{n:024}");
            Drift::Appear(Box::new(Recording::new(&id, second_day() + n)))
        };
        site.sim.gws(|gws| {
            (gws.cap, gws.order) = (50, order);
            gws.links = Some(Links::new("nextUri"));
            gws.drift = (2..14).map(|n| (n, Drift::Vanish(n as usize % 7))).collect();
            gws.drift.extend((3..9).map(|n| (n, newcomer(n as i64))));
        });
        let run = site.rcbs(&["--dry-run"]);
        run.exits(0);
        let listed: BTreeSet<_> = would_fetch(&run).into_iter().collect();
        let still_there: BTreeSet<_> = ids(&site).into_iter().collect();
        for id in before.iter().filter(|id| still_there.contains(*id)) {
            assert!(listed.contains(id), "{order:?}: {id} is lost\n{run}");
        }
    }
}

#[test]
fn a_range_that_always_answers_500_costs_only_itself() {
    for order in [Order::NewestFirst, Order::Unsorted] {
        let site = site(60);
        let at = second_day();
        site.sim.gws(|gws| (gws.order, gws.broken_at) = (order, Some(at)));
        let run = site.rcbs(&["--set", "s3MaxErrorRetry=0"]);
        run.exits(3).says("HTTP 500");
        assert_eq!(failed_shards(&run).len(), 1, "{run}");
        assert_watermark(&site, 48, &run);
        site.assert_holds(|_| true);

        site.sim.gws(|gws| gws.broken_at = None);
        site.rcbs(&[]).exits(0);
        assert_watermark(&site, 0, &run);
    }
}

#[test]
fn a_server_that_ignores_the_range_is_listed_whole_or_its_shards_are_named() {
    for (cap, code) in [(NO_CAP, 0), (100, 3)] {
        let site = site(160);
        site.sim.gws(|gws| (gws.range_ignored, gws.cap) = (true, cap));
        let run = site.rcbs(&["--set", "metadataOnly=true"]);
        run.exits(code).says("began outside the time asked for; it is kept");
        if code == 0 {
            assert_eq!(site.tree().len(), 160, "{run}");
        } else {
            assert_eq!(failed_shards(&run).len(), 3, "{run}");
            assert_watermark(&site, 72, &run);
        }
    }
}
