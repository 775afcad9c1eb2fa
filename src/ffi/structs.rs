//! Structs between C and the core: read by copying the prefix that both sides know, written the same way.

use core::ffi::c_void;

use super::types::*;
use crate::config::Config;
use crate::error::Error;
use crate::event::Event;
use crate::geometry::{Geometry, count32};
use crate::lu::LuFlags;
use crate::query::{CloneInfo, GroupInfo, LuInfo, MapKind};
use crate::statistics::Statistics;

/// The size of a struct as its first field says.
pub(super) fn size_field<T>() -> u32 {
    count32(crate::geometry::count(size_of::<T>()))
}

/// Zeroes a struct of the caller's and notes its size in it.
///
/// # Safety
/// `place` is NULL or points to `struct_size` writable bytes, aligned for `u32`.
pub(super) unsafe fn init(place: *mut u8, struct_size: u32) -> i32 {
    let bytes = crate::geometry::index(u64::from(struct_size));
    if place.is_null() || bytes < size_of::<u32>() {
        return CLONE_GROUP_ERR_INVALID;
    }
    // SAFETY: the caller's promise; at most `struct_size` bytes are written.
    unsafe {
        place.write_bytes(0, bytes);
        place.cast::<u32>().write_unaligned(struct_size);
    }
    CLONE_GROUP_OK
}

/// Copies a struct of the caller's: what it lacks reads as zero, what this library does not know must be zero.
///
/// # Safety
/// `from` is NULL or points to as many readable bytes as its first `u32` says.
unsafe fn prefix<T: Copy>(from: *const T, zero: T) -> Result<T, Error> {
    if from.is_null() || !from.is_aligned() {
        return Err(Error::Invalid);
    }
    // SAFETY: every struct begins with its size.
    let struct_size = crate::geometry::index(u64::from(unsafe { from.cast::<u32>().read() }));
    if struct_size < size_of::<u32>() {
        return Err(Error::Invalid);
    }
    let known = struct_size.min(size_of::<T>());
    let mut copy = zero;
    // SAFETY: both sides have at least `known` bytes; every field is an integer, an array of them or a pointer, for
    // which any bytes are a value.
    unsafe { core::ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut copy).cast::<u8>(), known) };
    for at in known..struct_size {
        // SAFETY: inside the caller's struct.
        if unsafe { from.cast::<u8>().wrapping_add(at).read() } != 0 {
            return Err(Error::StructSize);
        }
    }
    Ok(copy)
}

/// Copies a result to the caller.
///
/// # Safety
/// `to` is NULL or writable.
pub(super) unsafe fn output<T>(to: *mut T, value: T) -> Result<i32, Error> {
    if to.is_null() || !to.is_aligned() {
        return Err(Error::Invalid);
    }
    // SAFETY: checked and promised.
    unsafe { to.write(value) };
    Ok(CLONE_GROUP_OK)
}

/// Copies as much of a struct to the caller as the caller's own first field says it has.
///
/// # Safety
/// `to` is NULL or points to as many writable bytes as its first `u32` says.
pub(super) unsafe fn output_prefix<T>(to: *mut T, value: T) -> Result<i32, Error> {
    if to.is_null() || !to.is_aligned() {
        return Err(Error::Invalid);
    }
    // SAFETY: every struct begins with its size.
    let struct_size = crate::geometry::index(u64::from(unsafe { to.cast::<u32>().read() }));
    if struct_size < size_of::<u32>() {
        return Err(Error::Invalid);
    }
    let known = struct_size.min(size_of::<T>());
    // SAFETY: both sides have at least `known` bytes.
    unsafe {
        core::ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), to.cast::<u8>(), known);
        to.cast::<u32>().write(count32(crate::geometry::count(known)));
    }
    Ok(CLONE_GROUP_OK)
}

/// Reads and checks a configuration.
///
/// # Safety
/// As for [`prefix`].
#[inline(never)]
pub(super) unsafe fn config(from: *const clone_group_config) -> Result<Config, Error> {
    let zero = clone_group_config {
        struct_size: 0,
        flags: 0,
        lu_blocks: 0,
        block_bytes: 0,
        extent_blocks: 0,
        clones_max: 0,
        requests_max: 0,
        copies_max: 0,
        copy_buffer_bytes: 0,
        buffer_align_bytes: 0,
        persist_unit_bytes: 0,
        page_bytes: 0,
        page_writes_max: 0,
        intent_extents_max: 0,
        recopies_max: 0,
        group_id: [0; 16],
    };
    // SAFETY: the caller's promise.
    let given = unsafe { prefix(from, zero)? };
    let known = CLONE_GROUP_CONFIG_HOST_DURABLE
        | CLONE_GROUP_CONFIG_REDIRECT_READS
        | CLONE_GROUP_CONFIG_MAP_PER_CLONE
        | CLONE_GROUP_CONFIG_SKIP_EQUAL;
    if given.flags & !known != 0 {
        return Err(Error::StructSize);
    }
    let or = |value: u32, default: u32| if value == 0 { default } else { value };
    let block_bytes = or(given.block_bytes, 512);
    let extent_default = (65536 >> block_bytes.checked_ilog2().unwrap_or(0)).max(1);
    let persist_unit_bytes = or(given.persist_unit_bytes, 4096);
    let config = Config {
        geometry: Geometry::new(given.lu_blocks, block_bytes, or(given.extent_blocks, extent_default))?,
        host_durable: given.flags & CLONE_GROUP_CONFIG_HOST_DURABLE != 0,
        redirect_reads: given.flags & CLONE_GROUP_CONFIG_REDIRECT_READS != 0,
        map_per_clone: given.flags & CLONE_GROUP_CONFIG_MAP_PER_CLONE != 0,
        clones_max: or(given.clones_max, 1),
        requests_max: or(given.requests_max, 128),
        copies_max: or(given.copies_max, 4),
        copy_buffer_bytes: or(given.copy_buffer_bytes, 1 << 20),
        buffer_align_bytes: or(given.buffer_align_bytes, 4096),
        persist_unit_bytes,
        page_bytes: or(given.page_bytes, persist_unit_bytes),
        page_writes_max: or(given.page_writes_max, 4),
        intent_extents_max: or(given.intent_extents_max, 4096),
        recopies_max: or(given.recopies_max, 3),
        group_id: given.group_id,
        skip_equal: given.flags & CLONE_GROUP_CONFIG_SKIP_EQUAL != 0,
    };
    config.check()?;
    Ok(config)
}

/// Reads and checks the callbacks.
///
/// # Safety
/// As for [`prefix`].
#[inline(never)]
pub(super) unsafe fn ops(from: *const clone_group_ops) -> Result<clone_group_ops, Error> {
    let none = clone_group_ops {
        struct_size: 0,
        reserved: 0,
        context: core::ptr::null_mut(),
        read: None,
        write: None,
        flush: None,
        discard: None,
        write_zeroes: None,
        copy: None,
        persist_read: None,
        persist_write: None,
        persist_flush: None,
        done: None,
        event: None,
        wake: None,
        enter_critical: None,
        leave_critical: None,
        clock: None,
        log: None,
    };
    // SAFETY: the caller's promise.
    let ops = unsafe { prefix(from, none)? };
    if ops.reserved != 0 {
        return Err(Error::StructSize);
    }
    let required = ops.read.is_some()
        && ops.write.is_some()
        && ops.persist_read.is_some()
        && ops.persist_write.is_some()
        && ops.done.is_some()
        && ops.enter_critical.is_some() == ops.leave_critical.is_some();
    if required { Ok(ops) } else { Err(Error::CallbackMissing) }
}

/// Reads the description of an LU.
///
/// # Safety
/// As for [`prefix`].
pub(super) unsafe fn lu(from: *const clone_group_lu) -> Result<(LuFlags, [u8; 16]), Error> {
    // SAFETY: the caller's promise.
    let given = unsafe { prefix(from, clone_group_lu { struct_size: 0, flags: 0, identity: [0; 16] })? };
    if given.flags & !(CLONE_GROUP_LU_VOLATILE_CACHE | CLONE_GROUP_LU_DISCARD_ZEROES) != 0 {
        return Err(Error::StructSize);
    }
    let flags = LuFlags {
        volatile_cache: given.flags & CLONE_GROUP_LU_VOLATILE_CACHE != 0,
        discard_zeroes: given.flags & CLONE_GROUP_LU_DISCARD_ZEROES != 0,
    };
    Ok((flags, given.identity))
}

/// Reads a label.
///
/// # Safety
/// `from` is NULL or points to 64 readable bytes.
pub(super) unsafe fn label(from: *const u8) -> [u8; 64] {
    // SAFETY: the caller's promise; bytes need no alignment.
    if from.is_null() { [0; 64] } else { unsafe { from.cast::<[u8; 64]>().read() } }
}

/// The kind of a map.
pub(super) fn map_kind(map: u32) -> Result<MapKind, Error> {
    match map {
        CLONE_GROUP_MAP_DELTA => Ok(MapKind::Delta),
        CLONE_GROUP_MAP_PROTECTED_RESTORE => Ok(MapKind::ProtectedRestore),
        CLONE_GROUP_MAP_PERSISTENT_DELTA => Ok(MapKind::PersistentDelta),
        _ => Err(Error::Invalid),
    }
}

/// Memory of the caller's.
///
/// # Safety
/// `from` is NULL or points to so many writable bytes, which nobody else uses meanwhile.
pub(super) unsafe fn bytes<'a>(from: *mut u8, bytes: u64) -> Result<&'a mut [u8], Error> {
    let length = usize::try_from(bytes)
        .ok()
        .filter(|&length| isize::try_from(length).is_ok())
        .ok_or(Error::Invalid)?;
    if from.is_null() {
        return Err(Error::Invalid);
    }
    // SAFETY: checked and promised.
    Ok(unsafe { core::slice::from_raw_parts_mut(from, length) })
}

fn flag(set: bool, bit: u32) -> u32 {
    if set { bit } else { 0 }
}

/// State of a group for C.
pub(super) fn group_info(info: GroupInfo, poisoned: bool) -> clone_group_info {
    clone_group_info {
        struct_size: size_field::<clone_group_info>(),
        state: info.state.number(),
        conditions: flag(info.metadata_failed, CLONE_GROUP_CONDITION_METADATA_FAILED)
            | flag(info.paused, CLONE_GROUP_CONDITION_PAUSED)
            | flag(info.source_invalid, CLONE_GROUP_CONDITION_SOURCE_INVALID)
            | flag(poisoned, CLONE_GROUP_CONDITION_POISONED)
            | flag(info.prepared, CLONE_GROUP_CONDITION_PREPARED),
        restoring_lu: info.restoring,
        extents_total: info.extents,
        restore_generation: info.restore_generation,
        protected_restore_extents: info.protected_restore_extents,
        persistent_delta_extents: info.persistent_delta_extents,
        requests: info.requests,
        cod_queue_depth: info.cod_queue_depth,
        reversing_lu: info.reversing,
        reserved: 0,
        set_id: info.set_id,
    }
}

/// State of a Clone for C.
pub(super) fn clone_info(lu: u32, info: CloneInfo) -> clone_group_clone_info {
    clone_group_clone_info {
        struct_size: size_field::<clone_group_clone_info>(),
        lu,
        state: info.record.state.number(),
        conditions: flag(info.stalled, CLONE_GROUP_CONDITION_STALLED)
            | flag(info.record.failed, CLONE_GROUP_CONDITION_FAILED)
            | flag(info.restorable, CLONE_GROUP_CONDITION_RESTORABLE)
            | flag(info.verify.verifying, CLONE_GROUP_CONDITION_VERIFYING),
        extents_left: info.extents_left,
        extents_copied: info.extents_copied,
        extents_failed: info.extents_failed,
        first_failed_extent: info.first_failed_extent,
        identity: info.record.identity,
        label: info.record.label,
        extents_to_copy: info.extents_to_copy,
        copy_time_ns: info.copy_time_ns,
        extents_skipped: info.extents_skipped,
        verify_extents_left: info.verify.extents_left,
        verify_extents_failed: info.verify.extents_failed,
        mismatched_extents: info.verify.mismatches,
        first_mismatched_extents: info.verify.first_mismatches,
    }
}

/// What became of the I/O of an LU, for C.
pub(super) fn lu_info(info: LuInfo) -> clone_group_lu_info {
    let flags = info.flags.unwrap_or_default();
    clone_group_lu_info {
        struct_size: size_field::<clone_group_lu_info>(),
        flags: flag(flags.volatile_cache, CLONE_GROUP_LU_VOLATILE_CACHE)
            | flag(flags.discard_zeroes, CLONE_GROUP_LU_DISCARD_ZEROES),
        reads: info.counters.reads,
        writes: info.counters.writes,
        flushes: info.counters.flushes,
        read_errors: info.counters.read_errors,
        write_errors: info.counters.write_errors,
        flush_errors: info.counters.flush_errors,
        identity: info.identity,
    }
}

/// Counters for C.
pub(super) fn statistics(counters: &Statistics) -> clone_group_statistics {
    clone_group_statistics {
        struct_size: size_field::<clone_group_statistics>(),
        cod_queue_peak: counters.cod_queue_peak,
        host_reads: counters.host_reads,
        host_writes: counters.host_writes,
        host_flushes: counters.host_flushes,
        redirected_reads: counters.redirected_reads,
        cod_queued: counters.cod_queued,
        cod_extents: counters.cod_extents,
        sync_extents: counters.sync_extents,
        sync_copies: counters.sync_copies,
        overwritten_extents: counters.overwritten_extents,
        collisions: counters.collisions,
        exclusive_copies: counters.exclusive_copies,
        page_writes: counters.page_writes,
        page_waits: counters.page_waits,
        superblock_writes: counters.superblock_writes,
        engine_flushes: counters.engine_flushes,
        io_errors: counters.io_errors,
        metadata_errors: counters.metadata_errors,
        cod_wait_ns_max: counters.cod_wait_ns_max,
        cod_wait_ns_total: counters.cod_wait_ns_total,
        skipped_extents: counters.skipped_extents,
        verified_extents: counters.verified_extents,
        mismatched_extents: counters.mismatched_extents,
    }
}

/// An event for C, and its log level.
pub(super) fn event(event: &Event) -> (clone_group_event, u32) {
    let (kind, level, name, text) = event.kind.describe();
    let (name, text) = if crate::parts::TEXTS { (name, text) } else { (c"", c"") };
    let event = clone_group_event {
        struct_size: size_field::<clone_group_event>(),
        kind,
        lu: event.lu.unwrap_or(CLONE_GROUP_LU_NONE),
        status: event.status,
        value: event.value,
        text: text.as_ptr(),
        name: name.as_ptr(),
    };
    (event, level)
}

/// An I/O for C.
pub(super) fn io(offer: &crate::io::IoOffer, buffer: *mut c_void) -> clone_group_io {
    use crate::io::{IoOperation, Purpose};
    let io = &offer.io;
    let host = matches!(io.purpose, Purpose::Leg(_));
    let of_area = matches!(
        io.operation,
        IoOperation::PersistRead | IoOperation::PersistWrite | IoOperation::PersistFlush
    );
    clone_group_io {
        struct_size: size_field::<clone_group_io>(),
        operation: match io.operation {
            IoOperation::Read => CLONE_GROUP_IO_READ,
            IoOperation::Write => CLONE_GROUP_IO_WRITE,
            IoOperation::Flush => CLONE_GROUP_IO_FLUSH,
            IoOperation::Discard => CLONE_GROUP_IO_DISCARD,
            IoOperation::WriteZeroes => CLONE_GROUP_IO_WRITE_ZEROES,
            IoOperation::Copy => CLONE_GROUP_IO_COPY,
            IoOperation::PersistRead => CLONE_GROUP_IO_PERSIST_READ,
            IoOperation::PersistWrite => CLONE_GROUP_IO_PERSIST_WRITE,
            IoOperation::PersistFlush => CLONE_GROUP_IO_PERSIST_FLUSH,
        },
        id: offer.id,
        lu: if of_area { CLONE_GROUP_LU_NONE } else { io.lu },
        flags: flag(io.fua, CLONE_GROUP_IO_FUA)
            | flag(host, CLONE_GROUP_IO_HOST)
            | flag(io.urgent, CLONE_GROUP_IO_URGENT),
        first_block: io.blocks.first.0,
        block_count: io.blocks.count(),
        offset_bytes: offer.offset.0,
        length_bytes: offer.length.0,
        source_lu: if io.operation == IoOperation::Copy { io.source_lu } else { CLONE_GROUP_LU_NONE },
        reserved: 0,
        buffer,
        payload: io.payload.0,
    }
}
