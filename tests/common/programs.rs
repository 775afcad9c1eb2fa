//! Builds and runs C programs against the shared library that cargo built beside the tests, and
//! reads what the header declares. Included with `#[path]` by the tests of the C ABI.

#![allow(dead_code)] // each test uses its part

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A program that takes longer stands still.
const TIMEOUT: Duration = Duration::from_secs(300);
const C_FLAGS: [&str; 6] = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1"];
const CPP_FLAGS: [&str; 6] = ["-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1"];

/// The root of the package.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the package.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path} is not readable: {error}"))
}

/// Says on the terminal, past the test harness, that something was not tested.
pub fn skip(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED {what}: {why} ***");
}

/// The shared library: cargo puts it next to the test, and in the folder above if it was built alone.
pub fn library() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let deps = test.parent().expect("a folder");
    let places = [deps.join("libclone_group.so"), deps.join("../libclone_group.so")];
    let age = |path: &PathBuf| fs::metadata(path).and_then(|data| data.modified()).ok();
    let newest = places.iter().filter(|path| path.exists()).max_by_key(|path| age(path));
    newest.expect("libclone_group.so is built with the tests; see [lib] in Cargo.toml").clone()
}

/// A folder for what this test builds, with the links that a program needs to find the library.
pub fn out() -> &'static Path {
    static OUT: OnceLock<PathBuf> = OnceLock::new();
    OUT.get_or_init(|| {
        let test = std::env::current_exe().expect("the path of this test");
        let name = test.file_name().expect("a name");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).expect("a folder under target/tmp");
        let library = library().canonicalize().expect("the library is there");
        for link in ["libclone_group.so", "libclone_group.so.1"] {
            let link = folder.join(link);
            let _ = fs::remove_file(&link);
            symlink(&library, &link).expect("a link to the library");
        }
        folder
    })
}

/// A C compiler, or a C++ compiler: the one that the cc crate finds, or what CC and CXX name.
pub fn compiler(cpp: bool) -> Option<Command> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let tool = cc::Build::new()
        .cpp(cpp)
        .target(&target)
        .host(&target)
        .opt_level(1)
        .cargo_metadata(false)
        .no_default_flags(true)
        .try_get_compiler()
        .ok()?;
    let answers = tool.to_command().arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    answers.ok().filter(ExitStatus::success).map(|_| tool.to_command())
}

/// Compiles the sources (paths in the package, or absolute) into one program. None without a compiler.
pub fn compile(name: &str, sources: &[PathBuf], defines: &[&str]) -> Option<PathBuf> {
    let cpp = sources.iter().any(|source| source.extension().is_some_and(|end| end == "cpp"));
    let Some(mut compiler) = compiler(cpp) else {
        skip(name, "no C or C++ compiler was found; install one, or set CC and CXX");
        return None;
    };
    let program = out().join(name);
    let output = compiler
        .current_dir(root())
        .args(if cpp { CPP_FLAGS } else { C_FLAGS })
        .args(["-g", "-pthread", "-Iinclude", "-Itests/c", "-o"])
        .arg(&program)
        .args(defines)
        .args((!cfg!(feature = "bare-names")).then_some("-DCLONE_GROUP_NO_BARE_NAMES"))
        .args(sources)
        .arg(joined("-L", out()))
        .arg("-lclone_group")
        .arg(joined("-Wl,-rpath,", out()))
        .output()
        .expect("the compiler runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} does not compile:\n{errors}");
    Some(program)
}

fn joined(option: &str, path: &Path) -> OsString {
    let mut joined = OsString::from(option);
    joined.push(path);
    joined
}

/// Runs a command to its end, and returns what it printed. Fails if it fails or stands still.
pub fn run(name: &str, mut command: Command) -> String {
    let path = out().join(format!("{name}.output"));
    let file = File::create(&path).expect("a file for the output");
    let errors = file.try_clone().expect("the same file");
    let mut child = command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn().expect("it starts");
    let deadline = Instant::now() + TIMEOUT;
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            break Some(status);
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let output = String::from_utf8_lossy(&fs::read(&path).expect("the output")).into_owned();
    match status {
        Some(status) if status.success() => output,
        Some(status) => panic!("{name} failed ({status}):\n{output}"),
        None => panic!("{name} was still running after {TIMEOUT:?}:\n{output}"),
    }
}

/// Compiles tests/c/`source` alone and returns what it prints. None without a compiler.
pub fn output_of(source: &str) -> Option<String> {
    let program = compile(&name_of(source), &[Path::new("tests/c").join(source)], &[])?;
    Some(run(&name_of(source), Command::new(program)))
}

/// The same for a program that uses the array of tests/c/array.h.
pub fn output_with_array(source: &str) -> Option<String> {
    let sources = [source, "array.c", "life.c"].map(|file| Path::new("tests/c").join(file));
    let program = compile(&name_of(source), &sources, &[])?;
    Some(run(&name_of(source), Command::new(program)))
}

/// A name for the program: `layout.c` becomes `layout`, `header.cpp` `header`.
fn name_of(source: &str) -> String {
    Path::new(source).file_stem().expect("a name").to_string_lossy().into_owned()
}

/// The header of the package.
pub fn header() -> String {
    read("include/clone_group.h")
}

/// The names of all constants that the header defines.
pub fn header_constants() -> Vec<String> {
    let header = header();
    let names = header.lines().filter_map(|line| line.strip_prefix("#define CLONE_GROUP_"));
    let with_value = names.filter_map(|rest| rest.split_once(' '));
    // A macro with arguments is no constant.
    let constants = with_value.filter(|(name, _)| !name.contains('('));
    constants.map(|(name, _)| format!("CLONE_GROUP_{name}")).collect()
}

/// The names of all functions that the header declares.
pub fn header_functions() -> Vec<String> {
    let header = header();
    let is_declaration = |line: &&str| !line.starts_with([' ', '/', '#', '}']) && line.contains('(');
    let declarations = header.lines().filter(is_declaration);
    let name = |line: &str| line.split('(').next()?.rsplit([' ', '*']).next().map(str::to_owned);
    declarations.filter_map(name).collect()
}

/// All structs that the header defines, with the names of their fields.
pub fn header_structs() -> Vec<(String, Vec<String>)> {
    let mut structs: Vec<(String, Vec<String>)> = Vec::new();
    let mut is_inside = false;
    for line in header().lines() {
        if let Some(name) = line.strip_prefix("struct ").and_then(|rest| rest.strip_suffix(" {")) {
            structs.push((name.to_owned(), Vec::new()));
            is_inside = true;
        } else if line.starts_with('}') {
            is_inside = false;
        } else if is_inside && line.ends_with(';') {
            structs.last_mut().expect("inside of one").1.push(field_name(line));
        }
    }
    structs
}

/// The name in `uint64_t lu_blocks;`, `uint8_t label[64];` or `void (*wake)(void *context);`.
fn field_name(line: &str) -> String {
    let declared = match line.split_once("(*") {
        Some((_, rest)) => rest.split(')').next().unwrap_or(rest),
        None => line.trim_end_matches(';').split('[').next().unwrap_or(line),
    };
    declared.rsplit([' ', '*']).next().unwrap_or(declared).to_owned()
}

/// Every constant of the header with its number, as a C compiler sees it: `NAME NUMBER` lines.
/// None without a compiler.
pub fn constants() -> Option<String> {
    let mut source = String::from("#include <stdio.h>\n#include \"clone_group.h\"\nint main(void)\n{\n");
    for name in header_constants() {
        source.push_str(&format!("    printf(\"%s %lld\\n\", \"{name}\", (long long){name});\n"));
    }
    source.push_str("    return 0;\n}\n");
    let path = out().join("constants.c");
    fs::write(&path, source).expect("a source file under target/tmp");
    let program = compile("constants", &[path], &[])?;
    Some(run("constants", Command::new(program)))
}
