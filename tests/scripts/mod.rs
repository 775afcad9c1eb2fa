//! Short lives of a small group, as data: what the controller and hosts ask for, step by step. The crash explorer, the
//! fault loops and knock-outs run the same ones. A script is an operation x a host request x a moment, on one of
//! several arrays; its name says which, for instance `restore/partial/during`.

// Each test uses a part of it.
#![allow(dead_code)]

mod drive;
mod table;

pub use crate::common::stage::Ask;
use crate::common::world::Profile;

#[allow(unused_imports)]
pub use drive::{advance, play, settle};
#[allow(unused_imports)]
pub use table::{all, chosen, named};

/// A request of a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Host {
    /// CLONE_GROUP_IO_READ, ...
    pub operation: u32,
    pub lu: usize,
    pub first: usize,
    pub count: usize,
    pub fua: bool,
}

/// One step of a script.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Asks and waits for the end. It has to work, unless the run injects faults.
    Do(Ask),
    /// Asks and goes on.
    Begin(Ask),
    /// Submits a request and goes on; waits before a write until no block of it is being written already.
    Host(Host),
    /// clone_group_cod_poll() with this budget.
    Poll(u32),
    /// clone_group_sync_step() with this budget.
    Copy(u32),
    /// So many held I/Os are completed, in any order.
    Complete(usize),
    /// Everything that was asked for is done, and all copies are made.
    Settle,
    /// The controller is switched off with nothing under way, and on again: a group over what the area holds.
    Restart,
}

/// A short life.
#[derive(Clone, Debug)]
pub struct Script {
    pub name: String,
    pub profile: Profile,
    /// Brings the group into the situation: no power is lost and nothing fails here.
    pub prepare: Vec<Step>,
    /// What is looked at.
    pub steps: Vec<Step>,
    /// One of the smallest: everything about it is tried, at any depth.
    pub small: bool,
}
