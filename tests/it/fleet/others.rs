//! One target for all: what instances learn of each other, and what they refuse.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use rcbs_sim::fault::{Action, Fault};
use rcbs_sim::{Hits, Route};
use xxhash_rust::xxh3::xxh3_64;

use super::{all, args, ask, instance, numbers, opened, shared, watermark};
use crate::audit::{document, fail, named, totals};
use crate::harness::{DAY_MS, HOUR_MS, Site, now_ms, oldest_asked};

fn owner(id: &str, total: u64) -> u64 {
    xxh3_64(id.as_bytes()) % total
}

/// An id that belongs to these shares, each of so many.
fn id_of(shares: &[(u64, u64)]) -> String {
    let is_theirs = |id: &String| shares.iter().all(|(share, total)| owner(id, *total) == *share);
    (0..100_000).map(|n| format!("R{n}")).find(is_theirs).unwrap()
}

/// Objects that were opened, without their buckets and folders.
fn opened_names(site: &Site) -> Vec<String> {
    opened(site).keys().map(|key| key.rsplit('/').next().unwrap().to_owned()).collect()
}

/// Starts an instance that has a media file on its way, and waits until it has.
fn at_work(site: &Site, args: &[&str]) -> Child {
    let slow = Fault::on(Route::S3, Action::Delay(Duration::from_secs(20))).hits(Hits::Nth(1));
    site.sim.add_fault(slow.optional());
    let child = site.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(site.sim.wait_for(|request| !request.faults.is_empty()));
    child
}

fn end(site: &Site, mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
    site.sim.clear_faults();
}

#[test]
fn instances_in_one_target_hold_everything_once_and_each_keeps_its_own_state() {
    let site = shared(60);
    all(&site, 3);
    site.assert_holds(|_| true);
    for id in 0..3 {
        let mine = site.sim.world().recordings().filter(|one| owner(&one.id, 3) == id).count();
        let known: i64 = ask(&site, id, "SELECT count(*) FROM recordings");
        assert_eq!(known as usize, mine);
        assert!(watermark(&site, id) > now_ms() - HOUR_MS);
    }
    assert!(!site.target().join("last_recording_endtime.txt").exists());
    assert!(!site.target().join(".rcbs/ledger.sqlite").exists());
    site.sim.clear_requests();
    all(&site, 3);
    assert_eq!(opened(&site).len(), 0);
}

#[test]
fn another_number_of_instances_fetches_nothing_again_and_leaves_nothing_out() {
    let mut site = shared(80);
    site.properties += "overlap=PT1M\nrescan=0\n";
    all(&site, 4);
    let mut ids = Vec::new();
    for (at, total) in [3, 5, 1, 4].into_iter().enumerate() {
        site.sim.clear_requests();
        let before = site.tree();
        // New in between, for instances that were there before and for those that were not.
        let new = [format!("NEW{at}A"), format!("NEW{at}B"), format!("NEW{at}C")];
        let media: Vec<_> = new.iter().map(|id| site.add(id, now_ms() - HOUR_MS)).collect();
        ids.extend(new);
        all(&site, total);
        assert_eq!(opened_names(&site), media);
        site.assert_holds(|_| true);
        let after = site.tree();
        assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)));
        assert_eq!(site.old().len(), 0);
        let [id, count] = numbers(0, total);
        let document = document(&site, &["--set", &id, "--set", &count], 0);
        assert_eq!(totals(&document)[0] as usize, 80 + ids.len());
        site.rcbs(&["check"]).exits(0);
        // Once it knows, an instance does not go back again.
        site.sim.clear_requests();
        all(&site, total);
        assert!(oldest_asked(&site) > now_ms() - 2 * HOUR_MS, "{total}");
        assert_eq!(opened(&site).len(), 0);
    }
}

#[test]
fn a_share_that_nobody_has_run_is_saved_when_it_is_dealt_anew() {
    let mut site = shared(60);
    site.properties += "overlap=PT1M\nrescan=0\nmaxAge=3\n";
    for id in 0..3 {
        instance(&site, id, 4, &[]).exits(0);
    }
    site.assert_holds(|recording| owner(&recording.id, 4) != 3);
    // By now maxAge alone would reach nothing of it.
    site.properties += "maxAge=PT1H\n";
    all(&site, 5);
    site.assert_holds(|_| true);
}

#[test]
fn a_newcomer_begins_where_the_slowest_of_the_others_has_come_to() {
    let mut site = shared(0);
    site.properties += "overlap=PT1M\nrescan=0\n";
    let id = id_of(&[(1, 2), (2, 3)]);
    let media = site.add(&id, now_ms() - 2 * DAY_MS);
    fail(&site, &media);
    instance(&site, 0, 2, &[]).exits(0);
    instance(&site, 1, 2, &[]).exits(3);
    assert!(watermark(&site, 1) < now_ms() - 2 * DAY_MS);
    site.sim.clear_faults();
    instance(&site, 2, 3, &["--set", "maxAge=PT1H"])
        .exits(0)
        .says("there is no watermark of this instance: beginning at ")
        .says("learned from other instances of this target: 1 recordings, and 1 failures")
        .says("trying first what failed or was incomplete in earlier runs: 1");
    site.assert_holds(|_| true);
}

#[test]
fn what_failed_stays_named_whoever_has_its_share_now() {
    let site = shared(10);
    let id = id_of(&[(1, 2), (2, 3)]);
    let media = site.add(&id, now_ms() - DAY_MS);
    fail(&site, &media);
    instance(&site, 1, 2, &[]).exits(3);
    instance(&site, 0, 2, &[]).exits(0);
    site.sim.edit(|world| world.remove(&id));
    // The cloud has it no more, and nobody else would ever tell.
    instance(&site, 0, 3, &[]).exits(0);
    instance(&site, 2, 3, &[]).exits(3).says("it is listed no more; it failed with: ");
    let args = args(&numbers(0, 3), &[]).join(" ");
    let args: Vec<&str> = args.split(' ').collect();
    let found = document(&site, &[&args[..], &["--set", "maxAge=2"]].concat(), 3);
    assert!(named(&found).contains(&format!("gone {id}")), "{found}");
    site.rcbs(&["accept", &id, "--why", "deleted by the tenant"])
        .exits(0)
        .says("accepted the loss");
    instance(&site, 2, 3, &[]).exits(0);
    instance(&site, 1, 3, &[]).exits(0);
    let found = document(&site, &args, 0);
    assert_eq!(totals(&found)[3], 1, "{found}");
    // Dealt anew once more, it stays accepted.
    all(&site, 2);
}

#[test]
fn a_target_that_one_run_had_alone_keeps_what_it_knows_when_it_is_shared() {
    let mut site = shared(60);
    site.properties += "overlap=PT1M\nrescan=0\n";
    let failing = site.add("FAILS", now_ms() - 2 * DAY_MS);
    fail(&site, &failing);
    let alone = ["--set", "sharedTarget=false"];
    site.rcbs(&alone).exits(3);
    site.sim.clear_faults();
    site.rcbs(&[&alone[..], &["--set", "maxDate=2030-01-01"]].concat()).exits(0);
    site.sim.clear_requests();
    // What failed is known from the ledger, and what is held from the watermark.
    site.set_watermark(now_ms() - HOUR_MS);
    let new = site.add("NEW", now_ms() - HOUR_MS / 2);
    all(&site, 3);
    let mut expected = vec![failing, new];
    expected.sort();
    assert_eq!(opened_names(&site), expected);
    site.assert_holds(|_| true);
    site.rcbs(&["check"]).exits(0);
    site.sim.clear_requests();
    all(&site, 3);
    assert!(oldest_asked(&site) > now_ms() - 2 * HOUR_MS);
    // There is no silent way back.
    for args in
        [&alone[..], &["--set", "sharedTarget=false", "--dry-run"], &["config", alone[0], alone[1]]]
    {
        site.rcbs(args).exits(2).says("is shared by instances of sharedTarget=true");
    }
    all(&site, 1);
    assert_eq!(opened(&site).len(), 0);
}

#[test]
fn what_cannot_be_in_one_target_at_the_same_time_is_refused() {
    let site = shared(10);
    let [id, total] = numbers(0, 1);
    let first = ["--set", id.as_str(), "--set", total.as_str()];
    let child = at_work(&site, &first);
    site.rcbs(&first).exits(5).says("another run holds").says(".rcbs/instances/0`: process ");
    instance(&site, 1, 3, &[]).exits(2).says("is in use by instance 0 of 1, and this run counts 3");
    site.rcbs(&["--set", "sharedTarget=false"]).exits(5).says("instances of 1, the last to come");
    for command in [&["rebuild"][..], &["accept", "X", "--why", "x"]] {
        site.rcbs(command).exits(5);
    }
    site.rcbs(&["check", "--sample", "1"]);
    end(&site, child);
    // Nobody is at work any more, so the number may be another.
    all(&site, 3);
    site.assert_holds(|_| true);

    let alone = shared(10);
    let child = at_work(&alone, &["--set", "sharedTarget=false"]);
    instance(&alone, 0, 2, &[]).exits(5).says("another run holds");
    end(&alone, child);
    let run = instance(&alone, 0, 2, &["--set", "stateDir=elsewhere"]);
    run.exits(2).says("`sharedTarget=true` keeps the state in the target");
    fs::create_dir_all(alone.target().join(".rcbs/instances")).unwrap();
    fs::write(alone.target().join(".rcbs/instances/fleet.json"), "{").unwrap();
    instance(&alone, 0, 2, &[]).exits(2).says("cannot understand").says("remove it");
}

#[test]
fn a_check_knows_the_ledgers_of_all_and_a_rebuild_makes_each_of_them_again() {
    let site = shared(40);
    all(&site, 3);
    let stray = site.target().join("2018/01/01/00/X");
    fs::create_dir_all(&stray).unwrap();
    fs::write(stray.join("x.mp3.bin"), "").unwrap();
    site.rcbs(&["check"]).says("2018/01/01/00/X/x.mp3.bin").says("it is not in the ledger");
    fs::remove_dir_all(&stray).unwrap();
    let lost = site.tree().into_keys().find(|path| path.ends_with(".bin")).unwrap();
    let bytes = fs::read(site.target().join(&lost)).unwrap();
    fs::remove_file(site.target().join(&lost)).unwrap();
    site.rcbs(&["check"]).exits(3).says(&lost);
    // Each instance repairs what is its share, and says whose the rest is.
    let id = lost.split('/').rev().nth(1).unwrap();
    let owner = owner(id, 3);
    let other = instance(&site, (owner + 1) % 3, 3, &["check", "--repair"]);
    other.exits(3).says(&format!("left to instance {owner}, whose share it is: 1 files"));
    other.says("missing: 1; ").says("; left to other instances: 1\n");
    assert!(!site.target().join(&lost).exists());
    let own = instance(&site, owner, 3, &["check", "--repair"]);
    own.exits(0).says("missing: 1, repaired: 1; ");
    assert!(!own.stdout.contains("left to"), "{own}");
    assert_eq!(fs::read(site.target().join(&lost)).unwrap(), bytes);
    let known = |id| ask::<i64>(&site, id, "SELECT count(*) FROM media WHERE sha256 IS NOT NULL");
    let before: Vec<i64> = (0..3).map(known).collect();
    for id in 0..3 {
        let path = format!(".rcbs/instances/{id}/ledger.sqlite");
        fs::remove_file(site.target().join(path)).unwrap();
    }
    site.rcbs(&["rebuild"]).exits(0).says("instance 2 of 3: ");
    assert_eq!((0..3).map(known).collect::<Vec<_>>(), before);
    site.rcbs(&["check"]).exits(0);
    instance(&site, 0, 3, &["audit"]).exits(0).says("Complete: 40 held");
    site.sim.clear_requests();
    // A ledger that goes is made again by its instance, with its share and no other.
    fs::remove_file(site.target().join(".rcbs/instances/1/ledger.sqlite")).unwrap();
    instance(&site, 1, 3, &[]).exits(0);
    assert_eq!(
        (0..3).map(|id| ask(&site, id, "SELECT count(*) FROM media")).collect::<Vec<i64>>(),
        before
    );
    assert_eq!(opened(&site).len(), 0);
}

#[test]
fn a_file_that_another_instance_has_replaced_since_is_right_for_all() {
    let mut site = shared(0);
    site.properties += "overlap=PT1M\n";
    // Of share 1 in fleets of 2, and of share 0 in those of 3.
    let id = id_of(&[(1, 2), (0, 3)]);
    let at = now_ms() - DAY_MS;
    site.add(&id, at);
    all(&site, 2);
    all(&site, 3);
    // It gets another size at the source, as if it had been mixed anew.
    site.sim.edit(|world| {
        let media =
            rcbs_sim::Media::voice(&format!("{id}_voice.mp3.bin"), crate::harness::BUCKET, 777);
        world.put(rcbs_sim::Recording::new(&id, at).with(media));
    });
    instance(&site, 0, 3, &["--set", "skipLastRecordingCheck=true"]).exits(0);
    site.assert_holds(|_| true);
    site.rcbs(&["check"]).exits(0);
    site.sim.clear_requests();
    all(&site, 2);
    assert_eq!(opened(&site).len(), 0, "the ledger of long ago was believed");
    site.rcbs(&["check"]).exits(0);
}

#[test]
fn ids_that_differ_in_case_only_come_into_folders_that_differ_in_more() {
    let mut site = shared(0);
    site.properties += "recordingFolderFormat=yyyy\n";
    let pairs = (0..100_000).map(|n| [format!("R{n}A"), format!("R{n}a")]);
    let is_dealt = |[one, other]: &[String; 2]| (owner(one, 2), owner(other, 2)) == (0, 1);
    let pair = pairs.into_iter().find(is_dealt).unwrap();
    let media = pair.each_ref().map(|id| site.add(id, now_ms() - HOUR_MS));
    all(&site, 2);
    assert_eq!(opened_names(&site), media);
    // So no file system takes one for the other.
    let folder = |path: &String| path.rsplit_once('/').unwrap().0.to_lowercase();
    let folders: BTreeSet<String> = site.tree().keys().map(folder).collect();
    assert_eq!((folders.len(), site.tree().len(), site.old().len()), (2, 4, 0));
    site.rcbs(&["check"]).exits(0);
    site.sim.clear_requests();
    all(&site, 2);
    assert_eq!(opened(&site).len(), 0);
}
