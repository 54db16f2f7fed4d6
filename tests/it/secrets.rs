//! Secrets: passwords, keys, tokens and passphrases are seen nowhere, whatever goes wrong.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcbs_sim::gws::{Links, Settings};
use rcbs_sim::{Action, Fault, Media, Proxy, Recording, Route, Sim, SimOptions, TlsOptions};

use crate::canary::{assert_none, traces};
use crate::harness::{BUCKET, HOUR_MS, REGION, Run, Site, now_ms};

/// The heart of each secret, which every spelling of it has in it but for base64.
const PASSWORD: &str = "Kx7Canary1Passw0rd";
const ACCESS_KEY: &str = "akiaq9-canary2-keyid";
const SECRET_KEY: &str = "Zt3Canary3SecretKey";
const TOKEN: &str = "Wv5Canary4SessionToken";
const PASSPHRASE: &str = "Bn8Canary5Passphrase";
/// Of others: in links, in addresses of media, in settings that nobody should have made.
const FOREIGN: &str = "Lm2Canary6Elsewhere";

/// The secrets as they are set, with what has to be encoded around their hearts.
fn secrets() -> [(&'static str, String); 4] {
    [
        ("GWS_PASSWORD", format!("a+b/\"{PASSWORD}\"%c& wörd")),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", format!("x/y+{SECRET_KEY}=")),
        ("AWS_SESSION_TOKEN", format!("IQo+/{TOKEN}==")),
    ]
}

/// A cloud that knows the secrets, and an operator who has set them and wants to see everything.
fn site() -> Site {
    let mut site = Site::of(0);
    site.properties = format!("maxAge=PT3H\ns3MaxErrorRetry=1\n{REGION}");
    site.properties += "logFile=rcbs.log\nmetricsFile=rcbs.prom\n";
    site.add("R", now_ms() - HOUR_MS);
    let [password, access_key, secret_key, token] = secrets().map(|(_, value)| value);
    site.sim.gws(|gws| gws.password = password);
    site.sim.s3(|s3| {
        (s3.access_key, s3.secret_key) = (access_key, secret_key);
        s3.session_token = Some(token);
    });
    site.environment.extend(secrets().map(|(name, value)| (name, Some(value))));
    let everything = "trace,rcbs=trace,hyper=trace,reqwest=trace,aws=trace,aws_sdk_s3=trace";
    for (name, value) in [
        ("RUST_LOG", everything),
        ("AWS_LOG", "trace"),
        ("RUST_BACKTRACE", "full"),
        ("SSLKEYLOGFILE", "keys.log"),
    ] {
        site.environment.insert(name, Some(value.to_owned()));
    }
    site
}

const ALL: [&str; 6] = [PASSWORD, ACCESS_KEY, SECRET_KEY, TOKEN, PASSPHRASE, FOREIGN];

/// Runs a backup or another command, plainly and in JSON, and looks for each secret.
#[track_caller]
fn is_silent(site: &Site, code: i32, args: &[&str]) -> Run {
    let run = site.rcbs(&[&["--verbose"], args].concat());
    let json = site.rcbs(&[&["--verbose", "--log-format", "json"], args].concat());
    for run in [&run, &json] {
        run.exits(code);
        let given = |path: &str| path == "config.properties" || path.starts_with("given/");
        assert_none(&ALL, run, &traces(run, site.folder.path(), given));
    }
    run
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Action {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Action::Answer { status, headers: headers.collect(), body: body.to_owned() }
}

/// What a server that repeats its request would write of the login to GWS.
fn repeated_login() -> [String; 4] {
    let password = &secrets()[0].1;
    let pair = format!("{}:{password}", rcbs_sim::gws::USER);
    let encoded = |byte: u8| format!("%{byte:02x}");
    [
        password.clone(),
        base64::engine::general_purpose::STANDARD.encode(&pair),
        URL_SAFE_NO_PAD.encode(password),
        password.bytes().map(encoded).collect(),
    ]
}

#[test]
fn a_run_that_succeeds_shows_and_writes_no_secret() {
    let mut site = site();
    site.sim.gws(|gws| gws.cookie_required = true);
    is_silent(&site, 0, &[]).says("asking GWS");
    is_silent(&site, 0, &["--verify", "s3"]);
    is_silent(&site, 0, &["--dry-run"]);
    is_silent(&site, 0, &["config"]).says("gwsUriPrefix");
    // The same from files, and the files stay as they are.
    std::fs::create_dir(site.folder.path().join("given")).unwrap();
    for (name, value) in secrets() {
        let path = format!("given/{name}");
        std::fs::write(site.folder.path().join(&path), format!("{value}\n")).unwrap();
        let of_file = ["GWS_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
            .into_iter()
            .zip(["GWS_PASSWORD_FILE", "AWS_ACCESS_KEY_ID_FILE", "AWS_SECRET_ACCESS_KEY_FILE"])
            .find(|(plain, _)| *plain == name)
            .map_or("AWS_SESSION_TOKEN_FILE", |(_, of_file)| of_file);
        site.environment.insert(name, None);
        site.environment.insert(of_file, Some(path));
    }
    site.add("S", now_ms() - HOUR_MS);
    is_silent(&site, 0, &[]);
    site.assert_holds(|_| true);
}

/// Runs a backup that gets this answer in the place of each page.
#[track_caller]
fn is_not_listed(action: Action, code: i32) {
    let site = site();
    site.sim.add_fault(Fault::on(Route::Listing, action));
    let run = site.rcbs(&["--verbose", "--set", "s3MaxErrorRetry=0", "--set", "maxAge=PT1M"]);
    run.exits(code);
    // A record that cannot be read is kept as it came.
    let is_rejected = |path: &str| path.starts_with(".rcbs/rejected/");
    assert_none(&ALL, &run, &traces(&run, &site.target(), is_rejected));
}

#[test]
fn what_gws_sends_back_of_the_login_is_not_shown() {
    let all = repeated_login().join(" ");
    for repeated in repeated_login() {
        // Where it is cut in the middle, where it is a name, and where it comes first.
        let long = serde_json::json!(format!("{}{repeated}", "x".repeat(300 - 12)));
        let json = serde_json::json!(repeated);
        for action in [
            Action::json(200, &format!(r#"{{"statusCode":6,"statusMessage":{long}}}"#)),
            Action::json(200, &format!(r#"{{{json}:1,"statusCode":0}}"#)),
            answer(200, &[("Content-Type", "text/html")], &repeated),
        ] {
            is_not_listed(action, 7);
        }
    }
    let json = serde_json::json!(all);
    let origin =
        format!("https://{FOREIGN}:{FOREIGN}@elsewhere.example/?to={}", repeated_login()[1]);
    for (action, code) in [
        (Action::json(403, &format!(r#"{{"statusCode":3,"statusMessage":{json}}}"#)), 4),
        (Action::json(500, &format!(r#"{{"statusCode":4,"statusMessage":{json}}}"#)), 7),
        (Action::json(401, &format!(r#"{{"statusCode":20,"statusMessage":{json}}}"#)), 4),
        (Action::json(200, &json.to_string()), 7),
        (Action::json(200, &format!(r#"{{"statusCode":0,"recordings":{json}}}"#)), 7),
        (Action::json(200, &format!(r#"{{"statusCode":0,"recordings":[{json},"#)), 7),
        (answer(200, &[("Content-Type", "text/html")], &format!("<p>{all}")), 7),
        (answer(503, &[("Retry-After", "0")], &all), 7),
        (answer(302, &[("Location", &origin)], &all), 7),
    ] {
        is_not_listed(action, code);
    }
    // The settings API is asked first, and may say no in the same ways.
    for json in repeated_login().map(|repeated| serde_json::json!(repeated)) {
        let named = format!(r#"{{"statusCode":0,"settings":[{{"name":{json},"value":{json}}}]}}"#);
        for (action, code) in [
            (Action::json(200, &named), 0),
            (Action::json(500, &named), 7),
            (Action::json(401, &named), 4),
            (answer(301, &[("Location", "https://elsewhere.example/")], &all), 7),
        ] {
            let site = site();
            site.sim.add_fault(Fault::on(Route::Settings, action));
            is_silent(&site, code, &[]);
        }
    }
}

#[test]
fn what_s3_sends_back_of_the_keys_is_not_shown() {
    let [_, access_key, _, token] = secrets().map(|(_, value)| value);
    for repeated in [&access_key, &token] {
        let body = |code: &str, more: &str| {
            format!(
                "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{repeated}</Message>\
                 <AWSAccessKeyId>{repeated}</AWSAccessKeyId><StringToSign>{repeated}</StringToSign>\
                 {more}<HostId>{repeated}</HostId></Error>"
            )
        };
        let region = format!("<Region>{repeated}</Region>");
        let elsewhere = format!("https://elsewhere.example/?X-Amz-Security-Token={repeated}");
        for (action, code) in [
            (answer(403, &[], &body("SignatureDoesNotMatch", "")), 4),
            (answer(403, &[], &body("InvalidAccessKeyId", "")), 4),
            (answer(400, &[], &body("ExpiredToken", "")), 4),
            (answer(403, &[], &body("AccessDenied", "")), 4),
            (answer(400, &[], &body(repeated, "")), 3),
            (answer(500, &[], &body(repeated, "")), 3),
            (answer(400, &[], &body("AuthorizationHeaderMalformed", &region)), 3),
            (answer(301, &[("x-amz-bucket-region", repeated)], &body("PermanentRedirect", "")), 3),
            (answer(307, &[("Location", &elsewhere)], &body("TemporaryRedirect", "")), 3),
            (answer(200, &[("ETag", repeated)], "<Error>"), 3),
            (Action::html(), 3),
            (Action::Reset, 3),
            (Action::Truncate(3), 3),
        ] {
            let site = site();
            site.sim.add_fault(Fault::on(Route::S3, action.clone()));
            let run = site.rcbs(&["--verbose", "--set", "s3MaxErrorRetry=0"]);
            assert!([code, 7, 4].contains(&run.code), "{action:?}\n{run}");
            assert_none(&ALL, &run, &traces(&run, &site.target(), |_| false));
            site.sim.clear_faults();
            site.sim.add_fault(Fault::on(Route::S3, action).optional());
            let run = site.rcbs(&["--verbose", "--set", "s3MaxErrorRetry=0", "--verify", "s3"]);
            assert_none(&ALL, &run, &traces(&run, &site.target(), |_| false));
        }
    }
}

#[test]
fn a_refused_login_or_a_way_that_is_closed_shows_no_secret() {
    let site = site();
    site.sim.gws(|gws| gws.password = "another".to_owned());
    is_silent(&site, 4, &[]);
    site.sim.gws(|gws| gws.password = secrets()[0].1.clone());
    site.sim.s3(|s3| s3.expired = true);
    is_silent(&site, 4, &[]);
    site.sim.s3(|s3| (s3.expired, s3.secret_key) = (false, "another".to_owned()));
    is_silent(&site, 4, &[]);
    site.sim.s3(|s3| s3.access_key = "ANOTHER".to_owned());
    is_silent(&site, 4, &[]);

    let proxy = Proxy::start_with_login("somebody", FOREIGN);
    let port = proxy.port();
    let tls = SimOptions { tls: Some(TlsOptions::default()), ..SimOptions::default() };
    let other = Sim::start(tls);
    let gws = format!("gwsUriPrefix={}", other.gws_uri_prefix());
    for set in [
        &["gwsProxyHost=http://127.0.0.1", &format!("gwsProxyPort={port}")][..],
        &["gwsProxyHost=http://127.0.0.1", &format!("gwsProxyPort={port}"), &gws],
        &["awsProxyHost=127.0.0.1", &format!("awsProxyPort={port}")],
        &["gwsUriPrefix=http://no-such-host.invalid/api/v2"],
        &["gwsUriPrefix=http://127.0.0.1:1/api/v2"],
        &[&gws],
        &["awsEndpointUrl=http://no-such-host.invalid"],
        &[&format!("awsEndpointUrl={}", other.s3_endpoint())],
    ] {
        let mut args = vec!["--set", "s3MaxErrorRetry=0"];
        args.extend(set.iter().flat_map(|one| ["--set", *one]));
        for more in [&[][..], &["--verify", "s3"]] {
            let run = site.rcbs(&[&args[..], more].concat());
            assert!([4, 7].contains(&run.code), "{set:?}\n{run}");
            assert_none(&ALL, &run, &traces(&run, &site.target(), |_| false));
        }
    }
    assert!(!proxy.asked().is_empty() && other.requests().is_empty());
    assert!(!site.folder.path().join("keys.log").exists());
}

#[test]
fn addresses_that_servers_give_are_shown_without_login_and_query() {
    let site = site();
    let mut links = Links::new("nextUri");
    links.origin = Some(format!("https://x:{FOREIGN}@internal.example"));
    site.sim.gws(|gws| (gws.links, gws.cap) = (Some(links), 1));
    for n in 0..4 {
        site.add(&format!("R{n}"), now_ms() - 2 * HOUR_MS);
    }
    let loose = "https://elsewhere.example/a.mp3?sig=";
    let pointers = [
        format!("{loose}{FOREIGN}"),
        format!("https://user:{FOREIGN}@elsewhere.example/a.mp3#{FOREIGN}"),
        format!("/api/v2/media/{BUCKET}/none?token={FOREIGN}"),
        format!("/api/v2/media/{BUCKET}/moved?token={FOREIGN}"),
        format!("http://{FOREIGN}:{FOREIGN}@127.0.0.1:1/x?{FOREIGN}"),
        format!(
            "{}/media/{BUCKET}/by-hand/R_voice.mp3.bin?{FOREIGN}",
            site.sim.gws_uri_prefix().replace("//", &format!("//{FOREIGN}@"))
        ),
        format!("http://[{FOREIGN}"),
    ];
    for (n, uri) in pointers.iter().enumerate() {
        let media =
            Media { uri: Some(uri.clone()), ..Media::voice(&format!("U{n}.mp3.bin"), BUCKET, 9) };
        let json = format!(
            r#"{{"id":"U{n}","startTime":{},"mediaFiles":[{{"mediaId":"U{n}.mp3.bin","mediaUri":"{uri}"}}]}}"#,
            now_ms() - HOUR_MS
        );
        site.sim.edit(|world| {
            world.add(
                Recording::new(&format!("U{n}"), now_ms() - HOUR_MS).with(media).with_json(json),
            )
        });
    }
    let away = format!("https://user:{FOREIGN}@elsewhere.example/b?sig={FOREIGN}");
    let away = answer(302, &[("Location", &away)], "");
    site.sim.add_fault(Fault::on(Route::Media, away).containing("/moved"));
    let run = site.rcbs(&["--verbose", "--set", "mediaOrigins=http://127.0.0.1:1"]);
    run.exits(3).says("https://elsewhere.example/a.mp3");
    // GWS is asked with the operator's login, whatever stands in the address.
    let requests = site.sim.requests();
    let mut asked = requests.iter().filter(|request| request.route == Route::Media).peekable();
    assert!(asked.peek().is_some());
    assert!(asked.all(|request| request.user.as_deref() == Some(rcbs_sim::gws::USER)), "{run}");
    let metadata = |path: &str| path.ends_with("_metadata.json");
    assert_none(&ALL, &run, &traces(&run, &site.target(), metadata));
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let login = format!("user:{FOREIGN}@");
    for line in [
        format!("gwsUriPrefix=https://{login}gws.example/api/v2"),
        format!("gwsUriPrefix=https://gws.example/api/v2?token={FOREIGN}"),
        format!("gwsUriPrefix=ftp://{login}gws.example"),
        format!("gwsRecordingsUri=https://{login}gws.example/recordings"),
        format!("awsEndpointUrl=https://{login}s3.example"),
        format!("mediaOrigins=https://a.example,https://{login}b.example"),
        format!("gwsProxyHost=http://{login}proxy.example\ngwsProxyPort=1"),
        format!("gwsProxyHost={login}proxy.example:3128"),
        format!("awsProxyHost={login}proxy.example\nawsProxyPort=1"),
        format!("awsProxyHost=http://{login}proxy.example"),
        format!("gwsPassword={FOREIGN}\nnumThreads=none"),
        format!("aws_secret_access_key={FOREIGN}\nGWS_PASSWORD\\={FOREIGN}\nnumThreads=none"),
    ] {
        let mut site = site();
        // The last line of a name counts.
        site.properties += &format!("{line}\n");
        is_silent(&site, 2, &[]);
        is_silent(&site, 2, &["config"]);
    }
    for name in ["GWS_PASSWORD", "awsSecretKey", "AWS_SESSION_TOKEN"] {
        is_silent(&site(), 2, &["--set", &format!("{name}={FOREIGN}")]);
    }
    // One who takes the variable of the file for that of the secret.
    let mut site = site();
    for (plain, of_file) in [
        ("GWS_PASSWORD", "GWS_PASSWORD_FILE"),
        ("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY_FILE"),
        ("AWS_SESSION_TOKEN", "AWS_SESSION_TOKEN_FILE"),
    ] {
        let value = site.environment.insert(plain, None).flatten();
        site.environment.insert(of_file, value);
        is_silent(&site, 2, &[]).says(&format!("{of_file}: the file that it names cannot be read"));
    }
    // What no header can carry.
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        let mut site = self::site();
        site.environment.insert(name, Some(format!("{FOREIGN}\r\n")));
        for args in [&[][..], &["--verify", "s3"]] {
            let run = site.rcbs(&[&["--verbose"], args].concat());
            run.exits(2).says(&format!("{name}: has a character in it"));
            assert_none(&ALL, &run, &traces(&run, &site.target(), |_| false));
        }
    }
}

#[test]
fn a_passphrase_is_not_shown_whether_it_opens_a_key_or_not() {
    let mut site = site();
    site.environment.insert("RCBS_KEY_PASSPHRASE", Some(format!("({PASSPHRASE})")));
    is_silent(&site, 0, &[]);
    let run = site.rcbs(&["--verbose", "keys", "new", "--out", "keys", "--bits", "2048"]);
    run.exits(0);
    assert_none(&ALL, &run, &traces(&run, site.folder.path(), |path| path == "config.properties"));
    for (code, passphrase) in [(3, PASSPHRASE.to_owned()), (2, format!("{PASSPHRASE}not"))] {
        let passphrase = if code == 3 { format!("({passphrase})") } else { passphrase };
        site.environment.insert("RCBS_KEY_PASSPHRASE", Some(passphrase));
        is_silent(&site, code, &["keys", "check", "--keys", "keys"]);
        is_silent(&site, code, &["decrypt", "--keys", "keys", "--out", "opened"]);
    }
    let value = site.environment.insert("RCBS_KEY_PASSPHRASE", None).flatten();
    site.environment.insert("RCBS_KEY_PASSPHRASE_FILE", value);
    is_silent(&site, 2, &["keys", "check", "--keys", "keys"]);
}

#[test]
fn settings_that_gws_keeps_are_named_and_not_shown() {
    let site = site();
    let list = ["password", "awsSecretKey", "s3SocketTimeout", "gwsProxyHost"];
    let list = list.map(|name| (name.to_owned(), format!("https://x:{FOREIGN}@y")));
    site.sim.gws(|gws| gws.settings = Settings::List(list.to_vec()));
    is_silent(&site, 0, &[]).says("`password`");
}
