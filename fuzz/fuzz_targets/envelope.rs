//! Whatever the bytes are, nothing panics, and what opens here opens in OpenSSL to the same bytes.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use openssl::pkey::{PKey, Private};

#[path = "../../src/envelope/mod.rs"]
mod envelope;
#[path = "../../src/envelope/tests/oracle.rs"]
mod oracle;

/// The key that the seeds were made for.
static KEY: LazyLock<PKey<Private>> = LazyLock::new(|| {
    let pem = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/key.pem"));
    let pem = pem.expect("scripts/fuzz has made a key");
    PKey::private_key_from_pem(&pem).expect("it is a key")
});

fuzz_target!(|bytes: &[u8]| {
    let _ = envelope::form(&bytes[..bytes.len().min(envelope::HEAD_BYTES)]);
    if let Ok(head) = envelope::Head::read(bytes) {
        for recipient in &head.recipients {
            let _ = recipient.id.to_string();
        }
    }
    let plain = oracle::judge(bytes, &KEY);
    // Cuts change nothing, neither what comes out nor whether it does.
    assert_eq!(oracle::open(bytes, &KEY, 1 + bytes.len() % 19).ok(), plain);
});
