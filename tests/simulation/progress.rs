//! What copies have done survives a power loss, but for a bound: a first Synchronization goes on where its superblock says
//! that it was (R73), and a copy onto the Source writes its map pages in time, however many there are (R72).

use ::clone_group::ffi::types::*;

use super::swarm::{self, one};
use crate::common::seeds::Summary;
use crate::common::stage::Ask;
use crate::common::world::{Placed, Profile, World};

/// A large array, and a copy on it that power losses interrupt.
pub struct Progress {
    world: Placed,
    rng: fastrand::Rng,
    profile: Profile,
    budget: u32,
    /// Of 256: turns in which a host writes.
    hosts: u32,
    counts: Summary,
}

/// A large array, whose Clone 1 is synchronized for the first time.
pub fn array(seed: u64, spare_clones: usize, rng: &mut fastrand::Rng) -> Placed {
    let (profile, habits) = swarm::large(spare_clones, rng);
    let mut world = World::with_habits(profile, habits, seed);
    world.power_on();
    [Ask::Format, Ask::Add(1), Ask::Synchronize(1)].into_iter().for_each(|ask| world.does(ask));
    world
}

impl Progress {
    fn begin(seed: u64, spare_clones: usize) -> Progress {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x9406 << 40);
        let world = array(seed, spare_clones, &mut rng);
        let profile = world.inner.borrow().profile;
        let (budget, hosts) = (one(&[16, 64, 200], &mut rng), one(&[0, 64, 256], &mut rng));
        Progress { world, rng, profile, budget, hosts, counts: Summary::default() }
    }

    /// A first Synchronization (R73). Where map pages are small, and hosts write everywhere, intents are swept slower than
    /// extents are copied.
    pub fn synchronize(seed: u64) -> Summary {
        let spare_clones = if seed.is_multiple_of(2) { 0 } else { swarm::SMALL_PAGES_CLONES - 1 };
        let mut this = Progress::begin(seed, spare_clones);
        this.hosts = if spare_clones == 0 { this.hosts } else { 0 };
        // A superblock each time that so many extents more were copied, and none is held up by more than that; copies go on
        // while one is made.
        let step = (this.profile.blocks / 64).max(this.world.page_extents());
        this.copy("first Synchronizations cut short", 2 * step + 12 * this.budget as usize);
        this.end()
    }

    /// A restore, with hundreds of map pages (R72).
    pub fn restore(seed: u64) -> Summary {
        let mut this = Progress::begin(seed, swarm::SMALL_PAGES_CLONES - 1);
        this.world.settle();
        this.world.does(Ask::Fracture(1));
        this.scatter();
        this.world.does(Ask::Restore(1));
        // So many before pages are made of them, and so many pages; then those that hosts wait for.
        let bound = 2 * this.profile.intents as usize + 48 + 2 * this.profile.copies as usize;
        this.copy("restores cut short", bound);
        this.end()
    }

    fn end(self) -> Summary {
        self.world.check_delta_maps();
        self.world.check_lu_now(0);
        let mut summary = Summary::of(&self.world);
        summary.add(&self.counts);
        summary
    }

    /// Hosts write one extent of nearly every map page.
    fn scatter(&mut self) {
        let page = self.world.page_extents();
        for first in (0..self.profile.blocks).step_by(page) {
            let block = first + self.rng.usize(..page.min(self.profile.blocks - first));
            if self.rng.usize(..16) > 0 {
                self.world.write(block, 1);
                self.world.settle();
            }
        }
    }

    /// A copy goes on to its end, and each of some power losses undoes no more than `bound` extents of it.
    fn copy(&mut self, what: &'static str, bound: usize) {
        let mut losses = self.rng.usize(1..4);
        while let left @ 1.. = self.left() {
            self.turn();
            let rest = self.left();
            if losses == 0 || rest == 0 || self.rng.usize(..(left / self.budget as usize).max(2)) > 0 {
                continue;
            }
            losses -= 1;
            self.world.crash(false);
            let again = self.left().saturating_sub(rest);
            assert!(
                again <= bound,
                "{again} extents are copied again of {what}, the bound is {bound} (R72, R73)"
            );
            self.counts.count(what, 1);
        }
        self.world.settle();
    }

    fn left(&self) -> usize {
        self.world.clone_info(1).extents_left as usize
    }

    /// A host reads what a restore is to copy, or writes anywhere.
    fn turn(&mut self) {
        if self.rng.u32(..256) < self.hosts {
            let left = self.world.map(CLONE_GROUP_MAP_DELTA, 1);
            let from = self.rng.usize(..left.len());
            let reads = self.world.info().restoring_lu != 0 && self.rng.bool();
            let read = left.iter().skip(from).position(|&left| left).filter(|_| reads);
            match read {
                Some(at) => self.world.host(CLONE_GROUP_IO_READ, 0, from + at, 1, false).0,
                None => self.world.write(from, 1),
            };
        }
        self.world.step(self.budget);
        self.world.complete_some(usize::MAX);
    }
}
