//! Targets that go away in the middle of a run, or that others want.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcbs_sim::{Action, Fault, Hits, Media, Recording, Route};

use crate::disk::{on, on_staged, small};
use crate::harness::{BUCKET, HOUR_MS, REGION, Run, Site, files_below, now_ms};
use crate::mounted::{Mounted, ext4_image};
use crate::sound::{Reference, renew};
use crate::strace::{Point, Strace};

/// Starts a run, does something to its target once some media are held and others are on their
/// way, and gives the run.
fn meanwhile(site: &mut Site, command: impl FnOnce(&Site) -> Command, act: impl FnOnce()) -> Run {
    let wait = Action::Delay(Duration::from_secs(1));
    site.sim.clear_requests();
    site.sim.add_fault(Fault::on(Route::S3, wait).hits(Hits::Nth(9)));
    let command = command(site);
    let run = std::thread::scope(|scope| {
        let run = scope.spawn(|| Run::of(command, "rcbs, disturbed".to_owned()));
        assert!(site.sim.wait_for(|request| !request.faults.is_empty()));
        act();
        run.join().unwrap()
    });
    site.sim.clear_faults();
    run
}

/// A site of which a run comes to its ninth media file when the others are held.
fn slow() -> (Site, Reference) {
    let mut site = Site::of(20);
    site.properties += REGION;
    site.properties += "maxConnections=2\n";
    let reference = Reference::of(&mut site);
    (site, reference)
}

fn rcbs(site: &Site) -> Command {
    site.command(&[])
}

#[test]
fn a_disk_that_turns_read_only_ends_the_run_and_the_next_one_completes_it() {
    let (mut site, reference) = slow();
    let image = site.folder.path().join("image");
    if ext4_image(&image).is_none() {
        return;
    }
    let Some(disk) = Mounted::ext4(&image, &site.target()) else { return };
    // ext4 keeps a folder of its own, which is no recording.
    fs::remove_dir(site.target().join("lost+found")).unwrap();
    let run = meanwhile(&mut site, rcbs, || disk.break_down());
    run.exits(6).says("error: cannot ");
    assert!(!site.tree().is_empty(), "{run}");
    // What had not reached the disk by then is lost.
    drop(disk);
    let Some(disk) = Mounted::ext4(&image, &site.target()) else { return };
    reference.assert_sound_and_completed(&site, &run);
    drop(disk);
}

#[test]
fn what_had_reached_the_disk_when_the_power_went_is_whole_and_the_next_run_completes_it() {
    let (mut site, reference) = small();
    let Some(strace) = Strace::find() else { return };
    let points = on_staged("rename:signal=KILL", 8)
        .skip(1)
        .chain(on_staged("fsync:signal=KILL", 3))
        .chain([on("fsync:signal=KILL", &[""])])
        // Nobody is killed: the power goes just after the end of a run.
        .chain([Point { paths: Vec::new(), inject: "mkdir:error=EEXIST:when=9999".to_owned() }]);
    for point in points {
        let [image, copy] = ["image", "copy"].map(|name| site.folder.path().join(name));
        if ext4_image(&image).is_none() {
            return;
        }
        let Some(disk) = Mounted::ext4(&image, &site.target()) else { return };
        fs::remove_dir(site.target().join("lost+found")).unwrap();
        let (run, _) = strace.disturb(&site, &point);
        // The device, without what the system still keeps in memory.
        fs::copy(&image, &copy).unwrap();
        drop(disk);
        let Some(disk) = Mounted::ext4(&copy, &site.target()) else { return };
        if run.code == 0 {
            assert!(site.tree() == reference.tree, "a run that said so does not hold all\n{run}");
        }
        reference.assert_sound_and_completed(&site, &run);
        drop(disk);
        renew(&mut site);
    }
}

#[test]
fn a_network_folder_that_disappears_ends_the_run_and_nothing_is_written_below_it() {
    let mut site = Site::of(20);
    site.properties += REGION;
    site.properties += "maxConnections=2\n";
    let big = Media::voice("big.mp3.bin", BUCKET, 200_000);
    site.sim.edit(|world| world.add(Recording::new("BIG", now_ms() - HOUR_MS).with(big)));
    let reference = Reference::of(&mut site);
    site.properties += "stateDir=state\n";
    let (disk, target) = (site.folder.path().join("disk"), site.target());
    let Some(memory) = Mounted::tmpfs(&disk, "size=20m") else { return };
    let Some(shown) = Mounted::bind(&disk, &target) else { return };
    // All but the big one is held before; then that comes slowly.
    let forbidden = Action::s3_error(403, "AccessDenied");
    site.sim.add_fault(Fault::on(Route::S3, forbidden).containing("big.mp3.bin"));
    site.rcbs(&[]).exits(3);
    site.sim.clear_faults();
    let slow = Action::Trickle(80_000);
    site.sim.add_fault(Fault::on(Route::S3, slow).containing("big.mp3.bin"));
    let run = std::thread::scope(|scope| {
        let run = scope.spawn(|| site.rcbs(&[]));
        let (started, staged) = (Instant::now(), disk.join(".rcbs/staged"));
        while !files_below(&staged).values().any(|bytes| bytes.len() > 50_000) {
            assert!(started.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
        // Lazily unmounted: what is open stays, and every path leads to the folder below. So the
        // big one comes to its end, and looks for the place of its name.
        drop(shown);
        run.join().unwrap()
    });
    site.sim.clear_faults();
    run.exits(6);
    assert_eq!(files_below(&target).keys().collect::<Vec<_>>(), [""; 0], "{run}");
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0, "{run}");
    site.rcbs(&[]).exits(6).says("is the disk mounted?");

    let Some(shown) = Mounted::bind(&disk, &target) else { return };
    reference.assert_sound_and_completed(&site, &run);
    drop((shown, memory));
}

#[test]
fn a_target_that_is_moved_away_ends_the_run_and_is_completed_where_it_is_put_back() {
    let (mut site, reference) = slow();
    let (target, gone) = (site.target(), site.folder.path().join("gone"));
    let run = meanwhile(&mut site, rcbs, || fs::rename(&target, &gone).unwrap());
    run.exits(6).says("No such file or directory");
    assert!(!target.exists(), "it was made anew\n{run}");
    fs::rename(&gone, &target).unwrap();
    reference.assert_sound_and_completed(&site, &run);
}

#[test]
fn permissions_that_are_taken_away_end_the_run_and_the_next_one_completes_it() {
    const NOBODY: u32 = 65_534;
    let (mut site, reference) = slow();
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| {
        use std::os::unix::fs::MetadataExt;
        own.uid() == 0
    });
    let (folder, target) = (site.folder.path().to_owned(), site.target());
    fs::create_dir(&target).unwrap();
    let program = folder.join("rcbs");
    if is_root {
        // Nothing is forbidden to root, so somebody else runs a program that is his to read.
        fs::copy(env!("CARGO_BIN_EXE_rcbs"), &program).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(&target, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let command = |site: &Site| {
        let inner = site.command(&[]);
        if !is_root {
            return inner;
        }
        let mut outer = Command::new(&program);
        outer.uid(NOBODY).gid(NOBODY).args(inner.get_args()).env_clear().current_dir(&folder);
        outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        outer
    };
    let staged = target.join(".rcbs/staged");
    let chmod = |mode| fs::set_permissions(&staged, fs::Permissions::from_mode(mode)).unwrap();
    let run = meanwhile(&mut site, command, || chmod(0o500));
    run.exits(6).says("Permission denied");
    run.says("hint: let the user of this run write there, then run again");
    chmod(0o700);
    // As root, who may do everything: only what is held counts now.
    reference.assert_sound_and_completed(&site, &run);
}

/// Ends what a test has started, if it failed before that ended by itself.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn of_five_runs_that_start_together_one_does_the_work_and_the_others_end_at_once() {
    let (mut site, reference) = small();
    for _ in 0..3 {
        site.sim.clear_requests();
        // A full pipe holds the winner up where it prints its last line, so that all have started
        // before it ends.
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut writer, &[b'.'; 65_536]).unwrap();
        // Making a command writes the configuration, which nobody may be reading by then.
        let mut commands: Vec<Command> = (0..5).map(|_| site.command(&[])).collect();
        for command in &mut commands {
            command.stdout(writer.try_clone().unwrap()).stderr(Stdio::null());
        }
        drop(writer);
        let start = |command: &mut Command| Started(command.spawn().unwrap());
        let mut runs: Vec<Started> = commands.iter_mut().map(start).collect();
        drop(commands);
        let started = Instant::now();
        let mut codes = vec![None; runs.len()];
        while codes.iter().flatten().count() < 4 {
            assert!(started.elapsed() < Duration::from_secs(60), "{codes:?}");
            for (run, code) in runs.iter_mut().zip(&mut codes) {
                *code = run.0.try_wait().unwrap().map(|status| status.code().unwrap());
            }
            std::thread::yield_now();
        }
        let drained = std::thread::spawn(move || std::io::read_to_string(&mut reader).unwrap());
        let codes: Vec<_> = runs.iter_mut().map(|run| run.0.wait().unwrap().code()).collect();
        assert!(drained.join().unwrap().contains("Finished handling current batch"));
        assert_eq!(codes.iter().filter(|code| **code == Some(5)).count(), 4, "{codes:?}");
        assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{codes:?}");
        assert!(site.tree() == reference.tree);
        let media = reference.tree.keys().filter(|path| path.ends_with(".bin")).count();
        assert_eq!(site.sim.media_opened().len(), media, "the others fetched something");
        renew(&mut site);
    }
}

#[test]
fn a_lock_file_that_a_dead_process_left_is_harmless() {
    let (mut site, reference) = small();
    let text = b"process 1 on a machine that is gone since 2018-02-19T13:30:14Z\n";
    for left in [&text[..], b"", &[0xff; 70_000]] {
        fs::create_dir_all(site.target().join(".rcbs")).unwrap();
        fs::write(site.target().join(".rcbs/lock"), left).unwrap();
        site.rcbs(&[]).exits(0);
        assert!(site.tree() == reference.tree);
        let lock = fs::read_to_string(site.target().join(".rcbs/lock")).unwrap();
        assert!(lock.starts_with("process ") && lock.lines().count() == 1, "{lock}");
        renew(&mut site);
    }
}
