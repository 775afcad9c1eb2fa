//! The ways out of a copy (R38): cancel, re-target, accept the Source. Here one by one and on purpose; in
//! `cancel/boundaries.rs` at every I/O of a restore under load and with power losses; in `cancel/lives.rs` at random.

mod common;

#[path = "cancel/array.rs"]
mod array;
#[path = "cancel/boundaries.rs"]
mod boundaries;
#[path = "cancel/growing.rs"]
mod growing;
#[path = "cancel/lives.rs"]
mod lives;
#[path = "cancel/rules.rs"]
mod rules;
