//! Columns for people.

/// Rows of cells, each column as wide as its widest cell; numbers are for the caller to align.
#[derive(Default)]
pub(super) struct Table(Vec<Vec<String>>);

impl Table {
    /// Begins with the columns' names.
    pub fn new(names: &[&str]) -> Table {
        let mut table = Table::default();
        table.row(names.iter().map(|name| (*name).to_owned()));
        table
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.push(cells.into_iter().collect());
    }

    /// Writes all rows, each behind `indent`, two spaces between columns, none at the end.
    pub fn write(&self, indent: &str, out: &mut String) {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.0 {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            out.push_str(indent);
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["A", "LONG NAME", "C"]);
        table.row(["wider".into(), "x".into(), String::new()]);
        let mut out = String::new();
        table.write("  ", &mut out);
        assert_eq!(out, "  A      LONG NAME  C\n  wider  x\n");
    }
}
