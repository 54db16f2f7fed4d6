//! A file that is being filled with an object, and with what makes an envelope of it.
//!
//! Given an object's bytes, in order or at offsets, gives the staged file.
//!
//! **Invariant:** bytes that are to be sealed are written as ciphertext only.

use std::ops::Range;
use std::sync::Arc;

use openssl::sha::Sha256;

use super::Job;
use super::fetch::FetchError;
use super::handling::{Flaw, Handling};
use crate::envelope::{Account, Head, Sealer};
use crate::ledger::Sum;
use crate::tree::{Staged, TreeError};

/// A file on its way, and what is still to be done to it.
pub(super) struct Filling {
    staged: Arc<Staged>,
    /// What was written before the object's first byte.
    head_bytes: u64,
    /// What comes behind its last.
    tail: Vec<u8>,
    /// What encrypts it on its way.
    pub(super) sealer: Option<Sealer>,
    sealed: Vec<u8>,
    /// What the envelope says of itself, held against what comes.
    account: Option<Account>,
    /// Why it is not to be held.
    flaw: Option<Flaw>,
    /// What the file says of itself at its beginning.
    form: &'static str,
    key_serial: Option<String>,
    /// Of all that is in the file so far, in its order.
    sum: Sha256,
    bytes: u64,
}

/// Where the bytes of an object go that come out of order; not where they are sealed.
#[derive(Clone)]
pub(super) struct Place {
    staged: Arc<Staged>,
    head_bytes: u64,
}

/// A file that is complete.
pub(super) struct Filled {
    pub(super) staged: Staged,
    /// Its length.
    pub(super) bytes: u64,
    /// Its SHA-256.
    pub(super) sha256: Sum,
    /// How it came, as the ledger names it.
    pub(super) form: &'static str,
    /// The serial number of the certificate that it is encrypted for.
    pub(super) key_serial: Option<String>,
}

impl Filling {
    /// Begins a file, and writes what comes before the object, which begins with `beginning`.
    pub(super) fn begin(
        job: &Job,
        handling: Handling,
        beginning: &[u8],
    ) -> Result<Filling, FetchError> {
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        let (mut sealer, mut account, mut flaw) = (None, None, None);
        let form = match handling {
            Handling::Empty => "empty",
            Handling::Keep { account: found, .. } => {
                account = Some(*found);
                "attached"
            }
            Handling::Join { head: before, tail: behind } => {
                (head, tail) = (before, behind);
                "joined"
            }
            Handling::Seal { plain_bytes } => {
                let sealing = job.options.sealing.as_ref().ok_or(FetchError::Plain)?;
                let begun = sealing.begin(plain_bytes)?;
                head = begun.head().to_owned();
                sealer = Some(begun);
                "sealed"
            }
            Handling::Raw(found) => {
                flaw = Some(found);
                "raw"
            }
        };
        let named = Head::read(if head.is_empty() { beginning } else { &head });
        let mut filling = Filling {
            staged: Arc::new(job.tree.stage()?),
            head_bytes: head.len() as u64,
            tail,
            sealer,
            sealed: Vec::new(),
            account,
            flaw,
            form,
            key_serial: named.ok().and_then(|head| head.first_serial()),
            sum: Sha256::new(),
            bytes: 0,
        };
        filling.write(&head)?;
        Ok(filling)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), TreeError> {
        self.sum.update(bytes);
        self.staged.write_all_at(self.bytes, bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Takes the object's next bytes.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        if let Some(account) = &mut self.account {
            account.update(bytes);
        }
        let Some(sealer) = &mut self.sealer else { return Ok(self.write(bytes)?) };
        let mut sealed = std::mem::take(&mut self.sealed);
        sealed.clear();
        sealer.update(bytes, &mut sealed)?;
        self.write(&sealed)?;
        self.sealed = sealed;
        Ok(())
    }

    /// Tells whether more has come than the envelope can have.
    pub(super) fn has_too_much(&self, received: u64) -> bool {
        self.account.as_ref().is_some_and(|account| account.has_too_much(received))
    }

    /// Gives where bytes go that come out of order.
    pub(super) fn place(&self) -> Place {
        debug_assert!(self.sealer.is_none(), "ciphertext has no offsets");
        Place { staged: Arc::clone(&self.staged), head_bytes: self.head_bytes }
    }

    /// Reads a range of the object as it stands on the disk, behind what was read before, and hands
    /// it over.
    pub(super) fn read_back(
        &mut self,
        range: Range<u64>,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), TreeError> {
        let (account, sum) = (&mut self.account, &mut self.sum);
        let in_file = self.head_bytes + range.start..self.head_bytes + range.end;
        self.bytes += range.end - range.start;
        self.staged.read_back(in_file, |bytes| {
            if let Some(account) = account {
                account.update(bytes);
            }
            sum.update(bytes);
            take(bytes);
        })
    }

    /// Completes the file; gives it back with the flaw where object and envelope do not fit.
    pub(super) fn finish(mut self, received: u64) -> Result<Filled, FetchError> {
        if let Some(sealer) = self.sealer {
            sealer.finish(&mut self.tail)?;
        }
        if !self.tail.is_empty() {
            self.staged.write_all_at(self.bytes, &self.tail)?;
            self.sum.update(&self.tail);
            self.bytes += self.tail.len() as u64;
        }
        let flaw = self.account.and_then(|account| account.finish(received).err()).map(Flaw::from);
        let flaw = flaw.or(self.flaw);
        let Filling { staged, bytes, form, key_serial, .. } = self;
        let staged = Arc::into_inner(staged).expect("every part that shared it has ended");
        match flaw {
            Some(flaw) => Err(FetchError::Flawed { flaw, staged }),
            None => Ok(Filled { staged, bytes, sha256: self.sum.finish(), form, key_serial }),
        }
    }
}

impl Place {
    /// Writes bytes at an offset of the object, from any thread.
    pub(super) fn put_at(&self, offset: u64, bytes: &[u8]) -> Result<(), TreeError> {
        self.staged.write_all_at(self.head_bytes + offset, bytes)
    }
}
