//! The workspace: where each table, map and buffer of a group lies in the one block of memory.

use core::sync::atomic::AtomicUsize;

use super::handle::Handle;
use crate::clone::Clone;
use crate::cod_scoreboard::Copy;
use crate::completion::{self, Completion, Completions};
use crate::config::Config;
use crate::copy::UNFLUSHED_MAX;
use crate::delta_map::DeltaMap;
use crate::error::Error;
use crate::event::{EVENTS_MAX, Notice};
use crate::extent_map::ExtentMap;
use crate::geometry::{ExtentRange, count, index};
use crate::group::Memory;
use crate::intent_sweeper::IntentSweeper;
use crate::io::Io;
use crate::lu::Lu;
use crate::metadata_writer::{MetadataBuffers, MetadataWriter, PageWriter};
use crate::persistent_delta_map::{self, Page, PersistentDeltaMap};
use crate::protected_restore_map::ProtectedRestoreMap;
use crate::request::Request;

/// `count` values that begin `offset` bytes into the workspace.
#[derive(Clone, Copy)]
struct Part {
    offset: usize,
    count: usize,
}

/// Where everything lies.
pub(super) struct Plan {
    handle: Part,
    clones: Part,
    lus: Part,
    requests: Part,
    ios: Part,
    completions: Part,
    arrived: Part,
    copies: Part,
    writers: Part,
    pages: Part,
    pass_epochs: Part,
    unflushed: Part,
    notices: Part,
    rings: Part,
    words: Part,
    map_words: usize,
    dirty_words: usize,
    candidate_words: usize,
    copy_buffers: Part,
    metadata_buffers: Part,
    copy_buffer_bytes: usize,
    half_buffer_bytes: usize,
    metadata_buffer_bytes: usize,
    total: usize,
}

/// Places parts one behind the other.
struct Planner {
    at: usize,
}

impl Planner {
    fn place(&mut self, bytes: usize, align: usize, count: usize) -> Option<Part> {
        let offset = self.at.checked_next_multiple_of(align)?;
        self.at = offset.checked_add(bytes.checked_mul(count)?)?;
        Some(Part { offset, count })
    }

    fn table<T>(&mut self, count: usize) -> Option<Part> {
        self.place(size_of::<T>(), align_of::<T>(), count)
    }
}

/// How much memory a group of this configuration uses.
pub(super) fn size_bytes(config: &Config) -> Result<u64, Error> {
    Ok(count(Plan::new(config)?.total))
}

impl Plan {
    pub(super) fn new(config: &Config) -> Result<Plan, Error> {
        Plan::checked(config).ok_or(Error::Invalid)
    }

    fn checked(config: &Config) -> Option<Plan> {
        let layout = config.layout().ok()?;
        let extents = config.geometry.extents();
        let clones = index(u64::from(config.clones_max));
        let requests = index(u64::from(config.requests_max));
        let copies = index(u64::from(config.copies_max));
        let writers = index(u64::from(config.page_writes_max));
        let lus = clones.checked_add(2)?;
        // Each request may have a mirrored leg; the engines, flushes and metadata have slots of their own.
        let ios = requests.checked_mul(2)?.checked_add(copies)?.checked_add(writers)?;
        let ios = ios.checked_add(lus)?.checked_add(clones)?.checked_add(LANES_IOS)?;
        let pages = usize::try_from(layout.pages()).ok()?;
        let align = index(u64::from(config.buffer_align_bytes));
        let map_words = ExtentMap::words_needed(extents)?;
        let dirty_words = ExtentMap::words_needed(layout.pages())?;
        let candidate_words = ExtentMap::words_needed(layout.page_extents())?;
        // One for each Clone; G, pass, P and copied.
        let words = map_words.checked_mul(clones.checked_add(4)?)?;
        let words = words.checked_add(dirty_words.checked_mul(2)?)?.checked_add(candidate_words)?;
        let copy_buffer_bytes = index(u64::from(config.copy_buffer_bytes)).checked_next_multiple_of(align)?;
        let metadata_buffer_bytes = index(layout.buffer_bytes()).checked_next_multiple_of(align)?;
        let mut planner = Planner { at: 0 };
        let mut plan = Plan {
            handle: planner.table::<Handle>(1)?,
            clones: planner.table::<Clone<'static>>(clones)?,
            lus: planner.table::<Lu>(lus)?,
            requests: planner.table::<Request>(requests)?,
            ios: planner.table::<Io>(ios)?,
            completions: planner.table::<Completion>(ios)?,
            arrived: planner.table::<AtomicUsize>(completion::words_needed(ios))?,
            copies: planner.table::<Copy>(copies)?,
            writers: planner.table::<PageWriter>(writers)?,
            pages: planner.table::<Page>(pages)?,
            pass_epochs: planner.table::<u32>(persistent_delta_map::chunks(extents))?,
            unflushed: planner.table::<ExtentRange>(UNFLUSHED_MAX)?,
            // Every request, every event, and an operation that is done while the next one is refused.
            notices: planner.table::<Notice>(requests.checked_add(EVENTS_MAX)?.checked_add(4)?)?,
            rings: planner.table::<u16>(ios.checked_mul(2)?)?,
            words: planner.table::<AtomicUsize>(words)?,
            map_words,
            dirty_words,
            candidate_words,
            copy_buffers: planner.place(copy_buffer_bytes, align, copies)?,
            metadata_buffers: planner.place(metadata_buffer_bytes, align, metadata_buffers(writers))?,
            copy_buffer_bytes,
            half_buffer_bytes: index(u64::from(config.half_buffer_bytes())),
            metadata_buffer_bytes,
            total: 0,
        };
        plan.total = planner.at;
        Some(plan)
    }

    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// Where the handle goes.
    pub(super) fn handle_offset(&self) -> usize {
        self.handle.offset
    }

    /// The buffers that I/Os use.
    pub(super) fn buffers(&self, base: *mut u8) -> Buffers {
        Buffers {
            copies: base.wrapping_add(self.copy_buffers.offset),
            copy_bytes: self.copy_buffer_bytes,
            half_bytes: self.half_buffer_bytes,
            metadata: base.wrapping_add(self.metadata_buffers.offset),
            metadata_bytes: self.metadata_buffer_bytes,
            metadata_count: self.metadata_buffers.count,
        }
    }

    /// Carves the tables and maps.
    ///
    /// # Safety
    /// `base` points to `total` bytes that nobody else uses until the result is gone, aligned as planned.
    pub(super) unsafe fn carve(&self, base: *mut u8, config: &Config) -> Result<Memory<'static>, Error> {
        // SAFETY: the parts of a plan lie in the workspace, are aligned and do not overlap.
        unsafe {
            let ios = self.ios.count;
            let completions =
                Completions::new(part::<Completion>(base, self.completions), part(base, self.arrived));
            let rings = part::<u16>(base, self.rings);
            let (ready, retry) = rings.split_at_mut_checked(ios).ok_or(Error::Internal)?;

            let mut words = Words { rest: part::<AtomicUsize>(base, self.words) };
            let extents = config.geometry.extents();
            let layout = config.layout()?;
            let clones = part::<Clone<'static>>(base, self.clones);
            for clone in clones.iter_mut() {
                clone.delta = DeltaMap::new(words.map(self.map_words, extents)?);
            }
            let persistent = PersistentDeltaMap::new(
                words.map(self.map_words, extents)?,
                words.map(self.map_words, extents)?,
                part(base, self.pass_epochs),
                part::<Page>(base, self.pages),
                words.map(self.dirty_words, layout.pages())?,
                words.map(self.dirty_words, layout.pages())?,
                layout,
            );
            let protected_restore = ProtectedRestoreMap::new(
                words.map(self.map_words, extents)?,
                words.map(self.map_words, extents)?,
                part(base, self.unflushed),
            );
            Ok(Memory {
                clones,
                lus: part(base, self.lus),
                protected_restore,
                persistent,
                requests: part(base, self.requests),
                ios: part(base, self.ios),
                completions,
                copies: part(base, self.copies),
                writer: MetadataWriter::new(part(base, self.writers)),
                sweeper: IntentSweeper::new(words.map(self.candidate_words, layout.page_extents())?),
                ready,
                retry,
                notices: part(base, self.notices),
            })
        }
    }
}

/// I/O slots that Recovery's reads of pages need at most, and the superblock.
const LANES_IOS: usize = 2 * crate::start::LANES_MAX + 2;

/// One for superblocks, one for each page writer; Recovery needs two for a page.
fn metadata_buffers(writers: usize) -> usize {
    writers.max(2).saturating_add(1)
}

/// Words of the maps that are not given away yet.
struct Words {
    rest: &'static [AtomicUsize],
}

impl Words {
    fn map(&mut self, words: usize, extents: u64) -> Result<ExtentMap<'static>, Error> {
        let (first, rest) = self.rest.split_at_checked(words).ok_or(Error::Internal)?;
        self.rest = rest;
        ExtentMap::new(first, extents).ok_or(Error::Internal)
    }
}

/// Fills a part with default values and lends it.
///
/// # Safety
/// The part lies in memory that is aligned for `T` and that nobody else uses.
unsafe fn part<T: Default>(base: *mut u8, part: Part) -> &'static mut [T] {
    let first = base.wrapping_add(part.offset).cast::<T>();
    for number in 0..part.count {
        // SAFETY: inside the part, which the caller promises is ours.
        unsafe { first.wrapping_add(number).write(T::default()) };
    }
    // SAFETY: every value was written just now.
    unsafe { core::slice::from_raw_parts_mut(first, part.count) }
}

/// The buffers of the workspace. The core never sees copy buffers; metadata buffers it sees between I/Os.
#[derive(Clone, Copy)]
pub(super) struct Buffers {
    copies: *mut u8,
    copy_bytes: usize,
    half_bytes: usize,
    metadata: *mut u8,
    metadata_bytes: usize,
    metadata_count: usize,
}

impl Buffers {
    /// The address of a copy buffer.
    pub(super) fn copy(&self, number: u16) -> *mut u8 {
        self.copies.wrapping_add(usize::from(number).wrapping_mul(self.copy_bytes))
    }

    /// The address of the second half of a copy buffer.
    pub(super) fn second_half(&self, number: u16) -> *mut u8 {
        self.copy(number).wrapping_add(self.half_bytes)
    }

    /// Whether the halves of a copy buffer begin with so many equal bytes.
    ///
    /// # Safety
    /// The buffer exists, and no I/O uses it.
    pub(super) unsafe fn halves_equal(&self, number: u16, length: u64) -> bool {
        let length = index(length).min(self.half_bytes);
        // SAFETY: inside the workspace, initialized at create; both halves are so long, and the caller promises the
        // rest.
        unsafe {
            let first = core::slice::from_raw_parts(self.copy(number), length);
            let second = core::slice::from_raw_parts(self.second_half(number), length);
            first == second
        }
    }

    /// The address of a metadata buffer.
    pub(super) fn metadata(&self, number: u16) -> *mut u8 {
        self.metadata.wrapping_add(usize::from(number).wrapping_mul(self.metadata_bytes))
    }
}

impl MetadataBuffers for Buffers {
    fn get(&mut self, buffer: u16) -> &mut [u8] {
        if usize::from(buffer) >= self.metadata_count {
            return &mut [];
        }
        // SAFETY: inside the workspace, initialized at create. The core asks for a buffer only while it holds
        // the lock and no I/O uses the buffer, and keeps the slice no longer than that.
        unsafe { core::slice::from_raw_parts_mut(self.metadata(buffer), self.metadata_bytes) }
    }
}

// SAFETY: addresses of memory that belongs to the group; who may use it when is said above.
unsafe impl Send for Buffers {}
// SAFETY: as above.
unsafe impl Sync for Buffers {}

/// Zeroes the buffers, so that they are initialized memory.
///
/// # Safety
/// As for [`Plan::carve`].
pub(super) unsafe fn zero_buffers(base: *mut u8, plan: &Plan) {
    let from = plan.copy_buffers.offset;
    // SAFETY: from the first buffer to the end of the workspace.
    unsafe { base.wrapping_add(from).write_bytes(0, plan.total.saturating_sub(from)) };
}
