//! `backup`: the whole store at one revision into a file, while the server serves.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tidekeep_client::{BackupPiece, Client, Code};

use crate::backup_file;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Format;
use crate::progress::{Length, Progress};
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  tidekeep backup today.tide                        everything, at one revision
  tidekeep-server verify today.tide                 whether it is whole
  tidekeep-server restore today.tide /var/lib/new   a store from it

The file has its name once it is complete, on disk, and read back without a fault.";

/// Save everything into a file that a store can be restored from
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BackupArgs {
    /// The file to write
    file: PathBuf,
    /// Replace the file if it is there
    #[arg(long, short)]
    force: bool,
    /// Show progress even where standard error is no terminal
    #[arg(long)]
    progress: bool,
}

/// Time until the server is asked again for what is not safe on its disk yet.
const PAUSE: Duration = Duration::from_millis(5);
/// A connection that breaks this often will do so again.
const TRIES: u32 = 3;

/// Runs the verb.
pub(crate) async fn run(args: BackupArgs, session: &mut Session) -> Result<Exit, Failure> {
    let BackupArgs { file, force, progress } = args;
    if !force && file.exists() {
        let message = format!("{} is there already", file.display());
        return Err(Failure::invalid(message).hint("choose another name, or --force to replace it"));
    }
    let client = session.client().await?;
    let partial = Partial::create(&file)?;
    let mut progress = Progress::start(Length::Bytes(0), progress);
    let taken = take(&client, &partial, &mut progress).await;
    progress.finish();
    let (last, bytes) = taken?;
    partial.publish(&file)?;
    let done = Done { revision: last.revision, keys: last.keys, bytes };
    let out = session.out();
    match out.format() {
        Format::Json => out.json(&done)?,
        Format::Text | Format::Raw => out.line(format_args!(
            "saved revision {} with {} keys: {bytes} bytes in {}",
            done.revision,
            done.keys,
            file.display()
        ))?,
    }
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Done {
    revision: u64,
    keys: u64,
    bytes: u64,
}

/// Takes a backup from its beginning to its end; the last piece, and the bytes in all. One that a
/// broken connection has ended is begun again.
async fn take(
    client: &Client,
    partial: &Partial,
    progress: &mut Progress,
) -> Result<(BackupPiece, u64), Failure> {
    let mut tries = 1;
    let mut offset = 0;
    loop {
        let piece = match client.backup_piece(offset).await {
            Ok(piece) => piece,
            Err(error) if error.code() == Code::NotFound && offset > 0 && tries < TRIES => {
                (tries, offset) = (tries + 1, 0);
                partial.file.set_len(0)?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if piece.bytes.is_empty() && !piece.done {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        if piece.offset != offset {
            let message = format!("the server sent byte {} after byte {offset}", piece.offset);
            return Err(Failure::new(Code::Protocol, message));
        }
        partial.write(&piece.bytes, offset)?;
        offset += piece.bytes.len() as u64;
        progress.bytes(offset, piece.size.max(offset));
        if piece.done {
            return Ok((piece, offset));
        }
    }
}

/// A file that is being written, under a name of its own. Removed unless it is published.
struct Partial {
    path: PathBuf,
    file: File,
    published: std::cell::Cell<bool>,
}

impl Partial {
    fn create(target: &Path) -> Result<Self, Failure> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let path = target.with_file_name(name);
        let options = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
        let file = options.map_err(|error| cannot("write", &path, &error))?;
        Ok(Self { path, file, published: std::cell::Cell::new(false) })
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Failure> {
        use std::io::Seek;
        let mut file = &self.file;
        file.seek(std::io::SeekFrom::Start(offset))
            .and_then(|_| file.write_all(bytes))
            .map_err(|error| cannot("write", &self.path, &error))
    }

    /// Puts it on disk, reads it back, and gives it its name.
    fn publish(&self, target: &Path) -> Result<(), Failure> {
        let failed = |doing| move |error| cannot(doing, target, &error);
        self.file.sync_all().map_err(failed("sync"))?;
        let read = File::open(&self.path).map_err(failed("read back"))?;
        let checked = backup_file::check(BufReader::with_capacity(1 << 20, read));
        if let Err(what) = checked.map_err(failed("read back"))? {
            let message = format!("the backup was not read back as it was written: {what}");
            return Err(Failure::new(Code::Storage, message).hint("try again, on another disk"));
        }
        std::fs::rename(&self.path, target).map_err(failed("name"))?;
        self.published.set(true);
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(failed("sync"))?;
        folder.sync_all().map_err(failed("sync"))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.published.get() {
            // What is left of it can be removed by whoever finds it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn cannot(doing: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::Storage, format!("cannot {doing} {}: {error}", path.display()))
}
