//! Several groups change their state at one point in time (R77): hosts write to two or three simulated arrays, each
//! write only after the one before it was acknowledged, wherever that was; a consistent Fracture, or a consistent
//! start of a Protected Restore, comes at a random moment; power is lost after every single I/O of it, on all arrays
//! together. Whatever was lost, the set is resolved by the rule, and no write is there without its predecessors.
//!
//! Replay: the failure names kind, profile, seed, step and fate; `CLONE_GROUP_TRACE=1` tells what happens.

mod common;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::sets::*;
use ::clone_group::ffi::types::*;
use common::world::{Placed, Profile, TAG_OPERATION, World};

const BLOCKS: usize = 64;
const PROFILE: Profile = Profile { blocks: BLOCKS, ..Profile::QUIET };
const SET_TAG: u64 = TAG_OPERATION + (1 << 30);
const SET_ID: u64 = 0x5e7;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Fracture,
    Restore,
}

// ------------------------------------------------------------------ several arrays

type Worlds = Vec<Placed>;

fn new_set(id: u64) -> Box<clone_group_set> {
    // SAFETY: a struct of integers, filled by the library.
    unsafe {
        let mut set: Box<clone_group_set> = Box::new(std::mem::zeroed());
        assert_eq!(clone_group_set_init(&mut *set, size_of::<clone_group_set>() as u32, id), CLONE_GROUP_OK);
        set
    }
}

fn call(kind: Kind, worlds: &Worlds, lus: &[u32], set: &mut clone_group_set, tag: u64) -> i32 {
    let groups: Vec<_> = worlds.iter().map(|world| world.group()).collect();
    let count = groups.len() as u32;
    // SAFETY: live groups, and a set that lives until they are done.
    unsafe {
        match kind {
            Kind::Fracture => {
                let label = [b'S'; 64];
                clone_group_set_fracture(groups.as_ptr(), lus.as_ptr(), count, set, label.as_ptr(), tag)
            }
            Kind::Restore => {
                clone_group_set_protected_restore(groups.as_ptr(), lus.as_ptr(), count, set, tag)
            }
        }
    }
}

/// Calls it for Clone 1 of every group.
fn begin(kind: Kind, worlds: &Worlds, set: &mut clone_group_set) -> i32 {
    for world in worlds {
        world.inner.borrow_mut().note_fracture();
    }
    call(kind, worlds, &vec![1; worlds.len()], set, SET_TAG)
}

fn operate(world: &World, call: impl FnOnce(*mut clone_group, u64) -> i32) {
    assert_eq!(world.run_operation(call), CLONE_GROUP_OK);
}

/// One array with a Clone that a set can be asked for; before a restore a second one mirrors the Source.
fn array(kind: Kind, profile: Profile, seed: u64) -> Placed {
    let mut world = World::new(Profile { immediate: 256, faults: 0, metadata_faults: 0, ..profile }, seed);
    world.power_on();
    // SAFETY: a live group, here and below.
    unsafe {
        operate(&world, |group, tag| clone_group_format(group, 0, tag));
        for lu in [1, 2] {
            operate(&world, |group, tag| clone_group_clone_add(group, lu, tag));
            operate(&world, |group, tag| clone_group_synchronize(group, lu, tag));
            world.settle();
        }
        if kind == Kind::Restore {
            world.inner.borrow_mut().note_fracture();
            operate(&world, |group, tag| clone_group_fracture(group, 1, std::ptr::null(), 0, tag));
            for first in [0, 9, 22, 40] {
                world.host(CLONE_GROUP_IO_WRITE, 0, first, 3, true);
            }
            world.settle();
        }
    }
    world.inner.borrow_mut().profile = profile;
    world
}

fn arrays(kind: Kind, profile: Profile, count: usize, seed: u64) -> Worlds {
    (0..count as u64).map(|number| array(kind, profile, seed * 8 + number)).collect()
}

fn outcome(world: &World) -> Option<i32> {
    world.inner.borrow().operations_done.get(&SET_TAG).copied()
}

fn is_prepared(world: &World) -> bool {
    world.info().conditions & CLONE_GROUP_CONDITION_PREPARED != 0
}

/// The rule of clone_group_set_resolve().
fn rule(worlds: &Worlds) -> bool {
    worlds.iter().all(|world| world.info().set_id == SET_ID)
}

fn recover(world: &mut World) {
    world.power_on();
    // SAFETY: a live group.
    operate(world, |group, tag| unsafe { clone_group_recover(group, 0, tag) });
}

fn resolve(world: &World, commit: bool) -> i32 {
    // SAFETY: a live group.
    world.run_operation(|group, tag| unsafe { clone_group_set_resolve(group, u32::from(commit), tag) })
}

fn events_of(world: &World, kind: u32) -> usize {
    world.inner.borrow().events.iter().filter(|event| event.0 == kind).count()
}

/// Lets every group go on until its part of the set is done.
fn finish(worlds: &Worlds) -> Vec<i32> {
    for _ in 0..100_000 {
        for world in worlds {
            world.poll(3);
            world.complete_some(1);
        }
        let done: Vec<_> = worlds.iter().filter_map(|world| outcome(world)).collect();
        if done.len() == worlds.len() {
            return done;
        }
    }
    panic!("the set does not end");
}

// ----------------------------------------------------------------- dependent writes

/// Writes of which each is submitted only after the one before it was acknowledged.
struct Chain {
    /// Array and block of each, every block once.
    places: Vec<(usize, usize)>,
    submitted: usize,
    acknowledged: usize,
    tag: u64,
    /// How far it was when the set was asked for, and when all groups were done.
    acknowledged_before: usize,
    submitted_at_end: Option<usize>,
}

impl Chain {
    fn new(number: usize, worlds: usize, rng: &mut fastrand::Rng) -> Chain {
        let place = |step: usize| (rng.usize(..worlds), (step * 2 + number) * 37 % BLOCKS);
        Chain {
            places: (0..BLOCKS / 2).map(place).collect(),
            submitted: 0,
            acknowledged: 0,
            tag: 0,
            acknowledged_before: 0,
            submitted_at_end: None,
        }
    }

    fn go_on(&mut self, worlds: &Worlds, total: &mut Steps) {
        if self.submitted > self.acknowledged {
            let world = &worlds[self.places[self.acknowledged].0];
            let inner = world.inner.borrow();
            assert!(!inner.failed.contains(&self.tag), "a write failed");
            if inner.hosts.contains_key(&self.tag) {
                return;
            }
            self.acknowledged += 1;
        }
        if self.submitted < self.places.len() {
            let (number, block) = self.places[self.submitted];
            self.submitted += 1;
            let world = &worlds[number];
            let (tag, status) = total.of(world, |world| world.host(CLONE_GROUP_IO_WRITE, 0, block, 1, true));
            self.tag = tag;
            match status {
                Some(CLONE_GROUP_OK) => self.acknowledged += 1,
                Some(status) => panic!("a write was refused with {status}"),
                None => {}
            }
        }
    }

    /// Of each write that was submitted: whether it is in this content of the arrays.
    fn present(&self, worlds: &Worlds, lu: usize, before: &[Vec<u64>]) -> Vec<bool> {
        let there = |&(number, block): &(usize, usize)| {
            worlds[number].inner.borrow().devices[lu].now[block] != before[number][block]
        };
        self.places[..self.submitted].iter().map(there).collect()
    }
}

/// I/Os of all arrays together since the set was asked for, and after how many power is lost.
struct Steps {
    counting: bool,
    done: u64,
    most: u64,
}

impl Steps {
    fn of<R>(&mut self, world: &World, act: impl FnOnce(&World) -> R) -> R {
        let before = world.inner.borrow().steps;
        if self.counting {
            world.inner.borrow_mut().power_fails_at = before + (self.most - self.done);
        }
        let result = act(world);
        if self.counting {
            self.done += world.inner.borrow().steps - before;
        }
        world.inner.borrow_mut().power_fails_at = u64::MAX;
        result
    }

    fn is_off(&self) -> bool {
        self.counting && self.done >= self.most
    }
}

/// Hosts write, the set comes, hosts write on. Returns early when power is lost.
fn live(
    kind: Kind,
    worlds: &Worlds,
    set: &mut clone_group_set,
    rng: &mut fastrand::Rng,
    most: u64,
) -> Vec<Chain> {
    let mut chains: Vec<_> = (0..2).map(|number| Chain::new(number, worlds.len(), rng)).collect();
    let mut steps = Steps { counting: false, done: 0, most };
    let begin_at = 20 + rng.usize(..60);
    // One array gets behind the others.
    let slow = rng.usize(..worlds.len());
    let abort_at = if rng.bool() { begin_at + rng.usize(..60) } else { usize::MAX };
    let mut turns_left = 60;
    let mut aborted = false;
    for turn in 0.. {
        assert!(turn < 100_000, "the set does not end");
        if turn == begin_at {
            for chain in &mut chains {
                chain.acknowledged_before = chain.acknowledged;
            }
            assert_eq!(begin(kind, worlds, set), CLONE_GROUP_PENDING);
            steps.counting = true;
        }
        if turn == abort_at {
            let world = &worlds[rng.usize(..worlds.len())];
            // SAFETY: a live group. What is decided, or over, cannot be aborted.
            let status = unsafe { clone_group_abort(world.group(), SET_TAG) };
            assert!([CLONE_GROUP_OK, CLONE_GROUP_ERR_NO_REQUEST].contains(&status));
            aborted |= status == CLONE_GROUP_OK;
        }
        if rng.bool() {
            let number = rng.usize(..chains.len());
            // What is left is for the time after the set.
            let left = chains[number].places.len() - chains[number].submitted;
            if left > 8 || chains[number].submitted_at_end.is_some() {
                chains[number].go_on(worlds, &mut steps);
            }
        }
        if steps.is_off() {
            return chains;
        }
        let number = rng.usize(..worlds.len());
        if number == slow && rng.u32(..8) > 0 {
            continue;
        }
        let world = &worlds[number];
        let (budget, completions) = (rng.u32(1..4), rng.usize(..3));
        steps.of(world, |world| {
            world.poll(budget);
            world.complete_some(completions);
        });
        if steps.is_off() {
            return chains;
        }
        if worlds.iter().all(|world| outcome(world).is_some()) {
            for chain in &mut chains {
                chain.submitted_at_end = chain.submitted_at_end.or(Some(chain.submitted));
            }
            check_outcomes(worlds, aborted);
            turns_left -= 1;
            if turns_left == 0 {
                break;
            }
        }
    }
    chains
}

/// What was reported: all groups the same, and no success of what was aborted.
fn check_outcomes(worlds: &Worlds, aborted: bool) -> Option<bool> {
    let mut known: Option<bool> = None;
    for status in worlds.iter().filter_map(|world| outcome(world)) {
        assert!([CLONE_GROUP_OK, CLONE_GROUP_ERR_CANCELED].contains(&status), "done with {status}");
        let committed = status == CLONE_GROUP_OK;
        assert!(known.is_none_or(|known| known == committed), "not all groups report the same");
        known = Some(committed);
    }
    assert!(!aborted || known != Some(true), "a set that was aborted is committed");
    known
}

/// No write is in a Clone without its predecessors (R55, R77).
fn check_fractured(worlds: &Worlds, chains: &[Chain], before: &[Vec<u64>]) {
    for chain in chains {
        let present = chain.present(worlds, 1, before);
        let cut = present.iter().position(|&there| !there).unwrap_or(present.len());
        assert!(
            present[cut..].iter().all(|&there| !there),
            "a write is in the Clones without its predecessor: {present:?} {:?}",
            chain.places
        );
        assert!(
            cut >= chain.acknowledged_before,
            "a write that was acknowledged before is not in the Clones"
        );
        assert!(
            chain.submitted_at_end.is_none_or(|end| cut <= end),
            "a write that came after the end is in the Clones"
        );
    }
}

/// The Sources are the Clones and everything that hosts wrote since, and no write survived in one restore that a later
/// one was lost to in another.
fn check_restored(worlds: &Worlds, chains: &[Chain], clones: &[Vec<u64>]) {
    for chain in chains {
        let mut present = chain.present(worlds, 0, clones);
        // The last one may have been under way.
        present.truncate(chain.acknowledged);
        let cut = present.iter().position(|&there| there).unwrap_or(present.len());
        assert!(
            present[cut..].iter().all(|&there| there),
            "a write survived and its successor did not: {present:?} {:?}",
            chain.places
        );
        assert!(cut >= chain.acknowledged_before, "a write of before the restore survived it");
        assert!(
            chain.submitted_at_end.is_none_or(|end| cut <= end),
            "a write that came after the start is lost"
        );
    }
}

/// What the arrays are after the set, whatever became of it.
fn check(kind: Kind, worlds: &Worlds, chains: &[Chain], before: &[Vec<u64>], committed: bool, lost: bool) {
    for world in worlds {
        assert!(!is_prepared(world));
        let state = world.clone_info(1).state;
        match (kind, committed) {
            (Kind::Fracture, true) => {
                assert_eq!(state, CLONE_GROUP_CLONE_FRACTURED);
                assert_eq!(world.clone_info(1).label, [b'S'; 64]);
            }
            (Kind::Fracture, false) => {
                assert_ne!(state, CLONE_GROUP_CLONE_FRACTURED, "one group committed a set that was aborted");
            }
            (Kind::Restore, committed) => {
                let generation = u64::from(committed);
                assert_eq!(world.info().restore_generation, generation, "not all groups did the same");
                let second = world.clone_info(2).state;
                assert_eq!(second == CLONE_GROUP_CLONE_FRACTURED, committed, "the undo: {second}");
            }
        }
        world.after_recovery();
        if lost {
            world.check_lu_after_loss(0);
        }
        world.check_delta_maps();
    }
    if kind == Kind::Fracture && committed {
        check_fractured(worlds, chains, before);
    }
    for world in worlds {
        world.settle();
        world.check_lu_now(0);
        world.check_delta_maps();
        if kind == Kind::Fracture && !committed {
            let inner = world.inner.borrow();
            assert_eq!(inner.devices[0].now, inner.devices[1].now, "a mirrored Clone differs");
        }
    }
    if kind == Kind::Restore && committed {
        check_restored(worlds, chains, before);
    }
    if kind == Kind::Restore {
        for (world, before) in worlds.iter().zip(before) {
            assert_eq!(&world.inner.borrow().devices[1].now, before, "the Clone was modified");
        }
    }
}

fn content(worlds: &Worlds, lu: usize) -> Vec<Vec<u64>> {
    worlds.iter().map(|world| world.inner.borrow().devices[lu].now.clone()).collect()
}

fn lose_power(worlds: &mut Worlds, fate: u64, seed: u64) {
    for (number, world) in worlds.iter_mut().enumerate() {
        let mut dice = fastrand::Rng::with_seed(seed * 16 + number as u64);
        world.lose_power(move || match fate {
            0 => false,
            1 => true,
            _ => dice.bool(),
        });
    }
}

/// What was seen, to know that the test tests.
#[derive(Default, Debug)]
struct Seen {
    losses: u64,
    committed: u64,
    aborted: u64,
    resolved_commit: u64,
    resolved_abort: u64,
    lost_in_resolution: u64,
}

/// All groups are recovered and resolved by the rule; power may be lost again in the middle of it.
fn recover_and_resolve(worlds: &mut Worlds, rng: &mut fastrand::Rng, fate: u64, seen: &mut Seen) -> bool {
    let mut again = rng.bool();
    let mut decided: Option<bool> = None;
    loop {
        for world in worlds.iter_mut() {
            recover(world);
        }
        let commit = rule(worlds);
        assert!(decided.is_none_or(|decided| decided == commit), "the rule changed its mind");
        let mut interrupted = false;
        for world in worlds.iter() {
            if !is_prepared(world) {
                assert_eq!(resolve(world, commit), CLONE_GROUP_ERR_STATE);
                continue;
            }
            check_refusals(world);
            assert_eq!(events_of(world, CLONE_GROUP_EVENT_PREPARED), 1);
            if again && rng.bool() {
                let inner = &mut *world.inner.borrow_mut();
                inner.power_fails_at = inner.steps + rng.u64(1..12);
                interrupted = true;
            }
            let status = resolve(world, commit);
            if status == i32::MIN || world.power_is_off() {
                seen.lost_in_resolution += 1;
                interrupted = true;
                break;
            }
            assert_eq!(status, CLONE_GROUP_OK);
            assert!(!is_prepared(world));
            assert_eq!(events_of(world, CLONE_GROUP_EVENT_SET_RESOLVED), 1);
            seen.resolved_commit += u64::from(commit);
            seen.resolved_abort += u64::from(!commit);
        }
        if !interrupted {
            return commit;
        }
        again = rng.bool();
        decided = Some(commit);
        lose_power(worlds, fate, rng.u64(..1 << 40));
    }
}

/// A prepared group serves nobody and begins nothing.
fn check_refusals(world: &World) {
    let prepared = CLONE_GROUP_ERR_PREPARED;
    assert_eq!(world.read_now(0, 0, 1), Err(prepared));
    let mut payload = [0_u64; 1];
    // SAFETY: a live group; the payload outlives the requests, which are refused.
    unsafe {
        let pointer = payload.as_mut_ptr().cast();
        assert_eq!(clone_group_host_write(world.group(), 0, 0, 1, pointer, 0, 1), prepared);
        assert_eq!(clone_group_host_flush(world.group(), 0, 1), prepared);
        assert_eq!(clone_group_pause(world.group(), 1), prepared);
        assert_eq!(clone_group_fracture(world.group(), 1, std::ptr::null(), 0, 1), prepared);
        assert_eq!(clone_group_protected_restore(world.group(), 1, 1), prepared);
        assert_eq!(clone_group_synchronize(world.group(), 2, 1), prepared);
    }
    // Nothing is copied.
    let copied = |world: &World| world.statistics().sync_extents;
    let before = copied(world);
    for _ in 0..20 {
        world.step(8);
        world.complete_some(4);
    }
    assert_eq!(copied(world), before, "a prepared group copies");
}

fn profiles() -> Vec<Profile> {
    let mut profiles = Vec::new();
    for (volatile, immediate, persist_flush) in
        [(false, 0, false), (true, 0, true), (true, 128, false), (false, 200, true), (true, 256, true)]
    {
        profiles.push(Profile { volatile, immediate, persist_flush, ..PROFILE });
    }
    profiles
}

fn power_lost_everywhere(kind: Kind) {
    let mut seen = Seen::default();
    let mut seed = 0;
    for profile in profiles() {
        for (fate, count) in [(0, 2), (1, 3), (2, 2), (3, 3)] {
            seed += 1;
            for step in 1.. {
                let mut worlds = arrays(kind, profile, count, seed);
                let before = content(&worlds, 1);
                let mut set = new_set(SET_ID);
                let mut rng = fastrand::Rng::with_seed(seed);
                let chains = live(kind, &worlds, &mut set, &mut rng, step);
                let reported = check_outcomes(&worlds, false);
                let complete =
                    chains[0].submitted_at_end.is_some() && worlds.iter().all(|w| outcome(w).is_some());
                let seen = RefCell::new(&mut seen);
                let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let seen = &mut **seen.borrow_mut();
                    lose_power(&mut worlds, fate, seed * 1000 + step);
                    let committed = recover_and_resolve(&mut worlds, &mut rng, fate, seen);
                    check(kind, &worlds, &chains, &before, committed, true);
                    seen.losses += 1;
                    seen.committed += u64::from(committed);
                    seen.aborted += u64::from(!committed);
                    assert!(
                        reported.is_none_or(|reported| reported == committed),
                        "what was reported is not so"
                    );
                }));
                assert!(
                    judged.is_ok(),
                    "replay: {kind:?} {profile:?}, seed {seed}, step {step}, fate {fate}, {count} arrays"
                );
                if complete {
                    break;
                }
            }
        }
    }
    println!("{kind:?}: {seen:?}");
    assert!(seen.losses > 500, "the scenario lost its I/Os: {seen:?}");
    assert!(
        seen.resolved_commit > 20 && seen.resolved_abort > 20 && seen.lost_in_resolution > 20,
        "{seen:?}"
    );
    assert!(seen.committed > 100 && seen.aborted > 100, "an outcome is missing: {seen:?}");
}

/// Power is lost after each I/O of a consistent Fracture: the Clones are a cut without a write that lacks its
/// predecessors, or none of them is fractured.
#[test]
fn power_lost_after_every_io_of_a_consistent_fracture() {
    power_lost_everywhere(Kind::Fracture);
}

/// Power is lost after each I/O of a consistent start of a restore: all Sources are restored from that moment on, or
/// none is.
#[test]
fn power_lost_after_every_io_of_a_consistent_restore() {
    power_lost_everywhere(Kind::Restore);
}

/// Without a loss: the cut is consistent at any moment, with any order of completions.
#[test]
fn cuts_are_consistent() {
    let mut outcomes = [0; 2];
    for kind in [Kind::Fracture, Kind::Restore] {
        for (number, profile) in profiles().into_iter().enumerate() {
            for seed in 0..40 {
                let seed = seed * 10 + number as u64;
                let worlds = arrays(kind, profile, 2 + (seed % 2) as usize, seed);
                let before = content(&worlds, 1);
                let mut set = new_set(SET_ID);
                let mut rng = fastrand::Rng::with_seed(seed);
                let chains = live(kind, &worlds, &mut set, &mut rng, u64::MAX / 2);
                let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let committed = check_outcomes(&worlds, false).expect("all are done");
                    outcomes[usize::from(committed)] += 1;
                    for world in &worlds {
                        assert_eq!(world.info().set_id, if committed { SET_ID } else { 0 });
                    }
                    // What is under way ends first: the media tell nothing of it yet.
                    for world in &worlds {
                        world.settle();
                    }
                    let chains: Vec<_> = chains
                        .into_iter()
                        .map(|chain| Chain { acknowledged: chain.submitted, ..chain })
                        .collect();
                    check(kind, &worlds, &chains, &before, committed, false);
                }));
                assert!(judged.is_ok(), "replay: {kind:?} {profile:?}, seed {seed}");
            }
        }
    }
    println!("aborted, committed: {outcomes:?}");
    assert!(outcomes.iter().all(|&times| times > 50), "an outcome is missing: {outcomes:?}");
}

// ------------------------------------------------------------------------ refusals

/// If one group refuses, none begins, no `done` follows on any, hosts go on, and the set can be used again.
#[test]
fn a_group_that_refuses_lets_all_go() {
    let worlds = arrays(Kind::Fracture, PROFILE, 3, 1);
    let mut set = new_set(SET_ID);
    let fracture =
        |lus: [u32; 3], set: &mut clone_group_set| call(Kind::Fracture, &worlds, &lus, set, SET_TAG);
    // The last group does something else.
    // SAFETY: a live group, here and below.
    let other = worlds[2].operation(|group, tag| unsafe { clone_group_pause(group, tag) }).expect("accepted");
    assert_eq!(fracture([1; 3], &mut set), CLONE_GROUP_ERR_BUSY);
    for world in &worlds {
        world.settle();
        assert_eq!(outcome(world), None, "a done call followed");
        assert_eq!(world.clone_info(1).state, CLONE_GROUP_CLONE_SYNCHRONIZED);
        world.host(CLONE_GROUP_IO_WRITE, 0, 0, 1, false);
        world.settle();
        assert_eq!(world.inner.borrow().failed.len(), 0, "a host write failed");
    }
    assert_eq!(worlds[2].done_operation(other), Some(CLONE_GROUP_OK));
    assert_eq!(fracture([1, 3, 1], &mut set), CLONE_GROUP_ERR_NO_LU);
    assert_eq!(call(Kind::Restore, &worlds, &[1; 3], &mut set, SET_TAG), CLONE_GROUP_ERR_STATE);
    // The groups are free for others.
    // SAFETY: a live group.
    operate(&worlds[0], |group, tag| unsafe { clone_group_pause(group, tag) });
    // SAFETY: a live group.
    operate(&worlds[0], |group, tag| unsafe { clone_group_resume(group, tag) });
    begin(Kind::Fracture, &worlds, &mut set);
    let mut second = new_set(SET_ID + 1);
    assert_eq!(fracture([2; 3], &mut second), CLONE_GROUP_ERR_BUSY, "two sets at once");
    assert_eq!(finish(&worlds), [CLONE_GROUP_OK; 3]);
    for world in &worlds {
        assert_eq!(world.done_operation(SET_TAG), Some(CLONE_GROUP_OK));
        assert_eq!(world.info().set_id, SET_ID);
    }
    // A set serves once, and an id too.
    assert_eq!(fracture([2; 3], &mut set), CLONE_GROUP_ERR_INVALID, "a set was used twice");
    let mut same = new_set(SET_ID);
    assert_eq!(fracture([2; 3], &mut same), CLONE_GROUP_ERR_INVALID, "an id was used twice");
    for world in &worlds {
        world.inner.borrow_mut().note_fracture();
    }
    assert_eq!(fracture([2; 3], &mut second), CLONE_GROUP_PENDING);
    assert_eq!(finish(&worlds), [CLONE_GROUP_OK; 3]);
}

/// One group is never polled: the others wait with their hosts held and ask to be polled, until one of them aborts the
/// set; then all of them go on at once, and the one that was not polled learns of it when it is (R76).
#[test]
fn a_group_that_is_never_polled() {
    for kind in [Kind::Fracture, Kind::Restore] {
        let worlds = arrays(kind, PROFILE, 3, 1);
        let states =
            |worlds: &Worlds| worlds.iter().map(|world| world.clone_info(1).state).collect::<Vec<_>>();
        let before = states(&worlds);
        let mut set = new_set(SET_ID);
        assert_eq!(begin(kind, &worlds, &mut set), CLONE_GROUP_PENDING);
        let waiting = &worlds[..2];
        for world in waiting {
            for _ in 0..50 {
                assert_eq!(world.poll(8), CLONE_GROUP_MORE);
            }
            assert_eq!(outcome(world), None);
            assert_eq!(world.host(CLONE_GROUP_IO_WRITE, 0, 0, 1, false).1, None, "a host was not held");
            assert_eq!(world.host(CLONE_GROUP_IO_READ, 0, 1, 1, false).1, None, "a host was not held");
            assert_eq!(
                // SAFETY: a live group.
                world.operation(|group, tag| unsafe { clone_group_close(group, tag) }),
                Err(CLONE_GROUP_ERR_BUSY)
            );
        }
        // SAFETY: live groups.
        unsafe {
            assert_eq!(clone_group_abort(worlds[0].group(), 12345), CLONE_GROUP_ERR_NO_REQUEST);
            assert_eq!(clone_group_abort(worlds[1].group(), SET_TAG), CLONE_GROUP_OK);
        }
        for world in waiting {
            world.settle();
            assert_eq!(outcome(world), Some(CLONE_GROUP_ERR_CANCELED));
            assert_eq!(world.hosts_open(), 0, "hosts do not go on");
        }
        assert_eq!(outcome(&worlds[2]), None);
        worlds[2].settle();
        assert_eq!(outcome(&worlds[2]), Some(CLONE_GROUP_ERR_CANCELED));
        assert_eq!(states(&worlds), before);
        assert!(worlds.iter().all(|world| world.info().set_id == 0));
        // Once more, with a fresh set.
        let mut set = new_set(SET_ID);
        worlds.iter().for_each(|world| assert!(world.done_operation(SET_TAG).is_some()));
        assert_eq!(begin(kind, &worlds, &mut set), CLONE_GROUP_PENDING);
        assert_eq!(finish(&worlds), [CLONE_GROUP_OK; 3]);
    }
}

/// A group that is destroyed while the others wait for it fails the set.
#[test]
fn a_group_that_is_destroyed() {
    let worlds = arrays(Kind::Fracture, PROFILE, 2, 1);
    let mut set = new_set(SET_ID);
    assert_eq!(begin(Kind::Fracture, &worlds, &mut set), CLONE_GROUP_PENDING);
    for _ in 0..20 {
        worlds[0].poll(8);
    }
    // SAFETY: a live group, which is not used again.
    assert_eq!(unsafe { clone_group_destroy(worlds[1].group()) }, CLONE_GROUP_OK);
    worlds[0].settle();
    assert_eq!(outcome(&worlds[0]), Some(CLONE_GROUP_ERR_CANCELED));
}

// ------------------------------------------------------------------------ failures

/// An LU of one group cannot be flushed: that group says so, the others that the set failed, and nobody changed.
#[test]
fn a_member_that_fails() {
    let profile = Profile { volatile: true, immediate: 0, ..PROFILE };
    let worlds = arrays(Kind::Restore, profile, 3, 1);
    let mut set = new_set(SET_ID);
    worlds[1].inner.borrow_mut().profile.faults = 65536;
    assert_eq!(begin(Kind::Restore, &worlds, &mut set), CLONE_GROUP_PENDING);
    assert_eq!(finish(&worlds), [CLONE_GROUP_ERR_CANCELED, -5, CLONE_GROUP_ERR_CANCELED]);
    worlds[1].inner.borrow_mut().profile.faults = 0;
    for world in &worlds {
        assert_eq!((world.info().set_id, world.info().restoring_lu), (0, 0));
        assert_eq!(world.clone_info(1).state, CLONE_GROUP_CLONE_FRACTURED);
        world.settle();
    }
}

/// Lets all groups go on until so many superblocks were written by the one that is looked at, then lets its metadata
/// writes fail.
fn fail_metadata_after(worlds: &Worlds, number: usize, superblocks: u64) -> Vec<i32> {
    let before = worlds[number].statistics().superblock_writes;
    for _ in 0..10_000 {
        if worlds[number].statistics().superblock_writes == before + superblocks {
            let inner = &mut *worlds[number].inner.borrow_mut();
            inner.profile.metadata_faults = 65536;
            inner.metadata_fault_seen = true;
            break;
        }
        for world in worlds {
            world.poll(1);
            // The write that is to fail must not be over already.
            if worlds[number].statistics().superblock_writes < before + superblocks {
                world.complete_some(1);
            }
        }
    }
    let statuses = finish(worlds);
    worlds[number].inner.borrow_mut().profile.metadata_faults = 0;
    statuses
}

fn repair(world: &World) {
    // SAFETY: a live group.
    operate(world, |group, tag| unsafe { clone_group_metadata_repair(group, tag) });
    assert_eq!(world.info().conditions & CLONE_GROUP_CONDITION_METADATA_FAILED, 0);
}

/// The superblock that says prepared cannot be written, in either slot: the set fails. That group refuses host writes
/// until it is repaired, if what the area says is unknown (R33); the others go on at once.
#[test]
fn a_member_that_cannot_prepare() {
    for kind in [Kind::Fracture, Kind::Restore] {
        for superblocks in [1, 2] {
            let profile = Profile { volatile: true, immediate: 0, ..PROFILE };
            let worlds = arrays(kind, profile, 3, 1);
            let mut set = new_set(SET_ID);
            assert_eq!(begin(kind, &worlds, &mut set), CLONE_GROUP_PENDING);
            let statuses = fail_metadata_after(&worlds, 0, superblocks);
            assert!(statuses[0] == -5, "{statuses:?}");
            assert_eq!(statuses[1..], [CLONE_GROUP_ERR_CANCELED; 2]);
            for world in &worlds {
                world.settle();
                assert!(!is_prepared(world) && world.info().set_id == 0);
                assert!(world.read_now(0, 0, 1).is_ok());
            }
            assert_ne!(worlds[0].info().conditions & CLONE_GROUP_CONDITION_METADATA_FAILED, 0);
            worlds[0].host(CLONE_GROUP_IO_WRITE, 0, 0, 1, false);
            worlds[1].host(CLONE_GROUP_IO_WRITE, 0, 0, 1, false);
            worlds.iter().for_each(|world| world.settle());
            assert_eq!(worlds[0].inner.borrow().failed.len(), 1, "a host write succeeded in spite of R33");
            assert_eq!(worlds[1].inner.borrow().failed.len(), 0);
            repair(&worlds[0]);
            assert_eq!(worlds[0].host(CLONE_GROUP_IO_WRITE, 0, 0, 1, false).1, None);
            worlds.iter().for_each(|world| world.settle());
            assert_eq!(worlds[0].inner.borrow().failed.len(), 1);
            // The area says nothing of the set any more.
            for mut world in worlds {
                world.lose_power(|| false);
                recover(&mut world);
                assert!(!is_prepared(&world) && world.info().set_id == 0);
            }
        }
    }
}

/// The set is decided, and one group cannot write that down: it reports the failure, serves nobody, and after a repair,
/// or a power loss, it is resolved by the rule like any other prepared group.
#[test]
fn a_member_that_cannot_commit() {
    for kind in [Kind::Fracture, Kind::Restore] {
        for crash in [false, true] {
            let profile = Profile { volatile: true, immediate: 0, ..PROFILE };
            let mut worlds = arrays(kind, profile, 3, 1);
            let before = content(&worlds, 1);
            let mut set = new_set(SET_ID);
            assert_eq!(begin(kind, &worlds, &mut set), CLONE_GROUP_PENDING);
            let (held, _) = worlds[0].host(CLONE_GROUP_IO_WRITE, 0, 8, 1, false);
            let statuses = fail_metadata_after(&worlds, 0, 3);
            assert_eq!(statuses, [-5, CLONE_GROUP_OK, CLONE_GROUP_OK]);
            worlds[0].settle();
            assert!(is_prepared(&worlds[0]));
            assert_eq!(worlds[0].info().set_id, SET_ID);
            assert_eq!(events_of(&worlds[0], CLONE_GROUP_EVENT_PREPARED), 1);
            if kind == Kind::Fracture {
                assert!(worlds[0].inner.borrow().failed.contains(&held), "a write that was held was served");
            }
            assert!(rule(&worlds));
            assert_eq!(resolve(&worlds[0], true), CLONE_GROUP_ERR_METADATA_FAILED);
            if crash {
                worlds[0].lose_power(|| true);
                recover(&mut worlds[0]);
            } else {
                check_refusals(&worlds[0]);
                repair(&worlds[0]);
            }
            assert!(rule(&worlds));
            if is_prepared(&worlds[0]) {
                assert_eq!(resolve(&worlds[0], true), CLONE_GROUP_OK);
            }
            check(kind, &worlds, &[], &before, true, false);
        }
    }
}

/// The set was aborted, and one group cannot write that down: hosts read as before, and write again after a repair.
#[test]
fn a_member_that_cannot_release() {
    let profile = Profile { volatile: true, immediate: 0, ..PROFILE };
    let worlds = arrays(Kind::Fracture, profile, 2, 1);
    let mut set = new_set(SET_ID);
    assert_eq!(begin(Kind::Fracture, &worlds, &mut set), CLONE_GROUP_PENDING);
    for _ in 0..50 {
        worlds[0].poll(4);
        worlds[0].complete_some(4);
    }
    {
        let inner = &mut *worlds[0].inner.borrow_mut();
        inner.profile.metadata_faults = 65536;
        inner.metadata_fault_seen = true;
    }
    // SAFETY: a live group.
    assert_eq!(unsafe { clone_group_abort(worlds[0].group(), SET_TAG) }, CLONE_GROUP_OK);
    assert_eq!(finish(&worlds), [-5, CLONE_GROUP_ERR_CANCELED]);
    worlds[0].inner.borrow_mut().profile.metadata_faults = 0;
    assert!(worlds[0].read_now(0, 0, 1).is_ok());
    worlds[0].host(CLONE_GROUP_IO_WRITE, 0, 0, 1, false);
    worlds[0].settle();
    assert_eq!(worlds[0].inner.borrow().failed.len(), 1, "a host write succeeded in spite of R33");
    repair(&worlds[0]);
    assert!(!is_prepared(&worlds[0]));
    worlds[0].host(CLONE_GROUP_IO_WRITE, 0, 0, 1, false);
    worlds[0].settle();
    assert_eq!(worlds[0].inner.borrow().failed.len(), 1);
}

/// A superblock that says prepared and not for what, or for both, or of no set, is refused.
#[test]
fn superblocks_that_make_no_sense() {
    let worlds = arrays(Kind::Fracture, Profile { volatile: false, ..PROFILE }, 2, 1);
    let mut set = new_set(SET_ID);
    assert_eq!(begin(Kind::Fracture, &worlds, &mut set), CLONE_GROUP_PENDING);
    for _ in 0..50 {
        worlds[0].poll(8);
    }
    let good = worlds[0].inner.borrow().area.now.clone();
    let mut world = worlds.into_iter().next().expect("two");
    let region = good.len() / 2;
    let superblock_bytes = 512;
    let changed = |at: usize, bits: u8| {
        let mut image = good.clone();
        for slot in 0..2 {
            let slot = &mut image[slot * region..][..superblock_bytes];
            slot[at] ^= bits;
            let crc = crc32fast::hash(&slot[..superblock_bytes - 4]);
            slot[superblock_bytes - 4..].copy_from_slice(&crc.to_le_bytes());
        }
        image
    };
    // SAFETY: a live group.
    let recovers =
        |world: &World| world.run_operation(|group, tag| unsafe { clone_group_recover(group, 0, tag) });
    for (name, image, status) in [
        ("as it was written", good.clone(), CLONE_GROUP_OK),
        ("not prepared, but a Clone is", changed(52, 4), CLONE_GROUP_ERR_METADATA_DAMAGED),
        ("prepared, but no Clone is", changed(128 + 4, 4), CLONE_GROUP_ERR_METADATA_DAMAGED),
        ("a Clone is prepared for both", changed(128 + 4, 8), CLONE_GROUP_ERR_METADATA_DAMAGED),
        ("prepared for no set", changed(104, 0xe7), CLONE_GROUP_ERR_METADATA_DAMAGED),
    ] {
        world.lose_power(|| true);
        let image = if name == "prepared for no set" {
            let mut image = image;
            for slot in 0..2 {
                let slot = &mut image[slot * region..][..superblock_bytes];
                slot[104..112].fill(0);
                let crc = crc32fast::hash(&slot[..superblock_bytes - 4]);
                slot[superblock_bytes - 4..].copy_from_slice(&crc.to_le_bytes());
            }
            image
        } else {
            image
        };
        world.inner.borrow_mut().area.replace(&image);
        world.power_on();
        assert_eq!(recovers(&world), status, "{name}");
    }
}

// ------------------------------------------------------------------------- threads

/// An array that one thread polls. The set is called on another one.
struct Polled(Placed);

// SAFETY: one thread at a time has it; the main thread has the handle of the group only, which any thread may use.
unsafe impl Send for Polled {}

/// A handle for another thread.
#[derive(Clone, Copy)]
struct Shared(*mut clone_group);

// SAFETY: the library's handles may be used from any thread.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// Each array has a thread that polls it and writes when it is its turn; two more threads ask for sets over the same
/// groups, in opposite orders, and one aborts. Nothing hangs, each set ends on all groups alike, and no Clone has a
/// write without its predecessors.
#[test]
fn groups_on_different_threads() {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    const WRITES: usize = BLOCKS;
    let (mut committed, mut aborted, mut refused) = (0, 0, 0);
    for seed in 0..120_u64 {
        let profile = Profile { immediate: 200, ..PROFILE };
        let worlds = arrays(Kind::Fracture, profile, 3, seed);
        let before = content(&worlds, 1);
        let handles: Vec<_> = worlds.iter().map(|world| Shared(world.group())).collect();
        for world in &worlds {
            world.inner.borrow_mut().note_fracture();
        }
        let baton = AtomicUsize::new(0);
        let over = AtomicBool::new(false);
        let ask = |reversed: bool, tag: u64, set: &mut clone_group_set| {
            let mut groups: Vec<_> = handles.iter().map(|shared| shared.0).collect();
            if reversed {
                groups.reverse();
            }
            while baton.load(Ordering::Relaxed) < 1 + seed as usize % 8 {
                std::thread::yield_now();
            }
            // SAFETY: live groups; the set lives until all threads are joined.
            unsafe {
                clone_group_set_fracture(groups.as_ptr(), [1; 3].as_ptr(), 3, set, std::ptr::null(), tag)
            }
        };
        let mut sets = [new_set(SET_ID), new_set(SET_ID + 1)];
        let (worlds, statuses) = std::thread::scope(|scope| {
            let pollers: Vec<_> = worlds
                .into_iter()
                .enumerate()
                .map(|(number, world)| {
                    let polled = Polled(world);
                    let (baton, over) = (&baton, &over);
                    scope.spawn(move || {
                        let polled = polled;
                        poll_and_write(&polled.0, number, baton, over, WRITES);
                        polled
                    })
                })
                .collect();
            let [first, second] = &mut sets;
            let other = scope.spawn({
                let ask = &ask;
                let second = &mut **second;
                move || ask(true, SET_TAG + 1, second)
            });
            let first = ask(false, SET_TAG, first);
            if seed % 3 == 0 {
                // SAFETY: a live group.
                unsafe { clone_group_abort(handles[1].0, SET_TAG) };
            }
            let statuses = [first, other.join().expect("no panic")];
            let deadline = Instant::now() + Duration::from_secs(120);
            while baton.load(Ordering::Acquire) < WRITES && Instant::now() < deadline {
                std::thread::yield_now();
            }
            over.store(true, Ordering::Release);
            let worlds: Worlds =
                pollers.into_iter().map(|thread| thread.join().expect("no panic").0).collect();
            // A set may have been asked for when the writes were over already: all go on together.
            for world in (0..2000).flat_map(|_| &worlds) {
                world.poll(4);
                world.complete_some(4);
            }
            for world in &worlds {
                world.settle();
            }
            (worlds, statuses)
        });
        assert_eq!(baton.load(Ordering::Acquire), WRITES, "seed {seed}: hosts do not go on");
        let mut cut = false;
        for (tag, status) in [(SET_TAG, statuses[0]), (SET_TAG + 1, statuses[1])] {
            let done: Vec<_> = worlds.iter().map(|world| world.done_operation(tag)).collect();
            if status != CLONE_GROUP_PENDING {
                refused += 1;
                assert_eq!(done, [None; 3], "seed {seed}: refused with {status}, and done was called");
                continue;
            }
            let all = done[0].expect("it is done");
            assert_eq!(done, [Some(all); 3], "seed {seed}");
            match all {
                CLONE_GROUP_OK => committed += 1,
                CLONE_GROUP_ERR_CANCELED => aborted += 1,
                other => panic!("seed {seed}: done with {other}"),
            }
            cut |= all == CLONE_GROUP_OK;
        }
        let chain = Chain {
            places: (0..WRITES).map(|step| (step % 3, step * 37 % BLOCKS)).collect(),
            submitted: WRITES,
            acknowledged: WRITES,
            tag: 0,
            acknowledged_before: 0,
            submitted_at_end: None,
        };
        if cut {
            check_fractured(&worlds, &[chain], &before);
        } else {
            assert!(worlds.iter().all(|world| world.clone_info(1).state == CLONE_GROUP_CLONE_SYNCHRONIZED));
        }
    }
    println!("committed {committed}, aborted {aborted}, refused {refused}");
    assert!(committed > 5, "committed {committed}, aborted {aborted}, refused {refused}");
}

/// The thread of one array: polls, and makes each third write when the one before it was acknowledged.
fn poll_and_write(
    world: &World,
    number: usize,
    baton: &std::sync::atomic::AtomicUsize,
    over: &std::sync::atomic::AtomicBool,
    writes: usize,
) {
    use std::sync::atomic::Ordering;
    let mut open: Option<u64> = None;
    while !over.load(Ordering::Acquire) {
        world.poll(4);
        world.complete_some(2);
        let turn = baton.load(Ordering::Acquire);
        if turn >= writes || turn % 3 != number {
            std::thread::yield_now();
            continue;
        }
        let tag = match open.take() {
            Some(tag) => Some(tag),
            None => {
                let (tag, status) = world.host(CLONE_GROUP_IO_WRITE, 0, turn * 37 % BLOCKS, 1, true);
                assert!(status.is_none_or(|status| status == CLONE_GROUP_OK));
                status.is_none().then_some(tag)
            }
        };
        open = tag.filter(|tag| world.inner.borrow().hosts.contains_key(tag));
        if open.is_none() {
            baton.store(turn + 1, Ordering::Release);
        }
    }
}

// --------------------------------------------------------------------------- model

/// One member of the model: where it is, what its area says, and whether its hosts may write.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
enum Stage {
    Asked,
    /// The gate is closed, and the superblock that says prepared is under way: it may be there after a crash or not.
    Declaring,
    Voted,
    /// The superblock that says committed is under way.
    Committing,
    Committed,
    /// The superblock that takes it back is under way.
    Releasing,
    /// Over without a change.
    Released,
    /// It could not write down that it is prepared: what its area says is unknown, and host writes are refused (R33).
    Unknown,
    /// The same of what takes it back.
    UnknownRelease,
    /// It could not write down that it is committed: it serves nobody.
    Prepared,
}

/// What an area may say after a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Says {
    Nothing,
    Prepared,
    Committed,
}

impl Stage {
    fn says(self) -> &'static [Says] {
        match self {
            Stage::Asked | Stage::Released => &[Says::Nothing],
            Stage::Declaring | Stage::Unknown | Stage::Releasing | Stage::UnknownRelease => {
                &[Says::Nothing, Says::Prepared]
            }
            Stage::Voted => &[Says::Prepared],
            Stage::Committing | Stage::Prepared => &[Says::Prepared, Says::Committed],
            Stage::Committed => &[Says::Committed],
        }
    }
}

/// Which decision the model makes otherwise: each must be found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Broken {
    Nothing,
    /// A member commits when it is prepared itself.
    CommitsAlone,
    /// A failure may follow the last vote.
    FailsLate,
    /// The gate opens before the superblock that takes it back is durable.
    OpensEarly,
    /// A member whose commit failed is taken back.
    TakesBack,
    /// Votes before its superblock is durable.
    VotesEarly,
}

/// The members; whether the set has failed; and whether hosts wrote after the gate of this one opened without a change.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
struct State {
    members: Vec<Stage>,
    votes: usize,
    failed: bool,
    wrote: Vec<bool>,
}

impl State {
    fn successors(&self, broken: Broken) -> Vec<State> {
        let mut next = Vec::new();
        let decided = self.votes == self.members.len() && !self.failed;
        for (number, &stage) in self.members.iter().enumerate() {
            let mut to = |stage: Stage, vote: bool, fail: bool| {
                let mut state = self.clone();
                state.members[number] = stage;
                state.votes += usize::from(vote && !self.failed);
                state.failed |= fail;
                next.push(state);
            };
            let early = broken == Broken::VotesEarly;
            let may_fail = !decided || broken == Broken::FailsLate;
            match stage {
                Stage::Asked => {
                    to(Stage::Declaring, early, false);
                    // A flush fails, an abort, or another one failed.
                    to(Stage::Released, false, true);
                }
                Stage::Declaring => {
                    to(Stage::Voted, !early, false);
                    if may_fail {
                        to(Stage::Unknown, false, true);
                    }
                }
                Stage::Voted if self.failed => to(Stage::Releasing, false, false),
                Stage::Voted => {
                    if decided || broken == Broken::CommitsAlone {
                        to(Stage::Committing, false, false);
                    }
                    if may_fail {
                        to(Stage::Voted, false, true);
                    }
                }
                Stage::Committing => {
                    to(Stage::Committed, false, false);
                    let back = broken == Broken::TakesBack;
                    to(if back { Stage::Released } else { Stage::Prepared }, false, false);
                }
                Stage::Releasing => {
                    to(Stage::Released, false, false);
                    to(Stage::UnknownRelease, false, false);
                }
                // A repair: one more superblock, which says neither.
                Stage::Unknown => to(Stage::Released, false, false),
                Stage::UnknownRelease => to(Stage::Released, false, false),
                Stage::Prepared | Stage::Committed | Stage::Released => {}
            }
            let open = match stage {
                Stage::Released => true,
                Stage::Releasing => broken == Broken::OpensEarly,
                _ => false,
            };
            if open && !self.wrote[number] {
                let mut state = self.clone();
                state.wrote[number] = true;
                next.push(state);
            }
        }
        next
    }

    /// What must be so, now and after a crash that leaves the areas in any way they may be.
    fn check(&self) -> Result<(), String> {
        let committed = self.members.contains(&Stage::Committed);
        let reported_back = self.members.contains(&Stage::Released);
        if committed && reported_back {
            return Err("one group committed and another one was taken back".to_owned());
        }
        // The first committed gate opened: all others must be closed or refuse writes since before.
        if committed && self.members.iter().any(|&stage| stage < Stage::Voted) {
            return Err("a group committed before all gates were closed".to_owned());
        }
        let mut images = vec![Vec::new()];
        for stage in &self.members {
            images = images
                .iter()
                .flat_map(|image| stage.says().iter().map(move |&says| [image.as_slice(), &[says]].concat()))
                .collect();
        }
        for image in images {
            let commit = image.iter().all(|&says| says != Says::Nothing);
            if !commit && image.contains(&Says::Committed) {
                return Err(format!("{image:?} is to be aborted, and one committed"));
            }
            // Aborted everywhere, or committed everywhere with nothing written since the cut.
            for (number, &says) in image.iter().enumerate() {
                if commit && says == Says::Prepared && self.wrote[number] {
                    return Err(format!("{image:?} is committed, and hosts of {number} wrote since"));
                }
            }
        }
        Ok(())
    }
}

/// Every order of steps, failures and crashes of two to four members.
fn explore(members: usize, broken: Broken) -> Result<usize, String> {
    let first =
        State { members: vec![Stage::Asked; members], votes: 0, failed: false, wrote: vec![false; members] };
    let mut seen = std::collections::HashSet::from([first.clone()]);
    let mut open = vec![first];
    while let Some(state) = open.pop() {
        state.check().map_err(|what| format!("{what}: {state:?}"))?;
        for next in state.successors(broken) {
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    Ok(seen.len())
}

/// The protocol itself, without the library: no order of steps, failures and crashes makes groups end differently, or
/// commits one whose hosts went on; and each decision of the protocol is needed.
#[test]
fn the_protocol_is_safe_in_every_order() {
    for members in 2..=4 {
        let states =
            explore(members, Broken::Nothing).unwrap_or_else(|what| panic!("{members} members: {what}"));
        println!("{members} members: {states} states");
    }
    for broken in
        [Broken::CommitsAlone, Broken::FailsLate, Broken::OpensEarly, Broken::TakesBack, Broken::VotesEarly]
    {
        let found = explore(2, broken);
        assert!(found.is_err(), "{broken:?} is not found");
        println!("{broken:?}: {}", found.expect_err("as asserted"));
    }
}
