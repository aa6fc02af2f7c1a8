//! Sending on a socket what is at hand: pages of files as they are, the rest out of memory.
//!
//! To copy half a megabyte to a socket takes longer than all else that an answer does. Of a file the
//! kernel can send the pages themselves (sendfile(2)), whichever other bytes come before and behind.

use std::ffi::c_int;
use std::io;
use std::os::fd::RawFd;

use pyo3::intern;
use pyo3::prelude::*;

use crate::append::told;
use crate::buffer::Bytes;
use crate::file::Pages;
use crate::fresh::Kept;

/// Fewer bytes are copied: that costs less than another call.
const LEAST: usize = 64 << 10;
/// Parts of memory that leave in one call at most (IOV_MAX).
const PARTS: usize = 1024;
/// More follows, where a system can be told.
#[cfg(target_os = "linux")]
const MORE: c_int = libc::MSG_MORE;
#[cfg(not(target_os = "linux"))]
const MORE: c_int = 0;

/// Send pieces one after the other, as many bytes as go without waiting.
#[pyfunction]
fn send_now(descriptor: RawFd, pieces: Vec<Bound<'_, PyAny>>) -> PyResult<usize> {
    let mut outlet = Outlet {
        descriptor,
        sent: 0,
        parts: Vec::new(),
        due: 0,
    };
    let mut held = Vec::with_capacity(pieces.len());
    match outlet.send(&pieces, &mut held) {
        // What went has gone. Who comes with the rest is told then.
        Err(error) if outlet.sent == 0 => Err(error),
        _ => Ok(outlet.sent),
    }
}

struct Outlet {
    descriptor: RawFd,
    /// Bytes that went.
    sent: usize,
    /// Memory that is to go next, and how many bytes that is.
    parts: Vec<libc::iovec>,
    due: usize,
}

impl Outlet {
    /// Send what goes; buffers are kept in `held` for as long as their memory is used.
    fn send(&mut self, pieces: &[Bound<'_, PyAny>], held: &mut Vec<Bytes>) -> PyResult<()> {
        for piece in pieces {
            let buffer: Bytes = piece.extract()?;
            let bytes = buffer.as_slice();
            let (start, length) = (bytes.as_ptr(), bytes.len());
            match in_file(piece, start, length)? {
                Some((file, at)) => {
                    if !(self.flush(MORE)? && self.send_file(file, at, length)?) {
                        return Ok(());
                    }
                }
                None => {
                    if self.parts.len() == PARTS && !self.flush(MORE)? {
                        return Ok(());
                    }
                    self.parts.push(libc::iovec {
                        iov_base: start.cast_mut().cast(),
                        iov_len: length,
                    });
                    self.due += length;
                }
            }
            held.push(buffer);
        }
        self.flush(0)?;
        Ok(())
    }

    /// Send the memory that is due; return whether all of it went.
    fn flush(&mut self, more: c_int) -> PyResult<bool> {
        if self.parts.is_empty() {
            return Ok(true);
        }
        // SAFETY: an empty header is one of zeros.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = self.parts.as_mut_ptr();
        message.msg_iovlen = self.parts.len() as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | more;
        // SAFETY: the parts are memory that Python lends until the call has ended.
        let went = unsafe { libc::sendmsg(self.descriptor, &raw const message, flags) };
        let due = std::mem::take(&mut self.due);
        self.parts.clear();
        self.went(went, due)
    }

    /// Send bytes of a file; return whether all went. The socket must be one that does not block.
    #[cfg(target_os = "linux")]
    fn send_file(&mut self, file: RawFd, mut at: libc::off_t, length: usize) -> PyResult<bool> {
        // SAFETY: both descriptors are open; the kernel refuses what is no socket.
        let went = unsafe { libc::sendfile(self.descriptor, file, &raw mut at, length) };
        if went == 0 {
            return Err(told(io::ErrorKind::UnexpectedEof.into()));
        }
        self.went(went, length)
    }

    #[cfg(not(target_os = "linux"))]
    fn send_file(&mut self, _: RawFd, _: libc::off_t, _: usize) -> PyResult<bool> {
        unreachable!("nothing is in a file")
    }

    /// Count what a call sent; return whether it was all.
    fn went(&mut self, went: isize, due: usize) -> PyResult<bool> {
        if let Ok(went) = usize::try_from(went) {
            self.sent += went;
            return Ok(went == due);
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(false),
            _ => Err(told(error)),
        }
    }
}

/// Return the file that has the bytes of a piece, and where; None where they are better copied.
fn in_file(
    piece: &Bound<'_, PyAny>,
    start: *const u8,
    length: usize,
) -> PyResult<Option<(RawFd, libc::off_t)>> {
    if length < LEAST || cfg!(not(target_os = "linux")) {
        return Ok(None);
    }
    let Some(lender) = piece.getattr_opt(intern!(piece.py(), "obj"))? else {
        return Ok(None);
    };
    if let Ok(kept) = lender.cast::<Kept>() {
        return Ok(kept.get().lend_pages(start, length));
    }
    Ok(lender
        .cast::<Pages>()
        .ok()
        .and_then(|pages| pages.get().0.in_file(start)))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(send_now, module)?)
}
