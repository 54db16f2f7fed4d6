//! What stood under a name before, in `.rcbs/old/`.
//!
//! **Invariant**: a file counts as replaced only where the very bytes that the ledger speaks of
//! were set aside; what has rotted in its place never does.

use super::{Buffer, media};
use crate::ledger::Sum;
use crate::tree::{Tree, TreeError, aside, on_disk};

/// How many earlier files of one name are looked at.
const MOST_EARLIER: u32 = 100;

/// Tells whether the file that the ledger speaks of was set aside, which a run does before it gives
/// the name to another, and before it writes that down.
pub fn was_replaced(
    tree: &Tree,
    path: &str,
    bytes: u64,
    sha256: Option<Sum>,
    buffer: &mut Buffer,
) -> Result<bool, TreeError> {
    for copy in 1..MOST_EARLIER {
        let aside = aside(path, copy);
        match tree.held(&aside)? {
            None => return Ok(false),
            Some(held) if held != bytes => {}
            Some(_) => {
                let Some(sha256) = sha256 else { return Ok(true) };
                let on_disk = on_disk(&tree.options().root, &aside);
                if media(&on_disk, buffer, &mut |_| {})?.sha256 == sha256 {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}
