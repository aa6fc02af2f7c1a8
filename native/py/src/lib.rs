//! The module `vna._native`: one file per verb, each with the Python face of one of the core's
//! modules. What the calls promise stands in `vna/_native.pyi`.
#![deny(unsafe_op_in_unsafe_fn)]
// PyO3 hands arguments over by value.
#![allow(clippy::needless_pass_by_value)]

mod append;
mod buffer;
mod charset;
mod codec;
mod command;
mod copy;
mod file;
mod filing;
mod fold;
mod fresh;
mod hash;
mod json;
mod landing;
mod loan;
mod mapping;
mod multipart;
mod outlet;
mod pdu;
mod populate;
mod record;
mod scan;
mod socket;
mod window;

use pyo3::prelude::*;

/// The Rust core.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("SOURCE_DIGEST", env!("SOURCE_DIGEST"))?;
    append::register(module)?;
    charset::register(module)?;
    codec::register(module)?;
    command::register(module)?;
    file::register(module)?;
    filing::register(module)?;
    fold::register(module)?;
    hash::register(module)?;
    json::register(module)?;
    landing::register(module)?;
    multipart::register(module)?;
    outlet::register(module)?;
    pdu::register(module)?;
    populate::register(module)?;
    fresh::register(module)?;
    record::register(module)?;
    scan::register(module)?;
    socket::register(module)
}
