//! Where a JSON value ends.
//!
//! Given the bytes of a value as they come, says how long it is; whether it is JSON the parser says.
//!
//! **Invariant**: no byte is looked at twice, however small the pieces are that a value comes in.

/// How far a value has been looked at.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Scan {
    seen: usize,
    /// Brackets and braces that are open.
    depth: usize,
    in_string: bool,
}

impl Scan {
    /// How many bytes of the value have been looked at.
    pub(super) fn seen(&self) -> usize {
        self.seen
    }

    /// Gives the length of the value that `text` begins with; none if its end has not come. While
    /// it has not, the same value must be given again, with more behind it.
    pub(super) fn value(&mut self, text: &[u8]) -> Option<usize> {
        while let Some(&byte) = text.get(self.seen) {
            if self.in_string {
                self.string(text)?;
                if self.depth == 0 {
                    return Some(self.seen);
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                // Of a container around the value; one at its beginning is no value.
                b'}' | b']' if self.depth == 0 => return Some(self.seen.max(1)),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(self.seen + 1);
                    }
                }
                b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => {
                    return Some(self.seen.max(1));
                }
                _ => {}
            }
            self.seen += 1;
        }
        None
    }

    /// Goes on to behind the quotation mark that ends a string.
    fn string(&mut self, text: &[u8]) -> Option<()> {
        loop {
            let found = memchr::memchr2(b'"', b'\\', &text[self.seen..]);
            let Some(found) = found else {
                self.seen = text.len();
                return None;
            };
            let at = self.seen + found;
            if text[at] == b'"' {
                self.seen = at + 1;
                self.in_string = false;
                return Some(());
            }
            // The mark behind a backslash ends nothing.
            if at + 1 == text.len() {
                self.seen = at;
                return None;
            }
            self.seen = at + 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::tests::any_json;

    fn length(text: &str) -> Option<usize> {
        Scan::default().value(text.as_bytes())
    }

    #[test]
    fn a_value_ends_where_its_own_brackets_or_quotes_do() {
        for (text, value) in [
            (r#"{"a":[1,"}"]},"#, Some(r#"{"a":[1,"}"]}"#)),
            (r#""a\"b\\"]"#, Some(r#""a\"b\\""#)),
            ("12,3", Some("12")),
            ("true}", Some("true")),
            ("-1.5e3\n", Some("-1.5e3")),
            ("[[]]]", Some("[[]]")),
            // No JSON, but it ends.
            ("{]x", Some("{]")),
            ("]", Some("]")),
            (",", Some(",")),
            // Not yet at its end.
            ("12", None),
            (r#"{"a":""#, None),
            (r#""a\"#, None),
            (r#""a\""#, None),
            ("", None),
        ] {
            assert_eq!(length(text), value.map(str::len), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_end_is_the_same_in_pieces_of_any_size(json in any_json(), piece in 1_usize..9) {
            let text = format!("{json},{json}");
            let mut scan = Scan::default();
            let mut found = None;
            for upto in (0..=text.len()).step_by(piece).chain([text.len()]) {
                found = found.or_else(|| scan.value(&text.as_bytes()[..upto]));
            }
            prop_assert_eq!(found, Some(json.len()));
        }
    }
}
