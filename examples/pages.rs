//! A loop over the pages of a listing that does nothing but receive them and parse them with serde_json.
//! `scripts/bench peers` compares a run that finds nothing new with it.
//!
//!     pages GWS_URI_PREFIX FROM_MS TO_MS (value|skip)    with the credentials in the environment
//!
//! `value` parses each page into a tree of values, `skip` only checks that it is JSON. Pages of a hundred records are
//! asked for by their offset, one after the other.
#![expect(clippy::print_stdout, reason = "a program of its own")]

use std::env;
use std::error::Error;

use rcbs::http::{ClientOptions, Purpose, Trust, client};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

#[derive(Deserialize)]
struct Skipped {
    recordings: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Read {
    recordings: Vec<Value>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [prefix, from_ms, to_ms, how] = args.as_slice() else {
        return Err("pages GWS_URI_PREFIX FROM_MS TO_MS (value|skip)".into());
    };
    let http = client(&ClientOptions {
        proxy: None,
        trust: Trust::roots(None)?,
        connect_timeout: std::time::Duration::from_secs(50),
        read_timeout: std::time::Duration::from_secs(50),
        purpose: Purpose::Api,
    })?;
    let (user, password) = (env::var("GWS_USERNAME")?, env::var("GWS_PASSWORD")?);
    let mut records = 0;
    loop {
        let url = format!(
            "{prefix}/recordings/download/?startTimeRange={from_ms},{to_ms}&limit=100&offset={records}"
        );
        let answer = http.inner().get(url).basic_auth(&user, Some(&password)).send().await?;
        let page = answer.error_for_status()?.bytes().await?;
        let found = match how.as_str() {
            "value" => serde_json::from_slice::<Read>(&page)?.recordings.len(),
            _ => serde_json::from_slice::<Skipped>(&page)?.recordings.len(),
        };
        if found == 0 {
            break;
        }
        records += found;
    }
    println!("{records} records");
    Ok(())
}
