//! From a directory to an open log. Two steps: [`Recovery::begin`] finds out what is there and
//! refuses what cannot be trusted; [`Recovery::replay`] hands over the records and starts the log.
//!
//! Where the log ends, and what is damage instead, is for `walk` to judge.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::disk::{Disk, File, zero};
use crate::envelope::Kind;
use crate::error::{BoxError, OpenError};
use crate::log::{Log, Start};
use crate::manifest::{MARKER, MARKER_TEMP, Manifest, REPAIR_BEGUN, REPAIR_MOVED, RESTORE_BEGUN};
use crate::options::{Durability, Options};
use crate::segment::{self, Header};
use crate::snapshot::{self, SnapshotInfo};
use crate::walk::{Found, Walk};
use crate::writer::Tail;
use tidekeep_protocol::planted;

/// What recovery found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Records handed to the caller.
    pub replayed: u64,
    /// Index of the last record in the log; 0 in a new one.
    pub last_index: u64,
    /// Index of the snapshot used; 0 if none.
    pub snapshot_index: u64,
    /// Bytes of a torn write cut off at the end. None of them was confirmed under `Always`.
    pub torn_bytes: u64,
    /// The newest snapshot was damaged; what stood in the way. The log made up for it.
    pub fell_back: Option<String>,
}

/// A record's index and payload.
pub(crate) type Logged<'a> = (u64, &'a [u8]);

/// A record that whoever it was given to cannot use.
#[derive(Debug)]
pub(crate) struct Unusable {
    pub(crate) index: u64,
    pub(crate) source: BoxError,
}

/// A store whose files have been found and checked, and that is yet to be read.
pub struct Recovery {
    disk: Arc<dyn Disk>,
    options: Options,
    manifest: Manifest,
    created: bool,
    segments: Vec<Found>,
    /// Verified ones, oldest first; the last is the one to load.
    snapshots: Vec<SnapshotInfo>,
    fell_back: Option<String>,
}

impl Recovery {
    /// Finds the store, or makes an empty one in a directory that has never held any.
    ///
    /// # Errors
    /// [`OpenError`]: whatever is missing, damaged, newer or foreign is named, and left alone.
    ///
    /// # Panics
    /// If a segment is to be shorter than 4 KiB or longer than 1 GiB.
    pub fn begin(disk: Arc<dyn Disk>, mut options: Options) -> Result<Self, OpenError> {
        let bytes = options.segment_bytes;
        assert!((4096..=segment::MAX_BYTES).contains(&bytes), "segments of {bytes} bytes");
        refuse_interrupted(&list(&*disk)?)?;
        let (manifest, created) = match Manifest::load(&*disk, MARKER)? {
            Some(manifest) => (manifest, false),
            None => (create(&*disk, &mut options)?, true),
        };
        let found = Self::find(disk, options, manifest)?;
        Ok(Self { created, ..found })
    }

    /// Finds the files of the store that has this marker. Changes nothing.
    pub(crate) fn find(
        disk: Arc<dyn Disk>,
        options: Options,
        manifest: Manifest,
    ) -> Result<Self, OpenError> {
        let names = list(&*disk)?;
        let segments = find_segments(&*disk, &names, &manifest)?;
        let reach = segments[0].header.first_index;
        let (snapshots, fell_back) = choose_snapshots(&*disk, &names, &manifest, reach)?;
        Ok(Self { disk, options, manifest, created: false, segments, snapshots, fell_back })
    }

    /// Who this store is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether the store was made just now.
    pub fn created(&self) -> bool {
        self.created
    }

    /// The snapshot to load before replaying, if there is one. It has been verified whole.
    pub fn snapshot(&self) -> Option<&SnapshotInfo> {
        self.snapshots.last()
    }

    /// Gives the snapshot's chunks to `use_chunk`, as they were written; none if there is none.
    ///
    /// # Errors
    /// [`OpenError::Replay`] with an error of `use_chunk`, and what reading may meet.
    pub fn load_snapshot(
        &self,
        mut use_chunk: impl FnMut(&[u8]) -> Result<(), BoxError>,
    ) -> Result<(), OpenError> {
        if let Some(info) = self.snapshot() {
            let name = snapshot::name(info.index);
            snapshot::read(&*self.disk, &name, self.manifest.store_id, &mut use_chunk)?;
        }
        Ok(())
    }

    /// Gives every record after the snapshot to `use_record`, with its index, in order and without
    /// gaps; cuts a torn tail; makes what was read durable; and starts the log behind it.
    ///
    /// # Errors
    /// [`OpenError::Replay`] with an error of `use_record`, `Damaged` or `Missing` if what was
    /// confirmed cannot be read any more.
    pub fn replay(
        self,
        mut use_record: impl FnMut(u64, &[u8]) -> Result<(), BoxError>,
    ) -> Result<(Log, Report), OpenError> {
        self.replay_together(|records| {
            records.iter().try_for_each(|&(index, payload)| {
                use_record(index, payload).map_err(|source| Unusable { index, source })
            })
        })
    }

    /// As [`Self::replay`], with all records of a segment at a time.
    pub(crate) fn replay_together(
        mut self,
        use_records: impl FnMut(&[Logged<'_>]) -> Result<(), Unusable>,
    ) -> Result<(Log, Report), OpenError> {
        let (tail, report, replayed_bytes) = self.read(use_records)?;
        // From here on the store is known to be sound, and files may change.
        for temp in [snapshot::TEMP, segment::SPARE_TEMP] {
            segment::remove_if_there(&*self.disk, temp).map_err(at("remove", temp))?;
        }
        settle(&*self.disk, &tail, report.torn_bytes)?;
        self.begin_run()?;
        let spare = find_spare(&*self.disk, self.options.segment_bytes)?;
        let segments: VecDeque<_> = self.segments.iter().map(Found::kept).collect();
        let log = Log::start(Start {
            disk: self.disk,
            manifest: self.manifest,
            options: self.options,
            segments,
            snapshots: self.snapshots,
            spare,
            tail,
            replayed_bytes,
        })?;
        Ok((log, report))
    }

    /// Begins another history where a run that confirmed before it synced did not end well: what
    /// it showed may be gone, and cursors must not take the writes to come for it. Notes whether this
    /// is such a run.
    fn begin_run(&mut self) -> Result<(), OpenError> {
        let before = self.manifest;
        if before.lossy {
            self.manifest.incarnation = (self.options.random)();
            tracing::warn!(
                "the last run confirmed writes before they were synced, and did not end well: \
                 some may be lost, so watches begin anew"
            );
        }
        self.manifest.lossy = self.options.durability != Durability::Always;
        if self.manifest != before {
            self.manifest.replace(&*self.disk).map_err(at("replace", MARKER))?;
        }
        Ok(())
    }

    /// Reads and judges what [`Self::replay`] starts from; gives where the log goes on, and the
    /// bytes of what was replayed. Changes nothing.
    pub(crate) fn read(
        &self,
        mut use_records: impl FnMut(&[Logged<'_>]) -> Result<(), Unusable>,
    ) -> Result<(Tail, Report, u64), OpenError> {
        let snapshot_index = self.snapshots.last().map_or(0, |info| info.index);
        let fell_back = self.fell_back.clone();
        let mut report = Report { snapshot_index, fell_back, ..Report::default() };
        // Segments that end before the snapshot need not be read.
        let first = self.segments.partition_point(|s| s.header.first_index <= snapshot_index + 1);
        let first = first.saturating_sub(1);
        let mut replayed_bytes = 0;
        let mut tail = None;
        for (i, found) in self.segments.iter().enumerate().skip(first) {
            let content = found.read()?;
            let mut walk = Walk::new(found, &content);
            let mut records = Vec::new();
            while let Some((header, payload)) = walk.next() {
                if header.kind == Kind::Entry && header.index > snapshot_index {
                    records.push((header.index, payload));
                    replayed_bytes += header.size() as u64;
                }
            }
            use_records(&records).map_err(|Unusable { index, source }| OpenError::Replay {
                file: found.name.clone(),
                index,
                source,
            })?;
            report.replayed += records.len() as u64;
            match self.segments.get(i + 1) {
                Some(next) => walk.must_lead_to(next)?,
                None => {
                    report.torn_bytes = walk.end_of_log()?;
                    tail = Some(found.tail(&walk));
                }
            }
        }
        let tail = tail.expect("find_segments gives at least one segment");
        if tail.last_index < snapshot_index {
            return Err(OpenError::Missing {
                missing: format!("records {} to {snapshot_index} of the log", tail.last_index + 1),
            });
        }
        report.last_index = tail.last_index;
        Ok((tail, report, replayed_bytes))
    }
}

pub(crate) fn at<'a>(
    doing: &'static str,
    file: &'a str,
) -> impl FnOnce(std::io::Error) -> OpenError + 'a {
    move |source| OpenError::Io { doing, file: file.into(), source }
}

/// Half of a repair or of a restore is no store.
pub(crate) fn refuse_interrupted(names: &[String]) -> Result<(), OpenError> {
    for (file, by) in
        [(RESTORE_BEGUN, "restore"), (REPAIR_BEGUN, "repair"), (REPAIR_MOVED, "repair")]
    {
        if names.iter().any(|name| name == file) {
            return Err(OpenError::Interrupted { file: file.into(), by });
        }
    }
    Ok(())
}

fn list(disk: &dyn Disk) -> Result<Vec<String>, OpenError> {
    disk.list().map_err(at("list", "the data directory"))
}

/// Makes an empty store. Until its marker has its final name, a cut leaves a directory that is
/// known to be unfinished and is made again; a directory with data but no marker is refused.
fn create(disk: &dyn Disk, options: &mut Options) -> Result<Manifest, OpenError> {
    let names = list(disk)?;
    let unfinished = names.iter().any(|name| name == MARKER_TEMP);
    let ours: Vec<_> = names
        .iter()
        .filter(|name| segment::sequence_of(name).is_some() || snapshot::index_of(name).is_some())
        .collect();
    if !unfinished && !ours.is_empty() {
        return Err(OpenError::Missing { missing: format!("its marker, the file {MARKER}") });
    }
    // Durably gone before the old announcement is replaced: a cut in between must find either.
    for name in ours {
        disk.remove(name).map_err(at("remove", name))?;
    }
    disk.sync_dir().map_err(at("sync", "the data directory"))?;
    let manifest = Manifest::random(&mut options.random);
    manifest.announce(disk).map_err(at("make", MARKER_TEMP))?;
    let header = Header {
        store_id: manifest.store_id,
        sequence: 1,
        epoch: (options.random)(),
        first_index: 1,
        chain: 0,
    };
    segment::prepare_spare(disk, options.segment_bytes, options.durability)
        .and_then(|spare| segment::begin(disk, &*spare, &header))
        .map_err(at("make", &segment::name(1)))?;
    Manifest::publish(disk).map_err(at("make", MARKER))?;
    Ok(manifest)
}

/// Opens all segments and checks that none is missing between the first and the last.
fn find_segments(
    disk: &dyn Disk,
    names: &[String],
    manifest: &Manifest,
) -> Result<Vec<Found>, OpenError> {
    let mut segments: Vec<Found> = Vec::new();
    for name in names.iter().filter(|name| segment::sequence_of(name).is_some()) {
        let found = Found::open(disk, name, manifest.store_id)?;
        if let Some(before) = segments.last() {
            let expected = before.header.sequence + 1;
            if found.header.sequence != expected {
                return Err(OpenError::Missing { missing: segment::name(expected) });
            }
            if found.header.first_index < before.header.first_index {
                return Err(found.damaged(0, before.header.first_index, "it is out of order"));
            }
        }
        segments.push(found);
    }
    match segments.last() {
        None => Err(OpenError::Missing { missing: "its log".into() }),
        Some(last) if last.header.sequence < manifest.segment => {
            Err(OpenError::Missing { missing: segment::name(manifest.segment) })
        }
        Some(_) => Ok(segments),
    }
}

/// Verifies the snapshots, newest first, and keeps the two newest good ones from which the log
/// goes on. A damaged newest one is no reason to refuse as long as the log reaches back.
fn choose_snapshots(
    disk: &dyn Disk,
    names: &[String],
    manifest: &Manifest,
    reach: u64,
) -> Result<(Vec<SnapshotInfo>, Option<String>), OpenError> {
    let mut good = Vec::new();
    let mut bad: Option<OpenError> = None;
    for name in names.iter().rev().filter(|name| snapshot::index_of(name).is_some()) {
        match snapshot::read(disk, name, manifest.store_id, &mut |_| Ok(())) {
            Ok(info) if info.index + 1 >= reach => good.insert(0, info),
            Ok(_) => {}
            Err(error @ OpenError::Damaged { .. }) if good.is_empty() => {
                bad.get_or_insert(error);
            }
            Err(OpenError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
        if good.len() == 2 {
            break;
        }
    }
    if good.is_empty() && reach > 1 {
        let missing = format!("a snapshot of records 1 to {}", reach - 1);
        return Err(bad.unwrap_or(OpenError::Missing { missing }));
    }
    let fell_back = bad.map(|error| error.to_string());
    if let Some(why) = &fell_back {
        tracing::warn!(why, "the newest snapshot is damaged; an older one and the log are used");
    }
    Ok((good, fell_back))
}

/// Cuts the torn tail and makes everything before it durable: what is about to be shown to
/// readers may so far have been in the system's memory only.
fn settle(disk: &dyn Disk, tail: &Tail, torn_bytes: u64) -> Result<(), OpenError> {
    let name = segment::name(tail.sequence);
    if torn_bytes > 0 {
        tracing::warn!(file = name, offset = tail.at, torn_bytes, "a torn write was cut off");
    }
    let torn_bytes = if planted::is_awake("torn-tail-left") { 0 } else { torn_bytes };
    zero(&*tail.file, tail.at, tail.at + torn_bytes)
        .and_then(|()| tail.file.sync())
        .and_then(|()| disk.sync_dir())
        .map_err(at("settle", &name))
}

/// The spare left by an earlier run, if it is of the right size.
fn find_spare(disk: &dyn Disk, bytes: u64) -> Result<Option<Arc<dyn File>>, OpenError> {
    let outcome = match disk.open(segment::SPARE) {
        Ok(file) => file.len().map(|len| (len == bytes).then_some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => Err(error),
    };
    let spare = outcome.map_err(at("open", segment::SPARE))?;
    if spare.is_none() {
        disk.remove(segment::SPARE).map_err(at("remove", segment::SPARE))?;
    }
    Ok(spare)
}
