#![forbid(unsafe_code)]
//! What the columns of a map page say.
//!
//! One column for all Clones (the classic Persistent Delta Map):
//!
//! ```text
//!   column 0: G     D of any Clone, P, or the write intent of a mirrored Clone
//!   column 1: P
//! ```
//!
//! One for each Clone (`CLONE_GROUP_MAP_PER_CLONE`, R72); G in memory is the write intents then:
//!
//! ```text
//!   column n - 1: Clone n     tracked: D     mirrored: D or G     restored from: D or P
//!   last column:  P
//! ```
//!
//! So whatever a Clone may lack or have too much after a power loss stands in its own column, and nothing else.

use crate::clone::CloneState;
use crate::geometry::ExtentRange;
use crate::group::Group;
use crate::knock_out::kept;
use crate::map_page;

impl Group<'_> {
    /// The last column.
    pub(crate) fn protected_restore_column(&self) -> u32 {
        self.config.columns().saturating_sub(1)
    }

    /// Whether copies may change the Source. Not while nobody knows what the superblock says: it may say that the copy
    /// onto the Source is over, and then the columns of the other Clones must say all that it changed (R33, R72). One
    /// column for all says it anyway.
    pub(crate) fn may_change_source(&self) -> bool {
        !self.superblock_unknown || !self.config.map_per_clone() || !kept!(N17)
    }

    /// Fills the columns of a page.
    pub(crate) fn add_columns(&self, image: &mut [u8], extents: ExtentRange) {
        if self.restoring().is_some() {
            let column = self.protected_restore_column();
            map_page::add_column(image, column, extents, &self.protected_restore.bits);
        }
        if !self.config.map_per_clone() {
            return map_page::add_column(image, 0, extents, &self.persistent.bits);
        }
        for lu in self.clones_where(|state| state != CloneState::Absent) {
            let (clone, column) = (self.clone(lu), lu.saturating_sub(1));
            map_page::add_column(image, column, extents, &clone.delta.bits);
            if kept!(R72Intents) && (clone.state().shares_writes() || clone.delta.inherits_intent) {
                map_page::add_column(image, column, extents, &self.persistent.bits);
            }
            if self.restoring() == Some(lu) && kept!(R4) {
                map_page::add_column(image, column, extents, &self.protected_restore.bits);
            }
        }
    }

    /// Recovery: what a page says of the Delta Maps (R57).
    pub(crate) fn load_columns(&mut self, image: &[u8], extents: ExtentRange) {
        if !self.config.map_per_clone() {
            map_page::load_column(image, 0, extents, &self.persistent.bits);
        }
        for lu in self.clones_where(|state| state != CloneState::Absent) {
            let bits = &self.clone(lu).delta.bits;
            let column = if self.config.map_per_clone() { lu.saturating_sub(1) } else { 0 };
            map_page::load_column(image, column, extents, bits);
            // What was copied onto the Source since the page was written differs from every other Clone (R2, R72).
            if let (true, Some(from)) = (self.config.map_per_clone() && kept!(R72Union), self.onto_source()) {
                map_page::load_column(image, from.saturating_sub(1), extents, bits);
            }
        }
        if kept!(R72Load) && self.onto_source_delta().is_some_and(|delta| delta.any_set(extents)) {
            // The other Clones' own columns lack these bits still.
            self.save_later(extents.intersection(self.geometry().all_extents()));
        }
    }
}
