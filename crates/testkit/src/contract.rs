//! The contract: what every [`MailStore`] does, as cases that run on each store.
//!
//! A test crate writes `restante_testkit::contract_tests!(make)` once, `make` being a function
//! from the hold in milliseconds to a new, empty store; each case becomes a test of its own.
//!
//! Where the trait leaves a choice ("may leave") no case looks. Deliberately absent: what power
//! loss and I/O errors do, which is the embedded store's own matter.

pub mod bodies;
pub mod deletions;
pub mod deliveries;
pub mod history;
pub mod ledger;
pub mod mailboxes;
pub mod snapshots;
pub mod tending;
pub mod views;

use std::sync::Arc;

use restante_store::{
    Access, DeletionSet, MailStore, MailboxId, Maildrop, StoreError, UniqueId, ViewId,
};

use crate::exec::{block_on, collect, deliver};

/// Makes a new, empty store that holds removed messages for so many milliseconds.
pub type Make<'a> = &'a dyn Fn(u64) -> Arc<dyn MailStore>;

/// Long enough that no test outlives it: an hour, in milliseconds.
pub const LONG_HOLD_MS: u64 = 60 * 60 * 1000;

/// Writes one `#[test]` per case of the contract, each on a store of its own.
#[macro_export]
macro_rules! contract_tests {
    ($make:expr) => {
        $crate::contract_tests! { @each $make;
            bodies awkward_bodies_come_back_to_the_octet;
            bodies sizes_and_hints_are_those_of_the_rfc;
            bodies where_a_draft_is_cut_does_not_matter;
            bodies a_message_of_20_mb_comes_in_small_pieces;
            bodies a_dropped_draft_leaves_nothing;
            bodies two_readers_of_one_body_do_not_disturb_each_other;
            deliveries the_listing_is_in_the_order_of_delivery;
            deliveries unique_ids_are_never_used_twice;
            deliveries an_empty_commit_is_nothing;
            deliveries one_message_goes_to_many_mailboxes;
            deliveries a_commit_is_all_or_nothing;
            deliveries what_is_known_of_a_message_is_kept;
            deliveries many_threads_deliver_at_once;
            snapshots a_snapshot_does_not_see_later_deliveries;
            snapshots a_snapshot_keeps_what_is_deleted_later;
            snapshots a_listing_first_read_late_is_that_of_the_opening;
            snapshots a_snapshot_survives_deletion_and_restore;
            snapshots a_snapshot_does_not_see_what_is_restored_later;
            snapshots an_index_past_the_listing_is_not_found;
            snapshots snapshots_hold_under_constant_change;
            deletions a_deletion_is_for_all_sessions;
            deletions deleting_again_is_no_error;
            deletions two_sessions_delete_the_same_at_once;
            deletions an_empty_set_touches_nothing;
            deletions deletions_in_a_mailbox_that_went_are_no_error;
            deletions exclusive_sessions_exclude_each_other;
            deletions an_exclusive_session_ends_with_its_maildrop;
            views at_once_deletes_in_every_view;
            views never_hides_in_one_view_only;
            views all_devices_waits_for_the_last_view;
            views all_devices_waits_for_the_plain_login_once_used;
            views release_counts_from_the_next_deletion_on;
            views a_new_view_sees_what_is_live;
            views a_view_from_now_sees_what_comes;
            views a_view_made_again_is_another_view;
            views the_last_view_removed_in_its_session_deletes_for_nobody;
            views the_last_view_removed_lets_go_what_the_plain_login_deleted;
            views a_view_name_is_unique_in_its_mailbox;
            views views_tell_their_totals;
            views a_removed_view_lets_nothing_go_that_another_shows;
            tending a_view_unseen_for_long_holds_nothing_back;
            tending a_view_that_returns_gets_what_is_there;
            tending the_plain_login_lapses_too;
            tending the_plain_login_counts_again_when_devices_come_again;
            tending what_nothing_holds_leaves_when_tended;
            tending what_nobody_deleted_is_not_let_go;
            tending what_is_too_old_leaves;
            tending many_leave_in_one_tending;
            tending a_release_that_nobody_sets_follows_from_the_views;
            tending views_tell_of_their_use;
            mailboxes a_name_finds_its_mailbox;
            mailboxes a_renamed_mailbox_is_the_same_mailbox;
            mailboxes a_name_that_is_taken_is_refused;
            mailboxes a_removed_mailbox_is_gone;
            mailboxes an_erased_mailbox_leaves_no_bytes;
            mailboxes erasing_one_spares_the_others;
            mailboxes what_is_not_there_is_not_found;
            mailboxes totals_follow_what_happens;
            history a_deletion_can_be_undone;
            history undo_and_delete_take_turns;
            history restore_returns_only_what_came_back;
            history restore_shows_hidden_messages_again;
            history restore_shows_to_a_view_from_now_too;
            history past_the_hold_nothing_comes_back;
            history one_deletion_has_one_name;
            history browsing_in_pages_sees_each_once;
            history browsing_goes_on_after_a_message_that_went;
            history changes_are_told_in_order;
            history a_message_that_changed_twice_is_told_once;
            history changes_come_in_pages;
            history hiding_is_no_change;
            history a_cursor_of_another_index_starts_anew;
            ledger what_was_fetched_is_in_the_ledger;
            ledger an_id_used_again_is_that_of_the_youngest;
            ledger the_ledger_comes_in_pages;
            ledger many_are_looked_up_in_their_order;
            ledger accounts_and_mailboxes_have_their_own;
            ledger what_was_seen_is_in_the_ledger_without_a_message;
            ledger seen_again_changes_nothing;
            ledger what_is_forgotten_can_be_seen_again;
            ledger forgetting_spares_what_is_there;
            ledger a_message_past_restoring_is_still_known;
            ledger a_removed_mailbox_has_no_ledger;
            ledger never_keeps_what_the_plain_login_deletes;
        }
    };
    (@each $make:expr; $($module:ident $case:ident;)*) => {
        $(
            #[test]
            fn $case() {
                $crate::contract::$module::$case(&$make);
            }
        )*
    };
}

/// A store with one mailbox, as most cases begin.
struct Bench {
    store: Arc<dyn MailStore>,
    mailbox: MailboxId,
}

impl Bench {
    fn new(make: Make<'_>) -> Self {
        let store = make(LONG_HOLD_MS);
        let mailbox = block_on(store.create_mailbox("me")).expect("a mailbox is made");
        Self { store, mailbox }
    }

    fn deliver(&self, text: &str) -> UniqueId {
        deliver(self.store.as_ref(), self.mailbox, text.as_bytes()).expect("delivered")
    }

    fn open(&self, view: ViewId) -> Box<dyn Maildrop> {
        block_on(self.store.open(self.mailbox, view, Access::Shared)).expect("opened")
    }

    fn plain(&self) -> Box<dyn Maildrop> {
        self.open(ViewId::PLAIN)
    }

    fn view(&self, name: &str) -> ViewId {
        block_on(self.store.add_view(self.mailbox, name, false)).expect("a view is made")
    }

    /// The bodies a new session of the view collects, as text.
    fn texts(&self, view: ViewId) -> Vec<String> {
        let all = collect(self.store.as_ref(), self.mailbox, view).expect("collected");
        let text = |(_, bytes): (UniqueId, Vec<u8>)| String::from_utf8(bytes).expect("text");
        all.into_iter().map(text).collect()
    }

    fn ids(&self, view: ViewId) -> Vec<UniqueId> {
        ids_of(self.open(view).as_ref())
    }

    /// Deletes one message in a session of its own, as POP3's DELE and QUIT.
    fn delete(&self, view: ViewId, id: UniqueId) {
        let drop = self.open(view);
        delete_in(drop.as_ref(), &[id]).expect("deleted");
    }

    /// Messages in the mailbox, whatever views hide.
    fn count(&self) -> u64 {
        let info = block_on(self.store.find_mailbox("me")).expect("looked up");
        info.expect("the mailbox is there").totals.count
    }
}

fn ids_of(drop: &dyn Maildrop) -> Vec<UniqueId> {
    let listing = block_on(drop.listing()).expect("listed");
    listing.iter().map(|entry| entry.unique_id).collect()
}

/// Marks what the snapshot shows of `ids`, and commits.
fn delete_in(drop: &dyn Maildrop, ids: &[UniqueId]) -> Result<(), StoreError> {
    let mut set = DeletionSet::default();
    for (index, id) in ids_of(drop).into_iter().enumerate() {
        if ids.contains(&id) {
            set.insert(index);
        }
    }
    block_on(drop.commit_deletions(&set))
}
