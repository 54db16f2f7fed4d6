//! [`Sim`]: starts the cloud, lets a test look and meddle, and checks the fault plan when it ends.
//!
//! **Invariant**: every call is synchronous; the services run on threads of their own.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::fault::{Fault, FaultPlan};
use crate::gws::GwsBehaviour;
use crate::log::{Log, Request, Route, lock};
use crate::s3::{self, S3Behaviour};
use crate::server::{self, Service, Shared};
use crate::tls::{self, TlsOptions};
use crate::world::{World, WorldSpec};

/// What a simulator starts with.
#[derive(Debug, Default)]
pub struct SimOptions {
    /// What there is to back up.
    pub world: WorldSpec,
    /// The habits of the metadata API.
    pub gws: GwsBehaviour,
    /// The habits of the object store.
    pub s3: S3Behaviour,
    /// HTTPS instead of HTTP.
    pub tls: Option<TlsOptions>,
    /// The port of the metadata API on 127.0.0.1; 0: a free one.
    pub gws_port: u16,
    /// The port of the object store on 127.0.0.1; 0: a free one.
    pub s3_port: u16,
    /// Where requests are logged to, besides memory.
    pub log: Log,
}

/// A running recording cloud. Dropping it stops it, and panics if a planned fault never struck.
#[derive(Debug)]
pub struct Sim {
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
    gws_address: SocketAddr,
    s3_address: SocketAddr,
    ca_pem: Option<String>,
}

impl Sim {
    /// Starts a cloud.
    ///
    /// # Panics
    /// If a port cannot be had.
    pub fn start(options: SimOptions) -> Self {
        let shared = Arc::new(Shared {
            world: RwLock::new(World::new(options.world)),
            gws: RwLock::new(options.gws),
            s3: RwLock::new(options.s3),
            plan: Default::default(),
            log: Arc::new(options.log),
            peers: Default::default(),
            clock_offset_ms: Default::default(),
            listings: Default::default(),
            last_page: Default::default(),
            hidden: Default::default(),
            digests: Default::default(),
            index: Default::default(),
        });
        let certificates = options.tls.map(|tls| tls::make(&tls));
        let acceptor = certificates.as_ref().map(|made| made.acceptor.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("rcbs-sim")
            .enable_all()
            .build()
            .expect("threads can be started");
        let listen = |port: u16, service: Service| {
            let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
            listener.set_nonblocking(true).expect("a socket can be non-blocking");
            let address = listener.local_addr().expect("a bound socket has an address");
            let _inside = runtime.enter();
            let listener =
                tokio::net::TcpListener::from_std(listener).expect("the runtime takes sockets");
            runtime.spawn(server::serve(listener, acceptor.clone(), Arc::clone(&shared), service));
            address
        };
        let gws_address = listen(options.gws_port, Service::Gws);
        let s3_address = listen(options.s3_port, Service::S3(s3::service(&shared)));
        let ca_pem = certificates.map(|made| made.ca_pem);
        Self { shared, runtime: Some(runtime), gws_address, s3_address, ca_pem }
    }

    /// Starts a cloud over this world, with no bad habits.
    pub fn of(world: WorldSpec) -> Self {
        Self::start(SimOptions { world, ..SimOptions::default() })
    }

    /// Gives the value of `gwsUriPrefix`.
    pub fn gws_uri_prefix(&self) -> String {
        format!("{}{}", self.origin(self.gws_address), read(&self.shared.gws).prefix)
    }

    /// Gives the value of `awsEndpointUrl`.
    pub fn s3_endpoint(&self) -> String {
        self.origin(self.s3_address)
    }

    /// Gives the region of the first bucket.
    pub fn region(&self) -> String {
        self.world().spec().buckets[0].region.clone()
    }

    /// Gives the certificate of the authority that signed the servers' ones, as PEM; `None` without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Gives the environment that a client needs: names and values.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        let (gws, s3) = (read(&self.shared.gws), read(&self.shared.s3));
        [
            ("GWS_USERNAME", gws.user.clone()),
            ("GWS_PASSWORD", gws.password.clone()),
            ("AWS_ACCESS_KEY_ID", s3.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", s3.secret_key.clone()),
        ]
    }

    /// Renders all records and computes all sums of objects, so that requests from now on cost little.
    pub fn prepare(&self) {
        self.edit(World::prepare);
        s3::prepare(&self.shared);
    }

    /// Lets look at the world.
    pub fn world(&self) -> RwLockReadGuard<'_, World> {
        read(&self.shared.world)
    }

    /// Changes the world; the running services see it at once.
    pub fn edit<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut write(&self.shared.world))
    }

    /// Changes the habits of the metadata API.
    pub fn gws(&self, change: impl FnOnce(&mut GwsBehaviour)) {
        change(&mut write(&self.shared.gws));
    }

    /// Changes the habits of the object store.
    pub fn s3(&self, change: impl FnOnce(&mut S3Behaviour)) {
        change(&mut write(&self.shared.s3));
    }

    /// Plans a fault.
    pub fn add_fault(&self, fault: Fault) {
        self.shared.plan.add(fault);
    }

    /// Plans all faults of a plan.
    pub fn add_faults(&self, plan: &FaultPlan) {
        plan.faults.iter().for_each(|fault| self.add_fault(fault.clone()));
    }

    /// Forgets all planned faults, struck or not.
    pub fn clear_faults(&self) {
        self.shared.plan.clear();
    }

    /// Gives each planned fault and how often it has struck.
    pub fn faults(&self) -> Vec<(Fault, u64)> {
        self.shared.plan.counts()
    }

    /// Sets the services' clock so many milliseconds ahead of the real one, or behind it.
    pub fn clock_offset(&self, offset_ms: i64) {
        self.shared.clock_offset_ms.store(offset_ms, Ordering::Relaxed);
    }

    /// Gives the ids of the recordings that a fault has kept from a listing that asked for them.
    ///
    /// An empty, repeated or thinned page may hide whatever the range holds: only what stands on it is not counted.
    pub fn hidden(&self) -> BTreeSet<String> {
        lock(&self.shared.hidden).clone()
    }

    /// Gives all requests, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.log.requests()
    }

    /// Forgets all requests, so that the next run can be counted from nothing.
    pub fn clear_requests(&self) {
        self.shared.log.clear();
    }

    /// Gives how many requests there ever were, forgotten ones too.
    pub fn asked(&self) -> u64 {
        self.shared.log.opened()
    }

    /// Gives the number of listing requests.
    pub fn listings(&self) -> usize {
        self.requests().iter().filter(|request| request.route == Route::Listing).count()
    }

    /// Gives `bucket/key` of every GET of an object, in the order of arrival.
    pub fn media_opened(&self) -> Vec<String> {
        let opened = |request: Request| if request.opens_media() { request.key } else { None };
        self.requests().into_iter().filter_map(opened).collect()
    }

    /// Waits until a request satisfies a condition; says whether one did within half a minute.
    pub fn wait_for(&self, is_it: impl Fn(&Request) -> bool) -> bool {
        self.shared.log.wait_for(is_it, Duration::from_secs(30))
    }

    /// Waits until no client is connected and all that they asked for is in the log, which takes a moment longer than
    /// killing them; says whether it came to that within half a minute.
    pub fn wait_for_silence(&self) -> bool {
        let most = Duration::from_secs(30);
        let peers = &self.shared.peers;
        // Connections are accepted in their order: once this one is, no other waits for it.
        let accepted = [self.gws_address, self.s3_address].into_iter().all(|server| {
            let last = TcpStream::connect(server).expect("the simulator listens");
            let ends = (server, last.local_addr().expect("a connected socket has an address"));
            peers.wait_until(|open| open.contains(&ends), most)
        });
        accepted && peers.wait_until(|open| open.is_empty(), most)
    }

    fn origin(&self, address: SocketAddr) -> String {
        let scheme = if self.ca_pem.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", address.port())
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        let missed = self.shared.plan.missed();
        if missed.is_empty() || std::thread::panicking() {
            return;
        }
        let requests = self.requests();
        let tail: Vec<String> =
            requests.iter().rev().take(30).rev().map(|request| format!("  {request:?}")).collect();
        panic!(
            "planned faults that never struck:\n  {}\nthe last requests:\n{}",
            missed.join("\n  "),
            tail.join("\n")
        );
    }
}

/// Locks for reading, also after another thread panicked.
pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks for writing, also after another thread panicked.
pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
