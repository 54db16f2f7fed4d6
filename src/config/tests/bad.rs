//! Each kind of bad configuration, and what exactly is said about it.

use super::*;

/// Blocks of what stands in the file from line 2 on, and, behind `=> `, what is said.
const CASES: &str = include_str!("bad.txt");

/// A whole file, and what is said; `None` is no file at all.
const FILES: &[(Option<&str>, &str)] = &[
    (
        None,
        "error: configuration: `gwsUriPrefix`: not set\n\
         hint: write such as `gwsUriPrefix=https://example.com/api/v2`",
    ),
    (
        Some("gwsUriPrefix="),
        "error: FILE: `gwsUriPrefix`: not set\n\
         hint: write such as `gwsUriPrefix=https://example.com/api/v2`",
    ),
    (
        Some("gwsUriPrefx=https://example.com/api/v2"),
        "warning: FILE:1: unknown name: `gwsUriPrefx`\n\
         hint: did you mean `gwsUriPrefix`?\n\
         error: FILE: `gwsUriPrefix`: not set\n\
         hint: write such as `gwsUriPrefix=https://example.com/api/v2`",
    ),
    (
        Some("gwsUriPrefix=example.com/api"),
        "error: FILE:1: `gwsUriPrefix`: not an http or https address: `example.com/api`\n\
         hint: write such as `https://host.example/path`",
    ),
    (
        Some("gwsUriPrefix=ftp://example.com"),
        "error: FILE:1: `gwsUriPrefix`: not an http or https address: `ftp://example.com`\n\
         hint: write such as `https://host.example/path`",
    ),
    (
        Some("gwsUriPrefix=https://user:swordfish@example.com/api"),
        "error: FILE:1: `gwsUriPrefix`: an address with a login in it: `https://[redacted]@example.com/api`\n\
         hint: delete all before the `@`; logins come from the environment only",
    ),
    (
        Some("gwsUriPrefix=https//user:sword@fish@example.com"),
        "error: FILE:1: `gwsUriPrefix`: not an http or https address: `[redacted]@example.com`\n\
         hint: write such as `https://host.example/path`",
    ),
    (
        Some("gwsUriPrefix=https://example.com/api?a=b"),
        "error: FILE:1: `gwsUriPrefix`: an address with `?` or `#` in it: `https://example.com/api?[redacted]`\n\
         hint: write such as `https://host.example/path`",
    ),
    (
        Some("gwsUriPrefix=http://example.com/api/v2/"),
        "warning: FILE:1: `gwsUriPrefix`: the password travels unencrypted over `http://`\n\
         hint: write `https://` if the service has it",
    ),
    (Some("gwsUriPrefix=http://127.0.0.1:8080/api/v2"), ""),
    (
        Some("\n\ntargetDir=\\ude00"),
        "error: FILE:3: a `\\u` escape that is half of a surrogate pair\n\
         hint: write `/` between folders, and `\\\\` for a backslash",
    ),
];

/// What else is typed and set, and what is said.
const ELSEWHERE: &[(Given<'_>, &str)] = &[
    (
        Given { set: &[("maxAge", "soon")], ..NOTHING },
        "error: --set: `maxAge`: not a number of days or an ISO 8601 duration: `soon`\n\
         hint: write whole days, such as `2`, or a duration such as `PT30M` or `P1DT12H`",
    ),
    (
        Given { set: &[("targetDir", "C:\\rec")], ..NOTHING },
        "error: --set: `targetDir`: a backslash is no separator, on no system: `C:\\rec`\n\
         hint: write `targetDir=C:/rec`",
    ),
    (
        Given { set: &[("maxAg", "3")], ..NOTHING },
        "warning: --set: unknown name: `maxAg`\n\
         hint: did you mean `maxAge`?",
    ),
    (
        Given { set: &[("GWS_PASSWORD", "swordfish")], ..NOTHING },
        "error: --set: `GWS_PASSWORD`: credentials are read from the environment only\n\
         hint: set the variable `GWS_PASSWORD`, or `GWS_PASSWORD_FILE` to the path of a file that holds it, and delete it here",
    ),
    (
        typed(Some("2018-01-04"), Some("2018-01-02")),
        "error: --to: earlier than `--from`, but `--to` is the newer edge of the window and `--from` the older one: `2018-01-02`\n\
         hint: write\n    --from 2018-01-02\n    --to 2018-01-04",
    ),
    (
        typed(Some("2018-01-02"), Some("2018-01-02")),
        "error: --to: the same as `--from`, and itself not in the window: `2018-01-02`\n\
         hint: for the whole of that day write `--to 2018-01-03`",
    ),
    (
        typed(Some("yesterday"), Some("")),
        "error: --from: not a date (`YYYY-MM-DD`), 13-digit epoch milliseconds or an RFC 3339 time: `yesterday`\n\
         hint: write such as `2018-01-02` or `1514851200000`\n\
         error: --to: not a date (`YYYY-MM-DD`), 13-digit epoch milliseconds or an RFC 3339 time: ``\n\
         hint: write such as `2018-01-02` or `1514851200000`",
    ),
    (
        Given { file: "minDate=2018-01-02", ..typed(Some("2018-01-04"), None) },
        "error: FILE:2: `minDate`: earlier than `--from`, but `minDate` is the newer edge of the window and `--from` the older one: `2018-01-02`\n\
         hint: write\n    --from 2018-01-02\n    minDate=2018-01-04",
    ),
    (
        Given { settings: &[("s3MaxErrorRetry", "few")], ..NOTHING },
        "warning: settings API: `s3MaxErrorRetry`: not a whole number from 0 to 100: `few`\n\
         hint: it is ignored",
    ),
    (
        Given { settings: &[("targetDir", "/"), ("a\nb", "swordfish")], ..NOTHING },
        "warning: settings API: `targetDir` is not taken from there\n\
         warning: settings API: `a\\nb` is not taken from there",
    ),
    (
        variables(&[("GWS_USERNAME", ""), ("AWS_ACCESS_KEY_ID", "")]),
        "error: GWS_USERNAME: not set\n\
         hint: set this variable, or `GWS_USERNAME_FILE` to the path of a file that holds the value\n\
         error: AWS_ACCESS_KEY_ID: not set\n\
         hint: set this variable, or `AWS_ACCESS_KEY_ID_FILE` to the path of a file that holds the value",
    ),
    (
        variables(&[("GWS_PASSWORD", "swordfish"), ("GWS_PASSWORD_FILE", "/run/gws")]),
        "error: GWS_PASSWORD: set, and `GWS_PASSWORD_FILE` too\n\
         hint: unset one",
    ),
    (
        variables(&[("GWS_PASSWORD", ""), ("GWS_PASSWORD_FILE", "/no/such/file")]),
        "error: GWS_PASSWORD_FILE: the file that it names cannot be read: No such file or directory (os error 2)\n\
         hint: it must name a file that holds GWS_PASSWORD and nothing else",
    ),
    (
        variables(&[("GWS_USERNAME", "user:swordfish")]),
        "error: GWS_USERNAME: has a colon in it, which HTTP Basic cannot carry\n\
         hint: write it such as `user@tenant.example`; the password has a variable of its own",
    ),
    (
        variables(&[("AWS_REGION", "EU")]),
        "error: AWS_REGION: `awsRegion`: not the name of a region: `EU`\n\
         hint: write such as `us-west-1`",
    ),
    (
        share(&[("JOB_COMPLETION_INDEX", "1")]),
        "error: FILE:3: `totalRcbsInstances`: Kubernetes gives an index, JOB_COMPLETION_INDEX, but no total: `auto`\n\
         hint: write the number of completions, such as `totalRcbsInstances=4`",
    ),
    (
        share(&[("CLOUD_RUN_TASK_INDEX", "one")]),
        "error: FILE:2: `rcbsInstanceId`: CLOUD_RUN_TASK_INDEX is no whole number: `auto`\n\
         hint: write the number itself\n\
         error: FILE:3: `totalRcbsInstances`: CLOUD_RUN_TASK_INDEX is set, but CLOUD_RUN_TASK_COUNT is not: `auto`\n\
         hint: write the number itself",
    ),
    (
        share(&[("AWS_BATCH_JOB_ARRAY_INDEX", "4"), ("AWS_BATCH_JOB_ARRAY_SIZE", "4")]),
        "error: FILE:2: `rcbsInstanceId`: not below `totalRcbsInstances`, which is 4: `4`\n\
         hint: of 4 the last one is 3: they count from 0",
    ),
    (
        share(&[("AWS_BATCH_JOB_ARRAY_INDEX", "0"), ("AWS_BATCH_JOB_ARRAY_SIZE", "0")]),
        "error: FILE:3: `totalRcbsInstances`: AWS_BATCH_JOB_ARRAY_SIZE=0 is no number of instances: `auto`\n\
         hint: write the number itself",
    ),
    (
        share(&[("SLURM_ARRAY_TASK_ID", "1"), ("SLURM_ARRAY_TASK_MIN", "2")]),
        "error: FILE:2: `rcbsInstanceId`: SLURM_ARRAY_TASK_ID=1 is below SLURM_ARRAY_TASK_MIN=2: `auto`\n\
         hint: count from 0 in equal steps, such as `--array=0-3`\n\
         error: FILE:3: `totalRcbsInstances`: SLURM_ARRAY_TASK_ID is set, but SLURM_ARRAY_TASK_COUNT is not: `auto`\n\
         hint: write the number itself",
    ),
    (
        Given {
            env: &[("SLURM_ARRAY_TASK_ID", "2"), ("SLURM_ARRAY_TASK_COUNT", "1")],
            file: "rcbsInstanceId=auto\ntotalRcbsInstances=4",
            ..NOTHING
        },
        "error: FILE:2: `rcbsInstanceId`: SLURM_ARRAY_TASK_COUNT=1, but `totalRcbsInstances` is 4, so which share SLURM_ARRAY_TASK_ID=2 is meant to be is not certain: `auto`\n\
         hint: start as many as there are shares, or write both numbers",
    ),
    (
        share(&[("SLURM_ARRAY_TASK_ID", "1"), ("CLOUD_RUN_TASK_INDEX", "1")]),
        "error: FILE:2: `rcbsInstanceId`: several engines speak: SLURM_ARRAY_TASK_ID=1, CLOUD_RUN_TASK_INDEX=1: `auto`\n\
         hint: unset what does not count, or write the number itself\n\
         error: FILE:3: `totalRcbsInstances`: several engines speak: SLURM_ARRAY_TASK_ID=1, CLOUD_RUN_TASK_INDEX=1: `auto`\n\
         hint: unset what does not count, or write the number itself",
    ),
];

const fn typed(from: Option<&'static str>, to: Option<&'static str>) -> Given<'static> {
    Given { range: [from, to], ..NOTHING }
}

const fn variables(env: &'static [(&'static str, &'static str)]) -> Given<'static> {
    Given { env, ..NOTHING }
}

const fn share(env: &'static [(&'static str, &'static str)]) -> Given<'static> {
    Given { env, file: "rcbsInstanceId=auto\ntotalRcbsInstances=auto", ..NOTHING }
}

#[test]
fn each_bad_line_is_told_with_what_would_be_right() {
    for case in CASES.split("\n\n") {
        let is_word = |line: &&str| line.starts_with("=> ");
        let words: Vec<_> = case.lines().filter(is_word).map(|line| &line[3..]).collect();
        let file: Vec<_> = case.lines().filter(|line| !is_word(line)).collect();
        let given = Given { file: &file.join("\n"), ..NOTHING };
        assert_eq!(said(load(&given)), words.join("\n"), "{case}");
    }
}

#[test]
fn each_bad_file_is_told_with_what_would_be_right() {
    for (file, words) in FILES {
        assert_eq!(said(load_file(file.map(str::as_bytes), &NOTHING)), *words, "{file:?}");
    }
}

#[test]
fn each_bad_option_and_variable_is_told_with_what_would_be_right() {
    for (given, words) in ELSEWHERE {
        assert_eq!(said(load(given)), *words);
    }
}

/// Gives what is told, with `FILE` for the name of the file.
fn said(outcome: Result<(Config, Vec<Problem>), ConfigErrors>) -> String {
    let said = told(outcome).replace("config.properties", "FILE");
    assert!(!said.contains("fish"), "a secret is seen: {said}");
    said
}

#[test]
fn all_problems_are_reported_at_once() {
    let file = "maxage=3\nmaxAge=soon\nshardBy=0\nnumThreads=0\nawsProxyHost=h\nfileMode=9";
    let env = LOGINS.map(|(variable, _)| (variable, ""));
    let all = said(load(&Given { file, env: &env, ..NOTHING }));
    let places: Vec<_> = all
        .lines()
        .filter(|line| !line.starts_with("hint: "))
        .map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        places,
        [
            "warning FILE:2",
            "error FILE:3",
            "error FILE:4",
            "error FILE:5",
            "error FILE:6",
            "error FILE:7",
            "error GWS_USERNAME",
            "error GWS_PASSWORD",
            "error AWS_ACCESS_KEY_ID",
            "error AWS_SECRET_ACCESS_KEY",
        ]
    );
}
