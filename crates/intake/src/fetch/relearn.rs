//! The ledger made anew from the archive and the server: what the server lists and the ledger does not
//! know is looked for among all messages of the mailbox, whatever brought them there: this account under
//! an earlier name, an import, LMTP.
//!
//! A message is known again when an archived one has its header, with a Message-ID in it, and its size, and
//! either is alone in that; else its body decides, which is read and compared, and not stored. What is
//! known again is *seen*: it is not downloaded any more. For such a resemblance nothing is deleted: where
//! the policy has a message deleted some day, its body is compared with the archived one first, octet for
//! octet, as with unique-ids that have changed.

use std::collections::{HashMap, HashSet};

use restante_client::Pipeline;
use restante_store::{MailStore, MailboxId, MessageFilter, MessageInfo, UniqueId};

use super::FetchError;
use super::Progress;
use super::identify::{self, BodyDigests, HeaderDigest, HeaderReader};
use super::ledger::{Books, Ledger, entry_key, store_failed};
use super::limits::{LOOK_UP, RECOGNISE};
use super::plan::{Planner, Work};
use super::session::{Broken, Run};
use super::survey::Survey;

/// An archived message that has the header of one on the server.
struct Candidate {
    unique_id: UniqueId,
    size: u64,
    octets: u64,
    digest: [u8; 32],
    received_ms: u64,
    live: bool,
    has_message_id: bool,
    /// Its key in the ledger of this account.
    key: Vec<u8>,
}

/// Messages on the server and in the archive that have one header.
#[derive(Default)]
struct Group {
    numbers: Vec<u64>,
    candidates: Vec<Candidate>,
}

/// What is known again: a message on the server, and which it is here.
struct Match {
    number: u64,
    candidate: Candidate,
    /// Its octets may be those of the archived message.
    alike: bool,
}

impl Run<'_> {
    /// Looks for what the ledger does not know. What is found needs no download any more.
    pub(super) async fn relearn(
        &mut self,
        pipeline: &mut Pipeline,
        survey: &Survey,
        planner: &mut Planner,
    ) -> Result<(), Broken> {
        let Books::Mailbox(store, mailbox) = self.ledger.books.clone() else {
            return Ok(());
        };
        let unknown = |work| matches!(work, Work::Download { .. });
        let numbers: Vec<u64> = planner
            .items()
            .iter()
            .filter(|item| unknown(item.work) && item.digest.is_none())
            .map(|item| item.number)
            .collect();
        if numbers.is_empty() {
            return Ok(());
        }
        let mut groups: HashMap<HeaderDigest, Group> = HashMap::new();
        for (number, header) in identify::of_server(pipeline, &numbers).await? {
            if let Ok(header) = header {
                groups.entry(header).or_default().numbers.push(number);
            }
        }
        gather(&*store, mailbox, &self.ledger, survey, &mut groups).await?;
        let mut matches = Vec::new();
        let mut doubtful = Vec::new();
        for group in groups.into_values() {
            match sure(group, survey) {
                Ok(found) => matches.push(found),
                Err(group) if group.candidates.is_empty() => {}
                Err(group) => doubtful.push(group),
            }
        }
        let asked: Vec<(u64, u64)> = doubtful
            .iter()
            .flat_map(|group| &group.numbers)
            .map(|number| (*number, survey.octets(*number)))
            .collect();
        let bodies = identify::bodies_of_server(pipeline, &asked).await?;
        for group in doubtful {
            by_body(group, &bodies, &mut matches);
        }
        self.learn(planner, matches).await.map_err(Broken::Fatal)
    }

    /// Puts it into the ledger.
    async fn learn(&mut self, planner: &mut Planner, all: Vec<Match>) -> Result<(), FetchError> {
        let ids: HashMap<u64, Vec<u8>> = planner
            .items()
            .iter()
            .map(|item| (item.number, item.id.clone()))
            .collect();
        let (mut seen, mut twins) = (Vec::new(), Vec::new());
        let mut numbers = HashSet::new();
        for found in all {
            let Some(id) = ids.get(&found.number) else {
                continue;
            };
            numbers.insert(found.number);
            seen.push((id.clone(), found.candidate.received_ms));
            if found.alike && found.candidate.live {
                twins.push((id.clone(), found.candidate.key));
            }
            (self.progress)(Progress::Recognised {
                remote_id: id,
                unique_id: Some(found.candidate.unique_id),
            });
        }
        self.summary.recognised += seen.len() as u64;
        planner
            .items()
            .retain(|item| !numbers.contains(&item.number));
        if self.options.dry_run {
            return Ok(());
        }
        self.ledger.remote.put_twins(&twins)?;
        self.ledger.record_seen(&seen).await
    }
}

/// Goes through the mailbox, what was removed from it included: who removed a message does not want it
/// again.
async fn gather(
    store: &dyn MailStore,
    mailbox: MailboxId,
    ledger: &Ledger<'_>,
    survey: &Survey,
    groups: &mut HashMap<HeaderDigest, Group>,
) -> Result<(), FetchError> {
    let mut count = 0;
    for filter in [MessageFilter::Live, MessageFilter::Deleted] {
        let mut after = None;
        loop {
            let page = store.browse(mailbox, filter, after, LOOK_UP).await;
            let page = page.map_err(|error| store_failed(&error))?;
            let Some(last) = page.last() else { break };
            after = Some(last.unique_id);
            for info in page {
                if is_taken(&info, ledger.account, survey) || count >= RECOGNISE {
                    continue;
                }
                let reader = identify::header_of_archive(store, info.unique_id).await;
                let Some(reader) = reader else { continue };
                let has_message_id = reader.has_message_id();
                if let Some(group) = groups.get_mut(&HeaderReader::digest(reader)) {
                    count += 1;
                    let candidate = candidate(info, ledger.account, has_message_id);
                    group.candidates.push(candidate);
                }
            }
        }
    }
    Ok(())
}

/// Whether it is another message of the listing already.
fn is_taken(info: &MessageInfo, account: &str, survey: &Survey) -> bool {
    let source = info.source.as_ref();
    source.is_some_and(|source| source.account == account && survey.may_list(&source.remote_id))
}

fn candidate(info: MessageInfo, account: &str, has_message_id: bool) -> Candidate {
    let key = match info.source {
        Some(source) if source.account == account => source.remote_id,
        _ => entry_key(info.unique_id),
    };
    Candidate {
        unique_id: info.unique_id,
        size: info.size,
        octets: info.octets,
        digest: info.digest,
        received_ms: info.received_ms,
        live: info.removed.is_none(),
        has_message_id,
        key,
    }
}

/// One message there, and here none but copies of one: the header is enough.
fn sure(mut group: Group, survey: &Survey) -> Result<Match, Group> {
    let ([number], Some(first)) = (&group.numbers[..], group.candidates.first()) else {
        return Err(group);
    };
    let octets = survey.octets(*number);
    let sized = octets == first.size || octets == first.octets;
    let same = group
        .candidates
        .iter()
        .all(|one| one.digest == first.digest);
    if !(sized && same && first.has_message_id) {
        return Err(group);
    }
    let number = *number;
    // Live ones stand before those that were removed.
    let candidate = group.candidates.swap_remove(0);
    Ok(Match {
        number,
        alike: octets == candidate.size,
        candidate,
    })
}

/// Each message there is the archived one that has its body, if there is one; none is two.
fn by_body(group: Group, bodies: &HashMap<u64, BodyDigests>, matches: &mut Vec<Match>) {
    let Group {
        numbers,
        mut candidates,
    } = group;
    for number in numbers {
        let Some(body) = bodies.get(&number) else {
            continue;
        };
        let exact = candidates.iter().position(|one| one.digest == body.exact);
        let with_lf = || candidates.iter().position(|one| one.digest == body.with_lf);
        if let Some(at) = exact.or_else(with_lf) {
            matches.push(Match {
                number,
                candidate: candidates.remove(at),
                alike: exact.is_some(),
            });
        }
    }
}
