//! Power losses, and what must hold after Recovery.

use std::cell::RefCell;

use ::clone_group::ffi::types::*;

use super::super::device::Fate;
use super::super::model::Block;
use super::digest::POWER;
use super::trace::trace;
use super::{FlushRecord, Inner, World};

impl World {
    pub fn power_is_off(&self) -> bool {
        let inner = self.inner.borrow();
        inner.steps >= inner.power_fails_at
    }

    /// Power is lost: what is not durable is kept or lost as the seed says. Hosts forget their requests.
    pub fn lose_power(&mut self, fate: impl FnMut() -> bool + 'static) {
        let inner = self.inner.get_mut();
        // A write of whole extents that was cut short lies under the view of a restore, and hosts do not see it (R17).
        for (older, block) in inner.mixture.iter_mut().zip(&inner.models[0]) {
            older.extend(block.legal_after_loss());
            older.sort_unstable();
            older.dedup();
        }
        let fate = RefCell::new(fate);
        let fate: Fate = &fate;
        for lu in 0..inner.devices.len() {
            let open: Vec<(usize, u64)> = inner
                .held
                .iter()
                .filter(|held| held.io.lu as usize == lu && held.io.operation != CLONE_GROUP_IO_READ)
                .flat_map(|held| {
                    let first = held.io.first_block as usize;
                    held.values
                        .iter()
                        .enumerate()
                        .map(move |(number, &value)| (first + number, value))
                        .collect::<Vec<_>>()
                })
                .collect();
            inner.devices[lu].lose_power(&open, fate);
        }
        let open: Vec<(usize, Vec<u8>)> = inner
            .held
            .iter()
            .filter(|held| held.io.operation == CLONE_GROUP_IO_PERSIST_WRITE)
            .map(|held| (held.io.offset_bytes as usize, held.bytes.clone()))
            .collect();
        inner.area.lose_power(&open, fate);
        trace(|| "power is lost".to_string());
        inner.note(POWER, []);
        inner.tally.power_losses += 1;
        inner.lose_histories();
        inner.held.clear();
        inner.gate_closed_by = None;
        inner.hosts.clear();
        inner.operations_done.clear();
        inner.operations_open = 0;
        inner.finished.clear();
        inner.events.clear();
        inner.metadata_unrepaired = false;
        inner.last_copies.clear();
        inner.unread.clear();
        inner.flush_records.fill(FlushRecord::default());
        inner.flushed_operation = None;
        inner.flush_unheard = false;
        inner.copies_unheard.clear();
        inner.power_fails_at = u64::MAX;
        inner.steps = 0;
    }

    /// After Recovery: every block holds a legal value, and the same one when it is read again (R59).
    pub fn check_lu_after_loss(&self, lu: usize) {
        self.check_lu_after_loss_by(lu, 5);
    }

    /// The same; reads so many blocks at once.
    pub fn check_lu_after_loss_by(&self, lu: usize, chunk: usize) {
        let blocks = self.inner.borrow().profile.blocks;
        for first in (0..blocks).step_by(chunk) {
            self.check_after_loss(lu, first, chunk.min(blocks - first));
        }
    }

    /// The same of some blocks.
    pub fn check_after_loss(&self, lu: usize, first: usize, count: usize) {
        let once = self.read_now(lu, first, count).expect("a read after Recovery");
        let twice = self.read_now(lu, first, count).expect("a read after Recovery");
        assert_eq!(once, twice, "LU {lu} blocks {first}+{count} change without a write (R59)");
        let inner = &mut *self.inner.borrow_mut();
        for (number, &value) in once.iter().enumerate() {
            let block = &mut inner.models[lu][first + number];
            let legal = block.legal_after_loss();
            assert!(
                legal.contains(&value),
                "LU {lu} block {} holds {value:#x} after a power loss, legal are {legal:x?}",
                first + number
            );
            *block = Block::holding(vec![value]);
        }
    }

    /// Recovery may find a restore begun or finished of which no word came before the power loss.
    pub fn after_recovery(&self) {
        let info = self.info();
        let clones = self.inner.borrow().profile.clones;
        for lu in 1..=clones {
            let state = self.clone_info(lu).state;
            self.inner.borrow_mut().state_changed(lu, state);
        }
        let inner = &mut *self.inner.borrow_mut();
        let began = inner.generation != info.restore_generation;
        inner.generation = info.restore_generation;
        inner.reversing = info.reversing_lu as usize;
        inner.copies_begin();
        if inner.reversing != 0 && began {
            inner.restore_began(inner.reversing, info.restore_generation);
        }
        match (&inner.restoring, info.restoring_lu) {
            (None, 0) => {}
            (Some(_), 0) => inner.restoring = None,
            (Some((known, _, generation)), lu)
                if *known == lu as usize && *generation == info.restore_generation => {}
            (_, lu) => inner.restore_began(lu as usize, info.restore_generation),
        }
        inner.follow_validity(&info);
    }
}

impl Inner {
    /// What hosts were doing may have happened or not, and what they saw up to now is checked. What the blocks hold
    /// from now on is one legal value each.
    fn lose_histories(&mut self) {
        (0..self.devices.len()).for_each(|lu| self.end_histories(lu));
        self.models.iter_mut().flatten().for_each(Block::lose_power);
        self.cut = None;
        self.protected.1.fill(false);
    }
}
