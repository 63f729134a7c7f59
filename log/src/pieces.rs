//! What gathers for the writer: records that lack their seal, in pieces of memory that the writer takes
//! all at once. Short records are copied behind each other; a long one is taken over as it was built,
//! so that of its bytes the system alone makes another copy.

use crate::envelope;

/// Records of so many bytes are taken over. To copy a shorter one costs less than a piece of its own.
const LONG_BYTES: usize = 4 << 10;

/// Memory that short records share.
const PIECE_BYTES: usize = 64 << 10;

/// Memory kept from batch to batch; what a burst has needed beyond goes back to the system.
const KEEP_BYTES: usize = 4 << 20;

/// Records in order.
#[derive(Default)]
pub(crate) struct Pieces {
    /// Whole records in each.
    pieces: Vec<Vec<u8>>,
    /// Bytes in all of them.
    bytes: usize,
    /// Empty memory for more.
    free: Vec<Vec<u8>>,
}

impl Pieces {
    /// How many bytes have gathered.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the record with this payload.
    pub(crate) fn push(&mut self, index: u64, payload: &[u8]) {
        let size = envelope::size_on_disk(payload.len());
        envelope::push(self.piece_for(size), envelope::Kind::Entry, index, payload);
        self.bytes += size;
    }

    /// Adds a record that was begun by [`envelope::begin`]. What is left in `record` is memory for the
    /// next one.
    pub(crate) fn push_built(&mut self, index: u64, record: &mut Vec<u8>) {
        envelope::complete(record, index);
        self.bytes += record.len();
        if record.len() < LONG_BYTES {
            self.piece_for(record.len()).extend_from_slice(record);
        } else {
            let next = self.free.pop().unwrap_or_default();
            self.pieces.push(std::mem::replace(record, next));
        }
    }

    /// A piece with room for so many bytes more.
    fn piece_for(&mut self, bytes: usize) -> &mut Vec<u8> {
        let room = self.pieces.last().map_or(0, |piece| piece.capacity() - piece.len());
        if room < bytes {
            let mut piece = self.free.pop().unwrap_or_default();
            piece.reserve(bytes.max(PIECE_BYTES));
            self.pieces.push(piece);
        }
        self.pieces.last_mut().expect("there is one with room")
    }

    /// Swaps what has gathered into `batch`, and takes the memory that [`empty`] has left there.
    pub(crate) fn swap_into(&mut self, batch: &mut Vec<Vec<u8>>) {
        std::mem::swap(&mut self.pieces, batch);
        self.bytes = 0;
        self.free.append(&mut self.pieces);
        keep_some(&mut self.free);
    }
}

/// Empties what was written. Of its memory some is left for what comes.
pub(crate) fn empty(batch: &mut Vec<Vec<u8>>) {
    batch.iter_mut().for_each(Vec::clear);
    keep_some(batch);
}

fn keep_some(free: &mut Vec<Vec<u8>>) {
    let mut kept = 0;
    free.retain(|piece| {
        kept += piece.capacity();
        kept <= KEEP_BYTES
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of a payload, as a turn builds it.
    fn built(payload: &[u8]) -> Vec<u8> {
        let mut record = Vec::new();
        envelope::begin(&mut record);
        record.extend_from_slice(payload);
        record
    }

    fn taken(pieces: &mut Pieces) -> Vec<u8> {
        let mut batch = Vec::new();
        pieces.swap_into(&mut batch);
        batch.concat()
    }

    #[test]
    fn records_are_the_same_bytes_however_they_came() {
        let payloads = [0, 3, 100, LONG_BYTES, 5, PIECE_BYTES, 7, LONG_BYTES - 33, 1];
        let (mut copied, mut given) = (Pieces::default(), Pieces::default());
        let mut expected = Vec::new();
        for (index, len) in (1..).zip(payloads) {
            let payload = vec![index as u8; len];
            envelope::push(&mut expected, envelope::Kind::Entry, index, &payload);
            copied.push(index, &payload);
            given.push_built(index, &mut built(&payload));
        }
        assert_eq!((copied.bytes(), given.bytes()), (expected.len(), expected.len()));
        assert!(taken(&mut copied) == expected);
        assert!(taken(&mut given) == expected);
        assert_eq!(given.bytes(), 0);
    }

    #[test]
    fn a_long_record_is_not_copied_and_a_short_one_needs_no_piece() {
        let mut pieces = Pieces::default();
        let mut record = built(&[1; LONG_BYTES]);
        record.reserve(envelope::ALIGN);
        let memory = record.as_ptr();
        pieces.push_built(1, &mut record);
        assert_eq!(pieces.pieces[0].as_ptr(), memory);
        for index in 2..100 {
            pieces.push_built(index, &mut built(b"short"));
        }
        assert!(pieces.pieces.len() <= 2);
    }

    #[test]
    fn what_was_written_is_memory_for_what_comes_and_not_more_than_some() {
        let (mut pieces, mut batch) = (Pieces::default(), Vec::new());
        for round in 0..20 {
            for index in 0..10 {
                pieces.push(round * 10 + index, &vec![2; 1 << 20]);
            }
            pieces.swap_into(&mut batch);
            empty(&mut batch);
        }
        for free in [&pieces.free, &batch] {
            let kept: usize = free.iter().map(Vec::capacity).sum();
            assert!(!free.is_empty() && kept <= KEEP_BYTES, "{kept} bytes");
        }
    }
}
