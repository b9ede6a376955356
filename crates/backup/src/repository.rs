//! A destination with what is known of it: its description, its key, its generations.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::destination::{self, Destination, UNFINISHED};
use crate::error::{BackupError, Result};
use crate::lease::{Lease, Purpose};
use crate::limits::{GENERATION_OCTETS, OBJECT_OCTETS};
use crate::manifest::{FORMAT, Manifest, Piece, generation_path, is_hex, object_path};
use crate::seal::{Key, Opener, Sealer};

const DESCRIPTION: &str = "restante-backup.json";
#[cfg(feature = "age")]
const KEY: &str = "key.age";

/// Where backups go, and how they are encrypted.
#[derive(Debug, Clone)]
pub struct Target {
    /// A folder, or `s3://bucket/prefix`.
    pub place: String,
    /// Whether and how to encrypt, or what to decrypt with.
    pub key: Key,
}

/// The destination's own description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Description {
    #[serde(rename = "restante-backup")]
    format: u32,
    /// Random: a destination that was made anew is another one.
    id: String,
    encryption: String,
}

/// A generation, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation {
    /// Its place among the others: each comes after all that were there before it.
    pub order: u64,
    /// When it was begun, in milliseconds since 1970, by a clock that may have been wrong.
    pub at_ms: u64,
    /// Its name.
    pub id: String,
}

/// A destination, open.
pub(crate) struct Repository {
    /// The place's canonical name.
    pub(crate) place: String,
    pub(crate) id: String,
    pub(crate) encryption: String,
    pub(crate) destination: Arc<dyn Destination>,
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
}

pub(crate) fn random_hex() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system has random octets");
    format!("{:016x}", u64::from_be_bytes(bytes))
}

/// A generation's name. They sort by their order, not by the clock, which may be set back.
pub(crate) fn generation_id(order: u64, at_ms: u64) -> String {
    let at = Timestamp::from_millisecond(at_ms as i64).unwrap_or(Timestamp::MAX);
    let at = at.to_zoned(TimeZone::UTC);
    format!(
        "{order:08}-{}-{}",
        at.strftime("%Y%m%dT%H%M%S.%3fZ"),
        &random_hex()[..8]
    )
}

/// The order in a generation's name.
pub(crate) fn order_of(id: &str) -> Option<u64> {
    id.split('-').next()?.parse().ok()
}

/// What a generation's name tells; `None` for another file's.
fn named(id: &str) -> Option<Generation> {
    let (rest, random) = id.rsplit_once('-')?;
    let (_, text) = rest.split_once('-')?;
    if !is_hex(random, 8) {
        return None;
    }
    let at = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S%.fZ", text).ok()?;
    let at = at.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(Generation {
        order: order_of(id)?,
        at_ms: u64::try_from(at.as_millisecond()).ok()?,
        id: id.to_owned(),
    })
}

/// What [`random_hex`] made.
pub(crate) fn is_random(name: &str) -> bool {
    is_hex(name, 16)
}

/// Whose key opens and whose seals what is there.
fn keys(
    destination: &dyn Destination,
    key: &Key,
    encryption: &str,
    made_now: bool,
) -> Result<(Sealer, Opener)> {
    let place_is = |what: &str| {
        Err(BackupError::Key(format!(
            "this destination {what}: take another folder or prefix, or the key that goes with it"
        )))
    };
    let closed = Opener::Closed;
    match (key, encryption) {
        (Key::None, "none") => Ok((Sealer::Plain, Opener::Plain)),
        // Enough to look at what is stored; not to write, nor to restore.
        (Key::None, "recipients" | "passphrase") => Ok((Sealer::Plain, closed)),
        (_, "none") => place_is("is not encrypted, though a key is given"),
        #[cfg(feature = "age")]
        (Key::Recipients(to), "recipients") => {
            let to = crate::seal::encrypted::recipients(to)?;
            Ok((Sealer::Age(to), closed))
        }
        #[cfg(feature = "age")]
        (Key::Identities(text), "recipients") => {
            let with = crate::seal::encrypted::identities(text)?;
            let to = with.iter().map(age::x25519::Identity::to_public).collect();
            Ok((Sealer::Age(to), Opener::Age(with)))
        }
        #[cfg(feature = "age")]
        (Key::Passphrase(phrase), "passphrase") => {
            let identity = if made_now {
                let (identity, stored) = crate::seal::encrypted::new_key(phrase)?;
                destination.put(KEY, &stored)?;
                destination.sync()?;
                identity
            } else {
                let stored = destination.get(KEY, 1024 * 1024)?.ok_or_else(|| {
                    BackupError::Damage(
                        "key.age is missing at the destination: without it nothing there can be read".into(),
                    )
                })?;
                crate::seal::encrypted::open_key(phrase, &stored)?
            };
            Ok((
                Sealer::Age(vec![identity.to_public()]),
                Opener::Age(vec![identity]),
            ))
        }
        #[cfg(not(feature = "age"))]
        _ => {
            let _ = (destination, made_now);
            Err(BackupError::Usage(
                "this program was built without encryption (feature `age`)".into(),
            ))
        }
        #[cfg(feature = "age")]
        _ => place_is(&format!("is encrypted with {encryption}")),
    }
}

impl Repository {
    /// Opens a destination to read from it.
    pub(crate) fn open(target: &Target) -> Result<Self> {
        let place = destination::canonical(&target.place)?;
        let destination = destination::open(&place)?;
        let Some(description) = describe(&*destination)? else {
            return Err(BackupError::NotThere(format!(
                "there is no backup at {place}: is the disk mounted, the name right?"
            )));
        };
        let keys = keys(&*destination, &target.key, &description.encryption, false)?;
        Ok(Self::new(place, destination, description, keys))
    }

    fn new(
        place: String,
        destination: Arc<dyn Destination>,
        description: Description,
        (sealer, opener): (Sealer, Opener),
    ) -> Self {
        Self {
            place,
            id: description.id,
            encryption: description.encryption,
            destination,
            sealer,
            opener,
        }
    }

    /// Opens a destination to write to it, and makes it if it is not there, unless `known` says that
    /// it has been: then its disk is not mounted.
    pub(crate) fn open_or_make(target: &Target, known: Option<(&str, &str)>) -> Result<Self> {
        let place = destination::canonical(&target.place)?;
        let destination = destination::open(&place)?;
        let mut found = describe(&*destination)?;
        // Two programs that find nothing must not both make a key.
        let mut alone = None;
        if found.is_none() && known.is_none() {
            nobodys(&place, &*destination)?;
            let busy = || BackupError::Busy("another program begins there too: try again".into());
            alone = Some(Lease::take(&destination, Purpose::Pruning)?.ok_or_else(busy)?);
            found = describe(&*destination)?;
        }
        let made_now = found.is_none();
        let description = match (found, known) {
            (Some(found), Some((id, encryption))) => {
                if found.id == id && found.encryption != encryption {
                    return Err(BackupError::Key(format!(
                        "{place} was encrypted with {encryption} and says {} now: somebody changed it; take another place",
                        found.encryption
                    )));
                }
                found
            }
            (Some(found), None) => found,
            (None, Some(_)) => {
                return Err(BackupError::NotThere(format!(
                    "the backups at {place} are gone: is the disk mounted? If they are gone for good, `restante backup --anew {place}` begins again"
                )));
            }
            (None, None) => Description {
                format: FORMAT,
                id: random_hex(),
                encryption: target.key.kind().to_owned(),
            },
        };
        let key = &target.key;
        let keys = keys(&*destination, key, &description.encryption, made_now)?;
        if matches!(keys, (Sealer::Plain, Opener::Closed)) {
            return Err(BackupError::Key(format!(
                "{place} is encrypted with {}: give --recipient, or the passphrase",
                description.encryption
            )));
        }
        if made_now {
            let text = serde_json::to_vec(&description)
                .map_err(|e| BackupError::Io(format!("a description cannot be written: {e}")))?;
            destination.put(DESCRIPTION, &text)?;
            destination.sync()?;
        }
        drop(alone);
        Ok(Self::new(place, destination, description, keys))
    }

    /// All generations, oldest first.
    pub(crate) fn generations(&self) -> Result<Vec<Generation>> {
        let items = self.destination.list("generations/")?;
        let named = items
            .iter()
            .filter_map(|item| named(item.name.strip_prefix("generations/")?));
        let mut all: Vec<_> = named.collect();
        all.sort();
        Ok(all)
    }

    /// The last generation that was begun by `at_ms`.
    pub(crate) fn newest(&self, at_ms: Option<u64>) -> Result<String> {
        let all = self.generations()?;
        let until = at_ms.unwrap_or(u64::MAX);
        let found = all.iter().rev().find(|one| one.at_ms <= until);
        found.map(|one| one.id.clone()).ok_or_else(|| {
            let Some(oldest) = all.first() else {
                return self.has_nothing();
            };
            BackupError::NotThere(format!(
                "the oldest generation at {} is younger: {}",
                self.place, oldest.id
            ))
        })
    }

    /// Why there is nothing to restore or to check.
    pub(crate) fn has_nothing(&self) -> BackupError {
        BackupError::NotThere(format!("there is no generation at {} yet", self.place))
    }

    /// Whether what is here is encrypted and no key was given.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.opener, Opener::Closed)
    }

    pub(crate) fn generation_bytes(&self, id: &str) -> Result<Vec<u8>> {
        let path = generation_path(id);
        let bytes = self.destination.get(&path, GENERATION_OCTETS)?;
        bytes.ok_or_else(|| BackupError::NotThere(format!("there is no generation {id}")))
    }

    pub(crate) fn manifest(&self, id: &str) -> Result<Manifest> {
        Manifest::decode(id, &self.generation_bytes(id)?, &self.opener)
    }

    /// What is stored under a name, when it is what the name says. `None`: damaged or not there.
    pub(crate) fn stored(&self, object: &str) -> Result<Option<Vec<u8>>> {
        match self.destination.get(&object_path(object), OBJECT_OCTETS) {
            Ok(bytes) => Ok(bytes.filter(|bytes| blake3::hash(bytes).to_hex().as_str() == object)),
            Err(BackupError::Damage(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// How many octets are stored under a name, when they are what the name says. `None`: damaged or not
    /// there.
    pub(crate) fn stored_octets(&self, object: &str) -> Result<Option<u64>> {
        match self.destination.digest(&object_path(object), OBJECT_OCTETS) {
            Ok(found) => Ok(found
                .filter(|(_, digest)| digest.to_hex().as_str() == object)
                .map(|(octets, _)| octets)),
            Err(BackupError::Damage(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// As `stored_octets`, and they are what `piece` says of them, where one is known.
    pub(crate) fn checked_octets(
        &self,
        object: &str,
        piece: Option<&Piece>,
    ) -> Result<Option<u64>> {
        let Some(piece) = piece else {
            return self.stored_octets(object);
        };
        if matches!(self.opener, Opener::Plain) {
            let right = |octets: &u64| piece.digest == object && piece.octets == *octets;
            return Ok(self.stored_octets(object)?.filter(right));
        }
        let Some(stored) = self.stored(object)? else {
            return Ok(None);
        };
        let plain = self.plain(piece, &stored)?;
        Ok(plain.map(|_| stored.len() as u64))
    }

    /// The octets of a file's piece; `None`: damaged.
    pub(crate) fn piece(&self, piece: &Piece) -> Result<Option<Vec<u8>>> {
        match self.stored(&piece.object)? {
            Some(stored) => self.plain(piece, &stored),
            None => Ok(None),
        }
    }

    /// The octets of a file's piece, from what is stored; `None`: they are not what the piece says.
    pub(crate) fn plain(&self, piece: &Piece, stored: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.opener.open(stored) {
            Ok(plain) => {
                let good = plain.len() as u64 == piece.octets
                    && blake3::hash(&plain).to_hex().as_str() == piece.digest;
                Ok(good.then_some(plain))
            }
            Err(BackupError::Damage(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// As much as can be had of a damaged piece, zeros elsewhere.
    pub(crate) fn rescue(&self, piece: &Piece) -> Result<Vec<u8>> {
        let stored = match self
            .destination
            .get(&object_path(&piece.object), OBJECT_OCTETS)
        {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(BackupError::Damage(_)) => Vec::new(),
            Err(other) => return Err(other),
        };
        self.opener.open_damaged(&stored, piece.octets)
    }
}

fn describe(destination: &dyn Destination) -> Result<Option<Description>> {
    let Some(text) = destination.get(DESCRIPTION, 64 * 1024)? else {
        return Ok(None);
    };
    let description: Description = serde_json::from_slice(&text)
        .map_err(|e| BackupError::Damage(format!("{DESCRIPTION} is damaged: {e}")))?;
    if description.format > FORMAT {
        return Err(BackupError::Usage(format!(
            "the destination is of format {}, this program knows up to {FORMAT}: use a newer program",
            description.format
        )));
    }
    Ok(Some(description))
}

/// Where a backup begins nothing may lie under the names that it uses: neither another program's files,
/// nor backups whose description is lost, of which a new key would take the old one's place.
fn nobodys(place: &str, destination: &dyn Destination) -> Result<()> {
    for folder in ["objects/", "generations/", UNFINISHED] {
        // What a beginning that was killed leaves.
        let left = |name: &str| {
            let unfinished = name.strip_prefix(UNFINISHED);
            unfinished.is_some_and(is_random)
        };
        let there = destination.list(folder)?;
        if let Some(other) = there.iter().find(|item| !left(&item.name)) {
            return Err(BackupError::Usage(format!(
                "{place} has no {DESCRIPTION}, and yet {}: take another folder or prefix, or bring the file back if these are backups",
                other.name
            )));
        }
    }
    Ok(())
}

/// The generations at a destination, oldest first. Needs no key.
///
/// # Errors
/// [`BackupError::NotThere`] when there is no backup.
pub fn generations(target: &Target) -> Result<Vec<Generation>> {
    Repository::open(target)?.generations()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generations_name_tells_its_place_and_its_time() {
        let id = generation_id(7, 1_795_392_061_234);
        assert!(id.starts_with("00000007-20261123T000101.234Z-"), "{id}");
        let told = named(&id).unwrap();
        assert_eq!((told.order, told.at_ms), (7, 1_795_392_061_234));
        for other in [
            "x",
            "7-20261123T000101.234Z",
            "7-20261123T000101.234Z-0123abcd/x",
        ] {
            assert_eq!(named(other), None, "{other}");
        }
        // By its place, not by the clock nor by its letters.
        let later = named(&generation_id(100_000_000, 5)).unwrap();
        assert!(told < later);
    }
}
