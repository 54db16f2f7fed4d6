//! A small forward proxy: HTTP in absolute form, and CONNECT.
//!
//! Given a port of its own, passes on what it is asked to, and keeps the hosts that it was asked for.
//! **Invariant**: it never looks into what it passes on.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::log::lock;

/// A running proxy; dropping it stops it.
#[derive(Debug)]
pub struct Proxy {
    runtime: Option<Runtime>,
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts a proxy that lets everybody through.
    ///
    /// # Panics
    /// If no port can be had.
    pub fn start() -> Self {
        Self::start_for(None)
    }

    /// Starts a proxy that wants this user name and password.
    ///
    /// # Panics
    /// If no port can be had.
    pub fn start_with_login(user: &str, password: &str) -> Self {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        Self::start_for(Some(format!("Basic {pair}")))
    }

    /// Gives the port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Gives what it was asked for, each as `METHOD host:port`, in the order of arrival; refused ones too.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.asked).clone()
    }

    fn start_for(login: Option<String>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("rcbs-sim-proxy")
            .enable_all()
            .build()
            .expect("threads can be started");
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        listener.set_nonblocking(true).expect("a socket can be non-blocking");
        let address = listener.local_addr().expect("a bound socket has an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let entered = runtime.enter();
        let listener = TcpListener::from_std(listener).expect("the runtime takes sockets");
        drop(entered);
        runtime.spawn(accept(listener, login, Arc::clone(&asked)));
        Self { runtime: Some(runtime), address, asked }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, login: Option<String>, asked: Arc<Mutex<Vec<String>>>) {
    while let Ok((client, _)) = listener.accept().await {
        let (login, asked) = (login.clone(), Arc::clone(&asked));
        // How a connection ends is the client's to judge.
        tokio::spawn(async move { pass(client, login, &asked).await.ok() });
    }
}

async fn pass(
    mut client: TcpStream,
    login: Option<String>,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let (head, rest) = read_head(&mut client).await?;
    let mut lines = head.lines();
    let first: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, version] = first[..] else {
        return client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    };
    let bare = target.strip_prefix("http://").unwrap_or(target);
    let (host, path) = bare.split_at(bare.find('/').unwrap_or(bare.len()));
    lock(asked).push(format!("{method} {host}"));
    let headers: Vec<(&str, &str)> =
        lines.filter_map(|line| line.split_once(':')).map(|(n, v)| (n, v.trim())).collect();
    let given = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"));
    if login.is_some_and(|login| given.is_none_or(|(_, value)| *value != login)) {
        let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"box\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return client.write_all(refusal).await;
    }
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let Ok(mut server) = TcpStream::connect(address).await else {
        return client
            .write_all(
                b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            )
            .await;
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
    copy_bidirectional(&mut client, &mut server).await.map(drop)
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
