//! Metadata images of groups in all kinds of states, as the library writes them, with everything that the area held on
//! the way there: what a unit of an older age, or of another group, looks like.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use ::clone_group::ffi::sets::*;
use ::clone_group::ffi::types::*;

use super::array::{Array, Ask, CALLBACKS_ALL, HostCall, plain_config};

/// Where things lie, from docs/format.md.
#[derive(Clone, Copy)]
pub struct Shape {
    pub superblock_bytes: usize,
    pub page_bytes: usize,
    pub region_bytes: usize,
    pub pages: usize,
    pub columns: usize,
    pub page_extents: usize,
}

impl Shape {
    /// The units that have a checksum of their own: superblock slots and copies of pages.
    pub fn units(&self) -> Vec<std::ops::Range<usize>> {
        let mut units = Vec::new();
        for slot in 0..2 {
            let region = slot * self.region_bytes;
            units.push(region..region + self.superblock_bytes);
            for page in 0..self.pages {
                let at = region + self.superblock_bytes + page * self.page_bytes;
                units.push(at..at + self.page_bytes);
            }
        }
        units
    }
}

/// Geometries: few extents and many, several pages, a column for each Clone, units smaller than pages.
pub const PROFILES: usize = 6;

pub fn config(profile: usize) -> clone_group_config {
    let mut config = plain_config();
    let (lu_blocks, extent_blocks, clones_max, per_clone, page_bytes) = [
        (38, 4, 2, false, 512),
        (38, 4, 3, true, 512),
        (70, 1, 1, false, 512),
        (600, 1, 6, true, 512),
        (1900, 1, 1, false, 512),
        (40, 8, 2, false, 2048),
    ][profile % PROFILES];
    config.lu_blocks = lu_blocks;
    config.extent_blocks = extent_blocks;
    config.clones_max = clones_max;
    config.requests_max = 4;
    config.copies_max = 2;
    config.copy_buffer_bytes = 64 * 512;
    config.buffer_align_bytes = 8;
    config.persist_unit_bytes = if page_bytes > 1024 { 1024 } else { 512 };
    config.page_bytes = page_bytes;
    config.page_writes_max = 2;
    config.intent_extents_max = 16;
    config.group_id = *b"the fuzzed group";
    if per_clone {
        config.flags |= CLONE_GROUP_CONFIG_MAP_PER_CLONE;
    }
    config
}

pub fn shape(config: &clone_group_config) -> Shape {
    let clones = config.clones_max as usize;
    let columns = if config.flags & CLONE_GROUP_CONFIG_MAP_PER_CLONE != 0 { clones + 1 } else { 2 };
    let page_bytes = config.page_bytes as usize;
    let page_extents = (page_bytes - 64) / columns / 8 * 64;
    let extents = (config.lu_blocks as usize).div_ceil(config.extent_blocks as usize);
    let superblock_bytes = (132 + 128 * clones).next_multiple_of(config.persist_unit_bytes as usize);
    let pages = extents.div_ceil(page_extents);
    Shape {
        superblock_bytes,
        page_bytes,
        region_bytes: superblock_bytes + pages * page_bytes,
        pages,
        columns,
        page_extents,
    }
}

/// An array whose group is in some state.
pub fn array(profile: usize) -> Rc<Array> {
    let array = Array::new(config(profile)).expect("a valid configuration");
    array.callbacks.set(CALLBACKS_ALL);
    if profile >= 3 {
        array.lu_flags.set(CLONE_GROUP_LU_VOLATILE_CACHE);
    }
    array
}

/// What an image is made of: what the area and the LUs held in the end, and the area after every write before.
pub struct Base {
    pub history: Vec<Vec<u8>>,
    pub lus: Vec<Vec<u64>>,
}

pub const SITUATIONS: usize = 12;

/// The image of this profile and situation; each is made once.
pub fn base(profile: usize, situation: usize) -> Rc<Base> {
    type Bases = HashMap<(usize, usize), Rc<Base>>;
    thread_local! {
        static BASES: RefCell<Bases> = RefCell::new(HashMap::new());
    }
    let key = (profile % PROFILES, situation % SITUATIONS);
    BASES.with_borrow_mut(|bases| bases.entry(key).or_insert_with(|| Rc::new(make(key.0, key.1))).clone())
}

fn does(array: &Array, ask: Ask) {
    assert_eq!(array.result_of(ask), CLONE_GROUP_OK, "{ask:?}");
}

fn write(array: &Array, first: u64, count: u64) {
    let operation = CLONE_GROUP_IO_WRITE;
    let status = array.host(HostCall { operation, lu: 0, first, count, flags: 0 });
    assert!(status >= 0);
    array.settle(true);
}

/// Clones 1 to `mirrored` are Synchronized.
fn mirrored(profile: usize) -> Rc<Array> {
    let array = array(profile);
    array.inner.borrow_mut().history = Some(Vec::new());
    array.power_on();
    does(&array, Ask::Format(0));
    for lu in 1..=array.config.clones_max.min(2) {
        does(&array, Ask::Add(lu));
        does(&array, Ask::Synchronize(lu));
        array.settle(false);
    }
    array
}

/// Clone 1 is fractured and differs from the Source in extents of every page.
fn fractured(profile: usize) -> Rc<Array> {
    let array = mirrored(profile);
    does(&array, Ask::Fracture(1));
    let blocks = array.config.lu_blocks;
    for (first, count) in [(1, 2), (blocks / 2, 5), (blocks - 1, 1)] {
        write(&array, first, count);
    }
    array
}

fn make(profile: usize, situation: usize) -> Base {
    let blocks = config(profile).lu_blocks;
    let array = if situation < 3 { mirrored(profile) } else { fractured(profile) };
    match situation {
        0 => does(&array, Ask::Close),
        1 => does(&array, Ask::Remove(1)),
        2 => write(&array, 3, 4),
        // Being synchronized, and paused.
        3 => {
            does(&array, Ask::Pause);
            does(&array, Ask::Synchronize(1));
            write(&array, 9, 1);
        }
        // Restoring, with host writes.
        4..=6 => {
            does(&array, Ask::Restore(1));
            if situation == 5 {
                does(&array, Ask::Pause);
            }
            write(&array, blocks / 3, 1);
            write(&array, blocks - 3, 2);
            if situation == 6 {
                does(&array, Ask::Cancel(1));
            }
        }
        7 => {
            does(&array, Ask::Reverse(1));
            write(&array, blocks / 3, 1);
        }
        // Restored, and restored again.
        8 => {
            does(&array, Ask::Restore(1));
            array.settle(false);
            write(&array, 7, 9);
            does(&array, Ask::Restore(1));
            write(&array, 20, 1);
        }
        // Prepared for a set whose other member never votes.
        9 => prepare(&array, profile, 1, true),
        10 if blocks > 30 && array.config.clones_max > 1 => prepare(&array, profile, 2, false),
        _ => {}
    }
    let inner = &mut *array.inner.borrow_mut();
    let mut history = inner.history.take().expect("it was asked for");
    history.dedup();
    // The first ones, without a superblock, are of little use.
    let spare = history.len().saturating_sub(48);
    history.drain(..spare);
    Base { history, lus: inner.lus.clone() }
}

fn prepare(array: &Array, profile: usize, lu: u32, restore: bool) {
    let other = fractured(profile);
    let groups = [array.group.get(), other.group.get()];
    // SAFETY: a struct of integers, filled by the library; live groups, both destroyed before the set is gone.
    unsafe {
        let mut set: clone_group_set = std::mem::zeroed();
        assert_eq!(clone_group_set_init(&mut set, size_of::<clone_group_set>() as u32, 77), CLONE_GROUP_OK);
        let asked = array.ask_set(|tag| {
            if restore {
                clone_group_set_protected_restore(groups.as_ptr(), [lu; 2].as_ptr(), 2, &mut set, tag)
            } else {
                clone_group_set_fracture(
                    groups.as_ptr(),
                    [lu; 2].as_ptr(),
                    2,
                    &mut set,
                    std::ptr::null(),
                    tag,
                )
            }
        });
        assert_eq!(asked, CLONE_GROUP_PENDING);
        for _ in 0..40 {
            array.poll(16);
        }
        // What follows the vote of the other one is not in the image.
        let prepared = array.inner.borrow().history.as_ref().map(Vec::len);
        assert_eq!(array.destroy(), CLONE_GROUP_OK);
        assert_eq!(other.destroy(), CLONE_GROUP_OK);
        assert_eq!(array.inner.borrow().history.as_ref().map(Vec::len), prepared);
    }
}
