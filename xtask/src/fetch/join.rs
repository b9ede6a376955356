//! The whole line: fetched with deletion, collected and deleted by a client without any hold; and
//! everything is still there, also for an index that is made anew from the packs. That compaction keeps
//! it too is shown where a test has the clock in its hands, in the store's contract suite.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{archive, fetch};
use crate::dovecot::Dovecot;
use crate::process;
use crate::program::{PASSWORD, Program};
use crate::tally::Cases;
use crate::{Fallible, fail};

const REMOTE: &str = "ann";
/// Enough that a pack is sealed, and so could be rewritten.
const MESSAGES: usize = 1_200;
const OCTETS: usize = 90_000;

/// The one case.
pub(super) fn run(binary: &Path, cases: &mut Cases) {
    cases.case(
        "fetched with deletion, collected and deleted by curl without a hold: all is still there",
        || joined(binary),
    );
}

fn message(number: usize) -> Vec<u8> {
    let mut out = format!("From: a@example.net\r\nSubject: {number}\r\n\r\n").into_bytes();
    let mut line = 0u64;
    while out.len() < OCTETS {
        let seed = [number as u64, line].map(u64::to_le_bytes).concat();
        out.extend_from_slice(format!("{}\r\n", blake3::hash(&seed)).as_bytes());
        line += 1;
    }
    out
}

fn joined(binary: &Path) -> Fallible<()> {
    let mut server = Dovecot::new([REMOTE.to_owned()].into_iter())?;
    let all: Vec<Vec<u8>> = (0..MESSAGES).map(message).collect();
    server.fill_raw(REMOTE, 0, all.iter().map(Vec::as_slice))?;
    server.start()?;
    let mut program = Program::new(binary, "join")?;
    program.configure("[store]\nhold = \"0s\"\n")?;
    let url = format!("pop3://{REMOTE}@localhost:{}", server.pop3);
    fetch(&program, &url, &["--danger-plaintext", "--keep", "none"])?;
    let left = server.left(REMOTE)?.len();
    if left > 0 {
        return fail(format!("{left} messages are left on the server"));
    }
    program.password_file([archive::USER.to_owned()].into_iter())?;
    program.start()?;
    let to = program.path("curl.out");
    let mut curl = Command::new("curl");
    curl.args(["-q", "-sS", "--user"])
        .arg(format!("{}:{PASSWORD}", archive::USER))
        .args(["-X", "DELE", "-I"])
        .arg(format!("pop3://localhost:{}/[1-{MESSAGES}]", program.pop3))
        .arg("-o")
        .arg(&to);
    let said = process::run(&mut curl, b"", Duration::from_secs(120))?.ok("curl -X DELE")?;
    drop(said);
    let mut pop = crate::pop::Pop::connect(program.pop3)?;
    pop.login(archive::USER)?;
    let shown = pop.stat()?.0;
    pop.quit()?;
    if shown > 0 {
        return fail(format!("the client deleted all, and is shown {shown}"));
    }
    program.stop()?;
    archive::lists(&program, MESSAGES)?;
    let said = program.tell(&["rebuild"], "")?;
    drop(said);
    archive::lists(&program, MESSAGES)
}
