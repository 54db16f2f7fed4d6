//! `rcbs decrypt`: what is held, opened into another folder.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcbs_sim::envelope::{self, Cipher};
use rcbs_sim::{Form, Media, Sim, WorldSpec};

use crate::harness::{BUCKET, DAY_MS, Run, Site, files_below, now_ms};

/// The folders that hold a recording each in the trees that are made by hand.
const HOUR: &str = "2018/02/12/19";

/// Takes long enough to open that a test can stop it meanwhile.
const MANY: u64 = 1_000;
/// What each of them weighs.
const PLAIN_BYTES: u64 = 500;

/// A site with the keys of all recipients in `keys`, and no recordings.
fn site() -> Site {
    let site = Site::of(0);
    envelope::write_keys(&site.folder.path().join("keys")).unwrap();
    site
}

/// Writes a file below the site's folder.
fn put(site: &Site, path: &str, bytes: &[u8]) {
    let path = site.folder.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn sealed(media: &Media) -> Vec<u8> {
    let object = media.file().unwrap();
    object.read(0..object.len())
}

/// Puts a recording with one media file into the target; gives the media file.
fn hold(site: &Site, id: &str, plain_bytes: u64) -> Media {
    let media = Media::voice(&format!("{id}.mp3.bin"), BUCKET, plain_bytes);
    put(site, &format!("target/{HOUR}/{id}/{id}.mp3.bin"), &sealed(&media));
    describe(site, id, plain_bytes);
    media
}

fn describe(site: &Site, id: &str, plain_bytes: u64) {
    let metadata = format!(
        r#"{{"id":"{id}","startTime":"2018-02-12T19:03:11.000+0000",
            "mediaFiles":[{{"mediaId":"{id}.mp3.bin","size":"{plain_bytes}"}}]}}"#
    );
    put(site, &format!("target/{HOUR}/{id}/{id}_metadata.json"), metadata.as_bytes());
}

fn decrypt(site: &Site, args: &[&str]) -> Run {
    site.rcbs(&[&["decrypt", "--keys", "keys", "--out", "opened"], args].concat())
}

/// All files in the output but the tree's own.
fn opened(site: &Site) -> BTreeMap<String, Vec<u8>> {
    let mut files = files_below(&site.folder.path().join("opened"));
    assert_eq!(staged(site), 0);
    files.retain(|path, _| path != ".rcbs/lock");
    files
}

fn staged(site: &Site) -> usize {
    let staged = site.folder.path().join("opened/.rcbs/staged");
    fs::read_dir(staged).map_or(0, Iterator::count)
}

/// Opened, skipped and failed files of the last line.
#[track_caller]
fn counts(run: &Run) -> [u64; 3] {
    let line = run.stdout.lines().last().unwrap_or_default();
    assert!(line.starts_with("Opened: "), "{run}");
    let numbers = line.split(|c: char| !c.is_ascii_digit()).filter_map(|text| text.parse().ok());
    let numbers: Vec<u64> = numbers.collect();
    [numbers[0], numbers[2], numbers[3]]
}

/// What the output must hold of a target, by the simulator's own opening.
fn plaintexts(target: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    let open = |(path, bytes): (String, Vec<u8>)| match path.strip_suffix(".bin") {
        Some(plain) => (plain.to_owned(), envelope::open(&bytes).unwrap()),
        None => (path, bytes),
    };
    target.into_iter().map(open).collect()
}

#[test]
fn a_whole_tree_is_opened_once_with_the_keys_of_a_folder() {
    let site = Site::over(Sim::of(WorldSpec {
        from_ms: now_ms() - DAY_MS,
        to_ms: now_ms() - 5_000,
        recordings: 40,
        forms: vec![Form::Attached, Form::AttachedBer],
        ciphers: vec![Cipher::Aes128, Cipher::Aes256],
        recipients: 3,
        ..WorldSpec::default()
    }));
    envelope::write_keys(&site.folder.path().join("keys")).unwrap();
    site.rcbs(&[]).exits(0);
    let target = files_below(&site.target());
    let expected = plaintexts(site.tree());
    let media = expected.keys().filter(|path| !path.ends_with(".json")).count() as u64;
    let run = decrypt(&site, &[]);
    run.exits(0);
    assert!(opened(&site) == expected, "{run}");
    assert_eq!(counts(&run), [media, 0, 0], "{run}");
    assert!(run.stderr.lines().count() < 20, "no line a file\n{run}");
    assert!(files_below(&site.target()) == target, "the originals are as they were");

    let again = decrypt(&site, &[]);
    again.exits(0);
    assert_eq!(counts(&again), [0, media, 0], "{again}");
    assert!(opened(&site) == expected, "{again}");
}

#[test]
fn an_output_among_the_originals_or_around_them_is_refused() {
    let site = site();
    hold(&site, "A", 100);
    put(&site, "elsewhere/x/b.mp3.bin", b"");
    let folder = site.folder.path();
    std::os::unix::fs::symlink(folder.join("target"), folder.join("link")).unwrap();
    let before = files_below(folder);
    let elsewhere = &["elsewhere"][..];
    for (out, paths, words) in [
        ("target", &[][..], "lies in"),
        ("target/opened", &[], "lies in"),
        ("target/2018/02", &["target/2018/02/12"], "lies in"),
        ("opened/../target/x", &[], "lies in"),
        ("link", &[], "lies in"),
        ("link/x/../y", &[], "lies in"),
        (".", &[], "lies in the output"),
        ("target/x", elsewhere, "lies in"),
        ("elsewhere/y", elsewhere, "lies in"),
        ("elsewhere", &["elsewhere/x"], "lies in the output"),
        ("elsewhere/x", &["elsewhere/x/b.mp3.bin"], "lies in the output"),
    ] {
        let args = [&["decrypt", "--keys", "keys", "--out", out], paths].concat();
        let run = site.rcbs(&args);
        run.exits(2).says(words).says("hint: choose a folder of its own with `--out`");
        let mut after = files_below(folder);
        after.remove("config.properties");
        assert!(after == before, "{out} {paths:?}\n{run}");
    }
    // Another backup's target, which is neither named nor configured.
    put(&site, "other/.rcbs/id", b"0123\n");
    let args = ["decrypt", "--keys", "keys", "--out", "other"];
    site.rcbs(&args).exits(2).says("holds a backup");
}

#[test]
fn a_missing_key_is_named_by_its_certificate_and_all_else_is_opened() {
    let site = site();
    hold(&site, "A", 100);
    let media = Media { recipient: 1, ..Media::voice("B.mp3.bin", BUCKET, 200) };
    put(&site, &format!("target/{HOUR}/B/B.mp3.bin"), &sealed(&media));
    for file in ["keys/tenant-1.key", "keys/tenant-2.key", "keys/tenant-2.pem"] {
        fs::remove_file(site.folder.path().join(file)).unwrap();
    }
    let run = decrypt(&site, &[]);
    run.exits(3).says("B/B.mp3.bin`: no key for serial ").says("error: not everything is opened");
    let alias = &envelope::recipients()[1].alias;
    let serial = alias.rsplit(':').next().unwrap();
    run.says(&format!("serial {serial} of "));
    assert_eq!(counts(&run), [1, 0, 1], "{run}");
    envelope::write_keys(&site.folder.path().join("keys")).unwrap();
    let run = decrypt(&site, &[]);
    run.exits(0);
    assert_eq!(counts(&run), [1, 1, 0], "{run}");
}

#[test]
fn what_does_not_open_is_told_apart_and_leaves_nothing() {
    let site = site();
    let bytes = sealed(&Media::voice("A.mp3.bin", BUCKET, 1_000));
    let cut = &bytes[..bytes.len() - 7];
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let longer = [&bytes[..], b"x"].concat();
    let cases: [(&str, &[u8], &str); 6] = [
        ("cut", cut, "it is truncated"),
        ("short", &bytes[..40], "it ends within the head of its envelope"),
        ("flipped", &flipped, "damaged, or not made for this key"),
        ("longer", &longer, "something follows the end of its envelope"),
        ("text", b"ID3 not sealed at all", "it is no envelope that can be read"),
        ("other", b"\x30\x03\x02\x01\x05", "it is no envelope that can be read"),
    ];
    for (name, bytes, _) in cases {
        put(&site, &format!("target/{HOUR}/{name}/{name}.mp3.bin"), bytes);
    }
    put(&site, &format!("target/{HOUR}/raw/kept.bin.raw"), b"whatever");
    hold(&site, "good", 100);
    let run = decrypt(&site, &["--media-only"]);
    run.exits(3);
    for (name, _, words) in cases {
        run.says(&format!("{name}/{name}.mp3.bin`: {words}"));
    }
    assert_eq!(counts(&run), [1, 0, 6], "{run}");
    let left: Vec<_> = opened(&site).into_keys().collect();
    assert_eq!(left, [format!("{HOUR}/good/good.mp3")], "{run}");
}

#[test]
fn plaintext_of_another_size_than_its_metadata_says_fails_unless_asked_for() {
    let site = site();
    hold(&site, "A", 100);
    describe(&site, "A", 101);
    put(&site, &format!("target/{HOUR}/empty/e.mp3.bin"), b"");
    let run = decrypt(&site, &[]);
    run.exits(3).says("opens to 100 bytes, but its metadata says 101; `--any-size` writes it");
    run.says("warning: `").says("empty/e.mp3.bin` is empty");
    assert_eq!(counts(&run), [1, 0, 1], "{run}");
    let run = decrypt(&site, &["--any-size"]);
    run.exits(0);
    assert_eq!(counts(&run), [1, 1, 0], "{run}");
    let files = opened(&site);
    assert_eq!(files[&format!("{HOUR}/A/A.mp3")].len(), 100);
    assert_eq!(files[&format!("{HOUR}/empty/e.mp3")].len(), 0);
}

#[test]
fn single_files_keep_their_place_in_a_tree_and_others_lie_at_the_top() {
    let site = site();
    let media = hold(&site, "A", 100);
    hold(&site, "B", 100);
    put(&site, &format!("target/{HOUR}/A/kept.bin.raw"), b"whatever");
    put(&site, "mail/call.mp3.bin", &sealed(&media));
    put(&site, "mail/call", &sealed(&media));
    put(&site, "copy/2018/C/c.bin", &sealed(&media));
    fs::create_dir(site.folder.path().join("copy/.rcbs")).unwrap();
    let single = format!("target/{HOUR}/A/A.mp3.bin");
    let raw = format!("target/{HOUR}/A/kept.bin.raw");
    let names = [&single, &raw, "mail/call.mp3.bin", "mail/call", "copy/2018/C/c.bin"];
    let run = decrypt(&site, &names);
    run.exits(3).says("kept.bin.raw`: it was kept as it came, and is no envelope");
    assert_eq!(counts(&run), [4, 0, 1], "{run}");
    let files = opened(&site);
    let metadata = format!("{HOUR}/A/A_metadata.json");
    let plain = format!("{HOUR}/A/A.mp3");
    let expected = [&plain, &metadata, "2018/C/c", "call", "call.mp3"];
    assert_eq!(files.keys().collect::<Vec<_>>(), expected);
    assert!(
        expected
            .iter()
            .all(|path| **path == metadata || { files[*path] == media.plaintext().unwrap() })
    );
}

#[test]
fn two_files_that_would_get_one_name_are_both_named_and_none_is_opened() {
    let site = site();
    let media = hold(&site, "A", 100);
    for path in ["x/call.mp3.bin", "y/call.mp3.bin", "x/call.mp3"] {
        put(&site, path, &sealed(&media));
    }
    put(&site, &format!("second/{HOUR}/A/A.mp3.bin"), &sealed(&media));
    for (first, second, name) in [
        ("x/call.mp3.bin", "y/call.mp3.bin", "call.mp3"),
        ("x/call.mp3.bin", "x/call.mp3", "call.mp3"),
        ("target", "second", "A/A.mp3"),
    ] {
        let run = decrypt(&site, &[first, second]);
        run.exits(2).says(first).says(second).says(&format!("{name}`"));
        assert_eq!(opened(&site).len(), 0, "{run}");
    }
    // The same file named twice is one file.
    let twice = ["target", &format!("target/{HOUR}"), &format!("target/{HOUR}/A/A.mp3.bin")];
    let run = decrypt(&site, &twice);
    run.exits(0);
    assert_eq!(counts(&run), [1, 0, 0], "{run}");
}

#[test]
fn recordings_are_chosen_by_their_time_and_by_their_id() {
    let day = |day: u32| format!("2018-02-{day:02}");
    for (args, expected) in [
        (vec!["--from".to_owned(), day(12), "--to".to_owned(), day(13)], "A B"),
        (vec!["--from".to_owned(), day(13)], "B"),
        (vec!["--to".to_owned(), day(12)], "B"),
        (vec!["--recording".to_owned(), "A".to_owned()], "A"),
        (["--recording", "A", "--recording", "B"].map(str::to_owned).to_vec(), "A B"),
        (vec!["--recording".to_owned(), "b".to_owned()], ""),
    ] {
        let site = site();
        hold(&site, "A", 100);
        hold(&site, "B", 100);
        // Nothing says when it was.
        fs::remove_file(site.target().join(HOUR).join("B/B_metadata.json")).unwrap();
        let args: Vec<_> = args.iter().map(String::as_str).chain(["--media-only"]).collect();
        let run = decrypt(&site, &args);
        run.exits(0);
        let names: Vec<_> = opened(&site).into_keys().collect();
        let names: Vec<_> = names.iter().map(|path| path.split('/').nth(4).unwrap()).collect();
        assert_eq!(names.join(" "), expected, "{run}");
        let warned = run.stderr.contains("nothing says when this recording started");
        assert_eq!(warned, args[0] != "--recording", "{run}");
    }
}

#[test]
fn an_output_that_cannot_be_written_ends_the_run() {
    let site = site();
    let sealed = sealed(&Media::voice("any.mp3.bin", BUCKET, PLAIN_BYTES));
    for number in 0..100 {
        put(&site, &format!("target/{HOUR}/{number}/a.mp3.bin"), &sealed);
    }
    put(&site, "opened/2018", b"a file in the way");
    decrypt(&site, &[]).exits(6).says("2018` is not a folder");
    assert_eq!(opened(&site).len(), 1);
}

#[test]
fn without_a_configuration_something_must_be_named() {
    let site = site();
    let media = hold(&site, "A", 100);
    put(&site, "mail/call.mp3.bin", &sealed(&media));
    let bare = |args: &[&str]| {
        let mut command = site.command(&[]);
        fs::remove_file(site.folder.path().join("config.properties")).unwrap();
        let mut bare = std::process::Command::new(command.get_program());
        bare.current_dir(site.folder.path()).env_clear().args(args);
        command = bare;
        command.output().unwrap()
    };
    let common = ["decrypt", "--keys", "keys", "--out", "opened"];
    let output = bare(&common);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("no folder is named, and no configuration says"), "{said}");
    let output = bare(&[&common[..], &["mail/call.mp3.bin"]].concat());
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"Opened: 1 files (100 bytes), skipped: 0, failed: 0\n");
    let output = bare(&["decrypt", "--keys", "mail", "--out", "opened", "mail"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("no private key"), "{said}");
}

/// Holds many recordings and starts to open them; comes back when the first have their names.
fn start_and_reach_the_middle(site: &Site) -> Child {
    let sealed = sealed(&Media::voice("any.mp3.bin", BUCKET, PLAIN_BYTES));
    for number in 0..MANY {
        put(site, &format!("target/{HOUR}/{number}/a.mp3.bin"), &sealed);
    }
    let mut command = site.command(&["decrypt", "--keys", "keys", "--out", "opened"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while !site.folder.path().join("opened").join(HOUR).is_dir() {
        assert!(started.elapsed() < Duration::from_secs(60));
        std::thread::yield_now();
    }
    child
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

/// Checks that some have a name, and what has is whole, and that the next run opens the rest.
fn assert_whole_and_completed_by_the_next_run(site: &Site) {
    let media = Media::voice("any.mp3.bin", BUCKET, PLAIN_BYTES);
    let plain = media.plaintext().unwrap();
    let whole = |site: &Site| {
        let files = files_below(&site.folder.path().join("opened").join(HOUR));
        assert!(files.values().all(|file| *file == plain));
        files.len() as u64
    };
    let before = whole(site);
    assert!(before < MANY, "it was stopped in the middle");
    let run = decrypt(site, &[]);
    run.exits(0);
    assert_eq!(counts(&run), [MANY - before, before, 0], "{run}");
    assert_eq!((whole(site), staged(site)), (MANY, 0));
}

#[test]
fn a_killed_run_leaves_no_partial_file_and_the_next_one_completes() {
    let site = site();
    let mut child = start_and_reach_the_middle(&site);
    signal(&child, "-KILL");
    assert_eq!(child.wait().unwrap().signal(), Some(9), "it was still at work");
    assert!(staged(&site) > 0);
    assert_whole_and_completed_by_the_next_run(&site);
}

#[test]
fn the_first_signal_finishes_what_is_under_way_and_the_next_run_completes() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let site = site();
        let child = start_and_reach_the_middle(&site);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains("stopping: what is under way is finished first"), "{stderr}");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(stdout.starts_with("Opened: "), "{stdout}");
        assert_eq!(staged(&site), 0);
        assert_whole_and_completed_by_the_next_run(&site);
    }
}

#[test]
fn memory_does_not_grow_with_the_size_of_a_file() {
    let site = site();
    let sealed = envelope::by_openssl(&vec![0; 150_000_000], &[0], &["-aes256"]);
    put(&site, &format!("target/{HOUR}/big/big.mp3.bin"), &sealed);
    // A full pipe holds the program up where it prints its last line, so that it can be looked at.
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'.'; 65_536]).unwrap();
    let mut command = site.command(&["decrypt", "--keys", "keys", "--out", "opened"]);
    let mut child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    drop(command);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("100%: ")));
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    let printed = std::thread::spawn(move || std::io::read_to_string(&mut reader).unwrap());
    assert!(child.wait().unwrap().success());
    assert!(
        printed
            .join()
            .unwrap()
            .ends_with("Opened: 1 files (150000000 bytes), skipped: 0, failed: 0\n")
    );
    assert!(peak < 64 << 10, "{peak} KiB");
}
