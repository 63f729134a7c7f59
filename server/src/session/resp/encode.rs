//! Replies as bytes, in RESP2 or RESP3.

use super::number::write_integer;

/// Which version of the protocol a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// The version that every client knows.
    Two,
    /// The version with maps, nulls and pushes.
    Three,
}

impl Version {
    /// The version's number.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Two => 2,
            Self::Three => 3,
        }
    }
}

/// Appends replies to bytes.
pub(crate) struct Encoder<'o> {
    pub(crate) out: &'o mut Vec<u8>,
    pub(crate) version: Version,
}

impl<'o> Encoder<'o> {
    pub(crate) fn new(out: &'o mut Vec<u8>, version: Version) -> Self {
        Self { out, version }
    }

    /// `+OK`.
    pub(crate) fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A short text that is known here.
    pub(crate) fn simple(&mut self, text: &str) {
        self.out.push(b'+');
        self.out.extend_from_slice(text.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// An error: its prefix and what to tell people. Line ends in it become spaces.
    pub(crate) fn error(&mut self, text: &[u8]) {
        self.out.push(b'-');
        let safe = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
        self.out.extend(text.iter().map(safe));
        self.out.extend_from_slice(b"\r\n");
    }

    /// A whole number.
    pub(crate) fn integer(&mut self, value: i64) {
        self.line(b':', value);
    }

    /// Bytes.
    #[inline]
    pub(crate) fn bulk(&mut self, bytes: &[u8]) {
        self.line(b'$', bytes.len() as i64);
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Bytes, or that there are none.
    pub(crate) fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// A number as bytes.
    pub(crate) fn bulk_integer(&mut self, value: i64) {
        let mut text = Vec::with_capacity(20);
        write_integer(value, &mut text);
        self.bulk(&text);
    }

    /// That there is nothing.
    pub(crate) fn null(&mut self) {
        let null: &[u8] = match self.version {
            Version::Two => b"$-1\r\n",
            Version::Three => b"_\r\n",
        };
        self.out.extend_from_slice(null);
    }

    /// That there is nothing where a list would be.
    pub(crate) fn null_list(&mut self) {
        let null: &[u8] = match self.version {
            Version::Two => b"*-1\r\n",
            Version::Three => b"_\r\n",
        };
        self.out.extend_from_slice(null);
    }

    /// A list; so many replies follow.
    pub(crate) fn list(&mut self, length: usize) {
        self.line(b'*', length as i64);
    }

    /// A set; so many replies follow.
    pub(crate) fn set(&mut self, length: usize) {
        let mark = if self.version == Version::Three { b'~' } else { b'*' };
        self.line(mark, length as i64);
    }

    /// A map; so many pairs of replies follow.
    pub(crate) fn map(&mut self, pairs: usize) {
        match self.version {
            Version::Two => self.line(b'*', 2 * pairs as i64),
            Version::Three => self.line(b'%', pairs as i64),
        }
    }

    /// A message that nobody asked for; so many replies follow.
    pub(crate) fn push(&mut self, length: usize) {
        let mark = if self.version == Version::Three { b'>' } else { b'*' };
        self.line(mark, length as i64);
    }

    /// A text for people.
    pub(crate) fn verbatim(&mut self, text: &str) {
        match self.version {
            Version::Two => self.bulk(text.as_bytes()),
            Version::Three => {
                self.line(b'=', text.len() as i64 + 4);
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(text.as_bytes());
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    #[inline]
    fn line(&mut self, mark: u8, value: i64) {
        if let 0..10 = value {
            self.out.extend_from_slice(&[mark, b'0' + value as u8, b'\r', b'\n']);
        } else {
            self.out.push(mark);
            write_integer(value, self.out);
            self.out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: Version, write: impl FnOnce(&mut Encoder<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Encoder::new(&mut out, version));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_version_has_its_own_forms() {
        use Version::{Three, Two};
        assert_eq!(written(Two, |to| to.null()), "$-1\r\n");
        assert_eq!(written(Three, |to| to.null()), "_\r\n");
        assert_eq!(written(Two, |to| to.map(2)), "*4\r\n");
        assert_eq!(written(Three, |to| to.map(2)), "%2\r\n");
        assert_eq!(written(Two, |to| to.push(3)), "*3\r\n");
        assert_eq!(written(Three, |to| to.push(3)), ">3\r\n");
        assert_eq!(written(Three, |to| to.verbatim("a")), "=5\r\ntxt:a\r\n");
        assert_eq!(written(Two, |to| to.bulk(b"0123456789")), "$10\r\n0123456789\r\n");
    }

    #[test]
    fn an_error_is_one_line() {
        assert_eq!(written(Version::Two, |to| to.error(b"ERR a\r\nb")), "-ERR a  b\r\n");
    }
}
