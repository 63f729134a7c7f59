//! What a page has to download for the client: measured, printed as a table, and held to a limit.

use std::fmt;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::web::assets;
use crate::workspace::Workspace;

/// Compressed bytes that JavaScript and wasm of the client may have together.
const GZIP_LIMIT: usize = 40_000;
const DIST: &str = "client-web/dist";
/// The form without anything inlined, which the limit is for.
const PARTS: [(&str, &str); 2] = [("JavaScript", "slim.js"), ("wasm", "tidekeep.wasm")];
/// The form that needs no bundler settings: the module as text within the JavaScript.
const INLINED: &str = "index.js";

/// Bytes of one file or of several together.
#[derive(Clone, Copy, Default)]
struct Size {
    raw: usize,
    gzip: usize,
    brotli: usize,
}

/// The client's sizes.
pub(super) struct Sizes {
    parts: Vec<(&'static str, Size)>,
    inlined: Size,
}

/// Reads what the package's build left in `client-web/dist`.
pub(super) fn measure(workspace: &Workspace) -> Result<Sizes> {
    let mut parts = Vec::new();
    for (what, file) in PARTS {
        parts.push((what, size(workspace, file)?));
    }
    Ok(Sizes { parts, inlined: size(workspace, INLINED)? })
}

fn size(workspace: &Workspace, file: &str) -> Result<Size> {
    let path = workspace.path(DIST).join(file);
    let bytes = fs::read(&path)
        .with_context(|| format!("the package's build left no {}", path.display()))?;
    Ok(Size {
        raw: bytes.len(),
        gzip: assets::gzip(&bytes)?.len(),
        brotli: assets::brotli(&bytes)?.len(),
    })
}

impl Sizes {
    fn together(&self) -> Size {
        self.parts.iter().fold(Size::default(), |sum, (_, size)| Size {
            raw: sum.raw + size.raw,
            gzip: sum.gzip + size.gzip,
            brotli: sum.brotli + size.brotli,
        })
    }

    /// Fails when the client has outgrown its limit.
    pub(super) fn check(&self) -> Result<()> {
        let gzip = self.together().gzip;
        if gzip >= GZIP_LIMIT {
            bail!("the client's {gzip} B of gzip are not below the limit of {GZIP_LIMIT} B");
        }
        Ok(())
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<24}{:>10}{:>10}{:>10}", "size of the client (B)", "raw", "gzip", "brotli")?;
        let mut row = |name: &str, size: Size| {
            writeln!(f, "  {name:<22}{:>10}{:>10}{:>10}", size.raw, size.gzip, size.brotli)
        };
        for (what, size) in &self.parts {
            row(what, *size)?;
        }
        row("together", self.together())?;
        row("as one inlined file", self.inlined)?;
        let gzip = self.together().gzip;
        writeln!(f, "  {gzip} B of gzip, {GZIP_LIMIT} B allowed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(gzip: usize) -> Sizes {
        let half = Size { raw: gzip * 2, gzip: gzip / 2, brotli: gzip / 3 };
        Sizes { parts: vec![("JavaScript", half), ("wasm", half)], inlined: half }
    }

    #[test]
    fn the_limit_is_exclusive() {
        assert!(sizes(GZIP_LIMIT - 2).check().is_ok());
        assert!(sizes(GZIP_LIMIT).check().is_err());
    }

    #[test]
    fn the_table_adds_up() {
        let table = sizes(1_000).to_string();
        assert!(table.contains("together                    4000      1000       666"), "{table}");
    }
}
