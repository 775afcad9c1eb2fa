//! What must hold of the metadata when a group is at rest: nothing is under way, and nothing is left to be done.

use ::clone_group::ffi::types::*;

use super::World;

impl World {
    /// A poll returned: is the group at rest?
    pub(super) fn after_poll(&self, outcome: i32) -> i32 {
        let writes = self.inner.borrow().area.writes;
        if outcome == CLONE_GROUP_OK && self.inner.borrow().rested != writes {
            self.check_rest();
            self.inner.borrow_mut().rested = writes;
        }
        outcome
    }

    /// Both slots of the superblock say the same, so that damage of one of them costs nothing (R31, N5), and no page is
    /// distrusted any more, so that a torn one costs nothing either (N18).
    fn check_rest(&self) {
        let info = self.info();
        let failed = info.conditions & CLONE_GROUP_CONDITION_METADATA_FAILED != 0;
        if info.state != CLONE_GROUP_STATE_READY || failed {
            return;
        }
        let inner = self.inner.borrow();
        let area = inner.area.durable();
        assert!(inner.format.slots_agree(area), "the group is at rest, and its superblocks differ (R31, N5)");
        let distrusts = inner.format.superblock(area).is_some_and(|superblock| superblock.distrusts_pages());
        assert!(!distrusts, "the group is at rest, and its pages are distrusted still (N18)");
    }
}
