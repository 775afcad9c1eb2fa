//! The handle: a group behind its lock, and what calls need without the lock.

use core::ffi::c_void;

use super::types::{CLONE_GROUP_OK, clone_group, clone_group_ops};
use super::workspace::{self, Buffers, Plan};
use crate::atomic::{AtomicBool, AtomicU32, Mutex, MutexGuard, Ordering};
use crate::completion::Completions;
use crate::config::{Capabilities, Config};
use crate::error::Error;
use crate::group::Group;
use crate::turn::{Polling, Turn};

/// Marks a live handle.
const LIVE: u32 = 0x4347_4c56;

/// What the opaque pointer of the C ABI points to. Shared, never `&mut`.
pub(super) struct Handle {
    live: AtomicU32,
    group: Mutex<&'static mut Group<'static>>,
    completions: Completions<'static>,
    ops: clone_group_ops,
    buffers: Buffers,
    turn: Turn,
    poisoned: AtomicBool,
    /// The workspace, if the library allocated it.
    allocated: *mut c_void,
}

impl Handle {
    pub(super) fn ops(&self) -> &clone_group_ops {
        &self.ops
    }

    pub(super) fn completions(&self) -> &Completions<'static> {
        &self.completions
    }

    pub(super) fn buffers(&self) -> Buffers {
        self.buffers
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// Calls `work` with the lock held. It must not call the controller.
    pub(super) fn locked<R>(&self, work: impl FnOnce(&mut Group<'static>) -> R) -> R {
        work(&mut self.lock().group)
    }

    /// Takes the lock. Whoever holds it must not call the controller.
    pub(super) fn lock(&self) -> Locked<'_> {
        let critical = Critical::enter(&self.ops);
        let group = self.group.lock();
        Locked { _mark: PoisonMark { poisoned: &self.poisoned }, group, _critical: critical }
    }

    /// Tells a sleeping controller that there is work for a poll.
    pub(super) fn wake(&self) {
        if let Some(wake) = self.ops.wake
            && self.turn.wake()
        {
            // SAFETY: the controller's own function and context.
            unsafe { wake(self.ops.context) };
        }
    }

    /// Makes this call the one poll that runs.
    pub(super) fn begin_poll(&self) -> Option<Polling<'_>> {
        self.turn.begin()
    }
}

/// Between `enter_critical` and `leave_critical`.
struct Critical<'a> {
    ops: &'a clone_group_ops,
}

impl<'a> Critical<'a> {
    fn enter(ops: &'a clone_group_ops) -> Critical<'a> {
        if let Some(enter) = ops.enter_critical {
            // SAFETY: the controller's own function and context.
            unsafe { enter(ops.context) };
        }
        Critical { ops }
    }
}

impl Drop for Critical<'_> {
    fn drop(&mut self) {
        if let Some(leave) = self.ops.leave_critical {
            // SAFETY: the controller's own function and context.
            unsafe { leave(self.ops.context) };
        }
    }
}

/// A group whose lock is held, until it is dropped.
pub(super) struct Locked<'a> {
    // Dropped in this order: a panic is noted before the lock is released.
    _mark: PoisonMark<'a>,
    /// The group.
    pub(super) group: MutexGuard<'a, &'static mut Group<'static>>,
    _critical: Critical<'a>,
}

/// Poisons the group if a panic unwinds past it, before the lock is released.
struct PoisonMark<'a> {
    poisoned: &'a AtomicBool,
}

impl Drop for PoisonMark<'_> {
    fn drop(&mut self) {
        #[cfg(feature = "std")]
        if std::thread::panicking() {
            self.poisoned.store(true, Ordering::Release);
        }
        let _ = self.poisoned;
    }
}

/// Runs the body of an entry point: errors become statuses, and in the hosted build a panic ends here.
pub(super) fn guard(handle: Option<&Handle>, body: impl FnOnce() -> Result<i32, Error>) -> i32 {
    #[cfg(feature = "std")]
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or_else(|_| {
        if let Some(handle) = handle {
            handle.poisoned.store(true, Ordering::Release);
        }
        Err(Error::Internal)
    });
    #[cfg(not(feature = "std"))]
    let result = {
        let _ = handle;
        body()
    };
    result.unwrap_or_else(Error::status)
}

/// Runs the body of an entry point on a live handle.
///
/// # Safety
/// `group` is NULL or was made by [`create`] and its workspace is still there.
pub(super) unsafe fn with(group: *mut clone_group, body: impl FnOnce(&Handle) -> Result<i32, Error>) -> i32 {
    // SAFETY: the caller's promise.
    let Some(handle) = (unsafe { live(group.cast()) }) else {
        return Error::Invalid.status();
    };
    if handle.is_poisoned() {
        return Error::Internal.status();
    }
    guard(Some(handle), || body(handle))
}

/// As [`with`], for what must work on a poisoned group too: devices go on until they are done (R82).
///
/// # Safety
/// As for [`with`].
pub(super) unsafe fn with_any(
    group: *mut clone_group,
    body: impl FnOnce(&Handle) -> Result<i32, Error>,
) -> i32 {
    // SAFETY: the caller's promise.
    match unsafe { live(group.cast()) } {
        Some(handle) => guard(Some(handle), || body(handle)),
        None => Error::Invalid.status(),
    }
}

/// # Safety
/// As for [`with`].
unsafe fn live<'a>(handle: *mut Handle) -> Option<&'a Handle> {
    if handle.is_null() || !handle.is_aligned() {
        return None;
    }
    // SAFETY: not NULL, aligned, and the caller promises the rest.
    let handle = unsafe { &*handle };
    (handle.live.load(Ordering::Acquire) == LIVE).then_some(handle)
}

/// Makes a group in the workspace.
///
/// # Safety
/// `workspace` is NULL or points to `bytes` of memory that nobody else uses until [`destroy`].
#[inline(never)]
pub(super) unsafe fn create(
    config: &Config,
    ops: &clone_group_ops,
    workspace: *mut c_void,
    bytes: u64,
) -> Result<*mut Handle, Error> {
    // Borrowed, not moved out of the result: a second copy would stand on the stack.
    let plan = Plan::new(config);
    let plan = plan.as_ref().map_err(|error| *error)?;
    let align = crate::geometry::index(u64::from(config.buffer_align_bytes));
    let (base, allocated) = if workspace.is_null() && bytes == 0 {
        let allocated = allocate(plan.total(), align)?;
        (allocated, allocated)
    } else {
        (workspace, core::ptr::null_mut())
    };
    let fits = bytes >= crate::geometry::count(plan.total()) || !allocated.is_null();
    if base.is_null() || !fits || base.addr() & align.wrapping_sub(1) != 0 {
        return Err(Error::Workspace);
    }
    let base = base.cast::<u8>();
    let capabilities = Capabilities {
        discard: ops.discard.is_some(),
        write_zeroes: ops.write_zeroes.is_some(),
        copy: ops.copy.is_some(),
        persist_flush: ops.persist_flush.is_some(),
    };
    let handle = base.wrapping_add(plan.handle_offset()).cast::<Handle>();
    // SAFETY: the workspace is large enough and aligned, and nobody else uses it.
    unsafe {
        workspace::zero_buffers(base, plan);
        let group = plan.carve(base, config, capabilities)?;
        let completions = group.completions;
        super::workspace::write_in_place!(
            handle,
            Handle {
                live: AtomicU32::new(LIVE),
                group: Mutex::new(group),
                completions: completions,
                ops: *ops,
                buffers: plan.buffers(base),
                turn: Turn::new(),
                poisoned: AtomicBool::new(false),
                allocated: allocated,
            }
        );
    }
    Ok(handle)
}

/// Ends a group (R82).
///
/// # Safety
/// As for [`with`], and no other call is in progress.
pub(super) unsafe fn destroy(handle: *mut Handle) -> Result<i32, Error> {
    // SAFETY: the caller's promise.
    let live = unsafe { live(handle) }.ok_or(Error::Invalid)?;
    if live.turn.is_taken() || live.locked(|group| group.devices_busy()) {
        return Err(Error::Busy);
    }
    // The others would wait for its vote in vain.
    live.locked(|group| group.leave_set(Error::Canceled.status()));
    live.live.store(0, Ordering::Release);
    let allocated = live.allocated;
    release(allocated);
    Ok(CLONE_GROUP_OK)
}

/// Memory for a workspace that the caller did not bring.
#[cfg(feature = "std")]
fn allocate(bytes: usize, align: usize) -> Result<*mut c_void, Error> {
    let mut memory = core::ptr::null_mut();
    // SAFETY: a pointer to write to, a power of two that is a multiple of a pointer's size, a size.
    let failed = unsafe { libc::posix_memalign(&raw mut memory, align.max(size_of::<usize>()), bytes) };
    if failed == 0 { Ok(memory) } else { Err(Error::NoMemory) }
}

#[cfg(not(feature = "std"))]
fn allocate(_bytes: usize, _align: usize) -> Result<*mut c_void, Error> {
    Err(Error::Workspace)
}

#[cfg(feature = "std")]
fn release(memory: *mut c_void) {
    // SAFETY: NULL, or what `allocate` returned, and nobody uses it any more.
    unsafe { libc::free(memory) };
}

#[cfg(not(feature = "std"))]
fn release(_memory: *mut c_void) {}

// SAFETY: `ops` holds the controller's own pointers, which it promises to be usable from any thread; the
// other raw pointers are only compared or freed.
unsafe impl Sync for Handle {}
