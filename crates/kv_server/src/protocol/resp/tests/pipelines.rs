//! Commands that arrive together, split anywhere, get the same replies as one after the other; so do lines of
//! the text protocol, and both of them mixed.

use super::encode;
use crate::{
    connection::Session,
    context::ServerContext,
    limits::WAITING_REQUESTS,
    metrics::CommandStats,
    pipeline::{
        Next,
        buffers::{Input, Output},
        clock::BatchClock,
    },
    protocol::tests::{durable_server, server},
    reactor::{ReactorPool, Stream},
};
use otp::Stop;
use proptest::{prelude::*, sample::select};
use std::{
    iter::{once, repeat_n},
    sync::Arc,
};
use tempfile::TempDir;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    runtime::Builder,
};

/// Commands on buckets.
const BUCKET_COMMANDS: &str = "GET a, GET b, get a, GeT a, SET a 1, SET b 2, set a 3, DEL a, DEL a b, EXISTS a h, MGET a b h, \
    MSET a 4 b 5, HSET h x 1, HSET h y 2, hset h x 3, HGET h x, HGET h y, HGET a x, HSET a x 1, HGETALL h, \
    HKEYS h, INCR a, HINCRBY h x 1, HDEL h x, RENAME a b, STRLEN a";

/// Commands that are rejected, or cannot be part of a batch.
const SINGLE_COMMANDS: &str = "PING, ping, ECHO hi, OBJECT, OBJECT FOO, OBJECT ENCODING a, OBJECT REFCOUNT a, GET, GET a b, MSET a, \
    MSET a 1 b, MSETNX a 1 b, HSET h x, SET a 1 XX, SET a 1 FOO, FOO a, \
    A-COMMAND-OF-A-NAME-THAT-IS-TOO-LONG a";

/// Commands that change how later ones are executed or replied to.
const SESSION_COMMANDS: &str = "MULTI, EXEC, DISCARD, WATCH a, UNWATCH, CLIENT REPLY SKIP, CLIENT REPLY OFF, CLIENT REPLY ON, \
    SUBSCRIBE c, UNSUBSCRIBE c, HELLO 2, HELLO 3, RESET, FLUSHALL";

/// Lines of the text protocol.
const TEXT_LINES: &str = "CREATE t, PUT t x 1, GET t x, GET t y, KEYS t, PING, get a, HELLO, NONSENSE, GET t, , \
    PUT t x \"a b\", PUT t x \\xff, SUBSCRIBE t, BUCKETS";

/// Lines with words of Redis.
const INLINE_LINES: &str = "ping, SET a 1, set a 'b c', INFO nonsense, EXISTS a, DEL a, SET a, STRLEN a, echo \"x\\x41\", \
    HELLO 3, hello 2, MULTI, EXEC, WATCH a, CLIENT REPLY OFF, CLIENT REPLY SKIP, CLIENT REPLY ON, PSUBSCRIBE x, SET a \"b, \
    OPTIONS * HTTP/1.1";

/// What a client reads after sending these pieces to a node without a disk, and the calls of each command,
/// with those that were rejected and those that failed.
fn replies(pieces: impl IntoIterator<Item = Vec<u8>>) -> (String, Vec<[u64; 3]>) {
    let replies = replies_of(async { server() }, pieces.into_iter().collect());
    (String::from_utf8_lossy(&replies.0).into_owned(), replies.1)
}

/// The same for a node of which all buckets are durable, and how many entries of the log were written.
fn durable_replies(pieces: Vec<Vec<u8>>) -> (String, Vec<[u64; 3]>, u64) {
    let directory = TempDir::new().unwrap();
    let (replies, counts, server) = replies_of(durable_server(directory.path()), pieces);
    let entries = server.cluster.local().range_statuses()[0].entries;
    (String::from_utf8_lossy(&replies).into_owned(), counts, entries)
}

fn replies_of(
    server: impl Future<Output = ServerContext>,
    pieces: Vec<Vec<u8>>,
) -> (Vec<u8>, Vec<[u64; 3]>, Arc<ServerContext>) {
    let first = pieces.concat()[0];
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, address) = listener.accept().await.unwrap();
        let server = Arc::new(server.await);
        let (reactors, stop) = (ReactorPool::new(false, server.memory.clone()), Stop::new());
        let running = tokio::spawn(reactors.run(stop.clone(), || 0));
        let context = server.clone();
        let connection = |stream: Stream| {
            Ok(async move {
                let guard = context.clients.register(address, stream.account());
                let mut session = Session::begin(first, &context, &guard.client);
                let mut output = Output::new(&stream);
                let mut unread = Vec::new();
                let mut next = Next::NeedInput;
                for piece in pieces {
                    if next == Next::Close {
                        break;
                    }
                    unread.extend(piece);
                    let mut input = Input::holding(&unread, &stream);
                    loop {
                        let clock = &mut BatchClock::read();
                        next = session.run_batch(&context, clock, &mut input, &mut output).await.unwrap();
                        if next != Next::Continue {
                            break;
                        }
                    }
                    unread = input.unparsed().to_vec();
                }
                output.flush().await.unwrap();
                stream.flush().await.unwrap();
            })
        };
        reactors.serve(socket.into_std().unwrap(), connection).unwrap();
        let mut replies = Vec::new();
        client.read_to_end(&mut replies).await.unwrap();
        stop.cancel();
        running.await.unwrap().unwrap();
        let counts = |stats: CommandStats| [stats.calls, stats.rejected, stats.failed];
        let counts = server.metrics.commands().into_iter().map(counts).collect();
        (replies, counts, server)
    })
}

fn one_of(lines: &'static str) -> impl Strategy<Value = Vec<u8>> {
    select(lines.split(", ").collect::<Vec<_>>()).prop_map(encode)
}

fn command() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        13 => one_of(BUCKET_COMMANDS),
        4 => one_of(SINGLE_COMMANDS),
        3 => one_of(SESSION_COMMANDS),
        2 => line_of(INLINE_LINES),
        1 => select(vec!["*0\r\n", "*1\r\n$0\r\n\r\n", "*2\r\n$0\r\n\r\n$0\r\n\r\n"]).prop_map(Vec::from),
        1 => (60..70_usize).prop_map(|many| encode(&format!("MGET{}", " a".repeat(many)))),
        1 => (100..300_usize).prop_map(|long| encode(&format!("SET a {}", "x".repeat(long)))),
    ]
}

/// A line, with each of the endings that a line may have.
fn line_of(lines: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let lines = select(lines.split(", ").collect::<Vec<_>>());
    (lines, select(vec!["\r\n", "\n", "\r\0"]))
        .prop_map(|(line, ending)| [line, ending].concat().into_bytes())
}

/// What may stand in a connection that begins as text.
fn line_or_command() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => line_of(TEXT_LINES),
        8 => line_of(INLINE_LINES),
        1 => command(),
        1 => select(vec!["\u{ff}\u{f4}\u{ff}\u{fd}\u{6}", "\u{ff}\u{fd}\n", "\u{ff}\u{f6}", "\u{ff}\u{ff} x\n"])
            .prop_map(|sequence| sequence.chars().map(|code| code as u8).collect()),
    ]
}

/// Whether one connection gets the same replies and executes the same calls when it is sent piece by piece
/// as when it is sent command by command.
fn check_pieces(commands: Vec<(Vec<u8>, usize)>, cuts: &[prop::sample::Index]) -> Result<(), TestCaseError> {
    let commands: Vec<_> =
        commands.into_iter().flat_map(|(command, times)| repeat_n(command, times)).collect();
    let all = commands.concat();
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(all.len())).chain([all.len()]).collect();
    ends.sort_unstable();
    let pieces = once(0).chain(ends.clone()).zip(&ends).map(|(start, end)| all[start..*end].to_vec());
    prop_assert_eq!(replies(pieces), replies(commands));
    Ok(())
}

proptest! {
    #[test]
    fn replies_do_not_depend_on_how_commands_arrive(
        commands in prop::collection::vec((command(), 1..4_usize), 1..60),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        check_pieces(commands, &cuts)?;
    }

    #[test]
    fn replies_do_not_depend_on_how_lines_arrive(
        lines in prop::collection::vec((line_or_command(), 1..3_usize), 1..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        check_pieces(lines, &cuts)?;
    }
}

/// More requests than may wait together.
const MANY: usize = 10_000;

#[test]
fn what_one_client_has_sent_is_few_entries_of_the_log() {
    let sets: Vec<u8> = (0..MANY).flat_map(|number| encode(&format!("SET key{number} value"))).collect();
    let lines: String = (0..MANY).map(|number| format!("SET key{number} 'value'\r\n")).collect();
    let puts = (0..MANY).map(|number| format!("PUT bucket key{number} value\r\n")).collect::<String>();
    let keys: String = (0..MANY).map(|number| format!(" key{number} value")).collect();
    for (what, input, reply, times) in [
        ("RESP", sets.clone(), "+OK\r\n", MANY),
        ("RESP without replies", [encode("CLIENT REPLY OFF"), sets].concat(), "", 0),
        ("inline", ["*0\r\n", &lines].concat().into_bytes(), "+OK\r\n", MANY),
        ("Redis's words in text", lines.into_bytes(), "+OK\r\n", MANY),
        ("text", [b"CREATE bucket\r\n", puts.as_bytes()].concat(), "OK\r\n", MANY + 1),
        ("MSET", encode(&format!("MSET{keys}")), "+OK\r\n", 1),
    ] {
        let (replies, _, entries) = durable_replies(vec![input]);
        assert_eq!(replies, reply.repeat(times), "{what}");
        let least = MANY.div_ceil(WAITING_REQUESTS) as u64;
        assert!((least..=least + 2).contains(&entries), "{what}: {entries} entries of the log");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn replies_do_not_depend_on_whether_commands_wait_together(
        commands in prop::collection::vec((command(), 1..200_usize), 1..40),
    ) {
        let commands: Vec<_> =
            commands.into_iter().flat_map(|(command, times)| repeat_n(command, times)).collect();
        let (together, counts, _) = durable_replies(vec![commands.concat()]);
        prop_assert_eq!((together, counts), replies(commands));
    }

    #[test]
    fn replies_do_not_depend_on_whether_lines_wait_together(
        lines in prop::collection::vec((line_or_command(), 1..200_usize), 1..40),
    ) {
        let lines: Vec<_> = lines.into_iter().flat_map(|(line, times)| repeat_n(line, times)).collect();
        let (together, counts, _) = durable_replies(vec![lines.concat()]);
        prop_assert_eq!((together, counts), replies(lines));
    }
}

/// The replies to all requests of a group are limited. What may be large is no more than in a batch.
#[test]
fn large_replies_to_writes_that_wait_together_are_all_there() {
    const KEYS: usize = 200;
    let value = "x".repeat(400_000);
    let sets = (0..KEYS).map(|number| encode(&format!("SET key{number} {value}")));
    let takes = (0..KEYS).flat_map(|number| encode(&format!("GETDEL key{number}"))).collect();
    let (replies, _, _) = durable_replies(sets.chain([takes]).collect());
    let taken = format!("$400000\r\n{value}\r\n");
    assert!(replies == ["+OK\r\n".repeat(KEYS), taken.repeat(KEYS)].concat());
}

/// A large hash is read in pages after it was found to be large. What follows in the pipeline waits for that.
#[test]
fn a_listing_is_complete_before_what_follows_it_is_written() {
    const FIELDS: usize = 5_000;
    let pairs: String = (0..FIELDS).map(|number| format!(" field{number} {}", "v".repeat(200))).collect();
    let (set, get) = (encode("SET a 1"), encode("HLEN h"));
    for before in [0, 1, 63, 64, 65, 200, 1_023, 1_024] {
        let pipeline = [
            encode(&format!("HSET h{pairs}")),
            set.repeat(before),
            encode("HGETALL h"),
            encode("DEL h"),
            get.clone(),
        ];
        let (replies, _, _) = durable_replies(vec![pipeline.concat()]);
        let listed = format!(":{FIELDS}\r\n{}*{}\r\n", "+OK\r\n".repeat(before), 2 * FIELDS);
        assert!(replies.starts_with(&listed), "{before}");
        assert_eq!(replies.matches("$200\r\n").count(), FIELDS, "{before}");
        assert!(replies.ends_with("\r\n:1\r\n:0\r\n"), "{before}");
    }
}
