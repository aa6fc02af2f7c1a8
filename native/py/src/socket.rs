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

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(acknowledge_now, module)?)
}
