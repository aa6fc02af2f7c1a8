//! What an object is filed under: the facts of a scan, as Python's records take them, in one call.

use std::collections::{BTreeMap, HashMap};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use vna_core::element::is_uid;
use vna_core::scan::{FrameTable, Scan, Value};

use crate::scan::frames;

/// How many levels attributes are dealt out to: patient, study, series, instance.
const LEVELS: usize = 4;
/// How many UIDs an object is filed under: one of each level, of its class for the patient's.
const UIDS: usize = 4;

type Uids<'py> = [Bound<'py, PyString>; UIDS];
type Levels<'py> = [Bound<'py, PyDict>; LEVELS];

/// Which attributes an object is filed by, and the classes of its holes and frames.
#[pyclass(module = "vna._native", frozen)]
pub(crate) struct Filing {
    uids: [u64; UIDS],
    levels: HashMap<u64, usize>,
    max_text: usize,
    max_values: usize,
    hole: Py<PyAny>,
    frames: Py<PyAny>,
}

#[pymethods]
impl Filing {
    #[new]
    #[pyo3(signature = (uids, levels, *, max_text, max_values, hole, frames))]
    fn new(
        uids: [u64; UIDS],
        levels: HashMap<u64, usize>,
        max_text: usize,
        max_values: usize,
        hole: Py<PyAny>,
        frames: Py<PyAny>,
    ) -> PyResult<Self> {
        if levels.values().any(|&level| level >= LEVELS) {
            return Err(PyValueError::new_err("levels are 0 to 3"));
        }
        Ok(Self {
            uids,
            levels,
            max_text,
            max_values,
            hole,
            frames,
        })
    }
}

impl Filing {
    /// The facts of a scan, in the order that `vna/_native.pyi` gives.
    pub(crate) fn file<'py>(&self, py: Python<'py>, scan: &Scan) -> PyResult<Bound<'py, PyTuple>> {
        let uids = self.uids(py, &scan.values)?;
        let levels = self.deal(py, &scan.values, &uids)?;
        let problem = scan.problem.as_ref().map(ToString::to_string);
        let meta: BTreeMap<u32, &str> = scan
            .meta
            .iter()
            .map(|(&tag, text)| (tag, text.as_str()))
            .collect();
        let facts = [
            scan.transfer_syntax.as_str().into_pyobject(py)?.into_any(),
            scan.length.into_pyobject(py)?.into_any(),
            PyBytes::new(py, &scan.digest).into_any(),
            PyBytes::new(py, &scan.header).into_any(),
            scan.prefix.into_pyobject(py)?.into_any(),
            self.holes(py, scan)?.into_any(),
            self.frames(py, scan.frames.as_ref())?,
            scan.deflated.into_pyobject(py)?.to_owned().into_any(),
            problem.unwrap_or_default().into_pyobject(py)?.into_any(),
            meta.into_pyobject(py)?.into_any(),
        ];
        let uids = uids.into_iter().map(Bound::into_any);
        let levels = levels.into_iter().map(Bound::into_any);
        let facts: Vec<_> = uids.chain(levels).chain(facts).collect();
        PyTuple::new(py, facts)
    }

    /// The UIDs without their padding, empty where there is none that is of use.
    fn uids<'py>(
        &self,
        py: Python<'py>,
        values: &BTreeMap<u64, Vec<Value>>,
    ) -> PyResult<Uids<'py>> {
        let uid = |path: &u64| -> PyResult<Bound<'py, PyString>> {
            let shown; // of a number, as Python shows it
            let text = match values.get(path).and_then(|values| values.first()) {
                None => "",
                Some(Value::Text(text)) => text,
                Some(other) => {
                    shown = value(py, other, usize::MAX)?.str()?.to_string();
                    &shown
                }
            };
            let uid = text.trim_matches([' ', '\0']);
            Ok(PyString::new(py, if is_uid(uid) { uid } else { "" }))
        };
        let [class, instance, study, series] = &self.uids;
        Ok([uid(class)?, uid(instance)?, uid(study)?, uid(series)?])
    }

    /// The attributes by level, cut to what is kept; `uids` stand for what they were made of.
    fn deal<'py>(
        &self,
        py: Python<'py>,
        values: &BTreeMap<u64, Vec<Value>>,
        uids: &Uids<'py>,
    ) -> PyResult<Levels<'py>> {
        let dealt = [(); LEVELS].map(|()| PyDict::new(py));
        for (path, items) in values {
            let Some(&level) = self.levels.get(path) else {
                continue;
            };
            let number = self.uids.iter().position(|uid| uid == path);
            let list = match number.map(|number| &uids[number]) {
                Some(uid) if !uid.is_empty()? => PyList::new(py, [uid])?,
                _ => list(
                    py,
                    &items[..items.len().min(self.max_values)],
                    self.max_text,
                )?,
            };
            dealt[level].set_item(path, list)?;
        }
        Ok(dealt)
    }

    fn holes<'py>(&self, py: Python<'py>, scan: &Scan) -> PyResult<Bound<'py, PyList>> {
        let holes = scan.holes.iter().map(|hole| {
            let digest = PyBytes::new(py, &hole.digest);
            let path = PyTuple::new(py, &hole.path)?;
            let fields = (hole.offset, hole.length, digest, path, hole.vr.as_str());
            self.hole.bind(py).call1(fields)
        });
        PyList::new(py, holes.collect::<PyResult<Vec<_>>>()?)
    }

    fn frames<'py>(
        &self,
        py: Python<'py>,
        table: Option<&FrameTable>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Some(table) = table else {
            return Ok(py.None().into_bound(py));
        };
        let (kind, hole, count, bits, offsets) = frames(py, table)?;
        let fields = (kind, hole, count, bits, offsets, py.None());
        self.frames.bind(py).call1(fields)
    }
}

/// Return values for Python, text up to `max_text` characters.
pub(crate) fn list<'py>(
    py: Python<'py>,
    items: &[Value],
    max_text: usize,
) -> PyResult<Bound<'py, PyList>> {
    let items = items.iter().map(|item| value(py, item, max_text));
    PyList::new(py, items.collect::<PyResult<Vec<_>>>()?)
}

fn value<'py>(py: Python<'py>, item: &Value, max_text: usize) -> PyResult<Bound<'py, PyAny>> {
    Ok(match item {
        Value::Text(text) => PyString::new(py, beginning(text, max_text)).into_any(),
        Value::Integer(number) => number.into_pyobject(py)?.into_any(),
        Value::Float(number) => number.into_pyobject(py)?.into_any(),
    })
}

/// Return the first `count` characters of a text, or all there are.
fn beginning(text: &str, count: usize) -> &str {
    if text.len() <= count {
        return text;
    }
    let end = text.char_indices().nth(count);
    end.map_or(text, |(at, _)| &text[..at])
}

#[pyfunction(name = "is_uid")]
fn is_uid_text(text: &str) -> bool {
    is_uid(text)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Filing>()?;
    module.add_function(wrap_pyfunction!(is_uid_text, module)?)
}
