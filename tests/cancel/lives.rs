//! Random lives of an array in which restores seldom come to their end: canceled, given another Clone, accepted,
//! restored again, with hosts, faults and power losses, against the model of what hosts may see.
//!
//! Replay one seed: `CLONE_GROUP_SEED=17 cargo test --test cancel lives`. More: `CLONE_GROUP_SEEDS=20000`.

use ::clone_group::ffi::types::*;

use super::array::*;
use crate::common::world::{Profile, World};

struct Life {
    world: Box<World>,
    rng: fastrand::Rng,
    pending: Option<(Ask, u64)>,
    /// How often each way out was gone: cancels, re-targets, acceptances.
    gone: [u64; 3],
}

fn profile(rng: &mut fastrand::Rng) -> Profile {
    let extent_blocks = 1 << rng.usize(0..4);
    let extents = if rng.usize(..10) == 0 { 1900 } else { rng.usize(3..40) };
    let tail = if extent_blocks > 1 { rng.usize(..extent_blocks) } else { 0 };
    Profile {
        blocks: (extents * extent_blocks - tail).min(4000),
        extent_blocks,
        clones: rng.usize(2..4),
        copies: rng.u32(1..5),
        copy_blocks: 1 << rng.u32(1..5),
        volatile: rng.bool(),
        host_durable: rng.bool(),
        redirect: rng.bool(),
        persist_flush: rng.bool(),
        discard_zeroes: rng.bool(),
        offload: rng.usize(..4) == 0,
        map_per_clone: rng.bool(),
        skip_equal: rng.usize(..4) == 0,
        immediate: [0, 64, 200, 256][rng.usize(..4)],
        retry: if rng.usize(..3) == 0 { 20 } else { 0 },
        faults: 0,
        metadata_faults: 0,
        intents: 16,
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
        must(&world, Ask::Format);
        // Every Clone becomes a point in time of its own.
        for lu in 1..=profile.clones as u32 {
            must(&world, Ask::Add(lu));
            must(&world, Ask::Synchronize(lu));
            world.settle();
            must(&world, Ask::Fracture(lu));
            for _ in 0..rng.usize(1..6) {
                let first = rng.usize(..profile.blocks);
                let count = rng.usize(1..=(profile.blocks - first).min(3 * profile.extent_blocks));
                world.host(CLONE_GROUP_IO_WRITE, 0, first, count, rng.bool());
                world.settle();
            }
        }
        world.inner.borrow_mut().profile = profile;
        Life { world, rng, pending: None, gone: [0; 3] }
    }

    fn run(mut self, turns: usize) -> [u64; 3] {
        for _ in 0..turns {
            match self.rng.usize(..100) {
                0..=39 => self.host(),
                40..=66 => self.world.complete_some(3),
                67..=81 => drop(self.world.poll(self.rng.u32(1..6))),
                82..=87 => drop(self.world.step(self.rng.u32(1..4))),
                88..=98 => self.operate(),
                _ => self.power_loss(),
            }
            self.follow();
        }
        self.end();
        self.gone
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
        let changes = operation != CLONE_GROUP_IO_READ && operation != CLONE_GROUP_IO_FLUSH;
        let busy = changes
            && self.world.inner.borrow().models[lu][first..first + count].iter().any(|block| block.is_open());
        if !busy {
            let fua = self.rng.usize(..4) == 0;
            let invalid = lu == 0 && is_invalid(&self.world);
            let (_, status) = self.world.host(operation, lu, first, count, fua);
            assert!(
                !invalid || status == Some(CLONE_GROUP_ERR_SOURCE_INVALID),
                "an invalid Source is served"
            );
        }
    }

    fn operate(&mut self) {
        if self.pending.is_some() {
            return;
        }
        let info = self.world.info();
        let clones = self.world.inner.borrow().profile.clones as u32;
        let lu = self.rng.u32(1..=clones);
        let dice = self.rng.usize(..10);
        let ask = match self.world.clone_info(lu as usize).state {
            _ if info.restoring_lu != 0 => match dice {
                0..=2 => Ask::Cancel(info.restoring_lu),
                3..=6 => Ask::Retarget(lu),
                7 => Ask::Pause,
                8 => Ask::Resume,
                _ => Ask::Remove(lu),
            },
            _ if info.reversing_lu != 0 => match dice {
                0..=3 => Ask::Cancel(info.reversing_lu),
                4 => Ask::Pause,
                5 => Ask::Retarget(lu),
                _ => Ask::Resume,
            },
            _ if is_invalid(&self.world) && dice < 4 => Ask::Accept,
            CLONE_GROUP_CLONE_ABSENT => Ask::Add(lu),
            CLONE_GROUP_CLONE_OUT_OF_SYNC => Ask::Synchronize(lu),
            CLONE_GROUP_CLONE_SYNCHRONIZING if dice < 2 => Ask::Cancel(lu),
            CLONE_GROUP_CLONE_SYNCHRONIZED => Ask::Fracture(lu),
            CLONE_GROUP_CLONE_FRACTURED if dice < 6 => Ask::Restore(lu),
            CLONE_GROUP_CLONE_FRACTURED if dice < 8 => Ask::Reverse(lu),
            CLONE_GROUP_CLONE_FRACTURED => Ask::Synchronize(lu),
            _ => Ask::Resume,
        };
        if let Ok(tag) = begin(&self.world, ask) {
            self.pending = Some((ask, tag));
        }
    }

    /// What happened since the last turn?
    fn follow(&mut self) {
        let Some((ask, tag)) = self.pending else { return };
        let Some(status) = self.world.done_operation(tag) else { return };
        self.pending = None;
        if status != CLONE_GROUP_OK {
            return;
        }
        match ask {
            Ask::Cancel(_) => self.gone[0] += 1,
            Ask::Retarget(_) => self.gone[1] += 1,
            Ask::Accept => self.gone[2] += 1,
            _ => {}
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
        self.world.inner.borrow_mut().profile = Profile { faults: 0, metadata_faults: 0, ..profile };
        must(&self.world, Ask::Recover);
        self.world.after_recovery();
        for lu in 0..=profile.clones {
            let served =
                if lu == 0 { !is_invalid(&self.world) } else { self.world.inner.borrow().usable[lu] };
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
                must(&self.world, Ask::Repair);
            }
            must(&self.world, Ask::Resume);
        }
        self.world.settle();
        self.follow();
        assert_eq!(self.world.info().restoring_lu, 0, "the restore does not end");
        assert_eq!(self.world.info().reversing_lu, 0, "the Reverse Synchronization does not end");
        if is_invalid(&self.world) {
            must(&self.world, Ask::Accept);
        }
        self.world.check_lu_now(0);
        self.world.check_delta_maps();
        for lu in 1..=self.world.inner.borrow().profile.clones {
            let state = self.world.clone_info(lu).state;
            assert_ne!(state, CLONE_GROUP_CLONE_SYNCHRONIZING, "the Synchronization of {lu} does not end");
            if state == CLONE_GROUP_CLONE_SYNCHRONIZED {
                assert_eq!(content(&self.world, 0), content(&self.world, lu));
            }
        }
        must(&self.world, Ask::Close);
        self.world.lose_power(|| false);
        self.recover();
        let fractured = (1..=self.world.inner.borrow().profile.clones)
            .find(|&lu| self.world.clone_info(lu).state == CLONE_GROUP_CLONE_FRACTURED);
        if let Some(lu) = fractured {
            restore_exactly(&self.world, lu);
        }
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
    let mut gone = [0; 3];
    for seed in seeds() {
        match std::panic::catch_unwind(|| Life::begin(seed, faults).run(500)) {
            Ok(of_life) => gone.iter_mut().zip(of_life).for_each(|(sum, number)| *sum += number),
            Err(_) => panic!("replay with CLONE_GROUP_SEED={seed}"),
        }
    }
    println!("{} lives: {} cancels, {} re-targets, {} acceptances", seeds().len(), gone[0], gone[1], gone[2]);
    assert!(seeds().len() == 1 || gone.iter().all(|&number| number > seeds().len() as u64 / 3), "{gone:?}");
}

/// Nothing is lost and everything ends, whichever way restores are left.
#[test]
fn lives_without_faults() {
    run_all(false);
}

/// The same with I/Os and metadata writes that fail now and then.
#[test]
fn lives_with_faults() {
    run_all(true);
}
