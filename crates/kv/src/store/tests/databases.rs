//! The same name is another bucket in each database.

use super::*;
use crate::{
    args::{Args, push},
    commands::spec::Command,
    database::{Database, FullName},
    shard::watch::Watcher,
};
use std::collections::BTreeSet;

/// A request for a command such as `copy`, with the arguments after the first name.
fn run(store: &Store, full: FullName<'_>, command: &str, words: &[&[u8]]) -> String {
    let mut bulks = Vec::new();
    words.iter().for_each(|word| push(&mut bulks, word));
    let command = Command::find(command).expect("a command");
    let op = Op::Command { command, args: Args::new(&bulks) };
    let mut replies = Vec::new();
    store.execute(&[Request { database: full.database, bucket: full.name, op }], 0, |reply| {
        replies.push(format!("{reply:?}"));
        ControlFlow::Continue(())
    });
    replies.remove(0)
}

/// Executes a batch, and returns the replies.
fn outcomes(store: &Store, batch: &[Request<'_>]) -> Vec<bool> {
    let mut outcomes = Vec::new();
    store.execute(batch, 0, |reply| {
        outcomes.push(reply == Reply::Done);
        ControlFlow::Continue(())
    });
    outcomes
}

/// The names that a scan of one database lists.
fn names(store: &Store, database: Database) -> BTreeSet<Vec<u8>> {
    let (mut names, mut cursor) = (BTreeSet::new(), 0);
    loop {
        let page = store.scan(cursor, &ScanFilter { database, count: 1, ..ScanFilter::default() }, 0);
        names.extend(page.names.iter().map(|name| name.to_vec()));
        cursor = page.next;
        if cursor == 0 {
            return names;
        }
    }
}

fn database() -> impl Strategy<Value = Database> {
    (0..DATABASES).prop_map(|index| Database::new(index).expect("one of the databases"))
}

/// Names of any bytes, alike except for a few of them.
fn name() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0), Just(1), Just(b'a'), Just(0xff), any::<u8>()], 0..4)
}

proptest! {
    /// Whatever its bytes, a name of one database is never taken for one of another.
    #[test]
    fn databases_share_nothing(
        steps in prop::collection::vec((database(), name(), 0..4_u8), 1..80),
        threads in 1..3_usize,
    ) {
        let (store, mut model) = (Store::for_threads(threads), BTreeSet::<(Database, Vec<u8>)>::new());
        let ops = [Op::Create, Op::Put { key: b"k", value: b"v" }, Op::Drop, Op::Delete { key: b"k" }];
        let requests: Vec<_> = steps
            .iter()
            .map(|(database, bucket, op)| Request { database: *database, bucket, op: ops[usize::from(*op)] })
            .collect();
        let expected: Vec<bool> = steps
            .iter()
            .map(|(database, bucket, op)| {
                let full = (*database, bucket.clone());
                match op {
                    0 => {
                        model.insert(full);
                        true
                    }
                    2 => model.remove(&full),
                    _ => model.contains(&full),
                }
            })
            .collect();
        prop_assert_eq!(outcomes(&store, &requests), expected);
        for (database, count) in Database::all().zip(store.bucket_counts()) {
            let held = model.iter().filter(|(of, _)| *of == database).map(|(_, name)| name.clone());
            prop_assert_eq!(names(&store, database), held.collect::<BTreeSet<_>>());
            prop_assert_eq!(names(&store, database).len(), count);
            let random = store.random_name(database, 7, 0);
            prop_assert!(random.is_none_or(|name| model.contains(&(database, name.into_vec()))));
        }
    }
}

#[test]
fn buckets_move_and_are_copied_between_databases() {
    for threads in [1, 2] {
        let store = Store::for_threads(threads);
        let [zero, one] = [0, 1].map(|index| Database::new(index).expect("a database"));
        let milk = |database| FullName { database, name: b"milk" };
        run(&store, milk(zero), "hset", &[b"f", b"v"]);
        assert_eq!(run(&store, milk(zero), "copy", &[b"milk", b"DB", b"1"]), "Number(1)");
        assert_eq!(run(&store, milk(zero), "copy", &[b"milk", b"db", b"1"]), "Number(0)");
        assert_eq!(run(&store, milk(zero), "copy", &[b"db", b"DB", b"9", b"DB", b"1"]), "Number(1)");
        assert_eq!(run(&store, milk(one), "hset", &[b"f", b"other"]), "Number(0)");
        assert_eq!(run(&store, milk(zero), "move", &[b"1"]), "Number(0)", "the name is taken");
        assert_eq!(run(&store, milk(zero), "hget", &[b"f"]), "Value([118])");
        assert_eq!(run(&store, milk(one), "del", &[]), "Number(1)");
        assert_eq!(run(&store, milk(zero), "move", &[b"1"]), "Number(1)");
        assert_eq!(run(&store, milk(zero), "move", &[b"1"]), "Number(0)", "it is gone");
        assert_eq!(run(&store, milk(one), "hget", &[b"f"]), "Value([118])");
        assert_eq!(run(&store, milk(one), "move", &[b"1"]), "Error(SameKey)");
        assert_eq!(run(&store, milk(one), "move", &[b"16"]), "Error(DatabaseIndex)");
        assert_eq!(run(&store, milk(one), "move", &[b"x"]), "Error(NotInteger)");
        assert_eq!(store.bucket_counts()[..3], [0, 2, 0]);
        drop(store.flush(Some(zero)));
        assert_eq!(store.bucket_counts()[..3], [0, 2, 0]);
        assert_eq!((store.stats().databases[1].buckets, store.stats().buckets()), (2, 2));
        drop(store.flush(None));
        assert_eq!(store.bucket_counts(), [0; DATABASES]);
    }
}

#[test]
fn a_watch_is_of_one_database() {
    let store = Store::new();
    let [zero, one] = [0, 1].map(|index| Database::new(index).expect("a database"));
    let milk = |database| FullName { database, name: b"milk".as_slice() };
    let watch = |database| {
        let op = Op::Watch { watcher: Watcher { link: 0, connection: 1 } };
        let mut version = 0;
        store.execute(&[Request { database, bucket: b"milk", op }], 0, |reply| {
            if let Reply::Number(number) = reply {
                version = number as u64;
            }
            ControlFlow::Continue(())
        });
        (milk(database), version)
    };
    let watched = [watch(zero), watch(one)];
    run(&store, milk(one), "set", &[b"1"]);
    assert_eq!(store.transact(&watched[..1], &[], TransactionPreparation::default(), 0, |_| {}), Ok(true));
    assert_eq!(store.transact(&watched, &[], TransactionPreparation::default(), 0, |_| {}), Ok(false));
}
