//! The exact reply for every error. A variant that is not listed here does not compile.

use super::*;
use crate::{pipeline::buffers::ReplyBuffer, protocol::resp::encoder::RespVersion};
use kv::syntax::excerpt::Excerpt;
use kv_cluster::Outcome;
use std::sync::Arc;

/// Asserts the reply to each error, and that `$Enum` has no other variants.
macro_rules! assert_replies {
    ($Enum:ident as $into:expr; $($Variant:ident $data:tt => $reply:expr,)*) => {
        #[allow(unreachable_patterns, reason = "a variant can have several replies")]
        fn is_listed(error: &$Enum) -> bool {
            match error {
                $($Enum::$Variant { .. } => true,)*
            }
        }
        for (error, expected) in [$((assert_replies!(@error $Enum $Variant $data), $reply)),*] {
            assert!(is_listed(&error));
            assert_eq!(reply($into(error)), expected);
        }
    };
    (@error $Enum:ident $Variant:ident ()) => { $Enum::$Variant };
    (@error $Enum:ident $Variant:ident ($data:expr)) => { $Enum::$Variant($data) };
    (@error $Enum:ident $Variant:ident $fields:tt) => { $Enum::$Variant $fields };
}

fn reply(error: SessionError) -> String {
    let mut bytes = ReplyBuffer::default();
    match error.write(&mut RespEncoder::new(&mut bytes, RespVersion::Resp2)) {
        Ok(()) => String::from_utf8(bytes.to_vec()).unwrap(),
        Err(error) => format!("no reply: {error}"),
    }
}

#[test]
fn errors_of_commands_are_in_rediss_words() {
    assert_replies! { CommandError as SessionError::Command;
        WrongType () => "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        OutOfMemory () => "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        Syntax () => "-ERR syntax error\r\n",
        NotInteger () => "-ERR value is not an integer or out of range\r\n",
        NotFloat () => "-ERR value is not a valid float\r\n",
        FieldNotInteger () => "-ERR hash value is not an integer\r\n",
        FieldNotFloat () => "-ERR hash value is not a float\r\n",
        Overflow () => "-ERR increment or decrement would overflow\r\n",
        NotFinite () => "-ERR increment would produce NaN or Infinity\r\n",
        StringTooLong () => "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n",
        NegativeOffset () => "-ERR offset is out of range\r\n",
        InvalidExpireTime ("set".into()) => "-ERR invalid expire time in 'set' command\r\n",
        Arity ("get".into()) => "-ERR wrong number of arguments for 'get' command\r\n",
        NoSuchKey () => "-ERR no such key\r\n",
        InvalidCursor () => "-ERR invalid cursor\r\n",
        DecrementOverflow () => "-ERR decrement would overflow\r\n",
        IncrementNotFinite () => "-ERR value is NaN or Infinity\r\n",
        SameKey () => "-ERR source and destination objects are the same\r\n",
        DatabaseIndex () => "-ERR DB index is out of range\r\n",
        CountOutOfRange () => "-ERR value is out of range\r\n",
        OutOfBounds { min: -1, max: 1 } => "-ERR value is out of range, value must between -1 and 1\r\n",
        AccessesNotCounted () => "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. \
            Please note that when switching between policies at runtime LRU and LFU data will take some time \
            to adjust.\r\n",
        UnknownOption (Excerpt::new(b"FOO")) => "-ERR Unsupported option FOO\r\n",
        UnknownArgument (Excerpt::new(b"FOO")) => "-ERR unknown argument: FOO\r\n",
        NxConflict () => "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n",
        GtLtConflict () => "-ERR GT and LT options at the same time are not compatible\r\n",
        FnxFxxConflict () => "-ERR Only one of FXX or FNX arguments can be specified\r\n",
        ExpiryConflict () => "-ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified\r\n",
        NegativeExpireTime () => "-ERR invalid expire time, must be >= 0\r\n",
        FieldsMissing () => "-ERR Mandatory argument FIELDS is missing or not at the right position\r\n",
        FieldCount ("hsetex".into()) => "-ERR invalid number of fields\r\n",
        FieldCount ("hexpire".into()) => "-ERR Parameter `numFields` should be greater than 0\r\n",
        FieldCount ("hpexpire".into()) => "-ERR Parameter `numFields` should be greater than 0\r\n",
        FieldCount ("hexpireat".into()) => "-ERR Parameter `numFields` should be greater than 0\r\n",
        FieldCount ("hpexpireat".into()) => "-ERR Parameter `numFields` should be greater than 0\r\n",
        FieldCount ("httl".into()) => "-ERR Number of fields must be a positive integer\r\n",
        WatchesFull () => "-OOM the watched keys of all clients take the memory they may have: UNWATCH some, \
            or raise maxmemory\r\n",
        FieldCountMismatch () => "-ERR The `numfields` parameter must match the number of arguments\r\n",
        PatternTooComplex () => "-ERR pattern too complex: it may have 65536 bytes, and 64 characters between \
            two stars if there is a ? or a [ among them\r\n",
        NameTooLong () => "-ERR name too long: a key or a field may have 1048576 bytes\r\n",
        CommandTooLarge { entries: 10, bytes: 100 } => "-ERR command too large: one step may touch 10 keys and \
            fields, and 100 bytes; nothing was done; do it in parts, or raise storage.max_transaction_entries and \
            _bytes\r\n",
        TransactionTooLarge { entries: 10, bytes: 100 } => "-ERR transaction too large: it may touch 10 keys and \
            fields, and 100 bytes; nothing was done; do it in parts, or raise storage.max_transaction_entries and \
            _bytes\r\n",
        StepTooLarge () => "-ERR command too large: one step may read or write 16777216 bytes in names, fields, \
            and values up to 262144 bytes; nothing was done; do it in parts\r\n",
        Outdated () => "-TRYAGAIN the string was changed by others all the time; nothing was done: send the \
            command again\r\n",
    }
}

/// go-redis and redis-rs send a command again after these codes, by themselves: nothing may have been done.
#[test]
fn only_errors_of_which_nothing_was_done_have_codes_that_clients_retry() {
    let node = || Arc::<str>::from("bar@a");
    let bucket = || "lemon".to_owned();
    let errors = [
        (Error::NodeDown { node: node(), reason: "its link was lost".into() }, "CLUSTERDOWN"),
        (Error::NotOwner { node: node() }, "CLUSTERDOWN"),
        (Error::RoutesDiffer { one: node(), other: node(), bucket: bucket() }, "CLUSTERDOWN"),
        (Error::Busy { node: node() }, "TRYAGAIN"),
        (Error::SeveralNodes { one: node(), other: node() }, "CROSSSLOT"),
        (Error::LinkLost { node: node() }, "ERR"),
        (Error::NoReply { node: node() }, "ERR"),
        (Error::ReplyTooLarge { node: node(), limit: 1 }, "ERR"),
        (Error::TooLarge { node: node(), limit: 1 }, "ERR"),
        (Error::TransactionTooLarge { node: node(), requests: 1, bytes: 1 }, "ERR"),
        (Error::PartlyFlushed { failed: bucket(), flushed: bucket() }, "ERR"),
        (Error::UnexpectedNodeReply { node: node() }, "ERR"),
        (Error::UnexpectedReply, "ERR"),
        (Error::NoRoute { bucket: bucket() }, "ERR"),
    ];
    for (error, code) in errors {
        assert!(!is_retried(code) || error.outcome() == Outcome::NotDone, "{error:?}");
        let alone = reply(SessionError::Cluster(error.clone()));
        assert_eq!(alone, format!("-{code} {error}\r\n"));
        let mut bytes = ReplyBuffer::default();
        cluster_error(&mut RespEncoder::new(&mut bytes, RespVersion::Resp2).in_pipeline(true), &error);
        let code = if is_retried(code) { "ERR" } else { code };
        assert_eq!(
            String::from_utf8(bytes.to_vec()).unwrap(),
            format!("-{code} {error}\r\n"),
            "beside other replies"
        );
    }
}

#[test]
fn errors_of_the_session_have_their_codes() {
    let (one, other): (Arc<str>, Arc<str>) = ("foo@a".into(), "bar@a".into());
    let several = Error::SeveralNodes { one, other };
    let crossslot: &str = &format!("-CROSSSLOT {several}\r\n");
    let unexpected: &str = &format!("-ERR {}\r\n", Error::UnexpectedReply);
    let limit = |error| Error::AtLimit { node: "bar@a".into(), error };
    assert_replies! { SessionError as std::convert::identity;
        Cluster (limit(CommandError::OutOfMemory)) =>
            "-OOM command not allowed when used memory > 'maxmemory'. (node bar@a)\r\n",
        Cluster (limit(CommandError::CommandTooLarge { entries: 10, bytes: 100 })) =>
            "-ERR command too large: one step may touch 10 keys and fields, and 100 bytes; nothing was done; do it in \
             parts, or raise storage.max_transaction_entries and _bytes (node bar@a)\r\n",
        Reply (b"NOPROTO unsupported protocol version".into()) => "-NOPROTO unsupported protocol version\r\n",
        Command (CommandError::Syntax) => "-ERR syntax error\r\n",
        Cluster (several) => crossslot,
        Cluster (Error::UnexpectedReply) => unexpected,
        Restarting () => "-LOADING the store is restarting: ask again in a moment\r\n",
        Io (io::ErrorKind::BrokenPipe.into()) => "no reply: broken pipe",
    }
}
