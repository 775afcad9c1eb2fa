//! The array controller: it holds I/Os, does them in any order, and lets some fail.

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::super::device::{BLOCK_BYTES, Cached};
use super::super::model::Block;
use super::digest::OVER;
use super::trace::{describe, trace};
use super::{Inner, World};

/// What becomes of a single I/O, where a test decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// What the profile says.
    AsProfile,
    /// It is done at once.
    Now,
    /// The controller holds it.
    Hold,
    /// It is done, and its completion is reported before the callback returns.
    Early,
    /// It is to be offered again.
    Retry,
    /// It fails, and nothing happened.
    Fail(i32),
    /// It fails, and a write was done nevertheless; of a flush: the cache is gone.
    FailDone(i32),
    /// The controller holds it, and when it completes it is as with `Fail`.
    FailLater(i32),
    /// The same as with `FailDone`.
    FailDoneLater(i32),
}

/// What the controller does not complete for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hung {
    /// All I/Os of an LU.
    Lu(usize),
    /// All I/Os of hosts.
    Hosts,
}

impl Hung {
    pub(super) fn has(self, io: &clone_group_io) -> bool {
        match self {
            Hung::Lu(lu) => io.lu as usize == lu,
            Hung::Hosts => io.flags & CLONE_GROUP_IO_HOST != 0,
        }
    }
}

/// An I/O that the controller holds.
pub struct Held {
    pub(super) io: clone_group_io,
    /// Values of a write, taken when it was submitted.
    pub(super) values: Vec<u64>,
    pub(super) bytes: Vec<u8>,
    pub(super) sealed: Vec<Cached>,
    pub(super) sealed_area: usize,
    /// When it was submitted, by the clock of the histories.
    pub(super) submitted: u64,
    /// It was in the cache already, and was dropped from there when a flush failed: it completes, and changes nothing.
    pub(super) lost: bool,
    /// It hangs until this turn.
    pub(super) until: u64,
    /// The poll in which it was submitted.
    pub(super) poll: u64,
    /// How it will end, if a test decided that.
    pub(super) end: Choice,
}

/// Decides about an I/O when it is submitted.
pub type Chooser = Box<dyn FnMut(&clone_group_io) -> Choice>;

impl World {
    pub fn held(&self) -> usize {
        self.inner.borrow().held.len()
    }

    /// The operation of the only I/O that is held.
    pub fn only_held(&self) -> Option<u32> {
        match &self.inner.borrow().held[..] {
            [held] => Some(held.io.operation),
            _ => None,
        }
    }

    /// Completes up to so many held I/Os, in any order.
    pub fn complete_some(&self, most: usize) {
        self.inner.borrow_mut().turn += 1;
        for _ in 0..most {
            let (io, status) = {
                let inner = &mut *self.inner.borrow_mut();
                if inner.steps >= inner.power_fails_at {
                    return;
                }
                let Some(at) = inner.any_held() else { return };
                let held = inner.held.swap_remove(at);
                (held.io, inner.perform(&held))
            };
            self.at_boundary();
            // SAFETY: a live group.
            assert_eq!(unsafe { clone_group_io_complete(self.group(), io.id, status) }, CLONE_GROUP_OK);
            self.completed(io.id);
            if self.inner.borrow().flush_unheard {
                self.poll(64);
            }
        }
    }

    /// Completes the held I/Os that the test names, in the order of their submission. Returns how many.
    pub fn complete_chosen(&self, how: Choice, which: impl Fn(&clone_group_io) -> bool) -> usize {
        let chosen: Vec<u64> = self
            .inner
            .borrow()
            .held
            .iter()
            .map(|held| held.io)
            .filter(|io| which(io))
            .map(|io| io.id)
            .collect();
        for &id in &chosen {
            let status = {
                let inner = &mut *self.inner.borrow_mut();
                let at = inner.held.iter().position(|held| held.io.id == id).expect("it is held");
                let held = inner.held.remove(at);
                inner.perform_choice(&held, how)
            };
            // SAFETY: a live group.
            assert_eq!(unsafe { clone_group_io_complete(self.group(), id, status) }, CLONE_GROUP_OK);
        }
        chosen.len()
    }

    /// How many held I/Os are such.
    pub fn holds(&self, which: impl Fn(&clone_group_io) -> bool) -> usize {
        self.inner.borrow().held.iter().filter(|held| which(&held.io)).count()
    }

    /// How many submitted I/Os were such.
    pub fn logged(&self, which: impl Fn(&clone_group_io) -> bool) -> usize {
        self.inner.borrow().log.iter().filter(|io| which(io)).count()
    }

    /// From now on the test decides about single I/Os.
    pub fn choose(&self, choose: impl FnMut(&clone_group_io) -> Choice + 'static) {
        self.inner.borrow_mut().choose = Some(Box::new(choose));
    }

    /// Every I/O goes its way again.
    pub fn choose_nothing(&self) {
        self.inner.borrow_mut().choose = None;
    }

    /// How many I/Os that satisfy the test the controller holds.
    pub fn held_where(&self, test: impl Fn(&clone_group_io) -> bool) -> usize {
        self.inner.borrow().held.iter().filter(|held| test(&held.io)).count()
    }

    /// Completes the held I/Os that satisfy the test; returns how many there were.
    pub fn complete_where(&self, test: impl Fn(&clone_group_io) -> bool) -> usize {
        self.end_where(test, Inner::perform)
    }

    /// Fails them: a write leaves nothing, and a flush drops what it should have written.
    pub fn fail_where(&self, test: impl Fn(&clone_group_io) -> bool) -> usize {
        self.end_where(test, |inner, held| {
            inner.steps += 1;
            if held.io.operation == CLONE_GROUP_IO_FLUSH {
                inner.drop_cached(held.io.lu as usize);
            }
            inner.note_end(&held.io, -5);
            -5
        })
    }

    fn end_where(
        &self,
        test: impl Fn(&clone_group_io) -> bool,
        end: impl Fn(&mut Inner, &Held) -> i32,
    ) -> usize {
        for ended in 0.. {
            let over = {
                let inner = &mut *self.inner.borrow_mut();
                let at = inner.held.iter().position(|held| test(&held.io));
                at.map(|at| {
                    let held = inner.held.remove(at);
                    (held.io.id, end(inner, &held))
                })
            };
            let Some((id, status)) = over else { return ended };
            // SAFETY: a live group.
            assert_eq!(unsafe { clone_group_io_complete(self.group(), id, status) }, CLONE_GROUP_OK);
        }
        0
    }
}

impl Inner {
    /// One of the I/Os that are held and do not hang.
    fn any_held(&mut self) -> Option<usize> {
        let (turn, hung) = (self.turn, self.hung);
        let is_ready = |held: &Held| held.until <= turn && !hung.is_some_and(|hung| hung.has(&held.io));
        let ready = self.held.iter().filter(|held| is_ready(held)).count();
        if ready == 0 {
            return None;
        }
        let number = self.rng.usize(..ready);
        self.held.iter().enumerate().filter(|(_, held)| is_ready(held)).nth(number).map(|(at, _)| at)
    }

    /// A block that an engine of the library reads or writes just now.
    pub fn any_at_work(&self, rng: &mut fastrand::Rng) -> Option<usize> {
        let at_work = |io: &&clone_group_io| io.flags & CLONE_GROUP_IO_HOST == 0 && io.block_count > 0;
        let ios: Vec<&clone_group_io> = self.held.iter().map(|held| &held.io).filter(at_work).collect();
        let io = ios.get(rng.usize(..ios.len().max(1)))?;
        Some((io.first_block + rng.u64(..io.block_count)) as usize)
    }

    /// Nothing hangs any more.
    pub fn nothing_hangs(&mut self) {
        self.habits.hangs = 0;
        self.habits.slow = 0;
        self.held.iter_mut().for_each(|held| held.until = 0);
    }

    /// Does what the I/O asks for; returns its status.
    pub(super) fn perform(&mut self, held: &Held) -> i32 {
        let status = self.perform_unnoted(held);
        self.compare_ends(&held.io);
        self.note_end(&held.io, status);
        self.note_io(OVER, &held.io, status);
        self.tally.faults += u64::from(status < 0);
        if status < 0 && held.io.operation == CLONE_GROUP_IO_PERSIST_WRITE {
            self.write_failed(held);
        }
        self.reported(status)
    }

    /// Whether the LU declares that discarded blocks read as zeroes.
    pub(super) fn reads_zeroes(&self, lu: usize) -> bool {
        self.profile.discard_zeroes || self.zeroes.contains(&lu)
    }

    /// Does what a test chose; returns the status of the I/O.
    pub(super) fn perform_choice(&mut self, held: &Held, how: Choice) -> i32 {
        let (Choice::Fail(status) | Choice::FailDone(status)) = how else {
            return self.perform(held);
        };
        self.fail_as(held, how, status);
        self.note_end(&held.io, status);
        status
    }

    fn fail_as(&mut self, held: &Held, how: Choice, status: i32) {
        let lu = held.io.lu as usize;
        self.fault_seen = true;
        match held.io.operation {
            _ if how == Choice::Fail(status) => {}
            CLONE_GROUP_IO_PERSIST_WRITE => self.area.write(held.io.offset_bytes as usize, &held.bytes),
            CLONE_GROUP_IO_FLUSH => self.drop_cached(lu),
            _ if !held.values.is_empty() => {
                self.devices[lu].write(held.io.first_block as usize, &held.values, false);
            }
            _ => {}
        }
    }

    pub fn chance(&mut self, of_65536: u32) -> bool {
        self.rng.u32(..65536) < of_65536
    }

    pub(super) fn is_metadata(io: &clone_group_io) -> bool {
        io.lu == CLONE_GROUP_LU_NONE
    }

    fn perform_unnoted(&mut self, held: &Held) -> i32 {
        self.steps += 1;
        trace(|| format!("over   {}", describe(&held.io)));
        match held.end {
            Choice::FailLater(status) => {
                self.fail_as(held, Choice::Fail(status), status);
                return status;
            }
            Choice::FailDoneLater(status) => {
                self.fail_as(held, Choice::FailDone(status), status);
                return status;
            }
            _ => {}
        }
        let io = &held.io;
        if Inner::is_metadata(io) {
            return self.perform_metadata(held);
        }
        let (lu, first, count) = (io.lu as usize, io.first_block as usize, io.block_count as usize);
        if self.chance(self.profile.faults) || self.fails_lastingly(io) {
            return self.perform_failure(held);
        }
        let fua = io.flags & CLONE_GROUP_IO_FUA != 0;
        if self.reads_bad_block(io) {
            return -5;
        }
        match io.operation {
            _ if held.lost => {}
            CLONE_GROUP_IO_READ => {
                let values = self.devices[lu].now[first..first + count].to_vec();
                store(io, &values);
            }
            CLONE_GROUP_IO_FLUSH => {
                self.devices[lu].flush(&held.sealed);
                self.flush_is_over(lu, held.submitted);
            }
            CLONE_GROUP_IO_DISCARD if !self.reads_zeroes(lu) => self.discard(held),
            _ => {
                self.devices[lu].write(first, &held.values, fua);
                self.heal_blocks(lu, first..first + count);
            }
        }
        CLONE_GROUP_OK
    }

    /// An LU that declares nothing keeps what is discarded, or zeroes it, or some of it, as it likes (R65).
    fn discard(&mut self, held: &Held) {
        let zeroed = [0, 128, 256][self.rng.usize(..3)];
        let (lu, first) = (held.io.lu as usize, held.io.first_block as usize);
        let fua = held.io.flags & CLONE_GROUP_IO_FUA != 0;
        for (number, &zero) in held.values.iter().enumerate() {
            if self.rng.u32(..256) < zeroed {
                self.devices[lu].write(first + number, &[zero], fua);
            }
        }
    }

    /// A failed write leaves the old or the new in each block; a failed flush may have dropped what it should have
    /// written (R24).
    fn perform_failure(&mut self, held: &Held) -> i32 {
        let (lu, first) = (held.io.lu as usize, held.io.first_block as usize);
        for (number, &value) in held.values.iter().enumerate() {
            if self.rng.bool() {
                self.devices[lu].write(first + number, &[value], false);
            }
        }
        if held.io.operation == CLONE_GROUP_IO_FLUSH {
            self.perform_failed_flush(lu);
        }
        -5
    }

    /// It may leave all as it was, drop what it should have written, or lose that and return it still.
    fn perform_failed_flush(&mut self, lu: usize) {
        match self.rng.usize(..3) {
            0 => return,
            1 => self.devices[lu].drop_cached(),
            _ => self.count_as_clean(lu),
        }
        // Writes under way may be in the cache already, and lost with it (N8).
        let Inner { held, rng, .. } = self;
        let cached = |held: &&mut Held| held.io.lu as usize == lu && held.io.flags & CLONE_GROUP_IO_FUA == 0;
        held.iter_mut()
            .filter(cached)
            .filter(|held| !held.values.is_empty())
            .for_each(|held| held.lost |= rng.bool());
        self.cache_was_lost(lu);
    }

    /// What the library writes there again before it counts on it may stay readable without being durable (N13): copies
    /// onto the Source, and all that a Clone or the Source gets beside the LU whose content counts.
    fn count_as_clean(&mut self, lu: usize) {
        let Inner { devices, restoring, view_content, usable, reversing, .. } = self;
        let follows = if lu == 0 { *reversing != 0 } else { !usable[lu] && *reversing != lu };
        let copied = lu == 0 && restoring.is_some();
        devices[lu].count_as_clean(|block, value| follows || copied && view_content[block] == value);
    }

    /// A flush failed, and what it should have written is lost: hosts may see what was there before.
    pub(super) fn drop_cached(&mut self, lu: usize) {
        self.devices[lu].drop_cached();
        self.cache_was_lost(lu);
    }

    fn cache_was_lost(&mut self, lu: usize) {
        // In a Reverse Synchronization the Clone has what hosts see on the Source (R41).
        let lu = match self.reversing {
            0 => lu,
            _ if lu == 0 => return,
            reversing if reversing == lu => 0,
            _ => lu,
        };
        // What was acknowledged may be gone: another history begins.
        self.end_histories(lu);
        self.models[lu].iter_mut().for_each(Block::lose_cached);
        if lu == 0 {
            // So may what a Clone has that is being fractured.
            for (values, block) in self.fracture_values.iter_mut().zip(&self.models[0]) {
                add_new(values, block.readable());
            }
        }
        let readers = self.hosts.values_mut().filter(|op| op.lu == lu && op.operation == CLONE_GROUP_IO_READ);
        for read in readers {
            for (number, legal) in read.readable.iter_mut().enumerate() {
                add_new(legal, self.models[lu][read.first + number].readable());
            }
        }
    }

    pub(super) fn perform_metadata(&mut self, held: &Held) -> i32 {
        let io = &held.io;
        let (offset, length) = (io.offset_bytes as usize, io.length_bytes as usize);
        let failed = io.operation == CLONE_GROUP_IO_PERSIST_WRITE
            && self.chance(self.profile.metadata_faults)
            || self.fails_lastingly(io);
        if failed {
            self.perform_metadata_failure(held);
            return -5;
        }
        let bytes = offset..offset + length;
        match io.operation {
            CLONE_GROUP_IO_PERSIST_READ if self.damage.touches(&bytes) => return -5,
            _ if held.lost => {}
            CLONE_GROUP_IO_PERSIST_READ => {
                // SAFETY: the library's buffer of this length, valid until the I/O is over.
                unsafe {
                    let to = std::slice::from_raw_parts_mut(io.buffer.cast::<u8>(), length);
                    to.copy_from_slice(&self.area.now[offset..offset + length]);
                }
            }
            CLONE_GROUP_IO_PERSIST_WRITE => {
                // SAFETY: as above. The image must not change while it is being written (R28).
                let now = unsafe { std::slice::from_raw_parts(io.buffer.cast::<u8>(), length) };
                assert_eq!(now, &held.bytes[..], "a metadata image changed under the write (R28)");
                self.area.write(offset, &held.bytes);
                self.damage.written(&bytes);
            }
            _ => self.area.flush(held.sealed_area),
        }
        CLONE_GROUP_OK
    }
}

impl Inner {
    /// A write may have been done nevertheless; a flush may have lost what it should have written, and what is being
    /// written (N8).
    fn perform_metadata_failure(&mut self, held: &Held) {
        if self.rng.bool() {
            return;
        }
        if held.io.operation == CLONE_GROUP_IO_PERSIST_WRITE {
            return self.area.write(held.io.offset_bytes as usize, &held.bytes);
        }
        self.area.drop_cached();
        let Inner { held, rng, .. } = self;
        held.iter_mut().filter(|held| !held.bytes.is_empty()).for_each(|held| held.lost |= rng.bool());
    }
}

/// Puts what was read where the I/O says: a host's payload has one number a block, a copy buffer has blocks.
fn store(io: &clone_group_io, values: &[u64]) {
    for (number, &value) in values.iter().enumerate() {
        // SAFETY: the payload has a number for each block; the buffer has room for the blocks of the I/O.
        unsafe {
            if io.flags & CLONE_GROUP_IO_HOST != 0 {
                io.payload.cast::<u64>().add(number).write(value);
            } else {
                io.buffer.cast::<u8>().add(number * BLOCK_BYTES).cast::<u64>().write_unaligned(value);
            }
        }
    }
}

pub(super) fn fetch(io: &clone_group_io) -> Vec<u64> {
    let one = |number: usize| {
        // SAFETY: as in `store`.
        unsafe {
            if io.flags & CLONE_GROUP_IO_HOST != 0 {
                io.payload.cast::<u64>().add(number).read()
            } else {
                io.buffer.cast::<u8>().add(number * BLOCK_BYTES).cast::<u64>().read_unaligned()
            }
        }
    };
    (0..io.block_count as usize).map(one).collect()
}

/// However often the same is lost, a value is legal once.
fn add_new(legal: &mut Vec<u64>, values: Vec<u64>) {
    for value in values {
        if !legal.contains(&value) {
            legal.push(value);
        }
    }
}
