//! Where recordings are listed and opened.

pub mod gws;
pub mod listing;
pub mod s3;
