//! Where a guide is followed: the folder it speaks of, all other places, and a shell.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcbs_sim::{Form, Media, Recording, Sim, WorldSpec};
use tempfile::TempDir;

use crate::harness::{BUCKET, DAY_MS, REGION, Run, Site, now_ms};
use crate::pages::{self, Block};

/// The pages that are followed, or whose commands `schedule.rs` runs.
pub(super) const FOLLOWED: [&str; 11] = [
    "README.md",
    "docs/audit.md",
    "docs/fleet.md",
    "docs/from-java.md",
    "docs/install.md",
    "docs/keys.md",
    "docs/planning.md",
    "docs/proxies.md",
    "docs/recovery.md",
    "docs/schedule.md",
    "docs/window.md",
];

/// Folders of the pages that are none of this machine's.
const ELSEWHERE: [&str; 8] =
    ["/etc/", "/mnt/", "/opt/", "/secure/", "/srv/", "/usr/local/", "/usr/share/", "/var/"];

/// The recording that all pages speak of, and when it began: 2018-02-12 19:03:11.
pub(super) const CALL: &str = "01F62DGIBGD8369P7GC362LAES00000G";
pub(super) const CALL_MS: i64 = 1_518_462_191_000;

/// One who reads a guide and types.
pub(super) struct Desk {
    pub(super) site: Site,
    /// What the page calls the folder of the configuration.
    home: &'static str,
    elsewhere: TempDir,
    /// Words of the page that are others here, such as hosts.
    pub(super) words: Vec<(&'static str, String)>,
}

/// A section of a guide.
pub(super) struct Section {
    pub(super) heading: &'static str,
    /// What happens before it is read.
    pub(super) before: fn(&mut Desk),
    /// What must be true behind it, given all that was said.
    pub(super) after: fn(&Desk, &str),
}

/// Nothing happens before.
pub(super) fn nothing(_: &mut Desk) {}

/// Nothing is to be looked at but the exit codes.
pub(super) fn codes(_: &Desk, _: &str) {}

impl Desk {
    /// A cloud with recordings of the last days, and of two days of 2018, in all forms.
    pub(super) fn new(home: &'static str) -> Desk {
        let mut site = Site::over(Sim::of(WorldSpec {
            from_ms: now_ms() - 5 * DAY_MS / 2,
            to_ms: now_ms() - 5_000,
            recordings: 12,
            forms: vec![Form::Attached, Form::AttachedBer, Form::Detached],
            ..WorldSpec::default()
        }));
        site.properties += REGION;
        let voice = Media::voice(&format!("{CALL}_2018-02-12_19-03-11.mp3"), BUCKET, 400);
        let mut screen = Media::voice("021L6BI58K8FH7R5USI402LAES00000A.mp4", BUCKET, 900);
        screen.mime = Some("video/mp4".to_owned());
        let second = Media::voice("021L6BI58K8FH7R5USI402LAES00000A.mp3", BUCKET, 300);
        site.sim.edit(|world| {
            world.add(Recording::new(CALL, CALL_MS).with(voice));
            let other = Recording::new("021L6BI58K8FH7R5USI402LAES00000A", CALL_MS + DAY_MS);
            world.add(other.with(screen).with(second));
        });
        let elsewhere = tempfile::tempdir().unwrap();
        Desk { site, home, elsewhere, words: Vec::new() }
    }

    /// Where a path of the page is on this machine; the folder above it is made.
    pub(super) fn path(&self, named: &str) -> PathBuf {
        let path = match named.strip_prefix('/') {
            Some(below) => self.elsewhere.path().join(below),
            None => self.site.folder.path().join(named),
        };
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// Makes a folder that the page takes for granted.
    pub(super) fn folder(&self, named: &str) -> PathBuf {
        let path = self.path(named);
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub(super) fn write(&self, named: &str, text: &str) {
        fs::write(self.path(named), text).unwrap();
    }

    /// Removes a folder of the page, if it is there.
    pub(super) fn remove(&self, named: &str) {
        let path = self.path(named);
        if path.exists() {
            fs::remove_dir_all(path).unwrap();
        }
    }

    /// A text of the page with the places and words of this machine.
    pub(super) fn placed(&self, text: &str) -> String {
        let (mut placed, mut rest, mut before) = (String::new(), text, ' ');
        while let Some(c) = rest.chars().next() {
            let begins = " \t\n'\"=,>(:".contains(before);
            let home = rest.strip_prefix(self.home);
            let home = home.filter(|behind| !behind.starts_with(|c: char| c.is_alphanumeric()));
            if let Some(behind) = home.filter(|_| begins) {
                placed += &self.site.folder.path().display().to_string();
                (rest, before) = (behind, 'x');
                continue;
            }
            if begins && ELSEWHERE.iter().any(|folder| rest.starts_with(folder)) {
                placed += &self.elsewhere.path().display().to_string();
            }
            placed.push(c);
            (rest, before) = (&rest[c.len_utf8()..], c);
        }
        let words = self.words.iter();
        words.fold(placed, |text, (theirs, ours)| text.replace(theirs, ours))
    }

    /// Runs a script in the folder of the configuration, as the page's reader would.
    pub(super) fn sh(&self, script: &str) -> Run {
        // Writes the configuration.
        drop(self.site.command(&[]));
        let programs = Path::new(env!("CARGO_BIN_EXE_rcbs")).parent().unwrap();
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &self.placed(script)]).current_dir(self.site.folder.path()).env_clear();
        shell.envs(self.site.sim.environment());
        shell.envs(
            self.site.environment.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))),
        );
        shell.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
        shell.env("HOME", self.folder("/home")).env("EDITOR", self.path("/usr/local/bin/editor"));
        Run::of(shell, script.to_owned())
    }

    /// Types what stands under one heading; gives all that was said.
    #[track_caller]
    fn read(&mut self, path: &str, blocks: &[Block]) -> String {
        let mut said = String::new();
        let mut script = String::new();
        for block in blocks {
            match block.kind.as_str() {
                "properties" => {
                    said += &self.typed(&mut script);
                    self.site.properties += &self.placed(&block.text);
                }
                "sh" => {
                    for command in block.commands() {
                        let (line, text, exit) = (command.line, &command.text, command.exit);
                        script += &format!(
                            "{text}\ncode=$?; if [ $code != {exit} ]; then \
                             echo \"{path}:{line}: exit $code instead of {exit}\" >&2; exit 99; fi\n"
                        );
                    }
                }
                _ => {}
            }
        }
        said + &self.typed(&mut script)
    }

    #[track_caller]
    fn typed(&self, script: &mut String) -> String {
        let script = std::mem::take(script);
        if script.is_empty() {
            return String::new();
        }
        let run = self.sh(&script);
        run.exits(0);
        format!("{}{}", run.stdout, run.stderr)
    }

    /// All recordings that are in the target, with `is_expected` among those of the cloud.
    #[track_caller]
    pub(super) fn holds_all(&self) {
        self.site.assert_holds(|_| true);
    }
}

/// Follows a page, section by section; those in which nothing is typed are left out.
#[track_caller]
pub(super) fn follow(path: &str, desk: &mut Desk, sections: &[Section]) {
    assert!(FOLLOWED.contains(&path), "{path} is not in the list of those that are followed");
    let mut parts: Vec<(String, Vec<Block>)> = Vec::new();
    for block in pages::blocks(&pages::text(path)) {
        match parts.last_mut() {
            Some((heading, blocks)) if *heading == block.heading => blocks.push(block),
            _ => parts.push((block.heading.clone(), vec![block])),
        }
    }
    parts.retain(|(_, blocks)| blocks.iter().any(|block| block.kind == "sh"));
    let headings: Vec<_> = parts.iter().map(|(heading, _)| heading.as_str()).collect();
    let known: Vec<_> = sections.iter().map(|section| section.heading).collect();
    assert_eq!(headings, known, "the sections of {path} in which something is typed");
    for ((_, blocks), section) in parts.iter().zip(sections) {
        (section.before)(desk);
        let said = desk.read(path, blocks);
        (section.after)(desk, &said);
    }
}
