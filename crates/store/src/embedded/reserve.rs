//! A file that is there to be given up: on a full disk it makes room for deletions.

use super::{Inner, write_all_at};
use crate::limits::TOMBSTONE_RESERVE_OCTETS;

const NAME: &str = "reserve";

/// Makes the reserve if it is not there and there is space to spare. A store works without one.
pub(super) fn keep(inner: &Inner) {
    let disk = inner.disk();
    let path = inner.folder.join(NAME);
    let spare = inner.options.min_free + 4 * TOMBSTONE_RESERVE_OCTETS;
    if disk
        .free_octets(&inner.folder)
        .is_ok_and(|free| free < spare)
    {
        return;
    }
    // One that is there is whole, or as good as can be.
    let Ok(file) = disk.create_new(&path) else {
        return;
    };
    // Written, not only extended: a hole reserves nothing.
    let block = vec![0xA5; 64 * 1024];
    let written = (0..TOMBSTONE_RESERVE_OCTETS)
        .step_by(block.len())
        .try_for_each(|at| write_all_at(file.as_ref(), &block, at));
    if written.and_then(|()| file.sync_data()).is_err() {
        let _ = disk.unlink(&path);
    }
}

/// Gives the space to whoever needs it now.
pub(super) fn release(inner: &Inner) {
    let _ = inner.disk().unlink(&inner.folder.join(NAME));
}
