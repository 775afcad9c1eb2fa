//! How Rust lays out every struct of the header on the target for which this is compiled: a static library of its own,
//! which tools/firmware-proof links to tests/c/layout.c and runs, with the compiler of that target on the other side.

#![no_std]
#![allow(missing_docs)]

use core::ffi::c_char;
use core::mem::offset_of;

#[path = "../../src/ffi/types.rs"]
pub mod types;
use types::*;

include!("structs.rs");

/// What is told of a struct or of a field: a name that ends with NUL, and two numbers.
struct Line {
    name: &'static str,
    numbers: [usize; 2],
}

const fn size_of_field<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

macro_rules! lines {
    ($($name:ident { $($field:ident,)* })*) => {
        &[$(
            Line { name: concat!(stringify!($name), "\0"), numbers: [size_of::<$name>(), align_of::<$name>()] },
            $(Line {
                name: concat!(stringify!($name), ".", stringify!($field), "\0"),
                numbers: [offset_of!($name, $field), size_of_field::<$name, _>(|whole| &whole.$field)],
            },)*
        )*]
    };
}

static LINES: &[Line] = structs!(lines);

/// The name in this line, and its two numbers: size and alignment of a struct, offset and size of a field. NULL behind
/// the last line.
///
/// # Safety
/// `numbers` points to two of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rust_layout(line: usize, numbers: *mut [usize; 2]) -> *const c_char {
    let Some(line) = LINES.get(line) else {
        return core::ptr::null();
    };
    // SAFETY: the caller's promise.
    unsafe { numbers.write(line.numbers) };
    line.name.as_ptr().cast()
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
