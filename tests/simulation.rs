//! Random simulation of a whole array: hosts, synchronizations, fractures, Protected Restores and the ways out of them,
//! Reverse Synchronizations, Verify, power losses and Recovery, in an order that a seed decides, against the model of what hosts may see.
//!
//! Replay one seed: `CLONE_GROUP_SEED=17 cargo test --test simulation`. More seeds: `CLONE_GROUP_SEEDS=20000`.

mod common;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use common::world::{Profile, World};

/// The operations of a random life and what became of them.
struct Life {
    world: Box<World>,
    rng: fastrand::Rng,
    pending: Option<(Step, u64)>,
    /// The content of the Clone that is restored from.
    snapshot: Option<(usize, Vec<u64>)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Add(usize),
    Synchronize(usize),
    Fracture(usize),
    Restore(usize),
    Reverse(usize),
    Remove(usize),
    Pause,
    Resume,
    Cancel(usize),
    Retarget(usize),
    Accept,
    Verify(usize, bool),
    StopVerify,
}

fn profile(rng: &mut fastrand::Rng) -> Profile {
    let extent_blocks = 1 << rng.usize(0..4);
    let extents = if rng.usize(..8) == 0 { 1900 } else { rng.usize(3..40) };
    let tail = if extent_blocks > 1 { rng.usize(..extent_blocks) } else { 0 };
    let skip_equal = rng.usize(..4) == 0;
    Profile {
        blocks: (extents * extent_blocks - tail).min(4000),
        extent_blocks,
        clones: rng.usize(1..4),
        copies: rng.u32(1..5),
        copy_blocks: 1 << rng.u32(u32::from(skip_equal)..6),
        volatile: rng.bool(),
        host_durable: rng.bool(),
        redirect: rng.bool(),
        persist_flush: rng.bool(),
        discard_zeroes: rng.bool(),
        offload: rng.usize(..4) == 0,
        map_per_clone: rng.bool(),
        immediate: [0, 64, 200, 256][rng.usize(..4)],
        retry: if rng.usize(..3) == 0 { 20 } else { 0 },
        faults: 0,
        metadata_faults: 0,
        intents: 16,
        skip_equal,
    }
}

impl Life {
    fn begin(seed: u64, faults: bool) -> Life {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut profile = profile(&mut rng);
        if faults {
            profile.faults = [0, 100, 1000][rng.usize(..3)];
            profile.metadata_faults = [0, 200, 2000][rng.usize(..3)];
        }
        let mut world = World::new(Profile { faults: 0, metadata_faults: 0, ..profile }, seed);
        world.power_on();
        // SAFETY: a live group.
        let formatted = world.run_operation(|group, tag| unsafe { clone_group_format(group, 0, tag) });
        assert_eq!(formatted, CLONE_GROUP_OK);
        world.inner.borrow_mut().profile = profile;
        Life { world, rng, pending: None, snapshot: None }
    }

    fn run(&mut self, turns: usize) {
        for _ in 0..turns {
            match self.rng.usize(..100) {
                0..=39 => self.host(),
                40..=64 => self.world.complete_some(3),
                65..=79 => drop(self.world.poll(self.rng.u32(1..6))),
                80..=89 => drop(self.world.step(self.rng.u32(1..6))),
                90..=98 => self.operate(),
                _ => self.power_loss(),
            }
            self.follow();
        }
        self.end();
    }

    fn host(&mut self) {
        if self.world.hosts_open() >= 12 {
            return;
        }
        let profile = self.world.inner.borrow().profile;
        let usable = self.world.inner.borrow().usable.clone();
        let fractured: Vec<usize> = (1..=profile.clones).filter(|&lu| usable[lu]).collect();
        let lu = match fractured.first() {
            Some(_) if self.rng.usize(..5) == 0 => fractured[self.rng.usize(..fractured.len())],
            _ => 0,
        };
        let first = self.rng.usize(..profile.blocks);
        let longest = (profile.blocks - first).min(4 * profile.extent_blocks);
        let (first, count) = match self.rng.usize(..3) {
            // Whole extents, so that nothing has to be copied first.
            0 => {
                let start = first / profile.extent_blocks * profile.extent_blocks;
                let count = profile.extent_blocks * self.rng.usize(1..4);
                (start, count.min(profile.blocks - start))
            }
            _ => (first, self.rng.usize(1..=longest)),
        };
        let operation = match self.rng.usize(..20) {
            0..=8 => CLONE_GROUP_IO_WRITE,
            9..=16 => CLONE_GROUP_IO_READ,
            17 => CLONE_GROUP_IO_WRITE_ZEROES,
            18 => CLONE_GROUP_IO_DISCARD,
            _ => CLONE_GROUP_IO_FLUSH,
        };
        // Hosts do not write what they are writing already: nobody promises an order for that.
        let busy = operation != CLONE_GROUP_IO_READ && operation != CLONE_GROUP_IO_FLUSH && {
            let inner = self.world.inner.borrow();
            inner.models[lu][first..first + count].iter().any(|block| block.is_open())
        };
        if !busy {
            let fua = self.rng.usize(..4) == 0;
            let invalid = lu == 0 && self.is_invalid();
            let (_, status) = self.world.host(operation, lu, first, count, fua);
            let refused = status == Some(CLONE_GROUP_ERR_SOURCE_INVALID);
            assert!(refused || !invalid, "an invalid Source is served");
        }
    }

    fn operate(&mut self) {
        if self.pending.is_some() {
            return;
        }
        let clones = self.world.inner.borrow().profile.clones;
        let lu = self.rng.usize(1..=clones);
        let info = self.world.info();
        let onto_source = info.restoring_lu.max(info.reversing_lu) as usize;
        let dice = self.rng.usize(..16);
        let step = match self.world.clone_info(lu).state {
            _ if dice == 0 => Step::Verify(lu, self.rng.bool()),
            _ if dice == 1 && self.rng.usize(..4) == 0 => Step::StopVerify,
            _ if onto_source != 0 && dice < 5 => Step::Cancel(onto_source),
            _ if info.restoring_lu != 0 && dice < 8 => Step::Retarget(lu),
            _ if self.is_invalid() && dice < 8 => Step::Accept,
            CLONE_GROUP_CLONE_SYNCHRONIZING if dice < 4 => Step::Cancel(lu),
            CLONE_GROUP_CLONE_ABSENT => Step::Add(lu),
            CLONE_GROUP_CLONE_OUT_OF_SYNC => Step::Synchronize(lu),
            CLONE_GROUP_CLONE_SYNCHRONIZED => Step::Fracture(lu),
            CLONE_GROUP_CLONE_FRACTURED if self.rng.usize(..3) > 0 => match self.rng.usize(..3) {
                0 => Step::Reverse(lu),
                _ => Step::Restore(lu),
            },
            CLONE_GROUP_CLONE_FRACTURED if self.rng.usize(..8) == 0 => Step::Remove(lu),
            CLONE_GROUP_CLONE_FRACTURED => Step::Synchronize(lu),
            _ if self.rng.bool() => Step::Pause,
            _ => Step::Resume,
        };
        if let Step::Fracture(_) | Step::Restore(_) | Step::Reverse(_) | Step::Cancel(_) = step {
            self.world.inner.borrow_mut().note_fracture();
        }
        let world = &self.world;
        // SAFETY: a live group.
        let begun = world.operation(|group, tag| unsafe {
            match step {
                Step::Add(lu) => clone_group_clone_add(group, lu as u32, tag),
                Step::Synchronize(lu) => clone_group_synchronize(group, lu as u32, tag),
                Step::Fracture(lu) => clone_group_fracture(group, lu as u32, std::ptr::null(), 0, tag),
                Step::Restore(lu) => clone_group_protected_restore(group, lu as u32, tag),
                Step::Reverse(lu) => clone_group_reverse_synchronize(group, lu as u32, tag),
                Step::Remove(lu) => clone_group_clone_remove(group, lu as u32, tag),
                Step::Pause => clone_group_pause(group, tag),
                Step::Resume => clone_group_resume(group, tag),
                Step::Cancel(lu) => clone_group_cancel(group, lu as u32, tag),
                Step::Retarget(lu) => clone_group_retarget(group, lu as u32, tag),
                Step::Accept => clone_group_source_accept(group, tag),
                Step::Verify(lu, mark) => {
                    let flags = if mark { CLONE_GROUP_VERIFY_MARK } else { 0 };
                    clone_group_verify(group, lu as u32, flags, tag)
                }
                Step::StopVerify => clone_group_verify_stop(group, tag),
            }
        });
        if let Ok(tag) = begun {
            self.pending = Some((step, tag));
        }
    }

    fn is_invalid(&self) -> bool {
        self.world.info().conditions & CLONE_GROUP_CONDITION_SOURCE_INVALID != 0
    }

    /// What happened since the last turn?
    fn follow(&mut self) {
        if let Some((step, tag)) = self.pending
            && let Some(status) = self.world.done_operation(tag)
        {
            self.pending = None;
            self.done(step, status);
        }
    }

    fn done(&mut self, step: Step, status: i32) {
        if status != CLONE_GROUP_OK {
            return;
        }
        if let Step::Restore(lu) = step {
            let inner = self.world.inner.borrow();
            self.snapshot = Some((lu, inner.devices[lu].now.clone()));
        }
    }

    fn power_loss(&mut self) {
        let mut fate = self.rng.fork();
        let keep = [0, 64, 128, 256][fate.usize(..4)];
        self.world.lose_power(move || fate.u32(..256) < keep);
        self.pending = None;
        self.recover();
    }

    fn recover(&mut self) {
        self.world.power_on();
        let profile = self.world.inner.borrow().profile;
        self.world.inner.borrow_mut().profile.metadata_faults = 0;
        // SAFETY: a live group.
        let recovered = self.world.run_operation(|group, tag| unsafe { clone_group_recover(group, 0, tag) });
        assert_eq!(recovered, CLONE_GROUP_OK, "Recovery failed");
        self.world.inner.borrow_mut().profile = Profile { faults: 0, metadata_faults: 0, ..profile };
        self.world.after_recovery();
        for lu in 0..=profile.clones {
            let served = if lu == 0 { !self.is_invalid() } else { self.world.inner.borrow().usable[lu] };
            if served {
                self.world.check_lu_after_loss(lu);
            }
        }
        self.world.check_delta_maps();
        self.world.inner.borrow_mut().profile = profile;
    }

    /// No more faults: everything must come to an end, and be right.
    fn end(&mut self) {
        {
            let inner = &mut *self.world.inner.borrow_mut();
            inner.profile.faults = 0;
            inner.profile.metadata_faults = 0;
        }
        for _ in 0..4 {
            self.world.settle();
            self.follow();
            if self.world.info().conditions & CLONE_GROUP_CONDITION_METADATA_FAILED != 0 {
                // SAFETY: a live group.
                let call = |group, tag| unsafe { clone_group_metadata_repair(group, tag) };
                assert_eq!(self.world.run_operation(call), CLONE_GROUP_OK, "metadata cannot be repaired");
            }
            // SAFETY: a live group.
            self.world.run_operation(|group, tag| unsafe { clone_group_resume(group, tag) });
        }
        self.world.settle();
        self.follow();
        let info = self.world.info();
        if self.is_invalid() {
            // SAFETY: a live group.
            let accept = |group, tag| unsafe { clone_group_source_accept(group, tag) };
            assert_eq!(self.world.run_operation(accept), CLONE_GROUP_OK);
        }
        let verifying = |lu| self.world.clone_info(lu).conditions & CLONE_GROUP_CONDITION_VERIFYING != 0;
        assert!(!(1..=self.world.inner.borrow().profile.clones).any(verifying), "the Verify does not end");
        assert_eq!(info.restoring_lu, 0, "the restore does not end");
        assert_eq!(info.reversing_lu, 0, "the Reverse Synchronization does not end");
        for lu in 1..=self.world.inner.borrow().profile.clones {
            let state = self.world.clone_info(lu).state;
            assert_ne!(state, CLONE_GROUP_CLONE_SYNCHRONIZING, "the Synchronization of {lu} does not end");
            if state == CLONE_GROUP_CLONE_SYNCHRONIZED {
                let inner = self.world.inner.borrow();
                assert_eq!(
                    inner.devices[0].now, inner.devices[lu].now,
                    "LU {lu} is Synchronized and not equal"
                );
            }
        }
        self.world.check_lu_now(0);
        self.world.check_delta_maps();
        {
            let inner = self.world.inner.borrow();
            let mismatched = inner.told.iter().any(|told| told.0 == CLONE_GROUP_EVENT_MISMATCH);
            assert!(!mismatched || inner.fault_seen, "nothing failed, and Verify found a difference");
        }
        // SAFETY: a live group.
        let close = |group, tag| unsafe { clone_group_close(group, tag) };
        assert_eq!(self.world.run_operation(close), CLONE_GROUP_OK);
        self.world.lose_power(|| false);
        self.recover();
        // SAFETY: no I/O is in flight.
        self.world.settle();
    }
}

fn seeds() -> Vec<u64> {
    if let Ok(seed) = std::env::var("CLONE_GROUP_SEED") {
        return vec![seed.parse().expect("CLONE_GROUP_SEED is a number")];
    }
    let count = std::env::var("CLONE_GROUP_SEEDS")
        .map_or(300, |count| count.parse().expect("CLONE_GROUP_SEEDS is a number"));
    (0..count).collect()
}

/// Runs every seed; the first that fails is named, so that it can be replayed.
fn run_all(faults: bool) {
    for seed in seeds() {
        let outcome = std::panic::catch_unwind(|| Life::begin(seed, faults).run(600));
        if outcome.is_err() {
            panic!("replay with CLONE_GROUP_SEED={seed}");
        }
    }
}

/// Hosts, operations and power losses in random order lose nothing and end.
#[test]
fn random_lives_without_faults() {
    run_all(false);
}

/// The same with I/Os and metadata writes that fail now and then.
#[test]
fn random_lives_with_faults() {
    run_all(true);
}
