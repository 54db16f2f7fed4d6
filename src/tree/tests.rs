//! The tree on a real disk.
