//! What any bytes must pass, one module per entry point of the core, and seeds to begin from.
//!
//! Two drivers: `examples/mutate.rs` mutates the seeds on any toolchain, and cargo-fuzz follows
//! coverage on a nightly one.
#![forbid(unsafe_code)]

pub mod charset;
pub mod json;
pub mod lanes;
mod machines;
pub mod mutation;
pub mod pdu;
pub mod scan;
pub mod seeds;
pub mod weave;

/// An entry point: its name, what any bytes must pass, well-formed inputs.
pub struct Target {
    /// What the target is called.
    pub name: &'static str,
    /// Takes bytes; panics where that is not as it should be.
    pub check: fn(&[u8]),
    /// Well-formed inputs, each a kind of its own.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: [Target; 6] = [
    Target {
        name: "charset",
        check: charset::check,
        seeds: seeds::charset,
    },
    Target {
        name: "json",
        check: json::check,
        seeds: seeds::json,
    },
    Target {
        name: "lanes",
        check: lanes::check,
        seeds: seeds::lanes,
    },
    Target {
        name: "pdu",
        check: pdu::check,
        seeds: seeds::pdu,
    },
    Target {
        name: "scan",
        check: scan::check,
        seeds: seeds::scan,
    },
    Target {
        name: "weave",
        check: weave::check,
        seeds: seeds::weave,
    },
];
