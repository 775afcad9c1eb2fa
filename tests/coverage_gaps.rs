//! Goal: branches of the core that no other test takes, each for its own sake. `tools/coverage` found them.

// A part of what the fuzz targets use.
#[allow(dead_code)]
#[path = "fuzz/array.rs"]
mod array;
mod common;
#[allow(dead_code)]
#[path = "fuzz/memory.rs"]
mod memory;

use std::ffi::c_void;
use std::rc::Rc;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use array::{Array, Ask, HostCall, plain_config};
use common::stage::{self, fractured, is_copy_read, is_copy_write, is_flush, restoring};
use common::world::{Choice, Profile};

fn config() -> clone_group_config {
    let mut config = plain_config();
    config.lu_blocks = 38;
    config.extent_blocks = 4;
    config.clones_max = 2;
    config.requests_max = 4;
    config.copies_max = 2;
    config.copy_buffer_bytes = 2048;
    config.buffer_align_bytes = 8;
    config.persist_unit_bytes = 512;
    config.group_id = [3; 16];
    config
}

/// A group with Clone 1 mirrored.
fn mirrored() -> Rc<Array> {
    let array = Array::new(config()).expect("a valid configuration");
    array.power_on();
    for ask in [Ask::Format(0), Ask::Add(1), Ask::Synchronize(1)] {
        assert_eq!(array.result_of(ask), CLONE_GROUP_OK);
    }
    array.settle(false);
    array
}

/// Every limit of the configuration, from both sides.
#[test]
fn limits_of_the_configuration() {
    type Change = fn(&mut clone_group_config);
    let wrong: [Change; 24] = [
        |c| c.clones_max = 256,
        |c| c.requests_max = 4097,
        |c| c.copies_max = 65,
        |c| c.page_writes_max = 65,
        |c| c.recopies_max = 17,
        |c| c.intent_extents_max = 15,
        |c| c.copy_buffer_bytes = 256,
        |c| c.copy_buffer_bytes = 2049,
        |c| c.copy_buffer_bytes = 32 << 20,
        |c| c.buffer_align_bytes = 4,
        |c| c.buffer_align_bytes = 24,
        |c| c.buffer_align_bytes = 131_072,
        |c| c.persist_unit_bytes = 256,
        |c| c.persist_unit_bytes = 768,
        |c| c.persist_unit_bytes = 131_072,
        |c| c.page_bytes = 256,
        |c| c.page_bytes = 1536,
        |c| c.page_bytes = 131_072,
        |c| (c.flags, c.copy_buffer_bytes) = (CLONE_GROUP_CONFIG_SKIP_EQUAL, 512),
        |c| (c.flags, c.clones_max) = (CLONE_GROUP_CONFIG_MAP_PER_CLONE, 255),
        |c| c.block_bytes = 256,
        |c| c.block_bytes = 1000,
        |c| c.extent_blocks = 3,
        |c| c.lu_blocks = 0,
    ];
    let right: [Change; 6] = [
        |c| c.clones_max = 255,
        |c| c.requests_max = 4096,
        |c| (c.copies_max, c.page_writes_max, c.recopies_max) = (64, 64, 16),
        |c| (c.buffer_align_bytes, c.copy_buffer_bytes) = (65536, 16 << 20),
        |c| (c.persist_unit_bytes, c.page_bytes) = (65536, 65536),
        |c| (c.flags, c.copy_buffer_bytes) = (CLONE_GROUP_CONFIG_SKIP_EQUAL, 1024),
    ];
    let size = |change: Change| {
        let (mut config, mut bytes) = (config(), 0);
        change(&mut config);
        // SAFETY: valid places.
        unsafe { clone_group_workspace_size(&config, &mut bytes) }
    };
    for (number, change) in wrong.into_iter().enumerate() {
        assert_eq!(size(change), CLONE_GROUP_ERR_INVALID, "wrong configuration {number}");
    }
    for (number, change) in right.into_iter().enumerate() {
        assert_eq!(size(change), CLONE_GROUP_OK, "right configuration {number}");
    }
}

/// LUs that are not attached are missed where they are needed.
#[test]
fn lus_that_are_not_attached() {
    let array = mirrored();
    assert_eq!(array.result_of(Ask::Close), CLONE_GROUP_OK);
    for missing in [0, 1] {
        array.missing.set(Some(missing));
        array.power_on();
        assert_eq!(array.result_of(Ask::Recover(0)), CLONE_GROUP_ERR_NO_LU, "LU {missing}");
    }
    array.missing.set(Some(2));
    array.power_on();
    assert_eq!(array.result_of(Ask::Recover(0)), CLONE_GROUP_OK);
    assert_eq!(array.result_of(Ask::Add(2)), CLONE_GROUP_ERR_NO_LU);
}

/// Maps of LUs that are no Clones, and of none.
#[test]
fn maps_of_no_clone() {
    let array = mirrored();
    for lu in [0, 2, 3, u32::MAX] {
        let mut byte = 0xEE_u8;
        // SAFETY: a live group and a byte.
        let status =
            unsafe { clone_group_map_read(array.group.get(), CLONE_GROUP_MAP_DELTA, lu, 0, 8, &mut byte, 1) };
        assert_eq!((status, byte), (CLONE_GROUP_ERR_NO_LU, 0xEE));
    }
}

/// While an operation waits, its LU cannot be attached anew.
#[test]
fn no_attach_under_an_operation() {
    let array = mirrored();
    let (_, asked) = array.ask(Ask::Add(2));
    assert_eq!(asked, CLONE_GROUP_PENDING);
    assert!(array.attach(2, 9) < 0, "the LU of an Add that waits");
    array.inner.borrow_mut().decisions.extend([5; 8]);
    array.poll(16);
    assert!(array.attach(2, 9) < 0, "the LU of an Add that runs");
    array.settle(true);
    assert_eq!(array.clone_info(2).state, CLONE_GROUP_CLONE_OUT_OF_SYNC);
}

/// What a thread does to an I/O while its callback runs, and what the callback returns then.
struct Meeting {
    group: AtomicUsize,
    /// 1: the other thread completes and polls; 2: it completes only.
    manner: AtomicUsize,
    result: AtomicI32,
    done: AtomicU64,
    statuses: [AtomicI32; 2],
}

unsafe extern "C" fn plain(_context: *mut c_void, _io: *const clone_group_io) -> i32 {
    CLONE_GROUP_OK
}

unsafe extern "C" fn met(context: *mut c_void, io: *const clone_group_io) -> i32 {
    // SAFETY: what `create` was given, and what the library gives.
    let (meeting, io) = unsafe { (&*context.cast::<Meeting>(), &*io) };
    let manner = meeting.manner.swap(0, Ordering::SeqCst);
    if manner == 0 || io.flags & CLONE_GROUP_IO_HOST == 0 {
        return CLONE_GROUP_OK;
    }
    let (group, id) = (meeting.group.load(Ordering::SeqCst), io.id);
    let other = move || {
        let group = std::ptr::with_exposed_provenance_mut::<clone_group>(group);
        // SAFETY: a live group; this is another thread than that of the callback.
        unsafe {
            assert_eq!(clone_group_io_complete(group, id, -7), CLONE_GROUP_OK);
            if manner == 1 {
                assert!(clone_group_cod_poll(group, 16) >= 0);
            }
        }
    };
    std::thread::spawn(other).join().expect("no panic");
    meeting.result.load(Ordering::SeqCst)
}

unsafe extern "C" fn met_done(context: *mut c_void, _tag: u64, status: i32) {
    // SAFETY: what `create` was given.
    let meeting = unsafe { &*context.cast::<Meeting>() };
    meeting.statuses[1].store(status, Ordering::SeqCst);
    meeting.done.fetch_add(1, Ordering::SeqCst);
}

/// An I/O is completed, and a poll on another thread takes that, before its callback has returned. It is over when both
/// have happened, once; what the callback returns counts, unless that is PENDING (R80, R81).
#[test]
fn a_completion_is_polled_before_the_callback_returns() {
    let meeting = Meeting {
        group: AtomicUsize::new(0),
        manner: AtomicUsize::new(0),
        result: AtomicI32::new(0),
        done: AtomicU64::new(0),
        statuses: [AtomicI32::new(0), AtomicI32::new(0)],
    };
    let config = config();
    let (mut bytes, mut group) = (0, std::ptr::null_mut());
    // SAFETY: valid places; the workspace and the meeting outlive the group.
    unsafe {
        assert_eq!(clone_group_workspace_size(&config, &mut bytes), CLONE_GROUP_OK);
        let mut memory = memory::Memory::new(bytes as usize, 8);
        let mut ops: clone_group_ops = std::mem::zeroed();
        clone_group_ops_init(&mut ops, size_of::<clone_group_ops>() as u32);
        ops.context = std::ptr::from_ref(&meeting).cast_mut().cast();
        ops.read = Some(met);
        ops.write = Some(met);
        ops.flush = Some(met);
        ops.persist_read = Some(plain);
        ops.persist_write = Some(plain);
        ops.done = Some(met_done);
        assert_eq!(clone_group_create(&config, &ops, memory.as_mut_ptr(), bytes, &mut group), CLONE_GROUP_OK);
        let lu = clone_group_lu { struct_size: 24, flags: 0, identity: [1; 16] };
        assert_eq!(clone_group_lu_attach(group, 0, &lu), CLONE_GROUP_OK);
        assert_eq!(clone_group_format(group, 0, 1), CLONE_GROUP_PENDING);
        while clone_group_cod_poll(group, 16) != CLONE_GROUP_OK {}
        meeting.group.store(group.expose_provenance(), Ordering::SeqCst);
        for manner in [1, 2] {
            // It is over, so it cannot be offered again: RETRY is no status then.
            let retry = (CLONE_GROUP_RETRY, CLONE_GROUP_ERR_CALLBACK_RESULT);
            for (result, expected) in [(CLONE_GROUP_PENDING, -7), (CLONE_GROUP_OK, 0), (-9, -9), retry] {
                let before = meeting.done.load(Ordering::SeqCst);
                meeting.result.store(result, Ordering::SeqCst);
                meeting.manner.store(manner, Ordering::SeqCst);
                let status = clone_group_host_write(group, 0, 3, 2, std::ptr::dangling(), 0, 5);
                while clone_group_cod_poll(group, 16) != CLONE_GROUP_OK {}
                let done = meeting.done.load(Ordering::SeqCst) - before;
                let ended = if status == CLONE_GROUP_PENDING {
                    meeting.statuses[1].load(Ordering::SeqCst)
                } else {
                    status
                };
                assert_eq!(
                    done,
                    u64::from(status == CLONE_GROUP_PENDING),
                    "manner {manner}, result {result}"
                );
                assert_eq!(ended, expected, "manner {manner}, result {result}");
            }
        }
        assert_eq!(clone_group_destroy(group), CLONE_GROUP_OK);
        memory.check();
    }
}

/// A Synchronization of a Clone that was fractured without a difference, and host I/O with every slot taken.
#[test]
fn every_slot_is_taken() {
    let array = mirrored();
    array.inner.borrow_mut().decisions.extend([5; 16]);
    let host = |operation, first| array.host(HostCall { operation, lu: 0, first, count: 1, flags: 0 });
    for number in 0..4 {
        assert_eq!(host(CLONE_GROUP_IO_WRITE, 4 * number), CLONE_GROUP_PENDING);
    }
    assert_eq!(host(CLONE_GROUP_IO_READ, 0), CLONE_GROUP_ERR_BUSY);
    array.settle(true);
    assert_eq!(array.result_of(Ask::Fracture(1)), CLONE_GROUP_OK);
    assert_eq!(array.result_of(Ask::Synchronize(1)), CLONE_GROUP_OK);
    array.settle(false);
    assert_eq!(array.clone_info(1).state, CLONE_GROUP_CLONE_SYNCHRONIZED);
}

/// While one LU is added, another one that is no Clone may be attached.
#[test]
fn attach_of_another_lu_under_an_operation() {
    let array = Array::new(clone_group_config { clones_max: 3, ..config() }).expect("a valid configuration");
    array.power_on();
    assert_eq!(array.result_of(Ask::Format(0)), CLONE_GROUP_OK);
    let (_, asked) = array.ask(Ask::Add(1));
    assert_eq!(asked, CLONE_GROUP_PENDING);
    assert_eq!(array.attach(2, 9), CLONE_GROUP_OK);
    assert!(array.attach(1, 9) < 0);
    array.settle(true);
    assert_eq!(array.clone_info(1).state, CLONE_GROUP_CLONE_OUT_OF_SYNC);
}

/// A group with two map pages, extents of one block, and Clone 1 mirrored.
fn two_pages() -> Rc<Array> {
    let config = clone_group_config {
        lu_blocks: 3000,
        extent_blocks: 1,
        page_bytes: 512,
        page_writes_max: 4,
        copy_buffer_bytes: 32768,
        ..config()
    };
    let array = Array::new(config).expect("a valid configuration");
    array.power_on();
    for ask in [Ask::Format(0), Ask::Add(1), Ask::Synchronize(1)] {
        assert_eq!(array.result_of(ask), CLONE_GROUP_OK);
    }
    array.settle(false);
    array
}

fn write(array: &Array, first: u64, count: u64) {
    let status = array.host(HostCall { operation: CLONE_GROUP_IO_WRITE, lu: 0, first, count, flags: 0 });
    assert!(status >= 0, "a write returned {status}");
    array.settle(true);
}

/// Where the held I/Os of the area are that write, or read.
fn held_in_area(array: &Array, operation: u32) -> Vec<(usize, u64)> {
    let inner = array.inner.borrow();
    let held = inner.held.iter().enumerate().filter(|(_, io)| io.operation == operation);
    held.map(|(at, io)| (at, io.offset_bytes)).collect()
}

/// A start that failed waits for the reads of other pages, and reads no more (R60).
#[test]
fn a_restore_map_is_lost_while_another_page_is_read() {
    let array = two_pages();
    assert_eq!(array.result_of(Ask::Fracture(1)), CLONE_GROUP_OK);
    write(&array, 0, 3000);
    assert_eq!(array.result_of(Ask::Restore(1)), CLONE_GROUP_OK);
    array.power_on();
    array.inner.borrow_mut().decisions.extend([5; 64]);
    let (tag, asked) = array.ask(Ask::Recover(0));
    assert_eq!(asked, CLONE_GROUP_PENDING);
    let read = |expected: usize| {
        for _ in 0..20 {
            array.poll(1);
        }
        assert_eq!(held_in_area(&array, CLONE_GROUP_IO_PERSIST_READ).len(), expected);
    };
    // Both slots of the superblock, then both copies of both pages.
    read(2);
    array.complete(0, CLONE_GROUP_OK);
    array.complete(0, CLONE_GROUP_OK);
    read(4);
    for _ in 0..2 {
        array.complete(0, -5);
    }
    read(2);
    assert!(!array.inner.borrow().ended.contains_key(&tag), "buffers are in use");
    for _ in 0..2 {
        array.complete(0, CLONE_GROUP_OK);
    }
    read(0);
    assert_eq!(array.inner.borrow().ended.get(&tag), Some(&CLONE_GROUP_ERR_RESTORE_MAP_LOST));
}

/// One page write fails while another one is under way: nothing ends before both are over (R33).
#[test]
fn an_operation_fails_while_a_page_is_written() {
    for ask in [Ask::Repair, Ask::Close] {
        let array = two_pages();
        for first in [0, 2999] {
            write(&array, first, 1);
        }
        array.inner.borrow_mut().decisions.extend([5; 256]);
        let (tag, asked) = array.ask(ask);
        assert_eq!(asked, CLONE_GROUP_PENDING);
        for _ in 0..100 {
            array.poll(16);
            if held_in_area(&array, CLONE_GROUP_IO_PERSIST_WRITE).len() == 2 {
                break;
            }
            let other = |io: &clone_group_io| io.operation != CLONE_GROUP_IO_PERSIST_WRITE;
            let at = array.inner.borrow().held.iter().position(other);
            at.map(|at| array.complete(at, CLONE_GROUP_OK));
        }
        let writes = held_in_area(&array, CLONE_GROUP_IO_PERSIST_WRITE);
        assert_eq!(writes.len(), 2, "{ask:?}");
        array.complete(writes[0].0, -5);
        for _ in 0..8 {
            array.poll(16);
        }
        assert!(!array.inner.borrow().ended.contains_key(&tag), "{ask:?}: a page is being written");
        array.settle(true);
        assert_eq!(array.inner.borrow().ended.get(&tag), Some(&CLONE_GROUP_ERR_METADATA_FAILED), "{ask:?}");
    }
}

/// Maps longer than what one poll may walk: Recovery goes on in the next one.
#[test]
fn recovery_of_long_maps() {
    let config = clone_group_config { lu_blocks: 100_000, extent_blocks: 1, ..config() };
    let array = Array::new(config).expect("a valid configuration");
    array.power_on();
    for ask in [Ask::Format(0), Ask::Add(1)] {
        assert_eq!(array.result_of(ask), CLONE_GROUP_OK);
    }
    array.power_on();
    assert_eq!(array.result_of(Ask::Recover(0)), CLONE_GROUP_OK);
    assert_eq!(array.clone_info(1).extents_left, 100_000);
}

/// Verify passes over a long stretch that differs, and compares what is behind it.
#[test]
fn verify_behind_a_long_stretch() {
    let array = two_pages();
    assert_eq!(array.result_of(Ask::Fracture(1)), CLONE_GROUP_OK);
    write(&array, 0, 2000);
    let different = {
        let inner = &mut *array.inner.borrow_mut();
        inner.lus[1][2500] ^= 1;
        2500
    };
    assert_eq!(array.result_of(Ask::Verify(1, CLONE_GROUP_VERIFY_MARK)), CLONE_GROUP_OK);
    array.settle(false);
    let delta = array.map(CLONE_GROUP_MAP_DELTA, 1);
    assert_eq!(delta.iter().filter(|&&set| set).count(), 2001);
    assert!(delta[different]);
}

/// Copies into a volatile cache wait for a flush when no more of them can be noted (R8).
#[test]
fn no_more_copies_than_can_be_noted() {
    let profile = Profile { blocks: 1200, volatile: true, ..Profile::QUIET };
    let world = fractured(profile, 1, &[]);
    world.host(CLONE_GROUP_IO_WRITE, 0, 0, 1200, true);
    world.finish_hosts();
    world.does(common::stage::Ask::Restore(1));
    world.inner.borrow_mut().log.clear();
    world.choose(|io| if is_flush(io) && io.lu == 0 { Choice::Hold } else { Choice::Now });
    for _ in 0..400 {
        world.step(16);
    }
    let copied = world.logged(is_copy_write);
    assert!((64..=128).contains(&copied), "{copied} copies are not flushed");
    assert_eq!(world.delta(1).len(), 300, "what is not durable is not copied");
    world.let_go();
    world.settle();
    assert_eq!(world.state(1), CLONE_GROUP_CLONE_FRACTURED);
    assert_eq!(world.content(0), world.content(1));
}

/// A run that failed is copied extent by extent; one that a host has replaced meanwhile is passed over (R61).
#[test]
fn what_a_host_replaced_is_not_tried_again() {
    let profile = Profile { copy_blocks: 16, ..Profile::QUIET };
    let world = restoring(profile, 1, &[0, 1, 2, 3]);
    world.choose(|io| match () {
        () if is_copy_read(io) && io.block_count > 4 => Choice::Fail(-5),
        () if is_copy_read(io) => Choice::Hold,
        () => Choice::Now,
    });
    world.step(4);
    assert_eq!(world.holds(|io| is_copy_read(io) && io.first_block == 0), 1);
    let tag = world.write(4, 4);
    world.poll(16);
    assert!(world.ended(tag).is_some());
    let read_alone = |io: &clone_group_io| is_copy_read(io) && io.first_block == 4 && io.block_count == 4;
    world.let_go();
    world.settle();
    assert_eq!(world.logged(read_alone), 0, "extent 1 is the host's");
    assert_eq!(world.state(1), CLONE_GROUP_CLONE_FRACTURED);
}

/// More pages than a slice have changes that nobody waits for: they are written before a restore, a close or a change
/// ends, in more than one slice (R72).
#[test]
fn many_pages_are_saved_in_slices() {
    const PAGES: u64 = 270;
    const PAGE_EXTENTS: u64 = 1792;
    let config = clone_group_config {
        lu_blocks: PAGES * PAGE_EXTENTS,
        extent_blocks: 1,
        clones_max: 1,
        page_bytes: 512,
        intent_extents_max: 1 << 20,
        copy_buffer_bytes: 32768,
        flags: CLONE_GROUP_CONFIG_MAP_PER_CLONE,
        ..config()
    };
    for end in [Ask::Resolve(0), Ask::Close, Ask::Cancel(1)] {
        let array = Array::new(config).expect("a valid configuration");
        array.power_on();
        for ask in [Ask::Format(0), Ask::Add(1), Ask::Synchronize(1)] {
            assert_eq!(array.result_of(ask), CLONE_GROUP_OK);
        }
        array.settle(false);
        assert_eq!(array.result_of(Ask::Fracture(1)), CLONE_GROUP_OK);
        for page in 0..PAGES {
            write(&array, page * PAGE_EXTENTS, 1);
        }
        assert_eq!(array.result_of(Ask::Restore(1)), CLONE_GROUP_OK);
        if end == Ask::Resolve(0) {
            array.settle(false);
            assert_eq!(array.clone_info(1).state, CLONE_GROUP_CLONE_FRACTURED);
            array.check_differences();
            continue;
        }
        while array.clone_info(1).extents_left > 2 {
            array.step(1);
        }
        assert_eq!(array.result_of(end), CLONE_GROUP_OK, "{end:?}");
    }
}

/// R53: a change of states waits for intents that are being cleared, though nothing comes of it where it does not
/// (R53Sweep in `knock_outs/redundant.rs`).
#[test]
fn r53_a_clone_comes_after_a_sweep() {
    let world = stage::mirrored(Profile { volatile: true, ..Profile::QUIET }, 1);
    world.choose(|io| if is_flush(io) { Choice::Hold } else { Choice::Now });
    for extent in 0..10 {
        world.write(stage::at(extent), 1);
        world.poll_still();
    }
    let operation = world.ask(stage::Ask::Add(2)).expect("it is accepted");
    world.poll_still();
    assert_eq!((world.held_where(is_flush), world.done_operation(operation)), (2, None));
    world.complete_chosen(Choice::Now, is_flush);
    world.choose_nothing();
    world.poll_still();
    assert_eq!(world.done_operation(operation), Some(CLONE_GROUP_OK));
}
