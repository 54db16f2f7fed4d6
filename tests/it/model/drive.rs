//! Plays a case: runs with trouble, each looked at; the cure; once more; the other instances.
//!
//! **Invariant**: no run goes on for more than two minutes, and none that was started is left behind.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::case::{Case, Kill};
use super::check::{Expected, Ran};
use crate::harness::{Site, files_below};

/// How long a run may take.
const LONGEST: Duration = Duration::from_secs(120);
/// How many runs may be needed to complete what is cured.
const CURING_RUNS: usize = 3;

/// What was done, in numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) cases: u64,
    pub(super) runs: u64,
    pub(super) kills: u64,
    /// How often a planned fault struck.
    pub(super) faults: u64,
}

impl Figures {
    pub(super) fn add(&mut self, more: Figures) {
        self.cases += more.cases;
        self.runs += more.runs;
        self.kills += more.kills;
        self.faults += more.faults;
    }
}

/// Plays a case; says which invariant is broken.
pub(super) fn play(case: &Case, figures: &mut Figures) -> Result<(), String> {
    figures.cases += 1;
    let site = case.site();
    let expected = Expected::of(case, &site);
    let played = troubled(case, &site, &expected, figures);
    figures.faults += site.sim.faults().iter().map(|(_, struck)| struck).sum::<u64>();
    played?;
    let is_hidden = !site.sim.hidden().is_empty();
    site.sim.clear_faults();
    cured(case, &site, &expected, is_hidden, figures)?;
    let mut shares = vec![expected.held_in(&site.target(), case.instance)?];
    for other in (0..case.instances).filter(|other| *other != case.instance) {
        let target = site.folder.path().join(format!("target-{other}"));
        let args = instance(case, other, &["--set", &format!("targetDir=./target-{other}")]);
        let ran = run(&site, &args, Kill::Never, &mut || Ok(()), figures)?;
        ran.exits(&[0])?;
        shares.push(expected.held_in(&target, other)?);
    }
    expected.shares_are_disjoint_and_complete(&shares)
}

/// The runs before the cure.
fn troubled(
    case: &Case,
    site: &Site,
    expected: &Expected,
    figures: &mut Figures,
) -> Result<(), String> {
    for (number, kill) in case.runs.iter().enumerate() {
        let mut look = || expected.names_are_whole(&site.target(), case.instance);
        let ran = run(site, &instance(case, case.instance, &[]), *kill, &mut look, figures)
            .and_then(|ran| {
                look()?;
                expected.watermark_is_kept(site, case.instance)?;
                expected.exit_code_is_true(case, site, &ran)
            });
        ran.map_err(|broken| format!("after run {} ({kill}): {broken}", number + 1))?;
    }
    Ok(())
}

/// Runs until all is held, and once more.
fn cured(
    case: &Case,
    site: &Site,
    expected: &Expected,
    is_hidden: bool,
    figures: &mut Figures,
) -> Result<(), String> {
    // What a server kept to itself is found by whoever lists it all again.
    let more: &[&str] = if is_hidden { &["--set", "skipLastRecordingCheck=true"] } else { &[] };
    let args = instance(case, case.instance, more);
    for number in 1..=CURING_RUNS {
        let ran = run(site, &args, Kill::Never, &mut || Ok(()), figures)?;
        let held = expected
            .names_are_whole(&site.target(), case.instance)
            .and_then(|()| expected.watermark_is_kept(site, case.instance));
        held.map_err(|broken| format!("after curing run {number}: {broken}\n{ran}"))?;
        if ran.code == Some(0) {
            break;
        }
        if number == CURING_RUNS {
            return Err(format!("it is not complete after {number} runs without faults\n{ran}"));
        }
    }
    expected.all_is_held(&site.target(), case.instance)?;
    let before = files_below(&site.target().join(".rcbs/staged"));
    if !before.is_empty() {
        return Err(format!("left in the staging folder: {:?}", before.keys()));
    }
    let tree = site.tree();
    site.sim.clear_requests();
    let again = run(site, &args, Kill::Never, &mut || Ok(()), figures)?;
    again.exits(&[0])?;
    let opened = site.sim.media_opened();
    if !opened.is_empty() {
        return Err(format!("a rerun after success opened {opened:?}\n{again}"));
    }
    if site.tree() != tree {
        return Err(format!("a rerun after success changed the tree\n{again}"));
    }
    Ok(())
}

/// The arguments of a run of this instance.
fn instance(case: &Case, id: u64, more: &[&str]) -> Vec<String> {
    let mut args = vec!["--log-format".to_owned(), "json".to_owned()];
    if case.instances > 1 {
        let total = format!("totalRcbsInstances={}", case.instances);
        args.extend([
            "--set".to_owned(),
            total,
            "--set".to_owned(),
            format!("rcbsInstanceId={id}"),
        ]);
    }
    args.extend(more.iter().map(|arg| (*arg).to_owned()));
    args
}

/// Runs the program, and ends it when the time has come; `look` looks at the tree once meanwhile.
fn run(
    site: &Site,
    args: &[String],
    kill: Kill,
    look: &mut dyn FnMut() -> Result<(), String>,
    figures: &mut Figures,
) -> Result<Ran, String> {
    figures.runs += 1;
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let requests_before = site.sim.asked();
    let named_before = named(site);
    let mut command = site.command(&args);
    let started = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (ended, has_ended) = channel::<()>();
    let read = |mut from: Box<dyn Read + Send>, ended: std::sync::mpsc::Sender<()>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = from.read_to_end(&mut bytes);
            drop(ended);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = read(Box::new(child.stdout.take().unwrap()), ended.clone());
    let stderr = read(Box::new(child.stderr.take().unwrap()), ended);

    let is_time = || match kill {
        // In the middle of most runs.
        Kill::Never => site.sim.asked() - requests_before >= 12,
        Kill::AtRequest(n) | Kill::TermAtRequest(n) => site.sim.asked() - requests_before >= n,
        Kill::AtStaged(n) => staged(site) >= n,
        Kill::AtNamed(n) => named(site) >= named_before + n,
        Kill::After(time) => started.elapsed() >= time,
    };
    let (mut is_past, mut looked, mut is_killed) = (false, Ok(()), false);
    let overdue = loop {
        if started.elapsed() > LONGEST {
            child.kill().unwrap();
            break true;
        }
        if !is_past && is_time() {
            is_past = true;
            match kill {
                Kill::Never => looked = look(),
                Kill::TermAtRequest(_) => {
                    let pid = child.id().to_string();
                    // It may have ended by itself since.
                    let _ = Command::new("kill").args(["-TERM", &pid]).status();
                }
                _ => child.kill().unwrap(),
            }
            is_killed = kill != Kill::Never;
        }
        let wait = match kill {
            Kill::After(time) if !is_past => time.saturating_sub(started.elapsed()),
            _ if is_past => Duration::from_millis(50),
            _ => Duration::from_micros(300),
        };
        if has_ended.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
            break false;
        }
    };
    let status = child.wait().unwrap();
    let ran = Ran {
        code: status.code(),
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
        is_terminated: is_killed && matches!(kill, Kill::TermAtRequest(_)),
        is_killed: is_killed && !matches!(kill, Kill::TermAtRequest(_)),
    };
    figures.kills += u64::from(ran.is_killed || ran.is_terminated);
    looked.map_err(|broken| format!("while it ran: {broken}"))?;
    if overdue {
        return Err(format!("it did not end within {LONGEST:?}\n{ran}"));
    }
    Ok(ran)
}

fn staged(site: &Site) -> usize {
    std::fs::read_dir(site.target().join(".rcbs/staged")).map_or(0, Iterator::count)
}

/// How many files have their final names.
fn named(site: &Site) -> usize {
    let mut folders = vec![site.target()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && entry.file_name() != ".rcbs" => {
                    folders.push(entry.path());
                }
                Ok(kind) if kind.is_file() => files += 1,
                _ => {}
            }
        }
    }
    files
}
