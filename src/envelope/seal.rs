//! Sealing: plaintext goes in as it comes, an envelope for one certificate comes out.
//!
//! Given a certificate, a cipher and the length of the plaintext, gives the DER bytes of a CMS
//! EnvelopedData: a head with the content key, encrypted by RSA PKCS#1 v1.5 for the certificate's
//! issuer and serial, and the ciphertext.
//!
//! **Invariant:** every envelope has a content key and an initialisation vector of its own, and
//! neither is known outside of it.

use openssl::error::ErrorStack;
use openssl::pkey::Public;
use openssl::rand::rand_bytes;
use openssl::rsa::{Padding, Rsa};
use openssl::symm::{Cipher, Crypter, Mode};
use openssl::x509::{X509, X509Ref};

use super::ber::{BerError, Reader, SEQUENCE};
use super::write::{frame, value};

/// `OBJECT IDENTIFIER 1.2.840.113549.1.7.1`, data.
const DATA: [u8; 11] = [0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x01];
/// `AlgorithmIdentifier` of `1.2.840.113549.1.1.1`, rsaEncryption.
const RSA_ENCRYPTION: [u8; 15] =
    [0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00];
/// `OBJECT IDENTIFIER 2.16.840.1.101.3.4.1.2`, aes128-CBC.
const AES_128_CBC: [u8; 11] = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x02];
/// `OBJECT IDENTIFIER 2.16.840.1.101.3.4.1.42`, aes256-CBC.
const AES_256_CBC: [u8; 11] = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2A];
/// Tag of a certificate's version, which the first version lacks.
const VERSION: u8 = 0xA0;
const VERSION_0: [u8; 3] = [0x02, 0x01, 0x00];
/// The block of AES, in bytes.
const BLOCK: usize = 16;

/// For whom plaintext is sealed, and how.
#[derive(Clone)]
pub struct Sealing {
    certificate: X509,
    public_key: Rsa<Public>,
    /// IssuerAndSerialNumber.
    recipient: Vec<u8>,
    format: SealFormat,
}

/// The cipher of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealFormat {
    /// AES with a key of 128 bits, in CBC.
    Aes128,
    /// AES with a key of 256 bits, in CBC.
    Aes256,
}

/// Why nothing can be sealed for a certificate.
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    /// There is no certificate in the text.
    #[error("not a PEM certificate")]
    Certificate(#[source] ErrorStack),
    /// Its issuer and serial are not where they belong.
    #[error("not a certificate that can be read")]
    Malformed,
    /// Its key is for something else.
    #[error("the certificate's key is not an RSA key")]
    NotRsa,
}

impl Sealing {
    /// Reads the first certificate of a PEM text.
    pub fn for_certificate(pem: &[u8], format: SealFormat) -> Result<Sealing, SealingError> {
        let certificate = X509::from_pem(pem).map_err(SealingError::Certificate)?;
        let public_key = certificate.public_key().and_then(|key| key.rsa());
        let public_key = public_key.map_err(|_| SealingError::NotRsa)?;
        let der = certificate.to_der().map_err(SealingError::Certificate)?;
        let recipient = issuer_and_serial(&der).map_err(|_| SealingError::Malformed)?;
        Ok(Sealing { certificate, public_key, recipient, format })
    }

    /// Gives the certificate.
    pub fn certificate(&self) -> &X509Ref {
        &self.certificate
    }

    /// Begins an envelope around so many bytes of plaintext.
    pub fn begin(&self, plain_bytes: u64) -> Result<Sealer, ErrorStack> {
        let (cipher, oid) = match self.format {
            SealFormat::Aes128 => (Cipher::aes_128_cbc(), AES_128_CBC),
            SealFormat::Aes256 => (Cipher::aes_256_cbc(), AES_256_CBC),
        };
        let (mut key, mut iv) = (vec![0; cipher.key_len()], [0; BLOCK]);
        rand_bytes(&mut key)?;
        rand_bytes(&mut iv)?;
        let algorithm = value(0x30, &[&oid, &value(0x04, &[&iv])]);
        let before = [VERSION_0.as_slice(), &value(0x31, &[&self.recipient(&key)?])].concat();
        let info = [DATA.as_slice(), &algorithm].concat();
        Ok(Sealer {
            head: frame(&before, &info, sealed_bytes(plain_bytes), 0),
            crypter: Crypter::new(cipher, Mode::Encrypt, &key, Some(&iv))?,
        })
    }

    /// Makes the KeyTransRecipientInfo.
    fn recipient(&self, key: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let mut encrypted = vec![0; self.public_key.size() as usize];
        self.public_key.public_encrypt(key, &mut encrypted, Padding::PKCS1)?;
        let encrypted = value(0x04, &[&encrypted]);
        Ok(value(0x30, &[&VERSION_0, &self.recipient, &RSA_ENCRYPTION, &encrypted]))
    }
}

/// Makes IssuerAndSerialNumber of what stands in a certificate, octet for octet.
fn issuer_and_serial(certificate: &[u8]) -> Result<Vec<u8>, BerError> {
    let mut reader = Reader::whole(certificate);
    reader.enter(SEQUENCE, "the certificate")?;
    reader.enter(SEQUENCE, "what is certified")?;
    if reader.peek()? == Some(VERSION) {
        reader.element()?;
    }
    let serial = reader.element()?.whole;
    let _signature_algorithm = reader.element()?;
    let issuer = reader.element()?.whole;
    Ok(value(SEQUENCE, &[issuer, serial]))
}

/// An envelope that is being filled.
pub struct Sealer {
    head: Vec<u8>,
    crypter: Crypter,
}

impl Sealer {
    /// Gives what stands before the ciphertext.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Appends the ciphertext of more plaintext, as far as it fills blocks.
    pub fn update(&mut self, plain: &[u8], sealed: &mut Vec<u8>) -> Result<(), ErrorStack> {
        append(sealed, plain.len() + BLOCK, |room| self.crypter.update(plain, room))
    }

    /// Appends the last block.
    pub fn finish(mut self, sealed: &mut Vec<u8>) -> Result<(), ErrorStack> {
        append(sealed, BLOCK, |room| self.crypter.finalize(room))
    }
}

fn append(
    sealed: &mut Vec<u8>,
    room: usize,
    write: impl FnOnce(&mut [u8]) -> Result<usize, ErrorStack>,
) -> Result<(), ErrorStack> {
    let start = sealed.len();
    sealed.resize(start + room, 0);
    let written = write(&mut sealed[start..])?;
    sealed.truncate(start + written);
    Ok(())
}

/// The length of the ciphertext: padding always adds something.
fn sealed_bytes(plain_bytes: u64) -> u64 {
    (plain_bytes / BLOCK as u64 + 1) * BLOCK as u64
}
