//! Where backups go: a folder, or a bucket that speaks S3.
//!
//! Objects are small (see [`crate::limits::OBJECT_OCTETS`]), written once under a name that their
//! octets give, and never changed. What has to survive a crash together is one object.

#[cfg(feature = "s3")]
mod aws;
mod folder;
#[cfg(feature = "s3")]
mod s3;

use std::sync::Arc;

use crate::error::{BackupError, Result};

/// Where a folder's files are before they are whole.
pub(crate) const UNFINISHED: &str = "tmp/";

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its name, from the destination's root.
    pub(crate) name: String,
    pub(crate) octets: u64,
    /// By the destination's own clock, in milliseconds since 1970.
    pub(crate) modified_ms: u64,
}

/// A place that keeps objects.
pub(crate) trait Destination: Send + Sync {
    /// Writes an object, replacing one of that name as a whole. Durable after `sync`.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()>;
    /// Makes an object that is there durable by the next `sync`: who put it may have ended before its own.
    fn keep(&self, name: &str) -> Result<()>;
    /// Makes all that was put or kept durable.
    fn sync(&self) -> Result<()>;
    /// Reads an object of at most so many octets; `None` when there is none.
    fn get(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>>;
    /// Reads an object as [`Destination::get`] does, and says its length in octets and its digest only.
    fn digest(&self, name: &str, most: u64) -> Result<Option<(u64, blake3::Hash)>> {
        let got = self.get(name, most)?;
        Ok(got.map(|bytes| (bytes.len() as u64, blake3::hash(&bytes))))
    }
    /// The objects whose names begin so, which ends in a slash, in no order.
    fn list(&self, prefix: &str) -> Result<Vec<Item>>;
    /// Removes an object; one that is not there is no error.
    fn delete(&self, name: &str) -> Result<()>;
    /// Removes what a crash has left half written long ago.
    fn tidy(&self) -> Result<()>;
}

/// What a destination is called, here and in `state.db`: the same for one place however it is typed, with
/// slashes at the end, two in a row, `/./`.
///
/// # Errors
/// [`BackupError::Usage`] for what is no destination.
pub fn canonical(place: &str) -> Result<String> {
    if let Some(rest) = place.strip_prefix("s3://") {
        let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
        return Ok(format!("s3://{}", parts.join("/")));
    }
    if let Some((scheme, _)) = place.split_once("://") {
        return Err(BackupError::Usage(format!(
            "{scheme}: is no kind of destination: give a folder, or s3://bucket/prefix"
        )));
    }
    let path = std::path::absolute(place)
        .map_err(crate::error::io(format_args!("cannot make out {place}")))?;
    // Two slashes at the beginning are kept by POSIX, and mean one.
    path.to_str()
        .map(|text| format!("/{}", text.trim_matches('/')))
        .ok_or_else(|| BackupError::Usage("a destination's name is UTF-8".into()))
}

/// Opens a place by its canonical name; connects to nothing yet, and makes nothing.
pub(crate) fn open(place: &str) -> Result<Arc<dyn Destination>> {
    if place.starts_with("s3://") {
        #[cfg(feature = "s3")]
        return Ok(Arc::new(s3::S3::open(place)?));
        #[cfg(not(feature = "s3"))]
        return Err(BackupError::Usage(
            "this program was built without S3 (feature `s3`)".into(),
        ));
    }
    Ok(Arc::new(folder::Folder::new(place.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_has_one_name() {
        for typed in ["/mnt/disk", "/mnt//disk/", "/mnt/./disk//", "//mnt/disk"] {
            assert_eq!(canonical(typed).unwrap(), "/mnt/disk", "{typed}");
        }
        for typed in ["s3://mail/a/b", "s3://mail//a/b/", "s3:///mail/a///b"] {
            assert_eq!(canonical(typed).unwrap(), "s3://mail/a/b", "{typed}");
        }
        let here = std::env::current_dir().unwrap();
        let here = here.to_str().unwrap();
        assert_eq!(canonical("disk/").unwrap(), format!("{here}/disk"));
        assert_eq!(canonical("/").unwrap(), "/");
        assert!(matches!(canonical("ftp://x"), Err(BackupError::Usage(_))));
    }
}
