//! A small explicit-state model checker: breadth first over every reachable state, so that the first trace it
//! finds is a shortest one. A state is at most 128 bits; of each one the checker keeps these and the number of its
//! parent. Labels are not kept: a trace is walked once more to name its steps.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// What fits into some bits of a state.
pub trait Packed: Copy {
    /// As a number below 2^bits.
    fn pack(self, bits: u32) -> u128;
    /// The same back.
    fn unpack(word: u128, bits: u32) -> Self;
}

impl Packed for bool {
    fn pack(self, _: u32) -> u128 {
        u128::from(self)
    }
    fn unpack(word: u128, _: u32) -> bool {
        word & 1 == 1
    }
}

impl Packed for u8 {
    fn pack(self, _: u32) -> u128 {
        u128::from(self)
    }
    fn unpack(word: u128, bits: u32) -> u8 {
        (word & ((1 << bits) - 1)) as u8
    }
}

impl<T: Packed, const N: usize> Packed for [T; N] {
    fn pack(self, bits: u32) -> u128 {
        let each = bits / N as u32;
        self.into_iter().rev().fold(0, |word, item| word << each | item.pack(each))
    }
    fn unpack(word: u128, bits: u32) -> [T; N] {
        let each = bits / N as u32;
        std::array::from_fn(|item| T::unpack(word >> (each * item as u32) & ((1 << each) - 1), each))
    }
}

/// A struct whose fields have so many bits each.
#[macro_export]
macro_rules! packed {
    ($(#[$doc:meta])* struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty => $bits:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }
        impl $crate::checker::Packed for $name {
            fn pack(self, _: u32) -> u128 {
                let (mut word, mut at) = (0_u128, 0_u32);
                $(
                    let value = $crate::checker::Packed::pack(self.$field, $bits);
                    assert!(value >> $bits == 0, concat!(stringify!($field), " does not fit"));
                    word |= value << at;
                    at += $bits;
                )*
                assert!(at <= 128, "{at} bits");
                word
            }
            fn unpack(word: u128, _: u32) -> $name {
                let mut at = 0_u32;
                $(
                    let value = word >> at & ((1_u128 << $bits) - 1);
                    let $field = <$type as $crate::checker::Packed>::unpack(value, $bits);
                    at += $bits;
                )*
                let _ = at;
                $name { $($field,)* }
            }
        }
    };
}

/// An enum as a number in a packed state.
#[macro_export]
macro_rules! stages {
    ($(#[$doc:meta])* enum $name:ident { $($(#[$stage_doc:meta])* $stage:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum $name { $($(#[$stage_doc])* $stage,)* }
        impl $crate::checker::Packed for $name {
            fn pack(self, _: u32) -> u128 {
                self as u128
            }
            fn unpack(word: u128, _: u32) -> $name {
                [$($name::$stage,)*][word as usize]
            }
        }
    };
}

/// The rules of a model, each with a switch and what its guard says.
#[macro_export]
macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident = $text:literal,)*) => {
        /// The switches.
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Rule { $(#[doc = $text] $rule,)* }
        const RULES: &[(Rule, &str)] = &[$((Rule::$rule, $text),)*];
    };
}

/// A model: what may happen next, and what must be so.
pub trait Model: Sized {
    /// Everything that matters.
    type State: Packed + Eq;
    /// Its switches.
    type Rule: Copy + PartialEq + std::fmt::Debug + 'static;
    /// Its file.
    const NAME: &'static str;
    /// Every rule that can be switched off.
    const RULES: &'static [(Self::Rule, &'static str)];
    /// Those of them that this model does not miss, and why.
    const NOT_MISSED: &'static [(Self::Rule, &'static str)];
    /// With one rule off or none.
    fn new(off: Option<Self::Rule>, bounds: Bounds) -> Self;
    /// Every configuration to begin with.
    fn initial(&self) -> Vec<Self::State>;
    /// Everything that can happen next.
    fn steps(&self, state: &Self::State, steps: &mut Steps<Self::State>);
    /// What is wrong with a state.
    fn fault(&self, state: &Self::State) -> Option<&'static str>;
    /// Whether it is right that nothing more happens.
    fn may_rest(&self, state: &Self::State) -> bool;
}

/// How large the models are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Bounds {
    /// For a build that is not optimized.
    Small,
    /// For an optimized build.
    Usual,
    /// `CLONE_GROUP_MODEL=large`.
    Large,
}

impl Bounds {
    /// What the environment and the build ask for.
    pub fn asked_for() -> Bounds {
        match std::env::var("CLONE_GROUP_MODEL").as_deref() {
            Ok("large") => Bounds::Large,
            Ok("usual") => Bounds::Usual,
            Ok("small") => Bounds::Small,
            Ok(other) => panic!("CLONE_GROUP_MODEL={other}: small, usual or large"),
            Err(_) if cfg!(debug_assertions) => Bounds::Small,
            Err(_) => Bounds::Usual,
        }
    }

    /// One of three numbers.
    pub fn pick<T>(self, small: T, usual: T, large: T) -> T {
        match self {
            Bounds::Small => small,
            Bounds::Usual => usual,
            Bounds::Large => large,
        }
    }
}

/// A step in words; the number is a request, a block or whatever it concerns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label(&'static str, u8);

/// The steps out of a state.
pub struct Steps<S> {
    found: Vec<(Label, S)>,
    wrong: Option<(Label, &'static str)>,
    /// Steps other than losses of power: without any, nothing moves.
    live: usize,
}

impl<S> Steps<S> {
    /// This may happen. `{}` in the text stands for the number.
    pub fn to(&mut self, text: &'static str, number: u8, state: S) {
        self.live += 1;
        self.found.push((Label(text, number), state));
    }

    /// Power is lost, and Recovery makes this of what is left.
    pub fn power_loss(&mut self, recovered: Result<S, &'static str>) {
        self.recovery("power loss, Recovery", 0, recovered);
    }

    /// The same, with something to say of it.
    pub fn recovery(&mut self, text: &'static str, number: u8, recovered: Result<S, &'static str>) {
        let label = Label(text, number);
        match recovered {
            Ok(state) => self.found.push((label, state)),
            Err(what) => self.wrong = self.wrong.or(Some((label, what))),
        }
    }

    /// This may happen, and is wrong.
    pub fn wrong(&mut self, text: &'static str, number: u8, what: &'static str) {
        self.wrong = self.wrong.or(Some((Label(text, number), what)));
    }
}

/// What a run of the checker found.
pub struct Outcome {
    /// Different states.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// Nothing was left out.
    pub exhausted: bool,
    /// What is wrong, and the shortest way there.
    pub violation: Option<(&'static str, Vec<String>)>,
}

/// Multiplies and folds: states are spread well enough by their own bits.
#[derive(Default)]
pub struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are of 128 bits");
    }
    fn write_u128(&mut self, word: u128) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let low = (word as u64).wrapping_mul(ODD);
        let high = ((word >> 64) as u64 ^ low.rotate_left(29)).wrapping_mul(ODD ^ 0x5bd1_e995);
        self.0 = high ^ high >> 32;
    }
}

/// States of a model without a rule that a build that is not optimized looks at.
const SMALL_STATES: usize = 6_000;

/// Every reachable state, or the first that is wrong. Ends after so many states.
pub fn explore<M: Model>(model: &M, most: usize) -> Outcome {
    let mut numbers: HashMap<u128, u32, BuildHasherDefault<Fold>> = HashMap::default();
    let mut states: Vec<u128> = Vec::new();
    let mut parents: Vec<u32> = Vec::new();
    let mut all_steps = 0;
    let mut steps = Steps { found: Vec::new(), wrong: None, live: 0 };
    for state in model.initial() {
        let word = state.pack(128);
        numbers.entry(word).or_insert_with(|| {
            states.push(word);
            parents.push(u32::MAX);
            states.len() as u32 - 1
        });
    }
    let mut at = 0;
    let mut violation = None;
    while violation.is_none() && at < states.len() && at < most {
        let state = M::State::unpack(states[at], 128);
        if let Some(what) = model.fault(&state) {
            violation = Some((what, at, None));
            break;
        }
        steps.found.clear();
        steps.live = 0;
        model.steps(&state, &mut steps);
        all_steps += steps.found.len();
        if let Some((label, what)) = steps.wrong.take() {
            violation = Some((what, at, Some(label)));
        } else if steps.live == 0 && !model.may_rest(&state) {
            violation = Some(("nothing moves any more", at, None));
        }
        for (_, next) in steps.found.drain(..) {
            let word = next.pack(128);
            numbers.entry(word).or_insert_with(|| {
                states.push(word);
                parents.push(at as u32);
                states.len() as u32 - 1
            });
        }
        at += 1;
    }
    let violation = violation.map(|(what, end, last)| {
        let mut path = vec![end];
        while parents[path[path.len() - 1]] != u32::MAX {
            path.push(parents[path[path.len() - 1]] as usize);
        }
        path.reverse();
        let mut trace: Vec<_> =
            path.windows(2).map(|pair| name_step(model, states[pair[0]], states[pair[1]])).collect();
        trace.extend(last.map(in_words));
        (what, trace)
    });
    Outcome { states: states.len(), steps: all_steps, exhausted: at == states.len(), violation }
}

fn name_step<M: Model>(model: &M, from: u128, to: u128) -> String {
    let mut steps = Steps { found: Vec::new(), wrong: None, live: 0 };
    model.steps(&M::State::unpack(from, 128), &mut steps);
    let found = steps.found.iter().find(|(_, next)| next.pack(128) == to);
    in_words(found.expect("the same steps every time").0)
}

fn in_words(label: Label) -> String {
    label.0.replace("{}", &label.1.to_string())
}

/// Checks a model with all rules, and without each of them; prints a table.
pub fn prove<M: Model>() {
    let bounds = Bounds::asked_for();
    let began = std::time::Instant::now();
    let whole = explore(&M::new(None, bounds), usize::MAX);
    println!("{:<16} {:<12} {:>9} states {:>10} steps", M::NAME, "all rules", whole.states, whole.steps);
    if let Some((what, trace)) = whole.violation {
        panic!("{}: {what}\n{}", M::NAME, numbered(&trace));
    }
    let mut surprises = Vec::new();
    for &(rule, text) in M::RULES {
        let without = explore(&M::new(Some(rule), bounds), bounds.pick(SMALL_STATES, usize::MAX, usize::MAX));
        let name = format!("{rule:?} off").replace('_', " ");
        let reason = M::NOT_MISSED.iter().find(|(known, _)| *known == rule);
        let (length, result) = match (&without.violation, reason) {
            (Some((what, trace)), None) => (trace.len(), (*what).to_owned()),
            (None, Some((_, why))) => (0, format!("not missed: {why}")),
            (None, None) if !without.exhausted => (0, "left to an optimized build".to_owned()),
            (None, None) => {
                surprises.push(format!("{rule:?} ({text}) is not missed"));
                (0, "NOT MISSED".to_owned())
            }
            (Some((what, trace)), Some(_)) => {
                surprises.push(format!("{rule:?} ({text}) is missed: {what}\n{}", numbered(trace)));
                (trace.len(), (*what).to_owned())
            }
        };
        println!(
            "{:<16} {:<12} {:>9} states {:>3} steps  {result}  [without: {text}]",
            M::NAME,
            name,
            without.states,
            length
        );
        if let (Some((_, trace)), true) =
            (&without.violation, std::env::var_os("CLONE_GROUP_TRACE").is_some())
        {
            println!("{}", numbered(trace));
        }
    }
    println!("{:<16} {:.1} s", M::NAME, began.elapsed().as_secs_f64());
    assert!(surprises.is_empty(), "{}: {}", M::NAME, surprises.join("\n"));
}

fn numbered(trace: &[String]) -> String {
    let lines: Vec<_> =
        trace.iter().enumerate().map(|(step, label)| format!("    {:>2}. {label}", step + 1)).collect();
    lines.join("\n")
}
