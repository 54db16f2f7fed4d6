//! The recording cloud in a box.
