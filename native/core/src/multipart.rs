//! multipart messages (RFC 2046 5.1), taken apart as they arrive.
//!
//! Content is neither copied nor gathered: events point at it. Kept back are a part's headers, up to
//! a bound, and the few bytes at the end of a piece that may begin a boundary.

use std::ops::Range;

use memchr::memmem::Finder;

/// Most that the headers of one part may take.
const MAX_HEADERS: usize = 16_384;
/// Most white space after a boundary; more of it is content.
const MAX_PADDING: usize = 256;
/// Bytes of a piece that are looked at together with what was kept of the last one, to begin with.
const WINDOW: usize = 512;

/// What a piece completes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A part begins. Names are lower case; of a repeated name the last value holds.
    Begin(Vec<(String, String)>),
    /// A run of the part's content, in the piece.
    Content(Range<usize>),
    /// A run of the part's content that came with pieces before.
    Kept(Vec<u8>),
    /// The part that began last is complete.
    End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Preamble,
    Headers,
    /// Right behind the headers: the blank line's end may double as the delimiter's.
    First,
    Content,
    /// Behind the closing boundary.
    Ended,
}

/// What the rest of a line behind a boundary's characters says.
enum Line {
    /// It is a boundary line, which ends here; or the closing one.
    Ends(usize),
    /// It takes more bytes to tell.
    More,
    /// It is no boundary line.
    Other,
}

/// Takes a message apart that comes in pieces of any size.
///
/// Tolerates a preamble, an epilogue, white space after boundaries, parts without headers, and
/// messages whose lines end in LF alone: the first boundary line says which.
pub struct Reader {
    /// What begins a boundary line of the preamble: LF, two dashes, the boundary.
    opening: Finder<'static>,
    /// What ends a part, once the first boundary line has told how lines end.
    delimiter: Option<Finder<'static>>,
    state: State,
    parts: usize,
    kept: Vec<u8>,
    broken: Option<String>,
}

impl Reader {
    /// A reader of messages with this boundary.
    #[must_use]
    pub fn new(boundary: &[u8]) -> Self {
        let opening = [b"\n--", boundary].concat();
        Self {
            opening: Finder::new(&opening).into_owned(),
            delimiter: None,
            state: State::Preamble,
            parts: 0,
            kept: b"\n".to_vec(), // a boundary at the very start stands on a line of its own
            broken: None,
        }
    }

    /// Take the next piece; return what it completes, up to where the message is malformed.
    ///
    /// # Errors
    /// Says what was malformed in a piece before.
    pub fn feed(&mut self, piece: &[u8]) -> Result<Vec<Event>, String> {
        self.check()?;
        let mut events = Vec::new();
        let begin = self.join(piece, &mut events);
        if let Some(begin) = begin {
            let at = self.run(piece, begin, &mut |event| note(event, &mut events));
            if self.goes_on() {
                self.kept.extend_from_slice(&piece[at..]);
            }
        }
        Ok(events)
    }

    /// Say that the message ends here.
    ///
    /// # Errors
    /// Says what was malformed, or that the closing boundary has not come.
    pub fn close(&self) -> Result<(), String> {
        self.check()?;
        match (self.state, self.parts) {
            (State::Ended, _) => Ok(()),
            (_, 0) => Err("the boundary does not occur in the message".into()),
            (_, parts) => Err(format!("the message ends inside part {parts}")),
        }
    }

    /// Bytes that are kept back.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    fn check(&self) -> Result<(), String> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    fn goes_on(&self) -> bool {
        self.state != State::Ended && self.broken.is_none()
    }

    /// Read what was kept together with as much of the piece as it takes to be done with it; return
    /// where in the piece reading goes on. None if all of it was read, or nothing goes on.
    fn join(&mut self, piece: &[u8], events: &mut Vec<Event>) -> Option<usize> {
        if self.kept.is_empty() {
            return self.goes_on().then_some(0);
        }
        let mut both = std::mem::take(&mut self.kept);
        let kept = both.len();
        let mut at = 0;
        let mut step = WINDOW;
        loop {
            let taken = both.len() - kept;
            let next = piece.len().min(taken + step);
            both.extend_from_slice(&piece[taken..next]);
            at = self.run(&both, at, &mut |event| share(event, &both, kept, events));
            if !self.goes_on() {
                return None;
            }
            if next == piece.len() {
                both.drain(..at);
                self.kept = both;
                return None;
            }
            if at >= kept {
                return Some(at - kept);
            }
            step *= 2;
        }
    }

    /// Read `data` from `at` on; return where that takes more bytes.
    fn run(&mut self, data: &[u8], mut at: usize, found: &mut dyn FnMut(Event)) -> usize {
        while self.goes_on() {
            let (state, before) = (self.state, at);
            at = match state {
                State::Preamble | State::Content => self.until(data, at, found),
                State::Headers => self.headers(data, at, found),
                State::First => self.first(data, at, found),
                State::Ended => at,
            };
            if (self.state, at) == (state, before) {
                break;
            }
        }
        at
    }

    /// Go to the next boundary line; what is passed is content, unless it is the preamble.
    fn until(&mut self, data: &[u8], at: usize, found: &mut dyn FnMut(Event)) -> usize {
        let content = self.state == State::Content;
        let mut search = at;
        let (end, line) = loop {
            let finder = self.delimiter.as_ref().unwrap_or(&self.opening);
            let length = finder.needle().len();
            let Some(next) = finder.find(&data[search..]) else {
                break (begun(data, finder.needle()).max(at), Line::More);
            };
            let next = search + next;
            match self.line(data, next + length) {
                Line::Other => search = next + 1,
                line => break (next, line),
            }
        };
        if content && end > at {
            found(Event::Content(at..end));
        }
        let Line::Ends(after) = line else {
            return end;
        };
        if content {
            found(Event::End);
        }
        self.next_part();
        after
    }

    fn next_part(&mut self) {
        if self.state != State::Ended {
            self.parts += 1;
            self.state = State::Headers;
        }
    }

    /// Read what follows a boundary. At the closing one the message ends; the first one says how
    /// lines end.
    fn line(&mut self, data: &[u8], at: usize) -> Line {
        let head = &data[at..data.len().min(at + MAX_PADDING + 1)];
        if head.starts_with(b"--") {
            self.state = State::Ended;
            return Line::Ends(at + 2);
        }
        let end = memchr::memchr(b'\n', head);
        let line = &head[..end.unwrap_or(head.len())];
        let blanks = line.strip_suffix(b"\r").unwrap_or(line);
        if !blanks.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return if head == b"-" {
                Line::More
            } else {
                Line::Other
            };
        }
        let Some(end) = end else {
            return if head.len() > MAX_PADDING {
                Line::Other
            } else {
                Line::More
            };
        };
        if self.delimiter.is_none() {
            let opening = self.opening.needle();
            let crlf = blanks.len() < line.len();
            let delimiter = if crlf {
                [b"\r", opening].concat()
            } else {
                opening.to_vec()
            };
            self.delimiter = Some(Finder::new(&delimiter).into_owned());
        }
        Line::Ends(at + end + 1)
    }

    /// Read a part's header lines up to the blank one.
    fn headers(&mut self, data: &[u8], start: usize, found: &mut dyn FnMut(Event)) -> usize {
        let mut lines: Vec<Vec<u8>> = Vec::new();
        let mut at = start;
        while let Some(length) = memchr::memchr(b'\n', &data[at..]) {
            let line = &data[at..at + length];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            at += length + 1;
            if at - start > MAX_HEADERS {
                break;
            }
            match (line.first(), lines.last_mut()) {
                (None, _) => {
                    match lines.iter().map(|line| header(line)).collect() {
                        Some(headers) => found(Event::Begin(headers)),
                        None => {
                            let why = format!("part {} has a line that is no header", self.parts);
                            self.broken = Some(why);
                        }
                    }
                    self.state = State::First;
                    return at;
                }
                (Some(b' ' | b'\t'), Some(last)) => {
                    last.push(b' ');
                    last.extend_from_slice(trimmed(line));
                }
                _ => lines.push(line.to_vec()),
            }
        }
        if data.len() - start > MAX_HEADERS {
            let part = self.parts;
            self.broken = Some(format!(
                "the headers of part {part} exceed {MAX_HEADERS} bytes"
            ));
        }
        start
    }

    /// See whether the content is empty: a boundary line follows the headers at once.
    fn first(&mut self, data: &[u8], at: usize, found: &mut dyn FnMut(Event)) -> usize {
        let dashes = &self.opening.needle()[1..];
        let length = dashes.len();
        let head = &data[at..data.len().min(at + length)];
        if head == dashes {
            match self.line(data, at + length) {
                Line::Ends(after) => {
                    found(Event::End);
                    self.next_part();
                    return after;
                }
                Line::More => return at,
                Line::Other => {}
            }
        } else if dashes.starts_with(head) {
            return at;
        }
        self.state = State::Content;
        at
    }
}

/// Note an event about what was kept and a piece behind it, as one about the piece.
fn share(event: Event, both: &[u8], kept: usize, events: &mut Vec<Event>) {
    let Event::Content(range) = event else {
        events.push(event);
        return;
    };
    if range.start < kept {
        events.push(Event::Kept(both[range.start..range.end.min(kept)].to_vec()));
    }
    if range.end > kept {
        let range = range.start.saturating_sub(kept)..range.end - kept;
        note(Event::Content(range), events);
    }
}

/// Note an event; runs of content that follow one another are one.
fn note(event: Event, events: &mut Vec<Event>) {
    if let (Some(Event::Content(last)), Event::Content(next)) = (events.last_mut(), &event)
        && last.end == next.start
    {
        last.end = next.end;
    } else {
        events.push(event);
    }
}

/// Return where a delimiter begins that later bytes may end; the end of `data` if none does.
fn begun(data: &[u8], delimiter: &[u8]) -> usize {
    let from = (data.len() + 1).saturating_sub(delimiter.len());
    (from..data.len())
        .find(|&at| delimiter.starts_with(&data[at..]))
        .unwrap_or(data.len())
}

/// Return name and value of a header line (RFC 9110 5.6.2: the name is a token).
fn header(line: &[u8]) -> Option<(String, String)> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let name = match name.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')) {
        Some(last) => &name[..=last],
        None => return None,
    };
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if !name.iter().all(token) {
        return None;
    }
    let text = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|&byte| char::from(byte))
            .collect::<String>()
    };
    Some((text(name).to_ascii_lowercase(), text(trimmed(value))))
}

/// Return a text without white space around it.
fn trimmed(text: &[u8]) -> &[u8] {
    let white = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let begin = text.iter().position(|byte| !white(byte));
    let end = text.iter().rposition(|byte| !white(byte));
    match (begin, end) {
        (Some(begin), Some(end)) => &text[begin..=end],
        _ => b"",
    }
}
