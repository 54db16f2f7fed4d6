//! The ledger on a real disk.

use std::fs;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use tempfile::TempDir;

use super::*;
use crate::recording::{Awaits, Location};
use crate::tree::{Holder, Modes, Share, Tree, TreeOptions};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_518_462_191, 0).expect("in range") + TimeDelta::seconds(seconds)
}

fn tree(root: &Path) -> Tree {
    let holder = Holder { host: "archive1".to_owned(), since: at(0) };
    let modes = Modes { file: 0o640, folder: 0o750 };
    Tree::open(TreeOptions { root: root.to_owned(), modes, holder, share: Share::Alone }).unwrap()
}

fn open(root: &Path) -> Opened {
    Ledger::open(&tree(root)).unwrap()
}

fn media(name: &str, bytes: u64) -> MediaEntry {
    MediaEntry {
        name: format!("{name}.bin"),
        media_id: name.to_owned(),
        source: SourceHash::of(&Location::S3 { bucket: "b".to_owned(), key: name.to_owned() }),
        size: Some(bytes - 8),
        bytes,
        sha256: Some([7; 32]),
        etag: Some("\"e\"".to_owned()),
        checked: "length md5".to_owned(),
        form: Some("attached".to_owned()),
        key_serial: Some("0a1b".to_owned()),
        saved_at: at(60),
    }
}

fn entry(id: &str, start: i64, files: &[MediaEntry]) -> Entry {
    Entry {
        id: id.to_owned(),
        started_at: at(start),
        folder: format!("2018/02/12/19/{id}"),
        record_hash: Some([3; 16]),
        metadata: Some(MetadataEntry { bytes: 100, sha256: Some([9; 32]) }),
        awaits: None,
        media: files.to_vec(),
    }
}

fn held(entry: Entry) -> Change {
    Change {
        id: entry.id.clone(),
        started_at: entry.started_at,
        cured: entry.media.iter().map(|media| media.media_id.clone()).collect(),
        held: Some(entry),
        failures: Vec::new(),
    }
}

fn failed(id: &str, start: i64, failures: &[(&str, &str)]) -> Change {
    let failures = failures.iter().map(|(media, cause)| ((*media).into(), (*cause).into()));
    Change {
        id: id.to_owned(),
        started_at: at(start),
        held: None,
        cured: Vec::new(),
        failures: failures.collect(),
    }
}

#[test]
fn what_is_written_down_is_read_again_also_by_the_next_run() {
    let dir = TempDir::new().unwrap();
    let both = entry("A", 0, &[media("a", 20), media("b", 30)]);
    {
        let opened = open(dir.path());
        assert!(opened.is_new && opened.set_aside.is_none());
        let ledger = opened.ledger;
        assert_eq!(ledger.entry("A", at(0)).unwrap(), None);
        ledger.record(&[held(entry("A", 0, &[media("a", 20)]))], at(60)).unwrap();
        // A file that comes later joins those that are there.
        ledger.record(&[held(entry("A", 0, &[media("b", 30)]))], at(60)).unwrap();
        assert_eq!(ledger.entry("A", at(0)).unwrap(), Some(both.clone()));
        assert_eq!(ledger.entry("A", at(1)).unwrap(), None);
        let run = RunEntry { instance: 0, instances: 1, from: at(0), to: at(9) };
        ledger.begin_run(&run, at(60)).unwrap();
    }
    let opened = open(dir.path());
    assert!(!opened.is_new);
    assert_eq!(opened.ledger.entry("A", at(0)).unwrap(), Some(both.clone()));
    assert_eq!(opened.ledger.entries_in("2018/02/12/19/A").unwrap(), [both]);
    let totals = Totals { recordings: 1, media: 2, bytes: 50 };
    assert_eq!(opened.ledger.totals().unwrap(), totals);
}

#[test]
fn recordings_are_read_page_by_page_and_by_time() {
    let dir = TempDir::new().unwrap();
    let ledger = open(dir.path()).ledger;
    let all: Vec<_> = (0..25).map(|n| held(entry(&format!("R{n}"), n / 2, &[]))).collect();
    ledger.record(&all, at(60)).unwrap();
    let (mut key, mut ids) = (Key::default(), Vec::new());
    loop {
        let page = ledger.page(key, 10).unwrap();
        let Some((last, _)) = page.last() else { break };
        key = *last;
        ids.extend(page.into_iter().map(|(_, entry)| entry.id));
    }
    assert_eq!(ids.len(), 25);
    let mut behind: Option<(DateTime<Utc>, String)> = None;
    let mut found = Vec::new();
    loop {
        let last = behind.as_ref().map(|(at, id)| (*at, id.as_str()));
        let page = ledger.between(at(3), at(6), last, 2).unwrap();
        let Some(end) = page.last() else { break };
        behind = Some((end.started_at, end.id.clone()));
        found.extend(page.into_iter().map(|entry| entry.id));
    }
    assert_eq!(found, ["R6", "R7", "R8", "R9", "R10", "R11"]);
}

#[test]
fn failures_are_counted_until_they_are_cured_and_an_accepted_loss_stays_accepted() {
    let dir = TempDir::new().unwrap();
    let ledger = open(dir.path()).ledger;
    let both = [("a", "gone"), ("b", "slow")];
    ledger.record(&[failed("A", 0, &both)], at(60)).unwrap();
    ledger.record(&[failed("A", 0, &[("a", "gone again")])], at(70)).unwrap();
    let all = ledger.failures_of("A", at(0)).unwrap();
    let told: Vec<_> =
        all.iter().map(|one| (one.media_id.as_str(), one.cause.as_str(), one.attempts)).collect();
    // What was not tried again is not cured by that.
    assert_eq!(told, [("a", "gone again", 2), ("b", "slow", 1)]);
    assert_eq!((all[0].first_failed_at, all[0].last_failed_at), (at(60), at(70)));

    ledger.accept("A", at(0), "a", "deleted by the tenant", at(80)).unwrap();
    ledger.record(&[failed("A", 0, &both)], at(90)).unwrap();
    let accepted = Accepted { at: at(80), why: "deleted by the tenant".to_owned() };
    let all = ledger.failures(at(0), at(1), None, 10).unwrap();
    assert_eq!((all[0].attempts, all[0].accepted.as_ref()), (3, Some(&accepted)));
    assert_eq!(all[1].accepted, None);
    let behind = Some((at(0), "A", "a"));
    assert_eq!(ledger.failures(at(0), at(1), behind, 10).unwrap(), all[1..]);

    ledger.record(&[held(entry("A", 0, &[media("a", 20)]))], at(95)).unwrap();
    assert_eq!(ledger.failures_named("A").unwrap(), all[1..]);
}

#[test]
fn what_still_awaits_something_is_told_until_it_came() {
    let dir = TempDir::new().unwrap();
    let ledger = open(dir.path()).ledger;
    let waiting = |awaits| Entry { awaits, ..entry("A", 5, &[]) };
    for awaits in [Awaits::Screen, Awaits::End] {
        ledger.record(&[held(waiting(Some(awaits)))], at(60)).unwrap();
        assert_eq!(ledger.entry("A", at(5)).unwrap().unwrap().awaits, Some(awaits));
        assert_eq!(ledger.awaiting(at(5)).unwrap(), [("A".to_owned(), at(5))]);
        assert_eq!(ledger.awaiting(at(6)).unwrap(), []);
    }
    ledger.record(&[held(waiting(None))], at(60)).unwrap();
    assert_eq!(ledger.awaiting(at(0)).unwrap(), []);
}

#[test]
fn a_damaged_ledger_is_set_aside_and_a_new_one_made() {
    for damage in
        [&b"no database at all, for sure"[..], b"SQLite format 3\0and then nothing", &[7; 5000]]
    {
        let dir = TempDir::new().unwrap();
        drop(open(dir.path()));
        fs::write(dir.path().join(".rcbs").join(LEDGER_FILE), damage).unwrap();
        let opened = open(dir.path());
        let aside = opened.set_aside.expect("it was set aside");
        assert!(opened.is_new);
        assert_eq!(fs::read(dir.path().join(aside)).unwrap(), damage);
        assert_eq!(opened.ledger.totals().unwrap(), Totals::default());
    }
}

#[test]
fn pages_that_are_damaged_in_the_middle_are_told_as_damage() {
    let dir = TempDir::new().unwrap();
    {
        let ledger = open(dir.path()).ledger;
        let all: Vec<_> =
            (0..500).map(|n| held(entry(&format!("R{n}"), n, &[media("a", 20)]))).collect();
        ledger.record(&all, at(60)).unwrap();
        assert!(ledger.is_sound().unwrap());
    }
    let path = dir.path().join(".rcbs").join(LEDGER_FILE);
    let mut bytes = fs::read(&path).unwrap();
    bytes[1 << 16..].fill(0xA5);
    fs::write(&path, bytes).unwrap();
    let ledger = open(dir.path()).ledger;
    assert!(!ledger.is_sound().unwrap());
    let error = ledger.page(Key::default(), 1_000).expect_err("it is damaged");
    assert_eq!(error.kind(), LedgerErrorKind::Damaged, "{error}");
    assert!(error.hint().unwrap().contains("rcbs rebuild"));
}

#[test]
fn a_ledger_of_a_later_version_is_left_alone() {
    let dir = TempDir::new().unwrap();
    drop(open(dir.path()));
    let connection =
        rusqlite::Connection::open(dir.path().join(".rcbs").join(LEDGER_FILE)).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let tree = tree(dir.path());
    for error in [
        Ledger::open(&tree).map(drop).expect_err("later"),
        Ledger::open_to_read(&tree).map(drop).expect_err("later"),
    ] {
        assert_eq!(error.kind(), LedgerErrorKind::Later);
        assert!(error.to_string().ends_with("was written by a later version of rcbs (schema 99)"));
    }
}

#[test]
fn it_is_read_while_a_run_writes_and_by_nobody_written_then() {
    let dir = TempDir::new().unwrap();
    let tree = tree(dir.path());
    assert!(Ledger::open_to_read(&tree).unwrap().is_none());
    let writing = Ledger::open(&tree).unwrap().ledger;
    writing.record(&[held(entry("A", 0, &[media("a", 20)]))], at(60)).unwrap();
    let reading = Ledger::open_to_read(&tree).unwrap().expect("there is one");
    assert_eq!(reading.totals().unwrap().media, 1);
    writing.record(&[held(entry("B", 0, &[media("a", 20)]))], at(60)).unwrap();
    assert_eq!(reading.totals().unwrap().media, 2);
    let refused = reading.record(&[held(entry("C", 0, &[]))], at(60)).expect_err("read only");
    assert!(refused.to_string().ends_with("was opened for reading only"), "{refused}");
}

#[cfg(unix)]
#[test]
fn a_link_in_its_place_is_refused_and_its_permissions_are_the_trees() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new().unwrap();
    let held_open = open(dir.path());
    for end in ["", "-wal", "-shm"] {
        let path = dir.path().join(format!(".rcbs/{LEDGER_FILE}{end}"));
        let Ok(metadata) = fs::metadata(&path) else { continue };
        assert_eq!(metadata.permissions().mode() & 0o777, 0o640, "{}", path.display());
    }
    drop(held_open);
    for end in ["", "-wal", "-shm", "-journal"] {
        let dir = TempDir::new().unwrap();
        let tree = tree(dir.path());
        let link = dir.path().join(format!(".rcbs/{LEDGER_FILE}{end}"));
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &link).unwrap();
        let error = Ledger::open(&tree).map(drop).expect_err("a link");
        assert!(error.to_string().contains("is a symbolic link"), "{error}");
        assert!(!dir.path().join("elsewhere").exists());
    }
}

#[test]
fn sources_are_told_apart() {
    let s3 = |bucket: &str, key: &str| Location::S3 { bucket: bucket.into(), key: key.into() };
    let all = [
        s3("b", "k"),
        s3("bk", ""),
        s3("b", "K"),
        Location::Http { uri: "b\0k".into() },
        Location::Unusable { reason: "b\0k".into() },
    ];
    for (n, one) in all.iter().enumerate() {
        for (m, other) in all.iter().enumerate() {
            assert_eq!(SourceHash::of(one) == SourceHash::of(other), n == m);
        }
    }
}
