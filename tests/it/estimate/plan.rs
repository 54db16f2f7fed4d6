//! What a planned volume needs.

use serde_json::{Value, json};

use super::number;
use crate::harness::{Run, files_below};

/// A plan without a cloud, a configuration or a variable.
pub(super) fn plan(args: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rcbs"));
    command.current_dir(folder.path()).env_clear().arg("estimate").args(args);
    let run = Run::of(command, format!("rcbs estimate {}", args.join(" ")));
    assert!(files_below(folder.path()).is_empty(), "{run}");
    run
}

#[test]
fn a_planned_volume_asks_nobody_and_needs_no_configuration() {
    let args = ["--recordings-per-day", "1000", "--minutes", "3.5", "--screen", "10%"];
    let run = plan(&[&args[..], &["--json"]].concat());
    run.exits(0);
    let document: Value = serde_json::from_str(&run.stdout).unwrap();
    let day = &document["volumes"][0]["day"];
    // 210 s at 4,000 and at 32,000 bytes a second.
    assert_eq!(day["voiceBytes"], 1_000 * 210 * 4_000);
    assert_eq!(day["screenBytes"], 100 * 210 * 32_000);
    assert_eq!(day["metadataBytes"], 1_000 * 30_000);
    assert_eq!(day["metadataBoundBytes"], 1_000 * 1_000_000 + 100 * 8_000);
    let needs = &document["volumes"][0]["needs"];
    assert_eq!(needs["day"]["files"], 1_000 + 1_100 + 100);
    assert_eq!(needs["day"]["inodes"], 2_200 + 1_000 + 25);
    let disk = 840_000_000 + 672_000_000 + 30_000_000;
    let beside = 1_200 * 1_024 + 2_200 * 2_048 + 1_025 * 4_096 + 684_000;
    assert_eq!(needs["day"]["diskBytes"], disk + beside);
    assert_eq!(needs["held"]["diskBytes"], 30 * (disk + beside));
    let most = &document["volumes"][0]["atMost"]["day"]["diskBytes"];
    assert_eq!(number(most), disk + beside + 970_000_000 + 800_000);
    // The day and what is listed again: 6 hours and 3 days.
    let received = 840_000_000 + 672_000_000 + 1_200 * 1_024 + 30_000_000 * 102 / 24;
    assert_eq!(needs["receivedBytes"], received);
    assert_eq!(number(&needs["dayBitsPerSecond"]), (received * 8_u64).div_ceil(86_400));
    assert_eq!(number(&needs["withinBitsPerSecond"]), (received * 8_u64).div_ceil(28_800));
    assert_eq!((&needs["instances"], &needs["storageRequests"]), (&json!(1), &json!(1_200)));

    let told = plan(&args);
    told.exits(0).says("1,000 recordings a day of 3.5 minutes").says("10 % of them");
    for (row, day, held) in [
        ("voice, 32 kbit/s", "840 MB", "25.2 GB"),
        ("screen, 256 kbit/s", "672 MB", "20.2 GB"),
        ("metadata, 30.0 kB each", "30.0 MB", "900 MB"),
        ("inodes", "3,225", "96,750"),
        ("ledger", "684 kB", "20.5 MB"),
    ] {
        let line = told.stdout.lines().find(|line| line.starts_with(row));
        let line = line.unwrap_or_else(|| panic!("{row}\n{told}"));
        let cells = line[row.len()..].split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(cells, format!("{day} {held}"), "{row}");
    }
}

#[test]
fn each_option_of_a_plan_counts() {
    let needs = |args: &[&str]| {
        let volume = ["--recordings-per-day", "100000", "--minutes", "4", "--json"];
        let run = plan(&[&volume, args].concat());
        run.exits(0);
        let document: Value = serde_json::from_str(&run.stdout).unwrap();
        document["volumes"][0].clone()
    };
    let usual = needs(&[]);
    for (args, path, expected) in [
        (&["--days", "7"][..], "/needs/held/files", 7 * 210_000),
        (&["--within", "30m"], "/needs/instances", 1),
        (&["--within", "30m", "--instance-recordings", "10"], "/needs/instances", 6),
        (&["--within", "PT1H", "--instance-mbit", "50"], "/needs/instances", 10),
        (&["--runs-per-day", "24"], "/needs/apiPages", 10_102 + 27),
        (&["--voice-kbps", "64"], "/day/voiceBytes", 100_000 * 240 * 8_000_u64),
        (&["--screen", "50", "--screen-kbps", "8"], "/day/screenBytes", 50_000 * 240 * 1_000),
        (&["--metadata-kb", "10"], "/day/metadataBytes", 1_000_000_000),
        (&["--voice-files", "2"], "/needs/storageRequests", 200_000),
    ] {
        let value = needs(args);
        assert_eq!(value.pointer(path).unwrap(), expected, "{args:?}");
        let before = usual.pointer(path).unwrap();
        assert!(before != expected || expected == 1, "{args:?} is no other than {before}");
    }
    // So slow a link that not even the listing comes through.
    let none = needs(&["--within", "1m", "--instance-mbit", "1"]);
    assert_eq!(none["needs"]["instances"], Value::Null);
    let args = ["--recordings-per-day", "100000", "--minutes", "4", "--within", "1m"];
    plan(&[&args[..], &["--instance-mbit", "1"]].concat()).exits(0).says("no number of them");
}

#[test]
fn what_makes_no_sense_is_refused_by_the_name_of_its_option() {
    let volume = ["--recordings-per-day", "1000", "--minutes", "4"];
    for (args, words) in [
        (&["--days", "0"][..], "'--days <D>'"),
        (&["--days", "36501"], "'--days <D>'"),
        (&["--within", "25h"], "write such as `8h`, `90m` or `PT8H`, a day at most"),
        (&["--within", "soon"], "'--within <TIME>'"),
        (&["--screen", "101"], "write a number from 0 to 100"),
        (&["--screen", "1e9"], "'--screen <PERCENT>'"),
        (&["--voice-kbps", "0"], "'--voice-kbps <KBPS>'"),
        (&["--instance-mbit=-1"], "'--instance-mbit <MBIT>'"),
        (&["--instance-recordings", "0"], "'--instance-recordings <N>'"),
        (&["--runs-per-day", "1441"], "'--runs-per-day <N>'"),
        (&["--metadata-kb", "18446744073709551616"], "'--metadata-kb <KB>'"),
        (&["--voice-files", "NaN"], "'--voice-files <N>'"),
        (&["--from", "2018-01-02"], "cannot be used with"),
        (&["--to", "2018-01-02"], "cannot be used with"),
    ] {
        plan(&[&volume, args].concat()).exits(2).says(words);
    }
    for (args, words) in [
        (&["--recordings-per-day", "1000"][..], "--minutes <M>"),
        (&["--minutes", "4"], "--recordings-per-day <N>"),
        (&["--screen", "10"], "--recordings-per-day <N>"),
        (&["--recordings-per-day", "x", "--minutes", "4"], "'--recordings-per-day <N>'"),
        (&["--recordings-per-day=-5", "--minutes", "4"], "'--recordings-per-day <N>'"),
        (&["--recordings-per-day", "1", "--minutes", "0"], "write a number from 0.001 to"),
    ] {
        plan(args).exits(2).says(words);
    }
}

#[test]
fn absurd_volumes_do_not_overflow() {
    let most = ["--recordings-per-day", "1000000000000", "--minutes", "100000", "--screen", "100"];
    let rates = ["--voice-kbps", "1000000", "--screen-kbps", "1000000", "--days", "36500"];
    let more = ["--voice-files", "1000", "--metadata-kb", "1000000", "--within", "PT1S"];
    let args = [&most[..], &rates, &more].concat();
    plan(&args).exits(0).says("750,000 ZB");
    let run = plan(&[&args[..], &["--json"]].concat());
    // 10¹² recordings × 6·10⁶ s × 125·10⁶ bytes/s, to the last digit.
    run.exits(0).says(&format!("\"voiceBytes\": 75{},", "0".repeat(25)));
    plan(&["--recordings-per-day", "0", "--minutes", "4"]).exits(0).says("0 recordings a day");
}
