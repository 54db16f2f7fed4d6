//! `recordingFolderFormat`: the pattern of Java's `SimpleDateFormat` that names the folders.
//!
//! Is given the pattern once and start times later; gives relative paths.
//!
//! **Invariant**: what Java (`Locale.US`, UTC) prints, except that letters that make no sense in
//! a path, and paths that are not plain and portable, are refused when the pattern is read.

use std::fmt::Write as _;

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Timelike, Utc};

use super::names::{is_device, is_forbidden};

/// The longest part of a path that a pattern may give, in bytes; file systems end at 255.
const LONGEST_PART: usize = 180;

/// Turns a start time into the folder that its recordings are kept in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderFormat {
    pieces: Vec<Piece>,
}

/// Says why a pattern cannot name folders.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FolderFormatError {
    /// A letter that Java has no meaning for, or none that suits a path.
    #[error("the letter `{0}` is none of y M d H m s S E D w; plain text goes in quotes: `'{0}'`")]
    Letter(char),
    /// A quote that is not closed.
    #[error("a quote is not closed")]
    OpenQuote,
    /// An empty pattern, a `/` at either end, or two in a row.
    #[error("a part of the path is empty")]
    EmptyPart,
    /// A character that some file system forbids.
    #[error("the character `{0}` is not allowed in a folder name; parts are separated by `/`")]
    Character(char),
    /// A part such as `..`, `.rcbs`, `a.` or `CON`.
    #[error("`{0}` cannot be a folder name on every system")]
    Part(String),
    /// A part longer than file systems take.
    #[error("a part of the path is {0} bytes long")]
    Long(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(char),
    /// A letter of the pattern and how often it stands there.
    Field(char, usize),
}

impl FolderFormat {
    /// Reads a pattern.
    pub fn parse(pattern: &str) -> Result<Self, FolderFormatError> {
        let format = Self { pieces: pieces(pattern)? };
        // Numbers are all 1 here, so that `'COM'd` is seen as the device that it can become.
        check_path(&format.format(DateTime::UNIX_EPOCH + TimeDelta::milliseconds(3_661_001)))?;
        Ok(format)
    }

    /// Gives the relative path for a start time, with `/` between its parts.
    pub fn format(&self, started_at: DateTime<Utc>) -> String {
        let mut path = String::new();
        for piece in &self.pieces {
            match *piece {
                Piece::Text(c) => path.push(c),
                Piece::Field(letter, count) => push_field(&mut path, letter, count, started_at),
            }
        }
        path
    }
}

fn pieces(pattern: &str) -> Result<Vec<Piece>, FolderFormatError> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut is_quoted = false;
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            if chars.next_if_eq(&'\'').is_some() {
                pieces.push(Piece::Text('\''));
            } else {
                is_quoted = !is_quoted;
            }
        } else if is_quoted || !c.is_ascii_alphabetic() {
            pieces.push(Piece::Text(c));
        } else if !"yMdHmsSEDw".contains(c) {
            return Err(FolderFormatError::Letter(c));
        } else {
            let mut count = 1;
            while chars.next_if_eq(&c).is_some() {
                count += 1;
            }
            pieces.push(Piece::Field(c, count));
        }
    }
    if is_quoted { Err(FolderFormatError::OpenQuote) } else { Ok(pieces) }
}

fn check_path(path: &str) -> Result<(), FolderFormatError> {
    for part in path.split('/') {
        if part.is_empty() {
            return Err(FolderFormatError::EmptyPart);
        }
        if let Some(c) = part.chars().find(|&c| is_forbidden(c)) {
            return Err(FolderFormatError::Character(c));
        }
        // A leading dot would let a pattern name `.rcbs`, the tree's own folder.
        if part.starts_with('.') || part.ends_with(['.', ' ']) || is_device(part) {
            return Err(FolderFormatError::Part(part.to_owned()));
        }
        if part.len() > LONGEST_PART {
            return Err(FolderFormatError::Long(part.len()));
        }
    }
    Ok(())
}

fn push_field(path: &mut String, letter: char, count: usize, at: DateTime<Utc>) {
    let number = match letter {
        'y' if count == 2 => at.year_ce().1 % 100,
        'y' => at.year_ce().1,
        'M' if count >= 4 => return path.push_str(&at.format("%B").to_string()),
        'M' if count == 3 => return path.push_str(&at.format("%b").to_string()),
        'M' => at.month(),
        'E' if count >= 4 => return path.push_str(&at.format("%A").to_string()),
        'E' => return path.push_str(&at.format("%a").to_string()),
        'd' => at.day(),
        'H' => at.hour(),
        'm' => at.minute(),
        's' => at.second(),
        'S' => at.timestamp_subsec_millis(),
        'D' => at.ordinal(),
        _ => week_of_year(at.date_naive()),
    };
    let _ = write!(path, "{number:0count$}");
}

/// Counts weeks as Java does for the United States: they start on Sunday, and week 1 is the one
/// that holds 1 January, even where it begins in December.
fn week_of_year(date: NaiveDate) -> u32 {
    let to_saturday = 6 - u64::from(date.weekday().num_days_from_sunday());
    let saturday = date.checked_add_days(Days::new(to_saturday)).unwrap_or(date);
    saturday.ordinal0() / 7 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_prints_what_java_prints() {
        let table = include_str!("../../tests/data/folder_format.tsv");
        let mut rows = 0;
        for row in table.lines().filter(|row| !row.starts_with('#')) {
            let mut columns = row.split('\t');
            let mut next = || columns.next().expect("three columns");
            let (pattern, millis, expected) = (next(), next(), next());
            let at = DateTime::from_timestamp_millis(millis.parse().unwrap()).unwrap();
            let format = FolderFormat { pieces: pieces(pattern).unwrap() };
            assert_eq!(format.format(at), expected, "{row}");
            rows += 1;
        }
        assert!(rows > 300, "{rows}");
    }

    #[test]
    fn patterns_that_cannot_name_folders_are_refused() {
        use FolderFormatError::*;
        let part = |text: &str| Part(text.to_owned());
        for (pattern, expected) in [
            ("", EmptyPart),
            ("/yyyy", EmptyPart),
            ("yyyy/", EmptyPart),
            ("yyyy//MM", EmptyPart),
            ("yyyy/../MM", part("..")),
            ("./yyyy", part(".")),
            ("'.rcbs'/yyyy", part(".rcbs")),
            ("yyyy./MM", part("1970.")),
            ("yyyy /MM", part("1970 ")),
            ("'nul'/yyyy", part("nul")),
            ("'COM'd", part("COM1")),
            ("yyyy\\MM", Character('\\')),
            ("HH:mm", Character(':')),
            ("yyyy'", OpenQuote),
            ("YYYY", Letter('Y')),
            ("hh a", Letter('h')),
            ("yyyyTHH", Letter('T')),
        ] {
            assert_eq!(FolderFormat::parse(pattern), Err(expected), "{pattern}");
        }
        assert_eq!(FolderFormat::parse(&"d".repeat(200)), Err(Long(200)));
    }

    #[test]
    fn the_default_pattern_gives_the_documented_folder() {
        let at = DateTime::from_timestamp_millis(1_518_462_191_000).unwrap();
        assert_eq!(FolderFormat::parse("yyyy/MM/dd/HH").unwrap().format(at), "2018/02/12/19");
    }
}
