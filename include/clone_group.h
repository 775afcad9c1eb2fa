#ifndef CLONE_GROUP_H
#define CLONE_GROUP_H

#include <stddef.h>
#include <stdint.h>

// clone_group: a Source, its Clones, and Protected Restore.
//
// The library does no I/O of its own. A controller makes a group with its
// callbacks (clone_group_ops), tells which LUs there are, feeds host requests in,
// and polls. The life of a group: clone_group_create(), clone_group_lu_attach()
// for each LU, clone_group_format() once or clone_group_recover() at every later
// start, then clone_group_clone_add(), clone_group_synchronize(),
// clone_group_fracture(), clone_group_protected_restore(), with host requests all
// the while, and at the end clone_group_close() and clone_group_destroy().
//
// LUs are numbered: 0 is the Source, 1 to clones_max are the Clones. All are
// equally long. Names end in their unit; an index counts from 0. R-numbers name
// the rules of the protocol (docs/protocol.md).
//
// Contexts, as the functions name them:
//   any thread    also concurrently with every other call. Takes one short spin
//                 lock; never waits for I/O.
//   any context   also interrupt and signal handlers. Takes no lock.
// Where an interrupt handler other than clone_group_io_complete() calls into a
// group, give enter_critical and leave_critical.
//
// Status: 0 is done, positive numbers are outcomes, negative numbers are errors;
// nothing is written to an output on an error. A request - host or operation -
// that returns CLONE_GROUP_PENDING is followed by exactly one `done` call with its
// tag; one that returns anything else is over. Tags are the caller's own.
//
// Host requests: `payload` travels unchanged to the read or write callback - a
// buffer, an iovec, a scatter list - and must stay as it is until the request is
// done. A request is never split. Each returns
//   CLONE_GROUP_OK        done, no `done` call follows
//   CLONE_GROUP_PENDING   one `done` call with `tag` follows
//   CLONE_GROUP_ERR_BUSY  no free request slot: poll, then try again
//   CLONE_GROUP_ERR_INVALID, _RANGE, _NO_LU, _NOT_READY, _CLOSED
//   CLONE_GROUP_ERR_STATE the Clone is not fractured
//   CLONE_GROUP_ERR_PROTECTED, _SOURCE_INVALID, _METADATA_FAILED, _PREPARED
//   any negative status of a callback
//
// Operations on the group and its Clones run one at a time; CLONE_GROUP_ERR_BUSY
// says that another one still does. Each is one change of the superblock: after a
// power loss it happened or it did not (R31). Several groups change together, at
// one point in time, with the calls named clone_group_set_; after a power loss in
// the middle of one, operations return CLONE_GROUP_ERR_PREPARED until it is
// resolved. Before format or recover is done they return
// CLONE_GROUP_ERR_NOT_READY, from clone_group_close() on CLONE_GROUP_ERR_CLOSED.
// docs/states.md has a table of every operation and every host request in every
// state; what a call returns there, it returns.
//
// The controller's duties, by rule:
//   R69      hosts come first by themselves; how much of a copy the background
//            does, at least and at most, is the budget of clone_group_sync_step()
//            and how often it is called (docs/rate.md).
//   R70      one controller at a time owns a group. Before another one recovers
//            it, the first one is fenced off from the LUs and from the persistent
//            area; the library cannot see it.
//   R84      hosts reach the Source and the Clones through the library only. A
//            Clone that was changed behind it is removed and added anew: then it
//            counts as different in every extent.
//   R66      a request that reads and writes (compare-and-write, write-same, XOR)
//            is a read and a write under a lock of the controller's.
//   R26      a persist_write that is completed is durable, or persist_flush makes
//            it so.
//   R51      a payload does not change until `done`, or the request says
//            CLONE_GROUP_HOST_UNSTABLE.
//   R76      an operation that waits for an LU that hangs holds hosts; the
//            controller has the clock, and ends that with clone_group_abort().
//   R80      an I/O that is completed is over. Who gives one up after a time makes
//            sure first that the device will not do it later: a write that lands
//            after its completion destroys what was written since.

// Memory that a group needs at most, for static arrays; what it needs exactly
// clone_group_workspace_size() tells. `extents` is lu_blocks / extent_blocks,
// rounded up; the other arguments are the fields of clone_group_config, with
// their defaults written out.
#define CLONE_GROUP_WORKSPACE_BYTES(extents, clones_max, requests_max,         \
                                    copies_max, copy_buffer_bytes,             \
                                    persist_unit_bytes, page_bytes,            \
                                    page_writes_max, buffer_align_bytes)       \
    (16384 + 512 * ((clones_max) + 2) + 384 * (requests_max)                   \
     + 384 * ((copies_max) + (page_writes_max) + (clones_max) + 32)            \
     + ((clones_max) + 4) * ((extents) / 8 + (extents) / 100 + 128)            \
     + ((extents) / 4096 + 16)                                                 \
     + ((extents) / ((((page_bytes) - 64) / 16) * 64) + 1) * 40                \
     + (page_bytes) + 768                                                      \
     + (copies_max) * ((copy_buffer_bytes) + (buffer_align_bytes))             \
     + ((page_writes_max) + 4)                                                 \
           * ((page_bytes) + 132 + 128 * (clones_max) + (persist_unit_bytes)   \
              + (buffer_align_bytes)))

// What CLONE_GROUP_CONFIG_MAP_PER_CLONE adds to it at most. A page must have room
// for 64 extents in each column: page_bytes >= 64 + 8 * (clones_max + 1).
#define CLONE_GROUP_WORKSPACE_MAP_PER_CLONE_BYTES(extents, clones_max,         \
                                                  page_bytes)                  \
    (((extents) / (((page_bytes) - 64) / ((clones_max) + 1) / 8 * 64) + 1) * 40)


// Version of the C ABI that this header describes. The library is compatible
// with every program that was built for the same value.
#define CLONE_GROUP_ABI_VERSION 1

// Version of the durable format that this library writes.
#define CLONE_GROUP_FORMAT_VERSION 1

// Done.
#define CLONE_GROUP_OK 0

// Accepted; it goes on. From a request: one `done` call follows. From a poll:
// nothing to do until an I/O completes. From an I/O callback: exactly one
// clone_group_io_complete() follows.
#define CLONE_GROUP_PENDING 1

// From a poll: there is more to do, call again.
#define CLONE_GROUP_MORE 2

// From an I/O callback only: not taken now. The library offers the I/O again
// on a later poll, under a new id, at most once in a poll (R81).
#define CLONE_GROUP_RETRY 3

// An I/O failed. A controller may return any negative number of its own
// instead: it reaches the host request that it belongs to unchanged.
#define CLONE_GROUP_ERR_IO -5

// No memory for a workspace that the library should allocate.
#define CLONE_GROUP_ERR_NOMEM -12

// Every slot is taken, or another operation runs: poll, then try again.
#define CLONE_GROUP_ERR_BUSY -16

// No such LU, or no LU attached under this number.
#define CLONE_GROUP_ERR_NO_LU -19

// An argument is NULL, misaligned, zero or contradicts another one.
#define CLONE_GROUP_ERR_INVALID -22

// The persistent area is too small for this geometry.
#define CLONE_GROUP_ERR_NO_SPACE -28

// The range is empty, or ends behind the end of the LU.
#define CLONE_GROUP_ERR_RANGE -34

// Metadata is damaged: no superblock is valid, though one was written.
#define CLONE_GROUP_ERR_METADATA_DAMAGED -84

// The controller offers no callback for this operation, or the configuration
// has no buffer for it; or a firmware build left the part out that does it.
#define CLONE_GROUP_ERR_NOT_SUPPORTED -95

// The request was aborted, or its group was closed.
#define CLONE_GROUP_ERR_CANCELED -125

// The operation is not allowed in the present state of the LU.
#define CLONE_GROUP_ERR_STATE -1000

// The Clone is being restored from and is read-only until that is over (R35).
#define CLONE_GROUP_ERR_PROTECTED -1001

// The Source is a mixture of two points in time: restore it again, or accept it
// with clone_group_source_accept().
#define CLONE_GROUP_ERR_SOURCE_INVALID -1002

// The Clone is not a point in time: synchronize and fracture it first.
#define CLONE_GROUP_ERR_NOT_CONSISTENT -1003

// Metadata could not be written earlier, and this request needs it: mend the
// persistent area, then call clone_group_metadata_repair() (R33).
#define CLONE_GROUP_ERR_METADATA_FAILED -1004

// The metadata belongs to another group.
#define CLONE_GROUP_ERR_METADATA_FOREIGN -1005

// The metadata describes another geometry than the configuration.
#define CLONE_GROUP_ERR_METADATA_GEOMETRY -1006

// The metadata is of another format version, or has features that are unknown
// (R79) or that this firmware build left out.
#define CLONE_GROUP_ERR_METADATA_VERSION -1007

// The area holds a valid group already: recover it, or force the format.
#define CLONE_GROUP_ERR_METADATA_EXISTS -1008

// The area was never formatted.
#define CLONE_GROUP_ERR_METADATA_MISSING -1009

// A restore is active and a page of its Protected Restore Map is lost. There
// is no safe default: see CLONE_GROUP_RECOVER_ABANDON_RESTORE (R60).
#define CLONE_GROUP_ERR_RESTORE_MAP_LOST -1010

// An LU has another identity than the metadata says: LUs were swapped (R79).
#define CLONE_GROUP_ERR_IDENTITY -1011

// The workspace is NULL without an allocator, misaligned or too small.
#define CLONE_GROUP_ERR_WORKSPACE -1012

// A required callback is NULL.
#define CLONE_GROUP_ERR_CALLBACK_MISSING -1013

// A callback or a completion returned a positive number that means nothing.
// The I/O counts as failed (R81).
#define CLONE_GROUP_ERR_CALLBACK_RESULT -1014

// No I/O with this id is in flight: it was completed before, or never began.
#define CLONE_GROUP_ERR_STALE_IO -1015

// The struct is newer than the library and uses something it does not know.
#define CLONE_GROUP_ERR_STRUCT_SIZE -1016

// The group is not ready: format or recover it first.
#define CLONE_GROUP_ERR_NOT_READY -1017

// The group is closing or closed.
#define CLONE_GROUP_ERR_CLOSED -1018

// No waiting request has this tag.
#define CLONE_GROUP_ERR_NO_REQUEST -1019

// The group is prepared for a set whose outcome it does not know: ask the other
// groups of the set, then call clone_group_set_resolve() (R77).
#define CLONE_GROUP_ERR_PREPARED -1020

// A defect of the library was caught. The group refuses everything from now
// on; its durable state is as after a power loss. Destroy and recover it.
#define CLONE_GROUP_ERR_INTERNAL -1099

// The LU number of the Source. Clones are 1 to `clones_max`.
#define CLONE_GROUP_LU_SOURCE 0

// The LU number in a clone_group_io that belongs to the persistent area.
#define CLONE_GROUP_LU_NONE 4294967295

// Config: an acknowledged host write is durable (the host contract HD). The
// library asks for FUA on every write to an LU with a volatile cache, and a
// host flush has nothing to do. Without it (HV) an acknowledged write may be
// lost until a flush or FUA.
#define CLONE_GROUP_CONFIG_HOST_DURABLE 1

// Config: host reads that lie wholly in extents that still have to be copied
// are served from the Clone, and cause no copy (R16).
#define CLONE_GROUP_CONFIG_REDIRECT_READS 2

// Config: one column of the persistent maps for each Clone, not one for all.
// After a power loss what differs is copied, and at most some
// `intent_extents_max` extents that were copied and flushed before; more
// where a Synchronization, either way, is scattered over very many map pages. That costs
// a larger persistent area; pages need `page_bytes >= 64 + 8 * (clones_max + 1)`
// (`CLONE_GROUP_ERR_INVALID`). Fixed at format: Recovery refuses an area of the
// other form (`CLONE_GROUP_ERR_METADATA_GEOMETRY`).
//
// Without it, after a power loss during a restore or a Reverse Synchronization
// a single Clone is copied again as little as with it. Beside other Clones all
// is copied again that was copied so far, and what the other Clones differ by;
// and each Clone counts as different in all extents that any of them differs by.
//
// Refused with CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part
// `map-per-clone`).
#define CLONE_GROUP_CONFIG_MAP_PER_CLONE 4

// Config: background copies (in both directions; not copies on demand, and not
// with the `copy` callback) read the target too, one extent at a time, and
// write nothing where it is equal already: a thin LU stays thin. A copy then
// costs two reads and perhaps no write. Needs a `copy_buffer_bytes` with two
// halves: see there. An LU of which a flush failed since it was attached is
// always written (R24). A target must not return data from a cache of which a
// flush failed before that: power off such an LU before it is attached again.
// Refused with CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part
// `verify`).
#define CLONE_GROUP_CONFIG_SKIP_EQUAL 8

// LU: has a volatile write cache; only a flush or FUA makes data durable.
#define CLONE_GROUP_LU_VOLATILE_CACHE 1

// LU: discarded blocks read as zeroes, always.
#define CLONE_GROUP_LU_DISCARD_ZEROES 2

// Host request: done only when durable.
#define CLONE_GROUP_HOST_FUA 1

// Host request: the payload may change while the request is in flight, so
// mirrored Clones cannot be trusted to hold the same bytes (R51). Their extents
// stay in the Delta Maps until they are copied while no host writes them: hosts
// that write the same blocks this way without a pause keep a Synchronization,
// either way, from its end.
#define CLONE_GROUP_HOST_UNSTABLE 2

// Format: also over a valid group. What it held is gone.
#define CLONE_GROUP_FORMAT_FORCE 1

// Recover: where the Protected Restore Map of an active restore is lost, give
// the restore up. The Source comes up invalid (R60).
#define CLONE_GROUP_RECOVER_ABANDON_RESTORE 1

// Verify: what differs is to be copied: see clone_group_verify().
#define CLONE_GROUP_VERIFY_MARK 1

// Read blocks of an LU.
#define CLONE_GROUP_IO_READ 1

// Write blocks of an LU.
#define CLONE_GROUP_IO_WRITE 2

// Make every write that the LU completed before this call durable.
#define CLONE_GROUP_IO_FLUSH 3

// Discard blocks of an LU.
#define CLONE_GROUP_IO_DISCARD 4

// Write zeroes.
#define CLONE_GROUP_IO_WRITE_ZEROES 5

// Copy blocks from `source_lu` to `lu` inside the array.
#define CLONE_GROUP_IO_COPY 6

// Read bytes of the persistent area.
#define CLONE_GROUP_IO_PERSIST_READ 7

// Write bytes of the persistent area.
#define CLONE_GROUP_IO_PERSIST_WRITE 8

// Make every completed write to the persistent area durable.
#define CLONE_GROUP_IO_PERSIST_FLUSH 9

// I/O: must be durable when it completes.
#define CLONE_GROUP_IO_FUA 1

// I/O: on behalf of a host request; `payload` is the host's. Otherwise
// `buffer` is the library's (NULL where the operation carries no data).
#define CLONE_GROUP_IO_HOST 2

// I/O: a host request waits for this copy (COD); prefer it over background copies.
#define CLONE_GROUP_IO_URGENT 4

// Group: created, neither formatted nor recovered.
#define CLONE_GROUP_STATE_NEW 0

// Group: format or recover runs.
#define CLONE_GROUP_STATE_STARTING 1

// Group: serves hosts.
#define CLONE_GROUP_STATE_READY 2

// Group: close runs.
#define CLONE_GROUP_STATE_CLOSING 3

// Group: closed. Destroy it.
#define CLONE_GROUP_STATE_CLOSED 4

// Condition of a group: metadata could not be written (R33).
#define CLONE_GROUP_CONDITION_METADATA_FAILED 1

// Condition of a group: background copies are paused.
#define CLONE_GROUP_CONDITION_PAUSED 2

// Condition of a group: the Source is a mixture and is not served (R38).
#define CLONE_GROUP_CONDITION_SOURCE_INVALID 4

// Condition of a group: a defect was caught; everything is refused.
#define CLONE_GROUP_CONDITION_POISONED 8

// Condition of a Clone: extents could not be copied; the Sync Engine waits
// for clone_group_resume() to try them again (R61).
#define CLONE_GROUP_CONDITION_STALLED 16

// Condition of a Clone: a mirrored write or a flush of it failed (R52).
#define CLONE_GROUP_CONDITION_FAILED 32

// Condition of a group: it is prepared for a set whose outcome it does not
// know. Hosts are not served until clone_group_set_resolve() (R77).
#define CLONE_GROUP_CONDITION_PREPARED 64

// Condition of a Clone: clone_group_protected_restore() from it is allowed now;
// extents_left is how many extents it would copy.
#define CLONE_GROUP_CONDITION_RESTORABLE 256

// Condition of a Clone: a Verify of it runs.
#define CLONE_GROUP_CONDITION_VERIFYING 128

// Clone: no Clone has this LU number.
#define CLONE_GROUP_CLONE_ABSENT 0

// Clone: its content is not a point in time.
#define CLONE_GROUP_CLONE_OUT_OF_SYNC 1

// Clone: the Source is being copied to it.
#define CLONE_GROUP_CLONE_SYNCHRONIZING 2

// Clone: equal to the Source, and mirrored.
#define CLONE_GROUP_CLONE_SYNCHRONIZED 3

// Clone: a point in time; hosts may read and write it.
#define CLONE_GROUP_CLONE_FRACTURED 4

// Clone: it is being copied to the Source, without protection.
#define CLONE_GROUP_CLONE_REVERSE_SYNCHRONIZING 5

// Clone: it is being copied to the Source by a Protected Restore.
#define CLONE_GROUP_CLONE_RESTORING 6

// Event: the state of an LU changed. `value` is the new state.
#define CLONE_GROUP_EVENT_CLONE_STATE 1

// Event: hosts see other data on the Source from now on (a Protected Restore or a
// Reverse Synchronization from `lu` began, or a restore was given the Clone
// `lu`): the moment for a SCSI unit attention.
#define CLONE_GROUP_EVENT_SOURCE_CHANGED 2

// Event: a Synchronization of `lu` is finished.
#define CLONE_GROUP_EVENT_SYNCHRONIZED 3

// Event: a Protected Restore from `lu` is finished.
#define CLONE_GROUP_EVENT_RESTORED 4

// Event: the Clone `lu` failed (`status`) and is OutOfSync.
#define CLONE_GROUP_EVENT_CLONE_FAILED 5

// Event: an extent could not be copied; `value` is its index, `lu` the LU that
// failed, `status` how. A run of extents that fails is copied extent by extent
// first, so only what is bad is named, once in each pass over the LU.
#define CLONE_GROUP_EVENT_COPY_FAILED 6

// Event: all that is left to copy for `lu` failed; `value` is the number of
// extents left.
#define CLONE_GROUP_EVENT_STALLED 7

// Event: metadata could not be written (`status`).
#define CLONE_GROUP_EVENT_METADATA_FAILED 8

// Event: metadata is written again.
#define CLONE_GROUP_EVENT_METADATA_REPAIRED 9

// Event: both copies of a map page were damaged; its extents count as
// different (R30). `value` is the page.
#define CLONE_GROUP_EVENT_PAGE_DAMAGED 10

// Event: a callback or a completion returned a number that means nothing
// (`value`, R81).
#define CLONE_GROUP_EVENT_CALLBACK_RESULT 11

// Event: events were lost because they were not fetched; `value` is how many.
#define CLONE_GROUP_EVENT_LOST 12

// Event: a Reverse Synchronization from `lu` is finished; the Clone is
// Synchronized.
#define CLONE_GROUP_EVENT_REVERSE_SYNCHRONIZED 18

// Event: the state of the group changed. `value` is the new CLONE_GROUP_STATE_.
#define CLONE_GROUP_EVENT_GROUP_STATE 21

// Event: the restore from `lu`, or the Synchronization of it, was canceled. The LU
// that was written, the Source or `lu`, is no point in time.
#define CLONE_GROUP_EVENT_CANCELED 15

// Event: the Source was accepted as a canceled restore left it, and is served
// again: the moment for a SCSI unit attention.
#define CLONE_GROUP_EVENT_SOURCE_ACCEPTED 17

// Event: the group is prepared for a set whose outcome it does not know: after
// Recovery, or because it could not write the outcome down. `value` is the id of
// the set, `lu` the Clone.
#define CLONE_GROUP_EVENT_PREPARED 19

// Event: the set is resolved, and hosts are served again. `value` is 1 if it was
// committed, 0 if it was aborted.
#define CLONE_GROUP_EVENT_SET_RESOLVED 20

// Event: a Verify found that extent `value` of `lu` differs from the Source
// though its Delta Map says that it does not. At most 64 in one Verify.
#define CLONE_GROUP_EVENT_MISMATCH 13

// Event: the Verify of `lu` is over; `value` is the number of extents that
// differ. `status` is CLONE_GROUP_OK, CLONE_GROUP_ERR_CANCELED (it was stopped,
// or the state of the Clone changed) or how the first read failed.
#define CLONE_GROUP_EVENT_VERIFIED 14

// Map: the Delta Map of a Clone: where it may differ from the Source. While it is
// copied to or from, that is what is left; in a restore what the Protected
// Restore Map holds is not copied.
#define CLONE_GROUP_MAP_DELTA 1

// Map: the Protected Restore Map (the LU is ignored).
#define CLONE_GROUP_MAP_PROTECTED_RESTORE 2

// Map: the Persistent Delta Map (the LU is ignored): what Recovery would have to
// take for different. With CLONE_GROUP_CONFIG_MAP_PER_CLONE the union of all
// columns and of the write intents.
#define CLONE_GROUP_MAP_PERSISTENT_DELTA 3

// Groups that may be in one set.
#define CLONE_GROUP_SET_GROUPS_MAX 1023

// A Clone Group. Opaque.
struct clone_group;

// Geometry and limits of a group. Fill it with clone_group_config_init(), then
// set what differs. Zero means the default wherever one is given.
struct clone_group_config {
    // Size of this struct as the caller knows it, in bytes.
    uint32_t struct_size;
    // CLONE_GROUP_CONFIG_ flags.
    uint32_t flags;
    // Size of every LU of the group, in blocks. Required. All LUs are equal. It
    // stays what it was at format: README.md, Growing the LUs.
    uint64_t lu_blocks;
    // Block size in bytes: a power of two, 512 to 65536. Default 512.
    uint32_t block_bytes;
    // Extent size in blocks: a power of two, one block to 1 GiB. Default: 64 KiB
    // worth of blocks, at least one.
    uint32_t extent_blocks;
    // Highest Clone number, 1 to 255. Default 1. It decides the memory.
    uint32_t clones_max;
    // Host requests that may be in the library at once, 1 to 4096. Default 128.
    uint32_t requests_max;
    // Extents or runs of extents that are copied at once, 1 to 64. Default 4.
    uint32_t copies_max;
    // Buffer of one copy, in bytes: a multiple of the block size, at most 16
    // MiB. Adjoining extents up to this size become one I/O; a larger extent is
    // copied in pieces. Default: 1 MiB. clone_group_verify() and
    // CLONE_GROUP_CONFIG_SKIP_EQUAL need two halves that hold at least a block
    // and buffer_align_bytes each.
    uint32_t copy_buffer_bytes;
    // Alignment of every buffer that the library passes to a callback: a power
    // of two, 8 to 65536. Default 4096 (O_DIRECT, DMA).
    uint32_t buffer_align_bytes;
    // The largest piece of the persistent area that a torn write can damage, in
    // bytes: a power of two, 512 to 65536. Default 4096 (R30).
    uint32_t persist_unit_bytes;
    // Size of a map page, in bytes: a power of two, at least persist_unit_bytes,
    // at most 65536. Default: persist_unit_bytes.
    uint32_t page_bytes;
    // Map pages that are written at once, 1 to 64. Default 4.
    uint32_t page_writes_max;
    // Extents that may carry a write intent of a mirrored Clone (R78): after a
    // crash at most so many are copied again, and what hosts were writing at once
    // if that was more. At least 16. Default 4096.
    uint32_t intent_extents_max;
    // Collisions after which an extent is copied with host writes to it held
    // (R46), 1 to 16. Default 3.
    uint32_t recopies_max;
    // Identity of the group: fresh random bytes at format, the same ever after.
    uint8_t group_id[16];
};

// One I/O that the library asks for. Valid during the callback.
struct clone_group_io {
    // Size of this struct, in bytes.
    uint32_t struct_size;
    // CLONE_GROUP_IO_ operation.
    uint32_t operation;
    // Names the I/O in clone_group_io_complete(). Never 0.
    uint64_t id;
    // The LU, or CLONE_GROUP_LU_NONE for the persistent area.
    uint32_t lu;
    // CLONE_GROUP_IO_FUA, _HOST, _URGENT.
    uint32_t flags;
    // First block. 0 for flush and the persistent area.
    uint64_t first_block;
    // Number of blocks. 0 for flush and the persistent area.
    uint64_t block_count;
    // The same range in bytes, or the range of the persistent area.
    uint64_t offset_bytes;
    // Length of the range, in bytes. 0 for flush.
    uint64_t length_bytes;
    // For CLONE_GROUP_IO_COPY: the LU that is read.
    uint32_t source_lu;
    // 0.
    uint32_t reserved;
    // The library's buffer for this I/O, or NULL. It stays valid and, for
    // writes, unchanged until the I/O is over.
    void *buffer;
    // What the host request carried as its payload, or NULL.
    void *payload;
};

// Something that happened.
struct clone_group_event {
    // Size of this struct, in bytes.
    uint32_t struct_size;
    // CLONE_GROUP_EVENT_ kind.
    uint32_t kind;
    // The LU it is about, or CLONE_GROUP_LU_NONE.
    uint32_t lu;
    // A status, where the event has one.
    int32_t status;
    // See the kind.
    uint64_t value;
    // What it means, in a sentence. Static.
    const char *text;
    // The name of the kind, such as "CLONE_GROUP_EVENT_RESTORED". Static.
    const char *name;
};

// The callbacks of the controller. Fill it with clone_group_ops_init(), then set
// what you have. It is copied by clone_group_create().
//
// Every I/O callback follows one contract. It returns
// - CLONE_GROUP_OK: done, nothing follows;
// - CLONE_GROUP_PENDING: accepted, exactly one clone_group_io_complete() follows,
//   from any thread or interrupt handler, possibly before the callback returns;
// - CLONE_GROUP_RETRY: not taken now, it is offered again on a later poll;
// - a negative status: failed, nothing follows; what was written in the range is
//   undefined.
//
// Any other number is a failed I/O. An I/O that was reported as failed must be
// over: fence a write that may still land before you report it. The library
// retries nothing but CLONE_GROUP_RETRY by itself.
//
// From an I/O callback one may call clone_group_io_complete(), host requests and
// queries; from `done` and `event` everything but polls and
// clone_group_destroy(). No callback is called with a lock held.
struct clone_group_ops {
    // Size of this struct as the caller knows it, in bytes.
    uint32_t struct_size;
    // 0.
    uint32_t reserved;
    // Passed to every callback.
    void *context;
    // Reads blocks of an LU. Required.
    int32_t (*read)(void *context, const struct clone_group_io *io);
    // Writes blocks of an LU. With CLONE_GROUP_IO_FUA the data must be durable
    // when the I/O completes. Required.
    int32_t (*write)(void *context, const struct clone_group_io *io);
    // Makes every write that the LU completed before this call durable. Required
    // if any LU has a volatile cache.
    int32_t (*flush)(void *context, const struct clone_group_io *io);
    // Discards blocks. NULL: a host discard returns CLONE_GROUP_OK and does
    // nothing; on LUs that declare CLONE_GROUP_LU_DISCARD_ZEROES it is a
    // write-zeroes, or CLONE_GROUP_ERR_NOT_SUPPORTED without that callback.
    int32_t (*discard)(void *context, const struct clone_group_io *io);
    // Writes zeroes. NULL: host write-zeroes returns
    // CLONE_GROUP_ERR_NOT_SUPPORTED.
    int32_t (*write_zeroes)(void *context, const struct clone_group_io *io);
    // Copies blocks between two LUs of the group inside the array. NULL: the
    // library reads and writes through its own buffers.
    int32_t (*copy)(void *context, const struct clone_group_io *io);
    // Reads bytes of the persistent area. Required.
    int32_t (*persist_read)(void *context, const struct clone_group_io *io);
    // Writes bytes of the persistent area. If power is lost meanwhile, the
    // persist_unit_bytes units of the range may hold anything, all others must
    // be untouched. Without `persist_flush`, completed means durable (R26).
    // Required.
    int32_t (*persist_write)(void *context, const struct clone_group_io *io);
    // Makes every completed write to the persistent area durable. NULL if
    // `persist_write` does so itself.
    int32_t (*persist_flush)(void *context, const struct clone_group_io *io);
    // A request that returned CLONE_GROUP_PENDING is finished. Called from polls
    // only, exactly once for each such request, possibly on another thread
    // before the request call has returned. Required.
    void (*done)(void *context, uint64_t tag, int32_t status);
    // Something happened. Called from polls only.
    void (*event)(void *context, const struct clone_group_event *event);
    // There is work for a poll. Called from any context, also from inside
    // clone_group_io_complete(); once until the next poll begins. A controller
    // that sleeps needs it, one that polls by itself does not.
    void (*wake)(void *context);
    // Masks whatever may preempt this context and call into the group (except
    // clone_group_io_complete(), which is always safe). NULL: all calls come from
    // threads, or from one interrupt priority level.
    void (*enter_critical)(void *context);
    // Undoes enter_critical.
    void (*leave_critical)(void *context);
    // A monotonic time in nanoseconds, for statistics. NULL: times read as 0.
    uint64_t (*clock)(void *context);
    // The text of each event, for controllers that only want a log. Level 0 is
    // an error, 1 a warning, 2 information. Called from polls only.
    void (*log)(void *context, uint32_t level, const char *text);
};

// One LU, as the controller knows it.
struct clone_group_lu {
    // Size of this struct as the caller knows it, in bytes.
    uint32_t struct_size;
    // CLONE_GROUP_LU_ flags.
    uint32_t flags;
    // Whatever names the LU for ever (a NAA or UUID): it is checked at Recovery.
    uint8_t identity[16];
};

// State of a group.
struct clone_group_info {
    // Size of this struct as the caller knows it, in bytes. Set it before the
    // call; the library writes at most so much.
    uint32_t struct_size;
    // CLONE_GROUP_STATE_ of the group.
    uint32_t state;
    // CLONE_GROUP_CONDITION_ flags.
    uint32_t conditions;
    // The LU that is being restored from, or 0.
    uint32_t restoring_lu;
    // Extents of an LU.
    uint64_t extents_total;
    // Counts the restores and Reverse Synchronizations of this group.
    uint64_t restore_generation;
    // Extents in the Protected Restore Map.
    uint64_t protected_restore_extents;
    // Extents in the Persistent Delta Map; with CLONE_GROUP_CONFIG_MAP_PER_CLONE only
    // those that carry a write intent.
    uint64_t persistent_delta_extents;
    // Host requests in the library.
    uint32_t requests;
    // Host requests in the COD Queue.
    uint32_t cod_queue_depth;
    // The LU of the Reverse Synchronization that runs, or 0.
    uint32_t reversing_lu;
    // 0.
    uint32_t reserved;
    // The id of the last set that the group committed, or, with
    // CLONE_GROUP_CONDITION_PREPARED, of the one that it is prepared for. 0: none.
    uint64_t set_id;
};

// State of a Clone.
struct clone_group_clone_info {
    // Size of this struct as the caller knows it, in bytes. Set it before the
    // call; the library writes at most so much.
    uint32_t struct_size;
    // The LU number of the Clone.
    uint32_t lu;
    // CLONE_GROUP_CLONE_ state.
    uint32_t state;
    // CLONE_GROUP_CONDITION_STALLED, _FAILED, _RESTORABLE, _VERIFYING.
    uint32_t conditions;
    // Extents in which the Clone and the Source may differ. While it is
    // synchronized or restored from: the extents left to copy.
    uint64_t extents_left;
    // Extents copied since the present copy began or was resumed.
    uint64_t extents_copied;
    // Extents that could not be copied in this pass.
    uint64_t extents_failed;
    // The lowest of them, if any.
    uint64_t first_failed_extent;
    // Its identity.
    uint8_t identity[16];
    // What clone_group_fracture() was given.
    uint8_t label[64];
    // Extents that were to be copied when the copy that runs began, or was
    // resumed by Recovery; 0 if none runs, or without the part `queries`.
    uint64_t extents_to_copy;
    // How long the copy has been running, in nanoseconds, up to the last poll; how
    // long the last one took if none runs; 0 without a clock, or without the part
    // `queries`.
    uint64_t copy_time_ns;
    // Those of `extents_copied` that were equal already, so that nothing was
    // written (CLONE_GROUP_CONFIG_SKIP_EQUAL).
    uint64_t extents_skipped;
    // Extents that the Verify of this Clone has yet to look at; 0 if none runs.
    uint64_t verify_extents_left;
    // Extents that the present or last Verify of this Clone could not read. This
    // and what follows is 0 when another Clone was verified since.
    uint64_t verify_extents_failed;
    // Extents that differ, as the present or last Verify of this Clone found.
    uint64_t mismatched_extents;
    // The lowest of them, ascending: as many as `mismatched_extents` says, at
    // most 4. The rest is 0.
    uint64_t first_mismatched_extents[4];
};

// What became of the I/O of an LU since it was attached.
struct clone_group_lu_info {
    // Size of this struct as the caller knows it, in bytes. Set it before the
    // call; the library writes at most so much.
    uint32_t struct_size;
    // CLONE_GROUP_LU_ flags that it was attached with.
    uint32_t flags;
    // Reads that are over.
    uint64_t reads;
    // Writes, write-zeroes, discards and offloaded copies onto it that are over.
    uint64_t writes;
    // Flushes that are over.
    uint64_t flushes;
    // Those of the reads that failed.
    uint64_t read_errors;
    // Those of the writes that failed.
    uint64_t write_errors;
    // Those of the flushes that failed.
    uint64_t flush_errors;
    // Its identity; zeroes if nothing is attached.
    uint8_t identity[16];
};

// Counters since create.
struct clone_group_statistics {
    // Size of this struct as the caller knows it, in bytes. Set it before the
    // call; the library writes at most so much.
    uint32_t struct_size;
    // Most requests that were ever in the COD Queue at once.
    uint32_t cod_queue_peak;
    // Host reads that were accepted.
    uint64_t host_reads;
    // Host writes, write-zeroes and discards that were accepted.
    uint64_t host_writes;
    // Host flushes that were accepted.
    uint64_t host_flushes;
    // Host reads that were served from the Clone.
    uint64_t redirected_reads;
    // Host requests that had to wait in the COD Queue.
    uint64_t cod_queued;
    // Extents copied by the COD Engine.
    uint64_t cod_extents;
    // Extents copied by the Sync Engine.
    uint64_t sync_extents;
    // Copies of the Sync Engine: adjoining extents are one.
    uint64_t sync_copies;
    // Extents that host writes covered entirely, so that no copy was needed (R17).
    uint64_t overwritten_extents;
    // Collisions of host writes with a copy.
    uint64_t collisions;
    // Extents that were copied with host writes held (R46).
    uint64_t exclusive_copies;
    // Map pages written.
    uint64_t page_writes;
    // Host writes that waited for a map page.
    uint64_t page_waits;
    // Superblocks written, both slots counted.
    uint64_t superblock_writes;
    // Flushes of LUs by the library itself.
    uint64_t engine_flushes;
    // I/Os that failed.
    uint64_t io_errors;
    // Metadata I/Os that failed.
    uint64_t metadata_errors;
    // Longest time that a request waited in the COD Queue, in nanoseconds; 0
    // without a clock.
    uint64_t cod_wait_ns_max;
    // The same, added up: divided by cod_queued, the mean.
    uint64_t cod_wait_ns_total;
    // Extents that background copies found equal and did not write
    // (CLONE_GROUP_CONFIG_SKIP_EQUAL). They count in `sync_extents` too.
    uint64_t skipped_extents;
    // Extents that Verify compared, to a result.
    uint64_t verified_extents;
    // Extents that Verify found to differ.
    uint64_t mismatched_extents;
};

// What the groups of one call of clone_group_set_fracture() or
// clone_group_set_protected_restore() share. The caller's memory; its content
// is the library's: only clone_group_set_init() writes it. It must stay where it
// is until the call has returned and `done` was called on every group.
struct clone_group_set {
    // Size of this struct as the caller knows it, in bytes.
    uint32_t struct_size;
    // 0.
    uint32_t reserved;
    // The id, as superblocks have it.
    uint64_t id;
    // How the set stands.
    uint64_t opaque[4];
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The ABI version of the library that was loaded: compare it with
// CLONE_GROUP_ABI_VERSION when the library is loaded at run time.
//
// Context: any context.
// Returns the version.
uint32_t clone_group_abi_version(void);

// The version of the library as a text, such as "0.1.0". Static.
//
// Context: any context.
// Returns the text, never NULL.
const char *clone_group_version(void);

// The name of a status, such as "CLONE_GROUP_ERR_BUSY". Static.
//
// Context: any context.
// Returns the name; for a number that is not the library's, a text that says so; an
// empty text in a firmware build without them (part `texts`).
const char *clone_group_status_name(int32_t status);

// What a status means and what the caller can do, in one sentence. Static.
//
// Context: any context.
// Returns the text; for a number that is not the library's, a text that says so; an
// empty text in a firmware build without them (part `texts`).
const char *clone_group_status_text(int32_t status);

// Fills `config` with zeroes and its size. An older caller passes its own,
// smaller size; nothing behind it is written.
//
// Context: any context.
// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID.
int32_t clone_group_config_init(struct clone_group_config *config,
                                uint32_t struct_size);

// Fills `ops` with NULLs and its size, as clone_group_config_init() does.
//
// Context: any context.
// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID.
int32_t clone_group_ops_init(struct clone_group_ops *ops, uint32_t struct_size);

// How much memory a group of this configuration uses, all of it: maps, request
// slots, queues, copy buffers, metadata pages. Nothing else is ever allocated.
//
// Context: any context.
// Returns CLONE_GROUP_OK and `*bytes`, or CLONE_GROUP_ERR_INVALID (the
// configuration contradicts itself, or does not fit into this machine's
// addresses), CLONE_GROUP_ERR_STRUCT_SIZE or CLONE_GROUP_ERR_NOT_SUPPORTED (as for
// clone_group_create()).
int32_t clone_group_workspace_size(const struct clone_group_config *config,
                                   uint64_t *bytes);

// How large the persistent area of a group of this configuration must be.
//
// Context: any context.
// Returns as clone_group_workspace_size().
int32_t clone_group_metadata_size(const struct clone_group_config *config,
                                  uint64_t *bytes);

// Makes a group in `workspace`. Does no I/O: attach the LUs, then format or
// recover. `config` and `ops` are copied and need not outlive the call; the
// workspace belongs to the group until clone_group_destroy(). In the hosted
// build a NULL workspace (with 0 bytes) is allocated by the library.
//
// Context: any thread; one call for one workspace.
// Returns CLONE_GROUP_OK and `*group`, or CLONE_GROUP_ERR_INVALID,
// CLONE_GROUP_ERR_STRUCT_SIZE, CLONE_GROUP_ERR_NOT_SUPPORTED (a flag whose part
// this firmware build left out), CLONE_GROUP_ERR_CALLBACK_MISSING,
// CLONE_GROUP_ERR_WORKSPACE (NULL, not aligned to buffer_align_bytes, or too
// small), CLONE_GROUP_ERR_NOMEM.
int32_t clone_group_create(const struct clone_group_config *config,
                           const struct clone_group_ops *ops,
                           void *workspace,
                           uint64_t workspace_bytes,
                           struct clone_group **group);

// Ends a group. Refused while any I/O is in flight, because a device may still
// write into the workspace (R82): poll until that is over. Without
// clone_group_close() before it, the durable state is as after a power loss.
// The handle is gone afterwards, the workspace is the caller's again.
//
// Context: any thread, no other call in progress; not from a callback.
// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_BUSY.
int32_t clone_group_destroy(struct clone_group *group);

// Tells the group which LU stands behind a number: the Source as
// CLONE_GROUP_LU_SOURCE, Clones from 1 on. Needed for the Source and every
// member before format, recover or clone_group_clone_add(). An LU that is out
// of order is attached all the same, and its I/O fails.
//
// Context: any thread.
// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_NO_LU (the
// number is over clones_max), CLONE_GROUP_ERR_STATE (the LU is a member of a
// running group, or the group is starting, closing or closed),
// CLONE_GROUP_ERR_BUSY (the LU is just being added, or flushed),
// CLONE_GROUP_ERR_CALLBACK_MISSING (a volatile cache, but no flush).
int32_t clone_group_lu_attach(struct clone_group *group,
                              uint32_t lu,
                              const struct clone_group_lu *config);

// Writes an empty group into the persistent area: the Source, no Clones.
// A power loss leaves either the old content or no valid group (R74), never
// half of the new one.
// `flags`: CLONE_GROUP_FORMAT_FORCE.
//
// Context: any thread.
// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK (the group is
// ready), CLONE_GROUP_ERR_METADATA_EXISTS or a status of the persist callbacks;
// or at once CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_STATE (the group is ready
// or starting), CLONE_GROUP_ERR_CLOSED, CLONE_GROUP_ERR_NO_LU (no Source
// attached).
int32_t clone_group_format(struct clone_group *group,
                           uint32_t flags,
                           uint64_t tag);

// Loads a group from the persistent area and resumes what was interrupted: a
// restore goes on, with everything that hosts wrote (R57). Writes nothing before
// it is done, but a superblock if a map page is lost or a restore is given up; a
// power loss during Recovery changes nothing (R58). A group whose
// set was cut short comes up with CLONE_GROUP_CONDITION_PREPARED and serves no
// hosts before clone_group_set_resolve().
// `flags`: CLONE_GROUP_RECOVER_ABANDON_RESTORE.
//
// Context: any thread.
// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK (the group is
// ready) or the reason why it is not and nothing was changed:
// CLONE_GROUP_ERR_METADATA_MISSING, _DAMAGED, _FOREIGN, _GEOMETRY, _VERSION
// (also: what is under way needs a part that this firmware build left out),
// CLONE_GROUP_ERR_IDENTITY, CLONE_GROUP_ERR_NO_LU (a member is not attached),
// CLONE_GROUP_ERR_RESTORE_MAP_LOST, or a status of `persist_read`, or of
// `persist_write` or `persist_flush`, which leaves that superblock written or not;
// after any of these one may try again. Or at once as clone_group_format().
int32_t clone_group_recover(struct clone_group *group,
                            uint32_t flags,
                            uint64_t tag);

// Ends the service in order: new requests are refused, those in the library
// finish, copies stop, LUs are flushed, the exact maps are written. What ran
// goes on after the next Recovery.
//
// Context: any thread.
// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK, with the status
// of the write or flush that failed, or with CLONE_GROUP_ERR_METADATA_FAILED if
// one failed before (the group is closed all the same, as after a power loss); or at once CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_BUSY,
// CLONE_GROUP_ERR_NOT_READY, CLONE_GROUP_ERR_CLOSED.
int32_t clone_group_close(struct clone_group *group,
                          uint64_t tag);

// Writes all metadata anew, after a write of it failed (R33), and leaves
// CLONE_GROUP_CONDITION_METADATA_FAILED if that works.
//
// Context: any thread.
// Returns CLONE_GROUP_PENDING, `done` follows; or at once
// CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_NOT_READY, CLONE_GROUP_ERR_BUSY.
int32_t clone_group_metadata_repair(struct clone_group *group, uint64_t tag);

// Makes the LU a Clone of the group. Its content counts as entirely different
// from the Source until it was synchronized (R73). Allowed at any time but during
// a restore or a Reverse Synchronization, also while the Source is invalid. The LU must be attached; it can be
// attached while the group runs, as long as it is no Clone.
//
// Context: any thread.
// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK or a status of
// the persist callbacks; or at once CLONE_GROUP_ERR_INVALID,
// CLONE_GROUP_ERR_NO_LU, CLONE_GROUP_ERR_STATE (it is a Clone already, or
// something is copied onto the Source: R39), CLONE_GROUP_ERR_BUSY, CLONE_GROUP_ERR_NOT_READY,
// CLONE_GROUP_ERR_METADATA_FAILED.
int32_t clone_group_clone_add(struct clone_group *group,
                              uint32_t lu,
                              uint64_t tag);

// Takes the Clone out of the group, in any state but two: while a restore or a
// Reverse Synchronization copies from it, it stays (R39; cancel that first, or
// re-target the restore). Other Clones may go meanwhile, and so may the last one. Hosts are held while what is
// under way finishes. The LU and its data stay as they are; what the group knew
// of it - that it is a point in time, its Delta Map, its label - is lost: added
// again, it differs in every extent.
//
// Context: any thread.
// Returns as clone_group_clone_add(), CLONE_GROUP_ERR_NO_LU if it is no Clone,
// CLONE_GROUP_ERR_STATE if something is copied from it.
int32_t clone_group_clone_remove(struct clone_group *group,
                                 uint32_t lu,
                                 uint64_t tag);

// Begins to copy the Source to the Clone: all of it the first time, afterwards
// the extents in the Delta Map. Host writes go on and are mirrored. When
// everything is equal, CLONE_GROUP_EVENT_SYNCHRONIZED follows, and the Clone
// stays mirrored until it is fractured.
//
// Context: any thread.
// Returns CLONE_GROUP_PENDING, `done` follows when the Synchronization has begun;
// or at once CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_NO_LU,
// CLONE_GROUP_ERR_STATE (it is mirrored already, or something is copied onto the
// Source),
// CLONE_GROUP_ERR_SOURCE_INVALID, CLONE_GROUP_ERR_BUSY,
// CLONE_GROUP_ERR_NOT_READY, CLONE_GROUP_ERR_METADATA_FAILED.
int32_t clone_group_synchronize(struct clone_group *group,
                                uint32_t lu,
                                uint64_t tag);

// Stops the mirroring: the Clone stays as the Source is now, a point in time.
// Every write that was acknowledged before the call is in it, none that is
// submitted after `done`, and no write without its predecessors (R55). Hosts may
// then read and write the Clone.
// `label`: 64 bytes that the Clone keeps (a time, a name), or NULL for zeroes.
// `flags`: 0. A Synchronization that is not finished cannot be fractured;
// clone_group_cancel() gives it up.
//
// Context: any thread.
// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK,
// CLONE_GROUP_ERR_NOT_CONSISTENT (a write to the Clone failed meanwhile) or the
// status of the flush or persist callback that failed; or at once as
// clone_group_synchronize(), CLONE_GROUP_ERR_NOT_CONSISTENT if it is not
// synchronized to the end, CLONE_GROUP_ERR_STATE if it is a point in time already.
int32_t clone_group_fracture(struct clone_group *group,
                             uint32_t lu,
                             const uint8_t *label,
                             uint32_t flags,
                             uint64_t tag);

// Begins a Protected Restore: from `done` on, hosts find the Clone's data on the
// Source. What is not copied yet is copied when a host needs it, or in the
// background by clone_group_sync_step(). Host writes are never overwritten; the
// Clone is never written. Every other Clone is fractured in the same step: one
// that was synchronized holds the Source as it was before the restore.
// After a power loss, Recovery goes on with it. CLONE_GROUP_EVENT_RESTORED
// follows at the end.
//
// Context: any thread.
// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK when the
// restore has begun, or the status of the flush or persist callback that failed
// (nothing has changed then; a Source that a canceled restore left invalid is
// valid from `done` on); or at once CLONE_GROUP_ERR_INVALID,
// CLONE_GROUP_ERR_NO_LU, CLONE_GROUP_ERR_STATE (it is mirrored and not
// fractured, or something is copied onto the Source already),
// CLONE_GROUP_ERR_NOT_CONSISTENT (OutOfSync or Synchronizing), CLONE_GROUP_ERR_BUSY,
// CLONE_GROUP_ERR_NOT_READY, CLONE_GROUP_ERR_METADATA_FAILED.
int32_t clone_group_protected_restore(struct clone_group *group,
                                      uint32_t lu,
                                      uint64_t tag);

// Begins a Reverse Synchronization: the Clone is copied to the Source without
// protection. From `done` on hosts find the Clone's data on the Source: their
// reads are served from the Clone, their writes go to both LUs. So the Clone
// does not stay the point in time that it was. Every other Clone is fractured in
// the same step, as for clone_group_protected_restore(). At the end both LUs are
// equal, the Clone is Synchronized, hosts read the Source again, and
// CLONE_GROUP_EVENT_REVERSE_SYNCHRONIZED follows. Meanwhile hosts may read the Clone
// under its own number, and not write it. A host write fails if the Clone's part
// of it fails (R50); one that fails on the Source only is copied again.
// After a power loss, Recovery goes on with it; the Clone's content counts (R41).
//
// Context: any thread.
// Returns as clone_group_protected_restore().
// CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part `reverse`).
int32_t clone_group_reverse_synchronize(struct clone_group *group,
                                        uint32_t lu,
                                        uint64_t tag);

// Stops background copies; hosts go on, also through copy on demand. A pause is
// durable: it outlives a power loss. A Reverse Synchronization does not end
// while it is paused, and if hosts are held at its end because an LU hangs, a
// pause lets them go on (R76).
//
// Context: any thread.
// Returns CLONE_GROUP_PENDING, `done` follows; or at once
// CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_STATE (paused already),
// CLONE_GROUP_ERR_BUSY, CLONE_GROUP_ERR_NOT_READY,
// CLONE_GROUP_ERR_METADATA_FAILED.
int32_t clone_group_pause(struct clone_group *group, uint64_t tag);

// Ends a pause, and lets the Sync Engine try extents again that could not be
// copied (CLONE_GROUP_CONDITION_STALLED).
//
// Context: any thread.
// Returns CLONE_GROUP_PENDING, `done` follows; or at once as
// clone_group_pause().
int32_t clone_group_resume(struct clone_group *group, uint64_t tag);

// Gives the copy of or from this Clone up, for good: only a pause can be resumed.
//
// A Protected Restore from `lu`: the Source is left as it is, a mixture of what
// was copied, what hosts wrote and what was there before the restore. That is no
// rollback (R38): the Source becomes invalid, which outlives power losses and
// close. Host requests to it, also those that wait, end with
// CLONE_GROUP_ERR_SOURCE_INVALID, and it cannot be synchronized, until
// clone_group_protected_restore() or clone_group_reverse_synchronize() from any
// fractured Clone, or clone_group_source_accept(). What was submitted to an LU before finishes first.
// The Clone is Fractured again, untouched, and its Delta Map has what was not
// copied and what hosts wrote, so that a new restore from it copies just that.
// Other Clones stay as they are; hosts go on with all fractured Clones. Copies
// that wait for a flush are flushed; if that fails they count as not made.
//
// A Reverse Synchronization from `lu`: the Source is invalid in the same way. The
// Clone has everything that hosts wrote and is Fractured: the point in time of
// the cancel. Both LUs are flushed; if that fails, nothing has changed.
//
// A Synchronization of `lu`: the Clone becomes OutOfSync. Synchronizing it again
// copies what is left.
//
// Failed and stalled extents are forgotten; a pause stays, for the copies to
// come. CLONE_GROUP_EVENT_CANCELED follows. If power is lost before `done`, the
// copy was canceled or it goes on.
//
// Context: any thread. While it waits for what is under way (an LU that hangs),
// clone_group_abort() with its tag takes it back, and the copy goes on.
// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK,
// CLONE_GROUP_ERR_STATE (the copy came to its end first),
// CLONE_GROUP_ERR_METADATA_FAILED or the status of the persist callback that
// failed; or at once CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_NO_LU,
// CLONE_GROUP_ERR_STATE (nothing is copied to or from it), CLONE_GROUP_ERR_BUSY,
// CLONE_GROUP_ERR_NOT_READY, CLONE_GROUP_ERR_METADATA_FAILED (repair first).
// CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part `cancel`).
int32_t clone_group_cancel(struct clone_group *group,
                           uint32_t lu,
                           uint64_t tag);

// Serves the Source again as a canceled restore, or Recovery with
// CLONE_GROUP_RECOVER_ABANDON_RESTORE, left it: the operator takes the mixture for
// what it is. It is flushed first. The Clones stay as they are; their Delta Maps
// say where they differ from it. Durable at `done`;
// CLONE_GROUP_EVENT_SOURCE_ACCEPTED follows. If power is lost before, the Source
// is invalid still or accepted.
//
// Context: any thread.
// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK, or the status
// of the flush or persist callback that failed (the Source is invalid still); or
// at once CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_STATE (it is valid),
// CLONE_GROUP_ERR_BUSY, CLONE_GROUP_ERR_NOT_READY,
// CLONE_GROUP_ERR_METADATA_FAILED.
int32_t clone_group_source_accept(struct clone_group *group,
                                  uint64_t tag);

// Gives the restore that runs another Clone: from `done` on, hosts find the data
// of the Clone `lu` on the Source. **Everything that hosts wrote since the restore
// began is replaced by it**, acknowledged or not (R38); so is what they read of
// the first Clone. Hosts are held meanwhile: what was submitted to an LU finishes
// first, what waits is done on the new content. The Source is never invalid in
// between. Only extents in which `lu` and the Source differ are copied. The first
// Clone is Fractured again, untouched; it may be re-targeted to in turn.
//
// Failed and stalled extents are forgotten; a pause stays.
// CLONE_GROUP_EVENT_SOURCE_CHANGED follows. If power is lost before `done`, the
// restore goes on from the one Clone, with what hosts wrote, or from the other.
//
// Context: any thread. While it waits for what is under way,
// clone_group_abort() with its tag takes it back, and the restore goes on from
// the first Clone.
// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK,
// CLONE_GROUP_ERR_STATE (the restore came to its end first), or the status of the
// flush or persist callback that failed (nothing has changed then); or at once
// CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_NO_LU, CLONE_GROUP_ERR_STATE (no
// restore runs, it runs from `lu`, or `lu` is not fractured),
// CLONE_GROUP_ERR_NOT_CONSISTENT (`lu` is OutOfSync), CLONE_GROUP_ERR_BUSY,
// CLONE_GROUP_ERR_NOT_READY, CLONE_GROUP_ERR_METADATA_FAILED.
// CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part `cancel`).
int32_t clone_group_retarget(struct clone_group *group,
                             uint32_t lu,
                             uint64_t tag);

// Compares the Clone with the Source, online, wherever its Delta Map says that
// they are equal; while it is restored from, also outside the Protected Restore
// Map. It is background work like copies: clone_group_sync_step() does it, with
// the part of its budget and the copy slots that copies leave; a pause holds
// it. A host write that meets a comparison makes it count for nothing; the
// extent is compared again, at last with writes to it held, so that hosts cause
// no false mismatch and cannot keep it from ending. CLONE_GROUP_EVENT_MISMATCH
// tells of each of the first 64 extents that differ, CLONE_GROUP_EVENT_VERIFIED
// of the end; clone_group_clone_query() has the numbers. An extent that cannot
// be read is counted, and the rest goes on.
//
// One Verify runs at a time; other operations go on. It ends with
// CLONE_GROUP_ERR_CANCELED when the Clone leaves its state (but not between
// Synchronizing and Synchronized), a restore begins or the group is closed. It
// is not durable: after a power loss it is gone.
// `flags`: CLONE_GROUP_VERIFY_MARK: what differs goes into the Delta Map. A
// mirrored Clone is copied to there at once and is Synchronizing until then; a
// fractured one by the next Synchronization or restore. A Clone that is restored
// from is only reported on.
//
// Context: any thread.
// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK when it has
// begun, or with what is said below; or at once CLONE_GROUP_ERR_INVALID,
// CLONE_GROUP_ERR_NO_LU (the number is over clones_max), CLONE_GROUP_ERR_STATE
// (absent or OutOfSync), CLONE_GROUP_ERR_SOURCE_INVALID,
// CLONE_GROUP_ERR_NOT_SUPPORTED (the copy buffer has no two halves),
// CLONE_GROUP_ERR_BUSY (a Verify or another operation runs),
// CLONE_GROUP_ERR_NOT_READY, CLONE_GROUP_ERR_CLOSED,
// CLONE_GROUP_ERR_METADATA_FAILED (with CLONE_GROUP_VERIFY_MARK).
// CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part `verify`).
int32_t clone_group_verify(struct clone_group *group,
                           uint32_t lu,
                           uint32_t flags,
                           uint64_t tag);

// Ends the Verify that runs. CLONE_GROUP_EVENT_VERIFIED follows with
// CLONE_GROUP_ERR_CANCELED when its reads are over.
//
// Context: any thread.
// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK; or at once
// CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_STATE (none runs),
// CLONE_GROUP_ERR_BUSY, CLONE_GROUP_ERR_NOT_READY, CLONE_GROUP_ERR_CLOSED.
// CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part `verify`).
int32_t clone_group_verify_stop(struct clone_group *group, uint64_t tag);

// Reads blocks of the Source, of a fractured Clone or of the Clone that is copied
// to the Source.
//
// Context: any thread; also from I/O callbacks, `done` and `event`.
// Returns as host requests do.
int32_t clone_group_host_read(struct clone_group *group,
                              uint32_t lu,
                              uint64_t first_block,
                              uint64_t block_count,
                              void *payload,
                              uint32_t flags,
                              uint64_t tag);

// Writes blocks of the Source or of a fractured Clone. A power loss before the
// request is done leaves the old or the new data in each block.
//
// Compare-and-write, and whatever else reads what it writes, is the controller's:
// clone_group_host_read(), then clone_group_host_write(), under a lock of its own
// over the range, from the first to the end of the second (R66).
//
// `flags`: CLONE_GROUP_HOST_FUA, CLONE_GROUP_HOST_UNSTABLE.
//
// Context: any thread; also from I/O callbacks, `done` and `event`.
// Returns as host requests do.
int32_t clone_group_host_write(struct clone_group *group,
                               uint32_t lu,
                               uint64_t first_block,
                               uint64_t block_count,
                               const void *payload,
                               uint32_t flags,
                               uint64_t tag);

// Writes zeroes (R65). Needs the `write_zeroes` callback.
// `flags`: CLONE_GROUP_HOST_FUA.
//
// Context: any thread; also from I/O callbacks, `done` and `event`.
// Returns as host requests do, or CLONE_GROUP_ERR_NOT_SUPPORTED.
int32_t clone_group_host_write_zeroes(struct clone_group *group,
                                      uint32_t lu,
                                      uint64_t first_block,
                                      uint64_t block_count,
                                      uint32_t flags,
                                      uint64_t tag);

// Discards blocks. A hint: where extents still have to be copied by a restore it
// does nothing, unless the LU declares CLONE_GROUP_LU_DISCARD_ZEROES: then it is a
// write-zeroes (R65). While a Clone is synchronized it is one too, unless both LUs
// declare that; without the `write_zeroes` callback it then does nothing.
//
// Context: any thread; also from I/O callbacks, `done` and `event`.
// Returns as host requests do, or CLONE_GROUP_ERR_NOT_SUPPORTED: the LU declares
// zeroes after a discard, and there is no callback that makes them.
int32_t clone_group_host_discard(struct clone_group *group,
                                 uint32_t lu,
                                 uint64_t first_block,
                                 uint64_t block_count,
                                 uint32_t flags,
                                 uint64_t tag);

// Makes every write to this LU that was done before the call durable (R22).
//
// Context: any thread; also from I/O callbacks, `done` and `event`.
// Returns as host requests do. A flush that fails is data loss of unknown extent:
// flushing again does not bring it back (R24).
int32_t clone_group_host_flush(struct clone_group *group,
                               uint32_t lu,
                               uint64_t tag);

// Aborts a host request that waits in the library (R83). Its `done` call follows
// with CLONE_GROUP_ERR_CANCELED. One that was submitted to an LU runs to its end.
// An operation ends so, too, unless its superblock is being written (R76).
//
// Context: any thread; also from I/O callbacks, `done` and `event`.
// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID,
// CLONE_GROUP_ERR_NO_REQUEST (none that waits has this tag).
int32_t clone_group_abort(struct clone_group *group,
                          uint64_t tag);

// Takes in completions and moves everything that waits: the COD Queue, metadata,
// operations; `done` and `event` are called from here. Begins no background
// copy. At most `budget` callbacks are called; with 0 nothing happens.
//
// Context: any thread; not from a callback. A call that finds another poll
// running returns CLONE_GROUP_MORE at once.
// Returns CLONE_GROUP_OK (idle), CLONE_GROUP_PENDING (waiting for I/O),
// CLONE_GROUP_MORE (call again), or CLONE_GROUP_ERR_INVALID,
// CLONE_GROUP_ERR_INTERNAL.
int32_t clone_group_cod_poll(struct clone_group *group,
                             uint32_t budget);

// Does what clone_group_cod_poll() does, and begins background copies of at most
// `budget` extents, so that a loop over it alone finishes every copy. How often
// it is called, and with which budget, is the controller's throttle; host
// requests that wait for a copy come first (R69). When it returns CLONE_GROUP_OK
// there is nothing left to copy (or copies are paused or stalled).
//
// Context: any thread; not from a callback.
// Returns as clone_group_cod_poll().
int32_t clone_group_sync_step(struct clone_group *group,
                              uint32_t budget);

// Reports the end of an I/O whose callback returned CLONE_GROUP_PENDING. Takes no
// lock and only records: the next poll acts on it. It may call `wake`.
//
// Context: any context, including interrupts and the callback itself.
// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_STALE_IO
// (completed twice, or never begun; nothing happens then).
int32_t clone_group_io_complete(struct clone_group *group,
                                uint64_t id,
                                int32_t status);

// State of the group.
//
// Context: any thread; also from callbacks.
// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID.
int32_t clone_group_query(struct clone_group *group,
                          struct clone_group_info *info);

// State of a Clone. One that is absent is described as such.
//
// Context: any thread; also from callbacks.
// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_NO_LU.
int32_t clone_group_clone_query(struct clone_group *group,
                                uint32_t lu,
                                struct clone_group_clone_info *info);

// What became of the I/O of an LU since it was attached: errors by LU.
//
// Context: any thread; also from callbacks.
// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_NO_LU,
// CLONE_GROUP_ERR_NOT_SUPPORTED (part `queries` left out).
int32_t clone_group_lu_query(struct clone_group *group,
                             uint32_t lu,
                             struct clone_group_lu_info *info);

// Counters since create.
//
// Context: any thread; also from callbacks.
// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID, or CLONE_GROUP_ERR_NOT_SUPPORTED
// (part `queries` left out).
int32_t clone_group_statistics_query(struct clone_group *group,
                                     struct clone_group_statistics *statistics);

// Copies a range of a map: bit 0 of byte 0 is `first_extent`, bit 1 the next one.
// Bits behind `extent_count` in the last byte are 0.
// `map`: CLONE_GROUP_MAP_ kind; `lu` for CLONE_GROUP_MAP_DELTA.
//
// Context: any thread; also from callbacks.
// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID (unknown map, NULL, or
// `bits_bytes` under (extent_count + 7) / 8), CLONE_GROUP_ERR_RANGE,
// CLONE_GROUP_ERR_NO_LU, CLONE_GROUP_ERR_NOT_SUPPORTED (part `queries`
// left out). Nothing is written on an error.
int32_t clone_group_map_read(struct clone_group *group,
                             uint32_t map,
                             uint32_t lu,
                             uint64_t first_extent,
                             uint64_t extent_count,
                             uint8_t *bits,
                             uint64_t bits_bytes);

// Fills `set` for one call of clone_group_set_fracture() or
// clone_group_set_protected_restore(). `id` names the set in the superblocks: not
// 0, and another one for every set, also after a restart (a time, a counter, a
// random number).
//
// Context: any context.
// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID,
// CLONE_GROUP_ERR_STRUCT_SIZE (the caller's struct is smaller than the library's).
// CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part `sets`).
int32_t clone_group_set_init(struct clone_group_set *set,
                             uint32_t struct_size,
                             uint64_t id);

// Fractures a Clone of each group at one point in time: what
// clone_group_fracture() does, for `count` groups, of which `lus[i]` is the Clone
// of `groups[i]`. No write is in any of the Clones without those that were
// acknowledged, to any of the groups, before it was submitted: the Clones of a
// database on several LUs fit together, also after a power loss in the middle
// (R77). `label` (64 bytes, or NULL for zeroes) and `tag` are those of every
// group.
//
// Each group is polled as always, by whichever thread. It holds its hosts from
// the moment at which it begins until the last group got as far, so poll all of
// them; a group that waits for the others returns CLONE_GROUP_MORE from its
// polls. clone_group_abort() with the tag, on any of the groups, gives the whole
// set up, unless it is decided. If power is lost before a `done` call, it may be
// found committed nevertheless, on all groups alike.
//
// Each group calls `done` once. CLONE_GROUP_OK on one of them means that the set
// is committed, and any error but those of metadata that it failed and nothing
// changed on any group. CLONE_GROUP_ERR_CANCELED says that another group failed,
// or that it was aborted. If a metadata write fails, what the area says is
// unknown (R33), and
// - before the decision, the set fails: this group refuses host writes until
//   clone_group_metadata_repair(), the others go on;
// - after it, the group that could not write it down serves no hosts:
//   CLONE_GROUP_CONDITION_PREPARED, and CLONE_GROUP_EVENT_PREPARED. Repair its
//   metadata, then resolve it.
//
// After a power loss, Recovery brings groups up that are prepared
// (CLONE_GROUP_CONDITION_PREPARED): see clone_group_set_resolve(). Begin no other
// set with one of these groups before all of them are resolved.
//
// A group that is destroyed before it called `done` fails the set likewise.
//
// Context: any thread.
// Returns CLONE_GROUP_PENDING, `done` follows on every group; or at once, and no
// `done` follows on any of them, CLONE_GROUP_ERR_INVALID (also: `count` over
// CLONE_GROUP_SET_GROUPS_MAX, a group named twice, a set that was used before or
// whose id a group knows already), CLONE_GROUP_ERR_STRUCT_SIZE (`set` was not
// filled), or the first status with which a group refused, as
// clone_group_fracture(): CLONE_GROUP_ERR_BUSY and so on. The set may be used
// again then.
// CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part `sets`).
int32_t clone_group_set_fracture(struct clone_group *const *groups,
                                 const uint32_t *lus,
                                 uint32_t count,
                                 struct clone_group_set *set,
                                 const uint8_t *label,
                                 uint64_t tag);

// Begins a Protected Restore of each group at one point in time: what
// clone_group_protected_restore() does, for `count` groups, each from the Clone
// `lus[i]`. No write that hosts submit after one of the restores began is lost to
// another one that begins later, also after a power loss in the middle (R77).
// Nothing is copied before the set is committed.
//
// All else as clone_group_set_fracture().
//
// Context: any thread.
// Returns as clone_group_set_fracture(), with the statuses of
// clone_group_protected_restore().
// CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part `sets`).
int32_t clone_group_set_protected_restore(struct clone_group *const *groups,
                                          const uint32_t *lus,
                                          uint32_t count,
                                          struct clone_group_set *set,
                                          uint64_t tag);

// Tells a prepared group (CLONE_GROUP_CONDITION_PREPARED) how its set ended, after
// all groups of the set were recovered and those that lived on called `done`.
// The rule: if each of them is prepared for this `set_id` or has committed it
// (the same `set_id` without the condition), `commit` is 1 for all that are
// prepared, else it is 0 for all of them. The rule gives the same answer after
// another power loss.
//
// Until then the group refuses host requests and operations with
// CLONE_GROUP_ERR_PREPARED, but clone_group_close() and
// clone_group_metadata_repair(). With 1 the change is made that was prepared, with
// 0 the group goes on as if nothing had been asked for.
// CLONE_GROUP_EVENT_SET_RESOLVED follows.
//
// Context: any thread.
// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK, or the status
// of the persist callback that failed (the group is prepared still: repair, then
// resolve it again); or at once CLONE_GROUP_ERR_INVALID (also: `commit` is
// neither 0 nor 1), CLONE_GROUP_ERR_STATE (not prepared),
// CLONE_GROUP_ERR_BUSY, CLONE_GROUP_ERR_NOT_READY, CLONE_GROUP_ERR_CLOSED,
// CLONE_GROUP_ERR_METADATA_FAILED.
// CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part `sets`).
int32_t clone_group_set_resolve(struct clone_group *group,
                                uint32_t commit,
                                uint64_t tag);

#if !defined(CLONE_GROUP_NO_BARE_NAMES)
// clone_group_host_write() under its short name.
int32_t host_write(struct clone_group *group,
                   uint32_t lu,
                   uint64_t first_block,
                   uint64_t block_count,
                   const void *payload,
                   uint32_t flags,
                   uint64_t tag);
#endif

#if !defined(CLONE_GROUP_NO_BARE_NAMES)
// clone_group_cod_poll() under its short name.
int32_t cod_poll(struct clone_group *group, uint32_t budget);
#endif

#if !defined(CLONE_GROUP_NO_BARE_NAMES)
// clone_group_sync_step() under its short name.
int32_t sync_step(struct clone_group *group, uint32_t budget);
#endif

#if !defined(CLONE_GROUP_NO_BARE_NAMES)
// clone_group_recover() under its short name.
int32_t recover(struct clone_group *group, uint32_t flags, uint64_t tag);
#endif

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CLONE_GROUP_H */
