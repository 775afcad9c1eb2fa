//! A Protected Restore with the order of steps that the library has (EAGER): one extent of two blocks, a Source S with or
//! without a volatile cache, the Clone C, perhaps another Clone K, host writes to any part of the extent, host
//! flushes, a flush that fails, power losses at every point, and one column for all Clones.
//!
//! ```text
//!   start:     F(S), F(C) --> superblock {Restoring} --> hosts see need ? C : S
//!   copy:      claim, D_K := 1 --> C to S --> copied --> F(S) --> D := 0         (by a flush)
//!                                        `--> FUA -------------> D := 0         (on demand)
//!   write:     what it covers in part is copied, durable --> P, G, D_K := 1 --> page durable --> S --> ack
//!   overwrite: G, D_K := 1 --> page durable --> S with FUA --> P := 1 --> page durable --> D := 0 --> ack
//!   end:       no need, no copy, no page under way --> F(S) --> superblock {idle} --> D := P
//! ```

use crate::checker::{Bounds, Model, Steps};
use crate::medium::{BITS_4, Block, each, only};
use crate::{packed, rules, stages};

rules! {
    R1 = "G is durable before the write is submitted",
    R2 = "D of other Clones when a copy is claimed",
    R3 = "G is cleared only where no Clone needs it",
    R4 = "G holds P",
    R5 = "P is set over a durable base only",
    R6 = "P is durable before the write is submitted",
    R7 = "need is D and not P, also after Recovery",
    R8 = "D goes to 0 when the copy is durable",
    R9 = "P of another generation is 0",
    R10 = "one owner of an extent",
    R11 = "need is looked at again when an extent is claimed",
    R12 = "the maps first, then the owner",
    R16 = "reads set no bit",
    R17_DURABLE = "an overwrite is durable before P",
    R17_ORDER = "an overwrite is written before P",
    R18 = "an overwrite that fails flips nothing",
    R20 = "a flush covers what was complete when it was submitted",
    R22 = "a host flush reaches the Source",
    R23_HD = "HD over VC: every write is written through",
    R24 = "copies that a failed flush may have lost are made again",
    R25 = "F(S) at the end",
    R34_CLONE = "F(C) at the start",
    R34_N2 = "F(S) at the start",
    R35 = "hosts do not write the Clone",
    R36_END = "D becomes P at the end",
    R36_WRITES = "writes during the last superblock carry both bits",
    R57 = "P is loaded before hosts are served",
}

const BEFORE: u8 = 0;
const CLONE: u8 = 1;
const WRITES: usize = 2;

/// The data of a write.
fn data(write: usize) -> u8 {
    2 + write as u8
}

stages! {
    /// A host write.
    enum Write {
        Unused,
        /// It waits for copies, flushes or pages; its bits may be set.
        Waiting,
        /// It is with the Source.
        Writing,
        /// It covers the whole extent, owns it, and is with the Source.
        Overwriting,
        /// That is durable; P is being written.
        Recording,
        Done,
    }
}

stages! {
    enum Copying {
        Idle,
        Writing,
        /// The same, and written through.
        WritingThrough,
    }
}

stages! {
    /// Where the restore is.
    enum Life {
        Asked,
        Starting,
        Restoring,
        Ending,
        Over,
    }
}

packed! {
    /// What a page says of the extent.
    struct Page {
        g: bool => 1,
        p: bool => 1,
        /// Written in this restore (R9).
        current: bool => 1,
    }
}

packed! {
    struct State {
        source: [Block; 2] => 2 * BITS_4,
        clone: Block => BITS_4,
        /// What hosts may find.
        host: [Block; 2] => 2 * BITS_4,
        writes: [Write; WRITES] => 6,
        /// The blocks of each.
        blocks: [u8; WRITES] => 4,
        life: Life => 3,
        d: bool => 1,
        d_other: bool => 1,
        p: bool => 1,
        g: bool => 1,
        copied: bool => 1,
        sealed: bool => 1,
        copying: Copying => 2,
        /// A scan found the extent and has not claimed it (R11 off).
        picked: bool => 1,
        /// A copy is over and released, and the maps do not say so (R12 off).
        late: bool => 1,
        flushing: bool => 1,
        host_flush: u8 => 2,
        page: Page => 3,
        dirty: bool => 1,
        page_writing: bool => 1,
        image: Page => 3,
        /// What is left to happen.
        flushes_left: u8 => 2,
        losses_left: u8 => 2,
        failures_left: u8 => 1,
        // The configuration.
        volatile: bool => 1,
        durable_host: bool => 1,
        other: bool => 1,
        differs: bool => 1,
    }
}

/// See the module.
pub struct Restore {
    off: Option<Rule>,
    bounds: Bounds,
}

impl State {
    fn restoring(&self) -> bool {
        matches!(self.life, Life::Restoring | Life::Ending)
    }

    fn overwritten(&self) -> bool {
        self.writes.iter().any(|write| matches!(write, Write::Overwriting | Write::Recording))
    }

    /// Values under way to a block of the Source.
    fn under_way(&self, block: usize) -> u8 {
        let copy = if self.copying == Copying::Idle { 0 } else { only(CLONE) };
        (0..WRITES).fold(copy, |values, write| {
            let there = matches!(self.writes[write], Write::Writing | Write::Overwriting);
            values | if there && self.covers(write, block) { only(data(write)) } else { 0 }
        })
    }

    /// Values of host writes that are not acknowledged.
    fn open(&self, block: usize) -> u8 {
        (0..WRITES).fold(0, |values, write| {
            let open = !matches!(self.writes[write], Write::Unused | Write::Done);
            values | if open && self.covers(write, block) { only(data(write)) } else { 0 }
        })
    }

    fn covers(&self, write: usize, block: usize) -> bool {
        self.blocks[write] >> block & 1 == 1
    }

    fn submit(&mut self, blocks: u8, value: u8) {
        each(blocks).for_each(|block| self.source[usize::from(block)].submit(value));
    }

    fn complete(&mut self, blocks: u8, value: u8, through: bool) {
        for block in each(blocks) {
            let under_way = self.under_way(usize::from(block));
            self.source[usize::from(block)].complete(value, through || !self.volatile, under_way);
        }
    }

    /// The bits that a write needs, G and P, are durable, and no image under way lacks them.
    fn recorded(&self, g: bool, p: bool) -> bool {
        let has = |page: &Page| (!g || page.g) && (!p || page.p && page.current);
        has(&self.page) && (!self.page_writing || has(&self.image))
    }

    fn acknowledge(&mut self, write: usize) {
        self.writes[write] = Write::Done;
        for block in each(self.blocks[write]) {
            let open = self.open(usize::from(block));
            self.host[usize::from(block)].complete(data(write), self.durable_host, open);
        }
    }
}

impl Restore {
    fn on(&self, rule: Rule) -> bool {
        self.off != Some(rule)
    }

    /// Whether the extent has to be copied.
    fn need(&self, state: &State) -> bool {
        state.restoring() && state.d && !state.copied && (!state.p || !self.on(Rule::R7))
    }

    /// What a host reads.
    fn view(&self, state: &State, block: usize) -> u8 {
        if self.need(state) { state.clone.now } else { state.source[block].now }
    }

    // ------------------------------------------------------------------- hosts

    fn host_steps(&self, state: &State, steps: &mut Steps<State>) {
        if let Some(write) = state.writes.iter().position(|&write| write == Write::Unused)
            && state.life >= Life::Restoring
        {
            for blocks in 1..4 {
                // Hosts do not overlap their own writes; the library does not order them in a restore.
                if each(blocks).any(|block| state.open(usize::from(block)) != 0) {
                    continue;
                }
                let mut next = *state;
                next.writes[write] = Write::Waiting;
                next.blocks[write] = blocks;
                each(blocks).for_each(|block| next.host[usize::from(block)].submit(data(write)));
                steps.to(
                    ["", "write {}: block 0", "write {}: block 1", "write {}: all"][usize::from(blocks)],
                    write as u8,
                    next,
                );
            }
        }
        if state.flushes_left > 0
            && state.host_flush == 0
            && !state.durable_host
            && state.life >= Life::Restoring
        {
            let mut next = *state;
            next.flushes_left -= 1;
            next.host_flush = 1;
            for block in 0..2 {
                let open = next.open(block);
                next.host[block].seal(open);
            }
            steps.to("host flush", 0, next);
        }
        if state.host_flush == 1 && (!state.volatile || !self.on(Rule::R22)) || state.host_flush == 3 {
            let mut next = *state;
            next.host_flush = 0;
            next.host.iter_mut().for_each(Block::flushed);
            steps.to("host flush is acknowledged", 0, next);
        }
        if !self.on(Rule::R35) && state.restoring() && state.clone.now == CLONE {
            let mut next = *state;
            next.clone.complete(BEFORE, false, 0);
            steps.to("a host writes the Clone", 0, next);
        }
        for write in 0..WRITES {
            match state.writes[write] {
                Write::Waiting => self.classify(state, write, steps),
                Write::Writing => {
                    let mut next = *state;
                    next.writes[write] = Write::Done;
                    let through = state.durable_host && self.on(Rule::R23_HD);
                    next.complete(state.blocks[write], data(write), through);
                    next.acknowledge(write);
                    steps.to("write {} is complete and acknowledged", write as u8, next);
                }
                Write::Overwriting => self.overwrite_over(state, write, steps),
                Write::Recording if state.recorded(false, true) => {
                    let mut next = *state;
                    next.d = false;
                    next.acknowledge(write);
                    steps.to("write {}: P is durable, acknowledged", write as u8, next);
                }
                _ => {}
            }
        }
    }

    /// Where a write goes (R53).
    fn classify(&self, state: &State, write: usize, steps: &mut Steps<State>) {
        let whole = state.blocks[write] == 3;
        let copying = state.copying != Copying::Idle;
        let mut overwrite = false;
        if state.restoring() {
            if state.overwritten() {
                return;
            }
            if state.d {
                let base_is_durable = !state.copied || !self.on(Rule::R5);
                let owned = copying && self.on(Rule::R10);
                if !base_is_durable || owned || self.need(state) && !whole {
                    return;
                }
                overwrite = self.need(state);
            }
        }
        // Its bits (R1, R4, R6).
        let mut next = *state;
        let both = self.on(Rule::R36_WRITES) || state.life != Life::Ending;
        let protects = state.restoring() && both && (!overwrite || !self.on(Rule::R17_ORDER));
        next.p |= protects;
        next.d |= state.life == Life::Over;
        next.d_other |= state.other;
        next.g |= self.on(Rule::R4) || overwrite || !state.restoring();
        if !self.on(Rule::R5) && protects && state.copied {
            (next.copied, next.d) = (false, false);
        }
        if next != *state {
            next.dirty |= next.p != state.p || next.g != state.g;
            steps.to("write {} sets its bits", write as u8, next);
            return;
        }
        let g = self.on(Rule::R1) && (self.on(Rule::R4) || overwrite || !state.restoring());
        if !state.recorded(g, protects && self.on(Rule::R6)) {
            return;
        }
        next.writes[write] =
            if overwrite && self.on(Rule::R17_ORDER) { Write::Overwriting } else { Write::Writing };
        next.submit(state.blocks[write], data(write));
        steps.to("write {} goes to the Source", write as u8, next);
    }

    fn overwrite_over(&self, state: &State, write: usize, steps: &mut Steps<State>) {
        let mut next = *state;
        next.writes[write] = Write::Recording;
        next.complete(3, data(write), self.on(Rule::R17_DURABLE));
        next.p = true;
        next.dirty = true;
        steps.to("write {} is over the whole extent, P is set", write as u8, next);
        if state.failures_left > 0 {
            let mut next = *state;
            next.failures_left -= 1;
            next.writes[write] = Write::Done;
            if !self.on(Rule::R18) {
                (next.p, next.dirty, next.d) = (true, true, false);
            }
            steps.to("write {} over the whole extent fails", write as u8, next);
        }
    }

    // ------------------------------------------------------------------ copies

    fn copy_steps(&self, state: &State, steps: &mut Steps<State>) {
        let owned = state.copying != Copying::Idle || state.overwritten() && self.on(Rule::R10);
        if !self.on(Rule::R11) && self.need(state) && !owned && !state.picked {
            let mut next = *state;
            next.picked = true;
            steps.to("the scan finds the extent", 0, next);
        }
        let wanted = self.need(state) || state.picked;
        if state.restoring() && wanted && !owned {
            let on_demand = (0..WRITES).any(|write| state.writes[write] == Write::Waiting);
            for copying in [Copying::Writing, Copying::WritingThrough] {
                if copying == Copying::WritingThrough && !on_demand {
                    continue;
                }
                let mut next = *state;
                next.copying = copying;
                next.picked = false;
                next.d_other |= state.other && self.on(Rule::R2);
                next.submit(3, CLONE);
                let text = if copying == Copying::Writing { "copy begins" } else { "copy on demand begins" };
                steps.to(text, 0, next);
            }
        }
        if state.copying != Copying::Idle {
            let mut next = *state;
            next.copying = Copying::Idle;
            next.complete(3, CLONE, state.copying == Copying::WritingThrough);
            if !self.on(Rule::R12) && !state.late {
                next.late = true;
                steps.to("copy is over and released", 0, next);
            } else {
                self.copied(&mut next, state.copying == Copying::WritingThrough || !state.volatile);
                steps.to("copy is over", 0, next);
            }
        }
        if state.late {
            let mut next = *state;
            next.late = false;
            self.copied(&mut next, !state.volatile);
            steps.to("the maps say that it was copied", 0, next);
        }
    }

    fn copied(&self, next: &mut State, durable: bool) {
        if durable || !self.on(Rule::R8) {
            next.d = false;
        } else if next.d && !next.p {
            next.copied = true;
        }
        if !self.on(Rule::R16) {
            (next.p, next.dirty) = (true, true);
        }
    }

    // ------------------------------------------------------- flushes, metadata

    fn flush_steps(&self, state: &State, steps: &mut Steps<State>) {
        let wanted = state.copied || state.host_flush == 1 && self.on(Rule::R22);
        if state.volatile && !state.flushing && wanted {
            let mut next = *state;
            next.flushing = true;
            next.sealed = state.copied;
            if state.host_flush == 1 {
                next.host_flush = 2;
            }
            for block in 0..2 {
                let under_way = state.under_way(block);
                next.source[block].seal(under_way);
            }
            steps.to("F(S) is submitted", 0, next);
        }
        if !state.flushing {
            return;
        }
        let mut next = *state;
        next.flushing = false;
        next.source.iter_mut().for_each(Block::flushed);
        if state.copied && (state.sealed || !self.on(Rule::R20)) {
            (next.copied, next.d) = (false, false);
        }
        next.sealed = false;
        if state.host_flush == 2 {
            next.host_flush = 3;
        }
        steps.to("F(S) is over", 0, next);
        // A flush that fails and drops what was cached; beside host writes under way N8 would be needed, too.
        let writes = state.writes.iter().any(|write| matches!(write, Write::Writing | Write::Overwriting));
        if state.failures_left > 0 && state.host_flush != 2 && !writes && state.copying == Copying::Idle {
            for dropped in [1, 2, 3] {
                let mut next = *state;
                next.flushing = false;
                next.sealed = false;
                next.failures_left -= 1;
                for block in 0..2 {
                    let lost = each(state.source[block].kept).find(|&value| value != state.source[block].now);
                    if let (true, Some(value)) = (dropped >> block & 1 == 1, lost) {
                        next.source[block] = Block::holding(value);
                    }
                    next.source[block].sealed = 0;
                }
                if self.on(Rule::R24) {
                    next.copied = false;
                } else if state.copied {
                    (next.copied, next.d) = (false, false);
                }
                // Hosts are told: what they had acknowledged may be gone, but nothing else.
                for block in 0..2 {
                    let view = self.view(&next, block);
                    if state.host[block].kept >> view & 1 == 1 && state.open(block) == 0 {
                        next.host[block].now = view;
                    }
                }
                steps.to("F(S) fails, cached writes are dropped", 0, next);
            }
        }
    }

    fn page_steps(&self, state: &State, steps: &mut Steps<State>) {
        if state.dirty && !state.page_writing {
            let mut next = *state;
            next.dirty = false;
            next.page_writing = true;
            next.image = Page { g: state.g, p: state.p && state.restoring(), current: true };
            steps.to("page is submitted", 0, next);
        }
        if state.page_writing {
            let mut next = *state;
            next.page_writing = false;
            next.page = state.image;
            next.image = Page { g: false, p: false, current: false };
            steps.to("page is durable", 0, next);
        }
        // The sweeper (R3).
        let free = !state.d && !state.p && !state.copied && state.copying == Copying::Idle;
        let quiet = state.writes.iter().all(|write| matches!(write, Write::Unused | Write::Done));
        let needed = state.d_other && self.on(Rule::R3);
        if state.g
            && state.life >= Life::Restoring
            && free
            && quiet
            && !needed
            && !state.flushing
            && !state.late
        {
            let mut next = *state;
            for block in 0..2 {
                let under_way = state.under_way(block);
                next.source[block].flush(under_way);
            }
            (next.g, next.dirty) = (false, true);
            steps.to("F(S), the sweeper clears G", 0, next);
        }
    }

    // -------------------------------------------------------------- superblock

    fn life_steps(&self, state: &State, steps: &mut Steps<State>) {
        let mut next = *state;
        match state.life {
            Life::Asked => {
                next.life = Life::Starting;
                if self.on(Rule::R34_N2) {
                    next.source.iter_mut().for_each(|block| block.flush(0));
                }
                if self.on(Rule::R34_CLONE) {
                    next.clone.flush(0);
                }
                steps.to("flushes, superblock {Restoring} is submitted", 0, next);
            }
            Life::Starting => {
                next.life = Life::Restoring;
                next.host = [Block::holding(CLONE); 2];
                steps.to("superblock {Restoring} is durable", 0, next);
            }
            Life::Restoring => {
                let copied = !state.d || !self.on(Rule::R7) && !self.need(state);
                let quiet =
                    state.copying == Copying::Idle && !state.overwritten() && !state.late && !state.picked;
                let clean = !state.dirty && !state.page_writing;
                if copied && quiet && clean && !state.flushing {
                    if self.on(Rule::R25) {
                        for block in 0..2 {
                            let under_way = state.under_way(block);
                            next.source[block].flush(under_way);
                        }
                    }
                    next.life = Life::Ending;
                    steps.to("F(S), superblock {idle} is submitted", 0, next);
                }
            }
            Life::Ending => {
                next.life = Life::Over;
                next.d = state.p && self.on(Rule::R36_END);
                next.p = false;
                steps.to("superblock {idle} is durable, D := P", 0, next);
            }
            Life::Over => {}
        }
    }

    // ---------------------------------------------------------------- recovery

    fn power_losses(&self, state: &State, steps: &mut Steps<State>) {
        if state.losses_left == 0 || state.life == Life::Asked {
            return;
        }
        let lives: &[Life] = match state.life {
            Life::Ending => &[Life::Restoring, Life::Over],
            Life::Starting => &[Life::Restoring],
            _ => &[state.life],
        };
        let pages: &[Page] = if state.page_writing { &[state.page, state.image] } else { &[state.page] };
        for &life in lives {
            for &page in pages {
                for first in each(state.source[0].kept) {
                    for second in each(state.source[1].kept) {
                        for clone in each(state.clone.kept) {
                            steps.power_loss(self.recover(state, life, page, [first, second], clone));
                        }
                    }
                }
            }
        }
    }

    /// What Recovery makes of it, or what is wrong with it.
    fn recover(
        &self,
        state: &State,
        life: Life,
        page: Page,
        source: [u8; 2],
        clone: u8,
    ) -> Result<State, &'static str> {
        let restoring = life == Life::Restoring;
        let p = restoring && page.p && (page.current || !self.on(Rule::R9)) && self.on(Rule::R57);
        let mut next = State {
            life,
            source: source.map(Block::holding),
            clone: Block::holding(clone),
            g: page.g,
            p,
            d: page.g && !(p && self.on(Rule::R7)),
            d_other: page.g && state.other,
            page: Page { current: page.current, ..page },
            losses_left: state.losses_left - 1,
            writes: state.writes.map(|write| if write == Write::Unused { write } else { Write::Done }),
            copied: false,
            sealed: false,
            copying: Copying::Idle,
            picked: false,
            late: false,
            flushing: false,
            host_flush: 0,
            dirty: false,
            page_writing: false,
            image: Page { g: false, p: false, current: false },
            ..*state
        };
        let differs = |content: u8| source.iter().any(|&block| block != content);
        if differs(clone) && !page.g {
            return Err("I2: the Source differs from the Clone, and no bit says so");
        }
        let other = if state.differs { BEFORE } else { CLONE };
        if state.other && differs(other) && !page.g {
            return Err("I2: the Source differs from the other Clone, and no bit says so");
        }
        for block in 0..2 {
            let view = self.view(&next, block);
            let legal = if state.life == Life::Starting { only(CLONE) } else { state.host[block].kept };
            if legal >> view & 1 == 0 {
                return Err(if view == BEFORE {
                    "I8: a host reads what was there before the restore"
                } else {
                    "I8: an acknowledged write is lost"
                });
            }
            // R59: what is read now stays.
            next.host[block] = Block::holding(view);
        }
        Ok(next)
    }
}

impl Model for Restore {
    type State = State;
    type Rule = Rule;
    const NAME: &'static str = "restore";
    const RULES: &'static [(Rule, &'static str)] = RULES;
    const NOT_MISSED: &'static [(Rule, &'static str)] =
        &[(Rule::R25, "D = 0 over a durable base (R8, N2), and what hosts wrote since differs anyway (R36)")];

    fn new(off: Option<Rule>, bounds: Bounds) -> Restore {
        Restore { off, bounds }
    }

    fn initial(&self) -> Vec<State> {
        let mut all = Vec::new();
        for number in 0..16 {
            let [volatile, durable_host, other, differs] = [1, 2, 4, 8].map(|bit| number & bit != 0);
            let content = if differs { BEFORE } else { CLONE };
            let none = Page { g: false, p: false, current: false };
            // A write to the Clone, and one to the Source where it does not differ, may lie in a cache still.
            let cached = |now: u8| Block { kept: only(BEFORE) | only(now), ..Block::holding(now) };
            let settled = |now: u8| if volatile { cached(now) } else { Block::holding(now) };
            all.push(State {
                source: [settled(content), Block::holding(content)],
                clone: if differs { settled(CLONE) } else { Block::holding(CLONE) },
                host: [Block::holding(content); 2],
                writes: [Write::Unused; WRITES],
                blocks: [0; WRITES],
                life: Life::Asked,
                d: differs,
                d_other: false,
                p: false,
                g: differs,
                copied: false,
                sealed: false,
                copying: Copying::Idle,
                picked: false,
                late: false,
                flushing: false,
                host_flush: 0,
                // A restore before this one left its P.
                page: Page { g: differs, p: differs, current: false },
                dirty: false,
                page_writing: false,
                image: none,
                flushes_left: self.bounds.pick(0, 1, 2),
                losses_left: self.bounds.pick(1, 2, 3),
                failures_left: 1,
                volatile,
                durable_host,
                other,
                differs,
            });
        }
        all
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        self.life_steps(state, steps);
        self.host_steps(state, steps);
        self.copy_steps(state, steps);
        self.flush_steps(state, steps);
        self.page_steps(state, steps);
        self.power_losses(state, steps);
    }

    fn fault(&self, state: &State) -> Option<&'static str> {
        if state.life < Life::Restoring {
            return None;
        }
        if state.restoring() && state.clone.now != CLONE {
            return Some("I1: the Clone was modified");
        }
        for block in 0..2 {
            // A read of an extent that is being overwritten waits (R17).
            let legal = only(state.host[block].now) | state.open(block);
            if !state.overwritten() && legal >> self.view(state, block) & 1 == 0 {
                return Some("I8: a host reads what it may not");
            }
        }
        None
    }

    fn may_rest(&self, state: &State) -> bool {
        let done = state.writes.iter().all(|write| matches!(write, Write::Unused | Write::Done));
        state.life == Life::Over && done && state.host_flush == 0
    }
}
