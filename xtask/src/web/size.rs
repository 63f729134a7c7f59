//! What a page has to download for the client: measured, printed as a table, and held to a limit.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::web::assets;
use crate::workspace::Workspace;

/// Compressed bytes that the client may have, in each of its forms.
const GZIP_LIMIT: usize = 32_000;
const DIST: &str = "client-web/dist";
/// The form without anything inlined.
const PARTS: [(&str, &str); 2] = [("JavaScript", "slim.js"), ("wasm", "tidekeep.wasm")];
/// The form that needs no bundler settings: the module packed and as text within the JavaScript.
const INLINED: &str = "index.js";

/// The files that make up the client.
pub(super) struct Sizes {
    parts: Vec<(&'static str, Vec<u8>)>,
    inlined: Vec<u8>,
}

/// Reads what the package's build left in `client-web/dist`.
pub(super) fn measure(workspace: &Workspace) -> Result<Sizes> {
    let mut parts = Vec::new();
    for (what, file) in PARTS {
        parts.push((what, read(workspace, file)?));
    }
    Ok(Sizes { parts, inlined: read(workspace, INLINED)? })
}

fn read(workspace: &Workspace, file: &str) -> Result<Vec<u8>> {
    let path = workspace.path(DIST).join(file);
    fs::read(&path).with_context(|| format!("the package's build left no {}", path.display()))
}

impl Sizes {
    /// Fails when the client has outgrown its limit.
    pub(super) fn check(&self) -> Result<()> {
        let mut gzip = 0;
        for (_, bytes) in &self.parts {
            gzip += assets::gzip(bytes)?.len();
        }
        for (form, gzip) in [("apart", gzip), ("inlined", assets::gzip(&self.inlined)?.len())] {
            if gzip >= GZIP_LIMIT {
                bail!("the client's {gzip} B of gzip, {form}, are not below {GZIP_LIMIT} B");
            }
        }
        Ok(())
    }

    /// Raw, gzip and brotli bytes of each part, of both together, and of the inlined file.
    pub(super) fn table(&self) -> Result<String> {
        let mut rows = Vec::new();
        let mut sum = [0; 3];
        for (what, bytes) in &self.parts {
            let row = columns(bytes)?;
            sum = std::array::from_fn(|column| sum[column] + row[column]);
            rows.push((*what, row));
        }
        rows.push(("together", sum));
        rows.push(("as one inlined file", columns(&self.inlined)?));

        let mut table = format!(
            "{:<24}{:>10}{:>10}{:>10}\n",
            "size of the client (B)", "raw", "gzip", "brotli"
        );
        for (what, [raw, gzip, brotli]) in rows {
            writeln!(table, "  {what:<22}{raw:>10}{gzip:>10}{brotli:>10}")?;
        }
        writeln!(table, "  below {GZIP_LIMIT} B of gzip wanted, apart and inlined")?;
        Ok(table)
    }
}

fn columns(bytes: &[u8]) -> Result<[usize; 3]> {
    Ok([bytes.len(), assets::gzip(bytes)?.len(), assets::brotli(bytes)?.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that no compressor makes smaller.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    fn sizes(length: usize) -> Sizes {
        let parts = vec![("JavaScript", noise(length / 2)), ("wasm", noise(length / 2))];
        Sizes { parts, inlined: noise(length) }
    }

    #[test]
    fn each_form_is_held_to_the_limit() {
        let check = |apart, inlined| {
            let Sizes { parts, .. } = sizes(apart);
            Sizes { parts, inlined: noise(inlined) }.check()
        };
        assert!(check(GZIP_LIMIT - 1_000, GZIP_LIMIT - 1_000).is_ok());
        assert!(check(GZIP_LIMIT, GZIP_LIMIT - 1_000).is_err());
        assert!(check(GZIP_LIMIT - 1_000, GZIP_LIMIT).is_err());
    }

    #[test]
    fn the_table_adds_up() {
        let table = sizes(1_000).table().unwrap();
        assert!(table.contains("together                    1000"), "{table}");
    }
}
