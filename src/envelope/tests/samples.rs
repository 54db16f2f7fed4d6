//! Envelopes as other programs make them: by the command line of OpenSSL, and bent by hand.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use openssl::pkey::{PKey, Private};

use crate::envelope::ber::{CONSTRUCTED, OCTET_STRING, Reader, SEQUENCE, SET};
use crate::envelope::write::definite;

/// An envelope, and what is in it.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) envelope: Vec<u8>,
    pub(super) plain: Vec<u8>,
    /// How its cipher displays.
    pub(super) cipher: &'static str,
}

/// Everything that is made once.
pub(super) struct Samples {
    pub(super) key: PKey<Private>,
    /// The certificate of `key`.
    pub(super) certificate: Vec<u8>,
    pub(super) stranger: PKey<Private>,
    pub(super) all: Vec<Sample>,
    pub(super) password_only: Vec<u8>,
    pub(super) authenticated: Vec<u8>,
    pub(super) other_cipher: Vec<u8>,
}

/// Makes them, or gives those that were made.
pub(super) fn samples() -> &'static Samples {
    static SAMPLES: OnceLock<Samples> = OnceLock::new();
    SAMPLES.get_or_init(make)
}

/// Some bytes that do not repeat with any block.
pub(super) fn plain(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

fn make() -> Samples {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    for (name, key) in [("own", "rsa:2048"), ("other", "rsa:2048"), ("curve", "ec:curve.par")] {
        if key.starts_with("ec") {
            run(dir, "openssl ecparam -name prime256v1 -out curve.par", b"");
        }
        let subject = format!("-subj /O=Example/CN={name} -set_serial 5");
        let files = format!("-keyout {name}.key -out {name}.pem -addext subjectKeyIdentifier=hash");
        run(dir, &format!("openssl req -x509 -newkey {key} -nodes -days 9 {files} {subject}"), b"");
    }
    let key =
        |name: &str| PKey::private_key_from_pem(&std::fs::read(dir.join(name)).unwrap()).unwrap();
    let cms = |arguments: &str, plain: &[u8]| {
        run(dir, &format!("openssl cms -encrypt -binary -outform DER {arguments}"), plain)
    };
    const OAEP: &str = "-recip own.pem -keyopt rsa_padding_mode:oaep";
    let crowd = "-pwri_password word -secretkey 000102030405060708090A0B0C0D0E0F -secretkeyid 01";
    let table = [
        ("AES-128-CBC", "-aes128 own.pem".to_owned(), 40),
        ("AES-192-CBC", "-aes192 own.pem".to_owned(), 40),
        ("AES-256-CBC", "-aes256 own.pem".to_owned(), 40),
        ("DES-EDE3-CBC", "-des3 own.pem".to_owned(), 40),
        ("AES-128-CBC", "-aes128 -stream own.pem".to_owned(), 40),
        ("DES-EDE3-CBC", "-des3 -stream own.pem".to_owned(), 300_000),
        ("AES-256-CBC", "-aes256 own.pem".to_owned(), 0),
        ("AES-256-CBC", "-aes256 own.pem".to_owned(), 15),
        ("AES-256-CBC", "-aes256 -stream own.pem".to_owned(), 16),
        ("AES-256-CBC", "-aes256 own.pem".to_owned(), 300_000),
        ("AES-256-CBC", "-aes256 -keyid own.pem".to_owned(), 17),
        ("AES-256-CBC", format!("-aes256 {OAEP}"), 40),
        ("AES-256-CBC", format!("-aes256 {OAEP} -keyopt rsa_oaep_md:sha256"), 40),
        ("AES-256-CBC", format!("-aes256 {OAEP} -keyopt rsa_oaep_md:sha224"), 40),
        ("AES-256-CBC", format!("-aes256 -stream {OAEP} -keyopt rsa_oaep_md:sha512"), 40),
        ("AES-256-CBC", format!("-aes256 {OAEP} -keyopt rsa_mgf1_md:sha384"), 40),
        ("AES-256-CBC", format!("-aes256 {OAEP} -keyopt rsa_oaep_label:cafe"), 40),
        ("AES-128-CBC", format!("-aes128 {crowd} other.pem curve.pem own.pem"), 40),
    ];
    let mut all: Vec<_> = table
        .into_iter()
        .map(|(cipher, arguments, bytes)| {
            let plain = plain(bytes);
            let envelope = cms(&arguments, &plain);
            Sample { name: format!("{arguments}, {bytes} bytes"), envelope, plain, cipher }
        })
        .collect();
    let bent: Vec<_> =
        all.iter().filter(|sample| sample.plain.len() < 100).flat_map(bend).collect();
    all.extend(bent);
    Samples {
        key: key("own.key"),
        certificate: std::fs::read(dir.join("own.pem")).unwrap(),
        stranger: key("other.key"),
        all,
        password_only: cms("-aes128 -pwri_password word", b"hello"),
        authenticated: cms("-aes-256-gcm own.pem", b"hello"),
        other_cipher: cms("-camellia128 own.pem", b"hello"),
    }
}

/// Runs a command in a folder and gives what it prints.
fn run(dir: &Path, command: &str, input: &[u8]) -> Vec<u8> {
    let mut words = command.split(' ');
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // Written beside the reading, or both would wait for the other with a long input.
        scope.spawn(move || {
            // A command that wants no input may have closed it.
            let _ = stdin.write_all(input);
        });
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {errors}");
        output.stdout
    })
}

/// The parts of an envelope, each as the elements that stand in it.
pub(super) struct Parts {
    /// Version and recipients.
    pub(super) version: Vec<u8>,
    pub(super) recipients: Vec<u8>,
    /// Type and cipher of the content.
    pub(super) info: Vec<u8>,
    pub(super) content: Vec<u8>,
}

/// Takes an envelope apart.
pub(super) fn parts(envelope: &[u8]) -> Parts {
    let read = || {
        let mut reader = Reader::whole(envelope);
        reader.enter(SEQUENCE, "content info")?;
        reader.oid("type")?;
        reader.enter(0xA0, "explicit")?;
        reader.enter(SEQUENCE, "enveloped data")?;
        let version = reader.element()?.whole.to_vec();
        let recipients = reader.value(SET, "recipients")?.to_vec();
        let mut info = Reader::whole(reader.value(SEQUENCE, "encrypted content info")?);
        let content_type = info.element()?.whole;
        let cipher = info.element()?.whole;
        let content = info.string(0x80, "content")?;
        Ok(Parts { version, recipients, info: [content_type, cipher].concat(), content })
    };
    read().unwrap_or_else(|error: crate::envelope::ber::BerError| panic!("{error}"))
}

/// Writes an element of indefinite length.
pub(super) fn indefinite(tag: u8, value: &[u8]) -> Vec<u8> {
    [&[tag, 0x80], value, &[0, 0]].concat()
}

/// Writes an element with a length in four octets, as some programs do that fill it in later.
fn wide(tag: u8, value: &[u8]) -> Vec<u8> {
    [&[tag, 0x84], &(value.len() as u32).to_be_bytes()[..], value].concat()
}

/// The same envelope as other programs might have written it.
fn bend(sample: &Sample) -> Vec<Sample> {
    let Parts { version, recipients, info, content } = parts(&sample.envelope);
    let pieces = |bytes: usize| -> Vec<u8> {
        content.chunks(bytes).flat_map(|piece| definite(OCTET_STRING, piece)).collect()
    };
    const PIECES: u8 = OCTET_STRING | CONSTRUCTED;
    let nested = |bytes| indefinite(PIECES, &definite(PIECES, &indefinite(PIECES, &pieces(bytes))));
    // 1.2.3: one value
    let attributes = definite(0xA1, &[0x30, 9, 6, 2, 0x2A, 3, 0x31, 3, 4, 1, 7]);
    let type_of_it = definite(0x06, &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 3]);
    type Write = fn(u8, &[u8]) -> Vec<u8>;
    let wrap = |write: Write, originator: &[u8], content: Vec<u8>, behind: &[u8]| {
        let recipients = write(SET, &recipients);
        let info = write(SEQUENCE, &[&info[..], &content].concat());
        let enveloped = [&version, originator, &recipients, &info, behind].concat();
        let explicit = write(0xA0, &write(SEQUENCE, &enveloped));
        write(SEQUENCE, &[&type_of_it[..], &explicit].concat())
    };
    let forms = [
        ("BouncyCastle", wrap(indefinite, &[], indefinite(0xA0, &pieces(10)), &[])),
        ("pieces of known length", wrap(definite, &[], definite(0xA0, &pieces(7)), &[])),
        ("nested pieces", wrap(indefinite, &[], definite(0xA0, &nested(16)), &[])),
        ("one piece, open end", wrap(indefinite, &[], definite(0x80, &content), &[])),
        ("attributes", wrap(definite, &[], definite(0x80, &content), &attributes)),
        ("open attributes", wrap(indefinite, &[], indefinite(0xA0, &pieces(1)), &attributes)),
        ("an originator", wrap(definite, &[0xA0, 0], definite(0x80, &content), &[])),
        ("wide lengths", wrap(wide, &[], wide(0x80, &content), &[])),
    ];
    let Sample { name, plain, cipher, .. } = sample;
    let bent = forms.map(|(form, envelope)| Sample {
        name: format!("{name}, as {form}"),
        envelope,
        plain: plain.clone(),
        cipher,
    });
    bent.into()
}
