//! Certificates made on the spot, and TLS in front of the services.
//!
//! **Invariant**: a private key never leaves the process.

use std::sync::Arc;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Name};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// What is wrong with the server's certificate; nothing by default.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// True: it ended long ago.
    pub expired: bool,
    /// True: it is for another host.
    pub wrong_host: bool,
    /// True: nobody signed it but itself, as `openssl req -x509` makes them: an authority as well.
    pub self_signed: bool,
}

/// A way to accept TLS, and the authority to trust.
pub(crate) struct Certificates {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) ca_pem: String,
}

/// Makes an authority and a server certificate for 127.0.0.1 and localhost.
pub(crate) fn make(options: &TlsOptions) -> Certificates {
    let (ca, server, key) = certificates(options).expect("openssl makes certificates");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(
        key.private_key_to_pkcs8().expect("the key was just made"),
    ));
    let chain = vec![server.to_der().expect("the certificate was just made").into()];
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has the usual versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("the certificate is for the key");
    let ca_pem = ca.to_pem().expect("the certificate was just made");
    Certificates {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        ca_pem: String::from_utf8(ca_pem).expect("PEM is ASCII"),
    }
}

fn certificates(options: &TlsOptions) -> Result<(X509, X509, PKey<Private>), ErrorStack> {
    let (ca_key, key) = (new_key()?, new_key()?);
    let ca_name = name("Fictional Authority of the Box")?;
    let mut ca = builder(&ca_name, &ca_name, &ca_key, 1, false)?;
    ca.append_extension(BasicConstraints::new().critical().ca().build()?)?;
    ca.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
    ca.sign(&ca_key, MessageDigest::sha256())?;
    let ca = ca.build();

    let server_name = name("recording cloud in a box")?;
    let issuer = if options.self_signed { &server_name } else { &ca_name };
    let mut server = builder(&server_name, issuer, &key, 2, options.expired)?;
    let mut names = SubjectAlternativeName::new();
    if options.wrong_host {
        names.dns("elsewhere.example");
    } else {
        names.ip("127.0.0.1").dns("localhost");
    }
    let names = names.build(&server.x509v3_context(Some(&ca), None))?;
    server.append_extension(names)?;
    if options.self_signed {
        server.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        server.sign(&key, MessageDigest::sha256())?;
        let server = server.build();
        return Ok((server.clone(), server, key));
    }
    server.append_extension(BasicConstraints::new().build()?)?;
    server.sign(&ca_key, MessageDigest::sha256())?;
    Ok((ca, server.build(), key))
}

fn builder(
    subject: &X509Name,
    issuer: &X509Name,
    key: &PKey<Private>,
    serial: u32,
    expired: bool,
) -> Result<openssl::x509::X509Builder, ErrorStack> {
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*BigNum::from_u32(serial)?.to_asn1_integer()?)?;
    builder.set_subject_name(subject)?;
    builder.set_issuer_name(issuer)?;
    builder.set_pubkey(key)?;
    builder.set_not_before(&*Asn1Time::from_unix(1_577_836_800)?)?;
    builder.set_not_after(&*Asn1Time::from_unix(if expired {
        1_609_459_200
    } else {
        4_102_444_800
    })?)?;
    Ok(builder)
}

fn new_key() -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

fn name(common_name: &str) -> Result<X509Name, ErrorStack> {
    let mut name = X509Name::builder()?;
    name.append_entry_by_text("CN", common_name)?;
    Ok(name.build())
}
