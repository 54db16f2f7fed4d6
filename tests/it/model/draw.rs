//! How cases are drawn.
//!
//! **Invariant**: what no backup can notice is not drawn, such as an object of which every witness lies in the same way.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use rcbs_sim::gws::Order;
use rcbs_sim::{Action, Fault, FaultPlan, Hits, Route};

use super::case::{Case, Kill, Sums};

/// Cases with this trouble.
pub(super) fn cases(
    plans: impl Strategy<Value = FaultPlan>,
    runs: impl Strategy<Value = Vec<Kill>>,
    most_instances: u64,
) -> impl Strategy<Value = Case> {
    let recordings = prop_oneof![1 => 0u32..=3, 5 => 4u32..=40];
    let world = (any::<u64>(), recordings, select(vec!["a", "abd", "b", "d", "ad"]));
    let server = (
        select(vec![10, 20, 10_000]),
        select(vec![Order::NewestFirst, Order::OldestFirst, Order::Unsorted]),
        any::<(bool, bool)>(),
        any::<bool>(),
        select(vec![Sums::Md5, Sums::Crc32c, Sums::Sha256]),
    );
    // Where every request fails, each shard costs eight of them, and each retry a pause.
    let config =
        (select(vec![12u32, 24, 72]), select(vec![0, 0, 0, 1]), 1..=most_instances, any::<u64>());
    (world, server, config, runs, plans).prop_map(|(world, server, config, runs, plan)| Case {
        seed: world.0,
        recordings: world.1,
        forms: world.2.to_owned(),
        cap: server.0,
        order: server.1,
        edges: server.2,
        links: server.3,
        sums: server.4,
        shard_hours: config.0,
        retries: config.1,
        instances: config.2,
        instance: config.3 % config.2,
        runs,
        plan,
    })
}

/// Plans of some faults of any kind.
pub(super) fn plans(faults: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = FaultPlan> {
    let fault = prop_oneof![
        3 => (Just(Route::Listing), listing_actions()),
        4 => (Just(Route::S3), media_actions()),
        1 => (Just(Route::Settings), passing_actions()),
    ];
    plan(fault, faults)
}

/// Plans of pages that are not what they should be.
pub(super) fn page_plans() -> impl Strategy<Value = FaultPlan> {
    plan((Just(Route::Listing), page_actions()), 1..=3)
}

fn plan(
    fault: impl Strategy<Value = (Route, Action)>,
    faults: std::ops::RangeInclusive<usize>,
) -> impl Strategy<Value = FaultPlan> {
    let hits = prop_oneof![
        3 => (1u64..20).prop_map(Hits::Nth),
        2 => (1u64..6).prop_map(Hits::First),
        2 => (1u64..20).prop_map(Hits::From),
        2 => (2u64..7).prop_map(Hits::Every),
        1 => Just(Hits::Always),
    ];
    let contains = prop_oneof![3 => Just(""), 1 => Just("_0-voice"), 1 => Just("screen")];
    let fault = (fault, hits, contains).prop_map(|((route, action), hits, contains)| {
        let contains = if route == Route::S3 { contains } else { "" };
        // What takes long is seen once.
        let hits = match (&action, hits) {
            (Action::GzipBomb(_) | Action::Endless, Hits::From(n) | Hits::Every(n)) => Hits::Nth(n),
            (Action::GzipBomb(_) | Action::Endless, Hits::Always) => Hits::Nth(1),
            (_, hits) => hits,
        };
        Fault::on(route, action).hits(hits).containing(contains)
    });
    prop::collection::vec(fault, faults).prop_map(|faults| FaultPlan { faults })
}

/// What connections do, whatever they are for.
fn passing_actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Reset),
        Just(Action::Close),
        (0u64..3_000).prop_map(Action::Truncate),
        (0u64..3_000).prop_map(Action::ResetAfter),
        (0u64..30).prop_map(|ms| Action::Delay(Duration::from_millis(ms))),
        (80_000u64..400_000).prop_map(Action::Trickle),
        select(vec![500, 502, 503, 429, 408]).prop_map(Action::status),
        select(vec![503, 429]).prop_map(|status| Action::retry_after(status, 0)),
    ]
}

fn listing_actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => passing_actions(),
        3 => page_actions(),
        2 => (select(vec![200, 403, 500]), select(vec![3, 4, 5, 6, 7, 20]))
            .prop_map(|(status, code)| Action::gws_code(status, code)),
        1 => select(vec!["", "[]", "{}", r#"{"statusCode":0}"#, r#"{"recordings":[]}"#])
            .prop_map(|body| Action::json(200, body)),
        1 => Just(Action::html()),
        1 => Just(Action::Expired),
        1 => (1i64..900).prop_map(Action::WrongLength),
        1 => (0u64..9_000).prop_map(Action::Corrupt),
        1 => Just(Action::GzipBomb(20)),
        1 => Just(Action::Endless),
    ]
}

fn page_actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::EmptyPage),
        Just(Action::RepeatedPage),
        (1u64..12).prop_map(Action::DropRows),
        (1u64..12).prop_map(Action::RepeatRows),
        (1u64..12).prop_map(Action::StaleRows),
        Just(Action::Reorder),
        Just(Action::ReorderAll),
    ]
}

fn media_actions() -> impl Strategy<Value = Action> {
    let codes = vec![
        (503, "SlowDown"),
        (500, "InternalError"),
        (403, "AccessDenied"),
        (404, "NoSuchKey"),
        (400, "RequestTimeout"),
    ];
    let sums = vec![
        ("x-amz-checksum-crc32", "AAAAAA=="),
        ("x-amz-checksum-crc32c", "AAAAAA=="),
        ("x-amz-checksum-sha256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    ];
    prop_oneof![
        3 => passing_actions(),
        2 => select(codes).prop_map(|(status, code)| Action::s3_error(status, code)),
        1 => Just(Action::Expired),
        1 => select(vec![403, 404]).prop_map(Action::status),
        1 => Just(Action::html()),
        2 => (-900i64..900).prop_map(Action::WrongLength),
        3 => (0u64..3_000).prop_map(Action::Corrupt),
        // Like an MD5: another text would only say that there is none.
        1 => any::<u128>().prop_map(|sum| Action::WrongETag(format!("{sum:032x}"))),
        1 => select(sums).prop_map(|(name, value)| Action::SetHeader {
            name: name.to_owned(),
            value: value.to_owned(),
        }),
        1 => Just(Action::Replaced),
        1 => Just(Action::GzipBomb(1)),
    ]
}

/// One run that is not disturbed.
pub(super) fn undisturbed() -> impl Strategy<Value = Vec<Kill>> {
    Just(vec![Kill::Never])
}

/// So many runs, most of which are killed.
pub(super) fn killed(runs: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<Kill>> {
    let kill = prop_oneof![
        1 => Just(Kill::Never),
        4 => (1u64..50).prop_map(Kill::AtRequest),
        2 => (1u64..50).prop_map(Kill::TermAtRequest),
        3 => (1usize..5).prop_map(Kill::AtStaged),
        4 => (1usize..50).prop_map(Kill::AtNamed),
        1 => (0u64..50_000).prop_map(|micros| Kill::After(Duration::from_micros(micros))),
        5 => (30_000u64..150_000).prop_map(|micros| Kill::After(Duration::from_micros(micros))),
    ];
    prop::collection::vec(kill, runs)
}
