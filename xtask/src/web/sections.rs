//! The sections of a wasm module, and what the build changes in them by itself: the names by which page
//! and module know each other, which wasm-bindgen makes long, and a table of names that orders functions.

use anyhow::{Context, Result, bail, ensure};

const HEADER: &[u8] = b"\0asm\x01\0\0\0";

const CUSTOM: u8 = 0;
const IMPORT: u8 = 2;
const EXPORT: u8 = 7;
const CODE: u8 = 10;

/// Of imports and exports: it is a function.
const FUNCTION: u8 = 0;

/// In the custom section `name`: the names of functions.
const FUNCTION_NAMES: u8 = 1;

/// What the module calls the page.
const PAGE: &[u8] = b"page";

/// What wasm-bindgen puts before and behind a name.
const PREFIXES: [&str; 2] = ["__wbg_", "__wbindgen_"];
const HASH_DIGITS: usize = 16;

/// The export that would be called before all others. It is an import of the page's, which does nothing.
const START: &str = "__wbindgen_start";

/// One section.
pub(super) struct Section<'a> {
    kind: u8,
    content: &'a [u8],
}

/// A module's sections, in order.
pub(super) fn read(module: &[u8]) -> Result<Vec<Section<'_>>> {
    let mut rest = Reader(module.strip_prefix(HEADER).context("this is no wasm module")?);
    let mut sections = Vec::new();
    while !rest.0.is_empty() {
        let kind = rest.byte()?;
        sections.push(Section { kind, content: rest.bytes()? });
    }
    Ok(sections)
}

/// Shortens what the module imports to the page's own names (`__wbg_send_0123456789abcdef` is `send`),
/// and drops exports that only wasm-bindgen's own way into the module would use.
pub(super) fn with_short_names(module: &[u8]) -> Result<Vec<u8>> {
    let sections = read(module)?;
    let imported = imported(&sections)?;
    let mut out = HEADER.to_vec();
    for Section { kind, content } in sections {
        let content = match kind {
            IMPORT => imports(content)?,
            EXPORT => exports(content, imported)?,
            _ => content.to_vec(),
        };
        push_section(&mut out, kind, &content);
    }
    Ok(out)
}

/// The functions' bodies, each behind its length.
pub(super) fn bodies<'a>(sections: &[Section<'a>]) -> Result<Vec<&'a [u8]>> {
    let mut rest = Reader(content(sections, CODE).context("the module has no code")?);
    (0..rest.number()?)
        .map(|_| {
            let before = rest.0;
            rest.bytes()?;
            Ok(&before[..before.len() - rest.0.len()])
        })
        .collect()
}

/// The module with names for its functions that sort as `order` says.
pub(super) fn with_order(module: &[u8], order: &[usize]) -> Result<Vec<u8>> {
    let imported = imported(&read(module)?)?;
    let mut ranks: Vec<_> = order.iter().enumerate().map(|(rank, place)| (place, rank)).collect();
    ranks.sort_unstable();
    let mut names = Vec::new();
    push_number(&mut names, ranks.len());
    for (place, rank) in ranks {
        push_number(&mut names, imported + place);
        push_bytes(&mut names, format!("{rank:06}").as_bytes());
    }
    let mut content = Vec::new();
    push_bytes(&mut content, b"name");
    push_section(&mut content, FUNCTION_NAMES, &names);
    let mut out = module.to_vec();
    push_section(&mut out, CUSTOM, &content);
    Ok(out)
}

fn content<'a>(sections: &[Section<'a>], kind: u8) -> Option<&'a [u8]> {
    sections.iter().find(|section| section.kind == kind).map(|section| section.content)
}

/// How many functions are imported: their numbers come before the others'.
fn imported(sections: &[Section<'_>]) -> Result<usize> {
    content(sections, IMPORT).map_or(Ok(0), |content| Reader(content).number())
}

fn imports(content: &[u8]) -> Result<Vec<u8>> {
    let (mut rest, mut out, mut names) = (Reader(content), Vec::new(), Vec::new());
    let count = rest.number()?;
    push_number(&mut out, count);
    for _ in 0..count {
        rest.bytes()?;
        let name = short(rest.name()?);
        ensure!(!names.contains(&name), "the module imports two things by the name {name}");
        ensure!(rest.byte()? == FUNCTION, "the module imports {name}, which is no function");
        push_bytes(&mut out, PAGE);
        push_bytes(&mut out, name.as_bytes());
        out.push(FUNCTION);
        push_number(&mut out, rest.number()?);
        names.push(name);
    }
    Ok(out)
}

/// `imported` is the number of functions that are imported.
fn exports(content: &[u8], imported: usize) -> Result<Vec<u8>> {
    let (mut rest, mut out, mut kept) = (Reader(content), Vec::new(), 0);
    for _ in 0..rest.number()? {
        let (name, kind, number) = (rest.name()?, rest.byte()?, rest.number()?);
        if name == START && (kind != FUNCTION || number >= imported) {
            bail!("{START} does something");
        }
        if name.starts_with("__") {
            continue;
        }
        push_bytes(&mut out, name.as_bytes());
        out.push(kind);
        push_number(&mut out, number);
        kept += 1;
    }
    let mut all = Vec::new();
    push_number(&mut all, kept);
    all.extend(out);
    Ok(all)
}

/// A name without what wasm-bindgen puts around it.
fn short(mut name: &str) -> &str {
    for prefix in PREFIXES {
        name = name.strip_prefix(prefix).unwrap_or(name);
    }
    match name.rsplit_once('_') {
        Some((name, hash))
            if hash.len() == HASH_DIGITS && hash.bytes().all(|it| it.is_ascii_hexdigit()) =>
        {
            name
        }
        _ => name,
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8> {
        let (&byte, rest) = self.0.split_first().context("the module is cut")?;
        self.0 = rest;
        Ok(byte)
    }

    /// A number of at most 32 bits, seven bits a byte, lowest first.
    fn number(&mut self) -> Result<usize> {
        let mut value = 0;
        for shift in (0..32).step_by(7) {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        bail!("a number of the module is too long")
    }

    fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.number()?;
        let (bytes, rest) = self.0.split_at_checked(length).context("the module is cut")?;
        self.0 = rest;
        Ok(bytes)
    }

    fn name(&mut self) -> Result<&'a str> {
        Ok(std::str::from_utf8(self.bytes()?)?)
    }
}

fn push_number(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_number(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn push_section(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    out.push(kind);
    push_bytes(out, content);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A module that imports a function and has others with these bodies.
    pub(in crate::web) fn module(exports: &[(&str, usize)], bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut out = HEADER.to_vec();
        // One type: nothing in, nothing out.
        push_section(&mut out, 1, &[1, 0x60, 0, 0]);
        let mut content = vec![1];
        push_bytes(&mut content, b"./tidekeep_bg.js");
        push_bytes(&mut content, b"__wbg_send_0123456789abcdef");
        content.extend([FUNCTION, 0]);
        push_section(&mut out, IMPORT, &content);
        let mut content = Vec::new();
        push_number(&mut content, exports.len());
        for (name, number) in exports {
            push_bytes(&mut content, name.as_bytes());
            content.push(FUNCTION);
            push_number(&mut content, *number);
        }
        push_section(&mut out, EXPORT, &content);
        let mut content = Vec::new();
        push_number(&mut content, bodies.len());
        for body in bodies {
            push_bytes(&mut content, body);
        }
        push_section(&mut out, CODE, &content);
        out
    }

    #[test]
    fn page_and_module_know_each_other_by_short_names() {
        let exports = [(START, 0), ("ask", 1), ("__wbindgen_free", 2)];
        let short = with_short_names(&module(&exports, &[vec![0, 0x0B], vec![0, 0x0B]])).unwrap();
        let sections = read(&short).unwrap();
        assert_eq!(content(&sections, IMPORT).unwrap(), b"\x01\x04page\x04send\0\0");
        assert_eq!(content(&sections, EXPORT).unwrap(), b"\x01\x03ask\0\x01");
        assert_eq!(bodies(&sections).unwrap(), [[2, 0, 0x0B], [2, 0, 0x0B]]);

        assert!(with_short_names(&module(&[(START, 1)], &[vec![0, 0x0B]])).is_err());
    }

    #[test]
    fn names_lose_what_was_put_around_them() {
        assert_eq!(short("__wbg___wbindgen_throw_be289d5034ed271b"), "throw");
        assert_eq!(short("__wbindgen_init_externref_table"), "init_externref_table");
        assert_eq!(short("__wbg_readyState_039bc047141a5f6d"), "readyState");
    }

    #[test]
    fn a_module_that_is_cut_is_refused() {
        let whole = module(&[("ask", 1)], &[vec![0, 0x0B]]);
        for length in [4, whole.len() - 1] {
            assert!(read(&whole[..length]).is_err());
        }
        assert!(read(&whole).is_ok());
    }

    #[test]
    fn functions_are_named_in_their_order() {
        let named = with_order(&module(&[], &[vec![1], vec![2], vec![3]]), &[2, 0, 1]).unwrap();
        let names = read(&named).unwrap().pop().unwrap();
        assert_eq!(names.kind, CUSTOM);
        let table = b"\x03\x01\x06000001\x02\x06000002\x03\x06000000";
        assert_eq!(names.content, [b"\x04name\x01\x19", &table[..]].concat());
    }
}
