#![forbid(unsafe_code)]
//! Parts of the library that a firmware build may leave out, one cargo feature each, all of them on by default.
//!
//! This is the only place that asks for those features. Each function through which the rest of the library comes
//! into a part begins with a look at its constant here; what it leads to is then dead code, which the linker drops.
//! So every build compiles all sources, and no part is spread with `cfg` over others. What C calls stays there
//! and returns `CLONE_GROUP_ERR_NOT_SUPPORTED`.

use crate::error::Error;

/// Names and texts of statuses and events, and the log callback.
pub const TEXTS: bool = cfg!(feature = "texts");

/// Export of maps, and counters.
pub const QUERIES: bool = cfg!(feature = "queries");

/// Several groups that change at one point in time. A superblock that is prepared for that is refused without it.
pub const SETS: bool = cfg!(feature = "sets");

/// Verify, and copies that compare before they write.
pub const VERIFY: bool = cfg!(feature = "verify");

/// Reverse Synchronization. A superblock that is in the middle of one is refused without it.
pub const REVERSE: bool = cfg!(feature = "reverse");

/// The ways out of a copy before its end: cancel and re-target. An invalid Source can always be accepted.
pub const CANCEL: bool = cfg!(feature = "cancel");

/// One column of the persistent maps for each Clone. A superblock with such columns is refused without it.
pub const MAP_PER_CLONE: bool = cfg!(feature = "map-per-clone");

/// Refuses a call into a part that was left out.
pub fn needs(part: bool) -> Result<(), Error> {
    if part { Ok(()) } else { Err(Error::NotSupported) }
}
