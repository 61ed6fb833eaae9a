//! What lets a scheduler that was killed tell its workers so. The next packet of a connection it does
//! not remember is answered by a stateless reset, which the worker believes because only this node
//! could have made it; so both keys behind it come from the node key and outlive the process. Without
//! them a worker waits out QUIC's idle timeout, half a minute, before it connects again.

use quinn::{
    EndpointConfig,
    crypto::{CryptoError, HmacKey},
};
use quinn_proto::HashedConnectionIdGenerator;
use quorate_common::{B256, keccak256, keys::NodeKey};
use std::{sync::Arc, time::Duration};

/// Pause between two resets. quinn's 20 ms would take minutes for the ten thousand workers of a big
/// pool; packets are answered only if their connection id is one of ours, so strangers cannot use
/// this to have traffic reflected.
const PAUSE: Duration = Duration::from_micros(100);

/// UDP settings whose resets are believed after a restart.
pub(crate) fn endpoint_config(node_key: &NodeKey) -> EndpointConfig {
    let key = ResetKey::of(node_key);
    let [a, b, c, d, e, f, g, h, ..] = key.mac(b"connection ids").0;
    let ids = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let mut config = EndpointConfig::new(Arc::new(key));
    config
        .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)))
        .min_reset_interval(PAUSE);
    config
}

/// Makes reset tokens: keccak over a secret and the connection id. (A sponge needs no HMAC.)
struct ResetKey(B256);

impl ResetKey {
    /// ed25519 is deterministic: this signature is never shown, and is the same after every start.
    fn of(node_key: &NodeKey) -> Self {
        Self(keccak256(node_key.sign("quorate stateless reset", b"")))
    }

    fn mac(&self, data: &[u8]) -> B256 {
        keccak256([self.0.as_slice(), data].concat())
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        signature.copy_from_slice(self.mac(data).as_slice());
    }

    fn signature_len(&self) -> usize {
        B256::len_bytes()
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        if self.mac(data).as_slice() == signature { Ok(()) } else { Err(CryptoError) }
    }
}
