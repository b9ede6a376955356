//! `restante serve` on a port of its own.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::home::Home;

/// A server that is ended when the test is.
pub(crate) struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _waited = self.0.wait();
    }
}

impl Server {
    /// SIGTERM; it has to end well. Gives its log.
    pub(crate) fn stop(mut self) -> String {
        let killed = Command::new("kill")
            .arg(self.0.id().to_string())
            .status()
            .unwrap();
        assert!(killed.success());
        assert!(self.0.wait().unwrap().success());
        let mut log = String::new();
        let mut pipe = self.0.stderr.take().unwrap();
        pipe.read_to_string(&mut log).unwrap();
        log
    }
}

/// Starts `serve` on ports that the system chooses; gives where it listens. `more` is
/// added to its configuration.
pub(crate) fn serve(home: &Home, config: &Path, more: &str) -> (Server, u16) {
    let port = free_port();
    fs::write(
        config,
        format!(
            "[pop3]\nlisten = [\"127.0.0.1:{port}\"]\ntls_listen = []\n[lmtp]\nlisten = []\n[reader]\nlisten = []\n{more}"
        ),
    )
    .unwrap();
    (start(home, config.to_str().unwrap(), port), port)
}

pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Starts `serve` and waits until it listens.
pub(crate) fn start(home: &Home, config: &str, port: u16) -> Server {
    let server = Server(
        home.command(&["--config", config, "serve"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    for _ in 0..200 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return server;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("serve does not listen");
}
