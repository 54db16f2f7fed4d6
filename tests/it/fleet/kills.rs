//! Four instances side by side in one target, killed at any moment.
#![cfg(unix)]

use std::io::Read;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use rcbs_sim::world::calls::Dice;
use xxhash_rust::xxh3::xxh3_64;

use super::{args, instance, numbers, opened, shared};
use crate::harness::{Site, files_below};

const INSTANCES: u64 = 4;
const KILLS: usize = 12;
/// How long all of it may take.
const LONGEST: Duration = Duration::from_secs(240);

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

#[test]
fn four_instances_in_one_target_that_are_killed_at_any_moment_end_complete() {
    for seed in [1, 2] {
        let mut site = shared(240);
        site.properties += "shardBy=PT8H\nmaxConnections=4\n";
        let mut dice = Dice::new(seed);
        let (ended, has_ended) = channel();
        let mut running: Vec<Option<Child>> =
            (0..INSTANCES).map(|id| Some(start(&site, id, &ended))).collect();
        let (mut kills, mut killed) = (vec![0; INSTANCES as usize], 0);
        let mut kill_at = 30 + dice.below(60);
        let started = Instant::now();
        while running.iter().any(Option::is_some) {
            assert!(started.elapsed() < LONGEST, "they do not come to an end");
            if killed < KILLS && site.sim.asked() >= kill_at {
                let id = dice.below(INSTANCES) as usize;
                if let Some(child) = &mut running[id] {
                    child.kill().unwrap();
                    kills[id] += 1;
                    killed += 1;
                }
                kill_at = site.sim.asked() + 5 + dice.below(60);
            }
            let Ok((id, said)) = has_ended.recv_timeout(Duration::from_millis(1)) else { continue };
            let status = running[id as usize].take().unwrap().wait().unwrap();
            match status.code() {
                Some(0) => {}
                // A run that was killed is started again, as an engine does.
                None => running[id as usize] = Some(start(&site, id, &ended)),
                Some(code) => panic!("instance {id} ended with {code}\n{said}"),
            }
        }
        assert!(killed > 3, "{killed} kills are too few to tell");
        site.assert_holds(|_| true);
        site.rcbs(&["audit", "--set", "totalRcbsInstances=4", "--set", "rcbsInstanceId=0"])
            .exits(0)
            .says("Complete: 240 held, 0 accepted as lost");
        site.rcbs(&["check"]).exits(0);
        for (key, times) in opened(&site) {
            let world = site.sim.world();
            let of = |one: &rcbs_sim::Recording| {
                world.listed_media(one).iter().any(|m| format!("{}/{}", m.bucket, m.key) == key)
            };
            let recording = world.recordings().find(|one| of(one)).unwrap();
            let owner = xxh3_64(recording.id.as_bytes()) % INSTANCES;
            let most = 1 + kills[owner as usize];
            assert!(times <= most, "{key} was opened {times} times, after {most} starts");
        }
        // Each has removed what it had left unfinished, and a rerun fetches nothing.
        site.sim.clear_requests();
        for id in 0..INSTANCES {
            instance(&site, id, INSTANCES, &[]).exits(0);
            let staged = site.target().join(format!(".rcbs/instances/{id}/staged"));
            assert!(files_below(&staged).is_empty());
        }
        assert_eq!(site.sim.media_opened(), Vec::<String>::new());
    }
}
