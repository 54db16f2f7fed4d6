//! The cloud as its clients meet it: over real HTTP, with real signatures.

mod client;

use client::{Answer, Signed, ask, basic, gws, ids};

use crate::gws::{Drift, Links, Order, Settings};
use crate::s3::{Algorithm, ETagKind, WrongRegion};
use crate::world::Bucket;
use crate::{
    Action, Fault, Form, Hits, Media, Proxy, Recording, Route, Sim, SimOptions, TlsOptions,
    WorldSpec,
};

const ALL: &str = "startTimeRange=0,9999999999999";

fn small() -> Sim {
    Sim::of(WorldSpec { recordings: 25, screen_share: 0.5, ..WorldSpec::default() })
}

fn all_media(sim: &Sim) -> Vec<Media> {
    sim.world().recordings().flat_map(|recording| recording.media.clone()).collect()
}

fn path(media: &Media) -> String {
    format!("/{}/{}", media.bucket, media.key)
}

#[test]
fn every_object_of_the_world_is_served_byte_for_byte_to_signed_requests() {
    for form in
        [Form::Attached, Form::AttachedBer, Form::Detached, Form::Plain, Form::Garbage, Form::Empty]
    {
        let sim =
            Sim::of(WorldSpec { recordings: 8, screen_share: 0.5, form, ..WorldSpec::default() });
        for media in all_media(&sim) {
            let answer = Signed::get(&path(&media)).send(&sim);
            assert_eq!((answer.status, answer.whole), (200, true), "{}", answer.text());
            assert_eq!(answer.body, sim.world().expected_object(&media.bucket, &media.key));
            let md5 = crate::s3::md5_hex(&media.object().unwrap());
            assert_eq!(answer.header("etag"), Some(format!("\"{md5}\"").as_str()));
        }
    }
}

#[test]
fn ranges_conditions_and_heads_are_answered_as_s3_does() {
    let sim = small();
    let media = all_media(&sim).into_iter().find(Media::is_screen).unwrap();
    let path = path(&media);
    let whole = sim.world().expected_object(&media.bucket, &media.key);
    let etag = Signed::get(&path).send(&sim).header("etag").unwrap().to_owned();
    let range = |range| Signed::get(&path).with("Range", range).send(&sim);
    let answer = range("bytes=10-19");
    assert_eq!((answer.status, answer.body.as_slice()), (206, &whole[10..20]));
    assert_eq!(
        answer.header("content-range"),
        Some(format!("bytes 10-19/{}", whole.len()).as_str())
    );
    assert_eq!(range("bytes=-5").body, whole[whole.len() - 5..]);
    assert_eq!(range("bytes=99999999-").status, 416);
    assert_eq!(Signed::get(&path).with("If-Match", &etag).send(&sim).status, 200);
    assert_eq!(Signed::get(&path).with("If-Match", "\"0\"").send(&sim).status, 412);
    assert_eq!(Signed::get(&path).with("If-None-Match", &etag).send(&sim).status, 304);
    let head = Signed { method: "HEAD", ..Signed::get(&path) }.send(&sim);
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), Some(whole.len().to_string().as_str()));
    assert!(head.body.is_empty());
}

#[test]
fn s3_refuses_with_the_codes_of_aws() {
    let sim = small();
    let media = all_media(&sim).remove(0);
    let path = path(&media);
    let get = || Signed::get(&path);
    let cases: [(&str, Answer, u16); 6] = [
        ("InvalidAccessKeyId", Signed { access_key: "AKIANOBODY", ..get() }.send(&sim), 403),
        ("SignatureDoesNotMatch", Signed { secret_key: "wrong", ..get() }.send(&sim), 403),
        ("RequestTimeTooSkewed", Signed { minutes_off: -20, ..get() }.send(&sim), 403),
        ("AuthorizationHeaderMalformed", Signed { region: "eu-west-1", ..get() }.send(&sim), 400),
        ("NoSuchBucket", Signed::get("/no-such-bucket/x").send(&sim), 404),
        ("NoSuchKey", Signed::get("/recordings-usw1/x").send(&sim), 404),
    ];
    for (code, answer, status) in cases {
        assert_eq!(answer.status, status, "{code}: {}", answer.text());
        assert!(
            answer.text().contains(&format!("<Code>{code}</Code>")),
            "{code}: {}",
            answer.text()
        );
    }
    assert_eq!(ask(&sim.s3_endpoint(), "GET", &path.replace('+', "%2B"), &[]).status, 403);

    sim.s3(|s3| s3.wrong_region = WrongRegion::Redirect);
    let moved = Signed { region: "eu-west-1", ..get() }.send(&sim);
    assert_eq!((moved.status, moved.header("x-amz-bucket-region")), (301, Some("us-west-2")));
    assert!(moved.text().contains("<Region>us-west-2</Region>"));

    sim.s3(|s3| s3.denied.push(media.key.clone()));
    assert_eq!(get().send(&sim).status, 403);
    sim.s3(|s3| (s3.denied, s3.session_token) = (Vec::new(), Some("token".to_owned())));
    assert!(get().send(&sim).text().contains("InvalidAccessKeyId"));
    assert!(get().with("x-amz-security-token", "old").send(&sim).text().contains("InvalidToken"));
    assert_eq!(get().with("x-amz-security-token", "token").send(&sim).status, 200);
    sim.s3(|s3| s3.expired = true);
    assert!(get().with("x-amz-security-token", "token").send(&sim).text().contains("ExpiredToken"));
    sim.s3(|s3| (s3.expired, s3.session_token) = (false, None));
    sim.clock_offset(-20 * 60_000);
    assert!(get().send(&sim).text().contains("RequestTimeTooSkewed"));
    assert_eq!(Signed { minutes_off: -20, ..get() }.send(&sim).status, 200);
}

#[test]
fn checksums_and_etags_are_what_the_behaviour_says() {
    let sim = small();
    let media = all_media(&sim).remove(0);
    let path = path(&media);
    let headers = [
        (Algorithm::Crc32, "x-amz-checksum-crc32", 8),
        (Algorithm::Crc32c, "x-amz-checksum-crc32c", 8),
        (Algorithm::Crc64Nvme, "x-amz-checksum-crc64nvme", 12),
        (Algorithm::Sha1, "x-amz-checksum-sha1", 28),
        (Algorithm::Sha256, "x-amz-checksum-sha256", 44),
    ];
    for (algorithm, name, length) in headers {
        sim.s3(|s3| s3.checksum = Some(algorithm));
        let asked = Signed::get(&path).with("x-amz-checksum-mode", "ENABLED").send(&sim);
        assert_eq!(asked.header(name).map(str::len), Some(length), "{name}");
        assert_eq!(Signed::get(&path).send(&sim).header(name), None);
    }
    sim.s3(|s3| s3.etag = ETagKind::Multipart);
    assert!(Signed::get(&path).send(&sim).header("etag").unwrap().ends_with("-1\""));
    sim.s3(|s3| s3.etag = ETagKind::Kms);
    let kms = Signed::get(&path).send(&sim);
    assert_eq!(kms.header("x-amz-server-side-encryption"), Some("aws:kms"));
    assert_eq!(kms.header("etag").unwrap().len(), 34);
}

#[test]
fn buckets_say_where_they_are_and_what_is_in_them() {
    let sim = small();
    let bucket = |method: &str, query: &str, region: &str| {
        Signed { method, query, region, ..Signed::get("/recordings-usw1") }.send(&sim)
    };
    let head = bucket("HEAD", "", "us-west-2");
    assert_eq!((head.status, head.header("x-amz-bucket-region")), (200, Some("us-west-2")));
    let head = bucket("HEAD", "", "eu-west-1");
    assert_eq!((head.status, head.header("x-amz-bucket-region")), (400, Some("us-west-2")));
    assert!(bucket("GET", "location=", "us-east-1").text().contains("us-west-2"));
    let text =
        bucket("GET", "delimiter=%2F&list-type=2&prefix=tenant-2027%2F2026%2F03%2F", "us-west-2")
            .text();
    assert!(text.contains("<Prefix>tenant-2027/2026/03/02/</Prefix>"), "{text}");
    let mut keys = Vec::new();
    let mut after = String::new();
    loop {
        let query = format!("{after}list-type=2&max-keys=7&prefix=tenant-2027%2F");
        let text = bucket("GET", &query, "us-west-2").text();
        keys.extend(
            text.split("<Key>").skip(1).map(|part| part.split('<').next().unwrap().to_owned()),
        );
        let Some(token) = text.split("<NextContinuationToken>").nth(1) else { break };
        let token = token.split('<').next().unwrap().replace('/', "%2F").replace('+', "%2B");
        after = format!("continuation-token={token}&");
    }
    let mut expected: Vec<String> = all_media(&sim).into_iter().map(|media| media.key).collect();
    expected.sort();
    assert_eq!(keys, expected);
}

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
fn each_bucket_answers_for_its_own_region_alone() {
    let buckets = vec![Bucket::new("one", "us-west-2"), Bucket::new("two", "eu-central-1")];
    let sim = Sim::of(WorldSpec { recordings: 20, buckets, ..WorldSpec::default() });
    for media in all_media(&sim) {
        for region in ["us-west-2", "eu-central-1"] {
            let answer = Signed { region, ..Signed::get(&path(&media)) }.send(&sim);
            let expected =
                if (media.bucket == "one") == (region == "us-west-2") { 200 } else { 400 };
            assert_eq!(answer.status, expected, "{} {region}", media.bucket);
        }
    }
    sim.s3(|s3| (s3.wrong_region, s3.listing_denied) = (WrongRegion::Ignored, true));
    let list = Signed { query: "list-type=2", ..Signed::get("/two") }.send(&sim);
    assert!(list.text().contains("AccessDenied"));
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

#[test]
fn each_fault_does_to_an_answer_what_it_says() {
    let sim = small();
    let media = all_media(&sim).remove(0);
    let path = path(&media);
    let whole = sim.world().expected_object(&media.bucket, &media.key);
    let strike = |action: Action| {
        sim.clear_faults();
        sim.add_fault(Fault::on(Route::S3, action).containing(&media.key).hits(Hits::Nth(1)));
        let struck = Signed::get(&path).send(&sim);
        assert_eq!(Signed::get(&path).send(&sim).body, whole, "the second request is not struck");
        struck
    };
    assert_eq!(strike(Action::Reset).status, 0);
    assert_eq!(strike(Action::Close).status, 0);
    let slow_down = strike(Action::s3_error(503, "SlowDown"));
    assert_eq!(slow_down.status, 503);
    assert!(slow_down.text().contains("<Code>SlowDown</Code>"));
    assert_eq!(strike(Action::retry_after(429, 2)).header("retry-after"), Some("2"));
    for cut in [Action::Truncate(100), Action::ResetAfter(100)] {
        let answer = strike(cut.clone());
        assert!(!answer.whole && answer.body.len() <= 100, "{cut:?} {}", answer.body.len());
    }
    assert_eq!(strike(Action::Truncate(100)).body, whole[..100]);
    let longer = strike(Action::WrongLength(5));
    assert_eq!((longer.body.len(), longer.whole), (whole.len(), false));
    let shorter = strike(Action::WrongLength(-5));
    assert_eq!((shorter.body.len(), shorter.whole), (whole.len() - 5, true));
    assert_eq!(strike(Action::WrongETag("feed".to_owned())).header("etag"), Some("\"feed\""));
    let mut changed = whole.clone();
    changed[7] ^= 0xFF;
    assert_eq!(strike(Action::Corrupt(7)).body, changed);
    let began = std::time::Instant::now();
    assert_eq!(strike(Action::Trickle(whole.len() as u64 * 4)).body, whole);
    assert!(began.elapsed().as_millis() >= 200);
    let began = std::time::Instant::now();
    assert_eq!(strike(Action::Delay(std::time::Duration::from_millis(50))).body, whole);
    assert!(began.elapsed().as_millis() >= 50);
    assert!(strike(Action::html()).text().contains("<html>"));
    let request = sim.requests().into_iter().find(|request| !request.faults.is_empty()).unwrap();
    assert_eq!((request.status, request.opens_media()), (0, true));
}

#[test]
fn listings_can_be_empty_or_repeated_by_a_fault() {
    let sim = small();
    sim.gws(|gws| (gws.cap, gws.links) = (10, Some(Links::new("next"))));
    let first = ids(&sim, &format!("{ALL}&limit=100"));
    sim.add_fault(Fault::on(Route::Listing, Action::RepeatedPage).hits(Hits::Nth(1)));
    assert_eq!(ids(&sim, &format!("{ALL}&limit=100&offset=10")), first);
    sim.add_fault(Fault::on(Route::Listing, Action::EmptyPage));
    assert!(ids(&sim, &format!("{ALL}&limit=100")).is_empty());
    let code = Fault::on(Route::Settings, Action::gws_code(200, 4));
    sim.add_fault(code);
    assert_eq!(gws(&sim, "/me/settings/rcbs").json()["statusCode"], 4);
}

#[test]
fn the_log_counts_what_was_sent() {
    let sim = small();
    let media = all_media(&sim).remove(0);
    let answer = Signed::get(&path(&media)).with("Range", "bytes=0-9").send(&sim);
    let request = sim.requests().pop().unwrap();
    assert_eq!((request.number, request.status, request.bytes_sent), (1, answer.status, 10));
    assert_eq!(request.range.as_deref(), Some("bytes=0-9"));
    assert_eq!(sim.media_opened(), [format!("{}/{}", media.bucket, media.key)]);
    sim.clear_requests();
    assert!(sim.requests().is_empty());
    std::thread::scope(|scope| {
        scope.spawn(|| gws(&sim, "/me/settings/rcbs"));
        assert!(sim.wait_for(|request| request.route == Route::Settings && request.status == 200));
    });
}

#[test]
fn the_proxy_passes_on_and_wants_its_login() {
    let sim = small();
    let target = format!("{}/me/settings/rcbs", sim.gws_uri_prefix());
    let login = basic(crate::gws::USER, crate::gws::PASSWORD);
    let proxy = Proxy::start();
    let origin = format!("http://127.0.0.1:{}", proxy.port());
    assert_eq!(ask(&origin, "GET", &target, &[("Authorization", &login)]).status, 200);
    let host = sim.s3_endpoint().split("//").last().unwrap().to_owned();
    let tunnel = ask(&origin, "CONNECT", &host, &[]);
    assert_eq!(tunnel.status, 200);
    let gws_host = target.split('/').nth(2).unwrap();
    assert_eq!(proxy.asked(), [format!("GET {gws_host}"), format!("CONNECT {host}")]);

    let guarded = Proxy::start_with_login("user", "word");
    let origin = format!("http://127.0.0.1:{}", guarded.port());
    let proxy_login = basic("user", "word");
    assert_eq!(ask(&origin, "GET", &target, &[("Authorization", &login)]).status, 407);
    let wrong_login = basic("user", "wrong");
    let wrong = [("Authorization", login.as_str()), ("Proxy-Authorization", &wrong_login)];
    assert_eq!(ask(&origin, "GET", &target, &wrong).status, 407);
    let both = [("Authorization", login.as_str()), ("Proxy-Authorization", &proxy_login)];
    assert_eq!(ask(&origin, "GET", &target, &both).status, 200);
}

#[test]
fn tls_is_trusted_with_the_authority_unless_the_certificate_is_bad() {
    use openssl::ssl::{SslConnector, SslMethod};

    let cases = [(false, false, true), (true, false, false), (false, true, false)];
    for (expired, wrong_host, trusted) in cases {
        let tls = Some(TlsOptions { expired, wrong_host });
        let sim = Sim::start(SimOptions { tls, ..SimOptions::default() });
        assert!(sim.s3_endpoint().starts_with("https://127.0.0.1:"));
        let ca = openssl::x509::X509::from_pem(sim.ca_pem().unwrap().as_bytes()).unwrap();
        let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
        connector.cert_store_mut().add_cert(ca).unwrap();
        let connector = connector.build();
        for origin in [sim.s3_endpoint(), sim.gws_uri_prefix()] {
            let host = origin.split('/').nth(2).unwrap().to_owned();
            let tcp = std::net::TcpStream::connect(host).unwrap();
            assert_eq!(
                connector.connect("127.0.0.1", tcp).is_ok(),
                trusted,
                "{expired} {wrong_host}"
            );
        }
    }
}

#[test]
#[should_panic(expected = "planned faults that never struck")]
fn dropping_a_cloud_whose_fault_never_struck_fails() {
    small().add_fault(Fault::on(Route::S3, Action::Reset));
}
