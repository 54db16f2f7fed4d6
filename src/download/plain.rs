//! What plaintext looks like.
//!
//! Given the first bytes of an object, tells media and text from what may be ciphertext.
//!
//! **Invariant:** ciphertext is called neither, but for one in a hundred million.

/// How many of an object's first bytes are enough: two frames of MPEG audio.
pub(super) const LOOK_BYTES: usize = 3_000;

/// The fewest characters that are no coincidence.
const TEXT_BYTES: usize = 32;

/// Kilobits per second of MPEG 1 layer III by their index, then those of MPEG 2.
const BIT_RATES: [[usize; 15]; 2] = [
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// Tells whether an object begins as audio or video does.
pub(super) fn is_media(head: &[u8]) -> bool {
    let magics: [(usize, &[u8]); 7] = [
        (0, b"ID3\x02"),
        (0, b"ID3\x03"),
        (0, b"ID3\x04"),
        (4, b"ftyp"),
        (0, b"RIFF"),
        (0, b"OggS"),
        // Matroska and WebM.
        (0, &[0x1A, 0x45, 0xDF, 0xA3]),
    ];
    magics.iter().any(|(at, magic)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic)))
        || is_mpeg_audio(head)
}

/// Tells whether an object begins as a page or a message does, and not as ciphertext.
pub(super) fn is_text(head: &[u8]) -> bool {
    let is_printed = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    head.len() >= TEXT_BYTES && head[..TEXT_BYTES].iter().all(is_printed)
}

/// MP3 without a tag has no magic but its frames: one leads to the next.
fn is_mpeg_audio(head: &[u8]) -> bool {
    let second = frame_bytes(head).and_then(|bytes| head.get(bytes..));
    second.is_some_and(|second| frame_bytes(second).is_some() && second[1] == head[1])
}

/// The length of a frame of layer III, by its header.
fn frame_bytes(frame: &[u8]) -> Option<usize> {
    let [0xFF, kind, rates, ..] = *frame else { return None };
    let (version, is_layer_3) = ((kind >> 3) & 3, (kind >> 1) & 3 == 1);
    if kind & 0xE0 != 0xE0 || !is_layer_3 {
        return None;
    }
    // Half a frame's samples from MPEG 2 on, at half the sample rate, and MPEG 2.5 halves it again.
    let (rates_of, samples, divisor) = match version {
        3 => (0, 144, 1),
        2 => (1, 72, 2),
        0 => (1, 72, 4),
        _ => return None,
    };
    let bit_rate = *BIT_RATES[rates_of].get(usize::from(rates >> 4))?;
    let sample_rate = [44_100, 48_000, 32_000].get(usize::from((rates >> 2) & 3))? / divisor;
    let padding = usize::from((rates >> 1) & 1);
    (bit_rate > 0).then(|| samples * bit_rate * 1_000 / sample_rate + padding)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two frames of 32 kbit/s at 8 kHz, as telephone calls have.
    fn telephone() -> Vec<u8> {
        let frame = |fill| [vec![0xFF, 0xE3, 0x48, 0xC4], vec![fill; 284]].concat();
        [frame(0), frame(1)].concat()
    }

    #[test]
    fn media_are_known_by_their_first_bytes() {
        let cd = |second_at: usize| {
            let mut bytes = vec![0; LOOK_BYTES];
            // 128 kbit/s at 44.1 kHz: 417 bytes, and one more with padding.
            bytes[..3].copy_from_slice(&[0xFF, 0xFB, 0x92]);
            bytes[second_at..second_at + 3].copy_from_slice(&[0xFF, 0xFB, 0x90]);
            bytes
        };
        let cases: [(&[u8], bool); 11] = [
            (b"ID3\x04\0\0\0\0", true),
            (b"ID3\x7f\0\0\0\0", false),
            (b"\0\0\0\x20ftypisom", true),
            (b"RIFF\x10\0\0\0WAVE", true),
            (&[0x1A, 0x45, 0xDF, 0xA3, 0x01], true),
            (&telephone(), true),
            (&telephone()[..200], false),
            (&cd(418), true),
            (&cd(417), false),
            (&[0xFF, 0xFB, 0xF0, 0], false),
            (b"", false),
        ];
        for (head, expected) in cases {
            assert_eq!(is_media(head), expected, "{:02x?}", &head[..head.len().min(8)]);
        }
    }

    #[test]
    fn text_is_known_by_its_characters() {
        let page = b"<!DOCTYPE html>\r\n<html><head>\t<title>503";
        let cases: [(&[u8], bool); 4] = [
            (page, true),
            (&page[..20], false),
            (&[&page[..31], &[0x80]].concat(), false),
            (b"", false),
        ];
        for (head, expected) in cases {
            assert_eq!(is_text(head), expected, "{head:02x?}");
        }
    }
}
