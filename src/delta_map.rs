#![forbid(unsafe_code)]
//! The Delta Map of a Clone: the extents in which it and the Source may differ. A bit too many costs
//! a copy, a bit too few costs data (I2).

use crate::extent_map::ExtentMap;

/// The Delta Map. Its storage and that of the Protected Restore Map change roles at the end of a
/// restore, so that no map is walked while hosts are held (R36).
#[derive(Default)]
pub struct DeltaMap<'a> {
    /// Its bits.
    pub bits: ExtentMap<'a>,
    /// The extents in the Persistent Delta Map count too: the Clone was mirrored, and failed or was given up before
    /// what it was sent was flushed, so any of them may differ (R3, R52).
    pub inherits_intent: bool,
    /// That happened again while the extents were being taken over: once more, from the start.
    pub inherits_again: bool,
}

impl DeltaMap<'_> {
    /// Whether the Clone surely equals the Source.
    pub fn is_empty(&self) -> bool {
        self.bits.is_empty() && !self.inherits_intent
    }
}
