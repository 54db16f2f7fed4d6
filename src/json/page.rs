//! The page of recordings, read as a stream.
//!
//! Given the bytes of `{"statusCode":0,"recordings":[ … ], …}`, hands over one record after the
//! other as raw JSON, and at the end what else the page said (contract, section 5).
//!
//! **Invariant**: memory holds one record, never a page; limits are enforced while reading; and a
//! page that did not come whole is an error, whatever was handed over before.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::{is_empty, last, members, string, string_or_number};

const BUFFER_BYTES: usize = 64 << 10;
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

/// Says that the taker of records wants no more of them.
#[derive(Clone, Copy, Debug)]
pub struct Stop;

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
        /// Where, by line and column.
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
    /// The taker of records said [`Stop`].
    #[error("reading the page was stopped")]
    Stopped,
}

/// Reads one page and hands each record to `on_record` as soon as it is whole.
pub fn read_page(
    reader: impl Read,
    limits: PageLimits,
    on_record: &mut dyn FnMut(Box<RawValue>) -> Result<(), Stop>,
) -> Result<PageEnd, PageError> {
    let gauge = Gauge::new(limits);
    let mut end = PageEnd::default();
    let metered = Meter { inner: BufReader::with_capacity(BUFFER_BYTES, reader), gauge: &gauge };
    let mut json = serde_json::Deserializer::from_reader(metered);
    let page = Page { gauge: &gauge, end: &mut end, on_record };
    match page.deserialize(&mut json).and_then(|()| json.end()) {
        Ok(()) => Ok(end),
        Err(error) => Err(explain(error, &gauge, end.records)),
    }
}

fn explain(source: serde_json::Error, gauge: &Gauge, records: u64) -> PageError {
    match gauge.verdict.get() {
        Some(Verdict::Stopped) => return PageError::Stopped,
        Some(Verdict::RecordTooLarge) => {
            return PageError::RecordTooLarge { records, limit_bytes: gauge.limits.record_bytes };
        }
        Some(Verdict::PageTooLarge) => {
            return PageError::PageTooLarge { limit_bytes: gauge.limits.page_bytes };
        }
        None => {}
    }
    let opening = || describe(&gauge.opening.borrow());
    match source.classify() {
        Category::Io => PageError::Read { records, source: source.into() },
        Category::Eof => PageError::Truncated { bytes: gauge.read.get(), records },
        Category::Data if !gauge.opened.get() => PageError::NotAnObject { opening: opening() },
        Category::Syntax if !gauge.opened.get() => PageError::NotJson { opening: opening() },
        Category::Data | Category::Syntax => PageError::Malformed { records, source },
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

/// What the reader and the parser have to tell each other.
struct Gauge {
    limits: PageLimits,
    read: Cell<u64>,
    /// Reading beyond this is an error: the end of the page or of the piece being read.
    ends_at: Cell<u64>,
    opened: Cell<bool>,
    opening: RefCell<Vec<u8>>,
    verdict: Cell<Option<Verdict>>,
}

#[derive(Clone, Copy)]
enum Verdict {
    RecordTooLarge,
    PageTooLarge,
    Stopped,
}

impl Gauge {
    fn new(limits: PageLimits) -> Self {
        let gauge = Gauge {
            limits,
            read: Cell::new(0),
            ends_at: Cell::new(0),
            opened: Cell::new(false),
            opening: RefCell::default(),
            verdict: Cell::new(None),
        };
        gauge.begin_piece();
        gauge
    }

    /// A new piece begins: a name, a record, or the value of another member.
    fn begin_piece(&self) {
        let piece_ends_at = self.read.get().saturating_add(self.limits.record_bytes);
        self.ends_at.set(piece_ends_at.min(self.limits.page_bytes));
    }

    fn count(&self, bytes: u64) -> io::Result<()> {
        let read = self.read.get() + bytes;
        self.read.set(read);
        if read <= self.ends_at.get() {
            return Ok(());
        }
        let page_is_full = read > self.limits.page_bytes;
        let verdict = if page_is_full { Verdict::PageTooLarge } else { Verdict::RecordTooLarge };
        self.verdict.set(Some(verdict));
        Err(io::ErrorKind::FileTooLarge.into())
    }
}

/// A reader that counts what the parser takes, byte by byte, so that pieces have exact ends.
struct Meter<'a, R> {
    inner: BufReader<R>,
    gauge: &'a Gauge,
}

impl<R: Read> Read for Meter<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.gauge.read.get() == 0 {
            let ahead = self.inner.fill_buf()?;
            *self.gauge.opening.borrow_mut() = ahead[..ahead.len().min(OPENING_BYTES)].to_vec();
        }
        let length = self.inner.read(buffer)?;
        self.gauge.count(length as u64)?;
        Ok(length)
    }
}

struct Page<'a> {
    gauge: &'a Gauge,
    end: &'a mut PageEnd,
    on_record: &'a mut dyn FnMut(Box<RawValue>) -> Result<(), Stop>,
}

impl<'de> DeserializeSeed<'de> for Page<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Page<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Page { gauge, end, on_record } = self;
        gauge.opened.set(true);
        loop {
            gauge.begin_piece();
            let Some(name) = map.next_key::<String>()? else { return Ok(()) };
            if end.keys.len() < MAX_KEYS {
                end.keys.push(shorten(&name, MAX_KEY_CHARS));
            }
            gauge.begin_piece();
            match name.as_str() {
                "recordings" => {
                    map.next_value_seed(Records { gauge, end, on_record })?;
                }
                "statusCode" | "statusMessage" | "nextUri" | "next" | "paging" => {
                    note(end, &name, &map.next_value::<Box<RawValue>>()?);
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
    }
}

fn note(end: &mut PageEnd, name: &str, value: &RawValue) {
    match name {
        "statusCode" => {
            end.status_code = string_or_number(value).and_then(|text| text.trim().parse().ok());
        }
        "statusMessage" if !is_empty(value) => {
            end.status_message = string(value).map(|text| shorten(&text, MAX_MESSAGE_CHARS));
        }
        "nextUri" | "next" => set_link(end, Some(value)),
        "paging" => set_link(end, last(&members(value.get()).unwrap_or_default(), "next")),
        _ => {}
    }
}

fn set_link(end: &mut PageEnd, value: Option<&RawValue>) {
    let link = value.and_then(string).filter(|link| !link.trim().is_empty());
    end.link = end.link.take().or(link);
}

fn shorten(text: &str, max_chars: usize) -> String {
    text.chars().take(max_chars).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

struct Records<'a> {
    gauge: &'a Gauge,
    end: &'a mut PageEnd,
    on_record: &'a mut dyn FnMut(Box<RawValue>) -> Result<(), Stop>,
}

impl<'de> DeserializeSeed<'de> for Records<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Anything but an array is skipped; that there was no array is for the caller to judge.
impl<'de> Visitor<'de> for Records<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of recordings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<(), A::Error> {
        self.end.has_recordings = true;
        loop {
            self.gauge.begin_piece();
            let Some(record) = records.next_element::<Box<RawValue>>()? else { return Ok(()) };
            self.end.records += 1;
            if let Err(Stop) = (self.on_record)(record) {
                self.gauge.verdict.set(Some(Verdict::Stopped));
                return Err(A::Error::custom("stopped"));
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
