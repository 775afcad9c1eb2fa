//! Groups in a given state, and short names for what a test asks of them. All of it is set up with I/Os that are
//! done at once; the profile's own way begins afterwards.

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::world::{Choice, Inner, Placed, Profile, World};

/// What one asks of the group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    Format,
    /// Over a valid group.
    FormatForced,
    Recover,
    /// Gives up a restore whose map is lost.
    RecoverAbandoning,
    Close,
    Repair,
    Add(u32),
    Remove(u32),
    Synchronize(u32),
    Fracture(u32),
    Restore(u32),
    Reverse(u32),
    Pause,
    Resume,
    Cancel(u32),
    Retarget(u32),
    Accept,
    /// What is found to differ is marked.
    Verify(u32),
}

impl Ask {
    fn call(self, group: *mut clone_group, tag: u64) -> i32 {
        // SAFETY: the world passes a live group.
        unsafe {
            match self {
                Ask::Format => clone_group_format(group, 0, tag),
                Ask::FormatForced => clone_group_format(group, CLONE_GROUP_FORMAT_FORCE, tag),
                Ask::Recover => clone_group_recover(group, 0, tag),
                Ask::RecoverAbandoning => {
                    clone_group_recover(group, CLONE_GROUP_RECOVER_ABANDON_RESTORE, tag)
                }
                Ask::Close => clone_group_close(group, tag),
                Ask::Repair => clone_group_metadata_repair(group, tag),
                Ask::Add(lu) => clone_group_clone_add(group, lu, tag),
                Ask::Remove(lu) => clone_group_clone_remove(group, lu, tag),
                Ask::Synchronize(lu) => clone_group_synchronize(group, lu, tag),
                Ask::Fracture(lu) => clone_group_fracture(group, lu, std::ptr::null(), 0, tag),
                Ask::Restore(lu) => clone_group_protected_restore(group, lu, tag),
                Ask::Reverse(lu) => clone_group_reverse_synchronize(group, lu, tag),
                Ask::Pause => clone_group_pause(group, tag),
                Ask::Resume => clone_group_resume(group, tag),
                Ask::Cancel(lu) => clone_group_cancel(group, lu, tag),
                Ask::Retarget(lu) => clone_group_retarget(group, lu, tag),
                Ask::Accept => clone_group_source_accept(group, tag),
                Ask::Verify(lu) => clone_group_verify(group, lu, CLONE_GROUP_VERIFY_MARK, tag),
            }
        }
    }

    /// What the model has to know of it before.
    fn note(self, world: &World) {
        if matches!(self, Ask::Fracture(_) | Ask::Restore(_) | Ask::Reverse(_) | Ask::Cancel(_)) {
            world.inner.borrow_mut().note_fracture();
        }
    }
}

impl World {
    /// Asks for an operation; returns its tag.
    pub fn ask(&self, ask: Ask) -> Result<u64, i32> {
        ask.note(self);
        self.operation(|group, tag| ask.call(group, tag))
    }

    /// Asks for an operation, waits for its end, and returns its status.
    pub fn result_of(&self, ask: Ask) -> i32 {
        ask.note(self);
        self.run_operation(|group, tag| ask.call(group, tag))
    }

    /// The test decides about nothing any more: what is held is done, and all that follows is as the profile says.
    pub fn let_go(&self) {
        self.choose_nothing();
        self.complete_chosen(Choice::Now, |_| true);
    }

    /// The operation works.
    #[track_caller]
    pub fn does(&self, ask: Ask) {
        assert_eq!(self.result_of(ask), CLONE_GROUP_OK, "{ask:?}");
    }

    /// A host write to the Source that may wait. Returns its tag.
    pub fn write(&self, first: usize, count: usize) -> u64 {
        self.host(CLONE_GROUP_IO_WRITE, 0, first, count, false).0
    }

    /// Extents of the Delta Map of the Clone.
    pub fn delta(&self, lu: usize) -> Vec<usize> {
        extents(&self.map(CLONE_GROUP_MAP_DELTA, lu))
    }

    /// Extents of the Protected Restore Map.
    pub fn protected(&self) -> Vec<usize> {
        extents(&self.map(CLONE_GROUP_MAP_PROTECTED_RESTORE, 0))
    }

    /// What the LU holds.
    pub fn content(&self, lu: usize) -> Vec<u64> {
        self.inner.borrow().devices[lu].now.clone()
    }

    pub fn state(&self, lu: usize) -> u32 {
        self.clone_info(lu).state
    }

    /// Whether the condition of the Clone holds.
    pub fn is(&self, lu: usize, condition: u32) -> bool {
        self.clone_info(lu).conditions & condition != 0
    }

    pub fn metadata_failed(&self) -> bool {
        self.info().conditions & CLONE_GROUP_CONDITION_METADATA_FAILED != 0
    }

    /// Polls and completes until all host requests are over, without background copies.
    pub fn finish_hosts(&self) {
        for _ in 0..10_000 {
            self.poll(16);
            self.complete_some(4);
            if self.hosts_open() == 0 {
                return;
            }
        }
        panic!("host requests do not end");
    }

    /// Power is lost with everything that is not durable, and the group recovers.
    pub fn crash(&mut self, keep: bool) {
        self.lose_power(move || keep);
        self.inner.get_mut().choose = None;
        self.power_on();
        self.does(Ask::Recover);
        self.after_recovery();
    }

    /// Values of the events of this kind about this LU.
    pub fn events_of(&self, kind: u32, lu: u32) -> Vec<u64> {
        let inner = self.inner.borrow();
        inner.told.iter().filter(|told| (told.0, told.1) == (kind, lu)).map(|told| told.2).collect()
    }
}

fn extents(map: &[bool]) -> Vec<usize> {
    (0..map.len()).filter(|&extent| map[extent]).collect()
}

/// The first block of an extent of four.
pub const fn at(extent: usize) -> usize {
    4 * extent
}

pub fn is_copy_read(io: &clone_group_io) -> bool {
    io.operation == CLONE_GROUP_IO_READ && io.flags & CLONE_GROUP_IO_HOST == 0
}

pub fn is_copy_write(io: &clone_group_io) -> bool {
    io.operation == CLONE_GROUP_IO_WRITE && io.flags & CLONE_GROUP_IO_HOST == 0
}

pub fn is_host(io: &clone_group_io) -> bool {
    io.flags & CLONE_GROUP_IO_HOST != 0
}

pub fn is_host_write(io: &clone_group_io) -> bool {
    is_host(io) && io.operation == CLONE_GROUP_IO_WRITE
}

pub fn is_page_or_superblock(io: &clone_group_io) -> bool {
    io.operation == CLONE_GROUP_IO_PERSIST_WRITE
}

/// In the geometries with one map page and at most two Clones.
pub fn is_superblock(io: &clone_group_io) -> bool {
    is_page_or_superblock(io) && io.offset_bytes.is_multiple_of(1024)
}

pub fn is_page(io: &clone_group_io) -> bool {
    is_page_or_superblock(io) && !is_superblock(io)
}

pub fn is_flush(io: &clone_group_io) -> bool {
    io.operation == CLONE_GROUP_IO_FLUSH
}

/// A formatted group; `prepare` changes the array before.
pub fn formatted_with(profile: Profile, prepare: impl FnOnce(&mut Inner)) -> Placed {
    let mut world = World::new(Profile { immediate: 256, faults: 0, metadata_faults: 0, ..profile }, 3);
    prepare(world.inner.get_mut());
    world.power_on();
    world.does(Ask::Format);
    world
}

fn mirror(world: &World, members: usize) {
    for lu in 1..=members as u32 {
        world.does(Ask::Add(lu));
        world.does(Ask::Synchronize(lu));
    }
    world.settle();
}

/// Clones 1 to `members` are mirrored and equal.
pub fn mirrored(profile: Profile, members: usize) -> Placed {
    let world = formatted_with(profile, |_| {});
    mirror(&world, members);
    begin(&world, profile);
    world
}

fn begin(world: &World, profile: Profile) {
    world.poll_still();
    let inner = &mut *world.inner.borrow_mut();
    inner.profile = profile;
    inner.log.clear();
    inner.told.clear();
}

fn differ(world: &World, members: usize, extents: &[usize]) {
    mirror(world, members);
    world.does(Ask::Fracture(1));
    for &extent in extents {
        let extent_blocks = world.inner.borrow().profile.extent_blocks;
        let blocks = world.inner.borrow().profile.blocks;
        let first = extent * extent_blocks;
        world.host(CLONE_GROUP_IO_WRITE, 0, first, extent_blocks.min(blocks - first), true);
    }
    world.finish_hosts();
    world.poll_still();
}

/// Clone 1 is fractured and differs in these extents; the other members are mirrored.
pub fn fractured(profile: Profile, members: usize, extents: &[usize]) -> Placed {
    let world = formatted_with(profile, |_| {});
    differ(&world, members, extents);
    begin(&world, profile);
    world
}

/// Clone 1 is restored from: these extents are to be copied, and none is yet. The other members are fractured with it.
pub fn restoring(profile: Profile, members: usize, extents: &[usize]) -> Placed {
    restoring_with(profile, members, extents, |_| {})
}

/// As `restoring`; `prepare` changes the array before.
pub fn restoring_with(
    profile: Profile,
    members: usize,
    extents: &[usize],
    prepare: impl FnOnce(&mut Inner),
) -> Placed {
    let world = formatted_with(profile, prepare);
    differ(&world, members, extents);
    world.does(Ask::Restore(1));
    begin(&world, profile);
    world
}

/// Clone 1 is reversely synchronized: these extents are to be copied, and none is yet.
pub fn reversing(profile: Profile, members: usize, extents: &[usize]) -> Placed {
    let world = formatted_with(profile, |_| {});
    differ(&world, members, extents);
    world.does(Ask::Reverse(1));
    begin(&world, profile);
    world
}

/// Clone 1 is being synchronized: these extents are to be copied, and none is yet.
pub fn synchronizing(profile: Profile, extents: &[usize]) -> Placed {
    let world = formatted_with(profile, |_| {});
    differ(&world, 1, extents);
    world.does(Ask::Synchronize(1));
    begin(&world, profile);
    world
}
