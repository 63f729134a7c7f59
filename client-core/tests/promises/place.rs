//! Where a client's rows are stored: keeps what it was told was durable, fails on request, and forgets
//! at a crash what was on its way.

use tidekeep_client_core::Output;

use crate::rows::Rows;

/// A page's database, or a program's file.
#[derive(Debug, Default)]
pub(crate) struct Place {
    rows: Rows,
    /// Batches are not stored yet.
    pub(crate) hold: bool,
    /// Batches cannot be stored.
    pub(crate) fails: bool,
    /// Every batch that was stored, by its number of rows.
    pub(crate) batches: Vec<usize>,
    on_its_way: Option<Vec<u8>>,
}

impl Place {
    pub(crate) fn take(&mut self, output: &Output<'_>) {
        if let Output::Store { batch } = output {
            assert!(self.on_its_way.is_none(), "one batch at a time");
            assert!(!batch.is_empty(), "a batch has rows");
            self.on_its_way = Some(batch.to_vec());
        }
    }

    /// Stores what is on its way; whether it could be, if there was something.
    pub(crate) fn store(&mut self) -> Option<bool> {
        if self.hold {
            return None;
        }
        let batch = self.on_its_way.take()?;
        if self.fails {
            return Some(false);
        }
        let rows = self.rows.write(&batch).expect("only what is there is removed");
        self.batches.push(rows);
        Some(true)
    }

    /// What is on its way reaches the disk, but nobody hears of it.
    pub(crate) fn store_unheard(&mut self) {
        let on_its_way = self.on_its_way.clone();
        let (hold, fails) = (std::mem::take(&mut self.hold), std::mem::take(&mut self.fails));
        self.store();
        (self.hold, self.fails, self.on_its_way) = (hold, fails, on_its_way);
    }

    pub(crate) fn crash(&mut self) {
        self.on_its_way = None;
    }

    /// All rows, as a core takes them.
    pub(crate) fn rows(&self) -> Vec<u8> {
        self.rows.to_bytes()
    }

    /// Mutations that have rows.
    pub(crate) fn mutations(&self) -> usize {
        self.rows.mutations().count()
    }
}
