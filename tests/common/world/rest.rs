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
        drop(inner);
        self.check_superblock();
        self.check_intents();
    }

    /// Nothing is under way and nothing left to do: the superblock says what is so (R31).
    fn check_superblock(&self) {
        let info = self.info();
        let clones = self.inner.borrow().profile.clones;
        let states: Vec<u32> = (1..=clones).map(|lu| self.clone_info(lu).state).collect();
        let inner = self.inner.borrow();
        let said = inner.format.superblock(&inner.area.now).expect("a valid superblock");
        let invalid = info.conditions & CLONE_GROUP_CONDITION_SOURCE_INVALID != 0;
        let is = (info.restoring_lu as usize, info.reversing_lu as usize, info.restore_generation, invalid);
        let says = (said.restoring_lu(), said.reversing_lu(), said.generation(), said.source_is_invalid());
        // A Clone that is Synchronized and may differ is Synchronizing; no superblock has to say that (R58).
        let equal = |state| state == CLONE_GROUP_CLONE_SYNCHRONIZED;
        let says_state = |lu: usize| match (said.state(lu), states[lu - 1]) {
            (said, CLONE_GROUP_CLONE_SYNCHRONIZING) if equal(said) => CLONE_GROUP_CLONE_SYNCHRONIZING,
            (said, _) => said,
        };
        let said_states: Vec<u32> = (1..=clones).map(says_state).collect();
        assert_eq!((says, said_states), (is, states), "the superblock says something else (R31)");
    }

    /// Nothing is under way: no more write intents are left than the configuration says, and hosts wrote at once (R78).
    fn check_intents(&self) {
        let (profile, at_once) = (self.inner.borrow().profile, self.inner.borrow().written_at_once);
        let states: Vec<u32> = (1..=profile.clones).map(|lu| self.clone_info(lu).state).collect();
        let [absent, mirrored] = [CLONE_GROUP_CLONE_ABSENT, CLONE_GROUP_CLONE_SYNCHRONIZED];
        let only_mirrored =
            states.contains(&mirrored) && states.iter().all(|&it| it == absent || it == mirrored);
        let intents = self.info().persistent_delta_extents;
        assert!(
            intents <= u64::from(profile.intents) + at_once || !only_mirrored,
            "{intents} extents have write intents at rest (R78)"
        );
    }
}
