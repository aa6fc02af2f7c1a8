//! Parting of objects into header and bulk, and what a pass over one found.

use std::collections::BTreeMap;

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use vna_core::scan::{self, Form, FrameTable, Limits, Run};

use crate::buffer::{Bytes, hashed};
use crate::filing::{Filing, list};

/// Kinds of frames, as in vna.types.FrameKind.
const NATIVE: u8 = 1;
const ENCAPSULATED: u8 = 2;

/// `(kind, hole, count, frame_bits, offsets)`
pub(crate) type Frames<'py> = (u8, usize, u64, u64, Bound<'py, PyBytes>);

/// Path keys that scans look for: read once, for any number of objects.
#[pyclass(module = "vna._native", frozen)]
struct Interest(Vec<u64>);

#[pymethods]
impl Interest {
    #[new]
    fn new(mut paths: Vec<u64>) -> Self {
        paths.sort_unstable();
        Self(paths)
    }
}

#[pyclass(module = "vna._native")]
struct Splitter(Option<scan::Splitter>);

#[pymethods]
impl Splitter {
    #[new]
    #[pyo3(signature = (form, transfer_syntax, interest, *, bulk_threshold=4096, max_header=268_435_456))]
    fn new(
        form: &str,
        transfer_syntax: Option<&str>,
        interest: &Interest,
        bulk_threshold: u64,
        max_header: usize,
    ) -> PyResult<Self> {
        let form = match form {
            "dataset" => Form::DataSet,
            "part10" => Form::Part10,
            _ => return Err(PyValueError::new_err("form is \"dataset\" or \"part10\"")),
        };
        let limits = Limits {
            bulk_threshold,
            max_header,
        };
        Ok(Self(Some(scan::Splitter::new(
            form,
            transfer_syntax,
            &interest.0,
            limits,
        ))))
    }

    fn feed(&mut self, py: Python<'_>, data: Bytes) -> PyResult<Vec<(usize, usize, usize)>> {
        let splitter = self.0.as_mut().ok_or_else(finished)?;
        let data = data.as_slice();
        let runs = hashed(py, data.len(), || {
            let mut runs = Vec::new();
            splitter.feed(data, &mut runs);
            runs
        });
        Ok(runs
            .into_iter()
            .map(|Run { hole, begin, end }| (hole, begin, end))
            .collect())
    }

    fn hole_plan(&self, hole: usize) -> PyResult<(u64, i64)> {
        let splitter = self.0.as_ref().ok_or_else(finished)?;
        let plan = splitter.hole_plan(hole);
        let (chunk, declared) = plan.ok_or_else(|| PyIndexError::new_err("no such hole yet"))?;
        Ok((chunk, declared.map_or(-1, u64::cast_signed)))
    }

    fn finish(&mut self, py: Python<'_>) -> PyResult<Scan> {
        let splitter = self.0.take().ok_or_else(finished)?;
        let length = splitter.header_length();
        Ok(Scan(hashed(py, length, || splitter.finish())))
    }
}

fn finished() -> PyErr {
    PyValueError::new_err("the splitter is finished")
}

#[pyclass(module = "vna._native", frozen)]
struct Scan(scan::Scan);

#[pymethods]
impl Scan {
    #[getter]
    fn problem(&self) -> String {
        self.0
            .problem
            .as_ref()
            .map_or_else(String::new, ToString::to_string)
    }

    #[getter]
    fn fatal(&self) -> bool {
        self.0.fatal
    }

    #[getter]
    fn transfer_syntax(&self) -> &str {
        &self.0.transfer_syntax
    }

    #[getter]
    fn prefix(&self) -> usize {
        self.0.prefix
    }

    #[getter]
    fn length(&self) -> u64 {
        self.0.length
    }

    #[getter]
    fn header<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.header)
    }

    #[getter]
    fn holes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let holes = PyList::empty(py);
        for hole in &self.0.holes {
            let digest = PyBytes::new(py, &hole.digest);
            let path = PyTuple::new(py, &hole.path)?;
            holes.append((hole.offset, hole.length, digest, path, hole.vr.as_str()))?;
        }
        Ok(holes)
    }

    #[getter]
    fn deflated(&self) -> bool {
        self.0.deflated
    }

    #[getter]
    fn frames<'py>(&self, py: Python<'py>) -> PyResult<Option<Frames<'py>>> {
        let table = self.0.frames.as_ref();
        table.map(|table| frames(py, table)).transpose()
    }

    #[getter]
    fn digest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.digest)
    }

    #[getter]
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let values = PyDict::new(py);
        for (key, items) in &self.0.values {
            values.set_item(key, list(py, items, usize::MAX)?)?;
        }
        Ok(values)
    }

    fn pick<'py>(&self, py: Python<'py>, paths: Vec<u64>) -> PyResult<Bound<'py, PyDict>> {
        let values = PyDict::new(py);
        for path in paths {
            if let Some(items) = self.0.values.get(&path) {
                values.set_item(path, list(py, items, usize::MAX)?)?;
            }
        }
        Ok(values)
    }

    fn filed<'py>(&self, py: Python<'py>, filing: &Filing) -> PyResult<Bound<'py, PyTuple>> {
        filing.file(py, &self.0)
    }

    #[getter]
    fn meta(&self) -> BTreeMap<u32, &str> {
        self.0
            .meta
            .iter()
            .map(|(&tag, text)| (tag, text.as_str()))
            .collect()
    }
}

/// Return a frame table for Python.
pub(crate) fn frames<'py>(py: Python<'py>, table: &FrameTable) -> PyResult<Frames<'py>> {
    Ok(match table {
        FrameTable::Native { hole, count, bits } => {
            (NATIVE, *hole, *count, *bits, PyBytes::new(py, b""))
        }
        FrameTable::Encapsulated { hole, offsets } => {
            let table = PyBytes::new_with(py, offsets.len() * 8, |table| {
                for (entry, offset) in table.chunks_exact_mut(8).zip(offsets) {
                    entry.copy_from_slice(&offset.to_le_bytes());
                }
                Ok(())
            })?;
            (ENCAPSULATED, *hole, offsets.len() as u64 - 1, 0, table)
        }
    })
}

/// Inflate a deflated data set.
#[pyfunction]
fn inflate<'py>(py: Python<'py>, data: Bytes, limit: usize) -> PyResult<Bound<'py, PyBytes>> {
    let data = data.as_slice();
    let inflated = py
        .detach(|| scan::inflate(data, limit))
        .map_err(PyValueError::new_err)?;
    Ok(PyBytes::new(py, &inflated))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Interest>()?;
    module.add_class::<Splitter>()?;
    module.add_class::<Scan>()?;
    module.add_function(wrap_pyfunction!(inflate, module)?)
}
