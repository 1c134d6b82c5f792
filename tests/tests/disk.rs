//! Durable nodes on disks that are full, and on disks that forget what was not synced.

use tests::{Release, RespClient, SmallDisk, resp, wait_until};

/// Bytes that a node wants free on a disk of [`DISK_MEBIBYTES`] before it writes: a sixteenth.
const RESERVE_BYTES: u64 = 2 * MIB;
const DISK_MEBIBYTES: u32 = 32;
const MIB: u64 = 1024 * 1024;

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Acknowledged,
    Refused,
    Unknown,
}

/// Writes keys, each once.
struct Writer {
    client: RespClient,
    value: String,
    outcomes: Vec<Outcome>,
}

impl Writer {
    fn new(node: &Release, value_bytes: usize) -> Writer {
        Writer { client: node.resp(), value: "x".repeat(value_bytes), outcomes: Vec::new() }
    }

    fn write(&mut self) -> Outcome {
        let (number, value) = (self.outcomes.len(), &self.value);
        let reply = self.client.ask(&format!("SET key{number} {value}"));
        let outcome = match reply.as_str() {
            "+OK\\r\\n" => Outcome::Acknowledged,
            reply if reply.starts_with("-MISCONF range .. cannot write: ") => {
                assert!(reply.ends_with("nothing was done\\r\\n"), "{reply}");
                Outcome::Refused
            }
            reply if reply.starts_with("-ERR outcome unknown: ") => Outcome::Unknown,
            reply => panic!("{reply}"),
        };
        self.outcomes.push(outcome);
        outcome
    }

    fn write_until(&mut self, wanted: Outcome) {
        wait_until(&format!("a write is {wanted:?}"), || self.write() == wanted);
    }

    /// Every key is there as it must be.
    fn check(&mut self) {
        let length = format!(":{}\\r\\n", self.value.len());
        for (number, outcome) in self.outcomes.iter().enumerate() {
            let found = self.client.ask(&format!("STRLEN key{number}"));
            let is_right = match outcome {
                Outcome::Acknowledged => found == length,
                Outcome::Refused => found == ":0\\r\\n",
                Outcome::Unknown => [length.as_str(), ":0\\r\\n"].contains(&found.as_str()),
            };
            assert!(is_right, "key{number}: {outcome:?}, {found}");
        }
    }
}

#[test]
fn a_log_that_takes_most_of_the_disk_is_cut_before_and_after_it_is_full() {
    let Some(disk) = SmallDisk::in_memory(160) else { return };
    let node = Release::durable_in(&disk.path());
    let mut client = node.resp();
    let command = format!("SET key {}", "x".repeat(100_000));
    for _ in 0..3_000 {
        // It may be faster than the cuts: then it is refused until there is room.
        wait_until("the key is written", || client.ask(&command) == "+OK\\r\\n");
    }
    assert_eq!(client.ask("STRLEN key"), ":100000\\r\\n");
}

#[test]
fn a_full_disk_refuses_writes_before_it_is_full_and_takes_them_again_when_there_is_space() {
    let Some(disk) = SmallDisk::in_memory(DISK_MEBIBYTES) else { return };
    let mut node = Release::durable_in(&disk.path());
    let mut writer = Writer::new(&node, 4_096);
    assert_eq!(node.client().ask("CREATE shopping"), "OK");
    (0..10).for_each(|_| assert_eq!(writer.write(), Outcome::Acknowledged));

    disk.fill(RESERVE_BYTES + MIB / 4);
    writer.write_until(Outcome::Refused);
    let text = node.client().ask("PUT shopping milk 1");
    assert!(
        text.starts_with("ERROR range .. cannot write: less than 2.1 MB are free on the disk of /"),
        "{text}"
    );
    let deletion = node.resp().ask("DEL key0");
    assert!(deletion.starts_with("-MISCONF range .. cannot write: less than 2.1 MB are free"), "{deletion}");
    assert!(!writer.outcomes.contains(&Outcome::Unknown), "the log has not seen the full disk");
    writer.check();
    node.wait_for_log(&["the disk is full: writes are refused"]);

    disk.free();
    writer.write_until(Outcome::Acknowledged);
    assert_eq!(node.client().ask("PUT shopping milk 1"), "OK");
    node.kill_and_restart();
    node.wait_until_loaded();
    writer.client = node.resp();
    writer.check();
    assert_eq!(node.client().get("shopping", "milk"), "1");
}

/// A disk may be full in less time than between two looks at it.
#[test]
fn a_fast_writer_leaves_the_reserve_and_no_outcome_is_unknown() {
    let Some(disk) = SmallDisk::in_memory(DISK_MEBIBYTES) else { return };
    let node = Release::durable_in(&disk.path());
    let mut writers: Vec<RespClient> = (0..4).map(|_| node.resp()).collect();
    let value = "x".repeat(256 * 1024);
    for (number, client) in writers.iter_mut().enumerate() {
        let writes = (0..40).flat_map(|key| resp::command(&["SET", &format!("{number}-{key}"), &value]));
        client.send(writes.collect::<Vec<u8>>());
    }
    let mut acknowledged = Vec::new();
    for (number, client) in writers.iter_mut().enumerate() {
        for key in 0..40 {
            match String::from_utf8(client.reply()).expect("text").trim_end() {
                "+OK" => acknowledged.push(format!("{number}-{key}")),
                refused => assert!(refused.starts_with("-MISCONF range .. cannot write: "), "{refused}"),
            }
        }
    }
    assert!(!acknowledged.is_empty() && acknowledged.len() < 160, "{}", acknowledged.len());
    assert!(disk.free_bytes() > RESERVE_BYTES / 2, "{} bytes are free", disk.free_bytes());
    let log = node.log();
    assert!(!log.contains("the log has failed") && !log.contains("openraft"), "{log}");
    for key in acknowledged {
        assert_eq!(writers[0].ask(&format!("STRLEN {key}")), format!(":{}\\r\\n", value.len()));
    }
}

#[test]
fn flushall_does_nothing_at_all_while_a_range_refuses_it() {
    let Some(disk) = SmallDisk::in_memory(DISK_MEBIBYTES) else { return };
    let routes = "[[routes]]\nbuckets = \"a..m\"\nnodes = [\"foo@127.0.0.1\"]\ndurable = false\n\
                  [[routes]]\nbuckets = \"n..\"\nnodes = [\"foo@127.0.0.1\"]\n";
    let mut node = Release::durable_in_with(&disk.path(), routes);
    let mut resp = node.resp();
    for command in ["SET apple 1", "SET pear 1"] {
        assert_eq!(resp.ask(command), "+OK\\r\\n");
    }
    disk.fill(RESERVE_BYTES / 2);
    wait_until("writes are refused", || {
        resp.ask("SET pear 1").starts_with("-MISCONF range n.. cannot write: ")
    });
    for command in ["FLUSHALL", "FLUSHDB", "FLUSHALL ASYNC"] {
        let refused = resp.ask(command);
        assert!(refused.starts_with("-MISCONF range n.. cannot write: "), "{command}: {refused}");
        assert!(refused.ends_with("nothing was done\\r\\n"), "{command}: {refused}");
        assert_eq!(resp.ask("MGET apple pear"), "*2\\r\\n$1\\r\\n1\\r\\n$1\\r\\n1\\r\\n", "{command}");
    }
    assert_eq!(resp.ask("SET apple 2"), "+OK\\r\\n");
    disk.free();
    wait_until("there is space", || resp.ask("FLUSHALL") == "+OK\\r\\n");
    assert_eq!(resp.ask("DBSIZE"), ":0\\r\\n");
    node.kill_and_restart();
    node.wait_until_loaded();
    assert_eq!(node.resp().ask("DBSIZE"), ":0\\r\\n");
}

#[test]
fn a_disk_that_fills_up_at_once_and_a_start_on_it_lose_nothing() {
    let Some(disk) = SmallDisk::in_memory(DISK_MEBIBYTES) else { return };
    let mut node = Release::durable_in(&disk.path());
    let mut writer = Writer::new(&node, 32_768);
    for round in 0..6 {
        (0..10).for_each(|_| assert_eq!(writer.write(), Outcome::Acknowledged));
        // Between two looks at the disk: a write runs into its end.
        disk.fill(0);
        writer.write_until(Outcome::Refused);
        writer.check();
        if round % 2 == 1 {
            // The log of a node that starts needs space, which the reserved file has kept.
            node.kill_and_restart();
            node.wait_until_loaded();
            writer.client = node.resp();
            writer.check();
            // There may be as much space as a log had that failed before.
            writer.write_until(Outcome::Refused);
            writer.check();
        }
        disk.free();
        writer.write_until(Outcome::Acknowledged);
        node.kill_and_restart();
        node.wait_until_loaded();
        writer.client = node.resp();
        writer.check();
    }
    assert!(writer.outcomes.contains(&Outcome::Unknown), "the log has seen the full disk");
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    let Some(mut disk) = SmallDisk::in_file(128) else { return };
    let mut writer: Option<Writer> = None;
    for round in 0..8 {
        let mut node = Release::durable_in(&disk.path());
        let client = node.resp();
        let writer = match &mut writer {
            Some(writer) => {
                writer.client = client;
                writer.check();
                writer
            }
            None => writer.insert(Writer::new(&node, 1_000)),
        };
        (0..5 + round * 17).for_each(|_| assert_eq!(writer.write(), Outcome::Acknowledged));
        node.kill();
        disk = disk.after_power_cut();
    }
}
