//! Plays a script with a fault, and brings the group back.

use std::cell::Cell;
use std::rc::Rc;

use ::clone_group::ffi::types::*;

use crate::class::{Class, Fault};
use crate::common::world::{Placed, World};
use crate::scripts::{Ask, Script, Step, advance};

/// Prepares the script and plays it with the fault; the calls of the class that there were. `watch` is called before
/// the steps.
pub fn play(script: &Script, fault: Fault, watch: impl FnOnce(&World)) -> (Placed, usize) {
    let mut world = World::new(script.profile, 1);
    world.power_on();
    for &step in &script.prepare {
        advance(&mut world, step, true);
    }
    // What was said while it was prepared.
    world.inner.borrow_mut().operations_done.clear();
    let calls = Rc::new(Cell::new(0));
    let pages = world.page_copies();
    let counted = Rc::clone(&calls);
    world.choose(move |io| {
        if Class::of(io, &pages) == Some(fault.class) {
            counted.set(counted.get() + 1);
            return fault.choice(counted.get());
        }
        crate::common::world::Choice::AsProfile
    });
    watch(&world);
    let mut begun = 0;
    for &step in &script.steps {
        begun = one(&mut world, step, begun);
        check_state(&world);
    }
    if fault.class == Class::MetadataRead {
        begun = one(&mut world, Step::Restart, begun);
        begun = one(&mut world, Step::Do(Ask::Recover), begun);
    }
    let reached = calls.get();
    world.choose_nothing();
    rest(&world);
    assert_eq!(world.inner.borrow().operations_done.len(), begun, "an operation ends not once");
    check_once(&world);
    (world, reached)
}

/// One step, which may fail. The operations that were begun and not waited for.
fn one(world: &mut World, step: Step, begun: usize) -> usize {
    match step {
        Step::Settle => {
            for _ in 0..300 {
                if tick(world) {
                    break;
                }
            }
        }
        // Hosts ask nothing of a group that did not come up.
        Step::Host(_) if world.info().state != CLONE_GROUP_STATE_READY => {}
        Step::Begin(ask) => return begun + usize::from(world.ask(ask).is_ok()),
        Step::Restart => {
            rest(world);
            advance(world, step, false);
            return 0;
        }
        Step::Do(Ask::Recover) if world.info().state == CLONE_GROUP_STATE_READY => {}
        Step::Do(ask) => {
            let refused = world.info().conditions & CLONE_GROUP_CONDITION_METADATA_FAILED != 0;
            let status = ask.run(world);
            let failed = world.info().conditions & CLONE_GROUP_CONDITION_METADATA_FAILED != 0;
            if status == -5 && failed && !refused {
                check_refused(world);
            }
        }
        _ => advance(world, step, false),
    }
    begun
}

/// A superblock failed, and may be there all the same: until one is durable no host write is taken, for what Recovery
/// would make of it is not known (R33).
fn check_refused(world: &World) {
    let block = 6;
    if world.info().state != CLONE_GROUP_STATE_READY || world.inner.borrow().models[0][block].is_open() {
        return;
    }
    let (tag, mut status) = world.host(CLONE_GROUP_IO_WRITE, 0, block, 1, false);
    if status.is_none() {
        rest(world);
        status = world.inner.borrow().statuses.iter().find(|over| over.0 == tag).map(|over| over.1);
    }
    let refused = [CLONE_GROUP_ERR_METADATA_FAILED, CLONE_GROUP_ERR_SOURCE_INVALID];
    assert!(
        status.is_some_and(|status| refused.contains(&status)),
        "a host write ends with {status:?} while nobody knows what the superblock says (R33)"
    );
}

/// Polls once; whether nothing is under way any more.
fn tick(world: &World) -> bool {
    let state = world.step(8);
    world.complete_some(4);
    let over = [CLONE_GROUP_ERR_CLOSED, CLONE_GROUP_ERR_NOT_READY].contains(&state);
    assert!(state >= 0 || over, "a poll returned {state}");
    (over || state == CLONE_GROUP_OK) && world.held() == 0 && world.hosts_open() == 0
}

/// Nothing fails any more: everything ends, though copies may be stalled.
fn rest(world: &World) {
    for _ in 0..20_000 {
        if tick(world) && tick(world) {
            return;
        }
    }
    panic!("the group does not come to rest after the faults");
}

/// No request was completed twice.
fn check_once(world: &World) {
    let inner = world.inner.borrow();
    assert!(inner.finished.is_empty(), "completed twice: {:?}", inner.finished);
}

/// The group is in a situation of docs/states.md.
pub fn check_state(world: &World) {
    let info = world.info();
    if info.state != CLONE_GROUP_STATE_READY {
        return;
    }
    let clones = world.inner.borrow().profile.clones as u32;
    let onto_source = info.restoring_lu.max(info.reversing_lu);
    let invalid = info.conditions & CLONE_GROUP_CONDITION_SOURCE_INVALID != 0;
    assert!(info.restoring_lu == 0 || info.reversing_lu == 0, "two copies onto the Source");
    assert!(!invalid || onto_source == 0, "an invalid Source, and a copy onto it");
    for lu in 1..=clones {
        let state = world.clone_info(lu as usize).state;
        let alone = match state {
            CLONE_GROUP_CLONE_RESTORING => info.restoring_lu == lu,
            CLONE_GROUP_CLONE_REVERSE_SYNCHRONIZING => info.reversing_lu == lu,
            CLONE_GROUP_CLONE_SYNCHRONIZING | CLONE_GROUP_CLONE_SYNCHRONIZED => onto_source == 0 && !invalid,
            CLONE_GROUP_CLONE_FRACTURED | CLONE_GROUP_CLONE_OUT_OF_SYNC | CLONE_GROUP_CLONE_ABSENT => {
                onto_source != lu
            }
            _ => false,
        };
        assert!(alone, "Clone {lu} in state {state} beside {onto_source}, invalid {invalid}");
    }
}

/// The way back that the documents name: Recovery or Format, repair, resume, accept, synchronize again.
pub fn bring_back(world: &mut World) {
    if world.info().state != CLONE_GROUP_STATE_READY {
        start_again(world);
    }
    if world.info().conditions & CLONE_GROUP_CONDITION_METADATA_FAILED != 0 {
        assert_eq!(Ask::Repair.run(world), CLONE_GROUP_OK, "the metadata cannot be repaired");
    }
    rest(world);
    let resumed = Ask::Resume.run(world);
    assert_eq!(resumed, CLONE_GROUP_OK, "it cannot be resumed");
    rest(world);
    check_state(world);
    let info = world.info();
    assert_eq!((info.restoring_lu, info.reversing_lu), (0, 0), "a copy onto the Source does not end");
    if info.conditions & CLONE_GROUP_CONDITION_SOURCE_INVALID != 0 {
        assert_eq!(Ask::Accept.run(world), CLONE_GROUP_OK, "the Source cannot be accepted");
    }
    check_readable(world);
    let clones = world.inner.borrow().profile.clones;
    for lu in 1..=clones {
        let state = world.clone_info(lu).state;
        if state == CLONE_GROUP_CLONE_OUT_OF_SYNC {
            assert_eq!(Ask::Synchronize(lu as u32).run(world), CLONE_GROUP_OK, "it cannot be synchronized");
            rest(world);
            assert_eq!(world.clone_info(lu).state, CLONE_GROUP_CLONE_SYNCHRONIZED, "of LU {lu}");
        }
        assert_ne!(state, CLONE_GROUP_CLONE_SYNCHRONIZING, "the Synchronization of {lu} does not end");
        let equal = {
            let inner = world.inner.borrow();
            inner.devices[0].now == inner.devices[lu].now
        };
        let synchronized = world.clone_info(lu).state == CLONE_GROUP_CLONE_SYNCHRONIZED;
        assert!(!synchronized || equal, "LU {lu} is Synchronized and not equal");
    }
    let conditions = world.info().conditions;
    let bad = CLONE_GROUP_CONDITION_METADATA_FAILED | CLONE_GROUP_CONDITION_STALLED;
    assert_eq!(conditions & bad, 0, "the group is not in order");
    check_readable(world);
    check_once(world);
}

/// The controller is switched on again; formats what never was a group.
fn start_again(world: &mut World) {
    if world.info().state != CLONE_GROUP_STATE_NEW {
        world.lose_power(|| true);
        world.power_on();
    }
    let status = Ask::Recover.run(world);
    if status != CLONE_GROUP_OK {
        let none = [CLONE_GROUP_ERR_METADATA_MISSING, CLONE_GROUP_ERR_METADATA_DAMAGED].contains(&status);
        assert!(none, "Recovery failed with {status}");
        assert_eq!(Ask::FormatForced.run(world), CLONE_GROUP_OK, "it cannot be formatted");
    }
}

/// Hosts read legal values everywhere, and the maps know all differences.
fn check_readable(world: &World) {
    let usable = world.inner.borrow().usable.clone();
    for lu in (0..usable.len()).filter(|&lu| lu == 0 || usable[lu]) {
        world.check_lu_now(lu);
    }
    world.check_delta_maps();
}
