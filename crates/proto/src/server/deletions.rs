//! Which messages a session has marked as deleted.

/// A set of indices into a listing, one bit each: 12.5 kB for 100,000 messages, nothing for none.
#[derive(Debug, Clone, Default)]
pub struct Deletions {
    bits: Vec<u64>,
    count: u64,
    octets: u64,
}

impl Deletions {
    /// Marks a message of `octets` octets; it must not be marked yet.
    pub(crate) fn insert(&mut self, index: usize, octets: u64) {
        let word = index / 64;
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        debug_assert!(!self.contains(index));
        self.bits[word] |= 1 << (index % 64);
        self.count += 1;
        self.octets += octets;
    }

    /// Whether the message at that index is marked.
    pub fn contains(&self, index: usize) -> bool {
        self.bits
            .get(index / 64)
            .is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    /// How many messages are marked.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The octets of the marked messages.
    pub const fn octets(&self) -> u64 {
        self.octets
    }

    /// The marked indices, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.bits.iter().enumerate().flat_map(|(at, &word)| {
            (0..64)
                .filter(move |bit| word & (1 << bit) != 0)
                .map(move |bit| at * 64 + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_come_back_in_order() {
        let mut deletions = Deletions::default();
        for index in [200, 0, 63, 64, 65] {
            assert!(!deletions.contains(index));
            deletions.insert(index, 10);
            assert!(deletions.contains(index));
        }
        assert_eq!(deletions.iter().collect::<Vec<_>>(), [0, 63, 64, 65, 200]);
        assert_eq!((deletions.count(), deletions.octets()), (5, 50));
        assert!(!deletions.contains(100_000));
    }
}
