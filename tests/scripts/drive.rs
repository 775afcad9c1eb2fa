//! Plays a script on a simulated array.

use ::clone_group::ffi::types::*;

use super::{Ask, Host, Script, Step};
use crate::common::world::{Placed, World};

impl Ask {
    /// Asks and waits; the status.
    pub fn run(self, world: &World) -> i32 {
        let status = world.result_of(self);
        let starts = matches!(self, Ask::Format | Ask::FormatForced | Ask::Recover | Ask::RecoverAbandoning);
        if starts && status == CLONE_GROUP_OK {
            // No event says who is a member.
            world.after_recovery();
        }
        status
    }
}

/// Plays a whole script: what prepares it, and what is looked at. Everything works.
pub fn play(script: &Script) -> Placed {
    let mut world = World::new(script.profile, 1);
    world.power_on();
    for &step in script.prepare.iter().chain(&script.steps) {
        advance(&mut world, step, true);
    }
    world
}

/// One step. `must` says that operations have to work.
pub fn advance(world: &mut World, step: Step, must: bool) {
    match step {
        Step::Do(ask) => {
            let status = ask.run(world);
            assert!(!must || status == CLONE_GROUP_OK, "{ask:?} ended with {status}");
        }
        Step::Begin(ask) => {
            let begun = world.ask(ask);
            assert!(!must || begun.is_ok(), "{ask:?}: {begun:?}");
        }
        Step::Host(request) => host(world, request),
        Step::Poll(budget) => drop(world.poll(budget)),
        Step::Copy(budget) => drop(world.step(budget)),
        Step::Complete(count) => world.complete_some(count),
        Step::Settle => settle(world),
        Step::Restart => {
            world.lose_power(|| true);
            world.power_on();
        }
    }
}

/// Everything that was asked for is done, and all copies are made that can be made.
pub fn settle(world: &World) {
    for turn in 0..100_000 {
        let state = world.step(8);
        world.complete_some(4);
        let over = [CLONE_GROUP_ERR_CLOSED, CLONE_GROUP_ERR_NOT_READY].contains(&state);
        assert!(state >= 0 || over, "a poll returned {state}");
        if world.power_is_off() || turn > 0 && (over || state == CLONE_GROUP_OK) && quiet(world) {
            return;
        }
    }
    panic!("the group does not come to rest");
}

fn quiet(world: &World) -> bool {
    world.held() == 0 && world.hosts_open() == 0
}

fn host(world: &World, request: Host) {
    let Host { operation, lu, first, count, fua } = request;
    let writes = !matches!(operation, CLONE_GROUP_IO_READ | CLONE_GROUP_IO_FLUSH);
    for _ in 0..100_000 {
        // Hosts write no block that is being written: nobody promises an order for that.
        let open = world.inner.borrow().models[lu][first..first + count].iter().any(|block| block.is_open());
        if !writes || !open {
            world.host(operation, lu, first, count, fua);
            return;
        }
        world.poll(4);
        world.complete_some(2);
    }
    panic!("a write does not end");
}
