//! A group that is prepared for a set whose outcome it does not know (R77): what it must not do, and its end.

use ::clone_group::ffi::sets::*;
use ::clone_group::ffi::types::*;

use super::operator::{Step, anything};
use crate::common::world::World;

/// What became of a resolution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resolved {
    Done,
    /// Power was lost in it.
    PowerLost,
}

pub fn is_prepared(world: &World) -> bool {
    world.info().conditions & CLONE_GROUP_CONDITION_PREPARED != 0
}

/// Hosts and the operator ask a group that is prepared for whatever they like; nobody is served, and nothing begins. That
/// the LUs are left alone the array sees to.
pub fn ask_in_vain(world: &World, rng: &mut fastrand::Rng) {
    if !is_prepared(world) {
        return;
    }
    let profile = world.inner.borrow().profile;
    for _ in 0..rng.usize(..12) {
        let lu = rng.usize(..=profile.clones);
        match rng.usize(..4) {
            0 => drop(world.step(rng.u32(1..8))),
            1 => world.complete_some(2),
            2 => {
                let operations = [CLONE_GROUP_IO_READ, CLONE_GROUP_IO_WRITE, CLONE_GROUP_IO_FLUSH];
                let block = rng.usize(..profile.blocks);
                let (_, status) = world.host(operations[rng.usize(..3)], lu, block, 1, false);
                assert_eq!(status, Some(CLONE_GROUP_ERR_PREPARED), "a prepared group serves hosts (R77)");
            }
            _ => match anything(lu.max(1) as u32, rng) {
                Step::Repair => {}
                step => {
                    let asked = step.ask(world);
                    assert_eq!(asked, Err(CLONE_GROUP_ERR_PREPARED), "{step:?} in a prepared group (R77)");
                }
            },
        }
    }
}

/// The controller tells the group how the set ended. If that cannot be written down, metadata is repaired, and it is told
/// again.
pub fn resolve(world: &World, commit: bool, rng: &mut fastrand::Rng) -> Resolved {
    ask_in_vain(world, rng);
    let mut faults = if rng.usize(..4) == 0 { 20_000 } else { 0 };
    loop {
        world.inner.borrow_mut().profile.metadata_faults = std::mem::take(&mut faults);
        // SAFETY: a live group.
        let resolved = world
            .run_operation(|group, tag| unsafe { clone_group_set_resolve(group, u32::from(commit), tag) });
        world.inner.borrow_mut().profile.metadata_faults = 0;
        if resolved == i32::MIN || world.power_is_off() {
            return Resolved::PowerLost;
        }
        if !repair(world) {
            return Resolved::PowerLost;
        }
        if resolved == CLONE_GROUP_OK {
            assert!(!is_prepared(world), "a set is resolved, and the group is still prepared");
            return Resolved::Done;
        }
        let of_metadata = matches!(resolved, -5 | CLONE_GROUP_ERR_METADATA_FAILED);
        assert!(of_metadata, "a resolution ends with {resolved}, and only metadata failed");
        ask_in_vain(world, rng);
    }
}

/// If metadata could not be written, it is written anew. `false`: power was lost.
pub fn repair(world: &World) -> bool {
    // The word of a failure may be on its way.
    world.poll_still();
    if world.info().conditions & CLONE_GROUP_CONDITION_METADATA_FAILED != 0 {
        let repaired = Step::Repair.run(world);
        assert!(
            repaired == CLONE_GROUP_OK || world.power_is_off(),
            "metadata cannot be repaired: {repaired}"
        );
    }
    !world.power_is_off()
}
