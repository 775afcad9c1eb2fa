//! A world in a place of its own, which the group knows, too.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::World;

/// Like a `Box`, but it does not claim to be the only way to the world: callbacks have another one.
pub struct Placed(NonNull<World>);

impl Placed {
    pub(super) fn new(world: World) -> Placed {
        let place = NonNull::from(Box::leak(Box::new(world)));
        let placed = Placed(place);
        placed.place.set(place.as_ptr());
        placed
    }
}

impl Deref for Placed {
    type Target = World;

    fn deref(&self) -> &World {
        // SAFETY: from a box, and not given back before the drop.
        unsafe { self.0.as_ref() }
    }
}

impl DerefMut for Placed {
    fn deref_mut(&mut self) -> &mut World {
        // SAFETY: as above; no callback runs beside it.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        // SAFETY: from a box, given back once.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
