//! The order in which a run reaches the disk, read off its system calls, and kills inside it.

mod order;

use std::path::Path;

use self::order::{NAMES, Order, Promise};
use crate::disk::{LEDGER, disturb, on, on_folders, on_staged, small};
use crate::harness::{REGION, Site};
use crate::sound::renew;
use crate::strace::{Call, Strace, calls};

/// A run that saves one recording of two files, as it should be, in two shards.
const GOOD: &str = r#"
7 mkdir("/t/.rcbs/staged", 0750) = 0
7 openat(AT_FDCWD</>, "/t/.rcbs/staged/0", O_WRONLY|O_CREAT|O_EXCL, 0640) = 5</t/.rcbs/staged/0>
7 write(5</t/.rcbs/staged/0>, "1000\n", 5) = 5
7 fsync(5</t/.rcbs/staged/0>) = 0
7 rename("/t/.rcbs/staged/0", "/t/last_recording_endtime.txt") = 0
7 fsync(5</t>) = 0
8 openat(AT_FDCWD</>, "/t/.rcbs/staged/1", O_WRONLY|O_CREAT|O_EXCL, 0640) = 6</t/.rcbs/staged/1>
8 write(6</t/.rcbs/staged/1>, "\1\2 = 3) = 4", 4) = 4
9 openat(AT_FDCWD</>, "/t/.rcbs/staged/2", O_WRONLY|O_CREAT|O_EXCL, 0640 <unfinished ...>
8 pwrite64(6</t/.rcbs/staged/1>, "tail", 4, 4) = 4
9 <... openat resumed>) = 7</t/.rcbs/staged/2>
9 write(7</t/.rcbs/staged/2>, "{}", 2) = 2
8 syncfs(6</t/.rcbs/staged/1>) = 0
8 mkdir("/t/2018", 0750) = 0
8 mkdir("/t/2018/R", 0750) = 0
8 rename("/t/.rcbs/staged/1", "/t/2018/R/a.mp3.bin") = 0
8 rename("/t/.rcbs/staged/2", "/t/2018/R/R_metadata.json") = 0
8 fsync(8</t>) = 0
8 fsync(8</t/2018>) = 0
8 fsync(8</t/2018/R>) = 0
8 openat(AT_FDCWD</>, "/t/.rcbs/ledger.sqlite", O_RDWR|O_CREAT, 0640) = 9</t/.rcbs/ledger.sqlite>
8 openat(AT_FDCWD</>, "/t/.rcbs/ledger.sqlite-journal", O_RDWR|O_CREAT, 0640) = 10</t/.rcbs/ledger.sqlite-journal>
8 pwrite64(10</t/.rcbs/ledger.sqlite-journal>, "before", 6, 0) = 6
8 fdatasync(10</t/.rcbs/ledger.sqlite-journal>) = 0
8 pwrite64(9</t/.rcbs/ledger.sqlite>, "\0\1R\02018/R/a.mp3.bin\0", 20, 0) = 20
8 fdatasync(9</t/.rcbs/ledger.sqlite>) = 0
8 unlink("/t/.rcbs/ledger.sqlite-journal") = 0
8 fdatasync(10</t/.rcbs>) = 0
7 openat(AT_FDCWD</>, "/t/.rcbs/staged/3", O_WRONLY|O_CREAT|O_EXCL, 0640) = 5</t/.rcbs/staged/3>
7 write(5</t/.rcbs/staged/3>, "2000\n", 5) = 5
7 fsync(5</t/.rcbs/staged/3>) = 0
7 rename("/t/.rcbs/staged/3", "/t/last_recording_endtime.txt") = 0
7 fsync(5</t>) = 0
7 +++ exited with 0 +++
"#;

fn faults(lines: &[&str], target: &str) -> Vec<String> {
    let promises = [Promise { id: "R".to_owned(), start_ms: 1_500, files: 2 }];
    Order::of(&calls(&lines.join("\n")), Path::new(target)).faults(&promises)
}

/// The line that begins with a thread and what is given, from behind if asked.
fn place(lines: &[&str], beginning: &str) -> usize {
    lines.iter().position(|line| line[1..].trim_start().starts_with(beginning)).expect(beginning)
}

#[test]
fn the_checker_of_the_order_takes_a_run_that_is_right() {
    let lines: Vec<&str> = GOOD.trim().lines().collect();
    assert_eq!(faults(&lines, "/t"), [""; 0]);
    // Without a ledger there is none to be asked for.
    let without: Vec<&str> =
        lines.iter().copied().filter(|line| !line.contains("ledger.sqlite")).collect();
    assert_eq!(faults(&without, "/t"), [""; 0]);
}

#[test]
fn the_checker_of_the_order_refuses_whatever_comes_too_late_or_never() {
    let media = "2018/R/a.mp3.bin";
    let ledger = format!("the ledger knew {media} before it was safe");
    let passed = "the watermark passed R before its files".to_owned();
    let passed_ledger = "the watermark passed R before the ledger".to_owned();
    let unflushed = |name: &str| format!("{name} got its name before it was flushed");
    let never = |name: &str| format!("the name {name} was never flushed");
    let watermark = "last_recording_endtime.txt";
    // A line, and the one that it comes behind instead; none where it is left out.
    let cases: [(&str, Option<&str>, String); 15] = [
        ("syncfs", Some("rename(\"/t/.rcbs/staged/2\""), unflushed(media)),
        ("syncfs", None, unflushed("2018/R/R_metadata.json")),
        ("pwrite64(6", Some("syncfs"), unflushed(media)),
        ("fsync(5</t/.rcbs/staged/3>)", None, unflushed(watermark)),
        ("fsync(5</t/.rcbs/staged/0>)", None, unflushed(watermark)),
        ("fsync(8</t/2018/R>)", None, never(media)),
        ("fsync(8</t/2018>)", None, never("2018/R/R_metadata.json")),
        ("fsync(8</t>)", Some("rename(\"/t/.rcbs/staged/3\""), passed.clone()),
        ("fsync(8</t/2018/R>)", Some("pwrite64(9"), ledger.clone()),
        ("pwrite64(9", Some("syncfs"), ledger),
        ("pwrite64(9", None, format!("{media} is not in the ledger")),
        ("fdatasync(9", None, passed_ledger.clone()),
        ("fdatasync(10</t/.rcbs>)", None, passed_ledger.clone()),
        ("unlink", Some("rename(\"/t/.rcbs/staged/3\""), passed_ledger),
        ("rename(\"/t/.rcbs/staged/2\"", None, passed),
    ];
    for (line, behind, fault) in cases {
        let mut lines: Vec<&str> = GOOD.trim().lines().collect();
        let taken = lines.remove(place(&lines, line));
        if let Some(behind) = behind {
            lines.insert(place(&lines, behind) + 1, taken);
        }
        let found = faults(&lines, "/t");
        assert!(found.contains(&fault), "{line} behind {behind:?}: {found:?}");
    }
    // A flush that failed, one that was not over, and a write to what has its name already.
    for (before, after, fault) in [
        ("syncfs(6</t/.rcbs/staged/1>) = 0", "syncfs(6</t>) = -1 EIO (Error)", unflushed(media)),
        ("syncfs(6</t/.rcbs/staged/1>) = 0", "syncfs(6</t> <unfinished ...>", unflushed(media)),
        (
            "fsync(8</t>) = 0",
            "write(6</t/2018/R/a.mp3.bin>, \"x\", 1) = 1",
            format!("{media} was written under its final name"),
        ),
    ] {
        let doctored = GOOD.replace(before, after);
        let found = faults(&doctored.trim().lines().collect::<Vec<_>>(), "/t");
        assert!(found.contains(&fault), "{after}: {found:?}");
    }
}

fn promises(site: &Site) -> Vec<Promise> {
    let world = site.sim.world();
    let promise = |one: std::sync::Arc<rcbs_sim::Recording>| Promise {
        id: one.id.clone(),
        start_ms: one.start_ms,
        files: world.listed_media(&one).len() + 1,
    };
    world.recordings().map(promise).collect()
}

fn without(calls: &[Call], is_it: impl Fn(&Call) -> bool) -> Vec<Call> {
    calls.iter().filter(|call| !is_it(call)).cloned().collect()
}

#[test]
fn every_flush_of_a_backup_comes_before_the_name_the_ledger_and_the_watermark() {
    let Some(strace) = Strace::find() else { return };
    let mut site = Site::of(40);
    site.properties += REGION;
    let promises = promises(&site);
    // The whole file system is flushed where that can be relied upon; else each file is.
    for more in [&[][..], &["-e", "inject=syncfs:error=EIO"]] {
        renew(&mut site);
        let target = site.target();
        let (run, calls) = strace.trace(&site, NAMES, more);
        run.exits(0);
        site.assert_holds(|_| true);
        let order = Order::of(&calls, &target);
        assert_eq!(order.faults(&promises), [""; 0], "{run}");
        assert_eq!(order.has_ledger(), target.join(".rcbs/ledger.sqlite").exists());

        // Without its flushes it would not do: neither without those of files nor of folders.
        let is_flush = |call: &Call| ["fsync", "fdatasync", "syncfs"].contains(&&*call.name);
        let is_of_folder = |call: &Call| call.paths().iter().any(|path| path.is_dir());
        let late = without(&calls, |call| is_flush(call) && !is_of_folder(call));
        let none = without(&calls, is_flush);
        for (doctored, words) in [(late, "before it was flushed"), (none, "was never flushed")] {
            let faults = Order::of(&doctored, &target).faults(&promises);
            let found = faults.iter().filter(|fault| fault.ends_with(words)).count();
            let files: usize = promises.iter().map(|promise| promise.files).sum();
            assert!(found >= files, "{words}: {found} of {files}");
        }
    }
}

#[test]
fn a_run_that_is_killed_anywhere_in_a_commit_leaves_nothing_half_and_the_next_one_completes_it() {
    let mut small = small();
    let folders = |inject, places| on_folders(inject, places, &small.1).collect::<Vec<_>>();
    let made = folders("mkdir:signal=KILL", 4);
    let flushed = folders("fsync:signal=KILL", 5);
    let own = [on("fsync:signal=KILL", &[""]), on("fsync:signal=KILL", &[".rcbs"])];
    let points = on_staged("openat:signal=KILL", 3)
        .chain(on_staged("write:signal=KILL", 4))
        .chain(on_staged("fsync:signal=KILL", 4))
        .chain(on_staged("rename:signal=KILL", 8))
        .chain(made.into_iter().chain(flushed).chain(own));
    let Some(struck) = disturb(&mut small, points, &[-1]) else { return };
    assert!(struck >= 20, "{struck}");
}

#[test]
fn a_run_that_is_killed_while_it_writes_the_ledger_is_completed_by_the_next_one() {
    let mut small = small();
    if !small.1.own.contains(&"ledger.sqlite".to_owned()) {
        eprintln!("skipped: there is no ledger yet");
        return;
    }
    let calls = ["openat", "pwrite64", "fdatasync", "fsync", "ftruncate", "unlink"];
    let points = calls.iter().flat_map(|call| {
        [1, 4, 9, 16].map(|nth| on(&format!("{call}:signal=KILL:when={nth}"), &LEDGER))
    });
    let Some(struck) = disturb(&mut small, points, &[-1]) else { return };
    assert!(struck >= 8, "{struck}");
}
