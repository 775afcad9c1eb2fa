//! Writes the C header from src/ffi into OUT_DIR. A test holds include/clone_group.h against it;
//! `CLONE_GROUP_UPDATE_HEADER=1 cargo build` brings include/clone_group.h up to date.

use std::path::{Path, PathBuf};
use std::{env, fs};

const SOURCES: [&str; 4] =
    ["src/ffi/types.rs", "src/ffi/calls.rs", "src/ffi/sets.rs", "src/ffi/bare_names.rs"];

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=cbindgen.toml");
    println!("cargo:rerun-if-env-changed=CLONE_GROUP_UPDATE_HEADER");
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
    }
    let header = generate(&root);
    let generated = out.join("clone_group.h");
    fs::write(&generated, &header).expect("OUT_DIR is writable");
    println!("cargo:rustc-env=CLONE_GROUP_GENERATED_HEADER={}", generated.display());
    if env::var_os("CLONE_GROUP_UPDATE_HEADER").is_some() {
        fs::write(root.join("include/clone_group.h"), &header).expect("include/ is writable");
    }
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // The SONAME is the major version of the ABI; `make install` makes the link.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libclone_group.so.1");
    }
}

fn generate(root: &Path) -> String {
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml is valid");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in SOURCES {
        builder = builder.with_src(root.join(source));
    }
    let mut header = Vec::new();
    builder.generate().expect("src/ffi is readable").write(&mut header);
    let header = String::from_utf8(header).expect("cbindgen writes UTF-8");
    // The bare names are there unless the program says that it has its own.
    without_rust_safety(&header)
        .replace("#if defined(CLONE_GROUP_BARE_NAMES)", "#if !defined(CLONE_GROUP_NO_BARE_NAMES)")
}

/// Leaves out the `# Safety` paragraphs: in C every pointer has to be valid anyway.
fn without_rust_safety(header: &str) -> String {
    let mut kept = String::with_capacity(header.len());
    let mut in_safety = false;
    let mut blank: Option<&str> = None;
    for line in header.lines() {
        if line.trim() == "// # Safety" {
            in_safety = true;
            blank = None;
        } else if in_safety && line.trim_start().starts_with("//") {
            continue;
        } else {
            in_safety = false;
            if let Some(line) = blank.take() {
                kept.push_str(line);
                kept.push('\n');
            }
            if line.trim() == "//" {
                blank = Some(line);
                continue;
            }
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}
