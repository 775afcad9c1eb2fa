//! The verbs by which integrators know the interface, under exactly those names.
//! A build without the feature `bare-names` leaves them out.

use core::ffi::c_void;

use super::calls;
use super::types::clone_group;

/// clone_group_host_write() under its short name.
///
/// # Safety
/// As clone_group_host_write().
#[cfg(feature = "bare-names")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn host_write(
    group: *mut clone_group,
    lu: u32,
    first_block: u64,
    block_count: u64,
    payload: *const c_void,
    flags: u32,
    tag: u64,
) -> i32 {
    // SAFETY: the same promise.
    unsafe { calls::clone_group_host_write(group, lu, first_block, block_count, payload, flags, tag) }
}

/// clone_group_cod_poll() under its short name.
///
/// # Safety
/// As clone_group_cod_poll().
#[cfg(feature = "bare-names")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cod_poll(group: *mut clone_group, budget: u32) -> i32 {
    // SAFETY: the same promise.
    unsafe { calls::clone_group_cod_poll(group, budget) }
}

/// clone_group_sync_step() under its short name.
///
/// # Safety
/// As clone_group_sync_step().
#[cfg(feature = "bare-names")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sync_step(group: *mut clone_group, budget: u32) -> i32 {
    // SAFETY: the same promise.
    unsafe { calls::clone_group_sync_step(group, budget) }
}

/// clone_group_recover() under its short name.
///
/// # Safety
/// As clone_group_recover().
#[cfg(feature = "bare-names")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recover(group: *mut clone_group, flags: u32, tag: u64) -> i32 {
    // SAFETY: the same promise.
    unsafe { calls::clone_group_recover(group, flags, tag) }
}
