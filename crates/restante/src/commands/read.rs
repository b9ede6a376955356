//! `restante read`: the reader alone, for whoever sits here.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use restante_archive::Archive;
use restante_directory::Directory;
use restante_net::{Address, Drainer, Limits, Listener, run as serve};
use restante_store::MailStore;

use super::account::browse;
use super::{open_directory, open_existing_store, wait};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::Output;
use crate::reading;

/// How often it is looked whether mail has come.
const OFTEN: Duration = Duration::from_secs(2);

/// Runs until Ctrl-C.
pub(crate) fn run(no_open: bool, config: &Config, out: &Output) -> Result<ExitCode, Failure> {
    let store: Arc<dyn MailStore> = open_existing_store(config)?;
    let directory = Arc::new(open_directory(config)?);
    let archive = Arc::new(super::archive::open(config, Arc::clone(&store))?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::io("cannot start"))?;
    let code = runtime.block_on(read(no_open, config, out, &store, &directory, archive));
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

async fn read(
    no_open: bool,
    config: &Config,
    out: &Output,
    store: &Arc<dyn MailStore>,
    directory: &Arc<Directory>,
    archive: Arc<Archive>,
) -> Result<ExitCode, Failure> {
    let told = Arc::new(RwLock::new(config.backup().clone()));
    let reader = reading::reader(config, Arc::clone(&archive), store, directory, told)?;
    let listener = listen(config).await?;
    let place = format!("http://{}", listener.local_address());
    let address = match only_reader(&**store, directory)? {
        Some(mailbox) => {
            let token = reader.one_time_token(&mailbox);
            let token = token.map_err(Failure::io("no random octets"))?;
            format!(
                "{place}/enter?token={}",
                String::from_utf8_lossy(token.expose())
            )
        }
        None => place,
    };
    let value = serde_json::json!({ "address": address });
    out.people("Your mail is here until Ctrl-C:")?;
    out.line(&value, &address)?;
    // Kept until the end: browsers take their time.
    let _door = if no_open {
        None
    } else {
        Some(Door::open(&address)?)
    };
    let (drainer, drain) = Drainer::new();
    let serving = tokio::spawn(serve(
        listener,
        Limits::default(),
        reading::http(config, &reader, None),
        drain,
    ));
    let following = tokio::spawn(follow(archive));
    tokio::signal::ctrl_c()
        .await
        .map_err(Failure::io("cannot listen for signals"))?;
    following.abort();
    drainer.force();
    // However it ends, it has ended.
    let _ended = serving.await;
    Ok(ExitCode::SUCCESS)
}

/// A page for its owner only that leads to the address: the address holds a token, and a program's arguments are there for
/// everybody on the machine to see.
struct Door(tempfile::NamedTempFile);

impl Door {
    fn open(address: &str) -> Result<Self, Failure> {
        let failed = Failure::io("cannot write a page for the browser");
        let door = tempfile::Builder::new()
            .prefix("restante-")
            .suffix(".html")
            .tempfile()
            .and_then(|mut file| {
                let page = format!(
                    "<!doctype html><meta http-equiv=\"refresh\" content=\"0;url={address}\">"
                );
                file.write_all(page.as_bytes())?;
                Ok(Self(file))
            })
            .map_err(failed)?;
        browse(&format!("file://{}", door.0.path().display()));
        Ok(door)
    }
}

/// Where `[reader]` says; beside a `restante serve` that is there already, at any free port.
async fn listen(config: &Config) -> Result<Listener, Failure> {
    let any = Address::Tcp("127.0.0.1".to_owned(), 0);
    let place = config.reading().listen.first().unwrap_or(&any);
    let bound = match Listener::bind(place).await {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Listener::bind(&any).await,
        bound => bound,
    };
    bound.map_err(Failure::io("the reader"))
}

/// Whose mail it is, while that is no question: the only user's, or without users the only mailbox.
fn only_reader(store: &dyn MailStore, directory: &Directory) -> Result<Option<String>, Failure> {
    let users = directory.users()?;
    if users.len() > 1 {
        return Ok(None);
    }
    if let Some(user) = users.into_iter().next() {
        return Ok(Some(user.name));
    }
    let mailboxes = wait(store.mailboxes())?;
    Ok(match <[_; 1]>::try_from(mailboxes) {
        Ok([only]) => Some(only.name),
        Err(_) => None,
    })
}

/// Keeps the index up to the mail.
async fn follow(archive: Arc<Archive>) {
    loop {
        let archive = Arc::clone(&archive);
        let work = tokio::task::spawn_blocking(move || {
            archive.catch_up(&mut |_| ControlFlow::Continue(()))
        });
        if let Ok(Err(error)) = work.await {
            tracing::error!(%error, "the search index cannot follow; mail is not concerned");
        }
        tokio::time::sleep(OFTEN).await;
    }
}
