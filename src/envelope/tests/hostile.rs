//! Envelopes that are cut, damaged or made to do harm.
