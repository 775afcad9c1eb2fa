#![forbid(unsafe_code)]
//! Close: an end in order. New requests are refused; those in the library finish; then the exact maps are
//! written, so that the next Recovery copies nothing that is equal.
//!
//! ```text
//!   Finishing --> Flushing --> Sweeping --> Pages --> Committing --> Closed
//!    requests,     every LU     exact G
//!    copies
//! ```

use crate::change::Change;
use crate::clone::CloneState;
use crate::error::{self, Error};
use crate::group::{Group, GroupState, SOURCE};
use crate::knock_out::kept;
use crate::lu::{Flushed, Ticket};
use crate::metadata_writer::MetadataBuffers;
use crate::operation::Activity;
use crate::poll::SLICES_MAX;

/// How far a close is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum CloseStage {
    Finishing,
    Flushing(Ticket),
    Sweeping(u64),
    Pages,
    Committing,
}

/// A close under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Close {
    stage: CloseStage,
    /// Whom to tell.
    pub tag: u64,
    /// What went wrong first.
    error: Option<Error>,
}

impl Close {
    /// The number of its stage, and how far it is in it.
    pub fn position(&self) -> (u8, u64) {
        match self.stage {
            CloseStage::Finishing => (0, 0),
            CloseStage::Flushing(_) => (1, 0),
            CloseStage::Sweeping(page) => (2, page),
            CloseStage::Pages => (3, 0),
            CloseStage::Committing => (4, 0),
        }
    }
}

impl Group<'_> {
    pub(crate) fn begin_close(&mut self, tag: u64) {
        self.enter(GroupState::Closing);
        self.queue.changed = true;
        self.activity = Activity::Close(Close { stage: CloseStage::Finishing, tag, error: None });
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn advance_close(&mut self, mut close: Close, buffers: &mut dyn MetadataBuffers) {
        match close.stage {
            CloseStage::Finishing => {
                let copying = self.scoreboard.active() > 0 || self.sweeper.is_active();
                if (self.requests_used() == 0 || !kept!(R64Close)) && !copying {
                    let ticket = self.new_ticket();
                    for lu in 0..self.config.lus() {
                        if self.is_member(lu) {
                            self.lu_mut(lu).want_flush(ticket);
                        }
                    }
                    close.stage = CloseStage::Flushing(ticket);
                }
            }
            CloseStage::Flushing(ticket) => self.close_flushed(&mut close, ticket),
            CloseStage::Sweeping(page)
                if page < self.pages() && close.error.is_none() && !self.metadata_failed =>
            {
                // A page is a slice for each of its bits: one in a poll.
                if self.may_walk(SLICES_MAX) {
                    self.clear_intents_of(page);
                    close.stage = CloseStage::Sweeping(page.wrapping_add(1));
                }
            }
            CloseStage::Sweeping(_) => {
                if self.saved_all() {
                    close.stage = CloseStage::Pages;
                }
            }
            CloseStage::Pages if self.metadata_failed => {
                if !self.persistent.is_writing() {
                    close.error = close.error.or(Some(Error::MetadataFailed));
                    return self.end_close(close);
                }
            }
            CloseStage::Pages => {
                if self.persistent.is_clean() {
                    self.note_synced_below(close.error.is_none());
                    self.begin_commit(Change::Record, buffers);
                    close.stage = CloseStage::Committing;
                }
            }
            CloseStage::Committing => {
                if let Some(status) = self.writer.take_commit() {
                    close.error = close.error.or(error::check(status).err());
                    return self.end_close(close);
                }
            }
        }
        self.activity = Activity::Close(close);
    }

    fn is_member(&self, lu: u32) -> bool {
        lu == SOURCE || self.clone(lu).state() != CloneState::Absent
    }

    fn close_flushed(&mut self, close: &mut Close, ticket: Ticket) {
        let mut waiting = false;
        for lu in (0..self.config.lus()).filter(|&lu| self.is_member(lu)) {
            match self.lu(lu).flushed(ticket) {
                Flushed::Waiting => waiting = kept!(R3Close),
                Flushed::Done => {}
                // Nothing is certain of that LU: the maps stay as they are, which is safe.
                Flushed::Failed(_) if !kept!(R24Close) => {}
                Flushed::Failed(status) => close.error = close.error.or(Some(Error::from_status(status))),
            }
        }
        if !waiting {
            close.stage = CloseStage::Sweeping(0);
        }
    }

    /// Everything below the first extent in the Delta Map was copied, and flushed just now (R73).
    fn note_synced_below(&mut self, flushed: bool) {
        for lu in 1..self.config.lus() {
            if flushed && self.clone(lu).record.full && self.clone(lu).state() == CloneState::Synchronizing {
                let below = self.synced_so_far(lu);
                self.clone_mut(lu).record.synced_below = below;
            }
        }
    }

    fn end_close(&mut self, close: Close) {
        self.activity = Activity::None;
        self.enter(GroupState::Closed);
        self.finish_operation(close.tag, close.error.map_or(error::OK, Error::status));
    }
}
