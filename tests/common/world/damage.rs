//! Units of the persistent area that cannot be read.

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::device::UNIT_BYTES;
use super::trace::trace;
use super::{Inner, World};

/// How long a unit cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Span {
    /// Until the next Recovery that works.
    Passing,
    /// Until it is written.
    Lasting,
}

/// Which units cannot be read, by where they lie.
#[derive(Clone, Default, Debug)]
pub struct Damage {
    units: BTreeMap<usize, Span>,
    /// Some unit could not be read, or decayed, ever: which copy is the newest may be unknown.
    pub suffered: bool,
}

impl Damage {
    pub fn hide(&mut self, unit: usize, span: Span) {
        self.suffered = true;
        self.units.insert(unit, span);
    }

    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// Whether some of these bytes cannot be read.
    pub fn touches(&self, bytes: &Range<usize>) -> bool {
        self.units.keys().any(|&unit| unit < bytes.end && bytes.start < unit + UNIT_BYTES)
    }

    /// These bytes were written.
    pub fn written(&mut self, bytes: &Range<usize>) {
        self.units.retain(|&unit, _| unit >= bytes.end || bytes.start >= unit + UNIT_BYTES);
    }

    /// What does not last is over.
    pub fn pass(&mut self) {
        self.units.retain(|_, &mut span| span == Span::Lasting);
    }

    /// Everything can be read again.
    pub fn heal(&mut self) {
        self.units.clear();
    }
}

/// What becomes of the two copies of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hit {
    HideNewest,
    HideOlder,
    HideBoth,
    /// It costs nothing: the newest one counts. The newest alone never decays in silence: it would look torn, and nothing
    /// could tell that it was not (docs/format.md).
    DecayOlder,
    DecayBoth,
    DecayOlderHideNewest,
}

pub const HITS: [Hit; 6] = [
    Hit::HideNewest,
    Hit::HideOlder,
    Hit::HideBoth,
    Hit::DecayOlder,
    Hit::DecayBoth,
    Hit::DecayOlderHideNewest,
];

impl Hit {
    fn hides(self, newest: bool) -> bool {
        match self {
            Hit::HideNewest | Hit::DecayOlderHideNewest => newest,
            Hit::HideOlder => !newest,
            Hit::HideBoth => true,
            Hit::DecayOlder | Hit::DecayBoth => false,
        }
    }

    fn decays(self, newest: bool) -> bool {
        match self {
            Hit::DecayOlder | Hit::DecayOlderHideNewest => !newest,
            Hit::DecayBoth => true,
            Hit::HideNewest | Hit::HideOlder | Hit::HideBoth => false,
        }
    }
}

impl World {
    pub fn pages(&self) -> usize {
        self.inner.borrow().format.pages
    }

    /// The medium below a page suffers. Power is off.
    pub fn hit_page(&self, page: usize, hit: Hit, span: Span) {
        trace(|| format!("page {page} suffers: {hit:?} {span:?}"));
        let inner = &mut *self.inner.borrow_mut();
        let newest = inner.format.newest_copy(&inner.area.now, page);
        let valid = inner.format.copies(&inner.area.now, page).map(|copy| copy.is_some());
        let copies = inner.format.page_copies();
        for copy in 0..2 {
            let place = copies[2 * page + copy].clone();
            // What is damaged already might become whole.
            if valid[copy] && hit.decays(newest == Some(copy)) {
                inner.decay(&place);
            }
            if hit.hides(newest == Some(copy)) {
                inner.damage.hide(place.start, span);
            }
        }
    }

    /// The medium below a slot of the superblock suffers: below one that is needed no longer, as the other one is newer or
    /// says the same (R31). It decays, or cannot be read. Power is off.
    pub fn hit_slot(&self, slot: usize, span: Option<Span>) {
        let inner = &mut *self.inner.borrow_mut();
        let usable = inner.usable_slots();
        let area = &inner.area.now;
        let newest = inner.format.superblock(area).map(|superblock| superblock.sequence());
        let other = inner.format.superblocks(area)[1 - slot].filter(|_| usable[1 - slot]);
        let agree = usable[slot] && inner.format.slots_agree(area);
        if other.is_none_or(|other| !agree && newest != Some(other.sequence())) {
            return;
        }
        let place = inner.format.slots()[slot].clone();
        trace(|| format!("slot {slot} suffers: {span:?}"));
        match span {
            None if usable[slot] => inner.decay(&place),
            None => {}
            Some(span) => inner.damage.hide(place.start, span),
        }
    }
}

impl Inner {
    /// A byte is another one.
    fn decay(&mut self, place: &Range<usize>) {
        self.damage.suffered = true;
        let mut area = self.area.now.clone();
        area[self.rng.usize(place.clone())] ^= 0x10;
        self.area.replace(&area);
    }
}
