//! The disk of the operating system.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use super::{Disk, DiskFile, LockFile};

/// The disk of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile(LockFile);

fn open_file(path: &Path, options: &mut OpenOptions) -> io::Result<Arc<dyn DiskFile>> {
    let file = options.mode(0o600).open(path)?;
    Ok(Arc::new(RealFile(file.into())))
}

impl Disk for RealDisk {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        open_file(
            path,
            OpenOptions::new().read(true).write(true).create_new(true),
        )
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        open_file(path, OpenOptions::new().read(true).write(write))
    }

    fn spool(&self, folder: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        if let Ok(fd) = rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
            return Ok(Arc::new(RealFile(File::from(fd).into())));
        }
        // A file system without O_TMPFILE: the name lives for a moment.
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let path = folder.join(format!(".spool-{:016x}", u64::from_ne_bytes(random)));
        let file = self.create_new(&path)?;
        self.unlink(&path)?;
        Ok(file)
    }

    fn create_dir_all(&self, folder: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn free_octets(&self, folder: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(folder)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.file().read_at(buf, offset)
    }

    #[cfg(target_os = "linux")]
    fn read_at_no_wait(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        use rustix::io::{Errno, ReadWriteFlags, preadv2};
        let mut slices = [io::IoSliceMut::new(buf)];
        match preadv2(self.0.file(), &mut slices, offset, ReadWriteFlags::NOWAIT) {
            Ok(octets) => Ok(Some(octets)),
            // Some file systems do not know the flag: then a read may wait.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn read_at_no_wait(&self, _: &mut [u8], _: u64) -> io::Result<Option<usize>> {
        Ok(None)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.file().write_at(bytes, offset)
    }

    fn set_len(&self, octets: u64) -> io::Result<()> {
        self.0.file().set_len(octets)
    }

    fn octets(&self) -> io::Result<u64> {
        Ok(self.0.file().metadata()?.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.file().sync_data()
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.0.try_exclusive()
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let named = match std::fs::symlink_metadata(path) {
            Ok(named) => named,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(e),
        };
        let own = self.0.file().metadata()?;
        Ok((own.dev(), own.ino()) == (named.dev(), named.ino()))
    }
}

/// Names a file system on which locks and syncs cannot be trusted, if the folder is on one.
#[cfg(target_os = "linux")]
pub(crate) fn network_file_system(folder: &Path) -> io::Result<Option<&'static str>> {
    const NETWORK: [(u32, &str); 8] = [
        (0x0000_6969, "NFS"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB2"),
        (0x0000_517b, "SMB"),
        (0x0102_1997, "9P"),
        (0x00c3_6400, "Ceph"),
        (0x5346_414f, "AFS"),
        (0x7375_7245, "Coda"),
    ];
    const FUSE: u32 = 0x6573_5546;
    let stat = rustix::fs::statfs(folder)?;
    let magic = (stat.f_type as u64 & 0xffff_ffff) as u32;
    if magic == FUSE {
        return Ok(fuse_over_network(folder));
    }
    Ok(NETWORK.iter().find(|n| n.0 == magic).map(|n| n.1))
}

/// FUSE has local file systems too: the mount table tells which one it is.
#[cfg(target_os = "linux")]
fn fuse_over_network(folder: &Path) -> Option<&'static str> {
    let folder = folder.canonicalize().ok()?;
    let table = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = table.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (at, kind) = (fields.nth(1)?, fields.next()?);
        folder.starts_with(at).then_some((at.len(), kind))
    });
    let (_, kind) = mounts.max_by_key(|m| m.0)?;
    const KNOWN: [&str; 5] = ["sshfs", "s3fs", "rclone", "glusterfs", "davfs"];
    KNOWN.into_iter().find(|name| kind.contains(name))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn network_file_system(_: &Path) -> io::Result<Option<&'static str>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_goes_with_its_holder_though_a_child_has_a_copy() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let open = || {
            let opened = File::options().write(true).open(file.path());
            RealFile(opened.expect("opened").into())
        };
        let held = open();
        assert!(held.try_lock().expect("asked"));
        // What fork does: the same open file once more.
        let _of_a_child = held.0.file().try_clone().expect("a copy");
        assert!(!open().try_lock().expect("asked"));
        drop(held);
        assert!(open().try_lock().expect("asked"));
    }
}
