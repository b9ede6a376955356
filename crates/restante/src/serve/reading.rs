//! The reader inside `serve`.

use std::sync::Arc;

use restante_directory::Directory;
use restante_net::{Certificates, Tls};
use restante_store::MailStore;

use super::Listeners;
use crate::config::Config;
use crate::failure::Failure;
use crate::reading::{archive, http, reader};

/// Connections of a listener: a browser has half a dozen.
pub(super) const CONNECTIONS: usize = 256;

/// Starts the listeners of `[reader]`.
pub(super) async fn start(
    listeners: &mut Listeners,
    config: &Config,
    store: &Arc<dyn MailStore>,
    directory: &Arc<Directory>,
    certificates: &Arc<Certificates>,
) -> Result<(), Failure> {
    let reading = config.reading();
    if reading.listen.is_empty() && reading.tls_listen.is_empty() {
        return Ok(());
    }
    let reader = reader(config, archive(config, store)?, store, directory)?;
    listeners
        .start("reader", &reading.listen, http(config, &reader, None))
        .await?;
    let tls = Tls::new(Arc::clone(certificates), b"http/1.1")
        .map_err(|error| Failure::Config(error.to_string()))?;
    let over_tls = http(config, &reader, Some(Arc::new(tls)));
    listeners
        .start("reader, HTTPS", &reading.tls_listen, over_tls)
        .await
}
