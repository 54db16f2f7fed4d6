//! `rcbs rebuild`.
