//! A certificate of our own, for those who have none yet.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};

use super::TlsError;
use crate::host_name;
use crate::limits::SELF_SIGNED_DAYS;

const BOTH: &str = "self-signed.pem";
const PUBLIC: &str = "certificate.pem";

/// The file with key and certificate. They are one file so that they come into being together: no
/// crash and no second process can leave a key beside another's certificate.
pub(super) fn find_or_make(folder: &Path) -> Result<PathBuf, TlsError> {
    let failed = |error: io::Error| {
        TlsError::new(format!(
            "{}: cannot keep a self-signed certificate there: {error}",
            folder.display()
        ))
    };
    let file = folder.join(BOTH);
    if !file.try_exists().map_err(failed)? {
        make_folder(folder).map_err(failed)?;
        let (key, certificate) = make().map_err(|error| {
            TlsError::new(format!("cannot make a self-signed certificate: {error}"))
        })?;
        publish(&file, format!("{key}{certificate}").as_bytes(), 0o600).map_err(failed)?;
    }
    let public = folder.join(PUBLIC);
    if !public.try_exists().map_err(failed)? {
        let both = fs::read_to_string(&file).map_err(failed)?;
        if let Some(start) = both.find("-----BEGIN CERTIFICATE-----") {
            publish(&public, both.as_bytes().split_at(start).1, 0o644).map_err(failed)?;
        }
    }
    Ok(file)
}

fn make() -> Result<(String, String), rcgen::Error> {
    let mut names = vec!["localhost".to_owned()];
    names.extend(host_name().filter(|name| name != "localhost"));
    let common_name = names.last().cloned().unwrap_or_default();
    names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let day = Duration::from_secs(24 * 60 * 60);
    let now = SystemTime::now();
    // A client's clock may be behind ours.
    params.not_before = (now - day).into();
    params.not_after = (now + day * u32::try_from(SELF_SIGNED_DAYS).unwrap_or(u32::MAX)).into();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    Ok((key.serialize_pem(), certificate.pem()))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)
}

/// Brings a file into being whole and durable. When another process was faster, its file stays.
fn publish(file: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let draft = file.with_extension(format!("{}.tmp", std::process::id()));
    let written = write_new(&draft, bytes, mode).and_then(|()| fs::hard_link(&draft, file));
    let removed = fs::remove_file(&draft);
    match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    removed?;
    #[cfg(unix)]
    if let Some(folder) = file.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn write_new(file: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(mode);
    }
    #[cfg(not(unix))]
    let _unused = mode;
    let mut file = options.open(file)?;
    file.write_all(bytes)?;
    file.sync_all()
}
