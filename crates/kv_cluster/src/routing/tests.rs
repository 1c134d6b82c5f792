//! Routing by rows, and the rows that are refused.

use super::{
    placement::PlacementTable,
    table::{Destination, RoutingTable},
    *,
};
use proptest::prelude::*;
use std::slice;

fn node(name: &str) -> NodeName {
    format!("{name}@computer-name").parse().unwrap()
}

fn row(buckets: &str, owner: &str) -> RouteRow {
    RouteRow {
        buckets: buckets.into(),
        nodes: vec![node(owner).to_string()],
        durable: true,
        confirms_reads: false,
    }
}

fn routes(rows: &[RouteRow]) -> Result<Routes, RouteError> {
    Routes::new(rows, &[node("foo"), node("bar")])
}

/// The owner of a bucket that has one.
fn owner_of(routes: &Routes, bucket: &[u8]) -> Option<NodeName> {
    routes.nodes(bucket).map(|nodes| nodes[0].clone())
}

fn guide() -> Routes {
    routes(&[row("a..m", "foo"), row("n..z", "bar")]).unwrap()
}

#[test]
fn requests_go_to_the_node_of_their_range() {
    let routes = guide();
    for (bucket, owner) in [("a", "foo"), ("hello", "foo"), ("mzz", "foo"), ("n", "bar"), ("world", "bar")] {
        assert_eq!(owner_of(&routes, bucket.as_bytes()), Some(node(owner)), "{bucket}");
    }
}

#[test]
fn whatever_is_looked_up_the_table_says_what_its_rows_say() {
    let volatile = RouteRow { durable: false, ..row("..m", "foo") };
    for (rows, has_ranges) in [
        (vec![row("..", "foo")], false),
        (vec![row("..", "foo")], true),
        (vec![row("a..m", "foo")], true),
        (vec![row("..m", "foo"), row("n..", "foo")], true),
        (vec![row("..m", "foo"), row("n..", "bar")], true),
        (vec![volatile, row("n..", "foo")], true),
    ] {
        let routes = routes(&rows).unwrap();
        let table =
            RoutingTable::new(routes, &node("foo"), [node("bar")], has_ranges, &PlacementTable::default())
                .unwrap();
        for name in ["", "a", "m", "mzz", "n", "world", "\u{e9}clair"] {
            let (found, configured) = (table.look_up(name.as_bytes()), table.configured(name.as_bytes()));
            assert_eq!(found, configured, "{rows:?} {name}");
        }
    }
}

#[test]
fn names_that_no_row_contains_have_no_owner() {
    let routes = guide();
    for bucket in ["", "1abc", "Apples", "\u{e9}clair", "{"] {
        assert_eq!(owner_of(&routes, bucket.as_bytes()), None, "{bucket}");
    }
    assert_eq!(routes.uncovered(), ["below \"a\"", "from \"{\" on"]);
}

#[test]
fn ends_may_be_longer_or_open() {
    let routes = routes(&[row("..cb", "foo"), row("cc..cm", "bar"), row("n..", "foo")]).unwrap();
    let owned = [("", "foo"), ("c", "foo"), ("cbz", "foo"), ("cc", "bar"), ("cmz", "bar"), ("\u{ff}", "foo")];
    for (bucket, owner) in owned {
        assert_eq!(owner_of(&routes, bucket.as_bytes()), Some(node(owner)), "{bucket}");
    }
    assert_eq!(owner_of(&routes, b"cn"), None);
    assert_eq!(routes.uncovered(), ["from \"cn\" to below \"n\""]);
}

#[test]
fn one_row_may_contain_all_names() {
    for routes in [Routes::all(node("foo")), routes(&[row("..", "foo")]).unwrap()] {
        assert_eq!(owner_of(&routes, b""), Some(node("foo")));
        assert_eq!(owner_of(&routes, &[255; 9]), Some(node("foo")));
        assert!(routes.uncovered().is_empty());
    }
    assert_eq!(routes(&[]).unwrap().uncovered(), ["all names"]);
}

#[test]
fn bad_rows_are_refused_with_their_index_and_the_remedy() {
    let nodes = |nodes: &[&str]| RouteRow {
        buckets: "n..z".into(),
        nodes: nodes.iter().map(|node| (*node).into()).collect(),
        durable: true,
        confirms_reads: false,
    };
    let invalid = [
        (row("n-z", "bar"), "no ..", "\"a..m\""),
        (row("n...z", "bar"), "more than one ..", "\"a..m\""),
        (row("n..p..z", "bar"), "more than one ..", "\"a..m\""),
        (row("n .. z", "bar"), "a blank", "write \"n..z\""),
        (row("z..n", "bar"), "ends before it starts", "write \"n..z\""),
        (row("k..z", "bar"), "overlaps \"a..m\": both contain the name \"k\"", "begin after"),
        (
            row("c..d", "bar"),
            "\"c..d\" can never match: \"a..m\" before it",
            "write \"c..d\" before \"a..m\"",
        ),
        (row("a..m", "bar"), "can never match", "remove it"),
        (row("n..z", "baz"), "node \"baz@computer-name\" is not defined", "bar@computer-name"),
        (nodes(&["bar"]), "has no @", "bar@computer-name"),
        (nodes(&[]), "nodes is empty", "bar@computer-name"),
        (nodes(&["foo@computer-name", "foo@computer-name"]), "is named twice", "each node once"),
        (
            nodes(&["foo@computer-name", "bar@computer-name"]),
            "the loss of either stops the range",
            "name one node, such as nodes = [\"bar@computer-name\"], or three",
        ),
    ];
    for (invalid_row, problem, remedy) in invalid {
        let error = routes(&[row("a..m", "foo"), invalid_row]).unwrap_err();
        assert_eq!(error.row, 1);
        assert!(error.problem.contains(problem), "{error}");
        assert!(error.remedy.contains(remedy), "{error}");
    }
}

/// A row of all names with this many nodes.
fn replicated(count: usize) -> (RouteRow, Vec<NodeName>) {
    let known: Vec<NodeName> = (0..count).map(|number| node(&format!("foo{number}"))).collect();
    let nodes = known.iter().rev().map(NodeName::to_string).collect();
    (RouteRow { buckets: "..".into(), nodes, durable: true, confirms_reads: false }, known)
}

#[test]
fn a_row_has_one_three_or_five_nodes_and_with_several_it_is_durable() {
    for count in 1..=7 {
        let (row, known) = replicated(count);
        let routes = Routes::new(slice::from_ref(&row), &known);
        assert_eq!(routes.is_ok(), [1, 3, 5].contains(&count), "{count}: {routes:?}");
        let volatile = Routes::new(&[RouteRow { durable: false, ..row }], &known);
        assert_eq!(volatile.is_ok(), count == 1, "{count}: {volatile:?}");
    }
}

#[test]
fn the_order_in_which_a_row_names_its_nodes_does_not_matter() {
    let (row, known) = replicated(3);
    let other = RouteRow { nodes: known.iter().map(NodeName::to_string).collect(), ..row.clone() };
    let one = Routes::new(&[row], &known).unwrap();
    assert!(one.differences(&Routes::new(&[other], &known).unwrap(), Agreement::NotYet).is_empty());
    let all = Routes::all(known[0].clone());
    for agreement in [Agreement::NotYet, Agreement::Same] {
        assert_eq!(one.differences(&all, agreement).len(), 1, "one of its nodes is not all of them");
    }
}

#[test]
fn once_nodes_have_agreed_on_placements_it_does_not_matter_where_a_configuration_has_replicas() {
    let (row, known) = replicated(3);
    let others: Vec<_> = ["qux", "quux", "corge"].map(node).into();
    let other = RouteRow { nodes: others.iter().map(NodeName::to_string).collect(), ..row.clone() };
    let (one, other) = (Routes::new(&[row], &known).unwrap(), Routes::new(&[other], &others).unwrap());
    assert_eq!(one.differences(&other, Agreement::NotYet).len(), 1);
    assert!(one.differences(&other, Agreement::of(0, 7)).is_empty());
    assert!(one.differences(&other, Agreement::of(7, 7)).is_empty());
    assert_eq!(one.differences(&one, Agreement::of(7, 8)).len(), 1, "each is served by two clusters");
}

#[test]
fn requests_for_a_replicated_row_go_to_its_leader_on_members_and_others() {
    let (row, mut known) = replicated(3);
    known.push(node("foo3"));
    let routes = Routes::new(&[RouteRow { buckets: "..m".into(), ..row }, row_of(3)], &known).unwrap();
    let rows = PlacementTable::of(&routes).unwrap();
    for local in [0, 3] {
        let others = known.iter().enumerate().filter(|(index, _)| *index != local);
        let others = others.map(|(_, node)| node.clone());
        let table = RoutingTable::new(routes.clone(), &known[local], others, true, &rows).unwrap();
        assert_eq!(table.look_up(b"apples"), Destination::Replicated(0));
    }
}

/// All the names behind those of the first row, for one node.
fn row_of(number: usize) -> RouteRow {
    row("n..", &format!("foo{number}"))
}

#[test]
fn a_later_row_that_contains_an_earlier_one_gets_what_is_left() {
    let table = routes(&[row("c..d", "foo"), row("b..f", "bar"), row("..", "foo")]).unwrap();
    let spans: Vec<_> = table.spans().iter().map(|span| (span.buckets(), span.nodes()[0].name())).collect();
    let expected = [
        ("below \"b\"", "foo"),
        ("from \"b\" to below \"c\"", "bar"),
        ("c..d", "foo"),
        ("from \"e\" to below \"g\"", "bar"),
        ("from \"g\" on", "foo"),
    ];
    assert_eq!(spans, expected);
    let rows: Vec<_> = table.spans().iter().map(|span| span.row_text().unwrap()).collect();
    assert_eq!(rows, ["..a", "b..b", "c..d", "e..f", "g.."]);
    let written: Vec<_> = rows.iter().zip(spans).map(|(buckets, (_, owner))| row(buckets, owner)).collect();
    let written = routes(&written).unwrap();
    assert!(written.differences(&table, Agreement::NotYet).is_empty());
    assert!(table.uncovered().is_empty());
    let nothing_left = routes(&[row("..m", "foo"), row("n..", "bar"), row("..", "foo")]).unwrap_err();
    assert_eq!(nothing_left.row, 2);
    assert_eq!(nothing_left.problem, "\"..\" can never match: the rows before it contain all its names");
}

#[test]
fn the_differences_of_two_tables_are_the_names_with_different_owners() {
    let described = |one: &Routes, other: &Routes| -> Vec<String> {
        one.differences(other, Agreement::NotYet).iter().map(|range| range.to_string()).collect()
    };
    let (one, all) = (guide(), Routes::all(node("foo")));
    assert!(described(&one, &guide()).is_empty());
    assert_eq!(described(&one, &all), ["below \"a\"", "from \"n\" on"]);
    assert_eq!(described(&one, &all), described(&all, &one));
    let split = routes(&[row("a..c", "foo"), row("d..m", "foo"), row("n..z", "bar")]).unwrap();
    assert!(described(&one, &split).is_empty(), "the same owners in other rows");
}

#[test]
fn routes_that_are_too_long_for_a_link_are_refused() {
    let long = "x".repeat(ROUTES_BYTES);
    let error = routes(&[row("a..m", "foo"), row(&format!("{long}.."), "bar")]).unwrap_err();
    assert!(error.problem.contains("the limit is 1048576"), "{error}");
}

/// "From `first` up to and including everything that begins with `last`", word for word.
fn contains(first: &str, last: &str, name: &[u8]) -> bool {
    let starts = name >= first.as_bytes();
    let ends = last.is_empty() || name <= last.as_bytes() || name.starts_with(last.as_bytes());
    starts && ends
}

proptest! {
    #[test]
    fn the_first_row_that_contains_a_name_decides(
        ends in prop::collection::vec(("[a-d]{0,2}", "[a-d]{0,2}"), 1..4),
        names in prop::collection::vec("[`-e]{0,3}", 20),
    ) {
        let rows: Vec<_> = ends.iter().zip(["foo", "bar"].into_iter().cycle())
            .map(|((first, last), owner)| row(&format!("{first}..{last}"), owner))
            .collect();
        let Ok(routes) = routes(&rows) else { return Ok(()) };
        prop_assert!(routes.is_ordered());
        for name in &names {
            let first = ends.iter().position(|(first, last)| contains(first, last, name.as_bytes()));
            let owner = first.map(|row| node(["foo", "bar"][row % 2]));
            prop_assert_eq!(owner_of(&routes, name.as_bytes()), owner, "{}", name);
        }
    }
}
