//! Tags and lengths of ASN.1, as BER writes them, read from the beginning of a stream.
//!
//! Given bytes it gives the headers and elements that stand in them, or says that more are needed.
//! It is our own because the crates `der` and `cms` read whole values, while an envelope's lengths
//! reach beyond what is in memory and may be known only at its end.
//!
//! **Invariant:** nothing is allocated by what a length says, and nesting is bounded.

/// Tag of an INTEGER.
pub(super) const INTEGER: u8 = 0x02;
/// Tag of an OCTET STRING.
pub(super) const OCTET_STRING: u8 = 0x04;
/// Tag of NULL.
pub(super) const NULL: u8 = 0x05;
/// Tag of an OBJECT IDENTIFIER.
pub(super) const OID: u8 = 0x06;
/// Tag of a SEQUENCE.
pub(super) const SEQUENCE: u8 = 0x30;
/// Tag of a SET.
pub(super) const SET: u8 = 0x31;
/// What a tag has if the value consists of elements.
pub(super) const CONSTRUCTED: u8 = 0x20;
/// What stands first in the end-of-contents octets.
pub(super) const END: u8 = 0x00;

/// How deep strings in pieces may be nested; OpenSSL reads as many.
pub(super) const DEEPEST_STRING: usize = 5;
/// How deep elements of indefinite length may be nested where nobody looks into them.
const DEEPEST: usize = 16;
/// How long an object identifier may be; those of 128-bit UUIDs have 20 octets.
const LONGEST_OID: usize = 64;

/// Why an element cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BerError {
    #[error("more bytes are needed")]
    Incomplete,
    #[error("{0}")]
    Wrong(&'static str),
}

/// A tag and a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) tag: u8,
    /// How many bytes follow; none if that is known only at the end-of-contents octets.
    pub(super) length: Option<u64>,
    /// How many bytes the header itself has.
    pub(super) bytes: usize,
}

/// Reads the header at the beginning of `input`.
pub(super) fn header(input: &[u8]) -> Result<Header, BerError> {
    let &[tag, first, ref rest @ ..] = input else { return Err(BerError::Incomplete) };
    if tag & 0x1F == 0x1F {
        return Err(BerError::Wrong("a tag of more than one octet"));
    }
    let (length, bytes) = match first {
        0x80 if tag & CONSTRUCTED == 0 => {
            return Err(BerError::Wrong("a primitive value of indefinite length"));
        }
        0x80 => (None, 2),
        0..0x80 => (Some(u64::from(first)), 2),
        _ => {
            let octets = usize::from(first & 0x7F);
            if octets > 8 {
                return Err(BerError::Wrong("a length of more than eight octets"));
            }
            let length = rest.get(..octets).ok_or(BerError::Incomplete)?;
            let length = length.iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet));
            (Some(length), 2 + octets)
        }
    };
    if tag == END && first != 0 {
        return Err(BerError::Wrong("end-of-contents octets that are not two zeros"));
    }
    Ok(Header { tag, length, bytes })
}

/// An element of which the header has been read, and the value is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// Where its header begins.
    pub(super) at: usize,
    /// Where its value begins.
    pub(super) value_at: usize,
    /// Where its value ends; none if that is known only at the end-of-contents octets.
    pub(super) end: Option<u64>,
}

/// An element that is there as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    /// What it holds, without header and end-of-contents octets.
    pub(super) value: &'a [u8],
    /// All of it.
    pub(super) whole: &'a [u8],
}

/// Walks over elements that stand one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    /// Where the innermost element around the reader ends, as far as it is known.
    end: u64,
}

impl<'a> Element<'a> {
    /// Reads it once more, as what it is.
    pub(super) fn reader(&self) -> Reader<'a> {
        Reader::whole(self.whole)
    }

    /// Whether it says that there is nothing.
    pub(super) fn is_null(&self) -> bool {
        self.tag == NULL && self.value.is_empty()
    }
}

impl<'a> Reader<'a> {
    /// Reads what may go on behind `input`.
    pub(super) fn beginning(input: &'a [u8]) -> Reader<'a> {
        Reader { input, at: 0, end: u64::MAX }
    }

    /// Reads what ends with `input`.
    pub(super) fn whole(input: &'a [u8]) -> Reader<'a> {
        Reader { input, at: 0, end: input.len() as u64 }
    }

    /// Where the reader stands.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.input[self.at..]
    }

    /// Whether the element around the reader is known to end here.
    pub(super) fn is_at_end(&self) -> bool {
        self.at as u64 == self.end
    }

    /// Tells the tag of the next element, none at a known end.
    pub(super) fn peek(&self) -> Result<Option<u8>, BerError> {
        match self.rest().first() {
            _ if self.is_at_end() => Ok(None),
            Some(tag) => Ok(Some(*tag)),
            None => Err(BerError::Incomplete),
        }
    }

    /// Reads one header, whose value must end within the element around it.
    pub(super) fn header(&mut self) -> Result<Header, BerError> {
        const BEYOND: BerError = BerError::Wrong("an element reaches beyond the one around it");
        let left = self.end - self.at as u64;
        let rest = self.rest();
        let known = &rest[..rest.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        let header = match header(known) {
            Err(BerError::Incomplete) if known.len() as u64 == left => return Err(BEYOND),
            header => header?,
        };
        if header.length.is_some_and(|length| length > left - header.bytes as u64) {
            return Err(BEYOND);
        }
        self.at += header.bytes;
        Ok(header)
    }

    /// Steps into the next element, which must have this tag; from then on its end is the reader's.
    pub(super) fn enter(&mut self, tag: u8, wrong: &'static str) -> Result<Frame, BerError> {
        let at = self.at;
        let header = self.header()?;
        if header.tag != tag {
            return Err(BerError::Wrong(wrong));
        }
        let end = header.length.map(|length| self.at as u64 + length);
        self.end = end.unwrap_or(self.end);
        Ok(Frame { at, value_at: self.at, end })
    }

    /// Reads the next element, whatever it is.
    pub(super) fn element(&mut self) -> Result<Element<'a>, BerError> {
        self.nested_element(DEEPEST)
    }

    /// Reads the next element, which must have this tag, and gives its value.
    pub(super) fn value(&mut self, tag: u8, wrong: &'static str) -> Result<&'a [u8], BerError> {
        let element = self.element()?;
        if element.tag == tag { Ok(element.value) } else { Err(BerError::Wrong(wrong)) }
    }

    /// Reads an INTEGER and gives its octets, the most significant one first.
    pub(super) fn integer(&mut self, wrong: &'static str) -> Result<&'a [u8], BerError> {
        match self.value(INTEGER, wrong)? {
            [] | [0, 0..0x80, ..] | [0xFF, 0x80..=0xFF, ..] => Err(BerError::Wrong(wrong)),
            octets => Ok(octets),
        }
    }

    /// Reads an OBJECT IDENTIFIER and gives it as numbers with dots between.
    pub(super) fn oid(&mut self, wrong: &'static str) -> Result<String, BerError> {
        dotted(self.value(OID, wrong)?).ok_or(BerError::Wrong(wrong))
    }

    /// Reads an `AlgorithmIdentifier` and gives its name and its parameters, if it has any.
    pub(super) fn algorithm(
        &mut self,
        wrong: &'static str,
    ) -> Result<(String, Option<Element<'a>>), BerError> {
        let mut inner = Reader::whole(self.value(SEQUENCE, wrong)?);
        let oid = inner.oid(wrong)?;
        let parameters = if inner.is_at_end() { None } else { Some(inner.element()?) };
        if inner.is_at_end() { Ok((oid, parameters)) } else { Err(BerError::Wrong(wrong)) }
    }

    /// Reads a string with this tag, in one or in pieces.
    pub(super) fn string(&mut self, tag: u8, wrong: &'static str) -> Result<Vec<u8>, BerError> {
        let element = self.element()?;
        let mut string = Vec::new();
        if element.tag == tag {
            string.extend_from_slice(element.value);
        } else if element.tag == tag | CONSTRUCTED {
            gather(element.value, DEEPEST_STRING, &mut string)?;
        } else {
            return Err(BerError::Wrong(wrong));
        }
        Ok(string)
    }

    fn nested_element(&mut self, depth: usize) -> Result<Element<'a>, BerError> {
        let at = self.at;
        let Header { tag, length, .. } = self.header()?;
        if tag == END {
            return Err(BerError::Wrong("an end that belongs to nothing"));
        }
        let value_at = self.at;
        let Some(length) = length else {
            let depth = depth.checked_sub(1).ok_or(BerError::Wrong("too deeply nested"))?;
            while self.peek()? != Some(END) {
                self.nested_element(depth)?;
            }
            let value_end = self.at;
            self.header()?;
            let value = &self.input[value_at..value_end];
            return Ok(Element { tag, value, whole: &self.input[at..self.at] });
        };
        let value = usize::try_from(length).ok().and_then(|length| self.rest().get(..length));
        let value = value.ok_or(BerError::Incomplete)?;
        self.at += value.len();
        Ok(Element { tag, value, whole: &self.input[at..self.at] })
    }
}

/// Joins the pieces of a string.
fn gather(pieces: &[u8], depth: usize, string: &mut Vec<u8>) -> Result<(), BerError> {
    let mut reader = Reader::whole(pieces);
    while !reader.is_at_end() {
        let piece = reader.element()?;
        match piece.tag {
            OCTET_STRING => string.extend_from_slice(piece.value),
            tag if tag == OCTET_STRING | CONSTRUCTED && depth > 0 => {
                gather(piece.value, depth - 1, string)?;
            }
            _ => return Err(BerError::Wrong("a string in pieces that are not strings")),
        }
    }
    Ok(())
}

/// Writes an object identifier's octets as numbers, if that is what they are.
fn dotted(octets: &[u8]) -> Option<String> {
    if octets.last()? & 0x80 != 0 || octets.len() > LONGEST_OID {
        return None;
    }
    let mut text = String::new();
    for number in octets.split_inclusive(|octet| octet & 0x80 == 0) {
        // The shortest form is the only one.
        if number[0] == 0x80 {
            return None;
        }
        let mut sum: u128 = 0;
        for octet in number {
            sum = sum.checked_mul(128)? | u128::from(octet & 0x7F);
        }
        if text.is_empty() {
            // The first two numbers share one.
            let first = (sum / 40).min(2);
            text = format!("{first}.{}", sum - 40 * first);
        } else {
            text = format!("{text}.{sum}");
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_stand_and_hostile_ones_refused() {
        let good: [(&[u8], u8, Option<u64>, usize); 6] = [
            (&[0x30, 0x00], 0x30, Some(0), 2),
            (&[0x04, 0x7F, 1, 2], 0x04, Some(127), 2),
            (&[0x30, 0x80, 9], 0x30, None, 2),
            (&[0x30, 0x81, 0x05], 0x30, Some(5), 3),
            (&[0x30, 0x84, 0, 0, 1, 0], 0x30, Some(256), 6),
            (&[0x04, 0x88, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], 4, Some(u64::MAX), 10),
        ];
        for (input, tag, length, bytes) in good {
            assert_eq!(header(input), Ok(Header { tag, length, bytes }), "{input:02x?}");
            for cut in 0..bytes {
                assert_eq!(header(&input[..cut]), Err(BerError::Incomplete), "{input:02x?} {cut}");
            }
        }
        let bad: [&[u8]; 6] = [
            &[0x1F, 0x81, 0x01, 0x00],
            &[0x04, 0x80],
            &[0x30, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            &[0x30, 0xFF],
            &[0x00, 0x01],
            &[0x00, 0x81, 0x00],
        ];
        for input in bad {
            assert!(matches!(header(input), Err(BerError::Wrong(_))), "{input:02x?}");
        }
    }

    #[test]
    fn elements_end_where_they_say_or_more_is_needed() {
        let cases: [(&[u8], &[u8], usize); 4] = [
            (&[0x04, 2, 7, 8, 9], &[7, 8], 4),
            (&[0x30, 0x80, 4, 1, 7, 0, 0, 9], &[4, 1, 7], 7),
            (&[0x30, 0x80, 0x30, 0x80, 0, 0, 4, 0, 0, 0], &[0x30, 0x80, 0, 0, 4, 0], 10),
            // Two zeros within a definite length end nothing.
            (&[0x30, 0x80, 4, 2, 0, 0, 0, 0], &[4, 2, 0, 0], 8),
        ];
        for (input, value, bytes) in cases {
            let mut reader = Reader::beginning(input);
            let element = reader.element().unwrap();
            assert_eq!(
                (element.value, element.whole, reader.at()),
                (value, &input[..bytes], bytes)
            );
            for cut in 0..bytes {
                let cut_off = Reader::beginning(&input[..cut]).element();
                assert_eq!(cut_off, Err(BerError::Incomplete), "{input:02x?} {cut}");
                let whole = Reader::whole(&input[..cut]).element();
                assert!(matches!(whole, Err(BerError::Wrong(_))), "{input:02x?} {cut}");
            }
        }
    }

    #[test]
    fn nothing_reaches_beyond_what_is_around_it() {
        let mut reader = Reader::beginning(&[0x30, 3, 0x30, 2, 4, 9]);
        reader.enter(SEQUENCE, "").unwrap();
        assert!(matches!(reader.enter(SEQUENCE, ""), Err(BerError::Wrong(_))));
        let mut reader = Reader::beginning(&[0x30, 4, 0x30, 2, 4]);
        reader.enter(SEQUENCE, "").unwrap();
        assert_eq!(reader.enter(SEQUENCE, "").unwrap().end, Some(6));
        assert_eq!(reader.header(), Err(BerError::Incomplete));
        let mut huge =
            Reader::beginning(&[0x04, 0x88, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        assert!(matches!(huge.element(), Err(BerError::Wrong(_))));
    }

    #[test]
    fn hostile_nesting_ends_early() {
        for (tag, end) in [(SEQUENCE, true), (OCTET_STRING | CONSTRUCTED, false)] {
            let mut deep = [tag, 0x80].repeat(100_000);
            deep.extend([0, 0].repeat(if end { 100_000 } else { 0 }));
            let read = Reader::beginning(&deep).element();
            assert_eq!(read, Err(BerError::Wrong("too deeply nested")));
        }
        let mut string = vec![OCTET_STRING, 1, 7];
        for depth in 0..10 {
            let read = Reader::whole(&string).string(OCTET_STRING, "no string");
            assert_eq!(read.is_ok(), depth <= DEEPEST_STRING + 1, "{depth}");
            string = [&[OCTET_STRING | CONSTRUCTED, string.len() as u8], &string[..]].concat();
        }
    }

    #[test]
    fn object_identifiers_and_integers_have_one_form() {
        let identifiers: [(&[u8], Option<&str>); 9] = [
            (&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 3], Some("1.2.840.113549.1.7.3")),
            (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 42], Some("2.16.840.1.101.3.4.1.42")),
            (&[0x88, 0x37, 3], Some("2.999.3")),
            (&[0x27], Some("0.39")),
            (&[], None),
            (&[0x2A, 0x86], None),
            (&[0x2A, 0x80, 0x01], None),
            (&[0xFF; 30], None),
            (&[0x2A; 65], None),
        ];
        for (octets, text) in identifiers {
            assert_eq!(dotted(octets).as_deref(), text, "{octets:02x?}");
        }
        let integers: [(&[u8], bool); 7] = [
            (&[2, 1, 0], true),
            (&[2, 2, 0, 0x80], true),
            (&[2, 2, 0xFF, 0x7F], true),
            (&[2, 0], false),
            (&[2, 2, 0, 0x7F], false),
            (&[2, 2, 0xFF, 0x80], false),
            (&[4, 1, 0], false),
        ];
        for (octets, good) in integers {
            assert_eq!(Reader::whole(octets).integer("").is_ok(), good, "{octets:02x?}");
        }
    }
}
