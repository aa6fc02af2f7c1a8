//! What Python's sockets cannot do to a descriptor that belongs to somebody else.

use std::ffi::c_int;

use pyo3::prelude::*;

#[pyfunction]
fn acknowledge_now(descriptor: c_int) {
    #[cfg(target_os = "linux")]
    {
        let on: c_int = 1;
        let size = libc::socklen_t::try_from(size_of::<c_int>()).expect("an int is small");
        // SAFETY: the kernel reads `size` bytes from `on`, and refuses what is no TCP socket.
        unsafe {
            libc::setsockopt(
                descriptor,
                libc::IPPROTO_TCP,
                libc::TCP_QUICKACK,
                (&raw const on).cast(),
                size,
            );
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = descriptor;
}

/// Send `data`, as much as goes without waiting, and have what comes next acknowledged at once.
#[pyfunction]
fn answer_now(descriptor: c_int, data: &[u8]) -> usize {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel reads the bytes of `data`, and refuses what is no socket.
    let sent = unsafe { libc::send(descriptor, data.as_ptr().cast(), data.len(), flags) };
    acknowledge_now(descriptor);
    usize::try_from(sent).unwrap_or_default()
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(acknowledge_now, module)?)?;
    module.add_function(wrap_pyfunction!(answer_now, module)?)
}
