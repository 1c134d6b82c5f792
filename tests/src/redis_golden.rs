//! Golden sessions of the Redis protocol, to which a node and Redis must reply alike.
//!
//! `> line` is sent, with the quoting of redis-cli; each `< bytes` after it is one whole reply, escaped,
//! without its last CRLF. A `?` instead matches any one reply. For Redis, `! since 7.4.0` means that older
//! versions reply differently (before the first line: to everything), and `! reason` that Redis replies
//! differently.

use crate::golden::unescape;
use crate::resp::{RespClient, words};

/// A command and the expected replies.
#[derive(Debug, Default)]
struct Step {
    line: usize,
    sent: String,
    /// `None` matches any reply.
    replies: Vec<Option<Vec<u8>>>,
    redis: Redis,
}

/// What Redis replies to the same command.
#[derive(Debug, Default, PartialEq, Eq)]
enum Redis {
    #[default]
    TheSame,
    /// The same from this version on.
    Since(String),
    SomethingElse,
}

/// Plays a session to a node.
///
/// # Panics
/// When replies differ; all of them are shown.
pub fn play(client: &mut RespClient, name: &str, session: &str) {
    let failures = differences(client, session, |step, replies| step.agrees(replies));
    assert!(failures.is_empty(), "{name}\n{failures}");
}

/// Plays a session to Redis of this version.
///
/// # Panics
/// When a reply differs and the session does not say so, or the other way round.
pub fn play_to_redis(client: &mut RespClient, version: &str, name: &str, session: &str) {
    let head = session.lines().take_while(|line| !line.starts_with('>'));
    let mut first = head.filter_map(|line| line.strip_prefix("! since "));
    if first.any(|first| version_numbers(version) < version_numbers(first)) {
        return;
    }
    let failures = differences(client, session, |step, replies| match &step.redis {
        Redis::TheSame => step.agrees(replies),
        Redis::Since(first) => version_numbers(version) < version_numbers(first) || step.agrees(replies),
        Redis::SomethingElse => !step.agrees(replies),
    });
    assert!(failures.is_empty(), "{name}, Redis {version}\n{failures}");
}

fn differences(
    client: &mut RespClient,
    session: &str,
    is_right: impl Fn(&Step, &[Vec<u8>]) -> bool,
) -> String {
    let mut failures = String::new();
    assert_eq!(client.ask("FLUSHALL"), r"+OK\r\n");
    for step in steps(session) {
        client.command(&words(&step.sent));
        let replies: Vec<_> = step.replies.iter().map(|_| client.reply()).collect();
        if !is_right(&step, &replies) {
            let shown: Vec<_> = replies.iter().map(|reply| reply.escape_ascii().to_string()).collect();
            failures +=
                &format!("line {}: {} returned\n    {}\n", step.line, step.sent, shown.join("\n    "));
        }
    }
    assert_eq!(client.ask("ECHO end"), r"$3\r\nend\r\n", "more arrived than the session has");
    failures
}

impl Step {
    fn agrees(&self, replies: &[Vec<u8>]) -> bool {
        let agree = |(expected, reply): (&Option<Vec<u8>>, &Vec<u8>)| {
            expected.as_ref().is_none_or(|expected| expected == reply)
        };
        self.replies.iter().zip(replies).all(agree)
    }
}

fn steps(session: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (index, line) in session.lines().enumerate() {
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        if mark == ">" {
            steps.push(Step { line: index + 1, sent: rest.into(), ..Step::default() });
            continue;
        }
        let Some(step) = steps.last_mut().filter(|_| ["<", "?", "!"].contains(&mark)) else {
            assert!(
                line.is_empty() || mark == "#" || mark == "!",
                "not a line of a golden session: {line:?}"
            );
            continue;
        };
        match (mark, rest.strip_prefix("since ")) {
            ("<", _) => step.replies.push(Some([&unescape(rest.as_bytes())[..], b"\r\n"].concat())),
            ("?", _) => step.replies.push(None),
            (_, Some(version)) => step.redis = Redis::Since(version.into()),
            (_, None) => step.redis = Redis::SomethingElse,
        }
    }
    steps
}

/// A version by its numbers: 7.10.0 comes after 7.4.0.
fn version_numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().expect("a version is numbers")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks() {
        let steps =
            steps("# a comment\n> GET milk\n< $1\\r\\n1\n> TIME\n?\n> NEW\n< +OK\n! since 7.4.0\n! really");
        assert_eq!(steps[0].replies, [Some(b"$1\r\n1\r\n".to_vec())]);
        assert!(steps[1].agrees(&[b"anything".to_vec()]));
        assert_eq!((steps[2].line, &steps[2].redis), (6, &Redis::SomethingElse));
        assert!(version_numbers("7.10.0") > version_numbers("7.4.0"));
    }
}
