//! Keys and values as they stand on the command line. A key is the argument's own bytes. A value is
//! too, unless it is `-` (standard input) or `@file`; `@@` stands for a real `@`. With `--escaped`
//! both read the escapes that `list` prints.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::escape::unescape;
use crate::failure::Failure;

/// How arguments become bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As they are.
    #[default]
    Exact,
    /// With `\n`, `\xNN` and their like resolved.
    Escaped,
}

impl Reading {
    /// The bytes of a key or a part of one.
    pub(crate) fn key(self, argument: &OsStr) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Exact => Ok(argument.as_encoded_bytes().to_vec()),
            Self::Escaped => unescape(argument.as_encoded_bytes())
                .map_err(|error| Failure::invalid(error.to_string())),
        }
    }

    /// The bytes of a value, read from where the argument says.
    pub(crate) fn value(self, argument: &OsStr) -> Result<Vec<u8>, Failure> {
        match argument.as_encoded_bytes() {
            b"-" => read_all(io::stdin().lock(), "standard input"),
            [b'@', b'@', ..] => self.key(OsStr::new(argument)).map(|value| value[1..].to_vec()),
            [b'@', ..] => read_file(argument),
            _ => self.key(argument),
        }
    }
}

fn read_file(argument: &OsStr) -> Result<Vec<u8>, Failure> {
    let path = path_behind_at(argument);
    let file = File::open(&path).map_err(|error| {
        Failure::invalid(format!("{} cannot be read: {error}", path.display()))
            .hint("a value that begins with @ is a file; write @@ for the sign itself")
    })?;
    read_all(file, &path.display().to_string())
}

#[cfg(unix)]
fn path_behind_at(argument: &OsStr) -> Box<Path> {
    use std::os::unix::ffi::OsStrExt;
    Path::new(OsStr::from_bytes(argument.as_bytes().get(1..).unwrap_or_default())).into()
}

#[cfg(not(unix))]
fn path_behind_at(argument: &OsStr) -> Box<Path> {
    Path::new(argument.to_string_lossy().get(1..).unwrap_or_default()).into()
}

/// Bytes that came from a line of text, as an argument.
#[cfg(unix)]
pub(crate) fn argument(word: Vec<u8>) -> std::ffi::OsString {
    std::os::unix::ffi::OsStringExt::from_vec(word)
}

/// Bytes that came from a line of text, as an argument.
#[cfg(not(unix))]
pub(crate) fn argument(word: Vec<u8>) -> std::ffi::OsString {
    String::from_utf8_lossy(&word).into_owned().into()
}

/// Reads a whole input, up to a bound; `name` is for the messages.
pub(crate) fn read_all(source: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    source
        .take(INPUT_BYTES_MAX + 1)
        .read_to_end(&mut value)
        .map_err(|error| Failure::invalid(format!("{name} cannot be read: {error}")))?;
    if value.len() as u64 > INPUT_BYTES_MAX {
        let message = format!("{name} is longer than {INPUT_BYTES_MAX} bytes");
        return Err(Failure::new(tidekeep_protocol::error::Code::TooLarge, message));
    }
    Ok(value)
}

/// The most that is read at once. Servers allow far less; this only keeps an endless input from
/// filling the memory before the server's own limit is known.
const INPUT_BYTES_MAX: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_taken_byte_for_byte() {
        let argument = argument(b"\xff\\n".to_vec());
        assert_eq!(Reading::Exact.key(&argument).unwrap(), b"\xff\\n");
        assert_eq!(Reading::Escaped.key(&argument).unwrap(), b"\xff\n");
    }

    #[test]
    fn a_value_names_its_source() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value");
        std::fs::write(&path, b"from a\0file").unwrap();
        let at_file = format!("@{}", path.display());
        assert_eq!(Reading::Exact.value(at_file.as_ref()).unwrap(), b"from a\0file");
        assert_eq!(Reading::Exact.value("@@home".as_ref()).unwrap(), b"@home");
        assert_eq!(Reading::Escaped.value("\\x2d".as_ref()).unwrap(), b"-");
        assert_eq!(Reading::Exact.value("plain".as_ref()).unwrap(), b"plain");
    }

    #[test]
    fn a_file_that_is_not_there_is_invalid_input() {
        let failure = Reading::Exact.value("@/does/not/exist".as_ref()).unwrap_err();
        assert_eq!(failure.exit(), crate::exit::Exit::Invalid);
    }
}
