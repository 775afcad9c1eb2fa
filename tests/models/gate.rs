//! The path without the lock, the gate and the sweeper (R71), and drains that can be cancelled (R76): two writers of a
//! mirrored extent, a Fracture, sweeps, an I/O that hangs. The library does not have this path yet - it looks at
//! `pass` under its lock - so this is the specification to build it by.
//!
//! ```text
//!   writer:   note epoch and parity --> enter in_flight[parity] --> noted still true, gate open? --> pass? --> submit
//!                                                  `------------- no: leave, slow path ----------'
//!   slow:     (lock) gate open --> bits --> page durable --> pass := 1 --> submit
//!   change:   close the gate --> in_flight[parity] = 0 --> superblock --> epoch + 1 (no pass holds) --> open
//!   sweep:    pass := 0 --> flip the parity --> in_flight[old] = 0 --> flush --> G := 0 --> page
//! ```

use crate::checker::{Bounds, Model, Steps};
use crate::{packed, rules, stages};

rules! {
    R71_AGAIN = "the gate is looked at again after entering",
    R71_ENTER = "a writer enters before it looks at the gate",
    R71_GATE = "a state change waits for those who entered",
    R71_VOID = "no pass holds in another epoch",
    R71_PASS = "the path tests pass, and not G",
    R71_WITHDRAW = "a sweep withdraws pass",
    R71_PARITY = "a sweep waits for those who entered before",
    R76_ABORT = "an operation that waits in a drain can be cancelled",
    R76_LATE = "not once its superblock is submitted",
}

const WRITERS: usize = 2;

stages! {
    enum Writer {
        Idle,
        Noted,
        Entered,
        /// It found the gate as noted.
        Checked,
        Slow,
        /// Its write is with the LUs, and it is in `in_flight`.
        Submitted,
        /// The same, and it does not end.
        Hung,
        Done,
    }
}

stages! {
    enum Stage {
        None,
        Draining,
        Committing,
    }
}

stages! {
    enum Sweep {
        Idle,
        Withdrawn,
        Waiting,
        Writing,
    }
}

packed! {
    struct State {
        writers: [Writer; WRITERS] => 6,
        noted_epoch: [bool; WRITERS] => 2,
        noted_parity: [bool; WRITERS] => 2,
        /// The write goes to the Clone, too.
        mirrors: [bool; WRITERS] => 2,
        /// Writers make a second write.
        again: [bool; WRITERS] => 2,
        closed: bool => 1,
        epoch: bool => 1,
        parity: bool => 1,
        pass: bool => 1,
        g: bool => 1,
        d: bool => 1,
        fractured: bool => 1,
        /// What the area says.
        superblock: bool => 1,
        change: Stage => 2,
        changes_left: u8 => 2,
        sweep: Sweep => 2,
        sweeps_left: u8 => 2,
        hangs_left: u8 => 1,
    }
}

/// See the module.
pub struct Gate {
    off: Option<Rule>,
    bounds: Bounds,
}

impl State {
    fn submitted(&self, writer: usize) -> bool {
        matches!(self.writers[writer], Writer::Submitted | Writer::Hung)
    }
}

impl Gate {
    fn on(&self, rule: Rule) -> bool {
        self.off != Some(rule)
    }

    fn in_flight(&self, state: &State, parity: bool) -> bool {
        (0..WRITERS).any(|writer| {
            // Without the rule a writer enters when it submits.
            let early = matches!(state.writers[writer], Writer::Entered | Writer::Checked);
            let entered = state.submitted(writer) || early && self.on(Rule::R71_ENTER);
            entered && state.noted_parity[writer] == parity
        })
    }

    fn writer_steps(&self, state: &State, writer: usize, steps: &mut Steps<State>) {
        let number = writer as u8;
        let mut next = *state;
        let unchanged = !state.closed
            && state.noted_epoch[writer] == state.epoch
            && state.noted_parity[writer] == state.parity;
        match state.writers[writer] {
            Writer::Idle => {
                next.noted_epoch[writer] = state.epoch;
                next.noted_parity[writer] = state.parity;
                next.writers[writer] = if state.closed { Writer::Slow } else { Writer::Noted };
                steps.to("writer {} looks at the gate", number, next);
            }
            Writer::Noted => {
                next.writers[writer] = Writer::Entered;
                steps.to("writer {} enters", number, next);
            }
            Writer::Entered => {
                let goes = unchanged || !self.on(Rule::R71_AGAIN);
                next.writers[writer] = if goes { Writer::Checked } else { Writer::Slow };
                steps.to(
                    if goes { "writer {} finds the gate open" } else { "writer {} leaves" },
                    number,
                    next,
                );
            }
            Writer::Checked => {
                let pass = if self.on(Rule::R71_PASS) { state.pass } else { state.g };
                if pass {
                    next.writers[writer] = Writer::Submitted;
                    // What the epoch that it noted says.
                    next.mirrors[writer] = !state.noted_epoch[writer];
                    steps.to("writer {} passes and submits", number, next);
                } else {
                    next.writers[writer] = Writer::Slow;
                    steps.to("writer {} needs the maps", number, next);
                }
            }
            Writer::Slow if !state.closed && state.sweep != Sweep::Writing => {
                // Under the lock, with the page written on the way.
                if state.fractured {
                    next.d = true;
                }
                next.g = true;
                next.pass = state.sweep == Sweep::Idle;
                next.writers[writer] = Writer::Submitted;
                next.noted_epoch[writer] = state.epoch;
                next.noted_parity[writer] = state.parity;
                next.mirrors[writer] = !state.fractured;
                steps.to("writer {} sets bits, pages are durable, submits", number, next);
            }
            Writer::Submitted => {
                next.writers[writer] = if state.again[writer] { Writer::Idle } else { Writer::Done };
                next.again[writer] = false;
                next.mirrors[writer] = false;
                steps.to("the write of {} is over", number, next);
                if state.hangs_left > 0 {
                    let mut next = *state;
                    next.hangs_left -= 1;
                    next.writers[writer] = Writer::Hung;
                    steps.to("the write of {} hangs", number, next);
                }
            }
            Writer::Slow | Writer::Hung | Writer::Done => {}
        }
    }

    fn change_steps(&self, state: &State, steps: &mut Steps<State>) {
        let mut next = *state;
        match state.change {
            Stage::None if !state.fractured && state.changes_left > 0 && state.sweep == Sweep::Idle => {
                (next.change, next.closed) = (Stage::Draining, true);
                next.changes_left -= 1;
                steps.to("fracture: the gate closes", 0, next);
            }
            Stage::None => {}
            Stage::Draining => {
                let entered = self.in_flight(state, state.parity) || self.in_flight(state, !state.parity);
                if !entered || !self.on(Rule::R71_GATE) {
                    steps.to(
                        "drained, superblock is submitted",
                        0,
                        State { change: Stage::Committing, ..*state },
                    );
                }
            }
            Stage::Committing => {
                (next.change, next.closed) = (Stage::None, false);
                (next.fractured, next.superblock) = (true, true);
                next.epoch = true;
                next.pass &= !self.on(Rule::R71_VOID);
                steps.to("superblock is durable, the gate opens", 0, next);
            }
        }
        let late = state.change == Stage::Committing && !self.on(Rule::R76_LATE);
        if state.change == Stage::Draining && self.on(Rule::R76_ABORT) || late {
            let mut next = *state;
            (next.change, next.closed) = (Stage::None, false);
            // The superblock is on its way all the same.
            next.superblock = late;
            steps.to("the operation is cancelled, the gate opens", 0, next);
        }
    }

    fn sweep_steps(&self, state: &State, steps: &mut Steps<State>) {
        let mut next = *state;
        match state.sweep {
            Sweep::Idle if state.sweeps_left > 0 && state.g && !state.d && state.change == Stage::None => {
                next.sweeps_left -= 1;
                next.sweep = Sweep::Withdrawn;
                next.pass &= !self.on(Rule::R71_WITHDRAW);
                steps.to("sweep: pass is withdrawn", 0, next);
            }
            Sweep::Withdrawn => {
                (next.sweep, next.parity) = (Sweep::Waiting, !state.parity);
                steps.to("sweep: the parity is flipped", 0, next);
            }
            Sweep::Waiting => {
                // Under the lock it sees writes that took the slow path, and gives their extents up (touch).
                let slow = (0..WRITERS)
                    .any(|writer| state.submitted(writer) && state.noted_parity[writer] == state.parity);
                if slow || state.d {
                    steps.to("sweep: the extent is in use", 0, State { sweep: Sweep::Idle, ..*state });
                } else if !self.in_flight(state, !state.parity) || !self.on(Rule::R71_PARITY) {
                    (next.sweep, next.g) = (Sweep::Writing, false);
                    steps.to("sweep: flushes, G := 0, the page is submitted", 0, next);
                }
            }
            Sweep::Writing => {
                steps.to("sweep: the page is durable", 0, State { sweep: Sweep::Idle, ..*state });
            }
            Sweep::Idle => {}
        }
    }
}

impl Model for Gate {
    type State = State;
    type Rule = Rule;
    const NAME: &'static str = "gate";
    const RULES: &'static [(Rule, &'static str)] = RULES;
    const NOT_MISSED: &'static [(Rule, &'static str)] = &[];

    fn new(off: Option<Rule>, bounds: Bounds) -> Gate {
        Gate { off, bounds }
    }

    fn initial(&self) -> Vec<State> {
        vec![State {
            writers: [Writer::Idle; WRITERS],
            noted_epoch: [false; WRITERS],
            noted_parity: [false; WRITERS],
            mirrors: [false; WRITERS],
            again: [true; WRITERS],
            closed: false,
            epoch: false,
            parity: false,
            pass: false,
            g: false,
            d: false,
            fractured: false,
            superblock: false,
            change: Stage::None,
            changes_left: self.bounds.pick(1, 2, 3),
            sweep: Sweep::Idle,
            sweeps_left: self.bounds.pick(1, 2, 3),
            hangs_left: 1,
        }]
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        (0..WRITERS).for_each(|writer| self.writer_steps(state, writer, steps));
        self.change_steps(state, steps);
        self.sweep_steps(state, steps);
    }

    fn fault(&self, state: &State) -> Option<&'static str> {
        for writer in (0..WRITERS).filter(|&writer| state.submitted(writer)) {
            if state.mirrors[writer] && state.fractured {
                return Some("a write goes to a Clone that is fractured");
            }
            if !state.g {
                return Some("R1: a write is with the LUs, and no bit is durable");
            }
            if state.fractured && !state.d {
                return Some("R1: the Source is written, and D of the fractured Clone does not say so");
            }
        }
        if state.change == Stage::None && state.superblock != state.fractured {
            return Some("R76: the area says that it happened, and memory that it did not");
        }
        None
    }

    fn may_rest(&self, state: &State) -> bool {
        // An I/O that hangs may keep its own writer, a sweep and a Fracture that nobody cancels; but no other host.
        state.writers.iter().all(|writer| matches!(writer, Writer::Done | Writer::Hung))
    }
}
