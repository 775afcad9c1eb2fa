#![forbid(unsafe_code)]
//! What copies have done is written down now and then, so that a power loss does not undo it: at most some
//! `intent_extents_max` extents that were copied and flushed are copied again (R78 in its spirit; R72, N21). In a
//! Synchronization, either way, a sweep writes it down, page by page, and copies do not wait for that: where they are scattered
//! over very many map pages it is more.
//!
//! With one column for each Clone a copy changes two of them, and the page is written later; before the copy onto the
//! Source is over all of them are (R72). With one column for all, a bit may go when no Clone needs it any more; beside
//! other Clones that is never so in a restore: what is copied differs from them.

use crate::clone::CloneState;
use crate::extent_map::ExtentMap;
use crate::geometry::{Extent, ExtentRange};
use crate::group::Group;
use crate::knock_out::kept;
use crate::parts;
use crate::poll::SLICES_MAX;

impl Group<'_> {
    /// Bits of these extents changed in columns of single Clones, and nobody waits for that.
    pub(crate) fn save_later(&mut self, extents: ExtentRange) {
        if self.config.map_per_clone() {
            self.persistent.mark_later(extents);
        }
    }

    /// Extents of a Synchronization are copied, and not flushed: their intents stand for them (R47).
    pub(crate) fn note_intents(&mut self, extents: ExtentRange) {
        if self.config.map_per_clone() && kept!(R47Copies) {
            self.persistent.bits.set_range(extents);
            self.sweeper.touch(extents);
        }
    }

    /// A copy onto the Source begins.
    pub(crate) fn begin_copy_progress(&mut self, lu: u32) {
        self.saved_left = self.clone(lu).delta.bits.count();
        self.swept_below = 0;
        self.sweeper.request();
    }

    /// Writes down what was copied, when it is much, and at the end.
    pub(crate) fn advance_copy_progress(&mut self) {
        let bound = u64::from(self.config.intent_extents_max >> 1);
        if self.config.map_per_clone() || self.is_only_clone_synchronizing() {
            // Each time so many more were added: what cannot be cleared now is not tried again and again.
            let intents = self.persistent.bits.count();
            self.saved_intents = self.saved_intents.min(intents);
            if intents.saturating_sub(self.saved_intents) > bound {
                self.saved_intents = intents;
                self.sweeper.request();
            }
        }
        let Some(from) = self.onto_source() else {
            return;
        };
        let left = self.clone(from).delta.bits.count();
        let over = left == 0 && self.scoreboard.copying() == 0;
        if self.saved_left.saturating_sub(left) < bound && !over {
            return;
        }
        if self.config.map_per_clone() && kept!(R72Progress) {
            if !self.saved_all() {
                return;
            }
        } else if !over && self.has_one_clone() {
            let page = |extent| self.persistent.layout().page_of(Extent(extent));
            self.sweeper.request_pages(page(self.swept_below), page(self.clone(from).cursor));
            self.swept_below = self.clone(from).cursor;
        }
        self.saved_left = left;
    }

    /// Writes down what copies changed and nobody waited for: some pages in a poll. Returns whether that was all.
    pub(crate) fn saved_all(&mut self) -> bool {
        if self.persistent.has_later() && self.may_walk(SLICES_MAX) {
            self.persistent.save_later();
            self.queue.changed = true;
        }
        !self.persistent.has_later()
    }

    /// Whether so much was copied onto the Source, and not written down, that background copies wait for it: some pages are
    /// written down in each poll, and a power loss is to undo no more than a bound (R72, N21). Pages that hosts wait for are no
    /// reason: they are never that many for long.
    pub(crate) fn must_save_first(&self) -> bool {
        if !parts::MAP_PER_CLONE || !self.config.map_per_clone() || !kept!(R72Bound) {
            return false;
        }
        let Some(left) = self.onto_source_delta().map(ExtentMap::count) else {
            return false;
        };
        let bound = u64::from(self.config.intent_extents_max);
        let unsaved = self.persistent.has_later() && self.saved_left.saturating_sub(left) >= bound;
        let pages_max = bound.saturating_add(u64::from(self.config.requests_max));
        unsaved || self.persistent.dirty.count() > pages_max
    }

    fn has_one_clone(&self) -> bool {
        self.clones_where(|state| state != CloneState::Absent).count() == 1
    }

    /// Whether intents can be cleared beside a Synchronization though there is one column for all.
    fn is_only_clone_synchronizing(&self) -> bool {
        self.has_one_clone() && self.is_synchronizing()
    }

    /// Whether a Synchronization, either way, has extents left to copy.
    pub(crate) fn is_synchronizing(&self) -> bool {
        self.clones_where(CloneState::shares_writes).any(|lu| !self.clone(lu).delta.bits.is_empty())
    }
}
