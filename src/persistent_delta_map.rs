#![forbid(unsafe_code)]
//! The Persistent Delta Map: which extents are marked in the persistent area, and which pages of it
//! are still to be written.
//!
//! One page holds all maps of its range of extents. It has two copies, written in turn; the newest
//! valid one is never touched (R30). At most one write of a page is under way (R27); bits that are
//! set meanwhile go with the next one, which all who wait for them share.
//!
//! `version` counts the changes of the maps. A page is *unsaved since* the version of its oldest
//! change that is not durable. A request that set its bits at version `v` may go on when no page of
//! its range is unsaved since `v` or earlier.
//!
//! ```text
//!   page:    clean --mark--> dirty --begin--> in flight (and perhaps dirty again)
//!              ^               ^                 |
//!              |               `---- failed -----|
//!              `--------------- durable ---------'
//! ```

use crate::config::Layout;
use crate::extent_map::ExtentMap;
use crate::geometry::{Extent, ExtentRange, count, index};
use crate::knock_out::kept;
use crate::parts;
use crate::table::Table;

/// What is known of one page.
#[derive(Clone, Copy, Default)]
pub struct Page {
    /// Version of the oldest change that no write covers; 0 if there is none.
    dirty_since: u64,
    /// Version of the oldest change that the write under way covers; 0 if there is none.
    flight_since: u64,
    /// Sequence number of the last write, whether it worked or not.
    pub sequence: u64,
    /// The copy that was written last and is durable.
    pub newest: u8,
    /// It was lost, and is not durable again: what its copies say is not to be trusted (N18).
    distrusted: bool,
}

/// See the module.
pub struct PersistentDeltaMap<'a> {
    /// G. With one column for all Clones: what the pages say, or will say when they are written. With one column for
    /// each Clone: the write intents, which the columns of mirrored Clones have in addition to their Delta Maps.
    pub bits: ExtentMap<'a>,
    /// "In this state epoch a write to the extent needs no map change" (R71).
    pub(crate) pass: ExtentMap<'a>,
    /// The state epoch for which each chunk of `pass` holds.
    pass_epochs: &'a mut [u32],
    pages: Table<'a, Page>,
    /// Pages that are dirty, to find them.
    pub(crate) dirty: ExtentMap<'a>,
    /// Pages with changes that nobody waits for yet.
    pub(crate) later: ExtentMap<'a>,
    version: u64,
    flights: u32,
    /// Pages that are distrusted: while there are any, superblocks say so (N18).
    pub(crate) distrusted: u32,
    /// State epoch: moves when the state of a Clone changes, so that every `pass` bit is void at once.
    epoch: u32,
    layout: Layout,
    next_page: u64,
}

/// Pages that are marked in one slice.
pub const SLICE_PAGES: u64 = 256;
/// Pages that are saved in one poll: each is a write, and a poll calls the controller until it is PENDING.
const SAVED_PAGES: u64 = 16;

/// Extents of a chunk of `pass`.
const CHUNK_SHIFT: u32 = 14;

/// Chunks of `pass` for so many extents.
pub fn chunks(extents: u64) -> usize {
    index(extents >> CHUNK_SHIFT).saturating_add(1)
}

impl<'a> PersistentDeltaMap<'a> {
    /// Maps of no extents, with these tables: whoever makes it lays the maps.
    pub fn new(pass_epochs: &'a mut [u32], pages: &'a mut [Page], layout: Layout) -> PersistentDeltaMap<'a> {
        PersistentDeltaMap {
            bits: ExtentMap::default(),
            pass: ExtentMap::default(),
            pass_epochs,
            pages: Table::new(pages),
            dirty: ExtentMap::default(),
            later: ExtentMap::default(),
            version: 0,
            flights: 0,
            distrusted: 0,
            epoch: 1,
            layout,
            next_page: 0,
        }
    }

    /// Where pages lie.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The state epoch.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The version of the last change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The state of a Clone changes: no extent passes any more.
    pub fn next_epoch(&mut self) {
        self.epoch = self.epoch.wrapping_add(1).max(1);
    }

    /// Whether a write to these extents needs no map change.
    pub fn passes(&self, extents: ExtentRange) -> bool {
        self.chunks_of(extents)
            .all(|chunk| self.pass_epochs.get(chunk).is_some_and(|&epoch| epoch == self.epoch))
            && self.pass.all_set(extents)
    }

    /// Every bit that a write to these extents needs in this epoch is durable.
    pub fn let_pass(&mut self, extents: ExtentRange) {
        for chunk in self.chunks_of(extents) {
            let Some(epoch) = self.pass_epochs.get_mut(chunk) else {
                continue;
            };
            if *epoch != self.epoch {
                *epoch = self.epoch;
                let first = count(chunk) << CHUNK_SHIFT;
                let end = first.wrapping_add(1 << CHUNK_SHIFT);
                self.pass.clear_range(ExtentRange::new(Extent(first), Extent(end.min(self.pass.extents()))));
            }
        }
        self.pass.set_range(extents);
    }

    /// A write to those extents of a word that are chosen needs the maps again.
    pub fn withdraw_pass_in_word(&mut self, word: usize, chosen: usize) {
        self.pass.clear_in_word(word, chosen);
    }

    fn chunks_of(&self, extents: ExtentRange) -> core::ops::Range<usize> {
        let last = extents.end.0.saturating_sub(1).max(extents.first.0);
        index(extents.first.0 >> CHUNK_SHIFT)..index(last >> CHUNK_SHIFT).wrapping_add(1)
    }

    /// Bits of these extents changed, in whatever column: their pages must be written. Returns the
    /// version to wait for.
    pub fn mark(&mut self, extents: ExtentRange) -> u64 {
        self.version = self.version.wrapping_add(1);
        for page in self.pages_of(extents) {
            self.mark_page_at(page, self.version);
        }
        self.version
    }

    /// A page must be written.
    pub fn mark_page(&mut self, page: u64) {
        self.version = self.version.wrapping_add(1);
        self.mark_page_at(page, self.version);
    }

    /// Bits of these extents changed that nobody waits for: their pages are written when [`Self::save_later`] says so.
    pub fn mark_later(&mut self, extents: ExtentRange) {
        for page in self.pages_of(extents) {
            self.later.set(Extent(page));
        }
    }

    /// Whether a page of these extents has changes that nobody waits for yet.
    pub fn is_later(&self, extents: ExtentRange) -> bool {
        parts::MAP_PER_CLONE && self.pages_of(extents).any(|page| self.later.get(Extent(page)))
    }

    /// Whether any page has.
    pub fn has_later(&self) -> bool {
        parts::MAP_PER_CLONE && !self.later.is_empty()
    }

    /// Pages with changes that nobody waited for are written now: some of them.
    pub fn save_later(&mut self) {
        if !parts::MAP_PER_CLONE {
            return;
        }
        for _ in 0..SAVED_PAGES {
            let Some(page) = self.later.next_set(Extent(0)) else { return };
            self.mark_page(page.0);
        }
    }

    fn mark_page_at(&mut self, page: u64, version: u64) {
        self.later.clear(Extent(page));
        let slot = &mut self.pages[page];
        if slot.dirty_since == 0 {
            slot.dirty_since = version;
        }
        self.dirty.set(Extent(page));
    }

    /// Whether every change of these extents up to the version is durable.
    pub fn is_durable(&self, extents: ExtentRange, version: u64) -> bool {
        let saved = |since: u64| since == 0 || since > version;
        self.pages_of(extents).all(|page| {
            (saved(self.pages[page].dirty_since) || !kept!(R27Version))
                && (saved(self.pages[page].flight_since) || !kept!(R27Flight))
        })
    }

    /// Whether no page is to be written and none is being written.
    pub fn is_clean(&self) -> bool {
        self.dirty.is_empty() && self.flights == 0
    }

    /// Whether a page of these extents is being written.
    pub fn in_flight(&self, extents: ExtentRange) -> bool {
        self.pages_of(extents).any(|page| self.pages[page].flight_since != 0)
    }

    /// Whether a page is being written.
    pub fn is_writing(&self) -> bool {
        self.flights > 0
    }

    /// The pages of these extents.
    pub fn pages_of(&self, extents: ExtentRange) -> core::ops::Range<u64> {
        let last = Extent(extents.end.0.saturating_sub(1).max(extents.first.0));
        self.layout.page_of(extents.first)..self.layout.page_of(last).wrapping_add(1)
    }

    /// A page that should be written now, taken: it is in flight from here on. Pages take turns.
    pub fn begin_write(&mut self) -> Option<u64> {
        let page = self.next_writable(self.next_page).or_else(|| self.next_writable(0))?;
        self.next_page = page.wrapping_add(1);
        self.dirty.clear(Extent(page));
        let slot = &mut self.pages[page];
        slot.flight_since = core::mem::take(&mut slot.dirty_since);
        slot.sequence = slot.sequence.saturating_add(1);
        self.flights = self.flights.wrapping_add(1);
        Some(page)
    }

    fn next_writable(&self, from: u64) -> Option<u64> {
        let mut from = Extent(from);
        // At most as many dirty pages are in flight as there are writers, so this ends soon.
        while let Some(page) = self.dirty.next_set(from) {
            if self.pages[page.0].flight_since == 0 || !kept!(R27) {
                return Some(page.0);
            }
            from = Extent(page.0.wrapping_add(1));
        }
        None
    }

    /// The write of a page is over. After a failure its content is unknown: the same copy is written
    /// again, with a higher sequence number, and its changes count as not durable (R33). Returns whether no page is
    /// distrusted any more, which a superblock should say.
    pub fn end_write(&mut self, page: u64, durable: bool) -> bool {
        self.flights = self.flights.saturating_sub(1);
        let slot = &mut self.pages[page];
        let since = core::mem::take(&mut slot.flight_since);
        if durable || !kept!(R33Page) {
            slot.newest ^= 1;
            if core::mem::take(&mut slot.distrusted) {
                self.distrusted = self.distrusted.saturating_sub(1);
                return self.distrusted == 0;
            }
        } else {
            slot.dirty_since = since;
            self.dirty.set(Extent(page));
        }
        false
    }

    /// A page that was lost must be written, and what its copies say is not to be trusted until it is durable (N18).
    pub fn distrust_page(&mut self, page: u64) {
        if kept!(N18) {
            self.pages[page].distrusted = true;
            self.distrusted = self.distrusted.saturating_add(1);
        }
        self.mark_page(page);
    }

    /// What is known of a page.
    pub fn page(&self, page: u64) -> &Page {
        &self.pages[page]
    }

    /// What a start found out about a page, or wrote to it: what an earlier attempt left is forgotten, one page at a
    /// time.
    pub fn set_page(&mut self, page: u64, newest: u8, sequence: u64) {
        self.dirty.clear(Extent(page));
        self.later.clear(Extent(page));
        // Where a restore is given up, pages are loaded twice.
        let again = self.pages[page].distrusted && kept!(N18Again);
        self.distrusted = self.distrusted.saturating_sub(u32::from(again));
        self.pages[page] = Page { newest, sequence, ..Page::default() };
    }

    /// Where the next write of a page goes: never onto the newest valid copy.
    pub fn target(&self, page: u64) -> u8 {
        self.pages[page].newest ^ u8::from(kept!(R30Target))
    }
}
