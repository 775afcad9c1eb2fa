//! The durable format is a promise: what this library writes equals golden images byte for byte, on every CPU, and
//! what earlier releases wrote is read back. Metadata that is damaged, foreign or of another kind is refused with
//! its own status, and nothing is changed (R30, R32, R60, R79).
//!
//! After a knowing change of the format: `CLONE_GROUP_UPDATE_GOLDEN=1 cargo test --test media_format`, a new
//! format version, and a new folder beside `tests/media_format/1`.

mod common;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::sets::*;
use ::clone_group::ffi::types::*;
use common::world::{Placed, Profile, World};

const PROFILE: Profile = Profile::QUIET;

/// Where the superblock slots and the copies of the one page lie: docs/format.md.
const SUPERBLOCK_BYTES: usize = 512;
const PAGE_BYTES: usize = 512;
const REGION_BYTES: usize = SUPERBLOCK_BYTES + PAGE_BYTES;

fn operate(world: &World, call: impl FnOnce(*mut clone_group, u64) -> i32) {
    assert_eq!(world.run_operation(call), CLONE_GROUP_OK);
}

/// An empty group.
fn formatted() -> Placed {
    formatted_as(PROFILE)
}

fn formatted_as(profile: Profile) -> Placed {
    let mut world = World::new(profile, 1);
    world.power_on();
    // SAFETY: a live group.
    operate(&world, |group, tag| unsafe { clone_group_format(group, 0, tag) });
    world
}

/// Clone 1 is being restored from, with host writes; Clone 2 was mirrored until then.
fn restoring() -> Placed {
    let world = formatted();
    // SAFETY: a live group, here and below.
    unsafe {
        for lu in [1, 2] {
            operate(&world, |group, tag| clone_group_clone_add(group, lu, tag));
            operate(&world, |group, tag| clone_group_synchronize(group, lu, tag));
            world.settle();
        }
        world.inner.borrow_mut().note_fracture();
        let label = [b'L'; 64];
        operate(&world, |group, tag| clone_group_fracture(group, 1, label.as_ptr(), 0, tag));
        for (first, count) in [(1, 2), (9, 1), (20, 8)] {
            world.host(CLONE_GROUP_IO_WRITE, 0, first, count, false);
        }
        world.settle();
        world.inner.borrow_mut().note_fracture();
        operate(&world, |group, tag| clone_group_protected_restore(group, 1, tag));
    }
    world.host(CLONE_GROUP_IO_WRITE, 0, 36, 2, false);
    world.host(CLONE_GROUP_IO_WRITE, 0, 10, 1, false);
    while world.poll(8) != CLONE_GROUP_OK {}
    world
}

/// Prepared for a set of two groups, of which the other one never votes.
fn prepared(restore: bool) -> Placed {
    let (world, other) = (restorable(), restorable());
    let groups = [world.group(), other.group()];
    // SAFETY: a struct of integers, filled by the library; live groups; the set is leaked, so it outlives them.
    unsafe {
        let set: &mut clone_group_set = Box::leak(Box::new(std::mem::zeroed()));
        let id = 0x1122_3344_5566_7788;
        assert_eq!(clone_group_set_init(set, size_of::<clone_group_set>() as u32, id), CLONE_GROUP_OK);
        let (label, clone) = ([b'L'; 64], if restore { 1 } else { 2 });
        let asked = if restore {
            clone_group_set_protected_restore(groups.as_ptr(), [clone; 2].as_ptr(), 2, set, 1)
        } else {
            clone_group_set_fracture(groups.as_ptr(), [clone; 2].as_ptr(), 2, set, label.as_ptr(), 1)
        };
        assert_eq!(asked, CLONE_GROUP_PENDING);
    }
    for _ in 0..20 {
        world.poll(8);
    }
    world
}

/// Clone 1 is fractured and differs, Clone 2 is mirrored.
fn restorable() -> Placed {
    let world = formatted();
    // SAFETY: a live group, here and below.
    unsafe {
        for lu in [1, 2] {
            operate(&world, |group, tag| clone_group_clone_add(group, lu, tag));
            operate(&world, |group, tag| clone_group_synchronize(group, lu, tag));
            world.settle();
        }
        world.inner.borrow_mut().note_fracture();
        operate(&world, |group, tag| clone_group_fracture(group, 1, std::ptr::null(), 0, tag));
    }
    world.host(CLONE_GROUP_IO_WRITE, 0, 9, 1, false);
    world.settle();
    world.inner.borrow_mut().note_fracture();
    world
}

/// With a column for each Clone: Clone 1 is being copied onto the Source without protection, and paused;
/// Clone 2 was fractured in between, and the Source changed before and after.
fn reversing_per_clone() -> Placed {
    let world = formatted_as(Profile { map_per_clone: true, ..PROFILE });
    // SAFETY: a live group, here and below.
    unsafe {
        for lu in [1, 2] {
            operate(&world, |group, tag| clone_group_clone_add(group, lu, tag));
            operate(&world, |group, tag| clone_group_synchronize(group, lu, tag));
            world.settle();
        }
        for (lu, first) in [(1, 1), (2, 9)] {
            world.inner.borrow_mut().note_fracture();
            operate(&world, |group, tag| clone_group_fracture(group, lu, std::ptr::null(), 0, tag));
            world.host(CLONE_GROUP_IO_WRITE, 0, first, 1, false);
            world.settle();
        }
        world.inner.borrow_mut().note_fracture();
        operate(&world, |group, tag| clone_group_reverse_synchronize(group, 1, tag));
        operate(&world, |group, tag| clone_group_pause(group, tag));
    }
    // An intent.
    world.host(CLONE_GROUP_IO_WRITE, 0, 30, 1, false);
    while world.poll(8) != CLONE_GROUP_OK {}
    world
}

fn area(world: &World) -> Vec<u8> {
    world.inner.borrow().area.now.clone()
}

fn hex(bytes: &[u8]) -> String {
    let line = |row: &[u8]| row.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    bytes
        .chunks(32)
        .enumerate()
        .map(|(number, row)| format!("{:06x}  {}\n", number * 32, line(row)))
        .collect()
}

fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = format!("{}/tests/media_format/1/{name}.hex", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("CLONE_GROUP_UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
        std::fs::write(&path, hex(bytes)).unwrap();
    }
    let text = std::fs::read_to_string(&path).expect("the golden image is there");
    assert!(
        text == hex(bytes),
        "{name}: the library writes other bytes than tests/media_format/1/{name}.hex"
    );
    let byte = |digits: &str| u8::from_str_radix(digits, 16).unwrap();
    text.lines().flat_map(|line| line[8..].split(' ').map(byte).collect::<Vec<_>>()).collect()
}

/// A fresh controller over these bytes; returns what Recovery says.
fn recover(world: &mut World, bytes: &[u8], flags: u32) -> i32 {
    world.lose_power(|| true);
    world.inner.borrow_mut().area.replace(bytes);
    world.power_on();
    // SAFETY: a live group.
    world.run_operation(|group, tag| unsafe { clone_group_recover(group, flags, tag) })
}

/// Changes both superblock slots, with checksums that are right.
fn with_superblocks(bytes: &[u8], change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for slot in 0..2 {
        let image = &mut changed[slot * REGION_BYTES..][..SUPERBLOCK_BYTES];
        change(image);
        let crc = crc32fast::hash(&image[..SUPERBLOCK_BYTES - 4]);
        image[SUPERBLOCK_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    }
    changed
}

fn with_pages_damaged(bytes: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for slot in 0..2 {
        changed[slot * REGION_BYTES + SUPERBLOCK_BYTES + 70] ^= 1;
    }
    changed
}

/// What the library writes is what it always wrote.
#[test]
fn images_are_golden() {
    golden("formatted", &area(&formatted()));
    golden("restoring", &area(&restoring()));
    golden("reversing_per_clone", &area(&reversing_per_clone()));
    golden("prepared_fracture", &area(&prepared(false)));
    golden("prepared_restore", &area(&prepared(true)));
}

/// The columns of a group with one for each Clone, at the places that docs/format.md gives, and as Recovery reads them.
#[test]
fn columns_of_single_clones() {
    let mut world = reversing_per_clone();
    let image = golden("reversing_per_clone", &area(&world));
    assert_eq!((image[48], image[84]), (1, 3), "feature word and columns of the superblock");
    assert_eq!((image[96], image[100]), (0, 1), "restored from nobody, copied back from LU 1");
    // Three columns of 448 / 3 / 8 * 8 bytes; the newer copy of the only page.
    let copy = |slot: usize| &image[slot * REGION_BYTES + SUPERBLOCK_BYTES..][..PAGE_BYTES];
    let sequence = |slot: usize| u64::from_le_bytes(copy(slot)[32..40].try_into().unwrap());
    let page = copy(usize::from(sequence(1) > sequence(0)));
    let column = |number: usize| {
        let bytes = &page[64 + number * 144..][..144];
        (0..144 * 8).filter(|bit| bytes[bit / 8] >> (bit % 8) & 1 == 1).collect::<Vec<_>>()
    };
    assert_eq!(column(0), [0, 2, 7], "Clone 1: what is left, and the intent");
    assert_eq!(column(1), [2, 7], "Clone 2: what hosts wrote since its fracture");
    assert_eq!(column(2), [] as [usize; 0], "no restore");
    assert_eq!(recover(&mut world, &image, 0), CLONE_GROUP_OK);
    world.after_recovery();
    assert_eq!(world.info().reversing_lu, 1);
    let set = |map: Vec<bool>| (0..map.len()).filter(|&extent| map[extent]).collect::<Vec<_>>();
    assert_eq!(set(world.map(CLONE_GROUP_MAP_DELTA, 1)), [0, 2, 7]);
    // What is copied back differs from the other Clone, too (R72).
    assert_eq!(set(world.map(CLONE_GROUP_MAP_DELTA, 2)), [0, 2, 7]);
}

/// What was written by format version 1 is read: states, label, maps, and the restore goes on.
#[test]
fn golden_images_are_read() {
    let mut world = restoring();
    let image = golden("restoring", &area(&world));
    assert_eq!(recover(&mut world, &image, 0), CLONE_GROUP_OK);
    world.after_recovery();
    assert_eq!(world.info().restoring_lu, 1);
    assert_eq!(world.clone_info(1).label, [b'L'; 64]);
    assert_eq!(world.clone_info(1).state, CLONE_GROUP_CLONE_RESTORING);
    assert_eq!(world.clone_info(2).state, CLONE_GROUP_CLONE_FRACTURED);
    let set = |map: Vec<bool>| (0..map.len()).filter(|&extent| map[extent]).collect::<Vec<_>>();
    assert_eq!(set(world.map(CLONE_GROUP_MAP_PROTECTED_RESTORE, 0)), [2, 9]);
    assert_eq!(set(world.map(CLONE_GROUP_MAP_DELTA, 1)), [0, 5, 6]);
    world.settle();
    assert_eq!(world.info().restoring_lu, 0);
}

/// A prepared group is read, names its set, and is resolved either way (R77).
#[test]
fn golden_images_of_prepared_groups_are_read() {
    for (name, restore) in [("prepared_fracture", false), ("prepared_restore", true)] {
        for commit in [0, 1] {
            let mut world = prepared(restore);
            let image = golden(name, &area(&world));
            assert_eq!(recover(&mut world, &image, 0), CLONE_GROUP_OK);
            let info = world.info();
            assert_eq!(
                (info.conditions, info.set_id),
                (CLONE_GROUP_CONDITION_PREPARED, 0x1122_3344_5566_7788)
            );
            // SAFETY: a live group.
            operate(&world, |group, tag| unsafe { clone_group_set_resolve(group, commit, tag) });
            let info = world.info();
            assert_eq!((info.conditions, info.set_id != 0), (0, commit == 1));
            assert_eq!(info.restoring_lu, u32::from(restore && commit == 1));
            let fractured = [CLONE_GROUP_CLONE_SYNCHRONIZED, CLONE_GROUP_CLONE_FRACTURED][commit as usize];
            assert_eq!(world.clone_info(2).state, fractured, "{name}");
            let labelled = !restore && commit == 1;
            assert_eq!(world.clone_info(2).label, [if labelled { b'L' } else { 0 }; 64]);
        }
    }
}

/// Each kind of wrong metadata has its own status, and Recovery writes nothing.
#[test]
fn wrong_metadata_is_refused_by_name() {
    let mut world = restoring();
    let good = area(&world);
    let at = |offset: usize, value: u8| with_superblocks(&good, |image| image[offset] ^= value);
    let cases: [(&str, Vec<u8>, i32); 11] = [
        ("never formatted", vec![0; good.len()], CLONE_GROUP_ERR_METADATA_MISSING),
        ("overwritten", vec![0xa5; good.len()], CLONE_GROUP_ERR_METADATA_DAMAGED),
        ("another group", at(16, 1), CLONE_GROUP_ERR_METADATA_FOREIGN),
        ("another version", at(8, 2), CLONE_GROUP_ERR_METADATA_VERSION),
        ("an incompatible feature", at(48, 2), CLONE_GROUP_ERR_METADATA_VERSION),
        ("a column for each Clone", at(48, 1), CLONE_GROUP_ERR_METADATA_GEOMETRY),
        ("a feature that forbids writing", at(44, 1), CLONE_GROUP_ERR_METADATA_VERSION),
        ("another LU size", at(56, 1), CLONE_GROUP_ERR_METADATA_GEOMETRY),
        ("another Source", at(112, 1), CLONE_GROUP_ERR_IDENTITY),
        ("another Clone", at(128 + 16, 1), CLONE_GROUP_ERR_IDENTITY),
        ("both copies of a page damaged", with_pages_damaged(&good), CLONE_GROUP_ERR_RESTORE_MAP_LOST),
    ];
    for (name, image, status) in cases {
        assert_eq!(recover(&mut world, &image, 0), status, "{name}");
        assert!(area(&world) == image, "{name}: Recovery changed the metadata that it refused");
    }
    // A compatible feature is none of our business.
    let compatible = with_superblocks(&good, |image| image[40] ^= 1);
    assert_eq!(recover(&mut world, &compatible, 0), CLONE_GROUP_OK);
}

/// One damaged superblock slot, or one damaged copy of a page, costs nothing.
#[test]
fn one_damaged_copy_is_survived() {
    for damaged in [0, REGION_BYTES, SUPERBLOCK_BYTES, REGION_BYTES + SUPERBLOCK_BYTES] {
        let mut world = formatted();
        let good = area(&world);
        let mut image = good.clone();
        image[damaged + 20] ^= 0xff;
        assert_eq!(recover(&mut world, &image, 0), CLONE_GROUP_OK, "damaged at {damaged}");
    }
}

/// A restore whose map is lost can be given up by the operator: the Source is not served until it is restored
/// again (R60).
#[test]
fn a_lost_restore_can_be_given_up() {
    let mut world = restoring();
    let image = with_pages_damaged(&area(&world));
    assert_eq!(recover(&mut world, &image, CLONE_GROUP_RECOVER_ABANDON_RESTORE), CLONE_GROUP_OK);
    world.after_recovery();
    assert_eq!(world.info().conditions, CLONE_GROUP_CONDITION_SOURCE_INVALID);
    assert_eq!(world.read_now(0, 0, 1), Err(CLONE_GROUP_ERR_SOURCE_INVALID));
    assert!(world.map(CLONE_GROUP_MAP_DELTA, 1).iter().all(|&set| set), "everything counts as different");
    let snapshot = world.inner.borrow().devices[1].now.clone();
    world.inner.borrow_mut().note_fracture();
    // SAFETY: a live group.
    operate(&world, |group, tag| unsafe { clone_group_protected_restore(group, 1, tag) });
    world.settle();
    assert_eq!(world.inner.borrow().devices[0].now, snapshot);
    assert_eq!(world.read_now(0, 0, 1), Ok(vec![snapshot[0]]));
}

/// Without a restore, a page of which no copy is good counts as different everywhere, and an event says so (R30).
#[test]
fn a_lost_page_without_a_restore_is_all_ones() {
    let mut world = formatted();
    // SAFETY: a live group.
    operate(&world, |group, tag| unsafe { clone_group_clone_add(group, 1, tag) });
    let image = with_pages_damaged(&area(&world));
    assert_eq!(recover(&mut world, &image, 0), CLONE_GROUP_OK);
    world.settle();
    let events: Vec<u32> = world.inner.borrow().events.iter().map(|event| event.0).collect();
    assert!(events.contains(&CLONE_GROUP_EVENT_PAGE_DAMAGED), "events: {events:?}");
    assert!(world.map(CLONE_GROUP_MAP_PERSISTENT_DELTA, 0).iter().all(|&set| set));
}

/// While pages are distrusted, a page with one damaged copy is lost like one with two (N18): ones without a restore, a
/// refusal with one. The flag goes when nothing is lost any more, and a prepared group stays prepared.
#[test]
fn pages_that_are_distrusted() {
    let flagged = |bytes: &[u8]| with_superblocks(bytes, |image| image[52] |= 8);
    // The copy that would not count anyway.
    let damaged = |mut bytes: Vec<u8>| {
        let sequence = |slot: usize| {
            let at = slot * REGION_BYTES + SUPERBLOCK_BYTES + 32;
            u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
        };
        let older = usize::from(sequence(1) < sequence(0));
        bytes[older * REGION_BYTES + SUPERBLOCK_BYTES + 70] ^= 1;
        bytes
    };
    let flags = |world: &World| [0, REGION_BYTES].map(|slot| area(world)[slot + 52] & 8);

    let mut world = restorable();
    let good = area(&world);
    let (deltas, all) = (world.map(CLONE_GROUP_MAP_DELTA, 1), vec![true; 10]);
    for (image, expected) in
        [(flagged(&good), &deltas), (damaged(good.clone()), &deltas), (damaged(flagged(&good)), &all)]
    {
        assert_eq!(recover(&mut world, &image, 0), CLONE_GROUP_OK);
        world.after_recovery();
        assert_eq!(&world.map(CLONE_GROUP_MAP_DELTA, 1), expected);
        world.settle();
        assert_eq!(flags(&world), [0; 2]);
    }
    let mut world = restoring();
    let image = damaged(flagged(&area(&world)));
    assert_eq!(recover(&mut world, &image, 0), CLONE_GROUP_ERR_RESTORE_MAP_LOST);
    assert!(area(&world) == image);
    for restore in [false, true] {
        for commit in [0, 1] {
            let mut world = prepared(restore);
            let image = damaged(flagged(&area(&world)));
            assert_eq!(recover(&mut world, &image, 0), CLONE_GROUP_OK);
            assert_eq!(world.info().conditions, CLONE_GROUP_CONDITION_PREPARED);
            // SAFETY: a live group.
            operate(&world, |group, tag| unsafe { clone_group_set_resolve(group, commit, tag) });
            assert_eq!(flags(&world), [0; 2]);
            let fractured = [CLONE_GROUP_CLONE_SYNCHRONIZED, CLONE_GROUP_CLONE_FRACTURED][commit as usize];
            if !restore || commit == 1 {
                assert_eq!(world.clone_info(2).state, fractured);
            }
            assert_eq!(world.info().restoring_lu, u32::from(restore && commit == 1));
        }
    }
}

/// A format does not wipe out a group by mistake, and does when it is told to (R74).
#[test]
fn format_asks_first() {
    let mut world = restoring();
    let good = area(&world);
    world.lose_power(|| true);
    world.power_on();
    // SAFETY: a live group, here and below.
    unsafe {
        let refused = world.run_operation(|group, tag| clone_group_format(group, 0, tag));
        assert_eq!(refused, CLONE_GROUP_ERR_METADATA_EXISTS);
        assert!(area(&world) == good, "a format that was refused changed the metadata");
        operate(&world, |group, tag| clone_group_format(group, CLONE_GROUP_FORMAT_FORCE, tag));
    }
    assert_eq!(world.clone_info(1).state, CLONE_GROUP_CLONE_ABSENT);
}
