// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ISettlement} from "../src/ISettlement.sol";
import {Deal, DealTerms, PoolOrder, ReqOrder} from "../src/Types.sol";
import {Fixture} from "./support/Fixture.sol";
import {vm} from "./support/Vm.sol";
import {Wallet} from "./support/Wallet.sol";

/// @notice Orders, what matches them, and what a deal locks.
contract DealsTest is Fixture {
    uint32 private poolId;

    function setUp() public override {
        super.setUp();
        poolId = newPool(0);
    }

    // ---- what a deal is ----

    function test_a_deal_locks_its_price_and_tells_the_scheduler_all() public {
        ReqOrder memory req = reqOrder();
        PoolOrder memory offer = poolOrder(poolId);
        fund(requester, 10 * PRICE);
        bytes32 reqHash = hashes.hashReqOrder(req);
        bytes32 poolHash = hashes.hashPoolOrder(offer);
        bytes32 expected = keccak256(abi.encode(reqHash, poolHash, uint32(0), uint32(7)));
        DealTerms memory terms = DealTerms({
            slot: 0,
            reqHash: reqHash,
            poolHash: poolHash,
            filledBefore: 0,
            app: req.app,
            params: req.params,
            unitPrice: PRICE,
            tasks: 7,
            trust: 50,
            replicas: 3,
            stakeRatio: 30,
            schedulerRatio: 1,
            maxTaskTime: 1 hours,
            deadline: req.deadline
        });
        (bytes memory reqSig, bytes memory offerSig) = (signReq(req), signOffer(offer));
        vm.expectEmit(address(settlement));
        emit ISettlement.DealOpened(expected, poolId, requester, terms);
        vm.prank(stranger);
        bytes32 dealId = settlement.openDeal(req, reqSig, offer, offerSig, 7);

        vm.assertEq(dealId, expected, "id");
        vm.assertEq(settlement.freeOf(requester), 3 * PRICE, "free");
        vm.assertEq(settlement.poolOf(poolId).locked, 7 * PRICE, "locked");
        vm.assertEq(settlement.filledOf(reqHash), 7, "request filled");
        vm.assertEq(settlement.filledOf(poolHash), 7, "offer filled");
        checkMoney(3 * PRICE, 1);
        checkStored(settlement.dealOf(dealId), req);
    }

    function checkStored(Deal memory deal, ReqOrder memory req) private view {
        vm.assertEq(deal.requester, requester, "requester");
        vm.assertEq(deal.poolId, poolId, "pool");
        vm.assertEq(deal.slot, 0, "slot");
        vm.assertEq(deal.tasks, 7, "tasks");
        vm.assertEq(deal.unitPrice, PRICE, "price");
        vm.assertEq(deal.returned, 0, "returned");
        vm.assertEq(deal.deadline, req.deadline, "deadline");
        vm.assertEq(deal.maxTaskTime, 1 hours, "task time");
        vm.assertEq(deal.trust, 50, "trust");
        vm.assertEq(deal.replicas, 3, "replicas");
        vm.assertEq(deal.stakeRatio, 30, "stake ratio");
        vm.assertEq(deal.schedulerRatio, 1, "scheduler ratio");
        vm.assertFalse(deal.closed, "open");
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
        bytes32 reqHash = hashes.hashReqOrder(req);
        vm.assertEq(
            second,
            keccak256(abi.encode(reqHash, hashes.hashPoolOrder(offer), uint32(4), uint32(4))),
            "id"
        );
    }

    function test_work_can_be_given_away() public {
        PoolOrder memory offer = poolOrder(poolId);
        offer.unitPrice = 0;
        open(reqOrder(), offer, 5);
        vm.assertEq(settlement.poolOf(poolId).locked, 0, "nothing locked");
    }

    // ---- volumes ----

    function test_volumes_bound_what_is_filled_on_both_sides() public {
        ReqOrder memory req = reqOrder();
        req.tasks = 5;
        PoolOrder memory offer = poolOrder(poolId);
        offer.tasks = 6;
        fund(requester, 20 * PRICE);
        open(req, offer, 4);
        expectFilled(hashes.hashReqOrder(req), 1, req, offer, 2);
        open(req, offer, 1);
        expectFilled(hashes.hashReqOrder(req), 0, req, offer, 1);
        expectFilled(hashes.hashPoolOrder(offer), 1, reqOrder(), offer, 2);
        open(reqOrder(), offer, 1);
        expectFilled(hashes.hashPoolOrder(offer), 0, reqOrder(), offer, 1);
    }

    function test_a_cancelled_request_order_opens_nothing() public {
        ReqOrder memory req = reqOrder();
        bytes32 orderHash = hashes.hashReqOrder(req);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.NotAllowed.selector, requester, address(this))
        );
        settlement.cancelReqOrder(req);
        vm.expectEmit(address(settlement));
        emit ISettlement.OrderCancelled(orderHash, requester);
        vm.prank(requester);
        settlement.cancelReqOrder(req);
        vm.assertEq(settlement.filledOf(orderHash), type(uint32).max, "full");
        expectFilled(orderHash, 0, req, poolOrder(poolId), 1);
    }

    function test_signer_and_operator_may_cancel_a_pool_order() public {
        address[2] memory able = [signer, operator];
        for (uint256 i = 0; i < able.length; i++) {
            PoolOrder memory offer = poolOrder(poolId);
            vm.expectRevert(
                abi.encodeWithSelector(ISettlement.NotAllowed.selector, signer, address(this))
            );
            settlement.cancelPoolOrder(offer);
            bytes32 orderHash = hashes.hashPoolOrder(offer);
            vm.prank(able[i]);
            vm.expectEmit(address(settlement));
            emit ISettlement.OrderCancelled(orderHash, able[i]);
            settlement.cancelPoolOrder(offer);
            expectFilled(orderHash, 0, reqOrder(), offer, 1);
        }
    }

    function testFuzz_volumes_never_overflow(uint32 volume, uint32 a, uint32 b) public {
        ReqOrder memory req = reqOrder();
        req.tasks = volume;
        PoolOrder memory offer = poolOrder(poolId);
        (offer.unitPrice, offer.tasks) = (0, type(uint32).max);
        a = uint32(bound(a, 1, 65_536));
        b = uint32(bound(b, 1, 65_536));
        if (a > volume) return expectFilled(hashes.hashReqOrder(req), volume, req, offer, a);
        open(req, offer, a);
        uint32 left = volume - a;
        if (b > left) return expectFilled(hashes.hashReqOrder(req), left, req, offer, b);
        open(req, offer, b);
        vm.assertEq(settlement.filledOf(hashes.hashReqOrder(req)), a + b, "filled");
    }

    // ---- terms ----

    function test_terms_of_both_sides_must_meet() public {
        ReqOrder memory req = reqOrder();
        PoolOrder memory offer = poolOrder(poolId);
        req.poolId = poolId + 1;
        expectRefusal(
            abi.encodeWithSelector(ISettlement.PoolMismatch.selector, poolId + 1, poolId),
            req,
            offer
        );
        req = reqOrder();
        req.maxUnitPrice = PRICE - 1;
        expectRefusal(
            abi.encodeWithSelector(ISettlement.PriceTooHigh.selector, PRICE - 1, PRICE), req, offer
        );
        req = reqOrder();
        req.trust = 101;
        expectRefusal(
            abi.encodeWithSelector(ISettlement.TrustTooHigh.selector, 100, 101), req, offer
        );
    }

    function test_the_named_pool_may_take_the_order() public {
        ReqOrder memory req = reqOrder();
        req.poolId = poolId;
        fund(requester, PRICE);
        open(req, poolOrder(poolId), 1);
    }

    function test_every_bounded_field_says_its_bounds() public {
        uint256 t = block.timestamp;
        PoolOrder memory offer = poolOrder(poolId);
        ReqOrder memory req = reqOrder();
        req.maxTaskTime = 0;
        expectRange("maxTaskTime", 1, 2 hours, 0, req, offer, 1);
        req.maxTaskTime = 2 hours + 1;
        expectRange("maxTaskTime", 1, 2 hours, 2 hours + 1, req, offer, 1);
        offer.maxTaskTime = 2 days;
        req.maxTaskTime = 1 days + 1;
        expectRange("maxTaskTime", 1, 1 days, 1 days + 1, req, offer, 1);
        req = reqOrder();
        req.replicas = 0;
        expectRange("replicas", 1, 15, 0, req, offer, 1);
        req.replicas = 16;
        expectRange("replicas", 1, 15, 16, req, offer, 1);
        req = reqOrder();
        expectRange("n", 1, 65_536, 0, req, offer, 0);
        expectRange("n", 1, 65_536, 65_537, req, offer, 65_537);
        offer.stakeRatio = 101;
        expectRange("stakeRatio", 0, 100, 101, req, offer, 1);
        offer = poolOrder(poolId);
        offer.schedulerRatio = 101;
        expectRange("schedulerRatio", 0, 100, 101, req, offer, 1);
        offer = poolOrder(poolId);
        req.deadline = uint64(t);
        expectRange("deadline", t + 1, t + 365 days, t, req, offer, 1);
        req.deadline = uint64(t + 365 days + 1);
        expectRange("deadline", t + 1, t + 365 days, t + 365 days + 1, req, offer, 1);
    }

    function test_orders_expire_after_their_last_second() public {
        ReqOrder memory req = reqOrder();
        PoolOrder memory offer = poolOrder(poolId);
        fund(requester, 10 * PRICE);
        req.expiry = uint64(block.timestamp);
        open(req, offer, 1);
        vm.warp(block.timestamp + 1);
        expectRefusal(
            abi.encodeWithSelector(
                ISettlement.OrderExpired.selector,
                hashes.hashReqOrder(req),
                req.expiry,
                block.timestamp
            ),
            req,
            offer
        );
        req = reqOrder();
        offer.expiry = uint64(block.timestamp - 1);
        expectRefusal(
            abi.encodeWithSelector(
                ISettlement.OrderExpired.selector,
                hashes.hashPoolOrder(offer),
                offer.expiry,
                block.timestamp
            ),
            req,
            offer
        );
    }

    function test_the_money_must_be_there() public {
        fund(requester, 3 * PRICE - 1);
        expectRefusal(
            abi.encodeWithSelector(
                ISettlement.FreeTooLow.selector, requester, 3 * PRICE - 1, 3 * PRICE
            ),
            reqOrder(),
            poolOrder(poolId),
            3
        );
        // No product of price and tasks wraps around.
        ReqOrder memory req = reqOrder();
        PoolOrder memory offer = poolOrder(poolId);
        (req.maxUnitPrice, offer.unitPrice) = (type(uint128).max, type(uint128).max);
        expectRefusal(
            abi.encodeWithSelector(
                ISettlement.FreeTooLow.selector,
                requester,
                3 * PRICE - 1,
                uint256(type(uint128).max) * 65_536
            ),
            req,
            offer,
            65_536
        );
    }

    function test_the_tree_has_room_for_so_many_deals() public {
        PoolOrder memory offer = poolOrder(poolId);
        offer.unitPrice = 0;
        setDeals(2 ** 19 - 1);
        bytes32 dealId = open(reqOrder(), offer, 1);
        vm.assertEq(settlement.dealOf(dealId).slot, 2 ** 19 - 1, "the last place");
        expectRefusal(
            abi.encodeWithSelector(ISettlement.DealsFull.selector, poolId, 2 ** 19),
            reqOrder(),
            offer
        );
    }

    function test_unknown_deals_are_unknown() public {
        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownDeal.selector, bytes32("x")));
        settlement.dealOf("x");
    }

    // ---- signatures ----

    function test_a_wallets_65_bytes_count_for_the_requester() public {
        ReqOrder memory req = reqOrder();
        PoolOrder memory offer = poolOrder(poolId);
        fund(requester, PRICE);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(REQUESTER_KEY, digestOf(hashes.hashReqOrder(req)));
        settlement.openDeal(req, abi.encodePacked(r, s, v), offer, signOffer(offer), 1);
    }

    function test_the_pools_signature_is_64_bytes() public {
        ReqOrder memory req = reqOrder();
        PoolOrder memory offer = poolOrder(poolId);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(SIGNER_KEY, digestOf(hashes.hashPoolOrder(offer)));
        bytes memory reqSig = signReq(req);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.BadSignature.selector, signer, address(0))
        );
        settlement.openDeal(req, reqSig, offer, abi.encodePacked(r, s, v), 1);
    }

    function test_signatures_of_others_are_refused() public {
        ReqOrder memory req = reqOrder();
        PoolOrder memory offer = poolOrder(poolId);
        bytes memory reqSig = sign64(SIGNER_KEY, hashes.hashReqOrder(req));
        bytes memory offerSig = sign64(REQUESTER_KEY, hashes.hashPoolOrder(offer));
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.BadSignature.selector, requester, signer)
        );
        settlement.openDeal(req, reqSig, offer, offerSig, 1);
        reqSig = signReq(req);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.BadSignature.selector, signer, requester)
        );
        settlement.openDeal(req, reqSig, offer, offerSig, 1);
        req.requester = address(0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.ZeroKey.selector, "requester"));
        settlement.openDeal(req, "", offer, offerSig, 1);
    }

    function test_signatures_hold_for_one_chain_only() public {
        ReqOrder memory req = reqOrder();
        PoolOrder memory offer = poolOrder(poolId);
        (bytes memory reqSig, bytes memory offerSig) = (signReq(req), signOffer(offer));
        vm.chainId(4711);
        vm.expectPartialRevert(ISettlement.BadSignature.selector);
        settlement.openDeal(req, reqSig, offer, offerSig, 1);
    }

    function test_a_contract_account_signs_in_its_own_way() public {
        Wallet wallet = new Wallet(token, settlement);
        token.transfer(address(wallet), PRICE);
        wallet.deposit(settlement, PRICE);
        ReqOrder memory req = reqOrder();
        req.requester = address(wallet);
        PoolOrder memory offer = poolOrder(poolId);
        bytes memory offerSig = signOffer(offer);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.BadSignature.selector, address(wallet), address(0))
        );
        settlement.openDeal(req, "approved", offer, offerSig, 1);
        wallet.accept(digestOf(hashes.hashReqOrder(req)), "approved");
        settlement.openDeal(req, "approved", offer, offerSig, 1);
        vm.assertEq(settlement.poolOf(poolId).locked, PRICE, "locked");
    }

    function test_a_key_with_code_still_signs_with_its_key() public {
        // EIP-7702: an account of a key that also has code, here code that answers nothing.
        vm.etch(requester, hex"00");
        fund(requester, PRICE);
        open(reqOrder(), poolOrder(poolId), 1);
    }

    // ---- helpers ----

    function expectRefusal(bytes memory refusal, ReqOrder memory req, PoolOrder memory offer)
        private
    {
        expectRefusal(refusal, req, offer, 1);
    }

    function expectRefusal(
        bytes memory refusal,
        ReqOrder memory req,
        PoolOrder memory offer,
        uint32 n
    ) private {
        (bytes memory reqSig, bytes memory offerSig) = (signReq(req), signOffer(offer));
        vm.expectRevert(refusal);
        settlement.openDeal(req, reqSig, offer, offerSig, n);
    }

    function expectFilled(
        bytes32 orderHash,
        uint256 left,
        ReqOrder memory req,
        PoolOrder memory offer,
        uint32 n
    ) private {
        expectRefusal(
            abi.encodeWithSelector(ISettlement.OrderFilled.selector, orderHash, left, n),
            req,
            offer,
            n
        );
    }

    function expectRange(
        string memory field,
        uint256 min,
        uint256 max,
        uint256 actual,
        ReqOrder memory req,
        PoolOrder memory offer,
        uint32 n
    ) private {
        expectRefusal(
            abi.encodeWithSelector(ISettlement.OutOfRange.selector, field, min, max, actual),
            req,
            offer,
            n
        );
    }

    /// The counter of deals is the top of a pool's first word; pools are the ninth storage word.
    function setDeals(uint32 count) private {
        bytes32 slot = keccak256(abi.encode(poolId, uint256(8)));
        uint256 word = uint256(vm.load(address(settlement), slot));
        vm.assertEq(address(uint160(word)), signer, "this is the word of the signer");
        word = (word << 32 >> 32) | (uint256(count) << 224);
        vm.store(address(settlement), slot, bytes32(word));
    }
}
