//! Hosts: their requests, and what becomes of them.

use std::ffi::c_void;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::super::history::Op;
use super::super::model::Block;
use super::callbacks::no_violation;
use super::digest::{DONE, HOST};
use super::trace::trace;
use super::{Excuse, Inner, Profile, World};

#[derive(Clone, Debug)]
pub struct HostOp {
    pub operation: u32,
    pub lu: usize,
    pub first: usize,
    pub count: usize,
    pub fua: bool,
    pub(super) payload: Vec<u64>,
    pub(super) value: u64,
    /// Reads: what each block may return. Flushes: what is covered.
    pub(super) readable: Vec<Vec<u64>>,
    pub(super) sealed: Vec<usize>,
    /// Reads of a flip of the view: the generation at the beginning.
    pub(super) view: u64,
    /// When it began, and in which history of the LU.
    pub(super) started: u64,
    /// Writes: the LUs that it went to, and Clones to which its extents were being copied.
    pub(super) legs: Vec<usize>,
    pub(super) legs_needed: Vec<usize>,
    /// Writes to the same LU that came later and are over.
    pub(super) overtaken: usize,
    pub(super) epoch: u64,
    /// The superblock whose result was unknown when it was sent (R33).
    pub(super) unknown: Option<u64>,
    /// The poll behind which it was sent, if not inside of one.
    pub(super) behind_poll: Option<u64>,
    pub(super) excuse: Excuse,
}

impl HostOp {
    pub fn changes_blocks(&self) -> bool {
        self.operation != CLONE_GROUP_IO_READ && self.operation != CLONE_GROUP_IO_FLUSH
    }

    /// What it writes to the block: no other write has this value, but for zeroes.
    pub(super) fn value_at(&self, block: usize) -> u64 {
        value_at(self.value, block)
    }

    /// A write to this LU that no LU was asked for yet.
    fn waits_to_write(&self, lu: usize) -> bool {
        self.lu == lu && self.operation == CLONE_GROUP_IO_WRITE && self.legs.is_empty()
    }

    /// Everything that it may write to the block: a payload that is not stable has another value, too (R51).
    pub(super) fn values_at(&self, block: usize) -> impl Iterator<Item = u64> {
        let value = self.value_at(block);
        std::iter::once(value).chain((value & UNSTABLE != 0).then_some(value ^ CHANGED))
    }

    /// Everything that it may write, block by block.
    pub(super) fn each_value(&self, mut act: impl FnMut(usize, u64)) {
        self.blocks().for_each(|block| self.values_at(block).for_each(|value| act(block, value)));
    }

    fn blocks(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.count
    }

    pub(super) fn extents(&self, profile: &Profile) -> std::ops::Range<usize> {
        self.first / profile.extent_blocks..(self.first + self.count).div_ceil(profile.extent_blocks)
    }
}

/// The number of the block is in the value, so that what lands in the wrong place is seen.
fn value_at(value: u64, block: usize) -> u64 {
    if value == 0 { 0 } else { value | block as u64 }
}

/// Later writes that may be over before one, besides those in the time of exclusive copies (R46).
const OVERTAKEN_MAX: usize = 100;

/// Values of writes are as far apart.
const VALUE_STEP: u64 = 1 << 20;

/// In the values of writes whose host changes the payload, and in those that it changes them to.
const UNSTABLE: u64 = 1 << 62;
const CHANGED: u64 = 1 << 63;

/// The host changes a payload that it did not promise to keep, block by block.
pub(super) fn change_payload(io: &clone_group_io, mut changes: impl FnMut() -> bool) {
    for number in 0..io.block_count as usize {
        // SAFETY: the payload of a host write has a number for each block, and lives until the request is done.
        unsafe {
            let value = io.payload.cast::<u64>().add(number);
            if *value & UNSTABLE != 0 && changes() {
                *value ^= CHANGED;
            }
        }
    }
}

impl World {
    /// Submits a host request. Returns its status if it is over or refused.
    pub fn host(
        &self,
        operation: u32,
        lu: usize,
        first: usize,
        count: usize,
        fua: bool,
    ) -> (u64, Option<i32>) {
        self.host_with(operation, lu, first, count, if fua { CLONE_GROUP_HOST_FUA } else { 0 })
    }

    /// The same with flags.
    pub fn host_with(
        &self,
        operation: u32,
        lu: usize,
        first: usize,
        count: usize,
        flags: u32,
    ) -> (u64, Option<i32>) {
        let tag = self.tag();
        self.catch_up();
        let unknown = self.unknown_superblock();
        let (payload, value) = {
            let inner = &mut *self.inner.borrow_mut();
            inner.next_value += VALUE_STEP;
            inner.tally.host_ios += 1;
            let started = inner.history.tick();
            let words = [tag, u64::from(operation), lu as u64, first as u64, count as u64, u64::from(flags)];
            inner.note(HOST, words);
            let value = match operation {
                CLONE_GROUP_IO_WRITE if flags & CLONE_GROUP_HOST_UNSTABLE != 0 => inner.next_value | UNSTABLE,
                CLONE_GROUP_IO_WRITE => inner.next_value,
                _ => 0,
            };
            let mut op = HostOp {
                operation,
                lu,
                first,
                count,
                fua: flags & CLONE_GROUP_HOST_FUA != 0,
                payload: (first..first + count).map(|block| value_at(value, block)).collect(),
                value,
                readable: Vec::new(),
                sealed: Vec::new(),
                view: inner.view,
                started,
                legs: Vec::new(),
                legs_needed: Vec::new(),
                overtaken: 0,
                epoch: inner.history.epoch(lu),
                unknown,
                behind_poll: inner.behind_poll(),
                excuse: Excuse::default(),
            };
            op.excuse = inner.excuse(&op);
            let blocks = &mut inner.models[lu];
            match operation {
                CLONE_GROUP_IO_READ => {
                    op.readable = blocks[first..first + count].iter().map(Block::readable).collect();
                }
                CLONE_GROUP_IO_FLUSH => op.sealed = blocks.iter().map(Block::seal).collect(),
                _ => op.each_value(|block, value| blocks[block].begin(value)),
            }
            if op.changes_blocks() {
                if lu == 0 {
                    op.each_value(|block, value| inner.fracture_values[block].push(value));
                }
                for read in inner
                    .hosts
                    .values_mut()
                    .filter(|read| read.operation == CLONE_GROUP_IO_READ && read.lu == lu)
                {
                    for block in first.max(read.first)..(first + count).min(read.first + read.count) {
                        read.readable[block - read.first].extend(op.values_at(block));
                    }
                }
            }
            let payload: *mut c_void = op.payload.as_mut_ptr().cast();
            inner.hosts.insert(tag, op);
            inner.note_written_at_once();
            (payload, value)
        };
        trace(|| {
            format!(
                "host   {tag} operation {operation} LU {lu} blocks {first}..{} value {value:x}",
                first + count
            )
        });
        let (group, lu32, first64, count64) = (self.group(), lu as u32, first as u64, count as u64);
        // SAFETY: a live group; the payload lives in `hosts` until the request is done.
        let status = unsafe {
            match operation {
                CLONE_GROUP_IO_READ => {
                    clone_group_host_read(group, lu32, first64, count64, payload, flags, tag)
                }
                CLONE_GROUP_IO_WRITE => {
                    clone_group_host_write(group, lu32, first64, count64, payload, flags, tag)
                }
                CLONE_GROUP_IO_FLUSH => clone_group_host_flush(group, lu32, tag),
                CLONE_GROUP_IO_DISCARD => clone_group_host_discard(group, lu32, first64, count64, flags, tag),
                _ => clone_group_host_write_zeroes(group, lu32, first64, count64, flags, tag),
            }
        };
        if no_violation(status) == CLONE_GROUP_PENDING {
            return (tag, None);
        }
        self.host_over(tag, status);
        (tag, Some(status))
    }

    /// Reads blocks and waits; returns what was read.
    pub fn read_now(&self, lu: usize, first: usize, count: usize) -> Result<Vec<u64>, i32> {
        let mut values = vec![0_u64; count];
        let tag = self.tag();
        let payload = values.as_mut_ptr().cast();
        // SAFETY: the payload lives until the request is done, which is waited for.
        let mut status = unsafe {
            clone_group_host_read(self.group(), lu as u32, first as u64, count as u64, payload, 0, tag)
        };
        for _ in 0..100_000 {
            if status != CLONE_GROUP_PENDING {
                break;
            }
            self.poll(4);
            self.complete_some(2);
            let inner = &mut *self.inner.borrow_mut();
            if let Some(at) = inner.finished.iter().position(|&(finished, _)| finished == tag) {
                status = inner.finished.swap_remove(at).1;
            }
        }
        assert_ne!(status, CLONE_GROUP_PENDING, "a read of LU {lu} does not end");
        if status == CLONE_GROUP_OK { Ok(values) } else { Err(status) }
    }

    pub fn hosts_open(&self) -> usize {
        self.inner.borrow().hosts.len()
    }

    /// How a host request ended, if it did.
    pub fn ended(&self, tag: u64) -> Option<bool> {
        let inner = self.inner.borrow();
        if inner.hosts.contains_key(&tag) { None } else { Some(!inner.failed.contains(&tag)) }
    }
}

impl World {
    /// A request is over, one way or the other.
    pub(super) fn host_over(&self, tag: u64, status: i32) {
        self.check_completed_write(tag, status);
        self.check_known(tag, status);
        self.check_failed_read(tag, status);
        self.check_host_flush(tag, status);
        self.inner.borrow_mut().host_done(tag, status);
    }
}

impl Inner {
    /// How many extents are hosts writing?
    fn note_written_at_once(&mut self) {
        let extents = |op: &HostOp| op.extents(&self.profile).len();
        let now: usize = self.hosts.values().filter(|op| op.changes_blocks()).map(extents).sum();
        self.written_at_once = self.written_at_once.max(now as u64);
    }

    /// A write is over: it went to all Clones that it had to reach (R49), and no older one waits for ever while later ones
    /// go out, where nothing hangs (I7).
    fn check_way(&mut self, tag: u64, op: &HostOp) {
        let left_out = op.legs_needed.iter().find(|lu| !self.fault_seen && !op.legs.contains(lu));
        assert_eq!(left_out, None, "a write left a Clone out to which its extents were being copied (R49)");
        let hangs = self.habits.hangs > 0 || self.hung.is_some();
        let pieces = self.profile.extent_blocks.div_ceil(self.profile.copy_blocks as usize);
        let most = OVERTAKEN_MAX + 40 * pieces * self.profile.clones;
        for (_, older) in self.hosts.range_mut(..tag).filter(|(_, older)| older.waits_to_write(op.lu)) {
            older.overtaken += 1;
            assert!(hangs || older.overtaken < most, "a write is overtaken again and again (I7, R78)");
        }
    }

    /// What the last write that was submitted wrote to the block.
    pub fn last_value(&self, block: usize) -> u64 {
        value_at(self.next_value, block)
    }

    /// A write becomes part of the history of each of its blocks.
    pub(super) fn record_write(&mut self, op: &HostOp, end: u64, certain: bool) {
        op.each_value(|block, value| {
            // Of two values nobody knows which one was written.
            let certain = certain && value & UNSTABLE == 0;
            let model = &self.models[op.lu][block];
            let done = Op { certain, ..Op::write(value, op.started, end) };
            self.history.record(op.lu, block, done, || model.settled());
        });
    }

    /// The histories of the LU end here. Writes that are under way may have happened already.
    pub(super) fn end_histories(&mut self, lu: usize) {
        let hosts = std::mem::take(&mut self.hosts);
        for op in hosts.values().filter(|op| op.lu == lu && op.changes_blocks()) {
            self.record_write(op, u64::MAX, false);
        }
        self.hosts = hosts;
        self.history.end(lu);
    }

    fn record_read(&mut self, op: &HostOp, end: u64) {
        for (block, &value) in op.blocks().zip(&op.payload) {
            let model = &self.models[op.lu][block];
            self.history.record(op.lu, block, Op::read(value, op.started, end), || model.settled());
        }
    }

    /// A discard that nobody can rely on (R65).
    fn is_hint(&self, op: &HostOp) -> bool {
        op.operation == CLONE_GROUP_IO_DISCARD && !self.reads_zeroes(op.lu)
    }

    fn record(&mut self, op: &HostOp, status: i32) {
        let end = self.history.tick();
        // A loss came between: the new history knows what it left, and this one may be part of it, or not.
        let whole = op.epoch == self.history.epoch(op.lu);
        match op.operation {
            CLONE_GROUP_IO_FLUSH => {}
            CLONE_GROUP_IO_READ if whole && status == CLONE_GROUP_OK && self.is_served(op.lu) => {
                self.record_read(op, end);
                for (block, &value) in op.blocks().zip(&op.payload) {
                    self.models[op.lu][block].see(value);
                }
            }
            CLONE_GROUP_IO_READ => {}
            _ if is_refusal(status) => {}
            _ => {
                let certain = whole && status == CLONE_GROUP_OK && !self.is_hint(op);
                self.record_write(op, end, certain);
            }
        }
    }

    /// Whether what hosts read of the LU means anything.
    fn is_served(&self, lu: usize) -> bool {
        lu == 0 || self.usable[lu] && lu != self.reversing
    }

    /// A request is over: does the model agree?
    pub(super) fn host_done(&mut self, tag: u64, status: i32) {
        trace(|| format!("done   {tag} status {status}"));
        let Some(op) = self.hosts.remove(&tag) else {
            self.finished.push((tag, status));
            return;
        };
        if op.operation == CLONE_GROUP_IO_FLUSH {
            self.flushes.push((tag, status));
        }
        self.note(DONE, [tag, i64::from(status) as u64]);
        self.note(DONE, op.payload.iter().copied());
        self.record(&op, status);
        self.waits_no_more(&op);
        self.statuses.push((tag, status));
        if status < CLONE_GROUP_OK {
            self.failed.push(tag);
        }
        if op.changes_blocks() && status == CLONE_GROUP_OK {
            self.check_way(tag, &op);
        }
        let durable = op.fua || self.profile.host_durable || !self.profile.volatile;
        let hint = self.is_hint(&op);
        let models = &mut self.models[op.lu];
        match op.operation {
            CLONE_GROUP_IO_READ if status == CLONE_GROUP_OK => self.check_read(&op),
            CLONE_GROUP_IO_READ => assert!(self.excused(&op, status), "a read failed with {status}"),
            CLONE_GROUP_IO_FLUSH if status == CLONE_GROUP_OK => {
                for (block, &sealed) in models.iter_mut().zip(&op.sealed) {
                    if op.view == self.view || op.lu != 0 {
                        block.flush(sealed);
                    }
                }
            }
            CLONE_GROUP_IO_FLUSH => {
                assert!(self.excused(&op, status), "a flush failed with {status}");
                if !is_refusal(status) {
                    self.host_flush_failed(op.lu);
                }
            }
            _ if is_refusal(status) => op.each_value(|at, value| models[at].refuse(value)),
            _ if hint => op.each_value(|at, value| models[at].fail(value)),
            _ if status == CLONE_GROUP_OK => {
                assert!(
                    !op.excuse.lost,
                    "a flush failed beside a write, which may be lost, and it is done (N8)"
                );
                op.each_value(|at, value| models[at].acknowledge(value, durable));
            }
            _ => {
                op.each_value(|at, value| models[at].fail(value));
                assert!(self.excused(&op, status), "a write failed with {status}");
            }
        }
    }

    /// Whether a request may fail so.
    fn excused(&self, op: &HostOp, status: i32) -> bool {
        let flush = op.operation == CLONE_GROUP_IO_FLUSH && self.fault_seen;
        is_refusal(status)
            || (op.excuse.own || op.excuse.flush || op.excuse.copy || flush)
                && matches!(status, -5 | CLONE_GROUP_ERR_CALLBACK_RESULT)
            || op.excuse.metadata
                && matches!(status, -5 | CLONE_GROUP_ERR_CALLBACK_RESULT | CLONE_GROUP_ERR_METADATA_FAILED)
    }

    fn check_read(&self, op: &HostOp) {
        if !self.is_served(op.lu) {
            // Held until a Reverse Synchronization began: hosts of the Source write this Clone now.
            return;
        }
        for (number, value) in op.payload.iter().enumerate() {
            let legal = &op.readable[number];
            assert!(
                legal.contains(value),
                "a read of LU {} block {} returned {value:#x}, legal are {legal:x?}",
                op.lu,
                op.first + number
            );
        }
    }
}

/// Nothing of the request went out: it was refused at once, or while it waited (R83).
fn is_refusal(status: i32) -> bool {
    let refused = [
        CLONE_GROUP_ERR_BUSY,
        CLONE_GROUP_ERR_STATE,
        CLONE_GROUP_ERR_PROTECTED,
        CLONE_GROUP_ERR_CANCELED,
        CLONE_GROUP_ERR_NO_LU,
        CLONE_GROUP_ERR_NOT_SUPPORTED,
        CLONE_GROUP_ERR_SOURCE_INVALID,
        CLONE_GROUP_ERR_PREPARED,
        CLONE_GROUP_ERR_CLOSED,
    ];
    refused.contains(&status)
}
