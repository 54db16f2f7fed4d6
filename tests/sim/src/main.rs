//! `rcbs-sim`.
fn main() {}
