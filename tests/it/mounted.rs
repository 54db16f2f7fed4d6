//! File systems that are mounted for a test.
//!
//! Given a folder, gives a file system there until it is dropped. **Invariant**: where this user may
//! not mount, a test says so and does nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file system of its own; unmounted in the end.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// Mounts a file system in memory; none, with a word, where this user may not.
    pub(crate) fn tmpfs(folder: &Path, options: &str) -> Option<Mounted> {
        Mounted::mount(&["-t", "tmpfs", "-o", options, "tmpfs"], folder)
    }

    /// Mounts the ext4 that lies in a file, and that no error may go on after.
    pub(crate) fn ext4(image: &Path, folder: &Path) -> Option<Mounted> {
        Mounted::mount(&["-o", "loop,errors=remount-ro", image.to_str().unwrap()], folder)
    }

    /// Shows a folder at another place too.
    pub(crate) fn bind(from: &Path, folder: &Path) -> Option<Mounted> {
        Mounted::mount(&["--bind", from.to_str().unwrap()], folder)
    }

    fn mount(args: &[&str], folder: &Path) -> Option<Mounted> {
        std::fs::create_dir_all(folder).unwrap();
        let mut mount = Command::new("mount");
        let mount = mount.args(args).arg(folder).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Mounted(folder.to_owned()));
        }
        eprintln!("skipped: mounting is not permitted here");
        None
    }

    pub(crate) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let mut mount = Command::new("mount");
        assert!(mount.args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }

    /// Makes an ext4 see an error of its own, after which it takes no more writes.
    #[cfg(target_os = "linux")]
    pub(crate) fn break_down(&self) {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let folder = self.0.to_str().unwrap();
        let device = mounts.lines().find(|line| line.split(' ').nth(1) == Some(folder)).unwrap();
        let device = device.split(' ').next().unwrap().trim_start_matches("/dev/");
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        std::fs::write(trigger, "an error that a test wants").unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a test that failed may have left a process in it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Makes an ext4 of some megabytes in a file; none, with a word, where that is not to be had.
#[cfg(target_os = "linux")]
pub(crate) fn ext4_image(image: &Path) -> Option<()> {
    std::fs::File::create(image).unwrap().set_len(24 << 20).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut mkfs = Command::new("mkfs.ext4");
    // Users' paths often lack the folders of such commands.
    mkfs.env("PATH", format!("{path}:/usr/sbin:/sbin")).args(["-q", "-F"]).arg(image);
    if mkfs.status().is_ok_and(|status| status.success()) {
        return Some(());
    }
    eprintln!("skipped: there is no mkfs.ext4");
    None
}
