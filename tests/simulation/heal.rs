//! A block of the Clone cannot be read, so that a restore rests with its extent left; a host writes over it, and the restore
//! ends (R61).

use ::clone_group::ffi::types::*;

use super::life::Life;
use super::operator::Step;

impl Life {
    /// The last thing before the end, if a Clone is a point in time that differs. Nothing else fails any more.
    pub(super) fn heal_by_a_host(&mut self) {
        let Some(&lu) = self.fractured().first() else { return };
        let left = self.world.map(CLONE_GROUP_MAP_DELTA, lu as usize);
        let from = self.rng.usize(..left.len());
        let Some(extent) = (from..left.len()).chain(0..from).find(|&extent| left[extent]) else { return };
        let (blocks, extent_blocks) = (self.swarm.profile.blocks, self.swarm.profile.extent_blocks);
        let first = extent * extent_blocks;
        self.world.inner.borrow_mut().bad_blocks.push((lu as usize, first));
        assert_eq!(Step::Restore(lu).run(&self.world), CLONE_GROUP_OK);
        self.rest();
        let count = extent_blocks.min(blocks - first);
        self.world.host(CLONE_GROUP_IO_WRITE, 0, first, count, false);
        self.rest();
        assert_eq!(
            self.world.info().restoring_lu,
            0,
            "a host wrote what could not be copied, and the restore does not end (R61)"
        );
        self.world.inner.borrow_mut().bad_blocks.clear();
        self.counts.count("restores healed by a host", 1);
    }
}
