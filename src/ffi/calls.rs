//! The entry points. Each one checks its arguments and hands over to the group or the pump.

use core::ffi::{c_char, c_void};

use super::handle::{self, Handle, guard};
use super::types::*;
use super::{pump, structs, workspace};
use crate::error::{self, Error};
use crate::group::Operation;
use crate::parts;
use crate::request::{HostOperation, HostRequest, Payload};

// -------------------------------------------------------- before a group is

/// The ABI version of the library that was loaded: compare it with
/// CLONE_GROUP_ABI_VERSION when the library is loaded at run time.
///
/// Context: any context.
/// Returns the version.
#[unsafe(no_mangle)]
pub extern "C" fn clone_group_abi_version() -> u32 {
    CLONE_GROUP_ABI_VERSION
}

/// The version of the library as a text, such as "0.1.0". Static.
///
/// Context: any context.
/// Returns the text, never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn clone_group_version() -> *const c_char {
    error::VERSION.as_ptr()
}

/// The name of a status, such as "CLONE_GROUP_ERR_BUSY". Static.
///
/// Context: any context.
/// Returns the name; for a number that is not the library's, a text that says so; an
/// empty text in a firmware build without them (part `texts`).
#[unsafe(no_mangle)]
pub extern "C" fn clone_group_status_name(status: i32) -> *const c_char {
    error::name(status).as_ptr()
}

/// What a status means and what the caller can do, in one sentence. Static.
///
/// Context: any context.
/// Returns the text; for a number that is not the library's, a text that says so; an
/// empty text in a firmware build without them (part `texts`).
#[unsafe(no_mangle)]
pub extern "C" fn clone_group_status_text(status: i32) -> *const c_char {
    error::text(status).as_ptr()
}

/// Fills `config` with zeroes and its size. An older caller passes its own,
/// smaller size; nothing behind it is written.
///
/// Context: any context.
/// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID.
///
/// # Safety
/// `config` must be NULL or point to `struct_size` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_config_init(config: *mut clone_group_config, struct_size: u32) -> i32 {
    // SAFETY: the caller's promise is the one that `init` asks for.
    unsafe { structs::init(config.cast(), struct_size) }
}

/// Fills `ops` with NULLs and its size, as clone_group_config_init() does.
///
/// Context: any context.
/// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID.
///
/// # Safety
/// `ops` must be NULL or point to `struct_size` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_ops_init(ops: *mut clone_group_ops, struct_size: u32) -> i32 {
    // SAFETY: the caller's promise is the one that `init` asks for.
    unsafe { structs::init(ops.cast(), struct_size) }
}

/// How much memory a group of this configuration uses, all of it: maps, request
/// slots, queues, copy buffers, metadata pages. Nothing else is ever allocated.
///
/// Context: any context.
/// Returns CLONE_GROUP_OK and `*bytes`, or CLONE_GROUP_ERR_INVALID (the
/// configuration contradicts itself, or does not fit into this machine's
/// addresses), CLONE_GROUP_ERR_STRUCT_SIZE or CLONE_GROUP_ERR_NOT_SUPPORTED (as for
/// clone_group_create()).
///
/// # Safety
/// `config` must be NULL or point to a config of its `struct_size`; `bytes` NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_workspace_size(
    config: *const clone_group_config,
    bytes: *mut u64,
) -> i32 {
    guard(None, || {
        // SAFETY: the caller's promise about both pointers.
        unsafe {
            let config = structs::config(config)?;
            structs::output(bytes, workspace::size_bytes(&config)?)
        }
    })
}

/// How large the persistent area of a group of this configuration must be.
///
/// Context: any context.
/// Returns as clone_group_workspace_size().
///
/// # Safety
/// As clone_group_workspace_size().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_metadata_size(
    config: *const clone_group_config,
    bytes: *mut u64,
) -> i32 {
    guard(None, || {
        // SAFETY: the caller's promise about both pointers.
        unsafe {
            let config = structs::config(config)?;
            structs::output(bytes, config.layout()?.area_bytes())
        }
    })
}

/// Makes a group in `workspace`. Does no I/O: attach the LUs, then format or
/// recover. `config` and `ops` are copied and need not outlive the call; the
/// workspace belongs to the group until clone_group_destroy(). In the hosted
/// build a NULL workspace (with 0 bytes) is allocated by the library.
///
/// Context: any thread; one call for one workspace.
/// Returns CLONE_GROUP_OK and `*group`, or CLONE_GROUP_ERR_INVALID,
/// CLONE_GROUP_ERR_STRUCT_SIZE, CLONE_GROUP_ERR_NOT_SUPPORTED (a flag whose part
/// this firmware build left out), CLONE_GROUP_ERR_CALLBACK_MISSING,
/// CLONE_GROUP_ERR_WORKSPACE (NULL, not aligned to buffer_align_bytes, or too
/// small), CLONE_GROUP_ERR_NOMEM.
///
/// # Safety
/// The pointers must be NULL or valid: `config` and `ops` for their `struct_size`,
/// `workspace` for `workspace_bytes` of exclusive memory, `group` for one pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_create(
    config: *const clone_group_config,
    ops: *const clone_group_ops,
    workspace: *mut c_void,
    workspace_bytes: u64,
    group: *mut *mut clone_group,
) -> i32 {
    #[cfg(feature = "knock-outs")]
    super::knock_out::select_from_environment();
    guard(None, || {
        // SAFETY: the caller's promise about all pointers.
        unsafe {
            let (config, ops) = (&structs::config(config), &structs::ops(ops));
            let config = config.as_ref().map_err(|error| *error)?;
            let ops = ops.as_ref().map_err(|error| *error)?;
            if group.is_null() || !group.is_aligned() {
                return Err(Error::Invalid);
            }
            let made = handle::create(config, ops, workspace, workspace_bytes)?;
            structs::output(group, made.cast())
        }
    })
}

/// Ends a group. Refused while any I/O is in flight, because a device may still
/// write into the workspace (R82): poll until that is over. Without
/// clone_group_close() before it, the durable state is as after a power loss.
/// The handle is gone afterwards, the workspace is the caller's again.
///
/// Context: any thread, no other call in progress; not from a callback.
/// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_BUSY.
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_destroy(group: *mut clone_group) -> i32 {
    // SAFETY: the caller's promise.
    guard(None, || unsafe { handle::destroy(group.cast::<Handle>()) })
}

/// Tells the group which LU stands behind a number: the Source as
/// CLONE_GROUP_LU_SOURCE, Clones from 1 on. Needed for the Source and every
/// member before format, recover or clone_group_clone_add(). An LU that is out
/// of order is attached all the same, and its I/O fails.
///
/// Context: any thread.
/// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_NO_LU (the
/// number is over clones_max), CLONE_GROUP_ERR_STATE (the LU is a member of a
/// running group, or the group is starting, closing or closed),
/// CLONE_GROUP_ERR_BUSY (the LU is just being added, or flushed),
/// CLONE_GROUP_ERR_CALLBACK_MISSING (a volatile cache, but no flush).
///
/// # Safety
/// `group` must be NULL or a live handle, `config` NULL or valid for its `struct_size`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_lu_attach(
    group: *mut clone_group,
    lu: u32,
    config: *const clone_group_lu,
) -> i32 {
    // SAFETY: the caller's promise about both pointers.
    unsafe {
        handle::with(group, |handle| {
            let (flags, identity) = structs::lu(config)?;
            if flags.volatile_cache && handle.ops().flush.is_none() {
                return Err(Error::CallbackMissing);
            }
            handle.locked(|group| group.attach(lu, flags, identity))?;
            Ok(CLONE_GROUP_OK)
        })
    }
}

// ---------------------------------------------------------------- the group

/// Writes an empty group into the persistent area: the Source, no Clones.
/// A power loss leaves either the old content or no valid group (R74), never
/// half of the new one.
/// `flags`: CLONE_GROUP_FORMAT_FORCE.
///
/// Context: any thread.
/// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK (the group is
/// ready), CLONE_GROUP_ERR_METADATA_EXISTS or a status of the persist callbacks;
/// or at once CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_STATE (the group is ready
/// or starting), CLONE_GROUP_ERR_CLOSED, CLONE_GROUP_ERR_NO_LU (no Source
/// attached).
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_format(group: *mut clone_group, flags: u32, tag: u64) -> i32 {
    let force = flags & CLONE_GROUP_FORMAT_FORCE != 0;
    // SAFETY: the caller's promise about `group`.
    unsafe { operate(group, flags & !CLONE_GROUP_FORMAT_FORCE, Operation::Format { force }, tag) }
}

/// Loads a group from the persistent area and resumes what was interrupted: a
/// restore goes on, with everything that hosts wrote (R57). Writes nothing before
/// it is done, but a superblock if a map page is lost or a restore is given up; a
/// power loss during Recovery changes nothing (R58). A group whose
/// set was cut short comes up with CLONE_GROUP_CONDITION_PREPARED and serves no
/// hosts before clone_group_set_resolve().
/// `flags`: CLONE_GROUP_RECOVER_ABANDON_RESTORE.
///
/// Context: any thread.
/// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK (the group is
/// ready) or the reason why it is not and nothing was changed:
/// CLONE_GROUP_ERR_METADATA_MISSING, _DAMAGED, _FOREIGN, _GEOMETRY, _VERSION
/// (also: what is under way needs a part that this firmware build left out),
/// CLONE_GROUP_ERR_IDENTITY, CLONE_GROUP_ERR_NO_LU (a member is not attached),
/// CLONE_GROUP_ERR_RESTORE_MAP_LOST, or a status of `persist_read`, or of
/// `persist_write` or `persist_flush`, which leaves that superblock written or not;
/// after any of these one may try again. Or at once as clone_group_format().
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_recover(group: *mut clone_group, flags: u32, tag: u64) -> i32 {
    let abandon_restore = flags & CLONE_GROUP_RECOVER_ABANDON_RESTORE != 0;
    let unknown = flags & !CLONE_GROUP_RECOVER_ABANDON_RESTORE;
    // SAFETY: the caller's promise about `group`.
    unsafe { operate(group, unknown, Operation::Recover { abandon_restore }, tag) }
}

/// Ends the service in order: new requests are refused, those in the library
/// finish, copies stop, LUs are flushed, the exact maps are written. What ran
/// goes on after the next Recovery.
///
/// Context: any thread.
/// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK, with the status
/// of the write or flush that failed, or with CLONE_GROUP_ERR_METADATA_FAILED if
/// one failed before (the group is closed all the same, as after a power loss); or at once CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_BUSY,
/// CLONE_GROUP_ERR_NOT_READY, CLONE_GROUP_ERR_CLOSED.
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_close(group: *mut clone_group, tag: u64) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe { operate(group, 0, Operation::Close, tag) }
}

/// Writes all metadata anew, after a write of it failed (R33), and leaves
/// CLONE_GROUP_CONDITION_METADATA_FAILED if that works.
///
/// Context: any thread.
/// Returns CLONE_GROUP_PENDING, `done` follows; or at once
/// CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_NOT_READY, CLONE_GROUP_ERR_BUSY.
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_metadata_repair(group: *mut clone_group, tag: u64) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe { operate(group, 0, Operation::RepairMetadata, tag) }
}

// --------------------------------------------------------------- the Clones

/// Makes the LU a Clone of the group. Its content counts as entirely different
/// from the Source until it was synchronized (R73). Allowed at any time but during
/// a restore or a Reverse Synchronization, also while the Source is invalid. The LU must be attached; it can be
/// attached while the group runs, as long as it is no Clone.
///
/// Context: any thread.
/// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK or a status of
/// the persist callbacks; or at once CLONE_GROUP_ERR_INVALID,
/// CLONE_GROUP_ERR_NO_LU, CLONE_GROUP_ERR_STATE (it is a Clone already, or
/// something is copied onto the Source: R39), CLONE_GROUP_ERR_BUSY, CLONE_GROUP_ERR_NOT_READY,
/// CLONE_GROUP_ERR_METADATA_FAILED.
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_clone_add(group: *mut clone_group, lu: u32, tag: u64) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe { operate(group, 0, Operation::AddClone { lu }, tag) }
}

/// Takes the Clone out of the group, in any state but two: while a restore or a
/// Reverse Synchronization copies from it, it stays (R39; cancel that first, or
/// re-target the restore). Other Clones may go meanwhile, and so may the last one. Hosts are held while what is
/// under way finishes. The LU and its data stay as they are; what the group knew
/// of it - that it is a point in time, its Delta Map, its label - is lost: added
/// again, it differs in every extent.
///
/// Context: any thread.
/// Returns as clone_group_clone_add(), CLONE_GROUP_ERR_NO_LU if it is no Clone,
/// CLONE_GROUP_ERR_STATE if something is copied from it.
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_clone_remove(group: *mut clone_group, lu: u32, tag: u64) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe { operate(group, 0, Operation::RemoveClone { lu }, tag) }
}

/// Begins to copy the Source to the Clone: all of it the first time, afterwards
/// the extents in the Delta Map. Host writes go on and are mirrored. When
/// everything is equal, CLONE_GROUP_EVENT_SYNCHRONIZED follows, and the Clone
/// stays mirrored until it is fractured.
///
/// Context: any thread.
/// Returns CLONE_GROUP_PENDING, `done` follows when the Synchronization has begun;
/// or at once CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_NO_LU,
/// CLONE_GROUP_ERR_STATE (it is mirrored already, or something is copied onto the
/// Source),
/// CLONE_GROUP_ERR_SOURCE_INVALID, CLONE_GROUP_ERR_BUSY,
/// CLONE_GROUP_ERR_NOT_READY, CLONE_GROUP_ERR_METADATA_FAILED.
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_synchronize(group: *mut clone_group, lu: u32, tag: u64) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe { operate(group, 0, Operation::Synchronize { lu }, tag) }
}

/// Stops the mirroring: the Clone stays as the Source is now, a point in time.
/// Every write that was acknowledged before the call is in it, none that is
/// submitted after `done`, and no write without its predecessors (R55). Hosts may
/// then read and write the Clone.
/// `label`: 64 bytes that the Clone keeps (a time, a name), or NULL for zeroes.
/// `flags`: 0. A Synchronization that is not finished cannot be fractured;
/// clone_group_cancel() gives it up.
///
/// Context: any thread.
/// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK,
/// CLONE_GROUP_ERR_NOT_CONSISTENT (a write to the Clone failed meanwhile) or the
/// status of the flush or persist callback that failed; or at once as
/// clone_group_synchronize(), CLONE_GROUP_ERR_NOT_CONSISTENT if it is not
/// synchronized to the end, CLONE_GROUP_ERR_STATE if it is a point in time already.
///
/// # Safety
/// `group` must be NULL or a live handle, `label` NULL or 64 readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_fracture(
    group: *mut clone_group,
    lu: u32,
    label: *const u8,
    flags: u32,
    tag: u64,
) -> i32 {
    // SAFETY: the caller's promise about `label` and `group`.
    unsafe {
        let label = structs::label(label);
        operate_labelled(group, flags, Operation::Fracture { lu }, &label, tag)
    }
}

/// Begins a Protected Restore: from `done` on, hosts find the Clone's data on the
/// Source. What is not copied yet is copied when a host needs it, or in the
/// background by clone_group_sync_step(). Host writes are never overwritten; the
/// Clone is never written. Every other Clone is fractured in the same step: one
/// that was synchronized holds the Source as it was before the restore.
/// After a power loss, Recovery goes on with it. CLONE_GROUP_EVENT_RESTORED
/// follows at the end.
///
/// Context: any thread.
/// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK when the
/// restore has begun, or the status of the flush or persist callback that failed
/// (nothing has changed then; a Source that a canceled restore left invalid is
/// valid from `done` on); or at once CLONE_GROUP_ERR_INVALID,
/// CLONE_GROUP_ERR_NO_LU, CLONE_GROUP_ERR_STATE (it is mirrored and not
/// fractured, or something is copied onto the Source already),
/// CLONE_GROUP_ERR_NOT_CONSISTENT (OutOfSync or Synchronizing), CLONE_GROUP_ERR_BUSY,
/// CLONE_GROUP_ERR_NOT_READY, CLONE_GROUP_ERR_METADATA_FAILED.
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_protected_restore(group: *mut clone_group, lu: u32, tag: u64) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe { operate(group, 0, Operation::ProtectedRestore { lu }, tag) }
}

/// Begins a Reverse Synchronization: the Clone is copied to the Source without
/// protection. From `done` on hosts find the Clone's data on the Source: their
/// reads are served from the Clone, their writes go to both LUs. So the Clone
/// does not stay the point in time that it was. Every other Clone is fractured in
/// the same step, as for clone_group_protected_restore(). At the end both LUs are
/// equal, the Clone is Synchronized, hosts read the Source again, and
/// CLONE_GROUP_EVENT_REVERSE_SYNCHRONIZED follows. Meanwhile hosts may read the Clone
/// under its own number, and not write it. A host write fails if the Clone's part
/// of it fails (R50); one that fails on the Source only is copied again.
/// After a power loss, Recovery goes on with it; the Clone's content counts (R41).
///
/// Context: any thread.
/// Returns as clone_group_protected_restore().
/// CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part `reverse`).
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_reverse_synchronize(group: *mut clone_group, lu: u32, tag: u64) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe { operate(group, 0, Operation::ReverseSynchronize { lu }, tag) }
}

/// Stops background copies; hosts go on, also through copy on demand. A pause is
/// durable: it outlives a power loss. A Reverse Synchronization does not end
/// while it is paused, and if hosts are held at its end because an LU hangs, a
/// pause lets them go on (R76).
///
/// Context: any thread.
/// Returns CLONE_GROUP_PENDING, `done` follows; or at once
/// CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_STATE (paused already),
/// CLONE_GROUP_ERR_BUSY, CLONE_GROUP_ERR_NOT_READY,
/// CLONE_GROUP_ERR_METADATA_FAILED.
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_pause(group: *mut clone_group, tag: u64) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe { operate(group, 0, Operation::Pause, tag) }
}

/// Ends a pause, and lets the Sync Engine try extents again that could not be
/// copied (CLONE_GROUP_CONDITION_STALLED).
///
/// Context: any thread.
/// Returns CLONE_GROUP_PENDING, `done` follows; or at once as
/// clone_group_pause().
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_resume(group: *mut clone_group, tag: u64) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe { operate(group, 0, Operation::Resume, tag) }
}

/// Gives the copy of or from this Clone up, for good: only a pause can be resumed.
///
/// A Protected Restore from `lu`: the Source is left as it is, a mixture of what
/// was copied, what hosts wrote and what was there before the restore. That is no
/// rollback (R38): the Source becomes invalid, which outlives power losses and
/// close. Host requests to it, also those that wait, end with
/// CLONE_GROUP_ERR_SOURCE_INVALID, and it cannot be synchronized, until
/// clone_group_protected_restore() or clone_group_reverse_synchronize() from any
/// fractured Clone, or clone_group_source_accept(). What was submitted to an LU before finishes first.
/// The Clone is Fractured again, untouched, and its Delta Map has what was not
/// copied and what hosts wrote, so that a new restore from it copies just that.
/// Other Clones stay as they are; hosts go on with all fractured Clones. Copies
/// that wait for a flush are flushed; if that fails they count as not made.
///
/// A Reverse Synchronization from `lu`: the Source is invalid in the same way. The
/// Clone has everything that hosts wrote and is Fractured: the point in time of
/// the cancel. Both LUs are flushed; if that fails, nothing has changed.
///
/// A Synchronization of `lu`: the Clone becomes OutOfSync. Synchronizing it again
/// copies what is left.
///
/// Failed and stalled extents are forgotten; a pause stays, for the copies to
/// come. CLONE_GROUP_EVENT_CANCELED follows. If power is lost before `done`, the
/// copy was canceled or it goes on.
///
/// Context: any thread. While it waits for what is under way (an LU that hangs),
/// clone_group_abort() with its tag takes it back, and the copy goes on.
/// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK,
/// CLONE_GROUP_ERR_STATE (the copy came to its end first),
/// CLONE_GROUP_ERR_METADATA_FAILED or the status of the persist callback that
/// failed; or at once CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_NO_LU,
/// CLONE_GROUP_ERR_STATE (nothing is copied to or from it), CLONE_GROUP_ERR_BUSY,
/// CLONE_GROUP_ERR_NOT_READY, CLONE_GROUP_ERR_METADATA_FAILED (repair first).
/// CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part `cancel`).
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_cancel(group: *mut clone_group, lu: u32, tag: u64) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe { operate(group, 0, Operation::Cancel { lu }, tag) }
}

/// Serves the Source again as a canceled restore, or Recovery with
/// CLONE_GROUP_RECOVER_ABANDON_RESTORE, left it: the operator takes the mixture for
/// what it is. It is flushed first. The Clones stay as they are; their Delta Maps
/// say where they differ from it. Durable at `done`;
/// CLONE_GROUP_EVENT_SOURCE_ACCEPTED follows. If power is lost before, the Source
/// is invalid still or accepted.
///
/// Context: any thread.
/// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK, or the status
/// of the flush or persist callback that failed (the Source is invalid still); or
/// at once CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_STATE (it is valid),
/// CLONE_GROUP_ERR_BUSY, CLONE_GROUP_ERR_NOT_READY,
/// CLONE_GROUP_ERR_METADATA_FAILED.
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_source_accept(group: *mut clone_group, tag: u64) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe { operate(group, 0, Operation::AcceptSource, tag) }
}

/// Gives the restore that runs another Clone: from `done` on, hosts find the data
/// of the Clone `lu` on the Source. **Everything that hosts wrote since the restore
/// began is replaced by it**, acknowledged or not (R38); so is what they read of
/// the first Clone. Hosts are held meanwhile: what was submitted to an LU finishes
/// first, what waits is done on the new content. The Source is never invalid in
/// between. Only extents in which `lu` and the Source differ are copied. The first
/// Clone is Fractured again, untouched; it may be re-targeted to in turn.
///
/// Failed and stalled extents are forgotten; a pause stays.
/// CLONE_GROUP_EVENT_SOURCE_CHANGED follows. If power is lost before `done`, the
/// restore goes on from the one Clone, with what hosts wrote, or from the other.
///
/// Context: any thread. While it waits for what is under way,
/// clone_group_abort() with its tag takes it back, and the restore goes on from
/// the first Clone.
/// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK,
/// CLONE_GROUP_ERR_STATE (the restore came to its end first), or the status of the
/// flush or persist callback that failed (nothing has changed then); or at once
/// CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_NO_LU, CLONE_GROUP_ERR_STATE (no
/// restore runs, it runs from `lu`, or `lu` is not fractured),
/// CLONE_GROUP_ERR_NOT_CONSISTENT (`lu` is OutOfSync), CLONE_GROUP_ERR_BUSY,
/// CLONE_GROUP_ERR_NOT_READY, CLONE_GROUP_ERR_METADATA_FAILED.
/// CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part `cancel`).
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_retarget(group: *mut clone_group, lu: u32, tag: u64) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe { operate(group, 0, Operation::Retarget { lu }, tag) }
}

/// Compares the Clone with the Source, online, wherever its Delta Map says that
/// they are equal; while it is restored from, also outside the Protected Restore
/// Map. It is background work like copies: clone_group_sync_step() does it, with
/// the part of its budget and the copy slots that copies leave; a pause holds
/// it. A host write that meets a comparison makes it count for nothing; the
/// extent is compared again, at last with writes to it held, so that hosts cause
/// no false mismatch and cannot keep it from ending. CLONE_GROUP_EVENT_MISMATCH
/// tells of each of the first 64 extents that differ, CLONE_GROUP_EVENT_VERIFIED
/// of the end; clone_group_clone_query() has the numbers. An extent that cannot
/// be read is counted, and the rest goes on.
///
/// One Verify runs at a time; other operations go on. It ends with
/// CLONE_GROUP_ERR_CANCELED when the Clone leaves its state (but not between
/// Synchronizing and Synchronized), a restore begins or the group is closed. It
/// is not durable: after a power loss it is gone.
/// `flags`: CLONE_GROUP_VERIFY_MARK: what differs goes into the Delta Map. A
/// mirrored Clone is copied to there at once and is Synchronizing until then; a
/// fractured one by the next Synchronization or restore. A Clone that is restored
/// from is only reported on.
///
/// Context: any thread.
/// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK when it has
/// begun, or with what is said below; or at once CLONE_GROUP_ERR_INVALID,
/// CLONE_GROUP_ERR_NO_LU (the number is over clones_max), CLONE_GROUP_ERR_STATE
/// (absent or OutOfSync), CLONE_GROUP_ERR_SOURCE_INVALID,
/// CLONE_GROUP_ERR_NOT_SUPPORTED (the copy buffer has no two halves),
/// CLONE_GROUP_ERR_BUSY (a Verify or another operation runs),
/// CLONE_GROUP_ERR_NOT_READY, CLONE_GROUP_ERR_CLOSED,
/// CLONE_GROUP_ERR_METADATA_FAILED (with CLONE_GROUP_VERIFY_MARK).
/// CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part `verify`).
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_verify(group: *mut clone_group, lu: u32, flags: u32, tag: u64) -> i32 {
    let mark = flags & CLONE_GROUP_VERIFY_MARK != 0;
    // SAFETY: the caller's promise about `group`.
    unsafe { operate(group, flags & !CLONE_GROUP_VERIFY_MARK, Operation::Verify { lu, mark }, tag) }
}

/// Ends the Verify that runs. CLONE_GROUP_EVENT_VERIFIED follows with
/// CLONE_GROUP_ERR_CANCELED when its reads are over.
///
/// Context: any thread.
/// Returns CLONE_GROUP_PENDING, `done` follows with CLONE_GROUP_OK; or at once
/// CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_STATE (none runs),
/// CLONE_GROUP_ERR_BUSY, CLONE_GROUP_ERR_NOT_READY, CLONE_GROUP_ERR_CLOSED.
/// CLONE_GROUP_ERR_NOT_SUPPORTED in a firmware build without it (part `verify`).
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_verify_stop(group: *mut clone_group, tag: u64) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe { operate(group, 0, Operation::StopVerify, tag) }
}

// --------------------------------------------------------------- host I/O
// What all of them return stands at the top of the header.

/// Reads blocks of the Source, of a fractured Clone or of the Clone that is copied
/// to the Source.
///
/// Context: any thread; also from I/O callbacks, `done` and `event`.
/// Returns as host requests do.
///
/// # Safety
/// `group` must be NULL or a live handle. `payload` is only passed on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_host_read(
    group: *mut clone_group,
    lu: u32,
    first_block: u64,
    block_count: u64,
    payload: *mut c_void,
    flags: u32,
    tag: u64,
) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe { host(group, HostOperation::Read, lu, first_block, block_count, payload, flags, tag) }
}

/// Writes blocks of the Source or of a fractured Clone. A power loss before the
/// request is done leaves the old or the new data in each block.
///
/// Compare-and-write, and whatever else reads what it writes, is the controller's:
/// clone_group_host_read(), then clone_group_host_write(), under a lock of its own
/// over the range, from the first to the end of the second (R66).
///
/// `flags`: CLONE_GROUP_HOST_FUA, CLONE_GROUP_HOST_UNSTABLE.
///
/// Context: any thread; also from I/O callbacks, `done` and `event`.
/// Returns as host requests do.
///
/// # Safety
/// `group` must be NULL or a live handle. `payload` is only passed on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_host_write(
    group: *mut clone_group,
    lu: u32,
    first_block: u64,
    block_count: u64,
    payload: *const c_void,
    flags: u32,
    tag: u64,
) -> i32 {
    let payload = payload.cast_mut();
    // SAFETY: the caller's promise about `group`.
    unsafe { host(group, HostOperation::Write, lu, first_block, block_count, payload, flags, tag) }
}

/// Writes zeroes (R65). Needs the `write_zeroes` callback.
/// `flags`: CLONE_GROUP_HOST_FUA.
///
/// Context: any thread; also from I/O callbacks, `done` and `event`.
/// Returns as host requests do, or CLONE_GROUP_ERR_NOT_SUPPORTED.
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_host_write_zeroes(
    group: *mut clone_group,
    lu: u32,
    first_block: u64,
    block_count: u64,
    flags: u32,
    tag: u64,
) -> i32 {
    let payload = core::ptr::null_mut();
    // SAFETY: the caller's promise about `group`.
    unsafe { host(group, HostOperation::WriteZeroes, lu, first_block, block_count, payload, flags, tag) }
}

/// Discards blocks. A hint: where extents still have to be copied by a restore it
/// does nothing, unless the LU declares CLONE_GROUP_LU_DISCARD_ZEROES: then it is a
/// write-zeroes (R65). While a Clone is synchronized it is one too, unless both LUs
/// declare that; without the `write_zeroes` callback it then does nothing.
///
/// Context: any thread; also from I/O callbacks, `done` and `event`.
/// Returns as host requests do, or CLONE_GROUP_ERR_NOT_SUPPORTED: the LU declares
/// zeroes after a discard, and there is no callback that makes them.
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_host_discard(
    group: *mut clone_group,
    lu: u32,
    first_block: u64,
    block_count: u64,
    flags: u32,
    tag: u64,
) -> i32 {
    let payload = core::ptr::null_mut();
    // SAFETY: the caller's promise about `group`.
    unsafe { host(group, HostOperation::Discard, lu, first_block, block_count, payload, flags, tag) }
}

/// Makes every write to this LU that was done before the call durable (R22).
///
/// Context: any thread; also from I/O callbacks, `done` and `event`.
/// Returns as host requests do. A flush that fails is data loss of unknown extent:
/// flushing again does not bring it back (R24).
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_host_flush(group: *mut clone_group, lu: u32, tag: u64) -> i32 {
    let payload = core::ptr::null_mut();
    // SAFETY: the caller's promise about `group`.
    unsafe { host(group, HostOperation::Flush, lu, 0, 0, payload, 0, tag) }
}

/// Aborts a host request that waits in the library (R83). Its `done` call follows
/// with CLONE_GROUP_ERR_CANCELED. One that was submitted to an LU runs to its end.
/// An operation ends so, too, unless its superblock is being written (R76).
///
/// Context: any thread; also from I/O callbacks, `done` and `event`.
/// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID,
/// CLONE_GROUP_ERR_NO_REQUEST (none that waits has this tag).
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_abort(group: *mut clone_group, tag: u64) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe {
        handle::with(group, |handle| {
            handle.locked(|group| group.abort(tag))?;
            handle.wake();
            Ok(CLONE_GROUP_OK)
        })
    }
}

// ----------------------------------------------------------------- engines

/// Takes in completions and moves everything that waits: the COD Queue, metadata,
/// operations; `done` and `event` are called from here. Begins no background
/// copy. At most `budget` callbacks are called; with 0 nothing happens.
///
/// Context: any thread; not from a callback. A call that finds another poll
/// running returns CLONE_GROUP_MORE at once.
/// Returns CLONE_GROUP_OK (idle), CLONE_GROUP_PENDING (waiting for I/O),
/// CLONE_GROUP_MORE (call again), or CLONE_GROUP_ERR_INVALID,
/// CLONE_GROUP_ERR_INTERNAL.
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_cod_poll(group: *mut clone_group, budget: u32) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe { handle::with(group, |handle| pump::poll(handle, budget, 0)) }
}

/// Does what clone_group_cod_poll() does, and begins background copies of at most
/// `budget` extents, so that a loop over it alone finishes every copy. How often
/// it is called, and with which budget, is the controller's throttle; host
/// requests that wait for a copy come first (R69). When it returns CLONE_GROUP_OK
/// there is nothing left to copy (or copies are paused or stalled).
///
/// Context: any thread; not from a callback.
/// Returns as clone_group_cod_poll().
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_sync_step(group: *mut clone_group, budget: u32) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe { handle::with(group, |handle| pump::poll(handle, pump::CALLBACKS_PER_STEP, budget)) }
}

/// Reports the end of an I/O whose callback returned CLONE_GROUP_PENDING. Takes no
/// lock and only records: the next poll acts on it. It may call `wake`.
///
/// Context: any context, including interrupts and the callback itself.
/// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_STALE_IO
/// (completed twice, or never begun; nothing happens then).
///
/// # Safety
/// `group` must be NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_io_complete(group: *mut clone_group, id: u64, status: i32) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe {
        handle::with_any(group, |handle| {
            handle.completions().complete(id, status)?;
            handle.wake();
            Ok(CLONE_GROUP_OK)
        })
    }
}

// ----------------------------------------------------------------- queries

/// State of the group.
///
/// Context: any thread; also from callbacks.
/// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID.
///
/// # Safety
/// `group` must be NULL or a live handle, `info` NULL or writable for its `struct_size`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_query(group: *mut clone_group, info: *mut clone_group_info) -> i32 {
    // SAFETY: the caller's promise about both pointers.
    unsafe {
        handle::with_any(group, |handle| {
            let filled = structs::group_info(handle.locked(|group| group.info()), handle.is_poisoned());
            structs::output_prefix(info, filled)
        })
    }
}

/// State of a Clone. One that is absent is described as such.
///
/// Context: any thread; also from callbacks.
/// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_NO_LU.
///
/// # Safety
/// `group` must be NULL or a live handle, `info` NULL or writable for its `struct_size`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_clone_query(
    group: *mut clone_group,
    lu: u32,
    info: *mut clone_group_clone_info,
) -> i32 {
    // SAFETY: the caller's promise about both pointers.
    unsafe {
        handle::with_any(group, |handle| {
            let filled = structs::clone_info(lu, handle.locked(|group| group.clone_info(lu))?);
            structs::output_prefix(info, filled)
        })
    }
}

/// What became of the I/O of an LU since it was attached: errors by LU.
///
/// Context: any thread; also from callbacks.
/// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID, CLONE_GROUP_ERR_NO_LU,
/// CLONE_GROUP_ERR_NOT_SUPPORTED (part `queries` left out).
///
/// # Safety
/// `group` must be NULL or a live handle, `info` NULL or writable for its `struct_size`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_lu_query(
    group: *mut clone_group,
    lu: u32,
    info: *mut clone_group_lu_info,
) -> i32 {
    // SAFETY: the caller's promise about both pointers.
    unsafe {
        handle::with_any(group, |handle| {
            parts::needs(parts::QUERIES)?;
            let filled = structs::lu_info(handle.locked(|group| group.lu_info(lu))?);
            structs::output_prefix(info, filled)
        })
    }
}

/// Counters since create.
///
/// Context: any thread; also from callbacks.
/// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID, or CLONE_GROUP_ERR_NOT_SUPPORTED
/// (part `queries` left out).
///
/// # Safety
/// `group` must be NULL or a live handle, `statistics` NULL or writable for its `struct_size`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_statistics_query(
    group: *mut clone_group,
    statistics: *mut clone_group_statistics,
) -> i32 {
    // SAFETY: the caller's promise about both pointers.
    unsafe {
        handle::with_any(group, |handle| {
            parts::needs(parts::QUERIES)?;
            let filled = structs::statistics(&handle.locked(|group| group.statistics()));
            structs::output_prefix(statistics, filled)
        })
    }
}

/// Copies a range of a map: bit 0 of byte 0 is `first_extent`, bit 1 the next one.
/// Bits behind `extent_count` in the last byte are 0.
/// `map`: CLONE_GROUP_MAP_ kind; `lu` for CLONE_GROUP_MAP_DELTA.
///
/// Context: any thread; also from callbacks.
/// Returns CLONE_GROUP_OK, or CLONE_GROUP_ERR_INVALID (unknown map, NULL, or
/// `bits_bytes` under (extent_count + 7) / 8), CLONE_GROUP_ERR_RANGE,
/// CLONE_GROUP_ERR_NO_LU, CLONE_GROUP_ERR_NOT_SUPPORTED (part `queries`
/// left out). Nothing is written on an error.
///
/// # Safety
/// `group` must be NULL or a live handle, `bits` NULL or `bits_bytes` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clone_group_map_read(
    group: *mut clone_group,
    map: u32,
    lu: u32,
    first_extent: u64,
    extent_count: u64,
    bits: *mut u8,
    bits_bytes: u64,
) -> i32 {
    // SAFETY: the caller's promise about `group` and `bits`.
    unsafe {
        handle::with(group, |handle| {
            parts::needs(parts::QUERIES)?;
            let map = structs::map_kind(map)?;
            let bits = structs::bytes(bits, bits_bytes)?;
            handle.locked(|group| group.read_map(map, lu, first_extent, extent_count, bits))?;
            Ok(CLONE_GROUP_OK)
        })
    }
}

/// Hands an operation to the group; a poll does it.
///
/// # Safety
/// `group` must be NULL or a live handle.
unsafe fn operate(group: *mut clone_group, unknown_flags: u32, operation: Operation, tag: u64) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe { operate_labelled(group, unknown_flags, operation, &[0; 64], tag) }
}

/// As [`operate`], with a label for the Clone.
///
/// # Safety
/// As for [`operate`].
unsafe fn operate_labelled(
    group: *mut clone_group,
    unknown_flags: u32,
    operation: Operation,
    label: &[u8; 64],
    tag: u64,
) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe {
        handle::with(group, |handle| {
            if unknown_flags != 0 {
                return Err(Error::Invalid);
            }
            handle.locked(|group| group.operate(operation, label, tag))?;
            handle.wake();
            Ok(CLONE_GROUP_PENDING)
        })
    }
}

/// Hands a host request to the group and issues what it needs at once.
///
/// # Safety
/// `group` must be NULL or a live handle.
#[allow(clippy::too_many_arguments)]
unsafe fn host(
    group: *mut clone_group,
    operation: HostOperation,
    lu: u32,
    first_block: u64,
    block_count: u64,
    payload: *mut c_void,
    flags: u32,
    tag: u64,
) -> i32 {
    // SAFETY: the caller's promise about `group`.
    unsafe {
        handle::with(group, |handle| {
            if flags & !(CLONE_GROUP_HOST_FUA | CLONE_GROUP_HOST_UNSTABLE) != 0 {
                return Err(Error::Invalid);
            }
            let request = HostRequest {
                operation,
                lu,
                first_block,
                block_count,
                payload: Payload(payload),
                fua: flags & CLONE_GROUP_HOST_FUA != 0,
                unstable: flags & CLONE_GROUP_HOST_UNSTABLE != 0,
                tag,
            };
            pump::submit(handle, request)
        })
    }
}
