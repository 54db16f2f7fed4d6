//! A cloud, a folder, and the program between them; prints everything when a run was unexpected.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcbs_sim::{Media, Recording, Route, Sim, WorldSpec, envelope};
use tempfile::TempDir;

pub(crate) const HOUR_MS: i64 = 3_600_000;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;
/// The bucket of every generated recording.
pub(crate) const BUCKET: &str = "recordings-usw1";
/// The property that spares the search for its region.
pub(crate) const REGION: &str = "awsRegion=us-west-2\n";

/// A simulated cloud and the folder of one installation.
pub(crate) struct Site {
    pub(crate) sim: Sim,
    pub(crate) folder: TempDir,
    /// Lines of config.properties besides the addresses.
    pub(crate) properties: String,
    /// Variables besides the credentials; none removes one.
    pub(crate) environment: BTreeMap<&'static str, Option<String>>,
    /// The mask of the process, in octal; none is that of the test.
    pub(crate) umask: Option<&'static str>,
}

/// What a run of the program came to.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    line: String,
}

impl Site {
    /// A world of so many recordings over the last two and a half days, small in every respect.
    pub(crate) fn of(recordings: usize) -> Site {
        Site::over(Sim::of(WorldSpec {
            from_ms: now_ms() - 5 * DAY_MS / 2,
            // GWS's Date has no milliseconds, so a run may end its window a second before now.
            to_ms: now_ms() - 5_000,
            recordings,
            ..WorldSpec::default()
        }))
    }

    pub(crate) fn over(sim: Sim) -> Site {
        Site {
            sim,
            folder: tempfile::tempdir().unwrap(),
            // One retry is enough to see that there are retries.
            properties: "maxAge=3\ns3MaxErrorRetry=1\n".to_owned(),
            environment: BTreeMap::new(),
            umask: None,
        }
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.folder.path().join("target")
    }

    /// Runs `rcbs --config config.properties` with more arguments behind.
    pub(crate) fn rcbs(&self, args: &[&str]) -> Run {
        Run::of(self.command(args), format!("rcbs --config config.properties {}", args.join(" ")))
    }

    /// The command that [`Site::rcbs`] runs, for tests that send it signals.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let config = format!(
            "gwsUriPrefix={}\nawsEndpointUrl={}\nawsForcePathStyle=true\n{}",
            self.sim.gws_uri_prefix(),
            self.sim.s3_endpoint(),
            self.properties
        );
        let file = self.folder.path().join("config.properties");
        // Runs that were started before may be reading it.
        if std::fs::read_to_string(&file).ok().as_ref() != Some(&config) {
            std::fs::write(&file, config).unwrap();
        }
        let mut command = match self.umask {
            Some(umask) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]);
                shell.arg(env!("CARGO_BIN_EXE_rcbs"));
                shell
            }
            None => Command::new(env!("CARGO_BIN_EXE_rcbs")),
        };
        command.current_dir(self.folder.path()).env_clear();
        command.args(["--config", "config.properties"]).args(args).envs(self.sim.environment());
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// The watermark as it stands in the target, epoch milliseconds.
    pub(crate) fn watermark(&self) -> Option<i64> {
        let text =
            std::fs::read_to_string(self.target().join("last_recording_endtime.txt")).ok()?;
        Some(text.trim().parse().expect("the watermark is a number"))
    }

    /// All that lies in the target, by path, without what belongs to the program itself.
    pub(crate) fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        files_below(&self.target())
            .into_iter()
            .filter(|(path, _)| !path.starts_with(".rcbs/") && path != "last_recording_endtime.txt")
            .collect()
    }

    /// Checks that every media file of these recordings is held, byte for byte, once, beside its
    /// metadata, and that nothing else is held.
    pub(crate) fn assert_holds(&self, is_expected: impl Fn(&rcbs_sim::Recording) -> bool) {
        self.assert_holds_but(&[], is_expected);
    }

    /// Checks the same of these recordings but for these media files, which are not held, though
    /// what came in their places may be kept as `.raw`.
    pub(crate) fn assert_holds_but(
        &self,
        missing: &[&str],
        is_expected: impl Fn(&rcbs_sim::Recording) -> bool,
    ) {
        let world = self.sim.world();
        let mut tree = self.tree();
        tree.retain(|path, _| {
            let raw = path.strip_suffix(".raw");
            raw.is_none_or(|path| !missing.iter().any(|id| path.ends_with(&encoded(id))))
        });
        for recording in world.recordings().filter(|recording| is_expected(recording)) {
            let metadata = format!("{0}/{0}_metadata.json", recording.id);
            let held = tree.keys().find(|path| path.ends_with(&metadata)).cloned();
            let held = held.unwrap_or_else(|| panic!("no metadata of {}", recording.id));
            tree.remove(&held);
            let folder = held.rsplit_once('/').unwrap().0.to_owned();
            for media in world.listed_media(&recording) {
                if missing.contains(&media.media_id.as_str()) {
                    continue;
                }
                let place = tree
                    .iter()
                    .find(|(path, _)| {
                        path.starts_with(&format!("{folder}/{}", encoded(&media.media_id)))
                    })
                    .map(|(path, _)| path.clone())
                    .unwrap_or_else(|| panic!("no file of media {}", media.media_id));
                let bytes = tree.remove(&place).unwrap();
                let is_right = match world.expected_file(&media.bucket, &media.key) {
                    Some(expected) => bytes == expected,
                    // Plain media are sealed, differently each time.
                    None => envelope::open(&bytes)
                        .is_ok_and(|plain| plain == world.plaintext(&media.bucket, &media.key)),
                };
                assert!(is_right, "{place} is not what the cloud has");
            }
        }
        assert!(tree.is_empty(), "too much in the tree: {:?}", tree.keys());
    }

    /// Writes the watermark, as an earlier run would have left it.
    pub(crate) fn set_watermark(&self, at_ms: i64) {
        std::fs::create_dir_all(self.target()).unwrap();
        let file = self.target().join("last_recording_endtime.txt");
        std::fs::write(file, format!("{at_ms}\n")).unwrap();
    }

    /// Adds a recording with one voice file of its own; gives the file's id.
    pub(crate) fn add(&self, id: &str, start_ms: i64) -> String {
        let media_id = format!("{id}_voice.mp3.bin");
        let media = Media::voice(&media_id, BUCKET, 300);
        self.sim.edit(|world| world.add(Recording::new(id, start_ms).with(media)));
        media_id
    }

    /// All that lies below `.rcbs/old`, by path.
    pub(crate) fn old(&self) -> BTreeMap<String, Vec<u8>> {
        files_below(&self.target().join(".rcbs/old"))
    }
}

/// The oldest time that the listings since the last clearing asked for.
pub(crate) fn oldest_asked(site: &Site) -> i64 {
    let requests = site.sim.requests();
    let listings = requests.iter().filter(|request| request.route == Route::Listing);
    let from = |target: &str| {
        target.split_once("startTimeRange=")?.1.split_once(',')?.0.parse::<i64>().ok()
    };
    // The edge itself may not count for the server, so one millisecond more is asked for.
    listings.filter_map(|request| from(&request.target)).min().unwrap() + 1
}

/// A media id as the names of files have it, as far as the ids of the simulator go.
pub(crate) fn encoded(media_id: &str) -> String {
    media_id.replace('%', "%25").replace('/', "%2F")
}

/// All files below a folder, by relative path.
pub(crate) fn files_below(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(folder).unwrap();
                let relative = relative.to_str().unwrap().replace('\\', "/");
                match std::fs::read(&path) {
                    Ok(bytes) => drop(files.insert(relative, bytes)),
                    // A running program has moved it since.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => panic!("{}: {error}", path.display()),
                }
            }
        }
    }
    files
}

/// The time by the clock that the program reads too, epoch milliseconds.
pub(crate) fn now_ms() -> i64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

impl Run {
    /// Runs a command to its end, within two minutes.
    pub(crate) fn of(command: Command, line: String) -> Run {
        let mut command = assert_cmd::Command::from_std(command);
        let output = command.timeout(std::time::Duration::from_secs(120)).output().unwrap();
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            line,
        }
    }

    #[track_caller]
    pub(crate) fn exits(&self, code: i32) -> &Run {
        assert_eq!(self.code, code, "{self}");
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> &Run {
        assert!(self.stdout.contains(words) || self.stderr.contains(words), "«{words}» in\n{self}");
        self
    }

    /// Downloaded, skipped, failed and total of the closing line.
    #[track_caller]
    pub(crate) fn counts(&self) -> [u64; 4] {
        let line = self.stdout.lines().last().unwrap_or_default();
        assert!(line.starts_with("Finished handling current batch: "), "{self}");
        let numbers: Vec<u64> = line
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect();
        numbers.try_into().unwrap_or_else(|_| panic!("{self}"))
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Run { code, stdout, stderr, line } = self;
        write!(f, "$ {line}\nexit {code}\n--- stdout\n{stdout}--- stderr\n{stderr}")
    }
}
