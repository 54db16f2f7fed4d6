//! What a backup tells others about itself: metrics, pings, a log, and that time runs out.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use rcbs_sim::{Action, Fault, Route};
use serde_json::Value;

use crate::canary::{assert_none, traces};
use crate::harness::{DAY_MS, HOUR_MS, REGION, Run, Site, files_below, now_ms};
use crate::prometheus::{Metrics, parse};
use crate::watcher::Watcher;

/// The heart of a ping's address.
const TOKEN: &str = "Qz6Canary9PingToken";

/// A cloud whose backups leave metrics in a folder of their own.
fn measured(recordings: usize) -> Site {
    let mut site = Site::of(recordings);
    site.properties += "metricsFile=monitor/rcbs.prom\n";
    fs::create_dir(site.folder.path().join("monitor")).unwrap();
    site
}

fn metrics_file(site: &Site) -> PathBuf {
    site.folder.path().join("monitor/rcbs.prom")
}

/// The metrics of the only instance there is, by their names without its labels.
#[track_caller]
fn metrics(site: &Site) -> Metrics {
    let text = fs::read_to_string(metrics_file(site)).unwrap();
    let all = parse(&text).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"));
    let labels = "instance_id=\"0\",total=\"1\"";
    all.into_iter()
        .map(|(name, value)| {
            assert!(name.contains(labels), "{name}");
            (name.replace(labels, "").replace("{,", "{").replace("{}", ""), value)
        })
        .collect()
}

/// Makes one recording's media fail.
fn let_fail(site: &Site, id: &str) {
    site.sim.add_fault(Fault::on(Route::S3, Action::s3_error(403, "AccessDenied")).containing(id));
}

#[test]
fn the_metrics_are_what_the_run_did_and_what_is_held() {
    let mut site = measured(15);
    site.umask = Some("077");
    site.properties += "fileMode=0600\n";
    let before = now_ms() as f64 / 1000.0;
    let run = site.rcbs(&[]);
    run.exits(0);
    let now = now_ms() as f64 / 1000.0;
    let found = metrics(&site);
    let media: Vec<_> =
        site.tree().into_iter().filter(|(path, _)| path.ends_with(".bin")).collect();
    let bytes: usize = media.iter().map(|(_, bytes)| bytes.len()).sum();
    let [downloaded, skipped, failed, _] = run.counts();
    for (name, expected) in [
        ("rcbs_last_run_exit_code", 0.0),
        ("rcbs_last_run_files{result=\"downloaded\"}", downloaded as f64),
        ("rcbs_last_run_files{result=\"skipped\"}", skipped as f64),
        ("rcbs_last_run_files{result=\"failed\"}", failed as f64),
        ("rcbs_last_run_downloaded_bytes", bytes as f64),
        ("rcbs_last_run_shards{result=\"finished\"}", 3.0),
        ("rcbs_last_run_shards{result=\"failed\"}", 0.0),
        ("rcbs_held_recordings", 15.0),
        ("rcbs_held_files", media.len() as f64),
        ("rcbs_held_bytes", bytes as f64),
        ("rcbs_failing_recordings", 0.0),
        ("rcbs_watermark_timestamp_seconds", site.watermark().unwrap() as f64 / 1000.0),
    ] {
        assert_eq!(found.get(name), Some(&expected), "{name} in {found:#?}");
    }
    assert!(downloaded > 0);
    let ended = found["rcbs_last_run_timestamp_seconds"];
    assert!((before..=now).contains(&ended), "{before} {ended} {now}");
    assert_eq!(found["rcbs_last_success_timestamp_seconds"], ended);
    let duration = found["rcbs_last_run_duration_seconds"];
    assert!(duration > 0.0 && duration <= now - before, "{duration}");
    let age = ended - site.watermark().unwrap() as f64 / 1000.0;
    assert!((found["rcbs_watermark_age_seconds"] - age).abs() < 0.01);
    assert!(!found.keys().any(|name| name.contains("retention")), "{found:#?}");
    // Whoever collects them can read them, whatever the recordings' permissions are.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(metrics_file(&site)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
    }
    let names: Vec<_> = files_below(&site.folder.path().join("monitor")).into_keys().collect();
    assert_eq!(names, ["rcbs.prom"]);
    // And nothing of a run that only looks.
    fs::remove_file(metrics_file(&site)).unwrap();
    site.rcbs(&["--dry-run"]).exits(0);
    assert!(!metrics_file(&site).exists());
}

#[test]
fn the_last_success_survives_runs_that_fail_however_early() {
    let mut site = measured(5);
    site.properties += REGION;
    let_fail(&site, "LOST");
    site.add("LOST", now_ms() - HOUR_MS);
    site.rcbs(&[]).exits(3);
    let found = metrics(&site);
    assert_eq!(found["rcbs_last_success_timestamp_seconds"], 0.0, "none yet");
    assert_eq!(found["rcbs_last_run_files{result=\"failed\"}"], 1.0);
    assert_eq!(found["rcbs_failing_recordings"], 1.0);
    site.sim.clear_faults();
    site.rcbs(&[]).exits(0);
    let success = metrics(&site)["rcbs_last_success_timestamp_seconds"];
    assert!(success > 0.0);
    let failing = |site: &Site, args: &[&str], code: i32| {
        site.rcbs(args).exits(code);
        let found = metrics(site);
        assert_eq!(found["rcbs_last_run_exit_code"], f64::from(code));
        assert_eq!(found["rcbs_last_success_timestamp_seconds"], success, "{args:?}");
        assert!(found["rcbs_last_run_timestamp_seconds"] > success, "{args:?}");
        assert_eq!(found["rcbs_held_recordings"], 6.0, "{args:?}");
        assert!(found["rcbs_watermark_timestamp_seconds"] > 0.0, "{args:?}");
    };
    failing(&site, &["--set", "numThreads=none"], 2);
    // Lost by whoever tidies up: the ledger knows.
    fs::remove_file(metrics_file(&site)).unwrap();
    site.environment.insert("GWS_PASSWORD", Some("wrong".to_owned()));
    site.rcbs(&[]).exits(4);
    let ledgers = metrics(&site)["rcbs_last_success_timestamp_seconds"];
    assert!((ledgers - success).abs() < 5.0 && ledgers > 0.0, "{ledgers} {success}");
    let password = site.environment.remove("GWS_PASSWORD");
    assert!(password.is_some());
    site.rcbs(&[]).exits(0);
    assert!(metrics(&site)["rcbs_last_success_timestamp_seconds"] > success);
}

#[test]
fn one_time_exports_and_runs_that_find_another_leave_metrics_and_pings_alone() {
    let watcher = Watcher::start(|_| 200);
    let mut site = measured(5);
    site.environment.insert("RCBS_PING_URL", Some(watcher.address()));
    site.rcbs(&[]).exits(0);
    let (before, told) = (fs::read(metrics_file(&site)).unwrap(), watcher.told().len());
    assert_eq!(told, 2);
    site.rcbs(&["--from", "2018-01-01", "--to", "2018-01-02"]).exits(0);
    site.rcbs(&["--set", "minDate=2018-01-02", "--set", "maxDate=2018-01-01"]).exits(0);
    let lock = fs::File::open(site.target().join(".rcbs/lock")).unwrap();
    lock.lock().unwrap();
    site.rcbs(&[]).exits(5).says("another run holds");
    drop(lock);
    assert_eq!(fs::read(metrics_file(&site)).unwrap(), before);
    assert_eq!(watcher.told().len(), told);
}

#[test]
fn metrics_that_cannot_be_written_are_a_warning_and_no_failure() {
    let site = measured(3);
    fs::remove_dir(site.folder.path().join("monitor")).unwrap();
    let run = site.rcbs(&[]);
    run.exits(0).says("warning: cannot write metricsFile `").says("monitor/rcbs.prom");
    site.assert_holds(|_| true);
    let run = site.rcbs(&["--set", "metricsFile=metrics.txt"]);
    run.exits(0).says("node_exporter reads only files whose names end in `.prom`");
}

#[test]
fn an_instance_has_files_of_its_own() {
    let mut site = Site::of(10);
    site.properties += "metricsFile=rcbs-{id}.prom\nlogFile=rcbs-{id}.log\n";
    site.properties += "totalRcbsInstances=3\nrcbsInstanceId=2\n";
    site.rcbs(&[]).exits(0);
    let text = fs::read_to_string(site.folder.path().join("rcbs-2.prom")).unwrap();
    let found = parse(&text).unwrap();
    assert!(found.contains_key("rcbs_last_run_exit_code{instance_id=\"2\",total=\"3\"}"), "{text}");
    assert!(site.folder.path().join("rcbs-2.log").exists());
}

#[test]
fn time_that_runs_out_is_warned_of_with_what_is_left() {
    let mut site = measured(0);
    site.properties += REGION;
    site.properties += "retentionDays=4\n";
    let at = now_ms() - 5 * DAY_MS / 2;
    site.add("LOST", at);
    let_fail(&site, "LOST");
    // The window goes back three days, so one day is left, which is a quarter.
    let run = site.rcbs(&[]);
    run.exits(4).says("warning: what is not held yet reaches back to ").says("keeps 4 days");
    run.says(", in 23 hours: ").says("rcbs audit");
    let from = site.watermark().unwrap();
    let found = metrics(&site);
    let deadline = (from + 4 * DAY_MS) as f64 / 1000.0;
    assert_eq!(found["rcbs_retention_deadline_timestamp_seconds"], deadline);
    let left = (deadline - found["rcbs_last_run_timestamp_seconds"]) / 3600.0;
    assert!((found["rcbs_retention_hours_left"] - left).abs() < 0.002, "{left}");
    let run = site.rcbs(&["--log-format", "json", "--set", "retentionDays=2"]);
    let events: Vec<Value> =
        run.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let event = events.iter().find(|event| event["event"] == "retention_nears").unwrap();
    assert_eq!((&event["level"], &event["retention_days"]), (&"warning".into(), &2.into()));
    assert_eq!(event["hours_left"], -24, "{event}");
    site.rcbs(&["--set", "retentionDays=2"]).says("began to delete it at ").says("24 hours ago");
    // Enough time, nothing that is late, or nobody who says how long: no word.
    for set in ["retentionDays=30", "retentionDays="] {
        let run = site.rcbs(&["--set", set]);
        assert!(!run.stderr.contains("reaches back"), "{run}");
    }
    site.sim.clear_faults();
    let run = site.rcbs(&[]);
    run.exits(0);
    assert!(!run.stderr.contains("reaches back"), "{run}");
    let left = metrics(&site)["rcbs_retention_hours_left"];
    assert!((95.9..=96.0).contains(&left), "{left}");
}

#[test]
fn what_failed_before_the_watermark_counts_for_the_retention_too() {
    let mut site = measured(0);
    site.properties += REGION;
    site.properties += "retentionDays=10\nmaxAge=30\nshardBy=30\n";
    site.add("GOOD", now_ms() - HOUR_MS);
    site.rcbs(&[]).exits(0);
    let watermark = site.watermark().unwrap();
    // It comes late, far before the watermark, and only an export finds it, which fails.
    let at = now_ms() - 9 * DAY_MS;
    site.add("LOST", at);
    let_fail(&site, "LOST");
    site.rcbs(&["--from", "2018-01-01"]).exits(3);
    let run = site.rcbs(&[]);
    run.exits(3).says("warning: what is not held yet reaches back to ");
    assert!(site.watermark().unwrap() >= watermark);
    let deadline = metrics(&site)["rcbs_retention_deadline_timestamp_seconds"];
    assert_eq!(deadline, (at + 10 * DAY_MS) as f64 / 1000.0);
}

/// A backup that is watched under an address with a token in it.
fn watched(watcher: &Watcher) -> Site {
    let mut site = Site::of(3);
    site.properties += REGION;
    site.properties += &format!("pingUrl={}/ping/{TOKEN}?create=1\n", watcher.address());
    site
}

#[track_caller]
fn is_silent(site: &Site, run: &Run) {
    let given = |path: &str| path == "config.properties";
    assert_none(&[TOKEN], run, &traces(run, site.folder.path(), given));
}

#[test]
fn start_success_and_failure_are_pinged_with_the_last_lines() {
    let watcher = Watcher::start(|_| 200);
    let mut site = watched(&watcher);
    let run = site.rcbs(&[]);
    run.exits(0);
    let told = watcher.told();
    let job = format!("POST /ping/{TOKEN}");
    let ways = |ways: &[&str]| -> Vec<String> {
        ways.iter().map(|way| format!("{job}{way}?create=1")).collect()
    };
    assert_eq!(watcher.asked(), ways(&["/start", ""]));
    assert_eq!(told[0].body, "");
    assert!(told[1].body.contains("Backing up recordings <from "), "{}", told[1].body);
    let last: Vec<_> = told[1].body.lines().rev().take(2).collect();
    assert_eq!(last, ["exit code 0", run.stdout.trim_end()]);

    site.add("LOST", now_ms() - HOUR_MS);
    let_fail(&site, "LOST");
    let run = site.rcbs(&["--quiet"]);
    run.exits(3);
    assert_eq!(watcher.asked()[2..], ways(&["/start", "/3"]));
    let body = &watcher.told()[3].body;
    assert!(body.contains("error: recording `LOST`: media `") && body.ends_with("exit code 3\n"));
    // What fails before it begins is told without a start, as early as the configuration.
    site.environment.insert("GWS_PASSWORD", Some("Wrong-Canary-Passw0rd".to_owned()));
    let run = site.rcbs(&[]);
    run.exits(4);
    assert_eq!(watcher.asked()[4..], ways(&["/4"]));
    assert!(watcher.told()[4].body.contains("error: GWS refuses the login"));
    site.rcbs(&["--set", "numThreads=none"]).exits(2);
    assert_eq!(watcher.asked()[5..], ways(&["/2"]));
    assert!(watcher.told()[5].body.contains("`numThreads`"));
    for told in watcher.told() {
        assert!(!told.body.contains("Canary"), "{}", told.body);
    }
    site.rcbs(&["--dry-run", "--set", "maxAge=1"]).exits(4);
    assert_eq!(watcher.told().len(), 6, "a dry run tells nobody");
}

#[test]
fn a_ping_that_fails_is_tried_once_more_and_is_a_warning_without_its_address() {
    let failing = Watcher::start(|number| if number < 3 { 503 } else { 404 });
    let mut site = watched(&failing);
    site.properties += "logFile=rcbs.log\n";
    let run = site.rcbs(&["--verbose"]);
    run.exits(0).says("warning: cannot tell pingUrl the start of the run: HTTP 503");
    run.says("warning: cannot tell pingUrl the end of the run: HTTP 404");
    is_silent(&site, &run);
    // 503, once more 503, then 503 for the end, and 404, which no further try changes.
    assert_eq!(failing.told().len(), 4);
    site.assert_holds(|_| true);
    let address = failing.address();
    drop(failing);
    for args in [&["--verbose"][..], &["--verbose", "--log-format", "json"]] {
        let run = site.rcbs(args);
        run.exits(0)
            .says("cannot tell pingUrl the end of the run: nothing answers at this address");
        is_silent(&site, &run);
    }
    let run = site.rcbs(&["config"]);
    run.exits(0).says("[redacted]");
    is_silent(&site, &run);
    for bad in [format!("ftp://x/{TOKEN}"), TOKEN.to_owned(), format!("{address}/{TOKEN}#{TOKEN}")]
    {
        let mut site = Site::of(0);
        site.properties += &format!("pingUrl={bad}\n");
        for args in [&[][..], &["config"]] {
            let run = site.rcbs(args);
            run.exits(2).says("`pingUrl`: not an http or https address: `[redacted]`");
            is_silent(&site, &run);
        }
        let mut site = Site::of(0);
        site.environment.insert("RCBS_PING_URL", Some(bad));
        let run = site.rcbs(&[]);
        run.exits(2).says("RCBS_PING_URL: not an http or https address");
        is_silent(&site, &run);
    }
}

#[test]
fn pings_go_through_the_proxy_of_gws() {
    let (watcher, proxy) = (Watcher::start(|_| 200), rcbs_sim::Proxy::start());
    let mut site = watched(&watcher);
    site.properties += &format!("gwsProxyHost=http://127.0.0.1\ngwsProxyPort={}\n", proxy.port());
    site.rcbs(&[]).exits(0);
    assert_eq!(watcher.told().len(), 2);
    let host = watcher.address().replace("http://", "");
    assert!(proxy.asked().iter().any(|asked| asked.contains(&host)), "{:?}", proxy.asked());
}

/// The lines of a log without their times, each of which is one.
#[track_caller]
fn logged(site: &Site) -> Vec<String> {
    let text = fs::read_to_string(site.folder.path().join("rcbs.log")).unwrap();
    let lines = text.lines().map(|line| {
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{line}");
        rest.to_owned()
    });
    lines.collect()
}

#[test]
fn the_log_has_what_is_shown_with_times_and_the_result_quiet_or_not() {
    let mut site = Site::of(5);
    site.properties += "logFile=rcbs.log\nunknownName=1\n";
    let run = site.rcbs(&[]);
    run.exits(0);
    let mut expected: Vec<String> = run.stderr.lines().map(str::to_owned).collect();
    expected.extend([run.stdout.trim_end().to_owned(), "exit code 0".to_owned()]);
    assert!(expected.iter().any(|line| line.starts_with("warning: ")), "{run}");
    assert_eq!(logged(&site), expected);
    site.environment.insert("GWS_PASSWORD", Some("wrong".to_owned()));
    site.rcbs(&["--quiet"]).exits(4);
    let lines = logged(&site);
    let last: Vec<_> = lines[lines.len() - 3..].iter().map(String::as_str).collect();
    assert!(last[0].starts_with("error: GWS refuses the login"), "{last:?}");
    assert_eq!(last[1..], ["hint: check GWS_USERNAME and GWS_PASSWORD", "exit code 4"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(site.folder.path().join("rcbs.log")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !0o640, 0);
    }
}

#[test]
fn a_log_in_json_has_one_object_a_line() {
    let mut site = Site::of(5);
    site.properties += "logFile=rcbs.log\n";
    let run = site.rcbs(&["--log-format", "json"]);
    run.exits(0);
    let text = fs::read_to_string(site.folder.path().join("rcbs.log")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["time"].is_string()));
    let kinds = |name: &str| lines.iter().filter(|line| line["event"] == name).count();
    assert_eq!((kinds("run_started"), kinds("shard_finished"), kinds("run_finished")), (1, 3, 1));
    assert_eq!(lines.last().unwrap()["text"], "exit code 0");
}

#[test]
fn a_log_is_set_aside_when_it_is_long_and_only_so_many_are_kept() {
    let mut site = Site::of(3);
    site.properties += "logFile=log/rcbs.log\nlogFileMaxSize=1K\nlogFileKeep=2\nshardBy=PT2H\n";
    fs::create_dir(site.folder.path().join("log")).unwrap();
    site.rcbs(&[]).exits(0);
    let logs: BTreeMap<_, _> = files_below(&site.folder.path().join("log"));
    let names: Vec<_> = logs.keys().map(String::as_str).collect();
    assert_eq!(names, ["rcbs.log", "rcbs.log.1", "rcbs.log.2"]);
    assert!(logs.values().all(|bytes| bytes.len() <= 1024 && bytes.ends_with(b"\n")));
    assert!(logs["rcbs.log.1"].len() > 800);
    assert!(String::from_utf8_lossy(&logs["rcbs.log"]).ends_with(" exit code 0\n"));
}

#[test]
fn a_log_that_cannot_be_written_is_one_warning_and_no_failure() {
    let mut site = Site::of(3);
    site.properties += "logFile=absent/rcbs.log\n";
    let run = site.rcbs(&[]);
    run.exits(0).says("warning: cannot write to logFile `");
    assert_eq!(run.stderr.matches("logFile").count(), 1, "{run}");
    site.assert_holds(|_| true);
    for bad in ["logFileMaxSize=10X", "logFileMaxSize=100", "logFileKeep=0", "retentionDays=P30D"] {
        site.rcbs(&["--set", bad]).exits(2).says(bad.split('=').next().unwrap());
    }
}
