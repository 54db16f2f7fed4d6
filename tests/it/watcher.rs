//! A service on 127.0.0.1 that is pinged, and remembers what it was told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// One request: its method with its path, and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) asked: String,
    pub(crate) body: String,
}

pub(crate) struct Watcher {
    at: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
    served: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Answers each request with a status, by its number from 0.
    pub(crate) fn start(status: impl Fn(usize) -> u16 + Send + 'static) -> Watcher {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let at = listener.local_addr().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&told);
        let served = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Some(one) = stream.ok().map(|stream| answer(stream, &all, &status)) else {
                    return;
                };
                // The watcher itself says nothing when it wants an end.
                if one.is_none() {
                    return;
                }
            }
        });
        Watcher { at, told, served: Some(served) }
    }

    /// Its address, without a path.
    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.at)
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.told().into_iter().map(|told| told.asked).collect()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(TcpStream::connect(self.at));
        self.served.take().unwrap().join().unwrap();
    }
}

fn answer(
    mut stream: TcpStream,
    told: &Mutex<Vec<Told>>,
    status: &impl Fn(usize) -> u16,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        let lines = lines.iter().map(|line| line.to_lowercase());
        lines.filter_map(|line| Some(line.strip_prefix(name)?.trim().to_owned())).next()
    };
    let bytes = header("content-length:").map_or(0, |bytes| bytes.parse().unwrap());
    let mut body = vec![0; bytes];
    reader.read_exact(&mut body).unwrap();
    let asked = lines[0].rsplit_once(' ').unwrap().0.to_owned();
    let mut told = told.lock().unwrap();
    let status = status(told.len());
    told.push(Told { asked, body: String::from_utf8(body).unwrap() });
    // One connection, one request: the next comes by another.
    let head = format!("HTTP/1.1 {status} So\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    Some(())
}
