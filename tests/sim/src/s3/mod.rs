//! The object store over a world: SigV4 is verified by `s3s`, everything that S3 says beyond that is here.
//!
//! A request passes the `gate`, then `s3s`, which checks its signature and calls the `store`.
//! **Invariant**: no answer of the store is without a checked signature.

mod behaviour;
mod digest;
mod gate;
mod index;
mod store;

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};

pub use behaviour::{ACCESS_KEY, Algorithm, ETagKind, S3Behaviour, SECRET_KEY, WrongRegion};
pub(crate) use digest::Digests;
pub use digest::md5_hex;
pub(crate) use gate::{decode, scope};
pub(crate) use index::Index;

use crate::fault::Action;
use crate::server::{Body, BoxError, Shared, full};
use crate::sim::read;

/// Makes the service.
pub(crate) fn service(shared: &Arc<Shared>) -> S3Service {
    let mut builder = S3ServiceBuilder::new(store::Store(Arc::clone(shared)));
    builder.set_auth(Keys(Arc::clone(shared)));
    let mut config = s3s::config::S3Config::default();
    // The clock is judged in front, against the simulator's own.
    config.presigned_url_max_skew_time_secs = u32::MAX;
    builder.set_config(Arc::new(s3s::config::StaticConfigProvider::new(Arc::new(config))));
    builder.build()
}

/// Computes what is said about each object, and the index, before anybody asks; for as many as can be remembered.
pub(crate) fn prepare(shared: &Shared) {
    let (world, behaviour) = (read(&shared.world), read(&shared.s3).clone());
    if world.len() > digest::MOST {
        return;
    }
    shared.index.of(&world);
    for media in world.all_objects() {
        let Some(object) = media.object() else { continue };
        digest::etag(&shared.digests, behaviour.etag, &media, &object);
        if let Some(algorithm) = behaviour.checksum {
            digest::digest(&shared.digests, &media, &object, Some(algorithm));
        }
    }
}

/// Answers a request.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    s3: &S3Service,
    mut request: Request<Incoming>,
    actions: &[Action],
) -> Response<Body> {
    if actions.contains(&Action::Replaced) {
        request.extensions_mut().insert(Replaced);
    }
    if let Some(refused) = gate::refuse(shared, &request) {
        return refused;
    }
    let whereabouts = gate::whereabouts(shared, &request);
    let mut response = match s3.call(request.map(s3s::Body::from)).await {
        Ok(response) if response.status() == StatusCode::NOT_MODIFIED => response.map(|_| full("")),
        Ok(response) => response.map(|body| body.map_err(|error| error as BoxError).boxed_unsync()),
        Err(error) => gate::refusal(500, "InternalError", &format!("{error:?}"), ""),
    };
    if let Some(region) = whereabouts {
        response.headers_mut().insert("x-amz-bucket-region", region);
    }
    response
}

/// The mark of a request that finds another object in the place of the one there was.
#[derive(Clone)]
struct Replaced;

struct Keys(Arc<Shared>);

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let behaviour = read(&self.0.s3);
        if access_key == behaviour.access_key {
            return Ok(SecretKey::from(behaviour.secret_key.as_str()));
        }
        Err(s3_error!(
            InvalidAccessKeyId,
            "The AWS Access Key Id you provided does not exist in our records."
        ))
    }
}
