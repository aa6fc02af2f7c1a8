//! Reading of files that does not wait for a disk.

use std::ffi::c_int;
use std::io;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;

use crate::loan::{expose, filled};
use crate::mapping::Mapped;

/// Most that is read: the GIL stays held meanwhile.
const MOST: usize = 16 << 20;
/// Less than this is copied: that costs less than to ask for its pages, and outlives them.
const LEAST: usize = 64 << 10;

/// An open file, as far as the page cache has it. The descriptor stays its owner's.
#[pyclass(module = "vna._native", frozen)]
struct PresentFile {
    descriptor: c_int,
    mapped: Mapped,
}

#[pymethods]
impl PresentFile {
    #[new]
    fn new(descriptor: c_int) -> Self {
        Self {
            descriptor,
            mapped: Mapped::default(),
        }
    }

    fn read<'py>(
        &self,
        py: Python<'py>,
        offset: u64,
        length: usize,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        if length == 0 || length > MOST {
            return Ok(None);
        }
        self.mapped.synced(offset.saturating_add(length as u64));
        if length >= LEAST
            && let Some(pages) = self.mapped.present(self.descriptor, offset, length)?
        {
            let view = Bound::new(py, Pages(pages))?;
            return Ok(Some(PyMemoryView::from(view.as_any())?.into_any()));
        }
        // SAFETY: `present` says how many bytes it wrote, at most `length`.
        unsafe {
            filled(py, length, |start| {
                present(self.descriptor, start.cast(), length, offset)
            })
        }
    }
}

/// What a view of the page cache keeps alive.
#[pyclass(module = "vna._native", frozen)]
struct Pages(crate::mapping::Pages);

#[pymethods]
impl Pages {
    /// Lend the bytes for reading.
    ///
    /// # Safety
    /// Python calls this with a view to fill, or NULL.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let (start, length) = slf.get().0.place();
        // SAFETY: `view` is Python's; the pages stay mapped while `slf` lives.
        unsafe { expose(slf.as_any(), start, length, view, flags) }
    }
}

/// Read what the page cache has from `offset` on; return how many bytes that was from the front.
///
/// # Safety
/// `start` must point to `length` writable bytes.
#[cfg(target_os = "linux")]
unsafe fn present(
    descriptor: c_int,
    start: *mut libc::c_void,
    length: usize,
    offset: u64,
) -> io::Result<usize> {
    let Ok(offset) = libc::off_t::try_from(offset) else {
        return Ok(0);
    };
    let part = libc::iovec {
        iov_base: start,
        iov_len: length,
    };
    // SAFETY: one part, as the caller promises.
    let taken = unsafe { libc::preadv2(descriptor, &raw const part, 1, offset, libc::RWF_NOWAIT) };
    if let Ok(taken) = usize::try_from(taken) {
        return Ok(taken);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // Not present; or the file system or kernel cannot tell; or a signal came first.
        Some(libc::EAGAIN | libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL | libc::EINTR) => Ok(0),
        _ => Err(error),
    }
}

#[cfg(not(target_os = "linux"))]
unsafe fn present(_: c_int, _: *mut libc::c_void, _: usize, _: u64) -> io::Result<usize> {
    Ok(0)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PresentFile>()
}
