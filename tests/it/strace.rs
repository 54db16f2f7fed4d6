//! The program under `strace`, which writes down its system calls, makes them fail, or ends it there.
//!
//! Given a site and what `strace` shall do, gives the run and its calls. **Invariant**: where there
//! is no `strace`, or it may not trace, a test says so and does nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Run, Site};

/// A `strace` that works here.
pub(crate) struct Strace(PathBuf);

/// One system call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// What stands between its brackets.
    pub(crate) args: String,
    /// When it was entered, counted in lines of the trace.
    pub(crate) begun: usize,
    /// When it came back; a call that never did has none.
    pub(crate) ended: Option<usize>,
    pub(crate) has_failed: bool,
}

impl Strace {
    /// Finds it; none, with a word, where it cannot be used.
    pub(crate) fn find() -> Option<Strace> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|folder| folder.join("strace"));
        let Some(strace) = found.into_iter().find(|path| path.is_file()) else {
            eprintln!("skipped: there is no strace; scripts/prepare installs it");
            return None;
        };
        let mut trial = Command::new(&strace);
        trial.args(["-f", "-o", "/dev/null", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
        if !trial.status().is_ok_and(|status| status.success()) {
            eprintln!("skipped: tracing is not permitted here");
            return None;
        }
        Some(Strace(strace))
    }

    /// Runs the program under it, with options for strace.
    fn run(&self, site: &Site, options: &[&str]) -> Run {
        let inner = site.command(&[]);
        let mut outer = Command::new(&self.0);
        outer.arg("-f").args(options);
        outer.arg("--").arg(inner.get_program()).args(inner.get_args()).env_clear();
        outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        outer.current_dir(inner.get_current_dir().unwrap());
        Run::of(outer, format!("strace {} rcbs", options.join(" ")))
    }

    /// Runs the program, with more options for strace, and gives its calls of these names, with all
    /// that it wrote.
    pub(crate) fn trace(&self, site: &Site, names: &str, more: &[&str]) -> (Run, Vec<Call>) {
        let file = site.folder.path().join("trace");
        let (path, names) = (file.to_str().unwrap(), format!("trace={names}"));
        let options =
            ["--seccomp-bpf", "-y", "-s", "70000", "-o", path, "-e", &names, "-e", "signal=none"];
        let run = self.run(site, &[&options[..], more].concat());
        let text = std::fs::read(&file).unwrap();
        (run, calls(&String::from_utf8_lossy(&text)))
    }
}

/// A disturbance: a call that is about one of these paths below the target, or with none the target itself, does not come through.
pub(crate) struct Point {
    pub(crate) paths: Vec<String>,
    /// As `strace` has it: `fsync:error=EIO`, `rename:signal=KILL`.
    pub(crate) inject: String,
}

impl Strace {
    /// Runs the program with a disturbance; says how many calls were struck by it.
    pub(crate) fn disturb(&self, site: &Site, point: &Point) -> (Run, usize) {
        let file = site.folder.path().join("trace");
        let inject = format!("inject={}", point.inject);
        let names = format!("trace={}", point.inject.split(':').next().unwrap());
        let mut options: Vec<String> =
            ["-o", file.to_str().unwrap(), "-e", &names, "-e", &inject].map(str::to_owned).to_vec();
        // Quicker, but then most signals are lost.
        if !inject.contains("signal=") {
            options.push("--seccomp-bpf".to_owned());
        }
        for path in &point.paths {
            // What is below nothing has a slash behind it.
            let path: PathBuf = site.target().join(path).components().collect();
            options.extend(["-P".to_owned(), path.display().to_string()]);
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let run = self.run(site, &options);
        let trace = std::fs::read(&file).unwrap();
        let trace = String::from_utf8_lossy(&trace);
        let is_struck = |line: &&str| line.contains("(INJECTED)") || line.contains("+++ killed by");
        (run, trace.lines().filter(is_struck).count())
    }
}

/// Reads a trace: a line for each call, or two where another thread came between.
pub(crate) fn calls(trace: &str) -> Vec<Call> {
    let mut calls: Vec<(&str, Call)> = Vec::new();
    for (at, line) in trace.lines().enumerate() {
        let Some((thread, text)) = line.trim_start().split_once(char::is_whitespace) else {
            continue;
        };
        let text = text.trim_start();
        if let Some(rest) = text.strip_prefix("<... ") {
            let (name, rest) = rest.split_once(" resumed>").unwrap();
            // A thread may end with its process before its call comes back.
            let Some((args, has_failed)) = result(rest) else { continue };
            let is_it = |one: &&mut (&str, Call)| {
                one.0 == thread && one.1.name == name && one.1.ended.is_none()
            };
            let (_, call) = calls.iter_mut().rev().find(is_it).expect(line);
            call.args += args;
            (call.ended, call.has_failed) = (Some(at), has_failed);
        } else if let Some((name, rest)) = text.split_once('(').filter(|(name, _)| is_name(name)) {
            let (args, ended, has_failed) = match result(rest) {
                Some((args, has_failed)) => (args, Some(at), has_failed),
                None => (rest.trim_end_matches("<unfinished ...>").trim_end(), None, false),
            };
            let (name, args) = (name.to_owned(), args.to_owned());
            calls.push((thread, Call { name, args, begun: at, ended, has_failed }));
        }
    }
    calls.into_iter().map(|(_, call)| call).collect()
}

fn is_name(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The arguments that stand before a result, and whether that is a failure; none without a result.
fn result(text: &str) -> Option<(&str, bool)> {
    let (before, result) = text.rsplit_once(" = ")?;
    let args = before.trim_end().strip_suffix(')')?;
    (!result.starts_with('?')).then_some((args, result.starts_with('-')))
}

impl Call {
    /// The paths it is about: that of the descriptor it names, or those it names itself.
    pub(crate) fn paths(&self) -> Vec<&Path> {
        let quoted: Vec<&str> = self.args.split('"').skip(1).step_by(2).collect();
        let named = |name: &str| {
            ["open", "rename", "unlink", "mkdir"].iter().any(|start| name.starts_with(start))
        };
        if named(&self.name) {
            return quoted.into_iter().map(Path::new).collect();
        }
        let descriptor = self.args.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        descriptor.into_iter().map(|(path, _)| Path::new(path)).collect()
    }

    /// The text it writes, escaped where it is not printable.
    pub(crate) fn text(&self) -> &str {
        let text = self.args.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"'));
        text.map_or("", |(text, _)| text)
    }
}
