//! The ways out of a Protected Restore: its end, cancel, another Clone instead, the mixture accepted, given up at
//! Recovery. One extent, the Clones C (restored from) and K (fractured), one column for both or one for each.
//! Superblocks may fail, and be there nevertheless.
//!
//! ```text
//!   Restoring(C) --D = 0, F(S), pages------------> Idle            D_C := P
//!        |  |  `---cancel: drain, F(S)-----------> Invalid         D_C := D_C or P     --accept: F(S)--> Idle
//!        |  `------re-target: drain, F(S)--------> Restoring(K)    D_C := D_C or P, generation + 1
//!        `---------power loss, given up----------> Invalid         K is full (N16)
//! ```
//!
//! Before each of these superblocks every page that lacks a bit of another Clone is durable (R72). A host write waits for
//! the copy of the extent (writes of whole extents are in `restore.rs`).

use crate::checker::{Bounds, Model, Steps};
use crate::medium::{BITS_5, Block, each, only};
use crate::{packed, rules, stages};

rules! {
    R2 = "D of the other Clone when a copy is claimed",
    R4 = "the column of the Clone that is restored from has P",
    R8 = "D goes to 0 when the copy is durable",
    R9 = "P of another generation is 0",
    R36_END = "D_C becomes P at the end",
    R38_DRAIN = "copies are drained before the restore is left",
    R38_MERGE = "D_C becomes D_C or P when the restore is left",
    R53 = "host writes are drained before the restore is left",
    R72_PAGES = "pages of other Clones before the superblock that leaves",
    R72_UNION = "Recovery: what C differs in, K differs in",
    R75 = "redirected reads are drained before the view changes",
    N11 = "F(S) before the mixture is accepted",
    N12 = "D_C becomes D_C or P behind the superblock",
    N16 = "given up: every other Clone is full",
    N17 = "no copy beside a superblock whose result is unknown",
}

const WRITES: usize = 2;

fn data(write: usize) -> u8 {
    3 + write as u8
}

stages! {
    enum Life {
        RestoringC,
        RestoringK,
        Invalid,
        Idle,
    }
}

stages! {
    enum Write {
        Unused,
        Waiting,
        Writing,
        Done,
    }
}

stages! {
    enum Leaving {
        No,
        /// The gate is closed.
        Draining,
        Committing,
    }
}

packed! {
    struct Page {
        c: bool => 1,
        k: bool => 1,
        p: bool => 1,
        generation: u8 => 2,
    }
}

packed! {
    struct Superblock {
        life: Life => 2,
        generation: u8 => 2,
        full_c: bool => 1,
        full_k: bool => 1,
    }
}

packed! {
    struct State {
        source: Block => BITS_5,
        host: Block => BITS_5,
        writes: [Write; WRITES] => 4,
        life: Life => 2,
        generation: u8 => 2,
        d_c: bool => 1,
        d_k: bool => 1,
        p: bool => 1,
        copied: bool => 1,
        copying: bool => 1,
        /// A read that went to the Clone.
        reading: bool => 1,
        page: Page => 5,
        image: Page => 5,
        page_writing: bool => 1,
        dirty: bool => 1,
        /// Changes of the page that nobody waits for.
        later: bool => 1,
        superblock: Superblock => 6,
        /// What may be in the area as well.
        next: Superblock => 6,
        leaving: Leaving => 2,
        to: Life => 2,
        /// A superblock failed; either may be there.
        unknown: bool => 1,
        full_c: bool => 1,
        full_k: bool => 1,
        writes_left: u8 => 2,
        reads_left: u8 => 1,
        losses_left: u8 => 2,
        failures_left: u8 => 1,
        volatile: bool => 1,
        per_clone: bool => 1,
        differs_c: bool => 1,
        differs_k: bool => 1,
    }
}

/// See the module.
pub struct LeaveRestore {
    off: Option<Rule>,
    bounds: Bounds,
}

impl State {
    fn content_c(&self) -> u8 {
        u8::from(self.differs_c)
    }

    fn content_k(&self) -> u8 {
        if self.differs_k { 2 } else { 0 }
    }

    fn restoring(&self) -> bool {
        matches!(self.life, Life::RestoringC | Life::RestoringK)
    }

    /// What the Clone that is restored from holds.
    fn clone(&self) -> u8 {
        if self.life == Life::RestoringK { self.content_k() } else { self.content_c() }
    }

    fn d(&self) -> bool {
        if self.life == Life::RestoringK { self.d_k } else { self.d_c }
    }

    fn set_d(&mut self, d: bool) {
        if self.life == Life::RestoringK { self.d_k = d } else { self.d_c = d }
    }

    fn need(&self) -> bool {
        self.restoring() && self.d() && !self.p && !self.copied
    }

    fn view(&self) -> u8 {
        if self.need() { self.clone() } else { self.source.now }
    }

    fn open(&self) -> u8 {
        let open = |write: &usize| matches!(self.writes[*write], Write::Waiting | Write::Writing);
        (0..WRITES).filter(open).fold(0, |values, write| values | only(data(write)))
    }

    fn under_way(&self) -> u8 {
        let copy = if self.copying { only(self.clone()) } else { 0 };
        let with_source = |write: &usize| self.writes[*write] == Write::Writing;
        (0..WRITES).filter(with_source).fold(copy, |values, write| values | only(data(write)))
    }

    fn flush(&mut self) {
        let under_way = self.under_way();
        self.source.flush(under_way);
    }

    fn says(&self, life: Life, generation: u8) -> Superblock {
        Superblock { life, generation, full_c: self.full_c, full_k: self.full_k }
    }

    fn clean(&self) -> bool {
        !self.dirty && !self.page_writing
    }

    /// The copy is durable.
    fn copy_counts(&mut self) {
        self.copied = false;
        self.set_d(false);
        self.later |= self.per_clone;
    }
}

impl LeaveRestore {
    fn on(&self, rule: Rule) -> bool {
        self.off != Some(rule)
    }

    /// What the columns say (columns.rs).
    fn columns(&self, state: &State) -> Page {
        let p = state.restoring() && state.p;
        let with_p = p && self.on(Rule::R4);
        let (c, k) = if state.per_clone {
            let c = state.d_c || with_p && state.life == Life::RestoringC;
            (c, state.d_k || with_p && state.life == Life::RestoringK)
        } else {
            // G is never cleared here: K, or C, differs.
            let g = state.page.c || state.d_c || state.d_k || with_p;
            (g, g)
        };
        Page { c, k, p, generation: state.generation }
    }

    // ------------------------------------------------------------------- hosts

    fn host_steps(&self, state: &State, steps: &mut Steps<State>) {
        let held = state.leaving != Leaving::No && state.to != Life::Idle || state.life == Life::Invalid;
        if let (false, true, Some(write)) = (
            held,
            state.writes_left > 0 && state.open() == 0,
            state.writes.iter().position(|&write| write == Write::Unused),
        ) {
            let mut next = *state;
            next.writes_left -= 1;
            next.writes[write] = Write::Waiting;
            next.host.submit(data(write));
            steps.to("write {}", write as u8, next);
        }
        if state.reads_left > 0 && state.need() && !held {
            let mut next = *state;
            next.reads_left -= 1;
            next.reading = true;
            steps.to("a read is redirected to the Clone", 0, next);
        }
        if state.reading {
            steps.to("the redirected read is over", 0, State { reading: false, ..*state });
        }
        for write in 0..WRITES {
            match state.writes[write] {
                // Refused: hosts do not write in a state that is not known (R33).
                Write::Waiting if state.unknown || state.life == Life::Invalid => {
                    let mut next = *state;
                    next.writes[write] = Write::Done;
                    steps.to("write {} is refused", write as u8, next);
                }
                Write::Waiting if !held => self.send(state, write, steps),
                Write::Writing => {
                    let mut next = *state;
                    next.writes[write] = Write::Done;
                    let under_way = next.under_way();
                    next.source.complete(data(write), !state.volatile, under_way);
                    next.host.complete(data(write), !state.volatile, 0);
                    steps.to("write {} is acknowledged", write as u8, next);
                }
                _ => {}
            }
        }
    }

    fn send(&self, state: &State, write: usize, steps: &mut Steps<State>) {
        if state.restoring() && state.d() && !state.p {
            return;
        }
        let mut next = *state;
        if state.restoring() {
            next.p = true;
        }
        next.d_c |= state.life != Life::RestoringC;
        next.d_k |= state.life != Life::RestoringK;
        if next != *state {
            next.dirty = true;
            steps.to("write {} sets its bits", write as u8, next);
        } else if state.clean() && (!state.later || !state.per_clone) {
            next.writes[write] = Write::Writing;
            next.source.submit(data(write));
            steps.to("write {} goes to the Source", write as u8, next);
        }
    }

    // ------------------------------------------------------- copies and pages

    fn copy_steps(&self, state: &State, steps: &mut Steps<State>) {
        let known = !state.unknown || !state.per_clone || !self.on(Rule::N17);
        let held = state.leaving != Leaving::No && state.to != Life::Idle;
        if state.need() && !state.copying && known && !held {
            let mut next = *state;
            next.copying = true;
            if self.on(Rule::R2) {
                let before = (next.d_c, next.d_k);
                (next.d_c, next.d_k) = (true, true);
                next.later |= state.per_clone && before != (true, true);
            }
            next.source.submit(state.clone());
            steps.to("copy begins", 0, next);
        }
        if state.copying {
            let mut next = *state;
            next.copying = false;
            let under_way = next.under_way();
            next.source.complete(state.clone(), !state.volatile, under_way);
            if state.restoring() {
                next.copied = true;
                if !state.volatile || !self.on(Rule::R8) {
                    next.copy_counts();
                }
            }
            steps.to("copy is over", 0, next);
        }
        if state.copied {
            let mut next = *state;
            next.flush();
            next.copy_counts();
            steps.to("F(S): the copy is durable, D := 0", 0, next);
        }
        if state.later {
            steps.to("the page is to be written", 0, State { later: false, dirty: true, ..*state });
        }
        if state.dirty && !state.page_writing {
            let image = self.columns(state);
            steps.to("page is submitted", 0, State { dirty: false, page_writing: true, image, ..*state });
        }
        if state.page_writing {
            let image = Page { c: false, k: false, p: false, generation: 0 };
            steps.to("page is durable", 0, State { page: state.image, page_writing: false, image, ..*state });
        }
    }

    // ----------------------------------------------------------------- leaving

    fn leave_steps(&self, state: &State, steps: &mut Steps<State>) {
        let begin = |text, to| (text, State { leaving: Leaving::Draining, to, ..*state });
        let mut begun = Vec::new();
        if state.leaving == Leaving::No && !state.unknown {
            let over = !state.d() && !state.copying && (!state.reading || !self.on(Rule::R75));
            match state.life {
                Life::RestoringC | Life::RestoringK if over && state.clean() => {
                    begun.push(begin("nothing is left to copy: the end", Life::Idle));
                }
                _ => {}
            }
            match state.life {
                Life::RestoringC => {
                    begun.push(begin("cancel: the gate closes", Life::Invalid));
                    if state.generation < 3 {
                        begun.push(begin("re-target: the gate closes", Life::RestoringK));
                    }
                }
                Life::RestoringK => begun.push(begin("cancel: the gate closes", Life::Invalid)),
                Life::Invalid => {
                    begun.push(begin("accept the Source", Life::Idle));
                    if state.generation < 3 {
                        begun.push(begin("a new restore, from C: the gate closes", Life::RestoringC));
                        begun.push(begin("a new restore, from K: the gate closes", Life::RestoringK));
                    }
                }
                Life::Idle => {}
            }
        }
        for (text, next) in begun {
            steps.to(text, 0, next);
        }
        match state.leaving {
            Leaving::No => {}
            Leaving::Draining => self.commit(state, steps),
            Leaving::Committing => self.committed(state, steps),
        }
        if state.unknown {
            // Repair: what memory says is written again.
            let now = state.says(state.life, state.generation);
            steps.to(
                "repair: the superblock is durable",
                0,
                State { unknown: false, superblock: now, next: now, ..*state },
            );
        }
    }

    fn commit(&self, state: &State, steps: &mut Steps<State>) {
        let ends = state.to == Life::Idle && state.restoring();
        let accepts = state.life == Life::Invalid && state.to == Life::Idle;
        if ends && state.d() {
            return steps.to("something is left: no end", 0, State { leaving: Leaving::No, ..*state });
        }
        let writes = state.writes.contains(&Write::Writing) && !ends && self.on(Rule::R53);
        let copies = state.copying && self.on(Rule::R38_DRAIN);
        let pages = !state.clean() || state.later;
        let reads = state.reading && self.on(Rule::R75);
        if !accepts && (writes || copies || pages && self.on(Rule::R72_PAGES) || reads) {
            return;
        }
        if state.to == Life::Invalid && state.volatile && state.failures_left > 0 {
            // The Source is given up: a flush that fails does not keep it, and copies do not count.
            let next = State { failures_left: state.failures_left - 1, ..*state };
            self.submit(next, ends, "F(S) fails, superblock is submitted", steps);
        }
        let mut next = *state;
        if !accepts || self.on(Rule::N11) {
            next.flush();
        }
        if state.copied && !accepts {
            next.copy_counts();
            // The library flushes after the drain; these pages are drained already, and lack nothing of K.
            next.later = false;
            next.dirty |= state.per_clone;
        }
        self.submit(next, ends, "F(S), superblock is submitted", steps);
    }

    fn submit(&self, state: State, ends: bool, text: &'static str, steps: &mut Steps<State>) {
        let mut next = state;
        if !self.on(Rule::N12) && !ends && state.restoring() {
            next.set_d(state.d() || state.p);
        }
        let generation = state.generation + u8::from(state.to < Life::Invalid);
        next.leaving = Leaving::Committing;
        next.next = state.says(state.to, generation);
        if ends {
            let full =
                if state.life == Life::RestoringC { &mut next.next.full_c } else { &mut next.next.full_k };
            *full = false;
        }
        steps.to(text, 0, next);
    }

    fn committed(&self, state: &State, steps: &mut Steps<State>) {
        let mut next = *state;
        next.leaving = Leaving::No;
        next.superblock = state.next;
        next.life = state.to;
        next.generation = state.next.generation;
        (next.full_c, next.full_k) = (state.next.full_c, state.next.full_k);
        let from_k = state.life == Life::RestoringK;
        let d = if from_k { &mut next.d_k } else { &mut next.d_c };
        if state.restoring() {
            *d = if state.to == Life::Idle {
                state.p && self.on(Rule::R36_END)
            } else {
                *d || state.p && self.on(Rule::R38_MERGE)
            };
            (next.p, next.copied) = (false, false);
        }
        let open = state.open();
        match state.to {
            Life::RestoringC => next.host = Block::holding(state.content_c()),
            Life::RestoringK => next.host = Block::holding(state.content_k()),
            Life::Idle if state.life == Life::Invalid => next.host = Block::holding(state.source.now),
            _ => {}
        }
        // Writes that wait will be written to what is there then.
        next.host.kept |= open;
        steps.to("superblock is durable", 0, next);
        if state.failures_left > 0 && state.restoring() {
            let mut next = *state;
            next.failures_left -= 1;
            (next.leaving, next.unknown) = (Leaving::No, true);
            steps.to("superblock fails: it may be there", 0, next);
        }
    }

    // ---------------------------------------------------------------- recovery

    fn power_losses(&self, state: &State, steps: &mut Steps<State>) {
        if state.losses_left == 0 {
            return;
        }
        let either = state.unknown || state.leaving == Leaving::Committing;
        let superblocks: &[Superblock] =
            if either { &[state.superblock, state.next] } else { &[state.superblock] };
        let pages: &[Page] = if state.page_writing { &[state.page, state.image] } else { &[state.page] };
        for &superblock in superblocks {
            for &page in pages {
                for source in each(state.source.kept) {
                    steps.power_loss(self.recover(state, superblock, page, source));
                    if superblock.life < Life::Invalid {
                        // A page elsewhere is lost; the restore is given up, and the superblock says so.
                        let full = state.per_clone && self.on(Rule::N16);
                        let from_c = superblock.life == Life::RestoringC;
                        let given_up = Superblock {
                            life: Life::Invalid,
                            full_c: superblock.full_c || full && !from_c,
                            full_k: superblock.full_k || full && from_c,
                            ..superblock
                        };
                        steps.recovery(
                            "power loss, given up",
                            0,
                            self.recover(state, given_up, page, source),
                        );
                    }
                }
            }
        }
    }

    fn recover(
        &self,
        state: &State,
        superblock: Superblock,
        page: Page,
        source: u8,
    ) -> Result<State, &'static str> {
        let Superblock { life, generation, full_c, full_k } = superblock;
        let from_c = life == Life::RestoringC && state.per_clone && self.on(Rule::R72_UNION);
        let from_k = life == Life::RestoringK && state.per_clone && self.on(Rule::R72_UNION);
        let current = page.generation == generation || !self.on(Rule::R9);
        let mut next = State {
            source: Block::holding(source),
            writes: state.writes.map(|write| if write == Write::Unused { write } else { Write::Done }),
            life,
            generation,
            d_c: page.c || from_k && page.k || full_c,
            d_k: page.k || from_c && page.c || full_k,
            p: life < Life::Invalid && page.p && current,
            copied: false,
            copying: false,
            reading: false,
            page,
            image: Page { c: false, k: false, p: false, generation: 0 },
            page_writing: false,
            dirty: false,
            later: state.per_clone && (from_c && page.c || from_k && page.k),
            superblock,
            next: superblock,
            leaving: Leaving::No,
            to: Life::Idle,
            unknown: false,
            full_c,
            full_k,
            losses_left: state.losses_left - 1,
            ..*state
        };
        let protected = next.p;
        if source != state.content_c() && !next.d_c && !(protected && life == Life::RestoringC) {
            return Err("I2: the Source differs from C, and no bit says so");
        }
        if source != state.content_k() && !next.d_k && !(protected && life == Life::RestoringK) {
            return Err("I2: the Source differs from K, and no bit says so");
        }
        if protected {
            next.set_d(false);
        }
        let view = next.view();
        let restarts = state.leaving == Leaving::Committing && state.to < Life::Invalid;
        let switched = (restarts || state.unknown) && generation != state.generation;
        if life != Life::Invalid
            && !switched
            && state.host.kept >> view & 1 == 0
            && state.life != Life::Invalid
        {
            return Err("I8: a host reads what it may not");
        }
        let accepted = state.life == Life::Invalid && life == Life::Idle && state.leaving == Leaving::No;
        if accepted && state.host.kept >> view & 1 == 0 {
            return Err("R59: what was read of the mixture changed");
        }
        if switched && next.restoring() && view != next.clone() {
            return Err("I8: the restore shows what its Clone does not hold");
        }
        if life != Life::Invalid {
            next.host = Block::holding(view);
        }
        Ok(next)
    }
}

impl Model for LeaveRestore {
    type State = State;
    type Rule = Rule;
    const NAME: &'static str = "leaving";
    const RULES: &'static [(Rule, &'static str)] = RULES;
    const NOT_MISSED: &'static [(Rule, &'static str)] = &[];

    fn new(off: Option<Rule>, bounds: Bounds) -> LeaveRestore {
        LeaveRestore { off, bounds }
    }

    fn initial(&self) -> Vec<State> {
        let mut all = Vec::new();
        for number in 0..16 {
            let [volatile, per_clone, differs_c, differs_k] = [1, 2, 4, 8].map(|bit| number & bit != 0);
            let any = differs_c || differs_k;
            let (c, k) = if per_clone { (differs_c, differs_k) } else { (any, any) };
            let superblock =
                Superblock { life: Life::RestoringC, generation: 1, full_c: false, full_k: false };
            all.push(State {
                source: Block::holding(0),
                host: Block::holding(u8::from(differs_c)),
                writes: [Write::Unused; WRITES],
                life: Life::RestoringC,
                generation: 1,
                d_c: differs_c,
                d_k: differs_k,
                p: false,
                copied: false,
                copying: false,
                reading: false,
                page: Page { c, k, p: false, generation: 0 },
                image: Page { c: false, k: false, p: false, generation: 0 },
                page_writing: false,
                dirty: false,
                later: false,
                superblock,
                next: superblock,
                leaving: Leaving::No,
                to: Life::Idle,
                unknown: false,
                full_c: false,
                full_k: false,
                writes_left: self.bounds.pick(1, 1, 2),
                reads_left: self.bounds.pick(0, 1, 1),
                losses_left: self.bounds.pick(1, 2, 2),
                failures_left: 1,
                volatile,
                per_clone,
                differs_c,
                differs_k,
            });
        }
        all
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        self.leave_steps(state, steps);
        self.host_steps(state, steps);
        self.copy_steps(state, steps);
        self.power_losses(state, steps);
    }

    fn fault(&self, state: &State) -> Option<&'static str> {
        if state.reading && !state.restoring() {
            return Some("R75: a read returns what was never on the Source");
        }
        if state.restoring() && state.d() && state.p && state.leaving == Leaving::No {
            return Some("I7: D = P = 1 is not copied and never leaves D: the restore does not end");
        }
        let legal = only(state.host.now) | state.open();
        if state.life != Life::Invalid && legal >> state.view() & 1 == 0 {
            return Some("I8: a host reads what it may not");
        }
        let quiet = state.open() == 0 && !state.copying && state.leaving == Leaving::No && !state.restoring();
        if quiet && state.source.now != state.content_c() && !state.d_c {
            return Some("I2: the Source differs from C, and no bit says so");
        }
        if quiet && state.source.now != state.content_k() && !state.d_k {
            return Some("I2: the Source differs from K, and no bit says so");
        }
        None
    }

    fn may_rest(&self, state: &State) -> bool {
        state.life >= Life::Invalid && state.open() == 0 && state.leaving == Leaving::No
    }
}
