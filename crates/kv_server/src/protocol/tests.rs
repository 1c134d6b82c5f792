//! The cost of a batch from the bytes of the requests to the bytes of the replies, without a socket: no
//! allocation, and a recorded number of instructions.

use crate::{
    connection::Session,
    context::ServerContext,
    limits::{ARGUMENTS_AT_ONCE, EXEC_REPLIES_AT_ONCE, Limits},
    metrics::Metrics,
    pipeline::{
        Next,
        buffers::{Input, Output},
        clock::BatchClock,
    },
    protocol::resp::command_table,
    reactor::Stream,
};
use allocation_counter::measure;
use kv_cluster::{Cluster, Cookie, LinkSettings, NodeName, Routes, Settings, StoreSettings};
use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// The number of entries or strings.
const ENTRIES: usize = 4_096;
/// Batches that are counted.
const BATCHES: usize = 256;
const VALUE: &str = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv";

/// A request for the entry, or the string, of this number.
type MakeRequest = fn(usize) -> String;

fn text_get(number: usize) -> String {
    format!("GET bucket key{number:08}\r\n")
}

fn text_put(number: usize) -> String {
    format!("PUT bucket key{number:08} {VALUE}\r\n")
}

fn get(number: usize) -> String {
    format!("*2\r\n$3\r\nGET\r\n$11\r\nkey{number:08}\r\n")
}

fn set(number: usize) -> String {
    format!("*3\r\n$3\r\nSET\r\n$11\r\nkey{number:08}\r\n$32\r\n{VALUE}\r\n")
}

fn hget(number: usize) -> String {
    format!("*3\r\n$4\r\nHGET\r\n$4\r\nhash\r\n$11\r\nkey{number:08}\r\n")
}

fn hset(number: usize) -> String {
    format!("*4\r\n$4\r\nHSET\r\n$4\r\nhash\r\n$11\r\nkey{number:08}\r\n$32\r\n{VALUE}\r\n")
}

/// A session whose replies are checked but not sent.
struct Connection<'s> {
    context: &'s ServerContext,
    session: Session,
    output: Output<'s>,
}

impl Connection<'_> {
    /// Runs one batch, which must not wait.
    fn run_batch(&mut self, input: &mut Input) {
        let mut clock = BatchClock::read();
        let batch = pin!(self.session.run_batch(self.context, &mut clock, input, &mut self.output));
        let Poll::Ready(next) = batch.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("all buckets are here");
        };
        assert_ne!(next.expect("nothing is sent"), Next::Close);
    }

    /// Instructions are counted from the start of this function to its end.
    #[inline(never)]
    fn run_and_count_instructions(&mut self, input: &mut Input) {
        self.run_batch(input);
    }
}

/// Writes all entries, runs [`BATCHES`] batches of `size` requests to warm up, and then counts the
/// allocations of as many again.
fn run_batches(write: MakeRequest, ask: MakeRequest, size: usize) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = Stream::detached(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    let server = Arc::new(server());
    let connected = server.clients.register("127.0.0.1:1".parse().unwrap(), stream.account());
    let session = Session::begin(ask(0).as_bytes()[0], &server, &connected.client);
    let mut connection = Connection { context: &server, session, output: Output::new(&stream) };
    if matches!(connection.session, Session::Text(_)) {
        connection.run_batch(&mut Input::holding(b"CREATE bucket\r\n", &stream));
    }
    (0..ENTRIES)
        .for_each(|number| connection.run_batch(&mut Input::holding(write(number).as_bytes(), &stream)));
    let requests = |batch: usize| (0..size).map(move |number| ask((batch * size + number) * 7 % ENTRIES));
    let mut allocations = 0;
    for (round, batch) in (0..2).flat_map(|round| (0..BATCHES).map(move |batch| (round, batch))) {
        let mut input = Input::holding(requests(batch).collect::<String>().as_bytes(), &stream);
        connection.output.bytes.clear();
        match round {
            0 => connection.run_batch(&mut input),
            _ => allocations += measure(|| connection.run_and_count_instructions(&mut input)).count_total,
        }
        assert!(input.unparsed().is_empty(), "all requests were executed");
        assert!(
            !connection.output.bytes.is_empty() && !connection.output.bytes.contains(&b'E'),
            "and none with an error"
        );
    }
    allocations
}

/// A server that owns all buckets.
pub(super) fn server() -> ServerContext {
    server_in(None)
}

/// A server that owns all buckets, and keeps them in this directory.
pub(super) async fn durable_server(directory: &Path) -> ServerContext {
    let server = server_in(Some(directory.into()));
    server.cluster.local().ranges()[0].wait_until_loaded().await;
    server
}

fn server_in(data_dir: Option<PathBuf>) -> ServerContext {
    let me: NodeName = "foo@127.0.0.1".parse().unwrap();
    let settings = Settings {
        routes: Routes::all(me.clone()),
        name: me,
        link: None,
        peers: Vec::new(),
        cookie: Cookie::new(""),
        links: LinkSettings::default(),
        store: StoreSettings { threads: 1, fixed_seed: true, ..StoreSettings::default() },
        data_dir,
        joined: None,
        logs: Default::default(),
    };
    let cluster = Cluster::new(settings).unwrap();
    let address = "127.0.0.1:4040".parse().unwrap();
    ServerContext::new(cluster, Limits::default(), address, Metrics::new(command_table().len()))
}

#[test]
fn a_batch_allocates_nothing_between_its_arrival_and_its_replies() {
    for (write, ask) in [
        (text_put as MakeRequest, text_get as MakeRequest),
        (text_put, text_put),
        (set, get),
        (set, set),
        (hset, hget),
        (hset, hset),
    ] {
        for size in [1, 16, 64] {
            assert_eq!(run_batches(write, ask, size), 0, "batches of {size} like {:?}", ask(0));
        }
    }
}

/// A test for each number that `cargo xtask instructions` records.
macro_rules! instructions {
    ($($name:ident: $write:ident, $ask:ident, $size:literal;)*) => {$(
        #[test]
        #[ignore = "run by cargo xtask instructions"]
        fn $name() {
            run_batches($write, $ask, $size);
        }
    )*};
}

instructions! {
    instructions_text_get_1: text_put, text_get, 1;
    instructions_text_get_16: text_put, text_get, 16;
    instructions_text_get_64: text_put, text_get, 64;
    instructions_text_put_1: text_put, text_put, 1;
    instructions_text_put_16: text_put, text_put, 16;
    instructions_text_put_64: text_put, text_put, 64;
    instructions_get_1: set, get, 1;
    instructions_get_16: set, get, 16;
    instructions_get_64: set, get, 64;
    instructions_set_1: set, set, 1;
    instructions_set_16: set, set, 16;
    instructions_set_64: set, set, 64;
    instructions_hget_1: hset, hget, 1;
    instructions_hget_16: hset, hget, 16;
    instructions_hget_64: hset, hget, 64;
    instructions_hset_1: hset, hset, 1;
    instructions_hset_16: hset, hset, 16;
    instructions_hset_64: hset, hset, 64;
}

/// How many times a command is polled until it is done.
fn polls(session: &mut Session, server: &ServerContext, stream: &Stream, words: &[&str]) -> usize {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().for_each(|word| kv::args::push(&mut bytes, word.as_bytes()));
    let (mut input, mut output) = (Input::holding(&bytes, stream), Output::new(stream));
    let mut clock = BatchClock::read();
    let mut batch = pin!(session.run_batch(server, &mut clock, &mut input, &mut output));
    let mut polls = 1;
    while batch.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        polls += 1;
    }
    polls
}

#[test]
fn commands_yield_between_many_arguments() {
    const PIECES: usize = 10;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = Stream::detached(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    let server = Arc::new(server());
    let connected = server.clients.register("127.0.0.1:1".parse().unwrap(), stream.account());
    let mut session = Session::begin(b'*', &server, &connected.client);
    let commands: [&[&str]; 6] = [
        &["SUBSCRIBE"],
        &["UNSUBSCRIBE"],
        &["PSUBSCRIBE"],
        &["PUNSUBSCRIBE"],
        &["CONFIG", "GET"],
        &["WATCH"],
    ];
    for command in commands {
        // The number of patterns is limited; more of them get an error each.
        let words = [command, &["news"; PIECES * ARGUMENTS_AT_ONCE + 1]].concat();
        let polls = polls(&mut session, &server, &stream, &words);
        assert!(polls > PIECES, "{command:?}: {polls}");
    }
    polls(&mut session, &server, &stream, &["HELLO", "3"]);
    for number in 0..PIECES * ARGUMENTS_AT_ONCE {
        polls(&mut session, &server, &stream, &["SUBSCRIBE", &number.to_string()]);
    }
    for command in [&["PUBSUB", "CHANNELS"][..], &["UNSUBSCRIBE"]] {
        let polls = polls(&mut session, &server, &stream, command);
        assert!(polls > PIECES, "{command:?}: {polls}");
    }
    assert_eq!(server.cluster.local().channel_counts(), (0, 0));
    polls(&mut session, &server, &stream, &["MULTI"]);
    for _ in 0..PIECES * EXEC_REPLIES_AT_ONCE {
        polls(&mut session, &server, &stream, &["PING"]);
    }
    let polls = polls(&mut session, &server, &stream, &["EXEC"]);
    assert!(polls > PIECES, "EXEC: {polls}");
}
