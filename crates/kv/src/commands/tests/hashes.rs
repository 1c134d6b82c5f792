//! Sessions on hashes.

use super::session::play;

#[test]
fn fields_by_their_names() {
    play(
        r#"
        > HSET list milk 1 eggs 12
        (integer) 2
        > HSET list milk 2 bread 1
        (integer) 1
        > HGET list milk
        "2"
        > HGET list beer
        (nil)
        > HGET nothing milk
        (nil)
        > HMGET list eggs beer milk
        1) "12"
        2) (nil)
        3) "2"
        > HMGET nothing a b
        1) (nil)
        2) (nil)
        > HLEN list
        (integer) 3
        > HLEN nothing
        (integer) 0
        > HEXISTS list milk
        (integer) 1
        > HEXISTS list beer
        (integer) 0
        > HSTRLEN list eggs
        (integer) 2
        > HSTRLEN list beer
        (integer) 0
        > HSETNX list milk 9
        (integer) 0
        > HSETNX list beer 6
        (integer) 1
        > HMSET list beer 7 "" "\x00"
        OK
        > HMGET list beer ""
        1) "7"
        2) "\x00"
        > HDEL list milk nothing "" milk
        (integer) 2
        > HDEL nothing milk
        (integer) 0
        > HDEL list eggs bread beer
        (integer) 3
        > EXISTS list
        (integer) 0
        "#,
    );
}

#[test]
fn all_fields() {
    play(
        r#"
        > HGETALL nothing
        (empty array)
        > HSET list milk 1 eggs 12
        (integer) 2
        > HGETALL list
        1) "milk"
        2) "1"
        3) "eggs"
        4) "12"
        > HKEYS list
        1) "milk"
        2) "eggs"
        > HVALS list
        1) "1"
        2) "12"
        > HKEYS nothing
        (empty array)
        "#,
    );
}

#[test]
fn numbers() {
    play(
        r#"
        > HINCRBY stock eggs 12
        (integer) 12
        > HINCRBY stock eggs -13
        (integer) -1
        > HGET stock eggs
        "-1"
        > HINCRBY stock eggs 1.5
        (error) NotInteger
        > HSET stock milk "1 l" beer 9223372036854775807
        (integer) 2
        > HINCRBY stock milk 1
        (error) FieldNotInteger
        > HINCRBY stock beer 1
        (error) Overflow
        > HINCRBYFLOAT stock price 0.1
        "0.1"
        > HINCRBYFLOAT stock price 0.2
        "0.3"
        > HINCRBYFLOAT stock price -5.0e3
        "-4999.70000000000000018"
        > HINCRBYFLOAT stock price x
        (error) NotFloat
        > HINCRBYFLOAT stock price inf
        (error) IncrementNotFinite
        > HINCRBYFLOAT stock milk 1
        (error) FieldNotFloat
        > HSET stock much inf
        (integer) 1
        > HINCRBYFLOAT stock much 1
        (error) NotFinite
        "#,
    );
}

#[test]
fn a_scan_of_a_few_fields() {
    play(
        r#"
        > HSET list milk 1 meat 2 eggs 12
        (integer) 3
        > HSCAN list 0
        1) "0"
        2) 1) "milk"
           2) "1"
           3) "meat"
           4) "2"
           5) "eggs"
           6) "12"
        > HSCAN list 0 MATCH m* NOVALUES COUNT 100
        1) "0"
        2) 1) "milk"
           2) "meat"
        > HSCAN list 0 MATCH [xyz]*
        1) "0"
        2) (empty array)
        > HSCAN nothing 0 WHAT
        1) "0"
        2) (empty array)
        > HSCAN list 0 WHAT
        (error) Syntax
        > HSCAN list 0 COUNT 0
        (error) Syntax
        > HSCAN list 0 COUNT x
        (error) NotInteger
        > HSCAN list milk
        (error) InvalidCursor
        "#,
    );
}

#[test]
fn fields_at_random() {
    play(
        r#"
        > HRANDFIELD nothing
        (nil)
        > HRANDFIELD nothing 5
        (empty array)
        > HSET list milk 1
        (integer) 1
        > HRANDFIELD list
        "milk"
        > HRANDFIELD list 5 WITHVALUES
        1) "milk"
        2) "1"
        > HRANDFIELD list -3
        1) "milk"
        2) "milk"
        3) "milk"
        > HRANDFIELD list 0
        (empty array)
        > HRANDFIELD list x
        (error) NotInteger
        > HRANDFIELD list 1 WITHVALUE
        (error) Syntax
        > HRANDFIELD list 1 WITHVALUES 1
        (error) Syntax
        > HRANDFIELD list -9223372036854775808
        (error) OutOfBounds { min: -9223372036854775807, max: 9223372036854775807 }
        > HRANDFIELD list -9223372036854770000 WITHVALUES
        (error) CountOutOfRange
        "#,
    );
}

#[test]
fn a_string_is_no_hash() {
    play(
        r#"
        > SET greeting hello
        OK
        > HGET greeting f
        (error) WrongType
        > HSET greeting f v
        (error) WrongType
        > HMGET greeting f
        (error) WrongType
        > HGETALL greeting
        (error) WrongType
        > HLEN greeting
        (error) WrongType
        > HDEL greeting f
        (error) WrongType
        > HINCRBY greeting f 1
        (error) WrongType
        > HINCRBY greeting f x
        (error) NotInteger
        > HSCAN greeting 0
        (error) WrongType
        > HRANDFIELD greeting
        (error) WrongType
        > HEXPIRE greeting x FIELDS 1 f
        (error) WrongType
        > HTTL greeting FIELDS 1 f
        (error) WrongType
        > HSETEX greeting FIELDS 1 f v
        (error) WrongType
        > HSET list f
        (error) Arity("hset")
        > HSET list f v g
        (error) Arity("hset")
        > HMSET list f v g
        (error) Arity("hmset")
        "#,
    );
}
