//! One file of a recording, read from its first byte to its last.
//!
//! Is given a path; gives the file's length and SHA-256, and whether its envelope ends where the
//! file does, or what its metadata say. That it was not cut off can be told without reading it all.
//!
//! **Invariant**: reads only, in big pieces, and keeps none of them: memory does not grow with the
//! length of a media file. No key is needed, and nothing is believed but bytes.

mod old;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use openssl::sha::{Sha256, sha256};
use serde_json::value::RawValue;

use crate::envelope::{Account, AccountError, Form, HEAD_BYTES, LONGEST_HEAD, form};
use crate::ledger::{MediaEntry, Sum};
use crate::recording::Recording;
use crate::tree::TreeError;

pub use old::was_replaced;

/// How much is read at a stroke; any head is in the first piece.
const PIECE_BYTES: usize = LONGEST_HEAD;

/// No record is longer, nor the text that it is kept as.
const LONGEST_METADATA: u64 = 64 << 20;

/// What a thread reads into.
#[derive(Debug)]
pub struct Buffer(Vec<u8>);

impl Default for Buffer {
    fn default() -> Self {
        Buffer(vec![0; PIECE_BYTES])
    }
}

/// A media file as it is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 of its bytes.
    pub sha256: Sum,
    /// Whether it is whole, by its own account.
    pub structure: Result<Whole, Flaw>,
}

/// A media file that is whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whole {
    /// How it came, as far as that can be told from the bytes: `empty`, or `attached` where only
    /// others write such envelopes.
    pub form: Option<&'static str>,
    /// The serial number of the first certificate that it names, in hexadecimal digits.
    pub key_serial: Option<String>,
}

/// Why a media file is not whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It is something else.
    #[error("it is no envelope")]
    NoEnvelope,
    /// It does not end where its envelope does.
    #[error(transparent)]
    Account(#[from] AccountError),
}

/// A metadata file as it is on the disk.
#[derive(Debug)]
pub struct Metadata {
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 of its bytes.
    pub sha256: Sum,
    /// What it describes, or why that cannot be told.
    pub recording: Result<Recording, &'static str>,
}

/// Reads a media file; `read` is told how much as it comes.
pub fn media(
    path: &Path,
    Buffer(buffer): &mut Buffer,
    read: &mut dyn FnMut(u64),
) -> Result<Examined, TreeError> {
    let failed = |source| TreeError::Io { doing: "read", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    // What was written just now would be read from memory, and nobody would see the disk.
    forget(&file);
    let (mut bytes, mut sum) = (0, Sha256::new());
    let mut structure = None;
    loop {
        let filled = fill(&mut file, buffer).map_err(failed)?;
        let piece = &buffer[..filled];
        sum.update(piece);
        match structure.get_or_insert_with(|| begin(piece)) {
            Structure::Envelope(account) => account.update(piece),
            Structure::Empty | Structure::Bare => {}
        }
        bytes += filled as u64;
        read(filled as u64);
        if filled < buffer.len() {
            break;
        }
    }
    forget(&file);
    let structure = match structure {
        Some(Structure::Envelope(account)) => whole(*account, bytes),
        Some(Structure::Bare) => Err(Flaw::NoEnvelope),
        Some(Structure::Empty) | None => Ok(Whole { form: Some("empty"), key_serial: None }),
    };
    Ok(Examined { bytes, sha256: sum.finish(), structure })
}

/// Looks at the two ends of a media file only: enough to tell whether it was cut off, and not
/// whether all between them is as it was.
pub fn ends(path: &Path) -> Result<Result<(), Flaw>, TreeError> {
    let failed = |source| TreeError::Io { doing: "read", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut beginning = vec![0; HEAD_BYTES];
    let filled = fill(&mut file, &mut beginning).map_err(failed)?;
    beginning.truncate(filled);
    let mut account = match form(&beginning) {
        Form::Empty => return Ok(Ok(())),
        Form::Bare => return Ok(Err(Flaw::NoEnvelope)),
        form => Account::of_ends(form),
    };
    let bytes = file.metadata().map_err(failed)?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(HEAD_BYTES as u64))).map_err(failed)?;
    let mut end = Vec::new();
    file.take(HEAD_BYTES as u64).read_to_end(&mut end).map_err(failed)?;
    account.update(&end);
    Ok(account.finish(bytes).map_err(Flaw::from))
}

/// Reads a metadata file.
pub fn metadata(path: &Path) -> Result<Metadata, TreeError> {
    let failed = |source| TreeError::Io { doing: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    forget(&file);
    let mut text = Vec::new();
    file.take(LONGEST_METADATA + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > LONGEST_METADATA {
        return Err(failed(io::Error::other("it is longer than any metadata")));
    }
    let recording = match serde_json::from_slice::<Box<RawValue>>(&text) {
        Ok(json) => Recording::parse(json).map_err(|rejected| rejected.reason),
        Err(_) => Err("not JSON"),
    };
    Ok(Metadata { bytes: text.len() as u64, sha256: sha256(&text), recording })
}

/// Tells what of a file is not as its row says.
pub fn difference(row: &MediaEntry, bytes: u64, sha256: Option<Sum>) -> Option<String> {
    if row.bytes != bytes {
        return Some(format!("it has {bytes} bytes instead of {}", row.bytes));
    }
    let is_other = row.sha256.is_some() && sha256.is_some() && row.sha256 != sha256;
    is_other.then(|| "its bytes are not those that were saved: its SHA-256 is another".to_owned())
}

/// What a file begins as.
enum Structure {
    Empty,
    Envelope(Box<Account>),
    Bare,
}

fn begin(beginning: &[u8]) -> Structure {
    match form(&beginning[..beginning.len().min(HEAD_BYTES)]) {
        Form::Empty => Structure::Empty,
        Form::Bare => Structure::Bare,
        form => Structure::Envelope(Box::new(Account::read(form, beginning).0)),
    }
}

fn whole(account: Account, bytes: u64) -> Result<Whole, Flaw> {
    let key_serial = account.key_serial().map(str::to_owned);
    // Whatever is joined or sealed here has definite lengths.
    let form = account.is_indefinite().then_some("attached");
    account.finish(bytes)?;
    Ok(Whole { form, key_serial })
}

/// Reads until a piece is full or the file ends.
fn fill(file: &mut File, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match file.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Gives back the memory that the system keeps a file in.
#[cfg(target_os = "linux")]
fn forget(file: &File) {
    // It is only advice.
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

#[cfg(not(target_os = "linux"))]
fn forget(_: &File) {}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write files")]
mod tests {
    use std::fs;

    use rcbs_sim::envelope::by_openssl;
    use tempfile::TempDir;

    use super::*;

    fn examined(bytes: &[u8]) -> Examined {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("a.bin");
        fs::write(&path, bytes).unwrap();
        let mut told = 0;
        let examined = media(&path, &mut Buffer::default(), &mut |read| told += read).unwrap();
        assert_eq!(told, bytes.len() as u64);
        assert_eq!((examined.bytes, examined.sha256), (told, sha256(bytes)));
        examined
    }

    #[test]
    fn whole_files_are_told_with_their_key_and_as_much_of_their_form_as_can_be_seen() {
        let der = by_openssl(&[0; 3 << 20], &[0], &[]);
        let ber = by_openssl(&[0; 3 << 20], &[0], &["-stream"]);
        let whole = |bytes: &[u8]| examined(bytes).structure.unwrap();
        assert_eq!(whole(&der).form, None);
        assert_eq!(whole(&ber).form, Some("attached"));
        assert_eq!(whole(&[]), Whole { form: Some("empty"), key_serial: None });
        let serial = whole(&der).key_serial.unwrap();
        assert!(!serial.is_empty() && serial.bytes().all(|digit| digit.is_ascii_hexdigit()));
        assert_eq!(whole(&ber).key_serial, Some(serial));
    }

    #[test]
    fn what_is_cut_off_or_goes_on_or_is_something_else_is_not_whole() {
        for options in [&[][..], &["-stream"]] {
            let envelope = by_openssl(&[7; 2 << 20], &[0], options);
            for end in [33, 2_000, PIECE_BYTES, PIECE_BYTES + 1, envelope.len() - 1] {
                let Err(Flaw::Account(_)) = examined(&envelope[..end]).structure else {
                    panic!("{options:?} {end}");
                };
            }
            let longer = [envelope.as_slice(), &[0]].concat();
            assert!(examined(&longer).structure.is_err(), "{options:?}");
        }
        for other in [&[0; 5_000][..], b"<html>", b"0"] {
            assert_eq!(examined(other).structure, Err(Flaw::NoEnvelope));
        }
    }

    #[test]
    fn metadata_are_read_or_it_is_said_why_not() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("a.json");
        let good = b" {\"id\":\"A\",\"startTime\":1519047014000}\n";
        for (text, expected) in [
            (&good[..], Ok("A")),
            (b"{\"id\":\"A\"}", Err("no usable startTime")),
            (b"{\"id\":\"A\"", Err("not JSON")),
            (b"[1]", Err("not a JSON object")),
            (b"\xff", Err("not JSON")),
            (b"", Err("not JSON")),
        ] {
            fs::write(&path, text).unwrap();
            let read = metadata(&path).unwrap();
            assert_eq!((read.bytes, read.sha256), (text.len() as u64, sha256(text)));
            assert_eq!(
                read.recording.as_ref().map(|one| one.id.as_str()),
                expected.as_ref().copied()
            );
        }
        fs::File::create(&path).unwrap().set_len(LONGEST_METADATA + 1).unwrap();
        assert!(metadata(&path).is_err());
        assert!(metadata(&dir.path().join("none")).is_err());
    }
}
