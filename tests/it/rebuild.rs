//! `rcbs rebuild`: the ledger, made again from what the target holds.

use std::fs;

use rcbs::ledger::Ledger;
use rcbs::monitor::{Event, Monitor};
use rcbs::rebuild::{Job, Sums, rebuild};
use rcbs::tree::{Holder, Modes, Share, Tree, TreeOptions};
use rcbs_sim::envelope::by_openssl;
use rcbs_sim::{Form, Sim, WorldSpec};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::harness::{DAY_MS, Site, files_below, now_ms};

const LEDGER: &str = ".rcbs/ledger.sqlite";

/// What a ledger made again knows as well as the one that a backup has written.
const HELD: &str = "SELECT id, started_at, folder, metadata_bytes, metadata_sha256, awaits, name, \
                    media_id, source, size, bytes, sha256, key_serial \
                    FROM recordings LEFT JOIN media ON recording = key ORDER BY started_at, id, name";

fn site() -> Site {
    let site = Site::over(Sim::of(WorldSpec {
        from_ms: now_ms() - DAY_MS,
        to_ms: now_ms() - 5_000,
        recordings: 20,
        forms: vec![Form::Attached, Form::AttachedBer, Form::Detached],
        ..WorldSpec::default()
    }));
    site.rcbs(&[]).exits(0);
    site
}

fn connection(site: &Site) -> Connection {
    Connection::open(site.target().join(LEDGER)).unwrap()
}

fn rows(site: &Site, query: &str) -> Vec<Vec<Value>> {
    let connection = connection(site);
    let mut statement = connection.prepare(query).unwrap();
    let columns = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| (0..columns).map(|column| row.get(column)).collect();
    statement.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
}

fn forget(site: &Site) {
    for end in ["", "-wal", "-shm"] {
        let path = site.target().join(format!("{LEDGER}{end}"));
        if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }
}

fn media(site: &Site) -> Vec<String> {
    site.tree().into_keys().filter(|path| path.ends_with(".bin")).collect()
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').unwrap().0
}

#[test]
fn a_ledger_that_was_deleted_is_made_again_but_for_what_only_a_backup_knows() {
    let site = site();
    let before = rows(&site, HELD);
    assert_eq!(before.len(), media(&site).len());
    forget(&site);
    let run = site.rcbs(&["rebuild"]);
    run.exits(0).says("Rebuilt: 20 of 20 recordings entered").says("damaged: 0, unexplained: 0");
    assert!(rows(&site, HELD) == before, "{run}");
    let own = "SELECT count(*) FROM media WHERE etag IS NOT NULL OR checked != ''";
    assert_eq!(rows(&site, own), [[Value::Integer(0)]]);
    let forms = "SELECT DISTINCT form FROM media ORDER BY form";
    assert_eq!(rows(&site, forms), [[Value::Null], [Value::Text("attached".to_owned())]]);

    site.rcbs(&["rebuild"]).exits(0).says("Rebuilt: 0 of 20 recordings entered");
    assert!(rows(&site, HELD) == before);
    site.rcbs(&["check"]).exits(0);
    // And the backup has nothing to do.
    site.sim.clear_requests();
    site.rcbs(&[]).exits(0);
    assert!(site.sim.media_opened().is_empty());
}

#[test]
fn what_the_ledger_knows_is_never_replaced_by_what_a_file_has_become() {
    let site = site();
    let all = "SELECT * FROM recordings LEFT JOIN media ON recording = key ORDER BY key, name";
    let before = rows(&site, all);
    let files = media(&site);
    for (at, damage) in [(0, 1), (1, 0)] {
        let path = site.target().join(&files[at]);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= damage;
        bytes.truncate(bytes.len() - usize::from(damage == 0));
        fs::write(path, bytes).unwrap();
    }
    let metadata = format!("{}_metadata.json", {
        let folder = folder(&files[5]);
        format!("{folder}/{}", folder.rsplit('/').next().unwrap())
    });
    let on_disk = site.target().join(&metadata);
    let text = fs::read_to_string(&on_disk).unwrap();
    fs::write(&on_disk, text.replacen("\"audio/", "\"AUDIO/", 1)).unwrap();
    let run = site.rcbs(&["rebuild"]);
    run.exits(3)
        .says("damaged: 3")
        .says("its SHA-256 is another")
        .says("not those that were saved");
    run.says(&files[0]).says(&files[1]).says(&metadata);
    assert!(rows(&site, all) == before, "{run}");
    // Not even a file that is gone takes its row with it.
    fs::remove_file(site.target().join(&files[2])).unwrap();
    site.rcbs(&["rebuild"]);
    assert!(rows(&site, all) == before);
}

#[test]
fn what_is_not_whole_is_not_entered_and_what_no_record_speaks_of_is_named() {
    let site = site();
    forget(&site);
    let files = media(&site);
    let cut = site.target().join(&files[0]);
    let bytes = fs::read(&cut).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    let stray = format!("{}/stray.mp3.bin", folder(&files[1]));
    let orphan = "2001/01/01/00/X/x.mp3.bin";
    for path in [stray.as_str(), orphan] {
        let path = site.target().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, by_openssl(&[1; 300], &[0], &[])).unwrap();
    }
    let broken = "2001/01/01/00/Y/Y_metadata.json";
    fs::create_dir_all(site.target().join("2001/01/01/00/Y")).unwrap();
    fs::write(site.target().join(broken), "{").unwrap();
    let run = site.rcbs(&["rebuild"]);
    run.exits(3).says("damaged: 2, unexplained: 2").says(&files[0]).says(&stray).says(orphan);
    run.says(broken).says("no metadata say what it is").says("its metadata do not speak of it");
    let count = "SELECT count(*) FROM media";
    assert_eq!(rows(&site, count), [[Value::Integer(files.len() as i64 - 1)]]);
}

#[test]
fn a_recording_that_was_moved_is_found_and_one_that_is_there_twice_is_entered_once() {
    let site = site();
    let path = media(&site).remove(0);
    let from = folder(&path).to_owned();
    let to = format!("moved/{}", from.rsplit('/').next().unwrap());
    fs::create_dir_all(site.target().join("moved")).unwrap();
    fs::rename(site.target().join(&from), site.target().join(&to)).unwrap();
    site.rcbs(&["check"]).exits(3).says("the ledger has this recording in");
    site.rcbs(&["rebuild"]).exits(0).says("Rebuilt: 1 of 20 recordings entered");
    site.rcbs(&["check"]).exits(0);
    let folders = format!("SELECT count(*) FROM recordings WHERE folder = '{to}'");
    assert_eq!(rows(&site, &folders), [[Value::Integer(1)]]);

    for (name, bytes) in files_below(&site.target().join(&to)) {
        fs::create_dir_all(site.target().join(&from)).unwrap();
        fs::write(site.target().join(&from).join(name), bytes).unwrap();
    }
    forget(&site);
    let run = site.rcbs(&["rebuild"]);
    run.exits(0).says("Rebuilt: 20 of 21 recordings entered").says("twice: 1");
    run.says(&format!("the recording is held in `{from}` already"));
}

#[test]
fn a_damaged_ledger_is_set_aside_loudly() {
    let site = site();
    let before = rows(&site, HELD);
    let path = site.target().join(LEDGER);
    let mut holed = fs::read(&path).unwrap();
    holed[8192..].fill(0xA5);
    for damaged in [holed, b"no database at all, for sure".to_vec()] {
        fs::write(&path, &damaged).unwrap();
        let run = site.rcbs(&["rebuild"]);
        run.exits(0).says("warning: the ledger was damaged, and is kept as `.rcbs/old/");
        assert!(site.old().values().any(|old| *old == damaged), "{run}");
        assert!(rows(&site, HELD) == before, "{run}");
    }
}

#[test]
fn accepted_losses_are_entered_again() {
    let site = Site::of(2);
    site.rcbs(&[]).exits(0);
    forget(&site);
    let accepted = site.target().join(".rcbs/accepted");
    fs::create_dir_all(&accepted).unwrap();
    let one = r#"{"id":"A","startedAt":1000,"media":["a","b"],"why":"deleted","at":2000}"#;
    fs::write(accepted.join("A.json"), one).unwrap();
    let two = r#"[{"id":"B","startedAt":3000,"media":[""],"why":"gone","at":4000}]"#;
    fs::write(accepted.join("B.json"), two).unwrap();
    site.rcbs(&["rebuild"]).exits(0);
    let query = "SELECT id, started_at, media_id, accepted_at, accepted_why FROM failures";
    let text = |text: &str| Value::Text(text.to_owned());
    let row = |id, start, media, at, why| {
        vec![text(id), Value::Integer(start), text(media), Value::Integer(at), text(why)]
    };
    let expected = [
        row("A", 1000, "a", 2000, "deleted"),
        row("A", 1000, "b", 2000, "deleted"),
        row("B", 3000, "", 4000, "gone"),
    ];
    assert_eq!(rows(&site, query), expected);
    fs::write(accepted.join("C.json"), "{}").unwrap();
    site.rcbs(&["rebuild"]).exits(3).says(".rcbs/accepted/C.json");
}

#[test]
fn without_reading_lengths_are_taken_for_right_and_sums_come_later() {
    struct Deaf;
    impl Monitor for Deaf {
        fn on(&self, _: &Event) {}
    }
    let site = site();
    let before = rows(&site, HELD);
    forget(&site);
    {
        let now = chrono::DateTime::UNIX_EPOCH;
        let tree = Tree::open(TreeOptions {
            root: site.target(),
            modes: Modes { file: 0o640, folder: 0o750 },
            holder: Holder { host: "here".to_owned(), since: now },
            share: Share::Alone,
        })
        .unwrap();
        let ledger = Ledger::open(&tree).unwrap().ledger;
        let stop = std::sync::atomic::AtomicBool::new(false);
        let job = Job { sums: Sums::Skip, threads: 2, now, share: None };
        let done = rebuild(&tree, &ledger, &job, &Deaf, &stop).unwrap();
        assert_eq!((done.entered, done.read_bytes, done.is_sound()), (20, 0, true));
        let again = rebuild(&tree, &ledger, &job, &Deaf, &stop).unwrap();
        assert_eq!(again.entered, 0);
    }
    let sums = "SELECT count(*) FROM media WHERE sha256 IS NOT NULL";
    assert_eq!(rows(&site, sums), [[Value::Integer(0)]]);
    assert_ne!(rows(&site, HELD), before);
    // A check holds what it can against the ledger, and a rebuild completes it.
    site.rcbs(&["check"]).exits(0);
    site.rcbs(&["rebuild"]).exits(0);
    assert!(rows(&site, HELD) == before);
}

#[test]
fn a_file_that_was_replaced_and_not_written_down_is_learnt_of() {
    let site = site();
    let path = media(&site).remove(0);
    let aside = site.target().join(".rcbs/old").join(&path);
    fs::create_dir_all(aside.parent().unwrap()).unwrap();
    fs::rename(site.target().join(&path), aside).unwrap();
    fs::write(site.target().join(&path), by_openssl(&[1; 700], &[0], &[])).unwrap();
    site.rcbs(&["rebuild"]).exits(0).says("Rebuilt: 1 of 20 recordings entered");
    let run = site.rcbs(&["check"]);
    run.exits(0).says("not in the ledger: 0");
}
