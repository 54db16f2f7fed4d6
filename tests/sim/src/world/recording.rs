//! A recording as the world knows it. **Invariant**: its JSON follows from its fields alone.

use super::Media;

/// One recording, in full.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Its id, the CallUUID.
    pub id: String,
    /// When it starts, in epoch milliseconds: this places it in the listing, whatever its JSON says.
    pub start_ms: i64,
    /// When it ends, in epoch milliseconds.
    pub stop_ms: i64,
    /// The region that its record names.
    pub region: String,
    /// Its media files, in the order of the record.
    pub media: Vec<Media>,
    /// Decides what is left open: numbers, names, events.
    pub seed: u64,
    /// The size that its JSON is filled up to.
    pub metadata_bytes: usize,
    /// The text of its record; `None`: it is made from the fields above.
    pub json: Option<String>,
}

impl Recording {
    /// Makes a recording by hand, of 30 seconds and without media.
    pub fn new(id: &str, start_ms: i64) -> Self {
        Self {
            id: id.to_owned(),
            start_ms,
            stop_ms: start_ms + 30_000,
            region: "usw1".to_owned(),
            media: Vec::new(),
            seed: xxhash_rust::xxh3::xxh3_64(id.as_bytes()),
            metadata_bytes: 0,
            json: None,
        }
    }

    /// Adds a media file, which takes the recording's times if it has none.
    #[must_use]
    pub fn with(mut self, mut media: Media) -> Self {
        if media.stop_ms == 0 {
            (media.start_ms, media.stop_ms) = (self.start_ms, self.stop_ms);
        }
        self.media.push(media);
        self
    }

    /// Replaces the whole text of the record; `media` still decides which objects exist.
    #[must_use]
    pub fn with_json(mut self, json: impl Into<String>) -> Self {
        self.json = Some(json.into());
        self
    }
}
