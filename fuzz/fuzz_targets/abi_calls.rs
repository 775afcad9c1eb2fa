//! Coverage-guided inputs for `tests/fuzz/abi_calls.rs`, which says what is proved.

#![no_main]

#[path = "../../tests/fuzz/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::abi_calls::run(bytes));
