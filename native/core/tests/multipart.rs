//! Messages cut anywhere give the same parts, and what is kept back stays small.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use vna_core::multipart::{Event, Reader};

type Part = (Vec<(String, String)>, Vec<u8>, bool);

/// Return headers, content, and whether it ended, of each part of a message that comes in pieces,
/// and how reading it ended.
fn read(pieces: &[&[u8]]) -> (Vec<Part>, Result<(), String>) {
    let mut reader = Reader::new(b"B");
    let mut parts: Vec<Part> = Vec::new();
    for piece in pieces {
        let events = match reader.feed(piece) {
            Ok(events) => events,
            Err(why) => return (parts, Err(why)),
        };
        for event in events {
            let part = parts.last_mut();
            match event {
                Event::Begin(headers) => parts.push((headers, Vec::new(), false)),
                Event::Content(range) => part.expect("begun").1.extend_from_slice(&piece[range]),
                Event::Kept(bytes) => part.expect("begun").1.extend_from_slice(&bytes),
                Event::End => part.expect("begun").2 = true,
            }
        }
        assert!(reader.kept() <= 16_384 + 512);
    }
    (parts, reader.close())
}

/// Return a message cut at `places`.
fn cut<'a>(message: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut edges: Vec<usize> = places.iter().map(|at| at % (message.len() + 1)).collect();
    edges.extend([0, message.len()]);
    edges.sort_unstable();
    edges
        .windows(2)
        .map(|edge| &message[edge[0]..edge[1]])
        .collect()
}

fn texts() -> impl Strategy<Value = Vec<u8>> {
    let text: Vec<&'static [u8]> = vec![
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"-",
        b"--",
        b"--B",
        b"--B\r\n",
        b"\r\n--Bx",
        b"--b",
        b"\0",
        b"data",
        b" ",
        b"\t",
        b"A: b",
        b":",
        b"\xff",
    ];
    vec(select(text), 0..40).prop_map(|texts| texts.concat())
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_parts(message in texts(), places in vec(any::<usize>(), 0..8)) {
        let whole = read(&[&message]);
        prop_assert_eq!(&read(&cut(&message, &places)), &whole);
        let bytes: Vec<&[u8]> = message.chunks(1).collect();
        prop_assert_eq!(&read(&bytes), &whole);
    }
}

#[test]
fn long_content_is_pointed_at_and_not_copied() {
    let content = b"\r\n--\n--B ".repeat(100_000);
    let message = [b"--B\r\n\r\n".as_slice(), &content, b"x\r\n--B--"].concat();
    let mut reader = Reader::new(b"B");
    let events = reader.feed(&message).expect("whole");
    assert_eq!(
        events[1..],
        [Event::Content(7..7 + content.len() + 1), Event::End]
    );
    assert_eq!(reader.close(), Ok(()));
}
