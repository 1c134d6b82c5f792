//! The cluster's shared secret, and the proofs by which a node shows that it knows it without sending it.

use crate::node_name::NodeName;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// The secret shared by all nodes of a cluster. It is never sent and never printed.
#[derive(Clone)]
pub struct Cookie(Box<[u8]>);

/// A random number used once, so that no proof is valid twice.
pub(crate) type Nonce = [u8; 32];

/// A MAC that only a holder of the cookie can make.
pub(crate) type Proof = [u8; 32];

/// The side of a handshake that makes a proof. It is part of the MAC, so that a reflected proof is invalid.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    Dialer,
    Listener,
}

/// One handshake: the names and nonces of both sides.
#[derive(Debug, Clone)]
pub(crate) struct Transcript {
    pub(crate) dialer: NodeName,
    pub(crate) listener: NodeName,
    pub(crate) dialer_nonce: Nonce,
    pub(crate) listener_nonce: Nonce,
}

impl Cookie {
    /// A cookie of these bytes.
    pub fn new(secret: impl AsRef<[u8]>) -> Cookie {
        Cookie(secret.as_ref().into())
    }

    /// The proof of one side.
    pub(crate) fn prove(&self, role: Role, transcript: &Transcript) -> Proof {
        self.mac(role, transcript).finalize().into_bytes().into()
    }

    /// Whether the other side's proof is right, in constant time.
    pub(crate) fn verify(&self, role: Role, transcript: &Transcript, proof: &Proof) -> bool {
        self.mac(role, transcript).verify_slice(proof).is_ok()
    }

    fn mac(&self, role: Role, transcript: &Transcript) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(match role {
            Role::Dialer => b"kv link dialer",
            Role::Listener => b"kv link listener",
        });
        for name in [&transcript.dialer, &transcript.listener] {
            mac.update(&(name.as_str().len() as u64).to_be_bytes());
            mac.update(name.as_str().as_bytes());
        }
        mac.update(&transcript.dialer_nonce);
        mac.update(&transcript.listener_nonce);
        mac
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie(hidden)")
    }
}

/// A fresh nonce from the system's randomness.
pub(crate) fn nonce() -> Nonce {
    let mut nonce = Nonce::default();
    getrandom::fill(&mut nonce).expect("the system has randomness");
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript() -> Transcript {
        Transcript {
            dialer: "bar@host".parse().unwrap(),
            listener: "foo@host".parse().unwrap(),
            dialer_nonce: nonce(),
            listener_nonce: nonce(),
        }
    }

    #[test]
    fn a_proof_holds_for_its_cookie_role_names_and_nonces_alone() {
        let (cookie, transcript) = (Cookie::new("weknoweachother"), transcript());
        let proof = cookie.prove(Role::Dialer, &transcript);
        assert!(cookie.verify(Role::Dialer, &transcript, &proof));
        assert!(!cookie.verify(Role::Listener, &transcript, &proof), "a reflected proof");
        assert!(!Cookie::new("another").verify(Role::Dialer, &transcript, &proof));
        let others = [
            Transcript { dialer: "baz@host".parse().unwrap(), ..transcript.clone() },
            Transcript { listener: "baz@host".parse().unwrap(), ..transcript.clone() },
            Transcript { dialer_nonce: nonce(), ..transcript.clone() },
            Transcript { listener_nonce: nonce(), ..transcript.clone() },
        ];
        for other in others {
            assert!(!cookie.verify(Role::Dialer, &other, &proof), "{other:?}");
        }
    }

    #[test]
    fn the_cookie_is_not_printed() {
        assert_eq!(format!("{:?}", Cookie::new("weknoweachother")), "Cookie(hidden)");
    }
}
