//! Bad days: credentials that expire on the way, clocks that jump, answers without end.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use rcbs_sim::{Action, Fault, Form, Hits, Media, Recording, Route};

use crate::harness::{BUCKET, HOUR_MS, REGION, Site, files_below, now_ms};
use crate::sound::{Reference, renew};

#[test]
fn what_expires_in_the_middle_of_a_run_ends_it_and_the_next_one_completes_it() {
    let mut site = Site::of(30);
    site.properties += REGION;
    site.properties += "maxConnections=2\n";
    let reference = Reference::of(&mut site);
    for (route, from, action, words) in [
        (Route::S3, 10, Action::s3_error(400, "ExpiredToken"), "S3 refuses the credentials"),
        (Route::S3, 10, Action::s3_error(403, "InvalidAccessKeyId"), "S3 refuses the credentials"),
        (Route::S3, 10, Action::s3_error(403, "RequestTimeTooSkewed"), "this machine's clock"),
        (Route::Listing, 3, Action::status(401), "GWS refuses the login"),
        (Route::Listing, 3, Action::gws_code(200, 20), "GWS refuses the login"),
    ] {
        site.sim.add_fault(Fault::on(route, action).hits(Hits::From(from)));
        let run = site.rcbs(&[]);
        run.exits(4).says(words).says("hint: ");
        if route == Route::S3 {
            let held = site.tree().keys().filter(|path| path.ends_with(".bin")).count();
            assert!(held >= 5, "{held} held of those that came before\n{run}");
        }
        site.sim.clear_faults();
        reference.assert_sound_and_completed(&site, &run);
        renew(&mut site);
    }
}

#[test]
fn a_clock_that_jumps_in_the_middle_of_a_run_leaves_no_hole() {
    let mut site = Site::of(30);
    site.properties += REGION;
    site.properties += "maxConnections=2\n";
    let reference = Reference::of(&mut site);
    for hours in [-5, 5] {
        let wait = Action::Delay(std::time::Duration::from_millis(500));
        site.sim.add_fault(Fault::on(Route::S3, wait).hits(Hits::Nth(9)));
        site.sim.clear_requests();
        let run = std::thread::scope(|scope| {
            let run = scope.spawn(|| site.rcbs(&[]));
            assert!(site.sim.wait_for(|request| !request.faults.is_empty()));
            site.sim.clock_offset(hours * HOUR_MS);
            run.join().unwrap()
        });
        run.exits(4).says("hint: set this machine's clock, best by NTP");
        site.sim.clear_faults();
        site.sim.clock_offset(0);
        reference.assert_sound_and_completed(&site, &run);
        renew(&mut site);
    }
}

/// How much of an answer without end there is at most, should nobody mind.
const END: u64 = 512 << 20;

/// Answers every request with these bytes, and then with others again and again as long as
/// somebody listens; gives the address, and counts what it sends. Its threads end with the
/// connections.
fn endless(head: Vec<u8>, then: Vec<u8>) -> (String, Arc<AtomicU64>) {
    let sent_bytes = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent_bytes);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answer = move |stream: TcpStream| {
        let mut lines = BufReader::new(&stream).lines();
        if lines.any(|line| line.is_ok_and(|line| line.is_empty())) {
            let mut stream = &stream;
            let mut sent = stream.write_all(&head);
            while sent.is_ok() && count.fetch_add(then.len() as u64, Relaxed) < END {
                sent = stream.write_all(&then);
            }
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().take(1_000) {
            let answer = answer.clone();
            std::thread::spawn(move || answer(stream.unwrap()));
        }
    });
    (address, sent_bytes)
}

/// Runs the program; gives its exit code, what it said, and the most memory it had, in KiB.
fn run_and_watch(site: &Site, args: &[&str]) -> (Option<i32>, String, u64) {
    let mut command = site.command(args);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = child.stderr.take().unwrap();
    let said = std::thread::spawn(move || std::io::read_to_string(stderr).unwrap());
    let started = std::time::Instant::now();
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > std::time::Duration::from_secs(100) {
            child.kill().unwrap();
        }
        // Of a process that has ended there is none; the one before was its peak.
        let now = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        let line = now.unwrap_or_default();
        let line = line.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        peak = kib.unwrap_or(0).max(peak);
        std::thread::yield_now();
    };
    (status.code(), said.join().unwrap(), peak)
}

/// Deflates a text and what would be a letter repeated for ever: what repeats it 2064 times more
/// has 13 bytes.
fn bomb(text: &str) -> (Vec<u8>, Vec<u8>) {
    let mut head = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    // The text as it is, in a block of its own.
    let length = text.len() as u16;
    head.push(0);
    head.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
    head.extend(text.bytes());
    // A block of fixed codes: its first three bits, an `x`, and so many repetitions of 258 letters,
    // a letter back, that it comes to the end of a byte.
    let code = |value: u16, bits: u32| (0..bits).rev().map(move |bit| value >> bit & 1);
    let again = || code(0b1100_0101, 8).chain(code(0, 5));
    let begin = [0, 1, 0].into_iter().chain(code(u16::from(b'x') + 0x30, 8));
    // 3 + 8 bits, and 13 for each of one: 24.
    head.extend(bytes(begin.chain(again())));
    (head, bytes((0..8).flat_map(|_| again())))
}

fn bytes(bits: impl Iterator<Item = u16>) -> Vec<u8> {
    let bits: Vec<u16> = bits.collect();
    let byte = |eight: &[u16]| eight.iter().rev().fold(0, |byte, bit| byte << 1 | *bit as u8);
    bits.chunks_exact(8).map(byte).collect()
}

#[test]
fn answers_that_do_not_end_cost_neither_memory_nor_time() {
    let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let record = r#"{"statusCode":0,"recordings":[{"id":"x"#;
    let (packed, more) = bomb(record);
    let packed = [json.as_bytes(), b"Content-Encoding: gzip\r\n\r\n", &packed].concat();
    let plain = |body: &str| format!("{json}\r\n{body}").into_bytes();
    let large = "is larger than 16777216 bytes";
    for (head, then, words) in [
        (packed, more.repeat(2_000), large),
        (plain(record), b"x".repeat(20_000), large),
        (plain(r#"{"statusCode":0,"recordings":["#), b" ".repeat(20_000), large),
        (plain(r#"{"statusCode":0,"statusMessage":""#), b"y".repeat(20_000), large),
        (plain(""), b"[".repeat(20_000), "not a JSON object"),
        (
            b"HTTP/1.1 200 OK\r\n".to_vec(),
            b"X-Header: and another\r\n".repeat(100),
            "message head is too large",
        ),
    ] {
        let site = Site::of(0);
        let (address, sent) = endless(head.clone(), then);
        let prefix = format!("gwsUriPrefix={address}/api/v2");
        let args = ["--set", &prefix, "--set", "shardBy=3", "--set", "s3MaxErrorRetry=0"];
        let (code, said, peak_kib) = run_and_watch(&site, &args);
        let head = String::from_utf8_lossy(&head);
        assert!(code == Some(7) && said.contains(words), "{code:?} {head}\n{said}");
        assert!(peak_kib > 1_000 && peak_kib < 128 * 1024, "{peak_kib} KiB for {head}\n{said}");
        assert!(sent.load(Relaxed) < END / 2, "{sent:?} bytes were read of {head}\n{said}");
        assert_eq!((site.watermark(), site.tree().len()), (None, 0));
    }
}

#[test]
fn an_object_that_does_not_end_where_its_envelope_does_fails_alone_and_fills_no_disk() {
    for form in [Form::Attached, Form::AttachedBer] {
        let mut site = Site::of(0);
        site.properties += REGION;
        let media = Media { form, ..Media::voice("R.mp3.bin", BUCKET, 50_000) };
        let recording = Recording::new("R", now_ms() - HOUR_MS).with(media.clone());
        site.sim.edit(|world| world.add(recording));
        let object = site.sim.world().expected_object(&media.bucket, &media.key);
        // In one chunk without end, as nobody says how long it is.
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n";
        let (address, sent) = endless([&head[..], &object].concat(), vec![0; 20_000]);
        let endpoint = format!("awsEndpointUrl={address}");
        let (code, said, peak_kib) = run_and_watch(&site, &["--set", &endpoint]);
        let why = "recording `R`: media `R.mp3.bin`: ";
        assert!(code == Some(3) && said.contains(why), "{code:?} {said}");
        assert!(peak_kib < 128 * 1024, "{peak_kib} KiB\n{said}");
        assert!(sent.load(Relaxed) < END / 2, "{sent:?} bytes were read\n{said}");
        let held = files_below(&site.target());
        let bytes: usize = held.values().map(Vec::len).sum();
        assert!(bytes < 2_000_000, "{bytes} bytes are held\n{said}");
        assert!(!held.keys().any(|path| path.ends_with(".bin")), "{said}");
        site.rcbs(&[]).exits(0);
        site.assert_holds(|_| true);
    }
}
