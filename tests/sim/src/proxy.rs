//! A small forward proxy: HTTP in absolute form, and CONNECT.
//!
//! Given a port of its own, passes on what it is asked to, and keeps the hosts that it was asked for.
//! **Invariant**: it never looks into what it passes on.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::log::lock;

/// How a proxy behaves; may be changed at any time.
#[derive(Debug, Clone, Default)]
pub struct ProxyBehaviour {
    /// The user name and the password that it wants.
    pub login: Option<(String, String)>,
    /// What it answers where `METHOD host:port` has a text in it: the text, a status, and what
    /// `Proxy-Status` calls the error.
    pub refusals: Vec<(String, u16, String)>,
    /// Where a `host:port` really leads, for names that only the proxy knows, and for hosts that it
    /// puts itself in the place of.
    pub reroutes: Vec<(String, String)>,
    /// Breaks so many connections off, each after so many bytes that came from the service.
    pub breaks: Option<(u32, u64)>,
    /// With the first that is broken off it is gone, and nobody listens any more.
    pub dies: bool,
    /// Takes connections and says nothing.
    pub silent: bool,
}

/// A running proxy; dropping it stops it.
#[derive(Debug)]
pub struct Proxy {
    runtime: Option<Runtime>,
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    asked: Mutex<Vec<String>>,
    behaviour: Mutex<ProxyBehaviour>,
    broken: Mutex<u32>,
    dead: Notify,
}

impl Proxy {
    /// Starts a proxy that lets everybody through.
    ///
    /// # Panics
    /// If no port can be had.
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("rcbs-sim-proxy")
            .enable_all()
            .build()
            .expect("threads can be started");
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        listener.set_nonblocking(true).expect("a socket can be non-blocking");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let entered = runtime.enter();
        let listener = TcpListener::from_std(listener).expect("the runtime takes sockets");
        drop(entered);
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Self { runtime: Some(runtime), address, shared }
    }

    /// Starts a proxy that wants this user name and password.
    ///
    /// # Panics
    /// If no port can be had.
    pub fn start_with_login(user: &str, password: &str) -> Self {
        let proxy = Self::start();
        proxy.behave(|proxy| proxy.login = Some((user.to_owned(), password.to_owned())));
        proxy
    }

    /// Changes what it does from here on.
    pub fn behave(&self, change: impl FnOnce(&mut ProxyBehaviour)) {
        change(&mut lock(&self.shared.behaviour));
    }

    /// Gives the port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Gives what it was asked for, each as `METHOD host:port`, in the order of arrival; refused ones too.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.shared.asked).clone()
    }

    /// Gives how many connections it has broken off.
    pub fn broken(&self) -> u32 {
        *lock(&self.shared.broken)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let client = tokio::select! {
            client = listener.accept() => client,
            () = shared.dead.notified() => return,
        };
        let Ok((client, _)) = client else { return };
        let shared = Arc::clone(&shared);
        // How a connection ends is the client's to judge.
        tokio::spawn(async move { pass(client, &shared).await.ok() });
    }
}

async fn pass(mut client: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let (head, rest) = read_head(&mut client).await?;
    let mut lines = head.lines();
    let first: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, version] = first[..] else {
        return client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    };
    let bare = target.strip_prefix("http://").unwrap_or(target);
    let (host, path) = bare.split_at(bare.find('/').unwrap_or(bare.len()));
    let asked = format!("{method} {host}");
    lock(&shared.asked).push(asked.clone());
    let behaviour = lock(&shared.behaviour).clone();
    if behaviour.silent {
        return std::future::pending().await;
    }
    let headers: Vec<(&str, &str)> =
        lines.filter_map(|line| line.split_once(':')).map(|(n, v)| (n, v.trim())).collect();
    let given = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"));
    if behaviour.wants(given.map(|(_, value)| *value)) {
        let more = "Proxy-Authenticate: Basic realm=\"box\"\r\n";
        return refuse(&mut client, 407, more).await;
    }
    let refusal = behaviour.refusals.iter().find(|(text, ..)| asked.contains(text.as_str()));
    if let Some((_, status, error)) = refusal {
        return refuse(&mut client, *status, &format!("Proxy-Status: box; error={error}\r\n"))
            .await;
    }
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let reroute = behaviour.reroutes.iter().find(|(from, _)| *from == address);
    let address = reroute.map_or(&address, |(_, to)| to);
    let Ok(mut server) = TcpStream::connect(address).await else {
        return refuse(&mut client, 502, "Proxy-Status: box; error=connection_refused\r\n").await;
    };
    if method == "CONNECT" {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    } else {
        // One request a connection, so that each of them is seen.
        let mut passed =
            format!("{method} {} {version}\r\n", if path.is_empty() { "/" } else { path });
        let own = |name: &str| {
            name.to_ascii_lowercase().starts_with("proxy-")
                || name.eq_ignore_ascii_case("connection")
        };
        for (name, value) in headers.iter().filter(|(name, _)| !own(name)) {
            passed.push_str(&format!("{name}: {value}\r\n"));
        }
        server.write_all((passed + "Connection: close\r\n\r\n").as_bytes()).await?;
    }
    server.write_all(&rest).await?;
    carry(client, server, shared).await
}

impl ProxyBehaviour {
    /// Whether it wants a login, and another one than that which was given.
    fn wants(&self, given: Option<&str>) -> bool {
        self.login.as_ref().is_some_and(|(user, password)| {
            let pair = format!("{user}:{password}");
            let pair = base64::engine::general_purpose::STANDARD.encode(pair);
            given != Some(&format!("Basic {pair}"))
        })
    }
}

async fn refuse(client: &mut TcpStream, status: u16, more: &str) -> std::io::Result<()> {
    let head =
        format!("HTTP/1.1 {status} No\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n");
    client.write_all(head.as_bytes()).await
}

/// Carries bytes both ways, until an end closes or the proxy breaks it off.
async fn carry(client: TcpStream, server: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = tokio::spawn(async move {
        let copied = tokio::io::copy(&mut from_client, &mut to_server).await;
        to_server.shutdown().await.ok();
        copied
    });
    let mut buffer = vec![0; 16 * 1024];
    let mut carried = 0;
    loop {
        let read = from_server.read(&mut buffer).await?;
        if read == 0 {
            to_client.shutdown().await.ok();
            return there.await.map(|_| ()).map_err(std::io::Error::other);
        }
        carried += read as u64;
        if shared.breaks(carried) {
            there.abort();
            return Ok(());
        }
        to_client.write_all(&buffer[..read]).await?;
    }
}

impl Shared {
    /// Whether a connection is to be broken off that has carried so many bytes.
    fn breaks(&self, carried: u64) -> bool {
        let mut behaviour = lock(&self.behaviour);
        match &mut behaviour.breaks {
            Some((times, after)) if *times > 0 && carried > *after => {
                *times -= 1;
                *lock(&self.broken) += 1;
                if behaviour.dies {
                    self.dead.notify_one();
                }
                true
            }
            _ => false,
        }
    }
}

/// Reads up to the empty line, and gives what came behind it too.
async fn read_head(client: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        if client.read_buf(&mut bytes).await? == 0 || bytes.len() > 64 * 1024 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}
