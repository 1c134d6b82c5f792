//! A connection's input and output: received bytes that are not parsed yet, and replies that are not written
//! yet.

use crate::{
    limits::{
        BATCH_BYTES, INPUT_BYTES, INPUT_GROWTH_BYTES, MEMORY_PAUSE, MEMORY_PAUSES, OUTPUT_BYTES,
        SHORT_OUTPUT_BYTES,
    },
    memory::{Account, Charge, Use},
    reactor::{BufferPool, Stream},
};
use kv::LargeValue;
use std::{
    future::poll_fn,
    io::{self, ErrorKind},
    ops::{Deref, DerefMut, Range},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::time::sleep;

thread_local! {
    /// Input buffers: their length is their capacity.
    static INPUTS: BufferPool = const { BufferPool::new() };
    static OUTPUTS: BufferPool = const { BufferPool::new() };
}

/// The bytes read from one connection and not yet consumed.
#[derive(Debug)]
pub(crate) struct Input {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The last batch waited, so that the next one takes all that has arrived meanwhile.
    reads_all: bool,
    charge: Charge,
}

impl Input {
    /// An empty input, charged to `account`.
    pub(crate) fn new(account: &Arc<Account>) -> Input {
        let charge = Charge::new(account, Use::Input);
        Input { buffer: Vec::new(), start: 0, end: 0, reads_all: false, charge }
    }

    /// An input of `stream` that has already read these bytes.
    #[cfg(test)]
    pub(crate) fn holding(bytes: &[u8], stream: &Stream) -> Input {
        let mut input = Input::new(stream.account());
        (input.buffer, input.end) = (bytes.to_vec(), bytes.len());
        input
    }

    /// Reads what has arrived: 0 bytes at the end of the stream. While it waits, it holds a buffer only if
    /// there are unparsed bytes.
    pub(crate) async fn read(&mut self, stream: &Stream) -> io::Result<usize> {
        if self.end - self.start == self.buffer.len() && !self.buffer.is_empty() {
            Box::pin(wait_for_memory(stream.account())).await?;
        }
        poll_fn(|_| self.poll_read(stream)).await
    }

    fn poll_read(&mut self, stream: &Stream) -> Poll<io::Result<usize>> {
        self.reserve();
        let read = stream.poll_read(&mut self.buffer[self.end..]);
        match &read {
            Poll::Ready(count) => self.end += count.as_ref().copied().unwrap_or_default(),
            Poll::Pending => self.release(),
        }
        match read {
            Poll::Ready(Ok(count)) if self.reads_all => Poll::Ready(Ok(count + self.read_rest(stream))),
            read => read,
        }
    }

    /// Reads on as long as the buffer was too small for what has arrived. Returns how many bytes it read.
    fn read_rest(&mut self, stream: &Stream) -> usize {
        let before = self.end;
        while self.end == self.buffer.len()
            && self.end - self.start < BATCH_BYTES
            && stream.account().is_memory_ample()
        {
            self.reserve();
            match stream.poll_read(&mut self.buffer[self.end..]) {
                Poll::Ready(Ok(count)) if count > 0 => self.end += count,
                // The next read finds it again.
                _ => break,
            }
        }
        self.end - before
    }

    /// The bytes that are not parsed yet.
    pub(crate) fn unparsed(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.end]
    }

    /// Drops the first `count` unparsed bytes, of a batch that may have waited.
    pub(crate) fn consume(&mut self, count: usize, waited: bool) {
        self.start += count;
        self.reads_all = waited;
    }

    /// Returns the buffer to the thread's pool if it is empty; otherwise it keeps no more than it needs.
    fn release(&mut self) {
        if self.start < self.end {
            if self.buffer.len() > INPUT_GROWTH_BYTES && self.end < INPUT_BYTES {
                let mut smaller = vec![0; INPUT_BYTES];
                smaller[..self.end].copy_from_slice(&self.buffer[..self.end]);
                kv::free_buffer(std::mem::replace(&mut self.buffer, smaller));
            }
            return self.charge.set(self.buffer.len());
        }
        (self.start, self.end) = (0, 0);
        INPUTS.with(|pool| pool.put(std::mem::take(&mut self.buffer)));
        self.charge.set(0);
    }

    /// Makes room for more bytes.
    fn reserve(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = INPUTS.with(BufferPool::take);
            if self.buffer.is_empty() {
                self.buffer = vec![0; INPUT_BYTES];
            }
        } else if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            // The capacity doubles, but takes up memory only as the length grows, step by step.
            let length = self.buffer.len() + self.buffer.len().min(INPUT_GROWTH_BYTES);
            self.buffer.resize(length, 0);
            self.charge.set(length);
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        kv::free_buffer(std::mem::take(&mut self.buffer));
    }
}

/// Waits until the connection may hold more. Fails if it is closed for what it holds, or has waited too long.
async fn wait_for_memory(account: &Account) -> io::Result<()> {
    for _ in 0..MEMORY_PAUSES {
        if account.is_evicted() {
            return Err(ErrorKind::OutOfMemory.into());
        }
        if account.may_grow() {
            return Ok(());
        }
        sleep(MEMORY_PAUSE).await;
    }
    account.evict();
    Err(ErrorKind::OutOfMemory.into())
}

/// Rendered replies, with large values between their bytes. Those are shared with the store, and copied only
/// when they are sent. As a vector it is the bytes alone.
#[derive(Debug, Default)]
pub(crate) struct ReplyBuffer {
    bytes: Vec<u8>,
    large: Vec<LargePart>,
    large_bytes: usize,
    /// The number of `bytes` at which they are full; 0 once there is a large value.
    full_bytes: usize,
}

/// A large value among replies.
#[derive(Debug, Clone)]
pub(crate) struct LargePart {
    /// How many bytes go before it.
    pub(crate) at: usize,
    pub(crate) value: LargeValue,
    /// How it is written, unless its bytes are sent as they are.
    pub(crate) write: Option<WriteLarge>,
}

/// Writes a large value a piece at a time.
pub(crate) type WriteLarge = for<'o> fn(
    &'o LargeValue,
    &'o mut Output<'_>,
) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'o>>;

impl ReplyBuffer {
    /// A buffer without replies that is full at `full_bytes`.
    pub(crate) fn full_at(full_bytes: usize) -> ReplyBuffer {
        ReplyBuffer { full_bytes, ..ReplyBuffer::default() }
    }

    /// Changes at how many bytes it is full.
    pub(crate) fn set_full_bytes(&mut self, full_bytes: usize) {
        self.full_bytes = full_bytes;
    }

    /// Whether the replies must be written before more are rendered.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= self.full_bytes
    }

    /// Whether there are large values.
    #[inline]
    pub(crate) fn has_large(&self) -> bool {
        !self.large.is_empty()
    }

    /// Adds a large value.
    pub(crate) fn push_large(&mut self, value: LargeValue, write: Option<WriteLarge>) {
        self.push_part(LargePart { at: self.bytes.len(), value, write });
    }

    /// Adds a part of other replies.
    pub(crate) fn extend_from(&mut self, other: &ReplyBuffer, range: Range<usize>) {
        for part in other.large.iter().filter(|part| range.contains(&part.at)) {
            self.push_part(LargePart { at: self.bytes.len() + part.at - range.start, ..part.clone() });
        }
        self.bytes.extend_from_slice(&other.bytes[range]);
    }

    fn push_part(&mut self, part: LargePart) {
        self.large_bytes += part.value.len();
        self.full_bytes = 0;
        self.large.push(part);
    }

    /// Bytes of all replies.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.large_bytes
    }

    /// Bytes of memory that are held, those that are shared with the store included.
    pub(crate) fn held(&self) -> usize {
        self.bytes.capacity() + self.large_bytes
    }

    /// The large values, in order.
    pub(crate) fn large(&self) -> &[LargePart] {
        &self.large
    }
}

impl From<Vec<u8>> for ReplyBuffer {
    fn from(bytes: Vec<u8>) -> ReplyBuffer {
        ReplyBuffer { bytes, ..ReplyBuffer::default() }
    }
}

impl Deref for ReplyBuffer {
    type Target = Vec<u8>;

    #[inline]
    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for ReplyBuffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

/// Replies that are rendered but not yet written.
pub(crate) struct Output<'s> {
    stream: &'s Stream,
    pub(crate) bytes: ReplyBuffer,
    /// How much is written at a time, and the length at which the replies must be written.
    full_bytes: usize,
    /// How long the client may take nothing of what is written; `None` for no limit.
    timeout: Option<Duration>,
    suppressed: bool,
    /// Bytes of replies that have arrived and are not rendered yet.
    unrendered: usize,
    /// Bytes that have been written.
    pub(crate) sent_bytes: u64,
    /// How often some were written.
    pub(crate) writes: u64,
    charge: Charge,
}

impl<'s> Output<'s> {
    /// Replies to `stream`.
    pub(crate) fn new(stream: &'s Stream) -> Output<'s> {
        Output {
            stream,
            bytes: ReplyBuffer::full_at(OUTPUT_BYTES),
            full_bytes: OUTPUT_BYTES,
            timeout: None,
            suppressed: false,
            unrendered: 0,
            sent_bytes: 0,
            writes: 0,
            charge: Charge::new(stream.account(), Use::Output),
        }
    }

    /// Takes a buffer for the next replies. A client that takes nothing for `timeout` is disconnected.
    pub(crate) fn acquire_buffer(&mut self, timeout: Option<Duration>) {
        if self.bytes.capacity() == 0 {
            *self.bytes = OUTPUTS.with(BufferPool::take);
        }
        self.timeout = timeout;
        let is_short = self.stream.account().is_memory_short();
        self.full_bytes = if is_short { SHORT_OUTPUT_BYTES } else { OUTPUT_BYTES };
        self.bytes.set_full_bytes(self.full_bytes);
    }

    /// Returns the buffer, which is empty, to the thread's pool.
    pub(crate) fn release_buffer(&mut self) {
        OUTPUTS.with(|pool| pool.put(std::mem::take(&mut *self.bytes)));
        self.charge.set(0);
    }

    /// Sets whether replies are discarded instead of written.
    pub(crate) fn suppress(&mut self, suppressed: bool) {
        self.suppressed = suppressed;
    }

    /// Sets how many bytes of replies have arrived that are rendered after what is written next.
    pub(crate) fn set_unrendered(&mut self, bytes: usize) {
        self.unrendered = bytes;
    }

    /// Where they are written to.
    pub(crate) fn stream(&self) -> &'s Stream {
        self.stream
    }

    /// Whether the replies must be written before more are rendered.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.is_full()
    }

    /// Writes all replies; waits for a client that does not read.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if self.bytes.has_large() {
            let replies = std::mem::replace(&mut self.bytes, ReplyBuffer::full_at(self.full_bytes));
            return Box::pin(self.write(replies)).await;
        }
        if !self.suppressed {
            let bytes = std::mem::take(&mut *self.bytes);
            let written = self.write_all(&bytes, bytes.len()).await;
            *self.bytes = bytes;
            written?;
        }
        self.bytes.clear();
        Ok(())
    }

    /// Writes replies past the buffer, which is empty.
    pub(crate) async fn write(&mut self, replies: ReplyBuffer) -> io::Result<()> {
        if self.suppressed {
            return Ok(());
        }
        let (held, mut written) = (replies.held(), 0);
        for part in replies.large() {
            self.write_all(&replies[written..part.at], held).await?;
            written = part.at;
            if let Some(write) = part.write {
                self.charge.raise(held + self.unrendered);
                write(&part.value, self).await?;
                continue;
            }
            for piece in part.value.slices() {
                self.write_all(piece, held).await?;
            }
        }
        self.write_all(&replies[written..], held).await
    }

    /// Waits until the client has received everything that was written.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        self.flush().await?;
        let stream = self.stream;
        self.wait_for_client(pin!(stream.flush())).await
    }

    /// Waits until the client has closed its side.
    pub(crate) async fn client_closed(&self) {
        self.stream.closed().await;
    }

    /// Writes large replies in pieces, so that other connections run in between. While the client does not
    /// take them, they count with `held` bytes, and those that are not rendered yet count, too.
    async fn write_all(&mut self, bytes: &[u8], held: usize) -> io::Result<()> {
        let stream = self.stream;
        self.sent_bytes += bytes.len() as u64;
        self.writes += u64::from(!bytes.is_empty());
        for piece in bytes.chunks(self.full_bytes) {
            let mut write = pin!(stream.write(piece));
            match poll_fn(|context| Poll::Ready(write.as_mut().poll(context))).await {
                Poll::Ready(written) => written?,
                Poll::Pending => {
                    self.charge.raise(held + self.unrendered);
                    Box::pin(self.wait_for_client(write)).await?;
                }
            }
        }
        Ok(())
    }

    /// Waits for a write or flush. Fails if the client takes nothing for too long.
    async fn wait_for_client(
        &mut self,
        mut written: Pin<&mut impl Future<Output = io::Result<()>>>,
    ) -> io::Result<()> {
        let Some(timeout) = self.timeout else { return written.await };
        loop {
            let progress = self.stream.progress();
            tokio::select! {
                biased;
                written = &mut written => return written,
                () = sleep(timeout) => {}
            }
            if self.stream.progress() == progress {
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::ClientMemory;
    use std::net::{TcpListener, TcpStream};

    /// What a client is given to take some of its reply.
    const TIMEOUT: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_waits_for_memory_is_not_left_waiting() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let account = Arc::new(Account::new(Arc::new(ClientMemory::new(1)), socket));
        let _held = {
            let mut charge = Charge::new(&account, Use::Input);
            charge.set(2);
            charge
        };
        let waited = wait_for_memory(&account).await;
        assert_eq!(waited.unwrap_err().kind(), ErrorKind::OutOfMemory);
        assert!(account.is_evicted());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_its_reply_slowly_is_not_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = Stream::detached(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let mut output = Output { timeout: Some(TIMEOUT), ..Output::new(&stream) };
        let taken_slowly = async {
            for _ in 0..20 {
                sleep(TIMEOUT * 9 / 10).await;
                stream.count_progress();
            }
            Ok(())
        };
        output.wait_for_client(pin!(taken_slowly)).await.unwrap();
        let taken_too_slowly = async {
            sleep(TIMEOUT * 3).await;
            Ok(())
        };
        let ended = output.wait_for_client(pin!(taken_too_slowly)).await;
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn large_values_are_where_they_were_added() {
        let large = |byte: u8| LargeValue::copy_of(&vec![byte; 300_000]).expect("memory");
        let parts = |replies: &ReplyBuffer| {
            let parts = replies.large().iter().map(|part| (part.at, part.value.to_vec()[0]));
            (replies.to_vec(), parts.collect::<Vec<_>>())
        };
        let mut replies = ReplyBuffer::default();
        replies.extend_from_slice(b"one");
        replies.push_large(large(b'a'), None);
        replies.extend_from_slice(b".");
        let first = replies.len();
        replies.extend_from_slice(b"two");
        replies.push_large(large(b'b'), None);
        replies.extend_from_slice(b".");
        assert_eq!(parts(&replies), (b"one.two.".to_vec(), vec![(3, b'a'), (7, b'b')]));
        assert_eq!(replies.size(), 8 + 600_000);
        let mut part = ReplyBuffer::default();
        part.extend_from_slice(b"+");
        part.extend_from(&replies, first..replies.len());
        assert_eq!(parts(&part), (b"+two.".to_vec(), vec![(4, b'b')]));
        assert_eq!(part.size(), 5 + 300_000);
    }
}
