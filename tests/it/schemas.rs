//! `--json` and `--log-format json`: what is printed, held against the schemas in docs/schema.

mod validator;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rcbs_sim::{Action, Fault, Form, Proxy, Recording, Route, Sim, WorldSpec, envelope};
use serde_json::Value;

use self::validator::validate;
use crate::harness::{BUCKET, DAY_MS, REGION, Run, Site, files_below, now_ms};

/// The schemas by their names.
fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schema/{name}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_json::from_str(&text).unwrap()
}

/// What was seen: the names of schemas, and the events of log lines.
#[derive(Default)]
struct Seen(RefCell<BTreeSet<String>>);

impl Seen {
    /// Runs a command, and holds its only document and all its messages against their schemas.
    #[track_caller]
    fn document(&self, site: &Site, code: i32, name: &str, args: &[&str]) -> Value {
        let run = site.rcbs(&[&["--log-format", "json"], args, &["--json"]].concat());
        run.exits(code);
        let document: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run}"));
        assert_eq!(document["schema"], format!("rcbs/{name}/1"), "{run}");
        if let Err(wrong) = validate(&schema(name), &document) {
            panic!("{wrong}\n{run}");
        }
        if let Some(told) = document.get("exitCode") {
            assert_eq!(*told, code, "{run}");
        }
        self.0.borrow_mut().insert(name.to_owned());
        self.lines(&run);
        document
    }

    #[track_caller]
    fn lines(&self, run: &Run) {
        let schema = schema("log-line");
        for line in run.stderr.lines() {
            let line: Value =
                serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}\n{run}"));
            if let Err(wrong) = validate(&schema, &line) {
                panic!("{line}\n{wrong}\n{run}");
            }
            let event = line["event"].as_str().unwrap();
            self.0.borrow_mut().insert(format!("event {event}"));
        }
    }

    /// Runs a backup, and holds its messages against their schema.
    #[track_caller]
    fn backup(&self, site: &Site, code: i32, args: &[&str]) {
        let run = site.rcbs(&[&["--log-format", "json"], args].concat());
        run.exits(code);
        self.lines(&run);
    }
}

/// A site with recordings of every form, one of which fails, and records that cannot be read.
fn site() -> Site {
    let to_ms = now_ms() - 5_000;
    let mut site = Site::over(Sim::of(WorldSpec {
        from_ms: to_ms - DAY_MS,
        to_ms,
        recordings: 12,
        forms: vec![Form::Attached, Form::AttachedBer, Form::Detached],
        recipients: 2,
        ..WorldSpec::default()
    }));
    site.properties += REGION;
    site.add("FAILS", to_ms - DAY_MS / 2);
    let broken = r#"{"startTime":"2026-01-01T00:00:00.000+0000","mediaFiles":[]}"#;
    site.sim.edit(|world| {
        world.add(Recording::new("BROKEN", to_ms - DAY_MS / 2).with_json(broken));
        world.add_burst(to_ms - DAY_MS / 2 + 5, 130);
    });
    site.sim.gws(|gws| gws.cap = 100);
    let fault = Fault::on(Route::S3, Action::s3_error(403, "AccessDenied")).containing("FAILS");
    site.sim.add_fault(fault);
    site
}

fn put(site: &Site, path: &str, bytes: &[u8]) {
    let path = site.folder.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn every_document_of_every_command_is_as_its_schema_says() {
    let seen = Seen::default();
    let site = site();
    envelope::write_keys(&site.folder.path().join("keys")).unwrap();

    // Before there is a target.
    let shown = seen.document(&site, 0, "config", &["config"]);
    assert_eq!((&shown["watermark"], &shown["window"]["shards"]), (&Value::Null, &3.into()));
    seen.document(&site, 2, "error", &["config", "--set", "maxAge=soon", "--set", "numThreads=0"]);
    seen.document(&site, 2, "error", &["audit", "--config", "absent.properties"]);
    seen.document(&site, 6, "error", &["check"]);
    seen.document(&site, 6, "error", &["audit"]);
    seen.document(&site, 2, "error", &["decrypt", "--keys", "absent", "--out", "opened"]);
    let any_age = seen.document(&site, 0, "config", &["config", "--set", "maxAge=0"]);
    assert_eq!(any_age["window"]["from"], Value::Null);
    let from_to = ["--from", "2100-01-01"];

    seen.backup(&site, 3, &["--set", "retentionDays=1"]);
    seen.backup(&site, 3, &["--dry-run"]);
    let shown = seen.document(&site, 0, "config", &["config"]);
    assert!(shown["watermark"].is_string());
    let timetable =
        seen.document(&site, 0, "config", &["config", "--set", "bandwidth=08:00,5M 19:00,off"]);
    assert!(timetable["bandwidthNow"].is_string());

    site.add("NEW", now_ms() - DAY_MS / 3);
    let audited = seen.document(&site, 3, "audit", &["audit"]);
    let states: BTreeSet<_> =
        audited["notHeld"].as_array().unwrap().iter().map(|one| one["state"].to_string()).collect();
    assert_eq!(states.len(), 4, "failed, missing, rejected, unlisted: {states:?}");
    let nothing = seen.document(&site, 0, "audit", &[&["audit"][..], &from_to].concat());
    assert!(nothing["nothingAsked"].is_string());
    seen.document(&site, 0, "estimate", &[&["estimate"][..], &from_to].concat());
    let estimated = seen.document(&site, 3, "estimate", &["estimate"]);
    assert!(estimated["unlisted"][0]["cause"].is_string());
    seen.document(
        &site,
        0,
        "estimate-plan",
        &["estimate", "--recordings-per-day", "9", "--minutes", "4"],
    );

    let accepted = seen.document(&site, 0, "accept", &["accept", "FAILS", "--why", "deleted"]);
    assert_eq!(accepted["accepted"][0]["id"], "FAILS");
    seen.document(&site, 2, "error", &["accept", "NOBODY", "--why", "deleted"]);
    seen.document(&site, 3, "audit", &["audit"]);
    seen.backup(&site, 3, &[]);

    let listed = seen.document(&site, 0, "keys-list", &["keys", "list", "--keys", "keys"]);
    assert!(listed["certificates"][0]["mediaFiles"].as_u64().unwrap() > 0);
    seen.document(&site, 0, "keys-check", &["keys", "check", "--keys", "keys"]);
    let opening = ["decrypt", "--keys", "keys", "--out", "opened"];
    let opened = seen.document(&site, 0, "decrypt", &opening);
    assert!(opened["openedFiles"].as_u64().unwrap() > 0);
    seen.document(&site, 0, "decrypt", &opening);
    for ending in ["key", "pem"] {
        fs::remove_file(site.folder.path().join(format!("keys/tenant-0.{ending}"))).unwrap();
    }
    let listed = seen.document(&site, 0, "keys-list", &["keys", "list", "--keys", "keys"]);
    assert!(listed["certificatesNotHere"][0]["certificate"].is_string());
    let checked = seen.document(&site, 3, "keys-check", &["keys", "check", "--keys", "keys"]);
    assert!(checked["findings"][0]["path"].is_string());
    let other = ["decrypt", "--keys", "keys", "--out", "other"];
    let failed = seen.document(&site, 3, "decrypt", &other);
    assert!(failed["findings"][0]["reason"].is_string());

    // What is held: whole, in part, then damaged, missing, unknown and twice.
    let checked = seen.document(&site, 0, "check", &["check"]);
    assert_eq!((&checked["isSound"], &checked["sample"]), (&true.into(), &Value::Null));
    let sampled = seen.document(&site, 0, "check", &["check", "--sample", "2", "--seed", "7"]);
    assert_eq!((&sampled["sample"]["taken"], &sampled["sample"]["seed"]), (&2.into(), &7.into()));
    let media: Vec<_> = files_below(&site.target()).into_keys().collect();
    let media: Vec<_> = media.iter().filter(|path| path.ends_with(".bin")).collect();
    put(&site, &format!("target/{}", media[0]), b"damaged");
    fs::remove_file(site.target().join(media[1])).unwrap();
    put(&site, "target/2018/02/12/19/X/stranger.bin", b"?");
    put(&site, "target/2018/02/12/19/X/stranger.raw", b"?");
    let damaged = seen.document(&site, 3, "check", &["check"]);
    assert!(damaged["findings"].as_array().unwrap().len() >= 2, "{damaged}");
    seen.document(&site, 3, "check", &["check", "--repair"]);
    seen.document(&site, 0, "rebuild", &["rebuild"]);
    fs::remove_file(site.target().join(".rcbs/ledger.sqlite")).unwrap();
    let blind = seen.document(&site, 3, "check", &["check"]);
    assert_eq!(blind["isBlind"], true);
    put(&site, "target/.rcbs/ledger.sqlite", &b"no database ".repeat(1_000));
    put(&site, &format!("target/{}", media[0]), b"damaged");
    let rebuilt = seen.document(&site, 3, "rebuild", &["rebuild"]);
    assert!(rebuilt["enteredRecordings"].as_u64().unwrap() > 0);
    services(&seen);

    let seen = seen.0.into_inner();
    let files = files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema"));
    let documented: BTreeSet<_> =
        files.keys().map(|path| path.strip_suffix(".json").unwrap().to_owned()).collect();
    let told: BTreeSet<_> = seen.iter().filter(|one| !one.contains(' ')).cloned().collect();
    assert_eq!(told, &documented - &BTreeSet::from(["log-line".to_owned()]));
    for event in ["run_finished", "shard_failed", "media_failed", "loss_accepted", "stopped"] {
        assert!(seen.contains(&format!("event {event}")), "{event}");
    }
    for event in ["opening_finished", "opening_failed", "reading_finished", "damaged", "missing"] {
        assert!(seen.contains(&format!("event {event}")), "{event}");
    }
}

/// What is said of services that answer, refuse, or are not there.
fn services(seen: &Seen) {
    let mut site = Site::of(3);
    site.properties += &format!("{REGION}bucketVerify={BUCKET}/tenant-2027,{BUCKET}/empty\n");
    let verify = ["--verify", "s3"];
    let good = seen.document(&site, 0, "verify", &verify);
    assert_eq!(
        (&good["gws"]["isVerified"], &good["s3"][1]["hasObjects"]),
        (&true.into(), &false.into())
    );
    let proxy = Proxy::start();
    let behind = format!("awsProxyHost=127.0.0.1\nawsProxyPort={}\n", proxy.port());
    site.properties += &behind;
    let through = seen.document(&site, 0, "verify", &verify);
    assert_eq!(through["s3"][0]["way"]["hops"].as_array().unwrap().len(), 3);
    let past =
        seen.document(&site, 0, "verify", &[&verify[..], &["--set", "proxyBypass=*"]].concat());
    assert_eq!(past["s3"][0]["way"]["isPastProxy"], true);
    proxy.behave(|proxy| proxy.login = Some(("a".to_owned(), "b".to_owned())));
    let refused = seen.document(&site, 4, "verify", &verify);
    assert!(refused["s3"][0]["hint"].is_string());
    let dead = ["--set", "gwsUriPrefix=http://127.0.0.1:1/api/v2", "--set", "s3MaxErrorRetry=0"];
    let unanswered = seen.document(&site, 7, "verify", &[&verify[..], &dead].concat());
    assert_eq!(unanswered["gws"]["isVerified"], false);
    seen.document(&site, 7, "error", &[&["estimate"][..], &dead].concat());
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        site.environment.insert(name, None);
    }
    let only = ["--set", "metadataOnly=true"];
    let half = seen.document(&site, 0, "verify", &[&verify[..], &only].concat());
    assert!(half["s3NotChecked"].is_string());

    // An audit that breaks off, having begun its document.
    let site = self::site();
    seen.backup(&site, 3, &[]);
    let broken = Fault::on(Route::Listing, Action::json(500, "{}"));
    site.sim.add_fault(broken);
    let broken = seen.document(&site, 7, "audit", &["audit", "--set", "s3MaxErrorRetry=0"]);
    assert!(broken["error"].is_string());
}

#[test]
fn the_page_names_every_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/json.md")).unwrap();
    for path in files_below(&root.join("docs/schema")).into_keys() {
        assert!(page.contains(&format!("(schema/{path})")), "{path}");
        let name = path.strip_suffix(".json").unwrap();
        let schema = schema(name);
        assert_eq!(schema["$id"], format!("urn:rcbs:schema:{name}:1"));
    }
}
