//! A file of signed orders: what owners, sponsors and requesters pass to each other. One document holds up
//! to four orders, each with its signature, and the chain and contract they were signed for.

use crate::{failure, output::Output};
use quorate_common::{
    Address, B256,
    api::PlaceOrder,
    exit::{Code, Failure},
    messages::{AppOrder, DatasetOrder, Domain, Message, ReqOrder, SponsorOrder},
    orders::{SIGNATURE_BYTES_MAX, SignedOrder},
};
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};

/// Largest file read, in bytes: four orders of a kilobyte with the longest signatures.
const BYTES_MAX: u64 = 8 * SIGNATURE_BYTES_MAX as u64 + (16 << 10);

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrdersFile {
    /// [`OrdersFile::SCHEMA`].
    pub schema: String,
    /// Chain and contract the orders were signed for.
    pub domain: Domain,
    /// A requester's order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<SignedOrder<ReqOrder>>,
    /// An application owner's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<SignedOrder<AppOrder>>,
    /// A dataset owner's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<SignedOrder<DatasetOrder>>,
    /// A sponsor's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sponsor: Option<SignedOrder<SponsorOrder>>,
}

/// One order of a file: what it is, whose, and its struct hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// `request`, `app order`, …
    pub what: &'static str,
    /// Who signs it.
    pub account: Address,
    /// What the contract counts its use by.
    pub hash: B256,
}

impl OrdersFile {
    /// The only schema there is.
    pub const SCHEMA: &'static str = "quorate.signed-orders/v1";

    /// No orders yet.
    pub fn empty(domain: Domain) -> Self {
        let schema = Self::SCHEMA.into();
        Self { schema, domain, request: None, app: None, dataset: None, sponsor: None }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or holds something else.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let bad = |error| failure::file("read", path, &error);
        let len = fs::metadata(path).map_err(bad)?.len();
        let not = |what: String| {
            let text = format!("{} is no file of signed orders: {what}", path.display());
            Failure::new(Code::Usage, text)
                .hint("`quorate offer` and `quorate run --save-order` write such files")
        };
        if len > BYTES_MAX {
            return Err(not(format!("it has {len} bytes; expected at most {BYTES_MAX}")));
        }
        let bytes = fs::read(path).map_err(bad)?;
        let file: Self = serde_json::from_slice(&bytes).map_err(|error| not(error.to_string()))?;
        if file.schema != Self::SCHEMA {
            return Err(not(format!("`schema` is {}; expected {}", file.schema, Self::SCHEMA)));
        }
        Ok(file)
    }

    /// Writes the file, or prints it where there is no path.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, path: Option<&Path>, output: Output) -> Result<(), Failure> {
        let Some(path) = path else { return output.document(self) };
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Failure::new(Code::Internal, format!("orders: {error}")))?;
        bytes.push(b'\n');
        fs::write(path, bytes).map_err(|error| failure::file("write", path, &error))?;
        if output.json { output.document(self) } else { Ok(()) }
    }

    /// Insists on the chain and contract that are meant.
    ///
    /// # Errors
    /// [`Code::Conflict`] if the orders are for another.
    pub fn for_domain(self, domain: &Domain, path: &Path) -> Result<Self, Failure> {
        if self.domain == *domain {
            return Ok(self);
        }
        let text = format!(
            "{} was signed for chain {} and contract {}; expected chain {} and contract {}",
            path.display(),
            self.domain.chain_id,
            self.domain.contract,
            domain.chain_id,
            domain.contract
        );
        Err(Failure::new(Code::Conflict, text).hint("the signature is good for no other contract"))
    }

    /// Every order in it.
    pub fn orders(&self) -> Vec<Named> {
        fn one<T: Message>(
            what: &'static str,
            signed: Option<&SignedOrder<T>>,
            of: fn(&T) -> Address,
        ) -> Option<Named> {
            let order = &signed?.order;
            Some(Named { what, account: of(order), hash: order.struct_hash() })
        }
        [
            one("request", self.request.as_ref(), |order| order.requester),
            one("app order", self.app.as_ref(), |order| order.owner),
            one("dataset order", self.dataset.as_ref(), |order| order.owner),
            one("sponsor order", self.sponsor.as_ref(), |order| order.sponsor),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// What a scheduler is sent.
    ///
    /// # Errors
    /// [`Code::Usage`] without a request.
    pub fn place(self, path: &Path) -> Result<PlaceOrder, Failure> {
        let Self { request, app, dataset, sponsor, .. } = self;
        let SignedOrder { order: req, signature } = request.ok_or_else(|| no("request", path))?;
        let (app_order, dataset_order, sponsor_order) = (app, dataset, sponsor);
        Ok(PlaceOrder { req, signature, app_order, dataset_order, sponsor_order })
    }
}

/// The order of one kind that a file is given for.
///
/// # Errors
/// [`Code::Usage`] if the file has none.
pub fn wanted<T>(found: Option<T>, what: &str, path: &Path) -> Result<T, Failure> {
    found.ok_or_else(|| no(what, path))
}

fn no(what: &str, path: &Path) -> Failure {
    Failure::new(Code::Usage, format!("{} holds no {what}; expected one", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_as_it_was_written() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("app.json");
        let domain = Domain { chain_id: 7, contract: Address::repeat_byte(1) };
        let order =
            AppOrder { owner: Address::repeat_byte(2), price: u128::MAX, ..AppOrder::default() };
        let hash = order.struct_hash();
        let app = Some(SignedOrder { order, signature: "ab".into() });
        let file = OrdersFile { app, ..OrdersFile::empty(domain) };
        file.write(Some(&path), Output::default()).expect("written");
        assert_eq!(OrdersFile::read(&path).expect("read"), file);
        let account = Address::repeat_byte(2);
        assert_eq!(file.orders(), [Named { what: "app order", account, hash }]);
        assert_eq!(file.clone().place(&path).expect_err("no request").exit, 2);
        let other = Domain { chain_id: 8, ..domain };
        assert_eq!(file.for_domain(&other, &path).expect_err("another chain").exit, 8);
        fs::write(&path, "{}").expect("written");
        assert_eq!(OrdersFile::read(&path).expect_err("nothing").exit, 2);
        assert_eq!(OrdersFile::read(&dir.path().join("none")).expect_err("none").exit, 3);
    }
}
