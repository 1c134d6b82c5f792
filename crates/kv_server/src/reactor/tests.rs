//! What both backends guarantee to connections.

use super::{ReactorPool, Stream, inbox::Order, is_grouped, yield_to_group};
use crate::memory::ClientMemory;
use otp::Stop;
use std::{
    future::poll_fn,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// Running reactors, and a listener whose connections they serve.
struct Reactors {
    runtime: Runtime,
    pool: ReactorPool,
    listener: TcpListener,
    stop: Stop,
    running: JoinHandle<Result<(), String>>,
}

impl Reactors {
    fn start(may_use_io_uring: bool) -> Reactors {
        Reactors::start_several(may_use_io_uring, 1)
    }

    fn start_several(may_use_io_uring: bool, count: usize) -> Reactors {
        let runtime = Builder::new_multi_thread().worker_threads(count).enable_all().build().unwrap();
        let memory = Arc::new(ClientMemory::new(usize::MAX));
        let (pool, stop, running) = {
            let _context = runtime.enter();
            let (pool, stop) = (ReactorPool::new(may_use_io_uring, memory), Stop::new());
            let running = runtime.spawn(pool.run(stop.clone(), || 0));
            (pool, stop, running)
        };
        Reactors { runtime, pool, listener: TcpListener::bind("127.0.0.1:0").unwrap(), stop, running }
    }

    /// Has each reactor hand over every `nth` of its connections to all others.
    fn hand_over(&self, nth: usize) {
        let inboxes = self.pool.lock_inboxes().clone();
        for (index, inbox) in inboxes.iter().enumerate() {
            let others = inboxes.iter().enumerate().filter(|(other, _)| *other != index);
            let to = others.map(|(_, inbox)| inbox.clone()).collect();
            inbox.send(|commands| commands.order = Some(Order::HandOver { nth, to }));
        }
    }

    /// The client's end of a connection that `serve` serves.
    fn client<F: Future<Output = ()> + Send + 'static>(&self, serve: impl FnOnce(Stream) -> F) -> TcpStream {
        let client = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (socket, _) = self.listener.accept().unwrap();
        self.pool.serve(socket, |stream| Ok(serve(stream))).unwrap();
        client
    }
}

/// Runs a test with each backend.
fn with_each_backend(test: impl Fn(&Reactors)) {
    for may_use_io_uring in [true, false] {
        test(&Reactors::start(may_use_io_uring));
    }
}

async fn read(stream: &Stream, buffer: &mut [u8]) -> usize {
    poll_fn(|_| stream.poll_read(buffer)).await.unwrap_or_default()
}

/// Sends back what it receives, until the client has closed its side.
async fn echo(stream: Stream) {
    let mut buffer = vec![0; 50_000];
    loop {
        let count = read(&stream, &mut buffer).await;
        if count == 0 {
            break stream.flush().await.unwrap_or_default();
        }
        if stream.write(&buffer[..count]).await.is_err() {
            break;
        }
    }
}

fn numbers(count: u32) -> Vec<u8> {
    (0..count).flat_map(u32::to_le_bytes).collect()
}

/// Sends all bytes and then the end, and at the same time expects the same bytes back.
fn spawn_round_trip<'s>(scope: &'s thread::Scope<'s, '_>, client: &'s mut TcpStream, sent: &'s [u8]) {
    let mut writer = client.try_clone().unwrap();
    scope.spawn(move || {
        writer.write_all(sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    scope.spawn(move || {
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        assert!(received == sent, "{} bytes", received.len());
    });
}

#[test]
fn bytes_keep_their_order_and_all_arrive_after_a_half_close() {
    with_each_backend(|reactors| {
        let sent = numbers(2_000_000);
        let mut clients: Vec<_> = (0..3).map(|_| reactors.client(echo)).collect();
        thread::scope(|scope| {
            for client in &mut clients {
                spawn_round_trip(scope, client, &sent);
            }
        });
    });
}

#[test]
fn a_client_that_does_not_read_blocks_only_itself() {
    with_each_backend(|reactors| {
        let written = Arc::new(AtomicUsize::new(0));
        let count = written.clone();
        let idle = reactors.client(|stream| async move {
            while stream.write(&[0; 100_000]).await.is_ok() {
                count.fetch_add(1, Relaxed);
            }
        });
        let mut other = reactors.client(echo);
        let mut before = usize::MAX;
        while before != written.load(Relaxed) {
            before = written.load(Relaxed);
            for _ in 0..1_000 {
                other.write_all(b"hello").unwrap();
                other.read_exact(&mut [0; 5]).unwrap();
            }
        }
        assert!(before < 1_000, "the writer has to wait for its client");
        drop(idle);
    });
}

#[test]
fn a_client_that_never_stops_sending_starves_no_other() {
    with_each_backend(|reactors| {
        let busy = reactors.client(|stream| async move { while read(&stream, &mut [0; 100]).await > 0 {} });
        let mut writer = busy.try_clone().unwrap();
        let sending = thread::spawn(move || while writer.write_all(&[0; 100_000]).is_ok() {});
        let mut other = reactors.client(echo);
        for _ in 0..1_000 {
            other.write_all(b"hello").unwrap();
            other.read_exact(&mut [0; 5]).unwrap();
        }
        busy.shutdown(Shutdown::Both).unwrap();
        sending.join().unwrap();
    });
}

#[test]
fn a_connection_is_woken_from_any_thread() {
    with_each_backend(|reactors| {
        let (sender, receiver) = oneshot::channel::<()>();
        let mut client = reactors.client(|stream| async move {
            receiver.await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            stream.write(b"woken").await.unwrap();
            stream.flush().await.unwrap();
        });
        sender.send(()).unwrap();
        let mut received = String::new();
        client.read_to_string(&mut received).unwrap();
        assert_eq!(received, "woken");
    });
}

#[test]
fn yielding_ends_by_itself_with_and_without_a_group() {
    with_each_backend(|reactors| {
        let serve = |stream: Stream| async move {
            let mut buffer = [0; 1];
            while read(&stream, &mut buffer).await > 0 {
                let was_grouped = is_grouped();
                for _ in 0..3 {
                    yield_to_group().await;
                }
                assert_eq!(is_grouped(), was_grouped, "the group stays the same");
                stream.write(&buffer).await.unwrap();
            }
        };
        let mut clients: Vec<_> = (0..20).map(|_| reactors.client(serve)).collect();
        for _ in 0..200 {
            clients.iter_mut().for_each(|client| client.write_all(b"x").unwrap());
            clients.iter_mut().for_each(|client| client.read_exact(&mut [0]).unwrap());
        }
    });
}

#[test]
fn a_client_that_disconnects_early_ends_only_its_connection() {
    with_each_backend(|reactors| {
        let ended = Arc::new(AtomicUsize::new(0));
        for _ in 0..50 {
            let count = ended.clone();
            let mut client = reactors.client(|stream| async move {
                echo(stream).await;
                count.fetch_add(1, Relaxed);
            });
            client.write_all(&[0; 300_000]).ok();
            drop(client);
        }
        let mut other = reactors.client(echo);
        while ended.load(Relaxed) < 50 {
            other.write_all(b"hello").unwrap();
            other.read_exact(&mut [0; 5]).unwrap();
        }
    });
}

/// Counts how often a connection is found on another thread than before.
#[derive(Default)]
struct Moves(AtomicUsize);

impl Moves {
    fn count(&self, last: &mut thread::ThreadId) {
        let moved = std::mem::replace(last, thread::current().id()) != *last;
        self.0.fetch_add(usize::from(moved), Relaxed);
    }
}

/// [`echo`], which counts its moves.
async fn echo_moving(stream: Stream, moves: Arc<Moves>) {
    let (mut buffer, mut thread) = (vec![0; 50_000], thread::current().id());
    loop {
        let count = read(&stream, &mut buffer).await;
        moves.count(&mut thread);
        if count == 0 || stream.write(&buffer[..count]).await.is_err() {
            break stream.flush().await.unwrap_or_default();
        }
    }
}

#[test]
fn connections_change_their_reactor_and_no_byte_is_lost() {
    for may_use_io_uring in [true, false] {
        let reactors = Reactors::start_several(may_use_io_uring, 3);
        let moves = Arc::new(Moves::default());
        let serve = |stream| echo_moving(stream, moves.clone());
        let mut busy: Vec<_> = (0..3).map(|_| reactors.client(serve)).collect();
        let mut light: Vec<_> = (0..20).map(|_| reactors.client(serve)).collect();
        let sent = numbers(500_000);
        thread::scope(|scope| {
            for client in &mut busy {
                spawn_round_trip(scope, client, &sent);
            }
            for round in 0.. {
                reactors.hand_over(1 + round % 2);
                light.iter_mut().for_each(|client| client.write_all(b"hello").unwrap());
                for client in &mut light {
                    let mut received = [0; 5];
                    client.read_exact(&mut received).unwrap();
                    assert_eq!(received, *b"hello");
                }
                if round >= 100 && moves.0.load(Relaxed) > 1_000 {
                    break;
                }
            }
        });
    }
}

#[test]
fn a_connection_that_receives_nothing_is_handed_over_when_it_is_woken() {
    for may_use_io_uring in [true, false] {
        let reactors = Reactors::start_several(may_use_io_uring, 2);
        let (moves, (sender, mut receiver)) = (Arc::new(Moves::default()), mpsc::channel::<()>(1));
        let count = moves.clone();
        let mut client = reactors.client(|stream| async move {
            let (mut buffer, mut thread) = ([0; 1], thread::current().id());
            loop {
                tokio::select! {
                    _ = read(&stream, &mut buffer) => return,
                    event = receiver.recv() => if event.is_none() { return },
                }
                count.count(&mut thread);
                stream.write(b"x").await.unwrap();
            }
        });
        let mut round = 0;
        while moves.0.load(Relaxed) < 10 {
            reactors.hand_over(1);
            sender.blocking_send(()).unwrap();
            client.read_exact(&mut [0]).unwrap();
            round += 1;
            assert!(round < 10_000, "{} moves", moves.0.load(Relaxed));
        }
    }
}

#[test]
fn stopped_reactors_close_their_connections_and_accept_no_more() {
    for may_use_io_uring in [true, false] {
        let reactors = Reactors::start(may_use_io_uring);
        let mut client = reactors.client(echo);
        client.write_all(b"hello").unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
        reactors.stop.cancel();
        reactors.runtime.block_on(reactors.running).unwrap().unwrap();
        let closed = client.read(&mut [0]);
        assert!(
            closed
                .as_ref()
                .map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |&count| count == 0)
        );
        let socket = TcpStream::connect(reactors.listener.local_addr().unwrap()).unwrap();
        let refused = reactors.pool.serve(socket, |stream| Ok(echo(stream)));
        assert_eq!(refused.unwrap_err().to_string(), "no reactor runs");
    }
}
