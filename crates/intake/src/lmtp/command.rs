//! One line into one command, through RFC 5321's grammar.
//!
//! The grammar is `smtp-proto`'s; here stands what it leaves open: characters that no line has,
//! parameters that were not offered, forms of addresses that would be read in two ways.

use smtp_proto::{Error, MailFrom, RcptTo, Request};
use std::borrow::Cow;

use super::reply;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Lhlo,
    /// `address` is empty for the null reverse-path. `size` is 0 when not declared.
    Mail {
        address: String,
        size: u64,
        utf8: bool,
    },
    /// Unquoted.
    Rcpt(String),
    Data,
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
}

/// Reads a line, given without its CRLF. `Err` is the reply.
pub(super) fn parse(line: &[u8]) -> Result<Command, &'static str> {
    let text = std::str::from_utf8(line).map_err(|_| reply::BAD_LINE)?;
    if text.chars().any(char::is_control) {
        return Err(reply::BAD_LINE);
    }
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(reply::UNKNOWN);
    }
    let text = text.trim_end_matches(' ');
    let (text, size) = take_size(text)?;
    let text = &*text;
    match read(text) {
        Ok(Request::Lhlo { .. }) => Ok(Command::Lhlo),
        Ok(Request::Helo { .. } | Request::Ehlo { .. }) => Err(reply::USE_LHLO),
        Ok(Request::Mail { from }) => mail(from, size.unwrap_or(0)),
        // RFC 1870 §3: SIZE is MAIL's alone.
        Ok(Request::Rcpt { .. }) if size.is_some() => Err(reply::BAD_PARAMETER),
        Ok(Request::Rcpt { to }) => rcpt(to, text),
        Ok(Request::Data) => alone(text, Command::Data),
        Ok(Request::Rset) => alone(text, Command::Rset),
        Ok(Request::Quit) => alone(text, Command::Quit),
        Ok(Request::Noop { .. }) => Ok(Command::Noop),
        Ok(Request::Vrfy { .. }) => Ok(Command::Vrfy),
        Ok(Request::Help { .. }) => Ok(Command::Help),
        Ok(
            Request::Bdat { .. }
            | Request::Auth { .. }
            | Request::Expn { .. }
            | Request::Etrn { .. }
            | Request::Atrn { .. }
            | Request::Burl { .. }
            | Request::StartTls,
        ) => Err(reply::NOT_OFFERED),
        Err(Error::InvalidRecipientAddress) => bare_recipient(text),
        Err(error) => Err(refusal(&error, text)),
    }
}

/// Takes `SIZE=` out of the parameters after a path (RFC 1870 §3: `size-value = 1*20DIGIT`). The
/// grammar's own reading lets numbers run over; here one that does not fit is larger than anything.
fn take_size(text: &str) -> Result<(Cow<'_, str>, Option<u64>), &'static str> {
    let is_size = |word: &str| {
        word.get(..5)
            .is_some_and(|name| name.eq_ignore_ascii_case("SIZE="))
    };
    let Some(path) = text.rfind('>') else {
        return Ok((Cow::Borrowed(text), None));
    };
    let (path, parameters) = text.split_at(path + 1);
    let mut sizes = parameters.split(' ').filter(|word| is_size(word));
    let Some(size) = sizes.next() else {
        return Ok((Cow::Borrowed(text), None));
    };
    let digits = &size[5..];
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number || sizes.next().is_some() {
        return Err(reply::BAD_SYNTAX);
    }
    let kept: Vec<&str> = parameters
        .split(' ')
        .filter(|word| !is_size(word))
        .collect();
    let text = format!("{path}{}", kept.join(" "));
    Ok((Cow::Owned(text), Some(digits.parse().unwrap_or(u64::MAX))))
}

/// The grammar does not know `@[192.0.2.1]` (RFC 5321 §4.1.3), so a name stands in for the literal
/// while it reads.
fn read(text: &str) -> Result<Request<String>, Error> {
    let Some((start, end)) = literal(text) else {
        return read_names(text);
    };
    let named = format!("{}{STAND_IN}{}", &text[..start], &text[end..]);
    let put_back = |address: &str| {
        let local = address.strip_suffix(STAND_IN)?;
        Some(format!("{local}{}", &text[start..end]))
    };
    match read_names(&named)? {
        Request::Mail { mut from } => {
            from.address = put_back(&from.address).ok_or(Error::InvalidSenderAddress)?;
            Ok(Request::Mail { from })
        }
        Request::Rcpt { mut to } => {
            to.address = put_back(&to.address).ok_or(Error::InvalidRecipientAddress)?;
            Ok(Request::Rcpt { to })
        }
        _other => read_names(text),
    }
}

const STAND_IN: &str = "@address-literal.invalid";

/// Where `@[…]` stands before the `>` that ends a path.
fn literal(text: &str) -> Option<(usize, usize)> {
    let start = text.find("@[")?;
    let end = start + text[start..].find("]>")? + 1;
    Some((start, end))
}

fn read_names(text: &str) -> Result<Request<String>, Error> {
    let line = format!("{text}\r\n");
    Request::parse(&mut line.as_bytes().iter()).map(Request::<Cow<'_, str>>::into_owned)
}

fn refusal(error: &Error, text: &str) -> &'static str {
    let verb = text.get(..4).unwrap_or_default();
    match error {
        Error::UnknownCommand => reply::UNKNOWN,
        // RFC 2033 §4.1: HELO and EHLO are no commands of LMTP, with or without an argument.
        _ if verb.eq_ignore_ascii_case("HELO") || verb.eq_ignore_ascii_case("EHLO") => {
            reply::USE_LHLO
        }
        Error::InvalidSenderAddress => reply::BAD_SENDER,
        Error::InvalidRecipientAddress => reply::BAD_RECIPIENT,
        Error::UnsupportedParameter { .. } => reply::BAD_PARAMETER,
        Error::SyntaxError { .. }
        | Error::InvalidParameter { .. }
        | Error::NeedsMoreData { .. }
        | Error::ResponseTooLong
        | Error::InvalidResponse { .. } => reply::BAD_SYNTAX,
    }
}

/// DATA, RSET and QUIT take no argument (RFC 5321 §4.1.1).
fn alone(text: &str, command: Command) -> Result<Command, &'static str> {
    if text.len() == 4 {
        Ok(command)
    } else {
        Err(reply::BAD_SYNTAX)
    }
}

/// Offered: SIZE (RFC 1870), BODY=7BIT and 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531).
fn mail(from: MailFrom<String>, size: u64) -> Result<Command, &'static str> {
    let offered =
        smtp_proto::MAIL_BODY_7BIT | smtp_proto::MAIL_BODY_8BITMIME | smtp_proto::MAIL_SMTPUTF8;
    let plain = MailFrom {
        address: from.address.clone(),
        flags: from.flags & offered,
        ..MailFrom::default()
    };
    if from != plain {
        return Err(reply::BAD_PARAMETER);
    }
    let utf8 = from.flags & smtp_proto::MAIL_SMTPUTF8 != 0;
    if !from.address.is_empty() && !is_mailbox(&from.address) {
        return Err(reply::BAD_SENDER);
    }
    if !utf8 && !from.address.is_ascii() {
        return Err(reply::NEEDS_UTF8);
    }
    Ok(Command::Mail {
        address: from.address,
        size,
        utf8,
    })
}

fn rcpt(to: RcptTo<String>, text: &str) -> Result<Command, &'static str> {
    if to.orcpt.is_some() || to.rrvs != 0 || to.flags != 0 {
        return Err(reply::BAD_PARAMETER);
    }
    if to.address.is_empty() {
        // Both `<Postmaster>` (RFC 5321 §4.1.1.3) and `<>` come as this.
        return if text.to_ascii_lowercase().contains("<postmaster>") {
            Ok(Command::Rcpt("postmaster".to_owned()))
        } else {
            Err(reply::BAD_RECIPIENT)
        };
    }
    if !is_mailbox(&to.address) {
        return Err(reply::BAD_RECIPIENT);
    }
    Ok(Command::Rcpt(to.address))
}

/// `RCPT TO:<user>`: LMTP's clients are local, and some send bare user names.
fn bare_recipient(text: &str) -> Result<Command, &'static str> {
    let name = text
        .split_once('<')
        .and_then(|(_, rest)| rest.strip_suffix('>'))
        .filter(|name| !name.is_empty() && name.len() <= 64)
        .filter(|name| name.split('.').all(is_atom));
    name.map(|name| Command::Rcpt(name.to_owned()))
        .ok_or(reply::BAD_RECIPIENT)
}

/// The address is unquoted, so its last `@` has to be the one before the domain: a quoted one within
/// the domain would make two readings of it.
fn is_mailbox(address: &str) -> bool {
    let Some((local, domain)) = address.rsplit_once('@') else {
        return false;
    };
    let literal = domain
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'));
    let domain = literal.unwrap_or(domain);
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c) || !c.is_ascii();
    !local.is_empty()
        && domain.split('.').all(|label| !label.is_empty())
        && domain.chars().all(fits)
}

/// RFC 5321 §4.1.2: `Local-part = Dot-string / Quoted-string`. As it has to be written in a path.
pub(super) fn path(address: &str) -> Cow<'_, str> {
    let (local, domain) = match address.rsplit_once('@') {
        Some((local, _)) => address.split_at(local.len()),
        None => (address, ""),
    };
    if local.is_empty() || local.split('.').all(is_atom) {
        return Cow::Borrowed(address);
    }
    let mut quoted = String::from("\"");
    for c in local.chars() {
        if c == '"' || c == '\\' {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted.push_str(domain);
    Cow::Owned(quoted)
}

/// RFC 5322 §3.2.3 `atext`, and RFC 6531's UTF-8.
fn is_atom(text: &str) -> bool {
    let is_atext =
        |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii();
    !text.is_empty() && text.chars().all(is_atext)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rcpt_of(line: &str) -> Result<String, &'static str> {
        parse(line.as_bytes()).map(|command| match command {
            Command::Rcpt(address) => address,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn recipients_in_every_form() {
        for (path, address) in [
            ("<me@example.org>", "me@example.org"),
            ("<me+x@example.org>", "me+x@example.org"),
            ("<@relay,@other:me@example.org>", "me@example.org"),
            ("<\"a b\"@example.org>", "a b@example.org"),
            ("<me@[192.0.2.1]>", "me@[192.0.2.1]"),
            ("<me@[IPv6:2001:db8::1]>", "me@[IPv6:2001:db8::1]"),
            ("<Postmaster>", "postmaster"),
            ("<me>", "me"),
            ("<m\u{e4}x@example.org>", "m\u{e4}x@example.org"),
        ] {
            assert_eq!(rcpt_of(&format!("RCPT TO:{path}")).as_deref(), Ok(address));
            assert_eq!(rcpt_of(&format!("rcpt to:{path} ")).as_deref(), Ok(address));
        }
        for path in [
            "<>",
            "<@>",
            "<me@>",
            "<a@b@c>",
            "<me@ex ample>",
            "<me@a..b>",
            "<.>",
            "<me@[192.0.2.1>",
            "<me@[1 2]>",
            "<\"a@[1]>b\"@c>",
        ] {
            let refused = rcpt_of(&format!("RCPT TO:{path}")).expect_err(path);
            assert!(refused.starts_with("501 5."), "{path}: {refused}");
        }
        assert_eq!(rcpt_of("RCPT TO:me@example.org"), Err(reply::BAD_SYNTAX));
        assert_eq!(rcpt_of("RCPT"), Err(reply::BAD_SYNTAX));
        assert_eq!(
            rcpt_of("RCPT TO:<me@example.org> NOTIFY=NEVER"),
            Err(reply::BAD_PARAMETER)
        );
    }

    #[test]
    fn senders_and_their_parameters() {
        let mail = |rest: &str| parse(format!("MAIL FROM:{rest}").as_bytes());
        let expected = |address: &str, size, utf8| {
            let address = address.to_owned();
            Ok(Command::Mail {
                address,
                size,
                utf8,
            })
        };
        assert_eq!(mail("<>"), expected("", 0, false));
        assert_eq!(mail("<a@b.c> SIZE=12"), expected("a@b.c", 12, false));
        assert_eq!(mail("<a@b.c> BODY=8BITMIME"), expected("a@b.c", 0, false));
        assert_eq!(
            mail("<\u{e4}@b.c> SMTPUTF8"),
            expected("\u{e4}@b.c", 0, true)
        );
        assert_eq!(mail("<\u{e4}@b.c>"), Err(reply::NEEDS_UTF8));
        assert_eq!(mail("<a>"), Err(reply::BAD_SENDER));
        for size in ["x", "", "-1", "1 SIZE=1", "12x"] {
            let refused = mail(&format!("<a@b.c> SIZE={size}"));
            assert_eq!(refused, Err(reply::BAD_SYNTAX), "{size}");
        }
        for size in ["99999999999999999999999", "18446744073709551616"] {
            let taken = mail(&format!("<a@b.c> BODY=7BIT size={size}"));
            assert_eq!(taken, expected("a@b.c", u64::MAX, false), "{size}");
        }
        let quoted = mail("<\"a SIZE=x b\"@b.c> SIZE=7");
        assert_eq!(quoted, expected("a SIZE=x b@b.c", 7, false));
        let other = mail("<a@b.c> SIZE=99999999999999999999999 AUTH=<>");
        assert!(other.is_err(), "{other:?}");
        let rcpt = parse(b"RCPT TO:<a@b.c> SIZE=7");
        assert_eq!(rcpt, Err(reply::BAD_PARAMETER));
        for parameter in [
            "BODY=BINARYMIME",
            "RET=FULL",
            "ENVID=1",
            "AUTH=<>",
            "HOLDFOR=9",
            "X=Y",
        ] {
            assert_eq!(
                mail(&format!("<a@b.c> {parameter}")),
                Err(reply::BAD_PARAMETER),
                "{parameter}"
            );
        }
    }

    #[test]
    fn other_commands_and_what_is_none() {
        assert_eq!(parse(b"LHLO x.example"), Ok(Command::Lhlo));
        assert_eq!(parse(b"lhlo [192.0.2.1]"), Ok(Command::Lhlo));
        assert_eq!(parse(b"LHLO"), Err(reply::BAD_SYNTAX));
        for line in ["HELO x", "EHLO x", "HELO", "EHLO"] {
            assert_eq!(parse(line.as_bytes()), Err(reply::USE_LHLO), "{line}");
        }
        assert_eq!(parse(b"DATA"), Ok(Command::Data));
        assert_eq!(parse(b"data "), Ok(Command::Data));
        assert_eq!(parse(b"DATA now"), Err(reply::BAD_SYNTAX));
        assert_eq!(parse(b"QUIT x"), Err(reply::BAD_SYNTAX));
        assert_eq!(parse(b"NOOP whatever"), Ok(Command::Noop));
        assert_eq!(parse(b"BDAT 5 LAST"), Err(reply::NOT_OFFERED));
        assert_eq!(parse(b"STARTTLS"), Err(reply::NOT_OFFERED));
        for line in ["", " ", "XYZZY", "RSETS", "GET / HTTP/1.1", " QUIT", "."] {
            assert_eq!(parse(line.as_bytes()), Err(reply::UNKNOWN), "{line:?}");
        }
        for line in [&b"NOOP a\rb"[..], b"NOOP\0", b"NOOP \xff", b"NOOP a\tb"] {
            assert_eq!(parse(line), Err(reply::BAD_LINE));
        }
    }

    #[test]
    fn paths_are_quoted_again_where_they_must() {
        for (address, written) in [
            ("", ""),
            ("me", "me"),
            ("me@x", "me@x"),
            ("a b@x", "\"a b\"@x"),
            ("a@b@x", "\"a@b\"@x"),
            ("a\"\\@x", "\"a\\\"\\\\\"@x"),
            ("a..b@x", "\"a..b\"@x"),
        ] {
            assert_eq!(path(address), written);
        }
    }
}
