// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMarket} from "../src/IMarket.sol";
import {ISettlement} from "../src/ISettlement.sol";
import {AppOrder, OrderOp, OrderUse, PoolOrder, ReqOrder} from "../src/Types.sol";
import {Fixture} from "./support/Fixture.sol";
import {BrokenGroup, Group} from "./support/Groups.sol";
import {vm} from "./support/Vm.sol";
import {Wallet} from "./support/Wallet.sol";

/// @notice Every rule by which orders match, and every way to sign, presign and cancel them.
contract OrdersTest is Fixture {
    uint32 private poolId;

    function setUp() public override {
        super.setUp();
        poolId = newPool(0);
        fund(requester, 100 * (PRICE + 100));
    }

    // ---- terms ----

    function test_categories_must_be_equal() public {
        IMarket.Match memory m = full();
        m.req.category = 4;
        refused(m, mismatch("category", bytes32(uint256(4)), bytes32(uint256(3))));
    }

    function test_trust_is_at_most_what_the_pool_offers() public {
        IMarket.Match memory m = full();
        m.req.trust = 101;
        refused(m, abi.encodeWithSelector(IMarket.TrustTooHigh.selector, 100, 101));
        m.req.trust = 100;
        accepted(m);
    }

    function test_each_price_is_at_most_what_the_requester_pays() public {
        IMarket.Match memory m = full();
        m.req.maxUnitPrice = PRICE - 1;
        refused(m, tooHigh("maxUnitPrice", PRICE - 1, PRICE));
        m.req.maxUnitPrice = PRICE;
        m.req.appMaxPrice = 69;
        refused(m, tooHigh("appMaxPrice", 69, 70));
        m.req.appMaxPrice = 70;
        m.req.datasetMaxPrice = 29;
        refused(m, tooHigh("datasetMaxPrice", 29, 30));
        m.req.datasetMaxPrice = 30;
        accepted(m);
    }

    /// Each bit that request, application or dataset needs, the pool must have; others do not matter.
    function testFuzz_tags_are_covered_by_the_pools(
        bytes32 req,
        bytes32 app,
        bytes32 dataset,
        bytes32 pool
    ) public {
        IMarket.Match memory m = full();
        (m.req.tag, m.app.tag, m.dataset.tag, m.offer.tag) = (req, app, dataset, pool);
        bytes32 missing = (req | app | dataset) & ~pool;
        if (missing != 0) {
            return refused(m, abi.encodeWithSelector(IMarket.TagMissing.selector, missing));
        }
        accepted(m);
    }

    function test_one_missing_bit_of_any_order_is_enough() public {
        bytes32 bit = bytes32(uint256(1) << 255);
        bytes memory refusal = abi.encodeWithSelector(IMarket.TagMissing.selector, bit);
        IMarket.Match memory m = full();
        m.req.tag |= bit;
        refused(m, refusal);
        m = full();
        m.app.tag |= bit;
        refused(m, refusal);
        m = full();
        m.dataset.tag |= bit;
        refused(m, refusal);
        m.offer.tag |= bit;
        accepted(m);
    }

    function test_orders_are_for_what_the_request_names() public {
        IMarket.Match memory m = full();
        m.app.app = "another";
        refused(m, mismatch("app.app", m.req.app, "another"));
        m = full();
        m.dataset.dataset = "another";
        refused(m, mismatch("dataset.dataset", m.req.dataset, "another"));
    }

    /// Nobody sells what another made: owner and digest are named together.
    function test_orders_are_of_whom_the_request_names() public {
        IMarket.Match memory m = full();
        m.app.owner = stranger;
        refused(m, mismatch("app.owner", word(appOwner), word(stranger)));
        m = full();
        m.dataset.owner = stranger;
        refused(m, mismatch("dataset.owner", word(datasetOwner), word(stranger)));
    }

    function test_what_nobody_sells_needs_no_order_and_takes_none() public {
        IMarket.Match memory m = matchOf(reqOrder(), poolOrder(poolId), 1);
        m.req.dataset = "free";
        accepted(m);
        m.app.price = 1;
        refused(m, abi.encodeWithSelector(IMarket.OrderNotEmpty.selector, "app"));
        m.app.price = 0;
        m.appSig = hex"00";
        refused(m, abi.encodeWithSelector(IMarket.OrderNotEmpty.selector, "app"));
        m.appSig = "";
        m.dataset.salt = "x";
        refused(m, abi.encodeWithSelector(IMarket.OrderNotEmpty.selector, "dataset"));
        m.dataset.salt = 0;
        m.datasetSig = hex"00";
        refused(m, abi.encodeWithSelector(IMarket.OrderNotEmpty.selector, "dataset"));
        m.datasetSig = "";
        m.sponsor.maxCost = 1;
        refused(m, abi.encodeWithSelector(IMarket.OrderNotEmpty.selector, "sponsor"));
        m.sponsor.maxCost = 0;
        m.sponsorSig = hex"00";
        refused(m, abi.encodeWithSelector(IMarket.OrderNotEmpty.selector, "sponsor"));
    }

    function test_every_bounded_field_says_its_bounds() public {
        uint256 t = block.timestamp;
        IMarket.Match memory m = full();
        m.req.maxTaskTime = 0;
        refused(m, range("maxTaskTime", 1, 2 hours, 0));
        m.req.maxTaskTime = 2 hours + 1;
        refused(m, range("maxTaskTime", 1, 2 hours, 2 hours + 1));
        m.offer.maxTaskTime = 2 days;
        m.req.maxTaskTime = 1 days + 1;
        refused(m, range("maxTaskTime", 1, 1 days, 1 days + 1));
        m = full();
        m.req.replicas = 0;
        refused(m, range("replicas", 1, 15, 0));
        m.req.replicas = 16;
        refused(m, range("replicas", 1, 15, 16));
        m = full();
        m.n = 0;
        refused(m, range("n", 1, 65_536, 0));
        m.n = 65_537;
        refused(m, range("n", 1, 65_536, 65_537));
        m = full();
        m.offer.stakeRatio = 101;
        refused(m, range("stakeRatio", 0, 100, 101));
        m = full();
        m.offer.schedulerRatio = 101;
        refused(m, range("schedulerRatio", 0, 100, 101));
        m = full();
        m.req.deadline = uint64(t);
        refused(m, range("deadline", t + 1, t + 365 days, t));
        m.req.deadline = uint64(t + 365 days + 1);
        refused(m, range("deadline", t + 1, t + 365 days, t + 365 days + 1));
    }

    function test_orders_expire_after_their_last_second() public {
        uint64 t = uint64(block.timestamp);
        IMarket.Match memory m = full();
        (m.req.expiry, m.offer.expiry, m.app.expiry, m.dataset.expiry) = (t, t, t, t);
        accepted(m);
        vm.warp(t + 1);
        refused(m, expired(hashes.hashReqOrder(m.req), t));
        m.req.expiry = t + 1;
        refused(m, expired(hashes.hashPoolOrder(m.offer), t));
        m.offer.expiry = t + 1;
        refused(m, expired(hashes.hashAppOrder(m.app), t));
        m.app.expiry = t + 1;
        refused(m, expired(hashes.hashDatasetOrder(m.dataset), t));
        m.dataset.expiry = t + 1;
        accepted(m);
    }

    function test_pools_that_are_unknown_leaving_or_dead_take_no_deals() public {
        IMarket.Match memory m = full();
        m.offer.poolId = 9;
        refused(m, abi.encodeWithSelector(ISettlement.UnknownPool.selector, 9));
        uint32 second = newPool(0);
        m = fullMatch(second, 1);
        vm.prank(operator);
        settlement.requestBondExit(second);
        refused(
            m,
            abi.encodeWithSelector(
                ISettlement.PoolExiting.selector, second, block.timestamp + WINDOW + 7 days
            )
        );
        vm.assertEq(volume(m), 0, "nothing can be matched");
        vm.expectRevert(abi.encodeWithSelector(IMarket.PoolClosed.selector, second));
        market.checkMatch(m, stranger);
        m = full();
        vm.prank(escape);
        settlement.abandon(poolId);
        refused(m, abi.encodeWithSelector(ISettlement.PoolDead.selector, poolId, 1));
        vm.assertEq(volume(m), 0, "nothing can be matched");
    }

    // ---- restrictions: ten positions, each by id and by group ----

    function test_each_of_ten_restrictions_refuses_another_id() public {
        for (uint256 i = 0; i < 10; i++) {
            IMarket.Match memory m = full();
            restrict(m, i, "another");
            refused(m, restricted(m, i, "another"));
        }
    }

    function test_each_of_ten_restrictions_allows_its_id() public {
        for (uint256 i = 0; i < 10; i++) {
            IMarket.Match memory m = full();
            restrict(m, i, idOf(m, i));
            accepted(m);
        }
    }

    function test_each_of_ten_restrictions_allows_members_of_its_group() public {
        for (uint256 i = 0; i < 10; i++) {
            IMarket.Match memory m = full();
            Group group = new Group();
            restrict(m, i, word(address(group)));
            refused(m, restricted(m, i, word(address(group))));
            group.add(idOf(m, i), 3); // another purpose
            refused(m, restricted(m, i, word(address(group))));
            group.add(idOf(m, i), 4);
            accepted(m);
        }
    }

    function test_a_group_that_fails_or_is_none_has_no_members() public {
        address[5] memory groups = [
            address(new BrokenGroup(0)),
            address(new BrokenGroup(1)),
            address(new BrokenGroup(2)),
            address(new BrokenGroup(3)),
            stranger // no code
        ];
        for (uint256 i = 0; i < groups.length; i++) {
            IMarket.Match memory m = full();
            restrict(m, 0, word(groups[i]));
            refused(m, restricted(m, 0, word(groups[i])));
        }
    }

    // ---- volumes ----

    function test_volumes_bound_what_is_filled_in_each_order() public {
        IMarket.Match memory m = full();
        (m.req.tasks, m.offer.tasks, m.app.tasks, m.dataset.tasks) = (5, 6, 7, 8);
        take(m, 5);
        short(m, hashes.hashReqOrder(m.req), 0, 1);
        m.req.salt = "2";
        short(m, hashes.hashPoolOrder(m.offer), 1, 2);
        take(m, 1);
        short(m, hashes.hashPoolOrder(m.offer), 0, 1);
        m.offer.salt = "2";
        short(m, hashes.hashAppOrder(m.app), 1, 2);
        take(m, 1);
        short(m, hashes.hashAppOrder(m.app), 0, 1);
        m.app.salt = "2";
        short(m, hashes.hashDatasetOrder(m.dataset), 1, 2);
        take(m, 1);
        short(m, hashes.hashDatasetOrder(m.dataset), 0, 1);
    }

    function testFuzz_volumes_never_overflow(uint32 tasks, uint32 a, uint32 b) public {
        IMarket.Match memory m = matchOf(reqOrder(), poolOrder(poolId), 1);
        (m.req.tasks, m.offer.unitPrice, m.offer.tasks) = (tasks, 0, type(uint32).max);
        bytes32 reqHash = hashes.hashReqOrder(m.req);
        a = uint32(bound(a, 1, 65_536));
        b = uint32(bound(b, 1, 65_536));
        if (a > tasks) return short(m, reqHash, tasks, a);
        take(m, a);
        uint32 left = tasks - a;
        if (b > left) return short(m, reqHash, left, b);
        take(m, b);
        vm.assertEq(market.useOf(requester, reqHash).filled, a + b, "filled");
    }

    function test_volume_of_a_match_is_the_least_of_all_limits() public {
        IMarket.Match memory m = full();
        m.offer.salt = "v";
        vm.assertEq(volume(m), 100, "the requester's money");
        m.dataset.tasks = 80;
        vm.assertEq(volume(m), 80, "dataset");
        m.app.tasks = 70;
        vm.assertEq(volume(m), 70, "app");
        m.offer.tasks = 60;
        vm.assertEq(volume(m), 60, "pool");
        m.req.tasks = 50;
        vm.assertEq(volume(m), 50, "request");
        m.sponsor = sponsorOrder(1100 * 40 + 1099);
        vm.assertEq(volume(m), 0, "the sponsor's money");
        fund(sponsor, 1100 * 45);
        vm.assertEq(volume(m), 40, "the sponsor's limit");
        m.sponsorSig = "";
        vm.assertEq(market.volumeOf(m), 0, "not signed");
        vm.prank(sponsor);
        vm.assertEq(market.volumeOf(m), 40, "but called");
        sign(m);
        take(m, 40);
        vm.assertEq(market.volumeOf(m), 0, "used up");
        m.req.trust = 101;
        vm.assertEq(volume(m), 0, "a rule refuses");
        vm.expectRevert(abi.encodeWithSelector(IMarket.TrustTooHigh.selector, 100, 101));
        market.checkMatch(m, stranger);
    }

    function test_free_work_is_limited_by_orders_and_the_tree() public {
        IMarket.Match memory m = matchOf(reqOrder(), poolOrder(poolId), 1);
        m.offer.unitPrice = 0;
        vm.assertEq(volume(m), 65_536, "one deal's tree");
    }

    // ---- signatures ----

    function test_a_wallets_65_bytes_count_for_everybody() public {
        IMarket.Match memory m = full();
        m.reqSig = sign65(REQUESTER_KEY, hashes.hashReqOrder(m.req));
        m.offerSig = sign65(SIGNER_KEY, hashes.hashPoolOrder(m.offer));
        m.appSig = sign65(APP_KEY, hashes.hashAppOrder(m.app));
        m.datasetSig = sign65(DATASET_KEY, hashes.hashDatasetOrder(m.dataset));
        open(m);
    }

    function test_signatures_of_others_are_refused_for_each_order() public {
        IMarket.Match memory m = full();
        m.reqSig = sign64(SIGNER_KEY, hashes.hashReqOrder(m.req));
        bad(m, requester, signer);
        m = full();
        m.offerSig = sign64(REQUESTER_KEY, hashes.hashPoolOrder(m.offer));
        bad(m, signer, requester);
        m = full();
        m.appSig = sign64(SIGNER_KEY, hashes.hashAppOrder(m.app));
        bad(m, appOwner, signer);
        m = full();
        m.datasetSig = sign64(SIGNER_KEY, hashes.hashDatasetOrder(m.dataset));
        bad(m, datasetOwner, signer);
        m = full();
        m.sponsor = sponsorOrder(3000);
        sign(m);
        m.sponsorSig = sign64(SIGNER_KEY, hashes.hashSponsorOrder(m.sponsor));
        bad(m, sponsor, signer);
    }

    function test_signatures_of_odd_lengths_are_refused() public {
        uint8[5] memory lengths = [0, 1, 63, 66, 130];
        for (uint256 i = 0; i < lengths.length; i++) {
            IMarket.Match memory m = full();
            m.reqSig = new bytes(lengths[i]);
            bad(m, requester, address(0));
            m = full();
            m.offerSig = new bytes(lengths[i]);
            bad(m, signer, address(0));
        }
    }

    function test_a_request_has_a_requester() public {
        IMarket.Match memory m = full();
        m.req.requester = address(0);
        refused(m, abi.encodeWithSelector(ISettlement.ZeroKey.selector, "requester"));
    }

    function test_signatures_hold_for_one_chain_only() public {
        IMarket.Match memory m = full();
        vm.chainId(4711);
        vm.expectPartialRevert(ISettlement.BadSignature.selector);
        market.openDeal(m);
    }

    function test_the_market_signs_in_the_name_of_settlement() public {
        vm.assertEq(separatorOf(market), settlement.DOMAIN_SEPARATOR(), "one domain");
        vm.chainId(4711);
        vm.assertEq(separatorOf(market), settlement.DOMAIN_SEPARATOR(), "after a fork too");
    }

    function test_any_changed_bit_of_any_order_breaks_its_signature() public {
        IMarket.Match memory m = full();
        m.req.salt = "x";
        unsigned(m);
        m = full();
        m.offer.salt = "x";
        unsigned(m);
        m = full();
        m.app.salt = "x";
        unsigned(m);
        m = full();
        m.dataset.salt = "x";
        unsigned(m);
    }

    function test_a_contract_account_signs_in_its_own_way() public {
        Wallet wallet = new Wallet(token, settlement);
        token.transfer(address(wallet), PRICE);
        wallet.deposit(settlement, PRICE);
        IMarket.Match memory m = matchOf(reqOrder(), poolOrder(poolId), 1);
        m.req.requester = address(wallet);
        m.reqSig = "approved";
        bad(m, address(wallet), address(0));
        wallet.fail(true);
        bad(m, address(wallet), address(0));
        wallet.fail(false);
        wallet.accept(digestOf(hashes.hashReqOrder(m.req)), "approved");
        open(m);
        vm.assertEq(settlement.poolOf(poolId).locked, PRICE, "locked");
    }

    function test_contract_accounts_sell_applications_and_run_pools() public {
        Wallet wallet = new Wallet(token, settlement);
        IMarket.Match memory m = full();
        (m.app.owner, m.req.appOwner) = (address(wallet), address(wallet));
        m.offer.poolId = newPool(address(wallet), SIGNER_KEY, 0);
        sign(m);
        (m.appSig, m.offerSig) = ("app", "offer");
        wallet.accept(digestOf(hashes.hashPoolOrder(m.offer)), "offer");
        bad(m, address(wallet), address(0));
        wallet.accept(digestOf(hashes.hashAppOrder(m.app)), "app");
        open(m);
    }

    function test_a_key_with_code_still_signs_with_its_key() public {
        // EIP-7702: an account of a key that also has code, here code that answers nothing.
        vm.etch(requester, hex"00");
        accepted(matchOf(reqOrder(), poolOrder(poolId), 1));
    }

    function test_a_pools_operator_may_sign_its_orders() public {
        uint32 own = newPool(vm.addr(0x0F), SIGNER_KEY, 0);
        IMarket.Match memory m = fullMatch(own, 1);
        m.offerSig = sign64(0x0F, hashes.hashPoolOrder(m.offer));
        open(m);
    }

    // ---- presign and cancel ----

    function test_a_presigned_order_needs_no_signature() public {
        IMarket.Match memory m = full();
        bytes32 appHash = hashes.hashAppOrder(m.app);
        m.appSig = "";
        bad(m, appOwner, address(0));
        vm.prank(stranger); // presigns only what would be its own
        market.presign(appHash);
        bad(m, appOwner, address(0));
        vm.expectEmit(address(market));
        emit IMarket.OrderPresigned(appOwner, appHash);
        vm.prank(appOwner);
        market.presign(appHash);
        open(m);
        vm.assertTrue(market.useOf(appOwner, appHash).presigned, "presigned");
    }

    function test_all_orders_can_be_presigned() public {
        IMarket.Match memory m = full();
        m.sponsor = sponsorOrder(3000);
        sign(m);
        fund(sponsor, 1100);
        (m.reqSig, m.offerSig, m.appSig, m.datasetSig, m.sponsorSig) = ("", "", "", "", "");
        presignAs(requester, hashes.hashReqOrder(m.req));
        presignAs(operator, hashes.hashPoolOrder(m.offer));
        presignAs(appOwner, hashes.hashAppOrder(m.app));
        presignAs(datasetOwner, hashes.hashDatasetOrder(m.dataset));
        presignAs(sponsor, hashes.hashSponsorOrder(m.sponsor));
        open(m);
    }

    function test_a_presigning_by_signature_is_carried_by_anyone() public {
        IMarket.Match memory m = full();
        m.appSig = "";
        OrderOp memory op = opOf(hashes.hashAppOrder(m.app), 1);
        bytes memory sig = sign64(APP_KEY, hashes.hashOrderOp(op));
        vm.prank(stranger);
        market.operate(op, sig);
        open(m);
    }

    function test_a_contract_operates_by_its_own_signature() public {
        Wallet wallet = new Wallet(token, settlement);
        OrderOp memory op = opOf("order", 1);
        op.account = address(wallet);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.BadSignature.selector, wallet, address(0))
        );
        market.operate(op, "op");
        wallet.accept(digestOf(hashes.hashOrderOp(op)), "op");
        market.operate(op, "op");
        vm.assertTrue(market.useOf(address(wallet), "order").presigned, "presigned");
    }

    function test_operations_by_others_or_too_late_are_refused() public {
        OrderOp memory op = opOf("order", 2);
        bytes memory sig = sign64(SIGNER_KEY, hashes.hashOrderOp(op));
        vm.expectRevert(abi.encodeWithSelector(ISettlement.BadSignature.selector, appOwner, signer));
        market.operate(op, sig);
        op.op = 3;
        sig = sign64(APP_KEY, hashes.hashOrderOp(op));
        vm.expectRevert(abi.encodeWithSelector(IMarket.UnknownOrderOp.selector, 3));
        market.operate(op, sig);
        vm.warp(op.deadline + 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISettlement.SignatureExpired.selector, op.deadline, block.timestamp
            )
        );
        market.operate(op, sig);
    }

    function test_a_cancelled_order_opens_nothing_and_stays_cancelled() public {
        IMarket.Match memory m = full();
        bytes32[4] memory all = [
            hashes.hashReqOrder(m.req),
            hashes.hashPoolOrder(m.offer),
            hashes.hashAppOrder(m.app),
            hashes.hashDatasetOrder(m.dataset)
        ];
        address[4] memory accounts = [requester, operator, appOwner, datasetOwner];
        for (uint256 i = 4; i > 0; i--) {
            vm.expectEmit(address(market));
            emit IMarket.OrderCancelled(accounts[i - 1], all[i - 1]);
            vm.prank(accounts[i - 1]);
            market.cancel(all[i - 1]);
            short(m, all[i - 1], 0, 1);
            presignAs(accounts[i - 1], all[i - 1]);
            short(m, all[i - 1], 0, 1);
        }
    }

    function test_cancelling_by_signature_is_carried_by_anyone() public {
        IMarket.Match memory m = full();
        OrderOp memory op = opOf(hashes.hashAppOrder(m.app), 2);
        market.operate(op, sign64(APP_KEY, hashes.hashOrderOp(op)));
        short(m, op.orderHash, 0, 1);
        // An old presigning put through later does not bring it back.
        op.op = 1;
        market.operate(op, sign64(APP_KEY, hashes.hashOrderOp(op)));
        short(m, op.orderHash, 0, 1);
    }

    function test_cancelling_for_somebody_else_does_nothing() public {
        IMarket.Match memory m = full();
        (bytes32 req, bytes32 offer) = (hashes.hashReqOrder(m.req), hashes.hashPoolOrder(m.offer));
        vm.startPrank(stranger);
        market.cancel(req);
        market.cancel(offer);
        vm.stopPrank();
        open(m);
    }

    function test_signer_and_operator_may_cancel_a_pool_order() public {
        address[2] memory able = [signer, operator];
        for (uint256 i = 0; i < able.length; i++) {
            IMarket.Match memory m = full();
            bytes32 orderHash = hashes.hashPoolOrder(m.offer);
            vm.expectRevert(
                abi.encodeWithSelector(ISettlement.NotAllowed.selector, signer, address(this))
            );
            market.cancelPoolOrder(poolId, orderHash);
            vm.expectEmit(address(market));
            emit IMarket.OrderCancelled(operator, orderHash);
            vm.prank(able[i]);
            market.cancelPoolOrder(poolId, orderHash);
            short(m, orderHash, 0, 1);
        }
        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownPool.selector, 9));
        market.cancelPoolOrder(9, "x");
    }

    /// The signer of one pool cancels nothing of another, though one operator runs both.
    function test_a_signer_cancels_orders_of_its_operator_only() public {
        uint32 other = newPool(stranger, 0x0F, 0);
        IMarket.Match memory m = full();
        bytes32 orderHash = hashes.hashPoolOrder(m.offer);
        vm.prank(vm.addr(0x0F));
        market.cancelPoolOrder(other, orderHash);
        open(m);
    }

    function test_deals_of_a_cancelled_order_stand() public {
        IMarket.Match memory m = full();
        bytes32 dealId = open(m);
        bytes32 reqHash = hashes.hashReqOrder(m.req);
        vm.prank(requester);
        market.cancel(reqHash);
        vm.assertEq(settlement.dealOf(dealId).poolId, poolId, "there");
        OrderUse memory use = market.useOf(requester, hashes.hashReqOrder(m.req));
        vm.assertEq(use.filled, 1, "one task was taken");
        vm.assertTrue(use.cancelled, "no more will be");
    }

    // ---- the order book nobody can censor ----

    function test_anyone_shows_an_order_to_everybody() public {
        bytes memory order = abi.encode(reqOrder());
        vm.expectEmit(address(market));
        emit IMarket.OrderBroadcast(1, stranger, order, "sig");
        vm.prank(stranger);
        market.broadcast(1, order, "sig");
        vm.expectRevert(range("kind", 1, 5, 0));
        market.broadcast(0, order, "");
        vm.expectRevert(range("kind", 1, 5, 6));
        market.broadcast(6, order, "");
    }

    // ---- helpers: matches ----

    function full() private returns (IMarket.Match memory) {
        return fullMatch(poolId, 1);
    }

    function refused(IMarket.Match memory m, bytes memory refusal) private {
        sign(m);
        vm.expectRevert(refusal);
        market.openDeal(m);
    }

    /// Signed as it is now, and opened.
    function accepted(IMarket.Match memory m) private {
        sign(m);
        open(m);
    }

    function take(IMarket.Match memory m, uint32 n) private {
        m.n = n;
        accepted(m);
    }

    function short(IMarket.Match memory m, bytes32 orderHash, uint256 left, uint32 n) private {
        m.n = n;
        refused(m, abi.encodeWithSelector(IMarket.OrderFilled.selector, orderHash, left, n));
    }

    function bad(IMarket.Match memory m, address expected, address recovered) private {
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.BadSignature.selector, expected, recovered)
        );
        market.openDeal(m);
    }

    function unsigned(IMarket.Match memory m) private {
        vm.expectPartialRevert(ISettlement.BadSignature.selector);
        market.openDeal(m);
    }

    function volume(IMarket.Match memory m) private view returns (uint32) {
        sign(m);
        return market.volumeOf(m);
    }

    // ---- helpers: restrictions ----

    /// 0 request, 1 to 3 pool, 4 to 6 application, 7 to 9 dataset.
    function restrict(IMarket.Match memory m, uint256 i, bytes32 to) private pure {
        if (i == 0) m.req.poolRestrict = to;
        if (i == 1) m.offer.appRestrict = to;
        if (i == 2) m.offer.datasetRestrict = to;
        if (i == 3) m.offer.requesterRestrict = to;
        if (i == 4) m.app.datasetRestrict = to;
        if (i == 5) m.app.poolRestrict = to;
        if (i == 6) m.app.requesterRestrict = to;
        if (i == 7) m.dataset.appRestrict = to;
        if (i == 8) m.dataset.poolRestrict = to;
        if (i == 9) m.dataset.requesterRestrict = to;
    }

    function idOf(IMarket.Match memory m, uint256 i) private view returns (bytes32) {
        if (i == 1 || i == 7) return m.req.app;
        if (i == 2 || i == 4) return m.req.dataset;
        if (i == 0 || i == 5 || i == 8) return bytes32(uint256(poolId));
        return word(requester);
    }

    function restricted(IMarket.Match memory m, uint256 i, bytes32 to)
        private
        view
        returns (bytes memory)
    {
        string[10] memory orders = [
            "req", "pool", "pool", "pool", "app", "app", "app", "dataset", "dataset", "dataset"
        ];
        string[10] memory fields = [
            "pool",
            "app",
            "dataset",
            "requester",
            "dataset",
            "pool",
            "requester",
            "app",
            "pool",
            "requester"
        ];
        return
            abi.encodeWithSelector(
                IMarket.Restricted.selector, orders[i], fields[i], to, idOf(m, i)
            );
    }

    // ---- helpers: words ----

    function sign65(uint256 key, bytes32 structHash) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digestOf(structHash));
        return abi.encodePacked(r, s, v);
    }

    function presignAs(address account, bytes32 orderHash) private {
        vm.prank(account);
        market.presign(orderHash);
    }

    function opOf(bytes32 orderHash, uint8 op) private view returns (OrderOp memory) {
        return OrderOp(appOwner, orderHash, op, uint64(block.timestamp + 1 hours));
    }

    function separatorOf(IMarket m) private view returns (bytes32) {
        (bool done, bytes memory answer) =
            address(m).staticcall(abi.encodeWithSignature("DOMAIN_SEPARATOR()"));
        vm.assertTrue(done, "answered");
        return abi.decode(answer, (bytes32));
    }

    function mismatch(string memory field, bytes32 expected, bytes32 actual)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(IMarket.OrderMismatch.selector, field, expected, actual);
    }

    function tooHigh(string memory field, uint128 max, uint128 actual)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(IMarket.PriceTooHigh.selector, field, max, actual);
    }

    function range(string memory field, uint256 min, uint256 max, uint256 actual)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(ISettlement.OutOfRange.selector, field, min, max, actual);
    }

    function expired(bytes32 orderHash, uint64 expiry) private view returns (bytes memory) {
        return
            abi.encodeWithSelector(
                IMarket.OrderExpired.selector, orderHash, expiry, block.timestamp
            );
    }

    function word(address account) private pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }
}
