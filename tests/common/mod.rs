//! Shared by the tests that simulate an array.

pub mod device;
pub mod model;
pub mod pages;
pub mod world;
