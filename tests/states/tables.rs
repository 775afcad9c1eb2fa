//! The tables of docs/states.md. Several tables whose first header cell is the same are one, side by side.

use super::programs;

/// One table.
#[derive(Default)]
pub struct Table {
    pub rows: Vec<String>,
    pub columns: Vec<String>,
    /// By row.
    cells: Vec<Vec<String>>,
}

impl Table {
    pub fn cell(&self, row: usize, column: usize) -> &str {
        self.cells[row].get(column).map_or("no cell", String::as_str)
    }
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect()
}

/// Reads the tables whose first header cell is this.
pub fn read(first: &str) -> Table {
    let page = programs::read("docs/states.md");
    let mut lines = page.lines();
    let mut table = Table::default();
    while let Some(line) = lines.find(|line| line.starts_with(&format!("| {first} |"))) {
        let header = cells(line);
        lines.next().filter(|line| line.starts_with("| ---")).expect("a line under the header");
        let rows: Vec<_> = lines.by_ref().take_while(|line| line.starts_with('|')).map(cells).collect();
        let names: Vec<_> = rows.iter().map(|row| row[0].clone()).collect();
        if table.rows.is_empty() {
            table.rows.clone_from(&names);
            table.cells = vec![Vec::new(); names.len()];
        }
        assert_eq!(table.rows, names, "tables side by side have the same rows");
        for (all, row) in table.cells.iter_mut().zip(rows) {
            assert_eq!(row.len(), header.len(), "a row of `{}` has a cell too many or too few", row[0]);
            all.extend_from_slice(&row[1..]);
        }
        table.columns.extend_from_slice(&header[1..]);
    }
    assert!(!table.rows.is_empty(), "docs/states.md has no table of `{first}`");
    table
}
