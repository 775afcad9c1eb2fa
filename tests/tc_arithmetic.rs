//! Goal: defects that other systems had in counting blocks and extents (TC-38 to TC-46) do not exist here. Each test is
//! one of them, named by its number; tests/README.md has the list of all.

mod common;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use common::stage::*;
use common::world::Profile;

const QUIET: Profile = Profile::QUIET;

fn config_of(lu_blocks: u64, extent_blocks: u32) -> clone_group_config {
    // SAFETY: a struct of integers, filled by the library.
    let mut config: clone_group_config = unsafe { std::mem::zeroed() };
    // SAFETY: a valid place of the right size.
    unsafe { clone_group_config_init(&mut config, size_of::<clone_group_config>() as u32) };
    config.lu_blocks = lu_blocks;
    config.extent_blocks = extent_blocks;
    config.persist_unit_bytes = 512;
    config.page_bytes = 512;
    config.group_id = [7; 16];
    config
}

/// Sizes of 2^40 extents are counted in 64 bits; one more, or more bytes than there can be, is refused.
#[test]
fn tc_38_sizes_are_not_truncated() {
    let sizes = |lu_blocks, extent_blocks| {
        let (mut workspace, mut metadata) = (0, 0);
        // SAFETY: valid places.
        let status = unsafe {
            let config = config_of(lu_blocks, extent_blocks);
            let status = clone_group_workspace_size(&config, &mut workspace);
            assert_eq!(clone_group_metadata_size(&config, &mut metadata), status);
            status
        };
        (status, workspace, metadata)
    };
    for shift in [31, 32, 33, 40] {
        let (status, workspace, metadata) = sizes(1 << shift, 1);
        assert_eq!(status, CLONE_GROUP_OK);
        let map = (1_u64 << shift) / 8;
        assert!(workspace >= 5 * map, "2^{shift} extents: {workspace} bytes");
        // Two columns, two copies.
        assert!(metadata >= 4 * map, "2^{shift} extents: {metadata} bytes");
    }
    assert_eq!(sizes((1 << 40) + 1, 1).0, CLONE_GROUP_ERR_INVALID);
    assert_eq!(sizes((1 << 40) + 1, 2).0, CLONE_GROUP_OK);
    assert_eq!(sizes(u64::MAX, 1 << 21).0, CLONE_GROUP_ERR_INVALID);
    assert_eq!(sizes(0, 1).0, CLONE_GROUP_ERR_INVALID);
}

/// A large array that remembers only what was written.
#[derive(Default)]
struct Sparse {
    ios: Vec<clone_group_io>,
    blocks: HashMap<(u32, u64), u64>,
    area: Vec<u8>,
    done: Vec<(u64, i32)>,
}

type Shared = RefCell<Sparse>;

unsafe extern "C" fn submitted(context: *mut c_void, io: *const clone_group_io) -> i32 {
    // SAFETY: the array that was given as context, and an I/O that is valid during the call.
    let (sparse, io) = unsafe { (&mut *(*context.cast::<Shared>()).borrow_mut(), *io) };
    sparse.ios.push(io);
    let range = io.offset_bytes as usize..(io.offset_bytes + io.length_bytes) as usize;
    // SAFETY: the library's buffers, of the length of the I/O.
    unsafe {
        match io.operation {
            CLONE_GROUP_IO_PERSIST_READ => {
                std::slice::from_raw_parts_mut(io.buffer.cast::<u8>(), range.len())
                    .copy_from_slice(&sparse.area[range]);
            }
            CLONE_GROUP_IO_PERSIST_WRITE => {
                let bytes = std::slice::from_raw_parts(io.buffer.cast::<u8>(), range.len());
                sparse.area[range].copy_from_slice(bytes);
            }
            CLONE_GROUP_IO_WRITE if io.flags & CLONE_GROUP_IO_HOST != 0 => {
                let value = io.payload as u64;
                (0..io.block_count).for_each(|block| {
                    sparse.blocks.insert((io.lu, io.first_block + block), value);
                });
            }
            _ => {}
        }
    }
    CLONE_GROUP_OK
}

unsafe extern "C" fn done(context: *mut c_void, tag: u64, status: i32) {
    // SAFETY: the array that was given as context.
    unsafe { (*context.cast::<Shared>()).borrow_mut().done.push((tag, status)) };
}

/// A group over the array, with or without copies by the array itself.
fn power_on(shared: &Shared, config: &clone_group_config, offload: bool) -> *mut clone_group {
    let mut group = std::ptr::null_mut();
    // SAFETY: valid places, and structs filled by the library; the array outlives the group.
    unsafe {
        let mut ops: clone_group_ops = std::mem::zeroed();
        clone_group_ops_init(&mut ops, size_of::<clone_group_ops>() as u32);
        ops.context = (shared as *const Shared).cast_mut().cast();
        ops.read = Some(submitted);
        ops.write = Some(submitted);
        ops.discard = Some(submitted);
        ops.write_zeroes = Some(submitted);
        ops.copy = if offload { Some(submitted) } else { None };
        ops.persist_read = Some(submitted);
        ops.persist_write = Some(submitted);
        ops.done = Some(done);
        assert_eq!(clone_group_create(config, &ops, std::ptr::null_mut(), 0, &mut group), CLONE_GROUP_OK);
        for lu in 0..2 {
            let described = clone_group_lu {
                struct_size: size_of::<clone_group_lu>() as u32,
                flags: CLONE_GROUP_LU_DISCARD_ZEROES,
                identity: [lu as u8 + 1; 16],
            };
            assert_eq!(clone_group_lu_attach(group, lu, &described), CLONE_GROUP_OK);
        }
    }
    group
}

/// Polls until the request is done, and the copies too.
fn end(shared: &Shared, group: *mut clone_group, begun: i32, background: bool) -> i32 {
    assert!(begun >= CLONE_GROUP_OK, "{begun}");
    // SAFETY: a live group.
    let poll = || unsafe {
        if background { clone_group_sync_step(group, 1000) } else { clone_group_cod_poll(group, 1000) }
    };
    while poll() != CLONE_GROUP_OK {}
    shared.borrow_mut().done.pop().map_or(begun, |(_, status)| status)
}

/// An LU of more than 4 TiB with a short last extent: every range, offset and map index behind 2^32 blocks is right,
/// in copies by the array, in copies in pieces, for host requests and in the maps; a discard of all of it is one I/O.
#[test]
fn tc_39_41_42_behind_32_bits() {
    const EXTENT: u64 = 1 << 21;
    const BLOCKS: u64 = (1 << 33) + 3;
    const EXTENTS: u64 = (1 << 12) + 1;
    let config = config_of(BLOCKS, EXTENT as u32);
    let mut bytes = 0;
    // SAFETY: a valid place.
    assert_eq!(unsafe { clone_group_metadata_size(&config, &mut bytes) }, CLONE_GROUP_OK);
    let shared = Shared::default();
    shared.borrow_mut().area = vec![0; bytes as usize];
    let group = power_on(&shared, &config, true);
    let ok = |begun| assert_eq!(end(&shared, group, begun, true), CLONE_GROUP_OK);
    // SAFETY: a live group, here and below; payloads are only numbers to this array.
    unsafe {
        ok(clone_group_format(group, 0, 1));
        ok(clone_group_clone_add(group, 1, 1));
        ok(clone_group_synchronize(group, 1, 1));
    }
    let mut next = 0;
    for io in shared.borrow().ios.iter().filter(|io| io.operation == CLONE_GROUP_IO_COPY) {
        assert_eq!((io.first_block, io.lu, io.source_lu), (next, 1, 0), "each block once, in order");
        assert_eq!((io.offset_bytes, io.length_bytes), (io.first_block * 512, io.block_count * 512));
        next = io.first_block + io.block_count;
    }
    assert_eq!(next, BLOCKS, "to the last block");
    let written = [(1 << 32, 1), (BLOCKS - 1, 1), (3 * (1 << 31) - 1, 2)];
    // SAFETY: as above.
    unsafe {
        ok(clone_group_fracture(group, 1, std::ptr::null(), 0, 1));
        for (first, count) in written {
            ok(clone_group_host_write(group, 0, first, count, 5 as *const c_void, 0, 1));
        }
        for (first, count) in [(0, 0), (BLOCKS, 1), (BLOCKS - 1, 2), (u64::MAX, 2), (1, u64::MAX)] {
            let refused = clone_group_host_discard(group, 0, first, count, 0, 1);
            assert_eq!(refused, CLONE_GROUP_ERR_RANGE, "{first}+{count}");
        }
    }
    let delta = |group| {
        let mut map = vec![0_u8; EXTENTS.div_ceil(8) as usize];
        let bytes = map.len() as u64;
        // SAFETY: a live group and so many bytes.
        let read = unsafe {
            clone_group_map_read(group, CLONE_GROUP_MAP_DELTA, 1, 0, EXTENTS, map.as_mut_ptr(), bytes)
        };
        assert_eq!(read, CLONE_GROUP_OK);
        (0..EXTENTS).filter(|&extent| map[extent as usize / 8] >> (extent % 8) & 1 == 1).collect::<Vec<_>>()
    };
    assert_eq!(delta(group), [2048, 3071, 3072, 4096]);
    // SAFETY: as above.
    unsafe {
        ok(clone_group_close(group, 1));
        assert_eq!(clone_group_destroy(group), CLONE_GROUP_OK);
    }
    // Restored in pieces, through the library's buffer, by a write to a part of three of the extents.
    let group = power_on(&shared, &config, false);
    let ok = |begun, background| assert_eq!(end(&shared, group, begun, background), CLONE_GROUP_OK);
    // SAFETY: as above.
    unsafe {
        ok(clone_group_recover(group, 0, 1), false);
        assert_eq!(delta(group), [2048, 3071, 3072, 4096]);
        ok(clone_group_protected_restore(group, 1, 1), false);
        for (extent, first, count) in
            [(2048, (1_u64 << 32) + 9, 1), (3071, 3072 * EXTENT - 1, 2), (4096, BLOCKS - 2, 1)]
        {
            shared.borrow_mut().ios.clear();
            ok(clone_group_host_write(group, 0, first, count, 6 as *const c_void, 0, 1), false);
            let sparse = shared.borrow();
            let is_host = |io: &&clone_group_io| io.flags & CLONE_GROUP_IO_HOST != 0;
            let host = sparse.ios.iter().find(is_host).expect("the write itself");
            assert_eq!((host.first_block, host.block_count, host.offset_bytes), (first, count, first * 512));
            let last = (first + count - 1) / EXTENT;
            for (lu, operation) in [(1, CLONE_GROUP_IO_READ), (0, CLONE_GROUP_IO_WRITE)] {
                let pieces = |io: &&clone_group_io| {
                    io.lu == lu && io.operation == operation && io.flags & CLONE_GROUP_IO_HOST == 0
                };
                let mut covered: Vec<_> =
                    sparse.ios.iter().filter(pieces).map(|io| (io.first_block, io.block_count)).collect();
                covered.sort_unstable();
                let mut next = extent * EXTENT;
                for (piece, count) in covered {
                    assert_eq!(piece, next, "a gap, or twice");
                    next += count;
                }
                assert_eq!(next, ((last + 1) * EXTENT).min(BLOCKS), "to the end of the extent, not farther");
            }
        }
        assert_eq!(delta(group), [2048, 3071, 3072, 4096], "what hosts changed in the restore");
        end(&shared, group, CLONE_GROUP_OK, true);
        shared.borrow_mut().ios.clear();
        ok(clone_group_host_discard(group, 0, 0, BLOCKS, 0, 1), false);
        let discarded: Vec<_> = shared
            .borrow()
            .ios
            .iter()
            .filter(|io| io.flags & CLONE_GROUP_IO_HOST != 0)
            .map(|io| (io.operation, io.first_block, io.block_count, io.length_bytes))
            .collect();
        assert_eq!(discarded, [(CLONE_GROUP_IO_DISCARD, 0, BLOCKS, BLOCKS * 512)]);
        assert_eq!(delta(group).len() as u64, EXTENTS);
        assert_eq!(clone_group_destroy(group), CLONE_GROUP_OK);
    }
}

/// The short last extent: covered by the blocks that it has, copied up to its end, and its last block is not lost.
#[test]
fn tc_40_the_last_block() {
    for extent_blocks in [2, 4, 8, 16] {
        for tail in 1..extent_blocks {
            let blocks = 5 * extent_blocks + tail;
            let profile = Profile { blocks, extent_blocks, copy_blocks: extent_blocks as u32, ..QUIET };
            let world = restoring(profile, 1, &[5]);
            let clone = world.content(1);
            world.write(5 * extent_blocks, tail);
            world.finish_hosts();
            assert_eq!(world.logged(is_copy_read), 0, "the extent is covered: {tail} of {extent_blocks}");
            assert!(world.content(0)[5 * extent_blocks..].iter().all(|&value| value > 1 << 60));
            if tail == 1 {
                continue;
            }
            let world = restoring(profile, 1, &[5]);
            world.write(5 * extent_blocks, tail - 1);
            world.finish_hosts();
            assert_eq!(world.logged(is_copy_read), 1, "one block is missing");
            assert_eq!(world.content(0)[blocks - 1], clone[blocks - 1], "the last block is lost");
            world.settle();
            world.check_lu_now(0);
        }
    }
}

/// A request that ends inside an extent: what is left of the extent is the Clone's, before and behind.
#[test]
fn tc_43_an_end_inside_an_extent() {
    for operation in [CLONE_GROUP_IO_WRITE, CLONE_GROUP_IO_WRITE_ZEROES] {
        for first in 4..12 {
            for end in first + 1..=16 {
                let world = restoring(QUIET, 1, &[1, 2, 3, 5]);
                let mut expected = world.content(1);
                world.host(operation, 0, first, end - first, false);
                world.finish_hosts();
                let now = world.read_now(0, 0, 38).expect("a read");
                expected[first..end].copy_from_slice(&now[first..end]);
                assert_eq!(now, expected, "blocks {first}..{end}");
                let written = operation == CLONE_GROUP_IO_WRITE;
                assert!(now[first..end].iter().all(|&block| if written {
                    block > 1 << 60
                } else {
                    block == 0
                }));
            }
        }
    }
}

/// An LU of every size up to two words of a map and beyond: its life comes to its end.
#[test]
fn tc_44_every_small_size() {
    for blocks in 1..=140 {
        let profile = Profile { blocks, extent_blocks: 1, copy_blocks: 8, ..QUIET };
        let world = fractured(profile, 1, &[blocks - 1]);
        assert_eq!(world.delta(1), [blocks - 1]);
        world.does(Ask::Restore(1));
        world.settle();
        assert_eq!(world.info().restoring_lu, 0, "{blocks} blocks");
        assert_eq!(world.content(0), world.content(1));
    }
}

/// Bits are set for every extent that a write touches; only what it covers entirely needs no copy.
#[test]
fn tc_45_outward_and_inward() {
    for first in 4..16 {
        for end in first + 1..=16 {
            let world = restoring(QUIET, 1, &[1, 2, 3, 8]);
            world.host(CLONE_GROUP_IO_WRITE, 0, first, end - first, false);
            world.finish_hosts();
            let touched: Vec<usize> = (first / 4..=(end - 1) / 4).collect();
            assert_eq!(world.protected(), touched, "blocks {first}..{end}");
            let copied: Vec<usize> =
                touched.iter().copied().filter(|e| first > 4 * e || end < 4 * e + 4).collect();
            for extent in 1..4 {
                let reads = world.logged(|io| is_copy_read(io) && io.first_block / 4 == extent as u64);
                assert_eq!(
                    reads,
                    usize::from(copied.contains(&extent)),
                    "blocks {first}..{end}, extent {extent}"
                );
            }
        }
    }
}
