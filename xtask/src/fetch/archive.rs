//! What came into the archive, seen by another program's eyes: our server hands it out by POP3.

use crate::mail::{self, Mail};
use crate::pop::Pop;
use crate::program::Program;
use crate::{Fallible, fail};

/// The user whose mailbox `restante fetch` fills when nothing is said.
pub(super) const USER: &str = "me";

/// Every message of the mailbox, in its order.
pub(super) fn messages(program: &mut Program) -> Fallible<Vec<Vec<u8>>> {
    program.password_file([USER.to_owned()].into_iter())?;
    program.start()?;
    let mut pop = Pop::connect(program.pop3)?;
    pop.login(USER)?;
    let count = pop.stat()?.0;
    let all: Result<Vec<_>, _> = (1..=count).map(|number| pop.retrieve(number)).collect();
    pop.quit()?;
    program.stop()?;
    Ok(all?)
}

/// Fails unless the archive holds exactly these messages, octet for octet, whatever their order.
pub(super) fn holds(program: &mut Program, sent: &[Mail]) -> Fallible<()> {
    let got = messages(program)?;
    mail::same(sent, &got, <[u8]>::to_vec, |_| true)
}

/// Fails unless `restante list --json` has a line for each message.
pub(super) fn lists(program: &Program, count: usize) -> Fallible<()> {
    let listed = program.count(USER, false)?;
    if listed == count {
        return Ok(());
    }
    fail(format!("`list --json` has {listed} lines, not {count}"))
}
