//! `rcbs check`: what is held, read again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use rcbs_sim::envelope::by_openssl;
use rcbs_sim::{Action, Fault, Form, Hits, Recording, Route, Sim, WorldSpec};

use crate::harness::{BUCKET, DAY_MS, Run, Site, files_below, now_ms};

/// A site that has backed up some recordings of every form.
fn site() -> Site {
    let site = Site::over(Sim::of(WorldSpec {
        from_ms: now_ms() - DAY_MS,
        to_ms: now_ms() - 5_000,
        recordings: 12,
        forms: vec![Form::Attached, Form::AttachedBer, Form::Detached],
        ..WorldSpec::default()
    }));
    site.rcbs(&[]).exits(0);
    site
}

/// The numbers of the last line, by their words.
#[track_caller]
fn counts(run: &Run) -> BTreeMap<String, u64> {
    let line = run.stdout.lines().last().unwrap_or_default();
    let line = line.strip_prefix("Checked: ").unwrap_or_else(|| panic!("{run}"));
    let (front, back) = line.split_once("; ").unwrap();
    let mut counts = BTreeMap::new();
    for part in front.split(", ") {
        let (one, two) = part.split_once([' ', ':']).unwrap();
        match (one.parse(), two.split_whitespace().next().unwrap_or_default().parse()) {
            (Ok(number), _) => counts.insert(two.to_owned(), number),
            (_, Ok(number)) => counts.insert(one.to_owned(), number),
            _ => panic!("{run}"),
        };
    }
    for part in back.split([',', ';']) {
        let (word, number) = part.trim().split_once(": ").unwrap();
        counts.insert(word.to_owned(), number.parse().unwrap());
    }
    counts
}

/// Checks that of what can be wrong there is so much, and nothing else.
#[track_caller]
fn finds(run: &Run, expected: &[(&str, u64)]) {
    let counts = counts(run);
    for word in ["damaged", "missing", "moved away", "not in the ledger", "twice", "raw"] {
        let number = expected.iter().find(|(one, _)| *one == word).map_or(0, |(_, number)| *number);
        assert_eq!(counts[word], number, "{word}\n{run}");
    }
}

/// The paths of the media below the target that are longer than a head, the longest last.
fn media(site: &Site) -> Vec<String> {
    let mut media: Vec<_> =
        site.tree().into_iter().filter(|(path, _)| path.ends_with(".bin")).collect();
    media.sort_by_key(|(_, bytes)| bytes.len());
    media.into_iter().map(|(path, _)| path).collect()
}

fn metadata(site: &Site) -> Vec<String> {
    site.tree().into_keys().filter(|path| path.ends_with("_metadata.json")).collect()
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').unwrap().0
}

fn rename(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::rename(from, to).unwrap();
}

#[test]
fn what_is_as_it_was_saved_is_read_whole_and_nothing_is_written() {
    let site = site();
    let before = files_below(&site.target());
    let run = site.rcbs(&["check"]);
    run.exits(0);
    finds(&run, &[]);
    let (all, bytes) = media(&site)
        .iter()
        .fold((0, 0), |(files, bytes), path| (files + 1, bytes + before[path].len()));
    let counts = counts(&run);
    assert_eq!((counts["recordings"], counts["media files"]), (12, all), "{run}");
    assert_eq!(counts["read"], all, "{run}");
    assert!(run.stdout.contains(&format!("({bytes} bytes)")), "{run}");
    assert!(files_below(&site.target()) == before, "{run}");
    assert!(run.stderr.lines().count() < 15, "no line a file\n{run}");

    let run = site.rcbs(&["check", "--log-format", "json"]);
    run.exits(0);
    let lines = run.stderr.lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    assert_eq!(lines.last().unwrap()["event"], "reading_finished", "{run}");
    assert_eq!(lines.last().unwrap()["summary"]["read_files"], all);
}

#[test]
fn every_kind_of_damage_to_a_media_file_is_named() {
    let site = site();
    let path = media(&site).pop().unwrap();
    let on_disk = site.target().join(&path);
    let good = fs::read(&on_disk).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let length = good.len();
    let cases: [(&str, Vec<u8>, &str); 12] = [
        ("nothing is left", Vec::new(), "it has 0 bytes instead of"),
        ("a byte is left", good[..1].to_vec(), "it has 1 bytes instead of"),
        ("the end is cut off", good[..length - 1].to_vec(), "bytes instead of"),
        ("half is cut off", good[..length / 2].to_vec(), "bytes instead of"),
        ("a byte more", [&good[..], &[0]].concat(), "bytes instead of"),
        ("zeros", vec![0; length], "it is no envelope"),
        ("the first byte", flipped(0), "it is no envelope"),
        ("the length in the head", flipped(2), ""),
        ("the recipient in the head", flipped(60), ""),
        ("the middle", flipped(length / 2), "its SHA-256 is another"),
        ("the last byte", flipped(length - 1), ""),
        ("another envelope", by_openssl(&[1; 700], &[0], &[]), "bytes instead of"),
    ];
    for (what, bytes, reason) in cases {
        fs::write(&on_disk, bytes).unwrap();
        let run = site.rcbs(&["check"]);
        run.exits(3).says(&path).says(reason);
        assert!(run.stderr.contains(&format!("error: `{path}`: ")), "{what}\n{run}");
        finds(&run, &[("damaged", 1)]);
    }
    fs::write(&on_disk, &good).unwrap();
    site.rcbs(&["check"]).exits(0);
}

#[test]
fn content_that_became_another_of_the_same_length_is_told_by_its_sum() {
    let site = site();
    let path = media(&site).pop().unwrap();
    let on_disk = site.target().join(&path);
    let mut bytes = fs::read(&on_disk).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 16].copy_from_slice(&[0xA5; 16]);
    fs::write(&on_disk, bytes).unwrap();
    let run = site.rcbs(&["check"]);
    run.exits(3).says(&path).says("its bytes are not those that were saved");
}

#[test]
fn damaged_metadata_are_named() {
    let site = site();
    let path = metadata(&site).remove(0);
    let other = metadata(&site).remove(1);
    let on_disk = site.target().join(&path);
    let good = fs::read_to_string(&on_disk).unwrap();
    let others = fs::read_to_string(site.target().join(other)).unwrap();
    for (text, reason) in [
        (String::new(), "cannot be read: not JSON"),
        (good[..good.len() / 2].to_owned(), "cannot be read: not JSON"),
        (good.replacen("\"id\"", "\"no\"", 1), "cannot be read: no usable id"),
        (others, "of another recording"),
        (good.replacen("\"startTime\": \"2", "\"startTime\": \"1", 1), "of another recording"),
        (format!("{good} "), "bytes instead of"),
        (good.replacen("\"audio/", "\"AUDIO/", 1), "not those that were saved"),
    ] {
        fs::write(&on_disk, &text).unwrap();
        let run = site.rcbs(&["check"]);
        run.exits(3).says(&path).says(reason);
        finds(&run, &[("damaged", 1)]);
    }
}

#[test]
fn what_is_missing_is_named_and_what_was_moved_away_is_counted_apart() {
    let mut site = site();
    let path = media(&site).pop().unwrap();
    let gone = folder(&media(&site)[0]).to_owned();
    assert_ne!(folder(&path), gone);
    fs::remove_file(site.target().join(&path)).unwrap();
    let files = fs::read_dir(site.target().join(&gone)).unwrap().count() as u64;
    rename(&site.target().join(&gone), &site.folder.path().join("elsewhere"));
    let run = site.rcbs(&["check"]);
    run.exits(3).says(&format!("error: `{path}`: missing")).says(&gone);
    finds(&run, &[("missing", files + 1)]);

    site.properties += "rememberMoved=true\n";
    let run = site.rcbs(&["check"]);
    run.exits(0);
    finds(&run, &[("moved away", files + 1)]);
}

#[test]
fn what_the_ledger_does_not_know_is_named_and_is_no_damage_if_it_is_whole() {
    let site = site();
    let path = media(&site).pop().unwrap();
    let beside = |name: &str| format!("{}/{name}", folder(&path));
    let put = |name: &str, bytes: &[u8]| {
        let path = beside(name);
        let on_disk = site.target().join(&path);
        fs::create_dir_all(on_disk.parent().unwrap()).unwrap();
        fs::write(on_disk, bytes).unwrap();
        path
    };
    let whole = by_openssl(&[1; 700], &[0], &[]);
    let strays = [put("stray.mp3.bin", &whole), put("empty.bin", b""), put("notes.txt", b"x")];
    put("kept.mp3.bin.raw", b"x");
    let run = site.rcbs(&["check"]);
    run.exits(0).says("it is not in the ledger: run `rcbs rebuild`").says("no file of a recording");
    for path in &strays {
        run.says(path);
    }
    finds(&run, &[("not in the ledger", 3), ("raw", 1)]);

    let cut = put("cut.mp3.bin", &whole[..600]);
    let run = site.rcbs(&["check"]);
    run.exits(3).says(&format!("error: `{cut}`: "));
    finds(&run, &[("not in the ledger", 3), ("raw", 1), ("damaged", 1)]);
}

#[test]
fn what_is_there_twice_is_named() {
    let site = site();
    let path = media(&site).pop().unwrap();
    let copy = format!("copies/{}", folder(&path).rsplit('/').next().unwrap());
    for (name, bytes) in files_below(&site.target().join(folder(&path))) {
        let copy = site.target().join(&copy).join(name);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::write(copy, bytes).unwrap();
    }
    let run = site.rcbs(&["check"]);
    run.exits(0).says(&format!("the recording is held in `{}` too", folder(&path)));
    assert_eq!(counts(&run)["twice"], 1, "{run}");

    // The same object under two ids of one recording.
    let start = now_ms() - 60_000;
    let one = rcbs_sim::Media::voice("twin_a.mp3.bin", BUCKET, 300);
    let mut two = one.clone();
    two.media_id = "twin_b.mp3.bin".to_owned();
    site.sim.edit(|world| world.add(Recording::new("TWIN", start).with(one).with(two)));
    site.rcbs(&[]).exits(0);
    let run = site.rcbs(&["check"]);
    run.exits(0).says("it has the same bytes as `twin_a.mp3.bin`");
    assert_eq!(counts(&run)["twice"], 2, "{run}");
}

#[test]
fn without_a_ledger_that_can_be_read_structure_is_checked_and_that_is_said() {
    let site = site();
    let path = media(&site).pop().unwrap();
    let ledger = site.target().join(".rcbs/ledger.sqlite");
    let good = fs::read(&ledger).unwrap();
    let mut holed = good.clone();
    holed[8192..].fill(0xA5);
    for (bytes, words) in [
        (None, "there is no ledger"),
        (Some(b"no database at all".to_vec()), "cannot open the ledger"),
        (Some(holed), "cannot use the ledger"),
    ] {
        let Some(bytes) = bytes else {
            fs::remove_file(&ledger).unwrap();
            let all = media(&site).len() as u64;
            let run = site.rcbs(&["check"]);
            run.exits(3).says(words).says("run `rcbs rebuild`");
            finds(&run, &[]);
            assert_eq!((counts(&run)["recordings"], counts(&run)["read"]), (12, all), "{run}");
            continue;
        };
        fs::write(&ledger, bytes).unwrap();
        let run = site.rcbs(&["check"]);
        run.exits(3).says(words).says("run `rcbs rebuild`");
        finds(&run, &[]);
    }
    let whole = fs::read(site.target().join(&path)).unwrap();
    fs::write(site.target().join(&path), &whole[..whole.len() - 1]).unwrap();
    let run = site.rcbs(&["check"]);
    run.exits(3).says(&format!("error: `{path}`: "));
    finds(&run, &[("damaged", 1)]);
    fs::write(site.target().join(&path), whole).unwrap();
    fs::write(&ledger, good).unwrap();
    site.rcbs(&["check"]).exits(0);
}

#[test]
fn a_sample_reads_exactly_as_many_as_asked_for_and_looks_at_all() {
    let site = site();
    let all = media(&site);
    let run = site.rcbs(&["check", "--sample", "3"]);
    run.exits(0).says("media files (seed ").says("this would have met one with");
    let told = counts(&run);
    assert_eq!((told["read"], told["media files"]), (3, all.len() as u64), "{run}");
    let run = site.rcbs(&["check", "--sample", "50%"]);
    assert_eq!(counts(&run)["read"], all.len().div_ceil(2) as u64, "{run}");

    // A flip is met by those that read the file, and a missing byte by all.
    let path = site.target().join(all.last().unwrap());
    let good = fs::read(&path).unwrap();
    let mut bytes = good.clone();
    bytes[good.len() / 2] ^= 1;
    fs::write(&path, bytes).unwrap();
    site.rcbs(&["check", "--sample", "100%"]).exits(3).says("its SHA-256 is another");
    let codes = |seed: u64| {
        let seed = seed.to_string();
        site.rcbs(&["check", "--sample", "50%", "--seed", &seed]).code
    };
    let drawn: Vec<_> = (0..8).map(codes).collect();
    assert_eq!(drawn, (0..8).map(codes).collect::<Vec<_>>(), "a seed draws the same again");
    fs::write(&path, &good[..good.len() - 1]).unwrap();
    site.rcbs(&["check", "--sample", "1"]).exits(3).says("bytes instead of");

    for sample in ["0", "0%", "many"] {
        site.rcbs(&["check", "--sample", sample]).exits(2).says("write a share such as");
    }
}

#[test]
fn a_part_is_checked_by_its_paths_or_its_times() {
    let site = site();
    let all = media(&site);
    let (broken, other) = (all.last().unwrap(), &all[0]);
    assert_ne!(folder(broken), folder(other));
    fs::remove_file(site.target().join(broken)).unwrap();
    let in_target = format!("target/{}", folder(broken));
    for path in [folder(broken), broken, &in_target] {
        let run = site.rcbs(&["check", path]);
        run.exits(3).says(broken);
        assert_eq!(counts(&run)["missing"], 1, "{run}");
        assert_eq!(counts(&run)["recordings"], 1, "{run}");
    }
    let run = site.rcbs(&["check", folder(other), other]);
    run.exits(0);
    assert_eq!(counts(&run)["recordings"], 1, "{run}");
    site.rcbs(&["check", "2001/01"]).exits(3).says("cannot list");
    let elsewhere = site.folder.path().to_str().unwrap().to_owned();
    site.rcbs(&["check", &elsewhere]).exits(2).says("is not below the target");
    site.rcbs(&["check", "../x"]).exits(2).says("is not below the target");

    let start = |path: &str| {
        let id = folder(path).rsplit('/').next().unwrap().to_owned();
        site.sim.world().find(&id).unwrap().start_ms
    };
    let (from, to) = (start(broken).to_string(), (start(broken) + 1).to_string());
    let run = site.rcbs(&["check", "--from", &from, "--to", &to]);
    run.exits(3);
    assert_eq!((counts(&run)["recordings"], counts(&run)["missing"]), (1, 1), "{run}");
    let run = site.rcbs(&["check", "--from", &to]);
    run.exits(0);
    let earlier = site.rcbs(&["check", "--to", &from]);
    earlier.exits(0);
    assert_eq!(counts(&run)["recordings"] + counts(&earlier)["recordings"], 11, "{run}");
}

#[test]
fn a_file_that_a_run_has_replaced_and_not_written_down_is_no_damage() {
    let site = site();
    let path = media(&site).pop().unwrap();
    let aside = site.target().join(".rcbs/old").join(&path);
    let on_disk = site.target().join(&path);
    rename(&on_disk, &aside);
    fs::write(&on_disk, by_openssl(&[1; 700], &[0], &[])).unwrap();
    let run = site.rcbs(&["check"]);
    run.exits(0).says("it was replaced, and the ledger does not know it yet");
    finds(&run, &[("not in the ledger", 1)]);
    // But not where another file was set aside, though it be as long.
    let mut other = fs::read(&aside).unwrap();
    *other.last_mut().unwrap() ^= 1;
    fs::write(&aside, other).unwrap();
    site.rcbs(&["check"]).exits(3).says("bytes instead of");
}

#[test]
fn a_check_needs_no_lock_and_no_service() {
    let site = Site::of(6);
    site.rcbs(&[]).exits(0);
    site.add("LATE", now_ms() - 60_000);
    let delay = Action::Delay(std::time::Duration::from_secs(60));
    site.sim.add_fault(Fault::on(Route::S3, delay).hits(Hits::Always).optional());
    let mut backup =
        site.command(&["--quiet"]).stdout(std::process::Stdio::null()).spawn().unwrap();
    assert!(site.sim.wait_for(|request| request.target.contains("LATE")));
    let run = site.rcbs(&["check"]);
    backup.kill().unwrap();
    backup.wait().unwrap();
    run.exits(0);
    finds(&run, &[]);
}

#[test]
fn a_target_that_is_not_there_is_no_empty_one() {
    let site = Site::of(0);
    for command in ["check", "rebuild"] {
        site.rcbs(&[command]).exits(6).says("cannot look at the target");
    }
    assert!(!site.target().exists());
}

#[test]
fn repair_fetches_again_what_is_damaged_or_missing_and_keeps_what_was_there() {
    let site = site();
    let before = site.tree();
    let watermark = site.watermark();
    let all = media(&site);
    let [damaged, gone] = [&all[all.len() - 1], &all[0]];
    let described = metadata(&site).into_iter().find(|path| folder(path) != folder(damaged));
    let described = described.unwrap();
    let mut rotten = before[damaged].clone();
    *rotten.last_mut().unwrap() ^= 1;
    fs::write(site.target().join(damaged), &rotten).unwrap();
    fs::write(site.target().join(&described), "{}").unwrap();
    fs::remove_file(site.target().join(gone)).unwrap();
    site.sim.clear_requests();
    let run = site.rcbs(&["check", "--repair"]);
    run.exits(0).says("repaired: 3").says("held again");
    assert!(site.tree() == before, "{run}");
    let opened: BTreeSet<_> = site.sim.media_opened().into_iter().collect();
    assert_eq!(opened.len(), 2, "{run}");
    assert!(!run.stderr.contains("Backing up"), "{run}");
    assert_eq!(site.old()[damaged], rotten, "{run}");
    assert_eq!(site.old()[&described], b"{}", "{run}");
    assert_eq!(site.watermark(), watermark);
    site.rcbs(&["check"]).exits(0);
    // The backup has nothing left to do.
    site.sim.clear_requests();
    site.rcbs(&[]).exits(0);
    assert!(site.sim.media_opened().is_empty());
}

#[test]
fn what_the_cloud_has_no_more_stays_named_and_nothing_is_thrown_away() {
    let site = site();
    let all = media(&site);
    let path = all.last().unwrap();
    let id = folder(path).rsplit('/').next().unwrap().to_owned();
    let good = fs::read(site.target().join(path)).unwrap();
    fs::write(site.target().join(path), &good[..good.len() - 1]).unwrap();
    site.sim.edit(|world| world.remove(&id));
    let run = site.rcbs(&["check", "--repair"]);
    run.exits(3).says(path);
    assert_eq!(counts(&run)["damaged"], 1, "{run}");
    assert_eq!(site.old()[path], good[..good.len() - 1]);
    site.rcbs(&["check"]).exits(3).says(&format!("error: `{path}`: missing"));
}

#[test]
fn a_repair_holds_the_target_and_needs_the_whole_configuration() {
    let mut site = Site::of(6);
    site.rcbs(&[]).exits(0);
    site.add("LATE", now_ms() - 60_000);
    let delay = Action::Delay(std::time::Duration::from_secs(60));
    site.sim.add_fault(Fault::on(Route::S3, delay).hits(Hits::Always).optional());
    let quiet = std::process::Stdio::null();
    let mut backup = site.command(&["--quiet"]).stdout(quiet).spawn().unwrap();
    assert!(site.sim.wait_for(|request| request.target.contains("LATE")));
    let runs = [site.rcbs(&["check", "--repair"]), site.rcbs(&["rebuild"])];
    backup.kill().unwrap();
    backup.wait().unwrap();
    for run in &runs {
        run.exits(5).says("another run holds");
    }
    site.environment.insert("GWS_PASSWORD", None);
    site.rcbs(&["check", "--repair"]).exits(2).says("GWS_PASSWORD");
    site.rcbs(&["check"]).exits(0);
}
