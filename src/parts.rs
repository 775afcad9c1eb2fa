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

/// Refuses a call into a part that was left out.
pub fn needs(part: bool) -> Result<(), Error> {
    if part { Ok(()) } else { Err(Error::NotSupported) }
}
