//! The bodies of the fuzz targets. `fuzz/fuzz_targets` and `tests/fuzz_replay.rs` both include them.

// Each target uses a part of it.
#![allow(dead_code)]

pub mod abi_calls;
pub mod array;
pub mod images;
pub mod input;
pub mod maps;
pub mod memory;
pub mod metadata_image;
