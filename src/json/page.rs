//! The page of recordings, read as it comes.
//!
//! Given the bytes of `{"statusCode":0,"recordings":[ … ], …}` in pieces of any size, hands over one
//! record after the other as raw JSON, and at the end what else the page said (contract, section 5).
//!
//! **Invariant**: memory holds one record and one piece, never a page; limits are enforced while
//! reading; and a page that did not come whole is an error, whatever was handed over before.

use std::io;
use std::ops::Range;

use serde::de::Error as _;
use serde_json::value::RawValue;

use super::scan::Scan;
use super::{is_empty, last, members, string, string_or_number};

const MAX_KEYS: usize = 32;
const MAX_KEY_CHARS: usize = 64;
const MAX_MESSAGE_CHARS: usize = 300;
const OPENING_BYTES: usize = 64;

/// How large things may be.
#[derive(Clone, Copy, Debug)]
pub struct PageLimits {
    /// The largest record, or other member, of a page in bytes.
    pub record_bytes: u64,
    /// The largest page in bytes.
    pub page_bytes: u64,
}

impl Default for PageLimits {
    fn default() -> Self {
        PageLimits { record_bytes: 16 << 20, page_bytes: 4 << 30 }
    }
}

/// What a page said beside its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageEnd {
    /// The `statusCode`, if it was a whole number or a string of one.
    pub status_code: Option<i64>,
    /// The `statusMessage`, shortened, on one line.
    pub status_message: Option<String>,
    /// Whether there was an array `recordings`.
    pub has_recordings: bool,
    /// The first of `nextUri`, `next` and `paging.next` that was not empty.
    pub link: Option<String>,
    /// The names of the page's members, for an error that says what came instead.
    pub keys: Vec<String>,
    /// How many records were handed over.
    pub records: u64,
}

/// Why a page could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The body is something else.
    #[error("not JSON: begins with {opening}")]
    NotJson {
        /// Its first word, in quotes and without digits, or its first bytes in hexadecimal.
        opening: String,
    },
    /// The body is JSON, but neither a page nor an error.
    #[error("not a JSON object: begins with {opening}")]
    NotAnObject {
        /// As above.
        opening: String,
    },
    /// The body ended too early.
    #[error("the JSON breaks off after {bytes} bytes and {records} records")]
    Truncated {
        /// What had come.
        bytes: u64,
        /// Records handed over by then.
        records: u64,
    },
    /// The body stopped being JSON.
    #[error("the JSON is broken after {records} records")]
    Malformed {
        /// Records handed over by then.
        records: u64,
        /// What is wrong, in the value at which it broke.
        source: serde_json::Error,
    },
    /// One value would fill the memory.
    #[error("the value after {records} records is larger than {limit_bytes} bytes")]
    RecordTooLarge {
        /// Records handed over by then.
        records: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The page does not end.
    #[error("the page is larger than {limit_bytes} bytes")]
    PageTooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// The connection failed.
    #[error("reading the page failed after {records} records")]
    Read {
        /// Records handed over by then.
        records: u64,
        /// What the reader said.
        source: io::Error,
    },
}

/// A page that is being read.
#[derive(Debug)]
pub struct PageReader {
    limits: PageLimits,
    /// What has come and is not done with.
    buffer: Vec<u8>,
    /// Where in it the next token begins.
    at: usize,
    /// How many bytes have come before the buffer's first.
    before: u64,
    /// Where the piece begins that is limited in size, counted from the start of the page: white
    /// space and a name, a record, or the value of another member.
    piece: u64,
    scan: Scan,
    expected: Expected,
    name: String,
    opening: Vec<u8>,
    end: PageEnd,
}

/// What comes next in a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Page,
    FirstName,
    Name,
    Colon,
    Value,
    EndOfMember,
    FirstRecord,
    Record,
    EndOfRecord,
    Nothing,
}

impl Expected {
    fn words(self) -> &'static str {
        match self {
            Expected::Page | Expected::Value | Expected::FirstRecord | Expected::Record => "value",
            Expected::FirstName | Expected::Name => "name in quotation marks",
            Expected::Colon => "colon behind a name",
            Expected::EndOfMember => "comma or brace behind a member",
            Expected::EndOfRecord => "comma or bracket behind a record",
            Expected::Nothing => "end behind the page",
        }
    }
}

impl PageReader {
    /// Begins a page.
    pub fn new(limits: PageLimits) -> Self {
        PageReader {
            limits,
            buffer: Vec::new(),
            at: 0,
            before: 0,
            piece: 0,
            scan: Scan::default(),
            expected: Expected::Page,
            name: String::new(),
            opening: Vec::new(),
            end: PageEnd::default(),
        }
    }

    /// Takes the next bytes, and adds each record that they complete to `records`.
    pub fn read(
        &mut self,
        bytes: &[u8],
        records: &mut Vec<Box<RawValue>>,
    ) -> Result<(), PageError> {
        let missing = OPENING_BYTES.saturating_sub(self.opening.len()).min(bytes.len());
        self.opening.extend_from_slice(&bytes[..missing]);
        self.buffer.extend_from_slice(bytes);
        while self.step(records)? {
            self.check_limits()?;
        }
        self.check_limits()?;
        self.before += self.at as u64;
        self.buffer.drain(..self.at);
        self.at = 0;
        Ok(())
    }

    /// Ends the page; gives what it said beside its records.
    pub fn finish(self) -> Result<PageEnd, PageError> {
        if self.expected == Expected::Nothing {
            return Ok(self.end);
        }
        let bytes = self.before + self.buffer.len() as u64;
        if self.expected == Expected::Page && !self.buffer.is_empty() {
            return Err(self.no_page());
        }
        Err(PageError::Truncated { bytes, records: self.end.records })
    }

    /// Gives the error that the connection has failed.
    pub fn broken(&self, source: io::Error) -> PageError {
        PageError::Read { records: self.end.records, source }
    }

    /// Takes one token, or a whole value; `false` if it takes more bytes to go on.
    fn step(&mut self, records: &mut Vec<Box<RawValue>>) -> Result<bool, PageError> {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let rest = &self.buffer[self.at..];
        let blanks = rest.iter().take_while(|byte| blank(byte)).count();
        // The scan of a value begins behind the blanks before it.
        self.at += blanks;
        let Some(&byte) = self.buffer.get(self.at) else { return Ok(false) };
        self.expected = match (self.expected, byte) {
            (Expected::Page, b'{') => self.skip(Expected::FirstName),
            // What it is instead is told by its first words.
            (Expected::Page, _) if self.opening.len() < OPENING_BYTES => return Ok(false),
            (Expected::Page, _) => return Err(self.no_page()),
            (Expected::FirstName | Expected::EndOfMember, b'}') => self.skip(Expected::Nothing),
            (Expected::EndOfMember, b',') => self.skip(Expected::Name),
            (Expected::FirstName | Expected::Name, b'"') => {
                let Some(name) = self.value() else { return Ok(false) };
                self.named(name)?;
                Expected::Colon
            }
            (Expected::Colon, b':') => self.skip(Expected::Value),
            (Expected::Value, b'[') if self.name == "recordings" => {
                self.end.has_recordings = true;
                self.skip(Expected::FirstRecord)
            }
            (Expected::Value, _) => {
                let Some(value) = self.value() else { return Ok(false) };
                self.note(value)?;
                Expected::EndOfMember
            }
            (Expected::FirstRecord | Expected::EndOfRecord, b']') => {
                self.skip(Expected::EndOfMember)
            }
            (Expected::EndOfRecord, b',') => self.skip(Expected::Record),
            (Expected::FirstRecord | Expected::Record, _) => {
                let Some(value) = self.value() else { return Ok(false) };
                let record = self.owned(value)?;
                self.end.records += 1;
                records.push(record);
                Expected::EndOfRecord
            }
            (expected, _) => {
                let wrong = format!("there is no {}", expected.words());
                return Err(self.malformed(serde_json::Error::custom(wrong)));
            }
        };
        Ok(true)
    }

    /// Takes one byte.
    fn skip(&mut self, expected: Expected) -> Expected {
        self.at += 1;
        expected
    }

    /// Takes a whole value; none if its end has not come.
    fn value(&mut self) -> Option<Range<usize>> {
        let length = self.scan.value(&self.buffer[self.at..])?;
        self.scan = Scan::default();
        self.at += length;
        Some(self.at - length..self.at)
    }

    fn named(&mut self, name: Range<usize>) -> Result<(), PageError> {
        self.check_piece(self.at)?;
        self.name = self.parsed(name)?;
        if self.end.keys.len() < MAX_KEYS {
            self.end.keys.push(shorten(&self.name, MAX_KEY_CHARS));
        }
        self.begin_piece();
        Ok(())
    }

    /// Keeps what a member says that is not the records; whatever it is, it must be JSON.
    fn note(&mut self, value: Range<usize>) -> Result<(), PageError> {
        let value = self.owned(value)?;
        let end = &mut self.end;
        match self.name.as_str() {
            "statusCode" => {
                end.status_code =
                    string_or_number(&value).and_then(|text| text.trim().parse().ok());
            }
            "statusMessage" if !is_empty(&value) => {
                end.status_message = string(&value).map(|text| shorten(&text, MAX_MESSAGE_CHARS));
            }
            "nextUri" | "next" => set_link(end, Some(&value)),
            "paging" => set_link(end, last(&members(value.get()).unwrap_or_default(), "next")),
            _ => {}
        }
        Ok(())
    }

    /// Gives a value as its text, once that is known to be JSON; a new piece begins behind it.
    fn owned(&mut self, value: Range<usize>) -> Result<Box<RawValue>, PageError> {
        self.check_piece(self.at)?;
        let text = String::from_utf8(self.buffer[value].to_vec());
        let text = text.map_err(|_| self.malformed(serde_json::Error::custom("not UTF-8")))?;
        let value = RawValue::from_string(text).map_err(|error| self.malformed(error))?;
        self.begin_piece();
        Ok(value)
    }

    fn parsed(&self, value: Range<usize>) -> Result<String, PageError> {
        serde_json::from_slice(&self.buffer[value]).map_err(|error| self.malformed(error))
    }

    fn begin_piece(&mut self) {
        self.piece = self.before + self.at as u64;
    }

    fn check_limits(&self) -> Result<(), PageError> {
        // What is behind the token under way belongs to the next.
        self.check_piece(self.at + self.scan.seen())
    }

    fn check_piece(&self, upto: usize) -> Result<(), PageError> {
        let PageLimits { record_bytes, page_bytes } = self.limits;
        let read = self.before + upto as u64;
        if read > page_bytes {
            return Err(PageError::PageTooLarge { limit_bytes: page_bytes });
        }
        if read - self.piece > record_bytes {
            let records = self.end.records;
            return Err(PageError::RecordTooLarge { records, limit_bytes: record_bytes });
        }
        Ok(())
    }

    /// Tells what came in the place of a page.
    fn no_page(&self) -> PageError {
        let opening = describe(&self.opening);
        let body = self.opening.trim_ascii_start();
        let letters = body.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let is_json =
            matches!(body.first().copied().unwrap_or_default(), b'[' | b'"' | b'-' | b'0'..=b'9')
                || matches!(&body[..letters], b"null" | b"true" | b"false");
        match is_json {
            true => PageError::NotAnObject { opening },
            false => PageError::NotJson { opening },
        }
    }

    fn malformed(&self, source: serde_json::Error) -> PageError {
        PageError::Malformed { records: self.end.records, source }
    }
}

/// Shows how a body begins: enough to tell a proxy's page, too little to show what is in it.
fn describe(opening: &[u8]) -> String {
    let body = opening.trim_ascii_start();
    let letters = |c: &u8| c.is_ascii_alphabetic() || b"<!?[{".contains(c);
    let word: String =
        body.iter().take(24).take_while(|c| letters(c)).map(|&c| char::from(c)).collect();
    if !word.is_empty() {
        return format!("\"{word}\"");
    }
    let hex: Vec<_> = body.iter().take(2).map(|byte| format!("{byte:02x}")).collect();
    format!("bytes {}", hex.join(" "))
}

fn set_link(end: &mut PageEnd, value: Option<&RawValue>) {
    let link = value.and_then(string).filter(|link| !link.trim().is_empty());
    end.link = end.link.take().or(link);
}

fn shorten(text: &str, max_chars: usize) -> String {
    text.chars().take(max_chars).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests;
