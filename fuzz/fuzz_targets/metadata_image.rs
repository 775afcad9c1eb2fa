//! Coverage-guided inputs for `tests/fuzz/metadata_image.rs`, which says what is proved.

#![no_main]

#[path = "../../tests/fuzz/mod.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::metadata_image::run(bytes));
