// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IMarket} from "../src/IMarket.sol";
import {ISettlement} from "../src/ISettlement.sol";
import {Deal, DealTerms, PoolOrder, ReqOrder} from "../src/Types.sol";
import {Fixture} from "./support/Fixture.sol";
import {vm} from "./support/Vm.sol";

/// @notice What a deal is, what it locks, and who pays. Rules of matching are in Orders.t.sol.
contract DealsTest is Fixture {
    uint32 private poolId;

    function setUp() public override {
        super.setUp();
        poolId = newPool(0);
    }

    // ---- what a deal is ----

    function test_a_deal_locks_its_price_and_tells_the_scheduler_all() public {
        IMarket.Match memory m = fullMatch(poolId, 7);
        fund(requester, 10 * (PRICE + 100));
        DealTerms memory terms = termsOf(m);
        bytes32 expected = keccak256(abi.encode(terms));
        vm.expectEmit(address(settlement));
        emit ISettlement.DealOpened(expected, poolId, requester, 0, terms);
        vm.expectEmit(address(market));
        emit IMarket.OrdersMatched(
            expected,
            hashes.hashReqOrder(m.req),
            hashes.hashPoolOrder(m.offer),
            hashes.hashAppOrder(m.app),
            hashes.hashDatasetOrder(m.dataset),
            0,
            7
        );
        vm.prank(stranger);
        bytes32 dealId = market.openDeal(m);

        vm.assertEq(dealId, expected, "id");
        vm.assertEq(settlement.freeOf(requester), 3 * (PRICE + 100), "free");
        vm.assertEq(settlement.poolOf(poolId).locked, 7 * (PRICE + 100), "locked");
        checkUses(m, 7);
        checkMoney(3 * (PRICE + 100), 1);
        Deal memory deal = settlement.dealOf(dealId);
        vm.assertEq(deal.poolId, poolId, "pool");
        vm.assertEq(deal.slot, 0, "slot");
        vm.assertEq(deal.returned, 0, "returned");
        vm.assertFalse(deal.closed, "open");
    }

    /// The id that the contract gives is the hash of the terms that its event shows, to the byte:
    /// the event is written without encoding its fields one by one.
    function testFuzz_the_event_shows_the_terms_that_the_id_names(uint64 time, uint8 ratio) public {
        IMarket.Match memory m = fullMatch(poolId, 1);
        m.req.maxTaskTime = uint64(bound(time, 1, 2 hours));
        m.req.beneficiary = stranger;
        m.req.callback = operator;
        m.offer.stakeRatio = ratio % 101;
        sign(m);
        fund(requester, PRICE + 100);
        vm.recordLogs();
        bytes32 dealId = market.openDeal(m);
        bytes memory data = vm.getRecordedLogs()[0].data;
        (uint32 slot, DealTerms memory terms) = abi.decode(data, (uint32, DealTerms));
        vm.assertEq(slot, 0, "slot");
        vm.assertEq(keccak256(abi.encode(terms)), dealId, "terms");
        vm.assertEq(data, abi.encode(slot, terms), "exactly");
    }

    function test_deals_of_one_order_have_their_own_ids_and_slots() public {
        ReqOrder memory req = reqOrder();
        PoolOrder memory offer = poolOrder(poolId);
        fund(requester, 10 * PRICE);
        bytes32 first = open(req, offer, 4);
        bytes32 second = open(req, offer, 4);
        vm.assertTrue(first != second, "ids differ");
        vm.assertEq(settlement.dealOf(first).slot, 0, "first slot");
        vm.assertEq(settlement.dealOf(second).slot, 1, "second slot");
        vm.assertEq(book.get(second).filledBefore, 4, "which is why");
    }

    function test_work_can_be_given_away() public {
        IMarket.Match memory m = fullMatch(poolId, 5);
        (m.offer.unitPrice, m.app.price, m.dataset.price) = (0, 0, 0);
        sign(m);
        open(m);
        vm.assertEq(settlement.poolOf(poolId).locked, 0, "nothing locked");
    }

    function test_an_application_may_cost_where_work_is_free() public {
        IMarket.Match memory m = fullMatch(poolId, 5);
        m.offer.unitPrice = 0;
        sign(m);
        fund(requester, 500);
        open(m);
        vm.assertEq(settlement.poolOf(poolId).locked, 500, "royalties alone");
    }

    function test_unknown_deals_are_nothing() public view {
        Deal memory deal = settlement.dealOf("x");
        vm.assertEq(deal.poolId, 0, "no pool");
    }

    function test_only_the_market_opens_deals() public {
        DealTerms memory terms = termsOf(fullMatch(poolId, 1));
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.NotAllowed.selector, address(market), address(this))
        );
        settlement.openDeal(terms);
    }

    function test_a_deal_is_opened_once() public {
        DealTerms memory terms = termsOf(matchOf(reqOrder(), poolOrder(poolId), 1));
        fund(requester, 2 * PRICE);
        vm.startPrank(address(market));
        (bytes32 dealId,) = settlement.openDeal(terms);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.DealExists.selector, dealId));
        settlement.openDeal(terms);
    }

    function test_a_pools_later_orders_change_no_deal() public {
        fund(requester, 2 * PRICE);
        PoolOrder memory offer = poolOrder(poolId);
        bytes32 first = open(reqOrder(), offer, 1);
        offer.schedulerRatio = 99;
        bytes32 second = open(reqOrder(), offer, 1);
        vm.assertEq(book.get(first).schedulerRatio, 1, "as it was");
        vm.assertEq(book.get(second).schedulerRatio, 99, "as it is");
    }

    // ---- money ----

    function test_the_money_must_be_there() public {
        IMarket.Match memory m = fullMatch(poolId, 3);
        fund(requester, 3 * (PRICE + 100) - 1);
        vm.expectRevert(tooLow(requester, 3 * (PRICE + 100) - 1, 3 * (PRICE + 100)));
        market.openDeal(m);
        // No product of prices and tasks wraps around.
        uint128 max = type(uint128).max;
        (m.req.maxUnitPrice, m.req.appMaxPrice, m.req.datasetMaxPrice) = (max, max, max);
        (m.offer.unitPrice, m.app.price, m.dataset.price) = (max, max, max);
        m.n = 65_536;
        sign(m);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISettlement.DealTooLarge.selector, type(uint112).max, uint256(max) * 3 * 65_536
            )
        );
        market.openDeal(m);
    }

    /// Even where somebody had so much: a pool's locked money is packed into 112 bits.
    function test_a_deal_that_no_token_could_pay_is_refused_by_name() public {
        DealTerms memory terms = termsOf(matchOf(reqOrder(), poolOrder(poolId), 2));
        terms.unitPrice = 2 ** 111;
        vm.startPrank(address(market));
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.DealTooLarge.selector, 2 ** 112 - 1, 2 ** 112)
        );
        settlement.openDeal(terms);
        (terms.tasks, terms.unitPrice) = (1, 2 ** 112 - 1);
        vm.expectRevert(tooLow(requester, 0, 2 ** 112 - 1));
        settlement.openDeal(terms);
    }

    function test_a_sponsor_pays_for_what_it_signed() public {
        IMarket.Match memory m = fullMatch(poolId, 2);
        m.sponsor = sponsorOrder(3000);
        sign(m);
        vm.expectRevert(tooLow(sponsor, 0, 2200));
        market.openDeal(m);
        fund(sponsor, 5000);
        bytes32 dealId = open(m);
        vm.assertEq(book.get(dealId).payer, sponsor, "payer");
        vm.assertEq(settlement.freeOf(sponsor), 2800, "sponsor's");
        bytes32 orderHash = hashes.hashSponsorOrder(m.sponsor);
        vm.assertEq(market.useOf(sponsor, orderHash).paid, 2200, "paid");
        // What is left of 3,000 does not cover one task more.
        m.n = 1;
        vm.expectRevert(abi.encodeWithSelector(IMarket.SponsorSpent.selector, orderHash, 800, 1100));
        market.openDeal(m);
    }

    function test_a_sponsor_who_calls_need_not_sign() public {
        IMarket.Match memory m = fullMatch(poolId, 1);
        m.sponsor = sponsorOrder(3000);
        sign(m);
        m.sponsorSig = "";
        fund(sponsor, 1100);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.BadSignature.selector, sponsor, address(0))
        );
        market.openDeal(m);
        book.put(termsOf(m));
        vm.prank(sponsor);
        market.openDeal(m);
        vm.assertEq(settlement.freeOf(sponsor), 0, "spent");
    }

    /// Nobody can make a sponsor pay for another request than it chose.
    function test_a_sponsors_order_is_for_one_request() public {
        IMarket.Match memory m = fullMatch(poolId, 1);
        m.sponsor = sponsorOrder(3000);
        sign(m);
        bytes32 chosen = m.sponsor.reqHash;
        m.req.salt = "another";
        m.reqSig = signReq(m.req);
        vm.expectRevert(
            abi.encodeWithSelector(
                IMarket.OrderMismatch.selector,
                "sponsor.reqHash",
                hashes.hashReqOrder(m.req),
                chosen
            )
        );
        market.openDeal(m);
    }

    function test_a_sponsors_order_expires_and_can_be_cancelled() public {
        IMarket.Match memory m = fullMatch(poolId, 1);
        m.sponsor = sponsorOrder(3000);
        m.sponsor.expiry = uint64(block.timestamp - 1);
        sign(m);
        bytes32 orderHash = hashes.hashSponsorOrder(m.sponsor);
        vm.expectRevert(
            abi.encodeWithSelector(
                IMarket.OrderExpired.selector, orderHash, block.timestamp - 1, block.timestamp
            )
        );
        market.openDeal(m);
        m.sponsor.expiry = uint64(block.timestamp);
        sign(m);
        orderHash = hashes.hashSponsorOrder(m.sponsor);
        vm.prank(sponsor);
        market.cancel(orderHash);
        vm.expectRevert(abi.encodeWithSelector(IMarket.SponsorSpent.selector, orderHash, 0, 1100));
        market.openDeal(m);
    }

    // ---- deposit and match in one transaction ----

    function test_one_transaction_deposits_by_permit_and_matches() public {
        IMarket.Match memory m = matchOf(reqOrder(), poolOrder(poolId), 2);
        token.transfer(requester, 2500);
        IMarket.Permit memory permit = permitOf(2500);
        book.put(termsOf(m));
        vm.prank(stranger);
        market.openDealWithPermit(m, permit);
        vm.assertEq(settlement.freeOf(requester), 500, "what is over is free");
        vm.assertEq(settlement.poolOf(poolId).locked, 2000, "locked");
    }

    function test_a_permit_of_somebody_else_pays_for_nobody() public {
        IMarket.Match memory m = matchOf(reqOrder(), poolOrder(poolId), 1);
        m.sponsor = sponsorOrder(3000);
        sign(m);
        token.transfer(requester, 2500);
        token.transfer(sponsor, 2500);
        IMarket.Permit memory permit = permitOf(2500); // the requester's, but the sponsor pays
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector, address(settlement), 0, 2500
            )
        );
        market.openDealWithPermit(m, permit);
    }

    /// The rule that refuses is told, and nothing is deposited.
    function test_a_match_that_is_refused_deposits_nothing() public {
        IMarket.Match memory m = matchOf(reqOrder(), poolOrder(poolId), 3);
        token.transfer(requester, 2500);
        IMarket.Permit memory permit = permitOf(2500);
        vm.expectRevert(tooLow(requester, 2500, 3000));
        market.openDealWithPermit(m, permit);
        vm.assertEq(token.balanceOf(requester), 2500, "in hand");
    }

    // ---- places ----

    function test_the_tree_has_room_for_so_many_deals() public {
        PoolOrder memory offer = poolOrder(poolId);
        offer.unitPrice = 0;
        setDeals(2 ** 19 - 1);
        bytes32 dealId = open(reqOrder(), offer, 1);
        vm.assertEq(settlement.dealOf(dealId).slot, 2 ** 19 - 1, "the last place");
        IMarket.Match memory m = matchOf(reqOrder(), offer, 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.DealsFull.selector, poolId, 2 ** 19));
        market.openDeal(m);
    }

    // ---- helpers ----

    function checkUses(IMarket.Match memory m, uint32 n) private view {
        bytes32 reqHash = hashes.hashReqOrder(m.req);
        bytes32 poolHash = hashes.hashPoolOrder(m.offer);
        bytes32 appHash = hashes.hashAppOrder(m.app);
        bytes32 datasetHash = hashes.hashDatasetOrder(m.dataset);
        vm.assertEq(market.useOf(requester, reqHash).filled, n, "request");
        vm.assertEq(market.useOf(operator, poolHash).filled, n, "offer");
        vm.assertEq(market.useOf(appOwner, appHash).filled, n, "app");
        vm.assertEq(market.useOf(datasetOwner, datasetHash).filled, n, "dataset");
    }

    function tooLow(address account, uint256 free, uint256 needed)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(ISettlement.FreeTooLow.selector, account, free, needed);
    }

    function permitOf(uint128 amount) private view returns (IMarket.Permit memory permit) {
        bytes32 permitType = keccak256(
            "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
        );
        (permit.amount, permit.deadline) = (amount, block.timestamp);
        bytes32 structHash = keccak256(
            abi.encode(permitType, requester, address(settlement), amount, 0, block.timestamp)
        );
        bytes32 digest =
            keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), structHash));
        (permit.v, permit.r, permit.s) = vm.sign(REQUESTER_KEY, digest);
    }

    /// The counter of deals lies in a pool's first word, after 20 bytes of signer and 5 of exit time.
    function setDeals(uint32 count) private {
        bytes32 slot = keccak256(abi.encode(poolId, POOLS_SLOT));
        uint256 word = uint256(vm.load(address(settlement), slot));
        vm.assertEq(address(uint160(word)), signer, "this is the word of the signer");
        word = (word & ~(uint256(type(uint32).max) << 200)) | (uint256(count) << 200);
        vm.store(address(settlement), slot, bytes32(word));
    }
}
