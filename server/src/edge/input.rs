//! What a connection has sent and nobody has read yet. Grows only with bytes that have come, never
//! with a length that a client claims.

/// Bytes that a connection begins to read with.
const IDLE_BYTES: usize = 4 << 10;

/// Bytes up to which the buffer grows merely because reads fill it.
const BUSY_BYTES: usize = 64 << 10;

/// A buffer that is filled at its end and read from its front.
pub(crate) struct Input {
    /// Always initialized as a whole; what is in it lies from `start` to `end`.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// Without anything in it, and without memory.
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new(), start: 0, end: 0 }
    }

    /// Begins with bytes that have come already, in the memory that they have.
    pub(crate) fn of(mut bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        bytes.resize(bytes.capacity(), 0);
        Self { bytes, start: 0, end }
    }

    /// What has not been read yet.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Memory that is taken, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether everything has been read.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Notes that the first `count` bytes have been read.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end, "no more is read than there is");
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room for what comes next; empty when `limit` bytes wait to be read.
    pub(crate) fn space(&mut self, limit: usize) -> &mut [u8] {
        let unread = self.end - self.start;
        if self.end == self.bytes.len() && unread < limit {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, unread);
            } else {
                let more = (2 * self.bytes.len()).clamp(IDLE_BYTES, limit.max(IDLE_BYTES));
                self.bytes.resize(more, 0);
            }
        }
        let most = self.start + limit.max(unread);
        let to = self.bytes.len().min(most);
        &mut self.bytes[self.end..to]
    }

    /// Notes that `count` bytes were put into [`Self::space`].
    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
        if self.end == self.bytes.len() && self.start == 0 && self.bytes.len() < BUSY_BYTES {
            self.bytes.resize(2 * self.bytes.len(), 0);
        }
    }

    /// Adds bytes that came by another way than [`Self::space`].
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let end = self.end + bytes.len();
        if end > self.bytes.len() {
            self.bytes.resize(end, 0);
        }
        self.bytes[self.end..end].copy_from_slice(bytes);
        self.end = end;
    }

    /// Gives the memory back if nothing is in it.
    pub(crate) fn rest(&mut self) {
        if self.is_empty() {
            *self = Self::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(input: &mut Input, bytes: &[u8], limit: usize) -> usize {
        let space = input.space(limit);
        let count = space.len().min(bytes.len());
        space[..count].copy_from_slice(&bytes[..count]);
        input.filled(count);
        count
    }

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut input = Input::new();
        let sent: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        let (mut at, mut got) = (0, Vec::new());
        while got.len() < sent.len() {
            at += put(&mut input, &sent[at..], 10_000);
            let part = input.unread().len().div_ceil(3);
            got.extend_from_slice(&input.unread()[..part]);
            input.consume(part);
        }
        assert_eq!(got, sent);
    }

    #[test]
    fn no_more_than_the_limit_waits() {
        let mut input = Input::new();
        let limit = 3 * IDLE_BYTES;
        while put(&mut input, &[7; 1000], limit) > 0 {}
        assert_eq!(input.unread().len(), limit);
        input.consume(1);
        assert_eq!(put(&mut input, &[7; 1000], limit), 1);
    }

    #[test]
    fn a_rest_gives_back_what_a_burst_took() {
        let mut input = Input::new();
        input.append(&[1; 1 << 20]);
        input.rest();
        assert_eq!(input.unread().len(), 1 << 20);
        input.consume(1 << 20);
        input.rest();
        assert_eq!(input.held_bytes(), 0);
        assert_eq!(put(&mut input, &[1; 10], 100), 10);
    }
}
