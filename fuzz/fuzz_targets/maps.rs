//! Coverage-guided inputs for `tests/fuzz/maps.rs`, which says what is proved.

#![no_main]

#[path = "../../tests/fuzz/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::maps::run(bytes));
