#![forbid(unsafe_code)]
//! What a poll does, in this order, until nothing moves or its budget is used up: completions, the operation under way,
//! the COD Queue, map pages, flushes, background copies.

use crate::error;
use crate::event::{Event, EventKind, Notice};
use crate::geometry::{Bytes, count};
use crate::group::Group;
use crate::io::{IoOffer, IoStage};
use crate::knock_out::kept;
use crate::metadata_writer::MetadataBuffers;
use crate::operation::Activity;
use crate::request::Request;

/// Steps of the machines in one go.
const STEPS_MAX: u32 = 16;

/// Slices of maps that one poll walks.
pub const SLICES_MAX: u32 = 4;

/// What a poll may do next.
#[derive(Clone, Copy)]
pub enum Action {
    /// Offer this I/O to the controller, then report what its callback returned.
    Io(IoOffer),
    /// Tell the controller that a request is done.
    Done {
        /// Its tag.
        tag: u64,
        /// Its status.
        status: i32,
    },
    /// Tell the controller what happened.
    Event(Event),
    /// Compare the halves of a copy buffer, then report it to [`Group::compared`]. It may take long, so it is done
    /// without the lock.
    Compare {
        /// The copy.
        copy: u16,
        /// Bytes of each half.
        length: Bytes,
    },
}

impl Group<'_> {
    /// The controller's clock.
    pub fn set_time(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    /// A poll begins: it may begin to copy so many extents in the background.
    pub fn begin_poll(&mut self, copy_budget: u32) {
        self.copy_budget = copy_budget;
        self.copies_allowed = copy_budget > 0;
        self.slices_left = SLICES_MAX;
        // Each refused I/O is offered at most once in a poll (R81).
        for _ in 0..self.retry.len() {
            if let Some(slot) = self.retry.pop() {
                self.ready.push(slot);
            }
        }
    }

    /// Takes in what was completed, and moves what can move unless the controller has to be told something first.
    pub fn work(&mut self, buffers: &mut dyn MetadataBuffers) {
        self.drain_completions(buffers);
        if self.notices.is_empty() && self.events_lost == 0 {
            self.advance(buffers);
        }
    }

    /// What the driver is to do next, if anything.
    // Apart from the work: the deepest stack does not hold the action as well.
    pub fn next_action(&mut self) -> Option<Action> {
        let told = self.next_notice().or_else(|| self.take_comparison());
        told.or_else(|| self.ready.pop().map(|slot| Action::Io(self.offer(slot))))
    }

    fn next_notice(&mut self) -> Option<Action> {
        match self.notices.pop() {
            Some(Notice::Event(event)) => {
                self.events_waiting = self.events_waiting.saturating_sub(1);
                Some(Action::Event(event))
            }
            Some(Notice::Request(request)) => {
                let Request { tag, status, .. } = self.requests[request];
                self.free_request(request);
                Some(Action::Done { tag, status })
            }
            Some(Notice::Operation { tag, status }) => {
                self.operations_unreported = self.operations_unreported.saturating_sub(1);
                Some(Action::Done { tag, status })
            }
            None => {
                let value = core::mem::take(&mut self.events_lost);
                let lost = Event { kind: EventKind::Lost, lu: None, status: 0, value };
                (value > 0).then_some(Action::Event(lost))
            }
        }
    }

    /// Moves the machines until one of them has something to do for the driver, or none moves. A long
    /// walk is left to the next poll after some steps.
    fn advance(&mut self, buffers: &mut dyn MetadataBuffers) {
        // Copies on demand do not wait until everything that is ready was offered (R69).
        if !self.ready.is_empty() {
            self.advance_queue();
        }
        for _ in 0..STEPS_MAX {
            if !self.ready.is_empty() || !self.notices.is_empty() {
                return;
            }
            let before = self.positions();
            self.advance_activity(buffers);
            self.advance_queue();
            self.advance_copy_progress();
            self.advance_writer(buffers);
            self.advance_sweeper();
            self.advance_copies();
            self.advance_sync_engine();
            self.advance_verify();
            self.advance_copy_flush();
            self.start_flushes();
            self.moved = before != self.positions() || self.queue.changed;
            if !self.moved {
                return;
            }
        }
    }

    /// Whether this poll may walk so many more slices of a map. If not, the next one goes on: no poll is longer because
    /// an LU is larger.
    pub(crate) fn may_walk(&mut self, slices: u32) -> bool {
        let may = self.slices_left > 0;
        self.slices_left = self.slices_left.saturating_sub(slices);
        may
    }

    /// Where the machines stand that may move without an I/O.
    fn positions(&self) -> ([u8; 5], [u64; 3]) {
        let (kind, stage, at) = self.activity.position();
        let (sweep, page) = self.sweeper.position();
        let (verify, cursor) = self.verify.position();
        ([kind, stage, sweep, self.writer.position(), verify], [at, page, cursor])
    }

    /// What a poll that has nothing more to do returns.
    pub fn outcome(&self) -> i32 {
        let more = !self.ready.is_empty()
            || !self.notices.is_empty()
            || self.queue.changed && !self.queue.is_empty()
            || self.completions.any_arrived()
            || self.moved
            || self.slices_left == 0
            || self.waits_for_members()
            || self.copies_allowed
                && self.copy_budget == 0
                && (self.has_background_work() || self.has_verify_work());
        if more {
            error::MORE
        } else if self.is_busy() {
            error::PENDING
        } else {
            error::OK
        }
    }

    fn is_busy(&self) -> bool {
        self.ios_in_flight()
            || !self.retry.is_empty()
            || self.requests_used > 0
            || !matches!(self.activity, Activity::None)
            || self.asked_for.is_some()
    }

    /// Whether any I/O has a slot: it is with the controller, was refused by it for now, or is to be offered.
    fn ios_in_flight(&self) -> bool {
        count(self.ios.len()) != u64::from(self.free_ios)
    }

    /// Whether the controller may still touch memory of the workspace (R82): an I/O is over when it is completed
    /// and its callback has returned, whether a poll saw it or not.
    pub fn devices_busy(&self) -> bool {
        self.ios.iter().any(|(slot, io)| match io.stage {
            _ if !kept!(R82) => false,
            IoStage::Free | IoStage::Ready => false,
            IoStage::Pending => !self.completions.is_completed(slot),
            IoStage::Offered | IoStage::Early | IoStage::Discarding => true,
        })
    }

    /// Whether a request waits that only a poll can move.
    pub fn wants_poll(&self) -> bool {
        !self.queue.is_empty()
            || !self.notices.is_empty()
            || !self.ready.is_empty()
            || !self.retry.is_empty()
            || self.activity != Activity::None
            || self.scoreboard.active() > 0
    }
}
