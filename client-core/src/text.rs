//! Text that came from a server, or is the program's own. It is kept as bytes: to look whether they are UTF-8
//! would take a hundredth of what a page downloads, and who shows them looks anyway.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

/// What a text that is none shows as.
const NO_TEXT: &str = "(no UTF-8)";

/// A text. As a `str` it is a fixed one where a server sent what is no UTF-8.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Vec<u8>);

impl Text {
    /// What was meant as text.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Its bytes, as they came.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Cow<'static, str>> for Text {
    fn from(text: Cow<'static, str>) -> Self {
        Self(text.into_owned().into_bytes())
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or(NO_TEXT)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        <str as fmt::Debug>::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_shown_as_such_and_keeps_its_bytes() {
        assert_eq!(&*Text::from_bytes("é".as_bytes()), "é");
        let broken = Text::from_bytes(b"caf\xE9");
        assert_eq!((&*broken, broken.bytes()), (NO_TEXT, &b"caf\xE9"[..]));
    }
}
