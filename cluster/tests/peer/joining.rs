//! How a node joins: with the token of the right cluster it becomes a member that others speak to, and each
//! thing that can be wrong is told in its own words.

use tidekeep_cluster::peer::{
    Identity, JoinError, JoinRefused, JoinRequest, JoinToken, NodeKey, Secret, join,
};
use tidekeep_cluster::{NodeId, PeerAddress};
use tokio::net::TcpListener;

use crate::nodes::{Desk, Running, SECRET, call, echo, founded, network, run};

fn address(text: &str) -> PeerAddress {
    PeerAddress { address: text.into() }
}

fn request(key: &NodeKey, secret: Secret) -> JoinRequest {
    JoinRequest {
        secret,
        signing_request: key.request().expect("a request"),
        peer_address: address("127.0.0.1:9999"),
        client_address: "127.0.0.1:9998".into(),
        zone: "here".into(),
        weight: 1,
        version: "0.1.0".into(),
    }
}

/// An address at which nothing answers.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

#[test]
fn a_node_with_a_token_becomes_a_member() {
    run(async {
        let (first, desk) = (founded(), Desk::new());
        let token = JoinToken { authority: first.authority().fingerprint(), secret: SECRET };
        let token = token.to_string().parse().expect("a token");
        let cluster = first.cluster();
        let first = Running::start(first, &desk).await;
        let key = NodeKey::make().unwrap();
        let addresses = [nowhere().await, first.at.address.clone()];
        let grant = join(&addresses, &token, &request(&key, token.secret)).await.expect("a grant");
        assert_eq!((grant.cluster, grant.node), (cluster, NodeId(7)));
        assert_eq!(grant.peers.len(), 1);
        let joined = Identity::joined(key, address("127.0.0.1:9999"), &grant).expect("a member");
        let reply = call(&network(&joined), 1, &first.at, "hello").await;
        assert_eq!(reply, Ok(echo(7, "hello")));
    });
}

#[test]
fn a_token_of_another_cluster_is_noticed_before_its_secret_is_told() {
    run(async {
        let desk = Desk::new();
        let first = Running::start(founded(), &desk).await;
        let token = JoinToken { authority: founded().authority().fingerprint(), secret: SECRET };
        let addresses = [first.at.address.clone()];
        let key = NodeKey::make().unwrap();
        let refused = join(&addresses, &token, &request(&key, SECRET)).await;
        assert_eq!(refused, Err(JoinError::OtherCluster(first.at.address.clone())));
    });
}

#[test]
fn what_the_cluster_refuses_is_told() {
    run(async {
        let (first, desk) = (founded(), Desk::new());
        let token = JoinToken { authority: first.authority().fingerprint(), secret: SECRET };
        let taken = first.address().clone();
        let first = Running::start(first, &desk).await;
        let addresses = [first.at.address.clone()];
        let key = NodeKey::make().unwrap();
        let refused = join(&addresses, &token, &request(&key, Secret([1; 16]))).await;
        assert_eq!(refused, Err(JoinError::Refused(JoinRefused::TokenUnknown)));
        let again = JoinRequest { peer_address: taken.clone(), ..request(&key, SECRET) };
        let refused = join(&addresses, &token, &again).await;
        assert_eq!(refused, Err(JoinError::Refused(JoinRefused::AddressUsed(taken.address))));
        let unsigned = JoinRequest { zone: "z".repeat(20_000), ..request(&key, SECRET) };
        let refused = join(&addresses, &token, &unsigned).await;
        assert!(matches!(refused, Err(JoinError::TooLong(bytes)) if bytes > 20_000), "{refused:?}");
    });
}

#[test]
fn where_nobody_answers_every_address_is_named() {
    run(async {
        let token = JoinToken { authority: founded().authority().fingerprint(), secret: SECRET };
        let addresses = [nowhere().await, "nonsense".into()];
        let key = NodeKey::make().unwrap();
        let why = join(&addresses, &token, &request(&key, SECRET)).await.unwrap_err();
        let why = why.to_string();
        assert!(addresses.iter().all(|address| why.contains(address)), "{why}");
        let why = join(&[], &token, &request(&key, SECRET)).await.unwrap_err();
        assert!(matches!(why, JoinError::Unreachable(_)), "{why}");
    });
}
