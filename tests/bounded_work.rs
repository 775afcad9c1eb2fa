//! Goal: no call does more because the LU is larger. tests/c/bounded_work.c walks every map there is, once for a small
//! LU and once for one four times as large; callgrind counts the instructions of each call, and the longest ones must
//! be of the same length. Instructions are counted, not time, so that a busy machine makes no difference.
//!
//! Needs an optimized build (`cargo test --release --test bounded_work`), valgrind and a C compiler; without them it is
//! skipped, and says so.

#[path = "common/programs.rs"]
mod programs;

use ::clone_group::ffi::types::CLONE_GROUP_CONFIG_MAP_PER_CLONE;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SMALL_EXTENTS: u64 = 1 << 17;
const LARGE_EXTENTS: u64 = 1 << 19;
/// One more level of the summary of a map, and the words that happen to lie on a boundary.
const MAY_GROW_PERCENT: u64 = 10;
const CALLS: [&str; 16] = [
    "counted_poll",
    "counted_sweeping",
    "counted_giving_up",
    "counted_distrusting",
    "counted_step",
    "counted_operation",
    "counted_recover",
    "counted_synchronize",
    "counted_restore",
    "counted_read",
    "counted_write",
    "counted_map_read",
    "counted_verify",
    "counted_verify_step",
    "counted_cancel",
    "counted_reverse",
];

/// The instructions of the longest call of each function.
fn longest(program: &Path, extents: u64, budget: u32, flags: u32) -> Vec<u64> {
    let folder = programs::out().join(format!("callgrind-{extents}-{budget}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--dump-line=no"]);
    command.arg(format!("--callgrind-out-file={}", folder.join("calls").display()));
    for call in CALLS.iter().chain(["counted_nothing"].iter()) {
        command.arg(format!("--dump-before={call}")).arg(format!("--dump-after={call}"));
    }
    command.arg(program).args([extents.to_string(), budget.to_string(), flags.to_string()]);
    programs::run(&format!("bounded_work-{extents}-{budget}"), command);
    let mut longest = vec![0; CALLS.len()];
    for file in fs::read_dir(&folder).expect("the folder") {
        let text = fs::read_to_string(file.expect("a file").path()).expect("a profile");
        let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
        let Some(trigger) = line("desc: Trigger: --dump-after=") else { continue };
        let Some(call) = CALLS.iter().position(|&call| call == trigger) else { continue };
        let instructions: u64 = line("summary: ").and_then(|sum| sum.parse().ok()).expect("a sum");
        longest[call] = longest[call].max(instructions);
    }
    let _ = fs::remove_dir_all(&folder);
    longest
}

fn program() -> Option<PathBuf> {
    if cfg!(debug_assertions) {
        programs::skip("bounded work", "not an optimized build; cargo test --release --test bounded_work");
        return None;
    }
    let answers =
        Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !answers.is_ok_and(|status| status.success()) {
        programs::skip("bounded work", "no valgrind (Debian: valgrind)");
        return None;
    }
    programs::compile("bounded_work", &[PathBuf::from("tests/c/bounded_work.c")], &[])
}

#[test]
fn no_call_does_more_because_the_lu_is_larger() {
    let Some(program) = program() else { return };
    // One column for all Clones, and one for each.
    for (budget, flags) in [(8, 0), (1, CLONE_GROUP_CONFIG_MAP_PER_CLONE)] {
        let small = longest(&program, SMALL_EXTENTS, budget, flags);
        let large = longest(&program, LARGE_EXTENTS, budget, flags);
        for ((call, small), large) in CALLS.iter().zip(small).zip(large) {
            println!(
                "budget {budget}, longest {call}: {small} instructions, with 4 times the extents {large}"
            );
            assert!(small > 0, "{call} was not counted");
            assert!(
                large * 100 <= small * (100 + MAY_GROW_PERCENT),
                "{call} took {small} instructions at most, and {large} with 4 times the extents"
            );
        }
    }
}
