//! Encryption with age, and the way back. Without a key all of it passes things through.
//!
//! What is encrypted is padded first: eight octets of length, little-endian, the octets, and zeros up
//! to a size class, of which there are few (each at most 12 % above the last, as Padmé has it).

use restante_proto::Secret;

use crate::error::{BackupError, Result};

/// Who can read what is written.
#[derive(Clone, Default)]
pub(crate) enum Sealer {
    #[default]
    Plain,
    #[cfg(feature = "age")]
    Age(Vec<age::x25519::Recipient>),
}

/// What is needed to read.
#[derive(Clone, Default)]
pub(crate) enum Opener {
    #[default]
    Plain,
    /// It is encrypted, and there is no key.
    Closed,
    #[cfg(feature = "age")]
    Age(Vec<age::x25519::Identity>),
}

/// How a destination is to be encrypted, or was.
#[derive(Debug, Clone, Default)]
pub enum Key {
    /// Not at all.
    #[default]
    None,
    /// To age recipients (`age1…`): whoever has one of their identities can restore. The machine that
    /// backs up cannot.
    Recipients(Vec<String>),
    /// With age identities (`AGE-SECRET-KEY-1…`), one a line, as `age-keygen` writes them.
    Identities(Secret),
    /// With a passphrase.
    Passphrase(Secret),
}

impl Key {
    /// What the destination's own description says.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Recipients(_) | Self::Identities(_) => "recipients",
            Self::Passphrase(_) => "passphrase",
        }
    }
}

/// The size that so many octets are padded to: Padmé (Nikitin et al. 2019, §4): of the size's bits
/// those are kept that say its magnitude.
fn padded(octets: u64) -> u64 {
    if octets < 2 {
        return octets;
    }
    let e = u64::from(octets.ilog2());
    let s = u64::from(e.max(1).ilog2()) + 1;
    let mask = (1u64 << e.saturating_sub(s)) - 1;
    (octets + mask) & !mask
}

impl Sealer {
    /// What is stored for these octets.
    pub(crate) fn seal<'b>(&self, plain: &'b [u8]) -> Result<std::borrow::Cow<'b, [u8]>> {
        match self {
            Self::Plain => Ok(plain.into()),
            #[cfg(feature = "age")]
            Self::Age(recipients) => encrypted::seal(recipients, plain).map(Into::into),
        }
    }
}

impl Opener {
    /// The octets that were stored.
    pub(crate) fn open(&self, stored: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(stored.to_vec()),
            Self::Closed => Err(no_key()),
            #[cfg(feature = "age")]
            Self::Age(identities) => encrypted::open(identities, stored),
        }
    }

    /// As much as can be had of damaged octets: `octets` in all, zeros where there is nothing.
    pub(crate) fn open_damaged(&self, stored: &[u8], octets: u64) -> Result<Vec<u8>> {
        let mut plain = match self {
            Self::Plain => stored.to_vec(),
            Self::Closed => return Err(no_key()),
            #[cfg(feature = "age")]
            Self::Age(identities) => encrypted::open_damaged(identities, stored, octets),
        };
        plain.resize(octets as usize, 0);
        Ok(plain)
    }
}

fn no_key() -> BackupError {
    BackupError::Key(
        "this backup is encrypted: give --identity-file FILE, or --passphrase-file, --passphrase-env or --passphrase-command"
            .into(),
    )
}

#[cfg(feature = "age")]
pub(crate) mod encrypted {
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::str::FromStr;

    use age::x25519::{Identity, Recipient};
    use age::{Decryptor, Encryptor, scrypt};
    use restante_proto::Secret;

    use super::padded;
    use crate::error::{BackupError, Result};
    use crate::limits::{GENERATION_OCTETS, SCRYPT_LOG_N};

    /// age's chunk: what one damaged octet takes with it.
    const CHUNK: u64 = 64 * 1024;

    fn broken(error: impl std::fmt::Display) -> BackupError {
        BackupError::Damage(format!("an encrypted object cannot be read: {error}"))
    }

    pub(super) fn seal(recipients: &[Recipient], plain: &[u8]) -> Result<Vec<u8>> {
        let to = recipients.iter().map(|r| r as &dyn age::Recipient);
        let write = |encryptor: Encryptor| -> std::io::Result<Vec<u8>> {
            let mut out = Vec::with_capacity(plain.len() + plain.len() / 8 + 1024);
            let mut writer = encryptor.wrap_output(&mut out)?;
            let head = (plain.len() as u64).to_le_bytes();
            writer.write_all(&head)?;
            writer.write_all(plain)?;
            let octets = plain.len() as u64 + 8;
            let mut left = padded(octets) - octets;
            let zeros = [0; 4096];
            while left > 0 {
                let part = left.min(zeros.len() as u64);
                writer.write_all(&zeros[..part as usize])?;
                left -= part;
            }
            writer.finish()?;
            Ok(out)
        };
        let failed = |e: &dyn std::fmt::Display| BackupError::Key(format!("cannot encrypt: {e}"));
        let encryptor = Encryptor::with_recipients(to).map_err(|e| failed(&e))?;
        write(encryptor).map_err(|e| failed(&e))
    }

    fn reader<'b>(
        identities: &[Identity],
        stored: &'b [u8],
    ) -> Result<age::stream::StreamReader<std::io::Cursor<&'b [u8]>>> {
        let decryptor = Decryptor::new(std::io::Cursor::new(stored)).map_err(broken)?;
        let with = identities.iter().map(|i| i as &dyn age::Identity);
        decryptor.decrypt(with).map_err(|e| match e {
            age::DecryptError::NoMatchingKeys | age::DecryptError::KeyDecryptionFailed => {
                BackupError::Key("the key is not the one that this backup was made with".into())
            }
            other => broken(other),
        })
    }

    pub(super) fn open(identities: &[Identity], stored: &[u8]) -> Result<Vec<u8>> {
        let mut reader = reader(identities, stored)?;
        let mut head = [0; 8];
        reader.read_exact(&mut head).map_err(broken)?;
        let octets = u64::from_le_bytes(head);
        if octets > GENERATION_OCTETS || octets > stored.len() as u64 {
            return Err(broken("its length is impossible"));
        }
        let mut plain = vec![0; octets as usize];
        reader.read_exact(&mut plain).map_err(broken)?;
        let mut padding = [0; 4096];
        // To its end, which is authenticated.
        while reader.read(&mut padding).map_err(broken)? > 0 {}
        Ok(plain)
    }

    /// Chunk by chunk, each anew: what one lacks is zeros.
    pub(super) fn open_damaged(identities: &[Identity], stored: &[u8], octets: u64) -> Vec<u8> {
        let mut padded = vec![0; octets as usize + 8];
        let mut at = 0;
        while at < padded.len() as u64 {
            let part = CHUNK.min(padded.len() as u64 - at);
            let to = &mut padded[at as usize..(at + part) as usize];
            let read = reader(identities, stored)
                .ok()
                .and_then(|mut reader| {
                    if at > 0 {
                        reader.seek(SeekFrom::Start(at)).ok()?;
                    }
                    reader.read_exact(to).ok()
                })
                .is_some();
            if !read {
                to.fill(0);
            }
            at += part;
        }
        padded.split_off(8)
    }

    pub(crate) fn recipients(texts: &[String]) -> Result<Vec<Recipient>> {
        let read = |text: &String| {
            Recipient::from_str(text.trim())
                .map_err(|e| BackupError::Usage(format!("{text} is no age recipient: {e}")))
        };
        texts.iter().map(read).collect()
    }

    pub(crate) fn identities(text: &Secret) -> Result<Vec<Identity>> {
        let text = std::str::from_utf8(text.expose()).unwrap_or_default();
        let lines = text.lines().map(str::trim);
        let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let found: Vec<Identity> = keys
            .map(|line| {
                Identity::from_str(line).map_err(|_| {
                    BackupError::Key(
                        "the identity file holds something else than AGE-SECRET-KEY-1… lines"
                            .into(),
                    )
                })
            })
            .collect::<Result<_>>()?;
        if found.is_empty() {
            return Err(BackupError::Key("the identity file is empty".into()));
        }
        Ok(found)
    }

    fn phrase(passphrase: &Secret) -> Result<age::secrecy::SecretString> {
        let text = std::str::from_utf8(passphrase.expose());
        let text = text.map_err(|_| BackupError::Key("the passphrase is not UTF-8".into()))?;
        if text.is_empty() {
            return Err(BackupError::Key("the passphrase is empty".into()));
        }
        Ok(age::secrecy::SecretString::from(text.to_owned()))
    }

    /// A new identity, and the age file that holds it for who knows the passphrase.
    pub(crate) fn new_key(passphrase: &Secret) -> Result<(Identity, Vec<u8>)> {
        use age::secrecy::ExposeSecret;
        let identity = Identity::generate();
        let mut recipient = scrypt::Recipient::new(phrase(passphrase)?);
        recipient.set_work_factor(SCRYPT_LOG_N);
        let failed = |e: &dyn std::fmt::Display| BackupError::Key(format!("cannot encrypt: {e}"));
        let to = std::iter::once(&recipient as &dyn age::Recipient);
        let encryptor = Encryptor::with_recipients(to).map_err(|e| failed(&e))?;
        let mut out = Vec::new();
        let mut writer = encryptor.wrap_output(&mut out).map_err(|e| failed(&e))?;
        let text = identity.to_string();
        writer
            .write_all(format!("{}\n", text.expose_secret()).as_bytes())
            .and_then(|()| writer.finish().map(drop))
            .map_err(|e| failed(&e))?;
        Ok((identity, out))
    }

    /// The identity that the passphrase gives.
    pub(crate) fn open_key(passphrase: &Secret, stored: &[u8]) -> Result<Identity> {
        let decryptor = Decryptor::new(stored).map_err(broken)?;
        let mut identity = scrypt::Identity::new(phrase(passphrase)?);
        identity.set_max_work_factor(SCRYPT_LOG_N + 4);
        let wrong = |_| BackupError::Key("the passphrase is wrong, or key.age is damaged".into());
        let with = std::iter::once(&identity as &dyn age::Identity);
        let mut reader = decryptor.decrypt(with).map_err(wrong)?;
        let mut text = String::new();
        let read = (&mut reader).take(1024).read_to_string(&mut text);
        read.map_err(broken)?;
        Identity::from_str(text.trim())
            .map_err(|_| BackupError::Key("key.age holds no age identity".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_become_few_and_grow_little() {
        let mut classes = std::collections::BTreeSet::new();
        for octets in 1..200_000u64 {
            let to = padded(octets);
            assert!(to >= octets && (to - octets) * 8 <= octets, "{octets} {to}");
            let _ = classes.insert(to);
        }
        assert!(classes.len() < 350, "{}", classes.len());
    }

    #[cfg(feature = "age")]
    #[test]
    fn a_damaged_octet_takes_its_chunk_and_no_more() {
        let identity = age::x25519::Identity::generate();
        let sealer = Sealer::Age(vec![identity.to_public()]);
        let opener = Opener::Age(vec![identity]);
        let plain: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        let mut stored = sealer.seal(&plain).unwrap().into_owned();
        assert_eq!(opener.open(&stored).unwrap(), plain);
        // In the second chunk: a header of some 200 octets and a nonce come first.
        stored[100_000] ^= 1;
        assert!(opener.open(&stored).is_err());
        let rescued = opener.open_damaged(&stored, plain.len() as u64).unwrap();
        let chunk = 64 * 1024 - 8;
        assert_eq!(rescued[..chunk], plain[..chunk]);
        assert_eq!(rescued[chunk + 65_536..], plain[chunk + 65_536..]);
        assert!(rescued[chunk..chunk + 65_536].iter().all(|&b| b == 0));
    }
}
