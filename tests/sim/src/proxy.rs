//! A small forward proxy.
