//! What Recovery has to make of the metadata as it lies there: docs/format.md, "What a unit that is not valid means".

use ::clone_group::ffi::types::*;

use super::{Inner, World};

/// What a read of what cannot be read returns.
const UNREADABLE: i32 = -5;

/// The answer of Recovery.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outlook {
    pub status: i32,
    /// Pages that are lost: all of their extents count as different (R30).
    pub lost: Vec<usize>,
}

impl World {
    pub fn outlook(&self) -> Outlook {
        let inner = self.inner.borrow();
        match inner.superblock_status() {
            CLONE_GROUP_OK => inner.page_outlook(),
            status => Outlook { status, lost: Vec::new() },
        }
    }
}

impl World {
    /// The page was lost without a restore: all of its extents count as different (R30).
    pub fn check_lost(&self, page: usize) {
        let members = (1..=self.inner.borrow().profile.clones)
            .filter(|&lu| self.clone_info(lu).state != CLONE_GROUP_CLONE_ABSENT);
        for lu in members {
            let delta = self.map(CLONE_GROUP_MAP_DELTA, lu);
            let extents = self.inner.borrow().format.extents_of(page);
            let all = delta[extents.start..extents.end.min(delta.len())].iter().all(|&set| set);
            assert!(all, "page {page} was lost, and LU {lu} does not differ in all of it (R30)");
        }
    }
}

impl Inner {
    /// Slots that can be read and are valid.
    pub(super) fn usable_slots(&self) -> [bool; 2] {
        let superblocks = self.format.superblocks(&self.area.now);
        let slots = self.format.slots();
        [0, 1].map(|slot| superblocks[slot].is_some() && !self.damage.touches(&slots[slot]))
    }

    /// Whether a slot counts, and if none does, why not.
    fn superblock_status(&self) -> i32 {
        let slots = self.format.slots();
        if self.usable_slots().contains(&true) {
            CLONE_GROUP_OK
        } else if slots.iter().any(|slot| self.damage.touches(slot)) {
            UNREADABLE
        } else if slots.iter().any(|slot| self.area.now[slot.clone()].iter().any(|&byte| byte != 0)) {
            CLONE_GROUP_ERR_METADATA_DAMAGED
        } else {
            CLONE_GROUP_ERR_METADATA_MISSING
        }
    }

    /// The superblock that counts is valid: what becomes of the pages?
    fn page_outlook(&self) -> Outlook {
        let usable = self.usable_slots();
        let slots = self.format.superblocks(&self.area.now);
        let counting = (0..2).filter(|&slot| usable[slot]).filter_map(|slot| slots[slot]);
        let superblock = counting.max_by_key(|superblock| superblock.sequence()).expect("a slot is valid");
        let distrusted = superblock.distrusts_pages();
        let lost = (0..self.format.pages).filter(|&page| self.is_lost(page, distrusted)).collect::<Vec<_>>();
        // Without a restore the bits have a safe default; the Protected Restore Map has none (R60).
        let refused = superblock.restoring_lu() != 0 && !lost.is_empty();
        let status = if refused { CLONE_GROUP_ERR_RESTORE_MAP_LOST } else { CLONE_GROUP_OK };
        Outlook { status, lost }
    }

    /// A copy that cannot be read may be the newer one; one that is damaged may have been, while pages are distrusted.
    fn is_lost(&self, page: usize, distrusted: bool) -> bool {
        let hidden =
            self.format.page_copies()[2 * page..2 * page + 2].iter().any(|at| self.damage.touches(at));
        let valid = self.format.copies(&self.area.now, page).into_iter().flatten().count();
        hidden || valid == 0 || distrusted && valid == 1
    }
}
