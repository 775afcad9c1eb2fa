#![forbid(unsafe_code)]
//! What happened, for the controller.

use core::ffi::CStr;

/// Kind of an event. The numbers are those of the C ABI.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EventKind {
    /// The state of a Clone changed.
    #[default]
    CloneState,
    /// Hosts see other data on the Source from now on.
    SourceChanged,
    /// A Synchronization is finished.
    Synchronized,
    /// A Protected Restore is finished.
    Restored,
    /// A Clone failed.
    CloneFailed,
    /// An extent could not be copied.
    CopyFailed,
    /// All that is left to copy failed.
    Stalled,
    /// Metadata could not be written.
    MetadataFailed,
    /// Metadata is written again.
    MetadataRepaired,
    /// Both copies of a map page were damaged.
    PageDamaged,
    /// A callback returned a number that means nothing.
    CallbackResult,
    /// Events were lost.
    Lost,
    /// A Reverse Synchronization is finished.
    ReverseSynchronized,
    /// The state of the group changed.
    GroupState,
    /// A restore or a Synchronization was canceled.
    Canceled,
    /// The mixture on the Source was accepted.
    SourceAccepted,
    /// Recovery found the group prepared for a set (R77).
    Prepared,
    /// The set of a prepared group is resolved.
    SetResolved,
    /// Verify found an extent that differs though its Delta Map says that it does not.
    Mismatch,
    /// A Verify is over.
    Verified,
}

impl EventKind {
    /// Its number, its log level (0 error, 1 warning, 2 information), its name and its text.
    pub fn describe(self) -> (u32, u32, &'static CStr, &'static CStr) {
        match self {
            EventKind::CloneState => {
                (1, 2, c"CLONE_GROUP_EVENT_CLONE_STATE", c"the state of a Clone changed")
            }
            EventKind::SourceChanged => (
                2,
                1,
                c"CLONE_GROUP_EVENT_SOURCE_CHANGED",
                c"a copy onto the Source began or got another Clone: hosts see the Clone's data on the Source",
            ),
            EventKind::Synchronized => (
                3,
                2,
                c"CLONE_GROUP_EVENT_SYNCHRONIZED",
                c"a Synchronization is finished: the Clone equals the Source",
            ),
            EventKind::Restored => (4, 2, c"CLONE_GROUP_EVENT_RESTORED", c"a Protected Restore is finished"),
            EventKind::CloneFailed => (
                5,
                0,
                c"CLONE_GROUP_EVENT_CLONE_FAILED",
                c"a write to or a flush of a mirrored Clone failed: it is OutOfSync",
            ),
            EventKind::CopyFailed => {
                (6, 1, c"CLONE_GROUP_EVENT_COPY_FAILED", c"an extent could not be copied")
            }
            EventKind::Stalled => (
                7,
                0,
                c"CLONE_GROUP_EVENT_STALLED",
                c"all that is left to copy failed: mend the LU, then resume",
            ),
            EventKind::MetadataFailed => (
                8,
                0,
                c"CLONE_GROUP_EVENT_METADATA_FAILED",
                c"metadata could not be written: mend the persistent area, then repair",
            ),
            EventKind::MetadataRepaired => {
                (9, 2, c"CLONE_GROUP_EVENT_METADATA_REPAIRED", c"metadata is written again")
            }
            EventKind::PageDamaged => (
                10,
                1,
                c"CLONE_GROUP_EVENT_PAGE_DAMAGED",
                c"both copies of a map page were damaged: its extents count as different",
            ),
            EventKind::CallbackResult => (
                11,
                0,
                c"CLONE_GROUP_EVENT_CALLBACK_RESULT",
                c"a callback or a completion returned a number that means nothing",
            ),
            EventKind::Lost => (12, 1, c"CLONE_GROUP_EVENT_LOST", c"events were lost"),
            EventKind::GroupState => {
                (21, 2, c"CLONE_GROUP_EVENT_GROUP_STATE", c"the state of the group changed")
            }
            EventKind::ReverseSynchronized => (
                18,
                2,
                c"CLONE_GROUP_EVENT_REVERSE_SYNCHRONIZED",
                c"a Reverse Synchronization is finished: the Source equals the Clone",
            ),
            EventKind::Canceled => {
                (15, 1, c"CLONE_GROUP_EVENT_CANCELED", c"a copy was canceled: the LU that it wrote is no point in time")
            }
            EventKind::SourceAccepted => (
                17,
                1,
                c"CLONE_GROUP_EVENT_SOURCE_ACCEPTED",
                c"the Source was accepted as it is: hosts are served again",
            ),
            EventKind::Prepared => (
                19,
                1,
                c"CLONE_GROUP_EVENT_PREPARED",
                c"the outcome of a set is not known: ask its other groups, then resolve it",
            ),
            EventKind::SetResolved => {
                (20, 2, c"CLONE_GROUP_EVENT_SET_RESOLVED", c"a set is resolved: hosts are served again")
            }
            EventKind::Mismatch => (
                13,
                0,
                c"CLONE_GROUP_EVENT_MISMATCH",
                c"an extent of the Clone differs from the Source, and the Delta Map does not say so",
            ),
            EventKind::Verified => (14, 2, c"CLONE_GROUP_EVENT_VERIFIED", c"a Verify is over"),
        }
    }
}

/// An event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Event {
    /// Its kind.
    pub kind: EventKind,
    /// The LU, or none.
    pub lu: Option<u32>,
    /// A status, or 0.
    pub status: i32,
    /// See the kind.
    pub value: u64,
}

/// Events that may wait to be fetched.
pub const EVENTS_MAX: usize = 64;

/// What the controller is to be told. One line for all, so that it learns everything in the order in which it
/// happened: a write that was done before a restore began is reported before that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// Something happened.
    Event(Event),
    /// The host request in this slot is done.
    Request(u16),
    /// An operation is done.
    Operation {
        /// Its tag.
        tag: u64,
        /// Its status.
        status: i32,
    },
}

impl Default for Notice {
    fn default() -> Notice {
        Notice::Event(Event::default())
    }
}
