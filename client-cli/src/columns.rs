//! Rows whose cells stand below each other, in colours where the output shows them.

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use crate::failure::Failure;
use crate::output::Out;

/// A cell.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A text like any other.
    pub(crate) fn plain(text: impl ToString) -> Self {
        Self { text: text.to_string(), style: Style::new() }
    }

    /// What names a column.
    pub(crate) fn heading(text: &str) -> Self {
        Self { text: text.to_owned(), style: AnsiColor::Cyan.on_default() }
    }

    /// What is as it should be.
    pub(crate) fn well(text: impl ToString) -> Self {
        Self { text: text.to_string(), style: AnsiColor::Green.on_default() }
    }

    /// What somebody should look at.
    pub(crate) fn amiss(text: impl ToString) -> Self {
        Self { text: text.to_string(), style: AnsiColor::Red.on_default().bold() }
    }
}

/// Prints rows of as many cells each.
pub(crate) fn print(out: &mut Out, rows: &[Vec<Cell>]) -> Result<(), Failure> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].text.width()).max();
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or_default()).collect();
    for row in rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            line.push_str(&out.paint(cell.style, &cell.text));
            if at + 1 < columns {
                let gap = width - cell.text.width() + GAP;
                line.extend(std::iter::repeat_n(' ', gap));
            }
        }
        out.line(line.trim_end())?;
    }
    Ok(())
}

const GAP: usize = 2;
