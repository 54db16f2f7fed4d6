//! The program as its operator meets it: the built binary against the recording cloud in a box,
//! over real HTTP and signed S3 requests.

#![expect(clippy::disallowed_methods, reason = "tests write configurations and damage trees")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod harness;

// A whole backup, again, and in shares.
mod backup;
// Whatever the metadata API does with its pages.
mod listing;

// Whatever the metadata API answers.
mod answers;
