//! Goal: the hand-off of completions and the maps have no data race and lose nothing, in whatever order threads run.
//! Small enough for Miri, which runs it with many schedules: `tools/miri`.

use std::ffi::c_void;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::clone_group::extent_map::ExtentMap;
use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use ::clone_group::geometry::{Extent, ExtentRange};

/// Two threads set, clear and look for extents in the same words.
#[test]
fn maps() {
    let extents = 200;
    let words: Vec<AtomicUsize> =
        (0..ExtentMap::words_needed(extents).expect("small")).map(|_| AtomicUsize::new(0)).collect();
    let map = &ExtentMap::new(&words, extents).expect("enough words");
    std::thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || {
                let own = ExtentRange { first: Extent(60 + thread), end: Extent(61 + thread) };
                for _ in 0..3 {
                    assert_eq!(map.set_range(own), 1);
                    assert!(map.next_set(Extent(0)).is_some_and(|found| found <= own.first));
                    assert_eq!(map.clear_range(own), 1);
                }
            });
        }
    });
    assert!(map.is_empty() && map.count() == 0);
}

#[derive(Default)]
struct Context {
    held: Mutex<Vec<u64>>,
    done: AtomicUsize,
}

unsafe extern "C" fn at_once(_context: *mut c_void, _io: *const clone_group_io) -> i32 {
    CLONE_GROUP_OK
}

unsafe extern "C" fn hold(context: *mut c_void, io: *const clone_group_io) -> i32 {
    // SAFETY: what `create` was given, and what the library gives.
    let (context, io) = unsafe { (&*context.cast::<Context>(), &*io) };
    context.held.lock().expect("no panic").push(io.id);
    CLONE_GROUP_PENDING
}

unsafe extern "C" fn done(context: *mut c_void, _tag: u64, _status: i32) {
    // SAFETY: what `create` was given.
    unsafe { &*context.cast::<Context>() }.done.fetch_add(1, Ordering::SeqCst);
}

/// One thread submits, one completes, one polls, all through the C ABI.
#[test]
fn completions() {
    const REQUESTS: usize = 4;
    let context = Context::default();
    // SAFETY: structs of integers and nullable functions, valid places; everything outlives the group.
    let group = unsafe {
        let mut config: clone_group_config = std::mem::zeroed();
        clone_group_config_init(&mut config, size_of::<clone_group_config>() as u32);
        (config.lu_blocks, config.extent_blocks, config.requests_max) = (16, 4, 2);
        (config.copy_buffer_bytes, config.buffer_align_bytes, config.persist_unit_bytes) = (512, 8, 512);
        let mut ops: clone_group_ops = std::mem::zeroed();
        clone_group_ops_init(&mut ops, size_of::<clone_group_ops>() as u32);
        ops.context = std::ptr::from_ref(&context).cast_mut().cast();
        ops.read = Some(hold);
        ops.write = Some(hold);
        ops.persist_read = Some(at_once);
        ops.persist_write = Some(at_once);
        ops.done = Some(done);
        let mut group = std::ptr::null_mut();
        assert_eq!(clone_group_create(&config, &ops, std::ptr::null_mut(), 0, &mut group), CLONE_GROUP_OK);
        let lu = clone_group_lu { struct_size: 24, flags: 0, identity: [1; 16] };
        assert_eq!(clone_group_lu_attach(group, 0, &lu), CLONE_GROUP_OK);
        assert_eq!(clone_group_format(group, 0, 1), CLONE_GROUP_PENDING);
        while clone_group_cod_poll(group, 16) != CLONE_GROUP_OK {}
        group
    };
    context.done.store(0, Ordering::SeqCst);
    let (address, context) = (&AtomicUsize::new(group.expose_provenance()), &context);
    let group = || std::ptr::with_exposed_provenance_mut::<clone_group>(address.load(Ordering::SeqCst));
    std::thread::scope(|scope| {
        let (submit, complete) = (
            move || {
                for tag in 0..REQUESTS as u64 {
                    loop {
                        let payload = std::ptr::dangling();
                        // SAFETY: a live group; nobody looks at the payload.
                        let status = unsafe { clone_group_host_write(group(), 0, tag, 1, payload, 0, tag) };
                        match status {
                            CLONE_GROUP_ERR_BUSY => std::thread::yield_now(),
                            CLONE_GROUP_PENDING => break,
                            status => {
                                // Completed before the call returned: then it is not told.
                                assert_eq!(status, CLONE_GROUP_OK);
                                context.done.fetch_add(1, Ordering::SeqCst);
                                break;
                            }
                        }
                    }
                }
            },
            move || {
                let mut completed = 0;
                while completed < REQUESTS {
                    let id = context.held.lock().expect("no panic").pop();
                    match id {
                        // SAFETY: a live group.
                        Some(id) => unsafe {
                            assert_eq!(clone_group_io_complete(group(), id, 0), CLONE_GROUP_OK);
                            assert_eq!(clone_group_io_complete(group(), id, 0), CLONE_GROUP_ERR_STALE_IO);
                            completed += 1;
                        },
                        None => std::thread::yield_now(),
                    }
                }
            },
        );
        scope.spawn(submit);
        scope.spawn(complete);
        while context.done.load(Ordering::SeqCst) < REQUESTS {
            // SAFETY: a live group.
            assert!(unsafe { clone_group_cod_poll(group(), 4) } >= 0);
            std::thread::yield_now();
        }
    });
    // SAFETY: a live group, and no other call is in progress.
    assert_eq!(unsafe { clone_group_destroy(group()) }, CLONE_GROUP_OK);
}
