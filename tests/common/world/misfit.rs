//! A controller that comes up with what does not fit the metadata: another configuration, an LU in the place of
//! another one, or metadata of another library, group or time.

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::super::pages::{Format, page_generation};
use super::super::superblock::{amend, set_generation};
use super::profile::Profile;
use super::{Inner, World};

const GROUP_ID_AT: usize = 16;
const READ_ONLY_COMPATIBLE_AT: usize = 44;
const INCOMPATIBLE_AT: usize = 48;
/// A feature that no library has yet.
const UNKNOWN_FEATURE: u8 = 0x40;

/// What does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misfit {
    /// Extents of this many blocks.
    ExtentBlocks(usize),
    /// LUs of this many blocks.
    LuBlocks(usize),
    /// Another LU stands behind this number.
    Identity(usize),
    /// The superblock is the one of another group.
    Group,
    /// It has a feature that nobody knows.
    IncompatibleFeature,
    /// The same, for which there would have to be a service without writes.
    ReadOnlyFeature,
    /// It is older than a restore that a page tells of.
    Generation,
}

impl Misfit {
    /// The status that docs/format.md gives it.
    fn status(self) -> i32 {
        match self {
            Misfit::ExtentBlocks(_) | Misfit::LuBlocks(_) => CLONE_GROUP_ERR_METADATA_GEOMETRY,
            Misfit::Identity(_) => CLONE_GROUP_ERR_IDENTITY,
            Misfit::Group => CLONE_GROUP_ERR_METADATA_FOREIGN,
            Misfit::IncompatibleFeature | Misfit::ReadOnlyFeature => CLONE_GROUP_ERR_METADATA_VERSION,
            Misfit::Generation => CLONE_GROUP_ERR_METADATA_DAMAGED,
        }
    }

    /// The configuration of the controller that comes up.
    fn configured(self, profile: Profile) -> Profile {
        match self {
            Misfit::ExtentBlocks(extent_blocks) => Profile { extent_blocks, ..profile },
            Misfit::LuBlocks(blocks) => Profile { blocks, ..profile },
            _ => profile,
        }
    }

    /// What the superblock would be like.
    fn change(self, body: &mut [u8], generation: u64) {
        match self {
            Misfit::Group => body[GROUP_ID_AT] ^= 1,
            Misfit::IncompatibleFeature => body[INCOMPATIBLE_AT] |= UNKNOWN_FEATURE,
            Misfit::ReadOnlyFeature => body[READ_ONLY_COMPATIBLE_AT] |= UNKNOWN_FEATURE,
            Misfit::Generation => set_generation(body, generation - 1),
            _ => {}
        }
    }
}

impl World {
    /// Everything that does not fit this array now. Its power is off.
    pub fn misfits(&self) -> Vec<Misfit> {
        let inner = self.inner.borrow();
        let Profile { blocks, extent_blocks, .. } = inner.profile;
        let mut misfits = vec![Misfit::Group, Misfit::IncompatibleFeature, Misfit::ReadOnlyFeature];
        let superblock = inner.format.superblock(&inner.area.now);
        let is_member =
            |lu: &usize| *lu == 0 || superblock.is_some_and(|superblock| superblock.is_clone(*lu));
        misfits.extend((0..inner.devices.len()).filter(is_member).map(Misfit::Identity));
        let shapes = [
            Misfit::ExtentBlocks(2 * extent_blocks),
            Misfit::ExtentBlocks(extent_blocks / 2),
            Misfit::LuBlocks(blocks + 1),
            Misfit::LuBlocks(blocks - 1),
        ];
        misfits.extend(shapes.into_iter().filter(|&shape| inner.lies_alike(shape)));
        if inner.newest_generation() > 0 {
            misfits.push(Misfit::Generation);
        }
        misfits
    }

    /// Recovery refuses what does not fit by its name, and changes nothing (R32, R60, R79). Afterwards a controller that
    /// fits is on.
    pub fn refuses(&mut self, misfit: Misfit) {
        let profile = self.inner.get_mut().profile;
        let fitting = self.inner.get_mut().area.now.clone();
        self.inner.get_mut().change_superblocks(misfit);
        let found = self.inner.get_mut().area.now.clone();
        self.inner.get_mut().profile = misfit.configured(profile);
        self.power_on();
        self.inner.get_mut().profile = profile;
        if let Misfit::Identity(lu) = misfit {
            self.attach(lu, [0xee; 16]);
        }
        // SAFETY: a live group.
        let status = self.run_operation(|group, tag| unsafe { clone_group_recover(group, 0, tag) });
        assert_eq!(status, misfit.status(), "Recovery of {misfit:?} (R32, R79)");
        assert!(
            self.inner.get_mut().area.now == found,
            "Recovery changed the metadata that it refused: {misfit:?}"
        );
        self.inner.get_mut().area.replace(&fitting);
        match misfit {
            Misfit::Identity(lu) => self.attach_lu(lu),
            Misfit::ExtentBlocks(_) | Misfit::LuBlocks(_) => self.power_on(),
            _ => {}
        }
    }
}

impl Inner {
    /// Whether slots and pages lie where they do in this shape, too.
    fn lies_alike(&self, shape: Misfit) -> bool {
        let Profile { blocks, extent_blocks, clones, map_per_clone, .. } = shape.configured(self.profile);
        if extent_blocks == 0 || blocks == 0 {
            return false;
        }
        let Format { page_bytes, pages, .. } = self.format;
        let extents = blocks.div_ceil(extent_blocks);
        Format::new(extents, clones, map_per_clone, page_bytes, page_bytes).pages == pages
    }

    /// The newest restore that a page tells of.
    fn newest_generation(&self) -> u64 {
        let pages = (0..self.format.pages).filter_map(|page| self.format.page(&self.area.now, page));
        pages.map(page_generation).max().unwrap_or(0)
    }

    fn change_superblocks(&mut self, misfit: Misfit) {
        let generation = self.newest_generation();
        let mut area = self.area.now.clone();
        let valid = self.format.superblocks(&area).map(|superblock| superblock.is_some());
        for (slot, _) in self.format.slots().into_iter().zip(valid).filter(|&(_, valid)| valid) {
            amend(&mut area[slot], |body| misfit.change(body, generation));
        }
        self.area.replace(&area);
    }
}
