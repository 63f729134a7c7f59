//! Where a client's queue and views outlive its process: a page's database or a program's file, which
//! takes its time, fails for a while, and forgets at a death what was on its way, or not.

use std::collections::BTreeMap;

use tidekeep_protocol::range::KeyRange;

use crate::rows::Rows;

/// A range's bounds, by which what its view saved is found.
type Bounds = (Vec<u8>, Option<Vec<u8>>);

/// What is stored of one client, over its lives.
#[derive(Debug, Default)]
pub(crate) struct Place {
    rows: Rows,
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
        self.rows.write(&batch)?;
        Ok(Some(true))
    }

    /// The process dies: what was on its way is durable, though nobody heard of it, or lost.
    pub(crate) fn die(&mut self, reaches_the_disk: bool) -> Result<(), String> {
        match self.on_its_way.take() {
            Some(batch) if reaches_the_disk => self.rows.write(&batch).map(drop),
            _ => Ok(()),
        }
    }

    /// All rows, as a core takes them.
    pub(crate) fn rows(&self) -> Vec<u8> {
        self.rows.to_bytes()
    }

    pub(crate) fn has(&self, mutation: u64) -> bool {
        self.rows.mutations().any(|id| id == mutation)
    }

    /// Mutations that have rows.
    pub(crate) fn mutations(&self) -> usize {
        self.rows.mutations().count()
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
