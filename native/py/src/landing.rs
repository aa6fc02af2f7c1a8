//! Where sockets are received into, by turns: memory that is handed on with the data in it.
//!
//! To copy half a megabyte out of a receive buffer costs twice: the time, and the processor's cache
//! for whatever comes next.

use std::ffi::c_int;
use std::io;
use std::ops::Range;
use std::slice;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyMemoryView, PySlice};

/// Bytes that are received at once at most: a CT slice of half a megabyte, with its command.
pub(crate) const SLAB: usize = 640 << 10;
/// Slabs that wait for another use, at most.
const SPARE: usize = 16;

static SPARES: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

fn spares() -> MutexGuard<'static, Vec<Box<[u8]>>> {
    // Nothing in here panics half-way.
    SPARES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Memory that Python receives into, and reads from. It goes back when nobody looks at it any more.
#[pyclass(module = "vna._native", frozen)]
pub(crate) struct Slab {
    start: *mut u8,
}

// SAFETY: the memory is the slab's own. It is changed by the kernel, for who asked for a place to
// receive into, and by `Landing::packed` before its content is handed on; after that by nobody.
unsafe impl Send for Slab {}
unsafe impl Sync for Slab {}

impl Slab {
    fn new() -> Self {
        let memory = spares().pop();
        let memory = memory.unwrap_or_else(|| vec![0; SLAB].into_boxed_slice());
        Self {
            start: Box::into_raw(memory).cast(),
        }
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        let memory = std::ptr::slice_from_raw_parts_mut(self.start, SLAB);
        // SAFETY: it was made of a box of this size, and no view of it is left.
        let memory = unsafe { Box::from_raw(memory) };
        let mut spare = spares();
        if spare.len() < SPARE {
            spare.push(memory);
        }
    }
}

#[pymethods]
impl Slab {
    /// Lend the memory.
    ///
    /// # Safety
    /// Python calls this with a view to fill, or NULL.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let start = slf.get().start.cast();
        // SAFETY: `view` is Python's; the memory stays in place while `slf` lives, to which
        // PyBuffer_FillInfo has the view hold a reference. It refuses a NULL view.
        let filled = unsafe {
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, SLAB.cast_signed(), 0, flags)
        };
        if filled == 0 {
            Ok(())
        } else {
            Err(PyErr::fetch(slf.py()))
        }
    }
}

/// The slab that is received into next, for all associations of an event loop.
#[pyclass(module = "vna._native")]
pub(crate) struct Landing(Py<Slab>);

#[pymethods]
impl Landing {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        Ok(Self(Py::new(py, Slab::new())?))
    }

    fn room<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        PyMemoryView::from(self.0.bind(py))
    }

    /// Receive from a socket what has come, without letting go of the GIL: to get it back from a
    /// thread that computes takes longer than to copy the bytes.
    fn receive(&self, descriptor: c_int) -> PyResult<Option<usize>> {
        let start = self.0.get().start.cast();
        // SAFETY: the slab has room for `SLAB` bytes, and is not handed on yet: nobody reads it.
        let length = unsafe { libc::recv(descriptor, start, SLAB, libc::MSG_DONTWAIT) };
        if let Ok(length) = usize::try_from(length) {
            return Ok(Some(length));
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
            _ => Err(error.into()),
        }
    }
}

impl Landing {
    /// The first `length` bytes that were received.
    pub(crate) fn received(&self, length: usize) -> PyResult<&[u8]> {
        if length > SLAB {
            return Err(PyValueError::new_err("more than there is room for"));
        }
        // SAFETY: that many bytes are initialized; whoever receives has done so, and does not
        // again before he asks for room.
        Ok(unsafe { slice::from_raw_parts(self.0.get().start, length) })
    }

    /// Whether so many bytes are better handed on with the slab than copied.
    pub(crate) fn hands_on(length: usize) -> bool {
        2 * length >= SLAB
    }

    /// Run the bytes at `runs`, ascending, together in place; return where they are then.
    ///
    /// `from` is where the runs before them ended up.
    pub(crate) fn pack(&mut self, runs: &[Range<usize>], from: usize) -> Range<usize> {
        // What comes first in a slab stays where it is.
        let begin = runs.first().map_or(from, |run| match from {
            0 => run.start,
            _ => from,
        });
        let mut end = begin;
        for run in runs {
            let start = self.0.get().start;
            // SAFETY: runs are within what was received and ascend, so bytes move to the front,
            // over those that were moved before; no slice of the slab is in use.
            unsafe { std::ptr::copy(start.add(run.start), start.add(end), run.len()) };
            end += run.len();
        }
        begin..end
    }

    /// Return a view of the slab that can only be read, and receive into another one from now on.
    pub(crate) fn hand_on<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let next = Py::new(py, Slab::new())?;
        let slab = std::mem::replace(&mut self.0, next);
        PyMemoryView::from(slab.bind(py))?.call_method0("toreadonly")
    }
}

/// Return a part of a view.
pub(crate) fn part<'py>(
    view: &Bound<'py, PyAny>,
    range: Range<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let (start, end) = (range.start.cast_signed(), range.end.cast_signed());
    view.get_item(PySlice::new(view.py(), start, end, 1))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Landing>()
}
