//! Goal: branches of the core that no other test takes, each for its own sake. `tools/coverage` found them.

// A part of what the fuzz targets use.
#[allow(dead_code)]
#[path = "fuzz/array.rs"]
mod array;
#[allow(dead_code)]
#[path = "fuzz/memory.rs"]
mod memory;

use std::ffi::c_void;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use array::{Array, Ask, HostCall, plain_config};

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
fn mirrored() -> Box<Array> {
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
    let mut array = mirrored();
    assert_eq!(array.result_of(Ask::Close), CLONE_GROUP_OK);
    for missing in [0, 1] {
        array.missing = Some(missing);
        array.power_on();
        assert_eq!(array.result_of(Ask::Recover(0)), CLONE_GROUP_ERR_NO_LU, "LU {missing}");
    }
    array.missing = Some(2);
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
            for (result, expected) in [(CLONE_GROUP_PENDING, -7), (CLONE_GROUP_OK, 0), (-9, -9)] {
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
