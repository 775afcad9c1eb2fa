//! Goal: what the fuzz targets found does not come back. Each test is one finding, smaller and in words.

mod common;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::sets::*;
use ::clone_group::ffi::types::*;
use common::stage::*;
use common::world::Profile;

/// Found by `metadata_image`: a page, right by its checksum, whose Protected Restore Map has a bit that the Persistent
/// Delta Map lacks was taken (I4, R4). At the end of the restore, and after one more power loss, nobody would have
/// known that the extent differs. It is refused, and nothing is changed.
#[test]
fn a_protected_bit_without_its_base_is_refused() {
    for map_per_clone in [false, true] {
        let mut world = restoring(Profile { map_per_clone, ..Profile::QUIET }, 2, &[2, 5]);
        world.write(at(5), 4);
        world.finish_hosts();
        world.poll_still();
        assert_eq!(world.protected(), [5]);
        let good = world.inner.borrow().area.now.clone();
        let mut bad = good.clone();
        // Extent 7 in the last column of both copies of the only page.
        let columns = if map_per_clone { 3 } else { 2 };
        let column_bytes = (512 - 64) / columns / 8 * 8;
        for copy in world.page_copies() {
            let page = &mut bad[copy];
            page[64 + (columns - 1) * column_bytes] |= 1 << 7;
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&page[..60]);
            hasher.update(&page[64..]);
            page[60..64].copy_from_slice(&hasher.finalize().to_le_bytes());
        }
        let recover = |world: &mut common::world::World, image: &[u8]| {
            world.lose_power(|| true);
            world.inner.get_mut().area.replace(image);
            world.power_on();
            world.result_of(Ask::Recover)
        };
        assert_eq!(recover(&mut world, &bad), CLONE_GROUP_ERR_METADATA_DAMAGED);
        assert!(world.inner.borrow().area.now == bad, "a Recovery that is refused changes nothing");
        assert_eq!(recover(&mut world, &good), CLONE_GROUP_OK);
        assert_eq!(world.protected(), [5]);
    }
}

/// Found by `metadata_image`: the write intents of a Clone that was prepared to be fractured are forgotten at Recovery,
/// but stayed in its own column (`CLONE_GROUP_CONFIG_MAP_PER_CLONE`). When the set failed, a close left them there, and
/// the Clone, equal and Synchronized, was found Synchronizing. No data was at stake.
#[test]
fn forgotten_intents_leave_their_column() {
    let mut world = mirrored(Profile { map_per_clone: true, ..Profile::QUIET }, 2);
    let other = mirrored(Profile { map_per_clone: true, ..Profile::QUIET }, 2);
    // An intent of both Clones, in the column of each.
    world.write(at(3), 1);
    world.finish_hosts();
    let groups = [world.group(), other.group()];
    // SAFETY: a struct of integers, filled by the library; live groups, which are polled no more once the set is gone.
    unsafe {
        let mut set: clone_group_set = std::mem::zeroed();
        assert_eq!(clone_group_set_init(&mut set, size_of::<clone_group_set>() as u32, 5), CLONE_GROUP_OK);
        let label = std::ptr::null();
        let asked = clone_group_set_fracture(groups.as_ptr(), [1, 1].as_ptr(), 2, &mut set, label, 1 << 41);
        assert_eq!(asked, CLONE_GROUP_PENDING);
        (0..40).for_each(|_| assert!(world.poll(8) >= 0));
        // Prepared, and power is lost, with the other one, too.
        assert_eq!(clone_group_destroy(world.group()), CLONE_GROUP_OK);
        assert_eq!(clone_group_destroy(other.group()), CLONE_GROUP_OK);
    }
    world.crash(true);
    assert_ne!(world.info().conditions & CLONE_GROUP_CONDITION_PREPARED, 0);
    // SAFETY: a live group.
    let resolved = world.run_operation(|group, tag| unsafe { clone_group_set_resolve(group, 0, tag) });
    assert_eq!((resolved, world.state(1)), (CLONE_GROUP_OK, CLONE_GROUP_CLONE_SYNCHRONIZED));
    world.does(Ask::Close);
    world.crash(true);
    assert_eq!(world.state(1), CLONE_GROUP_CLONE_SYNCHRONIZED);
}
