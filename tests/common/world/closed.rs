//! The end of a group in order: closed, and destroyed.

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::World;

impl World {
    /// A close worked: nothing is under way, and everything that was acknowledged is durable (R3, R24, R64).
    pub fn check_closed(&self) {
        let inner = &mut *self.inner.borrow_mut();
        assert!(
            inner.hosts.is_empty(),
            "the group is closed, and requests are open (R64): {:?}",
            inner.hosts.keys()
        );
        assert!(inner.held.is_empty(), "the group is closed, and I/Os are under way (R64)");
        // The second write of a change may have failed: the first one has committed it (R31).
        let flushed = inner.metadata_fault_seen || inner.area.loose().is_empty();
        assert!(flushed, "the group is closed, and metadata is not flushed (R26)");
        for lu in std::iter::once(0).chain(inner.members.clone()) {
            let loose: Vec<_> = inner.devices[lu].loose().collect();
            assert!(
                loose.is_empty(),
                "the group is closed, and LU {lu} is not flushed (R3, R24): {loose:x?}"
            );
        }
        for block in inner.models.iter_mut().flatten() {
            let acknowledged = block.seal();
            block.flush(acknowledged);
        }
    }

    /// Destroys the group, which is refused while the controller may touch its memory (R82).
    pub fn destroy(&self) {
        let expected = if self.held() > 0 { CLONE_GROUP_ERR_BUSY } else { CLONE_GROUP_OK };
        // SAFETY: a live group; after a destroy that works it is not used again.
        let destroyed = unsafe { clone_group_destroy(self.group()) };
        assert_eq!(destroyed, expected, "a destroy with {} I/Os under way (R82)", self.held());
    }
}
