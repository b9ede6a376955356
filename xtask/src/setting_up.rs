//! Mail programs that set themselves up: the documents as Python's readers take them, and Thunderbird's own
//! dialog from the address to the inbox.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::process::{Said, free_port, run};
use crate::program::{DOMAIN, PASSWORD_VARIABLE, Program};
use crate::tally::Cases;
use crate::{Fallible, fail, target_folder};

const USER: &str = "ann";
/// The scripts, beside this file.
const DOCUMENTS: &str = include_str!("setting_up/documents.py");
const THUNDERBIRD: &str = include_str!("setting_up/thunderbird.py");
/// Whole seconds for a script; Thunderbird takes about twenty.
const LIMIT: Duration = Duration::from_secs(240);
/// In a network of its own Thunderbird finds POP3S at its own port.
const POP3S: u16 = 995;
/// What the mailbox holds when Thunderbird comes.
const MESSAGES: usize = 3;

/// All cases.
pub(crate) fn run_all(binary: &Path, cases: &mut Cases) {
    cases.case(
        "autoconfig, autodiscover, a profile, DNS records and the page, read by Python",
        || documents(binary),
    );
    cases.case(
        "Thunderbird makes its account from autoconfig, in its own dialog, and collects from its view",
        || thunderbird(binary),
    );
}

/// A certificate for the names that clients use, by an authority of its own: no client takes a certificate
/// that signs itself for both.
fn certificates(folder: &Path) -> Fallible<()> {
    let names = format!("DNS:mail.{DOMAIN},DNS:autoconfig.{DOMAIN},DNS:{DOMAIN},DNS:localhost");
    let extensions = format!("subjectAltName={names}\nextendedKeyUsage=serverAuth\n");
    fs::write(folder.join("extensions"), extensions)?;
    let new = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for words in [
        format!(
            "{new} -x509 -days 30 -subj /CN=test -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem"
        ),
        format!("{new} -subj /CN=mail.{DOMAIN} -keyout key.pem -out request.pem"),
        "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile extensions -out certificate.pem".to_owned(),
    ] {
        let mut openssl = Command::new("openssl");
        openssl.args(words.split(' ')).current_dir(folder);
        let said = run(&mut openssl, b"", Duration::from_secs(30))?.ok("openssl")?;
        drop(said);
    }
    Ok(())
}

/// A program that tells clients how to set themselves up.
fn program(binary: &Path, name: &str, http: u16, https: u16) -> Fallible<Program> {
    let program = Program::new(binary, name)?;
    certificates(program.path("").as_path())?;
    program.configure(&format!(
        "[setup]\n\
         host = \"mail.{DOMAIN}\"\n\
         listen = [\"127.0.0.1:{http}\"]\n\
         tls_listen = [\"127.0.0.1:{https}\"]\n\
         outgoing = \"smtp.{DOMAIN}:465\"\n\
         keep = \"30 days\"\n"
    ))?;
    program.add_user(USER)?;
    Ok(program)
}

/// Makes a device of the user's; gives its password.
fn device(program: &Program, name: &str) -> Fallible<String> {
    let said = program.tell(&["user", "device", "add", USER, name, "--json"], "")?;
    let said = String::from_utf8(said.out)?;
    let password = said.split("\"password\":\"").nth(1);
    match password.and_then(|rest| rest.split('"').next()) {
        Some(password) => Ok(password.to_owned()),
        None => fail(format!("no password: {said}")),
    }
}

fn python(program: &Program, name: &str, script: &str) -> Fallible<Command> {
    let path = program.path(name);
    fs::write(&path, script)?;
    let mut python = Command::new("python3");
    python.arg(path);
    Ok(python)
}

fn documents(binary: &Path) -> Fallible<()> {
    let (http, https) = (free_port()?, free_port()?);
    let mut program = program(binary, "documents", http, https)?;
    let records = program.tell(&["config", "dns", "--json"], "")?.out;
    program.start()?;
    let mut python = python(&program, "documents.py", DOCUMENTS)?;
    python.env(PASSWORD_VARIABLE, device(&program, "phone")?);
    python.args([
        http.to_string(),
        https.to_string(),
        program.pop3s.to_string(),
    ]);
    python.arg(program.path("ca.pem"));
    let said = run(&mut python, &records, LIMIT)?.ok("documents.py")?;
    println!("         {}", String::from_utf8_lossy(&said.out).trim());
    program.healthy()?;
    program.stop()
}

/// In a network of its own, where the ports are the real ones and nothing leads outside.
fn thunderbird(binary: &Path) -> Fallible<()> {
    let program = program(binary, "thunderbird", 80, 443)?;
    let path = program.path("restante.toml");
    let usual = fs::read_to_string(&path)?
        .replace(&format!(":{}\"", program.pop3s), &format!(":{POP3S}\""));
    fs::write(path, usual)?;
    for number in 1..=MESSAGES {
        let path = program.path(&format!("{number}.eml"));
        fs::write(
            &path,
            format!(
                "From: A friend <friend{number}@{DOMAIN}>\nTo: {USER}@{DOMAIN}\nSubject: Letter {number}, held until called for\n\
                 Date: Thu, 26 Nov 2026 1{number}:00:00 +0000\nMessage-ID: <{number}@{DOMAIN}>\n\nHello.\n"
            ),
        )?;
        program.import(&path, USER)?;
    }
    let pictures = target_folder().join("xtask/thunderbird");
    fs::create_dir_all(&pictures)?;
    let script = python(&program, "thunderbird.py", THUNDERBIRD)?;
    let mut alone = Command::new("unshare");
    alone.arg("--net");
    if !rustix::process::geteuid().is_root() {
        alone.arg("--map-root-user");
    }
    alone.arg(script.get_program()).args(script.get_args());
    alone.arg(binary).arg(program.path("restante.toml"));
    alone.arg(program.path("")).arg(program.path("ca.pem"));
    alone.arg(format!("{USER}@{DOMAIN}"));
    alone.arg(MESSAGES.to_string()).arg(&pictures);
    alone.env(PASSWORD_VARIABLE, device(&program, "laptop")?);
    let said = run(&mut alone, b"", LIMIT)?.ok("thunderbird.py")?;
    made(&said)?;
    println!("         pictures: {}", pictures.display());
    let devices = program.tell(&["user", "device", "list", USER, "--json"], "")?;
    let devices = String::from_utf8(devices.out)?;
    let laptop = devices.lines().find(|line| line.contains("\"laptop\""));
    if laptop.is_none_or(|line| line.contains("\"last_seen\":null")) {
        return fail(format!("it did not collect as its device: {devices}"));
    }
    // Nothing was told to be deleted at once, and nothing was.
    match program.count(USER, false)? {
        MESSAGES => Ok(()),
        left => fail(format!("{left} of {MESSAGES} messages are left")),
    }
}

/// Whether the account is what the autoconfig says.
fn made(said: &Said) -> Fallible<()> {
    let account = String::from_utf8_lossy(&said.out);
    for right in [
        format!("\"host\": \"mail.{DOMAIN}\""),
        format!("\"port\": {POP3S}"),
        format!("\"user\": \"{USER}@{DOMAIN}\""),
        // nsMsgSocketType.SSL
        "\"socket_type\": 3".to_owned(),
        "\"leave\": true".to_owned(),
        "\"days\": 30".to_owned(),
        format!("\"messages\": {MESSAGES}"),
    ] {
        if !account.contains(&right) {
            return fail(format!(
                "the account is {}, without {right}",
                account.trim()
            ));
        }
    }
    Ok(())
}
