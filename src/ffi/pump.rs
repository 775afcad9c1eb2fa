//! Drives a group: asks it what to do, with the lock, and does it, without.

use core::ffi::c_void;

use super::handle::{Handle, Locked};
use super::structs;
use super::types::*;
use super::workspace::Buffers;
use crate::error::Error;
use crate::group::Group;
use crate::io::{Buffer, IoOffer, IoOperation};
use crate::parts;
use crate::poll::Action;
use crate::request::HostRequest;

/// Callbacks that one `clone_group_sync_step` calls at most.
pub(super) const CALLBACKS_PER_STEP: u32 = 1024;

/// Submits a host request and offers what it needs at once to the controller, from this thread.
pub(super) fn submit(handle: &Handle, request: HostRequest) -> Result<i32, Error> {
    let mut buffers = handle.buffers();
    let now_ns = clock(handle);
    // From the submission to the last leg without a gap, so that no poll sees a request that waits and is
    // attended.
    let (slot, mut step) = handle.locked(|group| {
        group.set_time(now_ns);
        let slot = group.submit(request)?;
        Ok((slot, next_step(group, slot)))
    })?;
    loop {
        match step {
            Step::Leg(offer) => {
                let result = call(handle, &offer);
                step = handle.locked(|group| {
                    group.returned(offer.slot, result, &mut buffers);
                    next_step(group, slot)
                });
            }
            Step::Left { status, wake } => {
                if wake {
                    handle.wake();
                }
                return Ok(status);
            }
        }
    }
}

/// What the caller of a host request does next.
enum Step {
    /// Offer this leg to the controller.
    Leg(IoOffer),
    /// Return the status; something waits for a poll.
    Left { status: i32, wake: bool },
}

fn next_step(group: &mut Group<'_>, slot: u16) -> Step {
    match group.take_leg(slot) {
        Some(offer) => Step::Leg(offer),
        None => {
            let status = group.leave(slot).unwrap_or(CLONE_GROUP_PENDING);
            // The end of this request may be what another one, or an operation, waits for.
            Step::Left { status, wake: group.wants_poll() }
        }
    }
}

/// One poll: at most `callbacks` calls of the controller, background copies of at most `extents` extents.
pub(super) fn poll(handle: &Handle, callbacks: u32, extents: u32) -> Result<i32, Error> {
    let Some(_polling) = handle.begin_poll() else {
        return Ok(CLONE_GROUP_MORE);
    };
    let mut buffers = handle.buffers();
    let now_ns = clock(handle);
    handle.locked(|group| {
        group.set_time(now_ns);
        group.begin_poll(extents);
    });
    let mut next = Some(Finished::Nothing);
    for _ in 0..callbacks {
        let Some(finished) = next else {
            break;
        };
        let mut locked = handle.lock();
        report(&mut locked.group, finished, &mut buffers);
        locked.group.work(&mut buffers);
        next = act(handle, locked);
    }
    Ok(handle.locked(|group| match next {
        None => group.outcome(),
        // A poll that used up its budget did not see whether anything is left.
        Some(finished) => {
            report(group, finished, &mut buffers);
            CLONE_GROUP_MORE
        }
    }))
}

/// Does what the group wants next, without the lock. `None` if there is nothing.
// Kept apart: what it needs on the stack is not there while the group works.
#[cfg_attr(not(feature = "std"), inline(never))]
fn act(handle: &Handle, mut locked: Locked<'_>) -> Option<Finished> {
    let action = locked.group.next_action();
    drop(locked);
    match action? {
        Action::Io(offer) => return Some(Finished::Io(offer.slot, call(handle, &offer))),
        Action::Compare { copy, length } => {
            // SAFETY: the copy waits for this comparison, so none of its I/Os is under way.
            let equal = parts::VERIFY && unsafe { handle.buffers().halves_equal(copy, length.0) };
            return Some(Finished::Comparison(copy, equal));
        }
        Action::Done { tag, status } => done(handle, tag, status),
        Action::Event(event) => tell(handle, &event),
    }
    Some(Finished::Nothing)
}

/// What a poll did without the lock.
enum Finished {
    /// Nothing that the group waits for.
    Nothing,
    /// The callback of the I/O in this slot returned.
    Io(u16, i32),
    /// The halves of the buffer of this copy were compared.
    Comparison(u16, bool),
}

// Inlined: this is the way to the deepest stack, and a frame of its own costs 160 bytes on s390x.
#[inline(always)]
fn report(group: &mut Group<'_>, finished: Finished, buffers: &mut Buffers) {
    match finished {
        Finished::Nothing => {}
        Finished::Io(slot, result) => group.returned(slot, result, buffers),
        Finished::Comparison(copy, equal) => group.compared(copy, equal),
    }
}

/// Offers an I/O to the controller.
// Kept apart: what it needs on the stack is not there while the group works.
#[cfg_attr(not(feature = "std"), inline(never))]
fn call(handle: &Handle, offer: &IoOffer) -> i32 {
    let buffers = handle.buffers();
    let buffer: *mut c_void = match offer.io.buffer {
        Buffer::None => core::ptr::null_mut(),
        Buffer::Copy(number) => buffers.copy(number).cast(),
        Buffer::SecondHalf(number) => buffers.second_half(number).cast(),
        Buffer::Metadata(number) => buffers.metadata(number).cast(),
    };
    let ops = handle.ops();
    let callback = match offer.io.operation {
        IoOperation::Read => ops.read,
        IoOperation::Write => ops.write,
        IoOperation::Flush => ops.flush,
        IoOperation::Discard => ops.discard,
        IoOperation::WriteZeroes => ops.write_zeroes,
        IoOperation::Copy => ops.copy,
        IoOperation::PersistRead => ops.persist_read,
        IoOperation::PersistWrite => ops.persist_write,
        IoOperation::PersistFlush => ops.persist_flush,
    };
    let Some(callback) = callback else {
        return Error::NotSupported.status();
    };
    let io = structs::io(offer, buffer);
    // SAFETY: the controller's own function and context; `io` lives during the call.
    unsafe { callback(ops.context, &raw const io) }
}

fn done(handle: &Handle, tag: u64, status: i32) {
    if let Some(done) = handle.ops().done {
        // SAFETY: the controller's own function and context.
        unsafe { done(handle.ops().context, tag, status) };
    }
}

#[cfg_attr(not(feature = "std"), inline(never))]
fn tell(handle: &Handle, event: &crate::event::Event) {
    let ops = handle.ops();
    let (event, level) = structs::event(event);
    if let Some(tell) = ops.event {
        // SAFETY: the controller's own function and context; `event` lives during the call.
        unsafe { tell(ops.context, &raw const event) };
    }
    if let (true, Some(log)) = (parts::TEXTS, ops.log) {
        // SAFETY: the controller's own function and context; the text is static.
        unsafe { log(ops.context, level, event.text) };
    }
}

fn clock(handle: &Handle) -> u64 {
    // SAFETY: the controller's own function and context.
    handle.ops().clock.map_or(0, |clock| unsafe { clock(handle.ops().context) })
}
