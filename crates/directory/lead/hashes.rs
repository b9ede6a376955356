//! Password hashes: ours are argon2id; those of other servers are read.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use restante_proto::Secret;
use sha_crypt::ShaCrypt;

use crate::DirectoryError;

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
        match hash.split('$').nth(1)? {
            "argon2id" | "argon2i" => Some(Self::Argon2),
            "2a" | "2b" | "2x" | "2y" => Some(Self::Bcrypt),
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
        Some(Scheme::Argon2) => PasswordHash::new(hash).is_ok(),
        Some(Scheme::Bcrypt) => hash.parse::<bcrypt::HashParts>().is_ok(),
        Some(Scheme::ShaCrypt) => hash.matches('$').count() >= 3,
    };
    if sound {
        return Ok(hash);
    }
    Err("the password is not {ARGON2ID}, {BLF-CRYPT}, {SHA512-CRYPT} or {SHA256-CRYPT} followed by such a hash".to_owned())
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

    /// Made by other programs: glibc's crypt(3), and the test vectors of crypt_blowfish.
    #[test]
    fn those_of_other_servers_are_read() {
        for (stored, password) in [
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
        ] {
            assert!(readable(stored).is_err(), "{stored}");
        }
    }
}
