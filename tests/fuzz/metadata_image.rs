//! Goal: whatever the persistent area holds, Recovery either refuses it by name and writes nothing, or brings a group
//! up whose maps fit together (I4, I9), that does what it is asked, ends in order and is found again. Method: the image
//! of a group in some state, then units changed, swapped, aged, torn or replaced, with checksums that are right again,
//! so that what is behind the checksum is reached.

use std::rc::Rc;

use ::clone_group::ffi::types::*;

use super::array::{Array, Ask, HostCall};
use super::images::{self, PROFILES, SITUATIONS, Shape};
use super::input::Input;

/// Fields of a superblock, where and how long.
const SUPERBLOCK_FIELDS: [(usize, usize); 20] = [
    (0, 8),
    (8, 4),
    (12, 4),
    (16, 1),
    (32, 8),
    (40, 4),
    (44, 4),
    (48, 4),
    (52, 4),
    (56, 8),
    (64, 4),
    (68, 4),
    (72, 4),
    (76, 4),
    (80, 4),
    (84, 4),
    (88, 8),
    (96, 4),
    (100, 4),
    (104, 8),
];
/// Fields of the record of a Clone.
const RECORD_FIELDS: [(usize, usize); 4] = [(0, 4), (4, 4), (8, 8), (16, 1)];
/// Fields of a page, and bits in its columns.
const PAGE_FIELDS: [(usize, usize); 12] = [
    (0, 4),
    (4, 4),
    (8, 1),
    (24, 8),
    (32, 8),
    (40, 8),
    (48, 4),
    (52, 4),
    (56, 4),
    (64, 8),
    (120, 8),
    (500, 8),
];

/// What Recovery may say; of reads, what the array says.
const REFUSALS: [i32; 9] = [
    CLONE_GROUP_ERR_METADATA_MISSING,
    CLONE_GROUP_ERR_METADATA_DAMAGED,
    CLONE_GROUP_ERR_METADATA_FOREIGN,
    CLONE_GROUP_ERR_METADATA_GEOMETRY,
    CLONE_GROUP_ERR_METADATA_VERSION,
    CLONE_GROUP_ERR_RESTORE_MAP_LOST,
    CLONE_GROUP_ERR_IDENTITY,
    CLONE_GROUP_ERR_NO_LU,
    -5,
];

/// Runs one input.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (profile, situation) = (input.below(PROFILES), input.below(SITUATIONS));
    let base = images::base(profile, situation);
    let config = images::config(profile);
    let shape = images::shape(&config);
    let age = input.below(256).min(base.history.len() - 1);
    let mut image = base.history[base.history.len() - 1 - age].clone();
    let other = images::base(input.below(PROFILES), input.below(SITUATIONS));
    let changes = input.below(8);
    for _ in 0..changes {
        change(&mut image, &mut input, &shape, [&base.history, &other.history]);
    }
    let array = images::array(profile);
    let array = wrong_size(array, &mut input);
    take_image(&array, &image);
    array.inner.borrow_mut().lus.iter_mut().zip(&base.lus).for_each(|(lu, old)| {
        let blocks = lu.len().min(old.len());
        lu[..blocks].copy_from_slice(&old[..blocks]);
    });
    if input.one_in(8) {
        let length = array.inner.borrow().area.len();
        let start = input.below(65536) % length;
        array.inner.borrow_mut().unreadable = Some(start..(start + 1 + input.below(2048)).min(length));
    }
    recover(&array, &mut input);
    array.check_memory();
}

/// Sometimes the configuration is another one than the image was made with.
fn wrong_size(array: Rc<Array>, input: &mut Input) -> Rc<Array> {
    if !input.one_in(8) {
        return array;
    }
    let mut config = array.config;
    match input.below(8) {
        0 => config.lu_blocks = 1 + input.below(600) as u64,
        1 => config.clones_max = 1 + input.below(9) as u32,
        2 => config.extent_blocks = 1 << input.below(6),
        3 => config.page_bytes = config.persist_unit_bytes << input.below(3),
        4 => config.flags ^= CLONE_GROUP_CONFIG_MAP_PER_CLONE,
        5 => config.group_id[0] ^= 1,
        6 => config.flags |= CLONE_GROUP_CONFIG_REDIRECT_READS,
        _ => config.copy_buffer_bytes = 512,
    }
    match Array::new(config) {
        Some(other) => {
            other.lu_flags.set(array.lu_flags.get());
            other
        }
        None => array,
    }
}

/// What fits of the image; behind its end is nothing.
fn take_image(array: &Array, image: &[u8]) {
    let area = &mut array.inner.borrow_mut().area;
    let length = area.len().min(image.len());
    area[..length].copy_from_slice(&image[..length]);
}

/// Changes a unit.
fn change(image: &mut [u8], input: &mut Input, shape: &Shape, histories: [&Vec<Vec<u8>>; 2]) {
    let units = shape.units();
    let number = input.below(units.len());
    let unit = units[number].clone();
    let superblock = unit.len() == shape.superblock_bytes && unit.start.is_multiple_of(shape.region_bytes);
    let place = &mut image[unit.clone()];
    let mut repair = true;
    match input.below(12) {
        0 => {
            let at = input.below(place.len());
            place[at] ^= 1 << input.below(8);
        }
        // The same, unnoticed by a checksum or not.
        1 => {
            let at = input.below(place.len());
            place[at] ^= 1 << input.below(8);
            repair = false;
        }
        2 | 3 => set_field(place, superblock, input),
        4 => {
            let bytes = input.take(8).to_vec();
            let at = input.below(place.len() - 8);
            place[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        5 => {
            place.fill(input.pick(&[0, 0xFF, 0xA5]));
            repair = false;
        }
        // The bits of a page.
        6 if !superblock => {
            let fill = input.u8();
            place[64..].fill(fill);
        }
        // Swapped with, or a copy of, another unit.
        6..=8 => {
            let other = units[input.below(units.len())].clone();
            let length = other.len().min(unit.len());
            let (mine, theirs) = (image[unit.clone()].to_vec(), image[other.clone()].to_vec());
            image[unit.start..unit.start + length].copy_from_slice(&theirs[..length]);
            if input.one_in(2) {
                image[other.start..other.start + length].copy_from_slice(&mine[..length]);
            }
            repair = input.one_in(2);
        }
        // Aged, torn, or of another group.
        9..=10 => {
            let history = histories[input.below(2)];
            let old = &history[input.below(history.len())];
            let length = if input.one_in(3) { unit.len() / 2 } else { unit.len() };
            if let Some(old) = old.get(unit.start..unit.start + length) {
                image[unit.start..unit.start + length].copy_from_slice(old);
            }
            repair = input.one_in(2);
        }
        // The restore generation, the states: the same in both slots.
        _ => {
            let start = Input::new(input.take(16)).take(16).to_vec();
            for slot in 0..2 {
                let at = slot * shape.region_bytes;
                set_field(&mut image[at..at + shape.superblock_bytes], true, &mut Input::new(&start));
                seal(&mut image[at..at + shape.superblock_bytes], true);
            }
            repair = false;
        }
    }
    if repair {
        seal(&mut image[unit], superblock);
    }
}

/// Puts a value that may mean something into a field.
fn set_field(unit: &mut [u8], superblock: bool, input: &mut Input) {
    let records = unit.len().saturating_sub(132) / 128;
    let (at, length) = if !superblock {
        input.pick(&PAGE_FIELDS)
    } else if input.one_in(2) && records > 0 {
        let (at, length) = input.pick(&RECORD_FIELDS);
        (128 * (1 + input.below(records)) + at, length)
    } else {
        input.pick(&SUPERBLOCK_FIELDS)
    };
    let Some(field) = unit.get_mut(at..at + length) else { return };
    let small = u64::from(input.u8());
    let value = match input.below(8) {
        0 | 1 => small,
        2 => small % 8,
        3 => u64::MAX,
        4 => 1 << (small % 64),
        5 => (1 << (small % 64)) - 1,
        6 => input.u64(),
        // A little more or less.
        _ => {
            let mut old = [0; 8];
            old[..length].copy_from_slice(field);
            u64::from_le_bytes(old).wrapping_add(small % 8).wrapping_sub(4)
        }
    };
    field.copy_from_slice(&value.to_le_bytes()[..length]);
}

/// The checksum that belongs to what the unit holds.
fn seal(unit: &mut [u8], superblock: bool) {
    if superblock {
        // The length that the slot names decides where the checksum is.
        let named = u32::from_le_bytes(unit[12..16].try_into().expect("4 bytes")) as usize;
        let end = if (20..=unit.len()).contains(&named) { named } else { unit.len() };
        let crc = crc32fast::hash(&unit[..end - 4]);
        unit[end - 4..end].copy_from_slice(&crc.to_le_bytes());
    } else {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&unit[..60]);
        hasher.update(&unit[64..]);
        unit[60..64].copy_from_slice(&hasher.finalize().to_le_bytes());
    }
}

fn recover(array: &Array, input: &mut Input) {
    array.power_on();
    let flags = if input.one_in(4) { CLONE_GROUP_RECOVER_ABANDON_RESTORE } else { 0 };
    let before = array.inner.borrow().area.clone();
    let status = array.result_of(Ask::Recover(flags));
    let damaged = array.inner.borrow().unreadable.is_some();
    if status != CLONE_GROUP_OK {
        assert!(REFUSALS.contains(&status) && (status != -5 || damaged), "Recovery returned {status}");
        let inner = array.inner.borrow();
        assert!(inner.area == before, "Recovery changed the metadata that it refused");
        assert_eq!(inner.writes, 0, "Recovery wrote to an LU");
        drop(inner);
        assert_eq!(array.info().state, CLONE_GROUP_STATE_NEW);
        array.inner.borrow_mut().unreadable = None;
        assert_eq!(array.result_of(Ask::Format(CLONE_GROUP_FORMAT_FORCE)), CLONE_GROUP_OK);
        assert_eq!(array.info().persistent_delta_extents, 0, "a new group with old maps");
    } else {
        // A superblock that differs from the other one is written afterwards (R31).
        let written = array.inner.borrow().area_writes_at_done;
        // Recovery itself writes one superblock, into both slots, where a restore is given up or a page is lost (R58).
        let intact = !damaged && every_copy_is_valid(&before, &array.config);
        assert!(flags != 0 || written == 0 || !intact && written <= 2, "Recovery wrote metadata (R58)");
        assert_eq!(array.inner.borrow().writes, 0, "Recovery wrote to an LU");
        if !damaged && array.inner.borrow().area_writes_at_done == 0 {
            loaded_as_written(array, &before);
        }
    }
    array.check_maps();
    array.inner.borrow_mut().unreadable = None;
    live(array, input);
    end(array);
}

fn number(image: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(image[at..at + 8].try_into().expect("8 bytes"))
}

/// A copy of a page, if it is valid as docs/format.md says.
fn valid_copy<'a>(
    image: &'a [u8],
    shape: &Shape,
    config: &clone_group_config,
    page: usize,
    slot: usize,
) -> Option<&'a [u8]> {
    let at = slot * shape.region_bytes + shape.superblock_bytes + page * shape.page_bytes;
    let copy = &image[at..at + shape.page_bytes];
    let mut sealed = copy.to_vec();
    seal(&mut sealed, false);
    let shaped = (shape.columns as u64) | (shape.page_extents as u64) << 32;
    let valid = sealed == copy
        && copy[..8] == *b"CGPG\x01\0\0\0"
        && copy[8..24] == config.group_id
        && number(copy, 24) == page as u64
        && number(copy, 48) == shaped;
    valid.then_some(copy)
}

/// Whether no copy of a page is damaged.
fn every_copy_is_valid(image: &[u8], config: &clone_group_config) -> bool {
    let shape = images::shape(config);
    let valid = |page, slot| valid_copy(image, &shape, config, page, slot).is_some();
    (0..shape.pages).all(|page| valid(page, 0) && valid(page, 1))
}

/// The newest valid copy of a page.
fn newest<'a>(image: &'a [u8], shape: &Shape, config: &clone_group_config, page: usize) -> Option<&'a [u8]> {
    let mut newest: Option<&[u8]> = None;
    for copy in (0..2).filter_map(|slot| valid_copy(image, shape, config, page, slot)) {
        if newest.is_none_or(|newest| number(copy, 32) > number(newest, 32)) {
            newest = Some(copy);
        }
    }
    newest
}

/// Every bit of the image is in the maps; with one column for all, no other one is. P is what the image says.
fn loaded_as_written(array: &Array, image: &[u8]) {
    let (shape, info) = (images::shape(&array.config), array.info());
    let persistent = array.map(CLONE_GROUP_MAP_PERSISTENT_DELTA, 0);
    let protected = array.map(CLONE_GROUP_MAP_PROTECTED_RESTORE, 0);
    // A column of a Clone that is absent does not count, nor of one that was prepared to be fractured.
    let present = |lu| array.clone_info(lu).state != CLONE_GROUP_CLONE_ABSENT;
    let prepared = info.conditions & CLONE_GROUP_CONDITION_PREPARED != 0;
    let counts = |lu| shape.columns == 2 || present(lu) && !prepared;
    let counts: Vec<bool> = (1..shape.columns as u32).map(counts).collect();
    for page in 0..shape.pages {
        let copy = newest(image, &shape, &array.config, page);
        let first = page * shape.page_extents;
        for extent in first..(first + shape.page_extents).min(persistent.len()) {
            let at = extent - first;
            let column = |number: usize| {
                copy.is_none_or(|copy| {
                    copy[64 + number * shape.page_extents / 8 + at / 8] >> (at % 8) & 1 == 1
                })
            };
            let generation = copy.map(|copy| copy[40..48] == info.restore_generation.to_le_bytes());
            let written = info.restoring_lu != 0 && generation == Some(true) && column(shape.columns - 1);
            let base = written || (0..shape.columns - 1).any(|number| counts[number] && column(number));
            assert!(persistent[extent] || !base, "extent {extent} is not in G");
            assert!(shape.columns > 2 || !persistent[extent] || base, "extent {extent} is in G");
            assert_eq!(protected[extent], written, "extent {extent} and P");
        }
    }
}

/// The group does what it is asked, or says why not.
fn live(array: &Array, input: &mut Input) {
    let clones = array.config.clones_max;
    let blocks = array.config.lu_blocks;
    if array.info().conditions & CLONE_GROUP_CONDITION_PREPARED != 0 {
        assert_eq!(array.result_of(Ask::Resolve(u32::from(input.one_in(2)))), CLONE_GROUP_OK);
    }
    // Copies that run begin here; `D` of what they copied is 0 when the copy is equal.
    for _ in 0..input.below(6) {
        let lu = 1 + input.below(clones as usize) as u32;
        match input.below(10) {
            0 => host(array, CLONE_GROUP_IO_WRITE, 0, input),
            1 => host(array, CLONE_GROUP_IO_WRITE, lu, input),
            2 => host(array, CLONE_GROUP_IO_READ, 0, input),
            3 => _ = array.result_of(Ask::Pause),
            4 => _ = array.result_of(Ask::Resume),
            5 => _ = array.result_of(Ask::Cancel(lu)),
            6 => _ = array.result_of(Ask::Retarget(lu)),
            7 => _ = array.step(2),
            8 => _ = array.result_of(Ask::Reverse(lu)),
            _ => _ = array.result_of(Ask::Remove(lu)),
        }
        array.check_maps();
    }
    if input.one_in(2) {
        return;
    }
    array.result_of(Ask::Resume);
    array.settle(false);
    if array.info().conditions & CLONE_GROUP_CONDITION_SOURCE_INVALID != 0 {
        assert_eq!(array.result_of(Ask::Accept), CLONE_GROUP_OK);
    }
    let info = array.info();
    assert_eq!((info.restoring_lu, info.reversing_lu, info.requests), (0, 0, 0), "a copy does not end");
    // What the maps say differs is equal after a copy.
    let lu = 1 + input.below(clones as usize) as u32;
    if array.clone_info(lu).state == CLONE_GROUP_CLONE_ABSENT {
        assert_eq!(array.result_of(Ask::Add(lu)), CLONE_GROUP_OK);
    }
    if array.clone_info(lu).state == CLONE_GROUP_CLONE_SYNCHRONIZED {
        assert_eq!(array.result_of(Ask::Fracture(lu)), CLONE_GROUP_OK);
    }
    let differs = array.map(CLONE_GROUP_MAP_DELTA, lu);
    let asked = array.result_of(Ask::Synchronize(lu));
    assert!(
        asked == CLONE_GROUP_OK || array.clone_info(lu).state == CLONE_GROUP_CLONE_SYNCHRONIZING,
        "{asked}"
    );
    array.settle(false);
    array.check_maps();
    assert_eq!(array.clone_info(lu).state, CLONE_GROUP_CLONE_SYNCHRONIZED);
    let extent_blocks = array.extent_blocks();
    for block in (0..blocks as usize).filter(|block| differs[block / extent_blocks]) {
        let inner = array.inner.borrow();
        assert_eq!(inner.lus[0][block], inner.lus[lu as usize][block], "block {block} was not copied");
    }
    assert_eq!(array.result_of(Ask::Fracture(lu)), CLONE_GROUP_OK);
    host(array, CLONE_GROUP_IO_WRITE, 0, input);
    assert_eq!(array.result_of(Ask::Restore(lu)), CLONE_GROUP_OK);
    host(array, CLONE_GROUP_IO_WRITE, 0, input);
    array.check_maps();
    array.settle(false);
    array.check_maps();
    assert_eq!(array.info().restoring_lu, 0, "a restore does not end");
}

fn host(array: &Array, operation: u32, lu: u32, input: &mut Input) {
    let blocks = array.config.lu_blocks as usize;
    let first = input.below(blocks);
    let count = 1 + input.below((blocks - first).min(40));
    array.host(HostCall { operation, lu, first: first as u64, count: count as u64, flags: 0 });
    array.settle(true);
}

/// Closed, and found again as it was.
fn end(array: &Array) {
    let states = |array: &Array| {
        let info = array.info();
        let clones = (1..=array.config.clones_max).map(|lu| {
            let clone = array.clone_info(lu);
            // With one column for all, one that is Synchronized comes up Synchronizing where another one differs.
            let shared = array.config.flags & CLONE_GROUP_CONFIG_MAP_PER_CLONE == 0;
            let copied = shared && clone.state == CLONE_GROUP_CLONE_SYNCHRONIZED;
            let state = if copied { CLONE_GROUP_CLONE_SYNCHRONIZING } else { clone.state };
            (state, clone.conditions & CLONE_GROUP_CONDITION_FAILED, clone.label)
        });
        let conditions = info.conditions & !CLONE_GROUP_CONDITION_METADATA_FAILED;
        (
            info.restoring_lu,
            info.reversing_lu,
            info.restore_generation,
            conditions,
            clones.collect::<Vec<_>>(),
        )
    };
    array.settle(true);
    let before = states(array);
    assert_eq!(array.result_of(Ask::Close), CLONE_GROUP_OK);
    assert_eq!(array.destroy(), CLONE_GROUP_OK);
    array.check_memory();
    array.power_on();
    assert_eq!(array.result_of(Ask::Recover(0)), CLONE_GROUP_OK);
    array.check_maps();
    let after = states(array);
    let short = |of: &[(u32, u32, [u8; 64])]| of.iter().map(|clone| (clone.0, clone.1)).collect::<Vec<_>>();
    let told = (short(&before.4), short(&after.4));
    assert!(before == after, "{:?} {:?} came up as {:?} {:?}", before.3, told.0, after.3, told.1);
    assert_eq!(array.destroy(), CLONE_GROUP_OK);
}
