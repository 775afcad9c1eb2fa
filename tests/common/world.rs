//! One simulated array around the real C ABI: LUs with or without a volatile cache, a persistent area that
//! tears, completions in any order, faults, power losses, and a model of what hosts may see. Everything comes
//! from one seed. The devices themselves check, at every submission, that the Clone that is restored from is
//! not written (I1), that no copy overwrites a host write under way (I6), and that the bits that R1 and R6 ask for
//! are durable (I11).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::c_void;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::device::{Area, BLOCK_BYTES, Device, UNIT_BYTES};
use super::model::Block;
use super::pages::Format;

pub mod fork;

/// What a simulation is made of.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    pub blocks: usize,
    pub extent_blocks: usize,
    pub clones: usize,
    pub copies: u32,
    pub copy_blocks: u32,
    pub volatile: bool,
    pub host_durable: bool,
    pub redirect: bool,
    pub persist_flush: bool,
    pub discard_zeroes: bool,
    pub offload: bool,
    pub map_per_clone: bool,
    /// Of 256: callbacks that complete at once.
    pub immediate: u32,
    /// Of 256: callbacks that ask to be offered again.
    pub retry: u32,
    /// Of 65536: I/Os of LUs that fail.
    pub faults: u32,
    /// Of 65536: metadata writes that fail.
    pub metadata_faults: u32,
    pub intents: u32,
    /// Background copies skip what is equal.
    pub skip_equal: bool,
}

impl Profile {
    /// Small, with two Clones; every I/O is done at once and works, and completed means durable.
    pub const QUIET: Profile = Profile {
        blocks: 38,
        extent_blocks: 4,
        clones: 2,
        copies: 2,
        copy_blocks: 4,
        volatile: false,
        host_durable: false,
        redirect: false,
        persist_flush: false,
        discard_zeroes: false,
        offload: false,
        map_per_clone: false,
        immediate: 256,
        retry: 0,
        faults: 0,
        metadata_faults: 0,
        intents: 16,
        skip_equal: false,
    };
}

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

/// An I/O that the controller holds.
struct Held {
    io: clone_group_io,
    /// Values of a write, taken when it was submitted.
    values: Vec<u64>,
    bytes: Vec<u8>,
    sealed: Vec<(usize, u64)>,
    sealed_area: usize,
    /// How it will end, if a test decided that.
    end: Choice,
}

#[derive(Clone, Debug)]
pub struct HostOp {
    pub operation: u32,
    pub lu: usize,
    pub first: usize,
    pub count: usize,
    pub fua: bool,
    payload: Vec<u64>,
    value: u64,
    /// Reads: what each block may return. Flushes: what is covered.
    readable: Vec<Vec<u64>>,
    sealed: Vec<usize>,
    /// Reads of a flip of the view: the generation at the beginning.
    view: u64,
}

/// What changes hands between callbacks and the driver.
pub struct Inner {
    pub profile: Profile,
    pub rng: fastrand::Rng,
    pub devices: Vec<Device>,
    pub area: Area,
    held: Vec<Held>,
    pub hosts: BTreeMap<u64, HostOp>,
    pub models: Vec<Vec<Block>>,
    pub operations_done: BTreeMap<u64, i32>,
    pub events: Vec<(u32, u32, i32)>,
    /// The LU that is restored from, its content, and the generation, from `done` on.
    pub restoring: Option<(usize, Vec<u64>, u64)>,
    /// The LU of a Reverse Synchronization, or 0: the Source's content for hosts is there.
    pub reversing: usize,
    /// Hosts see the Source through a restore: counts the views.
    view: u64,
    pub generation: u64,
    next_value: u64,
    pub steps: u64,
    /// Stops everything after so many I/Os were submitted or completed: power is lost.
    pub power_fails_at: u64,
    pub fault_seen: bool,
    pub metadata_fault_seen: bool,
    /// A block of an LU that cannot be read.
    pub bad_blocks: Option<(usize, usize)>,
    /// Host flushes that are done, with their statuses.
    pub flushes: Vec<(u64, i32)>,
    /// Host requests that are over, with their statuses.
    pub statuses: Vec<(u64, i32)>,
    /// Host requests that failed.
    pub failed: Vec<u64>,
    pub finished: Vec<(u64, i32)>,
    /// What was submitted: operation, LU and flags.
    pub submissions: Vec<(u32, u32, u32)>,
    format: Format,
    /// LUs that are members, as the model knows.
    pub members: Vec<usize>,
    /// By LU: a point in time that hosts use, as events told.
    pub usable: Vec<bool>,
    /// By block: what a Clone that is being fractured may hold: what the Source held when that was asked for, and
    /// everything that hosts have written since (R55).
    pub fracture_values: Vec<Vec<u64>>,
    /// Decides about single I/Os when they are submitted.
    pub choose: Option<Chooser>,
    /// Every I/O that was submitted.
    pub log: Vec<clone_group_io>,
    /// Events with their values: kind, LU, value.
    pub told: Vec<(u32, u32, u64)>,
    /// Operations for which the controller has no callback.
    pub missing: Vec<u32>,
    /// LUs that declare zeroes after a discard, besides what the profile says.
    pub zeroes: Vec<usize>,
    /// The Source is a mixture that nobody is served (R38).
    pub source_invalid: bool,
    /// By block: what the Source may hold under the view of a restore, and the content of the Clone of that view.
    mixture: Vec<Vec<u64>>,
    view_content: Vec<u64>,
    /// Since the Source was last as hosts saw it, a Reverse Synchronization wrote it.
    view_reversing: bool,
    /// Called whenever something happened: an I/O was submitted or is over, a request or an operation is done.
    pub boundary: Option<Watcher>,
    /// Where a unit of metadata lies that cannot be read until it is written.
    pub bad_unit: Option<usize>,
}

/// Decides about an I/O when it is submitted.
pub type Chooser = Box<dyn FnMut(&clone_group_io) -> Choice>;

/// Looks at the array whenever something happened.
pub type Watcher = Box<dyn FnMut(&World)>;

type IoCallback = unsafe extern "C" fn(*mut c_void, *const clone_group_io) -> i32;

/// The array. Callbacks get it shared.
pub struct World {
    pub inner: RefCell<Inner>,
    group: Cell<*mut clone_group>,
    workspace: Vec<u64>,
    next_tag: Cell<u64>,
}

pub const TAG_OPERATION: u64 = 1 << 40;

fn config(profile: &Profile) -> clone_group_config {
    // SAFETY: a struct of integers, filled by the library.
    let mut config: clone_group_config = unsafe { std::mem::zeroed() };
    // SAFETY: a valid place of the right size.
    unsafe { clone_group_config_init(&mut config, size_of::<clone_group_config>() as u32) };
    config.lu_blocks = profile.blocks as u64;
    config.block_bytes = BLOCK_BYTES as u32;
    config.extent_blocks = profile.extent_blocks as u32;
    config.clones_max = profile.clones as u32;
    config.requests_max = 16;
    config.copies_max = profile.copies;
    config.copy_buffer_bytes = profile.copy_blocks * BLOCK_BYTES as u32;
    config.buffer_align_bytes = 8;
    config.persist_unit_bytes = UNIT_BYTES as u32;
    config.page_bytes = UNIT_BYTES as u32;
    config.page_writes_max = 2;
    config.intent_extents_max = profile.intents;
    config.flags = if profile.host_durable { CLONE_GROUP_CONFIG_HOST_DURABLE } else { 0 }
        | if profile.redirect { CLONE_GROUP_CONFIG_REDIRECT_READS } else { 0 }
        | if profile.map_per_clone { CLONE_GROUP_CONFIG_MAP_PER_CLONE } else { 0 }
        | if profile.skip_equal { CLONE_GROUP_CONFIG_SKIP_EQUAL } else { 0 };
    config.group_id = *b"simulated group!";
    config
}

impl World {
    pub fn new(profile: Profile, seed: u64) -> Box<World> {
        let mut bytes = 0;
        // SAFETY: valid places.
        assert_eq!(unsafe { clone_group_metadata_size(&config(&profile), &mut bytes) }, CLONE_GROUP_OK);
        let content =
            |lu: usize| (0..profile.blocks as u64).map(|block| (lu as u64 + 1) << 48 | block).collect();
        let devices: Vec<Device> =
            (0..=profile.clones).map(|lu| Device::new(content(lu), profile.volatile)).collect();
        let models = devices
            .iter()
            .map(|d| d.now.iter().map(|&value| Block::holding(vec![value])).collect())
            .collect();
        let extents = profile.blocks.div_ceil(profile.extent_blocks);
        let inner = Inner {
            profile,
            rng: fastrand::Rng::with_seed(seed),
            devices,
            area: Area::new(bytes as usize, profile.persist_flush),
            held: Vec::new(),
            hosts: BTreeMap::new(),
            models,
            operations_done: BTreeMap::new(),
            events: Vec::new(),
            restoring: None,
            reversing: 0,
            view: 0,
            generation: 0,
            next_value: 1 << 60,
            steps: 0,
            power_fails_at: u64::MAX,
            fault_seen: false,
            metadata_fault_seen: false,
            bad_blocks: None,
            flushes: Vec::new(),
            statuses: Vec::new(),
            failed: Vec::new(),
            finished: Vec::new(),
            submissions: Vec::new(),
            format: Format::new(extents, profile.clones, profile.map_per_clone, UNIT_BYTES, UNIT_BYTES),
            members: Vec::new(),
            usable: vec![false; profile.clones + 1],
            fracture_values: vec![Vec::new(); profile.blocks],
            choose: None,
            log: Vec::new(),
            told: Vec::new(),
            missing: Vec::new(),
            zeroes: Vec::new(),
            source_invalid: false,
            mixture: vec![Vec::new(); profile.blocks],
            view_content: vec![0; profile.blocks],
            view_reversing: false,
            boundary: None,
            bad_unit: None,
        };
        Box::new(World {
            inner: RefCell::new(inner),
            group: Cell::new(std::ptr::null_mut()),
            workspace: Vec::new(),
            next_tag: Cell::new(1),
        })
    }

    pub fn group(&self) -> *mut clone_group {
        self.group.get()
    }

    /// Makes the group over what the devices hold now. The old one, if any, is gone like after a power loss.
    pub fn power_on(&mut self) {
        let profile = self.inner.borrow().profile;
        let mut bytes = 0;
        // SAFETY: valid places; the workspace lives as long as the world, and the old group is not used again.
        unsafe {
            assert_eq!(clone_group_workspace_size(&config(&profile), &mut bytes), CLONE_GROUP_OK);
            self.workspace = vec![0; bytes as usize / 8 + 1];
            let mut ops: clone_group_ops = std::mem::zeroed();
            clone_group_ops_init(&mut ops, size_of::<clone_group_ops>() as u32);
            ops.context = (self as *const World).cast_mut().cast();
            ops.read = Some(submitted);
            ops.write = Some(submitted);
            ops.flush = Some(submitted);
            let missing = self.inner.borrow().missing.clone();
            let unless_missing =
                |operation| if missing.contains(&operation) { None } else { Some(submitted as IoCallback) };
            ops.discard = unless_missing(CLONE_GROUP_IO_DISCARD);
            ops.write_zeroes = unless_missing(CLONE_GROUP_IO_WRITE_ZEROES);
            ops.copy = if profile.offload { Some(submitted) } else { None };
            ops.persist_read = Some(submitted);
            ops.persist_write = Some(submitted);
            ops.persist_flush = if profile.persist_flush { Some(submitted) } else { None };
            ops.done = Some(done);
            ops.event = Some(event);
            let mut group = std::ptr::null_mut();
            let workspace = self.workspace.as_mut_ptr().cast();
            let made = clone_group_create(&config(&profile), &ops, workspace, bytes, &mut group);
            assert_eq!(made, CLONE_GROUP_OK);
            self.group.set(group);
        }
        for lu in 0..=profile.clones {
            let volatile = if profile.volatile { CLONE_GROUP_LU_VOLATILE_CACHE } else { 0 };
            let zeroes = if self.inner.borrow().reads_zeroes(lu) { CLONE_GROUP_LU_DISCARD_ZEROES } else { 0 };
            let described = clone_group_lu {
                struct_size: size_of::<clone_group_lu>() as u32,
                flags: volatile | zeroes,
                identity: [(lu as u8).wrapping_add(1); 16],
            };
            // SAFETY: a live group and a valid struct.
            assert_eq!(unsafe { clone_group_lu_attach(self.group(), lu as u32, &described) }, CLONE_GROUP_OK);
        }
    }

    fn tag(&self) -> u64 {
        let tag = self.next_tag.get();
        self.next_tag.set(tag + 1);
        tag
    }

    // ------------------------------------------------------------- operations

    /// Calls an operation; returns its tag, or its error.
    pub fn operation(&self, call: impl FnOnce(*mut clone_group, u64) -> i32) -> Result<u64, i32> {
        let tag = TAG_OPERATION + self.tag();
        let status = call(self.group(), tag);
        trace(|| format!("operation {tag} returned {status}"));
        match status {
            CLONE_GROUP_PENDING => Ok(tag),
            status => Err(status),
        }
    }

    /// Polls and completes until the operation is done. Fails the test if that does not happen.
    pub fn run_operation(&self, call: impl FnOnce(*mut clone_group, u64) -> i32) -> i32 {
        let tag = match self.operation(call) {
            Ok(tag) => tag,
            Err(status) => return status,
        };
        for _ in 0..200_000 {
            if let Some(status) = self.inner.borrow_mut().operations_done.remove(&tag) {
                return status;
            }
            if self.power_is_off() {
                return i32::MIN;
            }
            self.poll(4);
            self.complete_some(2);
        }
        panic!("an operation does not end");
    }

    pub fn done_operation(&self, tag: u64) -> Option<i32> {
        self.inner.borrow_mut().operations_done.remove(&tag)
    }

    pub fn poll(&self, budget: u32) -> i32 {
        // SAFETY: a live group.
        no_violation(unsafe { clone_group_cod_poll(self.group(), budget) })
    }

    pub fn step(&self, budget: u32) -> i32 {
        // SAFETY: a live group.
        no_violation(unsafe { clone_group_sync_step(self.group(), budget) })
    }

    pub fn info(&self) -> clone_group_info {
        // SAFETY: a struct of integers; a live group.
        unsafe {
            let mut info: clone_group_info = std::mem::zeroed();
            info.struct_size = size_of::<clone_group_info>() as u32;
            assert_eq!(clone_group_query(self.group(), &mut info), CLONE_GROUP_OK);
            info
        }
    }

    pub fn clone_info(&self, lu: usize) -> clone_group_clone_info {
        // SAFETY: a struct of integers; a live group.
        unsafe {
            let mut info: clone_group_clone_info = std::mem::zeroed();
            info.struct_size = size_of::<clone_group_clone_info>() as u32;
            assert_eq!(clone_group_clone_query(self.group(), lu as u32, &mut info), CLONE_GROUP_OK);
            info
        }
    }

    pub fn statistics(&self) -> clone_group_statistics {
        // SAFETY: a struct of integers; a live group.
        unsafe {
            let mut info: clone_group_statistics = std::mem::zeroed();
            info.struct_size = size_of::<clone_group_statistics>() as u32;
            assert_eq!(clone_group_statistics_query(self.group(), &mut info), CLONE_GROUP_OK);
            info
        }
    }

    pub fn map(&self, kind: u32, lu: usize) -> Vec<bool> {
        let profile = self.inner.borrow().profile;
        let extents = profile.blocks.div_ceil(profile.extent_blocks);
        let mut bytes = vec![0_u8; extents.div_ceil(8)];
        let length = bytes.len() as u64;
        // SAFETY: a live group and so many bytes.
        let status = unsafe {
            clone_group_map_read(self.group(), kind, lu as u32, 0, extents as u64, bytes.as_mut_ptr(), length)
        };
        assert_eq!(status, CLONE_GROUP_OK);
        (0..extents).map(|extent| bytes[extent / 8] >> (extent % 8) & 1 == 1).collect()
    }

    // ------------------------------------------------------------------- hosts

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

    // -------------------------------------------------------------- the devices

    pub fn power_is_off(&self) -> bool {
        let inner = self.inner.borrow();
        inner.steps >= inner.power_fails_at
    }

    pub fn held(&self) -> usize {
        self.inner.borrow().held.len()
    }

    /// The LUs were replaced: what they hold now is what hosts find.
    pub fn hosts_hold_what_the_lus_hold(&self) {
        let inner = &mut *self.inner.borrow_mut();
        let holding = |device: &Device| device.now.iter().map(|&value| Block::holding(vec![value])).collect();
        inner.models = inner.devices.iter().map(holding).collect();
    }

    /// The operation of the only I/O that is held.
    pub fn only_held(&self) -> Option<u32> {
        match &self.inner.borrow().held[..] {
            [held] => Some(held.io.operation),
            _ => None,
        }
    }

    /// Where the copies of the map pages lie in the area.
    pub fn page_copies(&self) -> Vec<std::ops::Range<usize>> {
        self.inner.borrow().format.page_copies()
    }

    /// Completes up to so many held I/Os, in any order.
    pub fn complete_some(&self, most: usize) {
        for _ in 0..most {
            let (io, status) = {
                let inner = &mut *self.inner.borrow_mut();
                if inner.held.is_empty() || inner.steps >= inner.power_fails_at {
                    return;
                }
                let at = inner.rng.usize(..inner.held.len());
                let held = inner.held.swap_remove(at);
                (held.io, inner.perform(&held))
            };
            self.at_boundary();
            // SAFETY: a live group.
            assert_eq!(unsafe { clone_group_io_complete(self.group(), io.id, status) }, CLONE_GROUP_OK);
            if io.operation == CLONE_GROUP_IO_FLUSH && status != CLONE_GROUP_OK {
                // What the cache dropped is stale until a poll hears of it: no contract covers that moment.
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

    /// Polls without completing anything that is held, and without background copies.
    pub fn poll_still(&self) {
        for _ in 0..40 {
            self.poll(64);
        }
    }

    /// The same with background copies.
    pub fn step_still(&self) {
        for _ in 0..40 {
            self.step(8);
        }
    }

    /// How a host request ended, if it did.
    pub fn ended(&self, tag: u64) -> Option<bool> {
        let inner = self.inner.borrow();
        if inner.hosts.contains_key(&tag) { None } else { Some(!inner.failed.contains(&tag)) }
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
            inner.fault_seen = true;
            if held.io.operation == CLONE_GROUP_IO_FLUSH {
                inner.drop_cached(held.io.lu as usize);
            }
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

    /// Everything that is asked for is done, and all copies are made.
    pub fn settle(&self) {
        for _ in 0..400_000 {
            let state = self.step(8);
            assert!(state >= 0, "a poll returned {state}");
            self.complete_some(4);
            if self.power_is_off() || state == CLONE_GROUP_OK && self.held() == 0 && self.hosts_open() == 0 {
                return;
            }
        }
        panic!("the group does not come to rest");
    }

    /// As `settle`, for a restore that cannot end.
    pub fn settle_or_stall(&self) {
        for _ in 0..10_000 {
            self.step(8);
            self.complete_some(4);
        }
        assert_eq!((self.held(), self.hosts_open()), (0, 0), "the group does not come to rest");
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
        let fate: super::device::Fate = &fate;
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
        inner.held.clear();
        inner.hosts.clear();
        inner.operations_done.clear();
        inner.finished.clear();
        inner.events.clear();
        inner.power_fails_at = u64::MAX;
        inner.steps = 0;
    }

    /// After Recovery: every block holds a legal value, and the same one when it is read again (R59).
    pub fn check_lu_after_loss(&self, lu: usize) {
        let blocks = self.inner.borrow().profile.blocks;
        let chunk = 5;
        for first in (0..blocks).step_by(chunk) {
            let count = chunk.min(blocks - first);
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
    }

    /// Wherever Source and Clone differ on the media, the Delta Map says so, or the extent still has to be
    /// copied, or hosts wrote it during the restore (I2).
    pub fn check_delta_maps(&self) {
        let members = self.inner.borrow().members.clone();
        let restored = self.map(CLONE_GROUP_MAP_PROTECTED_RESTORE, 0);
        for lu in members {
            let info = self.clone_info(lu);
            let delta = self.map(CLONE_GROUP_MAP_DELTA, lu);
            let inner = self.inner.borrow();
            let extent_blocks = inner.profile.extent_blocks;
            for block in 0..inner.profile.blocks {
                let extent = block / extent_blocks;
                let differs = inner.devices[0].now[block] != inner.devices[lu].now[block];
                let protected = info.state == CLONE_GROUP_CLONE_RESTORING && restored[extent];
                assert!(
                    !differs || delta[extent] || protected,
                    "block {block} of LU {lu} differs from the Source, and extent {extent} is not in its Delta Map (I2)"
                );
            }
        }
    }

    /// The view may have changed already though the event that says so is still on its way.
    fn catch_up(&self) {
        let info = self.info();
        let inner = &mut *self.inner.borrow_mut();
        inner.reversing = info.reversing_lu as usize;
        let from = info.restoring_lu.max(info.reversing_lu);
        if from != 0 && info.restore_generation != inner.generation {
            inner.generation = info.restore_generation;
            inner.restore_began(from as usize, info.restore_generation);
        }
        inner.follow_validity(&info);
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

    /// Every block of the LU is one that a host may read now.
    pub fn check_lu_now(&self, lu: usize) {
        let blocks = self.inner.borrow().profile.blocks;
        for first in (0..blocks).step_by(7) {
            let count = 7.min(blocks - first);
            let values = self.read_now(lu, first, count).expect("a read");
            let inner = self.inner.borrow();
            for (number, value) in values.iter().enumerate() {
                let legal = inner.models[lu][first + number].readable();
                assert!(
                    legal.contains(value),
                    "LU {lu} block {} reads {value:#x}, legal {legal:x?}",
                    first + number
                );
            }
        }
    }
}

impl Inner {
    /// Whether the LU declares that discarded blocks read as zeroes.
    fn reads_zeroes(&self, lu: usize) -> bool {
        self.profile.discard_zeroes || self.zeroes.contains(&lu)
    }

    /// Does what a test chose; returns the status of the I/O.
    fn perform_choice(&mut self, held: &Held, how: Choice) -> i32 {
        let (Choice::Fail(status) | Choice::FailDone(status)) = how else {
            return self.perform(held);
        };
        let lu = held.io.lu as usize;
        self.fault_seen = true;
        self.metadata_fault_seen |= Inner::is_metadata(&held.io);
        match held.io.operation {
            _ if how == Choice::Fail(status) => {}
            CLONE_GROUP_IO_PERSIST_WRITE => self.area.write(held.io.offset_bytes as usize, &held.bytes),
            CLONE_GROUP_IO_FLUSH => self.drop_cached(lu),
            _ if !held.values.is_empty() => {
                self.devices[lu].write(held.io.first_block as usize, &held.values, false);
            }
            _ => {}
        }
        status
    }

    pub fn chance(&mut self, of_65536: u32) -> bool {
        self.rng.u32(..65536) < of_65536
    }

    fn is_metadata(io: &clone_group_io) -> bool {
        io.lu == CLONE_GROUP_LU_NONE
    }

    /// Does what the I/O asks for; returns its status.
    fn perform(&mut self, held: &Held) -> i32 {
        self.steps += 1;
        trace(|| format!("over   {}", describe(&held.io)));
        match held.end {
            Choice::FailLater(status) => return self.perform_choice(held, Choice::Fail(status)),
            Choice::FailDoneLater(status) => return self.perform_choice(held, Choice::FailDone(status)),
            _ => {}
        }
        let io = &held.io;
        if Inner::is_metadata(io) {
            return self.perform_metadata(held);
        }
        let (lu, first, count) = (io.lu as usize, io.first_block as usize, io.block_count as usize);
        if self.chance(self.profile.faults) {
            return self.perform_failure(held);
        }
        let fua = io.flags & CLONE_GROUP_IO_FUA != 0;
        let bad = self
            .bad_blocks
            .is_some_and(|(bad_lu, block)| bad_lu == lu && (first..first + count).contains(&block));
        if bad && io.operation == CLONE_GROUP_IO_READ {
            return -5;
        }
        match io.operation {
            CLONE_GROUP_IO_READ => {
                let values = self.devices[lu].now[first..first + count].to_vec();
                store(io, &values);
            }
            CLONE_GROUP_IO_FLUSH => self.devices[lu].flush(&held.sealed),
            CLONE_GROUP_IO_DISCARD if !self.reads_zeroes(lu) && self.rng.bool() => {}
            _ => self.devices[lu].write(first, &held.values, fua),
        }
        CLONE_GROUP_OK
    }

    /// A failed write leaves the old or the new in each block; a failed flush may have dropped what it should have
    /// written (R24).
    fn perform_failure(&mut self, held: &Held) -> i32 {
        self.fault_seen = true;
        let (lu, first) = (held.io.lu as usize, held.io.first_block as usize);
        for (number, &value) in held.values.iter().enumerate() {
            if self.rng.bool() {
                self.devices[lu].write(first + number, &[value], false);
            }
        }
        if held.io.operation == CLONE_GROUP_IO_FLUSH && self.rng.bool() {
            self.drop_cached(lu);
        }
        -5
    }

    /// A flush failed, and what it should have written is lost: hosts may see what was there before.
    fn drop_cached(&mut self, lu: usize) {
        self.devices[lu].drop_cached();
        // In a Reverse Synchronization the Clone has what hosts see on the Source (R41).
        let lu = match self.reversing {
            0 => lu,
            _ if lu == 0 => return,
            reversing if reversing == lu => 0,
            _ => lu,
        };
        self.models[lu].iter_mut().for_each(Block::lose_cached);
        let readers = self.hosts.values_mut().filter(|op| op.lu == lu && op.operation == CLONE_GROUP_IO_READ);
        for read in readers {
            for (number, legal) in read.readable.iter_mut().enumerate() {
                legal.extend(self.models[lu][read.first + number].readable());
                // A copy that was dropped uncovers what lay below it, for reads that are under way.
                if lu == 0 && self.restoring.is_some() {
                    legal.extend(&self.mixture[read.first + number]);
                }
            }
        }
    }

    fn perform_metadata(&mut self, held: &Held) -> i32 {
        let io = &held.io;
        let (offset, length) = (io.offset_bytes as usize, io.length_bytes as usize);
        if io.operation == CLONE_GROUP_IO_PERSIST_WRITE && self.chance(self.profile.metadata_faults) {
            self.metadata_fault_seen = true;
            if self.rng.bool() {
                self.area.write(offset, &held.bytes);
            }
            return -5;
        }
        let touched = self.bad_unit.is_some_and(|bad| bad < offset + length && offset < bad + UNIT_BYTES);
        match io.operation {
            CLONE_GROUP_IO_PERSIST_READ if touched => return -5,
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
                if touched {
                    self.bad_unit = None;
                }
            }
            _ => self.area.flush(held.sealed_area),
        }
        CLONE_GROUP_OK
    }

    /// The device sees an I/O: may it be submitted at all?
    fn check_submission(&self, io: &clone_group_io, restoring: bool, states: &[u32]) {
        let writes = matches!(
            io.operation,
            CLONE_GROUP_IO_WRITE | CLONE_GROUP_IO_WRITE_ZEROES | CLONE_GROUP_IO_DISCARD | CLONE_GROUP_IO_COPY
        );
        if !writes {
            return;
        }
        let host = io.flags & CLONE_GROUP_IO_HOST != 0;
        let lu = io.lu as usize;
        if let (Some((clone, _, _)), true) = (&self.restoring, restoring) {
            assert_ne!(lu, *clone, "the Clone that is restored from is written (I1)");
        }
        let (first, count) = (io.first_block as usize, io.block_count as usize);
        let extents = first / self.profile.extent_blocks..=(first + count - 1) / self.profile.extent_blocks;
        for extent in extents {
            self.check_extent(io, extent, host, restoring, states);
        }
        if lu == 0 && !host && restoring {
            let overlap = self.held.iter().any(|other| {
                let host_write =
                    other.io.flags & CLONE_GROUP_IO_HOST != 0 && other.io.operation != CLONE_GROUP_IO_READ;
                let end = other.io.first_block + other.io.block_count;
                other.io.lu == 0
                    && host_write
                    && other.io.first_block < io.first_block + io.block_count
                    && io.first_block < end
            });
            assert!(!overlap, "a copy and a host write of the same blocks are under way together (I6)");
        }
    }

    /// The bits of R1 and R6 are durable before a write goes out (I11).
    fn check_extent(&self, io: &clone_group_io, extent: usize, host: bool, restoring: bool, states: &[u32]) {
        let (lu, first, count) = (io.lu as usize, io.first_block as usize, io.block_count as usize);
        let area = self.area.durable();
        if self.members.is_empty() || !host && lu != 0 {
            return;
        }
        // One that is OutOfSync may count as different as a whole, without a bit (R73).
        let marked = |clone: usize| match states[clone] {
            CLONE_GROUP_CLONE_ABSENT | CLONE_GROUP_CLONE_OUT_OF_SYNC if self.profile.map_per_clone => true,
            _ => self.format.delta(area, extent, clone),
        };
        if host && (lu == 0 || self.members.contains(&lu)) {
            let concerned = |clone: &&usize| lu == 0 || **clone == lu;
            assert!(
                self.members.iter().filter(concerned).all(|&clone| marked(clone)),
                "a host write to extent {extent} of LU {lu} goes out before its bit is durable (R1), operation {}",
                io.operation
            );
        }
        if let (Some((_, _, generation)), true, 0, true) = (&self.restoring, host, lu, restoring) {
            let start = extent * self.profile.extent_blocks;
            let end = (start + self.profile.extent_blocks).min(self.profile.blocks);
            let covered = first <= start && end <= first + count;
            assert!(
                covered || self.format.protected_restore(area, extent, *generation),
                "a host write to a part of extent {extent} goes out before P is durable (R6)"
            );
        }
    }

    /// A request is over: does the model agree?
    fn host_done(&mut self, tag: u64, status: i32) {
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

    /// The state of a Clone changed.
    pub fn state_changed(&mut self, lu: usize, state: u32) {
        self.members.retain(|&member| member != lu);
        if state != CLONE_GROUP_CLONE_ABSENT {
            self.members.push(lu);
        }
        match state {
            CLONE_GROUP_CLONE_FRACTURED if !self.usable[lu] => self.adopt(lu),
            CLONE_GROUP_CLONE_FRACTURED | CLONE_GROUP_CLONE_RESTORING => {}
            _ => self.usable[lu] = false,
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
        self.models[lu] = content.iter().map(|&value| Block::holding(vec![value])).collect();
        self.usable[lu] = true;
    }

    /// A fracture, or a restore that brings one about, is asked for.
    pub fn note_fracture(&mut self) {
        self.fracture_values = self.models[0].iter().map(Block::readable).collect();
    }

    /// The Source may have become invalid, or have been accepted.
    fn follow_validity(&mut self, info: &clone_group_info) {
        let invalid = info.conditions & CLONE_GROUP_CONDITION_SOURCE_INVALID != 0;
        if self.source_invalid && !invalid && info.restoring_lu == 0 && info.reversing_lu == 0 {
            self.source_accepted();
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
        self.view += 1;
        self.models[0] = content.iter().map(|&value| Block::holding(vec![value])).collect();
        // Requests that were held across the start see the new view as well.
        let view = self.view;
        let models = &mut self.models;
        for op in self.hosts.values_mut().filter(|op| op.lu == 0) {
            op.view = view;
            let blocks = op.first..op.first + op.count;
            match op.operation {
                CLONE_GROUP_IO_READ => {
                    for (legal, block) in op.readable.iter_mut().zip(&models[0][blocks]) {
                        legal.extend(block.readable());
                    }
                }
                CLONE_GROUP_IO_FLUSH => op.sealed = models[0].iter().map(Block::seal).collect(),
                _ => models[0][blocks].iter_mut().for_each(|block| block.begin(op.value)),
            }
        }
        self.restoring = (self.reversing != lu).then_some((lu, content, generation));
    }
}

/// With CLONE_GROUP_TRACE set, a replay tells what happens.
pub fn trace(line: impl FnOnce() -> String) {
    static WANTED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    if *WANTED.get_or_init(|| std::env::var_os("CLONE_GROUP_TRACE").is_some()) {
        println!("{}", line());
    }
}

fn describe(io: &clone_group_io) -> String {
    let names = [
        "",
        "read",
        "write",
        "flush",
        "discard",
        "zeroes",
        "copy",
        "persist-read",
        "persist-write",
        "persist-flush",
    ];
    let kind = names[io.operation as usize];
    let (end, flags) = (io.first_block + io.block_count, io.flags);
    if io.operation >= CLONE_GROUP_IO_PERSIST_READ {
        return format!("{kind} at {} id {:x}", io.offset_bytes, io.id);
    }
    format!("{kind} LU {} blocks {}..{end} flags {flags:x} id {:x}", io.lu, io.first_block, io.id)
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

fn fetch(io: &clone_group_io) -> Vec<u64> {
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

thread_local! {
    /// A check inside a callback failed. The panic may not cross the C boundary; the driver goes on with it.
    static VIOLATED: Cell<bool> = const { Cell::new(false) };
}

fn caught<R>(failed: R, check: impl FnOnce() -> R) -> R {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).unwrap_or_else(|_| {
        VIOLATED.set(true);
        failed
    })
}

fn no_violation<R>(result: R) -> R {
    assert!(!VIOLATED.take(), "a check inside a callback failed");
    result
}

/// Every I/O callback.
unsafe extern "C" fn submitted(context: *mut c_void, io: *const clone_group_io) -> i32 {
    // SAFETY: the world that was given as context, and an I/O that is valid during the call.
    let (world, io) = unsafe { (&*context.cast::<World>(), *io) };
    caught(-5, || {
        if world.inner.borrow().boundary.is_none() {
            return submit(world, io);
        }
        // What was written so far counts, also where this I/O is done at once.
        world.catch_up();
        let status = submit(world, io);
        world.at_boundary();
        status
    })
}

fn submit(world: &World, io: clone_group_io) -> i32 {
    // The event that a restore is over may be on its way still.
    let restoring = world.info().restoring_lu != 0;
    let clones = world.inner.borrow().profile.clones;
    let states: Vec<u32> =
        (0..=clones).map(|lu| if lu == 0 { 0 } else { world.clone_info(lu).state }).collect();
    let inner = &mut *world.inner.borrow_mut();
    inner.steps += 1;
    if inner.rng.u32(..256) < inner.profile.retry {
        return CLONE_GROUP_RETRY;
    }
    let choice = match inner.choose.as_mut() {
        Some(choose) => choose(&io),
        None => Choice::AsProfile,
    };
    if choice == Choice::Retry {
        return CLONE_GROUP_RETRY;
    }
    inner.log.push(io);
    trace(|| format!("submit {}", describe(&io)));
    inner.check_submission(&io, restoring, &states);
    inner.submissions.push((io.operation, io.lu, io.flags));
    let count = io.block_count as usize;
    let values = match io.operation {
        CLONE_GROUP_IO_WRITE => fetch(&io),
        CLONE_GROUP_IO_WRITE_ZEROES | CLONE_GROUP_IO_DISCARD => vec![0; count],
        CLONE_GROUP_IO_COPY => {
            let first = io.first_block as usize;
            inner.devices[io.source_lu as usize].now[first..first + count].to_vec()
        }
        _ => Vec::new(),
    };
    let bytes = if io.operation == CLONE_GROUP_IO_PERSIST_WRITE {
        // SAFETY: the library's buffer of this length.
        unsafe { std::slice::from_raw_parts(io.buffer.cast::<u8>(), io.length_bytes as usize).to_vec() }
    } else {
        Vec::new()
    };
    let sealed =
        if io.operation == CLONE_GROUP_IO_FLUSH { inner.devices[io.lu as usize].seal() } else { Vec::new() };
    let held = Held { io, values, bytes, sealed, sealed_area: inner.area.seal(), end: choice };
    let off = inner.steps >= inner.power_fails_at;
    match choice {
        Choice::Now | Choice::Fail(_) | Choice::FailDone(_) if !off => {
            return inner.perform_choice(&held, choice);
        }
        Choice::Early => {
            let status = inner.perform(&held);
            // SAFETY: a live group.
            assert_eq!(unsafe { clone_group_io_complete(world.group(), io.id, status) }, CLONE_GROUP_OK);
            return CLONE_GROUP_PENDING;
        }
        Choice::Hold | Choice::FailLater(_) | Choice::FailDoneLater(_) => {
            inner.held.push(held);
            return CLONE_GROUP_PENDING;
        }
        _ => {}
    }
    if !off && inner.rng.u32(..256) < inner.profile.immediate {
        return inner.perform(&held);
    }
    inner.held.push(held);
    CLONE_GROUP_PENDING
}

unsafe extern "C" fn done(context: *mut c_void, tag: u64, status: i32) {
    // SAFETY: the world that was given as context.
    let world = unsafe { &*context.cast::<World>() };
    caught((), || {
        let inner = &mut *world.inner.borrow_mut();
        if tag >= TAG_OPERATION {
            assert!(inner.operations_done.insert(tag, status).is_none(), "an operation is done twice");
        } else {
            inner.host_done(tag, status);
        }
    });
    caught((), || world.at_boundary());
}

unsafe extern "C" fn event(context: *mut c_void, event: *const clone_group_event) {
    // SAFETY: the world that was given as context, and an event that is valid during the call.
    let (world, event) = unsafe { (&*context.cast::<World>(), &*event) };
    caught((), || {
        world.catch_up();
        told(&mut world.inner.borrow_mut(), event);
    });
}

fn told(inner: &mut Inner, event: &clone_group_event) {
    trace(|| {
        format!("event {} LU {} value {} status {}", event.kind, event.lu as i32, event.value, event.status)
    });
    inner.events.push((event.kind, event.lu, event.status));
    inner.told.push((event.kind, event.lu, event.value));
    match event.kind {
        CLONE_GROUP_EVENT_RESTORED => {
            inner.restoring = None;
            inner.view_reversing = false;
        }
        CLONE_GROUP_EVENT_REVERSE_SYNCHRONIZED => inner.view_reversing = false,
        CLONE_GROUP_EVENT_CANCELED
            if inner.restoring.as_ref().is_some_and(|of| of.0 == event.lu as usize) =>
        {
            inner.restoring = None;
        }
        CLONE_GROUP_EVENT_CLONE_STATE => inner.state_changed(event.lu as usize, event.value as u32),
        _ => {}
    }
}
