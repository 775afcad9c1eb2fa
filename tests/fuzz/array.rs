//! A plain array around the C ABI: LUs that hold a number in each block, a persistent area, and callbacks that do what
//! a list of bytes says - at once, later, early, twice, not at all, with calls back into the group. It checks every
//! I/O: inside its LU or the area, in a buffer inside the workspace, with the payload of a request that is open; and it
//! counts that each request which was accepted is done once.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_void;
use std::rc::Rc;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::sets::*;
use ::clone_group::ffi::types::*;

use super::memory::Memory;

/// What can be asked of a group, by LU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    Format(u32),
    Recover(u32),
    Close,
    Repair,
    Add(u32),
    Remove(u32),
    Synchronize(u32),
    Fracture(u32),
    Restore(u32),
    Reverse(u32),
    Pause,
    Resume,
    Cancel(u32),
    Accept,
    Retarget(u32),
    Verify(u32, u32),
    StopVerify,
    Resolve(u32),
}

/// A host request.
#[derive(Clone, Copy, Debug)]
pub struct HostCall {
    pub operation: u32,
    pub lu: u32,
    pub first: u64,
    pub count: u64,
    pub flags: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Open {
    /// The call has not returned.
    Calling,
    /// It returned PENDING.
    Accepted,
}

/// What changes under the callbacks.
pub struct Inner {
    pub lus: Vec<Vec<u64>>,
    pub area: Vec<u8>,
    /// What the area held after each write of it, if somebody wants to know.
    pub history: Option<Vec<Vec<u8>>>,
    /// Reads of the area that touch one of these bytes fail.
    pub unreadable: Option<std::ops::Range<usize>>,
    /// What the next callbacks do; when there are no more, everything is done at once.
    pub decisions: VecDeque<u8>,
    pub held: Vec<clone_group_io>,
    /// Ids that are over.
    pub over: Vec<u64>,
    open: BTreeMap<u64, Open>,
    /// How operations ended.
    pub ended: BTreeMap<u64, i32>,
    /// Writes of LUs, and of the area.
    pub writes: u64,
    pub area_writes: u64,
    /// Of the area, when the last request was done.
    pub area_writes_at_done: u64,
    next_tag: u64,
    next_value: u64,
    /// How deep calls from callbacks are nested.
    depth: u32,
}

/// The array, and a group over it.
pub struct Array {
    pub config: clone_group_config,
    pub inner: RefCell<Inner>,
    pub group: Cell<*mut clone_group>,
    memory: RefCell<Option<Memory>>,
    critical: Cell<i32>,
    time: Cell<u64>,
    pub lu_flags: Cell<u32>,
    /// An LU that is not attached.
    pub missing: Cell<Option<u32>>,
    /// Bits: which of the optional callbacks are there.
    pub callbacks: Cell<u8>,
}

/// All optional callbacks but `copy`.
pub const CALLBACKS_ALL: u8 = 0b1111_1101;
pub const CALLBACK_COPY: u8 = 0b10;

pub fn plain_config() -> clone_group_config {
    // SAFETY: a struct of integers, filled by the library.
    unsafe {
        let mut config: clone_group_config = std::mem::zeroed();
        assert_eq!(
            clone_group_config_init(&mut config, size_of::<clone_group_config>() as u32),
            CLONE_GROUP_OK
        );
        config
    }
}

impl Array {
    /// LUs that all hold something else, and an empty area. None if the configuration is refused. Its place does not
    /// change, and it is not a `Box`, which would claim to be the only way to it: the group has another one.
    pub fn new(config: clone_group_config) -> Option<Rc<Array>> {
        let mut bytes = 0;
        // SAFETY: valid places.
        if unsafe { clone_group_metadata_size(&config, &mut bytes) } != CLONE_GROUP_OK {
            return None;
        }
        let content = |lu: u64| (0..config.lu_blocks).map(|block| (lu + 1) << 48 | block).collect();
        let inner = Inner {
            lus: (0..=u64::from(config.clones_max.max(1))).map(content).collect(),
            area: vec![0; bytes as usize],
            history: None,
            unreadable: None,
            decisions: VecDeque::new(),
            held: Vec::new(),
            over: Vec::new(),
            open: BTreeMap::new(),
            ended: BTreeMap::new(),
            writes: 0,
            area_writes: 0,
            area_writes_at_done: 0,
            next_tag: 1,
            next_value: 1 << 60,
            depth: 0,
        };
        Some(Rc::new(Array {
            config,
            inner: RefCell::new(inner),
            group: Cell::new(std::ptr::null_mut()),
            memory: RefCell::new(None),
            critical: Cell::new(0),
            time: Cell::new(0),
            lu_flags: Cell::new(0),
            missing: Cell::new(None),
            callbacks: Cell::new(CALLBACKS_ALL),
        }))
    }

    fn ops(&self) -> clone_group_ops {
        // SAFETY: a struct of integers, pointers and nullable functions.
        let mut ops: clone_group_ops = unsafe { std::mem::zeroed() };
        // SAFETY: a valid place of the right size.
        unsafe { clone_group_ops_init(&mut ops, size_of::<clone_group_ops>() as u32) };
        let there = |bit: u8| self.callbacks.get() >> bit & 1 != 0;
        ops.context = std::ptr::from_ref(self).cast_mut().cast();
        ops.read = Some(submitted);
        ops.write = Some(submitted);
        ops.flush = Some(submitted);
        ops.persist_read = Some(submitted);
        ops.persist_write = Some(submitted);
        ops.done = Some(done);
        ops.persist_flush = there(0).then_some(submitted);
        ops.copy = there(1).then_some(submitted);
        ops.discard = there(2).then_some(submitted);
        ops.write_zeroes = there(3).then_some(submitted);
        ops.event = there(4).then_some(event);
        ops.enter_critical = there(5).then_some(enter_critical);
        ops.leave_critical = there(5).then_some(leave_critical);
        ops.wake = there(6).then_some(wake);
        ops.clock = there(7).then_some(clock);
        ops.log = there(7).then_some(log);
        ops
    }

    /// Makes a group, in memory of its own, and attaches the LUs. What was before is gone as after a power loss.
    pub fn power_on(&self) {
        let (mut bytes, align) = (0, self.config.buffer_align_bytes.max(8) as usize);
        let align = if self.config.buffer_align_bytes == 0 { 4096 } else { align };
        {
            let inner = &mut *self.inner.borrow_mut();
            inner.held.clear();
            inner.over.clear();
            inner.open.clear();
        }
        let mut group = std::ptr::null_mut();
        // SAFETY: valid places; the memory lives as long as the group is used.
        unsafe {
            assert_eq!(clone_group_workspace_size(&self.config, &mut bytes), CLONE_GROUP_OK);
            let mut memory = Memory::new(bytes as usize, align);
            let workspace = memory.as_mut_ptr();
            self.memory.replace(Some(memory));
            let status = clone_group_create(&self.config, &self.ops(), workspace, bytes, &mut group);
            assert_eq!(status, CLONE_GROUP_OK);
        }
        self.group.set(group);
        for lu in (0..self.inner.borrow().lus.len() as u32).filter(|&lu| Some(lu) != self.missing.get()) {
            assert_eq!(self.attach(lu, lu as u8 + 1), CLONE_GROUP_OK);
        }
    }

    pub fn attach(&self, lu: u32, identity: u8) -> i32 {
        let described = clone_group_lu {
            struct_size: size_of::<clone_group_lu>() as u32,
            flags: self.lu_flags.get(),
            identity: [identity; 16],
        };
        // SAFETY: a live group and a valid struct.
        unsafe { clone_group_lu_attach(self.group.get(), lu, &described) }
    }

    // ------------------------------------------------------------- requests

    /// Calls something that is followed by one `done`, or by none.
    fn request(&self, call: impl FnOnce(*mut clone_group, u64) -> i32) -> (u64, i32) {
        let tag = {
            let inner = &mut *self.inner.borrow_mut();
            inner.next_tag += 1;
            inner.open.insert(inner.next_tag, Open::Calling);
            inner.next_tag
        };
        let status = not_internal(call(self.group.get(), tag));
        let inner = &mut *self.inner.borrow_mut();
        if status == CLONE_GROUP_PENDING {
            // `done` may have come already.
            if let Some(open) = inner.open.get_mut(&tag) {
                *open = Open::Accepted;
            }
        } else {
            let was = inner.open.remove(&tag);
            assert_eq!(was, Some(Open::Calling), "request {tag} returned {status} and was done, too");
        }
        (tag, status)
    }

    pub fn ask(&self, ask: Ask) -> (u64, i32) {
        // SAFETY: a live group.
        self.request(|group, tag| unsafe {
            match ask {
                Ask::Format(flags) => clone_group_format(group, flags, tag),
                Ask::Recover(flags) => clone_group_recover(group, flags, tag),
                Ask::Close => clone_group_close(group, tag),
                Ask::Repair => clone_group_metadata_repair(group, tag),
                Ask::Add(lu) => clone_group_clone_add(group, lu, tag),
                Ask::Remove(lu) => clone_group_clone_remove(group, lu, tag),
                Ask::Synchronize(lu) => clone_group_synchronize(group, lu, tag),
                Ask::Fracture(lu) => clone_group_fracture(group, lu, [b'L'; 64].as_ptr(), 0, tag),
                Ask::Restore(lu) => clone_group_protected_restore(group, lu, tag),
                Ask::Reverse(lu) => clone_group_reverse_synchronize(group, lu, tag),
                Ask::Pause => clone_group_pause(group, tag),
                Ask::Resume => clone_group_resume(group, tag),
                Ask::Cancel(lu) => clone_group_cancel(group, lu, tag),
                Ask::Accept => clone_group_source_accept(group, tag),
                Ask::Retarget(lu) => clone_group_retarget(group, lu, tag),
                Ask::Verify(lu, flags) => clone_group_verify(group, lu, flags, tag),
                Ask::StopVerify => clone_group_verify_stop(group, tag),
                Ask::Resolve(commit) => clone_group_set_resolve(group, commit, tag),
            }
        })
    }

    /// A set was asked for; `call` gets the tag.
    pub fn ask_set(&self, call: impl FnOnce(u64) -> i32) -> i32 {
        self.request(|_, tag| call(tag)).1
    }

    /// Asks, and polls until it is done.
    pub fn result_of(&self, ask: Ask) -> i32 {
        let (tag, status) = self.ask(ask);
        if status != CLONE_GROUP_PENDING {
            return status;
        }
        for _ in 0..100_000 {
            if let Some(status) = self.inner.borrow_mut().ended.remove(&tag) {
                return status;
            }
            // After a Recovery nothing else must have happened yet.
            self.poll(if matches!(ask, Ask::Recover(_)) { 1 } else { 16 });
        }
        panic!("{ask:?} does not end");
    }

    pub fn host(&self, call: HostCall) -> i32 {
        let HostCall { lu, first, count, flags, .. } = call;
        let (_, status) = self.request(|group, tag| {
            // Nobody looks at what is there: it travels unchanged, and the devices take it as the value.
            let payload = std::ptr::without_provenance_mut::<c_void>(tag as usize);
            // SAFETY: a live group.
            unsafe {
                match call.operation {
                    CLONE_GROUP_IO_READ => {
                        clone_group_host_read(group, lu, first, count, payload, flags, tag)
                    }
                    CLONE_GROUP_IO_WRITE => {
                        clone_group_host_write(group, lu, first, count, payload, flags, tag)
                    }
                    CLONE_GROUP_IO_FLUSH => clone_group_host_flush(group, lu, tag),
                    CLONE_GROUP_IO_DISCARD => clone_group_host_discard(group, lu, first, count, flags, tag),
                    _ => clone_group_host_write_zeroes(group, lu, first, count, flags, tag),
                }
            }
        });
        let end = first.checked_add(count);
        let empty = call.operation != CLONE_GROUP_IO_FLUSH
            && (count == 0 || end.is_none_or(|end| end > self.config.lu_blocks));
        assert!(!empty || status < 0, "{call:?} was accepted");
        status
    }

    /// How many requests are not done.
    pub fn open(&self) -> usize {
        self.inner.borrow().open.len()
    }

    pub fn open_tags(&self) -> Vec<u64> {
        self.inner.borrow().open.keys().copied().collect()
    }

    // ---------------------------------------------------------------- polls

    pub fn poll(&self, budget: u32) -> i32 {
        // SAFETY: a live group.
        not_internal(unsafe { clone_group_cod_poll(self.group.get(), budget) })
    }

    pub fn step(&self, budget: u32) -> i32 {
        // SAFETY: a live group.
        not_internal(unsafe { clone_group_sync_step(self.group.get(), budget) })
    }

    /// Completes a held I/O: does it, unless it fails.
    pub fn complete(&self, at: usize, status: i32) -> u64 {
        let io = self.inner.borrow_mut().held.remove(at);
        if status == CLONE_GROUP_OK {
            self.inner.borrow_mut().perform(&io);
        }
        self.inner.borrow_mut().over.push(io.id);
        // SAFETY: a live group.
        assert_eq!(unsafe { clone_group_io_complete(self.group.get(), io.id, status) }, CLONE_GROUP_OK);
        io.id
    }

    /// Everything works from now on; until nothing is left to do. Without background copies if they are `still`.
    pub fn settle(&self, still: bool) {
        self.inner.borrow_mut().decisions.clear();
        for _ in 0..20_000 {
            while !self.inner.borrow().held.is_empty() {
                self.complete(0, CLONE_GROUP_OK);
            }
            let status = if still { self.poll(1024) } else { self.step(1024) };
            assert!(status >= 0, "a poll returned {status}");
            let held = self.inner.borrow().held.len();
            if status == CLONE_GROUP_OK && held == 0 {
                assert_eq!(self.open(), 0, "at rest, and requests are not done: {:?}", self.open_tags());
                return;
            }
        }
        panic!("the group does not come to rest");
    }

    // -------------------------------------------------------------- queries

    pub fn info(&self) -> clone_group_info {
        // SAFETY: a struct of integers; a live group.
        unsafe {
            let mut info: clone_group_info = std::mem::zeroed();
            info.struct_size = size_of::<clone_group_info>() as u32;
            assert_eq!(clone_group_query(self.group.get(), &mut info), CLONE_GROUP_OK);
            info
        }
    }

    pub fn clone_info(&self, lu: u32) -> clone_group_clone_info {
        // SAFETY: a struct of integers; a live group.
        unsafe {
            let mut info: clone_group_clone_info = std::mem::zeroed();
            info.struct_size = size_of::<clone_group_clone_info>() as u32;
            assert_eq!(clone_group_clone_query(self.group.get(), lu, &mut info), CLONE_GROUP_OK);
            info
        }
    }

    /// A map; the bits behind its end are looked at, too (I9).
    pub fn map(&self, kind: u32, lu: u32) -> Vec<bool> {
        let extents = self.info().extents_total;
        let mut bytes = vec![0xFF_u8; extents.div_ceil(8) as usize];
        let length = bytes.len() as u64;
        // SAFETY: a live group and so many bytes.
        let status = unsafe {
            clone_group_map_read(self.group.get(), kind, lu, 0, extents, bytes.as_mut_ptr(), length)
        };
        assert_eq!(status, CLONE_GROUP_OK);
        let all: Vec<bool> =
            bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1)).collect();
        let (inside, behind) = all.split_at(extents as usize);
        assert!(behind.iter().all(|&set| !set), "bits behind the end of a map (I9)");
        inside.to_vec()
    }

    /// I4, and I9 by the counts that the group gives.
    pub fn check_maps(&self) {
        let count = |map: &[bool]| map.iter().filter(|&&set| set).count() as u64;
        let info = self.info();
        let persistent = self.map(CLONE_GROUP_MAP_PERSISTENT_DELTA, 0);
        let protected = self.map(CLONE_GROUP_MAP_PROTECTED_RESTORE, 0);
        let per_clone = self.config.flags & CLONE_GROUP_CONFIG_MAP_PER_CLONE != 0;
        assert!(per_clone || count(&persistent) == info.persistent_delta_extents, "I9 of G");
        assert_eq!(count(&protected), info.protected_restore_extents, "I9 of P");
        assert!(info.restoring_lu != 0 || count(&protected) == 0, "P without a restore");
        let covered = |map: &[bool]| map.iter().zip(&persistent).all(|(&set, &base)| base || !set);
        assert!(covered(&protected), "P is not in G (I4)");
        for lu in 1..self.inner.borrow().lus.len() as u32 {
            let clone = self.clone_info(lu);
            if clone.state == CLONE_GROUP_CLONE_ABSENT {
                continue;
            }
            let delta = self.map(CLONE_GROUP_MAP_DELTA, lu);
            assert!(clone.extents_left <= info.extents_total, "I9 of D of LU {lu}");
            if clone.state == CLONE_GROUP_CLONE_RESTORING {
                assert_eq!(count(&delta), clone.extents_left, "I9 of D of LU {lu}");
                assert!(delta.iter().zip(&protected).all(|(&d, &p)| !(d && p)), "D and P (R7)");
            }
        }
    }

    /// At rest: wherever a Clone and the Source differ, its Delta Map says so, or P of the restore from it (I2).
    pub fn check_differences(&self) {
        let protected = self.map(CLONE_GROUP_MAP_PROTECTED_RESTORE, 0);
        let extent_blocks = self.extent_blocks();
        for lu in 1..self.inner.borrow().lus.len() {
            let state = self.clone_info(lu as u32).state;
            if state == CLONE_GROUP_CLONE_ABSENT {
                continue;
            }
            let delta = self.map(CLONE_GROUP_MAP_DELTA, lu as u32);
            let inner = self.inner.borrow();
            for (block, (source, clone)) in inner.lus[0].iter().zip(&inner.lus[lu]).enumerate() {
                let extent = block / extent_blocks;
                let known = delta[extent] || state == CLONE_GROUP_CLONE_RESTORING && protected[extent];
                assert!(
                    source == clone || known,
                    "block {block} of LU {lu} (state {state}) differs, and no map says so"
                );
            }
        }
    }

    pub fn extent_blocks(&self) -> usize {
        let blocks = self.config.lu_blocks as usize;
        let extents = self.info().extents_total as usize;
        if self.config.extent_blocks == 0 {
            blocks.div_ceil(extents).next_power_of_two()
        } else {
            self.config.extent_blocks as usize
        }
    }

    /// The guards of the workspace hold.
    pub fn check_memory(&self) {
        if let Some(memory) = &*self.memory.borrow() {
            memory.check();
        }
    }

    pub fn destroy(&self) -> i32 {
        // SAFETY: a live group, and no other call is in progress.
        not_internal(unsafe { clone_group_destroy(self.group.get()) })
    }

    // ------------------------------------------------------------ callbacks

    fn check_io(&self, io: &clone_group_io) {
        assert_eq!(self.critical.get(), 0, "a callback inside a critical section");
        assert_eq!(io.struct_size as usize, size_of::<clone_group_io>());
        assert!(io.id != 0 && io.reserved == 0);
        let inner = self.inner.borrow();
        assert!(inner.held.iter().all(|held| held.id != io.id), "id {} is in use", io.id);
        let metadata = io.operation >= CLONE_GROUP_IO_PERSIST_READ;
        let host = io.flags & CLONE_GROUP_IO_HOST != 0;
        if metadata {
            assert!(io.lu == CLONE_GROUP_LU_NONE && !host);
            let end = io.offset_bytes.checked_add(io.length_bytes).expect("no overflow");
            assert!(end <= inner.area.len() as u64, "behind the end of the area");
            assert_eq!(io.operation == CLONE_GROUP_IO_PERSIST_FLUSH, io.length_bytes == 0);
        } else {
            assert!((io.lu as usize) < inner.lus.len(), "no LU {}", io.lu);
            let end = io.first_block.checked_add(io.block_count).expect("no overflow");
            assert!(end <= self.config.lu_blocks, "behind the end of an LU");
            assert_eq!(io.operation == CLONE_GROUP_IO_FLUSH, io.block_count == 0);
            let block_bytes = self.block_bytes();
            assert_eq!(io.length_bytes, io.block_count * block_bytes);
            assert_eq!(io.offset_bytes, io.first_block * block_bytes);
        }
        if io.operation == CLONE_GROUP_IO_COPY {
            assert!((io.source_lu as usize) < inner.lus.len() && io.source_lu != io.lu);
        }
        let data = matches!(
            io.operation,
            CLONE_GROUP_IO_READ
                | CLONE_GROUP_IO_WRITE
                | CLONE_GROUP_IO_PERSIST_READ
                | CLONE_GROUP_IO_PERSIST_WRITE
        );
        assert_eq!(!io.buffer.is_null(), data && !host, "a buffer where there is data of the library's");
        if host {
            let tag = io.payload.addr() as u64;
            assert!(!data || inner.open.contains_key(&tag), "the payload of a request that is not open");
        } else {
            assert!(io.payload.is_null());
        }
        if !io.buffer.is_null() {
            self.check_buffer(&inner, io);
        }
    }

    fn check_buffer(&self, inner: &Inner, io: &clone_group_io) {
        let align = if self.config.buffer_align_bytes == 0 { 4096 } else { self.config.buffer_align_bytes };
        assert_eq!(io.buffer.addr() % align as usize, 0, "the buffer is not aligned");
        let memory = self.memory.borrow();
        assert!(memory.as_ref().is_some_and(|memory| memory.holds(io.buffer, io.length_bytes)));
        let place = |io: &clone_group_io| io.buffer.addr()..io.buffer.addr() + io.length_bytes as usize;
        for held in inner.held.iter().filter(|held| !held.buffer.is_null()) {
            // Both slots of a superblock may be written from one buffer; nobody reads into one that is in use.
            let (one, other) = (place(held), place(io));
            let reads = |io: &clone_group_io| {
                matches!(io.operation, CLONE_GROUP_IO_READ | CLONE_GROUP_IO_PERSIST_READ)
            };
            let apart = one.end <= other.start || other.end <= one.start;
            assert!(
                apart || !reads(io) && !reads(held),
                "two I/Os share a buffer: {} and {}",
                io.operation,
                held.operation
            );
        }
    }

    fn block_bytes(&self) -> u64 {
        u64::from(if self.config.block_bytes == 0 { 512 } else { self.config.block_bytes })
    }

    /// `done` or `event` was called: perhaps it calls back.
    fn told(&self) {
        let decision = self.inner.borrow().decisions.front().copied().unwrap_or(0);
        if decision % 16 == 15 {
            self.inner.borrow_mut().decisions.pop_front();
            self.call_back(decision, true);
        }
    }

    /// Calls from a callback: a query and a host request; from `done` and `event` operations, too.
    fn call_back(&self, decision: u8, operations: bool) {
        if self.inner.borrow().depth > 1 {
            return;
        }
        self.inner.borrow_mut().depth += 1;
        self.info();
        let blocks = self.config.lu_blocks;
        let first = u64::from(decision) * 7 % blocks;
        let operation = [CLONE_GROUP_IO_READ, CLONE_GROUP_IO_WRITE][usize::from(decision >> 4 & 1)];
        let (lu, count) = (u32::from(decision >> 5 & 1), 1 + u64::from(decision >> 6) % (blocks - first));
        self.host(HostCall { operation, lu, first, count, flags: 0 });
        if operations {
            let asked = [
                Ask::Pause,
                Ask::Resume,
                Ask::Fracture(1),
                Ask::Restore(1),
                Ask::Cancel(1),
                Ask::Synchronize(1),
            ];
            self.ask(asked[usize::from(decision) % asked.len()]);
        }
        self.inner.borrow_mut().depth -= 1;
    }

    fn submit(&self, io: &clone_group_io) -> i32 {
        self.check_io(io);
        let decision = self.inner.borrow_mut().decisions.pop_front().unwrap_or(0);
        let complete = |status| {
            // SAFETY: a live group.
            unsafe { clone_group_io_complete(self.group.get(), io.id, status) }
        };
        match decision % 16 {
            5..=8 => {
                self.inner.borrow_mut().held.push(*io);
                return CLONE_GROUP_PENDING;
            }
            9 => return CLONE_GROUP_RETRY,
            10 => return -5,
            11 => return 7 + i32::from(decision),
            // Early, once or twice.
            12 => {
                let done = self.inner.borrow_mut().perform(io);
                assert_eq!(complete(done), CLONE_GROUP_OK);
                if decision & 16 != 0 {
                    assert_eq!(complete(-5), CLONE_GROUP_ERR_STALE_IO);
                }
                return CLONE_GROUP_PENDING;
            }
            // Completed, and ended by the return, too: what the callback returns counts.
            13 => {
                let done = self.inner.borrow_mut().perform(io);
                assert_eq!(complete(done), CLONE_GROUP_OK);
                return done;
            }
            14 => self.call_back(decision, false),
            _ => {}
        }
        self.inner.borrow_mut().perform(io)
    }
}

impl Inner {
    /// Does an I/O.
    fn perform(&mut self, io: &clone_group_io) -> i32 {
        let (first, count) = (io.first_block as usize, io.block_count as usize);
        let (offset, length) = (io.offset_bytes as usize, io.length_bytes as usize);
        // SAFETY: the library's buffer of this length, valid until the I/O is over; it was looked at.
        let buffer = || unsafe { std::slice::from_raw_parts_mut(io.buffer.cast::<u8>(), length) };
        match io.operation {
            CLONE_GROUP_IO_READ if io.buffer.is_null() => {}
            CLONE_GROUP_IO_READ => {
                let values = &self.lus[io.lu as usize][first..first + count];
                for (block, value) in buffer().chunks_exact_mut(length / count).zip(values) {
                    block.fill(*value as u8);
                    block[..8].copy_from_slice(&value.to_le_bytes());
                }
            }
            CLONE_GROUP_IO_WRITE | CLONE_GROUP_IO_WRITE_ZEROES | CLONE_GROUP_IO_DISCARD => {
                self.writes += 1;
                let values = &mut self.lus[io.lu as usize][first..first + count];
                if io.operation != CLONE_GROUP_IO_WRITE {
                    values.fill(0);
                } else if io.buffer.is_null() {
                    values.fill(1 << 60 | io.payload.addr() as u64);
                } else {
                    for (block, value) in buffer().chunks_exact(length / count).zip(values) {
                        *value = u64::from_le_bytes(block[..8].try_into().expect("8 bytes"));
                    }
                }
            }
            CLONE_GROUP_IO_COPY => {
                self.writes += 1;
                let values = self.lus[io.source_lu as usize][first..first + count].to_vec();
                self.lus[io.lu as usize][first..first + count].copy_from_slice(&values);
            }
            CLONE_GROUP_IO_PERSIST_READ => {
                if self.unreadable.as_ref().is_some_and(|bad| bad.start < offset + length && offset < bad.end)
                {
                    return -5;
                }
                buffer().copy_from_slice(&self.area[offset..offset + length]);
            }
            CLONE_GROUP_IO_PERSIST_WRITE => {
                self.area_writes += 1;
                self.area[offset..offset + length].copy_from_slice(buffer());
                if let Some(history) = &mut self.history {
                    history.push(self.area.clone());
                }
            }
            _ => {}
        }
        CLONE_GROUP_OK
    }
}

thread_local! {
    /// What a callback found wrong. A panic must not go through C; the call that the callback was called from tells.
    static WRONG: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What no call may return: a defect was caught. And what callbacks found wrong meanwhile.
pub fn not_internal(status: i32) -> i32 {
    if let Some(wrong) = WRONG.take() {
        panic!("in a callback: {wrong}");
    }
    assert_ne!(status, CLONE_GROUP_ERR_INTERNAL, "the library panicked");
    status
}

/// Runs the body of a callback.
fn caught<R>(otherwise: R, body: impl FnOnce() -> R) -> R {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_string()));
        WRONG.set(Some(text.unwrap_or_default()));
        otherwise
    })
}

/// # Safety
/// `context` is the array that the group was made with.
unsafe fn array<'a>(context: *mut c_void) -> &'a Array {
    // SAFETY: the array outlives the group, and is only shared.
    unsafe { &*context.cast::<Array>() }
}

unsafe extern "C" fn submitted(context: *mut c_void, io: *const clone_group_io) -> i32 {
    // SAFETY: what the array gave, and what the library gave.
    let (array, io) = unsafe { (array(context), &*io) };
    caught(-1, || array.submit(io))
}

unsafe extern "C" fn done(context: *mut c_void, tag: u64, status: i32) {
    // SAFETY: what the array gave.
    let array = unsafe { array(context) };
    caught((), || {
        assert_eq!(array.critical.get(), 0, "`done` inside a critical section");
        {
            let inner = &mut *array.inner.borrow_mut();
            assert!(inner.open.remove(&tag).is_some(), "`done` of {tag}, which is not open");
            inner.ended.insert(tag, status);
            inner.area_writes_at_done = inner.area_writes;
        }
        array.told();
    });
}

unsafe extern "C" fn event(context: *mut c_void, event: *const clone_group_event) {
    // SAFETY: what the array gave, and what the library gave.
    let (array, event) = unsafe { (array(context), &*event) };
    caught((), || {
        assert_eq!(array.critical.get(), 0, "`event` inside a critical section");
        assert!(event.kind != 0 && !event.text.is_null() && !event.name.is_null());
        array.told();
    });
}

unsafe extern "C" fn enter_critical(context: *mut c_void) {
    // SAFETY: what the array gave.
    let array = unsafe { array(context) };
    caught((), || assert_eq!(array.critical.replace(1), 0, "critical sections are nested"));
}

unsafe extern "C" fn leave_critical(context: *mut c_void) {
    // SAFETY: what the array gave.
    let array = unsafe { array(context) };
    caught((), || assert_eq!(array.critical.replace(0), 1, "a critical section is left twice"));
}

unsafe extern "C" fn wake(context: *mut c_void) {
    // SAFETY: what the array gave.
    let array = unsafe { array(context) };
    caught((), || assert_eq!(array.critical.get(), 0, "`wake` inside a critical section"));
}

unsafe extern "C" fn log(_context: *mut c_void, _level: u32, text: *const std::ffi::c_char) {
    caught((), || assert!(!text.is_null(), "an event without a text"));
}

unsafe extern "C" fn clock(context: *mut c_void) -> u64 {
    // SAFETY: what the array gave.
    let array = unsafe { array(context) };
    array.time.replace(array.time.get() + 1)
}
