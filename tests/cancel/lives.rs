//! Random lives of an array in which restores seldom come to their end: canceled, given another Clone, accepted,
//! restored again, with hosts, faults and power losses, against the model of what hosts may see.
//!
//! Replay one seed: `CLONE_GROUP_SEED=17 cargo test --test cancel lives`. More: `CLONE_GROUP_SEEDS=20000`.

use ::clone_group::ffi::types::*;

use super::array::*;
use crate::common::draw::{self, HOSTS};
use crate::common::seeds::{Summary, run, seeds};
use crate::common::world::{Placed, Profile, World};

struct Life {
    world: Placed,
    rng: fastrand::Rng,
    pending: Option<(Ask, u64)>,
    /// How often each way out was gone: cancels, re-targets, acceptances.
    gone: [u64; 3],
}

impl Life {
    fn begin(seed: u64, faults: bool) -> Life {
        let mut rng = fastrand::Rng::with_seed(seed);
        let profile = Profile { clones: rng.usize(2..4), ..draw::profile(&mut rng) };
        let profile = if faults { draw::with_faults(profile, &mut rng) } else { profile };
        let mut world = World::new(Profile { faults: 0, metadata_faults: 0, ..profile }, seed);
        world.power_on();
        world.does(Ask::Format);
        // Every Clone becomes a point in time of its own.
        for lu in 1..=profile.clones as u32 {
            world.does(Ask::Add(lu));
            world.does(Ask::Synchronize(lu));
            world.settle();
            world.does(Ask::Fracture(lu));
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

    fn run(mut self, turns: usize) -> Summary {
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
        let mut summary = Summary::of(&self.world);
        let ways = ["cancels", "re-targets", "acceptances"];
        ways.into_iter().zip(self.gone).for_each(|(way, times)| summary.count(way, times));
        summary
    }

    fn host(&mut self) {
        if let Some(request) = HOSTS.draw(&self.world, &mut self.rng) {
            request.send(&self.world);
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
        if let Ok(tag) = self.world.ask(ask) {
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
        self.world.does(Ask::Recover);
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
                self.world.does(Ask::Repair);
            }
            self.world.does(Ask::Resume);
        }
        self.world.settle();
        self.follow();
        assert_eq!(self.world.info().restoring_lu, 0, "the restore does not end");
        assert_eq!(self.world.info().reversing_lu, 0, "the Reverse Synchronization does not end");
        if is_invalid(&self.world) {
            self.world.does(Ask::Accept);
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
        self.world.does(Ask::Close);
        self.world.lose_power(|| false);
        self.recover();
        let fractured = (1..=self.world.inner.borrow().profile.clones)
            .find(|&lu| self.world.clone_info(lu).state == CLONE_GROUP_CLONE_FRACTURED);
        if let Some(lu) = fractured {
            restore_exactly(&self.world, lu);
        }
    }
}

/// Runs every seed, and sees to it that each way out was gone often enough.
fn run_all(test: &str, faults: bool) {
    let replay = format!("cargo test --test cancel {test}");
    let total = run(&replay, seeds(300), |seed| Life::begin(seed, faults).run(500));
    let enough = |what| total.seeds == 1 || total.counted(what) > total.seeds / 3;
    assert!(["cancels", "re-targets", "acceptances"].into_iter().all(enough), "{:?}", total.counts);
}

/// Nothing is lost and everything ends, whichever way restores are left.
#[test]
fn lives_without_faults() {
    run_all("lives_without_faults", false);
}

/// The same with I/Os and metadata writes that fail now and then.
#[test]
fn lives_with_faults() {
    run_all("lives_with_faults", true);
}
