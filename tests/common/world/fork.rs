//! A simulated array as it stands at one moment, to lose power there in every way without running again what led to it.

use super::damage::Span;
use super::*;
use crate::common::world::Placed;

/// Everything but the group: media, what is not durable, and what hosts may see.
pub struct Snapshot {
    inner: Inner,
    next_tag: u64,
}

/// What a power loss may take.
#[derive(Default)]
pub struct Loose {
    /// Block writes that are not durable, in an order in which a later version of a block comes later: LU, block, value.
    pub blocks: Vec<(usize, usize, u64)>,
    /// Units of metadata writes that are not durable: offset, content.
    pub units: Vec<(usize, Vec<u8>)>,
}

/// What becomes of a unit that is not durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnitFate {
    Lost,
    Kept,
    /// It holds neither.
    Torn,
    /// As torn, and it cannot be read until it is written.
    Unreadable,
}

/// A mixing function for keys; the same in every run.
#[derive(Clone, Copy)]
pub struct Mix(u64);

impl Mix {
    pub fn new() -> Mix {
        Mix(0x9e37_79b9_7f4a_7c15)
    }

    pub fn add(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * 0xda94_2042_e4dd_58b5_u128;
        self.0 = (product as u64).rotate_left(29)
            ^ (product >> 64) as u64
            ^ word.wrapping_mul(0xff51_afd7_ed55_8ccd);
    }

    pub fn add_bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.add(u64::from_le_bytes(word));
        }
    }

    pub fn finish(self) -> u64 {
        let mut value = self.0;
        value = (value ^ value >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        value = (value ^ value >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        value ^ value >> 33
    }
}

impl Default for Mix {
    fn default() -> Mix {
        Mix::new()
    }
}

impl Inner {
    /// A copy, but for what tests look at only, and for what an array without power does not have.
    fn fork(&self) -> Inner {
        Inner {
            profile: self.profile,
            rng: self.rng.clone(),
            devices: self.devices.clone(),
            area: self.area.clone(),
            held: self
                .held
                .iter()
                .filter(|held| held.io.operation != CLONE_GROUP_IO_READ)
                .map(Held::copy)
                .collect(),
            hosts: BTreeMap::new(),
            models: self.models.clone(),
            operations_done: BTreeMap::new(),
            events: Vec::new(),
            restoring: self.restoring.clone(),
            reversing: self.reversing,
            view: self.view,
            generation: self.generation,
            next_value: self.next_value,
            steps: 0,
            power_fails_at: u64::MAX,
            fault_seen: self.fault_seen,
            metadata_fault_seen: self.metadata_fault_seen,
            lasting: self.lasting.clone(),
            bad_blocks: self.bad_blocks.clone(),
            flushes_failed: 0,
            failed_alone: std::collections::BTreeSet::new(),
            metadata_unrepaired: false,
            last_copies: LastCopies::new(),
            unread: Default::default(),
            written: Default::default(),
            flush_records: vec![FlushRecord::default(); self.devices.len()],
            flushed_operation: None,
            flush_unheard: false,
            copies_unheard: Vec::new(),
            flushes: Vec::new(),
            statuses: Vec::new(),
            failed: Vec::new(),
            finished: Vec::new(),
            submissions: Vec::new(),
            format: self.format,
            members: self.members.clone(),
            usable: self.usable.clone(),
            fracture_values: self.fracture_values.clone(),
            choose: None,
            log: Vec::new(),
            told: Vec::new(),
            missing: self.missing.clone(),
            zeroes: self.zeroes.clone(),
            source_invalid: self.source_invalid,
            mixture: self.mixture.clone(),
            view_content: self.view_content.clone(),
            view_reversing: self.view_reversing,
            habits: self.habits,
            history: History::new(self.devices.len(), self.profile.blocks),
            cut: None,
            digest: 0,
            tally: Tally::default(),
            turn: 0,
            protected: self.protected.clone(),
            gate_closed_by: None,
            boundary: None,
            written_at_once: self.written_at_once,
            rotten: self.rotten.clone(),
            polls: 0,
            polled_from: 0,
            hung: None,
            comparisons: Comparisons::default(),
            damage: self.damage.clone(),
            slips: Slips::default(),
            unknown: None,
            rested: 0,
            operations_open: 0,
            urgent: Urgent::default(),
        }
    }

    /// All that decides what is legal from now on, if power is lost.
    fn oracle(&self, mix: &mut Mix) {
        let mut list = |values: &mut Vec<u64>| {
            values.sort_unstable();
            values.dedup();
            mix.add(values.len() as u64);
            values.iter().for_each(|&value| mix.add(value));
        };
        for (lu, blocks) in self.models.iter().enumerate() {
            if lu > 0 && !self.usable[lu] {
                continue;
            }
            for block in blocks {
                list(&mut block.legal_after_loss());
                list(&mut block.readable());
            }
        }
        self.mixture.iter().chain(&self.fracture_values).for_each(|values| list(&mut values.clone()));
        list(&mut self.members.iter().map(|&lu| lu as u64).collect());
        list(&mut (0..self.usable.len()).filter(|&lu| self.usable[lu]).map(|lu| lu as u64).collect());
        self.view_content.iter().for_each(|&value| mix.add(value));
        if let Some((lu, content, generation)) = &self.restoring {
            mix.add(*lu as u64);
            mix.add(*generation);
            content.iter().for_each(|&value| mix.add(value));
        }
        mix.add(self.reversing as u64);
        mix.add(self.generation);
        mix.add(u64::from(self.view_reversing) << 1 | u64::from(self.source_invalid));
    }
}

impl Held {
    fn copy(&self) -> Held {
        Held {
            io: self.io,
            values: self.values.clone(),
            bytes: self.bytes.clone(),
            sealed: Vec::new(),
            sealed_area: self.sealed_area,
            submitted: self.submitted,
            lost: self.lost,
            poll: 0,
            until: 0,
            end: self.end,
        }
    }
}

impl Snapshot {
    /// What is loose, in the order in which `World::lose_power` asks for it.
    pub fn loose(&self) -> Loose {
        let mut loose = Loose::default();
        for (lu, device) in self.inner.devices.iter().enumerate() {
            loose.blocks.extend(device.loose().map(|(block, value)| (lu, block, value)));
            for held in self.inner.held.iter().filter(|held| held.io.lu as usize == lu) {
                let first = held.io.first_block as usize;
                let values = held.values.iter().enumerate();
                loose.blocks.extend(values.map(|(number, &value)| (lu, first + number, value)));
            }
        }
        let persists =
            self.inner.held.iter().filter(|held| held.io.operation == CLONE_GROUP_IO_PERSIST_WRITE);
        let open = persists.map(|held| (held.io.offset_bytes as usize, &held.bytes));
        for (offset, bytes) in
            self.inner.area.loose().iter().map(|(offset, bytes)| (*offset, bytes)).chain(open)
        {
            for (number, unit) in bytes.chunks(UNIT_BYTES).enumerate() {
                loose.units.push((offset + number * UNIT_BYTES, unit.to_vec()));
            }
        }
        loose
    }

    /// What is surely there: the blocks of each LU, one after the other.
    pub fn durable_blocks(&self) -> Vec<u64> {
        self.inner.devices.iter().flat_map(|device| device.durable().iter().copied()).collect()
    }

    /// The Source and the Clones.
    pub fn lus(&self) -> usize {
        self.inner.devices.len()
    }

    /// What is surely there of the metadata.
    pub fn durable_area(&self) -> &[u8] {
        self.inner.area.durable()
    }

    /// All that decides what is legal after a power loss.
    pub fn oracle(&self) -> u64 {
        let mut mix = Mix::new();
        self.inner.oracle(&mut mix);
        mix.finish()
    }

    /// The array after a power loss, switched off: these of the loose blocks are kept, and the units have these fates.
    pub fn after_loss(&self, blocks: &[bool], units: &[UnitFate]) -> Placed {
        let mut world = Placed::new(World {
            inner: RefCell::new(self.inner.fork()),
            group: Cell::new(std::ptr::null_mut()),
            place: Cell::new(std::ptr::null_mut()),
            workspace: Vec::new(),
            next_tag: Cell::new(self.next_tag),
            reenter: RefCell::new(None),
        });
        let mut fates: Vec<bool> = blocks.to_vec();
        for unit in units {
            match unit {
                UnitFate::Lost => fates.extend([false, false]),
                UnitFate::Kept => fates.push(true),
                UnitFate::Torn | UnitFate::Unreadable => fates.extend([false, true]),
            }
        }
        let unreadable = units.iter().position(|&fate| fate == UnitFate::Unreadable);
        if let Some(at) = unreadable {
            world.inner.get_mut().damage.hide(self.loose().units[at].0, Span::Lasting);
        }
        let mut fates = fates.into_iter();
        world.lose_power(move || fates.next().expect("a fate for everything"));
        world
    }
}

impl World {
    /// As it stands now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { inner: self.inner.borrow().fork(), next_tag: self.next_tag.get() }
    }

    /// Something happened: an I/O was submitted or is over, a request or an operation is done.
    pub fn at_boundary(&self) {
        let Some(mut boundary) = self.inner.borrow_mut().boundary.take() else { return };
        self.catch_up();
        boundary(self);
        self.inner.borrow_mut().boundary = Some(boundary);
    }

    /// Hosts write these values from now on.
    pub fn next_value_is(&self, value: u64) {
        self.inner.borrow_mut().next_value = value;
    }
}
