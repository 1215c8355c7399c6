//! Standard output: lines, tables and JSON.

use std::fmt::Write as _;
use std::io::{self, Write};

use clap::Args;
use serde::Serialize;
use thiserror::Error;

/// Chooses the form of what a command prints.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct FormatOptions {
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// Nothing can be written to standard output.
#[derive(Debug, Error)]
#[error("standard output: {0}")]
pub(crate) struct OutputError(#[from] io::Error);

impl OutputError {
    /// Whether the reader of standard output has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Prints text as it is.
pub(crate) fn print(text: &[u8]) -> Result<(), OutputError> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    Ok(out.flush()?)
}

/// Prints a line.
pub(crate) fn print_line(line: &str) -> Result<(), OutputError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Prints a value as a line of JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), OutputError> {
    let json = serde_json::to_string(value).map_err(io::Error::from)?;
    print_line(&json)
}

/// Rows under a heading, in columns as wide as their widest cell.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<T: Into<String>>(heading: impl IntoIterator<Item = T>) -> Self {
        let heading = heading.into_iter().map(Into::into).collect();
        Self {
            rows: vec![heading],
        }
    }

    pub(crate) fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    pub(crate) fn print(&self) -> Result<(), OutputError> {
        print(self.text().as_bytes())
    }

    fn text(&self) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(console::measure_text_width(cell));
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (width, cell) in widths.iter().zip(row) {
                let blanks = width - console::measure_text_width(cell) + GUTTER;
                // Writing to a string does not fail.
                let _ = write!(line, "{cell}{:blanks$}", "");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Blanks between columns.
const GUTTER: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["name", "events"]);
        table.row(["a", "1"]);
        table.row(["größer", "20"]);
        table.row(["", "3", "more"]);
        let text = "name    events\na       1\ngrößer  20\n        3       more\n";
        assert_eq!(table.text(), text);
    }
}
