//! Sessions on keys of any type, and tests of RENAME and COPY.

use super::session::{play, run, words};
use crate::store::Store;

#[test]
fn there_or_not() {
    play(
        r#"
        > EXISTS milk
        (integer) 0
        > TYPE milk
        none
        > SET milk 1
        OK
        > HSET list f v
        (integer) 1
        > EXISTS milk list milk nothing
        (integer) 3
        > TOUCH milk list nothing
        (integer) 2
        > TYPE milk
        string
        > TYPE list
        hash
        > DEL milk nothing milk
        (integer) 1
        > UNLINK list milk
        (integer) 1
        > EXISTS
        (error) Arity("exists")
        "#,
    );
}

#[test]
fn expiry() {
    play(
        r#"
        > SET milk 1
        OK
        > TTL milk
        (integer) -1
        > EXPIRETIME milk
        (integer) -1
        > PTTL nothing
        (integer) -2
        > PEXPIRETIME nothing
        (integer) -2
        > EXPIRE nothing 10
        (integer) 0
        > EXPIRE milk 10
        (integer) 1
        > TTL milk
        (integer) 10
        > PERSIST milk
        (integer) 1
        > PERSIST milk
        (integer) 0
        > PERSIST nothing
        (integer) 0
        > PEXPIREAT milk 4000000000500
        (integer) 1
        > EXPIRETIME milk
        (integer) 4000000001
        > PEXPIRETIME milk
        (integer) 4000000000500
        > EXPIREAT milk 4000000000
        (integer) 1
        > PEXPIRETIME milk
        (integer) 4000000000000
        > PEXPIRE milk 500
        (integer) 1
        > GET milk
        "1"
        (501 ms later)
        > GET milk
        (nil)
        > SET milk 1
        OK
        > EXPIRE milk -1
        (integer) 1
        > EXISTS milk
        (integer) 0
        > HSET list f v
        (integer) 1
        > PEXPIRE list 100
        (integer) 1
        > HSET list g v
        (integer) 1
        (101 ms later)
        > EXISTS list
        (integer) 0
        "#,
    );
}

#[test]
fn conditions_of_expire() {
    play(
        r#"
        > SET milk 1
        OK
        > EXPIRE milk 10 XX
        (integer) 0
        > EXPIRE milk 10 GT
        (integer) 0
        > EXPIRE milk 10 LT
        (integer) 1
        > EXPIRE milk 20 NX
        (integer) 0
        > EXPIRE milk 20 LT
        (integer) 0
        > EXPIRE milk 20 xx gt
        (integer) 1
        > TTL milk
        (integer) 20
        > PERSIST milk
        (integer) 1
        > EXPIRE milk 30 NX
        (integer) 1
        > EXPIRE milk 1 FOO
        (error) UnknownOption("FOO")
        > EXPIRE milk 1 "a\x0d\x0ab"
        (error) UnknownOption("a\r\nb")
        > EXPIRE milk x NX XX
        (error) NxConflict
        > EXPIRE milk x GT LT
        (error) GtLtConflict
        > EXPIRE nothing x
        (error) NotInteger
        > EXPIRE milk 9223372036854775807
        (error) InvalidExpireTime("expire")
        > PEXPIRE milk 9223372036854775807
        (error) InvalidExpireTime("pexpire")
        > EXPIREAT milk -9223372036854775808
        (error) InvalidExpireTime("expireat")
        > PEXPIREAT milk -9223372036854775808
        (integer) 1
        > EXISTS milk
        (integer) 0
        "#,
    );
}

#[test]
fn other_names() {
    play(
        r#"
        > RENAME nothing other
        (error) NoSuchKey
        > RENAME nothing nothing
        (error) NoSuchKey
        > RENAMENX nothing other
        (error) NoSuchKey
        > SET milk 1 PXAT 4000000000000
        OK
        > SET eggs 12
        OK
        > RENAMENX milk eggs
        (integer) 0
        > RENAMENX milk milk
        (integer) 0
        > RENAME milk milk
        OK
        > RENAME milk eggs
        OK
        > EXISTS milk
        (integer) 0
        > GET eggs
        "1"
        > PEXPIRETIME eggs
        (integer) 4000000000000
        > RENAMENX eggs milk
        (integer) 1
        > PEXPIRETIME milk
        (integer) 4000000000000
        > COPY milk eggs
        (integer) 1
        > PEXPIRETIME eggs
        (integer) 4000000000000
        > COPY milk eggs
        (integer) 0
        > HSET list f v
        (integer) 1
        > COPY list eggs DB 0 replace
        (integer) 1
        > HGET eggs f
        "v"
        > TTL eggs
        (integer) -1
        > COPY nothing eggs REPLACE
        (integer) 0
        > COPY milk milk
        (error) SameKey
        > COPY milk eggs FOO
        (error) Syntax
        > COPY milk eggs DB
        (error) Syntax
        > COPY milk eggs DB x
        (error) NotInteger
        > COPY milk eggs DB 16
        (error) DatabaseIndex
        > COPY milk eggs DB -1
        (error) DatabaseIndex
        > COPY milk eggs DB 99999999999
        (error) OutOfBounds { min: -2147483648, max: 2147483647 }
        "#,
    );
}

#[test]
fn how_it_is_kept() {
    play(
        r#"
        > OBJECT ENCODING nothing
        (nil)
        > OBJECT FREQ nothing
        (nil)
        > SET number -12
        OK
        > OBJECT ENCODING number
        "int"
        > SET word 0123456789012345678901234567890123456789abcd
        OK
        > OBJECT ENCODING word
        "embstr"
        > SET words 0123456789012345678901234567890123456789abcde
        OK
        > OBJECT ENCODING words
        "raw"
        > HSET list f v
        (integer) 1
        > OBJECT ENCODING list
        "listpack"
        > HEXPIRE list 100 FIELDS 1 f
        1) (integer) 1
        > OBJECT ENCODING list
        "listpackex"
        > HPERSIST list FIELDS 1 f
        1) (integer) 1
        > OBJECT ENCODING list
        "listpack"
        > HSET list g 0123456789012345678901234567890123456789012345678901234567890123x
        (integer) 1
        > OBJECT ENCODING list
        "hashtable"
        > OBJECT REFCOUNT list
        (integer) 1
        > OBJECT IDLETIME list
        (integer) 0
        > OBJECT FREQ list
        (error) AccessesNotCounted
        > OBJECT ENCODING
        (error) Arity("object|encoding")
        "#,
    );
}

/// Renames and copies a hash of `fields` fields through many names, and so through many shards and from
/// inline entries to a table.
fn moves_whole(fields: usize) {
    let store = Store::new();
    let run = |line: &str| run(&store, 1_000, &words(line));
    for field in 0..fields {
        run(&format!("HSET n0 field-{field} value-{field}"));
    }
    run("PEXPIREAT n0 50000");
    let long = "x".repeat(600);
    for (from, to) in [("n0", "n1"), ("n1", "n2"), ("n2", &long), (&long, "n3"), ("n3", "n4"), ("n4", "n0")] {
        assert_eq!(run(&format!("COPY {from} copy-{to}")), "(integer) 1");
        assert_eq!(run(&format!("RENAME {from} {to}")), "OK");
        assert_eq!(run(&format!("EXISTS {from}")), "(integer) 0");
        for name in [to.to_owned(), format!("copy-{to}")] {
            assert_eq!(run(&format!("PEXPIRETIME {name}")), "(integer) 50000");
            for field in 0..fields {
                assert_eq!(run(&format!("HGET {name} field-{field}")), format!("\"value-{field}\""));
            }
        }
    }
    assert_eq!(run("DEL n0 copy-n0"), "(integer) 2");
}

#[test]
fn a_small_hash_moves_whole() {
    moves_whole(3);
    moves_whole(20);
}

#[test]
fn a_large_hash_moves_whole() {
    moves_whole(3_000);
}
