//! What connections may rely on, whoever carries their mail.

use super::{Pool, Stream, has_company, pause};
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
    sync::oneshot,
    task::JoinHandle,
};

/// Reactors at work, and where to connect to them.
struct Reactors {
    runtime: Runtime,
    pool: Pool,
    listener: TcpListener,
    stop: Stop,
    running: JoinHandle<Result<(), String>>,
}

impl Reactors {
    fn start(may_use_io_uring: bool) -> Reactors {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (pool, stop) = (Pool::new(may_use_io_uring), Stop::new());
        let running = {
            let _context = runtime.enter();
            runtime.spawn(pool.supervise(stop.clone()))
        };
        Reactors { runtime, pool, listener: TcpListener::bind("127.0.0.1:0").unwrap(), stop, running }
    }

    /// A client of a connection that is served like this.
    fn client<F: Future<Output = ()> + Send + 'static>(&self, serve: impl FnOnce(Stream) -> F) -> TcpStream {
        let client = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (socket, _) = self.listener.accept().unwrap();
        self.pool.serve(socket, |stream| Ok(serve(stream))).unwrap();
        client
    }
}

/// A test for each way.
fn by_each_way(test: impl Fn(&Reactors)) {
    for may_use_io_uring in [true, false] {
        test(&Reactors::start(may_use_io_uring));
    }
}

async fn read(stream: &Stream, buffer: &mut [u8]) -> usize {
    poll_fn(|_| stream.poll_read(buffer)).await.unwrap_or_default()
}

/// Answers with what it was told, until its client has nothing more to say.
async fn echo(stream: Stream) {
    let mut buffer = vec![0; 50_000];
    loop {
        let count = read(&stream, &mut buffer).await;
        if count == 0 {
            break stream.finish().await.unwrap_or_default();
        }
        if stream.write(&buffer[..count]).await.is_err() {
            break;
        }
    }
}

fn numbers(count: u32) -> Vec<u8> {
    (0..count).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn bytes_keep_their_order_and_all_come_after_the_client_has_ended() {
    by_each_way(|reactors| {
        let sent = numbers(2_000_000);
        let mut clients: Vec<_> = (0..3).map(|_| reactors.client(echo)).collect();
        thread::scope(|scope| {
            for client in &mut clients {
                let (mut writer, sent) = (client.try_clone().unwrap(), &sent);
                scope.spawn(move || {
                    writer.write_all(sent).unwrap();
                    writer.shutdown(Shutdown::Write).unwrap();
                });
                scope.spawn(move || {
                    let mut heard = Vec::new();
                    client.read_to_end(&mut heard).unwrap();
                    assert!(heard == *sent, "{} bytes", heard.len());
                });
            }
        });
    });
}

#[test]
fn who_does_not_read_is_waited_for_and_holds_up_nobody() {
    by_each_way(|reactors| {
        let written = Arc::new(AtomicUsize::new(0));
        let count = written.clone();
        let lazy = reactors.client(|stream| async move {
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
        assert!(before < 1_000, "so many are not held for it");
        drop(lazy);
    });
}

#[test]
fn who_always_has_something_to_say_starves_nobody() {
    by_each_way(|reactors| {
        let loud = reactors.client(|stream| async move { while read(&stream, &mut [0; 100]).await > 0 {} });
        let mut writer = loud.try_clone().unwrap();
        let shouting = thread::spawn(move || while writer.write_all(&[0; 100_000]).is_ok() {});
        let mut other = reactors.client(echo);
        for _ in 0..1_000 {
            other.write_all(b"hello").unwrap();
            other.read_exact(&mut [0; 5]).unwrap();
        }
        loud.shutdown(Shutdown::Both).unwrap();
        shouting.join().unwrap();
    });
}

#[test]
fn who_waits_for_something_else_is_woken_from_anywhere() {
    by_each_way(|reactors| {
        let (tell, told) = oneshot::channel::<()>();
        let mut client = reactors.client(|stream| async move {
            told.await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            stream.write(b"woken").await.unwrap();
            stream.finish().await.unwrap();
        });
        tell.send(()).unwrap();
        let mut heard = String::new();
        client.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "woken");
    });
}

#[test]
fn a_pause_ends_by_itself_alone_and_in_company() {
    by_each_way(|reactors| {
        let serve = |stream: Stream| async move {
            let mut buffer = [0; 1];
            while read(&stream, &mut buffer).await > 0 {
                let had_company = has_company();
                for _ in 0..3 {
                    pause().await;
                }
                assert_eq!(has_company(), had_company, "a group stays what it is");
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
fn who_leaves_in_the_middle_ends_alone() {
    by_each_way(|reactors| {
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

#[test]
fn stopped_reactors_close_what_is_left_and_take_nobody_more() {
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
