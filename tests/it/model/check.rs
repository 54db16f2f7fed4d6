//! What must be true after a run, by what stands on the disk and what the program said.
//!
//! **Invariant**: nothing is believed that could be looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::case::Case;
use crate::harness::{Site, files_below};

/// What a run of the program came to.
pub(super) struct Ran {
    /// None if it was killed.
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) is_killed: bool,
    pub(super) is_terminated: bool,
}

/// What a backup of a world must hold.
pub(super) struct Expected {
    recordings: Vec<Owed>,
    /// By `recording/file`: all that may stand there, and nothing else.
    files: BTreeMap<String, Content>,
    instances: u64,
}

struct Owed {
    id: String,
    start_ms: i64,
    /// Its media files, which are their names too.
    media: Vec<String>,
}

enum Content {
    Media(Vec<Vec<u8>>),
    Metadata(Value),
}

impl Expected {
    pub(super) fn of(case: &Case, site: &Site) -> Expected {
        let world = site.sim.world();
        let is_replaced = case.plan.to_string().contains(" replaced");
        let mut expected =
            Expected { recordings: Vec::new(), files: BTreeMap::new(), instances: case.instances };
        for row in world.rows_between(0, i64::MAX) {
            let recording = world.recording(row);
            let (id, start_ms) = (recording.id.clone(), recording.start_ms);
            let mut owed = Owed { id: id.clone(), start_ms, media: Vec::new() };
            for media in &recording.media {
                let mut accepted =
                    vec![world.expected_file(&media.bucket, &media.key).expect("it has a file")];
                accepted
                    .extend(world.replaced_file(&media.bucket, &media.key).filter(|_| is_replaced));
                let place = format!("{id}/{}", media.media_id);
                expected.files.insert(place, Content::Media(accepted));
                owed.media.push(media.media_id.clone());
            }
            let metadata = serde_json::from_str(&world.json(row)).expect("a record is JSON");
            let place = format!("{id}/{id}_metadata.json");
            expected.files.insert(place, Content::Metadata(metadata));
            expected.recordings.push(owed);
        }
        expected
    }

    fn owner(&self, id: &str) -> u64 {
        xxh3_64(id.as_bytes()) % self.instances
    }

    /// Every file under a final name is what the cloud has, whole, and of this share.
    pub(super) fn names_are_whole(&self, target: &Path, instance: u64) -> Result<(), String> {
        self.held_in(target, instance).map(drop)
    }

    /// Gives `recording/file` of all that is held.
    pub(super) fn held_in(&self, target: &Path, instance: u64) -> Result<BTreeSet<String>, String> {
        let mut held = BTreeSet::new();
        for (path, bytes) in files_below(target) {
            if path.starts_with(".rcbs/") || path == "last_recording_endtime.txt" {
                continue;
            }
            let mut parts = path.rsplitn(3, '/');
            let (file, id) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
            if self.owner(id) != instance {
                return Err(format!("{path} belongs to another instance"));
            }
            // What did not belong together may be kept beside; it is no media file that is held.
            if let Some(name) = file.strip_suffix(".raw")
                && self.files.contains_key(&format!("{id}/{name}"))
            {
                continue;
            }
            let place = format!("{id}/{file}");
            match self.files.get(&place) {
                None => return Err(format!("{path} is nothing that the cloud has")),
                Some(Content::Media(accepted)) if accepted.contains(&bytes) => {}
                Some(Content::Media(accepted)) => {
                    let (is, should) = (bytes.len(), accepted[0].len());
                    return Err(format!(
                        "{path} is not what the cloud has: {is} bytes of {should}"
                    ));
                }
                Some(Content::Metadata(expected)) => {
                    let found: Option<Value> = serde_json::from_slice(&bytes).ok();
                    if found.as_ref() != Some(expected) {
                        return Err(format!("{path} is not the record that the cloud has"));
                    }
                }
            }
            held.insert(place);
        }
        Ok(held)
    }

    /// What is not held of this instance's share: the recordings, and the files of each.
    fn missing(
        &self,
        target: &Path,
        instance: u64,
        is_owed: impl Fn(&Owed) -> bool,
    ) -> Result<Vec<(&Owed, Vec<String>)>, String> {
        let held = self.held_in(target, instance)?;
        let mut missing = Vec::new();
        for owed in &self.recordings {
            let metadata = format!("{}_metadata.json", owed.id);
            let files = owed.media.iter().chain([&metadata]);
            let lost: Vec<String> = files
                .filter(|file| !held.contains(&format!("{}/{file}", owed.id)))
                .cloned()
                .collect();
            if self.owner(&owed.id) == instance && is_owed(owed) && !lost.is_empty() {
                missing.push((owed, lost));
            }
        }
        Ok(missing)
    }

    pub(super) fn all_is_held(&self, target: &Path, instance: u64) -> Result<(), String> {
        let missing = self.missing(target, instance, |_| true)?;
        if let Some((owed, files)) = missing.first() {
            let (id, all) = (&owed.id, missing.len());
            return Err(format!("{files:?} of {id} are not held, nor are {all} recordings in all"));
        }
        let raw = files_below(target)
            .into_keys()
            .find(|path| path.ends_with(".raw") && !path.starts_with(".rcbs/"));
        raw.map_or(Ok(()), |path| Err(format!("all is held, and {path} is still there")))
    }

    /// All before the watermark is held, but for what the cloud kept to itself.
    pub(super) fn watermark_is_kept(&self, site: &Site, instance: u64) -> Result<(), String> {
        let Ok(text) = std::fs::read_to_string(site.target().join("last_recording_endtime.txt"))
        else {
            return Ok(());
        };
        let Ok(watermark) = text.trim().parse::<i64>() else {
            return Err(format!("the watermark is `{text}`"));
        };
        let hidden = site.sim.hidden();
        let is_owed = |owed: &Owed| owed.start_ms < watermark && !hidden.contains(&owed.id);
        match self.missing(&site.target(), instance, is_owed)?.first() {
            None => Ok(()),
            Some((owed, files)) => Err(format!(
                "the watermark {watermark} passed {files:?} of {} at {}",
                owed.id, owed.start_ms
            )),
        }
    }

    /// Exit 0 if and only if nothing is missing, and what is missing is named.
    pub(super) fn exit_code_is_true(
        &self,
        case: &Case,
        site: &Site,
        ran: &Ran,
    ) -> Result<(), String> {
        if ran.stderr.contains("panicked at") {
            return Err(format!("it panicked\n{ran}"));
        }
        let hidden = site.sim.hidden();
        let is_owed = |owed: &Owed| !hidden.contains(&owed.id);
        let missing = self.missing(&site.target(), case.instance, is_owed)?;
        match ran.code {
            None if ran.is_killed => Ok(()),
            Some(143) if ran.is_terminated => Ok(()),
            Some(0) => match missing.first() {
                None => Ok(()),
                Some((owed, files)) => {
                    Err(format!("exit 0, and {files:?} of {} are not held\n{ran}", owed.id))
                }
            },
            Some(3) => {
                for (owed, files) in &missing {
                    ran.names(owed, files)?;
                }
                if missing.is_empty() && !ran.names_something_unlisted() && hidden.is_empty() {
                    return Err(format!("exit 3, and nothing is missing\n{ran}"));
                }
                Ok(())
            }
            // Access that was denied, or a service that never answered.
            Some(4 | 7) if !case.plan.faults.is_empty() && ran.stderr.contains("\"stopped\"") => {
                Ok(())
            }
            _ => Err(format!("an exit that nothing explains\n{ran}")),
        }
    }

    pub(super) fn shares_are_disjoint_and_complete(
        &self,
        shares: &[BTreeSet<String>],
    ) -> Result<(), String> {
        let together: usize = shares.iter().map(BTreeSet::len).sum();
        let all: BTreeSet<&String> = shares.iter().flatten().collect();
        if together != all.len() || all.len() != self.files.len() {
            return Err(format!(
                "{} instances hold {together} files, {} different ones, of {}",
                shares.len(),
                all.len(),
                self.files.len()
            ));
        }
        Ok(())
    }
}

impl Ran {
    pub(super) fn exits(&self, codes: &[i32]) -> Result<(), String> {
        match self.code {
            Some(code) if codes.contains(&code) => Ok(()),
            _ => Err(format!("it should have ended with {codes:?}\n{self}")),
        }
    }

    fn events(&self, name: &str) -> impl Iterator<Item = Value> + '_ {
        let events = self.stderr.lines().filter_map(|line| serde_json::from_str(line).ok());
        let name = name.to_owned();
        events.filter(move |event: &Value| event["event"] == name.as_str())
    }

    /// Shards of which not everything was listed: from and to in epoch milliseconds.
    fn unlisted(&self) -> Vec<(i64, i64)> {
        let is_unlisted = |event: &Value| {
            let reason = event["reason"].as_str().unwrap_or_default();
            ["not listed from", "records that cannot be read"]
                .iter()
                .any(|words| reason.contains(words))
        };
        let time = |value: &Value| {
            let time = chrono::DateTime::parse_from_rfc3339(value.as_str().unwrap_or_default());
            time.map_or(0, |time| time.timestamp_millis())
        };
        let failed = self.events("shard_failed").filter(is_unlisted);
        failed.map(|event| (time(&event["shard"]["from"]), time(&event["shard"]["to"]))).collect()
    }

    fn names_something_unlisted(&self) -> bool {
        !self.unlisted().is_empty()
    }

    /// Checks that what is missing of a recording is named: by itself, or by its shard.
    fn names(&self, owed: &Owed, files: &[String]) -> Result<(), String> {
        let is_unlisted =
            self.unlisted().iter().any(|(from, to)| *from <= owed.start_ms && owed.start_ms < *to);
        let is_named = |file: &String| {
            let mut named = self.events("media_failed").chain(self.events("still_missing"));
            named.any(|event| event["media"] == **file)
        };
        let unnamed: Vec<&String> =
            files.iter().filter(|file| !is_unlisted && !is_named(file)).collect();
        if unnamed.is_empty() {
            return Ok(());
        }
        Err(format!("exit 3, and {unnamed:?} of {} are missing without a word\n{self}", owed.id))
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |line: &&str| {
            let is_detail = line.contains(r#""level":"detail""#);
            !is_detail || line.contains("failed")
        };
        let lines: Vec<&str> = self.stderr.lines().filter(told).collect();
        let last = &lines[lines.len().saturating_sub(40)..];
        write!(f, "exit {:?}\n--- stdout\n{}--- stderr\n", self.code, self.stdout)?;
        last.iter()
            .try_for_each(|line| writeln!(f, "{}", line.chars().take(1_500).collect::<String>()))
    }
}
