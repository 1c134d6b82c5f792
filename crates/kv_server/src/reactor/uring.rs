//! The io_uring backend: the receives and sends of many connections are submitted together, and the kernel
//! reports the completion of each.
#![expect(unsafe_code, reason = "docs/decisions/005-io-uring.md")]

use super::{event_loop::Backend, socket::SharedSocket};
use crate::limits::{
    URING_BUFFER_BYTES, URING_BUFFERS, URING_CLOSE_PAUSE, URING_CLOSE_TIMEOUT, URING_COMPLETIONS,
    URING_SUBMISSIONS,
};
use io_uring::{
    IoUring, cqueue, opcode,
    squeue::{Entry, Flags},
    types::{CancelBuilder, Fd},
};
use memmap2::MmapMut;
use rustix::{
    event::{EventfdFlags, eventfd},
    io::Errno,
};
use slab::Slab;
use std::{
    io::{
        self,
        ErrorKind::{Interrupted, OutOfMemory, ResourceBusy, WouldBlock},
    },
    mem::ManuallyDrop,
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{Ordering::Release, fence},
    },
    thread,
    time::Instant,
};

/// The id of the group of provided buffers.
const BUFFER_GROUP: u16 = 0;

/// Bytes of an entry of the buffer ring: the buffer's address (8), its length (4), its id (2), and in the
/// first entry the tail of the ring (2). See `struct io_uring_buf_ring` in io_uring(7).
const ENTRY_BYTES: usize = 16;
const TAIL: std::ops::Range<usize> = 14..16;

/// Wait until the socket is readable before trying to receive (`IORING_RECVSEND_POLL_FIRST`).
const POLL_FIRST: u16 = 1;
/// No SIGPIPE when the peer has closed (`MSG_NOSIGNAL`).
const NO_SIGNAL: i32 = 0x4000;

/// A ring and its operations in flight. On drop, memory that the kernel may still use is leaked; a ring is
/// dropped only when the node stops or the reactor has crashed.
pub(super) struct Uring {
    ring: IoUring,
    in_flight: ManuallyDrop<Slab<Operation>>,
    buffers: ManuallyDrop<ProvidedBuffers>,
    eventfd: OwnedFd,
    /// The destination of reads of the eventfd.
    eventfd_value: ManuallyDrop<Box<[u8; 8]>>,
}

/// An operation in flight. It owns what the kernel uses: the socket and the bytes.
enum Operation {
    ReadEventfd,
    Receive(Arc<SharedSocket>),
    Send {
        socket: Arc<SharedSocket>,
        bytes: Vec<u8>,
        sent: usize,
    },
    /// The socket must stay open until the kernel has looked it up.
    CancelReceive {
        _socket: Arc<SharedSocket>,
    },
}

/// Buffers of which the kernel picks one when bytes arrive, so that a waiting connection holds none.
struct ProvidedBuffers {
    bytes: MmapMut,
    entries: MmapMut,
    tail: u16,
}

impl Uring {
    /// The eventfd that wakes a waiting ring.
    pub(super) fn new_eventfd() -> io::Result<OwnedFd> {
        Ok(eventfd(0, EventfdFlags::CLOEXEC)?)
    }

    /// Checks that this process may use io_uring, and have this number of rings at once.
    pub(super) fn probe(rings: usize) -> io::Result<()> {
        let _first = Uring::open(Uring::new_eventfd()?)?;
        let _others = (1..rings).map(|_| open_ring()).collect::<io::Result<Vec<IoUring>>>()?;
        Ok(())
    }

    /// A ring for this thread.
    pub(super) fn open(eventfd: OwnedFd) -> io::Result<Uring> {
        let ring = open_ring()?;
        let mut buffers = ProvidedBuffers {
            bytes: MmapMut::map_anon(usize::from(URING_BUFFERS) * URING_BUFFER_BYTES)?,
            entries: MmapMut::map_anon(usize::from(URING_BUFFERS) * ENTRY_BYTES)?,
            tail: 0,
        };
        // SAFETY: the entries are a mapping of their own, so they are page-aligned, and there are
        // `URING_BUFFERS` of them. Neither they nor the buffers that they name ever move or are freed:
        // `Uring` does not drop them.
        unsafe {
            let entries = buffers.entries.as_ptr() as u64;
            ring.submitter().register_buf_ring_with_flags(entries, URING_BUFFERS, BUFFER_GROUP, 0)?;
        }
        (0..URING_BUFFERS).for_each(|id| buffers.provide_buffer(id));
        let mut uring = Uring {
            ring,
            in_flight: ManuallyDrop::default(),
            buffers: ManuallyDrop::new(buffers),
            eventfd,
            eventfd_value: ManuallyDrop::default(),
        };
        uring.arm_eventfd();
        Ok(uring)
    }

    /// Submits all started operations, and waits for a completion if `may_wait`.
    fn submit_and_wait(&mut self, may_wait: bool) -> io::Result<()> {
        match self.ring.submit_and_wait(usize::from(may_wait)) {
            // A signal, or the kernel is short of memory: completions are handled first, then the rest is
            // submitted again.
            Err(error) if matches!(error.kind(), Interrupted | WouldBlock | ResourceBusy) => Ok(()),
            submitted => submitted.map(drop),
        }
    }

    /// Handles a completion. Returns the id of the connection that has become ready, if any.
    fn complete(&mut self, entry: &cqueue::Entry) -> Option<usize> {
        let count = usize::try_from(entry.result());
        let failure = || io::Error::from_raw_os_error(-entry.result());
        let mut ready = None;
        match self.in_flight.remove(entry.user_data() as usize) {
            Operation::ReadEventfd => self.arm_eventfd(),
            Operation::CancelReceive { .. } => {}
            // Receives that completed together used up the buffers, which have been provided again by now.
            Operation::Receive(socket) if entry.result() == -Errno::NOBUFS.raw_os_error() => {
                self.receive(socket);
            }
            Operation::Receive(socket) if entry.result() == -Errno::CANCELED.raw_os_error() => {
                socket.lock_io().cancel_receive();
                ready = Some(socket.id);
            }
            Operation::Receive(socket) => {
                let buffer = cqueue::buffer_select(entry.flags());
                let mut io = socket.lock_io();
                match (count, buffer) {
                    (Ok(count), Some(id)) => io.complete_receive(self.buffers.received(id, count)),
                    (Ok(_), None) => io.complete_receive(&[]),
                    (Err(_), _) => io.fail(&failure()),
                }
                buffer.into_iter().for_each(|id| self.buffers.provide_buffer(id));
                ready = Some(socket.id);
            }
            Operation::Send { socket, bytes, sent } => match count {
                Ok(count) if sent + count < bytes.len() => {
                    socket.lock_io().count_progress();
                    self.send(socket, bytes, sent + count);
                }
                Ok(_) => ready = socket.lock_io().complete_send(bytes).then_some(socket.id),
                Err(_) => {
                    socket.lock_io().fail(&failure());
                    ready = Some(socket.id);
                }
            },
        }
        ready
    }

    fn arm_eventfd(&mut self) {
        let value = self.eventfd_value.as_mut_ptr();
        let read = opcode::Read::new(Fd(self.eventfd.as_raw_fd()), value, 8).build();
        self.start(read, Operation::ReadEventfd);
    }

    fn receive(&mut self, socket: Arc<SharedSocket>) {
        let fd = Fd(socket.tcp.as_raw_fd());
        // Usually nothing has arrived yet, so a first attempt would only fail.
        let receive = opcode::Recv::new(fd, std::ptr::null_mut(), URING_BUFFER_BYTES as u32)
            .ioprio(POLL_FIRST)
            .buf_group(BUFFER_GROUP)
            .build()
            .flags(Flags::BUFFER_SELECT);
        self.start(receive, Operation::Receive(socket));
    }

    fn send(&mut self, socket: Arc<SharedSocket>, bytes: Vec<u8>, sent: usize) {
        let fd = Fd(socket.tcp.as_raw_fd());
        let unsent = &bytes[sent..];
        let length = u32::try_from(unsent.len()).unwrap_or(u32::MAX);
        let send = opcode::Send::new(fd, unsent.as_ptr(), length).flags(NO_SIGNAL).build();
        self.start(send, Operation::Send { socket, bytes, sent });
    }

    /// Puts an operation into the submission queue; a full queue is submitted first.
    fn start(&mut self, entry: Entry, operation: Operation) {
        let entry = entry.user_data(self.in_flight.insert(operation) as u64);
        // SAFETY: what the entry points to is owned by the operation, at an address that does not change,
        // until its completion has been read: only then is the operation removed, and `Uring` does not drop
        // it.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            if let Err(error) = self.ring.submit() {
                tracing::debug!(%error, "io_uring takes no more submissions for now");
            }
        }
    }
}

impl Backend for Uring {
    /// Does nothing: each operation names its socket.
    fn register(&mut self, _: &Arc<SharedSocket>) -> io::Result<()> {
        Ok(())
    }

    fn start_io(&mut self, socket: &Arc<SharedSocket>) -> bool {
        let mut io = socket.lock_io();
        let (to_send, receives) = (io.begin_send(), io.begin_receive());
        drop(io);
        if let Some(bytes) = to_send {
            self.send(socket.clone(), bytes, 0);
        }
        if receives {
            self.receive(socket.clone());
        }
        false
    }

    fn submit(&mut self) -> io::Result<()> {
        self.submit_and_wait(false)
    }

    fn poll_io(&mut self, may_wait: bool, ready: &mut Vec<usize>) -> io::Result<()> {
        self.submit_and_wait(may_wait)?;
        loop {
            let completion = self.ring.completion().next();
            let Some(completion) = completion else { return Ok(()) };
            ready.extend(self.complete(&completion));
        }
    }

    /// Any operation on the socket is cancelled, so nothing happens while a send is in flight.
    fn cancel_receive(&mut self, socket: &Arc<SharedSocket>) -> bool {
        if !socket.lock_io().is_sending() {
            let operation = CancelBuilder::fd(Fd(socket.tcp.as_raw_fd()));
            let cancel = opcode::AsyncCancel2::new(operation).build();
            self.start(cancel, Operation::CancelReceive { _socket: socket.clone() });
        }
        false
    }

    /// Does nothing: operations in flight own their socket.
    fn deregister(&mut self, _: usize) {}
}

/// Opens a ring. The kernel closes rings in the background, also those of a process that was killed: until
/// then their memory counts against the limit of this user.
fn open_ring() -> io::Result<IoUring> {
    let begun = Instant::now();
    loop {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(URING_COMPLETIONS)
            .build(URING_SUBMISSIONS);
        match ring {
            Err(error) if error.kind() == OutOfMemory && begun.elapsed() < URING_CLOSE_TIMEOUT => {
                thread::sleep(URING_CLOSE_PAUSE);
            }
            ring => return ring,
        }
    }
}

impl ProvidedBuffers {
    /// The bytes received into a buffer.
    fn received(&self, id: u16, count: usize) -> &[u8] {
        &self.bytes[usize::from(id) * URING_BUFFER_BYTES..][..count]
    }

    /// Gives a buffer to the kernel to receive into.
    fn provide_buffer(&mut self, id: u16) {
        let bytes = self.bytes[usize::from(id) * URING_BUFFER_BYTES..].as_ptr() as u64;
        let entry = usize::from(self.tail % URING_BUFFERS) * ENTRY_BYTES;
        self.tail = self.tail.wrapping_add(1);
        self.entries[entry..entry + 8].copy_from_slice(&bytes.to_ne_bytes());
        self.entries[entry + 8..entry + 12].copy_from_slice(&(URING_BUFFER_BYTES as u32).to_ne_bytes());
        self.entries[entry + 12..entry + 14].copy_from_slice(&id.to_ne_bytes());
        // The new tail publishes the entry.
        fence(Release);
        self.entries[TAIL].copy_from_slice(&self.tail.to_ne_bytes());
    }
}
