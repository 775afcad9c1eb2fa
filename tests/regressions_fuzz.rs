//! Goal: what the fuzz targets found does not come back. Each test is one finding, smaller and in words.

mod common;

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
