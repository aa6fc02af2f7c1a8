//! Reading of files that does not wait for a disk.

use std::ffi::c_int;
use std::io;

use pyo3::prelude::*;

use crate::loan::filled;

/// Most that is read: the GIL stays held meanwhile.
const MOST: usize = 16 << 20;

#[pyfunction]
fn read_present(
    py: Python<'_>,
    descriptor: c_int,
    offset: u64,
    length: usize,
) -> PyResult<Option<Bound<'_, PyAny>>> {
    if length == 0 || length > MOST {
        return Ok(None);
    }
    // SAFETY: `present` says how many bytes it wrote, at most `length`.
    unsafe {
        filled(py, length, |start| {
            present(descriptor, start.cast(), length, offset)
        })
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
    module.add_function(wrap_pyfunction!(read_present, module)?)
}
