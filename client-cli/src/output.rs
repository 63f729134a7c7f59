//! Where results go: standard output, in the format that was asked for. Everything else a command
//! says goes to standard error.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use anstyle::Style;
use clap::ValueEnum;
use serde::Serialize;

use crate::failure::{Failure, Styles};

/// What results look like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people: one line a thing, unprintable bytes escaped
    #[default]
    Text,
    /// For programs: one JSON object a line, with all that is known
    Json,
    /// Exactly the bytes, nothing added
    Raw,
}

/// Standard output, buffered: what is printed is seen after [`Out::flush`].
#[derive(Debug)]
pub(crate) struct Out {
    format: Format,
    terminal: bool,
    colour: bool,
    stream: BufWriter<Stdout>,
}

impl Out {
    /// Standard output in this format.
    pub(crate) fn new(format: Format) -> Self {
        let stdout = io::stdout();
        Self {
            format,
            terminal: stdout.is_terminal(),
            colour: anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never,
            stream: BufWriter::with_capacity(BUFFER_BYTES, stdout),
        }
    }

    /// The format that was asked for.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Whether a person is looking.
    pub(crate) fn terminal(&self) -> bool {
        self.terminal
    }

    /// The terminal's width in columns; none when a program reads the output.
    pub(crate) fn width(&self) -> Option<usize> {
        if !self.terminal {
            return None;
        }
        terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
    }

    /// Prints these bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Prints a line of text.
    pub(crate) fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        Ok(writeln!(self.stream, "{text}")?)
    }

    /// Prints a JSON object on a line of its own.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.stream, value).map_err(io::Error::from)?;
        Ok(self.stream.write_all(b"\n")?)
    }

    /// Makes everything printed so far visible.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.stream.flush()?)
    }

    /// `text` in this style, if the output shows colours.
    pub(crate) fn paint(&self, style: Style, text: impl Display) -> String {
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_string() }
    }

    /// The stream itself, for code that writes to any stream.
    pub(crate) fn stream(&mut self) -> &mut impl Write {
        &mut self.stream
    }
}

/// The styles for standard error.
fn error_styles() -> Styles {
    if errors_in_colour() { Styles::COLOUR } else { Styles::default() }
}

/// Whether standard error shows colours.
pub(crate) fn errors_in_colour() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}

/// Says something to the person on standard error that is no result. A closed standard error is
/// nobody's loss.
pub(crate) fn note(text: impl Display) {
    let style = error_styles().note;
    let _ = writeln!(io::stderr(), "{style}note:{style:#} {text}");
}

/// Prints a failure's lines on standard error.
pub(crate) fn report(failure: &Failure) {
    let _ = io::stderr().write_all(failure.text(&error_styles()).as_bytes());
}

const BUFFER_BYTES: usize = 64 << 10;
