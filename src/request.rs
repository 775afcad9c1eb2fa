#![forbid(unsafe_code)]
//! A host request and its way through the library.
//!
//! ```text
//!   submit --> Waiting <--> Recording --> Submitted --> Finished --> (done)
//!                 |  (copy, gate,  (map page)   |  ^          ^
//!                 |   overlap...)               v  |          |
//!                 |                      RecordingOverwrite --'   whole extents of a restore (R17)
//!                 `--> Flushing ------------------------------'   a host flush
//! ```
//!
//! A request is classified when it is submitted to the LUs, not when it arrives (R53): whatever it waits
//! for, it is looked at anew afterwards. The stage moves only in `clone_io_manager`.

use core::ffi::c_void;

use crate::geometry::{BlockRange, ExtentRange};

/// What a host asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HostOperation {
    /// Read blocks.
    #[default]
    Read,
    /// Write blocks.
    Write,
    /// Write zeroes.
    WriteZeroes,
    /// Discard blocks.
    Discard,
    /// Make what was done before durable.
    Flush,
}

impl HostOperation {
    /// Whether it changes blocks.
    pub fn changes_blocks(self) -> bool {
        matches!(self, HostOperation::Write | HostOperation::WriteZeroes | HostOperation::Discard)
    }
}

/// The controller's own pointer, which travels through the library untouched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payload(pub *mut c_void);

/// A host request as it was submitted.
#[derive(Clone, Copy, Debug)]
pub struct HostRequest {
    /// What it asks for.
    pub operation: HostOperation,
    /// Of which LU.
    pub lu: u32,
    /// First block.
    pub first_block: u64,
    /// Number of blocks.
    pub block_count: u64,
    /// Passed on to the I/O callbacks.
    pub payload: Payload,
    /// Durable when done.
    pub fua: bool,
    /// The payload may change meanwhile (R51).
    pub unstable: bool,
    /// Names it in `done`.
    pub tag: u64,
}

/// How far a request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RequestStage {
    /// The slot is free.
    #[default]
    Free,
    /// It waits; `why` says for what.
    Waiting(Why),
    /// Its bits are set in memory; the map pages with them are being written (R1, R6).
    Recording,
    /// Its I/O is under way.
    Submitted,
    /// Its whole extents are written and durable; the pages that say so are being written (R17).
    RecordingOverwrite,
    /// A host flush: flushes of LUs are under way.
    Flushing,
    /// Over; `status` is to be reported.
    Finished,
}

/// What a request waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// The gate: a change of state is under way.
    Gate,
    /// Extents that must be copied, or are being copied.
    Copy,
    /// A flush that makes copied extents durable (R5).
    CopyFlush,
    /// An overlapping mirrored write (R43).
    Overlap,
    /// Write intents to be cleared (R78).
    Intent,
    /// Free I/O slots.
    Slots,
}

/// A request in its slot.
#[derive(Clone, Copy, Default)]
pub struct Request {
    /// How far it is.
    pub stage: RequestStage,
    /// What it asks for.
    pub operation: HostOperation,
    /// Of which LU.
    pub lu: u32,
    /// Which blocks.
    pub blocks: BlockRange,
    /// The extents they touch.
    pub extents: ExtentRange,
    /// The controller's pointer.
    pub payload: crate::request::Payload,
    /// Durable when done.
    pub fua: bool,
    /// The payload may change meanwhile.
    pub unstable: bool,
    /// Names it in `done`.
    pub tag: u64,
    /// The first error of any part: any failed part fails the whole request (R63).
    pub status: i32,
    /// The state epoch for which its bits are durable; 0 if they are not.
    pub epoch: u32,
    /// The state epoch in which its bits were set.
    pub recording_epoch: u32,
    /// The version of the maps with its bits.
    pub version: u64,
    /// The flushes that it waits for.
    pub ticket: u64,
    /// Legs under way.
    pub legs: u16,
    /// The first leg that its caller is to issue, plus 1.
    pub first_leg: u16,
    /// Its caller is still inside the call.
    pub attended: bool,
    /// Some leg goes to a Clone too (R43).
    pub mirrored: bool,
    /// It reads from the Clone what the Source lacks (R75).
    pub redirected: bool,
    /// The whole extents that it owns in a restore (R17).
    pub overwrite: ExtentRange,
    /// It was in the COD Queue.
    pub queued: bool,
    /// When it entered the COD Queue.
    pub queued_at_ns: u64,
    /// It stands in the queue.
    pub in_queue: bool,
    /// Neighbours in the queue, plus 1.
    pub queue_next: u16,
    /// See `queue_next`.
    pub queue_previous: u16,
}
