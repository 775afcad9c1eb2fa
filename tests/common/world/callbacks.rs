//! The callbacks that the library calls.

use std::cell::Cell;
use std::ffi::c_void;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::controller::{Choice, Held, fetch};
use super::digest::{DONE, EVENT, SUBMITTED};
use super::hosts::change_payload;
use super::trace::{describe, trace};
use super::{Inner, TAG_OPERATION, World};

pub type IoCallback = unsafe extern "C" fn(*mut c_void, *const clone_group_io) -> i32;

thread_local! {
    /// A check inside a callback failed. The panic may not cross the C boundary; the driver goes on with it.
    static VIOLATED: Cell<bool> = const { Cell::new(false) };
}

fn caught<R>(failed: R, check: impl FnOnce() -> R) -> R {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).unwrap_or_else(|_| {
        VIOLATED.set(true);
        failed
    })
}

pub(super) fn no_violation<R>(result: R) -> R {
    assert!(!VIOLATED.take(), "a check inside a callback failed");
    result
}

/// More I/Os than that no poll submits.
const POLL_IOS_MAX: u64 = 100_000;

/// Every I/O callback.
pub(super) unsafe extern "C" fn submitted(context: *mut c_void, io: *const clone_group_io) -> i32 {
    // SAFETY: the world that was given as context, and an I/O that is valid during the call.
    let (world, io) = unsafe { (&*context.cast::<World>(), *io) };
    // After a violation nothing more is done, so that the poll ends.
    caught(CLONE_GROUP_PENDING, || {
        if world.inner.borrow().boundary.is_some() {
            // What was written so far counts, also where this I/O is done at once.
            world.catch_up();
        }
        let result = submit(world, io);
        world.at_boundary();
        world.reenter();
        result
    })
}

fn submit(world: &World, io: clone_group_io) -> i32 {
    // The event that a restore is over may be on its way still.
    let info = world.info();
    let restoring = info.restoring_lu != 0;
    let clones = world.inner.borrow().profile.clones;
    let infos: Vec<clone_group_clone_info> = (1..=clones).map(|lu| world.clone_info(lu)).collect();
    let states: Vec<u32> = std::iter::once(0).chain(infos.iter().map(|info| info.state)).collect();
    let verified = infos.iter().position(|info| info.conditions & CLONE_GROUP_CONDITION_VERIFYING != 0);
    let inner = &mut *world.inner.borrow_mut();
    inner.steps += 1;
    if inner.rng.u32(..256) < inner.profile.retry {
        inner.note_io(SUBMITTED, &io, CLONE_GROUP_RETRY);
        return CLONE_GROUP_RETRY;
    }
    let off = inner.steps >= inner.power_fails_at || inner.hung.is_some_and(|hung| hung.has(&io));
    let choice = match inner.choose.as_mut() {
        Some(choose) => choose(&io),
        None if !off && inner.habits.early > 0 && inner.rng.u32(..256) < inner.habits.early => Choice::Early,
        None => Choice::AsProfile,
    };
    if choice == Choice::Retry {
        inner.put_off();
        return CLONE_GROUP_RETRY;
    }
    inner.note_io(SUBMITTED, &io, 0);
    inner.tally.ios += 1;
    let submitted = inner.tally.ios - inner.polled_from;
    assert!(submitted < POLL_IOS_MAX, "one poll submits more and more, and does not end (I7)");
    if !inner.habits.forgets {
        inner.log.push(io);
    }
    trace(|| format!("submit {}", describe(&io)));
    inner.check_urgent(&io, verified.is_some());
    inner.check_submission(&io, restoring, &states);
    inner.check_resolved(&io, info.conditions);
    inner.compare_begins(&io, verified.map(|before| before + 1));
    if !inner.habits.forgets {
        inner.submissions.push((io.operation, io.lu, io.flags));
    }
    let count = io.block_count as usize;
    let values = match io.operation {
        CLONE_GROUP_IO_WRITE => fetch(&io),
        CLONE_GROUP_IO_WRITE_ZEROES | CLONE_GROUP_IO_DISCARD => vec![0; count],
        CLONE_GROUP_IO_COPY => {
            let first = io.first_block as usize;
            inner.devices[io.source_lu as usize].now[first..first + count].to_vec()
        }
        _ => Vec::new(),
    };
    if io.operation == CLONE_GROUP_IO_WRITE && io.flags & CLONE_GROUP_IO_HOST != 0 {
        change_payload(&io, || inner.rng.bool());
    }
    let bytes = if io.operation == CLONE_GROUP_IO_PERSIST_WRITE {
        // SAFETY: the library's buffer of this length.
        unsafe { std::slice::from_raw_parts(io.buffer.cast::<u8>(), io.length_bytes as usize).to_vec() }
    } else {
        Vec::new()
    };
    let sealed =
        if io.operation == CLONE_GROUP_IO_FLUSH { inner.devices[io.lu as usize].seal() } else { Vec::new() };
    let until = if inner.habits.hangs > 0 && inner.chance(inner.habits.hangs) {
        inner.turn + inner.rng.u64(100..1500)
    } else if inner.habits.slow > 0 && !Inner::is_metadata(&io) && inner.rng.u32(..256) < inner.habits.slow {
        inner.turn + inner.rng.u64(2..20)
    } else {
        0
    };
    inner.leg_submitted(&io);
    let submitted = inner.history.tick();
    let held = Held {
        io,
        values,
        bytes,
        sealed,
        sealed_area: inner.area.seal(),
        submitted,
        lost: false,
        until,
        poll: inner.polls,
        end: choice,
    };
    match choice {
        Choice::Now | Choice::Fail(_) | Choice::FailDone(_) if !off => {
            return inner.perform_choice(&held, choice);
        }
        Choice::Early => {
            let status = inner.perform(&held);
            // SAFETY: a live group.
            assert_eq!(unsafe { clone_group_io_complete(world.group(), io.id, status) }, CLONE_GROUP_OK);
            return CLONE_GROUP_PENDING;
        }
        Choice::Hold | Choice::FailLater(_) | Choice::FailDoneLater(_) => {
            inner.held.push(held);
            return CLONE_GROUP_PENDING;
        }
        _ => {}
    }
    if !off && until == 0 && inner.rng.u32(..256) < inner.profile.immediate {
        return inner.perform(&held);
    }
    inner.held.push(held);
    CLONE_GROUP_PENDING
}

pub(super) unsafe extern "C" fn done(context: *mut c_void, tag: u64, status: i32) {
    // SAFETY: the world that was given as context.
    let world = unsafe { &*context.cast::<World>() };
    caught((), || {
        if tag >= TAG_OPERATION {
            let inner = &mut *world.inner.borrow_mut();
            inner.note(DONE, [tag, i64::from(status) as u64]);
            inner.tally.operations += u64::from(status == CLONE_GROUP_OK);
            inner.operations_open = inner.operations_open.saturating_sub(1);
            inner.check_operation_flushed(tag, status);
            assert!(inner.operations_done.insert(tag, status).is_none(), "an operation is done twice");
        } else {
            world.host_over(tag, status);
        }
        world.at_boundary();
        world.reenter();
    });
}

pub(super) unsafe extern "C" fn event(context: *mut c_void, event: *const clone_group_event) {
    // SAFETY: the world that was given as context, and an event that is valid during the call.
    let (world, event) = unsafe { (&*context.cast::<World>(), &*event) };
    caught((), || {
        world.catch_up();
        if event.kind == CLONE_GROUP_EVENT_METADATA_REPAIRED {
            world.repaired();
        }
        told(&mut world.inner.borrow_mut(), event);
        if event.kind == CLONE_GROUP_EVENT_VERIFIED {
            world.check_verified(event.lu as usize, event.status);
        }
        world.reenter();
    });
}

fn told(inner: &mut Inner, event: &clone_group_event) {
    trace(|| {
        format!("event {} LU {} value {} status {}", event.kind, event.lu as i32, event.value, event.status)
    });
    let kind = u64::from(event.kind) << 32 | u64::from(event.lu);
    inner.note(EVENT, [kind, event.value, i64::from(event.status) as u64]);
    inner.events.push((event.kind, event.lu, event.status));
    inner.told.push((event.kind, event.lu, event.value));
    inner.slip_told(event);
    match event.kind {
        CLONE_GROUP_EVENT_RESTORED => {
            inner.restoring = None;
            inner.view_reversing = false;
        }
        CLONE_GROUP_EVENT_REVERSE_SYNCHRONIZED => {
            inner.view_reversing = false;
            // What the Clone lost, hosts of the Source have not heard of (R24).
            inner.flush_records[0].owed = std::mem::take(&mut inner.flush_records[event.lu as usize].owed);
        }
        CLONE_GROUP_EVENT_CANCELED
            if inner.restoring.as_ref().is_some_and(|of| of.0 == event.lu as usize) =>
        {
            inner.restoring = None;
        }
        CLONE_GROUP_EVENT_CLONE_STATE => inner.state_changed(event.lu as usize, event.value as u32),
        _ => {}
    }
}
