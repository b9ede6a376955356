//! Fetched mail that goes elsewhere: into an IMAP mailbox of Dovecot, a Maildir, an mbox, our own LMTP, a
//! program. What is there in the end is what was sent, once, also after a second fetch.

use std::fs;
use std::path::Path;

use super::{LIMIT, archive, fetch, fetch_command};
use crate::dovecot::Dovecot;
use crate::mail::{self, Mail};
use crate::process;
use crate::program::{DOMAIN, PASSWORD, Program, certificate_digest};
use crate::tally::Cases;
use crate::{Fallible, fail};

const FROM: &str = "ann";
const INTO: &str = "bob";

/// All cases.
pub(super) fn run(binary: &Path, quick: bool, cases: &mut Cases) {
    let mut mails = mail::collection(if quick { 30 } else { 300 });
    // Dovecot does not stuff a dot at a message's start. IMAP has no NUL (RFC 9051 §4.3.1).
    mails.retain(|mail| !mail.bytes.starts_with(b".") && !mail.bytes.contains(&0));
    let users = [FROM, INTO].map(str::to_owned);
    let mut server = match Dovecot::new(users.into_iter()) {
        Ok(server) => server,
        Err(error) => return cases.case("Dovecot", || Err(error)),
    };
    let mut imap = (0, 0);
    cases.case("Dovecot starts, with IMAP", || {
        imap = server.with_imap()?;
        server.fill_raw(FROM, 0, mails.iter().map(|mail| mail.bytes.as_slice()))?;
        server.start()
    });
    let world = World {
        binary,
        server: &server,
        mails: &mails,
    };
    cases.case("into Dovecot by IMAP APPEND", || world.imap(imap.0));
    cases.case("into Dovecot by IMAP over TLS, by CA and by pin", || {
        world.imaps(imap.1)
    });
    cases.case("into a Maildir", || world.maildir());
    cases.case("into an mbox", || world.mbox());
    cases.case("into our own store by LMTP", || world.lmtp());
    cases.case("into a program", || world.pipe());
}

struct World<'a> {
    binary: &'a Path,
    server: &'a Dovecot,
    mails: &'a [Mail],
}

impl World<'_> {
    fn program(&self) -> Fallible<Program> {
        Program::new(self.binary, "elsewhere")
    }

    /// Twice: the second time there is nothing to do.
    fn fetch_twice(&self, program: &Program, to: &str, more: &[&str]) -> Fallible<()> {
        let url = format!("pop3://{FROM}@localhost:{}", self.server.pop3);
        for _ in 0..2 {
            let mut words = vec!["--danger-plaintext", "--to", to];
            words.extend_from_slice(more);
            fetch(program, &url, &words)?;
        }
        Ok(())
    }

    fn same(&self, got: &[Vec<u8>], form: fn(&[u8]) -> Vec<u8>) -> Fallible<()> {
        mail::same(self.mails, got, form, |_| true)
    }

    fn imap(&self, port: u16) -> Fallible<()> {
        let program = self.program()?;
        let password = program.path("imap-password");
        fs::write(&password, PASSWORD)?;
        let to = format!("imap://{INTO}@127.0.0.1:{port}/Archive?tls=none");
        let file = password.to_str().ok_or("a path that is no UTF-8")?;
        self.fetch_twice(&program, &to, &["--to-password-file", file])?;
        let maildir = self.server.path("mail").join(INTO).join(".Archive");
        self.same(&in_maildir(&maildir)?, mail::normalised)
    }

    /// Over TLS only to whom is trusted: by the CA, by the pin; nothing goes to anybody else.
    fn imaps(&self, port: u16) -> Fallible<()> {
        let program = self.program()?;
        let password = program.path("imap-password");
        fs::write(&password, PASSWORD)?;
        let file = password.to_str().ok_or("a path that is no UTF-8")?;
        let url = format!("pop3://{FROM}@localhost:{}", self.server.pop3);
        let ca = self.server.path("certificate.pem");
        let ca = ca.to_str().ok_or("a path that is no UTF-8")?;
        let right = certificate_digest(&self.server.path("certificate.pem"))?;
        let wrong = "0".repeat(64);
        for (mailbox, trust, code) in [
            ("Nobody", vec![], 77),
            ("Nobody", vec!["--to-pin", &wrong], 77),
            ("ByCa", vec!["--to-ca", ca], 0),
            ("ByPin", vec!["--to-pin", &right], 0),
        ] {
            let to = format!("imaps://{INTO}@localhost:{port}/{mailbox}");
            let mut words = vec![
                "--danger-plaintext",
                "--to",
                &to,
                "--to-password-file",
                file,
            ];
            words.extend(trust);
            let command = &mut fetch_command(&program, &url, &words);
            let said = process::run(command, b"", LIMIT)?;
            if said.status.code() != Some(code) {
                return fail(format!("{words:?}: not {code}: {}", said.tail()));
            }
            let maildir = self
                .server
                .path("mail")
                .join(INTO)
                .join(format!(".{mailbox}"));
            match code {
                0 => self.same(&in_maildir(&maildir)?, mail::normalised)?,
                _ if maildir.exists() => return fail("somebody untrusted was spoken to"),
                _ => {}
            }
        }
        Ok(())
    }

    fn maildir(&self) -> Fallible<()> {
        let program = self.program()?;
        let path = program.path("Maildir");
        self.fetch_twice(&program, &format!("maildir:{}", path.display()), &[])?;
        self.same(&in_maildir(&path)?, mail::normalised)
    }

    fn mbox(&self) -> Fallible<()> {
        let mut program = self.program()?;
        let path = program.path("mbox");
        self.fetch_twice(&program, &format!("mbox:{}", path.display()), &[])?;
        // Read by `import`, which tells entries apart by their From_ lines.
        program.add_user(archive::USER)?;
        program.import(&path, archive::USER)?;
        let got = archive::messages(&mut program)?;
        self.same(&got, mail::normalised)
    }

    fn lmtp(&self) -> Fallible<()> {
        let mut program = self.program()?;
        program.password_file([archive::USER.to_owned()].into_iter())?;
        program.start()?;
        let to = format!(
            "lmtp:127.0.0.1:{}?to={}@{DOMAIN}",
            program.lmtp,
            archive::USER
        );
        self.fetch_twice(&program, &to, &[])?;
        program.stop()?;
        let got = archive::messages(&mut program)?;
        let got: Vec<Vec<u8>> = got.iter().map(|message| without_trace(message)).collect();
        self.same(&got, mail::ended)
    }

    fn pipe(&self) -> Fallible<()> {
        let program = self.program()?;
        let folder = program.path("piped");
        fs::create_dir_all(&folder)?;
        let to = format!("pipe:cat > $(mktemp {}/m.XXXXXXXX)", folder.display());
        self.fetch_twice(&program, &to, &[])?;
        let mut got = Vec::new();
        for entry in fs::read_dir(&folder)? {
            got.push(fs::read(entry?.path())?);
        }
        self.same(&got, mail::normalised)
    }
}

/// Without the trace fields that a final delivery puts on top (RFC 5321 §4.4).
fn without_trace(message: &[u8]) -> Vec<u8> {
    let mut rest = message;
    for field in [b"Return-Path:".as_slice(), b"Delivered-To:"] {
        if rest.starts_with(field) {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            rest = &rest[end..];
        }
    }
    rest.to_vec()
}

fn in_maildir(maildir: &Path) -> Fallible<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for sub in ["new", "cur"] {
        for entry in fs::read_dir(maildir.join(sub))? {
            all.push(fs::read(entry?.path())?);
        }
    }
    if all.is_empty() {
        return fail(format!("{} is empty", maildir.display()));
    }
    Ok(all)
}
