//! What a simulated array is made of.

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::super::device::{BLOCK_BYTES, UNIT_BYTES};
use super::habits::Habits;

/// What a simulation is made of.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    pub blocks: usize,
    pub extent_blocks: usize,
    pub clones: usize,
    /// Clones that the group has room for, besides: they make the map pages small where each Clone has a column.
    pub spare_clones: usize,
    pub copies: u32,
    pub copy_blocks: u32,
    pub volatile: bool,
    pub host_durable: bool,
    pub redirect: bool,
    pub persist_flush: bool,
    pub discard_zeroes: bool,
    pub offload: bool,
    pub map_per_clone: bool,
    /// Of 256: callbacks that complete at once.
    pub immediate: u32,
    /// Of 256: callbacks that ask to be offered again.
    pub retry: u32,
    /// Of 65536: I/Os of LUs that fail.
    pub faults: u32,
    /// Of 65536: metadata writes that fail.
    pub metadata_faults: u32,
    pub intents: u32,
    /// Background copies skip what is equal.
    pub skip_equal: bool,
}

impl Profile {
    /// Small, with two Clones; every I/O is done at once and works, and completed means durable.
    pub const QUIET: Profile = Profile {
        blocks: 38,
        extent_blocks: 4,
        clones: 2,
        spare_clones: 0,
        copies: 2,
        copy_blocks: 4,
        volatile: false,
        host_durable: false,
        redirect: false,
        persist_flush: false,
        discard_zeroes: false,
        offload: false,
        map_per_clone: false,
        immediate: 256,
        retry: 0,
        faults: 0,
        metadata_faults: 0,
        intents: 16,
        skip_equal: false,
    };

    pub(super) fn clones_max(&self) -> usize {
        self.clones + self.spare_clones
    }
}

pub(super) fn config(profile: &Profile, habits: &Habits) -> clone_group_config {
    // SAFETY: a struct of integers, filled by the library.
    let mut config: clone_group_config = unsafe { std::mem::zeroed() };
    // SAFETY: a valid place of the right size.
    unsafe { clone_group_config_init(&mut config, size_of::<clone_group_config>() as u32) };
    config.lu_blocks = profile.blocks as u64;
    config.block_bytes = BLOCK_BYTES as u32;
    config.extent_blocks = profile.extent_blocks as u32;
    config.clones_max = profile.clones_max() as u32;
    config.requests_max = habits.requests_max;
    config.copies_max = profile.copies;
    config.copy_buffer_bytes = profile.copy_blocks * BLOCK_BYTES as u32;
    config.buffer_align_bytes = 8;
    config.persist_unit_bytes = UNIT_BYTES as u32;
    config.page_bytes = UNIT_BYTES as u32;
    config.page_writes_max = habits.page_writes_max;
    config.intent_extents_max = profile.intents;
    config.flags = if profile.host_durable { CLONE_GROUP_CONFIG_HOST_DURABLE } else { 0 }
        | if profile.redirect { CLONE_GROUP_CONFIG_REDIRECT_READS } else { 0 }
        | if profile.map_per_clone { CLONE_GROUP_CONFIG_MAP_PER_CLONE } else { 0 }
        | if profile.skip_equal { CLONE_GROUP_CONFIG_SKIP_EQUAL } else { 0 };
    config.group_id = *b"simulated group!";
    config
}
