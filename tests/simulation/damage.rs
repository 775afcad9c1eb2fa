//! Recovery of metadata that may have suffered: what docs/format.md promises of units that are not valid, and what it
//! promises while those are written again (R30, R60, N6, N18, N19).

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::life::Life;
use crate::common::draw::is_invalid;
use crate::common::world::damage::{HITS, Span};
use crate::common::world::{Outlook, Profile};

impl Life {
    /// Power is off, and the medium of the metadata may suffer.
    pub(super) fn damage(&mut self) {
        if self.rng.u32(..256) >= self.swarm.damage {
            return;
        }
        if self.rng.usize(..4) == 0 {
            let span = self.rng.bool().then(|| self.span());
            self.world.hit_slot(self.rng.usize(..2), span);
        }
        for _ in 0..self.rng.usize(..3) {
            let (page, hit) = (self.rng.usize(..self.world.pages()), HITS[self.rng.usize(..HITS.len())]);
            let span = self.span();
            self.world.hit_page(page, hit, span);
        }
    }

    fn span(&mut self) -> Span {
        if self.rng.usize(..3) == 0 { Span::Lasting } else { Span::Passing }
    }

    pub(super) fn start(&self, flags: u32) -> i32 {
        // SAFETY: a live group.
        self.world.run_operation(|group, tag| unsafe { clone_group_recover(group, flags, tag) })
    }

    /// Recovers, whatever is there; a controller that does not fit may have tried before.
    pub(super) fn come_up(&mut self) {
        let outlook = self.world.outlook();
        let whole = outlook.status == CLONE_GROUP_OK && outlook.lost.is_empty();
        if whole && self.rng.u32(..256) < self.swarm.misfits {
            let misfits = self.world.misfits();
            self.world.refuses(misfits[self.rng.usize(..misfits.len())]);
            self.counts.count("refused to what does not fit", 1);
        } else {
            self.world.power_on();
        }
        if outlook.status == CLONE_GROUP_OK && !whole && self.rng.usize(..4) == 0 {
            self.fail_to_distrust();
        }
        self.recover_as(0, &outlook);
        if outlook.status != CLONE_GROUP_OK {
            self.restore_map_lost();
        }
        self.world.inner.borrow_mut().damage.pass();
    }

    /// Recovery does what the outlook says; where it refuses, it changes nothing.
    fn recover_as(&mut self, flags: u32, outlook: &Outlook) {
        let (area, told) = {
            let inner = self.world.inner.borrow();
            (inner.area.now.clone(), inner.told.len())
        };
        assert_eq!(self.start(flags), outlook.status, "Recovery of {outlook:?} (R30, R60)");
        if outlook.status != CLONE_GROUP_OK {
            self.counts.count("restores whose map was lost", 1);
            assert!(self.world.inner.borrow().area.now == area, "Recovery changed what it refused (R60)");
            return;
        }
        let events = self.world.inner.borrow().told[told..].to_vec();
        for &page in &outlook.lost {
            self.counts.count("pages lost", 1);
            let is_told = |event: &(u32, u32, u64)| {
                event.0 == CLONE_GROUP_EVENT_LOST
                    || (event.0, event.2) == (CLONE_GROUP_EVENT_PAGE_DAMAGED, page as u64)
            };
            assert!(events.iter().any(is_told), "page {page} is lost, and no event says so (R30)");
            self.world.check_lost(page);
        }
    }

    /// A page is lost, and the superblock that has to say so cannot be written: Recovery fails, writes no page, and may
    /// be tried again (N18).
    fn fail_to_distrust(&mut self) {
        let profile = self.world.inner.borrow().profile;
        self.world.inner.borrow_mut().profile = Profile { metadata_faults: 65536, ..profile };
        let failed = self.start(0);
        let inner = &mut *self.world.inner.borrow_mut();
        inner.profile = profile;
        inner.metadata_fault_seen = false;
        assert!(failed < CLONE_GROUP_OK, "Recovery went on without a superblock (N18)");
        self.counts.count("superblocks of lost pages failed", 1);
    }

    /// The page can be read again, and the restore goes on; or the operator gives it up (R60).
    fn restore_map_lost(&mut self) {
        if self.rng.bool() {
            self.world.inner.borrow_mut().damage.heal();
        }
        let outlook = self.world.outlook();
        if outlook.status == CLONE_GROUP_OK {
            return self.recover_as(0, &outlook);
        }
        let given_up = Outlook { status: CLONE_GROUP_OK, ..outlook };
        self.recover_as(CLONE_GROUP_RECOVER_ABANDON_RESTORE, &given_up);
        assert!(is_invalid(&self.world), "a restore was given up, and its mixture is served (R60)");
        assert_eq!(self.world.info().restoring_lu, 0, "a restore that was given up goes on (R60)");
        self.counts.count("restores given up", 1);
    }
}
