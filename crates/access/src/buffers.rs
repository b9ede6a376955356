//! Buffers that sessions share: one holds one only while it has something to say.

use std::cell::RefCell;

use crate::limits::{SPARE_BUFFER_OCTETS, SPARE_BUFFERS};

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer, perhaps with room already.
pub(crate) fn take() -> Vec<u8> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Gives a buffer back; leaves one without memory behind.
pub(crate) fn give(buffer: &mut Vec<u8>) {
    let mut buffer = std::mem::take(buffer);
    if (1..=SPARE_BUFFER_OCTETS).contains(&buffer.capacity()) {
        buffer.clear();
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_BUFFERS {
                spare.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_taken_again_and_huge_ones_are_not_kept() {
        let mut one = Vec::with_capacity(1000);
        one.push(1);
        give(&mut one);
        assert_eq!(one.capacity(), 0);
        let again = take();
        assert!(again.is_empty() && again.capacity() >= 1000);
        give(&mut Vec::with_capacity(SPARE_BUFFER_OCTETS + 1));
        assert_eq!(take().capacity(), 0);
    }
}
