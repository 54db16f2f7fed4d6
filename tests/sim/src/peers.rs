//! Who is connected at the moment, by both ends of each connection.
//!
//! **Invariant**: a connection is here from before its first byte is read until after the last request that came by it
//! is in the log.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::log::lock;

/// The server's end of a connection and the client's.
pub(crate) type Ends = (SocketAddr, SocketAddr);

/// The open connections of one simulator.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    open: Mutex<BTreeSet<Ends>>,
    changed: Condvar,
}

impl Peers {
    /// Enters a connection, until what is given is dropped.
    pub(crate) fn enter(self: &Arc<Self>, ends: Ends) -> Present {
        lock(&self.open).insert(ends);
        self.changed.notify_all();
        Present { peers: Arc::clone(self), ends }
    }

    /// Waits until the open connections satisfy a condition; says whether they did in time.
    pub(crate) fn wait_until(&self, so: impl Fn(&BTreeSet<Ends>) -> bool, most: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(lock(&self.open), most, |open| !so(open));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

/// An entry of [`Peers`].
pub(crate) struct Present {
    peers: Arc<Peers>,
    ends: Ends,
}

impl Drop for Present {
    fn drop(&mut self) {
        lock(&self.peers.open).remove(&self.ends);
        self.peers.changed.notify_all();
    }
}
