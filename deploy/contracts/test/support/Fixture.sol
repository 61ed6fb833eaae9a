// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMarket} from "../../src/IMarket.sol";
import {ISettlement} from "../../src/ISettlement.sol";
import {
    AppOrder,
    BindWorker,
    DatasetOrder,
    DealTerms,
    PoolOrder,
    ReqOrder,
    SponsorOrder
} from "../../src/Types.sol";
import {TestToken} from "../../src/dev/TestToken.sol";
import {Book} from "./Book.sol";
import {Grid} from "./Grid.sol";
import {Hashes} from "./Hashes.sol";
import {vm} from "./Vm.sol";

/// @notice A small world for the tests: a token, the contracts as they are deployed, and short words for
/// what people do with it. Amounts are small round numbers, so that a test's sums can be checked by
/// hand: a task costs 1,000, a wrong vote 300, the scheduler takes 1 %.
abstract contract Fixture {
    uint64 internal constant WINDOW = 72 hours;
    uint256 internal constant START = 1_800_000_000;
    uint128 internal constant PRICE = 1000;

    uint256 internal constant REQUESTER_KEY = 0xA11CE;
    uint256 internal constant SIGNER_KEY = 0x51613;
    uint256 internal constant VOTE_KEY = 0xB0B000;
    uint256 internal constant APP_KEY = 0xA44;
    uint256 internal constant DATASET_KEY = 0xDA7A;
    uint256 internal constant SPONSOR_KEY = 0x590450;
    /// Half of the rings' 1,024 places are for pending batches, half for final ones.
    uint64 internal constant REMEMBERED = 512;
    /// Settlement's storage words: counters of workers and pools, then mappings in their order.
    uint256 internal constant COUNTERS_SLOT = 0;
    uint256 internal constant FREE_SLOT = 1;
    uint256 internal constant POOLS_SLOT = 6;

    address internal immutable requester = vm.addr(REQUESTER_KEY);
    address internal immutable signer = vm.addr(SIGNER_KEY);
    address internal immutable operator = address(0x0FE7A);
    address internal immutable owner = address(0x03137);
    address internal immutable stranger = address(0x57A63);
    address internal immutable appOwner = vm.addr(APP_KEY);
    address internal immutable datasetOwner = vm.addr(DATASET_KEY);
    address internal immutable sponsor = vm.addr(SPONSOR_KEY);
    /// Stand in for the two contracts that have powers here; their own tests have the real ones.
    address internal immutable court = address(0xC0047);
    address internal immutable escape = address(0xE5CA6E);

    TestToken internal token;
    ISettlement internal settlement;
    IMarket internal market;
    Book internal book;
    Hashes internal hashes;
    uint256 private _salt;

    function setUp() public virtual {
        vm.warp(START);
        hashes = new Hashes();
        book = new Book();
        token = new TestToken(address(this));
        settlement = deploy(address(token), WINDOW);
    }

    /// @notice As `dev` and production do it: the market first, for an address computed before.
    function deploy(address token_, uint64 window) internal returns (ISettlement made) {
        address later = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        market = IMarket(vm.deployCode("Market.sol:Market", abi.encode(later)));
        made = ISettlement(
            vm.deployCode(
                "Settlement.sol:Settlement",
                abi.encode(token_, window, address(market), court, escape)
            )
        );
        vm.assertEq(address(made), later, "the address that the market was given");
    }

    // ---- money ----

    /// @notice Gives `account` a free balance.
    function fund(address account, uint128 amount) internal {
        token.transfer(account, amount);
        vm.startPrank(account);
        token.approve(address(settlement), amount);
        settlement.deposit(amount);
        vm.stopPrank();
    }

    // ---- people ----

    function newPool(uint128 bond) internal returns (uint32 poolId) {
        return newPool(operator, SIGNER_KEY, bond);
    }

    function newPool(address operator_, uint256 signerKey, uint128 bond)
        internal
        returns (uint32 poolId)
    {
        if (bond != 0) fund(operator_, bond);
        vm.prank(operator_);
        poolId = settlement.registerPool(vm.addr(signerKey), keccak256("pool node"), bond);
    }

    function newGrid(uint128 bond) internal returns (Grid) {
        return gridOf(newPool(bond), SIGNER_KEY);
    }

    function gridOf(uint32 poolId, uint256 signerKey) internal returns (Grid) {
        return new Grid(settlement, poolId, signerKey, book);
    }

    /// @notice The `i`-th worker, all of one owner, with fresh keys.
    function newWorker(uint256 i) internal returns (uint32) {
        return newWorker(owner, VOTE_KEY + i);
    }

    function newWorker(address owner_, uint256 voteKey) internal returns (uint32) {
        bytes32 nodeKey = keccak256(abi.encode("node", voteKey));
        uint64 deadline = uint64(block.timestamp + 1 hours);
        (bytes32 r, bytes32 vs) = signBinding(owner_, nodeKey, voteKey, deadline);
        vm.prank(owner_);
        return settlement.registerWorker(nodeKey, vm.addr(voteKey), deadline, r, vs);
    }

    function signBinding(address owner_, bytes32 nodeKey, uint256 voteKey, uint64 deadline)
        internal
        view
        returns (bytes32 r, bytes32 vs)
    {
        BindWorker memory binding = BindWorker(owner_, nodeKey, vm.addr(voteKey), deadline);
        return vm.signCompact(voteKey, digestOf(hashes.hashBindWorker(binding)));
    }

    function stakeOn(uint32 poolId, uint32 workerIdx, uint128 amount) internal {
        address owner_ = settlement.workerOf(workerIdx).owner;
        fund(owner_, amount);
        vm.prank(owner_);
        settlement.stake(poolId, workerIdx, amount);
    }

    // ---- orders and deals ----

    /// @notice A request of a free application without dataset; `paidReq` is one that pays both.
    function reqOrder() internal returns (ReqOrder memory req) {
        req.requester = requester;
        req.app = keccak256("app");
        req.params = keccak256("params");
        req.maxUnitPrice = PRICE * 2;
        req.tasks = 1_000_000;
        req.tag = bytes32(uint256(1));
        req.category = 3;
        req.trust = 50;
        req.replicas = 3;
        req.maxTaskTime = 1 hours;
        req.expiry = uint64(block.timestamp + 2 hours);
        req.deadline = uint64(block.timestamp + 30 days);
        req.salt = bytes32(++_salt);
    }

    function poolOrder(uint32 poolId) internal returns (PoolOrder memory offer) {
        offer.poolId = poolId;
        offer.unitPrice = PRICE;
        offer.tasks = 1_000_000;
        offer.tag = bytes32(uint256(7));
        offer.category = 3;
        offer.trust = 100;
        offer.stakeRatio = 30;
        offer.schedulerRatio = 1;
        offer.maxTaskTime = 2 hours;
        offer.expiry = uint64(block.timestamp + 2 hours);
        offer.salt = bytes32(++_salt);
    }

    function appOrder() internal returns (AppOrder memory app) {
        app.owner = appOwner;
        app.app = keccak256("app");
        app.price = 70;
        app.tasks = 1_000_000;
        app.tag = bytes32(uint256(2));
        app.expiry = uint64(block.timestamp + 2 hours);
        app.salt = bytes32(++_salt);
    }

    function datasetOrder() internal returns (DatasetOrder memory dataset) {
        dataset.owner = datasetOwner;
        dataset.dataset = keccak256("dataset");
        dataset.price = 30;
        dataset.tasks = 1_000_000;
        dataset.tag = bytes32(uint256(4));
        dataset.expiry = uint64(block.timestamp + 2 hours);
        dataset.salt = bytes32(++_salt);
    }

    /// @notice Two orders, signed: work with a free application.
    function matchOf(ReqOrder memory req, PoolOrder memory offer, uint32 n)
        internal
        view
        returns (IMarket.Match memory m)
    {
        (m.req, m.offer, m.n) = (req, offer, n);
        (m.reqSig, m.offerSig) = (signReq(req), signOffer(offer));
    }

    /// @notice Four orders, signed: a task costs PRICE + 70 + 30.
    function fullMatch(uint32 poolId, uint32 n) internal returns (IMarket.Match memory m) {
        (m.req, m.offer, m.n) = (reqOrder(), poolOrder(poolId), n);
        (m.app, m.dataset) = (appOrder(), datasetOrder());
        m.req.appOwner = appOwner;
        m.req.appMaxPrice = 100;
        m.req.dataset = m.dataset.dataset;
        m.req.datasetOwner = datasetOwner;
        m.req.datasetMaxPrice = 100;
        sign(m);
    }

    /// @notice Signs whatever orders a match has, as they are now.
    function sign(IMarket.Match memory m) internal view {
        (m.reqSig, m.offerSig) = (signReq(m.req), signOffer(m.offer));
        if (m.req.appOwner != address(0)) m.appSig = sign64(APP_KEY, hashes.hashAppOrder(m.app));
        if (m.req.datasetOwner != address(0)) {
            m.datasetSig = sign64(DATASET_KEY, hashes.hashDatasetOrder(m.dataset));
        }
        if (m.sponsor.sponsor == address(0)) return;
        m.sponsor.reqHash = hashes.hashReqOrder(m.req);
        m.sponsorSig = sign64(SPONSOR_KEY, hashes.hashSponsorOrder(m.sponsor));
    }

    function sponsorOrder(uint128 maxCost) internal returns (SponsorOrder memory order) {
        order.sponsor = sponsor;
        order.maxCost = maxCost;
        order.expiry = uint64(block.timestamp + 2 hours);
        order.salt = bytes32(++_salt);
    }

    /// @notice The terms a match would have now.
    function termsOf(IMarket.Match memory m) internal view returns (DealTerms memory terms) {
        bytes32 reqHash = hashes.hashReqOrder(m.req);
        terms = DealTerms({
            requester: m.req.requester,
            payer: m.sponsor.sponsor == address(0) ? m.req.requester : m.sponsor.sponsor,
            beneficiary: m.req.beneficiary,
            callback: m.req.callback,
            poolId: m.offer.poolId,
            app: m.req.app,
            appOwner: m.req.appOwner,
            appPrice: m.app.price,
            dataset: m.req.dataset,
            datasetOwner: m.req.datasetOwner,
            datasetPrice: m.dataset.price,
            params: m.req.params,
            unitPrice: m.offer.unitPrice,
            tasks: m.n,
            trust: m.req.trust,
            replicas: m.req.replicas,
            stakeRatio: m.offer.stakeRatio,
            schedulerRatio: m.offer.schedulerRatio,
            category: m.req.category,
            tag: m.req.tag | m.app.tag | m.dataset.tag,
            maxTaskTime: m.req.maxTaskTime,
            deadline: m.req.deadline,
            reqHash: reqHash,
            filledBefore: market.useOf(m.req.requester, reqHash).filled
        });
    }

    /// @notice Opens a deal of the requester, who is given the money for it.
    function newDeal(uint32 poolId, uint32 n) internal returns (bytes32 dealId) {
        fund(requester, uint128(n) * PRICE);
        return open(reqOrder(), poolOrder(poolId), n);
    }

    /// @notice As `newDeal`, of four orders.
    function newFullDeal(uint32 poolId, uint32 n) internal returns (bytes32 dealId) {
        fund(requester, uint128(n) * (PRICE + 100));
        return open(fullMatch(poolId, n));
    }

    function open(ReqOrder memory req, PoolOrder memory offer, uint32 n)
        internal
        returns (bytes32)
    {
        return open(matchOf(req, offer, n));
    }

    /// @notice Opens the deal, enters its terms in the book, and leaves the call itself the last one
    /// of this contract's for those who measure it.
    function open(IMarket.Match memory m) internal returns (bytes32 dealId) {
        dealId = book.put(termsOf(m));
        bytes32 made = market.openDeal(m);
        vm.assertEq(made, dealId, "the hash of the terms");
    }

    function signReq(ReqOrder memory req) internal view returns (bytes memory) {
        return sign64(REQUESTER_KEY, hashes.hashReqOrder(req));
    }

    function signOffer(PoolOrder memory offer) internal view returns (bytes memory) {
        return sign64(SIGNER_KEY, hashes.hashPoolOrder(offer));
    }

    // ---- signatures ----

    function digestOf(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked("\x19\x01", settlement.DOMAIN_SEPARATOR(), structHash));
    }

    function sign64(uint256 key, bytes32 structHash) internal view returns (bytes memory) {
        (bytes32 r, bytes32 vs) = vm.signCompact(key, digestOf(structHash));
        return abi.encodePacked(r, vs);
    }

    // ---- numbers and lists ----

    /// @notice Folds a fuzzed number into `min..=max`.
    function bound(uint256 x, uint256 min, uint256 max) internal pure returns (uint256) {
        if (x >= min && x <= max) return x;
        uint256 size = max - min + 1;
        return size == 0 ? x : min + x % size;
    }

    function list() internal pure returns (uint32[] memory) {
        return new uint32[](0);
    }

    function list(uint32 a) internal pure returns (uint32[] memory all) {
        all = new uint32[](1);
        all[0] = a;
    }

    function list(uint32 a, uint32 b) internal pure returns (uint32[] memory all) {
        all = new uint32[](2);
        (all[0], all[1]) = (a, b);
    }

    function list(uint32 a, uint32 b, uint32 c) internal pure returns (uint32[] memory all) {
        all = new uint32[](3);
        (all[0], all[1], all[2]) = (a, b, c);
    }

    // ---- the money equation ----

    /// @notice balance = Σ free + Σ stake + Σ bond + Σ locked + Σ owed − Σ unapplied, where `free`
    /// and the number of pools come from the caller, who knows everybody.
    function checkMoney(uint256 free, uint32 pools) internal view {
        uint256 sum = free;
        uint256 unapplied;
        for (uint32 poolId = 1; poolId <= pools; poolId++) {
            sum += moneyOf(poolId);
            unapplied += settlement.poolOf(poolId).unapplied;
        }
        vm.assertEq(token.balanceOf(address(settlement)) + unapplied, sum, "money equation");
    }

    function moneyOf(uint32 poolId) internal view returns (uint256) {
        (uint256 staked, uint256 bond, uint256 locked, uint256 owed) = purses(poolId);
        return staked + bond + locked + owed;
    }

    function purses(uint32 poolId)
        internal
        view
        returns (uint256 staked, uint256 bond, uint256 locked, uint256 owed)
    {
        staked = settlement.poolOf(poolId).staked;
        bond = settlement.poolOf(poolId).bond;
        locked = settlement.poolOf(poolId).locked;
        owed = settlement.poolOf(poolId).owed;
    }
}
