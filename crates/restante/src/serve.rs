//! `restante serve`: every listener, every signal, one process.

mod backing;
mod bootstrap;
mod fetching;
mod following;
mod reading;
mod setup;

use std::process::ExitCode;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use restante_access::pop3::{Options as Pop3Options, Pop3};
use restante_directory::Directory;
use restante_intake::lmtp::{Lmtp, Options as LmtpOptions};
use restante_net::{Address, Certificates, Drain, Drainer, Handler, Limits, Listener, Tls};
use restante_store::MailStore;
use restante_store::embedded::EmbeddedStore;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use backing::Backing;

use crate::commands::{open_directory, open_store};
use crate::config::Config;
use crate::failure::Failure;
use crate::jobs::{Jobs, Next};
use crate::mailboxes::Policies;

/// How often it is told what the store found: damage, an index that had to catch up.
const REPORTS: Duration = Duration::from_secs(2);

/// When mailboxes are first looked after, and how often then.
const TEND_FIRST: Duration = Duration::from_secs(5);
const TEND: Duration = Duration::from_secs(60 * 60);

/// LMTP connections of a listener: MTAs keep few, and each may hold drafts.
const LMTP_CONNECTIONS: usize = 256;

/// Open files beyond the connections: packs, databases, listeners.
const OTHER_OPEN_FILES: u64 = 512;

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(config: &Config) -> Result<ExitCode, Failure> {
    let listeners = config.pop3_listen().len() + config.pop3_tls_listen().len();
    let asked = config
        .setup()
        .map_or(0, |setup| setup.listen.len() + setup.tls_listen.len());
    let others = OTHER_OPEN_FILES
        + (config.lmtp_listen().len() * LMTP_CONNECTIONS + asked * setup::CONNECTIONS) as u64;
    let wanted = (listeners * config.connections()) as u64 + others;
    let mut connections = config.connections();
    match restante_net::raise_open_files(wanted) {
        Ok(files) if files < wanted => {
            let each = files.saturating_sub(others) as usize / listeners.max(1);
            connections = each.clamp(1, config.connections());
            info!(
                files,
                connections, "the limit of open files bounds the connections of each listener"
            );
        }
        Ok(_) => {}
        Err(error) => warn!(%error, "cannot raise the limit of open files"),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::io("cannot start"))?;
    let code = runtime.block_on(serve(config, connections));
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

async fn serve(config: &Config, connections: usize) -> Result<ExitCode, Failure> {
    // Signals first: one that comes while the store recovers must not kill the process half-way.
    let mut signals = Signals::new()?;
    let store = open_store(config, true)?;
    let directory = Arc::new(open_directory(config)?);
    let certificates = open_certificates(config)?;
    let tls = Tls::new(Arc::clone(&certificates), b"pop3");
    let tls = Arc::new(tls.map_err(|error| Failure::Config(error.to_string()))?);
    let first = bootstrap::first_user(config, &directory, &*store).await?;
    if let Some(first) = &first {
        // At once: if a port is taken below, the next start finds this user and says nothing.
        bootstrap::announce(first, config)?;
    }
    let (drainer, drain) = Drainer::new();
    let mut listeners = Listeners::new(config, connections, drain);
    let policies = Arc::new(Policies::new(config, Arc::clone(&directory)));
    let recent = Arc::clone(&policies);
    let recent_ms: Arc<dyn Fn(&str) -> u64 + Send + Sync> =
        Arc::new(move |name| recent.recent_ms(name));
    let pop3 = |implicit_tls| Pop3Options {
        implicit_tls,
        tls: Some(Arc::clone(&tls)),
        danger_plaintext_login: config.danger_plaintext_login(),
        exclusive: config.exclusive(),
        recent_ms: Arc::clone(&recent_ms),
        ..Pop3Options::default()
    };
    let server = |implicit_tls| {
        let store: Arc<dyn MailStore> = store.clone();
        Arc::new(Pop3::new(store, Arc::clone(&directory), pop3(implicit_tls)))
    };
    listeners
        .start("POP3", config.pop3_listen(), server(false))
        .await?;
    listeners
        .start("POP3S", config.pop3_tls_listen(), server(true))
        .await?;
    let lmtp = LmtpOptions {
        max_message_octets: config.message_octets(),
        max_recipients: config.recipients(),
        ..LmtpOptions::default()
    };
    listeners.limits.connections = connections.min(LMTP_CONNECTIONS);
    let lmtp = Arc::new(Lmtp::new(store.clone(), Arc::clone(&directory), lmtp));
    listeners.start("LMTP", config.lmtp_listen(), lmtp).await?;
    if let Some(told) = config.setup() {
        listeners.limits.connections = connections.min(setup::CONNECTIONS);
        setup::start(&mut listeners, told, &directory, &certificates).await?;
    }
    listeners.limits.connections = connections.min(reading::CONNECTIONS);
    let shared: Arc<dyn MailStore> = store.clone();
    let backups_told = Arc::new(RwLock::new(config.backup().clone()));
    let readers = (&shared, &directory, &backups_told);
    let archive = reading::start(&mut listeners, config, readers, &certificates).await?;
    greet(config, &listeners, &certificates, first.is_some())?;
    if let Err(error) = directory.users() {
        warn!(%error, "users cannot be read; nobody can log in until they can");
    }
    if directory.is_empty()? && config.passwd_file().is_none() {
        warn!("there are no users yet, so nobody can log in: restante user add NAME");
    }
    let mut jobs = Jobs::new();
    let told = Arc::clone(&store);
    jobs.start(Duration::ZERO, move || {
        for report in told.take_reports() {
            error!("store: {report}");
        }
        std::future::ready(Next::In(REPORTS))
    });
    let mut backups = Jobs::new();
    let backing = Backing::start(config, &store, backups_told, &mut backups)?;
    let mail: Arc<dyn MailStore> = store.clone();
    following::start(config, &mail, archive, &mut jobs);
    let tended = (Arc::clone(&policies), mail);
    jobs.start(TEND_FIRST, move || {
        let (policies, store) = tended.clone();
        async move {
            policies.tend(&*store).await;
            Next::In(TEND)
        }
    });
    let mut fetches = Jobs::new();
    fetching::start(config, &store, &mut fetches)?;
    while matches!(signals.next().await, Asked::Reload) {
        reload(&certificates, &directory);
        match config.read_again() {
            Ok(read) => {
                backing.read_again(&read);
                fetches = fetch_anew(&read, &store, &policies, fetches).await;
            }
            Err(error) => {
                error!(%error, "cannot read the configuration again; the old one stays");
            }
        }
    }
    info!("stopping: sessions may finish what they do");
    drainer.start();
    tokio::join!(
        listeners.finish(&mut signals, &drainer),
        fetches.finish(fetching::GRACE),
        async {
            drop(backing);
            backups.finish(fetching::GRACE).await;
        },
    );
    jobs.finish(fetching::GRACE).await;
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Takes accounts and mailboxes as they were read again.
async fn fetch_anew(
    read: &Config,
    store: &Arc<EmbeddedStore>,
    policies: &Policies,
    fetches: Jobs,
) -> Jobs {
    policies.replace(read);
    policies.tend(&**store).await;
    fetches.finish(fetching::GRACE).await;
    let mut fetches = Jobs::new();
    match fetching::start(read, store, &mut fetches) {
        Ok(()) => info!(accounts = read.accounts().len(), "accounts are read again"),
        Err(error) => error!(%error, "cannot fetch on schedule"),
    }
    fetches
}

fn open_certificates(config: &Config) -> Result<Arc<Certificates>, Failure> {
    let certificates = match config.certificate() {
        Some((chain, key)) => Certificates::from_files(chain, key),
        None => Certificates::self_signed(&config.data().join("tls")),
    };
    certificates.map_err(|error| Failure::Config(error.to_string()))
}

fn reload(certificates: &Certificates, directory: &Directory) {
    match certificates.reload() {
        Ok(()) => info!("certificates are read again"),
        Err(error) => error!(%error, "cannot read the certificates again; the old ones stay"),
    }
    match directory.reload() {
        Ok(()) => info!("users are read again"),
        Err(error) => error!(%error, "cannot read the users again"),
    }
}

/// What a signal asks for.
enum Asked {
    Reload,
    Stop,
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::io("cannot listen for signals"));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }
}

/// What listens, and the tasks that serve it.
struct Listeners {
    limits: Limits,
    drain: Drain,
    tasks: JoinSet<()>,
    /// Name and place, as they are told.
    open: Vec<(&'static str, String)>,
}

impl Listeners {
    fn new(config: &Config, connections: usize, drain: Drain) -> Self {
        let limits = Limits {
            connections,
            per_address: config.connections_per_address(),
            ..Limits::default()
        };
        Self {
            limits,
            drain,
            tasks: JoinSet::new(),
            open: Vec::new(),
        }
    }

    async fn start<H: Handler>(
        &mut self,
        name: &'static str,
        addresses: &[Address],
        handler: Arc<H>,
    ) -> Result<(), Failure> {
        for address in addresses {
            let listener = Listener::bind(address).await.map_err(|error| {
                Failure::Io(format!(
                    "{name}: {error}; if another program is there, end it or choose another place with `listen` in the configuration"
                ))
            })?;
            self.open.push((name, listener.local_address().to_string()));
            let serve = restante_net::run(
                listener,
                self.limits.clone(),
                Arc::clone(&handler),
                self.drain.clone(),
            );
            self.tasks.spawn(serve);
        }
        Ok(())
    }

    fn place(&self, name: &str) -> Option<&str> {
        let mut places = self.open.iter().filter(|(of, _)| *of == name);
        places.next().map(|(_, place)| place.as_str())
    }

    /// Waits for the sessions; a second signal ends them now.
    async fn finish(mut self, signals: &mut Signals, drainer: &Drainer) {
        loop {
            tokio::select! {
                ended = self.tasks.join_next() => match ended {
                    None => break,
                    Some(Err(error)) => error!(%error, "a listener failed"),
                    Some(Ok(())) => {}
                },
                asked = signals.next() => if matches!(asked, Asked::Stop) {
                    drainer.force();
                },
            }
        }
    }
}

/// Says what is open and what to do next, in a few lines.
fn greet(
    config: &Config,
    listeners: &Listeners,
    certificates: &Certificates,
    first_time: bool,
) -> Result<(), Failure> {
    for (name, place) in &listeners.open {
        info!(listen = %place, "{name} is open");
    }
    if !first_time {
        return Ok(());
    }
    let none = "nowhere";
    let pop3s = listeners.place("POP3S").unwrap_or(none);
    let lines = [
        format!(
            "The mail is in {}; nothing listens beyond this machine.",
            config.data().display()
        ),
        format!("1. See the welcome message:  curl -k pop3s://{pop3s}/1 --user me:PASSWORD"),
        format!(
            "2. In a mail client: POP3, {pop3s}, SSL/TLS (certificate SHA-256 {}…)",
            certificates
                .fingerprint()
                .chars()
                .take(23)
                .collect::<String>()
        ),
        format!(
            "3. From a mail server: LMTP to {}; try: swaks --server {0} --protocol LMTP --to me@localhost",
            listeners.place("LMTP").unwrap_or(none)
        ),
        format!(
            "4. In a browser:            http://{}",
            listeners.place("reader").unwrap_or(none)
        ),
        "5. Mail that you have:      restante import PATH".to_owned(),
        "6. Domains, ports, users:   README.md, \"Configuration\"; stop with Ctrl-C".to_owned(),
    ];
    bootstrap::print(&format!("\n{}", lines.join("\n")))
}
