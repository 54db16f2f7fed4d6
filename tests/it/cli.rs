//! What is typed and what is printed: commands, options, messages, and no secrets.

use base64::Engine as _;
use rcbs_sim::{Action, Fault, Route};

use crate::harness::{Run, Site, files_below};

/// A run without a cloud behind it: a wrong one would be noticed.
fn without_config(site: &Site, args: &[&str]) -> Run {
    let run = site.rcbs(args);
    assert!(site.sim.requests().is_empty(), "{run}");
    run
}

#[test]
fn help_lists_the_exit_codes_and_the_variables() {
    let run = without_config(&Site::of(0), &["--help"]);
    run.exits(0);
    for words in ["0", "1", "2", "3", "4", "5", "6", "7", "130", "143"] {
        let line =
            run.stdout.lines().any(|line| line.trim_start().starts_with(&format!("{words}  ")));
        assert!(line, "{words}\n{run}");
    }
    run.says("GWS_PASSWORD").says("_FILE").says("--dry-run").says("--verify");
}

#[test]
fn bad_usage_says_what_was_meant() {
    for (args, words) in [
        (&["confg"][..], "'config'"),
        (&["--dryrun"], "'--dry-run'"),
        (&["--verify", "gws"], "[possible values: s3]"),
        (&["--set", "maxAge"], "write it as `maxAge=P7D`"),
        (&["--verify", "s3", "--dry-run"], "cannot be used with"),
        (&["--quiet", "--verbose"], "cannot be used with"),
    ] {
        without_config(&Site::of(0), args).exits(2).says(words);
    }
}

#[test]
fn a_missing_configuration_is_named() {
    let site = Site::of(0);
    let run = without_config(&site, &["--set", "maxAge=1", "--config", "absent.properties"]);
    // Given twice: the command line itself is wrong before the file is.
    run.exits(2);
    for command in ["--config", "-config"] {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_rcbs"));
        program.current_dir(site.folder.path()).env_clear().args([command, "absent.properties"]);
        let output = program.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        let line = "error: cannot read the configuration `absent.properties`: No such file";
        assert!(said.starts_with(line), "{said}");
        assert!(said.contains("hint: name it with `--config FILE`"), "{said}");
    }
}

#[test]
fn all_problems_of_a_configuration_are_told_at_once() {
    let mut site = Site::of(0);
    site.properties = "maxAge=30 days\nminDate=2018-01-02\nmaxDate=2018-01-04\nnumThreads=many\n\
                       maxAgee=3\ngwsProxyHost=10.0.1.31\n"
        .to_owned();
    site.environment.insert("AWS_SECRET_ACCESS_KEY", None);
    let run = without_config(&site, &[]);
    run.exits(2);
    for words in [
        "error: config.properties:4: `maxAge`: ",
        "`30 days`",
        "hint: write `30` or `P30D`",
        "error: config.properties:7: `numThreads`: ",
        "warning: config.properties:8: unknown name: `maxAgee` (did you mean `maxAge`?)",
        "`gwsProxyHost`",
        "AWS_SECRET_ACCESS_KEY",
        // The two lines as they should be.
        "maxDate=2018-01-02",
        "minDate=2018-01-04",
    ] {
        run.says(words);
    }
    assert!(!site.target().exists(), "{run}");
}

#[test]
fn config_shows_where_each_value_came_from_and_asks_nobody() {
    let mut site = Site::of(0);
    site.properties.push_str("awsProxyHost=proxy.example\nawsProxyPort=3128\n");
    site.environment.insert("AWS_REGION", Some("eu-west-3".to_owned()));
    let run = without_config(&site, &["--set", "minAge=PT1H", "config"]);
    run.exits(0);
    let line = |name: &str| {
        let found = run.stdout.lines().find(|line| line.split_whitespace().next() == Some(name));
        found.unwrap_or_else(|| panic!("{name}\n{run}")).split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(line("maxAge"), ["maxAge", "=", "3", "#", "config.properties:4"]);
    assert_eq!(line("minAge"), ["minAge", "=", "PT1H", "#", "--set"]);
    assert_eq!(line("numThreads"), ["numThreads", "=", "4", "#", "default"]);
    assert_eq!(line("awsRegion")[..3], ["awsRegion", "=", "eu-west-3"]);
    assert!(line("awsRegion").contains(&"AWS_REGION"));
    run.says("window from 20").says("(exclusive)").says("shards      3").says("none yet");
    for name in rcbs::config::PROPERTIES.iter().map(|property| property.name) {
        line(name);
    }
    assert!(!site.target().exists(), "{run}");
}

#[test]
fn a_dry_run_counts_everything_and_writes_nothing() {
    let site = Site::of(20);
    let run = site.rcbs(&["--dry-run"]);
    run.exits(0);
    let world = site.sim.world();
    let media: Vec<_> = world.recordings().flat_map(|one| world.listed_media(&one)).collect();
    let bytes: u64 = media.iter().map(|one| one.plain_bytes).sum();
    let count = media.len();
    let closing = format!(
        "would download: {count} of {count} media files, {bytes} bytes by their metadata; \
         20 recordings listed, 20 of this instance"
    );
    assert_eq!(run.stdout.lines().last(), Some(closing.as_str()), "{run}");
    assert_eq!(run.stdout.lines().count(), count + 1, "{run}");
    assert_eq!(site.sim.media_opened(), Vec::<String>::new());
    let left = files_below(site.folder.path());
    assert_eq!(left.into_keys().collect::<Vec<_>>(), ["config.properties"], "{run}");
    assert!(!site.target().exists());

    drop(world);
    site.rcbs(&[]).exits(0);
    let before = files_below(&site.target());
    let run = site.rcbs(&["--dry-run", "--from", "2018-01-01"]);
    run.exits(0).says(&format!("would download: 0 of {count} media files"));
    assert_eq!(files_below(&site.target()), before);
}

#[test]
fn json_messages_are_one_object_a_line() {
    let mut site = Site::of(10);
    site.properties.push_str("unknownName=1\n");
    let good = site.rcbs(&["--log-format", "json"]);
    good.exits(0);
    site.environment.insert("GWS_PASSWORD", Some("wrong".to_owned()));
    let bad = site.rcbs(&["--log-format", "json"]);
    bad.exits(4);
    for run in [&good, &bad] {
        assert!(!run.stderr.is_empty());
        for line in run.stderr.lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(value["time"].is_string() && value["level"].is_string(), "{line}");
        }
    }
    let last: serde_json::Value = serde_json::from_str(bad.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(last["level"], "error");
    assert_eq!(last["hint"], "check GWS_USERNAME and GWS_PASSWORD");
}

#[test]
fn quiet_prints_the_result_and_what_is_wrong_only() {
    let site = Site::of(10);
    let run = site.rcbs(&["--quiet"]);
    run.exits(0);
    assert_eq!(run.stderr, "", "{run}");
    assert_eq!(run.stdout.lines().count(), 1, "{run}");
    site.sim.gws(|gws| gws.password = "changed".to_owned());
    let mut site = site;
    site.environment.insert("GWS_PASSWORD", Some("not this".to_owned()));
    site.rcbs(&["--quiet"]).exits(4).says("error: GWS refuses the login");
}

#[test]
fn no_line_has_a_colour_where_nobody_looks() {
    let mut site = Site::of(3);
    site.environment.insert("NO_COLOR", Some("1".to_owned()));
    for args in [&[][..], &["--log-format", "plain"], &["--verbose"]] {
        let run = site.rcbs(args);
        run.exits(0);
        assert!(!format!("{}{}", run.stdout, run.stderr).contains('\u{1b}'), "{run}");
    }
}

#[test]
fn no_secret_is_ever_printed_or_written() {
    const SECRETS: [(&str, &str); 3] = [
        ("GWS_PASSWORD", "canary-password-7c1f"),
        ("AWS_SECRET_ACCESS_KEY", "canary-secret-key-93ab"),
        ("AWS_SESSION_TOKEN", "canary-session-token-55d0"),
    ];
    let mut site = Site::of(12);
    site.properties.push_str("gwsProxyPassword=canary-in-the-file-11\nAWS_SECRET_ACCESS_KEY=x\n");
    for (name, value) in SECRETS {
        site.environment.insert(name, Some(value.to_owned()));
    }
    site.sim.gws(|gws| gws.password = SECRETS[0].1.to_owned());
    site.sim.s3(|s3| {
        s3.secret_key = SECRETS[1].1.to_owned();
        s3.session_token = Some(SECRETS[2].1.to_owned());
    });
    let user = rcbs_sim::gws::USER;
    let pair = format!("{user}:{}", SECRETS[0].1);
    let login = base64::engine::general_purpose::STANDARD.encode(pair);
    let is_clean = |run: &Run| {
        let mut texts = files_below(&site.target());
        texts.insert("stdout".to_owned(), run.stdout.clone().into_bytes());
        texts.insert("stderr".to_owned(), run.stderr.clone().into_bytes());
        for (place, text) in texts {
            let text = String::from_utf8_lossy(&text);
            for secret in SECRETS.iter().map(|(_, value)| *value).chain([login.as_str()]) {
                assert!(!text.contains(secret), "{secret} in {place}\n{run}");
            }
        }
    };
    let good = site.rcbs(&["--verbose"]);
    good.exits(0).says("asking GWS");
    is_clean(&good);
    is_clean(&site.rcbs(&["config"]));
    for (route, action) in [
        (Route::Listing, Action::gws_code(500, 4)),
        (Route::Listing, Action::Reset),
        (Route::Settings, Action::html()),
        (Route::S3, Action::s3_error(403, "SignatureDoesNotMatch")),
        (Route::S3, Action::s3_error(400, "ExpiredToken")),
        (Route::S3, Action::Reset),
    ] {
        site.sim.clear_faults();
        site.sim.add_fault(Fault::on(route, action).optional());
        for args in [&["--verbose"][..], &["--verbose", "--log-format", "json", "--verify", "s3"]] {
            is_clean(&site.rcbs(args));
        }
    }
}
