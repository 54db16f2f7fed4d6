//! Envelopes made by OpenSSL and by hand: read, opened, cut, bent and broken.

mod hostile;
mod opening;
mod oracle;
mod samples;
