//! Goal: docs/states.md says what every operation and every host request does in every situation, and that is so. The
//! tables are read from that page; each cell is brought about on a simulated array, and what the array and the maps
//! show is written in the words of the tables and compared with the cell. So a word that is not of the vocabulary, a
//! row or a column that is missing, and an operation of the header without a row fail.

mod common;
#[path = "common/programs.rs"]
mod programs;

#[path = "states/observe.rs"]
mod observe;
#[path = "states/operations.rs"]
mod operations;
#[path = "states/situations.rs"]
mod situations;
#[path = "states/tables.rs"]
mod tables;

use observe::{Observed, host_request};
use operations::OPERATIONS;
use situations::{HOST_SITUATIONS, SITUATIONS};

/// Columns of the table of host I/O: what is asked for, and of which LU.
const REQUESTS: [(&str, u32, usize); 10] = [
    ("read S", ::clone_group::ffi::types::CLONE_GROUP_IO_READ, 0),
    ("write S", ::clone_group::ffi::types::CLONE_GROUP_IO_WRITE, 0),
    ("write_zeroes S", ::clone_group::ffi::types::CLONE_GROUP_IO_WRITE_ZEROES, 0),
    ("discard S", ::clone_group::ffi::types::CLONE_GROUP_IO_DISCARD, 0),
    ("flush S", ::clone_group::ffi::types::CLONE_GROUP_IO_FLUSH, 0),
    ("read C1", ::clone_group::ffi::types::CLONE_GROUP_IO_READ, 1),
    ("write C1", ::clone_group::ffi::types::CLONE_GROUP_IO_WRITE, 1),
    ("write_zeroes C1", ::clone_group::ffi::types::CLONE_GROUP_IO_WRITE_ZEROES, 1),
    ("discard C1", ::clone_group::ffi::types::CLONE_GROUP_IO_DISCARD, 1),
    ("flush C1", ::clone_group::ffi::types::CLONE_GROUP_IO_FLUSH, 1),
];

/// Compares every cell with what is observed, with both forms of the persistent maps, and tells all that differ.
fn compare(
    table: &tables::Table,
    rows: &[&str],
    columns: &[&str],
    observe: impl Fn(usize, usize) -> Observed,
) {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(table.rows, names(rows), "the rows of the page and of the test");
    assert_eq!(table.columns, names(columns), "the columns of the page and of the test");
    let mut wrong = Vec::new();
    for map_per_clone in [false, true] {
        situations::use_map_per_clone(map_per_clone);
        for (row, row_name) in rows.iter().enumerate() {
            for (column, column_name) in columns.iter().enumerate() {
                let (said, seen) = (table.cell(row, column), observe(row, column));
                if said != seen {
                    let cell = format!("{row_name} | {column_name}, a map for each: {map_per_clone}");
                    wrong.push(format!("{cell}: the page says `{said}`, seen is `{seen}`"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn operations_do_what_the_table_says() {
    let rows: Vec<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
    let columns: Vec<_> = SITUATIONS.iter().map(|situation| situation.name).collect();
    compare(&tables::read("operation"), &rows, &columns, |row, column| {
        OPERATIONS[row].observe(&mut (SITUATIONS[column].make)())
    });
}

#[test]
fn host_requests_do_what_the_table_says() {
    let rows: Vec<_> = HOST_SITUATIONS.iter().map(|situation| situation.name).collect();
    let columns: Vec<_> = REQUESTS.iter().map(|request| request.0).collect();
    compare(&tables::read("situation"), &rows, &columns, |row, column| {
        let (_, operation, lu) = REQUESTS[column];
        host_request(&(HOST_SITUATIONS[row].make)(), operation, lu)
    });
}

/// Operations of the header, each with its comment: functions that end with a tag, but for those of hosts and the
/// abort of one.
fn operations_of_the_header() -> Vec<(String, String)> {
    let header = programs::read("include/clone_group.h");
    let mut operations = Vec::new();
    for block in header.split("\n\n") {
        let comment = block.lines().filter_map(|line| line.strip_prefix("//"));
        let code = block.lines().filter(|line| !line.starts_with("//")).collect::<Vec<_>>().join(" ");
        let Some(call) = code.strip_prefix("int32_t clone_group_") else { continue };
        let name = call.split('(').next().unwrap_or_default();
        if code.contains("uint64_t tag)") && !name.starts_with("host_") && name != "abort"
            || name == "lu_attach"
        {
            operations.push((name.to_owned(), comment.collect::<String>()));
        }
    }
    assert!(operations.len() >= 21, "the header is not understood: {operations:?}");
    operations
}

/// The row of a function.
fn is_of(row: &str, name: &str) -> bool {
    row.split(',').next() == Some(name.strip_prefix("clone_").unwrap_or(name))
}

#[test]
fn every_operation_of_the_header_has_a_row() {
    for (name, _) in operations_of_the_header() {
        let has_row = OPERATIONS.iter().any(|row| is_of(row.name, &name));
        assert!(has_row, "clone_group_{name}() has no row in docs/states.md");
    }
}

/// The comment of an operation names every status of its row, itself or by "as clone_group_another()". What all
/// operations return stands at the top of the header.
#[test]
fn the_header_names_every_status_of_the_table() {
    let header = programs::read("include/clone_group.h");
    let (_, top) = header.split_once("// Operations on the group").expect("the paragraph about operations");
    let (top, _) = top.split_once("#define").expect("a constant");
    let common = ["BUSY", "NOT_READY", "CLOSED", "PREPARED"];
    for status in common {
        assert!(top.contains(&format!("CLONE_GROUP_ERR_{status}")), "{status} is not at the top");
    }
    let operations = operations_of_the_header();
    let comment_of =
        |name: &str| operations.iter().find(|operation| operation.0 == name).map(|of| of.1.clone());
    let table = tables::read("operation");
    let mut missing = Vec::new();
    for (name, comment) in &operations {
        let mut said = comment.clone();
        while let Some((rest, other)) = said.split_once(" as clone_group_").map(|(a, b)| (a.to_owned(), b)) {
            let (other, tail) = other.split_once("()").expect("a function");
            said = format!("{rest} {tail} {}", comment_of(other).unwrap_or_default());
        }
        for (row, row_name) in table.rows.iter().enumerate().filter(|row| is_of(row.1, name)) {
            for column in 0..table.columns.len() {
                let cell = table.cell(row, column);
                let status = cell.strip_prefix("then ").unwrap_or(cell).split(',').next().unwrap_or_default();
                let is_status =
                    status.len() > 2 && status.chars().all(|c| c.is_ascii_uppercase() || c == '_');
                let named = said.contains(&format!("ERR_{status}")) || said.contains(&format!(" _{status}"));
                if is_status && !named && !common.contains(&status) {
                    missing.push(format!("{row_name}: {status} ({})", table.columns[column]));
                }
            }
        }
    }
    assert!(missing.is_empty(), "the header does not name\n{}", missing.join("\n"));
}

/// Every state of a Clone has its row in the table of states, and its situation.
#[test]
fn every_state_of_the_header_has_a_situation() {
    let header = programs::read("include/clone_group.h");
    let page = programs::read("docs/states.md");
    let states = header.lines().filter_map(|line| line.strip_prefix("#define CLONE_GROUP_CLONE_"));
    let mut count = 0;
    for line in states {
        let (name, number) = line.split_once(' ').expect("a number");
        let number: usize = number.parse().expect("a number");
        assert!(page.contains(&format!("| `CLONE_GROUP_CLONE_{name}` | {number} |")), "{name} has no row");
        let situation = observe::STATES[number];
        assert_eq!(situation.to_uppercase(), name.replace('_', ""), "the words of the test");
        assert!(SITUATIONS.iter().any(|of| of.name == situation), "{situation} is no column");
        count += 1;
    }
    assert_eq!(count, observe::STATES.len());
}
