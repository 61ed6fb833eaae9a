//! Keys: from a secret to what others see, and the signature that binds one key to the other.

use crate::{
    golden,
    json::{Json, hex, word},
};
use alloy_primitives::Address;
use quorate_common::{
    digest::Digest,
    ids::PoolId,
    invite::Invite,
    keys::{NodeKey, VoteKey, node_signed, recover},
    messages::Domain,
    wire::{BINDING_CONTEXT, Hello},
};

fn node_keys() -> Vec<Json> {
    let case = |secret: [u8; 32]| {
        let key = NodeKey::from_bytes(&secret);
        let message = b"a message";
        let signature = key.sign("a context", message);
        assert!(node_signed(key.public(), "a context", message, &signature));
        assert!(!node_signed(key.public(), "another", message, &signature));
        Json::Object(vec![
            ("secret", hex(&secret)),
            ("public", hex(key.public().as_slice())),
            ("context", "a context".into()),
            ("message", hex(message)),
            ("signature", hex(&signature)),
        ])
    };
    vec![case([1; 32]), case(word("node").0)]
}

fn vote_keys() -> Vec<Json> {
    let case = |secret: [u8; 32]| {
        let key = VoteKey::from_bytes(&secret).unwrap();
        let digest = word("a digest");
        let signature = key.sign(digest);
        assert_eq!(recover(digest, &signature), Some(key.address()));
        Json::Object(vec![
            ("secret", hex(&secret)),
            ("address", key.address().into()),
            ("digest", digest.into()),
            ("r", signature.r.into()),
            ("vs", signature.vs.into()),
        ])
    };
    vec![case([1; 32]), case(word("vote").0)]
}

fn binding(domain: Domain) -> Json {
    let (node, vote) = (NodeKey::from_bytes(&[1; 32]), VoteKey::from_bytes(&[2; 32]).unwrap());
    let message = Hello::binding_message(&domain.separator(), PoolId(7), vote.address());
    let signature = node.sign(BINDING_CONTEXT, &message);
    Json::Object(vec![
        ("node", hex(node.public().as_slice())),
        ("voteKey", vote.address().into()),
        ("poolId", 7_u32.into()),
        ("context", BINDING_CONTEXT.into()),
        ("message", hex(&message)),
        ("signature", hex(&signature)),
    ])
}

fn invites(domain: Domain) -> Vec<Json> {
    let bare = Invite {
        address: "pool.example:7421".into(),
        node_key: NodeKey::from_bytes(&[1; 32]).public(),
        pool: PoolId(7),
        domain,
        rpc: None,
        api: None,
    };
    let full = Invite {
        address: "[2001:db8::1]:7421".into(),
        rpc: Some("https://node.example/?key=a&b=c".into()),
        api: Some("http://pool.example:7420".into()),
        ..bare.clone()
    };
    let case = |invite: Invite| {
        let text = invite.to_string();
        assert_eq!(text.parse(), Ok(invite));
        text
    };
    vec![case(bare).into(), case(full).into()]
}

#[test]
fn identity() {
    let domain = Domain { chain_id: 31_337, contract: Address::repeat_byte(0xc7) };
    let blob = |bytes: &[u8]| {
        Json::Object(vec![("bytes", hex(bytes)), ("digest", Digest::of(bytes).to_string().into())])
    };
    golden(
        "identity.json",
        &Json::Object(vec![
            ("nodeKeys", node_keys().into()),
            ("voteKeys", vote_keys().into()),
            ("binding", binding(domain)),
            ("invites", invites(domain).into()),
            ("blobs", vec![blob(b""), blob(b"abc")].into()),
        ]),
    );
}
