//! Parting of objects into header and bulk, and what a pass over one found.

use std::collections::{BTreeMap, HashMap};

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use vna_core::scan::{self, Form, FrameTable, Limits, Run, Value};

use crate::buffer::{Bytes, hashed};

/// Kinds of frames, as in vna.types.FrameKind.
const NATIVE: u8 = 1;
const ENCAPSULATED: u8 = 2;

/// `(kind, hole, count, frame_bits, offsets)`
type Frames<'py> = (u8, usize, u64, u64, Bound<'py, PyBytes>);

/// Attributes of patient, study, series and instance.
type Dealt<'py> = (
    Bound<'py, PyDict>,
    Bound<'py, PyDict>,
    Bound<'py, PyDict>,
    Bound<'py, PyDict>,
);

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

/// How many levels attributes are dealt out to: patient, study, series, instance.
const LEVELS: usize = 4;

/// Which level each path key belongs to, and how much of an attribute is kept.
#[pyclass(module = "vna._native", frozen)]
struct Levels {
    of: HashMap<u64, usize>,
    max_text: usize,
    max_values: usize,
}

#[pymethods]
impl Levels {
    #[new]
    #[pyo3(signature = (of, *, max_text, max_values))]
    fn new(of: HashMap<u64, usize>, max_text: usize, max_values: usize) -> PyResult<Self> {
        if of.values().any(|&level| level >= LEVELS) {
            return Err(PyValueError::new_err("levels are 0 to 3"));
        }
        Ok(Self {
            of,
            max_text,
            max_values,
        })
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
        Ok(match &self.0.frames {
            None => None,
            Some(FrameTable::Native { hole, count, bits }) => {
                Some((NATIVE, *hole, *count, *bits, PyBytes::new(py, b"")))
            }
            Some(FrameTable::Encapsulated { hole, offsets }) => {
                let table = PyBytes::new_with(py, offsets.len() * 8, |table| {
                    for (entry, offset) in table.chunks_exact_mut(8).zip(offsets) {
                        entry.copy_from_slice(&offset.to_le_bytes());
                    }
                    Ok(())
                })?;
                Some((ENCAPSULATED, *hole, offsets.len() as u64 - 1, 0, table))
            }
        })
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

    fn dealt<'py>(&self, py: Python<'py>, levels: &Levels) -> PyResult<Dealt<'py>> {
        let dealt = [(); LEVELS].map(|()| PyDict::new(py));
        for (key, items) in &self.0.values {
            if let Some(&level) = levels.of.get(key) {
                let kept = &items[..items.len().min(levels.max_values)];
                dealt[level].set_item(key, list(py, kept, levels.max_text)?)?;
            }
        }
        Ok(dealt.into())
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

/// Return values for Python, text up to `max_text` characters.
fn list<'py>(py: Python<'py>, items: &[Value], max_text: usize) -> PyResult<Bound<'py, PyList>> {
    let items = items.iter().map(|item| {
        Ok(match item {
            Value::Text(text) => PyString::new(py, beginning(text, max_text)).into_any(),
            Value::Integer(number) => number.into_pyobject(py)?.into_any(),
            Value::Float(number) => number.into_pyobject(py)?.into_any(),
        })
    });
    PyList::new(py, items.collect::<PyResult<Vec<_>>>()?)
}

/// Return the first `count` characters of a text, or all there are.
fn beginning(text: &str, count: usize) -> &str {
    if text.len() <= count {
        return text;
    }
    let end = text.char_indices().nth(count);
    end.map_or(text, |(at, _)| &text[..at])
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
    module.add_class::<Levels>()?;
    module.add_class::<Splitter>()?;
    module.add_class::<Scan>()?;
    module.add_function(wrap_pyfunction!(inflate, module)?)
}
