//! `rcbs --verify s3`: checks the connections, downloads nothing.

mod report;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use self::report::Report;
use super::{CommonArgs, Loader, World};
use crate::config::Config;
use crate::error::{Error, Exit, open_exit};
use crate::http::Retry;
use crate::recording::Location;
use crate::source::gws::Gws;
use crate::source::s3::S3;
use crate::source::{OpenError, OpenErrorKind};

/// How far back the newest recordings are looked for, widening.
const LOOK_BACK_DAYS: [i64; 4] = [1, 7, 30, 365];

/// Checks GWS, then each bucket and prefix.
pub async fn run(is_json: bool, common: &CommonArgs, world: &World<'_>) -> Result<Exit, Error> {
    let mut report = Report::new(is_json, world);
    let mut loader = Loader::new(world, common, None, None)?;
    let config = loader.load(&[], world.now)?;
    let gws = super::gws(&config, world)?;
    report.gws_begins(&config)?;
    let checked = check_gws(&mut loader, &gws).await;
    report.gws_ends(&config, gws.proxy(), checked.as_ref().map(drop))?;
    let (config, newest) = checked?;

    report.parameters(&config)?;
    let Some(s3) = super::s3(&config, world)? else {
        report.not_checked("metadataOnly is set and there are no S3 credentials")?;
        report.end(Exit::Complete)?;
        return Ok(Exit::Complete);
    };
    let prefixes = prefixes(&config, &newest);
    if prefixes.is_empty() {
        report.warn(
            "no bucketVerify, and no recording that points to a bucket: S3 is not checked".into(),
        );
    }
    let mut exit = Exit::Complete;
    let mut regions: BTreeMap<String, String> = BTreeMap::new();
    for (bucket, prefix) in prefixes {
        let key = below(&prefix);
        report.bucket_begins(&bucket, &key)?;
        let found = check(&s3, &config, &bucket, &key).await;
        report.bucket_ends(&config, s3.proxy_for(&bucket), &bucket, &key, &found)?;
        match found {
            Ok(_) => drop(regions.insert(s3.region_of(&bucket), bucket)),
            Err(error) => exit = graver(exit, open_exit(&error.kind)),
        }
    }
    if regions.len() > 1 {
        let named: Vec<_> =
            regions.iter().map(|(region, bucket)| format!("{bucket} in {region}")).collect();
        report.warn(format!(
            "the buckets lie in several regions ({}), but GWS at {} may answer for one region \
             only: make sure that the other regions' recordings are backed up too",
            named.join(", "),
            config.gws_uri_prefix
        ));
    }
    report.end(exit)?;
    Ok(exit)
}

/// Asks GWS for its settings, and for a few of the newest recordings' places in S3.
async fn check_gws(
    loader: &mut Loader<'_>,
    gws: &Gws,
) -> Result<(Config, Vec<(String, String)>), Error> {
    let (config, now) = loader.ask_gws(gws).await?;
    let newest = newest(gws, now).await?;
    Ok((config, newest))
}

async fn newest(gws: &Gws, now: DateTime<Utc>) -> Result<Vec<(String, String)>, Error> {
    for days in LOOK_BACK_DAYS {
        let from = (now - TimeDelta::days(days)).timestamp_millis();
        let recordings = gws.sample(from, now.timestamp_millis(), 100).await?;
        let media = recordings.iter().flat_map(|recording| &recording.media);
        let places: BTreeSet<_> = media
            .filter_map(|media| match &media.location {
                Location::S3 { bucket, key } => {
                    let prefix = key.rsplit_once('/').map_or("", |(prefix, _)| prefix);
                    let prefix = prefix.split('/').next().unwrap_or_default();
                    Some((bucket.clone(), prefix.to_owned()))
                }
                Location::Http { .. } | Location::Unusable { .. } => None,
            })
            .collect();
        if !places.is_empty() {
            return Ok(places.into_iter().collect());
        }
    }
    Ok(Vec::new())
}

fn prefixes(config: &Config, newest: &[(String, String)]) -> Vec<(String, String)> {
    if config.bucket_verify.is_empty() { newest.to_vec() } else { config.bucket_verify.clone() }
}

fn below(prefix: &str) -> String {
    if prefix.is_empty() { String::new() } else { format!("{prefix}/") }
}

/// Looks for `<prefix>/`; says whether anything is stored there.
async fn check(s3: &S3, config: &Config, bucket: &str, key: &str) -> Result<bool, OpenError> {
    let mut retry = Retry::new(config.s3_max_error_retry);
    loop {
        let error = match look_for(s3, bucket, key).await {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        let advice = error.kind.advice();
        retry.pause(error, advice).await?;
    }
}

async fn look_for(s3: &S3, bucket: &str, key: &str) -> Result<bool, OpenError> {
    // The prefix's own object first: reading it needs no permission to list.
    if !key.is_empty() {
        match s3.open(bucket, key, None).await {
            Ok(_) => return Ok(true),
            Err(error)
                if !matches!(
                    error.kind,
                    OpenErrorKind::NoSuchKey | OpenErrorKind::AccessDenied
                ) =>
            {
                return Err(error);
            }
            Err(_) => {}
        }
    }
    s3.anything_below(bucket, key).await
}

/// Of two exit codes the one that is told; denied outranks unanswered.
fn graver(one: Exit, other: Exit) -> Exit {
    if one == Exit::Denied || other == Exit::Complete { one } else { other }
}
