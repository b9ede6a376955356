//! Changing the file that people write: comments and order stay, and a crash leaves the old one or the
//! new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use toml_edit::{DocumentMut, Item, Table};

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

/// Takes a section such as `[account.gmx]` out, with what is below it. What stands above it and apart
/// from it, behind a blank line, stays.
pub(crate) fn remove_section(document: &mut DocumentMut, section: &str, name: &str) {
    let Some(sections) = document.get_mut(section).and_then(Item::as_table_like_mut) else {
        return;
    };
    let Some(Item::Table(removed)) = sections.remove(name) else {
        return;
    };
    let above = removed.decor().prefix().and_then(|prefix| prefix.as_str());
    let above = above.unwrap_or_default();
    let apart = above.rfind("\n\n").map_or("", |at| &above[..=at]);
    if apart.trim().is_empty() {
        return;
    }
    let behind = first_behind(document.as_table_mut(), removed.position());
    match behind {
        Some(table) => {
            let own = table.decor().prefix().and_then(|prefix| prefix.as_str());
            let both = format!("{apart}{}", own.unwrap_or_default());
            table.decor_mut().set_prefix(both);
        }
        None => {
            let trailing = document.trailing().as_str().unwrap_or_default();
            let both = format!("{apart}{trailing}");
            document.set_trailing(both);
        }
    }
}

/// The first table that has a header of its own behind that place in the file.
fn first_behind(table: &mut Table, place: Option<isize>) -> Option<&mut Table> {
    let mut first: Option<&mut Table> = None;
    for (_, item) in table.iter_mut() {
        let Item::Table(below) = item else { continue };
        let own = !below.is_implicit() && below.position() > place;
        let candidate = if own {
            Some(below)
        } else {
            first_behind(below, place)
        };
        first = match (first, candidate) {
            (Some(a), Some(b)) if a.position() <= b.position() => Some(a),
            (a, b) => b.or(a),
        };
    }
    first
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
        let read = || fs::read_to_string(&path).unwrap();
        assert!(read().starts_with("# mine\ndata = \"/x\""), "{}", read());
        let before = read();
        edit(&path, set("dota")).unwrap_err();
        assert_eq!(read(), before);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_section_goes_and_what_stands_apart_from_it_stays() {
        let text = "# the file\n\n# the first\n[account.a]\nhost = \"h\"\n[account.a.oauth]\nx = 1\n\n# the second\n[account.b]\nhost = \"i\"\n";
        let mut document: DocumentMut = text.parse().unwrap();
        remove_section(&mut document, "account", "a");
        let left = "# the file\n\n# the second\n[account.b]\nhost = \"i\"\n";
        assert_eq!(document.to_string(), left);
        remove_section(&mut document, "account", "b");
        assert_eq!(document.to_string().trim_end(), "# the file");
    }
}
