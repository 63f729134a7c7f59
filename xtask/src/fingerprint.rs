//! Decides whether a build stage can be skipped: a hash over everything that goes into it, kept
//! beside what came out of it. Contents are hashed, so a `git checkout` and back costs nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Folders that hold results, never inputs.
const RESULTS: [&str; 4] = ["node_modules", "dist", "target", "wasm"];

/// The hash of a stage's inputs so far.
pub(crate) struct Fingerprint(Sha256);

impl Fingerprint {
    /// Starts with what is no file: flags, versions of tools.
    pub(crate) fn of(settings: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(settings);
        Self(hash)
    }

    /// Adds a file, or all files below a folder except those in folders of results.
    pub(crate) fn add(&mut self, path: &Path) -> Result<&mut Self> {
        for file in files_below(path, &RESULTS)? {
            let bytes =
                fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            self.0.update(file.as_os_str().as_encoded_bytes());
            self.0.update([0]);
            self.0.update((bytes.len() as u64).to_le_bytes());
            self.0.update(&bytes);
        }
        Ok(self)
    }

    /// Ends the hash.
    pub(crate) fn finish(self) -> Stamp {
        Stamp(hex(&self.0.finalize()))
    }
}

/// A finished fingerprint.
pub(crate) struct Stamp(String);

impl Stamp {
    /// Whether `file` holds this very stamp, and the stage's results still exist.
    pub(crate) fn holds(&self, file: &Path, results: &[PathBuf]) -> bool {
        fs::read_to_string(file).is_ok_and(|kept| kept == self.0)
            && results.iter().all(|result| result.is_file())
    }

    /// Keeps the stamp for the next time; call it when the stage has succeeded.
    pub(crate) fn keep(&self, file: &Path) -> Result<()> {
        fs::write(file, &self.0).with_context(|| format!("cannot write {}", file.display()))
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All files below a folder in a stable order, or the file itself; folders named in `skip` and
/// hidden entries are left out. A path that does not exist has no files.
pub(crate) fn files_below(path: &Path, skip: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(path, skip, &mut files).with_context(|| format!("cannot list {}", path.display()))?;
    files.sort();
    Ok(files)
}

fn collect(path: &Path, skip: &[&str], files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_file() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    if !path.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Links are not followed: npm links folders of the repository into each other.
        if name.starts_with('.') || skip.contains(&&*name) || entry.file_type()?.is_symlink() {
            continue;
        }
        collect(&entry.path(), skip, files)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(folder: &Path) -> Stamp {
        let mut print = Fingerprint::of("flags");
        print.add(folder).unwrap();
        print.finish()
    }

    #[test]
    fn changes_with_contents_and_not_with_results() {
        let folder = tempfile::tempdir().unwrap();
        let (source, kept) = (folder.path().join("a.ts"), folder.path().join(".stamp"));
        fs::write(&source, "1").unwrap();
        let first = stamp(folder.path());
        first.keep(&kept).unwrap();

        fs::create_dir(folder.path().join("dist")).unwrap();
        fs::write(folder.path().join("dist/out.js"), "x").unwrap();
        assert!(stamp(folder.path()).holds(&kept, std::slice::from_ref(&source)));

        fs::write(&source, "2").unwrap();
        assert!(!stamp(folder.path()).holds(&kept, &[]));
    }

    #[test]
    fn a_lost_result_counts_as_changed() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join(".stamp");
        let stamp = stamp(folder.path());
        stamp.keep(&kept).unwrap();
        assert!(!stamp.holds(&kept, &[folder.path().join("gone.wasm")]));
    }
}
