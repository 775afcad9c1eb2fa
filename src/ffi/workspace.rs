//! The workspace: where each table, map and buffer of a group lies in the one block of memory.

use super::handle::Handle;
use crate::atomic::AtomicUsize;
use crate::clone::Clone;
use crate::cod_queue::CodQueue;
use crate::cod_scoreboard::{CodScoreboard, Copy};
use crate::collision_detector::{CollisionDetector, HOT_MAX, Hot};
use crate::completion::{self, Completion, Completions};
use crate::config::{Capabilities, Config};
use crate::copy::UNFLUSHED_MAX;
use crate::error::{self, Error};
use crate::event::{EVENTS_MAX, Notice};
use crate::extent_map::ExtentMap;
use crate::geometry::{ExtentRange, count, index};
use crate::group::{Group, GroupState};
use crate::intent_sweeper::IntentSweeper;
use crate::io::Io;
use crate::lu::{Lu, LuFlags};
use crate::metadata_writer::{MetadataBuffers, MetadataWriter, PageWriter};
use crate::operation::Activity;
use crate::persistent_delta_map::{self, Page, PersistentDeltaMap};
use crate::protected_restore_map::ProtectedRestoreMap;
use crate::recovery::Lane;
use crate::request::Request;
use crate::start::LANES_MAX;
use crate::statistics::Statistics;
use crate::superblock::GroupRecord;
use crate::table::{Ring, Table};
use crate::verify::Verify;

/// Writes a struct field by field to where it stays, so that it is never on the stack as a whole. A field that is
/// missing does not compile. Use it in `unsafe`: the address must be writable and aligned.
macro_rules! write_in_place {
    ($place:expr, $type:ident { $($field:ident: $value:expr,)* }) => {{
        let place = $place;
        let _every_field = |all: $type| { let $type { $($field: _,)* } = all; };
        $((&raw mut (*place).$field).write($value);)*
    }};
}
pub(super) use write_in_place;

/// `count` values that begin `offset` bytes into the workspace.
#[derive(Clone, Copy)]
struct Part {
    offset: usize,
    count: usize,
}

/// Where everything lies.
pub(super) struct Plan {
    handle: Part,
    group: Part,
    clones: Part,
    lus: Part,
    requests: Part,
    ios: Part,
    completions: Part,
    arrived: Part,
    copies: Part,
    writers: Part,
    lanes: Part,
    hot: Part,
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
    /// Something does not fit into this machine's addresses.
    failed: bool,
}

impl Planner {
    // Once in the firmware, for every part.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn place(&mut self, bytes: usize, align: usize, count: usize) -> Part {
        let offset = self.at.checked_next_multiple_of(align);
        let end = offset.and_then(|offset| offset.checked_add(bytes.checked_mul(count)?));
        self.failed |= end.is_none();
        self.at = end.unwrap_or_default();
        Part { offset: offset.unwrap_or_default(), count }
    }

    fn table<T>(&mut self, count: usize) -> Part {
        self.place(size_of::<T>(), align_of::<T>(), count)
    }
}

/// How much memory a group of this configuration uses.
pub(super) fn size_bytes(config: &Config) -> Result<u64, Error> {
    Ok(count(Plan::new(config)?.total))
}

impl Plan {
    #[inline(never)]
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
        let mut planner = Planner { at: 0, failed: false };
        let mut plan = Plan {
            handle: planner.table::<Handle>(1),
            group: planner.table::<Group<'static>>(1),
            clones: planner.table::<Clone<'static>>(clones),
            lus: planner.table::<Lu>(lus),
            requests: planner.table::<Request>(requests),
            ios: planner.table::<Io>(ios),
            completions: planner.table::<Completion>(ios),
            arrived: planner.table::<AtomicUsize>(completion::words_needed(ios)),
            copies: planner.table::<Copy>(copies),
            writers: planner.table::<PageWriter>(writers),
            lanes: planner.table::<Lane>(LANES_MAX),
            hot: planner.table::<Hot>(HOT_MAX),
            pages: planner.table::<Page>(pages),
            pass_epochs: planner.table::<u32>(persistent_delta_map::chunks(extents)),
            unflushed: planner.table::<ExtentRange>(UNFLUSHED_MAX),
            // Every request, every event, and an operation that is done while the next one is refused.
            notices: planner.table::<Notice>(requests.checked_add(EVENTS_MAX)?.checked_add(4)?),
            rings: planner.table::<u16>(ios.checked_mul(2)?),
            words: planner.table::<AtomicUsize>(words),
            map_words,
            dirty_words,
            candidate_words,
            copy_buffers: planner.place(copy_buffer_bytes, align, copies),
            metadata_buffers: planner.place(metadata_buffer_bytes, align, metadata_buffers(writers)),
            copy_buffer_bytes,
            half_buffer_bytes: index(u64::from(config.half_buffer_bytes())),
            metadata_buffer_bytes,
            total: 0,
        };
        plan.total = planner.at;
        (!planner.failed).then_some(plan)
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

    /// Carves the tables and maps, and makes the group: neither formatted nor recovered.
    ///
    /// # Safety
    /// `base` points to `total` bytes that nobody else uses until the result is gone, aligned as planned.
    // Not inlined, here and below: frames that are gone before the next one do not add up.
    #[inline(never)]
    pub(super) unsafe fn carve(
        &self,
        base: *mut u8,
        config: &Config,
        capabilities: Capabilities,
    ) -> Result<&'static mut Group<'static>, Error> {
        let group = base.wrapping_add(self.group.offset).cast::<Group<'static>>();
        // SAFETY: the parts of a plan lie in the workspace, are aligned and do not overlap; every field of the group
        // is written before anybody sees it.
        unsafe {
            let ios = self.ios.count;
            let rings = part::<u16>(base, self.rings);
            let (ready, retry) = rings.split_at_mut_checked(ios).ok_or(Error::Internal)?;
            let mut words = Words { rest: part::<AtomicUsize>(base, self.words) };
            let extents = config.geometry.extents();
            let layout = config.layout()?;
            let mut lus = Table::new(part::<Lu>(base, self.lus));
            // The persistent area is flushed like an LU, if it needs that.
            lus[u64::from(config.lus())].flags =
                Some(LuFlags { volatile_cache: capabilities.persist_flush, discard_zeroes: false });
            write_in_place!(
                group,
                Group {
                    config: *config,
                    capabilities: capabilities,
                    state: GroupState::New,
                    record: GroupRecord::default(),
                    clones: Table::new(part::<Clone<'static>>(base, self.clones)),
                    lus: lus,
                    protected_restore: ProtectedRestoreMap::new(part(base, self.unflushed)),
                    persistent: PersistentDeltaMap::new(
                        part(base, self.pass_epochs),
                        part::<Page>(base, self.pages),
                        layout
                    ),
                    requests: Table::new(part::<Request>(base, self.requests)),
                    queue: CodQueue::default(),
                    scoreboard: CodScoreboard::new(part(base, self.copies)),
                    collisions: CollisionDetector::new(part(base, self.hot), config.recopies_max),
                    writer: MetadataWriter::new(part(base, self.writers), part(base, self.lanes)),
                    sweeper: IntentSweeper::new(),
                    activity: Activity::None,
                    label: [0; 64],
                    membership: None,
                    asked_for: None,
                    record_due: false,
                    operations_unreported: 0,
                    metadata_status: error::OK,
                    repair_failed: false,
                    gate_closed: false,
                    submitted: 0,
                    overwriting: 0,
                    redirected: 0,
                    metadata_failed: false,
                    superblock_unknown: false,
                    statistics: Statistics::default(),
                    now_ns: 0,
                    copy_budget: 0,
                    copies_allowed: false,
                    slices_left: 0,
                    moved: false,
                    cod_single: ExtentRange::default(),
                    saved_left: 0,
                    saved_intents: 0,
                    swept_below: 0,
                    sync_turn: 0,
                    verify: Verify::default(),
                    ios: Table::new(part::<Io>(base, self.ios)),
                    free_ios: crate::geometry::count32(count(ios)),
                    completions: Completions::new(
                        part::<Completion>(base, self.completions),
                        part(base, self.arrived),
                    ),
                    ready: Ring::new(ready),
                    retry: Ring::new(retry),
                    notices: Ring::new(part(base, self.notices)),
                    events_waiting: 0,
                    events_lost: 0,
                    next_ticket: 0,
                    requests_used: 0,
                }
            );
            let group = &mut *group;
            for clone in 1..config.lus() {
                words.lay(&mut group.clone_mut(clone).delta.bits, self.map_words, extents)?;
            }
            words.lay(&mut group.protected_restore.bits, self.map_words, extents)?;
            words.lay(&mut group.protected_restore.copied, self.map_words, extents)?;
            words.lay(&mut group.persistent.bits, self.map_words, extents)?;
            words.lay(&mut group.persistent.pass, self.map_words, extents)?;
            words.lay(&mut group.persistent.dirty, self.dirty_words, layout.pages())?;
            words.lay(&mut group.persistent.later, self.dirty_words, layout.pages())?;
            words.lay(&mut group.sweeper.candidates, self.candidate_words, layout.page_extents())?;
            Ok(group)
        }
    }
}

/// I/O slots that Recovery's reads of pages need at most, and the superblock.
const LANES_IOS: usize = 2 * LANES_MAX + 2;

/// One for superblocks, one for each page writer; Recovery needs two for a page.
fn metadata_buffers(writers: usize) -> usize {
    writers.max(2).saturating_add(1)
}

/// Words of the maps that are not given away yet.
struct Words {
    rest: &'static [AtomicUsize],
}

impl Words {
    /// Puts words under a map, which is empty then.
    #[inline(never)]
    fn lay(&mut self, map: &mut ExtentMap<'static>, words: usize, extents: u64) -> Result<(), Error> {
        let (first, rest) = self.rest.split_at_checked(words).ok_or(Error::Internal)?;
        self.rest = rest;
        *map = ExtentMap::new(first, extents).ok_or(Error::Internal)?;
        Ok(())
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
