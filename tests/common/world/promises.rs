//! What metadata promises of the LUs when it goes out: it has to hold whatever a power loss leaves of them. A superblock
//! that changes the state of the group goes out with nothing under way that belongs to the state before (R53).

use ::clone_group::ffi::types::*;

use super::super::pages::is_set;
use super::super::superblock::Superblock;
use super::Inner;
use super::controller::Held;
use super::unknown::is_superblock;

/// What each block of an LU holds after a power loss now, if that is one value only.
struct AfterLoss {
    lu: usize,
    blocks: Vec<Option<u64>>,
}

impl AfterLoss {
    fn is_certain(&self) -> bool {
        self.blocks.iter().all(Option::is_some)
    }
}

/// What a superblock changes.
struct Change<'a> {
    old: &'a Superblock<'a>,
    new: &'a Superblock<'a>,
    clones: usize,
}

impl Change<'_> {
    /// The Clone had one of the first states, and has one of the others.
    fn moves(&self, lu: usize, from: &[u32], to: &[u32]) -> bool {
        let (was, is) = (self.old.state(lu), self.new.state(lu));
        was != is && from.contains(&was) && to.contains(&is)
    }

    /// A copy onto the Source begins, perhaps in place of another one.
    fn begins_onto_source(&self) -> bool {
        self.new.generation() != self.old.generation()
    }

    fn ends_reverse(&self) -> bool {
        self.old.reversing_lu() != 0 && self.new.reversing_lu() == 0
    }

    fn ends_restore(&self) -> bool {
        self.old.restoring_lu() != 0 && self.new.restoring_lu() == 0
    }

    fn cancels_onto_source(&self) -> bool {
        self.new.source_is_invalid() && !self.old.source_is_invalid()
    }

    fn accepts_source(&self) -> bool {
        self.old.source_is_invalid() && !self.new.source_is_invalid() && !self.begins_onto_source()
    }

    /// Whether hosts are held, and everything under way has come to its end, before it (R34, R48, R53, R55).
    fn is_drained(&self) -> bool {
        const ABSENT: &[u32] = &[CLONE_GROUP_CLONE_ABSENT];
        const MEMBER: &[u32] = &[
            CLONE_GROUP_CLONE_OUT_OF_SYNC,
            CLONE_GROUP_CLONE_SYNCHRONIZING,
            CLONE_GROUP_CLONE_SYNCHRONIZED,
            CLONE_GROUP_CLONE_FRACTURED,
        ];
        const REST: &[u32] = &[CLONE_GROUP_CLONE_OUT_OF_SYNC, CLONE_GROUP_CLONE_FRACTURED];
        const SYNCHRONIZING: &[u32] = &[CLONE_GROUP_CLONE_SYNCHRONIZING];
        const SYNCHRONIZED: &[u32] = &[CLONE_GROUP_CLONE_SYNCHRONIZED];
        let of_clone = |lu: usize| {
            self.moves(lu, ABSENT, MEMBER)
                || self.moves(lu, MEMBER, ABSENT)
                || self.moves(lu, REST, SYNCHRONIZING)
                || self.moves(lu, SYNCHRONIZED, &[CLONE_GROUP_CLONE_FRACTURED])
                || self.moves(lu, SYNCHRONIZING, REST) && !self.new.has_failed(lu)
        };
        self.begins_onto_source()
            || self.ends_reverse()
            || self.cancels_onto_source()
            || (1..=self.clones).any(of_clone)
    }

    /// The Clone is a point in time from now on: one that hosts may use, that is copied from, or that is prepared for it.
    fn fixes(&self, lu: usize) -> bool {
        let (was, is) = (self.old.state(lu), self.new.state(lu));
        let fixed = [
            CLONE_GROUP_CLONE_FRACTURED,
            CLONE_GROUP_CLONE_REVERSE_SYNCHRONIZING,
            CLONE_GROUP_CLONE_RESTORING,
        ];
        was != is && fixed.contains(&is)
            || self.new.prepares(lu) && !self.old.prepares(lu)
            || self.ends_reverse() && self.old.reversing_lu() == lu
    }

    /// The Source is flushed as well: it is the base of what follows (R38, R48, N2, N7, N11). A cancel does not depend on it.
    fn fixes_source(&self, fault_seen: bool) -> bool {
        let fractures =
            |lu| self.moves(lu, &[CLONE_GROUP_CLONE_SYNCHRONIZED], &[CLONE_GROUP_CLONE_FRACTURED]);
        self.begins_onto_source()
            || self.accepts_source()
            || self.ends_reverse() && !self.new.source_is_invalid()
            || self.cancels_onto_source() && !fault_seen
            || (1..=self.clones).any(fractures)
    }
}

impl Inner {
    /// A page, or a superblock, goes out.
    pub(super) fn check_promises(&mut self, io: &clone_group_io) {
        // SAFETY: the library's buffer of this length.
        let image = unsafe { std::slice::from_raw_parts(io.buffer.cast::<u8>(), io.length_bytes as usize) };
        if !self.format.is_slot(io.offset_bytes as usize) {
            return self.check_page(image);
        }
        let old = self.format.superblock(&self.area.now);
        if let (Some(old), Some(new)) = (old, Superblock::in_slot(image))
            && !new.says_the_same_as(&old)
        {
            self.gate_closed_by = self.check_superblock(&old, &new);
        }
    }

    fn after_loss(&self, lu: usize) -> AfterLoss {
        let device = &self.devices[lu];
        let mut blocks: Vec<Option<u64>> = device.durable().iter().copied().map(Some).collect();
        let mut may_land = |block: usize, value: u64| {
            if blocks[block] != Some(value) {
                blocks[block] = None;
            }
        };
        device.loose().for_each(|(block, value)| may_land(block, value));
        for held in self.held.iter().filter(|held| held.io.lu as usize == lu) {
            let first = held.io.first_block as usize;
            held.values.iter().enumerate().for_each(|(number, &value)| may_land(first + number, value));
        }
        AfterLoss { lu, blocks }
    }

    fn may_differ(&self, extent: usize, source: &AfterLoss, clone: &AfterLoss) -> bool {
        let start = extent * self.profile.extent_blocks;
        let end = (start + self.profile.extent_blocks).min(self.profile.blocks);
        // Of what decays in silence only Verify can know.
        let rotten = |block| [source.lu, clone.lu].iter().any(|&lu| self.rotten.contains(&(lu, block)));
        (start..end).any(|block| {
            let (source, clone) = (source.blocks[block], clone.blocks[block]);
            (source.is_none() || source != clone) && !rotten(block)
        })
    }

    /// A bit of the Persistent Delta Map is cleared only where Source and Clone are equal, whatever a power loss leaves of
    /// them (R3, R47).
    fn check_page(&self, image: &[u8]) {
        let area = self.area.durable();
        let Some(superblock) = self.format.superblock(area) else { return };
        let number = self.format.number_of(image);
        let Some(before) = self.format.page(area, number) else { return };
        let mut source = None;
        for lu in (1..=self.profile.clones).filter(|&lu| superblock.is_clone(lu)) {
            let column = self.format.delta_column(lu);
            let (was, is) = (self.format.column(before, column), self.format.column(image, column));
            if was.iter().zip(is).all(|(was, is)| was & !is == 0) {
                continue;
            }
            let source = source.get_or_insert_with(|| self.after_loss(0));
            let clone = self.after_loss(lu);
            let first = number * self.format.page_extents;
            for extent in first..self.extents().min(first + self.format.page_extents) {
                let inside = extent - first;
                let cleared = is_set(was, inside) && !is_set(is, inside);
                let known = !cleared
                    || superblock.is_full(extent, lu)
                    || self.is_to_be_copied(image, inside, &superblock);
                assert!(
                    known || !self.may_differ(extent, source, &clone),
                    "the bit of extent {extent} is cleared, and LU {lu} may differ from the Source there (R3)"
                );
            }
        }
    }

    fn extents(&self) -> usize {
        self.profile.blocks.div_ceil(self.profile.extent_blocks)
    }

    /// What is copied onto the Source counts as different for every Clone (R72).
    fn is_to_be_copied(&self, image: &[u8], inside: usize, superblock: &Superblock) -> bool {
        let from = superblock.restoring_lu().max(superblock.reversing_lu());
        from != 0 && is_set(self.format.column(image, self.format.delta_column(from)), inside)
    }

    /// Its sequence number, if hosts are held for it.
    fn check_superblock(&self, old: &Superblock, new: &Superblock) -> Option<u64> {
        let change = Change { old, new, clones: self.profile.clones };
        // What a write that failed left there is unknown (R33): the next one changes anything.
        if !self.metadata_fault_seen {
            if change.is_drained() {
                self.check_drained();
            }
            if change.ends_restore() {
                self.check_end_of_restore(old.restoring_lu());
            }
            if change.ends_reverse() && !new.source_is_invalid() {
                self.check_end_of_reverse(old.reversing_lu());
            }
            let fixed = (0..=self.profile.clones).filter(|&lu| match lu {
                0 => change.fixes_source(self.fault_seen),
                lu => change.fixes(lu),
            });
            for lu in fixed {
                assert!(
                    self.after_loss(lu).is_certain(),
                    "LU {lu} counts from now on, and was not flushed (R34, R55)"
                );
            }
        }
        self.check_differences(new);
        (change.is_drained() && !self.metadata_fault_seen).then_some(new.sequence())
    }

    /// Nothing of the state before is under way (R53).
    fn check_drained(&self) {
        for held in &self.held {
            let host = held.io.flags & CLONE_GROUP_IO_HOST != 0;
            assert!(!host, "the state changes beside a host request (R53)");
            assert!(
                !self.sets_bits(held),
                "the state changes beside a map page with bits that somebody needs (R53)"
            );
            assert!(!self.is_copy(held.io.operation, host), "the state changes beside a copy (R53)");
        }
    }

    /// A map page with bits that are not durable yet is under way.
    fn sets_bits(&self, held: &Held) -> bool {
        let page = held.io.operation == CLONE_GROUP_IO_PERSIST_WRITE
            && !self.format.is_slot(held.io.offset_bytes as usize);
        page && self.format.page(self.area.durable(), self.format.number_of(&held.bytes)).is_none_or(
            |durable| {
                let columns = |image| {
                    (0..=self.format.deltas).flat_map(move |column| self.format.column(image, column))
                };
                columns(durable).zip(columns(&held.bytes)).any(|(is, becomes)| becomes & !is != 0)
            },
        )
    }

    fn is_copy(&self, operation: u32, host: bool) -> bool {
        !host && matches!(operation, CLONE_GROUP_IO_READ | CLONE_GROUP_IO_WRITE | CLONE_GROUP_IO_COPY)
    }

    /// A restore ends with no copy, no map page and no redirected read under way (R36, R75).
    fn check_end_of_restore(&self, from: usize) {
        for held in &self.held {
            let host = held.io.flags & CLONE_GROUP_IO_HOST != 0;
            // A host write that comes at the very end is not held: its page goes out in the same poll.
            let earlier = held.poll < self.polls && self.profile.retry == 0;
            assert!(
                !earlier || !self.sets_bits(held),
                "a restore ends beside a map page with bits that somebody needs (R36)"
            );
            let copy = self.is_copy(held.io.operation, host) && held.io.lu == 0;
            assert!(!copy || held.io.operation == CLONE_GROUP_IO_READ, "a restore ends beside a copy (R36)");
            let redirected = host && held.io.lu as usize == from && self.is_of_source(&held.io);
            assert!(!redirected, "a restore ends beside a read that was sent to the Clone (R75)");
        }
    }

    /// A Reverse Synchronization ends where both LUs are equal for good (R48).
    fn check_end_of_reverse(&self, from: usize) {
        let (source, clone) = (self.after_loss(0), self.after_loss(from));
        let differs = (0..self.extents()).find(|&extent| self.may_differ(extent, &source, &clone));
        assert_eq!(differs, None, "a Reverse Synchronization ends, and this extent may differ (R48)");
    }

    /// Whether it is of a host request to the Source.
    fn is_of_source(&self, io: &clone_group_io) -> bool {
        let payload = io.payload.cast_const().cast();
        self.hosts.values().any(|op| op.lu == 0 && op.payload.as_ptr() == payload)
    }

    /// Wherever LUs may differ when the superblock counts, a durable bit says so (I2).
    fn check_differences(&self, new: &Superblock) {
        let area = self.area.durable();
        let pages: Vec<Option<&[u8]>> =
            (0..self.format.pages).map(|page| self.format.page(area, page)).collect();
        let source = self.after_loss(0);
        for lu in (1..=self.profile.clones).filter(|&lu| new.is_clone(lu)) {
            let clone = self.after_loss(lu);
            for extent in 0..self.extents() {
                let inside = extent % self.format.page_extents;
                let known = pages[extent / self.format.page_extents].is_none_or(|page| {
                    is_set(self.format.column(page, self.format.delta_column(lu)), inside)
                        || self.is_to_be_copied(page, inside, new)
                });
                assert!(
                    known || new.is_full(extent, lu) || !self.may_differ(extent, &source, &clone),
                    "LU {lu} may differ from the Source in extent {extent}, and no durable bit says so (I2)"
                );
            }
        }
    }

    /// A host request goes out: not while the state changes (R53).
    pub(super) fn check_gate(&self) {
        let closed = self.held.iter().any(|held| {
            is_superblock(&self.format, &held.io)
                && Superblock::in_slot(&held.bytes)
                    .is_some_and(|of| Some(of.sequence()) == self.gate_closed_by)
        });
        assert!(!closed, "a host request goes out while the state changes (R53)");
    }
}
