//! The text of a Java `.properties` file.
//!
//! Given the bytes of a file, gives its entries in order, read as `java.util.Properties.load` reads
//! them. Two things are ours: bytes that are valid UTF-8 are read as UTF-8 instead of ISO-8859-1,
//! and a byte order mark is dropped.
//!
//! The crate `java-properties` 2.0 is not used: measured against Java's own answers it loses an entry
//! that ends in a backslash at the end of the file, refuses surrogate pairs and malformed escapes in
//! comments, takes `\u+041`, and reads windows-1252 for ISO-8859-1 (43 of the 649 inputs differ).
//!
//! **Invariant:** nothing is interpreted here: no name is known, no value trimmed, no duplicate
//! dropped.

/// One name and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, unescaped.
    pub name: String,
    /// The value, unescaped; blanks at its end are part of it.
    pub value: String,
    /// The line of the file in which the entry starts, from 1.
    pub line: usize,
}

/// What no `.properties` file may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PropertiesError {
    /// A `\u` without four hexadecimal digits, which Java refuses too.
    #[error("a `\\u` that is not followed by four hexadecimal digits")]
    MalformedEscape {
        /// The line in which the entry starts.
        line: usize,
    },
    /// Half of a character outside the basic plane, which Java keeps and UTF-8 cannot.
    #[error("a `\\u` escape that is half of a surrogate pair")]
    LoneSurrogate {
        /// The line in which the entry starts.
        line: usize,
    },
}

impl PropertiesError {
    /// Tells the line in which the refused entry starts, from 1.
    pub fn line(self) -> usize {
        match self {
            Self::MalformedEscape { line } | Self::LoneSurrogate { line } => line,
        }
    }
}

/// Reads all entries in their order, duplicates included: the last of a name counts.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, PropertiesError> {
    logical_lines(&decode(bytes)).into_iter().map(|(line, text)| entry(line, &text)).collect()
}

/// What Java skips as blank; neither a vertical tab nor U+00A0 is.
const BLANKS: [char; 3] = [' ', '\t', '\x0c'];
const LINE_ENDS: [char; 2] = ['\r', '\n'];
const SEPARATORS: [char; 2] = ['=', ':'];

fn decode(bytes: &[u8]) -> String {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        // The first 256 characters of Unicode are ISO-8859-1.
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// Joins natural lines that end in a backslash, and drops comments and blank lines.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let (mut start, mut joined) = (0, String::new());
    let mut rest = text;
    for number in 1.. {
        if rest.is_empty() {
            break;
        }
        let (natural, end, after) = split_line(rest);
        rest = after;
        let content = natural.trim_start_matches(BLANKS);
        // Java looks for comments wherever the line is still empty, even behind a lone backslash.
        if joined.is_empty() {
            if content.is_empty() || content.starts_with(['#', '!']) {
                continue;
            }
            start = number;
        }
        let backslashes = content.len() - content.trim_end_matches('\\').len();
        let continues = backslashes % 2 == 1;
        joined.push_str(&content[..content.len() - usize::from(continues)]);
        // At its end Java's file has one more line, except behind `\r\n`, where it is not yet there.
        if !continues || (rest.is_empty() && end != "\r\n") {
            lines.push((start, std::mem::take(&mut joined)));
        }
    }
    if !joined.is_empty() {
        lines.push((start, joined));
    }
    lines
}

/// Splits off a natural line: the line, its end, and what follows.
fn split_line(text: &str) -> (&str, &str, &str) {
    let (line, rest) = text.split_at(text.find(LINE_ENDS).unwrap_or(text.len()));
    let end_bytes = if rest.starts_with("\r\n") { 2 } else { rest.len().min(1) };
    let (end, after) = rest.split_at(end_bytes);
    (line, end, after)
}

fn entry(line: usize, text: &str) -> Result<Entry, PropertiesError> {
    let mut escaped = false;
    let name_bytes = text
        .find(|c| {
            let ends = !escaped && (SEPARATORS.contains(&c) || BLANKS.contains(&c));
            escaped = c == '\\' && !escaped;
            ends
        })
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(name_bytes);
    let rest = rest.trim_start_matches(BLANKS);
    let value = rest.strip_prefix(SEPARATORS).unwrap_or(rest).trim_start_matches(BLANKS);
    Ok(Entry { name: unescape(line, name)?, value: unescape(line, value)?, line })
}

fn unescape(line: usize, text: &str) -> Result<String, PropertiesError> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let mut after = rest[at + 1..].chars();
        match after.next() {
            Some('t') => plain.push('\t'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\x0c'),
            Some('u') => {
                let (c, behind) = unicode(line, &rest[at..])?;
                plain.push(c);
                rest = behind;
                continue;
            }
            Some(other) => plain.push(other),
            None => {}
        }
        rest = after.as_str();
    }
    plain.push_str(rest);
    Ok(plain)
}

/// Reads the `\uXXXX`, or the pair of them, that `text` begins with.
fn unicode(line: usize, text: &str) -> Result<(char, &str), PropertiesError> {
    let (first, rest) = code_unit(text).ok_or(PropertiesError::MalformedEscape { line })?;
    if let Some(c) = char::from_u32(first.into()) {
        return Ok((c, rest));
    }
    let pair = code_unit(rest).and_then(|(second, rest)| {
        let c = char::decode_utf16([first, second]).next()?.ok()?;
        Some((c, rest))
    });
    pair.ok_or(PropertiesError::LoneSurrogate { line })
}

fn code_unit(text: &str) -> Option<(u16, &str)> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    // `from_str_radix` alone would take a sign.
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    Some((u16::from_str_radix(digits, 16).ok()?, &text[6..]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// An input, one character a byte, and what Java loads from it; `None` where Java refuses it.
    type Answer = (String, Option<BTreeMap<String, String>>);

    #[test]
    fn every_odd_input_is_read_as_java_reads_it() {
        let table = include_str!("../tests/data/properties/oracle.jsonl");
        let answers: Vec<Answer> =
            table.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        assert!(answers.len() >= 200, "the table is cut short: {}", answers.len());
        let differing: Vec<_> = answers
            .into_iter()
            .filter_map(|(input, java)| {
                let bytes: Vec<u8> = input.chars().map(|c| u8::try_from(c).unwrap()).collect();
                let ours = parse(&bytes).ok().map(into_map);
                (ours != java).then(|| format!("{input:?}\n  java {java:?}\n  ours {ours:?}"))
            })
            .collect();
        assert!(differing.is_empty(), "{}:\n{}", differing.len(), differing.join("\n"));
    }

    fn into_map(entries: Vec<Entry>) -> BTreeMap<String, String> {
        entries.into_iter().map(|entry| (entry.name, entry.value)).collect()
    }

    #[test]
    fn duplicates_are_all_given_with_the_line_each_starts_in() {
        let text = b"# c\n\na=1\r\n  b = x \\\r\n   y\ra: 2\n\\\n c\\\n=3";
        let entries: Vec<_> = parse(text)
            .unwrap()
            .into_iter()
            .map(|entry| (entry.line, entry.name, entry.value))
            .collect();
        let expected = [(3, "a", "1"), (4, "b", "x y"), (6, "a", "2"), (8, "c", "3")];
        assert_eq!(entries, expected.map(|(line, n, v)| (line, n.to_owned(), v.to_owned())));
    }

    #[test]
    fn utf8_is_read_as_utf8_and_anything_else_as_latin1() {
        for (bytes, value) in [
            ("a=é€😀".as_bytes(), "é€😀"),
            (b"a=\xe9", "é"),
            (b"#\xe9\na=\xc3\xa9", "Ã©"),
            (b"\xef\xbb\xbfa=b", "b"),
            ("\u{feff}a=é".as_bytes(), "é"),
            (b"\xef\xbb\xbfa=\xe9", "é"),
        ] {
            let expected = Entry {
                name: "a".into(),
                value: value.into(),
                line: 1 + usize::from(bytes[0] == b'#'),
            };
            assert_eq!(parse(bytes), Ok(vec![expected]), "{bytes:?}");
        }
    }

    #[test]
    fn an_escape_that_is_no_character_is_refused_with_its_line() {
        for (text, error) in [
            ("a=1\nb=\\\n\\u12", PropertiesError::MalformedEscape { line: 2 }),
            ("\\u+041=1", PropertiesError::MalformedEscape { line: 1 }),
            ("a=\\u00é1", PropertiesError::MalformedEscape { line: 1 }),
            ("a=\\uD83D", PropertiesError::LoneSurrogate { line: 1 }),
            ("\na=\\uD83Dx", PropertiesError::LoneSurrogate { line: 2 }),
            ("a=\\uDE00\\uD83D", PropertiesError::LoneSurrogate { line: 1 }),
            ("a=\\uD83D\\\\uDE00", PropertiesError::LoneSurrogate { line: 1 }),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(error), "{text}");
        }
    }
}
