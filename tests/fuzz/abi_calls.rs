//! Goal: no sequence of calls through the C ABI, right or wrong, breaks the promises of the header: each request that
//! is accepted is done once, wrong arguments are refused, nothing is written outside the workspace, the LUs and the
//! area, and when all is at rest the maps know every difference. Method: calls and the behaviour of the callbacks
//! decoded from bytes.

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::array::{Array, Ask, CALLBACK_COPY, HostCall, not_internal, plain_config};
use super::input::Input;

/// Calls of one input at most.
const CALLS_MAX: usize = 160;

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    sizes(&mut input);
    let Some(array) = Array::new(config(&mut input)) else { return };
    let callbacks = input.u8() & !CALLBACK_COPY;
    array.callbacks.set(if input.one_in(4) { callbacks | CALLBACK_COPY } else { callbacks });
    let of_lus = CLONE_GROUP_LU_VOLATILE_CACHE | CLONE_GROUP_LU_DISCARD_ZEROES;
    array.lu_flags.set(u32::from(input.u8()) & of_lus);
    array.power_on();
    begin(&array, &mut input);
    for _ in 0..CALLS_MAX {
        if input.is_empty() {
            break;
        }
        call(&array, &mut input);
        array.check_memory();
    }
    array.settle(input.one_in(2));
    array.check_memory();
    if array.info().state == CLONE_GROUP_STATE_READY {
        array.check_maps();
        array.check_differences();
    }
    assert_eq!(array.destroy(), CLONE_GROUP_OK);
    dead(&array);
    array.check_memory();
}

/// Any configuration at all is sized or refused, and what is sized is more than its maps.
fn sizes(input: &mut Input) {
    if !input.one_in(4) {
        return;
    }
    let mut config = plain_config();
    config.lu_blocks = input.u64() >> input.below(64);
    config.extent_blocks = if input.one_in(2) { input.u32() } else { 1 << input.below(24) };
    config.block_bytes = if input.one_in(2) { input.u32() } else { 256 << input.below(10) };
    config.clones_max = u32::from(input.u16() >> input.below(16));
    config.requests_max = u32::from(input.u16());
    config.copies_max = u32::from(input.u8());
    config.copy_buffer_bytes = input.u32() >> input.below(32);
    config.buffer_align_bytes = 1 << input.below(18);
    config.persist_unit_bytes = 256 << input.below(10);
    config.page_bytes = input.u32() >> input.below(32);
    config.flags = u32::from(input.u8() & 0x1f);
    let (mut workspace, mut metadata) = (0, 0);
    // SAFETY: valid places.
    let statuses = unsafe {
        (
            clone_group_workspace_size(&config, &mut workspace),
            clone_group_metadata_size(&config, &mut metadata),
        )
    };
    if statuses.0 == CLONE_GROUP_OK {
        assert_eq!(statuses.1, CLONE_GROUP_OK);
        let block = if config.block_bytes == 0 { 512 } else { config.block_bytes };
        assert!(u128::from(config.lu_blocks) * u128::from(block) <= 1 << 63, "a geometry that overflows");
        let extent = match config.extent_blocks {
            0 => u64::from((65536 / block).max(1)),
            blocks => u64::from(blocks),
        };
        let map = config.lu_blocks.div_ceil(extent) / 8;
        assert!(workspace >= map * 5 && metadata >= map * 4);
    } else {
        assert!(matches!(statuses.0, CLONE_GROUP_ERR_INVALID | CLONE_GROUP_ERR_STRUCT_SIZE), "{statuses:?}");
    }
}

/// Small, with queues of one and of some.
fn config(input: &mut Input) -> clone_group_config {
    let mut config = plain_config();
    config.lu_blocks = 1 + input.below(90) as u64;
    config.extent_blocks = 1 << input.below(5);
    config.clones_max = 1 + input.below(3) as u32;
    config.requests_max = input.pick(&[1, 2, 3, 8]);
    config.copies_max = input.pick(&[1, 2, 5]);
    config.copy_buffer_bytes = input.pick(&[512, 1024, 4096, 16384]);
    config.buffer_align_bytes = input.pick(&[8, 64, 512, 4096]);
    config.persist_unit_bytes = input.pick(&[512, 1024]);
    config.page_bytes = config.persist_unit_bytes << input.below(2);
    config.page_writes_max = input.pick(&[1, 2, 4]);
    config.intent_extents_max = 16;
    config.recopies_max = 1 + input.below(3) as u32;
    config.flags = u32::from(input.u8() & 0xf);
    config.group_id = [7; 16];
    config
}

/// Most inputs begin with a group that is of use.
fn begin(array: &Array, input: &mut Input) {
    let stage = input.below(8);
    if stage == 0 {
        return;
    }
    array.result_of(Ask::Format(0));
    for lu in 1..=array.config.clones_max.min(stage as u32) {
        array.result_of(Ask::Add(lu));
        array.result_of(Ask::Synchronize(lu));
        if stage < 7 {
            array.settle(false);
        }
    }
    if stage > 3 {
        array.result_of(Ask::Fracture(1));
        host(array, input);
        host(array, input);
    }
    match stage {
        5 => _ = array.result_of(Ask::Restore(1)),
        6 => _ = array.result_of(Ask::Reverse(1)),
        _ => {}
    }
    let decisions = input.below(64);
    array.inner.borrow_mut().decisions.extend(input.take(decisions));
}

fn lu(array: &Array, input: &mut Input) -> u32 {
    match input.below(16) {
        15 => u32::MAX,
        14 => array.config.clones_max + 1,
        number => number as u32 % (array.config.clones_max + 1),
    }
}

fn host(array: &Array, input: &mut Input) {
    let operation = input.pick(&[
        CLONE_GROUP_IO_WRITE,
        CLONE_GROUP_IO_READ,
        CLONE_GROUP_IO_WRITE,
        CLONE_GROUP_IO_FLUSH,
        CLONE_GROUP_IO_DISCARD,
        CLONE_GROUP_IO_WRITE_ZEROES,
    ]);
    let lu = if input.one_in(3) { lu(array, input) } else { 0 };
    let blocks = array.config.lu_blocks;
    let (first, count) = match input.below(12) {
        0 => (blocks - 1, 2),
        1 => (0, 0),
        2 => (u64::MAX - u64::from(input.u8()), u64::from(input.u8())),
        3 => (u64::from(input.u8()), u64::MAX - u64::from(input.u8())),
        _ => {
            let first = input.below(blocks as usize) as u64;
            (first, 1 + input.below((blocks - first) as usize) as u64)
        }
    };
    let flags = match input.u8() {
        flags if flags < 250 => u32::from(flags & 3),
        flags => u32::from(flags),
    };
    let status = array.host(HostCall { operation, lu, first, count, flags });
    let unknown = flags & !3 != 0 && operation != CLONE_GROUP_IO_FLUSH;
    assert!(!unknown || status == CLONE_GROUP_ERR_INVALID, "unknown flags: {status}");
}

fn operation(array: &Array, input: &mut Input) -> Ask {
    let lu = lu(array, input);
    match input.below(20) {
        0 => Ask::Add(lu),
        1 => Ask::Remove(lu),
        2 | 3 => Ask::Synchronize(lu),
        4 | 5 => Ask::Fracture(lu),
        6 | 7 => Ask::Restore(lu),
        8 => Ask::Reverse(lu),
        9 => Ask::Pause,
        10 => Ask::Resume,
        11 => Ask::Cancel(lu),
        12 => Ask::Accept,
        13 => Ask::Retarget(lu),
        14 => Ask::Verify(lu, u32::from(input.u8() & 3)),
        15 => Ask::StopVerify,
        16 => Ask::Repair,
        17 => Ask::Resolve(u32::from(input.u8() % 3)),
        18 => Ask::Recover(u32::from(input.u8() & 3)),
        _ if input.one_in(3) => Ask::Close,
        _ => Ask::Format(u32::from(input.u8() & 3)),
    }
}

fn call(array: &Array, input: &mut Input) {
    let held = array.inner.borrow().held.len();
    match input.below(24) {
        0..=5 => host(array, input),
        6..=8 => _ = array.ask(operation(array, input)),
        9 | 10 => _ = array.poll(u32::from(input.u8() >> 2)),
        11 | 12 => _ = array.step(u32::from(input.u8() & 15)),
        13 | 14 if held > 0 => _ = array.complete(input.below(held), CLONE_GROUP_OK),
        15 if held > 0 => {
            let status = if input.one_in(4) { i32::from(input.u8()) } else { -5 };
            array.complete(input.below(held), if status == 0 { -7 } else { status });
        }
        16 => wrong_completion(array, input),
        17 => {
            let decisions = input.below(16);
            array.inner.borrow_mut().decisions.extend(input.take(decisions));
        }
        18 => abort(array, input),
        19 => wrong_arguments(array, input),
        20 if held > 0 => assert_eq!(array.destroy(), CLONE_GROUP_ERR_BUSY, "destroyed under I/O (R82)"),
        // Power is lost.
        20 if input.one_in(2) => {
            array.inner.borrow_mut().decisions.clear();
            array.power_on();
            array.result_of(Ask::Recover(0));
        }
        21 => _ = array.attach(lu(array, input), input.u8()),
        22 => {
            array.settle(input.one_in(2));
            if array.info().state == CLONE_GROUP_STATE_READY {
                array.check_differences();
            }
        }
        _ => _ = array.poll(64),
    }
}

/// Twice, of another group, never begun: refused, and nothing happens.
fn wrong_completion(array: &Array, input: &mut Input) {
    let (over, held) = {
        let inner = array.inner.borrow();
        (inner.over.clone(), inner.held.iter().map(|io| io.id).collect::<Vec<_>>())
    };
    let id = match input.below(4) {
        0 if !over.is_empty() => over[input.below(over.len())],
        // Another generation of a slot in use.
        1 if !held.is_empty() => held[input.below(held.len())] ^ 1 << (32 + input.below(32)),
        2 => u64::from(input.u8()),
        _ => input.u64(),
    };
    if !held.contains(&id) {
        // SAFETY: a live group.
        let status = unsafe { clone_group_io_complete(array.group.get(), id, i32::from(input.u8()) - 128) };
        assert_eq!(status, CLONE_GROUP_ERR_STALE_IO, "a completion of nothing was accepted");
    }
}

fn abort(array: &Array, input: &mut Input) {
    let open = array.open_tags();
    let tag = if open.is_empty() || input.one_in(8) { input.u64() } else { open[input.below(open.len())] };
    // SAFETY: a live group.
    let status = not_internal(unsafe { clone_group_abort(array.group.get(), tag) });
    assert!(matches!(status, CLONE_GROUP_OK | CLONE_GROUP_ERR_NO_REQUEST), "an abort returned {status}");
    assert!(open.contains(&tag) || status != CLONE_GROUP_OK, "nothing was aborted");
}

/// NULL, misaligned, too small, unknown.
fn wrong_arguments(array: &Array, input: &mut Input) {
    let group = array.group.get();
    let wrong = if input.one_in(2) { std::ptr::null_mut() } else { group.wrapping_byte_add(1) };
    let refused = on_handle(wrong, input.u8());
    assert_eq!(refused, CLONE_GROUP_ERR_INVALID, "a wrong handle was taken");
    let mut info = [0xEE_u8; 512];
    let place = info.as_mut_ptr().wrapping_add(info.as_ptr().align_offset(8));
    let size = u32::from(input.u8());
    let kind = input.below(6);
    let (first, count) = (u64::from(input.u8()), input.u64() >> input.below(64));
    let length = input.below(256) as u64;
    // SAFETY: a live group, and 504 aligned bytes of which at most 255 are named, or 0.
    let status = unsafe {
        if kind != 4 {
            place.cast::<u32>().write(size);
        }
        match kind {
            0 => clone_group_query(group, place.cast()),
            1 => clone_group_clone_query(group, lu(array, input), place.cast()),
            2 => clone_group_lu_query(group, lu(array, input), place.cast()),
            3 => clone_group_statistics_query(group, place.cast()),
            4 => clone_group_map_read(group, u32::from(input.u8() & 7), 1, first, count, place, length),
            _ => clone_group_query(group, std::ptr::null_mut()),
        }
    };
    not_internal(status);
    let at = place.addr() - info.as_ptr().addr();
    let named = if kind == 4 { length } else { u64::from(size).max(4) } as usize;
    assert!(info[at + named..].iter().all(|&byte| byte == 0xEE), "written behind the end of an output");
    assert!(kind == 4 || size >= 4 || status < 0, "a struct without a size was filled");
    let extents = array.info().extents_total;
    let inside = first.checked_add(count).is_some_and(|end| end <= extents);
    assert!(kind != 4 || inside || status < 0, "a map was read behind its end");
}

fn on_handle(group: *mut clone_group, which: u8) -> i32 {
    let none = std::ptr::null_mut();
    // SAFETY: NULL, misaligned or dead: what is allowed to be tried.
    unsafe {
        match which % 12 {
            0 => clone_group_cod_poll(group, 1),
            1 => clone_group_sync_step(group, 1),
            2 => clone_group_io_complete(group, 1, 0),
            3 => clone_group_host_write(group, 0, 0, 1, none, 0, 1),
            4 => clone_group_host_flush(group, 0, 1),
            5 => clone_group_format(group, 0, 1),
            6 => clone_group_close(group, 1),
            7 => clone_group_abort(group, 1),
            8 => clone_group_destroy(group),
            9 => clone_group_fracture(group, 1, std::ptr::null(), 0, 1),
            10 => clone_group_query(group, none.cast()),
            _ => clone_group_lu_attach(group, 0, std::ptr::null()),
        }
    }
}

/// A destroyed group in memory that is still there refuses everything.
fn dead(array: &Array) {
    for which in 0..12 {
        assert_eq!(on_handle(array.group.get(), which), CLONE_GROUP_ERR_INVALID, "a dead handle was taken");
    }
}
