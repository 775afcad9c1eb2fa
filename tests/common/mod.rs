//! Shared by the tests that simulate an array.

// Each test uses a part of it.
#![allow(dead_code)]

pub mod device;
pub mod model;
pub mod pages;
pub mod stage;
pub mod world;
