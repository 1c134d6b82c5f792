//! Every limit of the cluster, with its unit.

use std::time::Duration;

/// The newest version of the link protocol that this release speaks. Any change to what link/codec.rs encodes
/// raises it, and so do more requests in a call.
pub(crate) const LINK_VERSION: u8 = 14;
/// The first one that has queries about the nodes of a cluster.
pub(crate) const NODES_VERSION: u8 = 14;
/// The oldest one: that of the release before, so that nodes are upgraded one after the other.
pub(crate) const OLDEST_LINK_VERSION: u8 = 13;

/// Rows with replicas that a cluster has at most, as many as there may be ranges on a node.
pub(crate) const ROWS: usize = 64;

/// Bytes of a node's name, host included.
pub(crate) const NODE_NAME_BYTES: usize = 255;

/// Bytes of one handshake message before the peer has proved that it knows the cookie.
pub(crate) const HANDSHAKE_BYTES: usize = 1_024;
/// Bytes of the routes of a node, which the two nodes exchange when they link.
pub(crate) const ROUTES_BYTES: usize = 1024 * 1024;
/// Bytes of the table of placements.
pub(crate) const TABLE_BYTES: usize = 4 * ROUTES_BYTES;
/// Bytes of the table of nodes, with the routes of one that has joined.
pub(crate) const NODES_BYTES: usize = 4 * ROUTES_BYTES;
/// Bytes of what a node knows of its cluster.
pub(crate) const MEMBERSHIP_BYTES: usize = TABLE_BYTES + NODES_BYTES;
/// How long a node that is removed may take to reply that it knows.
pub(crate) const REMOVAL_WAIT: Duration = Duration::from_secs(1);
/// Time between two looks at the tables of placements and nodes.
pub(crate) const PLACEMENT_PAUSE: Duration = Duration::from_millis(500);
/// How long a majority may take to confirm that this node leads a range, before it is not ready.
pub(crate) const READY_WAIT: Duration = Duration::from_secs(1);
/// Ranges of names that a warning about different routes lists.
pub(crate) const DIFFERENCES_SHOWN: usize = 8;
/// How long a whole handshake may take.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// Nodes that may be added to a cluster while a node runs, for which it keeps file descriptors.
pub(crate) const ADDED_NODES: usize = 8;
/// Inbound handshakes at once.
pub(crate) const HANDSHAKES: usize = 64;

/// Bytes of one frame of a link. Larger messages cross in fragments.
pub(crate) const FRAME_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of one fragment of a large message. Other frames wait no longer than one fragment takes.
pub(crate) const FRAGMENT_BYTES: usize = 256 * 1024;
/// Bytes of the largest message, and so of the largest request or reply that can cross a link: the same as
/// the limit of a client's command. A link reassembles one large message at a time.
pub(crate) const MESSAGE_BYTES: usize = 1024 * 1024 * 1024;
/// Bytes that the codec may decode from one frame without its items. It counts decoded bytes, of which there
/// are up to 8 for each byte of the frame.
pub(crate) const DECODED_BYTES: usize = 8 * FRAME_BYTES;
/// Bytes that the codec may decode from one item. No memory is allocated from a length alone: what an item
/// owns is copied from bytes that have arrived.
pub(crate) const DECODED_ITEM_BYTES: usize = MESSAGE_BYTES.saturating_mul(8);
/// Requests of one call: as many as a client may have waiting together.
pub(crate) const CALL_REQUESTS: usize = 1_024;
/// Requests of a call that are executed before the time is read: as many as a batch of a client has.
pub(crate) const STEP_REQUESTS: usize = 64;
/// Milliseconds after which a link's task executes no further request of its peer until other tasks have run.
pub(crate) const TURN_MS: u64 = 2;
/// Bytes of an encoded request beside its names and arguments, at most.
pub(crate) const REQUEST_OVERHEAD_BYTES: usize = 64;
/// Requests of one transaction.
pub(crate) const TRANSACTION_REQUESTS: usize = 65_536;
/// Bytes of a large request or reply that are copied at once; other tasks run before the next ones.
pub(crate) const COPY_BYTES: usize = 1024 * 1024;
/// Bytes at which a call, or its reply message, takes no further item.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;

/// How often a large write to a string is prepared, if others change the length of the string meanwhile.
pub(crate) const PREPARATIONS: usize = 100;

/// Calls of one link in flight.
pub(crate) const CALLS_IN_FLIGHT: usize = 65_536;
/// Bytes of the calls of one link in flight that are no larger than a frame. The link of a peer that sends
/// more is closed.
pub(crate) const CALL_BYTES_IN_FLIGHT: usize = 64 * 1024 * 1024;
/// Bytes of the calls of one link in flight up to which one client may send more than a batch at once.
pub(crate) const AMPLE_CALL_BYTES: usize = CALL_BYTES_IN_FLIGHT / 8;
/// Calls of one link whose replies are late, above which the link is closed.
pub(crate) const LATE_CALLS: usize = 1_024;
/// Bytes of the larger calls of one link in flight.
pub(crate) const LARGE_CALL_BYTES_IN_FLIGHT: usize = MESSAGE_BYTES;
/// Unsent bytes at which a link defers its peer's requests and accepts no more changes.
pub(crate) const UNSENT_BYTES: usize = 4 * 1024 * 1024;
/// Unsent bytes of frames above which those of replicas are dropped; they are sent again.
pub(crate) const REPLICA_UNSENT_BYTES: usize = 16 * 1024 * 1024;
/// Unsent bytes of large messages above which no large one of a replica is added.
pub(crate) const LARGE_REPLICA_UNSENT_BYTES: usize = 64 * 1024 * 1024;
/// Unsent bytes of large messages above which a link defers its peer's requests.
pub(crate) const LARGE_UNSENT_BYTES: usize = MESSAGE_BYTES;
/// Subscriptions of one link in one direction.
pub(crate) const SUBSCRIPTIONS: usize = 10_000;
/// Bytes of changes that wait for one link, of all its subscriptions together.
pub(crate) const CHANGES_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of one read from a link's socket.
pub(crate) const READ_BYTES: usize = 64 * 1024;
/// Capacity in bytes that an idle buffer of a link keeps.
pub(crate) const IDLE_BUFFER_BYTES: usize = 256 * 1024;

/// Bytes of an incomplete frame that must arrive in the time after which a silent peer counts as dead. What
/// arrives more slowly is a frame that was announced longer than it is.
pub(crate) const FRAME_PROGRESS_BYTES: usize = 64 * 1024;

/// How long one attempt to connect to a peer may take.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Refused links that are logged one by one before they are only counted.
pub(crate) const REFUSAL_LINES: u32 = 10;

/// The first pause before a peer is dialed again; each further one doubles.
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(25);
/// The longest pause while the peer cannot be reached; short, so that its return is noticed soon.
pub(crate) const RETRY_UNREACHABLE: Duration = Duration::from_secs(1);
/// The longest pause while the peer refuses the link, which only an operator can fix.
pub(crate) const RETRY_REFUSED: Duration = Duration::from_secs(10);
/// A link that has lasted this long counts as stable: the pauses start over.
pub(crate) const STABLE_AFTER: Duration = Duration::from_secs(5);

/// How long `connect` waits for a node to come up.
pub(crate) const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// How long a link may take to flush when it is stopped.
pub(crate) const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a request waits for the leader of its range before it is refused.
pub(crate) const LEADER_WAIT: Duration = Duration::from_millis(1_500);
/// How long it waits until the replica of this node knows the leader, before it asks others.
pub(crate) const FOLLOWER_WAIT: Duration = Duration::from_millis(100);
/// The pause before a node is asked again which has not served a request, and knows of no other that does.
pub(crate) const LEADER_PAUSE: Duration = Duration::from_millis(20);
/// How often it is checked whether a subscription still comes from the leader, and whether anyone reads it.
pub(crate) const FOLLOW_PAUSE: Duration = Duration::from_millis(200);

/// Pages without a name after which a scan returns an empty one: names that do not match, or have expired.
pub(crate) const EMPTY_PAGES: usize = 10;

/// Node events that a receiver may fall behind before it loses the oldest.
pub(crate) const NODE_EVENTS: usize = 256;

/// Passive children per child that a node shows its peers of its supervision tree.
pub(crate) const TREE_CHILDREN: usize = 10_000;
