//! `quorate wallet`: key files, passwords, imports.

use crate::program::Home;
use std::{fs, os::unix::fs::PermissionsExt as _};

/// The first account of every development chain; its key is public.
const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const ADDRESS: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

#[test]
fn accounts_are_made_listed_and_exported() {
    let home = Home::new();
    let password = [("QUORATE_PASSWORD", "a long password")];
    let ran = home.run_with(&password, &["wallet", "new", "--json"]).expect(0);
    let made = ran.json();
    assert_eq!(made["name"], "default");
    let file = home.path().join(".local/state/quorate/wallets/default.json");
    assert_eq!(made["file"], file.to_str().unwrap());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(ran.stderr.contains("back it up"), "{ran:?}");
    let shown = home.run(&["wallet", "address"]).expect(0);
    assert_eq!(
        shown.stdout.trim().to_lowercase(),
        made["address"].as_str().unwrap().to_lowercase()
    );
    home.run_with(&password, &["wallet", "new"]).expect(8);

    fs::write(home.path().join("key.hex"), format!("0x{KEY}\n")).unwrap();
    let ran = home
        .run_with(&password, &["wallet", "import", "dev", "--key-file", "key.hex", "-q"])
        .expect(0);
    assert_eq!((ran.stdout.trim(), ran.stderr.as_str()), (ADDRESS, ""));
    let list = home.run(&["wallet", "ls", "--wallet", "dev"]).expect(0);
    assert!(list.stdout.contains(&format!("dev      {ADDRESS}  *")), "{list:?}");

    home.run(&["wallet", "export", "--wallet", "dev"]).expect(2);
    let ran = home.run_with(&password, &["wallet", "export", "--wallet", "dev", "--yes"]).expect(0);
    assert_eq!(ran.stdout.trim(), KEY);
}

#[test]
fn what_is_wrong_with_a_wallet_has_its_exit_code() {
    let home = Home::new();
    let password = [("QUORATE_PASSWORD", "a long password")];
    let ran = home.run(&["wallet", "address"]).expect(3);
    assert!(ran.stderr.contains("no wallet `default`; there are: none"), "{ran:?}");
    home.run(&["wallet", "new"]).expect(2);
    home.run_with(&password, &["wallet", "new"]).expect(0);
    let wrong = [("QUORATE_PASSWORD", "another")];
    let ran = home.run_with(&wrong, &["wallet", "export", "--yes", "--json"]).expect(6);
    assert_eq!(ran.error()["code"], "denied");
    fs::write(home.path().join("key.hex"), "12").unwrap();
    home.run_with(&password, &["wallet", "import", "x", "--key-file", "key.hex"]).expect(2);
    home.run_with(&password, &["wallet", "import", "x", "--key-file", "none"]).expect(3);
    home.run_with(&password, &["wallet", "new", "no/slash"]).expect(2);
    fs::write(home.path().join("password"), "a long password\n").unwrap();
    let open = ["wallet", "export", "--yes", "--password-file", "password"];
    let ran = home.run(&open).expect(6);
    assert!(ran.stderr.contains("chmod go-rwx password"), "{ran:?}");
    fs::set_permissions(home.path().join("password"), fs::Permissions::from_mode(0o600)).unwrap();
    home.run(&open).expect(0);
    for amount in ["", "-1", "1.5.5", "x"] {
        home.run(&["wallet", "deposit", "--", amount]).expect(2);
    }
    let ran = home.run(&["wallet", "send", ADDRESS, "1 BTC"]).expect(2);
    assert!(ran.stderr.contains("`1 BTC` is not an amount"), "{ran:?}");
}
