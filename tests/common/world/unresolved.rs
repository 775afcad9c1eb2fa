//! A group that is prepared for a set leaves its LUs alone until that is resolved (R77).

use ::clone_group::ffi::types::*;

use super::Inner;

impl Inner {
    /// The group says that it is prepared, or the area does, and no write that failed leaves open whether it counts (R33).
    pub(super) fn check_resolved(&self, io: &clone_group_io, conditions: u32) {
        if Inner::is_metadata(io) || io.operation == CLONE_GROUP_IO_FLUSH {
            return;
        }
        let unknown = conditions & CLONE_GROUP_CONDITION_METADATA_FAILED != 0;
        let prepared = conditions & CLONE_GROUP_CONDITION_PREPARED != 0
            || !unknown && self.format.is_prepared(self.area.durable());
        assert!(!prepared, "a group that is prepared for a set reads or writes LU {} (R77)", io.lu);
    }
}
