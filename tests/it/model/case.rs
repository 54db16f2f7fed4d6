//! One case: a world, the habits of its services, what goes wrong, and when the program is killed.
//!
//! Given its text, gives the case, and the other way round. **Invariant**: all of a case but the time of day is in its text.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rcbs_sim::gws::{Links, Order};
use rcbs_sim::s3::{Algorithm, ETagKind};
use rcbs_sim::world::calls::{Dice, mix, recording_id};
use rcbs_sim::{FaultPlan, Form, Media, Recording, Sim, WorldSpec};

use crate::harness::{BUCKET, HOUR_MS, REGION, Site, now_ms};

/// What a world and its services are like, and what happens to a backup of it.
#[derive(Clone, PartialEq)]
pub(super) struct Case {
    /// Decides ids, times and media.
    pub(super) seed: u64,
    pub(super) recordings: u32,
    /// One letter each: attached, with indefinite lengths (`b`), detached.
    pub(super) forms: String,
    /// The most records of a page.
    pub(super) cap: usize,
    pub(super) order: Order,
    /// Whether the edges of a range belong to it: the older, the newer.
    pub(super) edges: (bool, bool),
    pub(super) links: bool,
    /// The length of a shard in hours.
    pub(super) shard_hours: u32,
    pub(super) sums: Sums,
    pub(super) retries: u32,
    /// How many instances there are, and which of them has the trouble.
    pub(super) instances: u64,
    pub(super) instance: u64,
    /// What becomes of the runs before the cure, one after the other.
    pub(super) runs: Vec<Kill>,
    pub(super) plan: FaultPlan,
}

/// What an object can be checked against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sums {
    Md5,
    Crc32c,
    Sha256,
}

/// When a run is ended from outside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kill {
    Never,
    /// SIGKILL at this request of the run.
    AtRequest(u64),
    /// SIGTERM at this request of the run.
    TermAtRequest(u64),
    /// SIGKILL when so many files are being written.
    AtStaged(usize),
    /// SIGKILL when so many more files have their names than before the run.
    AtNamed(usize),
    /// SIGKILL so long after the start.
    After(Duration),
}

impl Case {
    /// Starts the cloud of this case, and the folder of an installation.
    pub(super) fn site(&self) -> Site {
        let sim = Sim::of(WorldSpec { recordings: 0, ..WorldSpec::default() });
        sim.gws(|gws| {
            (gws.cap, gws.order) = (self.cap, self.order);
            (gws.lower_edge_inclusive, gws.upper_edge_inclusive) = self.edges;
            gws.links = self.links.then(|| Links::new("nextUri"));
        });
        sim.s3(|s3| {
            (s3.etag, s3.checksum) = match self.sums {
                Sums::Md5 => (ETagKind::Md5UpTo(1 << 20), None),
                Sums::Crc32c => (ETagKind::Multipart, Some(Algorithm::Crc32c)),
                Sums::Sha256 => (ETagKind::Kms, Some(Algorithm::Sha256)),
            };
        });
        sim.edit(|world| self.recordings().into_iter().for_each(|one| world.add(one)));
        for fault in &self.plan.faults {
            // What is drawn need not strike.
            sim.add_fault(fault.clone().optional());
        }
        let mut site = Site::over(sim);
        site.properties = format!(
            "maxAge=3\nshardBy=PT{}H\ns3MaxErrorRetry={}\n{REGION}",
            self.shard_hours, self.retries
        );
        // Nothing here speaks TLS, and reading the system's roots is most of what a small run does.
        site.environment.insert("SSL_CERT_FILE", Some("/dev/null".to_owned()));
        site.environment.insert("SSL_CERT_DIR", Some("/dev/null".to_owned()));
        site
    }

    /// The recordings of two days, the newest an hour old, oldest first.
    fn recordings(&self) -> Vec<Recording> {
        let oldest = now_ms() - 60 * HOUR_MS;
        let mut dice = Dice::new(self.seed);
        let mut starts: Vec<i64> =
            (0..self.recordings).map(|_| oldest + dice.below(59 * HOUR_MS as u64) as i64).collect();
        starts.sort_unstable();
        // Up to three at once; more than a page of them could not be told apart from its end.
        for n in 1..starts.len() {
            if n % 3 != 0 && dice.below(4) == 0 {
                starts[n] = starts[n - 1];
            }
        }
        let made = starts.iter().enumerate();
        made.map(|(n, start)| self.recording(n as u32, *start, &mut dice)).collect()
    }

    fn recording(&self, number: u32, start_ms: i64, dice: &mut Dice) -> Recording {
        let id = recording_id(self.seed, number);
        let mut recording = Recording::new(&id, start_ms);
        for part in 0..=dice.below(3) {
            let (what, mime) =
                if part == 2 { ("screen.mp4", "video/mp4") } else { ("voice.mp3", "audio/mp3") };
            // Some small, some of several kilobytes, some at the edge of a cipher's block.
            let bytes =
                [dice.below(40), dice.below(3_000), 16 * dice.below(99), dice.below(20_000)];
            let media = Media::voice(
                &format!("{id}_{part}-{what}.bin"),
                BUCKET,
                bytes[dice.below(4) as usize] + 1,
            );
            let forms = self.forms.as_bytes();
            let form = match forms[dice.below(forms.len() as u64) as usize] {
                b'b' => Form::AttachedBer,
                b'd' => Form::Detached,
                _ => Form::Attached,
            };
            let seed = mix(self.seed, media.seed);
            recording = recording.with(Media { mime: Some(mime.to_owned()), form, seed, ..media });
        }
        recording.metadata_bytes = 300;
        recording
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { seed, recordings, forms, cap, links, shard_hours, retries, .. } = self;
        let (lower, upper) = self.edges;
        let order = match self.order {
            Order::NewestFirst => "newest",
            Order::OldestFirst => "oldest",
            Order::Unsorted => "unsorted",
        };
        let sums = match self.sums {
            Sums::Md5 => "md5",
            Sums::Crc32c => "crc32c",
            Sums::Sha256 => "sha256",
        };
        let runs: Vec<String> = self.runs.iter().map(Kill::to_string).collect();
        write!(
            f,
            "seed={seed} recordings={recordings} forms={forms} cap={cap} order={order} \
             lower={lower} upper={upper} links={links} shard={shard_hours} sums={sums} \
             retries={retries} instances={} instance={} runs={} plan: {}",
            self.instances,
            self.instance,
            runs.join(","),
            self.plan
        )
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Case, String> {
        let (words, plan) = text.split_once(" plan: ").ok_or("no ` plan: ` in it")?;
        let word = |name: &str| {
            let value =
                words.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            value.ok_or(format!("no `{name}=` in it"))
        };
        fn read<T: FromStr>(name: &str, text: &str) -> Result<T, String> {
            text.parse().map_err(|_| format!("`{name}={text}`"))
        }
        macro_rules! read {
            ($name:literal) => {
                read($name, word($name)?)?
            };
        }
        Ok(Case {
            seed: read!("seed"),
            recordings: read!("recordings"),
            forms: word("forms")?.to_owned(),
            cap: read!("cap"),
            order: match word("order")? {
                "newest" => Order::NewestFirst,
                "oldest" => Order::OldestFirst,
                "unsorted" => Order::Unsorted,
                other => return Err(format!("`order={other}`")),
            },
            edges: (read!("lower"), read!("upper")),
            links: read!("links"),
            shard_hours: read!("shard"),
            sums: match word("sums")? {
                "md5" => Sums::Md5,
                "crc32c" => Sums::Crc32c,
                "sha256" => Sums::Sha256,
                other => return Err(format!("`sums={other}`")),
            },
            retries: read!("retries"),
            instances: read!("instances"),
            instance: read!("instance"),
            runs: word("runs")?.split(',').map(str::parse).collect::<Result<_, _>>()?,
            plan: plan.parse().map_err(|error| format!("{error}"))?,
        })
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kill::Never => f.write_str("whole"),
            Kill::AtRequest(n) => write!(f, "request:{n}"),
            Kill::TermAtRequest(n) => write!(f, "term:{n}"),
            Kill::AtStaged(n) => write!(f, "staged:{n}"),
            Kill::AtNamed(n) => write!(f, "named:{n}"),
            Kill::After(time) => write!(f, "micros:{}", time.as_micros()),
        }
    }
}

impl FromStr for Kill {
    type Err = String;

    fn from_str(text: &str) -> Result<Kill, String> {
        let (what, number) = text.split_once(':').unwrap_or((text, "0"));
        let number: u64 = number.parse().map_err(|_| format!("`{text}`"))?;
        Ok(match what {
            "whole" => Kill::Never,
            "request" => Kill::AtRequest(number),
            "term" => Kill::TermAtRequest(number),
            "staged" => Kill::AtStaged(number as usize),
            "named" => Kill::AtNamed(number as usize),
            "micros" => Kill::After(Duration::from_micros(number)),
            _ => return Err(format!("`{text}`")),
        })
    }
}
