//! Records of packs.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyMemoryView};
use vna_core::record::{self, Front};

use crate::buffer::{Bytes, hashed};
use crate::fresh::Kept;
use crate::landing::part;

/// Parts shorter than this are copied together: that costs less than to write one more buffer.
const SHORT: usize = 64 << 10;

/// Version, kind, flags; size, stored, length; stride, chunks; digest.
type Fields<'a> = (u8, u8, u16, u64, u64, u64, u32, u32, &'a [u8]);

fn front(fields: Fields<'_>) -> PyResult<Front> {
    let (version, kind, flags, size, stored, length, stride, chunks, digest) = fields;
    Ok(Front {
        version,
        kind,
        flags,
        sizes: [size, stored, length],
        chunks: [stride, chunks],
        digest: digest.try_into()?,
    })
}

#[pyfunction]
fn record_header<'py>(
    py: Python<'py>,
    fields: Fields<'_>,
    pack: u64,
    offset: u64,
    synced: u64,
) -> PyResult<Bound<'py, PyBytes>> {
    let header = front(fields)?.placed(pack, offset, synced);
    Ok(PyBytes::new(py, &header))
}

/// A record but for its place: `parts` follow the header and the table, zeros follow them.
#[pyclass(module = "vna._native", frozen)]
pub(crate) struct EncodedBlob {
    front: Front,
    table: Vec<u8>,
    parts: Vec<Py<PyAny>>,
    padding: usize,
}

#[pymethods]
impl EncodedBlob {
    #[new]
    fn new(fields: Fields<'_>, parts: Vec<Py<PyAny>>) -> PyResult<Self> {
        Ok(Self {
            front: front(fields)?,
            table: Vec::new(),
            parts,
            padding: 0,
        })
    }

    #[staticmethod]
    fn raw(
        py: Python<'_>,
        kind: u8,
        digest: &[u8],
        parts: Vec<Bound<'_, PyAny>>,
        stride: u32,
    ) -> PyResult<Self> {
        let held = parts.iter().map(|part| part.extract::<Bytes>());
        let held = held.collect::<PyResult<Vec<_>>>()?;
        let slices = held.iter().map(Bytes::as_slice);
        let length = slices.clone().map(<[u8]>::len).sum();
        if !(1..=stride as usize).contains(&length) {
            return Err(PyValueError::new_err("more or less than one chunk"));
        }
        let digest = digest.try_into()?;
        let (front, entry) = hashed(py, length, || record::raw(kind, digest, slices, stride));
        Ok(Self {
            padding: length.next_multiple_of(8) - length,
            front,
            table: entry.to_vec(),
            parts: parts.into_iter().map(Bound::unbind).collect(),
        })
    }

    #[getter]
    fn digest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.front.digest)
    }

    #[getter]
    fn length(&self) -> u64 {
        self.front.sizes[2]
    }

    #[getter]
    fn size(&self) -> u64 {
        self.front.sizes[0]
    }

    fn placed<'py>(
        &self,
        py: Python<'py>,
        pack: u64,
        offset: u64,
        synced: u64,
    ) -> PyResult<Bound<'py, PyList>> {
        let mut buffers = Buffers::new(py);
        buffers.add(self, self.front.placed(pack, offset, synced))?;
        buffers.end()
    }
}

/// What is written one after the other, short parts together.
struct Buffers<'py> {
    list: Bound<'py, PyList>,
    short: Vec<u8>,
}

impl<'py> Buffers<'py> {
    fn new(py: Python<'py>) -> Self {
        Self {
            list: PyList::empty(py),
            short: Vec::with_capacity(SHORT / 4),
        }
    }

    fn add(&mut self, blob: &EncodedBlob, header: [u8; record::HEADER]) -> PyResult<()> {
        self.short.extend_from_slice(&header);
        self.short.extend_from_slice(&blob.table);
        for part in &blob.parts {
            let part = part.bind(self.list.py());
            let held = part.extract::<Bytes>()?;
            if held.as_slice().len() < SHORT {
                self.short.extend_from_slice(held.as_slice());
            } else {
                self.flush()?;
                self.list.append(part)?;
            }
        }
        self.short.resize(self.short.len() + blob.padding, 0);
        Ok(())
    }

    fn flush(&mut self) -> PyResult<()> {
        if !self.short.is_empty() {
            let short = PyBytes::new(self.list.py(), &self.short);
            self.list.append(short)?;
            self.short.clear();
        }
        Ok(())
    }

    fn end(mut self) -> PyResult<Bound<'py, PyList>> {
        self.flush()?;
        Ok(self.list)
    }
}

#[pyfunction]
fn place_records<'py>(
    records: Vec<Bound<'py, EncodedBlob>>,
    pack: u64,
    offset: u64,
    synced: u64,
    place: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyList>, u64)> {
    let py = place.py();
    let mut buffers = Buffers::new(py);
    let places = PyList::empty(py);
    let mut at = offset;
    for record in &records {
        let record = record.get();
        buffers.add(record, record.front.placed(pack, at, synced))?;
        let [size, _, length] = record.front.sizes;
        places.append(place.call1((pack, at, size, length))?)?;
        at += size;
    }
    Ok((buffers.end()?, places, at))
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

    fn read<'py>(
        &self,
        read: &Bound<'py, PyAny>,
        start: u64,
        stop: u64,
        most: u64,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = read.py();
        if start >= stop {
            return Ok(Some(PyBytes::new(py, b"").into_any()));
        }
        let range = self.0.around(start, stop);
        let size = range.end - range.start;
        if size > most {
            return Ok(None);
        }
        let data = read.call1((self.0.offset + range.start, size))?;
        if data.is_none() {
            return Ok(None);
        }
        let held = data.extract::<Bytes>()?;
        let bytes = held.as_slice();
        if bytes.len() as u64 != size {
            return Err(PyValueError::new_err("not what was to be read"));
        }
        let lender = data.getattr_opt(intern!(py, "obj"))?;
        let kept = lender
            .as_ref()
            .and_then(|lender| lender.cast::<Kept>().ok())
            .map(Bound::get);
        let known = |at, length| kept.is_some_and(|kept| kept.is_checked(at, length));
        let places = || self.0.places(bytes.len());
        let due = places().filter(|&(at, length)| !known(at, length));
        let due = due.map(|(_, length)| length).sum();
        let damaged = hashed(py, due, || self.0.damaged(range.start, bytes, known));
        if let Some(chunk) = damaged {
            return Err(PyValueError::new_err(format!(
                "chunk {chunk}: checksum mismatch"
            )));
        }
        if let Some(kept) = kept.filter(|_| due > 0) {
            for (at, length) in places() {
                kept.note_checked(at, length);
            }
        }
        let length = usize::try_from(stop - start)?;
        if length == bytes.len() {
            return Ok(Some(data));
        }
        let from = usize::try_from(start.saturating_sub(range.start))?;
        let view = PyMemoryView::from(&data)?;
        part(&view, from..from.saturating_add(length)).map(Some)
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<EncodedBlob>()?;
    module.add_class::<RawChunks>()?;
    module.add_function(wrap_pyfunction!(place_records, module)?)?;
    module.add_function(wrap_pyfunction!(record_header, module)?)?;
    module.add_function(wrap_pyfunction!(chunk_entry, module)?)?;
    module.add_function(wrap_pyfunction!(raw_blob, module)?)
}
