//! The few words of DER that envelopes are written in. **Invariant**: pure.

/// `INTEGER 0`.
pub(super) const VERSION_0: &[u8] = &[2, 1, 0];

/// Gives the head of a DER value: its tag and its length.
pub(super) fn head(tag: u8, len: u64) -> Vec<u8> {
    if len < 0x80 {
        return vec![tag, len as u8];
    }
    let digits: Vec<u8> = len.to_be_bytes().into_iter().skip_while(|&byte| byte == 0).collect();
    [&[tag, 0x80 | digits.len() as u8], digits.as_slice()].concat()
}

/// Gives a whole DER value.
pub(super) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    [&head(tag, content.len() as u64), content].concat()
}
