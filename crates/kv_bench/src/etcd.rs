//! Puts and reads of etcd's gRPC as bytes: what of HTTP/2, HPACK and protobuf they need. So the same event
//! loop loads etcd and all other servers; a client library would cost more than what it measures.

use crate::{
    error::{Context, Error},
    limits,
};
use std::{
    io::{Read, Write},
    net::TcpStream,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of the header of a frame: a length of three bytes, a type, flags, and the stream.
const FRAME_HEADER_BYTES: usize = 9;

/// Types of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// Flags of frames. SETTINGS and PING have an acknowledgement where others have the end of their stream.
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// What the server may send before it learns that any of it has arrived: on a stream, and on a connection,
/// beside the first 64 KiB.
const WINDOW_BYTES: u32 = i32::MAX as u32 - 65_535;
/// The setting of the window of streams.
const INITIAL_WINDOW_SIZE: u16 = 4;

/// `:method: POST` and `:scheme: http`, from HPACK's static table.
const POST_HTTP: [u8; 2] = [0x83, 0x86];
/// Names of HPACK's static table, before values that both sides are to remember.
const AUTHORITY: &[u8] = &[0x41];
const PATH: &[u8] = &[0x44];
const CONTENT_TYPE: &[u8] = &[0x5f];
const TE: &[u8] = &[0x40, 2, b't', b'e'];
/// What the first request of a connection has had both sides remember.
const REMEMBERED: [u8; 4] = [0xc1, 0xc0, 0xbf, 0xbe];

/// The end of the reply to a read that has found its key: `count`, 1.
const FOUND: [u8; 2] = [0x20, 1];

/// A call of etcd: a read of one key, or a put.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) reads: bool,
    pub(crate) key_bytes: usize,
    pub(crate) value_bytes: usize,
}

impl Call {
    /// The request before the digits of its key and after them, as all but the first one of a connection.
    pub(crate) fn request(self) -> (Vec<u8>, Vec<u8>) {
        let headers = frame(HEADERS, END_HEADERS, 0, &[&POST_HTTP[..], &REMEMBERED].concat());
        let (before, after) = self.message();
        let length = before.len() + self.key_bytes - 1 + after.len();
        let data = frame_header(DATA, END_STREAM, 0, length);
        ([&headers[..], &data, &before].concat(), after)
    }

    /// What a connection begins with, and its first request, of the key 0, on stream 1.
    fn opening(self) -> Vec<u8> {
        let window = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &WINDOW_BYTES.to_be_bytes()].concat();
        let path: &[u8] = if self.reads { b"/etcdserverpb.KV/Range" } else { b"/etcdserverpb.KV/Put" };
        let mut headers = POST_HTTP.to_vec();
        for (name, value) in
            [(PATH, path), (AUTHORITY, b"127.0.0.1"), (CONTENT_TYPE, b"application/grpc"), (TE, b"trailers")]
        {
            headers.extend_from_slice(&[name, &[value.len() as u8], value].concat());
        }
        let (before, after) = self.message();
        let message = [before, vec![b'0'; self.key_bytes - 1], after].concat();
        [
            PREFACE.to_vec(),
            frame(SETTINGS, 0, 0, &window),
            frame(WINDOW_UPDATE, 0, 0, &WINDOW_BYTES.to_be_bytes()),
            frame(HEADERS, END_HEADERS, 1, &headers),
            frame(DATA, END_STREAM, 1, &message),
        ]
        .concat()
    }

    /// gRPC's head of the message, and the message: `key` up to its digits, and what follows them, `value`.
    fn message(self) -> (Vec<u8>, Vec<u8>) {
        let key = [bytes_field(1, self.key_bytes), vec![b'k']].concat();
        let value = match self.reads {
            true => Vec::new(),
            false => [bytes_field(2, self.value_bytes), vec![b'v'; self.value_bytes]].concat(),
        };
        let length = (key.len() + self.key_bytes - 1 + value.len()) as u32;
        ([&[0][..], &length.to_be_bytes(), &key].concat(), value)
    }
}

/// The head of a field of bytes, in protobuf.
fn bytes_field(number: u8, mut length: usize) -> Vec<u8> {
    let mut head = vec![number << 3 | 2];
    while length > 0x7f {
        head.push(0x80 | length as u8);
        length >>= 7;
    }
    head.push(length as u8);
    head
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    [&frame_header(kind, flags, stream, payload.len()), payload].concat()
}

fn frame_header(kind: u8, flags: u8, stream: u32, length: usize) -> [u8; FRAME_HEADER_BYTES] {
    let [_, high, middle, low] = (length as u32).to_be_bytes();
    let [a, b, c, d] = stream.to_be_bytes();
    [high, middle, low, kind, flags, a, b, c, d]
}

/// The first frame, if all of it is there, and what follows it.
fn next_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let [high, middle, low, ..] = *bytes.get(..FRAME_HEADER_BYTES)? else { return None };
    bytes.split_at_checked(FRAME_HEADER_BYTES + u32::from_be_bytes([0, high, middle, low]) as usize)
}

/// The streams of one connection: each request has one.
#[derive(Debug)]
pub(crate) struct Streams {
    next_stream: u32,
    reads: bool,
    unsent: Vec<u8>,
    /// A part of a frame that has arrived.
    input: Vec<u8>,
    /// Of the batch: requests without a reply, and those whose streams have not ended.
    unanswered: usize,
    open: usize,
}

impl Streams {
    /// Those of a new connection: sends its first request, and waits for the reply.
    pub(crate) fn open(stream: &mut TcpStream, call: Call) -> Result<Streams, Error> {
        let (reads, input, unsent) = (call.reads, Vec::new(), Vec::new());
        let mut streams = Streams { next_stream: 3, reads, unsent, input, unanswered: 1, open: 1 };
        stream.set_read_timeout(Some(limits::REPLY_TIMEOUT)).context("cannot configure a socket")?;
        stream.write_all(&call.opening()).context("cannot send")?;
        let mut buffer = [0; limits::READ_BYTES];
        loop {
            let got = stream.read(&mut buffer).context("cannot receive the first reply of etcd")?;
            if got == 0 {
                return Err(Error::Closed);
            }
            if streams.receive(&buffer[..got])? {
                return Ok(streams);
            }
        }
    }

    /// What is to be sent.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.unsent
    }

    /// The first `bytes` of it have been sent.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.unsent.drain(..bytes);
    }

    /// Queues requests, each on the next stream.
    pub(crate) fn begin(&mut self, mut batch: &[u8]) {
        while let Some((frame, rest)) = next_frame(batch) {
            let header = frame_header(frame[3], frame[4], self.next_stream, frame.len() - FRAME_HEADER_BYTES);
            self.unsent.extend_from_slice(&header);
            self.unsent.extend_from_slice(&frame[FRAME_HEADER_BYTES..]);
            if frame[3] == DATA {
                self.next_stream += 2;
                self.unanswered += 1;
                self.open += 1;
            }
            batch = rest;
        }
    }

    /// Takes what has arrived. Returns whether all requests are answered.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<bool, Error> {
        self.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.input);
        let mut left = &input[..];
        while let Some((frame, rest)) = next_frame(left) {
            self.take(frame)?;
            left = rest;
        }
        self.input = left.to_vec();
        Ok(self.open == 0)
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let (kind, flags, payload) = (bytes[3], bytes[4], &bytes[FRAME_HEADER_BYTES..]);
        let refused = || Error::Reply {
            got: String::from_utf8_lossy(payload).into_owned(),
            expected: "a reply of etcd".into(),
        };
        match kind {
            DATA if !payload.is_empty() => {
                if self.reads && !payload.ends_with(&FOUND) {
                    return Err(refused());
                }
                self.unanswered = self.unanswered.checked_sub(1).ok_or_else(refused)?;
            }
            RST_STREAM | GOAWAY => return Err(refused()),
            SETTINGS if flags & ACK == 0 => self.unsent.extend(frame(SETTINGS, ACK, 0, &[])),
            PING if flags & ACK == 0 => self.unsent.extend(frame(PING, ACK, 0, payload)),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            self.open = self.open.checked_sub(1).ok_or_else(refused)?;
            // An error has no message.
            if self.open < self.unanswered {
                return Err(refused());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUT: Call = Call { reads: false, key_bytes: 3, value_bytes: 2 };
    const READ: Call = Call { reads: true, ..PUT };

    /// The type, flags, stream and payload of each frame.
    fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
        let mut frames = Vec::new();
        while let Some((frame, rest)) = next_frame(bytes) {
            let stream = u32::from_be_bytes([frame[5], frame[6], frame[7], frame[8]]);
            frames.push((frame[3], frame[4], stream, frame[FRAME_HEADER_BYTES..].to_vec()));
            bytes = rest;
        }
        assert!(bytes.is_empty(), "a part of a frame: {bytes:?}");
        frames
    }

    fn request(call: Call) -> Vec<u8> {
        let (before, after) = call.request();
        [&before, &b"42"[..], &after].concat()
    }

    /// Streams on which these requests are on their way.
    fn streams(call: Call, requests: usize) -> Streams {
        let (unsent, input) = (Vec::new(), Vec::new());
        let mut streams =
            Streams { next_stream: 3, reads: call.reads, unsent, input, unanswered: 0, open: 0 };
        streams.begin(&request(call).repeat(requests));
        streams
    }

    fn reply(stream: u32, message: &[u8]) -> Vec<u8> {
        let headers = frame(HEADERS, END_HEADERS, stream, &[0x88]);
        let trailers = frame(HEADERS, END_HEADERS | END_STREAM, stream, b"grpc-status: 0");
        [headers, frame(DATA, 0, stream, message), trailers].concat()
    }

    #[test]
    fn a_request_is_a_message_of_grpc_on_a_stream_of_its_own() {
        let message = b"\0\0\0\0\x09\x0a\x03k42\x12\x02vv".to_vec();
        let headers = [&POST_HTTP[..], &REMEMBERED].concat();
        let sent = frames(streams(PUT, 2).unsent());
        let expected = [3, 5].map(|stream| {
            [(HEADERS, END_HEADERS, stream, headers.clone()), (DATA, END_STREAM, stream, message.clone())]
        });
        assert_eq!(sent, expected.concat());
        let read = frames(streams(READ, 1).unsent());
        assert_eq!(read[1], (DATA, END_STREAM, 3, b"\0\0\0\0\x05\x0a\x03k42".to_vec()));
    }

    #[test]
    fn the_first_request_has_headers_that_both_sides_remember() {
        let opening = PUT.opening();
        let sent = frames(opening.strip_prefix(PREFACE).expect("the preface"));
        let headers = &sent[2].3;
        assert!(headers.windows(20).any(|bytes| bytes == b"/etcdserverpb.KV/Put"), "{headers:?}");
        assert_eq!(sent[3].3, b"\0\0\0\0\x09\x0a\x03k00\x12\x02vv");
    }

    #[test]
    fn replies_arrive_in_any_order_and_in_pieces() {
        let mut streams = streams(PUT, 2);
        let replies = [reply(5, b"\0\0\0\0\0"), reply(3, b"\0\0\0\0\0")].concat();
        let (last, before) = replies.split_last().expect("bytes");
        assert!(before.iter().all(|byte| !streams.receive(&[*byte]).expect("no error")));
        assert!(streams.receive(&[*last]).expect("no error"));
    }

    #[test]
    fn an_error_and_a_read_that_finds_nothing_are_refused() {
        let error = frame(HEADERS, END_HEADERS | END_STREAM, 3, b"grpc-status: 14");
        for (call, bytes) in [
            (PUT, error),
            (PUT, frame(RST_STREAM, 0, 3, &[0; 4])),
            (PUT, frame(GOAWAY, 0, 0, &[0; 8])),
            (READ, reply(3, b"\0\0\0\0\0")),
        ] {
            assert!(matches!(streams(call, 1).receive(&bytes), Err(Error::Reply { .. })), "{bytes:?}");
        }
        let found = [b"\0\0\0\0\x02", &FOUND[..]].concat();
        assert!(streams(READ, 1).receive(&reply(3, &found)).expect("it is found"));
    }

    #[test]
    fn settings_and_pings_are_acknowledged() {
        let mut streams = streams(PUT, 0);
        let arrived = [frame(SETTINGS, 0, 0, &[0; 6]), frame(PING, 0, 0, b"pingpong")].concat();
        streams.receive(&arrived).expect("no error");
        let acknowledged = [(SETTINGS, ACK, 0, Vec::new()), (PING, ACK, 0, b"pingpong".to_vec())];
        assert_eq!(frames(streams.unsent()), acknowledged);
    }

    #[test]
    fn lengths_above_127_take_two_bytes() {
        assert_eq!(bytes_field(2, 300), [0x12, 0xac, 0x02]);
    }
}
