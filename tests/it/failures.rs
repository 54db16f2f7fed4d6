//! Services and disks that fail a run as a whole: its exit code, and what it tells the operator.

use rcbs_sim::{Action, Fault, Proxy, Route, Sim, SimOptions, TlsOptions, WorldSpec};

use crate::harness::{DAY_MS, Run, Site, now_ms};
use crate::mounted::Mounted;

const CHECK_KEYS: &str = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
const CHECK_GWS: &str =
    "check gwsUriPrefix, and gwsProxyHost and gwsProxyPort if there must be a proxy";
const CHECK_S3: &str = "check the proxy and the region, with `--verify s3`";

#[track_caller]
fn ends(run: &Run, code: i32, words: &str, hint: &str) {
    run.exits(code).says(words).says(&format!("hint: {hint}"));
}

fn opened(site: &Site) -> usize {
    site.sim.requests().iter().filter(|request| request.route == Route::S3).count()
}

fn with(site: Site, properties: &str) -> Site {
    Site { properties: format!("{}{properties}\n", site.properties), ..site }
}

#[test]
fn a_wrong_gws_password_is_said_at_once() {
    let mut site = Site::of(5);
    site.environment.insert("GWS_PASSWORD", Some("wrong".to_owned()));
    ends(
        &site.rcbs(&[]),
        4,
        "GWS refuses the login (HTTP 401, statusCode 20)",
        "check GWS_USERNAME and GWS_PASSWORD",
    );
    assert_eq!(site.sim.requests().len(), 1, "nobody's account is locked by retries");
    assert_eq!(site.watermark(), None);
}

#[test]
fn refused_s3_credentials_end_the_run_before_thousands_of_requests() {
    let secret = "check AWS_SECRET_ACCESS_KEY; the key id is known, but this is not its secret";
    let expired =
        "the temporary credentials have expired: set new ones, AWS_SESSION_TOKEN with them";
    for (variable, code, hint) in [
        ("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch", secret),
        ("AWS_ACCESS_KEY_ID", "InvalidAccessKeyId", CHECK_KEYS),
        ("AWS_SESSION_TOKEN", "ExpiredToken", expired),
    ] {
        let mut site = Site::of(150);
        site.environment.insert(variable, Some("WRONGWRONGWRONGWRONG".to_owned()));
        site.sim.s3(|s3| s3.expired = code == "ExpiredToken");
        let words = format!("S3 refuses the credentials ({code})");
        let run = site.rcbs(&["--set", "maxConnections=4"]);
        ends(&run, 4, &words, hint);
        assert!(opened(&site) <= 16, "{} requests\n{run}", opened(&site));
        assert_eq!(run.counts()[0], 0, "{run}");
    }
}

#[test]
fn where_not_one_object_is_readable_access_is_denied() {
    let words = "not one media file could be read: access is denied, or there is no such bucket";
    let hint = "check the name of the bucket and the read access to it, with `--verify s3`";
    for (status, code, reason) in
        [(403, "AccessDenied", "access denied"), (404, "NoSuchBucket", "no such bucket")]
    {
        let site = Site::of(10);
        site.sim.add_fault(Fault::on(Route::S3, Action::s3_error(status, code)));
        let run = site.rcbs(&[]);
        ends(&run, 4, words, hint);
        run.says("media `").says("`recordings-usw1/").says(reason);
    }
}

/// A port on 127.0.0.1 that nobody listens on.
fn dead_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn what_never_answers_is_told_apart_from_what_refuses() {
    let dead = dead_port();
    for (properties, words, hint) in [
        (
            format!("gwsUriPrefix=http://127.0.0.1:{dead}/api/v2"),
            "GWS: nothing answers at this address",
            CHECK_GWS,
        ),
        (
            format!("gwsProxyHost=http://127.0.0.1\ngwsProxyPort={dead}"),
            "GWS: nothing answers at the proxy 127.0.0.1:",
            "check gwsProxyHost and gwsProxyPort, and that the proxy runs",
        ),
        (
            format!("awsProxyHost=127.0.0.1\nawsProxyPort={dead}"),
            "the storage of the media never answered",
            CHECK_S3,
        ),
        (
            format!("awsEndpointUrl=http://127.0.0.1:{dead}"),
            "the storage of the media never answered",
            CHECK_S3,
        ),
    ] {
        let site = with(Site::of(10), &properties);
        let run = site.rcbs(&["--set", "s3MaxErrorRetry=0"]);
        ends(&run, 7, words, hint);
        assert_eq!(site.tree().keys().filter(|path| path.ends_with(".bin")).count(), 0, "{run}");
    }
}

#[test]
fn a_storage_that_is_silent_is_given_up() {
    let site = with(Site::of(40), "s3SocketTimeout=300");
    let silence = Action::Delay(std::time::Duration::from_secs(100));
    site.sim.add_fault(Fault::on(Route::S3, silence));
    let run = site.rcbs(&["--set", "s3MaxErrorRetry=0"]);
    ends(&run, 7, "the storage of the media never answered", CHECK_S3);
    run.says("no answer in time");
}

#[test]
fn each_service_has_its_own_proxy_and_the_environment_has_none() {
    let (gws, s3, neither) = (Proxy::start(), Proxy::start(), Proxy::start());
    let mut site = with(
        Site::of(10),
        &format!(
            "gwsProxyHost=http://127.0.0.1\ngwsProxyPort={}\nawsProxyHost=127.0.0.1\nawsProxyPort={}",
            gws.port(),
            s3.port()
        ),
    );
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let proxy = format!("http://127.0.0.1:{}", neither.port());
        site.environment.insert(variable, Some(proxy));
    }
    site.rcbs(&[]).exits(0);
    site.assert_holds(|_| true);
    let without = ["gwsProxyHost=", "gwsProxyPort=", "awsProxyHost=", "awsProxyPort="];
    let without: Vec<&str> = without.iter().flat_map(|empty| ["--set", empty]).collect();
    let (gws_asked, s3_asked) = (gws.asked().len(), s3.asked().len());
    site.rcbs(&[&without[..], &["--verify", "s3"]].concat()).exits(0);
    assert_eq!((gws.asked().len(), s3.asked().len()), (gws_asked, s3_asked));
    let host = |address: String| address.split('/').nth(2).unwrap().to_owned();
    let (gws_host, s3_host) = (host(site.sim.gws_uri_prefix()), host(site.sim.s3_endpoint()));
    assert!(!gws.asked().is_empty() && gws.asked().iter().all(|one| one.ends_with(&gws_host)));
    assert!(!s3.asked().is_empty() && s3.asked().iter().all(|one| one.ends_with(&s3_host)));
    assert_eq!(neither.asked(), Vec::<String>::new());
}

fn over_tls(tls: TlsOptions) -> Site {
    let (from_ms, to_ms) = (now_ms() - 2 * DAY_MS, now_ms() - 5_000);
    let world = WorldSpec { from_ms, to_ms, recordings: 5, ..WorldSpec::default() };
    Site::over(Sim::start(SimOptions { world, tls: Some(tls), ..SimOptions::default() }))
}

/// Names the simulator's own authority with caBundle.
fn trusting(site: Site) -> Site {
    std::fs::write(site.folder.path().join("ca.pem"), site.sim.ca_pem().unwrap()).unwrap();
    with(site, "caBundle=ca.pem")
}

#[test]
fn a_certificate_is_trusted_with_ca_bundle_only() {
    let untrusted = "the server's TLS certificate is not trusted";
    let name_it = "name the certificate, or the one that signed it, with caBundle";
    for self_signed in [false, true] {
        let tls = TlsOptions { self_signed, ..TlsOptions::default() };
        let site = over_tls(tls);
        ends(&site.rcbs(&[]), 7, untrusted, name_it);
        let site = trusting(site);
        site.rcbs(&[]).exits(0);
        site.assert_holds(|_| true);
    }
}

#[test]
fn a_wrong_certificate_is_refused_with_ca_bundle_too() {
    let site = trusting(over_tls(TlsOptions { expired: true, ..TlsOptions::default() }));
    ends(
        &site.rcbs(&[]),
        7,
        "the server's TLS certificate has expired or is not yet valid",
        "check this machine's clock; if it is right, the server needs a new certificate",
    );
    let site = trusting(over_tls(TlsOptions { wrong_host: true, ..TlsOptions::default() }));
    ends(
        &site.rcbs(&[]),
        7,
        "the server's TLS certificate is for another host",
        "use the host name that the certificate was made for",
    );
}

#[test]
fn a_ca_bundle_that_is_none_is_bad_configuration() {
    let site = with(Site::of(0), "caBundle=ca.pem");
    ends(&site.rcbs(&[]), 2, "cannot read caBundle", "name a file that this user may read");
    std::fs::write(site.folder.path().join("ca.pem"), "not a certificate").unwrap();
    let words = "`caBundle`: no certificate in PEM format in it";
    ends(&site.rcbs(&[]), 2, words, "name a file with `-----BEGIN CERTIFICATE-----` in it");
    assert!(site.sim.requests().is_empty());
}

#[test]
fn a_target_that_another_run_holds_is_left_alone() {
    let site = Site::of(5);
    site.rcbs(&[]).exits(0);
    site.sim.clear_requests();
    let lock = std::fs::File::open(site.target().join(".rcbs/lock")).unwrap();
    lock.try_lock().unwrap();
    let run = site.rcbs(&[]);
    ends(&run, 5, "another run holds `", "nothing to do: the other run goes on");
    run.says(": process ").says(" since 20");
    assert!(site.sim.requests().is_empty(), "{run}");
    drop(lock);
    site.rcbs(&[]).exits(0);
}

#[test]
fn a_symbolic_link_below_the_target_is_named_and_not_followed() {
    let site = Site::of(5);
    let elsewhere = site.folder.path().join("elsewhere");
    std::fs::create_dir_all(&elsewhere).unwrap();
    std::fs::create_dir_all(site.target()).unwrap();
    let recording = site.sim.world().recordings().next().unwrap();
    let year = chrono::DateTime::from_timestamp_millis(recording.start_ms).unwrap();
    let link = site.target().join(year.format("%Y").to_string());
    std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
    let run = site.rcbs(&[]);
    let hint = "put a real folder there, or set targetDir to where the link points";
    ends(&run, 6, &format!("`{}` is a symbolic link", link.display()), hint);
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
}

#[test]
fn a_full_disk_ends_the_run_and_the_next_one_completes_it() {
    let site = Site::of(60);
    let Some(disk) = Mounted::tmpfs(&site.target(), "size=150k") else { return };
    let run = site.rcbs(&[]);
    run.exits(6).says("make room on the disk or raise the quota");
    // A file, or the ledger, whichever comes to the end first.
    let words = ["No space left on device", "database or disk is full"];
    assert!(words.iter().any(|words| run.stderr.contains(words)), "{run}");
    for (path, bytes) in site.tree() {
        assert!(!bytes.is_empty(), "{path} is cut\n{run}");
    }
    disk.remount("size=20m");
    let next = site.rcbs(&[]);
    next.exits(0);
    site.assert_holds(|_| true);
    drop((site, disk));
}

#[test]
fn a_read_only_target_is_said_before_the_first_request() {
    let site = Site::of(5);
    let Some(disk) = Mounted::tmpfs(&site.target(), "size=1m") else { return };
    disk.remount("ro");
    let hint = "mount the file system for writing, then run again";
    ends(&site.rcbs(&[]), 6, "Read-only file system", hint);
    assert!(site.sim.requests().is_empty());
    drop(disk);
}
