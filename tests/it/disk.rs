//! Disks that fail: each system call of a run, at some places of it, comes back with an error.

use crate::harness::{REGION, Site};
use crate::sound::{Reference, renew};
use crate::strace::{Point, Strace};

/// The ledger, and what SQLite puts beside it.
pub(crate) const LEDGER: [&str; 3] =
    [".rcbs/ledger.sqlite", ".rcbs/ledger.sqlite-journal", ".rcbs/ledger.sqlite-wal"];

/// A small site whose watermark moves in several steps, and what it holds in the end.
pub(crate) fn small() -> (Site, Reference) {
    let mut site = Site::of(14);
    site.properties += REGION;
    let reference = Reference::of(&mut site);
    (site, reference)
}

/// Disturbs what is done to some staged files, at so many places of a run.
pub(crate) fn on_staged(inject: &str, places: usize) -> impl Iterator<Item = Point> {
    // Each file takes two numbers at most, and which ones it skips nobody knows: so some
    // neighbours at each place. The first are the program's own.
    on_staged_groups(inject, places, 4)
}

/// The same for so many neighbours at each place, that may be committed as one group.
fn on_staged_groups(inject: &str, places: usize, width: usize) -> impl Iterator<Item = Point> {
    const NUMBERS: usize = 80;
    (0..places).map(move |place| {
        let first = place * NUMBERS / places;
        let paths = (first..first + width).map(|number| format!(".rcbs/staged/{number}"));
        Point { paths: paths.collect(), inject: inject.to_owned() }
    })
}

/// Disturbs what is done to some folder, inner or outer, that recordings are sorted into.
pub(crate) fn on_folders(
    inject: &str,
    places: usize,
    reference: &Reference,
) -> impl Iterator<Item = Point> {
    let folders = reference.folders();
    let step = folders.len().div_ceil(places);
    let places: Vec<String> = folders.into_iter().step_by(step).collect();
    places.into_iter().map(move |path| Point { paths: vec![path], inject: inject.to_owned() })
}

pub(crate) fn on(inject: &str, paths: &[&str]) -> Point {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    Point { paths, inject: inject.to_owned() }
}

/// Does some calls' failing or killing, each in a run of its own, and says how many runs it struck.
pub(crate) fn disturb(
    (site, reference): &mut (Site, Reference),
    points: impl IntoIterator<Item = Point>,
    ends: &[i32],
) -> Option<usize> {
    let strace = Strace::find()?;
    let mut struck = 0;
    for point in points {
        let (run, strikes) = strace.disturb(site, &point);
        let ends = if strikes > 0 { ends } else { &[0] };
        assert!(ends.contains(&run.code), "{strikes} struck\n{run}");
        struck += usize::from(strikes > 0);
        reference.assert_sound_and_completed(site, &run);
        renew(site);
    }
    Some(struck)
}

#[test]
fn a_disk_that_takes_no_bytes_ends_the_run_and_the_next_one_completes_it() {
    // Wide, as which numbers are skipped is a matter of time.
    let points = on_staged_groups("openat:error=ENOSPC", 4, 8)
        .chain(on_staged_groups("write:error=ENOSPC", 6, 8))
        .chain(on_staged_groups("write:error=EIO", 4, 8));
    let Some(struck) = disturb(&mut small(), points, &[6]) else { return };
    assert!(struck >= 11, "{struck}");
}

#[test]
fn a_disk_that_cannot_flush_ends_the_run_and_the_next_one_completes_it() {
    // Many at once are flushed as a file system, and one by one where that fails.
    let (mut small, inject) = (small(), "fsync,syncfs:error=EIO");
    let mut folders: Vec<Point> = on_folders(inject, 6, &small.1).collect();
    for point in &mut folders {
        // By then the descriptor that the file system is flushed by has a final name.
        point.paths.extend(small.1.tree.keys().cloned());
    }
    let points = on_staged_groups(inject, 6, 24).chain(folders);
    let Some(struck) = disturb(&mut small, points, &[6]) else { return };
    assert!(struck >= 8, "{struck}");
}

#[test]
fn a_disk_that_gives_no_names_ends_the_run_and_the_next_one_completes_it() {
    let mut small = small();
    let made: Vec<Point> = on_folders("mkdir:error=ENOSPC", 6, &small.1).collect();
    let opened: Vec<Point> = on_folders("openat:error=EIO", 4, &small.1).collect();
    let points = on_staged("rename:error=EIO", 8).chain(made).chain(opened);
    let Some(struck) = disturb(&mut small, points, &[6]) else { return };
    assert!(struck >= 12, "{struck}");
}

#[test]
fn a_disk_that_fails_the_files_of_the_program_ends_the_run_and_the_next_one_completes_it() {
    let points = [
        on("mkdir:error=EIO", &[""]),
        on("mkdir:error=ENOSPC", &[".rcbs"]),
        on("openat:error=EIO", &[".rcbs"]),
        on("openat:error=EIO", &[".rcbs/staged"]),
        on("openat:error=EIO", &[".rcbs/lock"]),
        on("openat:error=EIO", &[".rcbs/state.json"]),
        on("write:error=ENOSPC", &[".rcbs/lock"]),
        on("fsync:error=EIO", &[""]),
        on("fsync:error=EIO", &[".rcbs"]),
    ];
    let expected = points.len();
    let Some(struck) = disturb(&mut small(), points, &[6]) else { return };
    assert_eq!(struck, expected);
}

#[test]
fn a_disk_that_fails_the_ledger_damages_nothing_and_the_next_run_completes_it() {
    let mut small = small();
    if !small.1.own.contains(&"ledger.sqlite".to_owned()) {
        eprintln!("skipped: there is no ledger yet");
        return;
    }
    let calls = ["openat", "pwrite64", "fdatasync", "fsync", "ftruncate", "unlink"];
    let points = calls
        .iter()
        .flat_map(|call| [1, 3, 7].map(|nth| on(&format!("{call}:error=EIO:when={nth}"), &LEDGER)));
    let full = [2, 5, 20].map(|nth| on(&format!("pwrite64:error=ENOSPC:when={nth}+"), &LEDGER));
    let Some(struck) = disturb(&mut small, points.chain(full), &[0, 3, 6]) else { return };
    assert!(struck >= 8, "{struck}");
}
