//! What the library costs: callbacks that cost nothing, so that every nanosecond is its own. The last group
//! copies memory for real, beside a plain copy loop over the same callbacks.

use std::cell::Cell;
use std::ffi::c_void;
use std::hint::black_box;
use std::time::{Duration, Instant};

use ::clone_group::ffi::calls::*;
use ::clone_group::ffi::types::*;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const BLOCK_BYTES: u64 = 4096;
const EXTENT_BLOCKS: u64 = 16;

/// An array whose I/O costs nothing, or copies memory.
struct Array {
    group: *mut clone_group,
    /// Memory that callbacks change while calls are under way, so it is not borrowed.
    lus: [*mut u8; 2],
    area: *mut u8,
    done: Cell<i32>,
    /// When `done` was called, if somebody asks: the clock costs as much as some requests.
    done_at: Cell<Option<Instant>>,
}

/// So many bytes, for the rest of the run.
fn memory_of(bytes: u64, value: u8) -> *mut u8 {
    vec![value; bytes as usize].leak().as_mut_ptr()
}

unsafe extern "C" fn nothing(_context: *mut c_void, _io: *const clone_group_io) -> i32 {
    CLONE_GROUP_OK
}

/// Moves the bytes of an I/O between its buffer and the array's memory.
unsafe extern "C" fn transfer(context: *mut c_void, io: *const clone_group_io) -> i32 {
    // SAFETY: the array given as context; the buffer has the length of the I/O.
    unsafe {
        let (array, io) = (&*context.cast::<Array>(), &*io);
        let of_area = io.lu == CLONE_GROUP_LU_NONE;
        let memory = if of_area { array.area } else { array.lus[io.lu as usize] };
        let at = memory.add(io.offset_bytes as usize);
        let data: *mut u8 = if io.payload.is_null() { io.buffer.cast() } else { io.payload.cast() };
        match io.operation {
            CLONE_GROUP_IO_READ | CLONE_GROUP_IO_PERSIST_READ => data.copy_from(at, io.length_bytes as usize),
            _ => at.copy_from(data, io.length_bytes as usize),
        }
    }
    CLONE_GROUP_OK
}

unsafe extern "C" fn done(context: *mut c_void, _tag: u64, status: i32) {
    // SAFETY: the array given as context.
    let array = unsafe { &*context.cast::<Array>() };
    array.done.set(status);
    if array.done_at.get().is_some() {
        array.done_at.set(Some(Instant::now()));
    }
}

impl Array {
    /// A group with one Clone. With `memory`, LUs hold bytes; without, their I/O costs nothing.
    fn new(extents: u64, memory: bool) -> Box<Array> {
        let lu_bytes = if memory { extents * EXTENT_BLOCKS * BLOCK_BYTES } else { 0 };
        let mut array = Box::new(Array {
            group: std::ptr::null_mut(),
            lus: [memory_of(lu_bytes, 1), memory_of(lu_bytes, 0)],
            area: std::ptr::null_mut(),
            done: Cell::new(0),
            done_at: Cell::new(None),
        });
        array.create(extents, memory);
        // SAFETY: a live group, here and below.
        unsafe {
            let group = array.group;
            array.wait(|tag| clone_group_format(group, 0, tag));
            array.wait(|tag| clone_group_clone_add(group, 1, tag));
            array.wait(|tag| clone_group_synchronize(group, 1, tag));
            array.finish_copies();
            array.wait(|tag| clone_group_fracture(group, 1, std::ptr::null(), 0, tag));
        }
        array
    }

    fn create(&mut self, extents: u64, memory: bool) {
        // SAFETY: structs of integers and pointers, filled by the library; valid places.
        unsafe {
            let mut config: clone_group_config = std::mem::zeroed();
            clone_group_config_init(&mut config, size_of::<clone_group_config>() as u32);
            config.lu_blocks = extents * EXTENT_BLOCKS;
            config.block_bytes = BLOCK_BYTES as u32;
            config.extent_blocks = EXTENT_BLOCKS as u32;
            config.group_id = [7; 16];
            let mut bytes = 0;
            clone_group_metadata_size(&config, &mut bytes);
            if self.area.is_null() {
                self.area = memory_of(bytes, 0);
            }
            let mut ops: clone_group_ops = std::mem::zeroed();
            clone_group_ops_init(&mut ops, size_of::<clone_group_ops>() as u32);
            ops.context = (self as *const Array).cast_mut().cast();
            let io = if memory { transfer } else { nothing };
            (ops.read, ops.write) = (Some(io), Some(io));
            ops.persist_read = Some(transfer);
            ops.persist_write = Some(transfer);
            ops.done = Some(done);
            let made = clone_group_create(&config, &ops, std::ptr::null_mut(), 0, &mut self.group);
            assert_eq!(made, CLONE_GROUP_OK);
            for lu in 0..2 {
                let described = clone_group_lu {
                    struct_size: size_of::<clone_group_lu>() as u32,
                    flags: 0,
                    identity: [lu as u8; 16],
                };
                assert_eq!(clone_group_lu_attach(self.group, lu, &described), CLONE_GROUP_OK);
            }
        }
    }

    fn wait(&self, call: impl FnOnce(u64) -> i32) {
        self.done.set(CLONE_GROUP_PENDING);
        let status = call(1);
        if status == CLONE_GROUP_OK {
            return;
        }
        assert_eq!(status, CLONE_GROUP_PENDING);
        while self.done.get() == CLONE_GROUP_PENDING {
            // SAFETY: a live group.
            unsafe { clone_group_cod_poll(self.group, 64) };
        }
        assert_eq!(self.done.get(), CLONE_GROUP_OK);
    }

    fn finish_copies(&self) {
        // SAFETY: a live group.
        while unsafe { clone_group_sync_step(self.group, 64) } > CLONE_GROUP_OK {}
    }

    fn restore(&self) {
        let group = self.group;
        // SAFETY: a live group.
        self.wait(|tag| unsafe { clone_group_protected_restore(group, 1, tag) });
    }

    fn write(&self, extent: u64, block: u64, count: u64) -> i32 {
        let payload = self.lus[1].cast_const().cast();
        // SAFETY: a live group; the payload is as long as the Clone, or never looked at.
        unsafe { clone_group_host_write(self.group, 0, extent * EXTENT_BLOCKS + block, count, payload, 0, 1) }
    }

    fn read(&self, extent: u64) -> i32 {
        // SAFETY: a live group; the payload is never looked at.
        unsafe { clone_group_host_read(self.group, 0, extent * EXTENT_BLOCKS, 1, std::ptr::null_mut(), 0, 1) }
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        // SAFETY: no I/O is in flight.
        unsafe { clone_group_destroy(self.group) };
    }
}

/// Requests that need nothing, and the first write to an extent.
fn hosts(criterion: &mut Criterion) {
    let extents = 1 << 20;
    let array = Array::new(extents, false);
    criterion.bench_function("host read, passed through", |bench| bench.iter(|| black_box(array.read(5))));
    let first = array.write(5, 0, 1);
    array.wait(|_| first);
    criterion
        .bench_function("host write, passed through", |bench| bench.iter(|| black_box(array.write(5, 0, 1))));
    criterion.bench_function("host write, first to an extent", |bench| {
        bench.iter_custom(|rounds| {
            let extents = 1 << 14;
            let mut spent = Duration::ZERO;
            let mut left = rounds;
            while left > 0 {
                let array = Array::new(extents, false);
                let begun = Instant::now();
                for extent in 0..left.min(extents) {
                    let status = array.write(extent, 0, 1);
                    array.wait(|_| status);
                }
                spent += begun.elapsed();
                left = left.saturating_sub(extents);
            }
            spent
        });
    });
}

/// Copy on demand: a part of an extent is written during a restore.
fn cod(criterion: &mut Criterion) {
    criterion.bench_function("host write with a copy on demand", |bench| {
        bench.iter_custom(|rounds| {
            let extents = rounds.next_power_of_two().max(1 << 12);
            let array = Array::new(extents, false);
            for extent in 0..rounds {
                let status = array.write(extent, 0, 1);
                array.wait(|_| status);
            }
            array.restore();
            let begun = Instant::now();
            for extent in 0..rounds {
                let status = array.write(extent, 3, 1);
                array.wait(|_| status);
            }
            begun.elapsed()
        });
    });
}

/// How long hosts wait for the start of a restore, and Recovery, by size of the LU.
fn start_and_recovery(criterion: &mut Criterion) {
    for shift in [20, 24] {
        let extents = 1_u64 << shift;
        criterion.bench_function(
            &format!("start of a restore, 2^{shift} extents, half of them different"),
            |bench| {
                bench.iter_custom(|rounds| {
                    let mut spent = Duration::ZERO;
                    let array = Array::new(extents, false);
                    for _ in 0..rounds {
                        let status = array.write(0, 0, extents / 2 * EXTENT_BLOCKS);
                        array.wait(|_| status);
                        // Until the operation is done; the poll that did it goes on with other work.
                        let begun = Instant::now();
                        array.done_at.set(Some(begun));
                        array.restore();
                        spent += array.done_at.take().map_or(Duration::ZERO, |done| done - begun);
                        array.finish_copies();
                    }
                    spent
                });
            },
        );
        criterion.bench_function(&format!("Recovery, 2^{shift} extents, half of them different"), |bench| {
            bench.iter_custom(|rounds| {
                let mut array = Array::new(extents, false);
                let status = array.write(0, 0, extents / 2 * EXTENT_BLOCKS);
                array.wait(|_| status);
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    // SAFETY: no I/O is in flight: like a power loss.
                    unsafe { clone_group_destroy(array.group) };
                    array.create(extents, false);
                    let group = array.group;
                    let begun = Instant::now();
                    // SAFETY: a live group.
                    array.wait(|tag| unsafe { clone_group_recover(group, 0, tag) });
                    spent += begun.elapsed();
                }
                spent
            });
        });
    }
}

/// A restore of everything, and a loop that copies the same through the same callbacks.
fn throughput(criterion: &mut Criterion) {
    let extents = 1 << 12;
    let bytes = extents * EXTENT_BLOCKS * BLOCK_BYTES;
    let mut group = criterion.benchmark_group("restore of 256 MiB");
    group.throughput(Throughput::Bytes(bytes)).sample_size(10);
    let array = Array::new(extents, true);
    group.bench_function("Protected Restore", |bench| {
        bench.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                let status = array.write(0, 0, extents * EXTENT_BLOCKS);
                array.wait(|_| status);
                array.restore();
                let begun = Instant::now();
                array.finish_copies();
                spent += begun.elapsed();
            }
            spent
        });
    });
    group.bench_function("plain copy loop", |bench| {
        let piece = 1 << 20;
        let mut buffer = vec![0_u8; piece as usize];
        bench.iter(|| {
            for offset in (0..bytes).step_by(piece as usize) {
                // SAFETY: a struct of integers and pointers; the array and the buffer live.
                unsafe {
                    let mut io: clone_group_io = std::mem::zeroed();
                    (io.offset_bytes, io.length_bytes) = (offset, piece);
                    io.buffer = buffer.as_mut_ptr().cast();
                    let context: *mut c_void = (&raw const *array).cast_mut().cast();
                    (io.operation, io.lu) = (CLONE_GROUP_IO_READ, 1);
                    transfer(context, &io);
                    (io.operation, io.lu) = (CLONE_GROUP_IO_WRITE, 0);
                    transfer(context, &io);
                }
            }
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(2));
    targets = hosts, cod, start_and_recovery, throughput
}
criterion_main!(benches);
