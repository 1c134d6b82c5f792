//! Nodes with different cookies do not connect, and both log why.

use tests::{BAR, FOO, Pair, Settings, wait_until};

#[test]
fn a_wrong_cookie_is_refused_on_both_sides() {
    let other = Settings { head: "cookie = \"someoneelse\"\n".into(), ..Settings::default() };
    let pair = Pair::with(&Settings::default(), &other);
    pair.foo.wait_for_log(&["WARN", "link refused", "wrong cookie"]);
    pair.bar.wait_for_log(&["WARN", "link refused", "wrong cookie", FOO]);

    let why = "wrong cookie: give both nodes the same one";
    for node in [&pair.foo, &pair.bar] {
        wait_until("the console says why", || node.rpc("nodes").contains(why));
    }
    let answer = pair.foo.client().ask("CREATE shopping");
    assert!(answer.starts_with(&format!("ERROR node {BAR} is down")) && answer.ends_with(why), "{answer}");
    for log in [pair.foo.log(), pair.bar.log()] {
        assert!(!log.contains("weknoweachother") && !log.contains("someoneelse"), "a cookie in the log");
    }
}
