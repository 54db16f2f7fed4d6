//! One target on a file system that is not this machine's: what it may lack, and what must be asked for
//! anew. `scripts/acceptance nfs` shows the same on a real one.
#![cfg(target_os = "linux")]

use std::path::Path;

use super::{own, shared};
use crate::disk::on;
use crate::harness::{Site, files_below};
use crate::strace::{Call, Strace};

/// A site whose only instance is the first of these.
fn first_of(total: u32, recordings: usize) -> Site {
    let mut site = shared(recordings);
    site.properties += &format!("rcbsInstanceId=0\ntotalRcbsInstances={total}\n");
    site
}

#[test]
fn a_file_system_without_locks_is_refused_with_what_to_do() {
    let Some(strace) = Strace::find() else { return };
    for (reason, lock) in [("ENOLCK", ".rcbs/lock"), ("EOPNOTSUPP", ".rcbs/instances/0/lock")] {
        let site = first_of(2, 5);
        let (run, struck) = strace.disturb(&site, &on(&format!("flock:error={reason}"), &[lock]));
        run.exits(6).says("cannot lock `").says("and without `nolock`");
        assert_eq!((struck, site.tree().len()), (1, 0));
    }
}

#[test]
fn where_names_are_given_by_links_everything_is_saved_once() {
    let Some(strace) = Strace::find() else { return };
    // The second has no links either.
    for inject in ["renameat2:error=EINVAL", "renameat2,linkat:error=EOPNOTSUPP"] {
        let site = first_of(1, 40);
        let (run, struck) = strace.disturb(&site, &on(inject, &[]));
        run.exits(0);
        assert!(struck > 40, "{struck}");
        site.assert_holds(|_| true);
        assert!(files_below(&own(&site, 0).join("staged")).is_empty());
        assert!(site.old().is_empty());
    }
}

#[test]
fn how_many_there_are_is_asked_for_anew_once_nobody_else_can_change_it() {
    let Some(strace) = Strace::find() else { return };
    let site = first_of(2, 0);
    let (run, calls) = strace.trace(&site, "flock,openat,statx", &[]);
    run.exits(0);
    let folder = site.target().join(".rcbs/instances");
    let lock = folder.join("lock");
    let is_of = |call: &&Call, path: &Path| call.args.contains(&format!("{}\"", path.display()));
    let locked = calls.iter().find(|call| call.name == "flock" && call.paths() == [lock.as_path()]);
    let locked = locked.and_then(|call| call.ended).expect("the lock was taken");
    let opened = calls
        .iter()
        .find(|call| call.name == "openat" && is_of(call, &folder) && call.begun > locked);
    let asked = calls.iter().find(|call| is_of(call, &folder.join("fleet.json")));
    let (opened, asked) = (opened.expect("it was opened").begun, asked.expect("it was read").begun);
    assert!(locked < opened && opened < asked, "{locked} {opened} {asked}");
}
