#![forbid(unsafe_code)]
//! An I/O that the group asks for, and the slots of those under way.

use core::ffi::c_void;

use crate::geometry::{BlockRange, Bytes};
use crate::request::Payload;

/// What an I/O does. The numbers are those of the C ABI.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IoOperation {
    /// Read blocks of an LU.
    #[default]
    Read,
    /// Write blocks of an LU.
    Write,
    /// Flush an LU.
    Flush,
    /// Discard blocks of an LU.
    Discard,
    /// Write zeroes.
    WriteZeroes,
    /// Copy blocks between two LUs.
    Copy,
    /// Read bytes of the persistent area.
    PersistRead,
    /// Write bytes of the persistent area.
    PersistWrite,
    /// Flush the persistent area.
    PersistFlush,
}

/// Which buffer of the workspace an I/O uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Buffer {
    /// None: it is the host's payload, or there is no data.
    #[default]
    None,
    /// The buffer of this copy.
    Copy(u16),
    /// This metadata buffer.
    Metadata(u16),
    /// The second half of the buffer of this copy.
    SecondHalf(u16),
}

/// Whose I/O it is: where its end is reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Purpose {
    /// Nobody's: the slot is free.
    #[default]
    None,
    /// One leg of this host request.
    Leg(u16),
    /// The read of this copy.
    CopyRead(u16),
    /// The write, or the offloaded copy, of this copy.
    CopyWrite(u16),
    /// A flush of this LU, or of the persistent area.
    Flush(u16),
    /// The write of a map page by this writer.
    PageWrite(u16),
    /// The write of a superblock slot.
    SuperblockWrite,
    /// A read or write of the operation that starts the group.
    Start(u16),
    /// The read of the LU that this copy is compared with.
    CompareRead(u16),
}

/// How far an I/O is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum IoStage {
    /// The slot is free.
    #[default]
    Free,
    /// To be offered to the controller.
    Ready,
    /// Its callback is running.
    Offered,
    /// Its callback is running and its completion has arrived already (R80).
    Early,
    /// Its callback returned `PENDING`; the completion is to come.
    Pending,
    /// Ended by its callback, but a completion was recorded too, which must be taken and ignored.
    Discarding,
}

/// One I/O.
#[derive(Clone, Copy, Default)]
pub struct Io {
    /// How far it is.
    pub stage: IoStage,
    /// Whose it is.
    pub purpose: Purpose,
    /// What it does.
    pub operation: IoOperation,
    /// The LU, where it is of one.
    pub lu: u32,
    /// The LU that a copy reads.
    pub source_lu: u32,
    /// Blocks, where it is of an LU.
    pub blocks: BlockRange,
    /// Offset in the persistent area, where it is of that.
    pub offset: Bytes,
    /// Length in the persistent area.
    pub length: Bytes,
    /// Durable when complete.
    pub fua: bool,
    /// A host request waits for this copy.
    pub urgent: bool,
    /// Its buffer.
    pub buffer: Buffer,
    /// The host's payload.
    pub payload: Payload,
    /// The next leg of the same request, plus 1.
    pub next_leg: u16,
}

/// An I/O as it goes out to the controller.
#[derive(Clone, Copy)]
pub struct IoOffer {
    /// Its slot.
    pub slot: u16,
    /// Its id in the C ABI.
    pub id: u64,
    /// What it is.
    pub io: Io,
    /// Its range in bytes.
    pub offset: Bytes,
    /// Length of the range.
    pub length: Bytes,
}

impl Default for Payload {
    fn default() -> Payload {
        Payload(core::ptr::null_mut::<c_void>())
    }
}
