//! The lines of an import, read and parsed on a thread of their own, at most a few batches ahead of
//! what is being sent.

use std::io::{self, BufRead, BufReader, Read};
use std::thread;

use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::record::Record;

/// One line that holds something.
#[derive(Debug)]
pub(crate) struct Line {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// How many bytes of the input end with it.
    pub(crate) end: u64,
    /// What it says, or what is wrong with it.
    pub(crate) record: Result<Record, String>,
}

/// Begins to read; lines before `from_line` are passed over.
pub(crate) fn read(
    source: Box<dyn Read + Send>,
    from_line: u64,
) -> io::Result<Receiver<io::Result<Vec<Line>>>> {
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    let reader = Lines::new(BufReader::with_capacity(BUFFER_BYTES, source), LINE_BYTES_MAX);
    thread::Builder::new().name("lines".to_owned()).spawn(move || {
        reader.send_all(from_line, &sender);
    })?;
    Ok(receiver)
}

/// The lines of a source, one after the other.
pub(crate) struct Lines<R> {
    source: BufReader<R>,
    number: u64,
    end: u64,
    line_bytes_max: u64,
}

impl<R: Read> Lines<R> {
    /// Lines longer than `line_bytes_max` are passed over, and reported.
    pub(crate) fn new(source: BufReader<R>, line_bytes_max: u64) -> Self {
        Self { source, number: 0, end: 0, line_bytes_max }
    }

    fn send_all(mut self, from_line: u64, sender: &Sender<io::Result<Vec<Line>>>) {
        let mut batch = Vec::new();
        let mut batch_start = 0;
        loop {
            let next = self.next();
            let ended = !matches!(next, Ok(Some(_)));
            match next {
                Ok(Some(line)) if line.number >= from_line => batch.push(line),
                Ok(_) => {}
                Err(error) => {
                    let _ = sender.blocking_send(Ok(std::mem::take(&mut batch)));
                    let _ = sender.blocking_send(Err(error));
                    return;
                }
            }
            // A slow source is not made to wait for a full batch.
            let due = batch.len() >= BATCH_LINES
                || self.end - batch_start >= BATCH_BYTES
                || self.source.buffer().is_empty();
            if (due || ended) && !batch.is_empty() {
                batch_start = self.end;
                if sender.blocking_send(Ok(std::mem::take(&mut batch))).is_err() {
                    return;
                }
            }
            if ended {
                return;
            }
        }
    }

    /// The next line that is not blank; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut text = Vec::new();
        loop {
            text.clear();
            let taken =
                (&mut self.source).take(self.line_bytes_max).read_until(b'\n', &mut text)?;
            if taken == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.end += taken as u64;
            let whole = text.ends_with(b"\n") || (taken as u64) < self.line_bytes_max;
            let record = if whole {
                let content = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text).trim_ascii();
                if content.is_empty() {
                    continue;
                }
                Record::parse(content)
            } else {
                self.end += self.source.skip_until(b'\n')? as u64;
                Err(format!("longer than {} bytes", self.line_bytes_max))
            };
            return Ok(Some(Line { number: self.number, end: self.end, record }));
        }
    }
}

/// The longest line: room for a value of 16 MiB of which every byte is escaped.
const LINE_BYTES_MAX: u64 = 100 << 20;
const BUFFER_BYTES: usize = 256 << 10;
const BATCHES_AHEAD: usize = 4;
const BATCH_LINES: usize = 256;
const BATCH_BYTES: u64 = 512 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &'static [u8], line_bytes_max: u64) -> Vec<(u64, u64, Result<Vec<u8>, String>)> {
        let mut lines = Lines::new(BufReader::new(text), line_bytes_max);
        std::iter::from_fn(|| lines.next().unwrap())
            .map(|line| (line.number, line.end, line.record.map(|record| record.key)))
            .collect()
    }

    #[test]
    fn lines_are_numbered_as_an_editor_does() {
        let text = b"\xef\xbb\xbf{\"key\":\"a\",\"value\":\"\"}\r\n\n  \nnonsense\n{\"key\":\"b\",\"value\":\"\"}";
        let lines = lines(text, 1000);
        assert_eq!(lines.len(), 3);
        assert_eq!((lines[0].0, &lines[0].2), (1, &Ok(b"a".to_vec())));
        assert_eq!(lines[1].0, 4);
        assert!(lines[1].2.is_err());
        assert_eq!(lines[2], (5, text.len() as u64, Ok(b"b".to_vec())));
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_whole() {
        let lines = lines(
            b"{\"key\":\"aaaaaaaaaaaaaaa\",\"value\":\"\"}\n{\"key\":\"b\",\"value\":\"\"}\n",
            25,
        );
        assert_eq!(lines[0].2, Err("longer than 25 bytes".to_owned()));
        assert_eq!((lines[1].0, &lines[1].2), (2, &Ok(b"b".to_vec())));
    }

    #[test]
    fn batches_arrive_in_order_from_the_line_asked_for() {
        let mut text = Vec::new();
        for number in 1..=1000 {
            text.extend(format!("{{\"key\":\"{number}\",\"value\":\"\"}}\n").bytes());
        }
        let mut receiver = read(Box::new(io::Cursor::new(text)), 500).unwrap();
        let mut numbers = Vec::new();
        while let Some(batch) = receiver.blocking_recv() {
            numbers.extend(batch.unwrap().iter().map(|line| line.number));
        }
        assert_eq!(numbers, (500..=1000).collect::<Vec<_>>());
    }
}
