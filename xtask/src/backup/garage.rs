//! Garage: an engine that speaks S3, one node, all of it synced.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::Place;
use crate::process::{Running, free_port, kill_group, run};
use crate::{Fallible, fail, scratch};

/// What we test against.
const VERSION: &str = "^2.5";
const BUCKET: &str = "mail";
const REGION: &str = "garage";

/// Where cargo keeps what it installs: the same for all checkouts, as the build takes long.
fn root() -> Fallible<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let home = home.ok_or("neither CARGO_HOME nor HOME is set")?;
    Ok(home.join("restante-peers"))
}

fn program() -> Fallible<PathBuf> {
    Ok(root()?.join("bin/garage"))
}

/// The program while it is built, once: unoptimised and without what a debugger wants, which takes half
/// the time and is fast enough for one client. It takes nine minutes of a processor, of what others leave.
pub(crate) struct Building(Option<Child>);

/// Begins to build it if it is not there.
pub(crate) fn build() -> Fallible<Building> {
    if program()?.exists() {
        return Ok(Building(None));
    }
    println!("setup: building garage {VERSION} (once; some minutes)");
    let mut command = Command::new("nice");
    command
        .args(["-n", "19", "cargo"])
        .args(["install", "--locked", "--debug", "--quiet"])
        .args(["garage", "--version", VERSION])
        .args(["--no-default-features", "--features", "bundled-libs,lmdb"])
        .arg("--root")
        .arg(root()?)
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        // In a folder that goes with the build.
        .env_remove("CARGO_TARGET_DIR")
        .process_group(0);
    Ok(Building(Some(command.spawn()?)))
}

impl Building {
    /// Waits until it is built.
    pub(crate) fn finish(mut self) -> Fallible<()> {
        let Some(mut child) = self.0.take() else {
            return Ok(());
        };
        if child.wait()?.success() {
            return Ok(());
        }
        fail("garage could not be built; see above")
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ended = kill_group(child);
        }
    }
}

/// A node that runs, with one bucket and one key.
pub(crate) struct Garage {
    running: Running,
    folder: tempfile::TempDir,
    program: PathBuf,
    /// Where S3 listens on loopback.
    pub(crate) port: u16,
    key: (String, String),
}

impl Garage {
    /// Starts a node in a folder of its own.
    pub(crate) fn start() -> Fallible<Self> {
        build()?.finish()?;
        let program = program()?;
        let folder = scratch("garage")?;
        let (port, rpc) = (free_port()?, free_port()?);
        let at = folder.path().display();
        let secret = blake3::hash(format!("{at}").as_bytes()).to_hex();
        fs::write(
            folder.path().join("garage.toml"),
            format!(
                "metadata_dir = \"{at}/meta\"\ndata_dir = \"{at}/data\"\ndb_engine = \"lmdb\"\n\
                 metadata_fsync = true\ndata_fsync = true\nreplication_factor = 1\n\
                 rpc_bind_addr = \"127.0.0.1:{rpc}\"\nrpc_public_addr = \"127.0.0.1:{rpc}\"\n\
                 rpc_secret = \"{secret}\"\n\
                 [s3_api]\ns3_region = \"{REGION}\"\napi_bind_addr = \"127.0.0.1:{port}\"\n"
            ),
        )?;
        let mut command = Command::new(&program);
        command
            .arg("-c")
            .arg(folder.path().join("garage.toml"))
            .arg("server");
        command.env("RUST_LOG", "garage=info");
        let log = folder.path().join("garage.log");
        let mut running = Running::start(&mut command, "garage", &log)?;
        running.wait_port(port, Duration::from_secs(30))?;
        let mut garage = Self {
            running,
            folder,
            program,
            port,
            key: (String::new(), String::new()),
        };
        garage.lay_out()?;
        Ok(garage)
    }

    fn tell(&self, words: &[&str]) -> Fallible<String> {
        let mut command = Command::new(&self.program);
        command
            .arg("-c")
            .arg(self.folder.path().join("garage.toml"));
        command.args(words).env("RUST_LOG", "garage=warn");
        let said = run(&mut command, b"", Duration::from_secs(30))?;
        let said = said.ok(&format!("garage {}", words.join(" ")))?;
        Ok(String::from_utf8(said.out)?)
    }

    fn lay_out(&mut self) -> Fallible<()> {
        let node = self.tell(&["node", "id", "-q"])?;
        let node = node.split('@').next().unwrap_or_default().trim();
        self.tell(&["layout", "assign", "-z", "here", "-c", "10G", node])?;
        self.tell(&["layout", "apply", "--version", "1"])?;
        let since = Instant::now();
        while self.tell(&["bucket", "create", BUCKET]).is_err() {
            if since.elapsed() > Duration::from_secs(20) {
                return fail("garage makes no bucket");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let made = self.tell(&["key", "create", "restante"])?;
        let field = |name: &str| {
            let line = made
                .lines()
                .find(|line| line.trim_start().starts_with(name));
            let word = line.and_then(|line| line.split_whitespace().last());
            word.map(str::to_owned)
                .ok_or(format!("no {name} in {made}"))
        };
        self.key = (field("Key ID")?, field("Secret key")?);
        let id = self.key.0.clone();
        self.tell(&[
            "bucket", "allow", "--read", "--write", "--owner", BUCKET, "--key", &id,
        ])?;
        Ok(())
    }

    /// A prefix in the bucket, through another port if one is given.
    pub(crate) fn place(&self, prefix: &str, port: Option<u16>) -> Place {
        let (id, secret) = self.key.clone();
        let endpoint = format!("http://127.0.0.1:{}", port.unwrap_or(self.port));
        Place {
            name: format!("s3://{BUCKET}/{prefix}"),
            environment: vec![
                ("AWS_ACCESS_KEY_ID", id),
                ("AWS_SECRET_ACCESS_KEY", secret),
                ("AWS_REGION", REGION.to_owned()),
                ("AWS_ENDPOINT_URL", endpoint),
            ],
        }
    }

    /// Ends the node.
    pub(crate) fn stop(self) -> Fallible<()> {
        let status = self.running.stop(Duration::from_secs(20))?;
        drop(self.folder);
        if status.success() {
            return Ok(());
        }
        fail(format!("garage ended with {status}"))
    }
}
