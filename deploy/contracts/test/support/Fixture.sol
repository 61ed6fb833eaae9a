// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ISettlement} from "../../src/ISettlement.sol";
import {BindWorker, PoolOrder, ReqOrder} from "../../src/Types.sol";
import {TestToken} from "../../src/dev/TestToken.sol";
import {Grid} from "./Grid.sol";
import {Hashes} from "./Hashes.sol";
import {vm} from "./Vm.sol";

/// @notice A small world for the tests: a token, the contract as it is deployed, and short words for
/// what people do with it. Amounts are small round numbers, so that a test's sums can be checked by
/// hand: a task costs 1,000, a wrong vote 300, the scheduler takes 1 %.
abstract contract Fixture {
    uint64 internal constant WINDOW = 72 hours;
    uint256 internal constant START = 1_800_000_000;
    uint128 internal constant PRICE = 1000;

    uint256 internal constant REQUESTER_KEY = 0xA11CE;
    uint256 internal constant SIGNER_KEY = 0x51613;
    uint256 internal constant VOTE_KEY = 0xB0B000;

    address internal immutable requester = vm.addr(REQUESTER_KEY);
    address internal immutable signer = vm.addr(SIGNER_KEY);
    address internal immutable operator = address(0x0FE7A);
    address internal immutable owner = address(0x03137);
    address internal immutable stranger = address(0x57A63);

    TestToken internal token;
    ISettlement internal settlement;
    Hashes internal hashes;
    uint256 private _salt;

    function setUp() public virtual {
        vm.warp(START);
        hashes = new Hashes();
        token = new TestToken(address(this));
        settlement = deploy(address(token), WINDOW);
    }

    function deploy(address token_, uint64 window) internal returns (ISettlement) {
        return ISettlement(vm.deployCode("Settlement.sol:Settlement", abi.encode(token_, window)));
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
        return new Grid(settlement, newPool(bond), SIGNER_KEY);
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

    function reqOrder() internal returns (ReqOrder memory) {
        return ReqOrder({
            requester: requester,
            app: keccak256("app"),
            params: keccak256("params"),
            poolId: 0,
            maxUnitPrice: PRICE * 2,
            tasks: 1_000_000,
            trust: 50,
            replicas: 3,
            maxTaskTime: 1 hours,
            expiry: uint64(block.timestamp + 2 hours),
            deadline: uint64(block.timestamp + 30 days),
            salt: bytes32(++_salt)
        });
    }

    function poolOrder(uint32 poolId) internal returns (PoolOrder memory) {
        return PoolOrder({
            poolId: poolId,
            unitPrice: PRICE,
            tasks: 1_000_000,
            trust: 100,
            stakeRatio: 30,
            schedulerRatio: 1,
            maxTaskTime: 2 hours,
            expiry: uint64(block.timestamp + 2 hours),
            salt: bytes32(++_salt)
        });
    }

    /// @notice Opens a deal of the requester, who is given the money for it.
    function newDeal(uint32 poolId, uint32 n) internal returns (bytes32 dealId) {
        fund(requester, uint128(n) * PRICE);
        return open(reqOrder(), poolOrder(poolId), n);
    }

    function open(ReqOrder memory req, PoolOrder memory offer, uint32 n)
        internal
        returns (bytes32)
    {
        // Signed before the call, so that a test's expectation meets the call itself.
        (bytes memory reqSig, bytes memory offerSig) = (signReq(req), signOffer(offer));
        return settlement.openDeal(req, reqSig, offer, offerSig, n);
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
