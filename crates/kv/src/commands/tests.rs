//! Tests of the commands as sessions of redis-cli.

mod hash_expiry;
mod hash_model;
mod hashes;
mod keys;
mod session;
mod strings;

use super::COMMANDS;
use crate::{args::Args, commands::spec::KeySpec, request::Op, store::Store};
use session::{START, run, words};

/// The arity counts the required words: the name of one word or two, and the words of the syntax that are
/// outside of brackets.
#[test]
fn rows_are_complete() {
    for command in COMMANDS {
        let spec = &command.spec;
        let mut depth = 0;
        let required = spec.syntax.split(' ').filter(|word| {
            let is_required = depth == 0 && !word.starts_with('[');
            depth += word.matches('[').count();
            depth -= word.matches(']').count();
            is_required
        });
        let words = (spec.name.split('|').count() + required.count()) as i32;
        let arity = if spec.syntax.contains('[') { -words } else { words };
        assert_eq!(spec.arity, arity, "{command:?}");
        assert!(!spec.since.is_empty() && !spec.summary.is_empty(), "{command:?}");
    }
}

/// Commands that are executed with others must not return more than these together may.
#[test]
fn writes_that_may_return_values_are_known() {
    let value = "v".repeat(1_000);
    let lines = "set a v; set a v get; set a v ex 9; set a v ex 9 GET; setnx a v; setex a 9 v; psetex a 9 v; \
                 getset a v; getdel a; getex a; getex a ex 9; mset a v; msetnx a v; append a v; \
                 setrange a 0 v; incr n; incrby n 1; incrbyfloat n 1; decr n; decrby n 1; expire a 9; \
                 pexpire a 9000; expireat a 9000000000; pexpireat a 9000000000000; persist a; del a; \
                 unlink a; rename a b; renamenx a b; copy a b; move a 1; hset h f v; hmset h f v; \
                 hsetnx h f v; hdel h f; hincrby h n 1; hincrbyfloat h n 1; hexpire h 9 fields 1 f; \
                 hpexpire h 9000 fields 1 f; hexpireat h 9000000000 fields 1 f; \
                 hpexpireat h 9000000000000 fields 1 f; hpersist h fields 1 f; hgetdel h fields 1 f; \
                 hgetex h fields 1 f; hgetex h ex 9 fields 1 f; hsetex h fields 1 f v";
    let lines: Vec<&str> = lines.split("; ").collect();
    for command in COMMANDS.iter().filter(|command| !command.is_read()) {
        let name = command.spec.name;
        let of_command = lines.iter().filter(|line| line.split(' ').next() == Some(name));
        assert!(of_command.clone().count() > 0, "{name} has a line");
        for line in of_command {
            let store = Store::new();
            for filled in [format!("set a {value}"), format!("hset h f {value} n 1"), "set n 1".into()] {
                run(&store, START, &words(&filled));
            }
            let words = words(line);
            let mut bulks = Vec::new();
            words[2..].iter().for_each(|word| crate::args::push(&mut bulks, word));
            let op = Op::Command { command, args: Args::new(&bulks) };
            let returns_value = run(&store, START, &words).contains(&value);
            assert_eq!(op.may_return_values(), returns_value, "{line}");
            assert!(!returns_value || command.spec.keys == KeySpec::One, "{line}");
        }
    }
}
