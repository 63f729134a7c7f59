//! The rows that are stored of a queue, as docs/design-client.md draws them: what a batch makes of them, and
//! what the next life is given. The simulation of the whole product (tests/simulation) stores its rows here, too.

use std::collections::BTreeMap;

/// What is durable of one queue.
#[derive(Debug, Default)]
pub(crate) struct Rows(BTreeMap<u64, Vec<u8>>);

impl Rows {
    /// Takes in a batch whole; how many rows it had.
    pub(crate) fn write(&mut self, batch: &[u8]) -> Result<usize, String> {
        let rows = split(batch)?;
        let count = rows.len();
        for (id, row) in rows {
            if !row.is_empty() {
                self.0.insert(id, row.to_vec());
            } else if self.0.remove(&id).is_none() {
                return Err(format!("row {id} is removed, which is not there"));
            }
        }
        Ok(count)
    }

    /// All rows, as a core takes them.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (id, row) in &self.0 {
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&(row.len() as u32).to_le_bytes());
            out.extend_from_slice(row);
        }
        out
    }

    /// The mutations that have rows; row 0 is about all of them.
    pub(crate) fn mutations(&self) -> impl Iterator<Item = u64> {
        self.0.keys().copied().filter(|&id| id > 0)
    }
}

/// The rows of a batch: the id and the content of each.
pub(crate) fn split(mut batch: &[u8]) -> Result<Vec<(u64, &[u8])>, String> {
    let mut rows = Vec::new();
    while let Some((id, rest)) = batch.split_first_chunk::<8>() {
        let (length, rest) = rest.split_first_chunk::<4>().ok_or("a batch is cut off")?;
        let length = u32::from_le_bytes(*length) as usize;
        let (row, rest) = rest.split_at_checked(length).ok_or("a row is cut off")?;
        rows.push((u64::from_le_bytes(*id), row));
        batch = rest;
    }
    if batch.is_empty() { Ok(rows) } else { Err("a batch is cut off".to_owned()) }
}
