//! A Redis client of a page's length.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::PATIENCE;

/// One reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    List(Vec<Reply>),
    /// In RESP3: keys and values in turn.
    Map(Vec<Reply>),
    Push(Vec<Reply>),
}

/// A connection.
pub struct Redis {
    pub stream: TcpStream,
    input: BufReader<TcpStream>,
}

impl Redis {
    pub fn connect(address: SocketAddr) -> Self {
        let end = Instant::now() + PATIENCE;
        let stream = loop {
            match TcpStream::connect(address) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < end, "nobody listens: {error}"),
            }
            std::thread::park_timeout(Duration::from_millis(10));
        };
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("a socket takes this");
        let input = BufReader::new(stream.try_clone().expect("a socket can be shared"));
        Self { stream, input }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server takes bytes");
    }

    /// Runs a command of words between spaces.
    #[track_caller]
    pub fn run(&mut self, line: &str) -> Reply {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.call(&words)
    }

    /// Runs a command of words.
    #[track_caller]
    pub fn call(&mut self, words: &[&[u8]]) -> Reply {
        self.send(&command(words));
        self.reply()
    }

    /// The next reply.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        self.try_reply().expect("a reply comes before the end")
    }

    /// The next reply, or none at the end.
    #[track_caller]
    pub fn try_reply(&mut self) -> Option<Reply> {
        let mut line = Vec::new();
        self.input.read_until(b'\n', &mut line).expect("bytes come in time");
        let line = line.strip_suffix(b"\r\n")?;
        let text = String::from_utf8_lossy(&line[1..]).into_owned();
        let count = || text.parse::<i64>().expect("a length is a number");
        Some(match line[0] {
            b'+' => Reply::Simple(text),
            b'-' => Reply::Error(text),
            b':' => Reply::Integer(count()),
            b'_' => Reply::Null,
            b'$' | b'*' if text == "-1" => Reply::Null,
            b'$' | b'=' => {
                let mut bytes = vec![0; count() as usize + 2];
                self.input.read_exact(&mut bytes).expect("a bulk is whole");
                bytes.truncate(bytes.len() - 2);
                Reply::Bulk(bytes)
            }
            b'*' | b'~' => Reply::List(self.replies(count())),
            b'>' => Reply::Push(self.replies(count())),
            b'%' => Reply::Map(self.replies(2 * count())),
            other => panic!("no reply begins with {:?}", other as char),
        })
    }

    fn replies(&mut self, count: i64) -> Vec<Reply> {
        (0..count).map(|_| self.reply()).collect()
    }

    /// Asserts that the server closes without another word.
    #[track_caller]
    pub fn is_closed(&mut self) {
        let mut rest = Vec::new();
        // A reset is as good as an end.
        let _ = self.input.read_to_end(&mut rest);
        assert_eq!(rest, b"", "{}", rest.escape_ascii());
    }
}

/// A command's bytes.
pub fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

pub fn ok() -> Reply {
    Reply::Simple("OK".into())
}

pub fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.into())
}

pub fn error(text: &str) -> Reply {
    Reply::Error(text.into())
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |f: &mut std::fmt::Formatter<'_>, mark: &str, replies: &[Self]| {
            f.write_str(mark)?;
            f.write_str("[")?;
            for (at, reply) in replies.iter().enumerate() {
                write!(f, "{}{reply}", if at > 0 { ", " } else { "" })?;
            }
            f.write_str("]")
        };
        match self {
            Self::Simple(text) => write!(f, "+{text}"),
            Self::Error(text) => write!(f, "-{text}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Bulk(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Self::Null => f.write_str("null"),
            Self::List(replies) => list(f, "", replies),
            Self::Map(replies) => list(f, "map", replies),
            Self::Push(replies) => list(f, "push", replies),
        }
    }
}
