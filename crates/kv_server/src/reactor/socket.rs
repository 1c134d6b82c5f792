//! One client's socket and its two buffers: the connection reads one and fills the other through [`Stream`],
//! the backend moves their bytes from and to the kernel. The connection copies them from and to buffers of
//! its own (`pipeline::buffers`): an operation in flight owns its bytes until the kernel is done with them,
//! and a request that arrives in pieces must lie in one buffer to be parsed.

use super::buffer_pool::BufferPool;
use crate::{
    limits::UNCOUNTED_BYTES,
    memory::{Account, Charge, Use},
};
use std::{
    future::poll_fn,
    io,
    net::{Shutdown, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

thread_local! {
    /// Receive and send buffers. A socket holds one only while there are bytes in it.
    static POOL: BufferPool = const { BufferPool::new() };
}

/// A socket, shared by its connection and the backend.
pub(super) struct SharedSocket {
    /// Number of the connection, unique in the process.
    pub(super) id: usize,
    pub(super) tcp: Arc<TcpStream>,
    io: Mutex<IoState>,
}

/// Bytes received but not read, bytes written but not sent, and what the connection awaits.
pub(super) struct IoState {
    rx: Vec<u8>,
    /// How much of `rx` the connection has read.
    rx_read: usize,
    rx_charge: Charge,
    /// Bytes to send; the backend takes them before more can be written.
    tx: Vec<u8>,
    tx_charge: Charge,
    /// How many times the kernel has taken bytes to send.
    progress: u64,
    /// The connection awaits bytes.
    awaits_rx: bool,
    /// The connection waits until everything written is sent.
    awaits_flush: bool,
    /// A receive is in flight.
    receiving: bool,
    /// A send is in flight.
    sending: bool,
    /// Nothing more will arrive.
    eof: bool,
    error: Option<io::ErrorKind>,
}

impl SharedSocket {
    /// The socket of a new connection, whose buffers are charged to `account`.
    pub(super) fn new(id: usize, tcp: Arc<TcpStream>, account: &Arc<Account>) -> SharedSocket {
        let io = IoState {
            rx: Vec::new(),
            rx_read: 0,
            rx_charge: Charge::new(account, Use::Input),
            tx: Vec::new(),
            tx_charge: Charge::new(account, Use::Output),
            progress: 0,
            awaits_rx: false,
            awaits_flush: false,
            receiving: false,
            sending: false,
            eof: false,
            error: None,
        };
        SharedSocket { id, tcp, io: Mutex::new(io) }
    }

    pub(super) fn lock_io(&self) -> MutexGuard<'_, IoState> {
        self.io.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection's end of a socket. Its futures register no waker: the reactor polls them when the socket
/// has progressed. Dropping it shuts the socket down.
pub(crate) struct Stream {
    socket: Arc<SharedSocket>,
    account: Arc<Account>,
}

impl Stream {
    /// The connection's end of `socket`.
    pub(super) fn new(socket: Arc<SharedSocket>, account: Arc<Account>) -> Stream {
        Stream { socket, account }
    }

    /// A stream that no backend serves.
    #[cfg(test)]
    pub(crate) fn detached(tcp: TcpStream) -> Stream {
        let (tcp, memory) = (Arc::new(tcp), Arc::new(crate::memory::ClientMemory::new(usize::MAX)));
        let account = Arc::new(Account::new(memory, tcp.clone()));
        Stream::new(Arc::new(SharedSocket::new(0, tcp, &account)), account)
    }

    /// Notes that the kernel has taken bytes, as a backend does.
    #[cfg(test)]
    pub(crate) fn count_progress(&self) {
        self.socket.lock_io().count_progress();
    }

    /// What the connection holds.
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// How many times the kernel has taken bytes to send.
    pub(crate) fn progress(&self) -> u64 {
        self.socket.lock_io().progress
    }

    /// Waits until the client has closed its side, while what it sends is read ahead.
    pub(crate) async fn closed(&self) {
        poll_fn(|_| self.socket.lock_io().poll_closed()).await;
    }

    /// Has up to about `limit` bytes received before they are read, while there is ample memory.
    pub(crate) fn read_ahead(&self, limit: usize) {
        let mut io = self.socket.lock_io();
        if io.rx.len() - io.rx_read < limit && self.account.is_memory_ample() {
            io.awaits_rx = !io.eof;
        }
    }

    /// Reads what has arrived: 0 bytes at the end of the stream.
    pub(crate) fn poll_read(&self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.socket.lock_io().poll_read(buffer)
    }

    /// Queues `bytes` to be sent, after waiting until everything written before has been sent.
    pub(crate) async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        poll_fn(|_| self.socket.lock_io().poll_write(bytes)).await
    }

    /// Waits until everything written has been sent.
    pub(crate) async fn flush(&self) -> io::Result<()> {
        poll_fn(|_| self.socket.lock_io().poll_flush()).await
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // It may be closed already.
        self.socket.tcp.shutdown(Shutdown::Both).ok();
    }
}

/// The connection's side.
impl IoState {
    fn poll_read(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let unread = &self.rx[self.rx_read..];
        if !unread.is_empty() {
            let count = unread.len().min(buffer.len());
            buffer[..count].copy_from_slice(&unread[..count]);
            self.rx_read += count;
            if self.rx_read == self.rx.len() {
                self.rx_read = 0;
                recycle(std::mem::take(&mut self.rx));
                self.rx_charge.set(0);
            }
            return Poll::Ready(Ok(count));
        }
        self.awaits_rx = !self.eof;
        match self.error {
            Some(error) => Poll::Ready(Err(error.into())),
            None if self.eof => Poll::Ready(Ok(0)),
            None => Poll::Pending,
        }
    }

    fn poll_write(&mut self, bytes: &[u8]) -> Poll<io::Result<()>> {
        let flushed = self.poll_flush();
        if let Poll::Ready(Ok(())) = flushed {
            self.tx = POOL.with(BufferPool::take);
            self.tx.extend_from_slice(bytes);
            self.tx_charge.set(counted(bytes.len()));
        }
        flushed
    }

    fn poll_flush(&mut self) -> Poll<io::Result<()>> {
        if let Some(error) = self.error {
            return Poll::Ready(Err(error.into()));
        }
        self.awaits_flush = self.sending || !self.tx.is_empty();
        if !self.awaits_flush {
            return Poll::Ready(Ok(()));
        }
        // A client may send all its requests before it reads a reply.
        self.read_ahead();
        Poll::Pending
    }

    fn poll_closed(&mut self) -> Poll<()> {
        if self.eof {
            return Poll::Ready(());
        }
        self.read_ahead();
        Poll::Pending
    }

    /// Has more received, before what has arrived is read, while there is memory for it.
    fn read_ahead(&mut self) {
        self.awaits_rx = !self.eof && self.rx_charge.account().may_grow();
    }
}

/// The backend's side.
impl IoState {
    /// Starts a send if there is something to send and none is in flight; returns its bytes.
    pub(super) fn begin_send(&mut self) -> Option<Vec<u8>> {
        if self.sending || self.tx.is_empty() {
            return None;
        }
        self.sending = true;
        Some(std::mem::take(&mut self.tx))
    }

    /// Counts that the kernel has taken a part of what is being sent.
    pub(super) fn count_progress(&mut self) {
        self.progress += 1;
    }

    /// Ends a send: all of `sent` has been sent. Returns whether the connection awaits that.
    pub(super) fn complete_send(&mut self, sent: Vec<u8>) -> bool {
        self.sending = false;
        self.progress += 1;
        recycle(sent);
        self.tx_charge.set(0);
        std::mem::take(&mut self.awaits_flush)
    }

    /// Starts a receive if the connection awaits bytes and none is in flight; returns whether it was started.
    pub(super) fn begin_receive(&mut self) -> bool {
        let starts = self.awaits_rx && !self.receiving;
        self.receiving |= starts;
        starts
    }

    /// Ends a receive: `bytes` have been received, none at the end of the stream.
    pub(super) fn complete_receive(&mut self, bytes: &[u8]) {
        (self.receiving, self.awaits_rx) = (false, false);
        self.eof = bytes.is_empty();
        if self.rx.capacity() == 0 {
            self.rx = POOL.with(BufferPool::take);
        }
        if self.rx_read > self.rx.len() / 2 {
            self.rx.drain(..self.rx_read);
            self.rx_read = 0;
        }
        self.rx.extend_from_slice(bytes);
        self.rx_charge.set(counted(self.rx.len()));
    }

    /// Whether no operation is in flight, so that another backend may serve the socket.
    pub(super) fn is_idle(&self) -> bool {
        !self.receiving && !self.sending
    }

    pub(super) fn is_sending(&self) -> bool {
        self.sending
    }

    /// Ends a receive that has been cancelled: nothing has been received, and the connection still awaits it.
    pub(super) fn cancel_receive(&mut self) {
        self.receiving = false;
    }

    /// Marks the socket as failed. Operations in flight stay marked as such, so none is started again.
    pub(super) fn fail(&mut self, error: &io::Error) {
        self.eof = true;
        self.error = Some(error.kind());
    }
}

impl Drop for IoState {
    fn drop(&mut self) {
        kv::free_buffer(std::mem::take(&mut self.rx));
    }
}

/// What a buffer with this many bytes is charged. It doubles when it grows.
fn counted(bytes: usize) -> usize {
    if bytes > UNCOUNTED_BYTES { bytes.next_power_of_two() } else { 0 }
}

fn recycle(mut buffer: Vec<u8>) {
    buffer.clear();
    POOL.with(|pool| pool.put(buffer));
}
