//! What must hold of a target whenever and however a run has ended.
//!
//! Given a site, an undisturbed run says what shall be held; then each disturbed run, in a folder
//! of its own, is held against that. **Invariant**: everything is compared byte for byte.

use std::collections::BTreeMap;

use crate::harness::{Run, Site, files_below};

/// What an undisturbed run holds.
pub(crate) struct Reference {
    pub(crate) tree: BTreeMap<String, Vec<u8>>,
    /// The files of the program itself.
    pub(crate) own: Vec<String>,
    /// Where each recording begins, by a part of the paths of its files.
    starts: Vec<(String, i64)>,
}

impl Reference {
    /// Runs once, undisturbed, and gives the site an empty folder after that.
    pub(crate) fn of(site: &mut Site) -> Reference {
        site.rcbs(&[]).exits(0);
        site.assert_holds(|_| true);
        let own = files_below(&site.target().join(".rcbs")).into_keys().collect();
        let world = site.sim.world();
        let starts = world.recordings().map(|one| (format!("/{}/", one.id), one.start_ms));
        let reference = Reference { tree: site.tree(), own, starts: starts.collect() };
        drop(world);
        renew(site);
        reference
    }

    /// All folders that files are held in, without the target itself, from the outermost.
    pub(crate) fn folders(&self) -> Vec<String> {
        let ancestors = |path: &String| {
            let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
            slashes.into_iter().map(|at| path[..at].to_owned()).collect::<Vec<_>>()
        };
        let mut folders: Vec<String> = self.tree.keys().flat_map(ancestors).collect();
        folders.sort_by_key(|path| (path.matches('/').count(), path.clone()));
        folders.dedup();
        folders
    }

    /// Checks that all files are whole, and that the watermark passed none that is not there.
    #[track_caller]
    pub(crate) fn assert_sound(&self, site: &Site, run: &Run) {
        assert!(!run.stderr.contains("panicked"), "{run}");
        let held = site.tree();
        for (path, bytes) in &held {
            assert!(self.tree.get(path) == Some(bytes), "{path} is not what it should be\n{run}");
        }
        let watermark = site.watermark().unwrap_or(i64::MIN);
        for (part, start_ms) in &self.starts {
            let mut files = self.tree.keys().filter(|path| path.contains(part));
            let is_held = *start_ms >= watermark || files.all(|path| held.contains_key(path));
            assert!(is_held, "the watermark {watermark} is ahead of {part}\n{run}");
        }
    }

    /// Checks the same, and that the next run completes what is there, fetching only what is not.
    #[track_caller]
    pub(crate) fn assert_sound_and_completed(&self, site: &Site, run: &Run) {
        self.assert_sound(site, run);
        let is_media = |path: &&String| path.ends_with(".bin");
        let missing =
            self.tree.keys().filter(is_media).count() - site.tree().keys().filter(is_media).count();
        assert!(site.sim.wait_for_silence());
        site.sim.clear_requests();
        let next = site.rcbs(&[]);
        assert_eq!(next.code, 0, "{run}{next}");
        assert_eq!(site.sim.media_opened().len(), missing, "{run}{next}");
        assert!(site.tree() == self.tree, "not all is held\n{run}{next}");
        assert!(site.old().is_empty(), "{:?}\n{run}{next}", site.old().keys());
        let staged = files_below(&site.target().join(".rcbs/staged"));
        assert!(staged.is_empty(), "{:?}\n{run}{next}", staged.keys());
    }
}

/// Gives a site an empty folder, before the same cloud.
pub(crate) fn renew(site: &mut Site) {
    site.folder = tempfile::tempdir().unwrap();
}
