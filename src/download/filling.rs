//! A file that is being filled with an object, and with what makes an envelope of it.
//!
//! Given an object's bytes, in order or at offsets, gives the staged file.
//!
//! **Invariant:** bytes that are to be sealed are written as ciphertext only.

use super::Job;
use super::account::Account;
use super::fetch::FetchError;
use super::handling::{Flaw, Handling};
use crate::envelope::Sealer;
use crate::tree::{Staged, TreeError};

/// A file on its way, and what is still to be done to it.
pub(super) struct Filling {
    staged: Staged,
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
}

impl Filling {
    /// Begins a file, and writes what comes before the object.
    pub(super) fn begin(job: &Job, handling: Handling) -> Result<Filling, FetchError> {
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        let (mut sealer, mut account, mut flaw) = (None, None, None);
        match handling {
            Handling::Empty => {}
            Handling::Keep { account: found, .. } => account = Some(*found),
            Handling::Join { head: before, tail: behind } => (head, tail) = (before, behind),
            Handling::Seal { plain_bytes } => {
                let sealing = job.options.sealing.as_ref().ok_or(FetchError::Plain)?;
                let begun = sealing.begin(plain_bytes)?;
                head = begun.head().to_owned();
                sealer = Some(begun);
            }
            Handling::Raw(found) => flaw = Some(found),
        }
        let mut staged = job.tree.stage()?;
        staged.write_all(&head)?;
        let head_bytes = head.len() as u64;
        Ok(Filling { staged, head_bytes, tail, sealer, sealed: Vec::new(), account, flaw })
    }

    /// Takes the object's next bytes.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        if let Some(account) = &mut self.account {
            account.update(bytes);
        }
        let Some(sealer) = &mut self.sealer else { return Ok(self.staged.write_all(bytes)?) };
        self.sealed.clear();
        sealer.update(bytes, &mut self.sealed)?;
        Ok(self.staged.write_all(&self.sealed)?)
    }

    /// Tells whether more has come than the envelope can have.
    pub(super) fn has_too_much(&self, received: u64) -> bool {
        self.account.as_ref().is_some_and(|account| account.has_too_much(received))
    }

    /// Takes bytes from an offset of the object, from any thread; not where they are sealed.
    pub(super) fn put_at(&self, offset: u64, bytes: &[u8]) -> Result<(), TreeError> {
        debug_assert!(self.sealer.is_none(), "ciphertext has no offsets");
        self.staged.write_all_at(self.head_bytes + offset, bytes)
    }

    /// Reads what was put at offsets as it stands on the disk, and hands it over.
    pub(super) fn read_back(
        &mut self,
        bytes: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), TreeError> {
        let account = &mut self.account;
        self.staged.read_back(self.head_bytes..self.head_bytes + bytes, |bytes| {
            if let Some(account) = account {
                account.update(bytes);
            }
            take(bytes);
        })
    }

    /// Completes the file; gives it back with the flaw where object and envelope do not fit.
    pub(super) fn finish(mut self, received: u64) -> Result<Staged, FetchError> {
        if let Some(sealer) = self.sealer {
            sealer.finish(&mut self.tail)?;
        }
        if !self.tail.is_empty() {
            self.staged.write_all_at(self.staged.bytes()?, &self.tail)?;
        }
        let flaw = self.account.and_then(|account| account.flaw(received)).or(self.flaw);
        match flaw {
            Some(flaw) => Err(FetchError::Flawed { flaw, staged: self.staged }),
            None => Ok(self.staged),
        }
    }
}
