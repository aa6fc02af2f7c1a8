//! Memory on loan to Python: bytes of data sets, in memory that is used again and again.
//!
//! Fresh memory of this size costs more than filling it: the allocator gets it from the kernel and
//! gives it back, page by page (a CT slice of 0.5 MB in new `bytes`: 0.2 ms; in used memory 0.04).

use std::ffi::c_int;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use crate::append::{BLOCK, told};

/// Less than this is copied to a `bytes`: the allocator has such memory at hand.
const LEAST: usize = 32 << 10;
/// Memory comes in multiples of this, so that what is held is little more than what is used.
const STEP: usize = 64 << 10;
/// Pieces of more steps are not kept for another use.
const SIZES: usize = 16;
/// Bytes that wait for another use, at most.
const SPARE: usize = 16 << 20;

/// Memory that nobody uses just now, by its number of steps less one.
struct Spare {
    sizes: [Vec<Vec<u8>>; SIZES],
    bytes: usize,
}

static SPARES: Mutex<Spare> = Mutex::new(Spare {
    sizes: [const { Vec::new() }; SIZES],
    bytes: 0,
});

fn spares() -> MutexGuard<'static, Spare> {
    // Nothing in here panics half-way.
    SPARES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Return memory for at least `length` bytes, with what was in it.
fn borrow(length: usize) -> Vec<u8> {
    let steps = length.div_ceil(STEP).max(1);
    if steps <= SIZES {
        let mut spare = spares();
        if let Some(memory) = spare.sizes[steps - 1].pop() {
            spare.bytes -= memory.capacity();
            return memory;
        }
    }
    Vec::with_capacity(steps * STEP)
}

fn give_back(memory: Vec<u8>) {
    let capacity = memory.capacity();
    let steps = capacity / STEP;
    if steps == 0 || steps > SIZES || !capacity.is_multiple_of(STEP) {
        return;
    }
    let mut spare = spares();
    if spare.bytes + capacity <= SPARE {
        spare.bytes += capacity;
        spare.sizes[steps - 1].push(memory);
    }
}

/// What a view that Python holds keeps alive: memory, of which `start` and `length` are lent.
#[pyclass(module = "vna._native", frozen)]
struct Loan {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Drop for Loan {
    fn drop(&mut self) {
        give_back(std::mem::take(&mut self.memory));
    }
}

#[pymethods]
impl Loan {
    /// Lend the bytes for reading.
    ///
    /// # Safety
    /// Python calls this with a view to fill, or NULL.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let Loan {
            memory,
            start,
            length,
        } = slf.get();
        let lent = &memory[*start..start + length];
        // SAFETY: `view` is Python's; the bytes neither move nor change while `slf` lives.
        unsafe { expose(slf.as_any(), lent.as_ptr(), lent.len(), view, flags) }
    }
}

/// Fill a view of `length` bytes for reading, which keeps `owner` alive.
///
/// # Safety
/// `view` must be what Python gave to `__getbuffer__`; the bytes must stay while `owner` lives.
pub(crate) unsafe fn expose(
    owner: &Bound<'_, PyAny>,
    start: *const u8,
    length: usize,
    view: *mut ffi::Py_buffer,
    flags: c_int,
) -> PyResult<()> {
    // SAFETY: PyBuffer_FillInfo has the view hold a reference to the owner, and refuses who wants
    // to write, or a NULL view.
    let filled = unsafe {
        ffi::PyBuffer_FillInfo(
            view,
            owner.as_ptr(),
            start.cast_mut().cast(),
            length.cast_signed(),
            1,
            flags,
        )
    };
    if filled == 0 {
        Ok(())
    } else {
        Err(PyErr::fetch(owner.py()))
    }
}

/// Return `parts` run together, `length` bytes: `bytes`, or a view that can only be read.
pub(crate) fn joined<'py, 'a>(
    py: Python<'py>,
    length: usize,
    parts: impl Iterator<Item = &'a [u8]>,
) -> PyResult<Bound<'py, PyAny>> {
    if length < LEAST {
        let bytes = PyBytes::new_with(py, length, |mut bytes| {
            for part in parts {
                let (begin, rest) = bytes.split_at_mut(part.len());
                begin.copy_from_slice(part);
                bytes = rest;
            }
            Ok(())
        })?;
        return Ok(bytes.into_any());
    }
    let mut memory = borrow(length);
    memory.clear();
    for part in parts {
        memory.extend_from_slice(part);
    }
    lend(py, memory)
}

fn lend(py: Python<'_>, memory: Vec<u8>) -> PyResult<Bound<'_, PyAny>> {
    let length = memory.len();
    lend_part(py, memory, 0, length)
}

fn lend_part(
    py: Python<'_>,
    memory: Vec<u8>,
    start: usize,
    length: usize,
) -> PyResult<Bound<'_, PyAny>> {
    let loan = Loan {
        memory,
        start,
        length,
    };
    let loan = Bound::new(py, loan)?;
    Ok(PyMemoryView::from(loan.as_any())?.into_any())
}

/// Return the `length` bytes that `make` writes, as `joined` does. It is given what was there before.
pub(crate) fn made<'py>(
    py: Python<'py>,
    length: usize,
    make: impl FnOnce(&mut [u8]) -> PyResult<()>,
) -> PyResult<Bound<'py, PyAny>> {
    if !(LEAST..=SIZES * STEP).contains(&length) {
        return Ok(PyBytes::new_with(py, length, make)?.into_any());
    }
    let mut memory = borrow(length);
    // Only what was never written costs anything.
    memory.resize(length, 0);
    match make(&mut memory) {
        Ok(()) => lend(py, memory),
        Err(error) => {
            give_back(memory);
            Err(error)
        }
    }
}

/// Return the `length` bytes that `fill` writes, as `joined` does; None where it writes others.
///
/// # Safety
/// `fill` must return how many bytes it wrote from the front of the `length` that it is given.
pub(crate) unsafe fn filled<'py, E: Into<PyErr>>(
    py: Python<'py>,
    length: usize,
    fill: impl FnOnce(*mut u8) -> Result<usize, E>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let mut memory = borrow(length);
    let taken = fill(memory.as_mut_ptr()).map_err(Into::into)?;
    if taken != length {
        give_back(memory);
        return Ok(None);
    }
    // SAFETY: there is room for `length` bytes, and all of them were written.
    unsafe { memory.set_len(length) };
    if length < LEAST {
        let bytes = PyBytes::new(py, &memory);
        give_back(memory);
        return Ok(Some(bytes.into_any()));
    }
    lend(py, memory).map(Some)
}

/// Return `length` bytes behind the first `skip` of the blocks that `fill` writes; None where it
/// writes fewer. It is given whole blocks, at a multiple of [`BLOCK`], and says how much it wrote.
pub(crate) fn blocks<'py>(
    py: Python<'py>,
    skip: usize,
    length: usize,
    fill: impl FnOnce(&mut [u8]) -> io::Result<usize> + Send,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let whole = (skip + length).next_multiple_of(BLOCK);
    let mut memory = borrow(whole + BLOCK);
    // Only what was never written costs anything.
    memory.resize(whole + BLOCK, 0);
    let start = memory.as_ptr().align_offset(BLOCK);
    let blocks = &mut memory[start..start + whole];
    match py.detach(|| fill(blocks)) {
        Ok(filled) if filled >= skip + length => {
            lend_part(py, memory, start + skip, length).map(Some)
        }
        unfilled => {
            give_back(memory);
            unfilled.map(|_| None).map_err(told)
        }
    }
}
