//! Password hashes: ours are argon2id; those of other servers are read.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use restante_proto::Secret;
use sha_crypt::ShaCrypt;

use crate::{DirectoryError, limits};

/// OWASP's smallest for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// A hash of nothing that anybody knows, made with our parameters: checking it costs what checking a
/// known user's costs.
const STAND_IN: &str = "$argon2id$v=19$m=19456,t=2,p=1$cmVzdGFudGUtc3RhbmQtaW4$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The ways a hash can be written that are read here, by the name before it in braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Argon2,
    Bcrypt,
    ShaCrypt,
}

impl Scheme {
    fn of_name(name: &str, hash: &str) -> Option<Self> {
        let scheme = match name.to_ascii_uppercase().as_str() {
            "ARGON2ID" | "ARGON2I" => Self::Argon2,
            "BLF-CRYPT" | "BCRYPT" => Self::Bcrypt,
            "SHA512-CRYPT" if hash.starts_with("$6$") => Self::ShaCrypt,
            "SHA256-CRYPT" if hash.starts_with("$5$") => Self::ShaCrypt,
            // Whatever crypt(3) has put there.
            "CRYPT" => return Self::of_prefix(hash),
            _ => return None,
        };
        Self::of_prefix(hash).filter(|found| *found == scheme)
    }

    fn of_prefix(hash: &str) -> Option<Self> {
        match hash.strip_prefix('$')?.split('$').next()? {
            "argon2id" | "argon2i" => Some(Self::Argon2),
            // Not `2x`: those were made by a broken bcrypt, and ours does not repeat its mistake.
            "2a" | "2b" | "2y" => Some(Self::Bcrypt),
            "5" | "6" => Some(Self::ShaCrypt),
            _ => None,
        }
    }
}

/// The hash in `{SCHEME}hash`, if both fit and can be checked; without braces the prefix decides.
pub(crate) fn readable(stored: &str) -> Result<&str, String> {
    let (scheme, hash) = match stored
        .strip_prefix('{')
        .and_then(|rest| rest.split_once('}'))
    {
        Some((name, hash)) => (Scheme::of_name(name, hash), hash),
        None => (Scheme::of_prefix(stored), stored),
    };
    let sound = match scheme {
        None => false,
        Some(Scheme::Argon2) => is_sound_argon2(hash),
        Some(Scheme::Bcrypt) => hash
            .parse::<bcrypt::HashParts>()
            .is_ok_and(|parts| (4..=limits::BCRYPT_COST).contains(&parts.get_cost())),
        Some(Scheme::ShaCrypt) => is_sound_sha_crypt(hash),
    };
    if sound {
        return Ok(hash);
    }
    Err("the password is not {ARGON2ID}, {BLF-CRYPT}, {SHA512-CRYPT} or {SHA256-CRYPT} followed by such a hash, whole and of a bearable cost".to_owned())
}

fn is_sound_argon2(hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        let bearable = Params::try_from(&hash).is_ok_and(|params| {
            params.m_cost() <= limits::ARGON2_KIB && params.t_cost() <= limits::ARGON2_PASSES
        });
        bearable && hash.salt.is_some() && hash.hash.is_some()
    })
}

/// ```abnf
/// sha-crypt = "$" ( "5" / "6" ) "$" [ "rounds=" 1*DIGIT "$" ] salt "$" hash
/// ```
fn is_sound_sha_crypt(hash: &str) -> bool {
    let letters = if hash.starts_with("$5$") { 43 } else { 86 };
    let mut fields: Vec<&str> = hash.split('$').skip(2).collect();
    if let Some(rounds) = fields
        .first()
        .and_then(|field| field.strip_prefix("rounds="))
    {
        if !rounds
            .parse()
            .is_ok_and(|rounds: u32| (1000..=limits::SHA_CRYPT_ROUNDS).contains(&rounds))
        {
            return false;
        }
        fields.remove(0);
    }
    sha_crypt::PasswordHashRef::new(hash).is_ok()
        && matches!(fields[..], [_, hash] if hash.len() == letters)
}

/// Whether a password can be what it seems under every scheme: bcrypt reads its key as a C string
/// and repeats it, so that `a NUL a` would pass for `a`.
pub(crate) fn is_tryable(password: &Secret) -> bool {
    let octets = password.expose();
    !octets.is_empty() && octets.len() <= limits::PASSWORD_OCTETS && !octets.contains(&0)
}

/// Whether a password can be set: it must pass through one POP3 command.
pub(crate) fn check_new(password: &Secret) -> Result<(), DirectoryError> {
    let octets = password.expose();
    let why = if octets.is_empty() {
        "it is empty"
    } else if octets.len() > limits::NEW_PASSWORD_OCTETS {
        "it is longer than 248 octets, and would not fit into a POP3 command"
    } else if octets.iter().any(u8::is_ascii_control) {
        "it has a control character or a line end in it"
    } else {
        return Ok(());
    };
    Err(DirectoryError::BadPassword(why.to_owned()))
}

/// Whether the password has that hash. Takes its time: for threads that may. A hash that cannot be
/// read fits no password.
pub(crate) fn verify(password: &Secret, hash: &str) -> bool {
    let password = password.expose();
    match Scheme::of_prefix(hash) {
        Some(Scheme::Argon2) => PasswordHash::new(hash)
            .is_ok_and(|parsed| Argon2::default().verify_password(password, &parsed).is_ok()),
        Some(Scheme::Bcrypt) => bcrypt::verify(password, hash).unwrap_or(false),
        Some(Scheme::ShaCrypt) => ShaCrypt::SHA512.verify_password(password, hash).is_ok(),
        None => false,
    }
}

/// A new argon2id hash as a PHC string, with a salt of its own.
pub(crate) fn make(password: &Secret) -> Result<String, DirectoryError> {
    check_new(password)?;
    let failed = |what: &dyn std::fmt::Display| {
        DirectoryError::Io(format!("the password cannot be hashed: {what}"))
    };
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| failed(&error))?;
    let hash: PasswordHash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(password.expose())
        .map_err(|error| failed(&error))?;
    Ok(hash.to_string())
}

/// What an unknown user's password is checked against.
pub(crate) fn stand_in() -> Arc<str> {
    Arc::from(STAND_IN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_fit_their_password_only() {
        let hash = make(&"correct horse".into()).unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert!(verify(&"correct horse".into(), &hash));
        assert!(!verify(&"correct hors".into(), &hash));
        assert_ne!(hash, make(&"correct horse".into()).unwrap());
    }

    #[test]
    fn the_stand_in_is_a_sound_hash_that_nothing_fits() {
        assert!(readable(STAND_IN).is_ok());
        assert!(!verify(&"".into(), STAND_IN));
    }

    /// Made by other programs: `doveadm pw`, glibc's crypt(3), and the test vectors of crypt_blowfish.
    #[test]
    fn those_of_other_servers_are_read() {
        for (stored, password) in [
            (
                "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$d4jyE19pbnqVmj1gq+W08g$+uS81xYo/UOjUAMNkT8YbIbEtKbQQX5p0W2PXSST1Vw",
                "correct horse",
            ),
            (
                "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$r8cxEQxE6u+n1mMsKU+PUg$2sAAjiDvEZhQ+kFef4a0f4S9RVuBfxdk6nwicRhu6Gw",
                "correct horse",
            ),
            (
                "{CRYPT}$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
                "correct horse",
            ),
            (
                "{SHA512-CRYPT}$6$rounds=1000$saltsalt$4GMtaIz3E1AdDi2SmCokEW0ehi.HdxNDcL3fGE1XXuzvo6kbx7UOloZKONqEk5H3JrQA4NOfU8BmqFPrpGqwA1",
                "correct horse",
            ),
            (
                "{SHA512-CRYPT}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
                "Hello world!",
            ),
            (
                "{SHA256-CRYPT}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
                "Hello world!",
            ),
            (
                "{CRYPT}$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
                "Hello world!",
            ),
            (
                "{BLF-CRYPT}$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                "U*U",
            ),
            (
                "{BLF-CRYPT}$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e",
                "\u{e7}",
            ),
        ] {
            let Ok(hash) = readable(stored) else {
                panic!("{stored}")
            };
            let password = if password == "\u{e7}" {
                Secret::new(vec![0xff, 0xff, 0xa3])
            } else {
                Secret::from(password)
            };
            assert!(verify(&password, hash), "{stored}");
            assert!(!verify(&"something else".into(), hash), "{stored}");
        }
    }

    #[test]
    fn what_is_no_hash_or_another_scheme_s_is_refused() {
        for stored in [
            "",
            "{PLAIN}secret",
            "secret",
            "{SHA512-CRYPT}$5$a$b",
            "{ARGON2ID}$argon2id$x",
            "{BLF-CRYPT}$2y$05$short",
            "{CRYPT}$1$a$b",
            "{CRYPT}x$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
            "$5$saltstring$5B8v",
            "$5$rounds=999999999$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
            "$2b$31$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
            "$2x$05$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
            "$argon2id$v=19$m=65536,t=3,p=1$d4jyE19pbnqVmj1gq+W08g",
        ] {
            assert!(readable(stored).is_err(), "{stored}");
        }
    }
}
