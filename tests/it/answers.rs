//! Whatever the metadata API answers: understood, tried again, or named; never an empty page.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use rcbs_sim::{Action, Fault, Hits, Media, Recording, Route, Sim, WorldSpec};

use crate::harness::{DAY_MS, Site, files_below, now_ms};

fn on_listing(action: Action) -> Fault {
    Fault::on(Route::Listing, action)
}

#[test]
fn an_answer_that_is_no_page_is_never_an_empty_page() {
    let check = "hint: check gwsUriPrefix and the proxy, with `--verify s3`";
    let login = "hint: check GWS_USERNAME and GWS_PASSWORD";
    let permission = "hint: give the GWS user the permission to download recordings";
    for (action, code, words, hint) in [
        (Action::json(200, r#"{"statusCode":0}"#), 7, "it has: statusCode", check),
        (Action::json(200, r#"{"statusCode":0,"items":[]}"#), 7, "statusCode, items", check),
        (Action::json(200, r#"{"recordings":[]}"#), 7, "it has: recordings", check),
        (Action::json(200, "[]"), 7, "not a JSON object: begins with \"[\"", check),
        (Action::html(), 7, "not JSON: begins with \"<!DOCTYPE\"", check),
        (Action::json(200, ""), 7, "the JSON breaks off after 0 bytes", check),
        (Action::gws_code(200, 4), 7, "HTTP 200, statusCode 4: planned", check),
        (Action::gws_code(500, 4), 7, "HTTP 500, statusCode 4: planned", check),
        (Action::gws_code(200, 7), 7, "HTTP 200, statusCode 7: planned", check),
        (Action::gws_code(404, 6), 7, "HTTP 404, statusCode 6: planned", check),
        (Action::status(503), 7, "HTTP 503", check),
        (Action::gws_code(200, 3), 4, "HTTP 200, statusCode 3: planned", permission),
        (Action::gws_code(403, 3), 4, "HTTP 403, statusCode 3: planned", permission),
        (Action::gws_code(403, 5), 4, "HTTP 403, statusCode 5: planned", permission),
        (Action::gws_code(200, 20), 4, "HTTP 200, statusCode 20", login),
        (Action::gws_code(401, 20), 4, "HTTP 401, statusCode 20", login),
        (Action::status(401), 4, "HTTP 401, statusCode 20", login),
    ] {
        let site = Site::of(5);
        site.sim.add_fault(on_listing(action));
        let run = site.rcbs(&["--set", "shardBy=3", "--set", "s3MaxErrorRetry=0"]);
        run.exits(code).says(words).says(hint);
        assert_eq!(site.watermark(), None, "{run}");
    }
}

#[test]
fn a_listing_without_recordings_leaves_no_watermark() {
    let site = Site::of(5);
    site.sim.gws(|gws| gws.recordings_omitted = true);
    site.rcbs(&[]).exits(7).says("GWS never gave a usable answer");
    assert_eq!((site.watermark(), site.tree().len()), (None, 0));
}

#[test]
fn passing_trouble_is_retried_until_all_is_held() {
    for action in [
        Action::Truncate(700),
        Action::ResetAfter(700),
        Action::Reset,
        Action::Close,
        Action::status(502),
        Action::gws_code(200, 7),
        Action::gws_code(500, 4),
    ] {
        let site = Site::of(12);
        site.sim.add_fault(on_listing(action.clone()).hits(Hits::Nth(2)));
        let run = site.rcbs(&["--set", "metadataOnly=true"]);
        assert_eq!(run.code, 0, "{action:?}\n{run}");
        assert_eq!(site.tree().len(), 12, "{action:?}\n{run}");
    }
}

#[test]
fn a_server_that_wants_to_be_left_alone_names_the_wait() {
    let site = Site::of(5);
    site.sim.add_fault(on_listing(Action::retry_after(429, 1)).hits(Hits::First(1)));
    let run = site.rcbs(&["--verbose"]);
    // Our own first pause would be far below a second.
    run.exits(0).says("error=GWS answered HTTP 429 delay=1s");
    site.assert_holds(|_| true);
}

#[test]
fn a_record_without_id_or_time_is_kept_aside_and_counted() {
    let site = Site::of(10);
    let at = now_ms() - DAY_MS;
    let broken = [
        r#"{"startTime":"2026-01-01T00:00:00.000+0000","mediaFiles":[]}"#,
        r#"{"id":"NOTIME","mediaFiles":[]}"#,
        r#"{"id":"BADTIME","startTime":"yesterday","mediaFiles":[]}"#,
    ];
    site.sim.edit(|world| {
        for (n, json) in broken.into_iter().enumerate() {
            world.add(Recording::new(&format!("BROKEN{n}"), at).with_json(json));
        }
    });
    let run = site.rcbs(&[]);
    run.exits(3).says("records that cannot be read: 3");
    let rejected = files_below(&site.target().join(".rcbs/rejected"));
    for json in broken {
        assert!(rejected.values().any(|kept| kept == json.as_bytes()), "{json}\n{run}");
    }
    assert_eq!(rejected.len(), broken.len(), "{run}");
    let is_whole = |one: &Recording| !one.id.starts_with("BROKEN");
    site.assert_holds(is_whole);

    let again = site.rcbs(&[]);
    again.exits(3);
    assert_eq!(files_below(&site.target().join(".rcbs/rejected")).len(), broken.len(), "{again}");
}

#[test]
fn a_record_that_would_fill_the_memory_costs_only_itself() {
    let site = Site::of(0);
    let at = now_ms() - DAY_MS;
    let record = |n: i64, filler: usize| {
        let (id, at) = (format!("R{n}"), at + n);
        let filler = "x".repeat(filler);
        let json = format!(r#"{{"id":"{id}","startTime":"{at}","mediaFiles":[],"x":"{filler}"}}"#);
        Recording::new(&id, at).with_json(json)
    };
    // Close together, because each request that touches the huge one brings all of it.
    let sizes = [(0, 100), (1_002, 17 << 20)];
    site.sim.edit(|world| sizes.map(|(n, size)| world.add(record(n, size))));
    let [from, to] = [at, at + 1_004].map(|at| at.to_string());
    let run = site.rcbs(
        &[
            &["--from", &from, "--to", &to, "--set", "shardBy=PT1S"][..],
            &["--set", "s3MaxErrorRetry=0", "--set", "metadataOnly=true"],
        ]
        .concat(),
    );
    run.exits(3).says("is larger than 16777216 bytes");
    let held: Vec<String> = site.tree().into_keys().collect();
    assert!(held.len() == 1 && held[0].ends_with("/R0/R0_metadata.json"), "{held:?}\n{run}");
}

#[test]
fn the_session_cookie_is_kept() {
    let site = Site::of(10);
    site.sim.gws(|gws| gws.cookie_required = true);
    site.rcbs(&[]).exits(0);
    site.assert_holds(|_| true);
}

#[test]
fn the_login_goes_to_no_other_origin() {
    let elsewhere = Sim::of(WorldSpec { recordings: 0, ..WorldSpec::default() });
    let prefix = elsewhere.gws_uri_prefix();
    let origin = prefix.strip_suffix("/api/v2").unwrap();

    let site = Site::of(5);
    site.sim.gws(|gws| gws.redirect_to = Some(origin.to_owned()));
    site.rcbs(&[])
        .exits(7)
        .says(&format!("GWS redirects to another origin, `{origin}`"))
        .says("hint: set gwsUriPrefix to the address that the service really has");
    assert!(elsewhere.requests().is_empty());

    // Media may be fetched from listed origins, but without the login.
    let site = Site::of(0);
    let at = now_ms() - DAY_MS;
    let media = |name: &str, uri: String| {
        let media = Media::voice(name, "recordings-usw1", 500);
        Recording::new(name, at).with(Media { uri: Some(uri), ..media })
    };
    let path = "/api/v2/media/recordings-usw1/by-hand/FOREIGN";
    site.sim.edit(|world| {
        world.add(media("FOREIGN", format!("{origin}{path}")));
        world.add(media("OWN", "/api/v2/media/recordings-usw1/by-hand/OWN".to_owned()));
    });
    let run = site.rcbs(&[]);
    run.exits(3).says("its origin is not in `mediaOrigins`");
    assert!(elsewhere.requests().is_empty());
    assert_eq!(run.counts(), [1, 0, 1, 2], "GWS's own media come with its login\n{run}");
    elsewhere.gws(|gws| gws.media_public = true);
    elsewhere.edit(|world| world.put_object(Media::voice("FOREIGN", "recordings-usw1", 500)));
    site.rcbs(&["--set", &format!("mediaOrigins={origin}")]).exits(0);
    let asked = elsewhere.requests();
    assert!(!asked.is_empty() && asked.iter().all(|request| request.user.is_none()), "{asked:?}");
}

#[test]
fn memory_does_not_grow_with_the_size_of_a_page() {
    let small = peak_kib(1_000);
    let huge = peak_kib(600_000);
    assert!(huge < small + 32 * 1024, "{small} KiB with small pages, {huge} KiB with huge ones");
}

/// The most memory that a run over one page of 100 records of this size ever had.
fn peak_kib(bytes: usize) -> u64 {
    let site = Site::of(0);
    site.sim.edit(|world| {
        for n in 0..100 {
            let (id, at) = (format!("R{n:03}"), now_ms() - DAY_MS + n * 1_000);
            let filler = "x".repeat(bytes);
            let json =
                format!(r#"{{"id":"{id}","startTime":"{at}","mediaFiles":[],"x":"{filler}"}}"#);
            world.add(Recording::new(&id, at).with_json(json));
        }
    });
    // A full pipe holds the program up where it prints its last line, so that it can be looked at.
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'.'; 65_536]).unwrap();
    let mut child = site
        .command(&["--dry-run", "--set", "shardBy=3"])
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("Finished <from")));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    let printed = std::thread::spawn(move || std::io::read_to_string(&mut reader).unwrap());
    assert!(lines.all(|line| line.is_ok()) && child.wait().unwrap().success());
    assert!(printed.join().unwrap().ends_with("100 recordings listed, 100 of this instance\n"));
    peak
}
