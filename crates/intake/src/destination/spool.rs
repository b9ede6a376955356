//! A message that waits: in memory, or in a file without a name when it is large.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::limits::{PIECE_OCTETS, SPOOL_MEMORY_OCTETS};

/// Octets that are written once and then read. What waits for the disk is said by
/// [`would_wait`](Self::would_wait) and [`is_in_memory`](Self::is_in_memory).
#[derive(Debug, Default)]
pub(super) struct Spool {
    /// The last octets; all of them as long as there is no file.
    memory: Vec<u8>,
    /// The first octets.
    file: Option<File>,
    /// How many those are.
    in_file: u64,
    folder: Option<PathBuf>,
}

impl Spool {
    /// Makes its file, if it comes to that, in `folder` or where the system has temporary files.
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            ..Self::default()
        }
    }

    pub(super) fn octets(&self) -> u64 {
        self.in_file + self.memory.len() as u64
    }

    /// Whether writing that much may wait for the disk.
    pub(super) fn would_wait(&self, octets: usize) -> bool {
        self.memory.len() + octets > SPOOL_MEMORY_OCTETS
    }

    /// Whether reading does not wait for the disk.
    pub(super) fn is_in_memory(&self) -> bool {
        self.in_file == 0
    }

    /// Forgets all octets from `octets` on.
    pub(super) fn truncate(&mut self, octets: u64) {
        match octets.checked_sub(self.in_file) {
            Some(left) => self
                .memory
                .truncate(usize::try_from(left).unwrap_or(usize::MAX)),
            None => {
                self.memory.clear();
                self.in_file = octets;
            }
        }
        if self.in_file == 0 {
            self.file = None;
        }
    }

    /// The octets from `at` on, at most [`PIECE_OCTETS`] of them; none at the end.
    pub(super) fn piece(&mut self, at: u64) -> io::Result<Vec<u8>> {
        if let Some(behind) = at.checked_sub(self.in_file) {
            let start = usize::try_from(behind).unwrap_or(usize::MAX);
            let rest = self.memory.get(start..).unwrap_or_default();
            return Ok(rest[..rest.len().min(PIECE_OCTETS)].to_vec());
        }
        let Some(file) = &mut self.file else {
            return Ok(Vec::new());
        };
        let wanted = (self.in_file - at).min(PIECE_OCTETS as u64);
        let mut piece = vec![0; usize::try_from(wanted).unwrap_or(PIECE_OCTETS)];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut piece)?;
        Ok(piece)
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = match &self.folder {
                    Some(folder) => tempfile::tempfile_in(folder),
                    None => tempfile::tempfile(),
                }?;
                self.file.insert(file)
            }
        };
        file.seek(SeekFrom::Start(self.in_file))?;
        file.write_all(&self.memory)?;
        self.in_file += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.would_wait(bytes.len()) {
            self.spill()?;
        }
        // One piece larger than all that may be in memory goes through it, not around it.
        let taken = bytes.len().min(SPOOL_MEMORY_OCTETS);
        self.memory.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(spool: &mut Spool) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let piece = spool.piece(all.len() as u64).unwrap();
            if piece.is_empty() {
                assert_eq!(all.len() as u64, spool.octets());
                return all;
            }
            assert!(piece.len() <= PIECE_OCTETS);
            all.extend_from_slice(&piece);
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let octets: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
        for piece in [1_000, 65_536, 300_000, 1_000_000] {
            let mut spool = Spool::new(None);
            for piece in octets.chunks(piece) {
                spool.write_all(piece).unwrap();
                assert!(spool.memory.len() <= SPOOL_MEMORY_OCTETS);
            }
            assert!(!spool.is_in_memory());
            assert_eq!(all(&mut spool), octets);
            for keep in [999_999, 500_000, 3, 0] {
                spool.truncate(keep);
                assert_eq!(all(&mut spool), octets[..keep as usize]);
                spool.write_all(b"more").unwrap();
                assert!(all(&mut spool).ends_with(b"more"));
                spool.truncate(keep);
            }
            assert!(spool.is_in_memory());
        }
    }

    #[test]
    fn small_ones_need_no_file() {
        let mut spool = Spool::new(Some("/nonexistent".into()));
        spool.write_all(&vec![b'a'; SPOOL_MEMORY_OCTETS]).unwrap();
        assert!(spool.is_in_memory() && spool.would_wait(1));
        assert!(spool.write_all(b"a").is_err());
    }
}
