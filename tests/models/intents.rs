//! Write intents cleared in batches, and bounded (R78): two extents in one page, at most one intent, a mirrored Clone, a
//! leg that fails, and writes that come while a sweep is under way.
//!
//! ```text
//!   write:  fewer than the bound, or its bit is set --> G := 1 --> page durable --> both LUs --> in their caches
//!                  `--> waits, and asks for a sweep; not if the last one could clear nothing
//!   sweep:  candidates: G, not D, no write counts on it --> flushes, of what is complete now --> G := 0 --> page
//!                           a write that comes takes its extent out (touch)
//! ```
//!
//! What must hold: where a power loss may leave the LUs different, the page says so - also the image that is on its way.

use crate::checker::{Bounds, Model, Steps};
use crate::{packed, rules, stages};

rules! {
    R1 = "the bit is durable before the write goes out",
    R3_UNDER_WAY = "no candidate that a write counts on",
    R3_DELTA = "no bit is cleared that a Delta Map needs",
    R20 = "the flushes cover what was complete when they were submitted",
    R33 = "the bit is gone in memory before the image without it is written",
    R47 = "the flushes come before the page",
    R78_BOUND = "at most so many intents",
    R78_ASK = "a write that waits asks for a sweep",
    R78_FRUITLESS = "the bound gives way when nothing can be cleared",
    R78_TOUCH = "a write that comes takes its extent out of the sweep",
}

const WRITES: usize = 3;
const BOUND: u32 = 1;

stages! {
    enum Write {
        Unused,
        Waiting,
        /// Its bits are set, and it waits for the page or counts on it.
        Recording,
        Submitted,
        Done,
    }
}

stages! {
    enum Sweep {
        Idle,
        Asked,
        Flushing,
    }
}

packed! {
    struct State {
        writes: [Write; WRITES] => 9,
        extents: [u8; WRITES] => 3,
        /// Masks of the two extents, from here on.
        g: u8 => 2,
        d: u8 => 2,
        /// Complete, and perhaps in a cache.
        cached: u8 => 2,
        /// Those of them that the flushes under way cover.
        sealed: u8 => 2,
        candidates: u8 => 2,
        page: u8 => 2,
        image: u8 => 2,
        page_writing: bool => 1,
        dirty: bool => 1,
        /// Bits that go when the image is durable (R33 off).
        going: u8 => 2,
        sweep: Sweep => 2,
        fruitless: bool => 1,
        failures_left: u8 => 1,
        writes_left: u8 => 2,
    }
}

/// See the module.
pub struct Intents {
    off: Option<Rule>,
    bounds: Bounds,
}

impl State {
    fn extents_where(&self, test: impl Fn(Write) -> bool) -> u8 {
        (0..WRITES)
            .filter(|&write| test(self.writes[write]))
            .fold(0, |mask, write| mask | 1 << self.extents[write])
    }

    /// Bits that are durable, whatever becomes of the image under way.
    fn durable(&self) -> u8 {
        if self.page_writing { self.page & self.image } else { self.page }
    }
}

impl Intents {
    fn on(&self, rule: Rule) -> bool {
        self.off != Some(rule)
    }

    fn host_steps(&self, state: &State, steps: &mut Steps<State>) {
        if let (true, Some(write)) =
            (state.writes_left > 0, state.writes.iter().position(|&write| write == Write::Unused))
        {
            for extent in 0..2 {
                let mut next = *state;
                next.writes_left -= 1;
                next.writes[write] = Write::Waiting;
                next.extents[write] = extent;
                steps.to("a write to extent {}", extent, next);
            }
        }
        for write in 0..WRITES {
            let bit = 1 << state.extents[write];
            let number = state.extents[write];
            let mut next = *state;
            match state.writes[write] {
                Write::Waiting => self.record(state, write, steps),
                Write::Recording if state.durable() & bit != 0 || !self.on(Rule::R1) => {
                    next.writes[write] = Write::Submitted;
                    steps.to("the write to {} goes to both", number, next);
                }
                Write::Submitted => {
                    next.writes[write] = Write::Done;
                    next.cached |= bit;
                    steps.to("the write to {} is over", number, next);
                    if state.failures_left > 0 {
                        next.failures_left -= 1;
                        next.d |= bit;
                        steps.to("the write to {} is over, one leg failed: D", number, next);
                    }
                }
                _ => {}
            }
        }
    }

    fn record(&self, state: &State, write: usize, steps: &mut Steps<State>) {
        let bit = 1 << state.extents[write];
        let number = state.extents[write];
        let mut next = *state;
        let over = (state.g | bit).count_ones() > BOUND && state.g & bit == 0 && self.on(Rule::R78_BOUND);
        // A bit that a Delta Map needs is no intent, but this sweep cannot know.
        if over && !(state.fruitless && self.on(Rule::R78_FRUITLESS)) {
            if state.sweep == Sweep::Idle && !state.fruitless && self.on(Rule::R78_ASK) {
                next.sweep = Sweep::Asked;
                steps.to("the write to {} waits, a sweep is asked for", number, next);
            }
            return;
        }
        if self.on(Rule::R78_TOUCH) {
            next.candidates &= !bit;
        }
        next.dirty |= state.g & bit == 0;
        next.g |= bit;
        next.writes[write] = Write::Recording;
        steps.to("the write to {} sets its intent", number, next);
    }

    fn sweep_steps(&self, state: &State, steps: &mut Steps<State>) {
        let mut next = *state;
        match state.sweep {
            Sweep::Idle => {}
            Sweep::Asked => {
                let under_way =
                    state.extents_where(|write| matches!(write, Write::Recording | Write::Submitted));
                let under_way = if self.on(Rule::R3_UNDER_WAY) { under_way } else { 0 };
                let needed = if self.on(Rule::R3_DELTA) { state.d } else { 0 };
                next.candidates = state.g & !needed & !under_way;
                if next.candidates == 0 && under_way == 0 {
                    (next.sweep, next.fruitless) = (Sweep::Idle, true);
                    steps.to("sweep: nothing can be cleared", 0, next);
                } else if next.candidates != 0 {
                    next.sweep = Sweep::Flushing;
                    next.sealed = state.cached;
                    steps.to("sweep: candidates are chosen, flushes are submitted", 0, next);
                }
            }
            Sweep::Flushing => {
                next.sweep = Sweep::Idle;
                let covered = if self.on(Rule::R20) { state.sealed } else { 3 };
                next.cached &= if self.on(Rule::R47) { !covered } else { 3 };
                // A write that was complete before and comes again while they run is in a cache again.
                let again = if self.on(Rule::R3_DELTA) { state.d } else { 0 };
                let clear = state.candidates & !again;
                (next.sealed, next.candidates) = (0, 0);
                next.dirty |= clear != 0;
                if self.on(Rule::R33) {
                    next.g &= !clear;
                } else {
                    next.going = clear;
                }
                steps.to("sweep: flushed, G := 0", 0, next);
            }
        }
        if state.dirty && !state.page_writing {
            let mut next = *state;
            (next.dirty, next.page_writing) = (false, true);
            next.image = state.g & !state.going;
            steps.to("page is submitted", 0, next);
        }
        if state.page_writing {
            let mut next = *state;
            (next.page, next.page_writing, next.image) = (state.image, false, 0);
            next.g &= !state.going;
            next.going = 0;
            steps.to("page is durable", 0, next);
        }
    }
}

impl Model for Intents {
    type State = State;
    type Rule = Rule;
    const NAME: &'static str = "intents";
    const RULES: &'static [(Rule, &'static str)] = RULES;
    const NOT_MISSED: &'static [(Rule, &'static str)] =
        &[(Rule::R20, "what completes meanwhile was under way, or has taken its extent out (touch)")];

    fn new(off: Option<Rule>, bounds: Bounds) -> Intents {
        Intents { off, bounds }
    }

    fn initial(&self) -> Vec<State> {
        vec![State {
            writes: [Write::Unused; WRITES],
            extents: [0; WRITES],
            g: 0,
            d: 0,
            cached: 0,
            sealed: 0,
            candidates: 0,
            page: 0,
            image: 0,
            page_writing: false,
            dirty: false,
            going: 0,
            sweep: Sweep::Idle,
            fruitless: false,
            failures_left: 1,
            writes_left: self.bounds.pick(3, 3, 3),
        }]
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        self.host_steps(state, steps);
        self.sweep_steps(state, steps);
    }

    fn fault(&self, state: &State) -> Option<&'static str> {
        let differs = state.cached | state.d | state.extents_where(|write| write == Write::Submitted);
        if differs & !state.durable() != 0 {
            return Some("I2: a power loss may leave the LUs different, and no bit says so");
        }
        if (state.g & !state.d).count_ones() > BOUND && !state.fruitless {
            return Some("R78: more intents than the bound");
        }
        None
    }

    fn may_rest(&self, state: &State) -> bool {
        state.writes.iter().all(|write| matches!(write, Write::Unused | Write::Done))
    }
}
