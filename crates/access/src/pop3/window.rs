//! Windows: a maildrop of which only the newest messages are shown.
//!
//! Where a window begins is decided at the login and holds for the session. A device's window of the
//! newest N only ever moves on, and not past a message that the device has not collected: what a client
//! has been shown stays where it is until it has it, and never comes back later as if it were new.

use std::sync::Arc;

use restante_store::{
    Body, DeletionSet, Listing, Maildrop, StoreError, StoreFuture, Totals, UniqueId,
};

/// All messages of a maildrop but the first `skip`.
struct Newest {
    inner: Box<dyn Maildrop>,
    skip: usize,
    totals: Totals,
}

impl Maildrop for Newest {
    fn totals(&self) -> Totals {
        self.totals
    }

    fn listing(&self) -> StoreFuture<'_, Arc<Listing>> {
        Box::pin(async move {
            let all = self.inner.listing().await?;
            Ok(all.get(self.skip..).unwrap_or_default().into())
        })
    }

    fn forget_listing(&self) {
        self.inner.forget_listing();
    }

    fn body(&self, index: usize) -> StoreFuture<'_, Box<dyn Body>> {
        self.inner.body(self.skip.saturating_add(index))
    }

    fn commit_deletions<'a>(&'a self, set: &'a DeletionSet) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut all = DeletionSet::default();
            for index in set.iter() {
                all.insert(self.skip.saturating_add(index));
            }
            self.inner.commit_deletions(&all).await
        })
    }
}

fn skipping(inner: Box<dyn Maildrop>, all: &Listing, skip: usize) -> Box<dyn Maildrop> {
    let shown = all.get(skip..).unwrap_or_default();
    let totals = Totals {
        count: shown.len() as u64,
        octets: shown.iter().map(|entry| entry.octets).sum(),
    };
    inner.forget_listing();
    Box::new(Newest {
        inner,
        skip,
        totals,
    })
}

/// What came into the mailbox at a time or later, in milliseconds since 1970.
pub(super) async fn since(
    inner: Box<dyn Maildrop>,
    unix_ms: u64,
) -> Result<Box<dyn Maildrop>, StoreError> {
    let all = inner.listing().await?;
    let skip = all.partition_point(|entry| entry.unique_id.unix_ms() < unix_ms);
    Ok(skipping(inner, &all, skip))
}

/// A device's window, and where it has got to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// So many of the newest messages.
    pub(super) newest: u64,
    /// Nothing before this one is shown.
    pub(super) floor: Option<UniqueId>,
    /// All that was shown up to this one has been collected.
    pub(super) collected: Option<UniqueId>,
}

impl Window {
    /// Index of the first message that is shown.
    fn begin(&self, all: &Listing) -> usize {
        let newest = usize::try_from(self.newest).unwrap_or(usize::MAX);
        let wanted = all.len().saturating_sub(newest);
        let Some(floor) = self.floor else {
            return wanted;
        };
        let from = all.partition_point(|entry| entry.unique_id < floor);
        from.max(wanted.min(self.uncollected(all)))
    }

    fn uncollected(&self, all: &Listing) -> usize {
        all.partition_point(|entry| Some(entry.unique_id) <= self.collected)
    }

    /// Up to which message all of `shown` has been collected, if that is further than before.
    pub(super) fn progress(
        &self,
        shown: &Listing,
        is_collected: impl Fn(usize) -> bool,
    ) -> Option<UniqueId> {
        let start = self.uncollected(shown);
        let end = (start..shown.len()).find(|index| !is_collected(*index));
        let end = end.unwrap_or(shown.len());
        (end > start).then(|| shown[end - 1].unique_id)
    }
}

/// The maildrop in its window, and where that begins if it has moved.
pub(super) async fn newest(
    inner: Box<dyn Maildrop>,
    window: &Window,
) -> Result<(Box<dyn Maildrop>, Option<UniqueId>), StoreError> {
    let all = inner.listing().await?;
    let skip = window.begin(&all);
    let floor = all.get(skip).map(|entry| entry.unique_id);
    let moved = floor.filter(|floor| window.floor.is_none_or(|before| *floor > before));
    Ok((skipping(inner, &all, skip), moved))
}

#[cfg(test)]
mod tests {
    use restante_store::ListingEntry;

    use super::*;

    fn id(n: u64) -> UniqueId {
        UniqueId::new(n, [0; 10])
    }

    fn listing(numbers: impl IntoIterator<Item = u64>) -> Vec<ListingEntry> {
        let entry = |n| ListingEntry {
            unique_id: id(n),
            octets: 1,
        };
        numbers.into_iter().map(entry).collect()
    }

    #[test]
    fn a_window_moves_only_past_what_was_collected() {
        let mut window = Window {
            newest: 3,
            floor: None,
            collected: None,
        };
        let all = listing(1..=10);
        assert_eq!(window.begin(&all), 7);
        window.floor = Some(id(8));
        // Five more came, and nothing was collected: what was shown stays.
        let all = listing(1..=15);
        assert_eq!(window.begin(&all), 7);
        // The first of those shown was not taken.
        assert_eq!(window.progress(&all[7..], |index| index > 0), None);
        let shown = &all[7..];
        window.collected = window.progress(shown, |index| index < 2);
        assert_eq!(window.collected, Some(id(9)));
        assert_eq!(window.begin(&all), 9, "message 10 is still to come");
        window.floor = Some(id(10));
        window.collected = window.progress(&all[9..], |_| true);
        assert_eq!(window.collected, Some(id(15)));
        assert_eq!(window.begin(&all), 12);
        // What was shown and deleted does not make room for what is older.
        window.floor = Some(id(13));
        assert_eq!(window.begin(&listing((1..=12).chain([15]))), 12);
        assert_eq!(window.begin(&listing(1..=12)), 12);
    }
}
