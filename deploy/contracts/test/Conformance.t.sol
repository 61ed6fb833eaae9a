// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMarket} from "../src/IMarket.sol";
import {ISettlement} from "../src/ISettlement.sol";
import {DealTerms, ReqOrder} from "../src/Types.sol";
import {Fixture} from "./support/Fixture.sol";
import {vm} from "./support/Vm.sol";

/// @notice What the reference's suite covers and no other test here is about (README.md, "Conformance").
contract ConformanceTest is Fixture {
    uint32 private poolId;

    function setUp() public override {
        super.setUp();
        poolId = newPool(10_000);
    }

    function test_anyone_may_match_what_others_have_signed() public {
        IMarket.Match memory m = fullMatch(poolId, 3);
        fund(requester, 3 * (PRICE + 100));
        bytes32 expected = book.put(termsOf(m));
        vm.prank(stranger);
        vm.assertEq(market.openDeal(m), expected, "opened");
        vm.assertEq(settlement.freeOf(stranger), 0, "nothing for the caller");
        vm.assertEq(settlement.poolOf(poolId).locked, 3 * (PRICE + 100), "locked");
    }

    function test_one_request_is_filled_by_several_pools() public {
        uint32 second = newPool(address(0x2B), SIGNER_KEY, 0);
        ReqOrder memory req = reqOrder();
        req.tasks = 5;
        fund(requester, 10 * PRICE);
        bytes32 first = open(req, poolOrder(poolId), 3);
        bytes32 later = open(req, poolOrder(second), 2);
        vm.assertEq(book.get(first).filledBefore, 0, "from none");
        vm.assertEq(book.get(later).filledBefore, 3, "where the first ended");
        vm.assertEq(book.get(later).reqHash, book.get(first).reqHash, "one request");
        IMarket.Match memory more = matchOf(req, poolOrder(poolId), 1);
        vm.expectPartialRevert(IMarket.OrderFilled.selector);
        market.openDeal(more);
    }

    function test_beneficiary_callback_and_params_are_the_requests() public {
        IMarket.Match memory m = fullMatch(poolId, 1);
        (m.req.beneficiary, m.req.callback) = (stranger, address(0xCA11));
        m.req.params = keccak256("other params");
        sign(m);
        fund(requester, PRICE + 100);
        DealTerms memory terms = book.get(open(m));
        vm.assertEq(terms.beneficiary, stranger, "beneficiary");
        vm.assertEq(terms.callback, address(0xCA11), "callback");
        vm.assertEq(terms.params, keccak256("other params"), "params");
    }

    /// Trust zero is trust one: PROTOCOL.md section 4 takes the greater of trust and one.
    function test_a_request_without_trust_is_matched() public {
        ReqOrder memory req = reqOrder();
        req.trust = 0;
        fund(requester, PRICE);
        bytes32 dealId = open(req, poolOrder(poolId), 1);
        vm.assertEq(book.get(dealId).trust, uint256(0), "trust");
    }

    /// What a deal paid for cannot be had by naming other terms.
    function test_terms_that_were_never_matched_are_no_deal() public {
        DealTerms memory terms = book.get(newDeal(poolId, 2));
        terms.tasks = 3;
        bytes32 id = keccak256(abi.encode(terms));
        vm.assertEq(settlement.dealOf(id).poolId, 0, "nothing there");
        vm.prank(escape);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownDeal.selector, id));
        settlement.payForced(terms, 0, new address[](0), new uint128[](0));
    }
}
