//! What is closed to others: permissions, links, other origins, certificates that prove nothing.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use rcbs_sim::{Action, Fault, Media, Recording, Route, Sim, SimOptions, TlsOptions, WorldSpec};

use crate::harness::{BUCKET, HOUR_MS, REGION, Site, files_below, now_ms};

fn site() -> Site {
    let mut site = Site::of(0);
    site.properties = format!("maxAge=PT2H\ns3MaxErrorRetry=0\n{REGION}");
    site
}

/// All folders and files below a folder, whatever the program put there.
fn everything(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.clone());
        if path.is_dir() && !path.is_symlink() {
            found.extend(everything(&path));
        }
    }
    found.sort();
    found
}

/// Makes every kind of thing that a tree may hold: recordings, old and rejected records.
fn fill(site: &Site) {
    let at = now_ms() - HOUR_MS;
    site.add("R", at);
    site.rcbs(&[]).exits(0);
    let changed = Recording::new("R", at).with(Media::voice("R_voice.mp3.bin", BUCKET, 300));
    site.sim.edit(|world| {
        world.put(Recording { seed: 7, ..changed });
        world.add(Recording::new("none", at).with_json("[]"));
    });
    site.rcbs(&[]).exits(3);
    assert!(site.target().join(".rcbs/rejected").exists() && !site.old().is_empty());
}

#[test]
fn every_file_and_folder_has_the_permissions_asked_for_whatever_the_umask() {
    for (umask, modes, file, folder) in [
        ("000", "", 0o640, 0o750),
        ("077", "", 0o640, 0o750),
        ("000", "fileMode=0600\nfolderMode=0700\n", 0o600, 0o700),
        ("077", "fileMode=0664\nfolderMode=0775\nstateDir=state\n", 0o664, 0o775),
    ] {
        let mut site = site();
        site.properties.push_str(modes);
        site.umask = Some(umask);
        fill(&site);
        let mut all = everything(&site.target());
        if modes.contains("stateDir") {
            all.extend(everything(&site.folder.path().join("state")));
        }
        for one in [".rcbs/lock", ".rcbs/id", ".rcbs/state.json", ".rcbs/staged"] {
            assert!(all.iter().any(|path| path.ends_with(one)), "{one} in {all:?}");
        }
        for path in all {
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            let expected = if metadata.is_dir() { folder } else { file };
            let mode = metadata.permissions().mode() & 0o777;
            assert_eq!(mode, expected, "{mode:o} of {} under {umask}", path.display());
        }
    }
}

#[test]
fn no_link_is_followed_in_the_place_of_anything_that_a_run_makes() {
    let whole = site();
    fill(&whole);
    let folder = whole.folder.path();
    let target = whole.target();
    let mut places = everything(&target);
    // What only a run that is at work has.
    places.push(target.join(".rcbs/staged/0"));
    assert!(places.len() > 14, "{places:?}");
    let elsewhere = folder.join("elsewhere");
    let aside = folder.join("aside");
    for (number, place) in places.into_iter().enumerate() {
        // A link to what is not there yet, or to what was there; the program's own files are opened
        // as they are, so that a link to nothing would fail by itself.
        let is_own = place.parent().is_some_and(|parent| parent.ends_with(".rcbs"));
        let dangles = number % 2 == 0 && !is_own;
        let is_folder = place.is_dir();
        std::fs::create_dir(&elsewhere).unwrap();
        let to = elsewhere.join("it");
        let was_there = place.exists();
        if was_there {
            std::fs::rename(&place, &aside).unwrap();
        }
        if !dangles {
            match (was_there, is_folder) {
                (true, true) => copy(&aside, &to),
                (true, false) => drop(std::fs::copy(&aside, &to).unwrap()),
                (false, _) => std::fs::write(&to, "").unwrap(),
            }
        }
        std::os::unix::fs::symlink(&to, &place).unwrap();
        let before = files_below(&elsewhere);
        // Something to be written wherever it goes: a record that changed, and another that
        // cannot be read.
        let number = now_ms();
        whole.sim.edit(|world| {
            let known = world.find("R").unwrap();
            world.put(Recording { seed: number as u64, ..(*known).clone() });
            let none = Recording::new("none", known.start_ms);
            world.put(none.with_json(format!("[{number}]")));
        });
        let run = whole.rcbs(&[]);
        let relative = place.strip_prefix(&target).unwrap().display().to_string();
        let is_named = run.stderr.contains(&place.display().to_string());
        // What was once put aside is not looked at again.
        let is_aside = ["old", "rejected"].iter().any(|of| relative.contains(of)) && !is_folder;
        assert!(is_aside || run.code == 6 && is_named, "{relative}, {dangles}\n{run}");
        assert!(files_below(&elsewhere) == before, "written through {relative}\n{run}");
        std::fs::remove_file(&place).unwrap();
        std::fs::remove_dir_all(&elsewhere).unwrap();
        if was_there {
            std::fs::rename(&aside, &place).unwrap();
        }
    }
    whole.rcbs(&[]).exits(3);
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// Someone else's server, which keeps all that it is told and answers nothing useful.
struct Stranger {
    origin: String,
    heard: Arc<Mutex<String>>,
}

impl Stranger {
    fn start() -> Stranger {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&heard);
        // It ends with the process of the test.
        std::thread::spawn(move || {
            for mut socket in listener.incoming().flatten() {
                let mut head = vec![0; 16 << 10];
                let length = socket.read(&mut head).unwrap_or(0);
                into.lock().unwrap().push_str(&String::from_utf8_lossy(&head[..length]));
                let answer =
                    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = socket.write_all(answer.as_bytes());
            }
        });
        Stranger { origin, heard }
    }

    fn heard(&self) -> String {
        self.heard.lock().unwrap().to_lowercase()
    }
}

#[test]
fn no_redirect_takes_a_login_a_cookie_or_a_signature_to_another_origin() {
    for status in [301, 303, 307] {
        for route in [Route::Settings, Route::Listing, Route::S3, Route::Media] {
            let stranger = Stranger::start();
            let site = site();
            site.add("R", now_ms() - HOUR_MS);
            let uri = format!("/api/v2/media/{BUCKET}/by-hand/U.mp3.bin");
            let json = format!(
                r#"{{"id":"U","startTime":{},"mediaFiles":[{{"mediaId":"U.mp3.bin","mediaUri":"{uri}"}}]}}"#,
                now_ms() - HOUR_MS
            );
            let media = Media::voice("U.mp3.bin", BUCKET, 80);
            let recording = Recording::new("U", now_ms() - HOUR_MS).with(media).with_json(json);
            site.sim.edit(|world| world.add(recording));
            let away = Action::Answer {
                status,
                headers: vec![("Location".to_owned(), format!("{}/x", stranger.origin))],
                body: String::new(),
            };
            site.sim.add_fault(Fault::on(route, away));
            let run = site.rcbs(&["--set", "s3MaxErrorRetry=0"]);
            assert!([3, 4, 7].contains(&run.code), "{route:?} {status}\n{run}");
            assert_eq!(stranger.heard(), "", "{route:?} {status}\n{run}");
            if route == Route::Media {
                // One that may be asked is asked like by anybody.
                let listed = format!("mediaOrigins={}", stranger.origin);
                site.rcbs(&["--set", &listed]).exits(3);
                let heard = stranger.heard();
                assert!(heard.starts_with("get /x http/1.1\r\n"), "{heard}");
                let is_private = |line: &str| {
                    ["authorization", "cookie", "x-amz", "referer", "proxy"]
                        .iter()
                        .any(|name| line.starts_with(name))
                };
                assert!(!heard.lines().any(is_private), "{heard}");
            }
        }
    }
}

#[test]
fn no_service_is_spoken_to_whose_certificate_proves_nothing() {
    let tls = |tls: TlsOptions| {
        let world = WorldSpec { recordings: 0, ..WorldSpec::default() };
        Sim::start(SimOptions { world, tls: Some(tls), ..SimOptions::default() })
    };
    for (other, words, is_trusted) in [
        (tls(TlsOptions::default()), "is not trusted", false),
        (tls(TlsOptions { self_signed: true, ..TlsOptions::default() }), "is not trusted", false),
        (tls(TlsOptions { wrong_host: true, ..TlsOptions::default() }), "for another host", true),
        (tls(TlsOptions { expired: true, ..TlsOptions::default() }), "has expired", true),
    ] {
        let mut site = site();
        if is_trusted {
            let pem = other.ca_pem().unwrap();
            std::fs::write(site.folder.path().join("ca.pem"), pem).unwrap();
            site.properties.push_str("caBundle=ca.pem\n");
        }
        // What other programs take for a wish to look the other way.
        for name in ["NODE_TLS_REJECT_UNAUTHORIZED", "PYTHONHTTPSVERIFY", "GIT_SSL_NO_VERIFY"] {
            site.environment.insert(name, Some("0".to_owned()));
        }
        site.add("R", now_ms() - HOUR_MS);
        let origin = other.gws_uri_prefix().replace("/api/v2", "");
        let json = format!(
            r#"{{"id":"U","startTime":{},"mediaFiles":[{{"mediaId":"U.mp3.bin","mediaUri":"{origin}/x"}}]}}"#,
            now_ms() - HOUR_MS
        );
        let web = Recording::new("U", now_ms() - HOUR_MS).with_json(json);
        site.sim.edit(|world| world.add(web));
        let listed = format!("mediaOrigins={origin}");
        let endpoint = format!("awsEndpointUrl={}", other.s3_endpoint());
        let prefix = format!("gwsUriPrefix={}", other.gws_uri_prefix());
        for (target, set) in [("a", &listed), ("b", &endpoint), ("c", &prefix)] {
            let target = format!("targetDir={target}");
            let run = site.rcbs(&["--set", set, "--set", &target, "--set", "s3MaxErrorRetry=0"]);
            run.says(words);
            assert!([3, 7].contains(&run.code), "{run}");
        }
        assert!(other.requests().is_empty(), "{:?}", other.requests());
    }
}

#[test]
fn no_line_of_the_program_turns_the_proof_of_certificates_off() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let words = [
        "danger_",
        "accept_invalid",
        "VerifyMode",
        "set_verify",
        "verify_hostname",
        "ServerCertVerifier",
        "SSL_VERIFY",
        "min_tls_version",
        "http1_allow",
    ];
    let mut read = 0;
    for (path, bytes) in files_below(&root.join("src")) {
        let text = String::from_utf8(bytes).unwrap();
        for (number, line) in text.lines().enumerate() {
            let found = words.iter().find(|word| line.contains(*word));
            assert!(found.is_none(), "src/{path}:{}: {line}", number + 1);
        }
        read += usize::from(path == "http.rs");
    }
    assert_eq!(read, 1, "the client is made in src/http.rs");
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_that_is_aborted_leaves_no_image_of_its_memory() {
    let site = site();
    let silence = Action::Delay(std::time::Duration::from_secs(60));
    site.sim.add_fault(Fault::on(Route::Settings, silence));
    let program = site.command(&[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -c unlimited 2>/dev/null; exec \"$0\" \"$@\""]);
    shell.arg(program.get_program()).args(program.get_args()).env_clear();
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.env("PATH", "/usr/bin:/bin").current_dir(site.folder.path());
    let mut child = shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(site.sim.wait_for(|request| request.route == Route::Settings));
    let abort = Command::new("kill").args(["-ABRT", &child.id().to_string()]).status().unwrap();
    assert!(abort.success());
    let ended = child.wait().unwrap();
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(6), false));
}
