//! A command's words: where they lie in the bytes that arrived, or a copy of them that outlives those
//! bytes.

/// Where a word lies, from the first byte of its command on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The bytes from `start` up to `end`. Commands are bounded far below 4 GiB.
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }
}

/// A command's words, its name first; at least one.
#[derive(Clone, Copy)]
pub(crate) struct Args<'a, 'b> {
    bytes: &'b [u8],
    spans: &'a [Span],
}

impl<'a, 'b> Args<'a, 'b> {
    pub(crate) fn new(bytes: &'b [u8], spans: &'a [Span]) -> Self {
        Self { bytes, spans }
    }

    /// How many words there are.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// A word; empty if there is none there. Arity is checked before.
    pub(crate) fn get(&self, at: usize) -> &'b [u8] {
        let span = self.spans.get(at);
        span.and_then(|span| self.bytes.get(span.start as usize..span.end as usize)).unwrap_or(b"")
    }

    /// The words from `from` on.
    pub(crate) fn from(
        &self,
        from: usize,
    ) -> impl ExactSizeIterator<Item = &'b [u8]> + use<'a, 'b> {
        let bytes = self.bytes;
        let spans = self.spans.get(from..).unwrap_or_default();
        spans
            .iter()
            .map(move |span| bytes.get(span.start as usize..span.end as usize).unwrap_or_default())
    }

    /// Whether a word is this one, in either case.
    pub(crate) fn is(&self, at: usize, word: &str) -> bool {
        at < self.len() && self.get(at).eq_ignore_ascii_case(word.as_bytes())
    }

    /// A copy that outlives the bytes.
    pub(crate) fn to_owned(self) -> OwnedArgs {
        let length: usize = self.from(0).map(<[u8]>::len).sum();
        let mut owned =
            OwnedArgs { bytes: Vec::with_capacity(length), spans: Vec::with_capacity(self.len()) };
        self.from(0).for_each(|word| owned.push(word));
        owned
    }
}

/// A command's words with their bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnedArgs {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl OwnedArgs {
    /// The words.
    pub(crate) fn as_args(&self) -> Args<'_, '_> {
        Args::new(&self.bytes, &self.spans)
    }

    /// Adds a word.
    pub(crate) fn push(&mut self, word: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(word);
        self.spans.push(Span::new(start, self.bytes.len()));
    }

    /// Memory that it takes, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity() + self.spans.capacity() * size_of::<Span>()
    }
}
