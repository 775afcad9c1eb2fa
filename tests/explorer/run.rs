//! Explores one script: every boundary, every image, and power losses in what follows each.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::check::{Allowed, Recorder, Situation, Way, check};
use crate::common::world::World;
use crate::image::{Boundary, Image};
use crate::scripts::{Ask, Script, advance, settle};
use ::clone_group::ffi::types::*;

/// What was tried.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counts {
    pub boundaries: usize,
    /// Images that were listed.
    pub raw: usize,
    /// Recovered and checked, by the number of power losses before. No two are equal in content and in what is legal.
    pub checked: [usize; 3],
    /// Recovered and checked one power loss after the other, one I/O later each time.
    pub linear: usize,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.boundaries += other.boundaries;
        self.raw += other.raw;
        self.linear += other.linear;
        for (sum, one) in self.checked.iter_mut().zip(other.checked) {
            *sum += one;
        }
    }

    pub fn all_checked(&self) -> usize {
        self.checked.iter().sum::<usize>() + self.linear
    }
}

/// How much of a script is explored.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Images after one power loss; more are sampled.
    pub first: usize,
    /// Images after the second one; 0 for none.
    pub second: usize,
    /// Images after the third one.
    pub third: usize,
    /// Images that are followed one I/O further each time.
    pub linear: usize,
}

/// Images in what follows one image, where they are sampled.
const OF_ONE_IMAGE: usize = 400;

/// Runs the script once; all of its boundaries.
pub fn boundaries(script: &Script) -> Vec<(Boundary, Allowed)> {
    let mut world = World::new(script.profile, 1);
    world.power_on();
    for &step in &script.prepare {
        advance(&mut world, step, true);
    }
    let recorder = Recorder::default();
    recorder.attach(&world);
    for &step in &script.steps {
        advance(&mut world, step, true);
    }
    world.at_boundary();
    world.inner.borrow_mut().boundary = None;
    recorder.boundaries(Situation::of(&world), false)
}

/// Power is lost at a boundary and this is left: recovers and checks; the boundaries of all that, if they are wanted.
pub fn lose_power(
    boundary: &Boundary,
    allowed: &Allowed,
    image: Image,
    key: u64,
    depth: usize,
    wanted: bool,
) -> Vec<(Boundary, Allowed)> {
    let (blocks, units) = boundary.fates(image);
    let mut world = boundary.snapshot.after_loss(&blocks, &units);
    let recorder = Recorder::default();
    if wanted {
        recorder.attach(&world);
    }
    check(&mut world, allowed, Way::new(key, depth, wanted));
    if !wanted {
        return Vec::new();
    }
    world.inner.borrow_mut().boundary = None;
    recorder.boundaries(Situation::of(&world), true)
}

/// See `Explorer::nest`. How often power was lost.
fn nest(boundary: &Boundary, allowed: &Allowed, task: &Task) -> usize {
    let (blocks, units) = boundary.fates(task.image);
    let mut world = boundary.snapshot.after_loss(&blocks, &units);
    world.inner.borrow_mut().damage.heal();
    let mut dice = fastrand::Rng::with_seed(task.key);
    // Recovery goes on for a while: any situation.
    let later = Allowed { situations: Vec::new(), formatting: allowed.formatting, recovered: true };
    for io in 1..2000 {
        world.power_on();
        world.inner.borrow_mut().power_fails_at = io;
        let status = Ask::Recover.run(&world);
        if status == CLONE_GROUP_OK {
            settle(&world);
        }
        let over = !world.power_is_off();
        let fate = io % 3;
        let mut dice = dice.fork();
        world.lose_power(move || if fate == 2 { dice.bool() } else { fate == 1 });
        let mut copy = world.snapshot().after_loss(&[], &[]);
        check(&mut copy, &later, Way::new(task.key ^ io, 1, false));
        if over {
            return io as usize;
        }
    }
    panic!("Recovery does not end");
}

/// One image that has to be looked at.
#[derive(Clone, Copy)]
struct Task {
    boundary: usize,
    image: Image,
    key: u64,
}

pub struct Explorer<'a> {
    script: &'a Script,
    limits: Limits,
    /// Keys of images.
    seen: HashSet<u64>,
    /// Signatures of boundaries.
    listed: HashSet<u64>,
    pub counts: Counts,
}

impl<'a> Explorer<'a> {
    pub fn new(script: &'a Script, limits: Limits) -> Explorer<'a> {
        Explorer { script, limits, seen: HashSet::new(), listed: HashSet::new(), counts: Counts::default() }
    }

    /// All of it. The line that replays the first failure, if there is one.
    pub fn run(&mut self) -> Result<(), String> {
        let played = catch_unwind(AssertUnwindSafe(|| boundaries(self.script)));
        let boundaries = played.map_err(|_| format!("{} fails without a power loss", self.script.name))?;
        self.counts.boundaries = boundaries.len();
        let mut tasks = self.list(&boundaries, self.limits.first);
        for task in &tasks {
            self.visit(&boundaries, task, "", 0, 0)?;
        }
        // By key, which is as good as at random.
        tasks.sort_by_key(|task| task.key);
        for task in tasks.iter().take(self.limits.linear) {
            self.nest(&boundaries, task)?;
        }
        for task in &tasks {
            let left = self.limits.second.saturating_sub(self.counts.checked[1]);
            if left == 0 {
                break;
            }
            let most = if self.limits.second == usize::MAX { left } else { left.min(OF_ONE_IMAGE) };
            self.visit(&boundaries, task, "", 0, most)?;
        }
        Ok(())
    }

    /// Power is lost after one I/O of Recovery, after two of the next one, and so on until everything is done: that
    /// ends, and after each loss the group is in order (R58).
    fn nest(&mut self, boundaries: &[(Boundary, Allowed)], task: &Task) -> Result<(), String> {
        let (boundary, allowed) = &boundaries[task.boundary];
        let outcome = catch_unwind(AssertUnwindSafe(|| nest(boundary, allowed, task)));
        let name = &self.script.name;
        let path = format!("{}:{:#x}", task.boundary, task.image.0);
        let replay = format!("CLONE_GROUP_EXPLORE=\"{name}:{path}/+\" cargo test --release --test explorer");
        self.counts.linear += outcome.map_err(|_| replay)?;
        Ok(())
    }

    /// Every image that was not seen before, at most so many of them.
    fn list(&mut self, boundaries: &[(Boundary, Allowed)], most: usize) -> Vec<Task> {
        let mut tasks = Vec::new();
        for (at, (boundary, _)) in boundaries.iter().enumerate() {
            // Most boundaries are as the one before.
            if !self.listed.insert(boundary.signature()) {
                continue;
            }
            boundary.for_each(|image, key| {
                self.counts.raw += 1;
                if self.seen.insert(key) {
                    tasks.push(Task { boundary: at, image, key });
                }
            });
        }
        if tasks.len() > most {
            // By key, which is as good as at random. What is left out may come back.
            tasks.sort_by_key(|task| task.key);
            for task in tasks.drain(most..) {
                self.seen.remove(&task.key);
                self.listed.remove(&boundaries[task.boundary].0.signature());
            }
            tasks.sort_by_key(|task| (task.boundary, task.image.0));
        }
        tasks
    }

    fn visit(
        &mut self,
        boundaries: &[(Boundary, Allowed)],
        task: &Task,
        before: &str,
        depth: usize,
        most: usize,
    ) -> Result<(), String> {
        let path = format!("{before}{}:{:#x}", task.boundary, task.image.0);
        let (boundary, allowed) = &boundaries[task.boundary];
        let wanted = most > 0;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            lose_power(boundary, allowed, task.image, task.key, depth, wanted)
        }));
        let Ok(next) = outcome else {
            let name = &self.script.name;
            return Err(format!(
                "CLONE_GROUP_EXPLORE=\"{name}:{path}\" cargo test --release --test explorer"
            ));
        };
        if !wanted {
            self.counts.checked[depth] += 1;
            return Ok(());
        }
        for task in self.list(&next, most) {
            let path = format!("{path}/");
            self.visit(&next, &task, &path, depth + 1, 0)?;
            if depth == 0 && task.key % 16 == 0 && self.counts.checked[2] < self.limits.third {
                self.visit(&next, &task, &path, depth + 1, OF_ONE_IMAGE / 20)?;
            }
        }
        Ok(())
    }
}

/// Replays one failure: `script:boundary:image/boundary:image`.
pub fn replay(line: &str) {
    let (name, path) = line.split_once(':').expect("script:boundary:image");
    let script = crate::scripts::named(name);
    let mut boundaries = boundaries(&script);
    let linear = path.ends_with("/+");
    let losses: Vec<&str> = path.trim_end_matches("/+").split('/').collect();
    for (depth, loss) in losses.iter().enumerate() {
        let (at, image) = loss.split_once(':').expect("boundary:image");
        let at: usize = at.parse().expect("the number of a boundary");
        let image = Image(u128::from_str_radix(image.trim_start_matches("0x"), 16).expect("an image"));
        let (boundary, allowed) = &boundaries[at];
        let mut key = None;
        boundary.for_each(|other, its| key = if other == image { Some(its) } else { key });
        let key = key.expect("an image of this boundary");
        println!(
            "power loss {} at boundary {at} of {}: {:?}",
            depth + 1,
            boundaries.len(),
            boundary.fates(image)
        );
        if linear {
            nest(boundary, allowed, &Task { boundary: at, image, key });
        }
        // An image that is fine has what follows it looked at in the way in which its boundaries are counted.
        boundaries = lose_power(boundary, allowed, image, key, depth, depth + 1 < losses.len());
    }
}
