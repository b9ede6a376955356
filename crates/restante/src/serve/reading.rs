//! The reader inside `serve`.

use std::sync::Arc;

use restante_archive::Archive;
use restante_directory::Directory;
use restante_net::{Certificates, Tls};
use restante_store::MailStore;

use super::Listeners;
use crate::backups::SharedBackup;
use crate::commands::archive;
use crate::config::Config;
use crate::failure::Failure;
use crate::reading::{http, reader};

/// Connections of a listener: a browser has half a dozen.
pub(super) const CONNECTIONS: usize = 256;

/// Starts the listeners of `[reader]`, if there are any, and gives the archive that they read.
pub(super) async fn start(
    listeners: &mut Listeners,
    config: &Config,
    (store, directory, told): (&Arc<dyn MailStore>, &Arc<Directory>, &SharedBackup),
    certificates: &Arc<Certificates>,
) -> Result<Option<Arc<Archive>>, Failure> {
    let reading = config.reading();
    if reading.listen.is_empty() && reading.tls_listen.is_empty() {
        return Ok(None);
    }
    let archive = Arc::new(archive::open(config, Arc::clone(store))?);
    let told = Arc::clone(told);
    let reader = reader(config, Arc::clone(&archive), store, directory, told)?;
    listeners
        .start("reader", &reading.listen, http(config, &reader, None))
        .await?;
    let tls = Tls::new(Arc::clone(certificates), b"http/1.1")
        .map_err(|error| Failure::Config(error.to_string()))?;
    let over_tls = http(config, &reader, Some(Arc::new(tls)));
    listeners
        .start("reader, HTTPS", &reading.tls_listen, over_tls)
        .await?;
    Ok(Some(archive))
}
