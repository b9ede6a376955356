//! Names of users, and which of them a login or an address may mean.
//!
//! ASCII letters count alike in upper and lower case, in the local part too: RFC 5321 §2.4 lets the
//! receiving host decide, and people expect it.

use crate::DirectoryError;
use crate::limits::{DEVICE_NAME_OCTETS, NAME_OCTETS};

/// As names are compared.
pub(crate) fn folded(name: &str) -> String {
    name.trim().to_ascii_lowercase()
}

/// A name that a user may have.
pub fn checked(name: &str) -> Result<String, DirectoryError> {
    let name = folded(name);
    let wrong = if name.is_empty() {
        "it is empty"
    } else if name.len() > NAME_OCTETS {
        "it is longer than 254 octets"
    } else if name == "." || name == ".." || name.starts_with('-') {
        "it would read as something else"
    } else if name
        .chars()
        .any(|c| c.is_control() || c.is_whitespace() || "/\\:\"<>()[];,".contains(c))
    {
        "it has a space or one of / \\ : \" < > ( ) [ ] ; ,"
    } else if name.contains('+') {
        "what stands behind + is a detail of an address, not a part of the name"
    } else if name.contains('@') && split(&name).is_none() {
        "an address has one @, with something on both sides"
    } else {
        return Ok(name);
    };
    Err(DirectoryError::BadName(wrong.to_owned()))
}

/// A name that a device may have.
pub fn checked_device(name: &str) -> Result<String, DirectoryError> {
    let name = folded(name);
    let wrong = if name.is_empty() {
        "it is empty"
    } else if name.len() > DEVICE_NAME_OCTETS {
        "it is longer than 32 letters"
    } else if !name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        || name.starts_with('-')
    {
        "it has something else than the letters a to z, digits, dot, underscore and hyphen"
    } else {
        return Ok(name);
    };
    Err(DirectoryError::BadDevice(wrong.to_owned()))
}

/// ```abnf
/// login  = user "+" device [ "@" domain ] / user "@" domain "+" device
/// device = 1*32( ALPHA / DIGIT / "." / "_" / "-" )
/// ```
/// The user's part of a login that names a device, and the device.
pub(crate) fn of_device(login: &str) -> Option<(String, String)> {
    let login = folded(login);
    let (base, device) = match login.rsplit_once('@') {
        Some((local, domain)) => match domain.split_once('+') {
            Some((domain, device)) => (format!("{local}@{domain}"), device),
            None => {
                let (base, device) = local.split_once('+')?;
                (format!("{base}@{domain}"), device)
            }
        },
        None => {
            let (base, device) = login.split_once('+')?;
            (base.to_owned(), device)
        }
    };
    Some((base, checked_device(device).ok()?))
}

/// Local part and domain; `None` without a domain or with an empty side.
fn split(address: &str) -> Option<(&str, &str)> {
    let (local, domain) = address.rsplit_once('@')?;
    (!local.is_empty() && !domain.is_empty() && !local.contains('@')).then_some((local, domain))
}

/// A quoted local part means what is inside (RFC 5321 §4.1.2).
fn unquoted(local: &str) -> String {
    match local
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        None => local.to_owned(),
        Some(inside) => {
            let mut plain = String::new();
            let mut letters = inside.chars();
            while let Some(letter) = letters.next() {
                plain.extend(if letter == '\\' {
                    letters.next()
                } else {
                    Some(letter)
                });
            }
            plain
        }
    }
}

/// Which users an address may be of, the likeliest first.
pub(crate) fn of_address(address: &str, domains: &[String]) -> Vec<String> {
    let address = folded(address);
    let (local, domain) = match address.rsplit_once('@') {
        Some((local, domain)) => (unquoted(local), Some(domain)),
        None => (unquoted(&address), None),
    };
    let base = local.split_once('+').map(|(base, _)| base.to_owned());
    let mut names = Vec::new();
    for local in [Some(local), base].into_iter().flatten() {
        // An `@` comes out of quotes here: it would name the user of another domain.
        if local.is_empty() || local.contains('@') {
            continue;
        }
        match domain {
            Some(domain) => {
                names.push(format!("{local}@{domain}"));
                if domains.iter().any(|ours| ours == domain) {
                    names.push(local);
                }
            }
            None => {
                names.push(local.clone());
                names.extend(domains.iter().map(|ours| format!("{local}@{ours}")));
            }
        }
    }
    names
}

/// Which users a login may be of, the likeliest first. A detail is not taken off: what stands
/// behind `+` names a device, see [`of_device`].
pub(crate) fn of_login(login: &str, domains: &[String]) -> Vec<String> {
    let login = folded(login);
    let mut names = vec![login.clone()];
    match split(&login) {
        Some((local, domain)) => {
            if domains.iter().any(|ours| ours == domain) {
                names.push(local.to_owned());
            }
        }
        None => names.extend(domains.iter().map(|ours| format!("{login}@{ours}"))),
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Vec<String> {
        vec!["example.org".to_owned()]
    }

    #[test]
    fn an_address_is_looked_for_whole_then_by_its_local_part_then_by_its_base() {
        assert_eq!(
            of_address("Ann+Shop@Example.org", &ours()),
            ["ann+shop@example.org", "ann+shop", "ann@example.org", "ann"]
        );
        assert_eq!(
            of_address("ann@elsewhere.net", &ours()),
            ["ann@elsewhere.net"]
        );
        assert_eq!(
            of_address("\"a\\nn\"@example.org", &ours()),
            ["ann@example.org", "ann"]
        );
        assert_eq!(of_address("ann", &ours()), ["ann", "ann@example.org"]);
        assert!(of_address("@example.org", &ours()).is_empty());
    }

    #[test]
    fn a_login_works_with_and_without_the_domain() {
        assert_eq!(of_login("Ann", &ours()), ["ann", "ann@example.org"]);
        assert_eq!(
            of_login("ann@example.org", &ours()),
            ["ann@example.org", "ann"]
        );
        assert_eq!(
            of_login("ann@elsewhere.net", &ours()),
            ["ann@elsewhere.net"]
        );
    }

    #[test]
    fn a_login_may_name_a_device_before_or_behind_the_domain() {
        let found = |login: &str| of_device(login);
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(found("Ann+Laptop"), pair("ann", "laptop"));
        assert_eq!(found("ann+x@example.org"), pair("ann@example.org", "x"));
        assert_eq!(found("ann@example.org+x"), pair("ann@example.org", "x"));
        for login in [
            "ann",
            "ann+",
            "ann+a b",
            "ann+a+b",
            "ann+-x",
            "ann@example.org",
        ] {
            assert_eq!(found(login), None, "{login}");
        }
        let long = format!("ann+{}", "a".repeat(33));
        assert_eq!(found(&long), None);
    }

    #[test]
    fn names_that_would_read_as_something_else_are_refused() {
        for name in [
            "",
            " ",
            ".",
            "..",
            "a/b",
            "a:b",
            "a b",
            "a+b",
            "@",
            "a@",
            "@b",
            "a@b@c",
            "-f",
            "a\u{7}",
            &"a".repeat(255),
        ] {
            assert!(checked(name).is_err(), "{name:?}");
        }
        for name in ["ann", "Ann.Lee@example.org", "j\u{fc}rgen", "a'b"] {
            assert!(checked(name).is_ok(), "{name:?}");
        }
    }
}
