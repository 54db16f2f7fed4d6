//! What may be lost if the machine stops between any two system calls: nothing that was promised.
//!
//! Given the calls of a run, gives what is out of order. **Invariant**: a call counts as before
//! another only if it had come back when the other was entered.

use std::path::{Path, PathBuf};

use crate::strace::Call;

/// The calls that this looks at.
pub(super) const NAMES: &str = "openat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,fallocate,\
    copy_file_range,sendfile,fsync,fdatasync,syncfs,rename,renameat,renameat2,unlink,unlinkat,\
    mkdir,mkdirat,link,linkat";

/// A recording that the watermark may not pass before all its files are safe.
pub(super) struct Promise {
    pub(super) id: String,
    pub(super) start_ms: i64,
    /// How many files it has, with its metadata.
    pub(super) files: usize,
}

enum Step<'c> {
    Create(&'c Path),
    Write(&'c Path, &'c str),
    Flush(&'c Path),
    FlushAll,
    Rename(&'c Path, &'c Path),
    Make(&'c Path),
    Unlink(&'c Path),
}

struct Timed<'c> {
    step: Step<'c>,
    begun: usize,
    ended: usize,
}

/// The steps of a run below one folder that succeeded, in the order they began.
pub(super) struct Order<'c> {
    target: &'c Path,
    steps: Vec<Timed<'c>>,
}

impl<'c> Order<'c> {
    pub(super) fn of(calls: &'c [Call], target: &'c Path) -> Order<'c> {
        let mut steps = Vec::new();
        for call in calls {
            let paths = call.paths();
            let is_below = paths.iter().any(|path| path.starts_with(target));
            let (Some(ended), true, false) = (call.ended, is_below, call.has_failed) else {
                continue;
            };
            let step = match (call.name.as_str(), &paths[..]) {
                ("openat", [path]) if call.args.contains("O_CREAT") => Step::Create(path),
                ("openat", _) => continue,
                ("fsync" | "fdatasync", [path]) => Step::Flush(path),
                ("syncfs", _) => Step::FlushAll,
                ("rename" | "renameat" | "renameat2", [from, to]) => Step::Rename(from, to),
                ("mkdir" | "mkdirat", [path]) => Step::Make(path),
                ("unlink" | "unlinkat", [path]) => Step::Unlink(path),
                (_, [path, ..]) => Step::Write(path, call.text()),
                (_, []) => continue,
            };
            steps.push(Timed { step, begun: call.begun, ended });
        }
        Order { target, steps }
    }

    /// What is out of order in a run that said that all is held.
    pub(super) fn faults(&self, promises: &[Promise]) -> Vec<String> {
        let mut faults = self.written_in_place();
        for rename in &self.steps {
            let Step::Rename(from, to) = rename.step else { continue };
            let short = self.short(to);
            if !self.is_flushed_before(from, rename.begun) {
                faults.push(format!("{short} got its name before it was flushed"));
            }
            if self.durable(to, rename.ended).is_none() {
                faults.push(format!("the name {short} was never flushed"));
            }
            if short == "last_recording_endtime.txt" {
                faults.extend(self.passed(from, rename.begun, promises));
            }
        }
        if self.has_ledger() {
            faults.extend(self.unwritten(promises));
        }
        faults
    }

    /// Renames to final names of a recording, whose folder is named after its id.
    fn final_names(&self, id: &str) -> impl Iterator<Item = (&Path, usize)> {
        let folder = format!("/{id}/");
        let own = self.target.join(".rcbs");
        self.steps.iter().filter_map(move |step| match step.step {
            Step::Rename(_, to) if !to.starts_with(&own) => {
                to.to_str().unwrap().contains(&folder).then_some((to, step.ended))
            }
            _ => None,
        })
    }

    /// What readers of the tree may have seen half of.
    fn written_in_place(&self) -> Vec<String> {
        let own = self.target.join(".rcbs");
        let renamed = |path: &Path, at: usize| {
            self.steps.iter().any(|step| {
                matches!(step.step, Step::Rename(_, to) if to == path) && step.begun < at
            })
        };
        let written = self.steps.iter().filter_map(|step| match step.step {
            Step::Write(path, _) | Step::Create(path)
                if !path.starts_with(&own) || renamed(path, step.begun) =>
            {
                Some(format!("{} was written under its final name", self.short(path)))
            }
            _ => None,
        });
        written.collect()
    }

    /// Whether all that this run wrote to a file was flushed before some time.
    fn is_flushed_before(&self, path: &Path, time: usize) -> bool {
        let before = || self.steps.iter().filter(|step| step.begun < time);
        let changes = before().filter(|step| match step.step {
            Step::Write(changed, _) | Step::Create(changed) => changed == path,
            _ => false,
        });
        let Some(changed_at) = changes.map(|step| step.ended).max() else { return true };
        before().any(|step| {
            let is_flush = match step.step {
                Step::Flush(flushed) => flushed == path,
                Step::FlushAll => true,
                _ => false,
            };
            is_flush && step.begun > changed_at && step.ended < time
        })
    }

    /// When a name that was given at some time, and each new folder that leads to it, was safe.
    fn durable(&self, path: &Path, named_at: usize) -> Option<usize> {
        let mut safe_at = self.entry_flushed(path, named_at)?;
        for folder in path.ancestors().skip(1).take_while(|folder| *folder != self.target) {
            let made = |step: &&Timed<'_>| matches!(step.step, Step::Make(path) if path == folder);
            if let Some(made) = self.steps.iter().find(made) {
                safe_at = safe_at.max(self.entry_flushed(folder, made.ended)?);
            }
        }
        Some(safe_at)
    }

    /// When the folder of a path was first flushed after some time.
    fn entry_flushed(&self, path: &Path, time: usize) -> Option<usize> {
        self.flushed(path.parent().unwrap(), time)
    }

    fn flushed(&self, path: &Path, time: usize) -> Option<usize> {
        let flushes = self.steps.iter().filter(|step| match step.step {
            Step::Flush(flushed) => flushed == path,
            Step::FlushAll => true,
            _ => false,
        });
        flushes.filter(|step| step.begun > time).map(|step| step.ended).min()
    }

    /// The recordings that a watermark passed too early.
    fn passed(&self, staged: &Path, time: usize, promises: &[Promise]) -> Vec<String> {
        let written = self.steps.iter().rev().find_map(|step| match step.step {
            Step::Write(path, text) if path == staged && step.begun < time => Some(text),
            _ => None,
        });
        let text = written.unwrap_or_default();
        let Ok(watermark) = text.trim_end_matches("\\n").parse::<i64>() else {
            return vec![format!("the watermark `{text}` is no time")];
        };
        let mut faults = Vec::new();
        for promise in promises.iter().filter(|promise| promise.start_ms < watermark) {
            let is_safe = |(path, named_at): &(&Path, usize)| {
                self.durable(path, *named_at).is_some_and(|at| at < time)
            };
            if self.final_names(&promise.id).filter(is_safe).count() < promise.files {
                faults.push(format!("the watermark passed {} before its files", promise.id));
            }
            let is_entered = |path: &Path| {
                self.entered(path).and_then(|at| self.committed(at)).is_some_and(|at| at < time)
            };
            let mut media = self.final_names(&promise.id).filter(|(path, _)| is_media(path));
            if self.has_ledger() && !media.all(|(path, _)| is_entered(path)) {
                faults.push(format!("the watermark passed {} before the ledger", promise.id));
            }
        }
        faults
    }

    fn ledger(&self) -> PathBuf {
        self.target.join(".rcbs/ledger.sqlite")
    }

    fn journal(&self) -> PathBuf {
        self.target.join(".rcbs/ledger.sqlite-journal")
    }

    pub(super) fn has_ledger(&self) -> bool {
        let ledger = self.ledger();
        self.steps.iter().any(|step| matches!(step.step, Step::Create(path) if path == ledger))
    }

    /// The first write to the ledger with the name of a file.
    fn entered(&self, path: &Path) -> Option<&Timed<'c>> {
        let name = path.file_name().unwrap().to_str().unwrap();
        let files = [self.ledger(), self.target.join(".rcbs/ledger.sqlite-wal")];
        self.steps.iter().find(|step| match step.step {
            Step::Write(path, text) => files.iter().any(|file| file == path) && text.contains(name),
            _ => false,
        })
    }

    /// When a write to the ledger could not be undone by a crash any more: it was flushed, and so
    /// was the end of the journal that would undo it.
    fn committed(&self, write: &Timed<'_>) -> Option<usize> {
        let Step::Write(path, _) = write.step else { return None };
        let flushed_at = self.flushed(path, write.ended)?;
        let journal = self.journal();
        let about_journal = |step: &&Timed<'_>| match step.step {
            Step::Create(path) | Step::Write(path, _) | Step::Unlink(path) => path == journal,
            _ => false,
        };
        if path != self.ledger() || !self.steps.iter().any(|step| about_journal(&step)) {
            return Some(flushed_at);
        }
        let end = self.steps.iter().filter(about_journal).find(|step| step.begun > flushed_at)?;
        match end.step {
            Step::Unlink(path) => self.entry_flushed(path, end.ended),
            _ => self.flushed(&journal, end.ended),
        }
    }

    /// Files that the ledger names before they are safe, or not at all.
    fn unwritten(&self, promises: &[Promise]) -> Vec<String> {
        let mut faults = Vec::new();
        for promise in promises {
            for (path, named_at) in self.final_names(&promise.id) {
                let short = self.short(path);
                match (self.entered(path), self.durable(path, named_at)) {
                    // It need not name the metadata files.
                    (None, _) if !is_media(path) => {}
                    (None, _) => faults.push(format!("{short} is not in the ledger")),
                    (Some(entry), Some(at)) if at < entry.begun => {}
                    _ => faults.push(format!("the ledger knew {short} before it was safe")),
                }
            }
        }
        faults
    }

    fn short(&self, path: &Path) -> String {
        path.strip_prefix(self.target).unwrap_or(path).display().to_string()
    }
}

fn is_media(path: &Path) -> bool {
    !path.to_str().unwrap().ends_with("_metadata.json")
}
