//! Sessions on the expiry of fields.

use super::session::play;

#[test]
fn fields_expire_one_by_one() {
    play(
        r#"
        > HSET list milk 1 eggs 12 beer 6
        (integer) 3
        > HEXPIRE list 10 FIELDS 3 milk eggs nothing
        1) (integer) 1
        2) (integer) 1
        3) (integer) -2
        > HPEXPIRE list 500 FIELDS 1 milk
        1) (integer) 1
        > HTTL list FIELDS 4 milk eggs beer nothing
        1) (integer) 1
        2) (integer) 10
        3) (integer) -1
        4) (integer) -2
        > HPTTL list FIELDS 1 milk
        1) (integer) 500
        > HEXPIRETIME list FIELDS 2 milk beer
        1) (integer) 1700000001
        2) (integer) -1
        > HPEXPIRETIME list FIELDS 1 milk
        1) (integer) 1700000000500
        (499 ms later)
        > HLEN list
        (integer) 3
        (1 ms later)
        > HLEN list
        (integer) 2
        > HGET list milk
        (nil)
        > HEXISTS list milk
        (integer) 0
        > HSTRLEN list milk
        (integer) 0
        > HKEYS list
        1) "eggs"
        2) "beer"
        > HDEL list milk
        (integer) 0
        > HSETNX list milk 2
        (integer) 1
        > HTTL list FIELDS 1 milk
        1) (integer) -1
        "#,
    );
}

#[test]
fn a_hash_goes_with_its_last_field() {
    play(
        r#"
        > HSETEX list PX 100 FIELDS 2 milk 1 eggs 12
        (integer) 1
        > HLEN list
        (integer) 2
        (100 ms later)
        > EXISTS list
        (integer) 0
        > TYPE list
        none
        > SET list hello
        OK
        > DEL list
        (integer) 1
        > HSET list milk 1
        (integer) 1
        > HPEXPIREAT list 1 FIELDS 2 milk milk
        1) (integer) 2
        2) (integer) -2
        > EXISTS list
        (integer) 0
        > HSET list milk 1 eggs 12
        (integer) 2
        > HPEXPIRE list 100 FIELDS 1 eggs
        1) (integer) 1
        (100 ms later)
        > HDEL list milk
        (integer) 1
        > EXISTS list
        (integer) 0
        "#,
    );
}

#[test]
fn what_keeps_a_time_and_what_does_not() {
    play(
        r#"
        > HSET list a 1 b 1 c 1 d 1 e 1
        (integer) 5
        > HEXPIRE list 10 FIELDS 5 a b c d e
        1) (integer) 1
        2) (integer) 1
        3) (integer) 1
        4) (integer) 1
        5) (integer) 1
        > HSET list a 2
        (integer) 0
        > HINCRBY list b 1
        (integer) 2
        > HINCRBYFLOAT list c 0.5
        "1.5"
        > HSETEX list KEEPTTL FIELDS 1 d 2
        (integer) 1
        > HSETEX list FIELDS 1 e 2
        (integer) 1
        > HTTL list FIELDS 5 a b c d e
        1) (integer) -1
        2) (integer) 10
        3) (integer) 10
        4) (integer) 10
        5) (integer) -1
        > HPERSIST list FIELDS 3 a b nothing
        1) (integer) -1
        2) (integer) 1
        3) (integer) -2
        > HTTL list FIELDS 1 b
        1) (integer) -1
        "#,
    );
}

#[test]
fn conditions() {
    play(
        r#"
        > HSET list never 1 soon 1
        (integer) 2
        > HEXPIRE list 10 XX FIELDS 2 never soon
        1) (integer) 0
        2) (integer) 0
        > HEXPIRE list 10 GT FIELDS 1 soon
        1) (integer) 0
        > HEXPIRE list 10 nx FIELDS 1 soon
        1) (integer) 1
        > HEXPIRE list 20 NX FIELDS 1 soon
        1) (integer) 0
        > HEXPIRE list 10 GT FIELDS 1 soon
        1) (integer) 0
        > HEXPIRE list 20 GT FIELDS 1 soon
        1) (integer) 1
        > HEXPIRE list 20 LT FIELDS 1 soon
        1) (integer) 0
        > HEXPIRE list 5 LT FIELDS 2 soon never
        1) (integer) 1
        2) (integer) 1
        > HEXPIREAT list 1 NX FIELDS 3 soon never nothing
        1) (integer) 0
        2) (integer) 0
        3) (integer) -2
        > HEXPIREAT list 1 XX FIELDS 1 soon
        1) (integer) 2
        "#,
    );
}

#[test]
fn values_and_times_at_once() {
    play(
        r#"
        > HSET list milk 1 eggs 12
        (integer) 2
        > HGETEX list EX 10 FIELDS 2 milk nothing
        1) "1"
        2) (nil)
        > HGETEX list FIELDS 1 milk
        1) "1"
        > HTTL list FIELDS 2 milk eggs
        1) (integer) 10
        2) (integer) -1
        > HGETEX list PERSIST FIELDS 2 milk eggs
        1) "1"
        2) "12"
        > HTTL list FIELDS 1 milk
        1) (integer) -1
        > HGETEX list PXAT 1 FIELDS 2 milk eggs
        1) "1"
        2) "12"
        > EXISTS list
        (integer) 0
        > HGETEX nothing EX 10 FIELDS 1 milk
        1) (nil)
        > HSETEX list FXX FIELDS 1 milk 1
        (integer) 0
        > EXISTS list
        (integer) 0
        > HSETEX list FNX EX 10 FIELDS 1 milk 1
        (integer) 1
        > HSETEX list FNX FIELDS 2 eggs 12 milk 2
        (integer) 0
        > HSETEX list PX 500 FXX FIELDS 1 milk 2
        (integer) 1
        > HPTTL list FIELDS 1 milk
        1) (integer) 500
        > HGETDEL list FIELDS 3 milk milk nothing
        1) "2"
        2) (nil)
        3) (nil)
        > EXISTS list
        (integer) 0
        > HGETDEL list FIELDS 1 milk
        1) (nil)
        > HSETEX list EXAT 0 FIELDS 1 milk 1
        (integer) 1
        > EXISTS list
        (integer) 0
        "#,
    );
}

#[test]
fn what_is_refused() {
    play(
        r#"
        > HEXPIRE list 10 FIELDS 2 a
        (error) FieldCountMismatch
        > HEXPIRE list 10 FIELDS 0 a
        (error) FieldCount("hexpire")
        > HEXPIRE list 10 YY FIELDS 1 a
        (error) FieldsMissing
        > HEXPIRE list 10 NX XX FIELDS 1 a
        (error) FieldsMissing
        > HEXPIRE list x FIELDS 1 a
        (error) NotInteger
        > HEXPIRE list -1 FIELDS 1 a
        (error) NegativeExpireTime
        > HEXPIRE list 9223372036854775807 FIELDS 1 a
        (error) InvalidExpireTime("hexpire")
        > HPEXPIREAT list 70368744177664 FIELDS 1 a
        (error) InvalidExpireTime("hpexpireat")
        > HPEXPIREAT list 70368744177663 FIELDS 1 a
        1) (integer) -2
        > HTTL list FIELDS 0 a
        (error) FieldCount("httl")
        > HTTL list FIELD 1 a
        (error) FieldsMissing
        > HPERSIST list FIELDS 1 a b
        (error) FieldCountMismatch
        > HGETDEL list FIELDS x a
        (error) FieldCount("hgetdel")
        > HGETEX list EX x FIELDS 1 a
        (error) NotInteger
        > HGETEX list PERSIST 1 FIELDS 1 a
        (error) FieldsMissing
        > HSETEX list FXX FNX FIELDS 1 a b
        (error) FnxFxxConflict
        > HSETEX list EX 1 KEEPTTL FIELDS 1 a b
        (error) ExpiryConflict
        > HSETEX list NX FIELDS 1 a b
        (error) UnknownArgument("NX")
        > HSETEX list FIELDS 0 a b
        (error) FieldCount("hsetex")
        > HSETEX list FIELDS 2 a b c
        (error) Arity("hsetex")
        > HSETEX list EX 10 FNX a b
        (error) UnknownArgument("a")
        "#,
    );
}
