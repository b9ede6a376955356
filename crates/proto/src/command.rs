//! The commands of RFC 1939 and its extensions, as a client writes them.

/// A message-number as it was given: digits only. 0 and numbers above the maildrop's are still in
/// here; the maildrop alone decides which message is visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) u64);

/// ```text
/// command = keyword *(SP param) CRLF    ; RFC 2449 §9: at most 255 octets
/// keyword = 3*4VCHAR
/// ```
/// Keywords may be in either case (RFC 1939 §3).
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    User(&'a [u8]),
    /// All that follows the first space, spaces too: RFC 1939 §7 PASS.
    Pass(&'a [u8]),
    Apop,
    Auth {
        mechanism: &'a [u8],
        initial: Option<&'a [u8]>,
    },
    Stls,
    Capa,
    Quit,
    Stat,
    List(Option<Number>),
    Retr(Number),
    Dele(Number),
    Noop,
    Rset,
    Top(Number, u64),
    Uidl(Option<Number>),
}

/// Why a line is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Unknown,
    Nul,
    MissingArgument,
    ExtraArgument,
    /// More than one space before an argument.
    ExtraSpace,
    /// A message-number is not 1*DIGIT.
    NotANumber,
    /// TOP's number of lines is not 1*DIGIT.
    NotLines,
}

/// Reads a line without its line end. A NUL anywhere is an error, so that nothing after it can be
/// cut off or hidden.
pub(crate) fn parse(line: &[u8]) -> Result<Command<'_>, Fault> {
    if memchr::memchr(0, line).is_some() {
        return Err(Fault::Nul);
    }
    let (keyword, rest) = match memchr::memchr(b' ', line) {
        Some(space) => (&line[..space], Some(&line[space + 1..])),
        None => (line, None),
    };
    let mut name = [b' '; 4];
    let Some(place) = name.get_mut(..keyword.len()) else {
        return Err(Fault::Unknown);
    };
    place.copy_from_slice(keyword);
    name.make_ascii_uppercase();
    match &name {
        b"USER" => text(rest).map(Command::User),
        b"PASS" => text(rest).map(Command::Pass),
        b"APOP" => Ok(Command::Apop),
        b"AUTH" => auth(trimmed(rest)),
        b"STLS" => none(rest, Command::Stls),
        b"CAPA" => none(rest, Command::Capa),
        b"QUIT" => none(rest, Command::Quit),
        b"STAT" => none(rest, Command::Stat),
        b"NOOP" => none(rest, Command::Noop),
        b"RSET" => none(rest, Command::Rset),
        b"LIST" => optional(rest).map(Command::List),
        b"UIDL" => optional(rest).map(Command::Uidl),
        b"RETR" => required(rest).map(Command::Retr),
        b"DELE" => required(rest).map(Command::Dele),
        b"TOP " => top(trimmed(rest)),
        _ => Err(Fault::Unknown),
    }
}

/// Trailing spaces mean nothing: some clients send them, and no number ends in one.
fn trimmed(rest: Option<&[u8]>) -> &[u8] {
    let mut rest = rest.unwrap_or_default();
    while let [head @ .., b' '] = rest {
        rest = head;
    }
    rest
}

fn text(rest: Option<&[u8]>) -> Result<&[u8], Fault> {
    match rest {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(Fault::MissingArgument),
    }
}

fn none<'a>(rest: Option<&[u8]>, command: Command<'a>) -> Result<Command<'a>, Fault> {
    if trimmed(rest).is_empty() {
        Ok(command)
    } else {
        Err(Fault::ExtraArgument)
    }
}

fn required(rest: Option<&[u8]>) -> Result<Number, Fault> {
    let [number] = words(trimmed(rest))?;
    digits(number).map(Number).ok_or(Fault::NotANumber)
}

fn optional(rest: Option<&[u8]>) -> Result<Option<Number>, Fault> {
    match trimmed(rest) {
        [] => Ok(None),
        _ => required(rest).map(Some),
    }
}

/// Exactly `N` arguments, one space between them.
fn words<const N: usize>(rest: &[u8]) -> Result<[&[u8]; N], Fault> {
    let mut words = [&b""[..]; N];
    let mut count = 0;
    for word in rest.split(|&b| b == b' ').filter(|_| !rest.is_empty()) {
        if word.is_empty() {
            return Err(Fault::ExtraSpace);
        }
        *words.get_mut(count).ok_or(Fault::ExtraArgument)? = word;
        count += 1;
    }
    if count == N {
        Ok(words)
    } else {
        Err(Fault::MissingArgument)
    }
}

/// 1*DIGIT. What does not fit 64 bits is as far out of range as the largest number that does.
fn digits(word: &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for digit in word {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'));
    }
    Some(value)
}

fn top(rest: &[u8]) -> Result<Command<'_>, Fault> {
    let [message, lines] = words(rest)?;
    let message = digits(message).ok_or(Fault::NotANumber)?;
    let lines = digits(lines).ok_or(Fault::NotLines)?;
    Ok(Command::Top(Number(message), lines))
}

/// `AUTH` alone is an error: RFC 1734 and RFC 5034 §4 both require the mechanism. What it is
/// sometimes sent for, the list of mechanisms, is in CAPA.
fn auth(rest: &[u8]) -> Result<Command<'_>, Fault> {
    let mut words = rest.split(|&b| b == b' ');
    let mechanism = words.next().unwrap_or_default();
    let initial = words.next();
    if mechanism.is_empty() || initial.is_some_and(<[u8]>::is_empty) {
        return Err(Fault::MissingArgument);
    }
    match words.next() {
        None => Ok(Command::Auth { mechanism, initial }),
        Some(_) => Err(Fault::ExtraArgument),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_come_in_either_case() {
        assert_eq!(parse(b"stat"), Ok(Command::Stat));
        assert_eq!(parse(b"ToP 1 0"), Ok(Command::Top(Number(1), 0)));
        assert_eq!(parse(b"uidl 007"), Ok(Command::Uidl(Some(Number(7)))));
    }

    #[test]
    fn what_is_no_command_is_none() {
        for line in [
            &b""[..],
            b" ",
            b" STAT",
            b"STA",
            b"STATS",
            b"TOP1",
            b"TOP",
            b"\xff\xfe",
            b"RETRIEVE 1",
        ] {
            assert!(parse(line).is_err(), "{line:?}");
        }
        assert_eq!(parse(b"STAT\0"), Err(Fault::Nul));
        assert_eq!(parse(b"PASS a\0b"), Err(Fault::Nul));
        assert_eq!(parse(b"STAT 1"), Err(Fault::ExtraArgument));
    }

    #[test]
    fn numbers_are_digits_and_nothing_else() {
        for line in [
            &b"RETR +1"[..],
            b"RETR -1",
            b"RETR 1\t",
            b"RETR 0x1",
            b"RETR 1\r",
            b"RETR \xd9\xa1",
            b"UIDL a",
            b"TOP a b",
        ] {
            assert_eq!(parse(line), Err(Fault::NotANumber), "{line:?}");
        }
        for line in [&b"TOP 1 -1"[..], b"TOP 1 x"] {
            assert_eq!(parse(line), Err(Fault::NotLines), "{line:?}");
        }
        for line in [&b"RETR 1 2"[..], b"LIST 1 2", b"TOP 1 2 3", b"TOP 1 1 1"] {
            assert_eq!(parse(line), Err(Fault::ExtraArgument), "{line:?}");
        }
        for line in [&b"RETR  1"[..], b"LIST  1", b"TOP  1 0", b"TOP 1  1"] {
            assert_eq!(parse(line), Err(Fault::ExtraSpace), "{line:?}");
        }
        for line in [&b"RETR"[..], b"RETR ", b"DELE", b"TOP 1", b"TOP 1 "] {
            assert_eq!(parse(line), Err(Fault::MissingArgument), "{line:?}");
        }
        let huge = Ok(Command::Dele(Number(u64::MAX)));
        assert_eq!(parse(b"DELE 18446744073709551616"), huge);
        assert_eq!(parse(b"DELE 99999999999999999999999"), huge);
    }

    #[test]
    fn a_password_keeps_its_spaces() {
        assert_eq!(parse(b"PASS  a b "), Ok(Command::Pass(b" a b ")));
        assert_eq!(parse(b"PASS "), Err(Fault::MissingArgument));
        assert_eq!(parse(b"USER"), Err(Fault::MissingArgument));
    }

    #[test]
    fn auth_has_a_mechanism_and_perhaps_a_response() {
        let plain = |initial| Command::Auth {
            mechanism: b"plain",
            initial,
        };
        assert_eq!(parse(b"AUTH plain"), Ok(plain(None)));
        assert_eq!(parse(b"AUTH plain ="), Ok(plain(Some(&b"="[..]))));
        assert_eq!(parse(b"AUTH"), Err(Fault::MissingArgument));
        assert_eq!(parse(b"AUTH plain a b"), Err(Fault::ExtraArgument));
    }
}
