//! Several instances: told by an engine which they are, of one run, and in one target.

mod deploy;
mod kills;
mod network;
mod numbers;
mod others;
mod window;

use std::collections::BTreeMap;
use std::path::PathBuf;

use rusqlite::{Connection, OpenFlags};

use crate::harness::{REGION, Run, Site};

/// A site whose instances share the target, with a world of so many recordings.
fn shared(recordings: usize) -> Site {
    let mut site = Site::of(recordings);
    site.properties += REGION;
    site.properties += "sharedTarget=true\n";
    // Nothing here speaks TLS.
    site.environment.insert("SSL_CERT_FILE", Some("/dev/null".to_owned()));
    site.environment.insert("SSL_CERT_DIR", Some("/dev/null".to_owned()));
    site
}

/// The arguments of an instance.
fn args<'a>(numbers: &'a [String; 2], more: &[&'a str]) -> Vec<&'a str> {
    let set = numbers.iter().flat_map(|number| ["--set", number.as_str()]);
    set.chain(more.iter().copied()).collect()
}

fn numbers(id: u64, total: u64) -> [String; 2] {
    [format!("rcbsInstanceId={id}"), format!("totalRcbsInstances={total}")]
}

/// Runs an instance with more arguments behind.
fn instance(site: &Site, id: u64, total: u64, more: &[&str]) -> Run {
    site.rcbs(&args(&numbers(id, total), more))
}

/// Runs all instances, one after the other, each of which completes its share.
#[track_caller]
fn all(site: &Site, total: u64) {
    for id in 0..total {
        instance(site, id, total, &[]).exits(0);
    }
}

/// The folder of what an instance keeps for itself.
fn own(site: &Site, id: u64) -> PathBuf {
    site.target().join(format!(".rcbs/instances/{id}"))
}

/// Asks the ledger of an instance.
fn ask<T: rusqlite::types::FromSql>(site: &Site, id: u64, query: &str) -> T {
    let path = own(site, id).join("ledger.sqlite");
    let ledger = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    ledger.query_row(query, [], |row| row.get(0)).unwrap()
}

/// The watermark of an instance, epoch milliseconds.
fn watermark(site: &Site, id: u64) -> i64 {
    let path = own(site, id).join("last_recording_endtime.txt");
    std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

/// How often each object was opened since the requests were cleared.
fn opened(site: &Site) -> BTreeMap<String, u64> {
    let mut times = BTreeMap::new();
    for key in site.sim.media_opened() {
        *times.entry(key).or_insert(0) += 1;
    }
    times
}
