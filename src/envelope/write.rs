//! Writing of DER: tags, lengths, and the frame around content that is written apart.

/// `OBJECT IDENTIFIER 1.2.840.113549.1.7.3`, envelopedData.
pub(super) const ENVELOPED_DATA: [u8; 11] =
    [0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x03];

/// Makes the tag and the length that stand before so many bytes of content.
pub(super) fn head(tag: u8, content_bytes: u64) -> Vec<u8> {
    if content_bytes < 0x80 {
        return vec![tag, content_bytes as u8];
    }
    let octets = content_bytes.to_be_bytes();
    let first = octets.iter().position(|octet| *octet != 0).unwrap_or(octets.len() - 1);
    let digits = &octets[first..];
    [&[tag, 0x80 | digits.len() as u8], digits].concat()
}

/// Makes a value of its parts.
pub(super) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    definite(tag, &parts.concat())
}

/// Makes a value of its content.
pub(super) fn definite(tag: u8, content: &[u8]) -> Vec<u8> {
    [&head(tag, content.len() as u64), content].concat()
}

/// Makes all that stands before the content of an EnvelopedData of definite lengths, given the
/// members before its EncryptedContentInfo, those of that, and how many bytes of content and of
/// members behind it will follow.
pub(super) fn frame(before: &[u8], info: &[u8], content_bytes: u64, behind_bytes: u64) -> Vec<u8> {
    let mut frame = [info, &head(0x80, content_bytes)].concat();
    let mut wrap = |tag, members: &[u8], follows: u64| {
        let bytes = (members.len() + frame.len()) as u64 + follows;
        frame = [&head(tag, bytes), members, &frame].concat();
    };
    wrap(0x30, &[], content_bytes);
    // EnvelopedData: EncryptedContentInfo has a head of its own by now.
    wrap(0x30, before, content_bytes + behind_bytes);
    wrap(0xA0, &[], content_bytes + behind_bytes);
    wrap(0x30, &ENVELOPED_DATA, content_bytes + behind_bytes);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_as_few_octets_as_there_can_be() {
        for (content_bytes, expected) in [
            (0, vec![4, 0]),
            (0x7F, vec![4, 0x7F]),
            (0x80, vec![4, 0x81, 0x80]),
            (0xFF, vec![4, 0x81, 0xFF]),
            (0x100, vec![4, 0x82, 1, 0]),
            (0x1_0000_0000, vec![4, 0x85, 1, 0, 0, 0, 0]),
            (u64::MAX, vec![4, 0x88, 255, 255, 255, 255, 255, 255, 255, 255]),
        ] {
            assert_eq!(head(4, content_bytes), expected, "{content_bytes}");
        }
        assert_eq!(value(0x30, &[&[5, 0], &[2, 1, 0]]), [0x30, 5, 5, 0, 2, 1, 0]);
    }
}
