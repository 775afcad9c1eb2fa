#![forbid(unsafe_code)]
//! The Collision Detector: finds host writes that overlap a copy, so that the extent is copied again,
//! and sees to it that this ends.
//!
//! A copy collides with an extent if a host write to it is under way at any time from the submission
//! of the copy's first read to the completion of its last write (R44): `begin` looks at the writes under
//! way when the copy begins, [`CodScoreboard::collide`] at those that begin later. After `recopies_max`
//! collisions the extent is copied once with host writes to it held (R46).
//!
//! [`CodScoreboard::collide`]: crate::cod_scoreboard::CodScoreboard::collide

use crate::geometry::Extent;
use crate::knock_out::kept;

/// Extents whose copies collided lately. When the table is full, a further one is not counted until there is
/// room: those in it are copied after `recopies_max` passes at the latest, so the end comes later, but it comes.
pub const HOT_MAX: usize = 32;

/// An extent that collided.
#[derive(Clone, Copy, Default)]
pub struct Hot {
    lu: u32,
    extent: Extent,
    collisions: u32,
}

/// How often which extents collided.
pub struct CollisionDetector<'a> {
    hot: &'a mut [Hot],
    recopies_max: u32,
}

impl Hot {
    fn is(&self, lu: u32, extent: Extent) -> bool {
        self.lu == lu && self.extent == extent
    }
}

impl<'a> CollisionDetector<'a> {
    /// No collisions so far.
    pub fn new(hot: &'a mut [Hot], recopies_max: u32) -> CollisionDetector<'a> {
        CollisionDetector { hot, recopies_max }
    }

    /// The copy of this extent onto this LU collided.
    pub fn note(&mut self, lu: u32, extent: Extent) {
        if let Some(hot) = self.hot.iter_mut().find(|hot| hot.is(lu, extent)) {
            hot.collisions = hot.collisions.saturating_add(1);
        } else if let Some(free) = self.hot.iter_mut().find(|hot| hot.collisions == 0) {
            *free = Hot { lu, extent, collisions: 1 };
        }
    }

    /// The extent was copied.
    pub fn forget(&mut self, lu: u32, extent: Extent) {
        if let Some(hot) = self.hot.iter_mut().find(|hot| hot.is(lu, extent)) {
            hot.collisions = 0;
        }
    }

    /// All copies onto this LU are over.
    pub fn forget_lu(&mut self, lu: u32) {
        for hot in self.hot.iter_mut().filter(|hot| hot.lu == lu) {
            hot.collisions = 0;
        }
    }

    /// Whether the next copy of this extent must hold host writes.
    pub fn is_exclusive(&self, lu: u32, extent: Extent) -> bool {
        let hot = self.hot.iter().find(|hot| hot.is(lu, extent));
        hot.is_some_and(|hot| hot.collisions >= self.recopies_max) && kept!(R46)
    }
}
