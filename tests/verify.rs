//! Goal: Verify finds every difference that no map knows of, and no other one, whatever hosts do meanwhile; what it
//! marks is copied; background copies that skip what is equal leave it unwritten and lose nothing.
//!
//! Replay one seed: `CLONE_GROUP_SEED=17 cargo test --test verify`. More seeds: `CLONE_GROUP_SEEDS=20000`.

mod common;

use std::collections::BTreeMap;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use common::device::Device;
use common::draw::{self, HOSTS, Hosts};
use common::seeds::{Summary, run as run_seeds, seeds};
use common::world::{Placed, Profile, World};

const PROFILE: Profile = Profile { copy_blocks: 16, ..Profile::QUIET };
/// Ten extents; the last one is short.
const EXTENTS: usize = 10;

type Call = fn(*mut clone_group, u64) -> i32;

// SAFETY: the world passes a live group.
const SYNCHRONIZE: Call = |group, tag| unsafe { clone_group_synchronize(group, 1, tag) };
// SAFETY: the world passes a live group.
const FRACTURE: Call = |group, tag| unsafe { clone_group_fracture(group, 1, std::ptr::null(), 0, tag) };
// SAFETY: the world passes a live group.
const RESTORE: Call = |group, tag| unsafe { clone_group_protected_restore(group, 1, tag) };
// SAFETY: the world passes a live group.
const ADD: Call = |group, tag| unsafe { clone_group_clone_add(group, 1, tag) };
// SAFETY: the world passes a live group.
const VERIFY: Call = |group, tag| unsafe { clone_group_verify(group, 1, 0, tag) };
// SAFETY: the world passes a live group.
const MARK: Call = |group, tag| unsafe { clone_group_verify(group, 1, CLONE_GROUP_VERIFY_MARK, tag) };
// SAFETY: the world passes a live group.
const STOP: Call = |group, tag| unsafe { clone_group_verify_stop(group, tag) };
// SAFETY: the world passes a live group.
const PAUSE: Call = |group, tag| unsafe { clone_group_pause(group, tag) };
// SAFETY: the world passes a live group.
const RESUME: Call = |group, tag| unsafe { clone_group_resume(group, tag) };
// SAFETY: the world passes a live group.
const CLOSE: Call = |group, tag| unsafe { clone_group_close(group, tag) };
// SAFETY: the world passes a live group.
const FORMAT: Call = |group, tag| unsafe { clone_group_format(group, 0, tag) };
// SAFETY: the world passes a live group.
const RECOVER: Call = |group, tag| unsafe { clone_group_recover(group, 0, tag) };

fn run(world: &World, call: Call) {
    assert_eq!(world.run_operation(call), CLONE_GROUP_OK);
}

/// A state in which a Clone can be verified.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum State {
    Synchronizing,
    Synchronized,
    Fractured,
    Restoring,
}

use State::*;

const STATES: [State; 4] = [Synchronizing, Synchronized, Fractured, Restoring];

/// A group whose Clone 1 is in that state. Extent 1 is in the Delta Map but for Synchronized, and cannot be copied, so
/// that the state stays; in a restore extent 9 is in the Protected Restore Map.
fn array_in(state: State, profile: Profile) -> Placed {
    array_with(state, profile, |world| {
        world.inner.borrow_mut().bad_blocks = vec![(usize::from(state == Restoring), 4)];
        world.inner.borrow_mut().fault_seen = true;
    })
}

/// The same, but background work is paused.
fn paused_in(state: State, profile: Profile) -> Placed {
    array_with(state, profile, |world| run(world, PAUSE))
}

fn array_with(state: State, profile: Profile, hold: impl Fn(&World)) -> Placed {
    let mut world = World::new(Profile { immediate: 256, faults: 0, ..profile }, 3);
    world.power_on();
    run(&world, FORMAT);
    run(&world, ADD);
    run(&world, SYNCHRONIZE);
    world.settle();
    if state != Synchronized {
        world.inner.borrow_mut().note_fracture();
        run(&world, FRACTURE);
        write(&world, 0, 4, 2);
    }
    match state {
        Synchronizing => {
            hold(&world);
            run(&world, SYNCHRONIZE);
        }
        Restoring => {
            hold(&world);
            world.inner.borrow_mut().note_fracture();
            run(&world, RESTORE);
            write(&world, 0, 37, 1);
        }
        Synchronized | Fractured => {}
    }
    assert_eq!(world.clone_info(1).state, number(state));
    world.inner.borrow_mut().profile = profile;
    world
}

fn number(state: State) -> u32 {
    match state {
        Synchronizing => CLONE_GROUP_CLONE_SYNCHRONIZING,
        Synchronized => CLONE_GROUP_CLONE_SYNCHRONIZED,
        Fractured => CLONE_GROUP_CLONE_FRACTURED,
        Restoring => CLONE_GROUP_CLONE_RESTORING,
    }
}

fn write(world: &World, lu: usize, first: usize, count: usize) {
    world.host(CLONE_GROUP_IO_WRITE, lu, first, count, true);
    while world.hosts_open() > 0 {
        world.poll(8);
        world.complete_some(8);
    }
}

/// The extents that Verify has to compare in `array_in`.
fn is_compared(state: State, extent: usize) -> bool {
    match state {
        Synchronized => true,
        Synchronizing | Fractured => extent != 1,
        Restoring => extent != 1 && extent != 9,
    }
}

/// How often an event came for Clone 1, and its last status.
fn events(world: &World, kind: u32) -> (usize, Option<i32>) {
    let inner = world.inner.borrow();
    let of_kind: Vec<i32> =
        inner.events.iter().filter(|event| event.0 == kind && event.1 == 1).map(|event| event.2).collect();
    (of_kind.len(), of_kind.last().copied())
}

/// Polls until the Verify is over; returns its status.
fn verified(world: &World) -> i32 {
    for _ in 0..100_000 {
        if let (_, Some(status)) = events(world, CLONE_GROUP_EVENT_VERIFIED) {
            return status;
        }
        world.step(8);
        world.complete_some(2);
    }
    panic!("a Verify does not end");
}

fn mismatches(world: &World) -> (u64, Vec<u64>) {
    let info = world.clone_info(1);
    let known = info.mismatched_extents.min(4) as usize;
    (info.mismatched_extents, info.first_mismatched_extents[..known].to_vec())
}

// ------------------------------------------------------------ what is found

/// A block that differs is found, in each state, wherever it lies, exactly; what the maps say may differ is not
/// compared.
#[test]
fn planted_blocks_are_found_exactly() {
    for state in STATES {
        for copy_blocks in [2, 4, 8, 16, 32] {
            for block in 0..38 {
                let world = array_in(state, Profile { copy_blocks, ..PROFILE });
                world.rot(block % 2, block);
                run(&world, VERIFY);
                assert_eq!(verified(&world), CLONE_GROUP_OK, "{state:?}");
                let extent = block / 4;
                let expected =
                    if is_compared(state, extent) { (1, vec![extent as u64]) } else { (0, vec![]) };
                assert_eq!(mismatches(&world), expected, "{state:?}, buffer {copy_blocks}, block {block}");
                assert_eq!(events(&world, CLONE_GROUP_EVENT_MISMATCH).0 as u64, expected.0);
            }
        }
    }
}

/// Many differences: every one is counted, the four lowest are kept in order, 64 are told of.
#[test]
fn many_mismatches_are_counted() {
    let profile = Profile { blocks: 400, immediate: 100, ..PROFILE };
    let world = array_in(Synchronized, profile);
    for extent in 5..95 {
        world.rot(1, extent * 4 + 2);
    }
    run(&world, VERIFY);
    assert_eq!(verified(&world), CLONE_GROUP_OK);
    assert_eq!(mismatches(&world), (90, vec![5, 6, 7, 8]));
    assert_eq!(events(&world, CLONE_GROUP_EVENT_MISMATCH).0, 64);
    assert_eq!(events(&world, CLONE_GROUP_EVENT_VERIFIED).0, 1);
    let statistics = world.statistics();
    assert_eq!((statistics.verified_extents, statistics.mismatched_extents), (100, 90));
    assert_eq!(world.clone_info(1).conditions & CLONE_GROUP_CONDITION_VERIFYING, 0);
}

/// What is marked is copied: to a mirrored Clone at once, to and from a fractured one by the next Synchronization
/// or restore, also if power is lost in between.
#[test]
fn marked_extents_are_repaired() {
    for (state, repair, power_loss) in [
        (Synchronized, None, false),
        (Synchronized, None, true),
        (Fractured, Some(SYNCHRONIZE), false),
        (Fractured, Some(SYNCHRONIZE), true),
        (Fractured, Some(RESTORE), false),
        (Fractured, Some(RESTORE), true),
    ] {
        let mut world = array_in(state, PROFILE);
        let planted = [9, 22, 37];
        for block in planted {
            world.rot(1, block);
        }
        run(&world, MARK);
        while events(&world, CLONE_GROUP_EVENT_VERIFIED).0 == 0 {
            world.step(1);
        }
        assert_eq!(mismatches(&world), (3, vec![2, 5, 9]));
        for _ in 0..20 {
            world.poll(8);
        }
        if power_loss {
            world.lose_power(|| false);
            world.power_on();
            run(&world, RECOVER);
            let left = world.clone_info(1).extents_left;
            assert!(left > 0 || state == Synchronized, "{state:?}: the marks are lost");
        }
        if let Some(repair) = repair {
            let delta = world.map(CLONE_GROUP_MAP_DELTA, 1);
            assert!(planted.iter().all(|block| delta[block / 4]), "{state:?}: {delta:?}");
            world.inner.borrow_mut().note_fracture();
            run(&world, repair);
        }
        world.settle();
        let inner = world.inner.borrow();
        assert_eq!(inner.devices[0].now, inner.devices[1].now, "{state:?}, power loss {power_loss}");
    }
}

/// A marked extent of a mirrored Clone that power takes away before its copy is copied after Recovery.
#[test]
fn marks_of_a_mirrored_clone_are_durable() {
    let mut world = array_in(Synchronized, PROFILE);
    world.rot(1, 9);
    run(&world, MARK);
    while events(&world, CLONE_GROUP_EVENT_MISMATCH).0 == 0 {
        world.step(1);
    }
    // The mark is written; no copy begins.
    for _ in 0..50 {
        world.poll(8);
    }
    let differs = {
        let inner = world.inner.borrow();
        inner.devices[0].now != inner.devices[1].now
    };
    assert!(differs, "the test lost its point: the extent is copied already");
    world.lose_power(|| false);
    world.power_on();
    run(&world, RECOVER);
    world.settle();
    let inner = world.inner.borrow();
    assert_eq!(inner.devices[0].now, inner.devices[1].now);
}

/// During a restore a mark changes nothing: hosts see on the Source what they saw before.
#[test]
fn a_restore_is_only_reported_on() {
    let world = array_in(Restoring, PROFILE);
    world.rot(1, 22);
    run(&world, MARK);
    assert_eq!(verified(&world), CLONE_GROUP_OK);
    assert_eq!(mismatches(&world), (1, vec![5]));
    let delta = world.map(CLONE_GROUP_MAP_DELTA, 1);
    assert!(!delta[5], "a mark in a restore: {delta:?}");
}

/// Extents that cannot be read are counted and reported, on either LU; the rest goes on.
#[test]
fn read_errors_are_reported() {
    for lu in [0, 1] {
        for copy_blocks in [2, 16] {
            let world = array_in(Synchronized, Profile { copy_blocks, ..PROFILE });
            world.inner.borrow_mut().bad_blocks = vec![(lu, 13)];
            world.inner.borrow_mut().fault_seen = true;
            world.rot(1, 9);
            world.rot(1, 30);
            run(&world, VERIFY);
            assert_eq!(verified(&world), CLONE_GROUP_ERR_IO);
            assert_eq!(world.clone_info(1).verify_extents_failed, 1);
            assert_eq!(mismatches(&world), (2, vec![2, 7]));
            assert_eq!(world.statistics().verified_extents, EXTENTS as u64 - 1);
            assert_eq!(world.clone_info(1).state, CLONE_GROUP_CLONE_SYNCHRONIZED);
        }
    }
}

// --------------------------------------------------------- how it begins and ends

/// One Verify at a time; it is asked for where it makes sense only, and needs a buffer with two halves.
#[test]
fn what_is_refused() {
    let world = array_in(Synchronized, PROFILE);
    assert_eq!(world.operation(STOP), Err(CLONE_GROUP_ERR_STATE));
    run(&world, VERIFY);
    let info = world.clone_info(1);
    assert_eq!(info.conditions, CLONE_GROUP_CONDITION_VERIFYING);
    assert_eq!(info.verify_extents_left, EXTENTS as u64);
    assert_eq!(world.operation(VERIFY), Err(CLONE_GROUP_ERR_BUSY));
    run(&world, STOP);
    assert_eq!(verified(&world), CLONE_GROUP_ERR_CANCELED);
    assert_eq!(world.clone_info(1).conditions, 0);

    let narrow = array_in(Synchronized, Profile { copy_blocks: 1, ..PROFILE });
    assert_eq!(narrow.operation(VERIFY), Err(CLONE_GROUP_ERR_NOT_SUPPORTED));
}

/// It is background work: cod_poll does none of it, a budget bounds it, a pause holds it, and a loop over sync_step
/// finishes it.
#[test]
fn it_takes_its_budget() {
    let world = array_in(Synchronized, Profile { copies: 1, ..PROFILE });
    run(&world, VERIFY);
    for _ in 0..100 {
        assert_eq!(world.poll(8), CLONE_GROUP_OK);
    }
    assert_eq!(world.statistics().verified_extents, 0);
    assert_eq!(world.step(3), CLONE_GROUP_MORE);
    assert_eq!(world.statistics().verified_extents, 3);
    assert_eq!(world.clone_info(1).verify_extents_left, 7);
    run(&world, PAUSE);
    assert_eq!(world.step(8), CLONE_GROUP_OK);
    assert_eq!(world.statistics().verified_extents, 3);
    run(&world, RESUME);
    while world.step(1) != CLONE_GROUP_OK {}
    assert_eq!(events(&world, CLONE_GROUP_EVENT_VERIFIED), (1, Some(CLONE_GROUP_OK)));
    assert_eq!(world.statistics().verified_extents, 10);
}

/// A change of the Clone's state, a restore and a close end it, and do not wait for more than its reads.
#[test]
fn changes_of_state_end_it() {
    for (state, call) in [
        (Synchronized, FRACTURE),
        (Fractured, SYNCHRONIZE),
        (Fractured, RESTORE),
        (Fractured, CLOSE),
        (Synchronized, CLOSE),
    ] {
        let world = array_in(state, Profile { immediate: 0, ..PROFILE });
        run(&world, VERIFY);
        world.step(4);
        assert!(world.held() > 0, "no read is under way");
        world.inner.borrow_mut().note_fracture();
        run(&world, call);
        for _ in 0..20 {
            world.poll(8);
        }
        assert_eq!(events(&world, CLONE_GROUP_EVENT_VERIFIED), (1, Some(CLONE_GROUP_ERR_CANCELED)));
        assert_eq!(mismatches(&world).0, 0);
    }
}

/// A restore ends though reads of a Verify hang, and so does a Synchronization.
#[test]
fn it_does_not_delay_the_end_of_copies() {
    for state in [Restoring, Synchronizing] {
        let world = paused_in(state, Profile { copies: 4, ..PROFILE });
        run(&world, VERIFY);
        world.inner.borrow_mut().profile.immediate = 0;
        run(&world, RESUME);
        // Extent 1 is copied; reads of what lies behind it are comparisons, and do not complete.
        let hangs = |io: &clone_group_io| io.operation == CLONE_GROUP_IO_READ && io.first_block >= 8;
        for _ in 0..100 {
            world.step(64);
            world.complete_where(|io| !hangs(io));
        }
        assert!(world.held() > 0, "no comparison is under way");
        let over = if state == Restoring { Fractured } else { Synchronized };
        assert_eq!(world.clone_info(1).state, number(over), "{state:?} waits for a Verify");
        world.settle();
        let status = if state == Restoring { CLONE_GROUP_ERR_CANCELED } else { CLONE_GROUP_OK };
        assert_eq!(events(&world, CLONE_GROUP_EVENT_VERIFIED), (1, Some(status)));
        assert_eq!(mismatches(&world).0, 0);
    }
}

/// A host that never stops writing to an extent keeps neither Verify from ending nor that extent from being
/// compared (R46).
#[test]
fn a_hot_extent_ends() {
    let world = array_in(Synchronized, Profile { immediate: 0, ..PROFILE });
    world.rot(1, 22);
    run(&world, VERIFY);
    let mut turns = 0;
    while events(&world, CLONE_GROUP_EVENT_VERIFIED).0 == 0 {
        // Each write is under way while the extent is compared; there is always another one.
        for block in [20, 21] {
            let open = world.inner.borrow().models[0][block].is_open();
            if !open {
                world.host(CLONE_GROUP_IO_WRITE, 0, block, 1, false);
            }
        }
        world.step(2);
        world.complete_some(1);
        turns += 1;
        assert!(turns < 20_000, "the Verify does not end: {} left", world.clone_info(1).verify_extents_left);
    }
    assert_eq!(mismatches(&world), (1, vec![5]));
    assert_eq!(world.statistics().verified_extents, EXTENTS as u64, "the hot extent was given up");
    world.settle();
}

// ----------------------------------------------------------- no false mismatch

/// Of what is counted: Verifies that ended, by the state of the Clone.
const NAMES: [&str; 7] = [
    "absent",
    "OutOfSync",
    "Synchronizing",
    "Synchronized",
    "Fractured",
    "ReverseSynchronizing",
    "Restoring",
];

/// Hosts that mostly write.
const WRITERS: Hosts = Hosts { mix: [15, 2, 1, 1, 1], to_clones: 2, longest: 3, ..HOSTS };

/// A life with random hosts, in which Verify runs again and again.
struct Life {
    world: Placed,
    rng: fastrand::Rng,
    pending: Option<u64>,
    /// Verifies that ended OK, by the state that the Clone was in then.
    ended: BTreeMap<u32, u32>,
}

impl Life {
    fn begin(seed: u64, faults: bool) -> Life {
        let mut rng = fastrand::Rng::with_seed(seed);
        let extent_blocks = 1 << rng.usize(0..4);
        let profile = Profile {
            blocks: rng.usize(3..20) * extent_blocks - rng.usize(..extent_blocks),
            extent_blocks,
            clones: rng.usize(1..3),
            immediate: [0, 64, 200][rng.usize(..3)],
            faults: if faults { 300 } else { 0 },
            ..draw::profile(&mut rng)
        };
        let mut world = World::new(Profile { faults: 0, ..profile }, seed);
        world.power_on();
        run(&world, FORMAT);
        world.inner.borrow_mut().profile = profile;
        Life { world, rng, pending: None, ended: BTreeMap::new() }
    }

    fn run(mut self, turns: usize) -> Summary {
        for _ in 0..turns {
            match self.rng.usize(..100) {
                0..=44 => self.host(),
                45..=64 => self.world.complete_some(2),
                65..=74 => drop(self.world.poll(self.rng.u32(1..6))),
                75..=89 => drop(self.world.step(self.rng.u32(1..6))),
                90..=95 => self.verify(),
                _ => self.operate(),
            }
            self.follow();
        }
        self.world.inner.borrow_mut().profile.faults = 0;
        for _ in 0..300 {
            self.world.step(8);
            self.world.complete_some(4);
        }
        self.follow();
        let mut summary = Summary::of(&self.world);
        for (&state, &count) in &self.ended {
            summary.count(NAMES[state as usize], u64::from(count));
        }
        summary
    }

    fn host(&mut self) {
        if let Some(request) = WRITERS.draw(&self.world, &mut self.rng) {
            request.send(&self.world);
        }
    }

    fn clone(&mut self) -> u32 {
        let clones = self.world.inner.borrow().profile.clones;
        self.rng.u32(1..=clones as u32)
    }

    fn verify(&mut self) {
        let lu = match self.world.info().restoring_lu {
            // A restore is soon over.
            lu if lu != 0 && self.rng.bool() => lu,
            _ => self.clone(),
        };
        let flags = if self.rng.bool() { CLONE_GROUP_VERIFY_MARK } else { 0 };
        let stop = self.rng.usize(..20) == 0;
        // SAFETY: a live group.
        let _ = self.world.operation(|group, tag| unsafe {
            if stop { clone_group_verify_stop(group, tag) } else { clone_group_verify(group, lu, flags, tag) }
        });
    }

    fn operate(&mut self) {
        if self.pending.is_some() || self.rng.usize(..3) > 0 {
            return;
        }
        let lu = self.clone();
        let state = self.world.clone_info(lu as usize).state;
        let choice = self.rng.usize(..3);
        self.world.inner.borrow_mut().note_fracture();
        // SAFETY: a live group.
        let begun = self.world.operation(|group, tag| unsafe {
            match state {
                CLONE_GROUP_CLONE_ABSENT => clone_group_clone_add(group, lu, tag),
                CLONE_GROUP_CLONE_OUT_OF_SYNC => clone_group_synchronize(group, lu, tag),
                CLONE_GROUP_CLONE_SYNCHRONIZED => clone_group_fracture(group, lu, std::ptr::null(), 0, tag),
                CLONE_GROUP_CLONE_FRACTURED if choice == 0 => clone_group_synchronize(group, lu, tag),
                CLONE_GROUP_CLONE_FRACTURED => clone_group_protected_restore(group, lu, tag),
                _ => clone_group_resume(group, tag),
            }
        });
        self.pending = begun.ok();
    }

    /// What happened: no mismatch may have.
    fn follow(&mut self) {
        if self.pending.is_some_and(|tag| self.world.done_operation(tag).is_some()) {
            self.pending = None;
        }
        let events = std::mem::take(&mut self.world.inner.borrow_mut().events);
        for (kind, lu, status) in events {
            assert_ne!(kind, CLONE_GROUP_EVENT_MISMATCH, "a false mismatch of LU {lu}");
            if kind == CLONE_GROUP_EVENT_VERIFIED && status == CLONE_GROUP_OK {
                *self.ended.entry(self.world.clone_info(lu as usize).state).or_default() += 1;
            }
        }
    }
}

fn random_lives(test: &str, faults: bool) -> Summary {
    let replay = format!("cargo test --test verify {test}");
    run_seeds(&replay, seeds(300), |seed| Life::begin(seed, faults).run(1000))
}

/// Hosts that write to the Source and to fractured Clones at random cause no mismatch, in any state.
#[test]
fn hosts_cause_no_false_mismatch() {
    let total = random_lives("hosts_cause_no_false_mismatch", false);
    if total.seeds >= 300 {
        for state in STATES {
            let count = total.counted(NAMES[number(state) as usize]);
            assert!(count >= 20, "only {count} Verifies ended in state {state:?}: {:?}", total.counts);
        }
    }
}

/// Neither do I/Os that fail: what may differ then is in the maps.
#[test]
fn faults_cause_no_false_mismatch() {
    random_lives("faults_cause_no_false_mismatch", true);
}

// ---------------------------------------------------------------- skip equal

const SKIPS: Profile = Profile { skip_equal: true, ..PROFILE };

/// A Clone that holds what the Source holds, but for some blocks.
fn nearly_equal(profile: Profile, differ: &[usize]) -> Placed {
    let mut world = World::new(profile, 3);
    let mut content = world.inner.get_mut().devices[0].now.clone();
    for &block in differ {
        content[block] ^= 1;
    }
    world.inner.get_mut().devices[1] = Device::new(content, profile.volatile);
    world.power_on();
    run(&world, FORMAT);
    run(&world, ADD);
    world
}

/// Extents that are equal are not written, and are Synchronized all the same.
#[test]
fn equal_extents_are_not_written() {
    for copy_blocks in [2, 4, 16] {
        for immediate in [0, 256] {
            let world = nearly_equal(Profile { copy_blocks, immediate, volatile: true, ..SKIPS }, &[9, 37]);
            run(&world, SYNCHRONIZE);
            world.settle();
            let info = world.clone_info(1);
            assert_eq!(info.state, CLONE_GROUP_CLONE_SYNCHRONIZED);
            assert_eq!((info.extents_copied, info.extents_skipped), (10, 8));
            assert_eq!(world.statistics().skipped_extents, 8);
            let inner = world.inner.borrow();
            // An extent is written piece by piece: with a half of one block, only the blocks that differ.
            let expected = match copy_blocks {
                2 => 2,
                4 => 4,
                _ => 6,
            };
            assert_eq!(inner.devices[1].writes, expected, "with {copy_blocks} blocks");
            assert_eq!(inner.devices[0].now, inner.devices[1].now);
        }
    }
}

/// A restore whose copies are equal writes nothing to the Source, and ends.
#[test]
fn a_restore_skips_what_is_equal() {
    let world = array_in(Fractured, SKIPS);
    // The Source gets the Clone's content back, behind its Delta Map.
    let content = world.inner.borrow().devices[1].now.clone();
    write(&world, 0, 20, 4);
    {
        let inner = &mut *world.inner.borrow_mut();
        inner.devices[0] = Device::new(content, false);
        inner.note_fracture();
    }
    run(&world, RESTORE);
    world.settle();
    assert_eq!(world.info().restoring_lu, 0);
    assert_eq!(world.clone_info(1).extents_skipped, 2);
    assert_eq!(world.inner.borrow().devices[0].writes, 0);
}

/// Copies on demand write without looking.
#[test]
fn copies_on_demand_skip_nothing() {
    let world = paused_in(Restoring, SKIPS);
    let before = world.inner.borrow().devices[0].writes;
    assert!(world.read_now(0, 4, 1).is_ok());
    assert_eq!(world.inner.borrow().devices[0].writes, before + 4);
    assert_eq!(world.statistics().skipped_extents, 0);
}

/// R24: after a flush of the target failed, its cache may return what the medium lost: everything is written.
#[test]
fn r24_nothing_is_skipped_after_a_failed_flush() {
    let world = array_in(Fractured, Profile { volatile: true, immediate: 0, ..SKIPS });
    world.inner.borrow_mut().note_fracture();
    run(&world, RESTORE);
    // The copy is made and the flush behind them fails; the cache still returns what was copied.
    let copied = |world: &World| world.statistics().sync_extents;
    let before_copies = copied(&world);
    while copied(&world) < before_copies + 1 {
        world.step(4);
        if copied(&world) < before_copies + 1 {
            world.complete_some(1);
        }
    }
    world.poll(8);
    assert_eq!(world.held(), 1, "no flush is under way");
    let cached = world.inner.borrow().devices[0].now.clone();
    world.inner.borrow_mut().profile.faults = 65536;
    world.complete_some(1);
    world.inner.borrow_mut().profile.faults = 0;
    world.poll(8);
    world.inner.borrow_mut().devices[0].now = cached;
    let before = world.inner.borrow().devices[0].writes;
    run(&world, RESUME);
    world.settle();
    assert_eq!(world.info().restoring_lu, 0);
    assert_eq!(world.inner.borrow().devices[0].writes, before + 4, "a copy was skipped after a failed flush");
    assert_eq!(world.statistics().skipped_extents, 0);
}

/// Power losses between copies that skip: everything is equal in the end, on the media (R5, R8).
#[test]
fn skipping_survives_power_losses() {
    for seed in seeds(300) {
        let outcome = std::panic::catch_unwind(|| synchronize_with_power_losses(seed));
        assert!(outcome.is_ok(), "replay with CLONE_GROUP_SEED={seed}");
    }
}

fn synchronize_with_power_losses(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let profile = Profile {
        volatile: true,
        immediate: [0, 64, 256][rng.usize(..3)],
        copies: rng.u32(1..4),
        copy_blocks: 1 << rng.u32(1..5),
        persist_flush: rng.bool(),
        ..SKIPS
    };
    let differ: Vec<usize> = (0..38).filter(|_| rng.bool()).collect();
    let mut world = nearly_equal(profile, &differ);
    run(&world, SYNCHRONIZE);
    for _ in 0..4 {
        for _ in 0..rng.usize(..40) {
            world.step(rng.u32(1..4));
            world.complete_some(2);
        }
        let keep = [0, 128, 256][rng.usize(..3)];
        let mut fate = rng.fork();
        world.lose_power(move || fate.u32(..256) < keep);
        world.power_on();
        run(&world, RECOVER);
        world.after_recovery();
        world.check_delta_maps();
    }
    world.settle();
    assert_eq!(world.clone_info(1).state, CLONE_GROUP_CLONE_SYNCHRONIZED);
    // Synchronized is durable: so is what was copied and what was skipped.
    world.lose_power(|| false);
    let inner = world.inner.borrow();
    assert_eq!(inner.devices[0].now, inner.devices[1].now);
}
