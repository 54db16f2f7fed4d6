//! Which recordings belong to this instance of a fleet.
//!
//! Given a recording id, says whether this instance saves it (contract, section 8).
//!
//! **Invariant**: a share depends on nothing but the id and the number of instances, so that
//! shares are disjoint, together complete, and the same in every run and every release.

pub mod engine;

use xxhash_rust::xxh3::xxh3_64;

/// One of `total` cooperating runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Which one this is, from 0 to `total - 1`.
    pub id: u32,
    /// How many there are, at least 1.
    pub total: u32,
}

impl Instance {
    /// The only instance there is.
    pub const ALONE: Instance = Instance { id: 0, total: 1 };

    /// Tells whether the recording with this id is part of this instance's share.
    pub fn owns(&self, recording_id: &str) -> bool {
        Instance::owner(recording_id, self.total) == self.id
    }

    /// Gives the one of `total` instances whose share the recording with this id is.
    pub fn owner(recording_id: &str, total: u32) -> u32 {
        (xxh3_64(recording_id.as_bytes()) % u64::from(total.max(1))) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_frozen() {
        for (id, hash, of_3, of_4) in [
            ("", 3244421341483603138, 1, 2),
            ("021L6BI58K8FH7R5USI402LAES00000A", 2546792183803024714, 1, 2),
            ("01F62DGIBGD8369P7GC362LAES00000G", 16166059715480462021, 2, 1),
            ("ünï", 6574230039953973664, 1, 0),
        ] {
            assert_eq!(xxh3_64(id.as_bytes()), hash, "{id}");
            assert!(Instance { id: of_3, total: 3 }.owns(id), "{id}");
            assert!(Instance { id: of_4, total: 4 }.owns(id), "{id}");
        }
    }

    #[test]
    fn every_id_has_exactly_one_owner() {
        for total in 1..6 {
            for n in 0..500 {
                let id = format!("{n:032X}");
                let owners = (0..total).filter(|&id_| Instance { id: id_, total }.owns(&id));
                assert_eq!(owners.count(), 1, "{id} of {total}");
            }
        }
    }

    #[test]
    fn alone_owns_everything() {
        assert!((0..100).all(|n| Instance::ALONE.owns(&n.to_string())));
    }
}
