//! `--verify s3`: each way in which a connection can be wrong, told apart.

use rcbs_sim::world::Bucket;
use rcbs_sim::{
    Action, Fault, Media, Proxy, Recording, Route, Sim, SimOptions, TlsOptions, WorldSpec,
};

use crate::harness::{DAY_MS, HOUR_MS, Run, Site, now_ms};

const VERIFIED: &str = "Successfully Verified Connection to recordings-usw1/tenant-2027/";
const FAILED: &str = "Failed to Verify Connection to `recordings-usw1/tenant-2027/`: ";

fn site() -> Site {
    let site = Site::of(5);
    let properties = format!("{}bucketVerify=recordings-usw1/tenant-2027\n", site.properties);
    Site { properties, ..site }
}

fn with(site: Site, properties: &str) -> Site {
    Site { properties: format!("{}{properties}\n", site.properties), ..site }
}

fn verify(site: &Site) -> Run {
    site.rcbs(&["--verify", "s3"])
}

/// Exactly the connection to S3 is wrong, and it is said how.
#[track_caller]
fn fails(run: &Run, code: i32, reason: &str, hint: &str) {
    run.exits(code).says(&format!("{FAILED}{reason}")).says(&format!("hint: {hint}"));
    assert!(!run.stdout.contains(VERIFIED), "{run}");
}

#[test]
fn a_good_connection_is_told_as_by_the_original() {
    let site = site();
    for args in [["--verify", "s3"], ["-verify", "s3"]] {
        let run = site.rcbs(&args);
        run.exits(0);
        let prefix = site.sim.gws_uri_prefix();
        let lines: Vec<&str> = run.stdout.lines().collect();
        assert_eq!(
            lines,
            [
                &format!("Checking GWS: {prefix}"),
                &format!("Successfully Verified Connection to {prefix}"),
                "Using the following S3 parameters: S3ConnectionTimeout 50000 \
                 S3SocketTimeout 50000 S3MaxErrorRetry 1",
                "Proxy is not enabled for Amazon S3",
                "Checking for Key: tenant-2027/ Bucket: recordings-usw1",
                VERIFIED,
            ],
            "{run}"
        );
        assert_eq!(run.stderr, "", "{run}");
    }
    assert!(!site.target().exists(), "nothing is written");
}

#[test]
fn wrong_credentials_are_told_from_a_missing_permission() {
    for (variable, code, hint) in [
        (
            "AWS_SECRET_ACCESS_KEY",
            "SignatureDoesNotMatch",
            "check AWS_SECRET_ACCESS_KEY; the key id is known, but this is not its secret",
        ),
        (
            "AWS_ACCESS_KEY_ID",
            "InvalidAccessKeyId",
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
    ] {
        let mut site = site();
        site.environment.insert(variable, Some("WRONGWRONGWRONGWRONG".to_owned()));
        fails(&verify(&site), 4, &format!("S3 refuses the credentials ({code})"), hint);
    }
    let expired = site();
    expired.sim.s3(|s3| s3.expired = true);
    let hint = "the temporary credentials have expired: set new ones, AWS_SESSION_TOKEN with them";
    fails(&verify(&expired), 4, "S3 refuses the credentials (ExpiredToken)", hint);

    let denied = site();
    denied.sim.s3(|s3| (s3.denied, s3.listing_denied) = (vec!["recordings".to_owned()], true));
    fails(&verify(&denied), 4, "access denied", "ask for read access to the bucket");
}

#[test]
fn a_missing_bucket_is_named() {
    let site = with(site(), "bucketVerify=recordings-usw1/tenant-2027,absent/tenant-2027");
    let run = verify(&site);
    run.exits(4).says(VERIFIED).says("Checking for Key: tenant-2027/ Bucket: absent");
    run.says("Failed to Verify Connection to `absent/tenant-2027/`: no such bucket");
    run.says("hint: check the name of the bucket");
}

#[test]
fn a_wrong_region_is_put_right_where_s3_says_which() {
    use rcbs_sim::s3::WrongRegion;
    for answer in [WrongRegion::Malformed, WrongRegion::Redirect] {
        let site = with(site(), "awsRegion=eu-central-1");
        site.sim.s3(|s3| s3.wrong_region = answer);
        verify(&site).exits(0).says(VERIFIED);
    }
    let site = with(site(), "awsRegion=eu-central-1");
    let code = "AuthorizationHeaderMalformed";
    site.sim.add_fault(Fault::on(Route::S3, Action::s3_error(400, code)));
    let reason = "the bucket is not in region `eu-central-1`, and S3 does not say where it is";
    fails(&verify(&site), 4, reason, "set awsRegion to the region of the bucket");
}

#[test]
fn a_clock_that_is_wrong_is_told_apart() {
    let site = site();
    site.sim.clock_offset(2 * HOUR_MS);
    let run = verify(&site);
    fails(
        &run,
        4,
        "this machine's clock differs too much from S3's",
        "set this machine's clock, best by NTP",
    );
    run.says("this machine's clock says");
}

#[test]
fn an_unreachable_proxy_is_told_from_one_that_refuses() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let dead = listener.local_addr().unwrap().port();
    drop(listener);
    let check = "check awsProxyHost and awsProxyPort, and that the proxy runs";
    let site = with(site(), &format!("awsProxyHost=127.0.0.1\nawsProxyPort={dead}"));
    let run = verify(&site);
    let reason = format!("nothing answers at the proxy 127.0.0.1:{dead} for S3");
    fails(&run, 7, &reason, check);
    run.says(&format!("Proxy is enabled for Amazon S3 host: 127.0.0.1 port: {dead}"));

    // Over TLS the proxy is asked for a tunnel, and says no to that.
    let refusing = Proxy::start();
    refusing.behave(|proxy| proxy.refusals = vec![(String::new(), 403, "denied".to_owned())]);
    let proxy = format!("awsProxyHost=127.0.0.1\nawsProxyPort={}", refusing.port());
    let ask = "ask who runs the proxy to let this host pass";
    let port = refusing.port();
    let reason =
        format!("the proxy 127.0.0.1:{port} for S3 refuses to pass the request on (HTTP 403)");
    for site in [self::site(), over_tls(TlsOptions::default())] {
        let run = verify(&with(site, &proxy));
        fails(&run, 7, &reason, ask);
    }
}

fn over_tls(tls: TlsOptions) -> Site {
    let world = WorldSpec { recordings: 3, ..WorldSpec::default() };
    let sim = Sim::start(SimOptions { world, tls: Some(tls), ..SimOptions::default() });
    let site = Site::over(sim);
    std::fs::write(site.folder.path().join("ca.pem"), site.sim.ca_pem().unwrap()).unwrap();
    with(site, "bucketVerify=recordings-usw1/tenant-2027\ncaBundle=ca.pem")
}

#[test]
fn tls_and_names_that_cannot_be_resolved_are_told_apart() {
    verify(&over_tls(TlsOptions::default())).exits(0).says(VERIFIED);
    // GWS over plain HTTP, so that only S3 is wrong.
    let stranger =
        Sim::start(SimOptions { tls: Some(TlsOptions::default()), ..Default::default() });
    let check = "check awsEndpointUrl, and awsProxyHost and awsProxyPort if there must be a proxy";
    for (endpoint, reason, hint) in [
        (
            stranger.s3_endpoint(),
            "the server's TLS certificate is not trusted",
            "name the certificate, or the one that signed it, with caBundle",
        ),
        (
            site().sim.s3_endpoint().replace("http:", "https:"),
            "the TLS handshake failed",
            "check that the address speaks TLS, and that no proxy interferes",
        ),
        ("http://s3.nowhere.invalid".to_owned(), "the host name cannot be resolved", check),
    ] {
        let run = verify(&with(site(), &format!("awsEndpointUrl={endpoint}")));
        fails(&run, 7, reason, hint);
    }
}

#[test]
fn gws_is_checked_first() {
    let mut site = site();
    site.environment.insert("GWS_PASSWORD", Some("wrong".to_owned()));
    let run = verify(&site);
    run.exits(4).says("Checking GWS: ").says("hint: check GWS_USERNAME and GWS_PASSWORD");
    assert!(site.sim.requests().iter().all(|request| request.route != Route::S3), "{run}");

    let site = with(self::site(), "gwsUriPrefix=http://gws.nowhere.invalid/api/v2");
    let run = verify(&site);
    run.exits(7).says("GWS: the host name cannot be resolved").says("hint: check gwsUriPrefix");
}

#[test]
fn buckets_in_several_regions_are_warned_of() {
    let buckets = vec![
        Bucket::new("recordings-usw1", "us-west-2"),
        Bucket::new("recordings-euc1", "eu-central-1"),
    ];
    let spec = WorldSpec { buckets, recordings: 0, ..WorldSpec::default() };
    let site = Site::over(Sim::of(spec));
    // Without bucketVerify the newest recordings say where to look.
    for (id, bucket) in [("A", "recordings-usw1"), ("B", "recordings-euc1")] {
        let media = Media::voice(id, bucket, 300);
        site.sim.edit(|world| world.add(Recording::new(id, now_ms() - DAY_MS / 2).with(media)));
    }
    let run = verify(&site);
    run.exits(0)
        .says("Successfully Verified Connection to recordings-usw1/by-hand/")
        .says("Successfully Verified Connection to recordings-euc1/by-hand/")
        .says("the buckets lie in several regions")
        .says("recordings-euc1 in eu-central-1");
}

#[test]
fn without_buckets_and_recordings_s3_is_not_called_checked() {
    let run = verify(&Site::of(0));
    run.exits(0).says("S3 is not checked");
    assert!(!run.stdout.contains("Checking for Key"), "{run}");
}
