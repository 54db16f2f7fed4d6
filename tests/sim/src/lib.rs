//! The recording cloud in a box: a metadata API and an S3 that misbehave on request.
//!
//! In reading order:
//! - [`world`]: what there is to back up, as a pure function of a seed
//! - [`envelope`]: the CMS frames that media are wrapped in, and the keys that open them
//! - [`gws`]: the metadata API over that world, with every habit a server may have
//! - [`s3`]: the object store over that world, with signatures really verified
//! - [`fault`]: what shall go wrong, as data
//! - [`log`]: what was asked and what was answered
//! - [`tls`] and [`proxy`]: certificates, and a forward proxy to go through
//! - `server`, `spoil` and `bomb`: the sockets, the path of one request through all of the above, and what faults do to answers
//! - [`sim`]: [`Sim`], which starts it all and checks the fault plan when it ends
//!
//! **Invariant**: nothing here knows the program under test; the bytes of an answer depend on the world, the behaviours
//! and the fault plan alone.

mod bomb;
pub mod envelope;
pub mod fault;
pub mod gws;
pub mod log;
mod peers;
pub mod proxy;
pub mod s3;
mod server;
pub mod sim;
mod spoil;
pub mod tls;
pub mod world;

pub use fault::{Action, Fault, FaultPlan, Hits};
pub use gws::GwsBehaviour;
pub use log::{Request, Route};

pub use proxy::{Proxy, ProxyBehaviour};
pub use s3::S3Behaviour;
pub use sim::{Sim, SimOptions};
pub use tls::TlsOptions;
pub use world::{Form, Media, Pkcs7, Recording, World, WorldSpec};

#[cfg(test)]
mod tests;
