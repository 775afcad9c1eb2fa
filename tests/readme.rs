//! Goal: what README.md and docs/ show is so. The example is c-examples/minimal.c, the errors are those of the header,
//! the memory table is what the library calculates, Python blocks run and print what is printed below them, every
//! command is one that CI runs, and docs/architecture.md names every source file.

#[path = "common/programs.rs"]
mod programs;

use std::mem::{size_of, zeroed};
use std::process::{Command, Stdio};

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

/// Commands of the README; the file that runs each, and how it is written there.
const COMMANDS: [(&str, &str, &str); 6] = [
    ("make -C c-examples demo", ".ci/run", "make -C c-examples demo"),
    ("cargo test", ".ci/run", "cargo test"),
    ("make install PREFIX=/usr/local", ".ci/run", "make install-check"),
    (
        "cc -o minimal c-examples/minimal.c $(pkg-config --cflags --libs clone_group)",
        "Makefile",
        "c-examples/minimal.c",
    ),
    (
        "cargo build --release --no-default-features --features std",
        ".ci/run",
        "--no-default-features --features std",
    ),
    (
        "cargo rustc --lib --crate-type staticlib --no-default-features --features parts --profile firmware",
        ".ci/run",
        "--crate-type staticlib --no-default-features --features parts --profile firmware",
    ),
];

/// The fenced blocks of a document: language and content.
fn blocks(document: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in programs::read(document).lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((language.to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, content)), None) => *content += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{document}: the last block is not closed");
    blocks
}

/// The cells of the table rows whose first cell starts with this.
fn rows(document: &str, start: &str) -> Vec<Vec<String>> {
    let text = programs::read(document);
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    text.lines().filter(|line| line.starts_with(&format!("| {start}"))).map(cells).collect()
}

#[test]
fn example_is_the_smallest_controller() {
    let examples: Vec<_> = blocks("README.md").into_iter().filter(|(language, _)| language == "c").collect();
    let first = examples.first().expect("README.md has a block in C");
    let is_same = first.1 == programs::read("c-examples/minimal.c");
    assert!(is_same, "the example of README.md is not c-examples/minimal.c word for word: copy it");
}

#[test]
fn errors_are_those_of_the_header() {
    let header = programs::header();
    let value = |name: &str| {
        let define = format!("#define {name} ");
        header.lines().find_map(|line| line.strip_prefix(&define)).expect("it is defined").to_owned()
    };
    let outcomes = ["CLONE_GROUP_OK", "CLONE_GROUP_PENDING", "CLONE_GROUP_MORE", "CLONE_GROUP_RETRY"];
    let is_status = |name: &String| name.starts_with("CLONE_GROUP_ERR_") || outcomes.contains(&name.as_str());
    let declared = programs::header_constants().into_iter().filter(is_status);
    let declared: Vec<_> = declared.map(|name| (format!("`{name}`"), value(&name))).collect();
    let in_table = rows("README.md", "`CLONE_GROUP_").into_iter().filter(|row| row[1].parse::<i32>().is_ok());
    let is_status = |row: &Vec<String>| declared.iter().any(|(name, _)| *name == row[0]);
    let in_table: Vec<_> = in_table.filter(is_status).map(|row| (row[0].clone(), row[1].clone())).collect();
    assert!(declared.len() > 30, "statuses are found in the header");
    assert_eq!(in_table, declared, "the errors table of README.md (left) and the header (right) differ");
}

#[test]
fn every_command_is_run_by_ci_or_a_test() {
    let text: String = blocks("README.md").into_iter().map(|(_, block)| block).collect();
    let shown: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    for &command in &shown {
        let is_listed = COMMANDS.iter().any(|(listed, ..)| *listed == command);
        assert!(is_listed, "nobody is known to run `{command}`: let CI run it and add it to COMMANDS");
    }
    for (command, file, part) in COMMANDS {
        assert!(shown.contains(&command), "`{command}` is in COMMANDS and not shown any more");
        if programs::root().join(file).exists() {
            assert!(programs::read(file).contains(part), "{file} does not run `{part}`, which is shown");
        } else {
            programs::skip(&format!("`{command}`"), &format!("there is no {file}, as in a package"));
        }
    }
}

/// The number before a unit: `64 KiB`.
fn bytes(cell: &str) -> u64 {
    let (number, unit) = cell.split_once(' ').expect("a number and a unit");
    let shift = ["KiB", "MiB", "GiB", "TiB"].iter().position(|known| *known == unit).expect("a unit");
    number.parse::<u64>().expect("a number") << (10 * (shift + 1))
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[test]
#[cfg(target_pointer_width = "64")]
fn memory_is_what_the_library_calculates() {
    let is_size = |row: &Vec<String>| row.len() == 5 && row[0].ends_with(" TiB");
    let rows: Vec<_> = ["1 ", "16 ", "256 "].iter().flat_map(|start| rows("README.md", start)).collect();
    assert_eq!(rows.iter().filter(|row| is_size(row)).count(), 12, "three LUs, two extents, two groups");
    for row in rows {
        let (mut workspace, mut metadata) = (0, 0);
        // SAFETY: integers, for which zero is a value; pointers to locals.
        let statuses = unsafe {
            let mut config: clone_group_config = zeroed();
            clone_group_config_init(&raw mut config, size_of::<clone_group_config>() as u32);
            config.lu_blocks = bytes(&row[0]) / 512;
            config.extent_blocks = (bytes(&row[1]) / 512) as u32;
            config.clones_max = row[2].parse().expect("a number");
            [
                clone_group_workspace_size(&raw const config, &raw mut workspace),
                clone_group_metadata_size(&raw const config, &raw mut metadata),
            ]
        };
        assert_eq!(statuses, [CLONE_GROUP_OK; 2]);
        let calculated = [mebibytes(workspace), mebibytes(metadata)];
        assert_eq!(
            row[3..],
            calculated,
            "README.md (left) and the library (right) differ for {:?}",
            &row[..3]
        );
    }
}

#[test]
fn python_blocks_run() {
    let probe = Command::new("python3").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        programs::skip("Python in README.md and docs/format.md", "python3 is not in the PATH");
        return;
    }
    for document in ["README.md", "docs/format.md"] {
        let blocks = blocks(document);
        let is_python = |&index: &usize| blocks.get(index).is_some_and(|(language, _)| language == "python");
        let mut python = (0..blocks.len()).filter(is_python).peekable();
        assert!(python.peek().is_some(), "{document} has no block in Python");
        for program in python {
            let mut command = Command::new("python3");
            command
                .current_dir(programs::root().join("tests/python"))
                .args(["-B", "-W", "error", "-c", &blocks[program].1])
                .env("CLONE_GROUP_LIBRARY", programs::library());
            let printed = programs::run(&format!("{}_{program}", document.replace('/', "_")), command);
            let shown = blocks.get(program + 1).filter(|_| document != "README.md");
            assert!(!printed.is_empty(), "{document}: the block in Python prints nothing");
            if let Some((_, shown)) = shown {
                assert_eq!(
                    shown, &printed,
                    "{document} shows (left) something else than the program prints (right)"
                );
            }
        }
    }
}

/// The README's pieces of C, but the complete example, are pieces of the demo, which CI runs.
#[test]
fn pieces_of_c_are_those_of_the_demo() {
    let demo = programs::read("c-examples/retarget.c");
    let pieces: Vec<_> =
        blocks("README.md").into_iter().filter(|(language, _)| language == "c").skip(1).collect();
    assert!(!pieces.is_empty(), "README.md shows no piece of the demo any more");
    for (_, piece) in pieces {
        assert!(
            demo.contains(&piece),
            "c-examples/retarget.c does not have this, as README.md does:\n{piece}"
        );
    }
}

#[test]
fn architecture_names_every_source_file() {
    let listed: Vec<_> = rows("docs/architecture.md", "`").into_iter().map(|row| row[0].clone()).collect();
    let mut files = Vec::new();
    for folder in ["", "ffi/"] {
        for entry in programs::root().join("src").join(folder).read_dir().expect("a folder").flatten() {
            let name = format!("`{folder}{}`", entry.file_name().to_string_lossy());
            files.extend(name.ends_with(".rs`").then_some(name));
        }
    }
    for file in &files {
        assert!(listed.contains(file), "docs/architecture.md does not name {file}: add a line");
    }
    let gone: Vec<_> = listed.iter().filter(|name| name.ends_with(".rs`") && !files.contains(name)).collect();
    assert!(gone.is_empty(), "docs/architecture.md names files that are gone: {gone:?}");
}
