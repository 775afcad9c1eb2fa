//! Goal: what fuzzers found stays found, and the fuzz targets run wherever the tests do. Method: every file of the
//! corpus in `tests/fuzz/corpus`, and inputs generated from a seed, through the bodies that `fuzz/` fuzzes.
//!
//! `CLONE_GROUP_FUZZ_SEED=17` replays the seed that a failing test prints, `CLONE_GROUP_FUZZ_INPUTS=100000` generates
//! more, `CLONE_GROUP_FUZZ_FILE=path` replays one file (`cargo fuzz` names it when it finds something).

#[path = "fuzz/mod.rs"]
mod bodies;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs one input, and says which one it was if it fails.
fn replay(body: fn(&[u8]), bytes: &[u8], name: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(bytes))) {
        eprintln!("*** {name} fails: {bytes:?}");
        resume_unwind(panic);
    }
}

fn corpus(target: &str, body: fn(&[u8])) {
    if let Ok(file) = std::env::var("CLONE_GROUP_FUZZ_FILE") {
        return replay(body, &std::fs::read(&file).expect("the file is there"), &file);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the corpus is there")
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no corpus in {}", folder.display());
    for file in files {
        replay(body, &std::fs::read(&file).expect("readable"), &file.display().to_string());
    }
}

/// Inputs from a seed: random bytes, mostly short ones, and small numbers, which mean more.
fn generated(body: fn(&[u8]), inputs: u64, longest: usize) {
    let first = number("CLONE_GROUP_FUZZ_SEED");
    let inputs = number("CLONE_GROUP_FUZZ_INPUTS").unwrap_or(inputs);
    let seeds = first.map_or(0..inputs, |seed| seed..seed + 1);
    for seed in seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let length = random.usize(..longest);
        let small = random.u8(1..=255);
        let bytes: Vec<u8> = (0..length)
            .map(|_| if random.u8(..4) == 0 { random.u8(..) } else { random.u8(..small) })
            .collect();
        replay(body, &bytes, &format!("CLONE_GROUP_FUZZ_SEED={seed}"));
    }
}

/// Damaged metadata is refused by name or gives a group that works.
#[test]
fn corpus_of_metadata_images() {
    corpus("metadata_image", bodies::metadata_image::run);
}

/// The same for images from a seed.
#[test]
fn generated_metadata_images() {
    generated(bodies::metadata_image::run, 1500, 120);
}

/// Calls in any order, right and wrong, keep the promises of the header.
#[test]
fn corpus_of_abi_calls() {
    corpus("abi_calls", bodies::abi_calls::run);
}

/// The same for calls from a seed.
#[test]
fn generated_abi_calls() {
    generated(bodies::abi_calls::run, 3000, 700);
}

/// Maps and geometry answer like their plainest form.
#[test]
fn corpus_of_maps() {
    corpus("maps", bodies::maps::run);
}

/// The same for calls from a seed.
#[test]
fn generated_maps() {
    generated(bodies::maps::run, 3000, 400);
}
