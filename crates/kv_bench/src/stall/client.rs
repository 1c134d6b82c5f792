//! A client that sends many commands at once, and one that waits for each reply.

use crate::{
    error::{Context, Error},
    limits,
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
};

/// What the last reply of an exchange ends with.
const END: &[u8] = b"$9\r\nstall-end\r\n";

/// A connection that speaks RESP.
pub(super) struct Client(TcpStream);

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Result<Client, Error> {
        let stream = TcpStream::connect(address).context("cannot connect")?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        stream.set_read_timeout(Some(limits::STALL_TIMEOUT)).context("cannot set a timeout")?;
        Ok(Client(stream))
    }

    /// Sends commands, and reads their replies meanwhile.
    pub(super) fn exchange(&mut self, mut commands: Vec<u8>) -> Result<(), Error> {
        commands.extend_from_slice(&command(&[b"ECHO", b"stall-end"]));
        let mut writer = self.0.try_clone().context("cannot share a connection")?;
        let writing = thread::spawn(move || writer.write_all(&commands));
        let (mut buffer, mut last) = (vec![0; limits::READ_BYTES], Vec::new());
        while !last.ends_with(END) {
            match self.0.read(&mut buffer).context("cannot read a reply")? {
                0 => return Err(Error::Closed),
                read => last.extend_from_slice(&buffer[..read]),
            }
            last.drain(..last.len().saturating_sub(END.len()));
        }
        writing.join().unwrap_or(Ok(())).context("cannot send")
    }

    /// Sends one command and waits for its reply, which fits one read.
    pub(super) fn ask(&mut self, command: &[u8]) -> Result<(), Error> {
        self.0.write_all(command).context("cannot send")?;
        match self.0.read(&mut [0; 64]).context("cannot read a reply")? {
            0 => Err(Error::Closed),
            _ => Ok(()),
        }
    }
}

/// A command as RESP encodes it.
pub(super) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
