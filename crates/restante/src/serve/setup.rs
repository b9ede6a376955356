//! What mail programs ask before they have an account, over HTTP and HTTPS.

use std::sync::Arc;

use restante_access::http::{Hosts, Http, Options};
use restante_access::limits::SETUP_BODY_OCTETS;
use restante_access::setup::Setup;
use restante_directory::Directory;
use restante_net::{Certificates, Tls};

use super::Listeners;
use crate::config;
use crate::failure::Failure;

/// Connections of a listener: a mail program asks once and goes.
pub(super) const CONNECTIONS: usize = 256;

/// Starts the listeners of `[setup]`.
pub(super) async fn start(
    listeners: &mut Listeners,
    setup: &config::Setup,
    directory: &Arc<Directory>,
    certificates: &Arc<Certificates>,
) -> Result<(), Failure> {
    let settings = &setup.settings;
    let router = Arc::new(Setup::new(settings.clone(), Arc::clone(directory))).router();
    let hosts = Hosts::new(settings.hosts());
    let server = |tls| {
        let options = Options {
            tls,
            hosts: hosts.clone(),
            body_octets: SETUP_BODY_OCTETS,
            ..Options::default()
        };
        Arc::new(Http::new(router.clone(), options))
    };
    listeners
        .start("setup, HTTP", &setup.listen, server(None))
        .await?;
    let tls = Tls::new(Arc::clone(certificates), b"http/1.1")
        .map_err(|error| Failure::Config(error.to_string()))?;
    listeners
        .start(
            "setup, HTTPS",
            &setup.tls_listen,
            server(Some(Arc::new(tls))),
        )
        .await
}
