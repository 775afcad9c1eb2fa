#![forbid(unsafe_code)]
//! An LU as it is attached, and its flushes.
//!
//! Whoever needs a flush takes a ticket; a flush that is submitted afterwards covers it. So a flush
//! covers only what was completed before it was submitted (R20), and one flush serves all who wait.

use crate::io::IoOperation;
use crate::knock_out::kept;
use crate::statistics::add;

/// What the controller says of an LU.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LuFlags {
    /// It has a volatile write cache (VC), or not (NV).
    pub volatile_cache: bool,
    /// Discarded blocks read as zeroes.
    pub discard_zeroes: bool,
}

/// Tickets are numbers of one counter, so that one ticket names flushes of several LUs.
pub type Ticket = u64;

/// What became of the I/O of an LU, since it was attached.
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs)]
pub struct LuCounters {
    pub reads: u64,
    pub writes: u64,
    pub flushes: u64,
    pub read_errors: u64,
    pub write_errors: u64,
    pub flush_errors: u64,
}

impl LuCounters {
    /// An I/O is over.
    pub fn count(&mut self, operation: IoOperation, failed: bool) {
        let (all, errors) = match operation {
            IoOperation::Read => (&mut self.reads, &mut self.read_errors),
            IoOperation::Flush => (&mut self.flushes, &mut self.flush_errors),
            _ => (&mut self.writes, &mut self.write_errors),
        };
        add(all, 1);
        add(errors, u64::from(failed));
    }
}

/// One LU, or the persistent area.
#[derive(Clone, Copy, Default)]
pub struct Lu {
    /// Attached, and how.
    pub flags: Option<LuFlags>,
    /// Its identity.
    pub identity: [u8; 16],
    /// The newest ticket that somebody took.
    wanted: Ticket,
    /// The newest ticket that the flush under way covers; 0 if none is under way.
    flight: Ticket,
    /// The newest ticket that a flush covered which worked.
    flushed: Ticket,
    /// The newest ticket that a flush covered which failed.
    failed: Ticket,
    /// How it failed.
    failed_status: i32,
    /// What became of its I/O.
    pub counters: LuCounters,
    /// A flush of the library itself failed: the next host flush must say so (R24).
    pub owed_status: i32,
    /// A flush of it failed since it was attached: what it returns to a read may not be what it would keep (R24).
    pub flush_failed: bool,
}

/// How a ticket stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flushed {
    /// Not yet.
    Waiting,
    /// A flush that covers it worked.
    Done,
    /// The flush that covered it failed.
    Failed(i32),
}

impl Lu {
    /// An LU that is attached.
    pub fn attached(flags: LuFlags, identity: [u8; 16]) -> Lu {
        Lu { flags: Some(flags), identity, ..Lu::default() }
    }

    /// Whether only a flush or FUA makes data durable.
    pub fn is_volatile(&self) -> bool {
        self.flags.is_some_and(|flags| flags.volatile_cache)
    }

    /// Asks for a flush. An LU without a volatile cache has nothing to flush.
    pub fn want_flush(&mut self, ticket: Ticket) {
        if self.is_volatile() {
            self.wanted = self.wanted.max(ticket);
        } else {
            self.flushed = self.flushed.max(ticket);
        }
    }

    /// How the ticket stands.
    pub fn flushed(&self, ticket: Ticket) -> Flushed {
        if self.failed >= ticket && self.failed > 0 && (kept!(R24Again) || self.flushed < ticket) {
            // A later flush that works does not bring back what a failed one lost (R24).
            Flushed::Failed(self.failed_status)
        } else if self.flushed >= ticket || !self.is_volatile() {
            Flushed::Done
        } else {
            Flushed::Waiting
        }
    }

    /// Whether a flush should be submitted now: one at a time.
    pub fn should_flush(&self) -> bool {
        self.flight == 0 && self.wanted > self.flushed.max(self.failed)
    }

    /// Whether a flush is under way.
    pub fn flush_under_way(&self) -> bool {
        self.flight != 0
    }

    /// Whether a flush is under way or asked for.
    pub fn is_flushing(&self) -> bool {
        self.flight != 0 || self.should_flush()
    }

    /// A flush is being submitted; it covers every ticket that was taken so far.
    pub fn flush_submitted(&mut self) {
        self.flight = self.wanted;
    }

    /// The flush is over.
    pub fn flush_over(&mut self, status: i32) {
        let sealed = core::mem::take(&mut self.flight);
        let covered = if kept!(R20Ticket) { sealed } else { self.wanted };
        if status == 0 {
            self.flushed = self.flushed.max(covered);
        } else {
            // Also whoever asked for a flush meanwhile learns of it: what is lost is lost for the next flush
            // too, however well that one works (R24).
            let asked = if kept!(R24Wanted) { self.wanted } else { covered };
            self.failed = self.failed.max(covered).max(asked);
            self.failed_status = status;
            self.flush_failed = kept!(N13);
        }
    }
}
