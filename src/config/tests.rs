//! What each configuration comes to, and the exact words for each that is wrong or odd.

use std::collections::BTreeMap;

use super::*;

mod bad;
mod local;

/// The layers of a test; the first line of the file and the logins are there anyway.
struct Given<'a> {
    file: &'a str,
    set: &'a [(&'a str, &'a str)],
    settings: &'a [(&'a str, &'a str)],
    env: &'a [(&'a str, &'a str)],
    range: [Option<&'a str>; 2],
    bandwidth: Option<&'a str>,
}

const NOTHING: Given<'static> =
    Given { file: "", set: &[], settings: &[], env: &[], range: [None; 2], bandwidth: None };

const LOGINS: [(&str, &str); 4] = [
    ("GWS_USERNAME", "user@tenant.example"),
    ("GWS_PASSWORD", "swordfish"),
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "kept-secret"),
];

fn load(given: &Given<'_>) -> Result<(Config, Vec<Problem>), ConfigErrors> {
    let text = format!("gwsUriPrefix=https://example.com/api/v2\n{}", given.file);
    load_file(Some(text.as_bytes()), given)
}

fn load_file(
    file: Option<&[u8]>,
    given: &Given<'_>,
) -> Result<(Config, Vec<Problem>), ConfigErrors> {
    let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let env: BTreeMap<_, _> = LOGINS.iter().chain(given.env).copied().collect();
    Config::load(&Layers {
        from: given.range[0].map(str::to_owned),
        to: given.range[1].map(str::to_owned),
        bandwidth: given.bandwidth.map(str::to_owned),
        set: owned(given.set),
        file: file.map(|bytes| ("config.properties".into(), bytes.to_vec())),
        settings: owned(given.settings),
        env: &|name| env.get(name).map(Into::into),
        current_dir: "/srv/rcbs".into(),
        now: now(),
    })
}

fn now() -> DateTime<Utc> {
    at("2018-01-09T12:00:00Z")
}

fn at(text: &str) -> DateTime<Utc> {
    crate::window::parse_edge(text).expect(text)
}

fn config(given: &Given<'_>) -> Config {
    load(given).unwrap_or_else(|errors| panic!("{errors}")).0
}

/// Gives the warnings and errors as they are printed; empty if all is well.
fn told(outcome: Result<(Config, Vec<Problem>), ConfigErrors>) -> String {
    let errors = match outcome {
        Ok((_, warnings)) => ConfigErrors { problems: vec![], warnings },
        Err(errors) => errors,
    };
    errors.to_string()
}

fn origin(config: &Config, name: &str) -> (String, Origin) {
    let setting = config.settings.iter().find(|setting| setting.name == name).expect(name);
    (setting.value.clone(), setting.origin.clone())
}

const EXAMPLE: &str = include_str!("../../config.properties.example");

/// Gives the lines of the example that set something once their `#` is gone.
fn example_entries() -> String {
    EXAMPLE
        .lines()
        .map(|line| line.strip_prefix('#').unwrap_or(line))
        .filter(|line| line.split_once('=').is_some_and(|(name, _)| property::find(name).is_some()))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn the_example_sets_every_property_once_to_its_default() {
    let entries = crate::properties::parse(example_entries().as_bytes()).unwrap();
    let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let known: Vec<_> = PROPERTIES.iter().map(|property| property.name).collect();
    assert_eq!(names, known, "the example has other names than the table, or another order");
    for entry in &entries {
        let property = property::find(&entry.name).unwrap();
        let default = if property.name == "gwsUriPrefix" {
            "https://example.com/api/v2"
        } else {
            property.default.unwrap_or_default()
        };
        assert_eq!(entry.value, default, "{}", entry.name);
    }
}

#[test]
fn the_example_says_nothing_but_what_is_so_anyway() {
    let without_origins = |file: &str| {
        let outcome = load_file(Some(file.as_bytes()), &NOTHING);
        let (mut config, warnings) = outcome.unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(warnings, []);
        config.settings.clear();
        format!("{config:#?}")
    };
    let as_it_is = without_origins(EXAMPLE);
    assert_eq!(as_it_is, without_origins(&example_entries()));
    assert_eq!(as_it_is, without_origins("gwsUriPrefix=https://example.com/api/v2"));
}

#[test]
fn defaults_are_the_documented_ones() {
    let config = config(&NOTHING);
    let days = |days| Age { months: 0, exact: TimeDelta::days(days) };
    assert_eq!(config.gws_uri_prefix.as_str(), "https://example.com/api/v2");
    assert_eq!(config.gws_recordings_uri, "/recordings");
    assert_eq!(config.gws_settings_uri, "/me/settings/rcbs");
    assert_eq!(config.target_dir, PathBuf::from("/srv/rcbs/target"));
    assert_eq!(config.state_dir, config.target_dir);
    assert_eq!(
        config.period,
        Period {
            older: Older::Age(days(2)),
            newer: Newer::Age(days(0)),
            one_shot: None,
            skip_last_recording_check: false,
        }
    );
    assert_eq!(config.shard_by, TimeDelta::days(1));
    assert_eq!(config.overlap, Age { months: 0, exact: TimeDelta::hours(6) });
    assert_eq!(config.rescan, Some(days(3)));
    assert_eq!(config.media_type_pattern_text, "audio/mp3|video/mp4");
    let noon = DateTime::from_timestamp(1_518_436_800, 0).unwrap();
    assert_eq!(config.recording_folder_format.format(noon), "2018/02/12/12");
    assert_eq!(config.download_mode, DownloadMode::Multithread);
    assert_eq!((config.num_threads, config.max_connections), (4, None));
    assert_eq!(config.bandwidth, None);
    assert_eq!(config.instance, Instance { id: 0, total: 1 });
    assert_eq!((config.aws_proxy, config.gws_proxy), (None, None));
    assert_eq!(config.s3_socket_timeout, Duration::from_secs(50));
    assert_eq!(config.s3_max_error_retry, 3);
    assert_eq!((config.file_mode, config.folder_mode), (0o640, 0o750));
}

#[test]
fn a_stronger_layer_wins_and_is_named() {
    let file = "s3MaxErrorRetry=5\nawsRegion=eu-west-1\nmaxAge=9\nmaxDate=\nnumThreads=8\nnumThreads=\n\
         bandwidth=5M";
    let env = [("AWS_REGION", "us-west-1")];
    let settings = [("s3MaxErrorRetry", "7"), ("s3SocketTimeout", "1000"), ("bucketVerify", "b/p")];
    let given = Given { file, settings: &settings, env: &env, ..NOTHING };
    let set = [("maxAge", "PT30M"), ("maxAge", "P5D"), ("awsRegion", "")];
    let typed = Given { set: &set, bandwidth: Some("20M"), ..given };
    for (given, name, value, from) in [
        (&given, "s3MaxErrorRetry", "5", Origin::File { line: 2 }),
        (&given, "s3SocketTimeout", "1000", Origin::SettingsApi),
        (&given, "bucketVerify", "b/p", Origin::SettingsApi),
        (&given, "awsRegion", "eu-west-1", Origin::File { line: 3 }),
        (&given, "maxAge", "9", Origin::File { line: 4 }),
        (&given, "maxDate", "", Origin::Default),
        (&given, "numThreads", "4", Origin::Default),
        (&given, "gwsRecordingsUri", "/recordings", Origin::Default),
        (&given, "bandwidth", "5M", Origin::File { line: 8 }),
        (&typed, "bandwidth", "20M", Origin::CommandLine("--bandwidth")),
        (&typed, "maxAge", "P5D", Origin::Set),
        (&typed, "awsRegion", "", Origin::Default),
    ] {
        assert_eq!(origin(&config(given), name), (value.to_owned(), from), "{name}");
    }
}

#[test]
fn variables_of_aws_count_where_the_file_is_silent() {
    let one = ("AWS_ENDPOINT_URL", "http://store.example:9000/");
    let s3 = ("AWS_ENDPOINT_URL_S3", "https://s3.store.example");
    for (variables, url, from) in [
        (vec![one], "http://store.example:9000/", "AWS_ENDPOINT_URL"),
        (vec![one, s3], "https://s3.store.example/", "AWS_ENDPOINT_URL_S3"),
        (vec![one, ("AWS_ENDPOINT_URL_S3", "")], "http://store.example:9000/", "AWS_ENDPOINT_URL"),
    ] {
        let config = config(&Given { env: &variables, ..NOTHING });
        assert_eq!(config.aws_endpoint_url.as_ref().map(Url::as_str), Some(url));
        assert_eq!(origin(&config, "awsEndpointUrl").1, Origin::Environment(from));
    }
}

#[test]
fn the_edges_of_the_window_are_those_that_were_asked_for() {
    let day = |day| Older::At(at(day));
    for (file, range, older, newer, one_shot) in [
        ("maxAge=3", [None; 2], Some("2018-01-06T12:00:00Z"), "2018-01-09T12:00:00Z", None),
        ("maxAge=0", [None; 2], None, "2018-01-09T12:00:00Z", None),
        (
            "maxAge=P1M\nminAge=PT30M",
            [None; 2],
            Some("2017-12-09T12:00:00Z"),
            "2018-01-09T11:30:00Z",
            None,
        ),
        ("maxAge=0\nminAge=P90D", [None; 2], None, "2017-10-11T12:00:00Z", None),
        ("maxDate=2018-01-02", [None; 2], Some("2018-01-02"), "2018-01-09T12:00:00Z", None),
        (
            "minDate=2018-01-04\nmaxDate=2018-01-02",
            [None; 2],
            Some("2018-01-02"),
            "2018-01-04",
            Some(OneShot::File),
        ),
        (
            "maxAge=5\nminDate=1515024000000",
            [None; 2],
            Some("2018-01-04T12:00:00Z"),
            "2018-01-04",
            Some(OneShot::File),
        ),
        (
            "",
            [Some("2018-01-02"), Some("2018-01-04")],
            Some("2018-01-02"),
            "2018-01-04",
            Some(OneShot::CommandLine),
        ),
        (
            "minDate=2018-01-04",
            [Some("2018-01-02"), None],
            Some("2018-01-02"),
            "2018-01-04",
            Some(OneShot::CommandLine),
        ),
        (
            "minDate=2017-01-04",
            [None, Some("2018-01-08")],
            Some("2018-01-07T12:00:00Z"),
            "2018-01-08",
            Some(OneShot::CommandLine),
        ),
    ] {
        let period = config(&Given { file, range, ..NOTHING }).period;
        assert_eq!(period.older.at(now()), older.map(at), "{file}");
        assert_eq!(period.newer.at(now()), at(newer), "{file}");
        assert_eq!(period.one_shot, one_shot, "{file}");
    }
    let set = [("minDate", "2018-01-08")];
    let period = config(&Given { set: &set, file: "maxDate=2018-01-02", ..NOTHING }).period;
    assert_eq!((period.older, period.one_shot), (day("2018-01-02"), Some(OneShot::CommandLine)));
}

#[test]
fn values_are_read_as_documented() {
    let config = config(&Given {
        file: "targetDir=//server_name/path\nstateDir = state dir \nmediaTypePattern=audio\\/.*\n\
               awsProxyHost=10.0.1.31\nawsProxyPort=80\ngwsProxyHost=https://proxy.example\n\
               gwsProxyPort=8080\nshardBy=PT1H\nrescan=0\nencryptionFormat=aes-256\n\
               downloadMode=Single\nbandwidth=08:00,5M 19:00,off\nmetadataOnly=TRUE\nmaxConnections=64\nfileMode=600\n\
               metadataPropertiesExclude=a, b,,c\nbucketVerify=one/two/three/ , four\n\
               mediaOrigins=https://dav.example:8443, http://media.example/\n\
               gwsRecordingsUri=/recordings/",
        ..NOTHING
    });
    assert_eq!(config.target_dir, PathBuf::from("//server_name/path"));
    assert_eq!(config.state_dir, PathBuf::from("/srv/rcbs/state dir"));
    let matching = ["audio/mp3", "AUDIO/x-wav", "video/mp4", "an audio/mp3"]
        .map(|media_type| config.media_type_pattern.is_match(media_type));
    assert_eq!(matching, [true, true, false, false]);
    assert_eq!(config.aws_proxy.unwrap().address.as_str(), "http://10.0.1.31/");
    assert_eq!(config.gws_proxy.unwrap().address.as_str(), "https://proxy.example:8080/");
    assert_eq!((config.shard_by, config.rescan), (TimeDelta::hours(1), None));
    assert_eq!(config.encryption_format, SealFormat::Aes256);
    assert_eq!((config.download_mode, config.metadata_only), (DownloadMode::Single, true));
    assert_eq!((config.max_connections, config.file_mode), (Some(64), 0o600));
    assert_eq!(config.bandwidth, Timetable::parse("08:00,5M 19:00,off").unwrap());
    assert_eq!(config.metadata_exclude, ["a", "b", "c"]);
    let pair = |bucket: &str, prefix: &str| (bucket.to_owned(), prefix.to_owned());
    assert_eq!(config.bucket_verify, [pair("one", "two/three"), pair("four", "")]);
    let origins: Vec<_> = config.media_origins.iter().map(Url::as_str).collect();
    assert_eq!(origins, ["https://dav.example:8443/", "http://media.example/"]);
    assert_eq!(config.gws_recordings_uri, "/recordings");
}

#[test]
fn auto_takes_the_share_that_the_engine_gives() {
    let file = "rcbsInstanceId=auto\ntotalRcbsInstances=auto";
    for (file, engine, share) in [
        (
            "rcbsInstanceId=auto\ntotalRcbsInstances=3",
            &[("JOB_COMPLETION_INDEX", "2")][..],
            Instance { id: 2, total: 3 },
        ),
        (
            file,
            &[("AWS_BATCH_JOB_ARRAY_INDEX", "0"), ("AWS_BATCH_JOB_ARRAY_SIZE", "2")],
            Instance { id: 0, total: 2 },
        ),
        (
            file,
            &[
                ("SLURM_ARRAY_TASK_ID", "13"),
                ("SLURM_ARRAY_TASK_MIN", "10"),
                ("SLURM_ARRAY_TASK_COUNT", "4"),
            ],
            Instance { id: 3, total: 4 },
        ),
        (
            file,
            &[("CLOUD_RUN_TASK_INDEX", "1"), ("CLOUD_RUN_TASK_COUNT", "2")],
            Instance { id: 1, total: 2 },
        ),
    ] {
        assert_eq!(config(&Given { file, env: engine, ..NOTHING }).instance, share, "{engine:?}");
    }
}

#[test]
fn a_credential_may_stand_in_a_file_with_one_line_end() {
    let dir = tempfile::tempdir().unwrap();
    for (content, password) in
        [("swordfish\n", "swordfish"), ("sword fish\r\n", "sword fish"), (" s\n\n", " s\n")]
    {
        let path = dir.path().join("password");
        #[expect(clippy::disallowed_methods, reason = "a test's own file, outside any tree")]
        std::fs::write(&path, content).unwrap();
        let env = [("GWS_PASSWORD", ""), ("GWS_PASSWORD_FILE", path.to_str().unwrap())];
        let config = config(&Given { env: &env, ..NOTHING });
        assert_eq!(config.credentials.gws.password.expose(), password);
    }
}

#[test]
fn metadata_alone_needs_no_keys_to_s3() {
    let env = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
    let given = Given { file: "metadataOnly=true", env: &env, ..NOTHING };
    assert_eq!(config(&given).credentials.aws, None);
    let env = [("AWS_SESSION_TOKEN", "t")];
    let aws = config(&Given { env: &env, ..NOTHING }).credentials.aws.unwrap();
    assert_eq!(aws.session_token.unwrap().expose(), "t");
}

#[test]
fn no_secret_is_printed_by_debug_or_among_the_settings() {
    let env = [("AWS_SESSION_TOKEN", "session-secret")];
    let printed = format!("{:?}", config(&Given { env: &env, ..NOTHING }));
    for (variable, secret) in LOGINS.into_iter().chain(env) {
        assert!(!printed.contains(secret), "{variable} is seen in {printed}");
    }
}
