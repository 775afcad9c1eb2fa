//! Shared by the tests that simulate an array.

// Each test uses a part of it.
#![allow(dead_code)]

pub mod device;
pub mod draw;
pub mod history;
pub mod model;
pub mod pages;
pub mod seeds;
pub mod stage;
pub mod superblock;
pub mod wing_gong;
pub mod world;
