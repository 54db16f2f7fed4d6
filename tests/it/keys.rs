//! `rcbs keys`: new keys, what they are needed for, and what cannot be opened without them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use rcbs_sim::envelope::{by_openssl, recipients, write_keys};
use rcbs_sim::{Form, Sim, WorldSpec};

use crate::harness::{DAY_MS, REGION, Run, Site, files_below, now_ms};

/// Runs `openssl` in the folder of a site; gives what it prints.
#[track_caller]
fn openssl(site: &Site, line: &str) -> Vec<u8> {
    let mut command = Command::new("openssl");
    let output = command.current_dir(site.folder.path()).args(line.split(' ')).output().unwrap();
    assert!(output.status.success(), "openssl {line}: {output:?}");
    output.stdout
}

fn put(site: &Site, path: &str, bytes: &[u8]) {
    let path = site.folder.path().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// A site whose tree is full of recordings for three certificates; their keys lie in `keys`.
fn filled() -> Site {
    let to_ms = now_ms() - 5_000;
    let mut site = Site::over(Sim::of(WorldSpec {
        from_ms: to_ms - 2 * DAY_MS,
        to_ms,
        recordings: 30,
        forms: vec![Form::Attached, Form::AttachedBer, Form::Detached],
        recipients: 3,
        ..WorldSpec::default()
    }));
    site.properties += REGION;
    site.rcbs(&[]).exits(0);
    write_keys(&site.folder.path().join("keys")).unwrap();
    site
}

/// The paths of all held media files for a recipient.
fn held_for(site: &Site, recipient: usize) -> BTreeSet<String> {
    let world = site.sim.world();
    let media = world.recordings().flat_map(|it| world.listed_media(&it));
    let media = media.filter(|it| it.recipient == recipient);
    let ids: Vec<_> = media.map(|it| it.media_id.replace('/', "%2F")).collect();
    let held = site.tree().into_keys();
    let is_of = |path: &String| ids.iter().any(|id| path.contains(id.as_str()));
    held.filter(|path| path.ends_with(".bin") && is_of(path)).collect()
}

fn remove_key(site: &Site, recipient: usize, endings: &[&str]) {
    for ending in endings {
        let file = format!("keys/tenant-{recipient}.{ending}");
        std::fs::remove_file(site.folder.path().join(file)).unwrap();
    }
}

/// How recipients are called in what is printed.
fn label(recipient: usize) -> String {
    let certificate = &recipients()[recipient].certificate;
    let serial = certificate.serial_number().to_bn().unwrap().to_dec_str().unwrap();
    let issuer = certificate.issuer_name().entries().next().unwrap().data().to_string().unwrap();
    format!("serial {serial} of CN={issuer}")
}

/// The lines of what is printed that name this.
fn lines<'r>(run: &'r Run, words: &str) -> Vec<&'r str> {
    run.stdout.lines().filter(|line| line.contains(words)).collect()
}

#[test]
fn a_new_key_is_what_openssl_makes_and_reads() {
    let site = Site::of(0);
    let subject = "/CN=Recordings 2027/C=US/O=Example";
    let run = site.rcbs(&["keys", "new", "--out", "k", "--subject", subject, "--days", "100"]);
    run.exits(0).says("k/tenant.key").says("CN=Recordings 2027,C=US,O=Example").says("Upload");
    let until = String::from_utf8(openssl(&site, "x509 -in k/tenant.pem -noout -enddate")).unwrap();
    assert!(until.starts_with("notAfter="), "{until}");
    assert_eq!(openssl(&site, "rsa -in k/tenant.key -check -noout"), b"RSA key ok\n");
    let text = String::from_utf8(openssl(&site, "x509 -in k/tenant.pem -noout -text")).unwrap();
    for words in [
        "Version: 3",
        "sha256WithRSAEncryption",
        "Subject: CN = Recordings 2027, C = US, O = Example",
        "Public-Key: (3072 bit)",
        "Key Encipherment, Data Encipherment",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    openssl(&site, "verify -CAfile k/tenant.pem k/tenant.pem");
    // What is documented for tenants on Azure gives the very same file.
    let convert = "pkcs8 -topk8 -inform pem -in k/tenant.key -outform pem -nocrypt";
    let made = std::fs::read(site.folder.path().join("k/tenant.private.pem")).unwrap();
    assert_eq!(openssl(&site, convert), made);
    let first = std::fs::read(site.folder.path().join("k/tenant.key")).unwrap();
    assert!(first.starts_with(b"-----BEGIN RSA PRIVATE KEY-----"));
}

#[test]
fn what_is_encrypted_for_a_new_certificate_opens_with_its_key() {
    let site = Site::of(0);
    site.rcbs(&["keys", "new", "--out", "k", "--bits", "2048"]).exits(0);
    put(&site, "plain", b"ID3 a call");
    std::fs::create_dir(site.folder.path().join("tree")).unwrap();
    for (name, options) in
        [("a", "-aes128"), ("b", "-stream -aes256"), ("c", "-keyid"), ("d", "-des3")]
    {
        let seal = format!("cms -encrypt -binary -in plain -outform DER -out tree/{name}.bin");
        openssl(&site, &format!("{seal} {options} k/tenant.pem"));
    }
    let oaep = "-recip k/tenant.pem -keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256";
    openssl(&site, &format!("cms -encrypt -binary -in plain -outform DER -out tree/e.bin {oaep}"));
    let open = "cms -decrypt -inform DER -binary -in tree/b.bin -inkey k/tenant.key";
    assert_eq!(openssl(&site, open), b"ID3 a call");
    for keys in ["k", "k/tenant.key", "k/tenant.private.pem"] {
        let run = site.rcbs(&["keys", "check", "--keys", keys, "tree"]);
        run.exits(0).says("Checked: 5 media files, with a key: 5, without: 0");
    }
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_a_new_key_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    for umask in ["000", "777"] {
        let site = Site::of(0);
        std::fs::create_dir(site.folder.path().join("k")).unwrap();
        let mut command = Command::new("sh");
        let line = format!("umask {umask}; exec \"$0\" keys new --out k --bits 2048");
        command.args(["-c", &line, env!("CARGO_BIN_EXE_rcbs")]);
        let output = command.current_dir(site.folder.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        for name in ["tenant.key", "tenant.pem", "tenant.private.pem"] {
            let made = std::fs::metadata(site.folder.path().join("k").join(name)).unwrap();
            assert_eq!(made.permissions().mode() & 0o777, 0o600, "{umask} {name}");
        }
    }
}

#[test]
fn a_new_key_is_never_written_over_anything() {
    for name in ["tenant.key", "tenant.pem", "tenant.private.pem"] {
        let site = Site::of(0);
        put(&site, &format!("k/{name}"), b"precious");
        let run = site.rcbs(&["keys", "new", "--out", "k", "--bits", "2048"]);
        run.exits(2).says(&format!("`k/{name}` is there already")).says("--name");
        let left = files_below(&site.folder.path().join("k"));
        assert_eq!(left.into_iter().collect::<Vec<_>>(), [(name.to_owned(), b"precious".to_vec())]);
        site.rcbs(&["keys", "new", "--out", "k", "--bits", "2048", "--name", "next"]).exits(0);
        assert_eq!(files_below(&site.folder.path().join("k")).len(), 4);
    }
}

#[test]
fn a_new_key_that_makes_no_sense_is_refused_and_nothing_is_written() {
    let site = Site::of(0);
    for (args, words) in [
        (["--bits", "1024"], "a key of 1024 bits"),
        (["--days", "0"], "a certificate for 0 days"),
        (["--subject", "Recordings"], "`Recordings` is no subject such as"),
        (["--name", "../tenant"], "`../tenant` cannot be the name of files"),
    ] {
        let run = site.rcbs(&[&["keys", "new", "--out", "k"], &args[..]].concat());
        run.exits(2).says(words);
    }
    assert!(!Path::exists(&site.folder.path().join("k")));
}

#[test]
fn a_passphrase_from_the_environment_seals_and_opens_keys() {
    let mut site = Site::of(0);
    put(&site, "passphrase", b"swordfish\n");
    put(&site, "plain", b"ID3");
    site.environment.insert("RCBS_KEY_PASSPHRASE_FILE", Some("passphrase".to_owned()));
    let run = site.rcbs(&["keys", "new", "--out", "k", "--bits", "2048"]);
    run.exits(0).says("encrypted by the passphrase").says("no copy as PKCS#8");
    assert_eq!(files_below(&site.folder.path().join("k")).len(), 2);
    openssl(&site, "rsa -in k/tenant.key -passin pass:swordfish -check -noout");
    std::fs::create_dir(site.folder.path().join("tree")).unwrap();
    openssl(&site, "cms -encrypt -binary -in plain -outform DER -out tree/a.bin k/tenant.pem");

    let check = ["keys", "check", "--keys", "k", "tree"];
    site.rcbs(&check).exits(0);
    site.environment.clear();
    site.rcbs(&check).exits(2).says("`k/tenant.key` holds an encrypted key, and there is no");
    site.environment.insert("RCBS_KEY_PASSPHRASE", Some("sardine".to_owned()));
    let run = site.rcbs(&check);
    run.exits(2).says("`k/tenant.key` holds an encrypted key that the passphrase does not open");
    assert!(!run.stderr.contains("sardine"), "{run}");
    site.environment.insert("RCBS_KEY_PASSPHRASE", Some("swordfish".to_owned()));
    site.rcbs(&check).exits(0);
}

#[test]
fn check_opens_everything_with_all_keys_and_names_what_lacks_one() {
    let site = filled();
    let all = site.tree().into_keys().filter(|path| path.ends_with(".bin")).count();
    let check = ["keys", "check", "--keys", "keys"];
    let run = site.rcbs(&check);
    run.exits(0).says(&format!("Checked: {all} media files, with a key: {all}, without: 0"));

    // With a certificate or without one, the file and what it asks for are named.
    for endings in [&["key"][..], &["pem"]] {
        remove_key(&site, 2, endings);
        let missing = held_for(&site, 2);
        assert!(!missing.is_empty() && missing.len() < all);
        let run = site.rcbs(&check);
        run.exits(3);
        let named = lines(&run, &format!(".bin: no key for {}", label(2)));
        assert_eq!(named.len(), missing.len(), "{run}");
        for path in &missing {
            assert!(named.iter().any(|line| line.contains(path.as_str())), "{path}: {run}");
        }
        let closed = missing.len();
        run.says(&format!("{}: 0 open, {closed} do not", label(2)));
        run.says(&format!("with a key: {}, without: {closed}, unreadable: 0", all - closed));
    }
    // Without any certificate the keys are tried.
    for recipient in [0, 1] {
        remove_key(&site, recipient, &["pem"]);
    }
    let run = site.rcbs(&check);
    run.exits(3).says(&format!("without: {}, unreadable: 0", held_for(&site, 2).len()));
}

#[test]
fn check_is_the_same_in_every_run() {
    let site = filled();
    remove_key(&site, 0, &["key", "pem"]);
    let run = || site.rcbs(&["keys", "check", "--keys", "keys"]).stdout;
    let first = run();
    for _ in 0..5 {
        assert_eq!(run(), first);
    }
}

#[test]
fn what_is_no_envelope_is_named_and_counted_apart() {
    let site = Site::of(0);
    write_keys(&site.folder.path().join("keys")).unwrap();
    let sealed = by_openssl(b"a call", &[0], &[]);
    let long = by_openssl(b"a call", &[1; 40], &[]);
    assert!(long.len() > 10_000);
    put(&site, "tree/A/A_metadata.json", b"{}");
    put(&site, "tree/A/empty.bin", b"");
    put(&site, "tree/A/long.bin", &long);
    put(&site, "tree/A/kept.bin.raw", b"ciphertext of nobody");
    put(&site, "tree/A/mp3.bin", b"ID3 not sealed at all");
    put(&site, "tree/A/cut.bin", &sealed[..50]);
    put(&site, "tree/B/lonely.bin", &sealed);
    put(&site, "tree/C/password.bin", &by_openssl(b"x", &[], &["-pwri_password", "x", "-aes128"]));
    put(&site, "tree/.rcbs/old/old.bin", b"of no interest");
    let run = site.rcbs(&["keys", "check", "--keys", "keys", "tree"]);
    run.exits(3);
    for words in [
        "A/empty.bin: empty",
        "A/kept.bin.raw: kept raw",
        "A/mp3.bin: ",
        "A/cut.bin: ",
        "B/lonely.bin: no metadata beside it",
        "C/password.bin: none of its recipients has an RSA key: password",
        "Checked: 6 media files, with a key: 2, without: 1, unreadable: 2, empty: 1; \
         beside them raw: 1, without metadata: 2",
    ] {
        run.says(words);
    }
    assert!(!run.stdout.contains("old.bin"), "{run}");
    // Nothing of this is a key that is missing.
    for path in ["C/password.bin", "A/mp3.bin", "A/cut.bin"] {
        site.rcbs(&["keys", "check", "--keys", "keys", "tree"]).exits(3);
        std::fs::remove_file(site.folder.path().join("tree").join(path)).unwrap();
    }
    site.rcbs(&["keys", "check", "--keys", "keys", "tree"]).exits(0);
}

#[test]
fn a_damaged_key_field_is_not_told_from_a_key_that_does_not_fit() {
    let site = Site::of(0);
    write_keys(&site.folder.path().join("keys")).unwrap();
    let mut sealed = by_openssl(b"a call", &[0], &[]);
    // In the middle of the wrapped key, which is all but the whole file.
    let middle = sealed.len() / 2;
    sealed[middle] ^= 1;
    put(&site, "tree/a.bin", &sealed);
    let run = site.rcbs(&["keys", "check", "--keys", "keys", "tree"]);
    run.exits(3).says("does not open it: damaged, or not made for this key");
}

#[test]
fn list_tells_how_much_needs_which_certificate() {
    let site = filled();
    remove_key(&site, 1, &["key"]);
    remove_key(&site, 2, &["key"]);
    let counts = |recipient| {
        let held = held_for(&site, recipient);
        let folders: BTreeSet<_> =
            held.iter().map(|path| path.rsplit_once('/').unwrap().0).collect();
        format!("{} {}", folders.len(), held.len())
    };
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let run = site.rcbs(&["keys", "list", "--keys", "keys"]);
    run.exits(0);
    let table: Vec<_> = run.stdout.lines().map(squeezed).collect();
    assert_eq!(
        table,
        [
            "SUBJECT SERIAL (HEX) FROM UNTIL KEY RECORDINGS FILES".to_owned(),
            format!(
                "CN=Fictional Recording Recipient 5 (05) 2020-01-01 2100-01-01 keys/tenant-0.key {}",
                counts(0)
            ),
            format!(
                "CN=Fictional Recording Recipient of 2024 5 (05) 2024-01-01 2100-01-01 missing {}",
                counts(1)
            ),
            format!(
                "CN=Fictional Recording Recipient of 2018 11330029860577130486 (9D3C5A210E44B7F6) 2018-01-01 2021-01-01 missing {}",
                counts(2)
            ),
        ],
        "{run}"
    );
    run.says("warning: the certificate of `CN=Fictional Recording Recipient of 2018`");
    run.says("expired on 2021-01-01");
    assert!(!run.stderr.contains("of 2024"), "{run}");

    // A certificate that is not there is listed by what the files say of it.
    remove_key(&site, 2, &["pem"]);
    let run = site.rcbs(&["keys", "list", "--keys", "keys"]);
    let line = lines(&run, "not here: serial").concat();
    assert!(line.contains("CN=Basic Fictional Authority"), "{run}");
    assert!(squeezed(&line).ends_with(&counts(2)), "{run}");
    // A key whose certificate is not there is listed too, and so is all that is asked for.
    remove_key(&site, 0, &["pem"]);
    site.rcbs(&["keys", "list", "--keys", "keys"]).says("no certificate").says("tenant-0.key");
    assert_eq!(lines(&site.rcbs(&["keys", "list"]), "not here: ").len(), 3);
}

#[test]
fn a_certificate_near_its_end_is_warned_of_by_check_too() {
    let site = Site::of(0);
    std::fs::create_dir(site.folder.path().join("tree")).unwrap();
    for (days, is_warned) in [("59", true), ("62", false)] {
        site.rcbs(&["keys", "new", "--out", days, "--bits", "2048", "--days", days]).exits(0);
        let run = site.rcbs(&["keys", "check", "--keys", days, "tree"]);
        run.exits(0);
        assert_eq!(run.stderr.contains("days from now"), is_warned, "{run}");
    }
}

#[test]
fn keys_are_looked_for_one_level_deep_and_nothing_found_is_an_error() {
    let site = Site::of(0);
    put(&site, "tree/a.bin", &by_openssl(b"x", &[0], &[]));
    write_keys(&site.folder.path().join("keys")).unwrap();
    put(&site, "keys/readme.txt", b"no key");
    put(&site, "keys/video.bin", &[0xFF; 3_000_000]);
    put(&site, "keys/below/broken.key", b"-----BEGIN RSA PRIVATE KEY-----\n");
    put(&site, "nothing/readme.txt", b"no key");
    site.rcbs(&["keys", "check", "--keys", "keys", "tree"]).exits(0);
    for (args, words) in [
        (&["--keys", "nothing", "tree"][..], "no private key and no certificate in `nothing`"),
        (&["--keys", "keys/tenant-0.pem", "tree"], "no private key in `keys/tenant-0.pem`"),
        (&["--keys", "absent", "tree"], "cannot read the keys `absent`: No such file"),
        (&["--keys", "keys/below", "tree"], "`keys/below/broken.key` holds a private key that"),
        (&["tree"], "--keys <FILE_OR_FOLDER>"),
        (&["--keys", "keys", "absent"], "absent"),
    ] {
        let run = site.rcbs(&[&["keys", "check"], args].concat());
        assert!(run.code == 2 || args.ends_with(&["absent"]), "{run}");
        assert_ne!(run.code, 0, "{run}");
        run.says(words);
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_check_at_once() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    let site = Site::of(0);
    write_keys(&site.folder.path().join("keys")).unwrap();
    // More is said about these than a pipe takes, so that the program waits for its reader.
    for name in 0..1000 {
        put(&site, &format!("tree/{name:0200}.bin"), b"no envelope");
    }
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut command = site.command(&["keys", "check", "--keys", "keys", "tree"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}
