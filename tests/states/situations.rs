//! The situations of the tables, brought about on a simulated array. Clone 2 is Fractured and equal to the Source,
//! unless the name says otherwise. Where Clone 1 is a point in time, the first four extents differ.

use std::cell::Cell;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::sets::*;
use ::clone_group::ffi::types::*;

use super::common::world::{Placed, Profile, TAG_OPERATION, World};

/// LUs have volatile caches, so that flushes are seen.
pub const PROFILE: Profile = Profile { blocks: 256, volatile: true, ..Profile::QUIET };

thread_local! {
    /// Whether each Clone has a column of its own in the persistent maps. The tables say the same of both forms.
    static MAP_PER_CLONE: Cell<bool> = const { Cell::new(false) };
}

/// What arrays are made of from now on.
pub fn use_map_per_clone(map_per_clone: bool) {
    MAP_PER_CLONE.set(map_per_clone);
}

fn profile() -> Profile {
    Profile { map_per_clone: MAP_PER_CLONE.get(), ..PROFILE }
}

/// An array in a situation.
pub struct Place {
    pub world: Placed,
    /// Whose content hosts find on the Source, where they ask.
    pub view: usize,
    /// Where they ask.
    pub first: usize,
    pub count: usize,
    /// What sets use.
    pub set: Box<clone_group_set>,
    /// Another member of a set.
    _other: Option<Placed>,
}

/// A situation by its name on the page.
pub struct Situation {
    pub name: &'static str,
    pub make: fn() -> Place,
}

const fn situation(name: &'static str, make: fn() -> Place) -> Situation {
    Situation { name, make }
}

/// Columns of the operations.
pub const SITUATIONS: [Situation; 16] = [
    situation("Absent", absent),
    situation("OutOfSync", out_of_sync),
    situation("Synchronizing", synchronizing),
    situation("Synchronized", synchronized),
    situation("Fractured", fractured),
    situation("ReverseSynchronizing", reverse_synchronizing),
    situation("Restoring", in_use),
    situation("Fractured, Clone 2 Restoring", beside_restore),
    situation("Fractured, Clone 2 ReverseSynchronizing", beside_reverse),
    situation("Fractured, Source invalid", source_invalid),
    situation("Restoring, paused", paused),
    situation("Synchronized, METADATA_FAILED", superblock_failed),
    situation("Synchronized, prepared", prepared),
    situation("Fractured, prepared", prepared_to_restore),
    situation("New", new),
    situation("Closed", closed),
];

/// Rows of host I/O.
pub const HOST_SITUATIONS: [Situation; 30] = [
    situation("Absent", absent),
    situation("OutOfSync", out_of_sync),
    situation("Synchronizing, to copy", || synchronizing().asking(5, 2)),
    situation("Synchronizing, equal", synchronizing),
    situation("Synchronized", synchronized),
    situation("Synchronized, DISCARD_ZEROES", || {
        synchronized_with(Profile { discard_zeroes: true, ..profile() })
    }),
    situation("Synchronized, HOST_DURABLE", || {
        synchronized_with(Profile { host_durable: true, ..profile() })
    }),
    situation("Fractured", fractured),
    situation("ReverseSynchronizing, to copy", || reverse_synchronizing().asking(5, 2)),
    situation("ReverseSynchronizing, equal", reverse_synchronizing),
    situation("Restoring, to copy, in part", || restoring().asking(5, 2)),
    situation("Restoring, to copy, whole", || restoring().asking(4, 4)),
    situation("Restoring, to copy, redirected", || {
        restoring_with(Profile { redirect: true, ..profile() }).asking(5, 2)
    }),
    situation("Restoring, to copy, DISCARD_ZEROES", || {
        restoring_with(Profile { discard_zeroes: true, ..profile() }).asking(5, 2)
    }),
    situation("Restoring, to copy, HOST_DURABLE", || {
        restoring_with(Profile { host_durable: true, ..profile() }).asking(5, 2)
    }),
    situation("Restoring, copied", || copied().asking(5, 2)),
    situation("Restoring, copied and flushed", || flushed().asking(5, 2)),
    situation("Restoring, host-written", || host_written().asking(5, 2)),
    situation("Restoring, equal", restoring),
    situation("Restoring, paused, in part", || paused().asking(5, 2)),
    situation("Fractured, Clone 2 Restoring", beside_restore),
    situation("Fractured, Clone 2 ReverseSynchronizing", beside_reverse),
    situation("Fractured, Source invalid", source_invalid),
    situation("Synchronized, METADATA_FAILED by a page", page_failed),
    situation("Synchronized, METADATA_FAILED by a page, bits durable", noted_and_page_failed),
    situation("Synchronized, METADATA_FAILED by a superblock", superblock_failed),
    situation("Synchronized, prepared", prepared),
    situation("Fractured, prepared", prepared_to_restore),
    situation("New", new),
    situation("Closed", closed),
];

impl Place {
    fn of(world: Placed, view: usize) -> Place {
        let place = Place { world, view, first: 33, count: 2, set: new_set(), _other: None };
        place.rest();
        place
    }

    fn asking(mut self, first: usize, count: usize) -> Place {
        (self.first, self.count) = (first, count);
        self
    }

    /// Whatever the group does by itself is over; copies are not made.
    pub fn rest(&self) {
        for _ in 0..200 {
            self.world.poll(64);
        }
    }
}

fn new_set() -> Box<clone_group_set> {
    // SAFETY: a struct of integers, filled by the library.
    unsafe {
        let mut set: Box<clone_group_set> = Box::new(std::mem::zeroed());
        assert_eq!(clone_group_set_init(&mut *set, size_of::<clone_group_set>() as u32, 7), CLONE_GROUP_OK);
        set
    }
}

fn operate(world: &World, call: unsafe extern "C" fn(*mut clone_group, u32, u64) -> i32, lu: u32) {
    world.inner.borrow_mut().note_fracture();
    // SAFETY: a live group.
    assert_eq!(world.run_operation(|group, tag| unsafe { call(group, lu, tag) }), CLONE_GROUP_OK);
}

unsafe extern "C" fn fracture(group: *mut clone_group, lu: u32, tag: u64) -> i32 {
    // SAFETY: a live group.
    unsafe { clone_group_fracture(group, lu, std::ptr::null(), 0, tag) }
}

fn write(world: &World, first: usize, count: usize) {
    world.host(CLONE_GROUP_IO_WRITE, 0, first, count, true);
    world.settle();
}

fn made(profile: Profile) -> Placed {
    let mut world = World::new(profile, 3);
    world.power_on();
    operate(&world, clone_group_format, 0);
    operate(&world, clone_group_clone_add, 1);
    operate(&world, clone_group_synchronize, 1);
    world.settle();
    operate(&world, fracture, 1);
    write(&world, 0, 16);
    operate(&world, clone_group_clone_add, 2);
    operate(&world, clone_group_synchronize, 2);
    world.settle();
    operate(&world, fracture, 2);
    world
}

fn fractured() -> Place {
    Place::of(made(profile()), 0)
}

fn absent() -> Place {
    let world = made(profile());
    operate(&world, clone_group_clone_remove, 1);
    Place::of(world, 0)
}

fn out_of_sync() -> Place {
    let world = made(profile());
    operate(&world, clone_group_synchronize, 1);
    operate(&world, clone_group_cancel, 1);
    Place::of(world, 0)
}

fn synchronizing() -> Place {
    let world = made(profile());
    operate(&world, clone_group_synchronize, 1);
    Place::of(world, 0)
}

fn synchronized() -> Place {
    synchronized_with(profile())
}

fn synchronized_with(profile: Profile) -> Place {
    let world = made(profile);
    operate(&world, clone_group_synchronize, 1);
    world.settle();
    Place::of(world, 0)
}

fn reverse_synchronizing() -> Place {
    let world = made(profile());
    operate(&world, clone_group_reverse_synchronize, 1);
    Place::of(world, 1)
}

fn restoring_with(profile: Profile) -> Place {
    let world = made(profile);
    operate(&world, clone_group_protected_restore, 1);
    Place::of(world, 1)
}

fn restoring() -> Place {
    restoring_with(profile())
}

/// Hosts wrote another extent since.
fn in_use() -> Place {
    let place = restoring();
    place.world.host(CLONE_GROUP_IO_WRITE, 0, 33, 2, false);
    place.rest();
    place
}

/// The extent is copied, and the cache of the Source has that.
fn copied() -> Place {
    let place = restoring();
    place.world.read_now(0, 5, 1).expect("a read");
    place
}

fn flushed() -> Place {
    let place = copied();
    place.world.host(CLONE_GROUP_IO_FLUSH, 0, 0, 1, false);
    place.rest();
    place
}

fn host_written() -> Place {
    let mut place = restoring();
    place.world.host(CLONE_GROUP_IO_WRITE, 0, 5, 2, false);
    place.rest();
    place.view = 0;
    place
}

fn paused() -> Place {
    let place = restoring();
    // SAFETY: a live group.
    let pause = place.world.run_operation(|group, tag| unsafe { clone_group_pause(group, tag) });
    assert_eq!(pause, CLONE_GROUP_OK);
    place
}

/// Where Clone 1 is Fractured beside another copy, both differ in extent 20.
fn beside(call: unsafe extern "C" fn(*mut clone_group, u32, u64) -> i32) -> Place {
    let world = made(profile());
    write(&world, 80, 4);
    operate(&world, call, 2);
    Place::of(world, 2)
}

fn beside_restore() -> Place {
    beside(clone_group_protected_restore)
}

fn beside_reverse() -> Place {
    beside(clone_group_reverse_synchronize)
}

fn source_invalid() -> Place {
    let world = made(profile());
    operate(&world, clone_group_protected_restore, 1);
    operate(&world, clone_group_cancel, 1);
    Place::of(world, 0)
}

/// The write of a superblock failed.
fn superblock_failed() -> Place {
    let place = synchronized();
    place.world.inner.borrow_mut().profile.metadata_faults = 65536;
    // SAFETY: a live group.
    let pause = place.world.run_operation(|group, tag| unsafe { clone_group_pause(group, tag) });
    assert_ne!(pause, CLONE_GROUP_OK);
    place.failed()
}

/// The write of a page failed.
fn page_failed() -> Place {
    fail_page(synchronized())
}

/// The same, but the bits that a write needs were durable before.
fn noted_and_page_failed() -> Place {
    let place = synchronized();
    place.world.host(CLONE_GROUP_IO_WRITE, 0, 33, 2, false);
    place.rest();
    fail_page(place)
}

fn fail_page(place: Place) -> Place {
    place.world.inner.borrow_mut().profile.metadata_faults = 65536;
    place.world.host(CLONE_GROUP_IO_WRITE, 0, 100, 1, false);
    place.rest();
    place.failed()
}

impl Place {
    fn failed(self) -> Place {
        self.world.inner.borrow_mut().profile.metadata_faults = 0;
        assert_eq!(self.world.info().conditions, CLONE_GROUP_CONDITION_METADATA_FAILED);
        self.rest();
        self
    }
}

/// Power was lost when this group had voted and the other one of the set had not.
fn prepared() -> Place {
    prepared_for(false)
}

fn prepared_to_restore() -> Place {
    prepared_for(true)
}

fn prepared_for(restore: bool) -> Place {
    let make = if restore { fractured } else { synchronized };
    let (mut place, other) = (make(), make());
    let groups = [place.world.group(), other.world.group()];
    place.world.inner.borrow_mut().note_fracture();
    // SAFETY: live groups, and a set that lives as long as they do.
    let status = unsafe {
        let (groups, lus, set, tag) = (groups.as_ptr(), [1, 1], &mut *place.set, TAG_OPERATION - 1);
        if restore {
            clone_group_set_protected_restore(groups, lus.as_ptr(), 2, set, tag)
        } else {
            clone_group_set_fracture(groups, lus.as_ptr(), 2, set, std::ptr::null(), tag)
        }
    };
    assert_eq!(status, CLONE_GROUP_PENDING);
    place.rest();
    place.world.lose_power(|| false);
    place.world.power_on();
    // SAFETY: a live group.
    let recover = place.world.run_operation(|group, tag| unsafe { clone_group_recover(group, 0, tag) });
    assert_eq!(recover, CLONE_GROUP_OK);
    assert_eq!(place.world.info().conditions, CLONE_GROUP_CONDITION_PREPARED);
    place.world.after_recovery();
    let set = std::mem::replace(&mut place.set, new_set());
    place.set.id = 8;
    place._other = Some(other.world);
    // The other group is not polled any more; the set stays as long as the test runs.
    std::mem::forget(set);
    place
}

fn new() -> Place {
    let mut world = World::new(profile(), 3);
    world.power_on();
    Place::of(world, 0)
}

fn closed() -> Place {
    let place = fractured();
    // SAFETY: a live group.
    let close = place.world.run_operation(|group, tag| unsafe { clone_group_close(group, tag) });
    assert_eq!(close, CLONE_GROUP_OK);
    place
}
