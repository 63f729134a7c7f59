//! The module as the default entry bears it: an `.lzma` file, which `client-web/ts/lzma.ts` reads. Scripts
//! are sent by gzip at best in many places; packed so, the module is a tenth smaller and stays so.

use std::io::Write as _;

use anyhow::{Context, Result};
use lzma_rust2::{LzmaOptions, LzmaWriter};

const PRESET: u32 = 9;
/// The settings that the reader is written for.
const LITERAL_CONTEXT_BITS: u32 = 3;
const LITERAL_POSITION_BITS: u32 = 0;
const POSITION_BITS: u32 = 0;
/// Matches of this length are taken as they are, without looking for better ones: measured.
const LONGEST_MATCH: u32 = 32;
const SEARCH_DEPTH: i32 = 1000;

/// Packs a module, with its length in the header and no mark at the end.
pub(super) fn lzma(module: &[u8]) -> Result<Vec<u8>> {
    let mut options = LzmaOptions::with_preset(PRESET);
    options.lc = LITERAL_CONTEXT_BITS;
    options.lp = LITERAL_POSITION_BITS;
    options.pb = POSITION_BITS;
    options.nice_len = LONGEST_MATCH;
    options.depth_limit = SEARCH_DEPTH;
    let length = u64::try_from(module.len())?;
    let mut writer = LzmaWriter::new_use_header(Vec::new(), &options, Some(length))
        .context("the settings are none of LZMA's")?;
    writer.write_all(module)?;
    Ok(writer.finish()?)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use lzma_rust2::LzmaReader;

    use super::lzma;

    #[test]
    fn the_settings_are_those_of_the_reader_and_the_length_is_told() {
        let module: Vec<u8> = (0..5_000_u32).map(|index| ((index * index) >> 5) as u8).collect();
        let packed = lzma(&module).expect("packed");
        assert!(packed.len() < module.len());
        assert_eq!(packed[0], 3, "lc=3, lp=0, pb=0");
        assert_eq!(packed[5..13], 5_000_u64.to_le_bytes());
        let mut reader = LzmaReader::new_mem_limit(&packed[..], u32::MAX, None).expect("a header");
        let mut unpacked = Vec::new();
        reader.read_to_end(&mut unpacked).expect("unpacked");
        assert_eq!(unpacked, module);
    }
}
