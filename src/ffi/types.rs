//! The structs and constants of the C ABI. Everything here is a promise: append, never change.

#![allow(non_camel_case_types)] // The names of C.

use core::ffi::{c_char, c_void};

/// Version of the C ABI that this header describes. The library is compatible
/// with every program that was built for the same value.
pub const CLONE_GROUP_ABI_VERSION: u32 = 1;

/// Version of the durable format that this library writes.
pub const CLONE_GROUP_FORMAT_VERSION: u32 = 1;

// ---------------------------------------------------------------- outcomes

/// Done.
pub const CLONE_GROUP_OK: i32 = 0;
/// Accepted; it goes on. From a request: one `done` call follows. From a poll:
/// nothing to do until an I/O completes. From an I/O callback: exactly one
/// clone_group_io_complete() follows.
pub const CLONE_GROUP_PENDING: i32 = 1;
/// From a poll: there is more to do, call again.
pub const CLONE_GROUP_MORE: i32 = 2;
/// From an I/O callback only: not taken now. The library offers the I/O again
/// on a later poll, under a new id, at most once in a poll (R81).
pub const CLONE_GROUP_RETRY: i32 = 3;

// ------------------------------------------------------------------ errors

/// An I/O failed. A controller may return any negative number of its own
/// instead: it reaches the host request that it belongs to unchanged.
pub const CLONE_GROUP_ERR_IO: i32 = -5;
/// No memory for a workspace that the library should allocate.
pub const CLONE_GROUP_ERR_NOMEM: i32 = -12;
/// Every slot is taken, or another operation runs: poll, then try again.
pub const CLONE_GROUP_ERR_BUSY: i32 = -16;
/// No such LU, or no LU attached under this number.
pub const CLONE_GROUP_ERR_NO_LU: i32 = -19;
/// An argument is NULL, misaligned, zero or contradicts another one.
pub const CLONE_GROUP_ERR_INVALID: i32 = -22;
/// The persistent area is too small for this geometry.
pub const CLONE_GROUP_ERR_NO_SPACE: i32 = -28;
/// The range is empty, or ends behind the end of the LU.
pub const CLONE_GROUP_ERR_RANGE: i32 = -34;
/// Metadata is damaged: no superblock is valid, though one was written.
pub const CLONE_GROUP_ERR_METADATA_DAMAGED: i32 = -84;
/// The controller offers no callback for this operation, or the configuration
/// has no buffer for it; or a firmware build left the part out that does it.
pub const CLONE_GROUP_ERR_NOT_SUPPORTED: i32 = -95;
/// The request was aborted, or its group was closed.
pub const CLONE_GROUP_ERR_CANCELED: i32 = -125;
/// The operation is not allowed in the present state of the LU.
pub const CLONE_GROUP_ERR_STATE: i32 = -1000;
/// The Clone is being restored from and is read-only until that is over (R35).
pub const CLONE_GROUP_ERR_PROTECTED: i32 = -1001;
/// The Source is a mixture of two points in time: restore it again, or accept it
/// with clone_group_source_accept().
pub const CLONE_GROUP_ERR_SOURCE_INVALID: i32 = -1002;
/// The Clone is not a point in time: synchronize and fracture it first.
pub const CLONE_GROUP_ERR_NOT_CONSISTENT: i32 = -1003;
/// Metadata could not be written earlier, and this request needs it: mend the
/// persistent area, then call clone_group_metadata_repair() (R33).
pub const CLONE_GROUP_ERR_METADATA_FAILED: i32 = -1004;
/// The metadata belongs to another group.
pub const CLONE_GROUP_ERR_METADATA_FOREIGN: i32 = -1005;
/// The metadata describes another geometry than the configuration.
pub const CLONE_GROUP_ERR_METADATA_GEOMETRY: i32 = -1006;
/// The metadata is of another format version, or has features that are unknown
/// (R79) or that this firmware build left out.
pub const CLONE_GROUP_ERR_METADATA_VERSION: i32 = -1007;
/// The area holds a valid group already: recover it, or force the format.
pub const CLONE_GROUP_ERR_METADATA_EXISTS: i32 = -1008;
/// The area was never formatted.
pub const CLONE_GROUP_ERR_METADATA_MISSING: i32 = -1009;
/// A restore is active and a page of its Protected Restore Map is lost. There
/// is no safe default: see CLONE_GROUP_RECOVER_ABANDON_RESTORE (R60).
pub const CLONE_GROUP_ERR_RESTORE_MAP_LOST: i32 = -1010;
/// An LU has another identity than the metadata says: LUs were swapped (R79).
pub const CLONE_GROUP_ERR_IDENTITY: i32 = -1011;
/// The workspace is NULL without an allocator, misaligned or too small.
pub const CLONE_GROUP_ERR_WORKSPACE: i32 = -1012;
/// A required callback is NULL.
pub const CLONE_GROUP_ERR_CALLBACK_MISSING: i32 = -1013;
/// A callback or a completion returned a positive number that means nothing.
/// The I/O counts as failed (R81).
pub const CLONE_GROUP_ERR_CALLBACK_RESULT: i32 = -1014;
/// No I/O with this id is in flight: it was completed before, or never began.
pub const CLONE_GROUP_ERR_STALE_IO: i32 = -1015;
/// The struct is newer than the library and uses something it does not know.
pub const CLONE_GROUP_ERR_STRUCT_SIZE: i32 = -1016;
/// The group is not ready: format or recover it first.
pub const CLONE_GROUP_ERR_NOT_READY: i32 = -1017;
/// The group is closing or closed.
pub const CLONE_GROUP_ERR_CLOSED: i32 = -1018;
/// No waiting request has this tag.
pub const CLONE_GROUP_ERR_NO_REQUEST: i32 = -1019;
/// The group is prepared for a set whose outcome it does not know: ask the other
/// groups of the set, then call clone_group_set_resolve() (R77).
pub const CLONE_GROUP_ERR_PREPARED: i32 = -1020;
/// A defect of the library was caught. The group refuses everything from now
/// on; its durable state is as after a power loss. Destroy and recover it.
pub const CLONE_GROUP_ERR_INTERNAL: i32 = -1099;

// -------------------------------------------------------------- LUs, flags

/// The LU number of the Source. Clones are 1 to `clones_max`.
pub const CLONE_GROUP_LU_SOURCE: u32 = 0;
/// The LU number in a clone_group_io that belongs to the persistent area.
pub const CLONE_GROUP_LU_NONE: u32 = 0xFFFF_FFFF;

/// Config: an acknowledged host write is durable (the host contract HD). The
/// library asks for FUA on every write to an LU with a volatile cache, and a
/// host flush has nothing to do. Without it (HV) an acknowledged write may be
/// lost until a flush or FUA.
pub const CLONE_GROUP_CONFIG_HOST_DURABLE: u32 = 0x1;
/// Config: host reads that lie wholly in extents that still have to be copied
/// are served from the Clone, and cause no copy (R16).
pub const CLONE_GROUP_CONFIG_REDIRECT_READS: u32 = 0x2;
/// Config: one column of the persistent maps for each Clone, not one for all.
/// After a power loss what differs is copied, and at most some
/// `intent_extents_max` extents that were copied and flushed before; more
/// where a Synchronization, either way, is scattered over very many map pages. That costs
/// a larger persistent area; pages need `page_bytes >= 64 + 8 * (clones_max + 1)`
/// (`CLONE_GROUP_ERR_INVALID`). Fixed at format: Recovery refuses an area of the
/// other form (`CLONE_GROUP_ERR_METADATA_GEOMETRY`).
///
/// Without it, after a power loss during a restore or a Reverse Synchronization
/// a single Clone is copied again as little as with it. Beside other Clones all
/// is copied again that was copied so far, and what the other Clones differ by;
/// and each Clone counts as different in all extents that any of them differs by.
///
/// Refused with CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part
/// `map-per-clone`).
pub const CLONE_GROUP_CONFIG_MAP_PER_CLONE: u32 = 0x4;

/// Config: background copies (in both directions; not copies on demand, and not
/// with the `copy` callback) read the target too, one extent at a time, and
/// write nothing where it is equal already: a thin LU stays thin. A copy then
/// costs two reads and perhaps no write. Needs a `copy_buffer_bytes` with two
/// halves: see there. An LU of which a flush failed since it was attached is
/// always written (R24). A target must not return data from a cache of which a
/// flush failed before that: power off such an LU before it is attached again.
/// Refused with CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part
/// `verify`).
pub const CLONE_GROUP_CONFIG_SKIP_EQUAL: u32 = 0x8;

/// LU: has a volatile write cache; only a flush or FUA makes data durable.
pub const CLONE_GROUP_LU_VOLATILE_CACHE: u32 = 0x1;
/// LU: discarded blocks read as zeroes, always.
pub const CLONE_GROUP_LU_DISCARD_ZEROES: u32 = 0x2;

/// Host request: done only when durable.
pub const CLONE_GROUP_HOST_FUA: u32 = 0x1;
/// Host request: the payload may change while the request is in flight, so
/// mirrored Clones cannot be trusted to hold the same bytes (R51). Their extents
/// stay in the Delta Maps until they are copied while no host writes them: hosts
/// that write the same blocks this way without a pause keep a Synchronization,
/// either way, from its end.
pub const CLONE_GROUP_HOST_UNSTABLE: u32 = 0x2;

/// Format: also over a valid group. What it held is gone.
pub const CLONE_GROUP_FORMAT_FORCE: u32 = 0x1;
/// Recover: where the Protected Restore Map of an active restore is lost, give
/// the restore up. The Source comes up invalid (R60).
pub const CLONE_GROUP_RECOVER_ABANDON_RESTORE: u32 = 0x1;
/// Verify: what differs is to be copied: see clone_group_verify().
pub const CLONE_GROUP_VERIFY_MARK: u32 = 0x1;

// -------------------------------------------------------------- operations

/// Read blocks of an LU.
pub const CLONE_GROUP_IO_READ: u32 = 1;
/// Write blocks of an LU.
pub const CLONE_GROUP_IO_WRITE: u32 = 2;
/// Make every write that the LU completed before this call durable.
pub const CLONE_GROUP_IO_FLUSH: u32 = 3;
/// Discard blocks of an LU.
pub const CLONE_GROUP_IO_DISCARD: u32 = 4;
/// Write zeroes.
pub const CLONE_GROUP_IO_WRITE_ZEROES: u32 = 5;
/// Copy blocks from `source_lu` to `lu` inside the array.
pub const CLONE_GROUP_IO_COPY: u32 = 6;
/// Read bytes of the persistent area.
pub const CLONE_GROUP_IO_PERSIST_READ: u32 = 7;
/// Write bytes of the persistent area.
pub const CLONE_GROUP_IO_PERSIST_WRITE: u32 = 8;
/// Make every completed write to the persistent area durable.
pub const CLONE_GROUP_IO_PERSIST_FLUSH: u32 = 9;

/// I/O: must be durable when it completes.
pub const CLONE_GROUP_IO_FUA: u32 = 0x1;
/// I/O: on behalf of a host request; `payload` is the host's. Otherwise
/// `buffer` is the library's (NULL where the operation carries no data).
pub const CLONE_GROUP_IO_HOST: u32 = 0x2;
/// I/O: a host request waits for this copy (COD); prefer it over background copies.
pub const CLONE_GROUP_IO_URGENT: u32 = 0x4;

// ------------------------------------------------------------------ states

/// Group: created, neither formatted nor recovered.
pub const CLONE_GROUP_STATE_NEW: u32 = 0;
/// Group: format or recover runs.
pub const CLONE_GROUP_STATE_STARTING: u32 = 1;
/// Group: serves hosts.
pub const CLONE_GROUP_STATE_READY: u32 = 2;
/// Group: close runs.
pub const CLONE_GROUP_STATE_CLOSING: u32 = 3;
/// Group: closed. Destroy it.
pub const CLONE_GROUP_STATE_CLOSED: u32 = 4;

/// Condition of a group: metadata could not be written (R33).
pub const CLONE_GROUP_CONDITION_METADATA_FAILED: u32 = 0x1;
/// Condition of a group: background copies are paused.
pub const CLONE_GROUP_CONDITION_PAUSED: u32 = 0x2;
/// Condition of a group: the Source is a mixture and is not served (R38).
pub const CLONE_GROUP_CONDITION_SOURCE_INVALID: u32 = 0x4;
/// Condition of a group: a defect was caught; everything is refused.
pub const CLONE_GROUP_CONDITION_POISONED: u32 = 0x8;
/// Condition of a Clone: extents could not be copied; the Sync Engine waits
/// for clone_group_resume() to try them again (R61).
pub const CLONE_GROUP_CONDITION_STALLED: u32 = 0x10;
/// Condition of a Clone: a mirrored write or a flush of it failed (R52).
pub const CLONE_GROUP_CONDITION_FAILED: u32 = 0x20;
/// Condition of a group: it is prepared for a set whose outcome it does not
/// know. Hosts are not served until clone_group_set_resolve() (R77).
pub const CLONE_GROUP_CONDITION_PREPARED: u32 = 0x40;
/// Condition of a Clone: clone_group_protected_restore() from it is allowed now;
/// extents_left is how many extents it would copy.
pub const CLONE_GROUP_CONDITION_RESTORABLE: u32 = 0x100;
/// Condition of a Clone: a Verify of it runs.
pub const CLONE_GROUP_CONDITION_VERIFYING: u32 = 0x80;

/// Clone: no Clone has this LU number.
pub const CLONE_GROUP_CLONE_ABSENT: u32 = 0;
/// Clone: its content is not a point in time.
pub const CLONE_GROUP_CLONE_OUT_OF_SYNC: u32 = 1;
/// Clone: the Source is being copied to it.
pub const CLONE_GROUP_CLONE_SYNCHRONIZING: u32 = 2;
/// Clone: equal to the Source, and mirrored.
pub const CLONE_GROUP_CLONE_SYNCHRONIZED: u32 = 3;
/// Clone: a point in time; hosts may read and write it.
pub const CLONE_GROUP_CLONE_FRACTURED: u32 = 4;
/// Clone: it is being copied to the Source, without protection.
pub const CLONE_GROUP_CLONE_REVERSE_SYNCHRONIZING: u32 = 5;
/// Clone: it is being copied to the Source by a Protected Restore.
pub const CLONE_GROUP_CLONE_RESTORING: u32 = 6;

// ------------------------------------------------------------------ events

/// Event: the state of an LU changed. `value` is the new state.
pub const CLONE_GROUP_EVENT_CLONE_STATE: u32 = 1;
/// Event: hosts see other data on the Source from now on (a Protected Restore or a
/// Reverse Synchronization from `lu` began, or a restore was given the Clone
/// `lu`): the moment for a SCSI unit attention.
pub const CLONE_GROUP_EVENT_SOURCE_CHANGED: u32 = 2;
/// Event: a Synchronization of `lu` is finished.
pub const CLONE_GROUP_EVENT_SYNCHRONIZED: u32 = 3;
/// Event: a Protected Restore from `lu` is finished.
pub const CLONE_GROUP_EVENT_RESTORED: u32 = 4;
/// Event: the Clone `lu` failed (`status`) and is OutOfSync.
pub const CLONE_GROUP_EVENT_CLONE_FAILED: u32 = 5;
/// Event: an extent could not be copied; `value` is its index, `lu` the LU that
/// failed, `status` how. A run of extents that fails is copied extent by extent
/// first, so only what is bad is named, once in each pass over the LU.
pub const CLONE_GROUP_EVENT_COPY_FAILED: u32 = 6;
/// Event: all that is left to copy for `lu` failed; `value` is the number of
/// extents left.
pub const CLONE_GROUP_EVENT_STALLED: u32 = 7;
/// Event: metadata could not be written (`status`).
pub const CLONE_GROUP_EVENT_METADATA_FAILED: u32 = 8;
/// Event: metadata is written again.
pub const CLONE_GROUP_EVENT_METADATA_REPAIRED: u32 = 9;
/// Event: both copies of a map page were damaged; its extents count as
/// different (R30). `value` is the page.
pub const CLONE_GROUP_EVENT_PAGE_DAMAGED: u32 = 10;
/// Event: a callback or a completion returned a number that means nothing
/// (`value`, R81).
pub const CLONE_GROUP_EVENT_CALLBACK_RESULT: u32 = 11;
/// Event: events were lost because they were not fetched; `value` is how many.
pub const CLONE_GROUP_EVENT_LOST: u32 = 12;
/// Event: a Reverse Synchronization from `lu` is finished; the Clone is
/// Synchronized.
pub const CLONE_GROUP_EVENT_REVERSE_SYNCHRONIZED: u32 = 18;
/// Event: the state of the group changed. `value` is the new CLONE_GROUP_STATE_.
pub const CLONE_GROUP_EVENT_GROUP_STATE: u32 = 21;
/// Event: the restore from `lu`, or the Synchronization of it, was canceled. The LU
/// that was written, the Source or `lu`, is no point in time.
pub const CLONE_GROUP_EVENT_CANCELED: u32 = 15;
/// Event: the Source was accepted as a canceled restore left it, and is served
/// again: the moment for a SCSI unit attention.
pub const CLONE_GROUP_EVENT_SOURCE_ACCEPTED: u32 = 17;
/// Event: the group is prepared for a set whose outcome it does not know: after
/// Recovery, or because it could not write the outcome down. `value` is the id of
/// the set, `lu` the Clone.
pub const CLONE_GROUP_EVENT_PREPARED: u32 = 19;
/// Event: the set is resolved, and hosts are served again. `value` is 1 if it was
/// committed, 0 if it was aborted.
pub const CLONE_GROUP_EVENT_SET_RESOLVED: u32 = 20;
/// Event: a Verify found that extent `value` of `lu` differs from the Source
/// though its Delta Map says that it does not. At most 64 in one Verify.
pub const CLONE_GROUP_EVENT_MISMATCH: u32 = 13;
/// Event: the Verify of `lu` is over; `value` is the number of extents that
/// differ. `status` is CLONE_GROUP_OK, CLONE_GROUP_ERR_CANCELED (it was stopped,
/// or the state of the Clone changed) or how the first read failed.
pub const CLONE_GROUP_EVENT_VERIFIED: u32 = 14;

// -------------------------------------------------------------------- maps

/// Map: the Delta Map of a Clone: where it may differ from the Source. While it is
/// copied to or from, that is what is left; in a restore what the Protected
/// Restore Map holds is not copied.
pub const CLONE_GROUP_MAP_DELTA: u32 = 1;
/// Map: the Protected Restore Map (the LU is ignored).
pub const CLONE_GROUP_MAP_PROTECTED_RESTORE: u32 = 2;
/// Map: the Persistent Delta Map (the LU is ignored): what Recovery would have to
/// take for different. With CLONE_GROUP_CONFIG_MAP_PER_CLONE the union of all
/// columns and of the write intents.
pub const CLONE_GROUP_MAP_PERSISTENT_DELTA: u32 = 3;

// ----------------------------------------------------------------- structs

/// A Clone Group. Opaque.
pub struct clone_group {
    pub(super) _opaque: [u8; 0],
}

/// Geometry and limits of a group. Fill it with clone_group_config_init(), then
/// set what differs. Zero means the default wherever one is given.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct clone_group_config {
    /// Size of this struct as the caller knows it, in bytes.
    pub struct_size: u32,
    /// CLONE_GROUP_CONFIG_ flags.
    pub flags: u32,
    /// Size of every LU of the group, in blocks. Required. All LUs are equal. It
    /// stays what it was at format: README.md, Growing the LUs.
    pub lu_blocks: u64,
    /// Block size in bytes: a power of two, 512 to 65536. Default 512.
    pub block_bytes: u32,
    /// Extent size in blocks: a power of two, one block to 1 GiB. Default: 64 KiB
    /// worth of blocks, at least one.
    pub extent_blocks: u32,
    /// Highest Clone number, 1 to 255. Default 1. It decides the memory.
    pub clones_max: u32,
    /// Host requests that may be in the library at once, 1 to 4096. Default 128.
    pub requests_max: u32,
    /// Extents or runs of extents that are copied at once, 1 to 64. Default 4.
    pub copies_max: u32,
    /// Buffer of one copy, in bytes: a multiple of the block size, at most 16
    /// MiB. Adjoining extents up to this size become one I/O; a larger extent is
    /// copied in pieces. Default: 1 MiB. clone_group_verify() and
    /// CLONE_GROUP_CONFIG_SKIP_EQUAL need two halves that hold at least a block
    /// and buffer_align_bytes each.
    pub copy_buffer_bytes: u32,
    /// Alignment of every buffer that the library passes to a callback: a power
    /// of two, 8 to 65536. Default 4096 (O_DIRECT, DMA).
    pub buffer_align_bytes: u32,
    /// The largest piece of the persistent area that a torn write can damage, in
    /// bytes: a power of two, 512 to 65536. Default 4096 (R30).
    pub persist_unit_bytes: u32,
    /// Size of a map page, in bytes: a power of two, at least persist_unit_bytes,
    /// at most 65536. Default: persist_unit_bytes.
    pub page_bytes: u32,
    /// Map pages that are written at once, 1 to 64. Default 4.
    pub page_writes_max: u32,
    /// Extents that may carry a write intent of a mirrored Clone (R78): after a
    /// crash at most so many are copied again, and what hosts were writing at once
    /// if that was more. At least 16. Default 4096.
    pub intent_extents_max: u32,
    /// Collisions after which an extent is copied with host writes to it held
    /// (R46), 1 to 16. Default 3.
    pub recopies_max: u32,
    /// Identity of the group: fresh random bytes at format, the same ever after.
    pub group_id: [u8; 16],
}

/// One LU, as the controller knows it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct clone_group_lu {
    /// Size of this struct as the caller knows it, in bytes.
    pub struct_size: u32,
    /// CLONE_GROUP_LU_ flags.
    pub flags: u32,
    /// Whatever names the LU for ever (a NAA or UUID): it is checked at Recovery.
    pub identity: [u8; 16],
}

/// One I/O that the library asks for. Valid during the callback.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct clone_group_io {
    /// Size of this struct, in bytes.
    pub struct_size: u32,
    /// CLONE_GROUP_IO_ operation.
    pub operation: u32,
    /// Names the I/O in clone_group_io_complete(). Never 0.
    pub id: u64,
    /// The LU, or CLONE_GROUP_LU_NONE for the persistent area.
    pub lu: u32,
    /// CLONE_GROUP_IO_FUA, _HOST, _URGENT.
    pub flags: u32,
    /// First block. 0 for flush and the persistent area.
    pub first_block: u64,
    /// Number of blocks. 0 for flush and the persistent area.
    pub block_count: u64,
    /// The same range in bytes, or the range of the persistent area.
    pub offset_bytes: u64,
    /// Length of the range, in bytes. 0 for flush.
    pub length_bytes: u64,
    /// For CLONE_GROUP_IO_COPY: the LU that is read.
    pub source_lu: u32,
    /// 0.
    pub reserved: u32,
    /// The library's buffer for this I/O, or NULL. It stays valid and, for
    /// writes, unchanged until the I/O is over.
    pub buffer: *mut c_void,
    /// What the host request carried as its payload, or NULL.
    pub payload: *mut c_void,
}

/// Something that happened.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct clone_group_event {
    /// Size of this struct, in bytes.
    pub struct_size: u32,
    /// CLONE_GROUP_EVENT_ kind.
    pub kind: u32,
    /// The LU it is about, or CLONE_GROUP_LU_NONE.
    pub lu: u32,
    /// A status, where the event has one.
    pub status: i32,
    /// See the kind.
    pub value: u64,
    /// What it means, in a sentence. Static.
    pub text: *const c_char,
    /// The name of the kind, such as "CLONE_GROUP_EVENT_RESTORED". Static.
    pub name: *const c_char,
}

/// The callbacks of the controller. Fill it with clone_group_ops_init(), then set
/// what you have. It is copied by clone_group_create().
///
/// Every I/O callback follows one contract. It returns
/// - CLONE_GROUP_OK: done, nothing follows;
/// - CLONE_GROUP_PENDING: accepted, exactly one clone_group_io_complete() follows,
///   from any thread or interrupt handler, possibly before the callback returns;
/// - CLONE_GROUP_RETRY: not taken now, it is offered again on a later poll;
/// - a negative status: failed, nothing follows; what was written in the range is
///   undefined.
///
/// Any other number is a failed I/O. An I/O that was reported as failed must be
/// over: fence a write that may still land before you report it. The library
/// retries nothing but CLONE_GROUP_RETRY by itself.
///
/// From an I/O callback one may call clone_group_io_complete(), host requests and
/// queries; from `done` and `event` everything but polls and
/// clone_group_destroy(). No callback is called with a lock held.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct clone_group_ops {
    /// Size of this struct as the caller knows it, in bytes.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Passed to every callback.
    pub context: *mut c_void,
    /// Reads blocks of an LU. Required.
    pub read: Option<unsafe extern "C" fn(context: *mut c_void, io: *const clone_group_io) -> i32>,
    /// Writes blocks of an LU. With CLONE_GROUP_IO_FUA the data must be durable
    /// when the I/O completes. Required.
    pub write: Option<unsafe extern "C" fn(context: *mut c_void, io: *const clone_group_io) -> i32>,
    /// Makes every write that the LU completed before this call durable. Required
    /// if any LU has a volatile cache.
    pub flush: Option<unsafe extern "C" fn(context: *mut c_void, io: *const clone_group_io) -> i32>,
    /// Discards blocks. NULL: a host discard returns CLONE_GROUP_OK and does
    /// nothing; on LUs that declare CLONE_GROUP_LU_DISCARD_ZEROES it is a
    /// write-zeroes, or CLONE_GROUP_ERR_NOT_SUPPORTED without that callback.
    pub discard: Option<unsafe extern "C" fn(context: *mut c_void, io: *const clone_group_io) -> i32>,
    /// Writes zeroes. NULL: host write-zeroes returns
    /// CLONE_GROUP_ERR_NOT_SUPPORTED.
    pub write_zeroes: Option<unsafe extern "C" fn(context: *mut c_void, io: *const clone_group_io) -> i32>,
    /// Copies blocks between two LUs of the group inside the array. NULL: the
    /// library reads and writes through its own buffers.
    pub copy: Option<unsafe extern "C" fn(context: *mut c_void, io: *const clone_group_io) -> i32>,
    /// Reads bytes of the persistent area. Required.
    pub persist_read: Option<unsafe extern "C" fn(context: *mut c_void, io: *const clone_group_io) -> i32>,
    /// Writes bytes of the persistent area. If power is lost meanwhile, the
    /// persist_unit_bytes units of the range may hold anything, all others must
    /// be untouched. Without `persist_flush`, completed means durable (R26).
    /// Required.
    pub persist_write: Option<unsafe extern "C" fn(context: *mut c_void, io: *const clone_group_io) -> i32>,
    /// Makes every completed write to the persistent area durable. NULL if
    /// `persist_write` does so itself.
    pub persist_flush: Option<unsafe extern "C" fn(context: *mut c_void, io: *const clone_group_io) -> i32>,
    /// A request that returned CLONE_GROUP_PENDING is finished. Called from polls
    /// only, exactly once for each such request, possibly on another thread
    /// before the request call has returned. Required.
    pub done: Option<unsafe extern "C" fn(context: *mut c_void, tag: u64, status: i32)>,
    /// Something happened. Called from polls only.
    pub event: Option<unsafe extern "C" fn(context: *mut c_void, event: *const clone_group_event)>,
    /// There is work for a poll. Called from any context, also from inside
    /// clone_group_io_complete(); once until the next poll begins. A controller
    /// that sleeps needs it, one that polls by itself does not.
    pub wake: Option<unsafe extern "C" fn(context: *mut c_void)>,
    /// Masks whatever may preempt this context and call into the group (except
    /// clone_group_io_complete(), which is always safe). NULL: all calls come from
    /// threads, or from one interrupt priority level.
    pub enter_critical: Option<unsafe extern "C" fn(context: *mut c_void)>,
    /// Undoes enter_critical.
    pub leave_critical: Option<unsafe extern "C" fn(context: *mut c_void)>,
    /// A monotonic time in nanoseconds, for statistics. NULL: times read as 0.
    pub clock: Option<unsafe extern "C" fn(context: *mut c_void) -> u64>,
    /// The text of each event, for controllers that only want a log. Level 0 is
    /// an error, 1 a warning, 2 information. Called from polls only.
    pub log: Option<unsafe extern "C" fn(context: *mut c_void, level: u32, text: *const c_char)>,
}

/// Groups that may be in one set.
pub const CLONE_GROUP_SET_GROUPS_MAX: u32 = 1023;

/// What the groups of one call of clone_group_set_fracture() or
/// clone_group_set_protected_restore() share. The caller's memory; its content
/// is the library's: only clone_group_set_init() writes it. It must stay where it
/// is until the call has returned and `done` was called on every group.
#[repr(C)]
pub struct clone_group_set {
    /// Size of this struct as the caller knows it, in bytes.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// The id, as superblocks have it.
    pub id: u64,
    /// How the set stands.
    pub opaque: [u64; 4],
}

/// State of a group.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct clone_group_info {
    /// Size of this struct as the caller knows it, in bytes. Set it before the
    /// call; the library writes at most so much.
    pub struct_size: u32,
    /// CLONE_GROUP_STATE_ of the group.
    pub state: u32,
    /// CLONE_GROUP_CONDITION_ flags.
    pub conditions: u32,
    /// The LU that is being restored from, or 0.
    pub restoring_lu: u32,
    /// Extents of an LU.
    pub extents_total: u64,
    /// Counts the restores and Reverse Synchronizations of this group.
    pub restore_generation: u64,
    /// Extents in the Protected Restore Map.
    pub protected_restore_extents: u64,
    /// Extents in the Persistent Delta Map; with CLONE_GROUP_CONFIG_MAP_PER_CLONE only
    /// those that carry a write intent.
    pub persistent_delta_extents: u64,
    /// Host requests in the library.
    pub requests: u32,
    /// Host requests in the COD Queue.
    pub cod_queue_depth: u32,
    /// The LU of the Reverse Synchronization that runs, or 0.
    pub reversing_lu: u32,
    /// 0.
    pub reserved: u32,
    /// The id of the last set that the group committed, or, with
    /// CLONE_GROUP_CONDITION_PREPARED, of the one that it is prepared for. 0: none.
    pub set_id: u64,
}

/// State of a Clone.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct clone_group_clone_info {
    /// Size of this struct as the caller knows it, in bytes. Set it before the
    /// call; the library writes at most so much.
    pub struct_size: u32,
    /// The LU number of the Clone.
    pub lu: u32,
    /// CLONE_GROUP_CLONE_ state.
    pub state: u32,
    /// CLONE_GROUP_CONDITION_STALLED, _FAILED, _RESTORABLE, _VERIFYING.
    pub conditions: u32,
    /// Extents in which the Clone and the Source may differ. While it is
    /// synchronized or restored from: the extents left to copy.
    pub extents_left: u64,
    /// Extents copied since the present copy began or was resumed.
    pub extents_copied: u64,
    /// Extents that could not be copied in this pass.
    pub extents_failed: u64,
    /// The lowest of them, if any.
    pub first_failed_extent: u64,
    /// Its identity.
    pub identity: [u8; 16],
    /// What clone_group_fracture() was given.
    pub label: [u8; 64],
    /// Extents that were to be copied when the copy that runs began, or was
    /// resumed by Recovery; 0 if none runs, or without the part `queries`.
    pub extents_to_copy: u64,
    /// How long the copy has been running, in nanoseconds, up to the last poll; how
    /// long the last one took if none runs; 0 without a clock, or without the part
    /// `queries`.
    pub copy_time_ns: u64,
    /// Those of `extents_copied` that were equal already, so that nothing was
    /// written (CLONE_GROUP_CONFIG_SKIP_EQUAL).
    pub extents_skipped: u64,
    /// Extents that the Verify of this Clone has yet to look at; 0 if none runs.
    pub verify_extents_left: u64,
    /// Extents that the present or last Verify of this Clone could not read. This
    /// and what follows is 0 when another Clone was verified since.
    pub verify_extents_failed: u64,
    /// Extents that differ, as the present or last Verify of this Clone found.
    pub mismatched_extents: u64,
    /// The lowest of them, ascending: as many as `mismatched_extents` says, at
    /// most 4. The rest is 0.
    pub first_mismatched_extents: [u64; 4],
}

/// What became of the I/O of an LU since it was attached.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct clone_group_lu_info {
    /// Size of this struct as the caller knows it, in bytes. Set it before the
    /// call; the library writes at most so much.
    pub struct_size: u32,
    /// CLONE_GROUP_LU_ flags that it was attached with.
    pub flags: u32,
    /// Reads that are over.
    pub reads: u64,
    /// Writes, write-zeroes, discards and offloaded copies onto it that are over.
    pub writes: u64,
    /// Flushes that are over.
    pub flushes: u64,
    /// Those of the reads that failed.
    pub read_errors: u64,
    /// Those of the writes that failed.
    pub write_errors: u64,
    /// Those of the flushes that failed.
    pub flush_errors: u64,
    /// Its identity; zeroes if nothing is attached.
    pub identity: [u8; 16],
}

/// Counters since create.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct clone_group_statistics {
    /// Size of this struct as the caller knows it, in bytes. Set it before the
    /// call; the library writes at most so much.
    pub struct_size: u32,
    /// Most requests that were ever in the COD Queue at once.
    pub cod_queue_peak: u32,
    /// Host reads that were accepted.
    pub host_reads: u64,
    /// Host writes, write-zeroes and discards that were accepted.
    pub host_writes: u64,
    /// Host flushes that were accepted.
    pub host_flushes: u64,
    /// Host reads that were served from the Clone.
    pub redirected_reads: u64,
    /// Host requests that had to wait in the COD Queue.
    pub cod_queued: u64,
    /// Extents copied by the COD Engine.
    pub cod_extents: u64,
    /// Extents copied by the Sync Engine.
    pub sync_extents: u64,
    /// Copies of the Sync Engine: adjoining extents are one.
    pub sync_copies: u64,
    /// Extents that host writes covered entirely, so that no copy was needed (R17).
    pub overwritten_extents: u64,
    /// Collisions of host writes with a copy.
    pub collisions: u64,
    /// Extents that were copied with host writes held (R46).
    pub exclusive_copies: u64,
    /// Map pages written.
    pub page_writes: u64,
    /// Host writes that waited for a map page.
    pub page_waits: u64,
    /// Superblocks written, both slots counted.
    pub superblock_writes: u64,
    /// Flushes of LUs by the library itself.
    pub engine_flushes: u64,
    /// I/Os that failed.
    pub io_errors: u64,
    /// Metadata I/Os that failed.
    pub metadata_errors: u64,
    /// Longest time that a request waited in the COD Queue, in nanoseconds; 0
    /// without a clock.
    pub cod_wait_ns_max: u64,
    /// The same, added up: divided by cod_queued, the mean.
    pub cod_wait_ns_total: u64,
    /// Extents that background copies found equal and did not write
    /// (CLONE_GROUP_CONFIG_SKIP_EQUAL). They count in `sync_extents` too.
    pub skipped_extents: u64,
    /// Extents that Verify compared, to a result.
    pub verified_extents: u64,
    /// Extents that Verify found to differ.
    pub mismatched_extents: u64,
}
