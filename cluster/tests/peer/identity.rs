//! Who a node is, across restarts and against what may lie in its folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tidekeep_cluster::peer::{ClusterId, FolderError, Identity, JoinGrant, NodeKey};
use tidekeep_cluster::{NodeId, PeerAddress};
use tidekeep_protocol::slot::GroupCount;

fn address(text: &str) -> PeerAddress {
    PeerAddress { address: text.into() }
}

fn founded() -> Identity {
    Identity::found(ClusterId([9; 16]), GroupCount::ONE, address("10.0.0.1:9081"))
        .expect("a new cluster")
}

fn grant(by: &Identity, node: NodeId, key: &NodeKey) -> JoinGrant {
    let (authority, request) = (by.authority(), key.request().expect("a request"));
    JoinGrant {
        cluster: by.cluster(),
        node,
        certificate: authority.sign(node, &request).expect("a certificate"),
        authority: authority.certificate().to_vec(),
        authority_key: authority.key().to_vec(),
        peers: vec![(by.node(), by.address().clone())],
    }
}

fn load(directory: &Path) -> Result<Option<Identity>, FolderError> {
    Identity::load(directory)
}

#[test]
fn a_node_is_who_it_was() {
    let directory = tempfile::tempdir().unwrap();
    assert!(load(directory.path()).unwrap().is_none());
    let before = founded();
    before.store(directory.path()).unwrap();
    let after = load(directory.path()).unwrap().expect("a member");
    assert_eq!((after.cluster(), after.node()), (before.cluster(), NodeId(1)));
    assert_eq!(after.address(), before.address());
    assert_eq!(after.authority().fingerprint(), before.authority().fingerprint());
    assert_eq!(after.authority().key(), before.authority().key());
    for file in fs::read_dir(directory.path().join("cluster")).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} can be read by others", file.file_name());
    }
}

#[test]
fn any_member_can_take_the_next_one_in() {
    let first = founded();
    let key = NodeKey::make().unwrap();
    let second = grant(&first, NodeId(2), &key);
    let second = Identity::joined(key, address("10.0.0.2:9081"), &second).unwrap();
    let key = NodeKey::make().unwrap();
    let third = grant(&second, NodeId(3), &key);
    let third = Identity::joined(key, address("10.0.0.3:9081"), &third).unwrap();
    assert_eq!((third.cluster(), third.node()), (first.cluster(), NodeId(3)));
}

#[test]
fn a_grant_for_another_key_or_node_is_refused() {
    let first = founded();
    let (key, other) = (NodeKey::make().unwrap(), NodeKey::make().unwrap());
    let granted = grant(&first, NodeId(2), &other);
    assert!(Identity::joined(key, address("10.0.0.2:9081"), &granted).is_err());
    let wrong = JoinGrant { node: NodeId(3), ..granted.clone() };
    assert!(Identity::joined(other, address("10.0.0.2:9081"), &wrong).is_err());
    let key = NodeKey::make().unwrap();
    let stranger = grant(&founded(), NodeId(2), &key);
    let mixed = JoinGrant { certificate: grant(&first, NodeId(2), &key).certificate, ..stranger };
    assert!(Identity::joined(key, address("10.0.0.2:9081"), &mixed).is_err());
}

#[test]
fn a_joiner_that_is_interrupted_keeps_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let first = NodeKey::kept_in(directory.path()).unwrap();
    let again = NodeKey::kept_in(directory.path()).unwrap();
    assert_eq!(first.to_der(), again.to_der());
    assert!(load(directory.path()).unwrap().is_none(), "it is no member yet");
}

#[test]
fn what_is_damaged_is_named() {
    let names = ["cluster.json", "ca.pem", "ca-key.pem", "node.pem", "node-key.pem"];
    for (name, content) in names.iter().flat_map(|name| [(name, ""), (name, "{}"), (name, "\0")]) {
        let directory = tempfile::tempdir().unwrap();
        founded().store(directory.path()).unwrap();
        fs::write(directory.path().join("cluster").join(name), content).unwrap();
        let why = load(directory.path()).err().unwrap_or_else(|| panic!("{name} was {content:?}"));
        assert!(matches!(&why, FolderError::Damaged { .. }), "{why}");
        assert!(why.to_string().contains(name), "{why}");
    }
}

#[test]
fn files_of_another_node_are_noticed() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    founded().store(one.path()).unwrap();
    founded().store(other.path()).unwrap();
    for name in ["ca.pem", "ca-key.pem", "node.pem", "node-key.pem"] {
        let file = |directory: &Path| directory.join("cluster").join(name);
        let kept = fs::read(file(one.path())).unwrap();
        fs::copy(file(other.path()), file(one.path())).unwrap();
        assert!(matches!(load(one.path()), Err(FolderError::Damaged { .. })), "{name}");
        fs::write(file(one.path()), kept).unwrap();
    }
    assert!(load(one.path()).unwrap().is_some());
}

#[test]
fn what_a_node_has_learnt_of_its_cluster_is_there_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let mut identity = founded();
    identity.store(data.path()).unwrap();
    let load = || Identity::load(data.path()).unwrap().expect("it is a node");
    assert_eq!(load().incarnation(), None);
    let groups = GroupCount::new(4).unwrap();
    identity.learn(77, groups, data.path()).unwrap();
    assert_eq!((load().incarnation(), load().groups()), (Some(77), Some(groups)));
    assert_eq!(load().node(), identity.node());
}
