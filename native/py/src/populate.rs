//! Mapped files at hand: page tables filled before anybody looks there, pages held in memory.
//!
//! The first look at a page that is in memory costs a fault, which on a virtual machine is some
//! microseconds. Filled in one go it is a fraction of one.

use pyo3::prelude::*;

use crate::append::told;

#[pyfunction]
fn populate(py: Python<'_>, address: usize, length: usize) -> usize {
    py.detach(|| fill(address, length))
}

/// Fill in pieces, so that who maps memory meanwhile need not wait for long.
#[cfg(target_os = "linux")]
fn fill(address: usize, length: usize) -> usize {
    let page = crate::mapping::page_size();
    let mut there = [0_u8; 512];
    let mut filled = 0;
    for piece in (0..length.div_ceil(page)).step_by(there.len()) {
        let count = there.len().min(length.div_ceil(page) - piece);
        let start = address + piece * page;
        // SAFETY: there is a byte for each page; what is no memory of this process is refused.
        let told = unsafe { libc::mincore(start as *mut _, count * page, there.as_mut_ptr()) };
        if told != 0 {
            break;
        }
        let mut at = start;
        for run in there[..count].chunk_by(|one, next| (one ^ next) & 1 == 0) {
            // SAFETY: this reads, and changes nothing that a program can see. It is an advice:
            // a kernel before 5.14 does not take it, and a page may have gone meanwhile.
            if run[0] & 1 == 1
                && unsafe {
                    libc::madvise(at as *mut _, run.len() * page, libc::MADV_POPULATE_READ)
                } == 0
            {
                filled += run.len() * page;
            }
            at += run.len() * page;
        }
    }
    filled
}

#[cfg(not(target_os = "linux"))]
fn fill(_: usize, _: usize) -> usize {
    0
}

#[pyfunction]
fn hold(py: Python<'_>, address: usize, length: usize) -> PyResult<()> {
    let held = py.detach(|| {
        // The disk is asked for all of it first: mlock would have it fetch one page after the other.
        #[cfg(target_os = "linux")]
        // SAFETY: an advice; what is no memory of this process is refused.
        unsafe {
            libc::madvise(address as *mut _, length, libc::MADV_WILLNEED);
        }
        // SAFETY: this reads, and changes nothing that a program can see.
        match unsafe { libc::mlock(address as *const _, length) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    });
    held.map_err(told)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(hold, module)?)?;
    module.add_function(wrap_pyfunction!(populate, module)?)
}
