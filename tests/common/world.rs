//! One simulated array around the real C ABI: LUs with or without a volatile cache, a persistent area that
//! tears, completions in any order, faults, power losses, and a model of what hosts may see. Everything comes
//! from one seed. The devices themselves check, at every submission, that the Clone that is restored from is
//! not written (I1), that no copy overwrites a host write under way (I6), and that the bits that R1 and R6 ask for
//! are durable (I11).
//!
//! One noun, one file: `profile` (what it is made of), `group` (what one asks of the library), `hosts`, `controller`
//! (which holds I/Os and does them), `lasting_fault`, `excuse`
//! (what of hosts may fail with an I/O, and has to), `flush_record`, `newest_copy`, `callbacks`, `checks` (at every submission, and of media and maps), `promises` (of
//! metadata that goes out), `view` (what hosts see as the Source), `power`, `trace`, `rest` and `closed` (what must hold
//! when nothing is under way), `damage` (what cannot be read), `outlook` (what Recovery must make of it), `misfit` (what it
//! must refuse), `slips` (of the controller), `unknown` (a superblock whose write failed),
//! `urgent` (copies on demand).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;

use super::device::{Area, Device, UNIT_BYTES};
use super::history::History;
use super::model::Block;
use super::pages::Format;

mod anew;
mod callbacks;
mod checks;
mod closed;
mod comparisons;
mod controller;
pub mod damage;
mod digest;
mod excuse;
mod flush_record;
mod flushed_operation;
pub mod fork;
mod group;
mod habits;
mod hosts;
mod lasting_fault;
mod misfit;
mod newest_copy;
mod outlook;
mod placed;
mod power;
mod profile;
mod promises;
mod rest;
mod rot;
mod slips;
mod trace;
mod unknown;
mod unresolved;
mod urgent;
mod view;

use callbacks::{done, event, submitted};
use comparisons::Comparisons;
use controller::Held;
use damage::Damage;
use excuse::Excuse;
use flush_record::FlushRecord;
use flushed_operation::FlushedOperation;
use newest_copy::LastCopies;
use profile::config;
use slips::Slips;
use urgent::Urgent;

// Each test uses a part of it.
#[allow(unused_imports)]
pub use self::{
    callbacks::IoCallback,
    controller::{Choice, Chooser, Hung},
    digest::Tally,
    habits::{Habits, Reenter},
    hosts::HostOp,
    lasting_fault::{Failing, LastingFault},
    misfit::Misfit,
    outlook::Outlook,
    placed::Placed,
    profile::Profile,
    trace::trace,
};

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
    /// Faults that last.
    pub lasting: Vec<LastingFault>,
    /// Blocks that cannot be read until they are written: LU, block.
    pub bad_blocks: Vec<(usize, usize)>,
    /// Since copies onto the Source began: flushes of it that failed, and extents of which a copy failed
    /// that was of nothing else.
    pub flushes_failed: u64,
    pub failed_alone: std::collections::BTreeSet<usize>,
    /// A metadata write failed, and no repair has worked since (R33).
    pub metadata_unrepaired: bool,
    last_copies: LastCopies,
    /// Copies of metadata that could not be read when they were to be, by offset: nobody knows whether they are newer.
    unread: std::collections::BTreeSet<usize>,
    /// Pages, and the superblock, that were written since a repair was asked for, by the offset of the first copy.
    written: std::collections::BTreeSet<usize>,
    /// By LU: its flushes.
    flush_records: Vec<FlushRecord>,
    /// The last one that was asked for and flushes LUs.
    flushed_operation: Option<FlushedOperation>,
    /// A flush failed, and no poll has begun since, so that the library does not know.
    flush_unheard: bool,
    /// The same of copies.
    copies_unheard: Vec<clone_group_io>,
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
    /// What the controller is like, besides the profile.
    pub habits: Habits,
    /// What hosts did and saw, block by block.
    pub history: History,
    /// When a Fracture was asked for, in the history of the Source that counted then.
    cut: Option<(u64, u64)>,
    /// Of everything that happened: two lives with one seed have the same.
    pub digest: u64,
    pub tally: Tally,
    /// How often the controller was asked to complete something: the time of I/Os that hang.
    turn: u64,
    /// Extents whose bit of the Protected Restore Map was checked when it went out (I5), and the generation.
    protected: (u64, Vec<bool>),
    /// The sequence number of the superblock for which hosts are held.
    gate_closed_by: Option<u64>,
    /// Called whenever something happened: an I/O was submitted or is over, a request or an operation is done.
    pub boundary: Option<Watcher>,
    /// Extents that hosts were writing at one time, at most.
    written_at_once: u64,
    /// Blocks that decayed: LU, block.
    rotten: Vec<(usize, usize)>,
    /// Polls that there were, and the I/Os that were submitted before the last one.
    polls: u64,
    polled_from: u64,
    /// What the controller does not complete.
    pub hung: Option<Hung>,
    /// What Verify read.
    comparisons: Comparisons,
    /// Units of metadata that cannot be read.
    pub damage: Damage,
    slips: Slips,
    /// The sequence number of a superblock whose write failed (R33).
    unknown: Option<u64>,
    /// Writes of metadata when the group was last at rest.
    rested: usize,
    /// Operations that were asked for and are not done.
    operations_open: u64,
    urgent: Urgent,
}

/// Looks at the array whenever something happened.
pub type Watcher = Box<dyn FnMut(&World)>;

/// The array. Callbacks get it shared.
pub struct World {
    pub inner: RefCell<Inner>,
    group: Cell<*mut clone_group>,
    /// Where it is: what callbacks get.
    place: Cell<*mut World>,
    workspace: Vec<u64>,
    next_tag: Cell<u64>,
    /// What hosts do from inside callbacks.
    reenter: RefCell<Option<Reenter>>,
}

pub const TAG_OPERATION: u64 = 1 << 40;

impl World {
    #[allow(clippy::new_ret_no_self)] // It is one, in its place.
    pub fn new(profile: Profile, seed: u64) -> Placed {
        World::with_habits(profile, Habits::default(), seed)
    }

    pub fn with_habits(profile: Profile, habits: Habits, seed: u64) -> Placed {
        let mut bytes = 0;
        let config = config(&profile, &habits);
        // SAFETY: valid places.
        assert_eq!(unsafe { clone_group_metadata_size(&config, &mut bytes) }, CLONE_GROUP_OK);
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
            lasting: Vec::new(),
            bad_blocks: Vec::new(),
            flushes_failed: 0,
            failed_alone: std::collections::BTreeSet::new(),
            metadata_unrepaired: false,
            last_copies: LastCopies::new(),
            unread: Default::default(),
            written: Default::default(),
            flush_records: vec![FlushRecord::default(); profile.clones + 1],
            flushed_operation: None,
            flush_unheard: false,
            copies_unheard: Vec::new(),
            flushes: Vec::new(),
            statuses: Vec::new(),
            failed: Vec::new(),
            finished: Vec::new(),
            submissions: Vec::new(),
            format: Format::new(extents, profile.clones_max(), profile.map_per_clone, UNIT_BYTES, UNIT_BYTES),
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
            habits,
            history: History::new(profile.clones + 1, profile.blocks),
            cut: None,
            digest: seed,
            tally: Tally::default(),
            turn: 0,
            protected: (0, vec![false; extents]),
            gate_closed_by: None,
            boundary: None,
            written_at_once: 0,
            rotten: Vec::new(),
            polls: 0,
            polled_from: 0,
            hung: None,
            comparisons: Comparisons::default(),
            damage: Damage::default(),
            slips: Slips::default(),
            unknown: None,
            rested: 0,
            operations_open: 0,
            urgent: Urgent::default(),
        };
        Placed::new(World {
            inner: RefCell::new(inner),
            group: Cell::new(std::ptr::null_mut()),
            place: Cell::new(std::ptr::null_mut()),
            workspace: Vec::new(),
            next_tag: Cell::new(1),
            reenter: RefCell::new(None),
        })
    }

    pub fn group(&self) -> *mut clone_group {
        self.group.get()
    }

    /// Makes the group over what the devices hold now. The old one, if any, is gone like after a power loss.
    pub fn power_on(&mut self) {
        let (profile, habits) = (self.inner.borrow().profile, self.inner.borrow().habits);
        self.inner.get_mut().comparisons = Comparisons::default();
        (self.inner.get_mut().slips, self.inner.get_mut().unknown) = (Slips::default(), None);
        let mut bytes = 0;
        // SAFETY: valid places; the workspace lives as long as the world, and the old group is not used again.
        unsafe {
            assert_eq!(clone_group_workspace_size(&config(&profile, &habits), &mut bytes), CLONE_GROUP_OK);
            self.workspace = vec![0; bytes as usize / 8 + 1];
            let mut ops: clone_group_ops = std::mem::zeroed();
            clone_group_ops_init(&mut ops, size_of::<clone_group_ops>() as u32);
            ops.context = self.place.get().cast();
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
            let made = clone_group_create(&config(&profile, &habits), &ops, workspace, bytes, &mut group);
            assert_eq!(made, CLONE_GROUP_OK);
            self.group.set(group);
        }
        (0..=profile.clones).for_each(|lu| self.attach_lu(lu));
    }

    /// The LU stands behind its number.
    fn attach_lu(&self, lu: usize) {
        self.attach(lu, [(lu as u8).wrapping_add(1); 16]);
    }

    fn attach(&self, lu: usize, identity: [u8; 16]) {
        let volatile = if self.inner.borrow().profile.volatile { CLONE_GROUP_LU_VOLATILE_CACHE } else { 0 };
        let zeroes = if self.inner.borrow().reads_zeroes(lu) { CLONE_GROUP_LU_DISCARD_ZEROES } else { 0 };
        let struct_size = size_of::<clone_group_lu>() as u32;
        let described = clone_group_lu { struct_size, flags: volatile | zeroes, identity };
        // SAFETY: a live group and a valid struct.
        assert_eq!(unsafe { clone_group_lu_attach(self.group(), lu as u32, &described) }, CLONE_GROUP_OK);
    }

    fn tag(&self) -> u64 {
        let tag = self.next_tag.get();
        self.next_tag.set(tag + 1);
        tag
    }

    /// The LUs were replaced: what they hold now is what hosts find.
    pub fn hosts_hold_what_the_lus_hold(&self) {
        let inner = &mut *self.inner.borrow_mut();
        let holding = |device: &Device| device.now.iter().map(|&value| Block::holding(vec![value])).collect();
        inner.models = inner.devices.iter().map(holding).collect();
        inner.history.end_all();
    }

    /// Where the copies of the map pages lie in the area.
    pub fn page_copies(&self) -> Vec<std::ops::Range<usize>> {
        self.inner.borrow().format.page_copies()
    }
}

/// What hosts saw to the end is checked.
impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.inner.get_mut().history.end_all();
        }
    }
}
