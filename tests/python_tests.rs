//! Goal: the library works from Python with ctypes alone. Runs the unittest files of tests/python with
//! the shared library that cargo built, and with what C says about layout and constants. Without
//! python3 the tests say so and are skipped.

#[path = "common/programs.rs"]
mod programs;

use std::fs;
use std::process::{Command, Stdio};

fn python() -> Option<Command> {
    let mut probe = Command::new("python3");
    let answers = probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if answers.is_ok_and(|status| status.success()) {
        return Some(Command::new("python3"));
    }
    programs::skip("tests/python", "python3 is not in the PATH");
    None
}

/// Runs one file of tests/python; a failure shows what unittest printed.
fn run(module: &str, prepare: impl FnOnce(&mut Command)) {
    let Some(mut command) = python() else { return };
    command
        .current_dir(programs::root().join("tests/python"))
        .args(["-B", "-W", "error", "-m", "unittest", "--verbose", module])
        .env("CLONE_GROUP_LIBRARY", programs::library());
    prepare(&mut command);
    let output = programs::run(module, command);
    assert!(!output.contains("Ran 0 tests"), "{module} has no tests:\n{output}");
}

/// The ctypes declarations are those of the header.
#[test]
fn layout() {
    let layout = programs::output_of("layout.c");
    let constants = programs::constants();
    run("test_layout", |command| {
        for (variable, lines) in [("CLONE_GROUP_LAYOUT", layout), ("CLONE_GROUP_CONSTANTS", constants)] {
            let Some(lines) = lines else { continue };
            let path = programs::out().join(variable);
            fs::write(&path, lines).expect("a file under target/tmp");
            command.env(variable, path);
        }
    });
}

/// A whole life of a group.
#[test]
fn life() {
    run("test_life", |_| ());
}

/// The worked examples E1 to E7.
#[test]
fn examples() {
    run("test_examples", |_| ());
}

/// Refusals, statuses of the array, and the reasons for which Recovery refuses.
#[test]
fn errors() {
    run("test_errors", |_| ());
}

/// Restores that are canceled, accepted and given another Clone.
#[test]
fn cancel() {
    run("test_cancel", |_| ());
}

/// Two groups at one point in time.
#[test]
fn sets() {
    run("test_sets", |_| ());
}

/// Verify, thin copies, restorable Clones, changed extents, errors by LU.
#[test]
fn checks() {
    run("test_checks", |_| ());
}
