//! Blocks of a Clone that rot: only Verify can know. It finds them all and nothing else, what it marked is still known
//! after a power loss (R1), and the next Synchronization mends it.

use ::clone_group::ffi::types::*;

use super::operator::Step;
use crate::common::world::World;

pub struct Rot {
    lu: usize,
    /// Ascending.
    extents: Vec<u64>,
}

impl Rot {
    /// Blocks of a Clone rot where it equals the Source, as far as the maps know. `None` if there are none, or if copy
    /// buffers are too small to compare.
    pub fn strike(world: &World, rng: &mut fastrand::Rng) -> Option<Rot> {
        let profile = world.inner.borrow().profile;
        let state = |lu: usize| world.clone_info(lu).state;
        let equals =
            |lu: &usize| matches!(state(*lu), CLONE_GROUP_CLONE_SYNCHRONIZED | CLONE_GROUP_CLONE_FRACTURED);
        let clones: Vec<usize> = (1..=profile.clones).filter(equals).collect();
        let &lu = clones.get(rng.usize(..clones.len().max(1))).filter(|_| profile.copy_blocks > 1)?;
        let delta = world.map(CLONE_GROUP_MAP_DELTA, lu);
        let mut extents: Vec<usize> = (0..delta.len()).filter(|&extent| !delta[extent]).collect();
        rng.shuffle(&mut extents);
        extents.truncate(rng.usize(1..4));
        extents.sort_unstable();
        for extent in &extents {
            let first = extent * profile.extent_blocks;
            world.rot(lu, rng.usize(first..(first + profile.extent_blocks).min(profile.blocks)));
        }
        let extents: Vec<u64> = extents.into_iter().map(|extent| extent as u64).collect();
        (!extents.is_empty()).then_some(Rot { lu, extents })
    }

    /// A Verify finds what is rotten, and marks it.
    pub fn find(&self, world: &World) {
        let before = world.inner.borrow().told.len();
        assert_eq!(Step::Verify(self.lu as u32, true).run(world), CLONE_GROUP_OK);
        world.settle();
        let told = world.inner.borrow().told[before..].to_vec();
        let mut found: Vec<u64> =
            told.iter().filter(|told| told.0 == CLONE_GROUP_EVENT_MISMATCH).map(|told| told.2).collect();
        found.sort_unstable();
        assert_eq!(found, self.extents, "other extents of LU {} are rotten than Verify told", self.lu);
    }

    /// A Synchronization mends it; a Clone that is mirrored needs none.
    pub fn mend(&self, world: &World) {
        if world.clone_info(self.lu).state == CLONE_GROUP_CLONE_FRACTURED {
            assert_eq!(Step::Synchronize(self.lu as u32).run(world), CLONE_GROUP_OK);
        }
        world.settle();
        let inner = world.inner.borrow();
        let equal = inner.devices[0].now == inner.devices[self.lu].now;
        assert!(equal, "LU {} was marked and synchronized, and is rotten", self.lu);
    }
}
