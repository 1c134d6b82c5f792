//! The cluster's shared secret, and the proofs that a node knows it without saying it.

use crate::node_name::NodeName;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// The secret that all nodes of a cluster share. It never crosses the wire and is never printed.
#[derive(Clone)]
pub struct Cookie(Box<[u8]>);

/// A number used once, so that no proof can be used twice.
pub(crate) type Nonce = [u8; 32];

/// What only one who knows the cookie can say.
pub(crate) type Proof = [u8; 32];

/// Which side of a handshake a proof speaks for; a proof that is sent back to its sender proves nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    Dialer,
    Listener,
}

/// One handshake: who meets whom, and the nonces of both.
#[derive(Debug, Clone)]
pub(crate) struct Meeting {
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
    pub(crate) fn prove(&self, role: Role, meeting: &Meeting) -> Proof {
        self.mac(role, meeting).finalize().into_bytes().into()
    }

    /// Whether the other side's proof is right, in constant time.
    pub(crate) fn verify(&self, role: Role, meeting: &Meeting, proof: &Proof) -> bool {
        self.mac(role, meeting).verify_slice(proof).is_ok()
    }

    fn mac(&self, role: Role, meeting: &Meeting) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(match role {
            Role::Dialer => b"kv link dialer",
            Role::Listener => b"kv link listener",
        });
        for name in [&meeting.dialer, &meeting.listener] {
            mac.update(&(name.as_str().len() as u64).to_be_bytes());
            mac.update(name.as_str().as_bytes());
        }
        mac.update(&meeting.dialer_nonce);
        mac.update(&meeting.listener_nonce);
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

    fn meeting() -> Meeting {
        Meeting {
            dialer: "bar@host".parse().unwrap(),
            listener: "foo@host".parse().unwrap(),
            dialer_nonce: nonce(),
            listener_nonce: nonce(),
        }
    }

    #[test]
    fn a_proof_holds_for_its_cookie_role_names_and_nonces_alone() {
        let (cookie, meeting) = (Cookie::new("weknoweachother"), meeting());
        let proof = cookie.prove(Role::Dialer, &meeting);
        assert!(cookie.verify(Role::Dialer, &meeting, &proof));
        assert!(!cookie.verify(Role::Listener, &meeting, &proof), "a reflected proof");
        assert!(!Cookie::new("another").verify(Role::Dialer, &meeting, &proof));
        let others = [
            Meeting { dialer: "baz@host".parse().unwrap(), ..meeting.clone() },
            Meeting { listener: "baz@host".parse().unwrap(), ..meeting.clone() },
            Meeting { dialer_nonce: nonce(), ..meeting.clone() },
            Meeting { listener_nonce: nonce(), ..meeting.clone() },
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
