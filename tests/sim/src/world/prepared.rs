//! Records that were rendered beforehand, so that serving them costs nothing.
//!
//! Given a world's records, keeps their texts as one, newest first, as a listing has them.
//! **Invariant**: the text between two places is what rendering those records one by one would give.

use bytes::Bytes;

/// The texts of all records of a world, newest first, with a comma behind each.
#[derive(Clone, Debug, Default)]
pub(super) struct Prepared {
    texts: Bytes,
    /// Where each text begins, and the end of the last.
    places: Vec<usize>,
}

impl Prepared {
    /// Takes the texts, newest first.
    pub(super) fn new(newest_first: impl Iterator<Item = String>) -> Self {
        let mut texts = Vec::new();
        let mut places = vec![0];
        for text in newest_first {
            texts.extend_from_slice(text.as_bytes());
            texts.push(b',');
            places.push(texts.len());
        }
        Self { texts: texts.into(), places }
    }

    /// Gives the texts of records with a comma between them: `count` of them, down from this number.
    pub(super) fn down_from(&self, newest: u32, count: usize) -> Option<Bytes> {
        let first = self.places.len().checked_sub(2 + newest as usize)?;
        let end = *self.places.get(first.checked_add(count)?)?;
        Some(self.texts.slice(self.places[first]..end.saturating_sub(1).max(self.places[first])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_given_by_number_newest_first() {
        let prepared = Prepared::new(["c", "bb", "a"].map(str::to_owned).into_iter());
        let cases =
            [(2, 3, Some("c,bb,a")), (2, 1, Some("c")), (1, 2, Some("bb,a")), (0, 1, Some("a"))];
        for (newest, count, expected) in cases {
            let text = prepared.down_from(newest, count);
            assert_eq!(text.as_deref(), expected.map(str::as_bytes), "{count} from {newest}");
        }
        assert_eq!(prepared.down_from(0, 2), None);
        assert_eq!(prepared.down_from(3, 1), None);
    }
}
