//! Puts a digest of the native sources into the extension, so that `vna/_build.py` can refuse one
//! that was built from other sources. Both sides compute it in the same way; change both.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use sha2::{Digest, Sha256};

/// What the extension is made of, under `native/`.
const SOURCES: [&str; 7] = [
    "Cargo.lock",
    "Cargo.toml",
    "core/Cargo.toml",
    "core/src",
    "py/Cargo.toml",
    "py/build.rs",
    "py/src",
];

fn main() -> io::Result<()> {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let native = Path::new(&manifest).parent().expect("py/ lies in native/");
    let mut files = Vec::new();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", native.join(source).display());
        collect(&native.join(source), &mut files)?;
    }
    let mut digest = Sha256::new();
    for file in files {
        let name = file.strip_prefix(native).expect("found below native/");
        digest.update(name.to_str().expect("names of sources are ASCII"));
        digest.update([0]);
        digest.update(Sha256::digest(fs::read(&file)?));
    }
    println!("cargo::rustc-env=SOURCE_DIGEST={:x}", digest.finalize());
    Ok(())
}

/// Add `path`, or the Rust sources below it in the order of their names.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries = fs::read_dir(path)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    entries.retain(|entry| entry.is_dir() || entry.extension().is_some_and(|e| e == "rs"));
    entries.sort();
    entries.iter().try_for_each(|entry| collect(entry, files))
}
