//! Clients and MTAs that we did not write, against the program.

pub(crate) mod clients;
mod mtas;

use std::path::Path;
use std::time::Instant;

use crate::mail::{self, Mail};
use crate::program::Program;
use crate::tally::Cases;
use crate::{Fallible, fail};

use clients::{CLIENTS, Client, Job};

/// How a client reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// In clear, which is allowed from loopback.
    Plain,
    /// In clear at first, then STLS.
    Stls,
    /// TLS from the start.
    Pop3s,
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Stls => "STLS",
            Self::Pop3s => "POP3S",
        }
    }
}

/// The same clients against Dovecot: what fails here is not ours.
pub(crate) fn control(quick: bool, cases: &mut Cases) {
    let mut mails = mail::collection(if quick { 30 } else { 300 });
    // Dovecot keeps lines with LF and sends CRLF; what had both comes out of it changed.
    mails.retain(|mail| mail::wire(&mail::normalised(&mail.bytes)) == mail::ended(&mail.bytes));
    let all = all_cases();
    let users = all.iter().map(|case| case.user.clone());
    let mut server = match crate::dovecot::Dovecot::new(users) {
        Ok(server) => server,
        Err(error) => return cases.case("Dovecot", || Err(error)),
    };
    cases.case("Dovecot starts", || {
        let lines: Vec<Vec<u8>> = mails
            .iter()
            .map(|mail| mail::normalised(&mail.bytes))
            .collect();
        let users: std::collections::BTreeSet<&str> =
            all.iter().map(|case| case.user.as_str()).collect();
        for user in users {
            server.fill(user, lines.iter().map(Vec::as_slice))?;
        }
        server.start()
    });
    for case in &all {
        let ports = Ports {
            pop3: server.pop3,
            pop3s: server.pop3s,
        };
        cases.case(&case.name(), || one(case, ports, &server.path(""), &mails));
    }
}

/// Where a server listens.
#[derive(Debug, Clone, Copy)]
struct Ports {
    pop3: u16,
    pop3s: u16,
}

/// All cases.
pub(crate) fn run(program: &Path, quick: bool, cases: &mut Cases) {
    let mails = mail::collection(if quick { 30 } else { 300 });
    println!("  {} messages", mails.len());
    let mut prepared = Vec::new();
    let mut server = None;
    cases.case("users and import", || {
        let (program, jobs) = prepare(program, &mails)?;
        (server, prepared) = (Some(program), jobs);
        Ok(())
    });
    let Some(mut server) = server else { return };
    for job in &prepared {
        let begun = Instant::now();
        let ports = Ports {
            pop3: server.pop3,
            pop3s: server.pop3s,
        };
        let result = one(job, ports, &server.path(""), &mails);
        cases.report(&job.name(), result, begun.elapsed());
    }
    cases.case("the daemon is well, and ends on SIGTERM", || {
        server.healthy()?;
        server.stop()
    });
    cases.case(
        "what was deleted can be restored, what was kept is kept",
        || after(&prepared, &server, mails.len()),
    );
    mtas::run_all(program, cases);
}

/// A mailbox for each client that deletes, one for all that do not.
fn prepare(binary: &Path, mails: &[Mail]) -> Fallible<(Program, Vec<Case>)> {
    let mut program = Program::new(binary, "interop")?;
    let folder = program.path("mails");
    mail::write_folder(mails, &folder)?;
    let cases = all_cases();
    let mut users: Vec<&str> = cases.iter().map(|case| case.user.as_str()).collect();
    users.sort_unstable();
    users.dedup();
    for user in users {
        program.add_user(user)?;
        program.import(&folder, user)?;
    }
    program.start()?;
    Ok((program, cases))
}

fn all_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // For who looks into one client.
    let one = std::env::var("RESTANTE_CLIENT").ok();
    for client in CLIENTS
        .iter()
        .filter(|client| one.as_deref().is_none_or(|name| name == client.name))
    {
        for &way in client.ways {
            for delete in [false, true] {
                let user = if delete {
                    format!("{}-{}", client.name, way.name().to_lowercase())
                } else {
                    "keep".to_owned()
                };
                cases.push(Case {
                    client,
                    way,
                    delete,
                    user,
                });
            }
        }
    }
    cases
}

struct Case {
    client: &'static Client,
    way: Way,
    delete: bool,
    user: String,
}

impl Case {
    fn name(&self) -> String {
        let then = if self.delete { "deletes" } else { "keeps" };
        format!("{} over {}, {then}", self.client.name, self.way.name())
    }
}

fn one(case: &Case, ports: Ports, at: &Path, mails: &[Mail]) -> Fallible<()> {
    let job = Job {
        port: if case.way == Way::Pop3s {
            ports.pop3s
        } else {
            ports.pop3
        },
        way: case.way,
        user: &case.user,
        delete: case.delete,
        certificate: at.join("certificate.pem"),
        folder: at.join(format!(
            "{}-{}-{}",
            case.client.name,
            case.way.name(),
            case.delete
        )),
        messages: mails.len(),
        limit: clients::LIMIT,
        syncs: None,
    };
    std::fs::create_dir_all(&job.folder)?;
    let got = (case.client.collect)(&job)?;
    let sent = match case.client.rewrites {
        None => mails.iter().map(Mail::ended).collect(),
        Some(rewrites) => rewrites(mails, &job.folder)?,
    };
    mail::same(&sent, &got, case.client.form, case.client.keeps)?;
    let mut pop = crate::pop::Pop::connect(ports.pop3)?;
    pop.login(&case.user)?;
    let left = pop.stat()?.0;
    pop.quit()?;
    let wanted = if case.delete { 0 } else { mails.len() as u64 };
    if left == wanted {
        return Ok(());
    }
    fail(format!(
        "{left} messages are left on the server, not {wanted}"
    ))
}

fn after(cases: &[Case], program: &Program, messages: usize) -> Fallible<()> {
    for case in cases {
        let live = program.count(&case.user, false)?;
        let removed = program.count(&case.user, true)?;
        let wanted = if case.delete {
            (0, messages)
        } else {
            (messages, 0)
        };
        if (live, removed) != wanted {
            return fail(format!(
                "{}: {live} live and {removed} removed messages, not {wanted:?}",
                case.name()
            ));
        }
    }
    Ok(())
}
