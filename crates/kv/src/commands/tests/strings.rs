//! Sessions on strings, and a test of strings against a model.

use super::session::{play, run};
use crate::store::Store;
use proptest::prelude::*;

#[test]
fn set_and_its_options() {
    play(
        r#"
        > SET milk 1
        OK
        > GET milk
        "1"
        > SET milk 2 NX
        (nil)
        > SET milk 2 NX GET
        "1"
        > SET milk 2 XX GET
        "1"
        > SET eggs 12 XX
        (nil)
        > SET eggs 12 XX GET
        (nil)
        > SET eggs 12 nx get
        (nil)
        > GET eggs
        "12"
        > SET eggs 13 EX 10
        OK
        > TTL eggs
        (integer) 10
        > SET eggs 14 KEEPTTL
        OK
        > TTL eggs
        (integer) 10
        > SET eggs 14 EX 10 EX 20
        OK
        > TTL eggs
        (integer) 20
        > SET eggs 14 PXAT 4000000000123
        OK
        > PEXPIRETIME eggs
        (integer) 4000000000123
        > SET eggs 14 EXAT 4000000000
        OK
        > EXPIRETIME eggs
        (integer) 4000000000
        > SET eggs 15
        OK
        > TTL eggs
        (integer) -1
        > SET eggs 15 EXAT 1
        OK
        > GET eggs
        (nil)
        > SET "" ""
        OK
        > GET ""
        ""
        > SET bytes "\x00\xff\x0d\x0a"
        OK
        > STRLEN bytes
        (integer) 4
        "#,
    );
}

#[test]
fn what_set_refuses() {
    play(
        r#"
        > SET milk 1 FOO
        (error) Syntax
        > SET milk 1 NX XX
        (error) Syntax
        > SET milk 1 EX
        (error) Syntax
        > SET milk 1 EX 10 PX 10
        (error) Syntax
        > SET milk 1 EX 10 KEEPTTL
        (error) Syntax
        > SET milk 1 PERSIST
        (error) Syntax
        > SET milk 1 EX x NX XX
        (error) Syntax
        > SET milk 1 EX x
        (error) NotInteger
        > SET milk 1 EX 0
        (error) InvalidExpireTime("set")
        > SET milk 1 PX -1
        (error) InvalidExpireTime("set")
        > SET milk 1 EX 9223372036854775807
        (error) InvalidExpireTime("set")
        > SET milk 1 PX 9223372036854775807
        (error) InvalidExpireTime("set")
        > SET milk
        (error) Arity("set")
        > SETEX milk 0 v
        (error) InvalidExpireTime("setex")
        > PSETEX milk x v
        (error) NotInteger
        > PSETEX milk 9223372036854775807 v
        (error) InvalidExpireTime("psetex")
        > EXISTS milk
        (integer) 0
        "#,
    );
}

#[test]
fn older_ways_to_set_and_get() {
    play(
        r#"
        > SETNX milk 1
        (integer) 1
        > SETNX milk 2
        (integer) 0
        > SETEX milk 100 3
        OK
        > TTL milk
        (integer) 100
        > PSETEX milk 2500 4
        OK
        > PTTL milk
        (integer) 2500
        > TTL milk
        (integer) 3
        > GETSET milk 5
        "4"
        > TTL milk
        (integer) -1
        > GETDEL milk
        "5"
        > GETDEL milk
        (nil)
        > GETSET milk 6
        (nil)
        > GETEX milk EX 10
        "6"
        > GETEX milk
        "6"
        > TTL milk
        (integer) 10
        > GETEX milk PERSIST
        "6"
        > TTL milk
        (integer) -1
        > GETEX milk EX 0
        (error) InvalidExpireTime("getex")
        > GETEX nothing EX 0
        (nil)
        > GETEX nothing KEEPTTL
        (error) Syntax
        > GETEX milk PERSIST EX 1
        (error) Syntax
        > GETEX milk PXAT 1
        "6"
        > EXISTS milk
        (integer) 0
        "#,
    );
}

#[test]
fn many_at_once() {
    play(
        r#"
        > MSET milk 1 eggs 12 milk 2
        OK
        > MGET milk nothing eggs
        1) "2"
        2) (nil)
        3) "12"
        > MSETNX bread 1 milk 3
        (integer) 0
        > EXISTS bread
        (integer) 0
        > MSETNX bread 1 butter 2 bread 3
        (integer) 1
        > MGET bread butter
        1) "3"
        2) "2"
        > MSETNX a 1 b
        (error) Arity("msetnx")
        > MSET a 1 b
        (error) Arity("mset")
        > MSET a
        (error) Arity("mset")
        "#,
    );
}

#[test]
fn parts_of_strings() {
    play(
        r#"
        > APPEND greeting hello
        (integer) 5
        > EXPIRE greeting 100
        (integer) 1
        > APPEND greeting " world"
        (integer) 11
        > APPEND greeting ""
        (integer) 11
        > TTL greeting
        (integer) 100
        > STRLEN greeting
        (integer) 11
        > STRLEN nothing
        (integer) 0
        > GETRANGE greeting 0 4
        "hello"
        > GETRANGE greeting -5 -1
        "world"
        > GETRANGE greeting 0 -1
        "hello world"
        > SUBSTR greeting 4 100
        "o world"
        > GETRANGE greeting 5 4
        ""
        > GETRANGE greeting 20 30
        ""
        > GETRANGE greeting -1 -5
        ""
        > GETRANGE greeting -100 -50
        "h"
        > GETRANGE greeting -9223372036854775808 9223372036854775807
        "hello world"
        > GETRANGE nothing 0 -1
        ""
        > GETRANGE greeting x 1
        (error) NotInteger
        > SETRANGE greeting 6 redis
        (integer) 11
        > GET greeting
        "hello redis"
        > SETRANGE greeting 13 !
        (integer) 14
        > GET greeting
        "hello redis\x00\x00!"
        > SETRANGE nothing 5 ""
        (integer) 0
        > EXISTS nothing
        (integer) 0
        > SETRANGE new 2 x
        (integer) 3
        > GET new
        "\x00\x00x"
        > SETRANGE new 1 ""
        (integer) 3
        > SETRANGE new -1 x
        (error) NegativeOffset
        > SETRANGE new 536870912 x
        (error) StringTooLong
        > SETRANGE new 9223372036854775807 x
        (error) StringTooLong
        > SETRANGE new 9223372036854775808 x
        (error) NotInteger
        "#,
    );
}

#[test]
fn numbers() {
    play(
        r#"
        > INCR visits
        (integer) 1
        > EXPIRE visits 100
        (integer) 1
        > INCRBY visits 41
        (integer) 42
        > DECR visits
        (integer) 41
        > DECRBY visits 42
        (integer) -1
        > TTL visits
        (integer) 100
        > SET visits 9223372036854775807
        OK
        > INCR visits
        (error) Overflow
        > DECRBY visits -9223372036854775808
        (error) DecrementOverflow
        > SET visits -9223372036854775808
        OK
        > DECR visits
        (error) Overflow
        > INCRBY visits 1.5
        (error) NotInteger
        > SET visits 01
        OK
        > INCR visits
        (error) NotInteger
        > INCRBYFLOAT visits 0.5
        "1.5"
        > INCRBYFLOAT visits -1.6
        "-0.1"
        > INCRBYFLOAT visits 3000.2
        "3000.09999999999999987"
        > INCRBYFLOAT nothing 5.0e3
        "5000"
        > INCRBYFLOAT nothing inf
        (error) NotFinite
        > INCRBYFLOAT nothing nan
        (error) NotFloat
        > SET word hello
        OK
        > INCRBYFLOAT word 1
        (error) NotFloat
        > INCR word
        (error) NotInteger
        "#,
    );
}

#[test]
fn a_hash_is_no_string() {
    play(
        r#"
        > HSET h f v
        (integer) 1
        > GET h
        (error) WrongType
        > SET h v GET
        (error) WrongType
        > SET h v NX
        (nil)
        > GETSET h v
        (error) WrongType
        > GETDEL h
        (error) WrongType
        > GETEX h EX x
        (error) WrongType
        > APPEND h x
        (error) WrongType
        > STRLEN h
        (error) WrongType
        > GETRANGE h 0 1
        (error) WrongType
        > SETRANGE h 0 ""
        (error) WrongType
        > SETRANGE h 0 x
        (error) WrongType
        > SETRANGE h 536870912 x
        (error) WrongType
        > INCR h
        (error) WrongType
        > INCRBYFLOAT h x
        (error) WrongType
        > MGET h
        1) (nil)
        > SETNX h v
        (integer) 0
        > MSETNX h 1 other 2
        (integer) 0
        > HGET h f
        "v"
        > SET h v
        OK
        > TYPE h
        string
        "#,
    );
}

/// A step of the test against a model, which is a plain vector.
#[derive(Debug, Clone)]
enum Step {
    Set(usize),
    Append(usize),
    SetRange(usize, usize),
    Expire,
    Persist,
    Rename,
    Copy,
    Delete,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Around the lengths at which the varint grows and at which blocks become allocations of their own.
    let length = || {
        prop_oneof![
            0..40_usize,
            110..140_usize,
            16_300..16_400_usize,
            32_700..32_800_usize,
            60_000..70_000_usize
        ]
    };
    let step = prop_oneof![
        length().prop_map(Step::Set),
        length().prop_map(Step::Append),
        (length(), length()).prop_map(|(offset, length)| Step::SetRange(offset, length)),
        Just(Step::Expire),
        Just(Step::Persist),
        Just(Step::Rename),
        Just(Step::Copy),
        Just(Step::Delete),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn equals_a_vector(steps in steps()) {
        let (store, mut names) = (Store::new(), [b"here".to_vec(), b"there".to_vec()]);
        let (mut model, mut expires): (Option<Vec<u8>>, bool) = (None, false);
        let run = |words: &[&[u8]]| {
            let words: Vec<_> = words.iter().map(|word| word.to_vec()).collect();
            run(&store, 0, &words)
        };
        for (step, fill) in steps.into_iter().zip((b'a'..=b'z').cycle()) {
            let name = names[0].clone();
            match step {
                Step::Set(length) => {
                    run(&[b"set", &name, &vec![fill; length]]);
                    (model, expires) = (Some(vec![fill; length]), false);
                }
                Step::Append(length) => {
                    run(&[b"append", &name, &vec![fill; length]]);
                    model.get_or_insert_default().extend(vec![fill; length]);
                }
                Step::SetRange(offset, length) => {
                    run(&[b"setrange", &name, offset.to_string().as_bytes(), &vec![fill; length]]);
                    if length > 0 {
                        let value = model.get_or_insert_default();
                        value.resize(value.len().max(offset + length), 0);
                        value[offset..offset + length].fill(fill);
                    }
                }
                Step::Expire => {
                    run(&[b"pexpire", &name, b"1000"]);
                    expires = model.is_some();
                }
                Step::Persist => {
                    run(&[b"persist", &name]);
                    expires = false;
                }
                Step::Rename => {
                    run(&[b"rename", &name, &names[1]]);
                    names.reverse();
                    if model.is_none() {
                        names.reverse();
                    }
                }
                Step::Copy => {
                    run(&[b"copy", &name, &names[1], b"replace"]);
                    if model.is_some() {
                        names.reverse();
                    }
                }
                Step::Delete => {
                    run(&[b"del", &name]);
                    (model, expires) = (None, false);
                }
            }
            let expected = model.as_ref().map_or("(nil)".to_owned(), |value| format!("\"{}\"", value.escape_ascii()));
            prop_assert!(run(&[b"get", &names[0]]) == expected, "{} bytes", model.map_or(0, |value| value.len()));
            let time = match (&model, expires) { (None, _) => -2, (_, true) => 1000, (_, false) => -1 };
            prop_assert_eq!(run(&[b"pttl", &names[0]]), format!("(integer) {time}"));
        }
    }
}
