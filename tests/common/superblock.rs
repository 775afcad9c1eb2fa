//! Looks into a slot of the superblock as docs/format.md describes it, without the library.

use std::ops::Range;

use super::pages::Format;

const MAGIC: &[u8; 8] = b"CLONEGRP";
const CHECKSUM_BYTES: usize = 4;
const SEQUENCE: Range<usize> = 32..40;
const FLAGS_AT: usize = 52;
const FLAG_SOURCE_INVALID: u8 = 2;
const FLAG_PREPARED: u8 = 4;
const FLAG_PAGES_DISTRUSTED: u8 = 8;
const GENERATION: Range<usize> = 88..96;
const RESTORING: Range<usize> = 96..100;
const REVERSING: Range<usize> = 100..104;
const RECORD_BYTES: usize = 128;

/// A valid superblock.
#[derive(Clone, Copy)]
pub struct Superblock<'a>(&'a [u8]);

fn number(bytes: &[u8]) -> u64 {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(wide)
}

impl<'a> Superblock<'a> {
    /// What the slot holds, if that is valid.
    pub fn in_slot(slot: &'a [u8]) -> Option<Superblock<'a>> {
        let (body, checksum) = slot.split_at(slot.len() - CHECKSUM_BYTES);
        let valid = slot.starts_with(MAGIC) && crc32fast::hash(body).to_le_bytes() == checksum;
        valid.then_some(Superblock(slot))
    }

    pub fn sequence(&self) -> u64 {
        number(&self.0[SEQUENCE])
    }

    /// Counts the restores.
    pub fn generation(&self) -> u64 {
        number(&self.0[GENERATION])
    }

    /// The LU that is restored from, or 0.
    pub fn restoring_lu(&self) -> usize {
        number(&self.0[RESTORING]) as usize
    }

    /// The LU of a Reverse Synchronization, or 0.
    pub fn reversing_lu(&self) -> usize {
        number(&self.0[REVERSING]) as usize
    }

    pub fn source_is_invalid(&self) -> bool {
        self.0[FLAGS_AT] & FLAG_SOURCE_INVALID != 0
    }

    /// Whether the group is prepared for a set (R77).
    pub fn is_prepared(&self) -> bool {
        self.0[FLAGS_AT] & FLAG_PREPARED != 0
    }

    /// CLONE_GROUP_CLONE_ state of the LU.
    pub fn state(&self, lu: usize) -> u32 {
        number(&self.record(lu)[..4]) as u32
    }

    /// Whether a write to the Clone, or a flush of it, failed.
    pub fn has_failed(&self, lu: usize) -> bool {
        self.record(lu)[4] & 2 != 0
    }

    /// Whether the Clone is a point in time if the set is committed (R77).
    pub fn prepares(&self, lu: usize) -> bool {
        self.record(lu)[4] & 12 != 0
    }

    fn record(&self, lu: usize) -> &[u8] {
        &self.0[RECORD_BYTES * lu..][..RECORD_BYTES]
    }

    /// Whether a page with one damaged copy is lost (N18).
    pub fn distrusts_pages(&self) -> bool {
        self.0[FLAGS_AT] & FLAG_PAGES_DISTRUSTED != 0
    }

    /// Whether the LU is a Clone.
    pub fn is_clone(&self, lu: usize) -> bool {
        self.state(lu) != 0
    }

    /// Whether the extent of the Clone counts as different without a bit (R73).
    pub fn is_full(&self, extent: usize, lu: usize) -> bool {
        let record = self.record(lu);
        record[4] & 1 != 0 && extent as u64 >= number(&record[8..16])
    }

    /// Whether hosts are served the same by both: no copy onto the Source begins or ends between them.
    pub fn serves_the_same_as(&self, other: &Superblock) -> bool {
        let served = |of: &Superblock| {
            let invalid = of.0[FLAGS_AT] & FLAG_SOURCE_INVALID;
            (of.generation(), of.restoring_lu(), number(&of.0[REVERSING]), invalid)
        };
        served(self) == served(other)
    }

    /// Whether they differ in their sequence numbers only.
    pub fn says_the_same_as(&self, other: &Superblock) -> bool {
        let body = SEQUENCE.end..self.0.len() - CHECKSUM_BYTES;
        self.0[..SEQUENCE.start] == other.0[..SEQUENCE.start] && self.0[body.clone()] == other.0[body]
    }
}

/// Changes a valid superblock, and its checksum is right again.
pub fn amend(slot: &mut [u8], change: impl FnOnce(&mut [u8])) {
    let (body, checksum) = slot.split_at_mut(slot.len() - CHECKSUM_BYTES);
    change(body);
    checksum.copy_from_slice(&crc32fast::hash(body).to_le_bytes());
}

/// Sets the restore generation of a superblock.
pub fn set_generation(body: &mut [u8], generation: u64) {
    body[GENERATION].copy_from_slice(&generation.to_le_bytes());
}

impl Format {
    /// Where both slots lie.
    pub fn slots(&self) -> [Range<usize>; 2] {
        [0, self.region_bytes()].map(|at| at..at + self.superblock_bytes)
    }

    /// What both slots hold.
    pub fn superblocks<'a>(&self, area: &'a [u8]) -> [Option<Superblock<'a>>; 2] {
        self.slots().map(|slot| Superblock::in_slot(&area[slot]))
    }

    /// The one that counts.
    pub fn superblock<'a>(&self, area: &'a [u8]) -> Option<Superblock<'a>> {
        self.superblocks(area).into_iter().flatten().max_by_key(Superblock::sequence)
    }

    /// Whether both slots are valid and say the same (R31).
    pub fn slots_agree(&self, area: &[u8]) -> bool {
        match self.superblocks(area) {
            [Some(first), Some(second)] => first.says_the_same_as(&second),
            _ => false,
        }
    }
}
