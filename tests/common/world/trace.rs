//! A replay that tells what happens.

use ::clone_group::ffi::types::*;

/// With CLONE_GROUP_TRACE set, a replay tells what happens.
pub fn trace(line: impl FnOnce() -> String) {
    static WANTED: std::sync::LazyLock<bool> =
        std::sync::LazyLock::new(|| std::env::var_os("CLONE_GROUP_TRACE").is_some());
    if *WANTED {
        println!("{}", line());
    }
}

pub(super) fn describe(io: &clone_group_io) -> String {
    let names = [
        "",
        "read",
        "write",
        "flush",
        "discard",
        "zeroes",
        "copy",
        "persist-read",
        "persist-write",
        "persist-flush",
    ];
    let kind = names[io.operation as usize];
    let (end, flags) = (io.first_block + io.block_count, io.flags);
    if io.operation >= CLONE_GROUP_IO_PERSIST_READ {
        return format!("{kind} at {} id {:x}", io.offset_bytes, io.id);
    }
    format!("{kind} LU {} blocks {}..{end} flags {flags:x} id {:x}", io.lu, io.first_block, io.id)
}
