//! Where a client's queue and views outlive its process: a page's database or a program's file, which
//! takes its time, fails for a while, and forgets at a death what was on its way, or not.

use std::collections::BTreeMap;

use tidekeep_protocol::range::KeyRange;

/// A range's bounds, by which what its view saved is found.
type Bounds = (Vec<u8>, Option<Vec<u8>>);

/// What is stored of one client, over its lives.
#[derive(Debug, Default)]
pub(crate) struct Place {
    rows: BTreeMap<u64, Vec<u8>>,
    /// What views have saved.
    saved: BTreeMap<Bounds, Vec<u8>>,
    on_its_way: Option<Vec<u8>>,
    /// Nothing can be stored before this time.
    pub(crate) fails_until: u64,
    /// A batch takes its time before this one.
    pub(crate) slow_until: u64,
    /// Batches that could not be stored.
    pub(crate) failures: u64,
}

impl Place {
    /// A batch is to be stored.
    pub(crate) fn take(&mut self, batch: Vec<u8>) -> Result<(), String> {
        if batch.is_empty() {
            return Err("a batch without rows".to_owned());
        }
        match self.on_its_way.replace(batch) {
            Some(_) => Err("a batch before the last one is stored".to_owned()),
            None => Ok(()),
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.on_its_way.is_none()
    }

    /// Whether a batch was on its way, and if so whether it is durable now.
    pub(crate) fn store(&mut self, now: u64) -> Result<Option<bool>, String> {
        let Some(batch) = self.on_its_way.take() else { return Ok(None) };
        if now < self.fails_until {
            self.failures += 1;
            return Ok(Some(false));
        }
        self.write(&batch)?;
        Ok(Some(true))
    }

    fn write(&mut self, batch: &[u8]) -> Result<(), String> {
        for (id, row) in split(batch)? {
            if !row.is_empty() {
                self.rows.insert(id, row);
            } else if self.rows.remove(&id).is_none() {
                return Err(format!("row {id} is removed, which is not there"));
            }
        }
        Ok(())
    }

    /// The process dies: what was on its way is durable, though nobody heard of it, or lost.
    pub(crate) fn die(&mut self, reaches_the_disk: bool) -> Result<(), String> {
        match self.on_its_way.take() {
            Some(batch) if reaches_the_disk => self.write(&batch),
            _ => Ok(()),
        }
    }

    /// All rows, as a core takes them.
    pub(crate) fn rows(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (id, row) in &self.rows {
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&(row.len() as u32).to_le_bytes());
            out.extend_from_slice(row);
        }
        out
    }

    pub(crate) fn has(&self, mutation: u64) -> bool {
        self.rows.contains_key(&mutation)
    }

    /// Mutations that have rows.
    pub(crate) fn mutations(&self) -> usize {
        self.rows.keys().filter(|&&id| id > 0).count()
    }

    pub(crate) fn save(&mut self, range: &KeyRange, copy: Vec<u8>) {
        self.saved.insert(name(range), copy);
    }

    /// What a view of this range saved last.
    pub(crate) fn load(&self, range: &KeyRange) -> Vec<u8> {
        self.saved.get(&name(range)).cloned().unwrap_or_default()
    }
}

fn name(range: &KeyRange) -> Bounds {
    let range = range.as_range();
    (range.start.to_vec(), range.end.map(<[u8]>::to_vec))
}

/// The rows of a batch, as docs/design-client.md draws them.
fn split(mut batch: &[u8]) -> Result<Vec<(u64, Vec<u8>)>, String> {
    let mut rows = Vec::new();
    while let Some((id, rest)) = batch.split_first_chunk::<8>() {
        let (length, rest) = rest.split_first_chunk::<4>().ok_or("a batch is cut off")?;
        let length = u32::from_le_bytes(*length) as usize;
        let (row, rest) = rest.split_at_checked(length).ok_or("a row is cut off")?;
        rows.push((u64::from_le_bytes(*id), row.to_vec()));
        batch = rest;
    }
    if batch.is_empty() { Ok(rows) } else { Err("a batch is cut off".to_owned()) }
}
