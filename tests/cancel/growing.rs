//! How the LUs of a group grow: the group is closed, the LUs grow, a group of the new size is formatted over a fresh
//! area, and its Clones are synchronized anew. What the Clones held as points in time is lost.

use ::clone_group::ffi::types::*;

use super::array::*;
use crate::common::device::Device;
use crate::common::world::{Placed, Profile, World};

const GROWN: Profile = Profile { blocks: 7300, copy_blocks: 256, ..PROFILE };

/// The LUs have grown: what they held is at their start.
fn grown(old: &World, profile: Profile) -> Placed {
    let world = World::new(profile, 9);
    {
        let inner = &mut *world.inner.borrow_mut();
        for (lu, device) in inner.devices.iter_mut().enumerate() {
            let mut blocks = content(old, lu);
            blocks.extend((blocks.len()..profile.blocks).map(|block| (9 << 48) | block as u64));
            *device = Device::new(blocks, profile.volatile);
        }
    }
    world.hosts_hold_what_the_lus_hold();
    world
}

/// The old area does not fit the grown LUs: it is refused and stays as it is. With a fresh one everything of the Source
/// is there, also while it is synchronized, and then the Clones are there again.
#[test]
fn lus_grow_with_a_new_group() {
    for volatile in [false, true] {
        let profile = Profile { volatile, ..PROFILE };
        let mut old = two_points_in_time(profile, 5);
        old.does(Ask::Close);
        old.lose_power(|| false);
        let mut world = grown(&old, Profile { volatile, ..GROWN });
        // The area of the old group, with more room behind it.
        let mut area = world.inner.borrow().area.now.clone();
        let before = old.inner.borrow().area.now.clone();
        assert!(before.len() < area.len(), "the test lost its second page");
        let fresh = area.clone();
        area[..before.len()].copy_from_slice(&before);
        world.inner.borrow_mut().area.replace(&area);
        world.power_on();
        assert_eq!(world.result_of(Ask::Recover), CLONE_GROUP_ERR_METADATA_GEOMETRY);
        assert_eq!(world.result_of(Ask::Format), CLONE_GROUP_ERR_METADATA_EXISTS);
        assert_eq!(world.inner.borrow().area.now, area, "a refused area was written");
        world.inner.borrow_mut().area.replace(&fresh);
        world.does(Ask::Format);
        world.check_lu_now(0);
        for lu in [1, 2] {
            world.does(Ask::Add(lu));
            world.does(Ask::Synchronize(lu));
            world.host(CLONE_GROUP_IO_WRITE, 0, 30 + lu as usize, 20, false);
            world.settle();
            assert_eq!(content(&world, 0), content(&world, lu as usize));
        }
        world.does(Ask::Fracture(1));
        world.host(CLONE_GROUP_IO_WRITE, 0, 7290, 10, false);
        world.settle();
        restore_exactly(&world, 1);
        // The old group is still what it was, if somebody wants to go back before anything was written.
        old.power_on();
        old.does(Ask::Recover);
        old.after_recovery();
        old.check_lu_after_loss(0);
        restore_exactly(&old, 1);
    }
}
