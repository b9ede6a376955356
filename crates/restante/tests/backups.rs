//! Backups as a person meets them: what is typed, what is configured, what `status` says.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

#[path = "support/home.rs"]
mod home;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use home::Home;

fn run(home: &Home, words: &[&str]) -> Output {
    home.command(words).output().unwrap()
}

fn good(home: &Home, words: &[&str]) -> String {
    let output = run(home, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A home with one message in it, and `[backup]` as told.
fn with_mail(backup: &str) -> Home {
    let home = Home::new();
    let file = home.path().join("a.eml");
    fs::write(&file, "From: a@example.org\nSubject: x\n\nbody\n").unwrap();
    let added = home.tell(&["user", "add", "me", "--password-stdin"], "secret word\n");
    assert!(added.status.success(), "{added:?}");
    good(&home, &["import", file.to_str().unwrap()]);
    let folder = home.path().join(".config/restante");
    fs::create_dir_all(&folder).unwrap();
    let text = format!("[backup]\n{backup}");
    fs::write(folder.join("restante.toml"), text).unwrap();
    home
}

/// The shell's completion adds a slash: the place was another one then, and its first backup went out in
/// clear. A double slash in the configuration let `serve` and `status` look for a place that nobody knew.
#[test]
fn a_place_is_the_same_however_it_is_typed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    let phrase = folder.path().join("phrase");
    fs::write(&phrase, "correct horse\n").unwrap();
    fs::set_permissions(&phrase, fs::Permissions::from_mode(0o600)).unwrap();
    let home = with_mail(&format!(
        "to = \"{at}//./disk\"\npassphrase_file = \"{at}/phrase\"\n"
    ));
    good(&home, &["backup", &format!("{at}/disk/")]);
    assert!(folder.path().join("disk/key.age").exists());
    good(&home, &["backup"]);
    let said = good(&home, &["status"]);
    assert!(said.contains("last good one 20"), "{said}");
    assert!(!said.contains("no backup"), "{said}");
}
