//! Deflated data sets (PS3.5 A.5): inflated in passing for the values that are of interest.

use flate2::{Decompress, FlushDecompress, Status};

use crate::element::Syntax;

use super::walk::{Expected, Input, Walker};
use super::{Limits, Problem};

const BUFFER: usize = 64 << 10;
/// Inflating stops here. Deflate yields up to a thousandfold, so this bounds the work that a
/// small object can ask for.
const MAX_INFLATED: u64 = 1 << 30;

/// Inflates a data set in pieces and walks over what comes out, of which it keeps the header alone.
pub(super) struct Inflater {
    stream: Decompress,
    buffer: Vec<u8>,
    walker: Walker,
    /// The stream has ended, or is not followed any more.
    done: bool,
    problem: Option<&'static str>,
}

impl Inflater {
    pub(super) fn new(interest: &[u64], limits: Limits) -> Self {
        let mut walker = Walker::new(interest, limits, false);
        walker.begin(0, Expected::Declared(Syntax::EXPLICIT));
        Inflater {
            stream: Decompress::new(false),
            buffer: vec![0; BUFFER],
            walker,
            done: false,
            problem: None,
        }
    }

    pub(super) fn feed(&mut self, mut data: &[u8]) {
        while !self.done {
            let before = (self.stream.total_in(), self.stream.total_out());
            let status = self
                .stream
                .decompress(data, &mut self.buffer, FlushDecompress::None);
            let taken = (self.stream.total_in() - before.0) as usize;
            let given = (self.stream.total_out() - before.1) as usize;
            data = &data[taken..];
            self.walker
                .feed(&mut Input::new(&self.buffer[..given]), &mut Vec::new());
            match status {
                Ok(Status::StreamEnd) => self.done = true,
                Ok(_) if self.walker.is_dead() => self.done = true,
                Ok(_) if self.stream.total_out() > MAX_INFLATED => self.stop(),
                Ok(_) if given > 0 || taken > 0 => {} // there may be more to come of what it took
                Ok(_) if data.is_empty() => return,
                Ok(_) | Err(_) => {
                    self.done = true;
                    self.problem = Some("the data set is not deflated as it should be");
                }
            }
        }
    }

    fn stop(&mut self) {
        self.done = true;
        if !self.walker.has_met_pixels() {
            self.problem = Some("the data set inflates to too many bytes");
        }
    }

    /// Say that the input ends here; return the walk over the inflated data set and its problem.
    pub(super) fn finish(mut self) -> (Walker, Option<Problem>) {
        let stopped = self.done && self.stream.total_out() > MAX_INFLATED;
        if !self.done {
            self.problem = Some("the deflated data set is cut short");
        }
        if !stopped {
            self.walker.finish();
        }
        let at = self.walker.passed();
        let own = self.problem.map(|what| Problem {
            at,
            tag: None,
            what: what.to_owned(),
        });
        let problem = own.or(self.walker.problem.take());
        let problem = problem.map(|problem| Problem {
            what: format!("{} (inflated)", problem.what),
            ..problem
        });
        (self.walker, problem)
    }
}

/// Inflate a whole deflated data set; the error says why not.
pub fn inflate(data: &[u8], limit: usize) -> Result<Vec<u8>, &'static str> {
    let mut stream = Decompress::new(false);
    let mut out = Vec::new();
    loop {
        let room = limit
            .saturating_add(1)
            .saturating_sub(out.len())
            .min(out.len().max(BUFFER));
        out.reserve_exact(room);
        let taken = stream.total_in() as usize;
        let before = out.len();
        let status = stream.decompress_vec(&data[taken..], &mut out, FlushDecompress::None);
        match status {
            Ok(_) if out.len() > limit => return Err("inflates to more than the limit"),
            Ok(Status::StreamEnd) => return Ok(out),
            Ok(_) if out.len() == before && stream.total_in() as usize == taken => {
                return Err("the deflated data set is cut short");
            }
            Ok(_) => {}
            Err(_) => return Err("not a deflated data set"),
        }
    }
}
