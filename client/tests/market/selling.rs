//! Between the third and the fourth chapter: an application by one owner, a dataset by another, and a
//! sponsor who pays for a requester. What they earn is claimed when batches are final.

use super::{
    anvil::Anvil,
    operator::{Operator, UNIT_PRICE},
    requester::{Requester, amount, lucas_lehmer},
    site::Site,
};

use quorate_common::digest::Digest;

/// One token.
const ONE: u128 = 10_u128.pow(18);
/// Token units per task: for the application, and for the dataset.
const APP_PRICE: u128 = 300_000_000_000_000;
const DATASET_PRICE: u128 = 200_000_000_000_000;
/// What the presigned offer asks.
const CHEAP: u128 = 100_000_000_000_000;
/// Exponents of the sponsored order.
const EXPONENTS: &str = "2\n3\n5\n7\n11\n";
const TASKS: u128 = 5;

/// Who sells, and who pays.
pub(crate) struct Market {
    seller: Requester,
    owner: Requester,
}

pub(crate) async fn goods_are_sold(
    site: &Site,
    operator: &Operator,
    anvil: &Anvil,
    requester: &Requester,
) -> Market {
    let somebody = async |name: &str| Requester::new(site, operator, name, &anvil.url).await;
    let (seller, owner) = (somebody("seller").await, somebody("owner").await);
    let sponsor = somebody("sponsor").await;
    sponsor.run(&["wallet", "deposit", "1QTT"]).await.expect(0);
    let (app, data) = offers_are_signed(&seller, &owner).await;
    let table = Digest::of(b"a table\n");
    let refused = operator.get(&format!("/v1/blobs/{table}")).await;
    assert_eq!(
        refused["error"]["code"], "denied",
        "only who works for a deal that pays is given it"
    );
    a_sponsor_pays(requester, &sponsor, &app, &data).await;
    a_presigned_offer_is_good_until_cancelled(requester, &seller).await;
    Market { seller, owner }
}

fn path(of: &Requester, name: &str) -> String {
    of.home.path().join(name).display().to_string()
}

/// Two offers, as files.
async fn offers_are_signed(seller: &Requester, owner: &Requester) -> (String, String) {
    let module = lucas_lehmer().display().to_string();
    let offer = ["offer", "app", &module, "--price", "0.0003", "--tasks", "100", "-o", "app.json"];
    let ran = seller.run(&offer).await.expect(0);
    assert!(ran.err.contains("app order 0x") && ran.err.contains("0.0003 QTT a task"), "{ran}");
    owner.home.file("table.txt", "a table\n");
    let offer = ["offer", "dataset", "table.txt", "--price", "0.0002", "--tasks", "100"];
    let restricted = [&offer[..], &["--only-pool", "1", "--upload", "-o", "data.json"]].concat();
    owner.run(&restricted).await.expect(0);
    let printed = owner.run(&offer).await.expect(0).json();
    assert_eq!(printed["schema"], "quorate.signed-orders/v1", "{printed}");
    owner.run(&[&offer[..], &["--only-pool", "x"]].concat()).await.refused(2, &["pool's number"]);
    seller
        .run(&["offer", "cancel", &path(owner, "data.json")])
        .await
        .refused(6, &["holds dataset order of 0x", "expected an order of"]);
    let ran = seller.run(&["offer", "royalties"]).await;
    ran.refused(3, &["nothing is due"]);
    (path(seller, "app.json"), path(owner, "data.json"))
}

async fn a_sponsor_pays(requester: &Requester, sponsor: &Requester, app: &str, data: &str) {
    requester.home.file("sold.txt", EXPONENTS);
    let module = lucas_lehmer().display().to_string();
    let run = ["run", &module, "--each-line", "sold.txt", "--app-order", app];
    let run = [&run[..], &["--dataset-order", data, "--trust", "5"]].concat();
    let plan = requester.run(&[&run[..], &["--dry-run", "--json"]].concat()).await.expect(0).json();
    assert_eq!(
        (amount(&plan["app_price"]), amount(&plan["dataset_price"])),
        (APP_PRICE, DATASET_PRICE)
    );
    let cost = TASKS * (UNIT_PRICE + APP_PRICE + DATASET_PRICE);
    assert_eq!(amount(&plan["cost"]), cost);
    let ran = requester.run(&[&run[..], &["--dry-run"]].concat()).await.expect(0);
    assert!(ran.out.contains("app owner") && ran.out.contains("paid by"), "{ran}");
    let wrong = requester.run(&["run", &module, "--app-order", data, "--", "7"]).await;
    wrong.refused(2, &["data.json holds no app order; expected one"]);
    let free = requester.free().await;
    let ran = requester.run(&[&run[..], &["--save-order", "order.json"]].concat()).await.expect(0);
    assert!(ran.err.contains("quorate offer sponsor order.json --most"), "{ran}");

    let order = path(requester, "order.json");
    let sponsored = ["offer", "sponsor", &order, "--most", "1QTT", "-o", "sponsor.json"];
    sponsor.run(&sponsored).await.expect(0);
    let few = ["offer", "sponsor", &order, "--most", "1", "-o", "few.json"];
    sponsor.run(&few).await.expect(0);
    let (paid, few) = (path(sponsor, "sponsor.json"), path(sponsor, "few.json"));
    let place = ["order", "place", "order.json", "--sponsor-order"];
    let ran = requester.run(&[&place[..], &[&few]].concat()).await;
    ran.refused(7, &["sponsor order field `maxCost` is 1; expected at least"]);
    let ran = requester.run(&[&place[..], &[&paid, "--name", "sold", "--json"]].concat()).await;
    let placed = ran.expect(0).json();
    let id = placed["order"].as_str().unwrap();
    requester.run(&["order", "watch", id]).await.expect(0);
    let shown = requester.run(&["order", "show", id, "--json"]).await.expect(0).json();
    assert_eq!((&shown["phase"], &shown["accepted"]), (&"done".into(), &5.into()), "{shown}");
    assert_eq!(shown["payer"].as_str().unwrap().to_lowercase(), sponsor.address.to_lowercase());
    let ran = requester.run(&["order", "show", id]).await.expect(0);
    for words in ["app owner", "0.0003 QTT", "dataset owner", "0.0002 QTT", "0.0015 QTT so far"] {
        assert!(ran.out.contains(words), "expected `{words}`: {ran}");
    }
    requester.run(&["order", "results", id, "-o", "sold"]).await.expect(0);
    requester.run(&["verify", "sold"]).await.expect(0);
    assert_eq!(requester.free().await, free, "who ordered paid nothing");
    assert_eq!(sponsor.free().await, ONE - cost);
}

async fn a_presigned_offer_is_good_until_cancelled(requester: &Requester, seller: &Requester) {
    let module = lucas_lehmer().display().to_string();
    let offer = ["offer", "app", &module, "--price", "0.0001", "--tasks", "2", "--unsigned"];
    seller.run(&[&offer[..], &["-o", "cheap.json"]].concat()).await.expect(0);
    let cheap = path(seller, "cheap.json");
    let buy = async || requester.run(&["run", &module, "--app-order", &cheap, "--", "7"]).await;
    buy().await.refused(6, &["BadSignature(expected = 0x"]);
    seller.run(&["offer", "presign", "cheap.json"]).await.expect(0);
    let free = requester.free().await;
    assert_eq!(buy().await.expect(0).out, "7 prime\n");
    assert_eq!(requester.free().await, free - UNIT_PRICE - CHEAP);
    seller.run(&["offer", "cancel", "cheap.json"]).await.expect(0);
    buy().await.refused(8, &["OrderFilled(", "left = 0, needed = 1"]);
}

/// Every owner collects its price times the tasks that succeeded, once.
pub(crate) async fn owners_are_paid(market: &Market) {
    let Market { seller, owner } = market;
    assert_eq!((seller.free().await, owner.free().await), (0, 0));
    let paid = seller.run(&["offer", "royalties", "--json"]).await.expect(0).json();
    assert_eq!(paid["deals"].as_array().unwrap().len(), 2, "{paid}");
    assert_eq!(seller.free().await, TASKS * APP_PRICE + CHEAP);
    // Both owners of a deal are paid at once.
    assert_eq!(owner.free().await, TASKS * DATASET_PRICE);
    owner.run(&["offer", "royalties"]).await.refused(3, &["nothing is due"]);
}
