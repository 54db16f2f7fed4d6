//! What a PEM file holds, block by block.

use openssl::error::ErrorStack;
use openssl::pkey::{Id, PKey, Private};
use openssl::x509::X509;

use crate::secret::Secret;

/// Why a file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A passphrase is asked for.
    #[error("`{file}` holds an encrypted key, and there is no passphrase for it")]
    Encrypted {
        /// Which file.
        file: String,
    },
    /// Nothing sensible comes out with the passphrase given.
    #[error("`{file}` holds an encrypted key that the passphrase does not open")]
    Passphrase {
        /// Which file.
        file: String,
    },
    /// Something that calls itself a key or a certificate is none.
    #[error("`{file}` holds a {what} that cannot be read")]
    Broken {
        /// Which file.
        file: String,
        /// What it calls itself.
        what: &'static str,
        /// What openssl said.
        source: ErrorStack,
    },
}

/// One block that matters here.
pub(super) enum Block {
    Key(PKey<Private>),
    Certificate(X509),
}

/// Reads the RSA keys and the certificates among the blocks of a file, and leaves out the rest.
pub(super) fn read(
    file: &str,
    pem: &[u8],
    passphrase: Option<&Secret>,
) -> Result<Vec<Block>, KeyError> {
    let text = String::from_utf8_lossy(pem);
    let mut found = Vec::new();
    let mut rest: &str = &text;
    while let Some(at) = rest.find("-----BEGIN ") {
        let (label, block, behind) = cut(&rest[at..]);
        rest = behind;
        match label {
            "RSA PRIVATE KEY" | "PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" => {
                let key = key(file, label, block, passphrase)?;
                // Recordings are made for RSA keys alone.
                if key.id() == Id::RSA {
                    found.push(Block::Key(key));
                }
            }
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                let certificate = X509::from_pem(block.as_bytes()).map_err(|source| {
                    KeyError::Broken { file: file.to_owned(), what: "certificate", source }
                })?;
                found.push(Block::Certificate(certificate));
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Cuts the first block off: its label, the block with both lines, and what stands behind it.
fn cut(text: &str) -> (&str, &str, &str) {
    let label = text.trim_start_matches("-----BEGIN ");
    let label = label.split_once("-----").map_or("", |(label, _)| label);
    let end = format!("-----END {label}-----");
    let block_bytes = text.find(&end).map_or(text.len(), |at| at + end.len());
    let (block, behind) = text.split_at(block_bytes);
    (label, block, behind)
}

fn key(
    file: &str,
    label: &str,
    block: &str,
    passphrase: Option<&Secret>,
) -> Result<PKey<Private>, KeyError> {
    let file = || file.to_owned();
    if label != "ENCRYPTED PRIVATE KEY" && !block.contains("Proc-Type: 4,ENCRYPTED") {
        // With a passphrase, even an empty one, openssl never asks the terminal for one.
        return PKey::private_key_from_pem_passphrase(block.as_bytes(), b"")
            .map_err(|source| KeyError::Broken { file: file(), what: "private key", source });
    }
    let passphrase = passphrase.ok_or_else(|| KeyError::Encrypted { file: file() })?;
    let passphrase = passphrase.expose().as_bytes();
    // To openssl a passphrase ends at its first zero byte.
    if passphrase.contains(&0) {
        return Err(KeyError::Passphrase { file: file() });
    }
    PKey::private_key_from_pem_passphrase(block.as_bytes(), passphrase)
        .map_err(|_| KeyError::Passphrase { file: file() })
}
