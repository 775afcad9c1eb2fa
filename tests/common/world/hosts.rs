//! Hosts: their requests, and what becomes of them.

use std::ffi::c_void;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::super::model::Block;
use super::callbacks::no_violation;
use super::trace::trace;
use super::{Inner, World};

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
        let tag = self.tag();
        self.catch_up();
        let (payload, value) = {
            let inner = &mut *self.inner.borrow_mut();
            inner.next_value += 1;
            let value = match operation {
                CLONE_GROUP_IO_WRITE => inner.next_value,
                _ => 0,
            };
            let mut op = HostOp {
                operation,
                lu,
                first,
                count,
                fua,
                payload: vec![value; count],
                value,
                readable: Vec::new(),
                sealed: Vec::new(),
                view: inner.view,
            };
            let blocks = &mut inner.models[lu];
            match operation {
                CLONE_GROUP_IO_READ => {
                    op.readable = blocks[first..first + count].iter().map(Block::readable).collect();
                }
                CLONE_GROUP_IO_FLUSH => op.sealed = blocks.iter().map(Block::seal).collect(),
                _ => blocks[first..first + count].iter_mut().for_each(|block| block.begin(value)),
            }
            if operation != CLONE_GROUP_IO_READ && operation != CLONE_GROUP_IO_FLUSH {
                if lu == 0 {
                    inner.fracture_values[first..first + count]
                        .iter_mut()
                        .for_each(|values| values.push(value));
                }
                for read in inner
                    .hosts
                    .values_mut()
                    .filter(|read| read.operation == CLONE_GROUP_IO_READ && read.lu == lu)
                {
                    for block in first.max(read.first)..(first + count).min(read.first + read.count) {
                        read.readable[block - read.first].push(value);
                    }
                }
            }
            let payload: *mut c_void = op.payload.as_mut_ptr().cast();
            inner.hosts.insert(tag, op);
            (payload, value)
        };
        trace(|| {
            format!(
                "host   {tag} operation {operation} LU {lu} blocks {first}..{} value {value:x}",
                first + count
            )
        });
        let flags = if fua { CLONE_GROUP_HOST_FUA } else { 0 };
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
        self.inner.borrow_mut().host_done(tag, status);
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

impl Inner {
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
        self.statuses.push((tag, status));
        if status < CLONE_GROUP_OK {
            self.failed.push(tag);
        }
        let durable = op.fua || self.profile.host_durable || !self.profile.volatile;
        let blocks = op.first..op.first + op.count;
        match op.operation {
            CLONE_GROUP_IO_READ if status == CLONE_GROUP_OK => self.check_read(&op),
            CLONE_GROUP_IO_READ => assert!(self.excused(status), "a read failed with {status}"),
            CLONE_GROUP_IO_FLUSH if status == CLONE_GROUP_OK => {
                for (block, &sealed) in self.models[op.lu].iter_mut().zip(&op.sealed) {
                    if op.view == self.view || op.lu != 0 {
                        block.flush(sealed);
                    }
                }
            }
            CLONE_GROUP_IO_FLUSH => assert!(self.excused(status), "a flush failed with {status}"),
            _ if status == CLONE_GROUP_ERR_SOURCE_INVALID => {
                self.models[op.lu][blocks].iter_mut().for_each(|block| block.refuse(op.value));
            }
            CLONE_GROUP_IO_DISCARD => self.models[op.lu][blocks].iter_mut().for_each(|block| block.fail(0)),
            _ if status == CLONE_GROUP_OK => {
                self.models[op.lu][blocks].iter_mut().for_each(|block| block.acknowledge(op.value, durable));
            }
            _ => {
                assert!(self.excused(status), "a write failed with {status}");
                self.models[op.lu][blocks].iter_mut().for_each(|block| block.fail(op.value));
            }
        }
    }

    /// Whether a request may fail so.
    fn excused(&self, status: i32) -> bool {
        let refused = [
            CLONE_GROUP_ERR_BUSY,
            CLONE_GROUP_ERR_STATE,
            CLONE_GROUP_ERR_PROTECTED,
            CLONE_GROUP_ERR_CANCELED,
            CLONE_GROUP_ERR_NO_LU,
            CLONE_GROUP_ERR_NOT_SUPPORTED,
            CLONE_GROUP_ERR_SOURCE_INVALID,
            CLONE_GROUP_ERR_PREPARED,
        ];
        refused.contains(&status)
            || self.fault_seen && status == -5
            || self.metadata_fault_seen && matches!(status, -5 | CLONE_GROUP_ERR_METADATA_FAILED)
    }

    fn check_read(&self, op: &HostOp) {
        if op.lu != 0 && (!self.usable[op.lu] || op.lu == self.reversing) {
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
