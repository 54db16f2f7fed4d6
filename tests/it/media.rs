//! How media come: in parts, from several regions, signed in several ways, and over plain HTTP.

use std::time::Duration;

use rcbs_sim::fault::{Action, Fault};
use rcbs_sim::s3::{Algorithm, WrongRegion};
use rcbs_sim::world::Bucket;
use rcbs_sim::world::metadata::api_time;
use rcbs_sim::{Form, Hits, Media, Recording, Route, Sim, WorldSpec};

use crate::harness::{BUCKET, DAY_MS, HOUR_MS, REGION, Site, now_ms};

fn site() -> Site {
    let mut site = Site::of(0);
    site.properties += REGION;
    site
}

#[test]
fn a_big_object_comes_in_concurrent_ranges_and_from_the_start_if_it_is_replaced_meanwhile() {
    const PART: u64 = 16 << 20;
    let site = site();
    let media = Media::voice("big.mp3.bin", BUCKET, 70 << 20);
    let recording = Recording::new("R", now_ms() - HOUR_MS).with(media.clone());
    site.sim.edit(|world| world.add(recording));
    let starts = |request: &rcbs_sim::Request, part: u64| {
        let range = format!("bytes={}-", part * PART);
        request.range.as_deref().is_some_and(|asked| asked.starts_with(&range))
    };
    // The whole, from which the first part comes, and then one of the ranges has to wait.
    let wait = Action::Delay(Duration::from_secs(2));
    let fault = Fault::on(Route::S3, wait).containing("big.mp3.bin").hits(Hits::Nth(3));
    site.sim.add_fault(fault);
    let newer = Media { seed: media.seed + 1, ..media };
    let run = std::thread::scope(|scope| {
        let run = scope.spawn(|| site.rcbs(&[]));
        for part in 1..5 {
            assert!(site.sim.wait_for(|request| starts(request, part)));
        }
        let requests = site.sim.requests();
        let waiting = requests.iter().find(|request| !request.faults.is_empty()).unwrap();
        assert_eq!(waiting.status, 0, "the others did not wait for it");
        site.sim.edit(|world| world.put_object(newer));
        run.join().unwrap()
    });
    run.exits(0);
    assert_eq!(run.counts(), [1, 0, 0, 1], "{run}");
    site.assert_holds(|_| true);
    let requests = site.sim.requests();
    let ranges: Vec<_> = requests.iter().filter(|request| request.range.is_some()).collect();
    assert!(ranges.iter().all(|request| request.if_match.is_some()));
    let changed = ranges.iter().filter(|request| request.status == 412).count();
    assert!(changed > 0, "a part of the new object was taken for one of the old");
    for part in 1..5 {
        let last = ranges.iter().rfind(|request| starts(request, part)).unwrap();
        assert_eq!(last.status, 206);
    }
}

#[test]
fn a_part_that_breaks_off_goes_on_where_it_broke_off() {
    const PART: u64 = 16 << 20;
    const BREAK: u64 = 3 << 20;
    let site = site();
    let media = Media::voice("big.mp3.bin", BUCKET, 70 << 20);
    site.sim.edit(|world| world.add(Recording::new("R", now_ms() - HOUR_MS).with(media)));
    // The whole, from which the first part comes, and some of the ranges.
    let breaks = Fault::on(Route::S3, Action::Truncate(BREAK)).hits(Hits::First(4));
    site.sim.add_fault(breaks.containing("big.mp3.bin"));
    site.rcbs(&[]).exits(0);
    site.assert_holds(|_| true);
    let requests = site.sim.requests();
    let starts = requests.iter().filter_map(|request| {
        request.range.as_deref()?.strip_prefix("bytes=")?.split('-').next()?.parse::<u64>().ok()
    });
    let (anew, on): (Vec<u64>, Vec<u64>) = starts.partition(|start| start % PART == 0);
    assert_eq!(anew.len(), 4, "no part is asked for twice: {anew:?}");
    assert!(on.len() == 4 && on.iter().all(|start| (start % PART).is_multiple_of(BREAK)), "{on:?}");
    // What was read back, and what was summed up as it came, has the sum in the ledger.
    site.rcbs(&["check"]).exits(0);
}

#[test]
fn a_part_that_is_not_as_the_source_sums_it_up_is_never_held() {
    let site = site();
    site.sim.s3(|s3| s3.checksum = Some(Algorithm::Crc64Nvme));
    let media = Media::voice("big.mp3.bin", BUCKET, 70 << 20);
    site.sim.edit(|world| world.add(Recording::new("R", now_ms() - HOUR_MS).with(media)));
    // The first part, which is summed up as it comes; then one that is read back.
    for number in [1, 3] {
        let _ = std::fs::remove_dir_all(site.target());
        site.sim.clear_requests();
        let damage = Fault::on(Route::S3, Action::Corrupt(1000)).containing("big.mp3.bin");
        site.sim.add_fault(damage.hits(Hits::Nth(number)));
        site.rcbs(&[]).exits(0);
        site.assert_holds(|_| true);
        let whole = |request: &&rcbs_sim::Request| request.range.is_none();
        let requests = site.sim.requests();
        let asked = requests.iter().filter(|request| request.route == Route::S3).filter(whole);
        assert_eq!(asked.count(), 2, "the damage was noticed");
    }
}

#[test]
fn envelopes_of_indefinite_length_are_kept_byte_for_byte() {
    let world = WorldSpec {
        from_ms: now_ms() - DAY_MS,
        to_ms: now_ms() - 5_000,
        recordings: 10,
        forms: vec![Form::AttachedBer],
        ..WorldSpec::default()
    };
    let site = Site::over(Sim::of(world));
    site.rcbs(&[]).exits(0);
    site.assert_holds(|_| true);
    let media = site.tree().into_iter().filter(|(path, _)| path.ends_with(".bin"));
    assert!(media.map(|(_, bytes)| rcbs_sim::envelope::open(&bytes)).all(|plain| plain.is_ok()));
}

#[test]
fn the_region_of_each_bucket_is_found_out_once() {
    let buckets = ["us-west-2", "eu-central-1", "ap-southeast-2", "us-east-1"];
    for (wrong_region, status) in [(WrongRegion::Malformed, 400), (WrongRegion::Redirect, 301)] {
        let mut site = Site::over(Sim::of(WorldSpec {
            from_ms: now_ms() - DAY_MS,
            to_ms: now_ms() - 5_000,
            recordings: 30,
            buckets: buckets.map(|region| Bucket::new(&format!("b-{region}"), region)).to_vec(),
            ..WorldSpec::default()
        }));
        site.sim.s3(|s3| s3.wrong_region = wrong_region);
        // One at a time, or several would ask before the first has an answer.
        site.properties += "downloadMode=single\n";
        site.rcbs(&[]).exits(0);
        site.assert_holds(|_| true);
        let requests = site.sim.requests();
        let refused: Vec<_> =
            requests.iter().filter(|one| one.route == Route::S3 && one.status != 200).collect();
        assert!(refused.iter().all(|request| request.status == status));
        let mut sent_away: Vec<&str> = refused
            .iter()
            .filter_map(|request| Some(request.key.as_deref()?.split_once('/')?.0))
            .collect();
        sent_away.sort();
        assert_eq!(sent_away, ["b-ap-southeast-2", "b-eu-central-1", "b-us-west-2"]);
    }
}

#[test]
fn a_session_token_is_sent_with_the_keys_it_belongs_to() {
    let mut site = site();
    site.add("R", now_ms() - HOUR_MS);
    site.sim.s3(|s3| s3.session_token = Some("the token".to_owned()));
    site.rcbs(&[]).exits(4).says("InvalidAccessKeyId");
    site.environment.insert("AWS_SESSION_TOKEN", Some("another token".to_owned()));
    site.rcbs(&[]).exits(4).says("InvalidToken");
    site.environment.insert("AWS_SESSION_TOKEN", Some("the token".to_owned()));
    site.rcbs(&[]).exits(0);
    site.assert_holds(|_| true);
}

#[test]
fn the_hash_of_the_payload_is_signed_if_the_operator_wants_it() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (line, expected) in [("", "UNSIGNED-PAYLOAD"), ("usePayloadSigning=true\n", empty)] {
        let mut site = site();
        site.properties += line;
        site.add("R", now_ms() - HOUR_MS);
        site.rcbs(&[]).exits(0);
        let requests = site.sim.requests();
        let signed = requests.iter().filter(|request| request.route == Route::S3);
        let hashes: Vec<_> = signed.map(|request| request.payload_hash.as_deref()).collect();
        assert_eq!(hashes, [Some(expected)]);
    }
}

/// Lists a recording whose one media file stands behind an address; gives the object's bytes.
fn add_behind(site: &Site, id: &str, bucket: &str, pointer: &str) -> Vec<u8> {
    let at = now_ms() - HOUR_MS;
    let media = Media::voice(&format!("{id}.mp3.bin"), bucket, 80);
    let json = format!(
        r#"{{"id":"{id}","startTime":"{}","mediaFiles":[{{"mediaId":"{}","type":"audio/mp3",{pointer}}}]}}"#,
        api_time(at),
        media.media_id
    );
    let key = media.key.clone();
    site.sim.edit(|world| world.add(Recording::new(id, at).with(media).with_json(json)));
    site.sim.world().expected_object(bucket, &key)
}

fn held(site: &Site, id: &str) -> Option<Vec<u8>> {
    let end = format!("/{id}.mp3.bin");
    site.tree().into_iter().find(|(path, _)| path.ends_with(&end)).map(|(_, bytes)| bytes)
}

#[test]
fn media_on_the_origin_of_gws_are_fetched_with_its_login() {
    let site = site();
    let path = |id: &str| format!("/api/v2/media/{BUCKET}/by-hand/{id}.mp3.bin");
    let origin = site.sim.gws_uri_prefix().replace("/api/v2", "");
    let relative = format!(r#""mediaUri":"{}""#, path("A"));
    let absolute = format!(r#""mediaUri":"{origin}{}""#, path("B"));
    let dav = format!(r#""mediaDescriptor":{{"storage":"webDAV","path":"{origin}{}"}}"#, path("C"));
    let expected = [("A", relative), ("B", absolute), ("C", dav)]
        .map(|(id, pointer)| (id, add_behind(&site, id, BUCKET, &pointer)));
    site.rcbs(&[]).exits(0);
    for (id, bytes) in expected {
        assert!(held(&site, id) == Some(bytes), "{id}");
    }
    let requests = site.sim.requests();
    let mut asked = requests.iter().filter(|request| request.route == Route::Media);
    assert!(asked.all(|request| request.user.as_deref() == Some(rcbs_sim::gws::USER)));
}

#[test]
fn media_elsewhere_are_fetched_from_listed_origins_only_and_without_the_login() {
    let mut site = site();
    let other = Sim::of(WorldSpec { recordings: 0, ..WorldSpec::default() });
    other.gws(|gws| gws.media_public = true);
    let media = Media::voice("A.mp3.bin", BUCKET, 80);
    other.edit(|world| world.put_object(media));
    let uri = format!("{}/media/{BUCKET}/by-hand/A.mp3.bin", other.gws_uri_prefix());
    let expected = add_behind(&site, "A", BUCKET, &format!(r#""mediaUri":"{uri}""#));
    // So that not everything fails.
    site.add("B", now_ms() - HOUR_MS);

    let run = site.rcbs(&[]);
    run.exits(3).says("recording `A`: media `A.mp3.bin`: ").says("mediaOrigins");
    assert!(other.requests().is_empty());

    let origin = other.gws_uri_prefix().replace("/api/v2", "");
    site.properties += &format!("mediaOrigins={origin}\n");
    site.rcbs(&[]).exits(0);
    assert!(held(&site, "A") == Some(expected));
    assert!(other.requests().iter().all(|request| request.user.is_none()));
}

#[test]
fn an_origin_that_wants_a_login_fails_its_own_media_and_no_others() {
    let mut site = site();
    let other = Sim::of(WorldSpec { recordings: 0, ..WorldSpec::default() });
    let uri = format!("{}/media/{BUCKET}/by-hand/A.mp3.bin", other.gws_uri_prefix());
    add_behind(&site, "A", BUCKET, &format!(r#""mediaUri":"{uri}""#));
    for n in 0..40 {
        site.add(&format!("B{n}"), now_ms() - HOUR_MS);
    }
    let origin = other.gws_uri_prefix().replace("/api/v2", "");
    site.properties += &format!("mediaOrigins={origin}\nmaxConnections=2\n");
    let run = site.rcbs(&[]);
    run.exits(3).says("recording `A`: media `A.mp3.bin`: ").says("access denied");
    site.assert_holds_but(&["A.mp3.bin"], |_| true);
}

#[test]
fn a_redirect_leads_no_further_than_the_listed_origins() {
    let site = site();
    let other = Sim::of(WorldSpec { recordings: 0, ..WorldSpec::default() });
    let uri = format!("/api/v2/media/{BUCKET}/by-hand/A.mp3.bin");
    let away = Action::Answer {
        status: 302,
        headers: vec![("Location".to_owned(), format!("{}/x", other.gws_uri_prefix()))],
        body: String::new(),
    };
    site.sim.add_fault(Fault::on(Route::Media, away).containing("A.mp3.bin"));
    add_behind(&site, "A", BUCKET, &format!(r#""mediaUri":"{uri}""#));
    site.add("B", now_ms() - HOUR_MS);
    site.rcbs(&[]).exits(3).says("recording `A`: media `A.mp3.bin`: ").says("mediaOrigins");
    assert!(other.requests().is_empty());
}

#[test]
fn three_redirects_within_the_origin_are_followed_and_no_fourth() {
    let site = site();
    let hop = |to: &str| Action::Answer {
        status: 302,
        headers: vec![("Location".to_owned(), to.to_owned())],
        body: String::new(),
    };
    for (from, to) in [("hop4", "hop3"), ("hop3", "hop2"), ("hop2", "hop1")] {
        site.sim.add_fault(Fault::on(Route::Media, hop(to)).containing(from));
    }
    let object = format!("{BUCKET}/by-hand/A.mp3.bin");
    let last = hop(&format!("/api/v2/media/{object}"));
    site.sim.add_fault(Fault::on(Route::Media, last).containing("hop1"));
    let expected = add_behind(&site, "A", BUCKET, r#""mediaUri":"/api/v2/media/x/hop3""#);
    add_behind(&site, "B", BUCKET, r#""mediaUri":"/api/v2/media/x/hop4""#);
    let run = site.rcbs(&[]);
    run.exits(3).says("recording `B`: media `B.mp3.bin`: ").says("more than 3 redirects");
    assert!(held(&site, "A") == Some(expected));
    assert_eq!(run.counts()[2], 1, "{run}");
}
