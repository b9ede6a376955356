//! The null server: every reply is made beforehand and lies in memory. What a server with a store
//! could reach at most on this machine, with this client.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::mailset::{Mailbox, Mailsets};
use crate::{Fallible, fail, lmtp};

/// Replies of one mailbox.
#[derive(Default)]
struct Canned {
    stat: Vec<u8>,
    uidl: Vec<u8>,
    list: Vec<u8>,
    bodies: Vec<Vec<u8>>,
}

type Answers = Arc<HashMap<String, Canned>>;

fn canned(mailbox: &Mailbox, bodies: bool) -> Canned {
    let mut made = Canned {
        stat: format!("+OK {} {}\r\n", mailbox.count, mailbox.octets()).into_bytes(),
        uidl: b"+OK\r\n".to_vec(),
        list: b"+OK\r\n".to_vec(),
        bodies: Vec::new(),
    };
    for index in 0..mailbox.count {
        let (number, size) = (index + 1, mailbox.size(index));
        made.uidl
            .extend_from_slice(format!("{number} {:032x}\r\n", index).as_bytes());
        made.list
            .extend_from_slice(format!("{number} {size}\r\n").as_bytes());
        if bodies {
            let mut reply = format!("+OK {size} octets\r\n").into_bytes();
            reply.extend_from_slice(&lmtp::stuffed(&mailbox.message(index)));
            reply.extend_from_slice(b".\r\n");
            made.bodies.push(reply);
        }
    }
    made.uidl.extend_from_slice(b".\r\n");
    made.list.extend_from_slice(b".\r\n");
    made
}

/// Serves until killed: `PORT TLS-PORT CERTIFICATE KEY quick|full`.
pub(super) fn serve(words: &[&str]) -> Fallible<()> {
    let [plain, tls, certificate, key, scale] = words else {
        return fail("null: PORT TLS-PORT CERTIFICATE KEY quick|full");
    };
    let sets = Mailsets::new(*scale == "quick");
    let big = &sets.big.user;
    let answers: HashMap<String, Canned> = sets
        .filled()
        .map(|mailbox| (mailbox.user.clone(), canned(mailbox, mailbox.user != *big)))
        .collect();
    let acceptor = acceptor(Path::new(certificate), Path::new(key))?;
    let (plain, tls): (u16, u16) = (plain.parse()?, tls.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(listen(Arc::new(answers), plain, tls, acceptor))
}

fn acceptor(certificate: &Path, key: &Path) -> Fallible<TlsAcceptor> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)?.collect();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain?, PrivateKeyDer::from_pem_file(key)?)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn listen(answers: Answers, plain: u16, tls: u16, acceptor: TlsAcceptor) -> Fallible<()> {
    let in_clear = TcpListener::bind(("127.0.0.1", plain)).await?;
    let over_tls = TcpListener::bind(("127.0.0.1", tls)).await?;
    let shared = Arc::clone(&answers);
    let clear = async move {
        loop {
            let (socket, _) = in_clear.accept().await?;
            socket.set_nodelay(true)?;
            tokio::spawn(answer(socket, Arc::clone(&shared)));
        }
    };
    let encrypted = async move {
        loop {
            let (socket, _) = over_tls.accept().await?;
            socket.set_nodelay(true)?;
            let (acceptor, answers) = (acceptor.clone(), Arc::clone(&answers));
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(socket).await {
                    answer(stream, answers).await;
                }
            });
        }
    };
    tokio::select! {
        ended = clear => ended,
        ended = encrypted => ended,
    }
}

/// A connection to its end, whichever end that is.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, answers: Answers) {
    let nobody = Canned::default();
    let mut of = &nobody;
    let mut input = vec![0; 4096];
    let (mut at, mut end) = (0, 0);
    if stream.write_all(b"+OK\r\n").await.is_err() {
        return;
    }
    loop {
        while let Some(length) = memchr::memchr(b'\n', &input[at..end]) {
            let line = &input[at..at + length];
            let argument = || std::str::from_utf8(line.get(5..)?).ok().map(str::trim);
            let number = || argument()?.parse::<usize>().ok()?.checked_sub(1);
            let mut last = false;
            let reply: &[u8] = match line.get(..4).unwrap_or_default() {
                b"USER" => {
                    let user = argument().and_then(|name| answers.get(name));
                    of = user.unwrap_or(&nobody);
                    b"+OK\r\n"
                }
                b"PASS" => b"+OK\r\n",
                b"STAT" => &of.stat,
                b"UIDL" => &of.uidl,
                b"LIST" => &of.list,
                b"RETR" => {
                    let body = number().and_then(|index| of.bodies.get(index));
                    body.map_or(b"-ERR\r\n", Vec::as_slice)
                }
                _ => {
                    last = true;
                    b"+OK\r\n"
                }
            };
            at += length + 1;
            let sent = stream.write_all(reply).await;
            if sent.is_err() || last {
                let _closed = stream.shutdown().await;
                return;
            }
        }
        // Only TLS keeps octets back.
        if stream.flush().await.is_err() {
            return;
        }
        input.copy_within(at..end, 0);
        (at, end) = (0, end - at);
        match stream.read(&mut input[end..]).await {
            Ok(read) if read > 0 => end += read,
            _ => return,
        }
    }
}
