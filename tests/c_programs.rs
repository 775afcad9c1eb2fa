//! Goal: the C ABI does in C what the header says. Each program of tests/c is compiled as strict C99
//! (or C++11) without a warning, linked with the shared library, and run; it exits with 0 or says
//! what it found. Without a C compiler the tests say so and are skipped.
//!
//! A program that failed can be run again by hand: it lies under target/tmp, in the folder of this
//! test, and takes the seed that it printed as its argument.

#[path = "common/programs.rs"]
mod programs;

use std::path::Path;
use std::process::Command;

fn run_with_array(source: &str) {
    programs::output_with_array(source);
}

/// The header is enough for a program that includes nothing else.
#[test]
fn only_header() {
    programs::output_of("only_header.c");
}

/// A program with functions of its own under the bare names switches them off in the header.
#[test]
fn only_header_without_bare_names() {
    let source = Path::new("tests/c/only_header.c").to_path_buf();
    let name = "only_header_without_bare_names";
    if let Some(program) = programs::compile(name, &[source], &["-DCLONE_GROUP_NO_BARE_NAMES"]) {
        programs::run(name, Command::new(program));
    }
}

/// The macro for static workspaces is a bound of what the library asks for.
#[test]
fn workspace_bound() {
    programs::output_of("workspace_bound.c");
}

/// The header is valid C++11.
#[test]
fn header_in_cpp() {
    programs::output_of("header.cpp");
}

/// tests/c/layout.c names every struct and every field that the header has.
#[test]
fn layout_is_complete() {
    let Some(output) = programs::output_of("layout.c") else {
        return;
    };
    let has = |start: String| output.lines().any(|line| line.starts_with(&start));
    for (name, fields) in programs::header_structs() {
        assert!(has(format!("{name} size ")), "tests/c/layout.c does not print struct {name}: add it");
        for field in fields {
            assert!(
                has(format!("{name}.{field} ")),
                "tests/c/layout.c does not print {name}.{field}: add it"
            );
        }
    }
}

/// Every status of the header has a name and a text; tests/c/status.c knows all of them.
#[test]
fn status() {
    let Some(output) = programs::output_with_array("status.c") else {
        return;
    };
    let outcomes = ["CLONE_GROUP_OK", "CLONE_GROUP_PENDING", "CLONE_GROUP_MORE", "CLONE_GROUP_RETRY"];
    for name in programs::header_constants() {
        let is_status = name.starts_with("CLONE_GROUP_ERR_") || outcomes.contains(&name.as_str());
        let is_checked = output.lines().any(|line| line.split(' ').next() == Some(name.as_str()));
        assert_eq!(is_status, is_checked, "tests/c/status.c and the header disagree about {name}");
    }
}

/// Structs of older and newer programs are understood, and nothing is written behind their size.
#[test]
fn config_versions() {
    run_with_array("config_versions.c");
}

/// Wrong arguments are refused, each with its own status, and change nothing.
#[test]
fn null_arguments() {
    run_with_array("null_arguments.c");
}

/// A whole life with callbacks that do their work at once.
#[test]
fn sync_callbacks() {
    run_with_array("sync_callbacks.c");
}

/// A whole life with callbacks that complete later, out of order.
#[test]
fn async_callbacks() {
    run_with_array("async_callbacks.c");
}

/// A whole life with completions that overtake their callbacks.
#[test]
fn early_callbacks() {
    run_with_array("early_callbacks.c");
}

/// Host threads, workers that complete, and several threads that poll, at once.
#[test]
fn threads() {
    run_with_array("threads.c");
}

/// What callbacks and completions report, sense and nonsense.
#[test]
fn results() {
    run_with_array("results.c");
}

/// A full library refuses one more request, and finishes those that it has.
#[test]
fn full_queue() {
    run_with_array("full_queue.c");
}

/// The library writes nothing outside its workspace.
#[test]
fn guarded_workspace() {
    run_with_array("guarded_workspace.c");
}

/// The library reads nothing outside it either.
#[test]
fn protected_workspace() {
    run_with_array("protected_workspace.c");
}

/// Calls from inside callbacks do what the header allows.
#[test]
fn reentrant() {
    run_with_array("reentrant.c");
}

/// Completions from a signal handler preempt everything, holders of the lock among them.
#[test]
fn storm() {
    run_with_array("storm.c");
}

/// Every call from many threads at once for some seconds, nonsense and refused ones among them.
#[test]
fn hammer() {
    run_with_array("hammer.c");
}
