//! Changing the file that people write: comments and order stay, and a crash leaves the old one or the
//! new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use toml_edit::DocumentMut;

use super::reader;
use crate::failure::Failure;

/// Changes the file; makes it, for its owner only, if it is not there. What would have mistakes in it
/// is not written.
pub(crate) fn edit(
    path: &Path,
    change: impl FnOnce(&mut DocumentMut) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // A link stays a link: what it leads to is changed.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(Failure::io(format_args!("cannot read {}", path.display()))(
                error,
            ));
        }
    };
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error| Failure::Config(format!("{}: {error}", path.display())))?;
    change(&mut document)?;
    let text = document.to_string();
    let (_, mistakes) = reader::read(&text);
    if !mistakes.is_empty() {
        let error = super::ConfigError::Mistakes(path, mistakes);
        return Err(Failure::Config(format!("nothing was changed: {error}")));
    }
    replace(&path, text.as_bytes())
        .map_err(Failure::io(format_args!("cannot write {}", path.display())))
}

/// The new file is whole and on the disk before it takes the old one's name.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = (|| {
        let mut file = options.open(&new)?;
        file.write_all(text)?;
        if let Ok(old) = fs::metadata(path) {
            file.set_permissions(old.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        let _gone_as_well_as_can_be = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_stay_and_a_change_for_the_worse_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/c.toml");
        let set = |key: &'static str| {
            move |document: &mut DocumentMut| {
                document[key] = toml_edit::value("/x");
                Ok(())
            }
        };
        edit(&path, set("data")).unwrap();
        fs::write(&path, "# mine\ndata = \"/y\" # there\n").unwrap();
        edit(&path, set("data")).unwrap();
        let good = "# mine\ndata = \"/x\" # there\n";
        let read = || fs::read_to_string(&path).unwrap();
        assert!(read().starts_with("# mine\ndata = \"/x\""), "{}", read());
        let before = read();
        edit(&path, set("dota")).unwrap_err();
        assert_eq!(read(), before);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let _ = good;
    }
}
