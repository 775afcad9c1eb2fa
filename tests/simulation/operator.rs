//! The operator: asks for what makes sense in the present state, or for anything.

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use crate::common::draw::{is_invalid, weighted};
use crate::common::world::World;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Add(u32),
    Remove(u32),
    Synchronize(u32),
    Fracture(u32),
    Restore(u32),
    Reverse(u32),
    Pause,
    Resume,
    Cancel(u32),
    Retarget(u32),
    Accept,
    Verify(u32, bool),
    StopVerify,
    Repair,
}

impl Step {
    /// What it may do to a Clone looks like a Fracture.
    fn fractures(self) -> bool {
        matches!(
            self,
            Step::Fracture(_) | Step::Restore(_) | Step::Reverse(_) | Step::Cancel(_) | Step::Retarget(_)
        )
    }

    fn call(self, group: *mut clone_group, tag: u64) -> i32 {
        // SAFETY: the world passes a live group.
        unsafe {
            match self {
                Step::Add(lu) => clone_group_clone_add(group, lu, tag),
                Step::Remove(lu) => clone_group_clone_remove(group, lu, tag),
                Step::Synchronize(lu) => clone_group_synchronize(group, lu, tag),
                Step::Fracture(lu) => clone_group_fracture(group, lu, std::ptr::null(), 0, tag),
                Step::Restore(lu) => clone_group_protected_restore(group, lu, tag),
                Step::Reverse(lu) => clone_group_reverse_synchronize(group, lu, tag),
                Step::Pause => clone_group_pause(group, tag),
                Step::Resume => clone_group_resume(group, tag),
                Step::Cancel(lu) => clone_group_cancel(group, lu, tag),
                Step::Retarget(lu) => clone_group_retarget(group, lu, tag),
                Step::Accept => clone_group_source_accept(group, tag),
                Step::Verify(lu, mark) => {
                    let flags = if mark { CLONE_GROUP_VERIFY_MARK } else { 0 };
                    clone_group_verify(group, lu, flags, tag)
                }
                Step::StopVerify => clone_group_verify_stop(group, tag),
                Step::Repair => clone_group_metadata_repair(group, tag),
            }
        }
    }

    /// What docs/states.md refuses in this state, whatever else is going on.
    pub fn is_refused(self, world: &World) -> bool {
        let state = |lu: u32| world.clone_info(lu as usize).state;
        let onto_source = world.onto_source();
        let is = |lu: u32, states: &[u32]| states.contains(&state(lu));
        match self {
            Step::Add(lu) => onto_source != 0 || state(lu) != CLONE_GROUP_CLONE_ABSENT,
            Step::Remove(lu) => lu == onto_source || state(lu) == CLONE_GROUP_CLONE_ABSENT,
            Step::Synchronize(lu) => {
                onto_source != 0
                    || is_invalid(world)
                    || !is(lu, &[CLONE_GROUP_CLONE_OUT_OF_SYNC, CLONE_GROUP_CLONE_FRACTURED])
            }
            Step::Fracture(lu) => onto_source != 0 || state(lu) != CLONE_GROUP_CLONE_SYNCHRONIZED,
            Step::Restore(lu) | Step::Reverse(lu) => {
                onto_source != 0 || state(lu) != CLONE_GROUP_CLONE_FRACTURED
            }
            Step::Retarget(lu) => world.info().restoring_lu == 0 || state(lu) != CLONE_GROUP_CLONE_FRACTURED,
            Step::Cancel(lu) => lu != onto_source && state(lu) != CLONE_GROUP_CLONE_SYNCHRONIZING,
            Step::Accept => !is_invalid(world),
            Step::Verify(lu, _) => is_invalid(world) || state(lu) == CLONE_GROUP_CLONE_ABSENT,
            Step::Pause | Step::Resume | Step::StopVerify | Step::Repair => false,
        }
    }

    /// Asks for it; its tag, or why it is refused.
    pub fn ask(self, world: &World) -> Result<u64, i32> {
        if self.fractures() {
            world.inner.borrow_mut().note_fracture();
        }
        let tag = world.operation(|group, tag| self.call(group, tag))?;
        if self == Step::Repair {
            world.inner.borrow_mut().repair_begins();
        }
        if let Some(lus) = self.flushes() {
            world.inner.borrow_mut().flushes_before_done(tag, lus);
        }
        Ok(tag)
    }

    /// The LUs that are flushed before it is done.
    fn flushes(self) -> Option<Vec<usize>> {
        match self {
            Step::Fracture(lu) | Step::Restore(lu) | Step::Reverse(lu) | Step::Retarget(lu) => {
                Some(vec![0, lu as usize])
            }
            Step::Accept => Some(vec![0]),
            _ => None,
        }
    }

    /// Asks for it and waits.
    pub fn run(self, world: &World) -> i32 {
        if self.fractures() {
            world.inner.borrow_mut().note_fracture();
        }
        world.run_operation(|group, tag| self.call(group, tag))
    }
}

/// What an operator likes to ask for.
#[derive(Clone, Copy, Debug)]
pub struct Operator {
    /// Weights of its ways: what comes next, leaving a copy early, anything at all, Verify, pausing.
    pub ways: [u32; 5],
    /// Of 256: copies onto the Source that are Reverse Synchronizations.
    pub reverses: u32,
}

/// Draws a step.
pub fn draw(world: &World, operator: &Operator, rng: &mut fastrand::Rng) -> Step {
    let next = |world: &World, lu: u32, rng: &mut fastrand::Rng| next(world, lu, operator.reverses, rng);
    let clones = world.inner.borrow().profile.clones as u32;
    let lu = rng.u32(1..=clones);
    match weighted(&operator.ways, rng) {
        0 => next(world, lu, rng),
        1 => leave(world, lu, rng).unwrap_or_else(|| next(world, lu, rng)),
        2 => anything(lu, rng),
        3 if rng.usize(..5) == 0 => Step::StopVerify,
        3 => verify(world, lu, rng),
        _ if rng.bool() => Step::Pause,
        _ => Step::Resume,
    }
}

/// What comes next for this Clone.
fn next(world: &World, lu: u32, reverses: u32, rng: &mut fastrand::Rng) -> Step {
    let conditions = world.info().conditions;
    if conditions & CLONE_GROUP_CONDITION_METADATA_FAILED != 0 && rng.bool() {
        return Step::Repair;
    }
    if is_invalid(world) && rng.usize(..3) == 0 {
        return Step::Accept;
    }
    match world.clone_info(lu as usize).state {
        CLONE_GROUP_CLONE_ABSENT => Step::Add(lu),
        CLONE_GROUP_CLONE_OUT_OF_SYNC => Step::Synchronize(lu),
        CLONE_GROUP_CLONE_SYNCHRONIZED => Step::Fracture(lu),
        CLONE_GROUP_CLONE_FRACTURED => match rng.usize(..12) {
            0..=5 if rng.u32(..256) < reverses => Step::Reverse(lu),
            0..=5 => Step::Restore(lu),
            6 => Step::Synchronize(lu),
            7 => Step::Remove(lu),
            _ => Step::Verify(lu, rng.bool()),
        },
        _ if rng.bool() => Step::Resume,
        _ => verify(world, lu, rng),
    }
}

/// Compares a Clone that can be compared, mostly; the one of a copy onto the Source first, as that is soon over.
fn verify(world: &World, lu: u32, rng: &mut fastrand::Rng) -> Step {
    let onto_source = world.onto_source();
    let state = |lu: u32| world.clone_info(lu as usize).state;
    let comparable: Vec<u32> = (1..=world.inner.borrow().profile.clones as u32)
        .filter(|&lu| !matches!(state(lu), CLONE_GROUP_CLONE_ABSENT | CLONE_GROUP_CLONE_OUT_OF_SYNC))
        .collect();
    let lu = match rng.usize(..8) {
        0 => lu,
        1..=4 if onto_source != 0 => onto_source,
        _ if comparable.is_empty() => lu,
        _ => comparable[rng.usize(..comparable.len())],
    };
    Step::Verify(lu, rng.bool())
}

/// A way out of what is going on.
fn leave(world: &World, lu: u32, rng: &mut fastrand::Rng) -> Option<Step> {
    let onto_source = world.onto_source();
    if onto_source != 0 {
        return Some(if rng.bool() { Step::Cancel(onto_source) } else { Step::Retarget(lu) });
    }
    let synchronizing = world.clone_info(lu as usize).state == CLONE_GROUP_CLONE_SYNCHRONIZING;
    synchronizing.then_some(Step::Cancel(lu))
}

pub fn anything(lu: u32, rng: &mut fastrand::Rng) -> Step {
    match rng.usize(..12) {
        0 => Step::Add(lu),
        1 => Step::Remove(lu),
        2 => Step::Synchronize(lu),
        3 => Step::Fracture(lu),
        4 => Step::Restore(lu),
        5 => Step::Reverse(lu),
        6 => Step::Cancel(lu),
        7 => Step::Retarget(lu),
        8 => Step::Accept,
        9 => Step::Repair,
        10 => Step::Resume,
        _ => Step::Pause,
    }
}
