//! The ledger of the model: all of it is looked through for every question.

use std::collections::BTreeSet;

use restante_store::{LedgerEntry, MailboxId, MessageInfo, Seen, Source, StoreError};

use super::state::State;

type Answer<T> = Result<T, StoreError>;

impl State {
    fn fetched<'a>(
        &'a self,
        mailbox: MailboxId,
        source: &'a Source,
    ) -> impl DoubleEndedIterator<Item = usize> + 'a {
        let mine = move |info: &MessageInfo| {
            info.mailbox == mailbox && info.source.as_ref() == Some(source)
        };
        (0..self.messages.len()).filter(move |at| mine(&self.messages[*at].info))
    }

    /// In the mailbox, or to be had back.
    fn there(&self, at: usize) -> bool {
        let message = &self.messages[at];
        message.info.removed.is_none() || self.restorable(message)
    }

    fn line(&self, mailbox: MailboxId, source: &Source) -> Option<LedgerEntry> {
        let entry = |received_ms, message| LedgerEntry {
            remote_id: source.remote_id.clone(),
            received_ms,
            message,
        };
        if let Some(at) = self
            .fetched(mailbox, source)
            .rev()
            .find(|at| self.there(*at))
        {
            let info = &self.messages[at].info;
            return Some(entry(info.received_ms, Some(info.clone())));
        }
        let gone = self.fetched(mailbox, source).rev();
        let mut gone = gone.filter(|at| !self.messages[*at].forgotten);
        if let Some(at) = gone.next() {
            return Some(entry(self.messages[at].info.received_ms, None));
        }
        let seen = self.seen.get(&(mailbox, source.clone()))?;
        Some(entry(*seen, None))
    }

    pub(super) fn ledger(
        &mut self,
        mailbox: MailboxId,
        account: &str,
        after: Option<&[u8]>,
        max: usize,
    ) -> Answer<Vec<LedgerEntry>> {
        self.mailbox(mailbox)?;
        let delivered = self
            .messages
            .iter()
            .map(|m| (m.info.mailbox, m.info.source.as_ref()));
        let seen = self.seen.keys().map(|(at, source)| (*at, Some(source)));
        let mine = delivered.chain(seen).filter_map(|(at, source)| {
            source.filter(|source| at == mailbox && source.account == account)
        });
        let after = mine.filter(|source| after.is_none_or(|after| source.remote_id[..] > *after));
        let sources: BTreeSet<&Source> = after.collect();
        let lines = sources
            .into_iter()
            .filter_map(|source| self.line(mailbox, source));
        Ok(lines.take(max).collect())
    }

    pub(super) fn ledger_find(
        &mut self,
        mailbox: MailboxId,
        account: &str,
        remote_ids: &[Vec<u8>],
    ) -> Answer<Vec<Option<LedgerEntry>>> {
        self.mailbox(mailbox)?;
        let lines = remote_ids
            .iter()
            .map(|id| self.line(mailbox, &source(account, id)));
        Ok(lines.collect())
    }

    pub(super) fn record_seen(&mut self, mailbox: MailboxId, seen: &[Seen]) -> Answer<()> {
        self.mailbox(mailbox)?;
        for one in seen {
            if self.line(mailbox, &one.source).is_none() {
                self.seen
                    .insert((mailbox, one.source.clone()), one.received_ms);
            }
        }
        Ok(())
    }

    pub(super) fn forget_seen(
        &mut self,
        mailbox: MailboxId,
        account: &str,
        remote_ids: &[Vec<u8>],
    ) -> Answer<()> {
        self.mailbox(mailbox)?;
        for id in remote_ids {
            let source = source(account, id);
            self.seen.remove(&(mailbox, source.clone()));
            let fetched: Vec<_> = self.fetched(mailbox, &source).collect();
            for at in fetched {
                self.messages[at].forgotten |= !self.there(at);
            }
        }
        Ok(())
    }
}

fn source(account: &str, remote_id: &[u8]) -> Source {
    Source {
        account: account.to_owned(),
        remote_id: remote_id.to_vec(),
    }
}
