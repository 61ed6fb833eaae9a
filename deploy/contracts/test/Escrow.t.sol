// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ISettlement} from "../src/ISettlement.sol";
import {Fixture} from "./support/Fixture.sol";
import {vm} from "./support/Vm.sol";

/// @notice Construction, deposits, permits, withdrawals.
contract EscrowTest is Fixture {
    function test_construction_states_its_parameters() public view {
        vm.assertEq(settlement.token(), address(token), "token");
        vm.assertEq(settlement.window(), WINDOW, "window");
        vm.assertEq(settlement.market(), address(market), "market");
        vm.assertEq(settlement.court(), court, "court");
        vm.assertEq(settlement.escape(), escape, "escape");
        vm.assertEq(market.settlement(), address(settlement), "and back");
    }

    function test_construction_refuses_a_window_out_of_bounds() public {
        (uint64 min, uint64 max) = (48 hours, 10 days);
        deploy(address(token), min);
        deploy(address(token), max);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.WindowOutOfRange.selector, min, max, min - 1)
        );
        this.deployOut(address(token), min - 1);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.WindowOutOfRange.selector, min, max, max + 1)
        );
        this.deployOut(address(token), max + 1);
    }

    function test_construction_refuses_no_token() public {
        vm.expectRevert(abi.encodeWithSelector(ISettlement.ZeroKey.selector, "token"));
        this.deployOut(address(0), WINDOW);
    }

    function test_construction_refuses_to_leave_out_a_contract() public {
        string[3] memory names = ["market", "court", "escape"];
        for (uint256 i = 0; i < 3; i++) {
            address[3] memory all = [address(1), address(2), address(3)];
            all[i] = address(0);
            vm.expectRevert(abi.encodeWithSelector(ISettlement.ZeroKey.selector, names[i]));
            this.deployWith(all[0], all[1], all[2]);
        }
        vm.expectRevert(abi.encodeWithSelector(ISettlement.ZeroKey.selector, "settlement"));
        this.deployMarket(address(0));
    }

    function test_anyone_may_give_to_anyone() public {
        token.transfer(stranger, 100);
        vm.startPrank(stranger);
        token.approve(address(settlement), 100);
        vm.expectEmit(address(settlement));
        emit ISettlement.Deposited(requester, 100);
        settlement.depositFor(requester, 100);
        vm.assertEq(settlement.freeOf(requester), 100, "given");
        vm.assertEq(settlement.freeOf(stranger), 0, "by");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.ZeroKey.selector, "account"));
        settlement.depositFor(address(0), 1);
    }

    function test_domain_separator_is_that_of_the_protocol_and_follows_the_chain() public {
        vm.assertEq(settlement.DOMAIN_SEPARATOR(), separator(block.chainid), "this chain");
        vm.chainId(4711);
        vm.assertEq(settlement.DOMAIN_SEPARATOR(), separator(4711), "after a fork");
    }

    function test_deposit_becomes_free_and_can_be_withdrawn() public {
        token.transfer(stranger, 100);
        vm.startPrank(stranger);
        token.approve(address(settlement), 100);
        vm.expectEmit(address(settlement));
        emit ISettlement.Deposited(stranger, 100);
        settlement.deposit(100);
        vm.assertEq(settlement.freeOf(stranger), 100, "free");

        vm.expectEmit(address(settlement));
        emit ISettlement.Withdrawn(stranger, 40);
        settlement.withdraw(40);
        vm.assertEq(settlement.freeOf(stranger), 60, "free after");
        vm.assertEq(token.balanceOf(stranger), 40, "in hand");
        checkMoney(60, 0);
    }

    function test_deposit_refuses_zero_and_what_is_not_approved() public {
        vm.expectRevert(abi.encodeWithSelector(ISettlement.ZeroAmount.selector));
        settlement.deposit(0);
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector, address(settlement), 0, 1
            )
        );
        settlement.deposit(1);
    }

    function test_withdraw_refuses_zero_and_more_than_free() public {
        fund(stranger, 100);
        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.ZeroAmount.selector));
        settlement.withdraw(0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.FreeTooLow.selector, stranger, 100, 101));
        settlement.withdraw(101);
    }

    function test_anyone_may_relay_a_permit_and_the_money_is_the_owners() public {
        token.transfer(requester, 100);
        (uint8 v, bytes32 r, bytes32 s) = permit(100, block.timestamp);
        vm.prank(stranger);
        settlement.depositWithPermit(requester, 100, block.timestamp, v, r, s);
        vm.assertEq(settlement.freeOf(requester), 100, "owner");
        vm.assertEq(settlement.freeOf(stranger), 0, "relayer");
    }

    function test_a_permit_put_through_by_somebody_else_does_not_stop_the_deposit() public {
        token.transfer(requester, 100);
        (uint8 v, bytes32 r, bytes32 s) = permit(100, block.timestamp);
        vm.prank(stranger);
        token.permit(requester, address(settlement), 100, block.timestamp, v, r, s);
        settlement.depositWithPermit(requester, 100, block.timestamp, v, r, s);
        vm.assertEq(settlement.freeOf(requester), 100, "owner");
    }

    function test_a_bad_permit_moves_nothing() public {
        token.transfer(requester, 100);
        (uint8 v, bytes32 r, bytes32 s) = permit(100, block.timestamp);
        vm.expectRevert(
            abi.encodeWithSelector(
                IERC20Errors.ERC20InsufficientAllowance.selector, address(settlement), 0, 99
            )
        );
        settlement.depositWithPermit(requester, 99, block.timestamp, v, r, s);
    }

    function testFuzz_what_goes_in_comes_out(uint128 amount, uint128 part) public {
        amount = uint128(bound(amount, 2, token.balanceOf(address(this))));
        part = uint128(bound(part, 1, amount - 1));
        fund(stranger, amount);
        vm.startPrank(stranger);
        settlement.withdraw(part);
        settlement.withdraw(amount - part);
        vm.assertEq(token.balanceOf(stranger), amount, "all back");
        checkMoney(0, 0);
    }

    // A constructor's revert can be expected of an outside call only.
    function deployOut(address token_, uint64 window) external {
        deploy(token_, window);
    }

    function deployWith(address market_, address court_, address escape_) external {
        vm.deployCode(
            "Settlement.sol:Settlement",
            abi.encode(address(token), WINDOW, market_, court_, escape_)
        );
    }

    function deployMarket(address settlement_) external {
        vm.deployCode("Market.sol:Market", abi.encode(settlement_));
    }

    function permit(uint256 amount, uint256 deadline)
        private
        view
        returns (uint8 v, bytes32 r, bytes32 s)
    {
        bytes32 permitType = keccak256(
            "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
        );
        bytes32 structHash =
            keccak256(abi.encode(permitType, requester, address(settlement), amount, 0, deadline));
        bytes32 digest =
            keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), structHash));
        return vm.sign(REQUESTER_KEY, digest);
    }

    function separator(uint256 chainId) private view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Quorate"),
                keccak256("1"),
                chainId,
                address(settlement)
            )
        );
    }
}
