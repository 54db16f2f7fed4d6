//! An answer that is small until somebody unpacks it.
//!
//! Given a number of MiB, gives a listing of that many blanks, compressed. **Invariant**: it is valid gzip and valid JSON,
//! and neither form of it is ever in memory.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use crate::server::{Body, BoxError};

const MIB: usize = 1 << 20;
const HEAD: &[u8] = br#"{"statusCode":0,"recordings":["#;
const TAIL: &[u8] = b"]}";

/// Gives the answer.
pub(crate) fn response(mib: u64) -> Response<Body> {
    let frames = parts(mib).map(|part| Ok::<_, BoxError>(Frame::data(part)));
    let body = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

/// Gives the compressed bytes part by part: one MiB of blanks is compressed once, and repeated.
fn parts(mib: u64) -> impl Iterator<Item = Bytes> {
    let blanks = vec![b' '; MIB];
    let block = deflated(&blanks, FlushCompress::Full);
    let mut of_block = Crc::new();
    of_block.update(&blanks);
    let mut crc = Crc::new();
    crc.update(HEAD);
    (0..mib).for_each(|_| crc.combine(&of_block));
    let mut of_tail = Crc::new();
    of_tail.update(TAIL);
    crc.combine(&of_tail);

    // A header without a name or a time, by an unknown system.
    let mut head = vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF];
    head.extend(deflated(HEAD, FlushCompress::Full));
    let mut tail = deflated(TAIL, FlushCompress::Finish);
    // Modulo 2^32, as the format wants it.
    let length = (HEAD.len() as u64 + mib * MIB as u64 + TAIL.len() as u64) as u32;
    for number in [crc.sum(), length] {
        tail.write_all(&number.to_le_bytes()).expect("memory takes what is written");
    }
    let block = Bytes::from(block);
    let blocks = (0..mib).map(move |_| block.clone());
    std::iter::once(head.into()).chain(blocks).chain(std::iter::once(tail.into()))
}

/// Compresses bytes so that others may come before and behind.
fn deflated(bytes: &[u8], flush: FlushCompress) -> Vec<u8> {
    let mut compress = Compress::new(Compression::best(), false);
    let mut out = Vec::with_capacity(bytes.len() / 100 + 100);
    let status = compress.compress_vec(bytes, &mut out, flush);
    assert!(status.is_ok() && compress.total_in() == bytes.len() as u64, "it fits in one go");
    out
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn it_unpacks_to_an_empty_listing_of_the_size_asked_for() {
        for mib in [0, 1, 5] {
            let bytes: Vec<u8> = parts(mib).flatten().collect();
            assert!(bytes.len() < 100 + 1_200 * mib as usize, "{}", bytes.len());
            let mut text = String::new();
            flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
            assert_eq!(text.len(), HEAD.len() + TAIL.len() + mib as usize * MIB);
            let page: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(page, serde_json::json!({"statusCode": 0, "recordings": []}));
        }
    }
}
