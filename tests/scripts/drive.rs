//! Plays a script on a simulated array.

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::{Ask, Host, Script, Step};
use crate::common::world::World;

impl Ask {
    /// Asks.
    pub fn call(self, group: *mut clone_group, tag: u64) -> i32 {
        // SAFETY: the world passes a live group.
        unsafe {
            match self {
                Ask::Format => clone_group_format(group, 0, tag),
                Ask::FormatForced => clone_group_format(group, CLONE_GROUP_FORMAT_FORCE, tag),
                Ask::Recover => clone_group_recover(group, 0, tag),
                Ask::RecoverAbandoning => {
                    clone_group_recover(group, CLONE_GROUP_RECOVER_ABANDON_RESTORE, tag)
                }
                Ask::Close => clone_group_close(group, tag),
                Ask::Repair => clone_group_metadata_repair(group, tag),
                Ask::Add(lu) => clone_group_clone_add(group, lu, tag),
                Ask::Remove(lu) => clone_group_clone_remove(group, lu, tag),
                Ask::Synchronize(lu) => clone_group_synchronize(group, lu, tag),
                Ask::Fracture(lu) => clone_group_fracture(group, lu, std::ptr::null(), 0, tag),
                Ask::Restore(lu) => clone_group_protected_restore(group, lu, tag),
                Ask::Reverse(lu) => clone_group_reverse_synchronize(group, lu, tag),
                Ask::Pause => clone_group_pause(group, tag),
                Ask::Resume => clone_group_resume(group, tag),
                Ask::Cancel(lu) => clone_group_cancel(group, lu, tag),
                Ask::Retarget(lu) => clone_group_retarget(group, lu, tag),
                Ask::Accept => clone_group_source_accept(group, tag),
                Ask::Verify(lu) => clone_group_verify(group, lu, CLONE_GROUP_VERIFY_MARK, tag),
            }
        }
    }

    /// Asks, and notes what the model has to know of it.
    pub fn begin(self, world: &World) -> Result<u64, i32> {
        if matches!(self, Ask::Fracture(_) | Ask::Restore(_) | Ask::Reverse(_) | Ask::Cancel(_)) {
            world.inner.borrow_mut().note_fracture();
        }
        world.operation(|group, tag| self.call(group, tag))
    }

    /// Asks and waits; the status.
    pub fn run(self, world: &World) -> i32 {
        if matches!(self, Ask::Fracture(_) | Ask::Restore(_) | Ask::Reverse(_) | Ask::Cancel(_)) {
            world.inner.borrow_mut().note_fracture();
        }
        let status = world.run_operation(|group, tag| self.call(group, tag));
        let starts = matches!(self, Ask::Format | Ask::FormatForced | Ask::Recover | Ask::RecoverAbandoning);
        if starts && status == CLONE_GROUP_OK {
            // No event says who is a member.
            world.after_recovery();
        }
        status
    }
}

/// Plays a whole script: what prepares it, and what is looked at. Everything works.
pub fn play(script: &Script) -> Box<World> {
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
            let begun = ask.begin(world);
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
