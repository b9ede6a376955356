//! One message on its way into the store: a draft for each recipient, one commit for all.

use restante_store::{Delivery, Draft, MailStore, MailboxId, Sealed, StoreError, UniqueId};
use tokio::sync::SemaphorePermit;

use super::command::path;
use super::reply;
use crate::clock::now_ms;

/// A recipient that RCPT has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Accepted {
    /// As RCPT had it, unquoted.
    pub(super) address: String,
    /// The mailbox's name, which is the user's.
    pub(super) user: String,
    pub(super) mailbox: MailboxId,
    pub(super) quota_octets: Option<u64>,
}

/// What MAIL and RCPT have said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Envelope {
    /// Unquoted; empty for the null reverse-path.
    pub(super) sender: String,
    /// As SIZE declared it; 0 when it did not.
    pub(super) size: u64,
    /// SMTPUTF8 was asked for.
    pub(super) utf8: bool,
    pub(super) recipients: Vec<Accepted>,
}

/// Why a recipient did not get the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    TooLarge,
    OverQuota,
    Store(StoreError),
}

impl Failure {
    pub(super) fn reply(&self) -> &'static str {
        match self {
            Self::TooLarge => reply::TOO_LARGE,
            Self::OverQuota => reply::OVER_QUOTA,
            Self::Store(error) => store_reply(error),
        }
    }
}

/// What a failing store means to the sender: all of it may pass, so nothing is bounced. A mailbox
/// that is gone was there at RCPT; the next try will tell.
pub(super) fn store_reply(error: &StoreError) -> &'static str {
    match error {
        StoreError::Full { .. } => reply::DISK_FULL,
        // A catch-all, because the store's errors may grow; a new one is no reason to bounce.
        _ => reply::FAILED,
    }
}

/// A message and its size, now in the mailbox.
pub(super) type Delivered = (UniqueId, u64);

/// A message that is coming in. Dropped = discarded.
pub(super) struct Transfer<'a> {
    store: &'a dyn MailStore,
    /// In the order of the recipients. None is left once the message is too large.
    drafts: Vec<Result<Box<dyn Draft>, StoreError>>,
    octets: u64,
    limit: u64,
    _permit: SemaphorePermit<'a>,
}

impl<'a> Transfer<'a> {
    /// Opens the drafts and writes what stands before the message.
    pub(super) fn begin(
        store: &'a dyn MailStore,
        envelope: &Envelope,
        limit: u64,
        permit: SemaphorePermit<'a>,
    ) -> Result<Self, StoreError> {
        let size_hint = (envelope.size > 0).then_some(envelope.size.min(limit));
        let sender = path(&envelope.sender);
        let mut drafts = Vec::with_capacity(envelope.recipients.len());
        for recipient in &envelope.recipients {
            let mut draft = store.draft(size_hint)?;
            // RFC 5321 §4.4 Return-Path; Delivered-To tells copies of one message apart.
            let fields = format!(
                "Return-Path: <{sender}>\r\nDelivered-To: {}\r\n",
                path(&recipient.address)
            );
            draft.write(fields.as_bytes())?;
            drafts.push(Ok(draft));
        }
        Ok(Self {
            store,
            drafts,
            octets: 0,
            limit,
            _permit: permit,
        })
    }

    /// Adds a piece of the message.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.octets = self.octets.saturating_add(bytes.len() as u64);
        if self.octets > self.limit {
            self.drafts = Vec::new();
        }
        for slot in &mut self.drafts {
            if let Ok(draft) = slot
                && let Err(error) = draft.write(bytes)
            {
                *slot = Err(error);
            }
        }
    }

    /// Octets that have come, without dot-stuffing.
    pub(super) const fn octets(&self) -> u64 {
        self.octets
    }

    /// Whether the sender goes on and on after the message has become too large.
    pub(super) const fn is_endless(&self) -> bool {
        self.octets / 2 > self.limit
    }

    /// Stores what has come. The outcomes are in the order of the recipients; a success is durable.
    pub(super) async fn finish(self, recipients: &[Accepted]) -> Vec<Result<Delivered, Failure>> {
        let Self { store, drafts, .. } = self;
        if drafts.len() != recipients.len() {
            return vec![Err(Failure::TooLarge); recipients.len()];
        }
        let received_ms = now_ms();
        let mut outcomes = Vec::with_capacity(recipients.len());
        let mut used: Vec<(MailboxId, u64)> = Vec::new();
        for (draft, recipient) in drafts.into_iter().zip(recipients) {
            let outcome = match draft.and_then(Draft::seal) {
                Ok(sealed) => fits(store, recipient, &sealed, &mut used)
                    .await
                    .map(|()| sealed),
                Err(error) => Err(Failure::Store(error)),
            };
            outcomes.push(outcome);
        }
        let deliveries: Vec<Delivery> = outcomes
            .iter()
            .zip(recipients)
            .filter_map(|(outcome, recipient)| {
                let message = outcome.as_ref().ok()?.clone();
                Some(Delivery {
                    mailbox: recipient.mailbox,
                    message,
                    received_ms,
                    source: None,
                })
            })
            .collect();
        let mut stored = commit(store, deliveries).await.into_iter();
        let mut fate = |sealed: Sealed| match stored.next() {
            Some(Ok(id)) => Ok((id, sealed.size)),
            Some(Err(error)) => Err(Failure::Store(error)),
            None => Err(Failure::Store(StoreError::Temporary(
                "the store gave fewer unique-ids than deliveries".to_owned(),
            ))),
        };
        outcomes
            .into_iter()
            .map(|o| o.and_then(&mut fate))
            .collect()
    }
}

/// One commit for all; it is all or nothing, so when one mailbox has gone meanwhile, each by itself.
async fn commit(
    store: &dyn MailStore,
    deliveries: Vec<Delivery>,
) -> Vec<Result<UniqueId, StoreError>> {
    let count = deliveries.len();
    if count == 0 {
        return Vec::new();
    }
    let again = if count > 1 {
        deliveries.clone()
    } else {
        Vec::new()
    };
    match store.commit(deliveries).await {
        Ok(ids) => ids.into_iter().map(Ok).collect(),
        Err(StoreError::NotFound) if !again.is_empty() => {
            let mut fates = Vec::with_capacity(count);
            for delivery in again {
                let fate = store.commit(vec![delivery]).await;
                fates.push(fate.and_then(|ids| ids.first().copied().ok_or(StoreError::NotFound)));
            }
            fates
        }
        Err(error) => vec![Err(error); count],
    }
}

/// Whether the mailbox may hold the message besides what it has, and what `used` says is on its way.
/// Two sessions at once may both pass: a quota is for habits, not for octets.
async fn fits(
    store: &dyn MailStore,
    recipient: &Accepted,
    sealed: &Sealed,
    used: &mut Vec<(MailboxId, u64)>,
) -> Result<(), Failure> {
    let Some(quota) = recipient.quota_octets else {
        return Ok(());
    };
    let found = store
        .find_mailbox(&recipient.user)
        .await
        .map_err(Failure::Store)?;
    let held = found.map_or(0, |mailbox| mailbox.totals.octets);
    let coming: u64 = used
        .iter()
        .filter(|(mailbox, _)| *mailbox == recipient.mailbox)
        .map(|(_, octets)| octets)
        .sum();
    if held.saturating_add(coming).saturating_add(sealed.octets) > quota {
        return Err(Failure::OverQuota);
    }
    used.push((recipient.mailbox, sealed.octets));
    Ok(())
}
