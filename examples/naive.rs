//! A backup without groups: each file is flushed, renamed, its folder flushed, and the ledger
//! written, one after the other. `scripts/bench durability` compares the program with it.
//!
//!     naive GWS_URI_PREFIX S3_ENDPOINT TARGET DAYS     with the credentials in the environment
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a program of its own")]

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use rcbs::download::{self, Again, Job, Looked, Options, PARTS_AHEAD};
use rcbs::gate::Gate;
use rcbs::http::{ClientOptions, Purpose, Trust, client};
use rcbs::layout::FolderFormat;
use rcbs::ledger::{Failing, Ledger};
use rcbs::metadata::PropertyFilter;
use rcbs::monitor::{Event, Monitor};
use rcbs::secret::{AwsKeys, Login, Secret};
use rcbs::source::Source;
use rcbs::source::gws::{Gws, Learned, Listed};
use rcbs::source::s3::{S3, S3Options};
use rcbs::source::web::Web;
use rcbs::tree::{Holder, Modes, Share, Tree, TreeOptions};
use regex::Regex;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, block_in_place};

/// As many as the program has.
const AT_ONCE: usize = 32;
/// How long a connection may take, and an answer be silent.
const SILENCE: Duration = Duration::from_secs(50);

struct Silent;

impl Monitor for Silent {
    fn on(&self, _: &Event) {}
}

fn secret(name: &str) -> Result<Secret, env::VarError> {
    env::var(name).map(Secret::new)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [prefix, endpoint, target, days] = args.as_slice() else {
        return Err("naive GWS_URI_PREFIX S3_ENDPOINT TARGET DAYS".into());
    };
    let now = Utc::now();
    let trust = Trust::roots(None)?;
    let options = |purpose| ClientOptions {
        proxy: None,
        trust: trust.clone(),
        connect_timeout: SILENCE,
        read_timeout: SILENCE,
        purpose,
    };
    let login = Login { username: secret("GWS_USERNAME")?, password: secret("GWS_PASSWORD")? };
    let gws = Gws {
        http: client(&options(Purpose::Api))?,
        prefix: prefix.parse()?,
        recordings_uri: "/recordings".to_owned(),
        settings_uri: "/me/settings/rcbs".to_owned(),
        login: login.clone(),
        retries: 3,
        gate: Gate::fixed("GWS", 1),
    };
    let keys = AwsKeys {
        access_key_id: secret("AWS_ACCESS_KEY_ID")?,
        secret_access_key: secret("AWS_SECRET_ACCESS_KEY")?,
        session_token: None,
    };
    let s3 = S3Options {
        keys,
        region: Some("us-west-2".to_owned()),
        endpoint: Some(endpoint.clone()),
        force_path_style: true,
        sign_payload: false,
        silence: SILENCE,
    };
    let objects = client(&options(Purpose::Objects))?;
    let web = Web {
        http: objects.clone(),
        gws: prefix.parse()?,
        login,
        origins: Vec::new(),
        silence: SILENCE,
    };
    let tree = Arc::new(Tree::open(TreeOptions {
        root: target.into(),
        modes: Modes { file: 0o640, folder: 0o750 },
        holder: Holder { host: "bench".to_owned(), since: now },
        share: Share::Alone,
    })?);
    let ledger = Arc::new(Ledger::open(&tree)?.ledger);
    let job = Arc::new(Job {
        source: Source { s3: Some(S3::new(s3, objects)), web, limiter: None },
        tree: Arc::clone(&tree),
        ledger: Some(Arc::clone(&ledger)),
        failing: Failing::default(),
        monitor: Arc::new(Silent),
        options: Options {
            media_type_pattern: Regex::new("(?i)^(?:audio/mp3|video/mp4)$")?,
            metadata_only: false,
            metadata_filter: PropertyFilter::default(),
            folder_format: FolderFormat::parse("yyyy/MM/dd/HH")?,
            sealing: None,
            remember_moved: false,
            again: Again::Never,
            retries: 3,
            dry_run: false,
        },
        requests: Gate::fixed("media", AT_ONCE),
        ahead: Arc::new(Semaphore::new(PARTS_AHEAD)),
        finishing: Semaphore::new(4),
        now,
    });

    let learned = Learned::default();
    let mut pager = gws.list(now - TimeDelta::days(days.parse()?), now, &learned);
    let mut downloads = JoinSet::new();
    let mut files = 0;
    loop {
        let next = if downloads.len() < AT_ONCE { pager.next().await? } else { None };
        if let Some(Listed::Recording(recording)) = next {
            let job = Arc::clone(&job);
            downloads.spawn(async move {
                let looked = block_in_place(|| download::look(&job, vec![recording]))?;
                match looked.into_iter().next() {
                    Some(Looked::Wanted(wanted)) => download::download(&job, wanted).await,
                    Some(Looked::Done(done)) => Ok(done),
                    None => Ok(Default::default()),
                }
            });
            continue;
        }
        let Some(done) = downloads.join_next().await else { break };
        let (outcome, ready) = done?.map_err(|halt| format!("{halt:?}"))?;
        files += outcome.files.downloaded;
        let Some(ready) = ready else { continue };
        for placement in ready.placements {
            tree.publish_all(vec![placement])?;
        }
        ledger.record(&[ready.change], now)?;
    }
    println!("{files} media files");
    Ok(())
}
