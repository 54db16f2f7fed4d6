//! `rcbs keys new`.

use std::path::{Path, PathBuf};

use super::super::{World, print};
use crate::config::Local;
use crate::error::{Error, Exit};
use crate::keyring::{Keyring, PairOptions, new_pair};
use crate::layout::safe_name;
use crate::tree;

/// What `keys new` is told on the command line.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
The key is encrypted if RCBS_KEY_PASSPHRASE is set, or RCBS_KEY_PASSPHRASE_FILE to the path of a
file that holds the passphrase.

Example:
  rcbs keys new --out keys --subject \"/CN=Recordings 2027/C=US/O=Example\"")]
pub struct NewArgs {
    /// The folder for the files; it is made if it is not there
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    out: PathBuf,
    /// What the files are called: NAME.key, NAME.pem, NAME.private.pem
    #[arg(long, value_name = "NAME", default_value = "tenant")]
    name: String,
    /// The length of the RSA modulus
    #[arg(long, value_name = "BITS", default_value_t = 3072)]
    bits: u32,
    /// How long the certificate is valid
    #[arg(long, value_name = "DAYS", default_value_t = 1095)]
    days: u32,
    /// Whom the certificate names; without it, the name of the files
    #[arg(long, value_name = "/CN=…/C=…")]
    subject: Option<String>,
}

/// Makes a key and its certificate, and says what to do with them.
pub(super) fn run(args: &NewArgs, local: &Local, world: &World<'_>) -> Result<Exit, Error> {
    let NewArgs { out, name, bits, days, subject } = args;
    if safe_name(name) != *name {
        return Err(Error::KeyName(name.clone()));
    }
    let file = |ending: &str| out.join(format!("{name}.{ending}"));
    let (key_file, certificate_file, pkcs8_file) = (file("key"), file("pem"), file("private.pem"));
    let on_disk = |path: &Path| world.current_dir.join(path);
    for path in [&key_file, &certificate_file, &pkcs8_file] {
        // A link that leads nowhere stands in the way as well.
        if on_disk(path).symlink_metadata().is_ok() {
            return Err(Error::KeyIsThere(path.clone()));
        }
    }
    let subject = subject.clone().unwrap_or_else(|| format!("/CN={name} recordings"));
    let passphrase = local.key_passphrase.as_ref();
    let options = PairOptions { bits: *bits, days: *days, subject: &subject, passphrase };
    let pair = new_pair(&options, world.now)?;
    let mut made = Keyring::default();
    made.add("", &pair.certificate, None)?;

    tree::create_private(&on_disk(&key_file), &pair.key)?;
    tree::create_private(&on_disk(&certificate_file), &pair.certificate)?;
    if let Some(pkcs8) = &pair.pkcs8 {
        tree::create_private(&on_disk(&pkcs8_file), pkcs8)?;
    }

    let how = if pair.pkcs8.is_some() { "not encrypted" } else { "encrypted by the passphrase" };
    print(&format!("{}: the private key, RSA, {bits} bits, {how}", key_file.display()))?;
    for certificate in made.certificates() {
        print(&format!("{}: the certificate", certificate_file.display()))?;
        print(&format!("    subject      {}", certificate.subject))?;
        print(&format!("    serial       {} ({})", certificate.serial, certificate.serial_hex))?;
        print(&format!("    valid until  {}", certificate.not_after.format("%Y-%m-%d")))?;
        print(&format!("    SHA-256      {}", certificate.fingerprint))?;
    }
    match &pair.pkcs8 {
        Some(_) => print(&format!(
            "{}: the private key once more, as PKCS#8, which tenants on Azure upload",
            pkcs8_file.display()
        ))?,
        None => print(
            "no copy as PKCS#8 for tenants on Azure: it would not be encrypted; without a \
             passphrase it is made",
        )?,
    }
    print(
        "\nWhat to do next:\n\
         1. Keep two copies of the private key, in two places, and as long as the recordings: \
         nobody can open them without it.\n\
         2. Upload certificate and key under Administration > Certificates, and have the \
         certificate assigned.\n\
         3. After the first backup: rcbs keys check --keys FOLDER, which tells whether all can be \
         opened.\n\
         4. Before the certificate expires make the next one; keep this one and its key.",
    )?;
    Ok(Exit::Complete)
}
