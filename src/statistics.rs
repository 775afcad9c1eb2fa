#![forbid(unsafe_code)]
//! Counters since create. They mean what `clone_group_statistics` says.

/// See `clone_group_statistics`.
#[derive(Clone, Copy, Default, Debug)]
#[allow(missing_docs)]
pub struct Statistics {
    pub cod_queue_peak: u32,
    pub host_reads: u64,
    pub host_writes: u64,
    pub host_flushes: u64,
    pub redirected_reads: u64,
    pub cod_queued: u64,
    pub cod_extents: u64,
    pub sync_extents: u64,
    pub sync_copies: u64,
    pub overwritten_extents: u64,
    pub collisions: u64,
    pub exclusive_copies: u64,
    pub page_writes: u64,
    pub page_waits: u64,
    pub superblock_writes: u64,
    pub engine_flushes: u64,
    pub io_errors: u64,
    pub metadata_errors: u64,
    pub cod_wait_ns_max: u64,
    pub cod_wait_ns_total: u64,
    pub skipped_extents: u64,
    pub verified_extents: u64,
    pub mismatched_extents: u64,
}

/// Adds to a counter.
pub fn add(counter: &mut u64, count: u64) {
    if crate::parts::QUERIES {
        *counter = counter.wrapping_add(count);
    }
}
