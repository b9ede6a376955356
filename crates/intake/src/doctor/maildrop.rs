//! What a login shows: the maildrop's numbers, its unique-ids, its sizes.

use std::collections::HashSet;

use restante_client::{
    Capabilities, Closing, Connection, Credentials, Error, Event, Login, Request, ResponseCode,
    Security, Server, Session, Window, connect, dial,
};
use serde::Serialize;

use super::tap::{Lines, Tap};
use super::{Options, Report, reach};

/// Unique-ids remembered to find duplicates and changes: eight octets each. Beyond it neither is looked for.
const IDS: usize = 1_000_000;
/// Messages whose size is checked.
const SAMPLES: u64 = 5;
/// The largest message that is downloaded to check its size, by what LIST says of it.
const SAMPLE_OCTETS: u64 = 4 * 1024 * 1024;
/// Where a download ends whatever LIST said.
const BODY_OCTETS: u64 = 64 * 1024 * 1024;
/// RFC 1939 §7 UIDL: the longest unique-id.
const ID_OCTETS: usize = 70;
/// Commands sent in one write to see whether pipelining works.
const NOOPS: usize = 16;

/// A maildrop.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Maildrop {
    /// Messages, as STAT counts them.
    pub count: u64,
    /// Octets, as STAT counts them.
    pub octets: u64,
    /// Messages in the scan listing.
    pub listed: Option<u64>,
    /// Octets in the scan listing.
    pub listed_octets: Option<u64>,
    /// What the unique-ids are like; none if the server refuses UIDL.
    pub unique_ids: Option<UniqueIds>,
    /// Messages whose size was checked.
    pub sizes: Vec<SizeCheck>,
}

/// What unique-ids are like.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct UniqueIds {
    /// How many there are.
    pub count: u64,
    /// Those that another message has too.
    pub duplicates: u64,
    /// Octets of the longest.
    pub longest: usize,
    /// Those longer, or with other octets, than RFC 1939 has.
    pub irregular: u64,
    /// In a second session they were the same; none if that could not be seen.
    pub stable: Option<bool>,
}

/// A message's size, as said and as found.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SizeCheck {
    /// The message-number.
    pub number: u64,
    /// Octets that LIST has.
    pub listed: u64,
    /// Octets of the header, if TOP could be asked.
    pub header: Option<u64>,
    /// Octets that RETR brought, if it was allowed.
    pub retrieved: Option<u64>,
    /// Lines among them.
    pub lines: Option<u64>,
}

impl SizeCheck {
    /// Whether what LIST says can be, or is, true.
    pub fn honest(&self) -> bool {
        self.retrieved.is_none_or(|octets| octets == self.listed)
            && self.header.is_none_or(|octets| octets <= self.listed)
    }
}

pub(super) async fn examine(report: &mut Report, server: &Server, login: &Login, options: Options) {
    let session = match connect(server).await {
        Ok(connection) => connection.login(login).await,
        Err(error) => Err(error),
    };
    let session = match session {
        Ok(session) => session,
        Err(error) => {
            report.fail_by(&error, "no login: ", false);
            return;
        }
    };
    report.maildrop = Some(Maildrop::default());
    match first_session(report, session, options).await {
        Ok(ids) => second_session(report, server, login, &ids).await,
        Err(error) => report.fail_by(&error, "the session broke off: ", true),
    }
}

type Ids = HashSet<u64>;

async fn first_session(
    report: &mut Report,
    mut session: Session,
    options: Options,
) -> Result<Ids, Error> {
    let capabilities = session.capabilities().await?.clone();
    after_login(report, &capabilities);
    let totals = session.stat().await?;
    let samples = scan(report, &mut session, totals.count).await?;
    let mut drop = report.maildrop.take().unwrap_or_default();
    (drop.count, drop.octets) = (totals.count, totals.octets);
    let mut ids = Ids::new();
    let listed = read_ids(&mut session, &mut ids).await;
    drop.unique_ids = match listed {
        Ok(found) => Some(found),
        Err(Error::Refused { .. }) => None,
        Err(error) => return Err(error),
    };
    report.maildrop = Some(drop);
    judge_ids(report, &capabilities);
    for (number, octets) in samples {
        let check = size(report, &mut session, number, octets, options).await?;
        if let Some(drop) = &mut report.maildrop {
            drop.sizes.push(check);
        }
    }
    judge_sizes(report);
    let session = pipelined(report, session).await?;
    if let Some(session) = session
        && let Closing::Refused(reply) = session.quit().await
    {
        report.odd(format!("refuses QUIT though nothing was deleted: {reply}"));
    }
    Ok(ids)
}

fn after_login(report: &mut Report, capabilities: &Capabilities) {
    if !capabilities.is_known() {
        return;
    }
    report.after_login = Some(reach::lines(capabilities));
    report.pipelining.advertised |= capabilities.pipelining();
    reach::note_policies(report, capabilities);
}

/// The scan listing; which messages to look at, with their sizes.
async fn scan(
    report: &mut Report,
    session: &mut Session,
    count: u64,
) -> Result<Vec<(u64, u64)>, Error> {
    let step = (count / SAMPLES).max(1);
    let (mut listed, mut octets, mut samples) = (0_u64, 0_u64, Vec::new());
    let mut listing = session.list().await?;
    while let Some(line) = listing.next().await? {
        if listed % step == 0 && samples.len() < 5 && line.octets <= SAMPLE_OCTETS {
            samples.push((line.number, line.octets));
        }
        listed += 1;
        octets = octets.saturating_add(line.octets);
    }
    if let Some(drop) = &mut report.maildrop {
        (drop.listed, drop.listed_octets) = (Some(listed), Some(octets));
    }
    Ok(samples)
}

async fn read_ids(session: &mut Session, ids: &mut Ids) -> Result<UniqueIds, Error> {
    let mut found = UniqueIds::default();
    let mut listing = session.unique_ids().await?;
    while let Some((_, id)) = listing.next().await? {
        found.count += 1;
        found.longest = found.longest.max(id.len());
        let regular =
            (1..=ID_OCTETS).contains(&id.len()) && id.iter().all(|b| (0x21..=0x7e).contains(b));
        found.irregular += u64::from(!regular);
        if ids.len() < IDS && !ids.insert(short(id)) {
            found.duplicates += 1;
        }
    }
    Ok(found)
}

/// Enough of a digest to tell a million ids apart.
fn short(id: &[u8]) -> u64 {
    let digest = blake3::hash(id);
    digest
        .as_bytes()
        .iter()
        .take(8)
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn judge_ids(report: &mut Report, capabilities: &Capabilities) {
    let Some(drop) = report.maildrop.clone() else {
        return;
    };
    if drop.listed.is_some_and(|listed| listed != drop.count)
        || drop
            .listed_octets
            .is_some_and(|octets| octets != drop.octets)
    {
        report.odd(format!(
            "STAT says {} messages with {} octets, LIST {} with {}",
            drop.count,
            drop.octets,
            drop.listed.unwrap_or_default(),
            drop.listed_octets.unwrap_or_default()
        ));
    }
    let Some(ids) = drop.unique_ids else {
        report.odd("has no unique-ids (UIDL)");
        return;
    };
    if capabilities.is_known() && !capabilities.has("UIDL") {
        report.odd("has UIDL but does not list it among its capabilities");
    }
    if drop.listed.is_some_and(|listed| listed != ids.count) {
        report.odd(format!(
            "UIDL lists {} messages, LIST {}",
            ids.count,
            drop.listed.unwrap_or_default()
        ));
    }
    if ids.duplicates > 0 {
        report.odd(format!("{} unique-ids are not unique", ids.duplicates));
    }
    if ids.irregular > 0 {
        report.odd(format!(
            "{} unique-ids are longer than {ID_OCTETS} octets or hold spaces or 8-bit octets; the \
             longest has {}",
            ids.irregular, ids.longest
        ));
    }
}

/// TOP n 0 for the header; with a probe RETR for all of it.
async fn size(
    report: &mut Report,
    session: &mut Session,
    number: u64,
    listed: u64,
    options: Options,
) -> Result<SizeCheck, Error> {
    let mut check = SizeCheck {
        number,
        listed,
        header: None,
        retrieved: None,
        lines: None,
    };
    session.limit_bodies(Some(BODY_OCTETS));
    let mut top = Header::default();
    match session.top(number, 0, |bytes| top.see(bytes)).await {
        Ok(()) => {
            check.header = Some(top.octets);
            if top.body > 0 {
                report.odd("sends lines of the body though TOP asks for none");
            }
        }
        Err(Error::Refused { reply, .. }) => report.odd(format!("refuses TOP: {reply}")),
        Err(error) => return Err(error),
    }
    if options.probe {
        let (mut octets, mut lines) = (0_u64, 0_u64);
        let count = |bytes: &[u8]| {
            octets += bytes.len() as u64;
            lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
        };
        match session.retrieve(number, count).await {
            Ok(()) => (check.retrieved, check.lines) = (Some(octets), Some(lines)),
            Err(Error::Refused { reply, .. }) => {
                report.odd(format!("refuses to send message {number}: {reply}"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(check)
}

/// Counts a header's octets with its blank line, and those after it.
#[derive(Default)]
struct Header {
    octets: u64,
    body: u64,
    line: u64,
    over: bool,
}

impl Header {
    fn see(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.over {
                self.body += 1;
                continue;
            }
            self.octets += 1;
            match byte {
                b'\n' if self.line == 0 => self.over = true,
                b'\n' => self.line = 0,
                b'\r' => {}
                _ => self.line += 1,
            }
        }
    }
}

fn judge_sizes(report: &mut Report) {
    let Some(drop) = &report.maildrop else {
        return;
    };
    let wrong: Vec<&SizeCheck> = drop.sizes.iter().filter(|check| !check.honest()).collect();
    let Some(first) = wrong.first() else {
        return;
    };
    let by_lines = wrong.iter().all(|check| {
        check.retrieved.is_some()
            && check.retrieved == check.lines.map(|lines| lines + check.listed)
    });
    let text = format!(
        "the sizes in LIST are wrong for {} of {} messages: {} octets instead of {}{}",
        wrong.len(),
        drop.sizes.len(),
        first.listed,
        first.retrieved.or(first.header).unwrap_or_default(),
        if by_lines {
            "; it counts line ends as one octet"
        } else {
            ""
        }
    );
    report.odd(text);
}

/// NOOPs in one write, where pipelining is advertised. None if the session did not survive it.
async fn pipelined(report: &mut Report, session: Session) -> Result<Option<Session>, Error> {
    if !session.pipelining() {
        return Ok(Some(session));
    }
    let mut pipeline = session.pipeline(Window::default());
    for _ in 0..NOOPS {
        pipeline.push(Request::Noop);
    }
    let mut answered = 0;
    let works = loop {
        match pipeline.next().await {
            Ok(Some(Event::Alive)) => answered += 1,
            Ok(Some(_)) => {}
            Ok(None) => break answered == NOOPS,
            Err(error) if error.may_be_pipelining() => break false,
            Err(error) => return Err(error),
        }
    };
    report.pipelining.after_login = Some(works);
    if !works {
        report.odd("lists PIPELINING but does not answer all commands that come together");
        return Ok(None);
    }
    pipeline.finish().await.map(Some)
}

/// The same unique-ids again, and the lines of both listings as they come.
async fn second_session(report: &mut Report, server: &Server, login: &Login, before: &Ids) {
    if report
        .login_delay_seconds
        .is_some_and(|seconds| seconds > 0)
    {
        return;
    }
    let lines = Lines::default();
    let session = match tapped(server, login, &lines).await {
        Ok(connection) => connection.login(login).await,
        Err(error) => Err(error),
    };
    let outcome = match session {
        Ok(session) => again(session, before).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(stable) => {
            if stable == Some(false) {
                report.odd("its unique-ids change from session to session");
            }
            if let Some(ids) = report
                .maildrop
                .as_mut()
                .and_then(|drop| drop.unique_ids.as_mut())
            {
                ids.stable = stable;
            }
        }
        Err(error) => {
            let busy = matches!(
                error.reply().and_then(|reply| reply.code.as_ref()),
                Some(ResponseCode::InUse | ResponseCode::LoginDelay)
            );
            report.odd(if busy {
                format!("does not let one log in again at once: {error}")
            } else {
                format!("a second session failed: {error}")
            });
        }
    }
    lines.note(report);
}

/// A connection whose lines are looked at. Where the login needs the TLS connection itself (a client
/// certificate, a token's host, a channel binding asked for) it stays an ordinary one.
async fn tapped(server: &Server, login: &Login, lines: &Lines) -> Result<Connection, Error> {
    use restante_client::Mechanism;
    let bound =
        |mechanism: Option<Mechanism>| mechanism.is_some_and(|m| m >= Mechanism::ScramSha1Plus);
    if !matches!(login.credentials, Credentials::Password(_))
        || bound(login.minimum)
        || bound(login.only)
        || server.security == Security::Stls
    {
        return connect(server).await;
    }
    let tap = Tap::new(dial(server).await?, lines.clone());
    Connection::over_private(tap, server.timeout).await
}

/// Whether the ids that are listed now were listed before. New mail may have come meanwhile, and other
/// programs may have deleted some.
async fn again(mut session: Session, before: &Ids) -> Result<Option<bool>, Error> {
    let mut listing = session.list().await?;
    while listing.next().await?.is_some() {}
    let (mut known, mut count) = (0_usize, 0_usize);
    match session.unique_ids().await {
        Ok(mut listing) => {
            while let Some((_, id)) = listing.next().await? {
                count += 1;
                known += usize::from(before.contains(&short(id)));
            }
        }
        Err(Error::Refused { .. }) => return Ok(None),
        Err(error) => return Err(error),
    }
    let _ = session.quit().await;
    let comparable = before.len() < IDS && count > 0 && !before.is_empty();
    Ok(comparable.then_some(known * 2 >= count.min(before.len())))
}
