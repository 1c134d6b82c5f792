//! Every limit of the cluster, with its unit.

use std::time::Duration;

/// The version of the link protocol; the first byte that each side says. Any change to wire.rs raises it.
pub(crate) const LINK_VERSION: u8 = 4;

/// Bytes of a node's name, host included.
pub(crate) const NODE_NAME_BYTES: usize = 255;

/// Bytes of one handshake message.
pub(crate) const HANDSHAKE_BYTES: usize = 1_024;
/// How long a whole handshake may take.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// Handshakes of strangers that may be under way at once.
pub(crate) const HANDSHAKES: usize = 64;

/// Bytes of one frame of a link. Larger messages cross in parts.
pub(crate) const FRAME_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of one part of a large message: others wait no longer than it takes to send them.
pub(crate) const PART_BYTES: usize = 256 * 1024;
/// Bytes of the largest message, and so of the largest request and the largest reply that can cross a link: as many as a
/// client's command may have. A link puts together one large message at a time.
pub(crate) const MESSAGE_BYTES: usize = 1024 * 1024 * 1024;
/// What the codec may count for one frame without its items. It counts what it makes of the bytes: at most 8 for each.
pub(crate) const DECODED_BYTES: usize = 8 * FRAME_BYTES;
/// What the codec may count for one item. No memory is taken at the word of a length: what an item owns is copied from
/// bytes that are there.
pub(crate) const DECODED_ITEM_BYTES: usize = MESSAGE_BYTES.saturating_mul(8);
/// Requests of one call.
pub(crate) const CALL_REQUESTS: usize = 4_096;
/// Requests of one transaction.
pub(crate) const TRANSACTION_REQUESTS: usize = 65_536;
/// Bytes at which a call, or the answer to one, takes in no more than it has.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;

/// Calls of one link that may wait for their answers.
pub(crate) const CALLS_IN_FLIGHT: usize = 65_536;
/// Bytes of the calls of one link that wait for their answers, each of them no larger than a frame. A peer that sends
/// more is cut off.
pub(crate) const CALL_BYTES_IN_FLIGHT: usize = 64 * 1024 * 1024;
/// Bytes of the larger calls that wait for theirs.
pub(crate) const LARGE_CALL_BYTES_IN_FLIGHT: usize = MESSAGE_BYTES;
/// Unsent bytes at which a link executes nothing more for its peer and takes no more events.
pub(crate) const UNSENT_BYTES: usize = 4 * 1024 * 1024;
/// Unsent bytes of large messages above which a link executes nothing more for its peer.
pub(crate) const LARGE_UNSENT_BYTES: usize = MESSAGE_BYTES;
/// Subscriptions that one link may carry in one direction.
pub(crate) const SUBSCRIPTIONS: usize = 10_000;

/// Bytes that one read of a link asks for.
pub(crate) const READ_BYTES: usize = 64 * 1024;
/// Bytes of capacity that a link's idle buffer may keep.
pub(crate) const IDLE_BUFFER_BYTES: usize = 256 * 1024;

/// How long one attempt to reach a peer's address may take.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause after a failed accept, which is most often a lack of file descriptors.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The first pause before a peer is dialled again; each further one doubles.
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(25);
/// The longest pause while the peer cannot be reached, so that one that comes back is found soon.
pub(crate) const RETRY_UNREACHABLE: Duration = Duration::from_secs(1);
/// The longest pause while the peer refuses us, which only a person can put right.
pub(crate) const RETRY_REFUSED: Duration = Duration::from_secs(10);
/// A link that lived this long counts as sound, and the pauses start over.
pub(crate) const SOUND_AFTER: Duration = Duration::from_secs(5);

/// How long `connect` waits for a node to come up.
pub(crate) const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// How long a link that is being stopped may take to send what it still holds.
pub(crate) const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Node events that a listener may fall behind before it loses the oldest.
pub(crate) const NODE_EVENTS: usize = 256;
