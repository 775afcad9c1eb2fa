#![forbid(unsafe_code)]
//! Clears bits of the Persistent Delta Map that no Delta Map needs any more: the write intents of mirrored
//! Clones (R78), and what was copied.
//!
//! ```text
//!   Idle --request--> Choosing(page) --> Flushing(page) --> Choosing(page + 1) ... --> Idle
//! ```
//!
//! A bit may go only if every D and P are 0, the copies are durable, and no write to the extent is under
//! way; the page is written after a flush of the Source and of every mirrored Clone that was submitted after
//! that was seen (R3, R47). A write that comes meanwhile takes its extents out again (`touch`). The page
//! that is in memory loses the bit before its image is written, so nobody counts on the bit while its fate is
//! unknown (R33). Clears are lazy and may be lost.

use core::ops::Range;

use crate::clone::CloneState;
use crate::extent_map::ExtentMap;
use crate::geometry::{Extent, ExtentRange, count, index};
use crate::group::{Group, SOURCE};
use crate::knock_out::kept;
use crate::lu::{Flushed, Ticket};
use crate::poll::SLICES_MAX;
use crate::request::RequestStage;

/// How far the sweep is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SweepStage {
    /// Nothing to do.
    #[default]
    Idle,
    /// From this page on.
    Choosing(u64),
    /// This page waits for flushes.
    Flushing(u64, Ticket),
}

/// See the module.
pub struct IntentSweeper<'a> {
    stage: SweepStage,
    /// The pages to look through next; none if empty.
    requested: Range<u64>,
    /// The page behind those of the sweep under way. One that went along with copies would never come back to what they
    /// leave behind: it ends where there were bits when it began (N21).
    end: u64,
    /// Bits of the page under way that may go: bit 0 is the first extent of the page.
    pub(crate) candidates: ExtentMap<'a>,
    extents: ExtentRange,
    /// The last sweep could clear none of the bits there are: then the bound of R78 gives way to the hosts.
    pub fruitless: bool,
    /// The sweep under way is one of all pages, and has cleared none yet.
    barren: bool,
}

impl<'a> IntentSweeper<'a> {
    /// A sweeper with a map of no extents: whoever makes it lays one for the extents of a page.
    pub fn new() -> IntentSweeper<'a> {
        IntentSweeper {
            stage: SweepStage::Idle,
            requested: 0..0,
            end: 0,
            candidates: ExtentMap::default(),
            extents: ExtentRange::default(),
            fruitless: false,
            barren: false,
        }
    }

    /// There may be bits to clear, anywhere.
    pub fn request(&mut self) {
        self.requested = 0..u64::MAX;
    }

    /// There may be bits to clear in these pages.
    pub fn request_pages(&mut self, first: u64, last: u64) {
        let asked = first..last.saturating_add(1);
        self.requested = if self.requested.is_empty() {
            asked
        } else {
            self.requested.start.min(asked.start)..self.requested.end.max(asked.end)
        };
    }

    /// Whether a page is under way.
    pub fn is_active(&self) -> bool {
        matches!(self.stage, SweepStage::Flushing(..))
    }

    /// How far it is: to see whether it moves.
    pub fn position(&self) -> (u8, u64) {
        match self.stage {
            SweepStage::Idle => (0, 0),
            SweepStage::Choosing(page) => (1, page),
            SweepStage::Flushing(page, _) => (2, page),
        }
    }

    /// A write to these extents is being classified: their bits stay.
    pub fn touch(&mut self, extents: ExtentRange) {
        if self.is_active() && extents.overlaps(self.extents) && kept!(R47Touch) {
            self.candidates.clear_range(self.in_page(extents));
        }
    }

    fn in_page(&self, extents: ExtentRange) -> ExtentRange {
        let both = extents.intersection(self.extents);
        let base = self.extents.first.0;
        ExtentRange::new(Extent(both.first.0.saturating_sub(base)), Extent(both.end.0.saturating_sub(base)))
    }
}

impl Group<'_> {
    pub(crate) fn advance_sweeper(&mut self) {
        let stopped = self.metadata_failed
            || self.gate_closed
            || self.state != crate::group::GroupState::Ready
            || self.is_prepared();
        match self.sweeper.stage {
            SweepStage::Idle if !self.sweeper.requested.is_empty() && !stopped => {
                let Range { start, end } = core::mem::take(&mut self.sweeper.requested);
                let last = self.persistent.layout().page_of(self.persistent.bits.last_set());
                self.sweeper.end = if kept!(R78Along) { end.min(last.wrapping_add(1)) } else { end };
                self.sweeper.barren = end == u64::MAX;
                self.sweeper.fruitless = false;
                self.sweeper.stage = SweepStage::Choosing(start);
            }
            SweepStage::Idle => {}
            SweepStage::Choosing(_) if stopped => {
                self.sweeper.stage = SweepStage::Idle;
                self.sweeper.request();
            }
            // One page in a poll: each of its bits is looked at.
            SweepStage::Choosing(page) => {
                if self.may_walk(SLICES_MAX) {
                    self.choose_page(page);
                }
            }
            SweepStage::Flushing(page, ticket) => self.sweep_flushed(page, ticket),
        }
    }

    /// Finds the next page with something to clear, from this one on.
    fn choose_page(&mut self, page: u64) {
        let from = self.persistent.layout().extents_of(page).first;
        let page_of = |extent: &Extent| self.persistent.layout().page_of(*extent);
        let next = self.persistent.bits.next_set(from);
        let next = next.filter(|extent| page_of(extent) < self.sweeper.end && !self.some_clone_inherits());
        let Some(extent) = next else {
            self.sweeper.fruitless = self.sweeper.barren && !self.persistent.bits.is_empty();
            self.sweeper.stage = SweepStage::Idle;
            self.queue.changed = true;
            return;
        };
        let page = self.persistent.layout().page_of(extent);
        if self.choose_candidates(page) == 0 {
            self.sweeper.stage = SweepStage::Choosing(page.wrapping_add(1));
            return;
        }
        let ticket = self.new_ticket();
        self.want_mirrored_flush(ticket);
        self.sweeper.stage = SweepStage::Flushing(page, ticket);
    }

    fn some_clone_inherits(&self) -> bool {
        self.next_inheriting().is_some() && kept!(R52Intents)
    }

    /// A Clone for which the intents are yet to be taken over into its Delta Map.
    pub(crate) fn next_inheriting(&self) -> Option<u32> {
        (1..=self.config.clones_max).find(|&lu| self.clone(lu).delta.inherits_intent)
    }

    /// Those extents of a word that G has and may lose, as far as the maps say (R3). Copied but not flushed has D = 1
    /// still. Where each Clone has a column of its own, D and P stand there and need no intent.
    fn spare_in_word(&self, word: usize) -> usize {
        let set = self.persistent.bits.word(word);
        if set == 0 || self.config.map_per_clone() || !kept!(R3) {
            return set;
        }
        let present = |state| state != CloneState::Absent;
        let restored = self.protected_restore.bits.word(word);
        self.clones_where(present)
            .fold(set & !restored, |spare, lu| spare & !self.clone(lu).delta.bits.word(word))
    }

    fn choose_candidates(&mut self, page: u64) -> u64 {
        let extents = self.persistent.layout().extents_of(page).intersection(self.geometry().all_extents());
        self.sweeper.extents = extents;
        self.sweeper
            .candidates
            .clear_range(ExtentRange::new(Extent(0), Extent(self.sweeper.candidates.extents())));
        for (word, of_page) in words_of(extents).zip(0..) {
            let spare = self.spare_in_word(word);
            if spare != 0 {
                self.sweeper.candidates.set_in_word(of_page, spare);
            }
        }
        for request in 0..crate::geometry::slot(self.requests.len()) {
            let waiting = self.requests[request];
            let under_way = match waiting.stage {
                RequestStage::Free | RequestStage::Finished | RequestStage::Flushing => false,
                // One whose bits are durable counts on them, whatever it waits for now.
                RequestStage::Waiting(_) => waiting.epoch != 0,
                RequestStage::Recording | RequestStage::Submitted | RequestStage::RecordingOverwrite => true,
            };
            if under_way && waiting.operation.changes_blocks() && kept!(R47) {
                let kept = self.sweeper.in_page(waiting.extents);
                self.sweeper.candidates.clear_range(kept);
            }
        }
        self.withdraw_candidates();
        self.sweeper.candidates.count()
    }

    /// From here on a write to a candidate is noticed (R71).
    fn withdraw_candidates(&mut self) {
        if !kept!(R71Withdraw) {
            return;
        }
        for (word, of_page) in words_of(self.sweeper.extents).zip(0..) {
            self.persistent.withdraw_pass_in_word(word, self.sweeper.candidates.word(of_page));
        }
    }

    fn sweep_flushed(&mut self, page: u64, ticket: Ticket) {
        let mut failed = false;
        for lu in 0..self.config.lus() {
            if lu != SOURCE && !(self.clone(lu).state().shares_writes() && kept!(R47Mirrors)) {
                continue;
            }
            match self.lu(lu).flushed(ticket) {
                Flushed::Waiting if kept!(R3Flush) => return,
                Flushed::Waiting | Flushed::Done => {}
                Flushed::Failed(_) => failed = kept!(R24Intents),
            }
        }
        // Nothing is lost by leaving the bits; a later sweep tries again.
        if !failed && !self.metadata_failed && !self.some_clone_inherits() {
            self.clear_candidates(page);
        }
        self.sweeper.stage = SweepStage::Choosing(page.wrapping_add(1));
    }

    fn clear_candidates(&mut self, page: u64) {
        let mut cleared = 0;
        for (word, of_page) in words_of(self.sweeper.extents).zip(0..) {
            // D may have come back meanwhile: a leg of a write failed.
            let spare = if kept!(R3Again) { self.spare_in_word(word) } else { usize::MAX };
            let chosen = self.sweeper.candidates.word(of_page) & spare;
            cleared += self.persistent.bits.clear_in_word(word, chosen);
        }
        if cleared > 0 {
            self.sweeper.barren = false;
            self.persistent.mark_page(page);
            self.queue.changed = true;
        }
    }

    /// Close: everything is flushed and nothing is under way, so all that is spare may go at once.
    pub(crate) fn clear_intents_of(&mut self, page: u64) {
        if self.some_clone_inherits() || self.choose_candidates(page) == 0 {
            return;
        }
        self.clear_candidates(page);
    }

    /// Extents that carry a write intent and nothing else: those in G, if every Clone is mirrored and equal, or where
    /// each Clone has a column of its own, if no copy adds to them.
    pub(crate) fn intents(&self) -> Option<u64> {
        if self.config.map_per_clone() {
            let mirrored = self.next_clone(1, CloneState::shares_writes).is_some();
            return (mirrored && !self.is_synchronizing()).then(|| self.persistent.bits.count());
        }
        let mut synchronized = self.clones_where(|state| state == CloneState::Synchronized);
        let other = |state| !matches!(state, CloneState::Absent | CloneState::Synchronized);
        let pure = synchronized.next().is_some() && self.clones_where(other).next().is_none();
        pure.then(|| count(crate::geometry::index(self.persistent.bits.count())))
    }
}

/// The words of a map that hold these extents of a page: a page is whole words.
fn words_of(extents: ExtentRange) -> Range<usize> {
    let word_extents = u64::from(ExtentMap::WORD_BITS);
    index(extents.first.0 / word_extents)..index(extents.end.0.div_ceil(word_extents))
}
