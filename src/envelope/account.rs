//! What an envelope says of its own length, held against what comes.
//!
//! Given an object's first bytes and then all of it, in order, tells in the end whether the two
//! agree.
//!
//! **Invariant:** an envelope whose head cannot be read is no flaw, because saving does not depend
//! on being able to open; then its outermost length alone counts.

use super::{Form, Framing, FramingError, Head, HeadError};

/// The end of the outermost two elements whose lengths are not said beforehand.
const ENDS: [u8; 4] = [0; 4];

/// Why an object is not what its envelope says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// It is shorter or longer.
    #[error("the envelope has {envelope} bytes by its own account, and {received} are there")]
    Length {
        /// What the envelope says.
        envelope: u64,
        /// What there is.
        received: u64,
    },
    /// Its lengths contradict each other.
    #[error(transparent)]
    Framing(#[from] FramingError),
}

/// An envelope's account of itself.
#[derive(Debug)]
pub struct Account {
    form: Form,
    /// How much of the head is to come.
    head_bytes: usize,
    /// None where the head cannot be read.
    framing: Option<Result<Framing, FramingError>>,
    /// The certificate that is named first.
    key_serial: Option<String>,
    /// What came last.
    end: [u8; ENDS.len()],
}

impl Account {
    /// Reads as much of it as stands in an object's first bytes; says what cannot be read there.
    pub fn read(form: Form, beginning: &[u8]) -> (Account, Option<HeadError>) {
        let (head, error) = match Head::read(beginning) {
            Ok(head) => (Some(head), None),
            // There may be more of it than these bytes.
            Err(HeadError::Incomplete) => (None, None),
            Err(error) => (None, Some(error)),
        };
        let head_bytes = head.as_ref().map_or(0, |head| head.bytes);
        let framing = head.as_ref().and_then(Framing::behind).map(Ok);
        let key_serial = head.as_ref().and_then(Head::first_serial);
        (Account { form, head_bytes, framing, key_serial, end: [1; ENDS.len()] }, error)
    }

    /// An account of the whole length only, of which the last bytes are enough.
    pub fn of_ends(form: Form) -> Account {
        Account { form, head_bytes: 0, framing: None, key_serial: None, end: [1; ENDS.len()] }
    }

    /// Gives the serial number of the first certificate that it names, in hexadecimal digits.
    pub fn key_serial(&self) -> Option<&str> {
        self.key_serial.as_deref()
    }

    /// Tells whether its length is known only at its end.
    pub fn is_indefinite(&self) -> bool {
        self.form == Form::AttachedIndefinite
    }

    /// Takes the object's next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let (head, behind) = bytes.split_at(self.head_bytes.min(bytes.len()));
        self.head_bytes -= head.len();
        if let Some(Ok(framing)) = &mut self.framing
            && let Err(error) = framing.update(behind, |_| Ok(()))
        {
            self.framing = Some(Err(error));
        }
        let last = &bytes[bytes.len().saturating_sub(ENDS.len())..];
        self.end.rotate_left(last.len());
        self.end[ENDS.len() - last.len()..].copy_from_slice(last);
    }

    /// Tells whether more has come than it speaks of.
    pub fn has_too_much(&self, received: u64) -> bool {
        match self.form {
            Form::Attached { bytes } => received > bytes,
            _ => matches!(self.framing, Some(Err(_))),
        }
    }

    /// Tells whether the two agree, now that all has come.
    pub fn finish(self, received: u64) -> Result<(), AccountError> {
        if let Form::Attached { bytes } = self.form
            && bytes != received
        {
            return Err(AccountError::Length { envelope: bytes, received });
        }
        match self.framing {
            Some(framing) => Ok(framing.and_then(Framing::finish)?),
            None if self.form == Form::AttachedIndefinite && self.end != ENDS => {
                Err(FramingError::Truncated.into())
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcbs_sim::envelope::by_openssl;

    use super::super::form;
    use super::*;

    /// Reads an object that comes in pieces of so many bytes.
    fn told(object: &[u8], cut: usize) -> Option<String> {
        let form = form(&object[..32]);
        let (mut account, unread) = Account::read(form, &object[..object.len().min(1_500)]);
        assert_eq!(unread, None);
        object.chunks(cut).for_each(|piece| account.update(piece));
        account.finish(object.len() as u64).err().map(|error| error.to_string())
    }

    #[test]
    fn an_envelope_that_is_cut_off_anywhere_behind_its_head_does_not_pass_for_whole() {
        let (streamed, der) =
            (by_openssl(&[0; 3_000], &[0], &["-stream"]), by_openssl(&[0; 300], &[0], &[]));
        for (envelope, cut) in [(&streamed, 1), (&streamed, 100), (&streamed, 5_000), (&der, 7)] {
            assert_eq!(told(envelope, cut), None);
            for end in 1_000.min(envelope.len() - 300)..envelope.len() {
                assert!(told(&envelope[..end], cut).is_some(), "{end} of {}", envelope.len());
            }
            let longer = [envelope.as_slice(), &[0, 0, 0, 0]].concat();
            assert!(told(&longer, cut).is_some());
        }
    }

    #[test]
    fn an_envelope_whose_head_is_longer_than_what_was_looked_at_is_told_by_its_ends() {
        let crowd = by_openssl(&[0; 300], &[0, 1, 2, 0, 1, 2, 0, 1, 2], &["-stream"]);
        assert_eq!(told(&crowd, 100), None);
        assert!(told(&crowd[..crowd.len() - 9], 100).is_some());
        assert_eq!(told(&by_openssl(&[0; 300], &[0], &["-aes-256-gcm"]), 100), None);
    }

    #[test]
    fn a_head_that_cannot_be_read_is_said_and_is_no_flaw() {
        let mut odd = by_openssl(&[0; 300], &[0], &[]);
        // The version becomes a string.
        let version = odd.windows(3).position(|three| three == [2, 1, 0]).unwrap();
        odd[version] = 4;
        let (mut account, unread) = Account::read(form(&odd[..32]), &odd);
        assert!(matches!(unread, Some(HeadError::NotAnEnvelope(_))), "{unread:?}");
        account.update(&odd);
        assert_eq!(account.finish(odd.len() as u64), Ok(()));
    }
}
