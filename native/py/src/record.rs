//! Records of packs.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use vna_core::record::{self, Front};

use crate::buffer::{Bytes, hashed};

/// Version, kind, flags; size, stored, length; stride, chunks; digest, synced.
type Fields<'a> = (u8, u8, u16, u64, u64, u64, u32, u32, &'a [u8], u64);

#[pyfunction]
fn record_header<'py>(
    py: Python<'py>,
    fields: Fields<'_>,
    pack: u64,
    offset: u64,
) -> PyResult<Bound<'py, PyBytes>> {
    let (version, kind, flags, size, stored, length, stride, chunks, digest, synced) = fields;
    let front = Front {
        version,
        kind,
        flags,
        sizes: [size, stored, length],
        chunks: [stride, chunks],
        digest: digest.try_into()?,
        synced,
    };
    Ok(PyBytes::new(py, &front.placed(pack, offset)))
}

#[pyfunction]
fn chunk_entry<'py>(
    py: Python<'py>,
    end: u64,
    codec: u8,
    stored: Vec<Bytes>,
) -> Bound<'py, PyBytes> {
    let parts = stored.iter().map(Bytes::as_slice);
    let length = parts.clone().map(<[u8]>::len).sum();
    let entry = hashed(py, length, || record::entry(end, codec, parts));
    PyBytes::new(py, &entry)
}

#[pyfunction]
fn raw_blob<'py>(
    py: Python<'py>,
    record: Bytes,
    pack: u64,
    offset: u64,
) -> Option<Bound<'py, PyBytes>> {
    record::raw_blob(record.as_slice(), pack, offset).map(|blob| PyBytes::new(py, blob))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(record_header, module)?)?;
    module.add_function(wrap_pyfunction!(chunk_entry, module)?)?;
    module.add_function(wrap_pyfunction!(raw_blob, module)?)
}
