//! Goal: the C ABI stays what it is. The header is the one that src/ffi generates; the shared library
//! exports what tests/abi/symbols.txt lists and the header declares, no less and no more; layouts
//! and numbers are those that were frozen in tests/abi/1 for ABI version 1, and Rust and C agree
//! about them. To append is allowed: the failure says which line to add where.

#[path = "common/programs.rs"]
mod programs;

use std::collections::BTreeSet;
use std::fs;
use std::mem::{align_of, offset_of, size_of};
use std::process::Command;

use ::clone_group::ffi::types::*;

/// The functions under bare names are there unless the feature is switched off.
const BARE_NAMES: [&str; 4] = ["cod_poll", "host_write", "recover", "sync_step"];

#[test]
fn header_is_fresh() {
    let generated = fs::read_to_string(env!("CLONE_GROUP_GENERATED_HEADER")).expect("build.rs writes it");
    let is_fresh = generated == programs::header();
    assert!(
        is_fresh,
        "include/clone_group.h is not what src/ffi says: CLONE_GROUP_UPDATE_HEADER=1 cargo build"
    );
}

// ----------------------------------------------------------------- symbols

/// The lines of a file in tests/abi, without comments.
fn frozen(file: &str) -> Vec<String> {
    let text = programs::read(&format!("tests/abi/{file}"));
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// Whether this build has the function.
fn is_built(name: &str) -> bool {
    cfg!(feature = "bare-names") || !BARE_NAMES.contains(&name)
}

/// Everything that the shared library defines for others. None without nm.
fn exported() -> Option<BTreeSet<String>> {
    let nm = Command::new("nm").args(["-D", "--defined-only"]).arg(programs::library()).output();
    let Some(output) = nm.ok().filter(|output| output.status.success()) else {
        programs::skip("the exported symbols", "nm (binutils) was not found");
        return None;
    };
    let text = String::from_utf8(output.stdout).expect("names are ASCII");
    let name = |line: &str| line.split_whitespace().last().map(str::to_owned);
    Some(text.lines().filter_map(name).collect())
}

#[test]
fn exported_symbols_are_those_of_the_list() {
    let Some(exported) = exported() else { return };
    let listed: BTreeSet<String> = frozen("symbols.txt").into_iter().filter(|name| is_built(name)).collect();
    let gone: Vec<_> = listed.difference(&exported).collect();
    assert!(gone.is_empty(), "programs that use them would not start any more: {gone:?}");
    let new: Vec<_> = exported.difference(&listed).collect();
    assert!(new.is_empty(), "exported, but not in tests/abi/symbols.txt: {new:?}; add or hide them");
}

#[test]
fn exported_symbols_are_declared_in_the_header() {
    let declared: BTreeSet<String> = programs::header_functions().into_iter().collect();
    let listed: BTreeSet<String> = frozen("symbols.txt").into_iter().collect();
    assert_eq!(listed, declared, "tests/abi/symbols.txt (left) and include/clone_group.h (right) differ");
    let is_ours = |name: &&String| name.starts_with("clone_group_") || BARE_NAMES.contains(&name.as_str());
    assert!(declared.iter().all(|name| is_ours(&name)), "a name without clone_group_: {declared:?}");
}

// ------------------------------------------------------------------ layout

/// The size of a field, told by a function that picks it.
fn size_of_field<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

macro_rules! layout {
    ($($name:ident { $($field:ident,)* })*) => {{
        let mut lines = Vec::new();
        $(
            lines.push(format!("{} size {}", stringify!($name), size_of::<$name>()));
            lines.push(format!("{} align {}", stringify!($name), align_of::<$name>()));
            $(lines.push(format!(
                "{}.{} {} {}",
                stringify!($name),
                stringify!($field),
                offset_of!($name, $field),
                size_of_field::<$name, _>(|whole| &whole.$field),
            ));)*
        )*
        lines
    }};
}

// The list of the structs, which tests/abi/layout.rs shares.
include!("abi/structs.rs");

/// Every struct of src/ffi/types.rs, in the lines of tests/c/layout.c.
fn rust_layout() -> Vec<String> {
    structs!(layout)
}

#[test]
fn layout_is_the_same_in_rust_and_c() {
    let Some(output) = programs::output_of("layout.c") else {
        return;
    };
    let c: Vec<&str> = output.lines().collect();
    assert_eq!(rust_layout(), c, "src/ffi/types.rs (left) and a C compiler (right) differ");
}

/// Offsets and sizes as `tests/c/layout.c` prints them, but for the sizes of whole structs, which
/// grow when a field is appended.
fn offsets(lines: &[String]) -> Vec<&String> {
    lines.iter().filter(|line| !line.contains(" size ")).collect()
}

#[test]
#[cfg(target_pointer_width = "64")]
fn layout_is_frozen() {
    let lines = rust_layout();
    compare_with_frozen(&offsets(&lines), "1/layout.txt");
}

/// The list for 32 bits has the same fields in the same order, and only pointers are smaller. That it is true, the
/// firmware proof shows on each target of 32 bits.
#[test]
fn the_list_for_32_bits_names_the_same_fields() {
    let fields = |path: &str| -> Vec<String> {
        let text = programs::read(path);
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.contains(" align "));
        lines.map(|line| line.split(' ').next().expect("a name").to_owned()).collect()
    };
    assert_eq!(fields("tests/abi/1/layout-32.txt"), fields("tests/abi/1/layout.txt"));
}

/// Each field begins where the one before it ends, and nothing follows the last one (no implicit
/// padding, so that a copy of a struct holds no stray bytes). On 32 bits too, but for the pointers.
#[test]
#[cfg(target_pointer_width = "64")]
fn structs_have_no_padding() {
    let mut end = 0;
    let mut size = 0;
    for line in rust_layout() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |index: usize| words[index].parse::<usize>().expect("a number");
        match words[1] {
            "size" => {
                assert_eq!(end, size, "bytes behind the last field, before {line}");
                (end, size) = (0, number(2));
            }
            "align" => {}
            _ => {
                assert_eq!(end, number(1), "a gap before {line}");
                end += number(2);
            }
        }
    }
    assert_eq!(end, size, "bytes behind the last field of the last struct");
}

// --------------------------------------------------------------- constants

macro_rules! constants {
    ($($name:ident,)*) => {
        [$(format!("{} {}", stringify!($name), i64::from($name)),)*]
    };
}

/// Every constant of src/ffi/types.rs, as `NAME NUMBER`.
fn rust_constants() -> Vec<String> {
    constants![
        CLONE_GROUP_ABI_VERSION,
        CLONE_GROUP_FORMAT_VERSION,
        CLONE_GROUP_OK,
        CLONE_GROUP_PENDING,
        CLONE_GROUP_MORE,
        CLONE_GROUP_RETRY,
        CLONE_GROUP_ERR_IO,
        CLONE_GROUP_ERR_NOMEM,
        CLONE_GROUP_ERR_BUSY,
        CLONE_GROUP_ERR_NO_LU,
        CLONE_GROUP_ERR_INVALID,
        CLONE_GROUP_ERR_NO_SPACE,
        CLONE_GROUP_ERR_RANGE,
        CLONE_GROUP_ERR_METADATA_DAMAGED,
        CLONE_GROUP_ERR_NOT_SUPPORTED,
        CLONE_GROUP_ERR_CANCELED,
        CLONE_GROUP_ERR_STATE,
        CLONE_GROUP_ERR_PROTECTED,
        CLONE_GROUP_ERR_SOURCE_INVALID,
        CLONE_GROUP_ERR_NOT_CONSISTENT,
        CLONE_GROUP_ERR_METADATA_FAILED,
        CLONE_GROUP_ERR_METADATA_FOREIGN,
        CLONE_GROUP_ERR_METADATA_GEOMETRY,
        CLONE_GROUP_ERR_METADATA_VERSION,
        CLONE_GROUP_ERR_METADATA_EXISTS,
        CLONE_GROUP_ERR_METADATA_MISSING,
        CLONE_GROUP_ERR_RESTORE_MAP_LOST,
        CLONE_GROUP_ERR_IDENTITY,
        CLONE_GROUP_ERR_WORKSPACE,
        CLONE_GROUP_ERR_CALLBACK_MISSING,
        CLONE_GROUP_ERR_CALLBACK_RESULT,
        CLONE_GROUP_ERR_STALE_IO,
        CLONE_GROUP_ERR_STRUCT_SIZE,
        CLONE_GROUP_ERR_NOT_READY,
        CLONE_GROUP_ERR_CLOSED,
        CLONE_GROUP_ERR_NO_REQUEST,
        CLONE_GROUP_ERR_PREPARED,
        CLONE_GROUP_ERR_INTERNAL,
        CLONE_GROUP_LU_SOURCE,
        CLONE_GROUP_LU_NONE,
        CLONE_GROUP_CONFIG_HOST_DURABLE,
        CLONE_GROUP_CONFIG_REDIRECT_READS,
        CLONE_GROUP_CONFIG_MAP_PER_CLONE,
        CLONE_GROUP_LU_VOLATILE_CACHE,
        CLONE_GROUP_LU_DISCARD_ZEROES,
        CLONE_GROUP_HOST_FUA,
        CLONE_GROUP_HOST_UNSTABLE,
        CLONE_GROUP_FORMAT_FORCE,
        CLONE_GROUP_RECOVER_ABANDON_RESTORE,
        CLONE_GROUP_IO_READ,
        CLONE_GROUP_IO_WRITE,
        CLONE_GROUP_IO_FLUSH,
        CLONE_GROUP_IO_DISCARD,
        CLONE_GROUP_IO_WRITE_ZEROES,
        CLONE_GROUP_IO_COPY,
        CLONE_GROUP_IO_PERSIST_READ,
        CLONE_GROUP_IO_PERSIST_WRITE,
        CLONE_GROUP_IO_PERSIST_FLUSH,
        CLONE_GROUP_IO_FUA,
        CLONE_GROUP_IO_HOST,
        CLONE_GROUP_IO_URGENT,
        CLONE_GROUP_STATE_NEW,
        CLONE_GROUP_STATE_STARTING,
        CLONE_GROUP_STATE_READY,
        CLONE_GROUP_STATE_CLOSING,
        CLONE_GROUP_STATE_CLOSED,
        CLONE_GROUP_CONDITION_METADATA_FAILED,
        CLONE_GROUP_CONDITION_PAUSED,
        CLONE_GROUP_CONDITION_SOURCE_INVALID,
        CLONE_GROUP_CONDITION_POISONED,
        CLONE_GROUP_CONDITION_STALLED,
        CLONE_GROUP_CONDITION_FAILED,
        CLONE_GROUP_CONDITION_RESTORABLE,
        CLONE_GROUP_CONDITION_PREPARED,
        CLONE_GROUP_CLONE_ABSENT,
        CLONE_GROUP_CLONE_OUT_OF_SYNC,
        CLONE_GROUP_CLONE_SYNCHRONIZING,
        CLONE_GROUP_CLONE_SYNCHRONIZED,
        CLONE_GROUP_CLONE_FRACTURED,
        CLONE_GROUP_CLONE_REVERSE_SYNCHRONIZING,
        CLONE_GROUP_CLONE_RESTORING,
        CLONE_GROUP_EVENT_CLONE_STATE,
        CLONE_GROUP_EVENT_SOURCE_CHANGED,
        CLONE_GROUP_EVENT_SYNCHRONIZED,
        CLONE_GROUP_EVENT_RESTORED,
        CLONE_GROUP_EVENT_CLONE_FAILED,
        CLONE_GROUP_EVENT_COPY_FAILED,
        CLONE_GROUP_EVENT_STALLED,
        CLONE_GROUP_EVENT_METADATA_FAILED,
        CLONE_GROUP_EVENT_METADATA_REPAIRED,
        CLONE_GROUP_EVENT_PAGE_DAMAGED,
        CLONE_GROUP_EVENT_CALLBACK_RESULT,
        CLONE_GROUP_EVENT_LOST,
        CLONE_GROUP_EVENT_REVERSE_SYNCHRONIZED,
        CLONE_GROUP_EVENT_GROUP_STATE,
        CLONE_GROUP_EVENT_CANCELED,
        CLONE_GROUP_EVENT_SOURCE_ACCEPTED,
        CLONE_GROUP_EVENT_PREPARED,
        CLONE_GROUP_EVENT_SET_RESOLVED,
        CLONE_GROUP_MAP_DELTA,
        CLONE_GROUP_MAP_PROTECTED_RESTORE,
        CLONE_GROUP_MAP_PERSISTENT_DELTA,
        CLONE_GROUP_SET_GROUPS_MAX,
        CLONE_GROUP_CONFIG_SKIP_EQUAL,
        CLONE_GROUP_VERIFY_MARK,
        CLONE_GROUP_CONDITION_VERIFYING,
        CLONE_GROUP_EVENT_MISMATCH,
        CLONE_GROUP_EVENT_VERIFIED,
    ]
    .to_vec()
}

#[test]
fn constants_are_the_same_in_rust_and_c() {
    let Some(output) = programs::constants() else {
        return;
    };
    let c: BTreeSet<&str> = output.lines().collect();
    let rust = rust_constants();
    let rust: BTreeSet<&str> = rust.iter().map(String::as_str).collect();
    let only_c: Vec<_> = c.difference(&rust).collect();
    let only_rust: Vec<_> = rust.difference(&c).collect();
    assert!(
        only_c.is_empty() && only_rust.is_empty(),
        "only in the header: {only_c:?}; only in Rust: {only_rust:?}"
    );
}

#[test]
fn constants_are_frozen() {
    let lines = rust_constants();
    compare_with_frozen(&lines.iter().collect::<Vec<_>>(), "1/constants.txt");
}

/// Every frozen line holds, and every line is frozen.
fn compare_with_frozen(lines: &[&String], file: &str) {
    let frozen = frozen(file);
    for line in &frozen {
        assert!(
            lines.contains(&line),
            "`{line}` in tests/abi/{file} is a promise, and does not hold any more"
        );
    }
    for line in lines {
        assert!(frozen.contains(line), "`{line}` is new: append it to tests/abi/{file}");
    }
}
