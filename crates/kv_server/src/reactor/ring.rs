//! Mail by io_uring: receives and sends are handed to the kernel together, and it says later what became of them.
#![expect(unsafe_code, reason = "docs/decisions/005-io-uring.md")]

use super::slot::Slot;
use crate::limits::{RING_BUFFER_BYTES, RING_BUFFERS, RING_COMPLETIONS, RING_SUBMISSIONS};
use io_uring::{
    IoUring, cqueue, opcode,
    squeue::{Entry, Flags},
    types::Fd,
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
        ErrorKind::{Interrupted, ResourceBusy, WouldBlock},
    },
    mem::ManuallyDrop,
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{Ordering::Release, fence},
    },
};

/// The group of the buffers that are received into.
const GROUP: u16 = 0;

/// Bytes of an entry by which a buffer is handed to the kernel: its address (8), its length (4), its number (2), and in
/// the first entry the end of the entries (2). See `struct io_uring_buf_ring` of io_uring(7).
const ENTRY_BYTES: usize = 16;
const END: std::ops::Range<usize> = 14..16;

/// That a receive waits for something to arrive before it is tried (`IORING_RECVSEND_POLL_FIRST`).
const POLL_FIRST: u16 = 1;
/// That nobody gets a signal when the other side has gone (`MSG_NOSIGNAL`).
const NO_SIGNAL: i32 = 0x4000;

/// A ring and what the kernel is doing for it. What the kernel may still use when this is dropped is never freed: that
/// is so when the node ends, and when a reactor has crashed.
pub(super) struct Ring {
    ring: IoUring,
    under_way: ManuallyDrop<Slab<Operation>>,
    buffers: ManuallyDrop<Buffers>,
    alarm: OwnedFd,
    /// Where the alarm is read to.
    alarms: ManuallyDrop<Box<[u8; 8]>>,
}

/// What the kernel does. It holds all that the kernel uses meanwhile: the socket, by the slot, and the bytes.
enum Operation {
    HearAlarm,
    Receive(Arc<Slot>),
    Send { slot: Arc<Slot>, bytes: Vec<u8>, sent: usize },
}

/// Buffers that the kernel takes when something has arrived: a connection that waits holds none.
struct Buffers {
    bytes: MmapMut,
    entries: MmapMut,
    end: u16,
}

impl Ring {
    /// What wakes a ring.
    pub(super) fn new_alarm() -> io::Result<OwnedFd> {
        Ok(eventfd(0, EventfdFlags::CLOEXEC)?)
    }

    /// A ring of this thread.
    pub(super) fn open(alarm: OwnedFd) -> io::Result<Ring> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(RING_COMPLETIONS)
            .build(RING_SUBMISSIONS)?;
        let mut buffers = Buffers {
            bytes: MmapMut::map_anon(usize::from(RING_BUFFERS) * RING_BUFFER_BYTES)?,
            entries: MmapMut::map_anon(usize::from(RING_BUFFERS) * ENTRY_BYTES)?,
            end: 0,
        };
        // SAFETY: the entries are a mapping of their own, so they begin at a page, and there are as many as is said. They and
        // the buffers that they name stay where they are for ever: `Ring` does not drop them.
        unsafe {
            let entries = buffers.entries.as_ptr() as u64;
            ring.submitter().register_buf_ring_with_flags(entries, RING_BUFFERS, GROUP, 0)?;
        }
        (0..RING_BUFFERS).for_each(|number| buffers.hand_over(number));
        let mut ring = Ring {
            ring,
            under_way: ManuallyDrop::default(),
            buffers: ManuallyDrop::new(buffers),
            alarm,
            alarms: ManuallyDrop::default(),
        };
        ring.hear_alarm();
        Ok(ring)
    }

    /// See [`super::driver::Driver::carry`].
    pub(super) fn carry(&mut self, slot: &Arc<Slot>) {
        let mut mail = slot.mail();
        let (to_send, is_to_receive) = (mail.take_outgoing(), mail.is_to_receive());
        drop(mail);
        if let Some(bytes) = to_send {
            self.send(slot.clone(), bytes, 0);
        }
        if is_to_receive {
            self.receive(slot.clone());
        }
    }

    /// Hands to the kernel what it has not been handed yet, and perhaps waits until something is done.
    pub(super) fn submit_all(&mut self, may_wait: bool) -> io::Result<()> {
        match self.ring.submit_and_wait(usize::from(may_wait)) {
            // A signal, or the kernel is short of memory: what is done already is seen to, and the rest is submitted again.
            Err(error) if matches!(error.kind(), Interrupted | WouldBlock | ResourceBusy) => Ok(()),
            submitted => submitted.map(drop),
        }
    }

    /// See [`super::driver::Driver::turn`].
    pub(super) fn turn(&mut self, may_wait: bool, due: &mut Vec<usize>) -> io::Result<()> {
        self.submit_all(may_wait)?;
        loop {
            let done = self.ring.completion().next();
            let Some(done) = done else { return Ok(()) };
            due.extend(self.complete(&done));
        }
    }

    /// The kernel has done something. Returns the number of the connection that can go on.
    fn complete(&mut self, entry: &cqueue::Entry) -> Option<usize> {
        let count = usize::try_from(entry.result());
        let failure = || io::Error::from_raw_os_error(-entry.result());
        let mut due = None;
        match self.under_way.remove(entry.user_data() as usize) {
            Operation::HearAlarm => self.hear_alarm(),
            // The others of this turn have taken all buffers, and given them back by now.
            Operation::Receive(slot) if entry.result() == -Errno::NOBUFS.raw_os_error() => self.receive(slot),
            Operation::Receive(slot) => {
                let buffer = cqueue::buffer_select(entry.flags());
                let mut mail = slot.mail();
                match (count, buffer) {
                    (Ok(count), Some(number)) => mail.has_arrived(self.buffers.read(number, count)),
                    (Ok(_), None) => mail.has_arrived(&[]),
                    (Err(_), _) => mail.has_failed(&failure()),
                }
                buffer.into_iter().for_each(|number| self.buffers.hand_over(number));
                due = Some(slot.number);
            }
            Operation::Send { slot, bytes, sent } => match count {
                Ok(count) if sent + count < bytes.len() => self.send(slot, bytes, sent + count),
                Ok(_) => due = slot.mail().is_sent(bytes).then_some(slot.number),
                Err(_) => {
                    slot.mail().has_failed(&failure());
                    due = Some(slot.number);
                }
            },
        }
        due
    }

    fn hear_alarm(&mut self) {
        let read = opcode::Read::new(Fd(self.alarm.as_raw_fd()), self.alarms.as_mut_ptr(), 8).build();
        self.submit(read, Operation::HearAlarm);
    }

    fn receive(&mut self, slot: Arc<Slot>) {
        // Nothing has arrived yet, as a rule: it is waited for before it is tried.
        let receive =
            opcode::Recv::new(Fd(slot.socket.as_raw_fd()), std::ptr::null_mut(), RING_BUFFER_BYTES as u32)
                .ioprio(POLL_FIRST)
                .buf_group(GROUP)
                .build()
                .flags(Flags::BUFFER_SELECT);
        self.submit(receive, Operation::Receive(slot));
    }

    fn send(&mut self, slot: Arc<Slot>, bytes: Vec<u8>, sent: usize) {
        let rest = &bytes[sent..];
        let length = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let send =
            opcode::Send::new(Fd(slot.socket.as_raw_fd()), rest.as_ptr(), length).flags(NO_SIGNAL).build();
        self.submit(send, Operation::Send { slot, bytes, sent });
    }

    /// Hands an operation to the kernel with the others of this turn; sooner if there are too many.
    fn submit(&mut self, entry: Entry, operation: Operation) {
        let entry = entry.user_data(self.under_way.insert(operation) as u64);
        // SAFETY: what the entry points to is held by the operation, at an address that does not change, until the kernel
        // has said that it is done with it: only then is the operation taken out, and `Ring` does not drop it.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            if let Err(error) = self.ring.submit() {
                tracing::debug!(%error, "the kernel takes no more for now");
            }
        }
    }
}

impl Buffers {
    /// What has been received into a buffer.
    fn read(&self, number: u16, count: usize) -> &[u8] {
        &self.bytes[usize::from(number) * RING_BUFFER_BYTES..][..count]
    }

    /// Lets the kernel receive into a buffer.
    fn hand_over(&mut self, number: u16) {
        let bytes = self.bytes[usize::from(number) * RING_BUFFER_BYTES..].as_ptr() as u64;
        let entry = usize::from(self.end % RING_BUFFERS) * ENTRY_BYTES;
        self.end = self.end.wrapping_add(1);
        self.entries[entry..entry + 8].copy_from_slice(&bytes.to_ne_bytes());
        self.entries[entry + 8..entry + 12].copy_from_slice(&(RING_BUFFER_BYTES as u32).to_ne_bytes());
        self.entries[entry + 12..entry + 14].copy_from_slice(&number.to_ne_bytes());
        // The end says that what is before it is there.
        fence(Release);
        self.entries[END].copy_from_slice(&self.end.to_ne_bytes());
    }
}
