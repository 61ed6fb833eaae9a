//! The tree against its promises: what the meter counts is what the tree holds, paths stay short
//! and inside, and what is gone costs nothing.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;

use super::*;

/// What the tree holds in an area: bytes of all files and number of nodes, without the root.
pub(crate) fn held(tree: &Tree, area: Area) -> (u64, u64) {
    let nodes = tree.nodes.iter().filter(|(ino, node)| node.area == area && **ino != area.root());
    nodes.fold((0, 0), |(bytes, count), (ino, _)| (bytes + tree.stat(*ino).unwrap().len, count + 1))
}

/// Nodes without a name: there may be some only while descriptors hold them.
pub(crate) fn nameless(tree: &Tree) -> usize {
    tree.nodes.values().filter(|node| !node.linked).count()
}

/// Every node's path is as long as the node says, short enough, and made of valid names.
pub(crate) fn check_shape(tree: &Tree) {
    for (ino, node) in &tree.nodes {
        let is_root = Area::ALL.iter().any(|area| area.root() == *ino);
        if is_root || !node.linked {
            continue;
        }
        check_path(&node.name).unwrap();
        assert!(node.path_len <= PATH_BYTES_MAX);
        let parent = tree.node(node.parent).unwrap();
        assert_eq!(node.path_len, joined_len(parent.path_len, &node.name));
        let folder = tree.folder(node.parent).unwrap();
        assert_eq!(folder.names.get(&node.name), Some(ino));
        assert!(folder.order.contains(ino));
        assert_eq!(folder.names.len(), folder.order.len());
    }
}

fn meter() -> Meter {
    Meter::new(1 << 20, 1 << 20)
}

fn tree(inputs: &[&str]) -> Tree {
    Tree::new(
        &[],
        inputs.iter().map(|path| ((*path).to_owned(), path.as_bytes().to_vec())).collect(),
    )
    .unwrap()
}

/// Where `path` in `/tmp` leads, as a short text.
#[track_caller]
fn leads(tree: &Tree, path: &str, expected: Result<(&str, bool), Errno>) {
    let place = tree.resolve(Area::Tmp.root(), path);
    assert_eq!(place.map(|place| (place.name, place.node.is_some())), expected, "{path:?}");
}

#[test]
fn paths_are_walked_inside_of_their_folder_only() {
    let (mut tree, mut meter) = (tree(&[]), meter());
    let root = Area::Tmp.root();
    tree.create_folder(tree.resolve(root, "a").unwrap(), &mut meter).unwrap();
    tree.create_folder(tree.resolve(root, "a/b").unwrap(), &mut meter).unwrap();
    tree.create_file(tree.resolve(root, "a/f").unwrap(), &mut meter).unwrap();
    leads(&tree, "a", Ok(("a", true)));
    leads(&tree, "a/", Ok(("a", true)));
    leads(&tree, "./a//b/.", Ok(("b", true)));
    leads(&tree, "a/b/..", Ok(("", true)));
    leads(&tree, "a/b/../f", Ok(("f", true)));
    leads(&tree, "a/new", Ok(("new", false)));
    leads(&tree, "a/new/", Ok(("new", false)));
    leads(&tree, ".", Ok(("", true)));
    leads(&tree, "", Err(Errno::Noent));
    leads(&tree, "a/new/x", Err(Errno::Noent));
    leads(&tree, "new/..", Err(Errno::Noent));
    leads(&tree, "a/f/", Err(Errno::Notdir));
    leads(&tree, "a/f/.", Err(Errno::Notdir));
    leads(&tree, "a/f/..", Err(Errno::Notdir));
    leads(&tree, "a/f/x", Err(Errno::Notdir));
    for path in ["/", "/tmp", "..", "../tmp", "a/../..", "a/b/../../../in", "./.."] {
        leads(&tree, path, Err(Errno::Notcapable));
    }
}

#[test]
fn inputs_are_a_tree_and_cannot_be_changed() {
    let (mut tree, mut meter) = (tree(&["a/b/c", "a/d", "e"]), meter());
    let root = Area::In.root();
    let list: Vec<&str> = tree.list(root, 0).unwrap().map(|(_, name, _)| name).collect();
    assert_eq!(list, ["a", "e"]);
    let found = tree.resolve(root, "a/b/c").unwrap().node.unwrap();
    assert_eq!(tree.bytes(found), Ok(&b"a/b/c"[..]));
    let rofs = Fault::Errno(Errno::Rofs);
    let [file, folder, new] = ["e", "a", "new"].map(|path| tree.resolve(root, path).unwrap());
    assert_eq!(tree.create_file(new, &mut meter), Err(rofs));
    assert_eq!(tree.create_folder(new, &mut meter), Err(rofs));
    assert_eq!(tree.unlink(file, &mut meter), Err(rofs));
    assert_eq!(tree.remove_folder(folder, &mut meter), Err(rofs));
    assert_eq!(tree.rename(file, new, &mut meter), Err(rofs));
    assert_eq!(tree.grow(found, 10, &mut meter), Err(rofs));
    assert_eq!(tree.resize(found, 0, &mut meter), Err(rofs));
}

#[test]
fn a_listing_goes_on_where_it_stopped_although_entries_went_away() {
    let (mut tree, mut meter) = (tree(&[]), meter());
    let root = Area::Tmp.root();
    for name in ["c", "a", "b", "d"] {
        tree.create_file(tree.resolve(root, name).unwrap(), &mut meter).unwrap();
    }
    let (first, name, _) = tree.list(root, 0).unwrap().next().unwrap();
    assert_eq!(name, "c");
    for gone in ["c", "a"] {
        tree.unlink(tree.resolve(root, gone).unwrap(), &mut meter).unwrap();
    }
    let rest: Vec<&str> = tree.list(root, first + 1).unwrap().map(|(_, name, _)| name).collect();
    assert_eq!(rest, ["b", "d"]);
}

#[test]
fn a_moved_folder_takes_its_paths_along_and_they_stay_short() {
    let (mut tree, mut meter) = (tree(&[]), meter());
    let root = Area::Out.root();
    let long = "x".repeat(200);
    for path in ["a", "a/b", &long] {
        tree.create_folder(tree.resolve(root, path).unwrap(), &mut meter).unwrap();
    }
    let file = format!("a/b/{}", "y".repeat(100));
    tree.create_file(tree.resolve(root, &file).unwrap(), &mut meter).unwrap();
    let into_long = format!("{long}/a");
    let moved = |tree: &mut Tree, meter: &mut Meter, from: &str, to: &str| {
        tree.rename(tree.resolve(root, from).unwrap(), tree.resolve(root, to).unwrap(), meter)
    };
    let refused = |errno| Err(Fault::Errno(errno));
    assert_eq!(moved(&mut tree, &mut meter, "a", &into_long), refused(Errno::Nametoolong));
    assert_eq!(moved(&mut tree, &mut meter, "a", "a/b/c"), refused(Errno::Inval));
    assert_eq!(moved(&mut tree, &mut meter, "a", "."), refused(Errno::Busy));
    assert_eq!(moved(&mut tree, &mut meter, "a", "nn"), Ok(3));
    check_shape(&tree);
    assert_eq!(tree.into_results()[0].0, format!("nn/b/{}", "y".repeat(100)));
}

#[test]
fn results_sort_by_the_bytes_of_their_paths() {
    let (mut tree, mut meter) = (tree(&[]), meter());
    let root = Area::Out.root();
    for folder in ["a", "empty", "a/z"] {
        tree.create_folder(tree.resolve(root, folder).unwrap(), &mut meter).unwrap();
    }
    for file in ["b", "a/z/1", "a.b", "a/y"] {
        tree.create_file(tree.resolve(root, file).unwrap(), &mut meter).unwrap();
    }
    let paths: Vec<String> = tree.into_results().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["a.b", "a/y", "a/z/1", "b"]);
}

#[test]
fn an_open_file_outlives_its_name_and_costs_until_it_is_closed() {
    let (mut tree, mut meter) = (tree(&[]), Meter::new(2_048, 0));
    let root = Area::Tmp.root();
    let place = tree.resolve(root, "f").unwrap();
    let file = tree.create_file(place, &mut meter).unwrap();
    tree.hold(file).unwrap();
    assert_eq!(tree.grow(file, 1_024, &mut meter), Ok(1_024));
    tree.resize(file, 1_024, &mut meter).unwrap();
    tree.unlink(tree.resolve(root, "f").unwrap(), &mut meter).unwrap();
    assert_eq!(tree.bytes(file).unwrap().len(), 1_024);
    let full = tree.create_file(place, &mut meter);
    assert_eq!(full, Err(Fault::Halt(Halt::Memory)));
    tree.release(file, &mut meter);
    assert_eq!(tree.bytes(file), Err(Errno::Noent));
    tree.create_file(place, &mut meter).unwrap();
}

#[test]
fn a_file_made_short_gives_its_memory_back() {
    let (mut tree, mut meter) = (tree(&[]), meter());
    let place = tree.resolve(Area::Tmp.root(), "f").unwrap();
    let file = tree.create_file(place, &mut meter).unwrap();
    tree.grow(file, 500_000, &mut meter).unwrap();
    tree.resize(file, 500_000, &mut meter).unwrap();
    tree.resize(file, 10, &mut meter).unwrap();
    let bytes = tree.file_mut(file).unwrap();
    assert!(bytes.capacity() <= 2 * (10 + SLACK_BYTES), "{}", bytes.capacity());
}

proptest! {
    #[test]
    fn resolve_takes_any_path(path in "[ab./\\PC]{0,12}") {
        let tree = tree(&["a/b", "b"]);
        if let Ok(place) = tree.resolve(Area::In.root(), &path) {
            // Wherever it leads is in /in.
            prop_assert_eq!(tree.stat(place.parent).unwrap().area, Area::In);
        }
    }
}
