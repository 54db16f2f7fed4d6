//! A loop over objects that does nothing but receive and write, with the S3 SDK over the HTTP client of the
//! program: nothing is listed, verified, flushed or named. `scripts/bench peers` compares the program with it.
//!
//!     bare S3_ENDPOINT BUCKET TARGET AT_ONCE PART_BYTES <KEYS_AND_LENGTHS
//!
//! A line on stdin is the length of an object, a blank and its key. Objects above PART_BYTES come in ranges,
//! AT_ONCE requests at a time over all objects, each written where it belongs. Credentials come from the environment.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a program of its own")]

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, ResponseChecksumValidation, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use rcbs::http::{ClientOptions, Purpose, Trust, client};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

type Failure = Box<dyn Error + Send + Sync>;

#[derive(Debug)]
struct OverReqwest(reqwest::Client);

impl HttpConnector for OverReqwest {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let answer = async {
                let request = request.try_into_http1x()?;
                let request = request.map(|body| body.bytes().unwrap_or_default().to_vec());
                let response = client.execute(request.try_into()?).await?;
                let response = http::Response::<reqwest::Body>::from(response);
                Ok::<_, Failure>(HttpResponse::try_from(response.map(SdkBody::from_body_1_x))?)
            };
            answer.await.map_err(ConnectorError::user)
        })
    }
}

fn s3(endpoint: &str) -> Result<aws_sdk_s3::Client, Failure> {
    let http = client(&ClientOptions {
        proxy: None,
        trust: Trust::roots(None)?,
        connect_timeout: Duration::from_secs(50),
        read_timeout: Duration::from_secs(50),
        purpose: Purpose::Objects,
    })?;
    let http = http.inner().clone();
    let (id, secret) = (env::var("AWS_ACCESS_KEY_ID")?, env::var("AWS_SECRET_ACCESS_KEY")?);
    let connector = SharedHttpConnector::new(OverReqwest(http));
    let http: SharedHttpClient = http_client_fn(move |_, _| connector.clone());
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(env::var("AWS_REGION")?))
        .credentials_provider(Credentials::new(id, secret, None, None, "environment"))
        .http_client(http)
        .endpoint_url(endpoint)
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    Ok(aws_sdk_s3::Client::from_conf(config.build()))
}

/// Receives one object, or a range of it, into its file.
async fn receive(
    s3: aws_sdk_s3::Client,
    bucket: String,
    key: String,
    file: Arc<File>,
    range: Option<(u64, u64)>,
) -> Result<(), Failure> {
    let mut request = s3.get_object().bucket(bucket).key(key);
    if let Some((from, end)) = range {
        request = request.range(format!("bytes={from}-{}", end - 1));
    }
    let mut body = request.send().await?.body;
    let mut at = range.map_or(0, |(from, _)| from);
    while let Some(bytes) = body.try_next().await? {
        file.write_all_at(&bytes, at)?;
        at += bytes.len() as u64;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [endpoint, bucket, target, at_once, part] = args.as_slice() else {
        return Err("bare S3_ENDPOINT BUCKET TARGET AT_ONCE PART_BYTES <KEYS_AND_LENGTHS".into());
    };
    let (at_once, part): (usize, u64) = (at_once.parse()?, part.parse()?);
    let s3 = s3(endpoint)?;
    let in_flight = Arc::new(Semaphore::new(at_once));
    let mut requests = JoinSet::new();
    let (mut objects, mut folder) = (0, String::new());
    for line in std::io::stdin().lines() {
        let line = line?;
        let (length, key) = line.split_once(' ').ok_or("a length and a key are wanted")?;
        let length: u64 = length.parse()?;
        let path = Path::new(target).join(key);
        let parent = path.parent().unwrap_or(Path::new(target));
        if parent != Path::new(&folder) {
            fs::create_dir_all(parent)?;
            folder = parent.display().to_string();
        }
        let file = Arc::new(File::create(&path)?);
        let ranges: Vec<_> = if length <= part {
            vec![None]
        } else {
            (0..length.div_ceil(part))
                .map(|n| Some((n * part, length.min((n + 1) * part))))
                .collect()
        };
        for range in ranges {
            let permit = Arc::clone(&in_flight).acquire_owned().await?;
            let (s3, bucket, key) = (s3.clone(), bucket.clone(), key.to_owned());
            let file = Arc::clone(&file);
            requests.spawn(async move {
                let _permit = permit;
                receive(s3, bucket, key, file, range).await
            });
            while let Some(done) = requests.try_join_next() {
                done??;
            }
        }
        objects += 1;
    }
    while let Some(done) = requests.join_next().await {
        done??;
    }
    println!("{objects} objects");
    Ok(())
}
