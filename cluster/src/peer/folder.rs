//! The folder `cluster/` of a data directory: what makes a node a member across restarts. Each file is
//! written aside, synced and renamed, and `cluster.json` comes last, so that it vouches for the others.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

const FOLDER: &str = "cluster";

/// The folder of one data directory.
pub(crate) struct Folder(PathBuf);

/// A folder `cluster/` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file cannot be read or written.
    #[error("cannot {doing} {}: {source}", file.display())]
    Io {
        /// What was done to it.
        doing: &'static str,
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error(
        "{} is damaged: {why}. Restore the folder from a copy, or remove the node from the cluster and join anew",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// What a joiner was granted does not make a member.
    #[error("what the cluster granted cannot be used: {0}")]
    Grant(String),
    /// A key or certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] super::CertificateError),
}

impl Folder {
    pub(crate) fn of(data_directory: &Path) -> Self {
        Self(data_directory.join(FOLDER))
    }

    pub(crate) fn damaged(&self, name: &str, why: impl ToString) -> FolderError {
        FolderError::Damaged { file: self.0.join(name), why: why.to_string() }
    }

    /// A file's content, or none if it is not there.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, FolderError> {
        let file = self.0.join(name);
        match fs::read(&file) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(FolderError::Io { doing: "read", file, source }),
        }
    }

    fn needed(&self, name: &str) -> Result<Vec<u8>, FolderError> {
        self.read(name)?.ok_or_else(|| self.damaged(name, "it is missing"))
    }

    /// The certificate in a file, DER.
    pub(crate) fn certificate(&self, name: &str) -> Result<Vec<u8>, FolderError> {
        let certificate = CertificateDer::from_pem_slice(&self.needed(name)?);
        Ok(certificate.map_err(|why| self.damaged(name, why))?.to_vec())
    }

    /// The private key in a file, a PKCS #8 document in DER.
    pub(crate) fn key(&self, name: &str) -> Result<Vec<u8>, FolderError> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(&self.needed(name)?);
        Ok(key.map_err(|why| self.damaged(name, why))?.secret_pkcs8_der().to_vec())
    }

    /// Puts a file in the place of what it was, readable by the owner alone. It survives a power cut.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<(), FolderError> {
        let file = self.0.join(name);
        self.replace(name, content).map_err(|source| FolderError::Io {
            doing: "write",
            file,
            source,
        })
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let (aside, place) = (self.0.join(format!("{name}.new")), self.0.join(name));
        if !self.0.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
            self.0.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())?;
        }
        // One that was left behind may have been made with other rights.
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&aside, &place)?;
        File::open(&self.0)?.sync_all()
    }
}
