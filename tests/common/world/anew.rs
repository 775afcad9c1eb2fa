//! A group that begins anew: formatted over whatever was there.

use ::clone_group::ffi::types::*;

use super::World;

impl World {
    /// The group is a new one: no Clones, no restore, no bit (R74). Hosts find on the Source what it holds.
    pub fn begins_anew(&self) {
        let info = self.info();
        let nothing =
            (info.restoring_lu, info.reversing_lu, info.restore_generation, info.persistent_delta_extents);
        assert_eq!(nothing, (0, 0, 0, 0), "a group that was formatted has a past (R74)");
        let clones = self.inner.borrow().profile.clones;
        for lu in 1..=clones {
            assert_eq!(
                self.clone_info(lu).state,
                CLONE_GROUP_CLONE_ABSENT,
                "a group that was formatted has Clone {lu}"
            );
        }
        {
            let inner = &mut *self.inner.borrow_mut();
            inner.members.clear();
            inner.usable.fill(false);
            inner.restoring = None;
            inner.reversing = 0;
            inner.generation = 0;
            inner.source_invalid = false;
            inner.mixture.iter_mut().for_each(Vec::clear);
            inner.view_reversing = false;
            inner.view += 1;
            inner.protected = (0, vec![false; inner.protected.1.len()]);
        }
        self.hosts_hold_what_the_lus_hold();
    }

    /// The sequence numbers of the superblocks that are valid.
    pub fn sequences(&self) -> Vec<u64> {
        let inner = self.inner.borrow();
        let superblocks = inner.format.superblocks(&inner.area.now);
        superblocks.into_iter().flatten().map(|superblock| superblock.sequence()).collect()
    }
}
