//! What has to hold after a power loss, whatever is left.

use std::cell::RefCell;
use std::rc::Rc;

use ::clone_group::ffi::types::*;

use crate::common::world::World;
use crate::common::world::fork::Snapshot;
use crate::image::Boundary;
use crate::scripts::{Ask, settle};

/// Which Clone is in which state, what is copied onto the Source, and the lasting conditions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Situation(pub Vec<u32>);

const READY: usize = 0;
const FIRST_CLONE: usize = 4;

impl Situation {
    pub fn of(world: &World) -> Situation {
        let info = world.info();
        let lasting = CLONE_GROUP_CONDITION_SOURCE_INVALID | CLONE_GROUP_CONDITION_PAUSED;
        let mut words = vec![
            u32::from(info.state == CLONE_GROUP_STATE_READY || info.state == CLONE_GROUP_STATE_CLOSED),
            info.restoring_lu,
            info.reversing_lu,
            info.conditions & lasting,
        ];
        let clones = world.inner.borrow().profile.clones;
        words.extend((1..=clones).map(|lu| world.clone_info(lu).state));
        Situation(words)
    }

    pub fn is_ready(&self) -> bool {
        self.0[READY] == 1
    }

    /// Whether Recovery may find this where memory said `was`: a Synchronized Clone with intents comes up Synchronizing
    /// (R58). No superblock says that, so if the intents are gone the next time - the page could not be read the first
    /// time, and no host wrote since - it is Synchronized again.
    fn may_come_from(&self, was: &Situation, recovered: bool) -> bool {
        let pair = [CLONE_GROUP_CLONE_SYNCHRONIZED, CLONE_GROUP_CLONE_SYNCHRONIZING];
        self.0.iter().zip(&was.0).enumerate().all(|(at, (&found, &was))| {
            let intents = [was, found] == pair || recovered && [found, was] == pair;
            at == READY || found == was || at >= FIRST_CLONE && intents
        })
    }
}

/// What Recovery may find at a boundary: what memory said, or the next thing that it said later (R31).
#[derive(Clone, Debug)]
pub struct Allowed {
    /// None: any one.
    pub situations: Vec<Situation>,
    /// No valid group is there, or an older one may be.
    pub formatting: bool,
    /// The run began with a Recovery.
    pub recovered: bool,
}

/// Collects the boundaries of a run.
#[derive(Clone, Default)]
pub struct Recorder(Rc<RefCell<Vec<(Snapshot, Situation)>>>);

impl Recorder {
    pub fn attach(&self, world: &World) {
        let list = Rc::clone(&self.0);
        let note = move |world: &World| list.borrow_mut().push((world.snapshot(), Situation::of(world)));
        world.inner.borrow_mut().boundary = Some(Box::new(note));
    }

    /// The boundaries with what Recovery may find at each. Between two that stand in another order nothing is missed:
    /// the situations are noted at every I/O.
    pub fn boundaries(self, last: Situation, recovered: bool) -> Vec<(Boundary, Allowed)> {
        let noted = self.0.take();
        let mut next = last;
        let mut current: Option<Situation> = None;
        let mut found = Vec::new();
        for (snapshot, situation) in noted.into_iter().rev() {
            if let Some(after) = current.filter(|after| *after != situation) {
                next = after;
            }
            current = Some(situation.clone());
            let allowed = Allowed {
                formatting: !situation.is_ready(),
                situations: vec![situation.clone(), next.clone()],
                recovered,
            };
            let words: Vec<u32> = situation.0.iter().chain(&next.0).copied().collect();
            found.push((Boundary::new(snapshot, &words), allowed));
        }
        found.reverse();
        found
    }
}

/// How an image is looked at: what comes first differs from image to image, by its key.
#[derive(Clone, Copy)]
pub struct Way {
    /// Hosts read everything before anything is copied in the background; or only afterwards.
    reads_first: bool,
    /// Blocks of one read.
    chunk: usize,
    /// Hosts write again.
    writes: bool,
    /// I/Os are done at once.
    immediate: bool,
    depth: u64,
    /// A controller that does not fit comes up before.
    misfit: Option<u64>,
}

impl Way {
    pub fn new(key: u64, depth: usize, watched: bool) -> Way {
        Way {
            reads_first: key & 1 == 0,
            chunk: [4, 5, 14][(key >> 1) as usize % 3],
            writes: key >> 3 & 1 == 0,
            immediate: !watched && key >> 4 & 3 != 0,
            depth: depth as u64,
            misfit: (!watched && key >> 6 & 15 == 0).then_some(key >> 10),
        }
    }
}

/// Recovers what a power loss left, lets everything run to its end, and checks all of it.
pub fn check(world: &mut World, allowed: &Allowed, way: Way) {
    if way.immediate {
        world.inner.borrow_mut().profile.immediate = 256;
    }
    {
        let inner = &mut *world.inner.borrow_mut();
        (inner.fault_seen, inner.metadata_fault_seen) = (false, false);
    }
    world.next_value_is((1 << 60) | (1 + way.depth) << 44);
    match way.misfit.filter(|_| !allowed.formatting && world.inner.borrow().damage.is_empty()) {
        Some(number) => {
            let misfits = world.misfits();
            world.refuses(misfits[number as usize % misfits.len()]);
        }
        None => world.power_on(),
    }
    recover(world, allowed);
    if way.reads_first {
        check_hosts(world, way.chunk);
        check_reverse(world);
    }
    world.check_delta_maps();
    // What hosts write is in no check but the last: it need not be durable.
    if way.writes && way.reads_first && !is_invalid(world) {
        world.host(CLONE_GROUP_IO_WRITE, 0, 3, 2, way.depth == 1);
    }
    settle(world);
    if world.info().conditions & CLONE_GROUP_CONDITION_PAUSED != 0 {
        assert_eq!(Ask::Resume.run(world), CLONE_GROUP_OK, "a pause cannot be ended");
        settle(world);
    }
    if is_invalid(world) {
        let refused = world.host(CLONE_GROUP_IO_READ, 0, 0, 1, false).1;
        assert_eq!(refused, Some(CLONE_GROUP_ERR_SOURCE_INVALID), "an invalid Source is served");
        assert_eq!(Ask::Accept.run(world), CLONE_GROUP_OK, "the Source cannot be accepted");
    }
    if !way.reads_first {
        check_hosts(world, way.chunk);
        if way.writes {
            world.host(CLONE_GROUP_IO_WRITE, 0, 3, 2, way.depth == 1);
        }
    }
    check_end(world);
}

fn recover(world: &mut World, allowed: &Allowed) {
    let mut status = Ask::Recover.run(world);
    if !world.inner.borrow().damage.is_empty() && status != CLONE_GROUP_OK {
        let expected = [-5, CLONE_GROUP_ERR_RESTORE_MAP_LOST, CLONE_GROUP_ERR_METADATA_DAMAGED];
        assert!(
            expected.contains(&status) || allowed.formatting,
            "Recovery of a unit that cannot be read: {status}"
        );
        // It changed nothing, so that it works once the unit can be read (R60).
        world.inner.borrow_mut().damage.heal();
        status = Ask::Recover.run(world);
    }
    if allowed.formatting && status != CLONE_GROUP_OK {
        let expected = [CLONE_GROUP_ERR_METADATA_MISSING, CLONE_GROUP_ERR_METADATA_DAMAGED];
        assert!(expected.contains(&status), "Recovery of an unfinished format: {status}");
        assert_eq!(Ask::FormatForced.run(world), CLONE_GROUP_OK, "it cannot be formatted");
        return;
    }
    assert_eq!(status, CLONE_GROUP_OK, "Recovery failed");
    let found = Situation::of(world);
    let known = allowed.formatting
        || allowed.situations.is_empty()
        || allowed.situations.iter().any(|was| found.may_come_from(was, allowed.recovered));
    assert!(known, "Recovery finds {found:?}, and not one of {allowed:?} (R31)");
}

fn is_invalid(world: &World) -> bool {
    world.info().conditions & CLONE_GROUP_CONDITION_SOURCE_INVALID != 0
}

/// Hosts find legal values everywhere, twice the same (I8, R59).
fn check_hosts(world: &World, chunk: usize) {
    if !is_invalid(world) {
        world.check_lu_after_loss_by(0, chunk);
    }
    let usable = world.inner.borrow().usable.clone();
    for lu in (1..usable.len()).filter(|&lu| usable[lu]) {
        world.check_lu_after_loss_by(lu, chunk);
    }
}

/// In a Reverse Synchronization hosts find what the Clone holds (R41).
fn check_reverse(world: &World) {
    let clone = world.info().reversing_lu as usize;
    if clone != 0 {
        let content = world.inner.borrow().devices[clone].now.clone();
        assert_eq!(world.read_now(0, 0, content.len()), Ok(content), "the Clone does not count (R41)");
    }
}

/// Everything came to its end, and is right.
fn check_end(world: &World) {
    settle(world);
    let info = world.info();
    assert_eq!((info.restoring_lu, info.reversing_lu), (0, 0), "a copy onto the Source does not end");
    let usable = world.inner.borrow().usable.clone();
    for (lu, &usable) in usable.iter().enumerate() {
        if lu == 0 || usable {
            world.check_lu_now(lu);
        }
        if lu == 0 {
            continue;
        }
        let state = world.clone_info(lu).state;
        assert_ne!(state, CLONE_GROUP_CLONE_SYNCHRONIZING, "the Synchronization of {lu} does not end");
        let inner = world.inner.borrow();
        let equal = inner.devices[0].now == inner.devices[lu].now;
        assert!(state != CLONE_GROUP_CLONE_SYNCHRONIZED || equal, "LU {lu} is Synchronized and not equal");
    }
    world.check_delta_maps();
}
