//! Goal: the whole library, through its C ABI, does in other orders of its threads what it does in this machine's
//! (d7): every access of an atomic and of the lock is a place where another thread may go on. Method: shuttle runs
//! short lives of a small array in orders drawn at random, and in orders with few changes of priority (PCT, depth 3),
//! which finds what needs few of them. Two hosts read and write the Source, a worker completes I/Os, a host polls
//! too; the controller sleeps until `wake` says that there is work, so a wake that is lost is a deadlock, which
//! shuttle reports.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test --release --test shuttle --target-dir target/shuttle`; without that flag this
//! file is empty. `CLONE_GROUP_ORDERS` asks for more orders, `CLONE_GROUP_SEED` for others. A failure prints the order
//! in a form that `shuttle::replay` takes.

#![cfg(shuttle)]

use std::ffi::c_void;
use std::io::Write as _;
use std::sync::Mutex as Plain;
use std::time::Instant;

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::{Config, Runner, thread};

const BLOCK_BYTES: usize = 512;
const BLOCKS: u64 = 11;
const EXTENT_BLOCKS: u32 = 2;
const HOSTS: u64 = 2;
const REQUESTS: u64 = 4;
/// Tag of operations; hosts have tags below it.
const OPERATION: u64 = 100;
const WAIT_POLLS: usize = 100_000;

/// What the array has. No thread is switched while one looks at it, so a lock of the standard library does.
#[derive(Default)]
struct State {
    lus: [Vec<u8>; 2],
    area: Vec<u8>,
    queue: Vec<Held>,
    /// I/Os are held for the worker; else they are done at once.
    holds: bool,
    ios: u64,
    done: Vec<(u64, i32)>,
    events: Vec<u32>,
    woken: bool,
    hosts_over: u64,
    stopping: bool,
    /// What a callback found: it must not panic.
    wrong: Vec<String>,
}

/// An I/O that the worker completes.
#[derive(Clone, Copy)]
struct Held(clone_group_io);

// SAFETY: its buffer belongs to the array until it is completed.
unsafe impl Send for Held {}

struct Array {
    group: Plain<usize>,
    state: Plain<State>,
    signal: Mutex<()>,
    changed: Condvar,
}

impl Array {
    fn group(&self) -> *mut clone_group {
        *self.group.lock().unwrap() as *mut clone_group
    }

    fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        work(&mut self.state.lock().unwrap())
    }

    /// Everybody who waits looks again.
    fn tell(&self) {
        let _signal = self.signal.lock().unwrap();
        self.changed.notify_all();
    }

    /// Sleeps until there is something.
    fn wait<R>(&self, mut look: impl FnMut(&mut State) -> Option<R>) -> R {
        let mut signal = self.signal.lock().unwrap();
        loop {
            if let Some(found) = self.with(&mut look) {
                return found;
            }
            signal = self.changed.wait(signal).unwrap();
        }
    }

    fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.with(|state| state.wrong.push(what()));
        }
    }

    fn sound(&self) {
        self.with(|state| assert!(state.wrong.is_empty(), "{:?}", state.wrong));
    }
}

fn move_data(state: &mut State, io: &clone_group_io) {
    let persist = io.lu == CLONE_GROUP_LU_NONE;
    let medium = if persist { &mut state.area } else { &mut state.lus[io.lu as usize] };
    let data = if io.flags & CLONE_GROUP_IO_HOST != 0 { io.payload } else { io.buffer };
    let length = io.length_bytes as usize;
    let Some(medium) = medium.get_mut(io.offset_bytes as usize..).and_then(|rest| rest.get_mut(..length))
    else {
        state.wrong.push(format!("an I/O behind the end of LU {}", io.lu));
        return;
    };
    // SAFETY: the buffer of an I/O has its length, and is the array's until the I/O is completed.
    unsafe {
        match io.operation {
            CLONE_GROUP_IO_READ | CLONE_GROUP_IO_PERSIST_READ => {
                data.cast::<u8>().copy_from(medium.as_ptr(), length);
            }
            CLONE_GROUP_IO_WRITE | CLONE_GROUP_IO_PERSIST_WRITE => {
                medium.as_mut_ptr().copy_from(data.cast(), length);
            }
            _ => {}
        }
    }
}

// ------------------------------------------------------------------ callbacks

unsafe fn array<'a>(context: *mut c_void) -> &'a Array {
    // SAFETY: the array that was given as context; it outlives the group.
    unsafe { &*context.cast::<Array>() }
}

/// Two of three I/Os are completed by the worker, and of these some before the callback has returned.
unsafe extern "C" fn on_io(context: *mut c_void, io: *const clone_group_io) -> i32 {
    // SAFETY: as registered; the I/O is valid during the call.
    let (array, io) = unsafe { (array(context), *io) };
    let (held, early) = array.with(|state| {
        state.ios += 1;
        let held = state.holds && state.ios % 3 != 0;
        if held {
            state.queue.push(Held(io));
        } else {
            move_data(state, &io);
        }
        (held, state.ios % 4 == 0)
    });
    if !held {
        return CLONE_GROUP_OK;
    }
    array.tell();
    if early {
        thread::yield_now();
    }
    CLONE_GROUP_PENDING
}

unsafe extern "C" fn on_done(context: *mut c_void, tag: u64, status: i32) {
    // SAFETY: as registered.
    let array = unsafe { array(context) };
    let twice = array.with(|state| {
        let twice = state.done.iter().any(|&(of, _)| of == tag);
        state.done.push((tag, status));
        twice
    });
    array.check(!twice, || format!("tag {tag} is done twice"));
    array.tell();
}

unsafe extern "C" fn on_event(context: *mut c_void, event: *const clone_group_event) {
    // SAFETY: as registered; the event is valid during the call.
    let (array, kind) = unsafe { (array(context), (*event).kind) };
    array.with(|state| state.events.push(kind));
}

unsafe extern "C" fn on_wake(context: *mut c_void) {
    // SAFETY: as registered.
    let array = unsafe { array(context) };
    array.with(|state| state.woken = true);
    array.tell();
}

// --------------------------------------------------------------------- threads

fn work(array: &Array) {
    loop {
        let held = array.wait(|state| {
            let next = state.ios as usize % state.queue.len().max(1);
            match state.queue.is_empty() {
                false => Some(Some(state.queue.swap_remove(next))),
                true => state.stopping.then_some(None),
            }
        });
        let Some(Held(io)) = held else { return };
        array.with(|state| move_data(state, &io));
        // SAFETY: a live group.
        let (first, second) = unsafe {
            (
                clone_group_io_complete(array.group(), io.id, 0),
                clone_group_io_complete(array.group(), io.id, -5),
            )
        };
        // The second one may not even end the next I/O of the same slot.
        assert_eq!((first, second), (CLONE_GROUP_OK, CLONE_GROUP_ERR_STALE_IO));
    }
}

/// Waits for a request of this tag; who `polls` does so meanwhile.
fn finish(array: &Array, tag: u64, status: i32, polls: bool) -> i32 {
    let look = |state: &mut State| {
        let at = state.done.iter().position(|&(of, _)| of == tag)?;
        Some(state.done.swap_remove(at).1)
    };
    if status != CLONE_GROUP_PENDING {
        return status;
    }
    // SAFETY: a live group.
    while polls && unsafe { clone_group_cod_poll(array.group(), 3) } == CLONE_GROUP_MORE {
        thread::yield_now();
    }
    array.wait(look)
}

fn serve(array: &Array, host: u64, mut blocks: Vec<(u64, u8)>) -> Vec<(u64, u8)> {
    let polls = host == 1;
    for request in 0..REQUESTS {
        let at = (request * 3 + host) as usize % blocks.len();
        let (block, value) = &mut blocks[at];
        let mut data = [0_u8; BLOCK_BYTES];
        let place: *mut c_void = data.as_mut_ptr().cast();
        // SAFETY: a live group; the payload lives until the request is done.
        let status = unsafe {
            if request % 2 == 0 {
                *value = (16 * (host + 1) + request) as u8;
                place.cast::<u8>().write_bytes(*value, BLOCK_BYTES);
                clone_group_host_write(array.group(), 0, *block, 1, place, 0, host)
            } else {
                clone_group_host_read(array.group(), 0, *block, 1, place, 0, host)
            }
        };
        assert_eq!(finish(array, host, status, polls), CLONE_GROUP_OK);
        assert_eq!(data, [*value; BLOCK_BYTES], "block {block}");
        query(array);
    }
    array.with(|state| {
        state.hosts_over += 1;
        state.woken = true;
    });
    array.tell();
    blocks
}

fn query(array: &Array) {
    // SAFETY: a plain struct of numbers.
    let mut info: clone_group_info = unsafe { std::mem::zeroed() };
    info.struct_size = size_of::<clone_group_info>() as u32;
    // SAFETY: a live group, and a struct of that size.
    unsafe {
        assert_eq!(clone_group_query(array.group(), &mut info), CLONE_GROUP_OK);
        assert_eq!(clone_group_destroy(std::ptr::null_mut()), CLONE_GROUP_ERR_INVALID);
    }
    assert_eq!(info.state, CLONE_GROUP_STATE_READY);
}

// ------------------------------------------------------------------------ life

fn open(array: &Arc<Array>) {
    // SAFETY: plain structs of numbers and callbacks; addresses that live as long as the group.
    unsafe {
        let mut config: clone_group_config = std::mem::zeroed();
        clone_group_config_init(&mut config, size_of::<clone_group_config>() as u32);
        config.lu_blocks = BLOCKS;
        config.block_bytes = BLOCK_BYTES as u32;
        config.extent_blocks = EXTENT_BLOCKS;
        config.clones_max = 1;
        config.requests_max = 4;
        config.copies_max = 2;
        config.copy_buffer_bytes = 2 * EXTENT_BLOCKS * BLOCK_BYTES as u32;
        config.buffer_align_bytes = 8;
        config.persist_unit_bytes = 512;
        config.page_bytes = 512;
        config.page_writes_max = 2;
        config.group_id = [7; 16];
        let mut bytes = 0;
        assert_eq!(clone_group_metadata_size(&config, &mut bytes), CLONE_GROUP_OK);
        array.with(|state| state.area = vec![0; bytes as usize]);
        let mut ops: clone_group_ops = std::mem::zeroed();
        clone_group_ops_init(&mut ops, size_of::<clone_group_ops>() as u32);
        ops.context = Arc::as_ptr(array).cast_mut().cast();
        ops.read = Some(on_io);
        ops.write = Some(on_io);
        ops.flush = Some(on_io);
        ops.persist_read = Some(on_io);
        ops.persist_write = Some(on_io);
        ops.persist_flush = Some(on_io);
        ops.done = Some(on_done);
        ops.event = Some(on_event);
        ops.wake = Some(on_wake);
        let mut group = std::ptr::null_mut();
        let made = clone_group_create(&config, &ops, std::ptr::null_mut(), 0, &mut group);
        assert_eq!(made, CLONE_GROUP_OK);
        *array.group.lock().unwrap() = group as usize;
        for lu in 0..2 {
            let described = clone_group_lu {
                struct_size: size_of::<clone_group_lu>() as u32,
                flags: CLONE_GROUP_LU_VOLATILE_CACHE,
                identity: [lu as u8 + 1; 16],
            };
            assert_eq!(clone_group_lu_attach(group, lu, &described), CLONE_GROUP_OK);
        }
    }
}

/// Polls while there is more, then sleeps until `wake`; until this holds and the library is idle.
fn poll_until(array: &Array, over: impl Fn(&State) -> bool) {
    for _ in 0..WAIT_POLLS {
        // SAFETY: a live group.
        let outcome = unsafe { clone_group_sync_step(array.group(), 1) };
        match outcome {
            CLONE_GROUP_MORE => thread::yield_now(),
            CLONE_GROUP_OK if array.with(|state| over(state)) => return,
            CLONE_GROUP_OK | CLONE_GROUP_PENDING => {
                array.wait(|state| std::mem::take(&mut state.woken).then_some(()));
            }
            wrong => panic!("a poll returned {wrong}"),
        }
    }
    panic!("it stands still");
}

/// An operation, with nobody else at work.
fn administer(array: &Array, status: i32) {
    assert_eq!(status, CLONE_GROUP_PENDING);
    poll_until(array, |state| state.done.iter().any(|&(tag, _)| tag == OPERATION));
    assert_eq!(finish(array, OPERATION, status, false), CLONE_GROUP_OK);
}

/// Which copy runs while hosts are at work.
#[derive(Clone, Copy, PartialEq)]
enum Copying {
    Synchronization,
    Restore,
}

fn life(copying: Copying) {
    let state = State {
        lus: [vec![1; BLOCKS as usize * BLOCK_BYTES], vec![2; BLOCKS as usize * BLOCK_BYTES]],
        ..State::default()
    };
    let array = Arc::new(Array {
        group: Plain::new(0),
        state: Plain::new(state),
        signal: Mutex::new(()),
        changed: Condvar::new(),
    });
    open(&array);
    let group = array.group();
    // SAFETY: a live group, here and below.
    administer(&array, unsafe { clone_group_format(group, 0, OPERATION) });
    // SAFETY: as above.
    administer(&array, unsafe { clone_group_clone_add(group, 1, OPERATION) });
    let event = match copying {
        Copying::Synchronization => CLONE_GROUP_EVENT_SYNCHRONIZED,
        Copying::Restore => {
            // SAFETY: as above.
            administer(&array, unsafe { clone_group_synchronize(group, 1, OPERATION) });
            // SAFETY: as above.
            administer(&array, unsafe { clone_group_fracture(group, 1, std::ptr::null(), 0, OPERATION) });
            let data = [9_u8; BLOCKS as usize * BLOCK_BYTES];
            let place = data.as_ptr().cast_mut().cast();
            // SAFETY: as above; the payload lives until the request is done.
            let status = unsafe { clone_group_host_write(group, 0, 0, BLOCKS, place, 0, OPERATION) };
            if status == CLONE_GROUP_PENDING {
                administer(&array, status);
            }
            CLONE_GROUP_EVENT_RESTORED
        }
    };
    array.with(|state| state.holds = true);
    let worker = thread::spawn({
        let array = Arc::clone(&array);
        move || work(&array)
    });
    // SAFETY: as above.
    let status = unsafe {
        match copying {
            Copying::Synchronization => clone_group_synchronize(group, 1, OPERATION),
            Copying::Restore => clone_group_protected_restore(group, 1, OPERATION),
        }
    };
    if copying == Copying::Restore {
        // What hosts see is the point in time as soon as it is done.
        assert_eq!(status, CLONE_GROUP_PENDING);
        while array.with(|state| state.done.is_empty()) {
            // SAFETY: as above.
            unsafe { clone_group_cod_poll(group, 100) };
            thread::yield_now();
        }
    }
    let hosts: Vec<_> = (0..HOSTS)
        .map(|host| {
            let array = Arc::clone(&array);
            let blocks = (0..BLOCKS).filter(|block| block % HOSTS == host).map(|block| (block, 1)).collect();
            thread::spawn(move || serve(&array, host, blocks))
        })
        .collect();
    poll_until(&array, |state| state.hosts_over == HOSTS && state.events.contains(&event));
    assert_eq!(finish(&array, OPERATION, status, false), CLONE_GROUP_OK);
    let blocks: Vec<_> = hosts.into_iter().flat_map(|host| host.join().unwrap()).collect();
    array.with(|state| state.stopping = true);
    array.tell();
    worker.join().unwrap();
    array.sound();
    array.with(|state| {
        assert!(state.queue.is_empty());
        for (block, value) in blocks {
            let range = block as usize * BLOCK_BYTES..(block as usize + 1) * BLOCK_BYTES;
            assert_eq!(state.lus[0][range.clone()], [value; BLOCK_BYTES], "block {block} of the Source");
            let clone = if copying == Copying::Restore { 1 } else { value };
            assert_eq!(state.lus[1][range], [clone; BLOCK_BYTES], "block {block} of the Clone");
        }
    });
    // SAFETY: as above; nobody uses it any more.
    assert_eq!(unsafe { clone_group_destroy(group) }, CLONE_GROUP_OK);
}

// ---------------------------------------------------------------------- orders

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

fn run(name: &str, scheduler: impl Scheduler + 'static, copying: Copying) {
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config.max_steps = shuttle::MaxSteps::FailAfter(5_000_000);
    let begin = Instant::now();
    let orders = Runner::new(scheduler, config).run(move || life(copying));
    let _ = writeln!(std::io::stderr(), "{name}: {orders} orders, {:.1} s", begin.elapsed().as_secs_f32());
}

fn orders() -> usize {
    number("CLONE_GROUP_ORDERS", 2000) as usize
}

fn seed() -> u64 {
    let seed = number("CLONE_GROUP_SEED", 1);
    println!("CLONE_GROUP_SEED={seed}");
    seed
}

/// Goal: a Synchronization under hosts loses nothing and ends, in orders drawn at random.
#[test]
fn a_synchronization_in_random_orders() {
    run(
        "a Synchronization, random",
        RandomScheduler::new_from_seed(seed(), orders()),
        Copying::Synchronization,
    );
}

/// Goal: the same in orders with three changes of priority.
#[test]
fn a_synchronization_in_pct_orders() {
    run("a Synchronization, PCT", PctScheduler::new_from_seed(seed(), 3, orders()), Copying::Synchronization);
}

/// Goal: a Protected Restore under hosts: they see the point in time and their own writes.
#[test]
fn a_restore_in_random_orders() {
    run("a restore, random", RandomScheduler::new_from_seed(seed(), orders()), Copying::Restore);
}

/// Goal: the same in orders with three changes of priority.
#[test]
fn a_restore_in_pct_orders() {
    run("a restore, PCT", PctScheduler::new_from_seed(seed(), 3, orders()), Copying::Restore);
}
