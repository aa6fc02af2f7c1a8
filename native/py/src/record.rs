//! Records of packs.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};
use vna_core::record::{self, Front};

use crate::buffer::{Bytes, hashed};
use crate::landing::part;

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

#[pyclass(module = "vna._native", frozen)]
struct RawChunks(record::RawChunks);

#[pymethods]
impl RawChunks {
    #[new]
    fn new(offset: u64, stride: u64, length: u64, sums: Vec<(u32, u32)>) -> PyResult<Self> {
        if stride == 0 {
            return Err(PyValueError::new_err("chunks have a length"));
        }
        Ok(Self(record::RawChunks {
            offset,
            stride,
            length,
            sums,
        }))
    }

    fn around(&self, start: u64, stop: u64) -> (u64, u64) {
        let range = self.0.around(start, stop);
        (self.0.offset + range.start, range.end - range.start)
    }

    fn checked<'py>(
        &self,
        data: Bound<'py, PyAny>,
        start: u64,
        stop: u64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let held = data.extract::<Bytes>()?;
        let (bytes, range) = (held.as_slice(), self.0.around(start, stop));
        if bytes.len() as u64 != range.end - range.start {
            return Err(PyValueError::new_err("not what was to be read"));
        }
        let damaged = hashed(data.py(), bytes.len(), || {
            self.0.damaged(range.start, bytes)
        });
        if let Some(chunk) = damaged {
            return Err(PyValueError::new_err(format!(
                "chunk {chunk}: checksum mismatch"
            )));
        }
        let length = usize::try_from(stop.saturating_sub(start))?;
        if length == bytes.len() {
            return Ok(data);
        }
        let from = usize::try_from(start.saturating_sub(range.start))?;
        let view = PyMemoryView::from(&data)?;
        part(&view, from..from.saturating_add(length))
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<RawChunks>()?;
    module.add_function(wrap_pyfunction!(record_header, module)?)?;
    module.add_function(wrap_pyfunction!(chunk_entry, module)?)?;
    module.add_function(wrap_pyfunction!(raw_blob, module)?)
}
