//! What OpenSSL says of the parts of an envelope that are not read here.
//!
//! Given such parts it says whether `openssl cms -decrypt` would read an envelope with them. A name,
//! a certificate or a recipient of another kind that OpenSSL cannot read keeps it from opening the
//! whole envelope, so an envelope that has one must not pass for good.
//!
//! **Invariant:** no content is ever put into what OpenSSL is shown.

use openssl::cms::CmsContentInfo;

use super::ber::SEQUENCE;
use super::write::{ENVELOPED_DATA, definite, value};

/// What stands before the attributes in an envelope for nobody: version 2, no recipients, and data
/// without content, in AES-128-CBC.
const FOR_NOBODY: [u8; 31] = [
    2, 1, 2, 0x31, 0, 0x30, 24, 6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 1, 0x30, 11, 6, 9,
    0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 2,
];

/// What stands behind the content of an authenticated envelope: an empty code.
const CODE: [u8; 2] = [4, 0];

/// Whether OpenSSL reads a head: its type, what stands before what is said of the content, and that.
pub(super) fn reads_head(of_type: &[u8], before: &[u8], info: &[u8], authenticated: bool) -> bool {
    let behind = if authenticated { &CODE[..] } else { &[] };
    reads(of_type, &[before, &definite(SEQUENCE, info), behind].concat())
}

/// Whether OpenSSL reads these attributes.
pub(super) fn reads_attributes(attributes: &[u8]) -> bool {
    reads(&ENVELOPED_DATA, &[&FOR_NOBODY, attributes].concat())
}

fn reads(of_type: &[u8], data: &[u8]) -> bool {
    let explicit = definite(0xA0, &definite(SEQUENCE, data));
    let envelope = value(SEQUENCE, &[of_type, &explicit]);
    CmsContentInfo::from_der(&envelope).is_ok()
}
