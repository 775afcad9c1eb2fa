//! Which LU hosts see as the Source, and which Clones are points in time.

use ::clone_group::ffi::types::*;

use super::super::model::Block;
use super::{Inner, World};

impl World {
    /// The view may have changed already though the event that says so is still on its way.
    pub(super) fn catch_up(&self) {
        let info = self.info();
        if matches!(info.state, CLONE_GROUP_STATE_NEW | CLONE_GROUP_STATE_STARTING) {
            // Whatever a start has read is not so before it is over.
            return;
        }
        let inner = &mut *self.inner.borrow_mut();
        inner.reversing = info.reversing_lu as usize;
        let from = info.restoring_lu.max(info.reversing_lu);
        if from != 0 && info.restore_generation != inner.generation {
            inner.generation = info.restore_generation;
            inner.restore_began(from as usize, info.restore_generation);
        }
        inner.follow_validity(&info);
    }
}

impl Inner {
    /// The state of a Clone changed.
    pub fn state_changed(&mut self, lu: usize, state: u32) {
        self.members.retain(|&member| member != lu);
        if state != CLONE_GROUP_CLONE_ABSENT {
            self.members.push(lu);
        }
        match state {
            CLONE_GROUP_CLONE_FRACTURED if !self.usable[lu] => self.adopt(lu),
            CLONE_GROUP_CLONE_FRACTURED | CLONE_GROUP_CLONE_RESTORING => {}
            _ => {
                self.usable[lu] = false;
                // No host has anything on it: nobody is to hear of what it lost.
                if self.reversing != lu {
                    self.flush_records[lu].owed = None;
                }
                self.end_histories(lu);
            }
        }
    }

    /// A Clone became a point in time (R55): hosts use it from now on.
    fn adopt(&mut self, lu: usize) {
        let content = self.devices[lu].now.clone();
        for (block, value) in content.iter().enumerate() {
            let legal = &self.fracture_values[block];
            assert!(
                legal.contains(value),
                "fractured LU {lu} block {block} holds {value:#x}, legal {legal:x?} (R55)"
            );
        }
        self.record_cut(&content);
        self.end_histories(lu);
        self.models[lu] = content.iter().map(|&value| Block::holding(vec![value])).collect();
        self.usable[lu] = true;
    }

    /// A fracture, or a restore that brings one about, is asked for.
    pub fn note_fracture(&mut self) {
        self.fracture_values = self.models[0].iter().map(Block::readable).collect();
        self.cut = Some((self.history.tick(), self.history.epoch(0)));
    }

    /// What a Fracture found is what a host might have read, some time since it was asked for (R55).
    fn record_cut(&mut self, content: &[u64]) {
        let Some((start, _)) = self.cut.filter(|&(_, epoch)| epoch == self.history.epoch(0)) else { return };
        let end = self.history.tick();
        self.history.record_if_touched(0, content, start, end);
    }

    /// The Source may have become invalid, or have been accepted.
    pub(super) fn follow_validity(&mut self, info: &clone_group_info) {
        let invalid = info.conditions & CLONE_GROUP_CONDITION_SOURCE_INVALID != 0;
        if self.source_invalid && !invalid && info.restoring_lu == 0 && info.reversing_lu == 0 {
            self.source_accepted();
        }
        if invalid && !self.source_invalid {
            // Who accepts it later flushes it, which does not bring back what was lost before (R24).
            self.devices[0].evict();
        }
        self.source_invalid = invalid;
    }

    /// Hosts are served what a canceled restore left (R38): what they wrote in it, and elsewhere the Clone's data or
    /// what was there before.
    fn source_accepted(&mut self) {
        for block in 0..self.profile.blocks {
            let model = &self.models[0][block];
            let value = self.devices[0].now[block];
            let mut legal = model.readable();
            legal.extend(model.legal_after_loss());
            if legal.contains(&self.view_content[block]) {
                legal.extend(&self.mixture[block]);
            }
            // Of a Reverse Synchronization the Source may lack whatever failed there, or was lost from its cache only.
            assert!(
                self.view_reversing || legal.contains(&value),
                "block {block} of the accepted Source holds {value:#x}, legal {legal:x?}"
            );
        }
        self.view += 1;
        self.end_histories(0);
        self.models[0] = self.devices[0].now.iter().map(|&value| Block::holding(vec![value])).collect();
        self.mixture.iter_mut().for_each(Vec::clear);
        self.view_reversing = false;
    }

    /// A restore began: hosts see the Clone on the Source.
    pub fn restore_began(&mut self, lu: usize, generation: u64) {
        let content = self.devices[lu].now.clone();
        for (older, block) in self.mixture.iter_mut().zip(&self.models[0]) {
            older.extend(block.readable());
            older.extend(block.legal_after_loss());
            older.sort_unstable();
            older.dedup();
        }
        self.view_content.clone_from(&content);
        self.view_reversing |= self.reversing == lu;
        self.copies_begin();
        // What the Source lost before is nobody's loss any more.
        if self.reversing == lu {
            self.flush_records[0].owed = None;
        }
        self.view += 1;
        self.end_histories(0);
        self.models[0] = content.iter().map(|&value| Block::holding(vec![value])).collect();
        // Requests that were held across the start see the new view as well.
        let view = self.view;
        let models = &mut self.models;
        for op in self.hosts.values_mut().filter(|op| op.lu == 0) {
            op.view = view;
            op.epoch = self.history.epoch(0);
            let blocks = op.first..op.first + op.count;
            match op.operation {
                CLONE_GROUP_IO_READ => {
                    for (legal, block) in op.readable.iter_mut().zip(&models[0][blocks]) {
                        legal.extend(block.readable());
                    }
                }
                CLONE_GROUP_IO_FLUSH => op.sealed = models[0].iter().map(Block::seal).collect(),
                _ => op.each_value(|at, value| models[0][at].begin(value)),
            }
        }
        self.restoring = (self.reversing != lu).then_some((lu, content, generation));
    }
}
