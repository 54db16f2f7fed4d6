//! Four instances side by side in one target, killed at any moment.
#![cfg(unix)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use rcbs_sim::world::calls::Dice;
use xxhash_rust::xxh3::xxh3_64;

use super::{args, instance, numbers, opened, own, shared};
use crate::harness::{Site, encoded, files_below};

const INSTANCES: u64 = 4;
const KILLS: usize = 12;
/// How many times an instance is started once more while it is at work.
const TWINS: usize = 3;
/// How long all of it may take.
const LONGEST: Duration = Duration::from_secs(240);

/// What the cloud has of one recording, and how it lies on the disk.
struct Expected {
    id: String,
    owner: u64,
    start_ms: i64,
    metadata: String,
    /// Names of files and keys of objects.
    media: Vec<(String, String)>,
}

/// What has been seen of the instances on the way.
#[derive(Default)]
struct Seen {
    /// How often each instance was killed.
    kills: BTreeMap<u64, u64>,
    /// What lay under its final name when its instance was dead, and how often it had been opened by then.
    held: BTreeMap<String, u64>,
    /// How many recordings a watermark had behind it.
    handled: usize,
}

/// Starts an instance; its number comes when it has ended, with what it said.
fn start(site: &Site, id: u64, ended: &Sender<(u64, String)>) -> Child {
    let numbers = numbers(id, INSTANCES);
    let mut command = site.command(&args(&numbers, &["--quiet"]));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stderr, ended) = (child.stderr.take().unwrap(), ended.clone());
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = stderr.read_to_string(&mut text);
        let _ = ended.send((id, text));
    });
    child
}

fn expected(site: &Site) -> Vec<Expected> {
    let world = site.sim.world();
    let of = |one: std::sync::Arc<rcbs_sim::Recording>| {
        let media = world.listed_media(&one).into_iter();
        let names = media.map(|it| (encoded(&it.media_id), format!("{}/{}", it.bucket, it.key)));
        Expected {
            id: one.id.clone(),
            owner: xxh3_64(one.id.as_bytes()) % INSTANCES,
            start_ms: one.start_ms,
            metadata: format!("{}_metadata.json", one.id),
            media: names.collect(),
        }
    };
    world.recordings().map(of).collect()
}

/// The names of all files of recordings.
fn names(site: &Site) -> BTreeSet<String> {
    let name = |path: &String| path.rsplit('/').next().unwrap().to_owned();
    site.tree().keys().map(name).collect()
}

/// Tells whether a file is there, whose name may have an end that its id has not.
fn is_there(names: &BTreeSet<String>, id: &str) -> bool {
    names.range(id.to_owned()..).next().is_some_and(|name| name.starts_with(id))
}

/// Looks at what an instance has left that was killed just now: all before its watermark is held.
fn look(site: &Site, id: u64, all: &[Expected], seen: &mut Seen) {
    let (names, opened) = (names(site), opened(site));
    let watermark = fs::read_to_string(own(site, id).join("last_recording_endtime.txt")).ok();
    let watermark = watermark.and_then(|text| text.trim().parse::<i64>().ok());
    for one in all.iter().filter(|one| one.owner == id) {
        for (name, key) in &one.media {
            if is_there(&names, name) {
                let times = opened.get(key).copied().unwrap_or_default();
                // Those of earlier kills count as they were then.
                seen.held.entry(key.clone()).or_insert(times);
            }
        }
        if watermark.is_some_and(|watermark| one.start_ms < watermark) {
            let mut files = one.media.iter().map(|(name, _)| name).chain([&one.metadata]);
            let missing = files.find(|name| !is_there(&names, name));
            assert_eq!(missing, None, "the watermark of instance {id} has passed {}", one.id);
            seen.handled += 1;
        }
    }
}

fn signal(child: &Child, name: &str) {
    let mut kill = Command::new("kill");
    assert!(kill.args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Starts an instance once more while it is at work, and held still so that it stays so.
fn refuses_a_twin(site: &Site, id: u64, child: &Child) -> bool {
    let said = fs::read_to_string(own(site, id).join("lock")).unwrap_or_default();
    if !said.starts_with(&format!("process {} ", child.id())) {
        return false;
    }
    signal(child, "-STOP");
    // It may have let go of the lock in the end, or be about to, as what ends is not stopped.
    let is_over = !has_stopped(child) || is_free(&own(site, id).join("lock"));
    if !is_over {
        instance(site, id, INSTANCES, &["--quiet"]).exits(5).says("another run holds");
    }
    signal(child, "-CONT");
    !is_over
}

/// Tells whether a process that was told to stop has done so, with all its threads, and not come to
/// its end instead.
fn has_stopped(child: &Child) -> bool {
    let started = Instant::now();
    while started.elapsed() < LONGEST {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", child.id())) else { return false };
        let state = |thread: fs::DirEntry| {
            let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
            stat.rsplit(") ").next()?.chars().next()
        };
        let states: Vec<char> = threads.flatten().filter_map(state).collect();
        if states.iter().all(|state| "ZX".contains(*state)) {
            return false;
        }
        if states.iter().all(|state| *state == 'T') {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

/// Tells whether nobody holds this lock.
fn is_free(path: &Path) -> bool {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    file.try_lock().is_ok()
}

#[test]
fn four_instances_in_one_target_that_are_killed_at_any_moment_end_complete() {
    for seed in [1, 2] {
        let mut site = shared(240);
        // No overlap and no rescan, which would make good for a watermark that goes too far.
        site.properties += "shardBy=PT4H\nmaxConnections=4\noverlap=PT1S\nrescan=0\n";
        let all = expected(&site);
        let mut dice = Dice::new(seed);
        let (ended, has_ended) = channel();
        let mut running: Vec<Option<Child>> =
            (0..INSTANCES).map(|id| Some(start(&site, id, &ended))).collect();
        let (mut seen, mut killed, mut twins) = (Seen::default(), 0, 0);
        let mut kill_at = 30 + dice.below(60);
        let started = Instant::now();
        while running.iter().any(Option::is_some) {
            assert!(started.elapsed() < LONGEST, "they do not come to an end");
            if killed < KILLS && site.sim.asked() >= kill_at {
                let id = dice.below(INSTANCES);
                if let Some(child) = &mut running[id as usize] {
                    if twins < TWINS && refuses_a_twin(&site, id, child) {
                        twins += 1;
                    }
                    child.kill().unwrap();
                    killed += 1;
                }
                kill_at = site.sim.asked() + 5 + dice.below(60);
            }
            let Ok((id, said)) = has_ended.recv_timeout(Duration::from_millis(1)) else { continue };
            let status = running[id as usize].take().unwrap().wait().unwrap();
            match status.code() {
                Some(0) => {}
                // A run that was killed is started again, as an engine does.
                None => {
                    *seen.kills.entry(id).or_default() += 1;
                    look(&site, id, &all, &mut seen);
                    running[id as usize] = Some(start(&site, id, &ended));
                }
                Some(code) => panic!("instance {id} ended with {code}\n{said}"),
            }
        }
        eprintln!(
            "seed {seed}: {killed} kills, {twins} twins, {} files and {} recordings looked at",
            seen.held.len(),
            seen.handled
        );
        assert!(killed > 3 && twins > 0, "{killed} kills, {twins} twins");
        assert!(seen.held.len() > 10 && seen.handled > 10, "too little was there to look at");
        site.assert_holds(|_| true);
        site.rcbs(&["audit", "--set", "totalRcbsInstances=4", "--set", "rcbsInstanceId=0"])
            .exits(0)
            .says("Complete: 240 held, 0 accepted as lost");
        site.rcbs(&["check"]).exits(0);
        // Nothing was set aside, as nothing was ever in the place of something else.
        assert_eq!(site.old().keys().collect::<Vec<_>>(), Vec::<&String>::new());
        let opened = opened(&site);
        for one in &all {
            for (_, key) in &one.media {
                let (times, most) = (opened[key], 1 + seen.kills.get(&one.owner).unwrap_or(&0));
                assert!(times <= most, "{key} was opened {times} times, after {most} starts");
                let held = seen.held.get(key).copied().unwrap_or(times);
                assert_eq!(times, held, "{key} was held, and opened once more");
            }
        }
        // Each has removed what it had left unfinished, and a rerun fetches nothing.
        site.sim.clear_requests();
        for id in 0..INSTANCES {
            instance(&site, id, INSTANCES, &[]).exits(0);
            assert!(files_below(&own(&site, id).join("staged")).is_empty());
        }
        assert_eq!(site.sim.media_opened(), Vec::<String>::new());
    }
}
