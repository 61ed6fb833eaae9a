//! `quorate poco`: the production arithmetic as a table and as JSON.

use crate::program::Home;

#[test]
fn the_example_as_text() {
    let ran = Home::new().run(&["poco", "--trust", "100", "12:a", "100:b", "300:b"]).expect(0);
    let expected = "\
SCORE  VOTE  WEIGHT  GROUPS      GROUP/TOTAL  DECIDED
12     a     3       a=3         3/4          no
100    b     32      a=3 b=32    32/36        no
300    b     99      a=3 b=3168  3168/3172    yes: b
";
    assert_eq!(ran.stdout, expected);
    assert_eq!(ran.stderr, "");
}

#[test]
fn the_example_as_json() {
    let ran = Home::new().run(&["poco", "--json", "--trust", "100", "12:a", "100:b", "300:b"]);
    let expected = concat!(
        r#"[{"vote":"a","weight":3,"group":3,"total":4,"decided":false},"#,
        r#"{"vote":"b","weight":32,"group":32,"total":36,"decided":false},"#,
        r#"{"vote":"b","weight":99,"group":3168,"total":3172,"decided":true}]"#,
        "\n"
    );
    assert_eq!(ran.expect(0).stdout, expected);
}

#[test]
fn bad_votes_end_with_usage() {
    let home = Home::new();
    for votes in [&["12"][..], &["x:a"], &["12:"], &["4294967296:a"], &["-1:a"], &[]] {
        let args: Vec<&str> = ["poco", "--trust", "5"].iter().chain(votes).copied().collect();
        let ran = home.run(&args).expect(2);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{ran:?}");
    }
    let ran = home.run(&["poco", "--json", "--trust", "5", "12"]).expect(2);
    assert_eq!(ran.error()["code"], "usage");
    assert!(ran.error()["message"].as_str().unwrap().contains("vote `12`: expected SCORE:VOTE"));
    home.run(&["poco", "--trust", "x", "12:a"]).expect(2);
}
