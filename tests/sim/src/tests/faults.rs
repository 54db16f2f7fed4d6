//! What the faults do that lie about rows, objects and lengths.

use super::client::{Signed, gws, ids};
use super::{ALL, all_media, path, small};
use crate::gws::Order;
use crate::{FaultPlan, Sim};

fn plan(sim: &Sim, text: &str) {
    sim.clear_faults();
    sim.add_faults(&text.parse::<FaultPlan>().unwrap());
}

#[test]
fn rows_are_dropped_repeated_and_reordered_as_planned() {
    let sim = small();
    sim.gws(|gws| (gws.cap, gws.order) = (10, Order::OldestFirst));
    let page = |query: &str| ids(&sim, &format!("{ALL}&limit=100{query}"));
    let (first, second) = (page(""), page("&offset=10"));

    plan(&sim, "listing nth=1 drop-rows=3; listing nth=2 drop-rows=99");
    assert!(sim.hidden().is_empty());
    assert_eq!(page(""), [&first[..3], &first[6..]].concat());
    let hidden = sim.hidden();
    assert!(hidden.contains(&first[3]) && !hidden.contains(&first[0]), "{hidden:?}");
    assert!(hidden.contains(&second[0]), "what is behind the page may not be asked for any more");
    assert!(page("").is_empty());
    assert_eq!(sim.hidden().len(), 25);

    plan(&sim, "listing nth=1 repeat-rows=2; listing nth=3 stale-rows=2");
    assert_eq!(page(""), [&first[..], &first[..2]].concat());
    assert_eq!(page(""), first);
    assert_eq!(page("&offset=10"), [&first[8..], &second[..]].concat());

    plan(&sim, "listing reorder");
    let mixed = page("");
    assert_ne!(mixed, first);
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!(sorted(mixed), sorted(first.clone()));

    plan(&sim, "listing reorder-all");
    let (once, again) = (page(""), page(""));
    assert_eq!((once.len(), again.len()), (10, 10));
    assert_ne!(sorted(once.clone()), sorted(first));
    assert_ne!(once, again, "another order each time");
}

#[test]
fn an_object_that_was_replaced_has_other_bytes_and_another_etag() {
    let sim = small();
    let media = all_media(&sim).remove(0);
    let path = path(&media);
    let world = sim.world();
    let [before, after] = [
        world.expected_object(&media.bucket, &media.key),
        world.replaced_file(&media.bucket, &media.key).unwrap(),
    ];
    assert_eq!(before.len(), after.len());
    drop(world);
    plan(&sim, "s3 from=2 replaced");
    let part = |from: usize, etag: Option<&str>| {
        let range = format!("bytes={from}-{}", from + 9);
        let get = Signed::get(&path).with("Range", &range);
        etag.map_or(get.clone(), |etag| get.clone().with("If-Match", etag)).send(&sim)
    };
    let first = part(200, None);
    assert_eq!(first.body, before[200..210]);
    let etag = first.header("etag").unwrap();
    assert_eq!(part(200, Some(etag)).status, 412);
    let now = part(200, None);
    assert_eq!(now.body, after[200..210]);
    assert_ne!(now.header("etag"), Some(etag));
    assert_eq!(part(200, now.header("etag")).status, 206);
    let whole = Signed::get(&path).send(&sim).body;
    let is_one_sums = format!("\"{}\"", crate::s3::md5_hex(&media.replaced().object().unwrap()));
    assert_eq!((whole, now.header("etag")), (after, Some(is_one_sums.as_str())));
}

#[test]
fn a_login_expires_in_the_words_of_each_service() {
    let sim = small();
    let path = path(&all_media(&sim)[0]);
    plan(&sim, "any from=3 expired");
    assert_eq!(Signed::get(&path).send(&sim).status, 200);
    assert_eq!(gws(&sim, "/me/settings/rcbs").status, 200);
    let s3 = Signed::get(&path).send(&sim);
    assert_eq!(s3.status, 400);
    assert!(s3.text().contains("<Code>ExpiredToken</Code>"));
    let refused = gws(&sim, "/me/settings/rcbs");
    assert_eq!((refused.status, refused.json()["statusCode"].as_i64()), (401, Some(20)));
}

#[test]
fn headers_lie_and_bodies_go_on_as_planned() {
    let sim = small();
    let media = all_media(&sim).remove(0);
    let path = path(&media);
    let whole = sim.world().expected_object(&media.bucket, &media.key);
    plan(&sim, r#"s3 set-header="x-amz-checksum-crc32: AAAAAA==""#);
    let lie = Signed::get(&path).send(&sim);
    assert_eq!((lie.header("x-amz-checksum-crc32"), &lie.body), (Some("AAAAAA=="), &whole));

    plan(&sim, "listing gzip-bomb=3");
    let bomb = gws(&sim, &format!("/recordings/download/?{ALL}"));
    assert_eq!(bomb.header("content-encoding"), Some("gzip"));
    assert!(bomb.whole && bomb.body.starts_with(&[0x1F, 0x8B]), "{} bytes", bomb.body.len());
    assert!(bomb.body.len() < 5_000);

    // Without the second fault it would never end.
    plan(&sim, "any endless; any truncate=300000");
    let endless = Signed::get(&path).send(&sim);
    assert_eq!((endless.status, endless.header("content-length")), (200, None));
    assert_eq!((endless.body.len(), endless.whole), (300_000, false));
    assert_eq!(endless.body[..whole.len()], whole);
    assert!(endless.body[whole.len()..].iter().all(|byte| *byte == b' '));
    let page = gws(&sim, &format!("/recordings/download/?{ALL}")).body;
    assert_eq!((page.len(), page[page.len() - 1]), (300_000, b' '));
}
