//! The format of a vector file: blocks of `name: value` lines with empty lines between them. It is
//! described in `docs/protocol.md`, so that the clients in other languages read the same files.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::fields::Field;

/// One vector file.
pub(crate) struct File {
    pub path: PathBuf,
    pub blocks: Vec<Block>,
    /// The comment at the top.
    head: String,
}

/// One vector.
#[derive(Default)]
pub(crate) struct Block {
    pub file: String,
    pub name: String,
    pub kind: u8,
    pub flags: u8,
    pub id: u32,
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// The size at which a reply is cut into frames; none for a message that is one frame.
    pub chunk_bytes: Option<usize>,
    /// What a malformed vector is refused for.
    pub expect: Option<String>,
    /// The whole frames, more than one if the reply comes in chunks.
    pub frames: Vec<Vec<u8>>,
    json: Option<Field>,
    lines: Vec<String>,
}

/// Every vector file, by name.
pub(crate) fn files() -> Vec<File> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the vectors are there")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "there are vectors");
    paths.into_iter().map(File::read).collect()
}

/// Every vector of every file.
pub(crate) fn all() -> impl Iterator<Item = Block> {
    files().into_iter().flat_map(|file| file.blocks)
}

impl File {
    fn read(path: PathBuf) -> Self {
        let text = std::fs::read_to_string(&path).expect("a vector file is text");
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        let mut parts = text.trim_end().split("\n\n");
        let head = parts.next().unwrap_or_default().to_owned();
        assert!(head.starts_with('#'), "{name} opens with a comment");
        let blocks = parts.map(|part| Block::read(&name, part)).collect();
        Self { path, blocks, head }
    }

    /// The file's text with these blocks.
    pub(crate) fn text(&self, blocks: &[String]) -> String {
        let mut text = self.head.clone();
        for block in blocks {
            text.push_str("\n\n");
            text.push_str(block);
        }
        text.push('\n');
        text
    }
}

impl Block {
    fn read(file: &str, text: &str) -> Self {
        let mut block = Self { file: file.to_owned(), ..Self::default() };
        for line in text.lines() {
            if !line.starts_with('#') {
                let (field, value) =
                    line.split_once(": ").unwrap_or_else(|| panic!("{file}: `{line}`"));
                block.take(field, value);
            }
            if !line.starts_with("bytes: ") {
                block.lines.push(line.to_owned());
            }
        }
        assert!(!block.name.is_empty(), "{file}: a block without a name: {text}");
        assert_ne!(block.json.is_some(), block.expect.is_some(), "{block}: json or expect");
        block
    }

    fn take(&mut self, field: &str, value: &str) {
        match field {
            "name" => value.clone_into(&mut self.name),
            "kind" => self.kind = from_hex(value.strip_prefix("0x").expect("0x before a kind"))[0],
            "flags" => self.flags = value.parse().expect("flags are a number"),
            "id" => self.id = value.parse().expect("an id is a number"),
            "ext" => {
                let (tag, data) = value.split_once('=').expect("tag=data");
                self.extensions.push((from_hex(tag)[0], from_hex(data)));
            }
            "chunk_bytes" => self.chunk_bytes = Some(value.parse().expect("a size is a number")),
            "json" => {
                let json = serde_json::from_str(value).unwrap_or_else(|e| panic!("{self}: {e}"));
                self.json = Some(Field::from_json(json));
            }
            "expect" => self.expect = Some(value.to_owned()),
            "bytes" => self.frames.push(from_hex(value)),
            other => panic!("{self}: unknown field {other}"),
        }
    }

    /// The fields of a well-formed message.
    pub(crate) fn fields(&self) -> Option<&Field> {
        self.json.as_ref()
    }

    /// The block's text with the bytes of these frames.
    pub(crate) fn with_frames(&self, frames: &[Vec<u8>]) -> String {
        let mut lines = self.lines.clone();
        lines.extend(frames.iter().map(|frame| format!("bytes: {}", to_hex(frame))));
        lines.join("\n")
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.name)
    }
}

/// Bytes from an even number of hexadecimal digits.
pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "an even number of digits: {text}");
    text.as_bytes()
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("hexadecimal digits");
            u8::from_str_radix(pair, 16).unwrap_or_else(|_| panic!("`{pair}` is not hexadecimal"))
        })
        .collect()
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
