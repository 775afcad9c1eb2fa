//! Goal: a build that leaves a part out says so at once, and never serves a persistent area that needs the part; the
//! build with everything brings the same area up. Runs in both:
//! `cargo test --test left_out_parts`, and the same with `--no-default-features --features std`.

mod common;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::sets::*;
use ::clone_group::ffi::types::*;
use common::world::{Profile, World};

const SUPERBLOCK_BYTES: usize = 512;
const REGION_BYTES: usize = 1024;

/// A golden image of tests/media_format.rs.
fn golden(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/media_format/1/{name}.hex", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the golden image is there");
    let byte = |digits: &str| u8::from_str_radix(digits, 16).expect("two digits");
    text.lines().flat_map(|line| line[8..].split(' ').map(byte).collect::<Vec<_>>()).collect()
}

/// Changes both superblock slots, with checksums that are right.
fn with_superblocks(mut bytes: Vec<u8>, change: impl Fn(&mut [u8])) -> Vec<u8> {
    for slot in 0..2 {
        let image = &mut bytes[slot * REGION_BYTES..][..SUPERBLOCK_BYTES];
        change(image);
        let crc = crc32fast::hash(&image[..SUPERBLOCK_BYTES - 4]);
        image[SUPERBLOCK_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    }
    bytes
}

/// What Recovery says of the area, which it must leave as it is when it refuses.
fn recover(image: &[u8]) -> i32 {
    let mut world = World::new(Profile::QUIET, 1);
    world.inner.borrow_mut().area.replace(image);
    world.power_on();
    // SAFETY: a live group.
    let status = world.run_operation(|group, tag| unsafe { clone_group_recover(group, 0, tag) });
    let unchanged = world.inner.borrow().area.now == image;
    assert!(status == CLONE_GROUP_OK || unchanged, "Recovery changed the metadata that it refused");
    status
}

fn either(part: bool, with: i32, without: i32) -> i32 {
    if part { with } else { without }
}

/// A group that is prepared for a set is never served by who cannot resolve it.
#[test]
fn a_prepared_superblock_needs_sets() {
    let expected = either(cfg!(feature = "sets"), CLONE_GROUP_OK, CLONE_GROUP_ERR_METADATA_VERSION);
    for name in ["prepared_fracture", "prepared_restore"] {
        assert_eq!(recover(&golden(name)), expected, "{name}");
    }
    // The condition alone, which names nobody, is damage to who knows sets.
    let alone = with_superblocks(golden("restoring"), |image| image[52] |= 4);
    let damaged = CLONE_GROUP_ERR_METADATA_DAMAGED;
    assert_eq!(recover(&alone), either(cfg!(feature = "sets"), damaged, CLONE_GROUP_ERR_METADATA_VERSION));
}

/// In the middle of a Reverse Synchronization the Source is a mixture that only the part hides.
#[test]
fn a_reverse_synchronization_needs_reverse() {
    let image = with_superblocks(golden("restoring"), |image| {
        image.copy_within(96..100, 100);
        image[96..100].fill(0);
        image[128] = 5;
    });
    let expected = either(cfg!(feature = "reverse"), CLONE_GROUP_OK, CLONE_GROUP_ERR_METADATA_VERSION);
    assert_eq!(recover(&image), expected);
}

/// A column for each Clone is a feature that is not known without the part, and another layout with it.
#[test]
fn a_column_for_each_clone_needs_map_per_clone() {
    let image = with_superblocks(golden("restoring"), |image| image[48] |= 1);
    let (geometry, version) = (CLONE_GROUP_ERR_METADATA_GEOMETRY, CLONE_GROUP_ERR_METADATA_VERSION);
    assert_eq!(recover(&image), either(cfg!(feature = "map-per-clone"), geometry, version));
}

/// A restore that was cut short needs no part.
#[test]
fn a_restore_needs_no_part() {
    assert_eq!(recover(&golden("restoring")), CLONE_GROUP_OK);
}

/// A flag whose part is not there is refused by what makes a group.
#[test]
fn flags_need_their_parts() {
    let cases = [
        (CLONE_GROUP_CONFIG_SKIP_EQUAL, cfg!(feature = "verify")),
        (CLONE_GROUP_CONFIG_MAP_PER_CLONE, cfg!(feature = "map-per-clone")),
    ];
    for (flags, part) in cases {
        // SAFETY: a struct of integers, which the library fills; valid places.
        unsafe {
            let mut config: clone_group_config = std::mem::zeroed();
            clone_group_config_init(&mut config, size_of::<clone_group_config>() as u32);
            config.lu_blocks = 1024;
            config.flags = flags;
            let mut bytes = 0;
            let expected = either(part, CLONE_GROUP_OK, CLONE_GROUP_ERR_NOT_SUPPORTED);
            assert_eq!(clone_group_workspace_size(&config, &mut bytes), expected, "flags {flags}");
            let mut ops: clone_group_ops = std::mem::zeroed();
            clone_group_ops_init(&mut ops, size_of::<clone_group_ops>() as u32);
            let mut group = std::ptr::null_mut();
            // With the part it is the callbacks that are missing.
            let made = clone_group_create(&config, &ops, std::ptr::null_mut(), 0, &mut group);
            let missing = CLONE_GROUP_ERR_CALLBACK_MISSING;
            assert_eq!(made, either(part, missing, CLONE_GROUP_ERR_NOT_SUPPORTED), "flags {flags}");
        }
    }
}

/// What C calls is there in every build, and returns the same status in each function of a part that is not.
#[test]
fn functions_need_their_parts() {
    let mut world = World::new(Profile::QUIET, 1);
    world.power_on();
    let group = world.group();
    // SAFETY: a live group, structs of integers, valid places.
    unsafe {
        assert_eq!(world.run_operation(|group, tag| clone_group_format(group, 0, tag)), CLONE_GROUP_OK);
        let mut set: clone_group_set = std::mem::zeroed();
        let mut bits = [0; 2];
        let mut info: clone_group_lu_info = std::mem::zeroed();
        info.struct_size = size_of::<clone_group_lu_info>() as u32;
        let set_bytes = size_of::<clone_group_set>() as u32;
        let results = [
            (
                "queries",
                cfg!(feature = "queries"),
                clone_group_map_read(group, 1, 0, 0, 8, bits.as_mut_ptr(), 2),
            ),
            ("queries", cfg!(feature = "queries"), clone_group_lu_query(group, 0, &mut info)),
            ("sets", cfg!(feature = "sets"), clone_group_set_init(&mut set, set_bytes, 1)),
            (
                "sets",
                cfg!(feature = "sets"),
                clone_group_set_fracture(&group, &1, 1, &mut set, std::ptr::null(), 1),
            ),
            ("sets", cfg!(feature = "sets"), clone_group_set_resolve(group, 1, 1)),
            ("verify", cfg!(feature = "verify"), clone_group_verify(group, 1, 0, 1)),
            ("verify", cfg!(feature = "verify"), clone_group_verify_stop(group, 1)),
            ("reverse", cfg!(feature = "reverse"), clone_group_reverse_synchronize(group, 1, 1)),
            ("cancel", cfg!(feature = "cancel"), clone_group_cancel(group, 1, 1)),
            ("cancel", cfg!(feature = "cancel"), clone_group_retarget(group, 1, 1)),
        ];
        for (number, (name, part, status)) in results.into_iter().enumerate() {
            assert_eq!(status == CLONE_GROUP_ERR_NOT_SUPPORTED, !part, "{name}, call {number}: {status}");
        }
        assert_eq!(clone_group_source_accept(group, 1), CLONE_GROUP_ERR_STATE, "it needs no part");
    }
}
