//! A Redis server whose replies a test writes down, for what a real one does only by chance.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

/// Serves one connection on a port of 127.0.0.1, which it returns. A command that has no reply ends the
/// connection.
pub fn scripted_redis(replies: &[(&str, &str)]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let replies: HashMap<_, _> =
        replies.iter().map(|(command, reply)| (command.to_string(), reply.to_string())).collect();
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        let mut input = BufReader::new(stream);
        while let Some(reply) = command(&mut input).and_then(|command| replies.get(&command)) {
            input.get_mut().write_all(reply.as_bytes()).expect("the client reads");
        }
    });
    port
}

/// The words of the next command.
fn command(input: &mut BufReader<TcpStream>) -> Option<String> {
    let mut header = |kind: char| {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let length = line.trim_end().strip_prefix(kind)?.parse::<usize>().ok()?;
        let mut word = vec![0; if kind == '$' { length + 2 } else { 0 }];
        input.read_exact(&mut word).ok()?;
        Some((length, String::from_utf8(word).ok()?.trim_end().to_owned()))
    };
    let (words, _) = header('*')?;
    let words: Option<Vec<_>> = (0..words).map(|_| Some(header('$')?.1)).collect();
    Some(words?.join(" "))
}
