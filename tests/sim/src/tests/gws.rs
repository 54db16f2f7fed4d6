//! The metadata API and its habits.

use super::client::{ask, basic, gws, ids};
use super::{ALL, small};
use crate::gws::{Drift, Links, Order, Settings};
use crate::{Media, Recording, Sim, WorldSpec};

#[test]
fn the_listing_obeys_range_limit_cap_and_order() {
    let sim = small();
    let newest_first = ids(&sim, &format!("{ALL}&limit=100"));
    assert_eq!(newest_first.len(), 25);
    assert_eq!(ids(&sim, &format!("{ALL}&limit=3")), newest_first[..3]);
    sim.gws(|gws| gws.cap = 10);
    assert_eq!(ids(&sim, &format!("{ALL}&limit=100")), newest_first[..10]);
    sim.gws(|gws| (gws.order, gws.pretty) = (Order::OldestFirst, true));
    let oldest_first: Vec<_> = newest_first.iter().rev().take(10).cloned().collect();
    assert_eq!(ids(&sim, &format!("{ALL}&limit=100")), oldest_first);
    assert_eq!(ids(&sim, "startTimeRange=0,1&limit=100").len(), 0);
    sim.gws(|gws| gws.range_ignored = true);
    assert_eq!(ids(&sim, "startTimeRange=0,1&limit=100").len(), 10);
    sim.gws(|gws| gws.recordings_omitted = true);
    assert_eq!(gws(&sim, &format!("/recordings/download/?{ALL}")).text(), r#"{"statusCode":0}"#);
}

#[test]
fn links_lead_to_all_pages_and_loop_if_told() {
    for property in ["nextUri", "next", "paging.next"] {
        let sim = small();
        sim.gws(|gws| (gws.cap, gws.links) = (10, Some(Links::new(property))));
        let pointer = format!("/{}", property.replace('.', "/"));
        let mut target = format!("/recordings/download/?{ALL}&limit=100");
        let mut listed = 0;
        loop {
            let page = gws(&sim, &target).json();
            listed += page["recordings"].as_array().unwrap().len();
            let Some(next) = page.pointer(&pointer) else { break };
            target = next.as_str().unwrap().strip_prefix("/api/v2").unwrap().to_owned();
        }
        assert_eq!((listed, sim.listings()), (25, 3), "{property}");
        sim.gws(|gws| {
            let links = gws.links.as_mut().unwrap();
            (links.looping, links.origin) = (true, Some("http://internal.example:8080".to_owned()));
        });
        let page = gws(&sim, &target.replace("offset=20", "offset=0")).json();
        let next = page.pointer(&pointer).unwrap().as_str().unwrap();
        assert!(
            next.starts_with("http://internal.example:8080/api/v2/") && next.ends_with("&offset=0"),
            "{next}"
        );
    }
}

#[test]
fn rows_vanish_and_appear_before_the_listing_they_are_planned_for() {
    let sim = small();
    let before = ids(&sim, &format!("{ALL}&limit=100"));
    let new = Recording::new("brand-new", 5);
    sim.gws(|gws| gws.drift = vec![(2, Drift::Vanish(3)), (3, Drift::Appear(Box::new(new)))]);
    let mut expected = before.clone();
    expected.remove(3);
    assert_eq!(ids(&sim, &format!("{ALL}&limit=100")), expected);
    expected.push("brand-new".to_owned());
    assert_eq!(ids(&sim, &format!("{ALL}&limit=100")), expected);
}

#[test]
fn late_media_appear_from_the_listing_they_are_planned_for() {
    let sim = Sim::of(WorldSpec { recordings: 5, late_share: 1.0, ..WorldSpec::default() });
    sim.gws(|gws| gws.late_from_listing = Some(2));
    let files = || {
        let json = gws(&sim, &format!("/recordings/download/?{ALL}")).json();
        let recordings = json["recordings"].as_array().unwrap().clone();
        recordings.iter().map(|r| r["mediaFiles"].as_array().unwrap().len()).sum::<usize>()
    };
    let (first, second) = (files(), files());
    assert_eq!(second, first + 5);
}

#[test]
fn a_moved_metadata_api_redirects() {
    let sim = small();
    sim.gws(|gws| gws.redirect_to = Some("http://elsewhere.example".to_owned()));
    let moved = gws(&sim, "/me/settings/rcbs");
    let location = Some("http://elsewhere.example/api/v2/me/settings/rcbs");
    assert_eq!((moved.status, moved.header("location")), (302, location));
}

#[test]
fn the_metadata_api_knows_its_user_sets_a_cookie_and_answers_settings() {
    let sim = small();
    let prefix = sim.gws_uri_prefix();
    let origin = prefix.trim_end_matches("/api/v2");
    let target = "/api/v2/me/settings/rcbs";
    let refused =
        ask(origin, "GET", target, &[("Authorization", &basic("backup@tenant.example", "wrong"))]);
    assert_eq!((refused.status, refused.json()["statusCode"].as_i64()), (401, Some(20)));
    let answer = gws(&sim, "/me/settings/rcbs");
    assert!(answer.header("set-cookie").unwrap().starts_with("JSESSIONID="));
    assert_eq!(answer.json()["settings"], serde_json::json!([]));
    sim.gws(|gws| {
        gws.settings = Settings::List(vec![("bucketVerify".to_owned(), "b/p".to_owned())])
    });
    assert_eq!(gws(&sim, "/me/settings/rcbs").json()["settings"][0]["value"], "b/p");
    sim.gws(|gws| gws.settings = Settings::Refused(403, 5));
    assert_eq!(gws(&sim, "/me/settings/rcbs").status, 403);
    sim.gws(|gws| gws.cookie_required = true);
    assert_eq!(gws(&sim, &format!("/recordings/download/?{ALL}")).status, 200);
    assert_eq!(gws(&sim, &format!("/recordings/download/?{ALL}")).status, 403);
    sim.clock_offset(86_400_000);
    let date = gws(&sim, "/me/settings/rcbs").header("date").unwrap().to_owned();
    let ahead = chrono::DateTime::parse_from_rfc2822(&date).unwrap().timestamp()
        - chrono::Utc::now().timestamp();
    assert!((86_300..=86_500).contains(&ahead), "{date}");
    assert_eq!(sim.requests()[0].user.as_deref(), Some("backup@tenant.example"));
    assert!(!format!("{:?}", sim.requests()).contains("wrong"));
}

#[test]
fn media_can_lie_with_the_metadata_api_itself() {
    let sim = small();
    let uri = format!("{}/media/recordings-usw1/by-hand/a+b", sim.gws_uri_prefix());
    let media = Media { uri: Some(uri), ..Media::voice("a+b", "recordings-usw1", 700) };
    sim.edit(|world| world.add(Recording::new("by-hand", 5).with(media.clone())));
    let json = gws(&sim, "/recordings/download/?startTimeRange=0,10").json();
    let file = &json["recordings"][0]["mediaFiles"][0];
    assert!(file["mediaDescriptor"].is_null());
    let path = file["mediaUri"].as_str().unwrap().split("/api/v2").last().unwrap();
    assert_eq!(gws(&sim, path).body, sim.world().expected_object(&media.bucket, &media.key));
    assert_eq!(sim.media_opened(), ["recordings-usw1/by-hand/a+b"]);
}
