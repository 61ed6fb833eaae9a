// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Merkle} from "../src/Merkle.sol";
import {Messages} from "../src/Messages.sol";
import "../src/Types.sol";
import {Hashes} from "./support/Hashes.sol";
import {vm} from "./support/Vm.sol";

/// @notice Golden bytes that Rust writes and this contract's own code must reproduce. Their shape is
/// in common/vectors/README.md.
contract VectorsTest {
    string private constant FOLDER = "../../common/vectors/";

    Hashes private hashes;

    function setUp() public {
        hashes = new Hashes();
    }

    // ---- eip712.json ----

    function test_domain_separator() public view {
        string memory json = read("eip712.json");
        vm.assertEq(separator(json), vm.parseJsonBytes32(json, ".domain.separator"), "separator");
    }

    function test_struct_hashes_and_digests() public view {
        string memory json = read("eip712.json");
        uint256 seen;
        uint256 i;
        for (; vm.keyExistsJson(json, item(".structs", i)); i++) {
            string memory at = item(".structs", i);
            string memory name = vm.parseJsonString(json, string.concat(at, ".name"));
            (bytes32 typeHash, bytes32 structHash, uint256 kind) =
                structOf(name, json, string.concat(at, ".fields."));
            seen |= 1 << kind;
            same(json, at, ".typeHash", typeHash);
            same(json, at, ".structHash", structHash);
            same(json, at, ".digest", digest(json, structHash));
        }
        vm.assertEq(seen, 2 ** 16 - 1, "each of the sixteen structs at least once");
    }

    function test_commitments() public view {
        string memory json = read("eip712.json");
        uint256 i;
        for (; vm.keyExistsJson(json, item(".commitment", i)); i++) {
            string memory at = item(".commitment", i);
            string memory f = string.concat(at, ".");
            same(
                json,
                at,
                ".commitment",
                Messages.commitment(
                    separator(json),
                    b32(json, f, "taskId"),
                    uint16(num(json, f, "attempt")),
                    uint32(num(json, f, "workerIdx")),
                    b32(json, f, "resultDigest"),
                    b32(json, f, "salt")
                )
            );
        }
        vm.assertGe(i, 1, "at least one commitment");
    }

    function test_deal_and_task_ids() public view {
        string memory json = read("eip712.json");
        uint256 i;
        for (; vm.keyExistsJson(json, item(".deals", i)); i++) {
            string memory at = item(".deals", i);
            string memory f = string.concat(at, ".");
            bytes32 dealId = terms(json, string.concat(at, ".terms."));
            same(json, at, ".dealId", dealId);
            bytes32 taskId = Messages.taskId(dealId, uint32(num(json, f, "taskIdx")));
            same(json, at, ".taskId", taskId);
        }
        vm.assertGe(i, 1, "at least one deal");
    }

    function test_frame() public view {
        string memory json = read("eip712.json");
        bytes32[] memory messages = vm.parseJsonBytes32Array(json, ".frame.structHashes");
        uint32 count = uint32(num(json, ".frame.", "count"));
        bytes32 root = b32(json, ".frame.", "root");
        vm.assertEq(messages.length, count, "count");
        for (uint32 i = 0; i < count; i++) {
            same(json, item(".frame.leaves", i), "", Merkle.frameLeaf(messages[i]));
            string memory proof = string.concat(item(".frame.proofs", i), ".");
            uint32 index = uint32(num(json, proof, "index"));
            bytes32[] memory path = vm.parseJsonBytes32Array(json, string.concat(proof, "path"));
            vm.assertEq(hashes.frameRoot(messages[index], index, count, path), root, "proof");
        }
        bytes32 signed = digest(json, hashes.hashFrame(Frame(root, count)));
        same(json, ".frame", ".digest", signed);
        bytes memory sig = abi.encodePacked(b32(json, ".frame.", "r"), b32(json, ".frame.", "vs"));
        vm.assertEq(hashes.recover64(signed, sig), addr(json, ".frame.", "signer"), "signer");
    }

    // ---- merkle.json ----

    function test_empty_subtrees() public view {
        string memory json = read("merkle.json");
        bytes32[] memory zero = vm.parseJsonBytes32Array(json, ".zero");
        vm.assertEq(zero.length, 21, "Z[0] to Z[20]");
        for (uint256 i = 0; i < zero.length; i++) {
            vm.assertEq(Merkle.zero(i), zero[i], string.concat("Z", vm.toString(i)));
        }
    }

    function test_state_proofs() public view {
        string memory json = read("merkle.json");
        uint256 i;
        for (; vm.keyExistsJson(json, item(".state", i)); i++) {
            string memory f = string.concat(item(".state", i), ".");
            bytes32[] memory path = vm.parseJsonBytes32Array(json, string.concat(f, "path"));
            bytes32 leaf = b32(json, f, "leafHash");
            bytes32 root = hashes.root(leaf, num(json, f, "index"), path, Merkle.STATE_DEPTH);
            vm.assertEq(root, b32(json, f, "root"), f);
        }
        vm.assertGe(i, 1, "at least one proof");
    }

    function test_account_leaves() public view {
        string memory json = read("merkle.json");
        uint256 i;
        for (; vm.keyExistsJson(json, item(".accounts", i)); i++) {
            string memory f = string.concat(item(".accounts", i), ".");
            WorkerAccount memory account = WorkerAccount({
                owner: addr(json, f, "owner"),
                voteKey: addr(json, f, "voteKey"),
                cumEarned: uint128(num(json, f, "cumEarned")),
                cumSlashed: uint128(num(json, f, "cumSlashed")),
                score: uint32(num(json, f, "score")),
                lastTaskSeq: uint64(num(json, f, "lastTaskSeq"))
            });
            vm.assertEq(hashes.workerLeaf(account), b32(json, f, "leaf"), f);
        }
        vm.assertGe(i, 1, "at least one worker");
    }

    function test_deal_leaves() public view {
        string memory json = read("merkle.json");
        uint256 i;
        for (; vm.keyExistsJson(json, item(".deals", i)); i++) {
            string memory f = string.concat(item(".deals", i), ".");
            DealAccount memory account = DealAccount({
                dealId: b32(json, f, "dealId"),
                settledRoot: b32(json, f, "settledRoot"),
                settledCount: uint32(num(json, f, "settledCount")),
                spent: uint128(num(json, f, "spent")),
                refunded: uint128(num(json, f, "refunded"))
            });
            vm.assertEq(hashes.dealLeaf(account), b32(json, f, "leaf"), f);
        }
        vm.assertGe(i, 1, "at least one deal");
    }

    function test_task_leaves() public view {
        string memory json = read("merkle.json");
        uint256 i;
        for (; vm.keyExistsJson(json, item(".tasks", i)); i++) {
            string memory f = string.concat(item(".tasks", i), ".");
            vm.assertEq(hashes.taskLeaf(task(json, f)), b32(json, f, "leaf"), f);
        }
        vm.assertGe(i, 1, "at least one task");
    }

    function test_commit_set() public view {
        string memory json = read("merkle.json");
        uint256 i;
        for (; vm.keyExistsJson(json, item(".commitSet.entries", i)); i++) {
            string memory f = string.concat(item(".commitSet.entries", i), ".");
            bytes32 leaf =
                Merkle.commitLeaf(uint32(num(json, f, "workerIdx")), b32(json, f, "commitment"));
            vm.assertEq(leaf, b32(json, f, "leaf"), f);
            string memory proof = string.concat(item(".commitSet.proofs", i), ".");
            vm.assertEq(num(json, proof, "index"), i, "proofs in order");
            bytes32[] memory path = vm.parseJsonBytes32Array(json, string.concat(proof, "path"));
            bytes32 root = hashes.root(leaf, i, path, Merkle.COMMIT_SET_DEPTH);
            vm.assertEq(root, b32(json, ".commitSet.", "root"), f);
        }
        vm.assertGe(i, 1, "at least one commitment");
    }

    function test_votes_hash() public view {
        string memory json = read("merkle.json");
        bytes32[] memory sets = vm.parseJsonBytes32Array(json, ".votes.sets");
        uint256 count;
        while (vm.keyExistsJson(json, item(".votes.votes", count))) count++;
        vm.assertGe(count, 2, "at least two votes");
        Vote[] memory votes = new Vote[](count);
        for (uint256 i = 0; i < count; i++) {
            votes[i] = vote(json, string.concat(item(".votes.votes", i), "."));
        }
        same(json, ".votes", ".votesHash", hashes.votesHash(sets, votes));
    }

    // ---- reading structs ----

    /// @dev Type hash, struct hash and a number from 0 to 15 for the struct called `name`.
    function structOf(string memory name, string memory json, string memory f)
        private
        view
        returns (bytes32, bytes32, uint256)
    {
        bytes32 n = keccak256(bytes(name));
        if (n == keccak256("Assign")) return (Messages.ASSIGN_TYPE, assign(json, f), 0);
        if (n == keccak256("Commit")) return (Messages.COMMIT_TYPE, commit(json, f), 1);
        if (n == keccak256("CommitAck")) return (Messages.COMMIT_ACK_TYPE, commitAck(json, f), 2);
        if (n == keccak256("CommitSet")) return (Messages.COMMIT_SET_TYPE, commitSet(json, f), 3);
        if (n == keccak256("Reveal")) return (Messages.REVEAL_TYPE, reveal(json, f), 4);
        if (n == keccak256("RevealAck")) return (Messages.REVEAL_ACK_TYPE, revealAck(json, f), 5);
        if (n == keccak256("Frame")) return (Messages.FRAME_TYPE, frame(json, f), 6);
        if (n == keccak256("Header")) return (Messages.HEADER_TYPE, header(json, f), 7);
        if (n == keccak256("ReqOrder")) return (Messages.REQ_ORDER_TYPE, reqOrder(json, f), 8);
        if (n == keccak256("PoolOrder")) return (Messages.POOL_ORDER_TYPE, poolOrder(json, f), 9);
        if (n == keccak256("BindWorker")) return (Messages.BIND_WORKER_TYPE, binding(json, f), 10);
        if (n == keccak256("AppOrder")) return (Messages.APP_ORDER_TYPE, appOrder(json, f), 11);
        if (n == keccak256("DatasetOrder")) {
            return (Messages.DATASET_ORDER_TYPE, datasetOrder(json, f), 12);
        }
        if (n == keccak256("SponsorOrder")) {
            return (Messages.SPONSOR_ORDER_TYPE, sponsorOrder(json, f), 13);
        }
        if (n == keccak256("OrderOp")) return (Messages.ORDER_OP_TYPE, orderOp(json, f), 14);
        if (n == keccak256("WorkerOp")) return (Messages.WORKER_OP_TYPE, workerOp(json, f), 15);
        revert(string.concat("eip712.json: no struct is called ", name));
    }

    function assign(string memory json, string memory f) private view returns (bytes32) {
        Assign memory m;
        m.poolId = uint32(num(json, f, "poolId"));
        m.dealId = b32(json, f, "dealId");
        m.taskIdx = uint32(num(json, f, "taskIdx"));
        m.attempt = uint16(num(json, f, "attempt"));
        m.workerIdx = uint32(num(json, f, "workerIdx"));
        m.seedEpoch = uint64(num(json, f, "seedEpoch"));
        m.commitDeadline = uint64(num(json, f, "commitDeadline"));
        m.revealDeadline = uint64(num(json, f, "revealDeadline"));
        return hashes.hashAssign(m);
    }

    function commit(string memory json, string memory f) private view returns (bytes32) {
        Commit memory m;
        m.poolId = uint32(num(json, f, "poolId"));
        m.taskId = b32(json, f, "taskId");
        m.attempt = uint16(num(json, f, "attempt"));
        m.commitment = b32(json, f, "commitment");
        return hashes.hashCommit(m);
    }

    function commitAck(string memory json, string memory f) private view returns (bytes32) {
        CommitAck memory m;
        m.poolId = uint32(num(json, f, "poolId"));
        m.taskId = b32(json, f, "taskId");
        m.attempt = uint16(num(json, f, "attempt"));
        m.workerIdx = uint32(num(json, f, "workerIdx"));
        m.commitment = b32(json, f, "commitment");
        m.seq = uint64(num(json, f, "seq"));
        return hashes.hashCommitAck(m);
    }

    function commitSet(string memory json, string memory f) private view returns (bytes32) {
        CommitSet memory m;
        m.poolId = uint32(num(json, f, "poolId"));
        m.taskId = b32(json, f, "taskId");
        m.attempt = uint16(num(json, f, "attempt"));
        m.commitSetRoot = b32(json, f, "commitSetRoot");
        m.n = uint8(num(json, f, "n"));
        m.revealDeadline = uint64(num(json, f, "revealDeadline"));
        return hashes.hashCommitSet(m);
    }

    function reveal(string memory json, string memory f) private view returns (bytes32) {
        Reveal memory m;
        m.poolId = uint32(num(json, f, "poolId"));
        m.taskId = b32(json, f, "taskId");
        m.attempt = uint16(num(json, f, "attempt"));
        m.commitSetRoot = b32(json, f, "commitSetRoot");
        m.resultDigest = b32(json, f, "resultDigest");
        m.salt = b32(json, f, "salt");
        return hashes.hashReveal(m);
    }

    function revealAck(string memory json, string memory f) private view returns (bytes32) {
        RevealAck memory m;
        m.poolId = uint32(num(json, f, "poolId"));
        m.taskId = b32(json, f, "taskId");
        m.attempt = uint16(num(json, f, "attempt"));
        m.workerIdx = uint32(num(json, f, "workerIdx"));
        m.voteHash = b32(json, f, "voteHash");
        m.stored = vm.parseJsonBool(json, string.concat(f, "stored"));
        m.seq = uint64(num(json, f, "seq"));
        return hashes.hashRevealAck(m);
    }

    function frame(string memory json, string memory f) private view returns (bytes32) {
        return hashes.hashFrame(Frame(b32(json, f, "root"), uint32(num(json, f, "count"))));
    }

    function header(string memory json, string memory f) private view returns (bytes32) {
        Header memory m;
        m.poolId = uint32(num(json, f, "poolId"));
        m.index = uint64(num(json, f, "index"));
        m.parent = b32(json, f, "parent");
        m.tasksRoot = b32(json, f, "tasksRoot");
        m.stateRoot = b32(json, f, "stateRoot");
        m.evidence = b32(json, f, "evidence");
        m.count = uint32(num(json, f, "count"));
        m.payout = uint128(num(json, f, "payout"));
        m.fees = uint128(num(json, f, "fees"));
        m.royalties = uint128(num(json, f, "royalties"));
        m.slashed = uint128(num(json, f, "slashed"));
        m.cumFees = uint128(num(json, f, "cumFees"));
        return hashes.hashHeader(m);
    }

    function reqOrder(string memory json, string memory f) private view returns (bytes32) {
        ReqOrder memory m;
        m.requester = addr(json, f, "requester");
        m.beneficiary = addr(json, f, "beneficiary");
        m.callback = addr(json, f, "callback");
        m.app = b32(json, f, "app");
        m.appOwner = addr(json, f, "appOwner");
        m.appMaxPrice = uint128(num(json, f, "appMaxPrice"));
        m.dataset = b32(json, f, "dataset");
        m.datasetOwner = addr(json, f, "datasetOwner");
        m.datasetMaxPrice = uint128(num(json, f, "datasetMaxPrice"));
        m.params = b32(json, f, "params");
        m.poolRestrict = b32(json, f, "poolRestrict");
        m.maxUnitPrice = uint128(num(json, f, "maxUnitPrice"));
        m.tasks = uint32(num(json, f, "tasks"));
        m.tag = b32(json, f, "tag");
        m.category = uint16(num(json, f, "category"));
        m.trust = uint32(num(json, f, "trust"));
        m.replicas = uint8(num(json, f, "replicas"));
        m.maxTaskTime = uint64(num(json, f, "maxTaskTime"));
        m.expiry = uint64(num(json, f, "expiry"));
        m.deadline = uint64(num(json, f, "deadline"));
        m.salt = b32(json, f, "salt");
        return hashes.hashReqOrder(m);
    }

    function poolOrder(string memory json, string memory f) private view returns (bytes32) {
        PoolOrder memory m;
        m.poolId = uint32(num(json, f, "poolId"));
        m.unitPrice = uint128(num(json, f, "unitPrice"));
        m.tasks = uint32(num(json, f, "tasks"));
        m.tag = b32(json, f, "tag");
        m.category = uint16(num(json, f, "category"));
        m.trust = uint32(num(json, f, "trust"));
        m.stakeRatio = uint8(num(json, f, "stakeRatio"));
        m.schedulerRatio = uint8(num(json, f, "schedulerRatio"));
        m.maxTaskTime = uint64(num(json, f, "maxTaskTime"));
        m.appRestrict = b32(json, f, "appRestrict");
        m.datasetRestrict = b32(json, f, "datasetRestrict");
        m.requesterRestrict = b32(json, f, "requesterRestrict");
        m.expiry = uint64(num(json, f, "expiry"));
        m.salt = b32(json, f, "salt");
        return hashes.hashPoolOrder(m);
    }

    function appOrder(string memory json, string memory f) private view returns (bytes32) {
        AppOrder memory m;
        m.owner = addr(json, f, "owner");
        m.app = b32(json, f, "app");
        m.price = uint128(num(json, f, "price"));
        m.tasks = uint32(num(json, f, "tasks"));
        m.tag = b32(json, f, "tag");
        m.datasetRestrict = b32(json, f, "datasetRestrict");
        m.poolRestrict = b32(json, f, "poolRestrict");
        m.requesterRestrict = b32(json, f, "requesterRestrict");
        m.expiry = uint64(num(json, f, "expiry"));
        m.salt = b32(json, f, "salt");
        return hashes.hashAppOrder(m);
    }

    function datasetOrder(string memory json, string memory f) private view returns (bytes32) {
        DatasetOrder memory m;
        m.owner = addr(json, f, "owner");
        m.dataset = b32(json, f, "dataset");
        m.price = uint128(num(json, f, "price"));
        m.tasks = uint32(num(json, f, "tasks"));
        m.tag = b32(json, f, "tag");
        m.appRestrict = b32(json, f, "appRestrict");
        m.poolRestrict = b32(json, f, "poolRestrict");
        m.requesterRestrict = b32(json, f, "requesterRestrict");
        m.expiry = uint64(num(json, f, "expiry"));
        m.salt = b32(json, f, "salt");
        return hashes.hashDatasetOrder(m);
    }

    function sponsorOrder(string memory json, string memory f) private view returns (bytes32) {
        SponsorOrder memory m;
        m.sponsor = addr(json, f, "sponsor");
        m.reqHash = b32(json, f, "reqHash");
        m.maxCost = uint128(num(json, f, "maxCost"));
        m.expiry = uint64(num(json, f, "expiry"));
        m.salt = b32(json, f, "salt");
        return hashes.hashSponsorOrder(m);
    }

    function orderOp(string memory json, string memory f) private view returns (bytes32) {
        OrderOp memory m;
        m.account = addr(json, f, "account");
        m.orderHash = b32(json, f, "orderHash");
        m.op = uint8(num(json, f, "op"));
        m.deadline = uint64(num(json, f, "deadline"));
        return hashes.hashOrderOp(m);
    }

    function workerOp(string memory json, string memory f) private view returns (bytes32) {
        WorkerOp memory m;
        m.workerIdx = uint32(num(json, f, "workerIdx"));
        m.op = uint8(num(json, f, "op"));
        m.nonce = uint64(num(json, f, "nonce"));
        m.deadline = uint64(num(json, f, "deadline"));
        return hashes.hashWorkerOp(m);
    }

    function terms(string memory json, string memory f) private view returns (bytes32) {
        DealTerms memory m;
        m.requester = addr(json, f, "requester");
        m.payer = addr(json, f, "payer");
        m.beneficiary = addr(json, f, "beneficiary");
        m.callback = addr(json, f, "callback");
        m.poolId = uint32(num(json, f, "poolId"));
        m.app = b32(json, f, "app");
        m.appOwner = addr(json, f, "appOwner");
        m.appPrice = uint128(num(json, f, "appPrice"));
        m.dataset = b32(json, f, "dataset");
        m.datasetOwner = addr(json, f, "datasetOwner");
        m.datasetPrice = uint128(num(json, f, "datasetPrice"));
        m.params = b32(json, f, "params");
        m.unitPrice = uint128(num(json, f, "unitPrice"));
        m.tasks = uint32(num(json, f, "tasks"));
        m.trust = uint32(num(json, f, "trust"));
        m.replicas = uint8(num(json, f, "replicas"));
        m.stakeRatio = uint8(num(json, f, "stakeRatio"));
        m.schedulerRatio = uint8(num(json, f, "schedulerRatio"));
        m.category = uint16(num(json, f, "category"));
        m.tag = b32(json, f, "tag");
        m.maxTaskTime = uint64(num(json, f, "maxTaskTime"));
        m.deadline = uint64(num(json, f, "deadline"));
        m.reqHash = b32(json, f, "reqHash");
        m.filledBefore = uint32(num(json, f, "filledBefore"));
        return hashes.dealId(m);
    }

    function binding(string memory json, string memory f) private view returns (bytes32) {
        BindWorker memory m;
        m.owner = addr(json, f, "owner");
        m.nodeKey = b32(json, f, "nodeKey");
        m.voteKey = addr(json, f, "voteKey");
        m.deadline = uint64(num(json, f, "deadline"));
        return hashes.hashBindWorker(m);
    }

    function task(string memory json, string memory f) private pure returns (TaskRec memory m) {
        m.dealId = b32(json, f, "dealId");
        m.taskIdx = uint32(num(json, f, "taskIdx"));
        m.attempt = uint16(num(json, f, "attempt"));
        m.outcome = uint8(num(json, f, "outcome"));
        m.commitSetRoot = b32(json, f, "commitSetRoot");
        m.winnerDigest = b32(json, f, "winnerDigest");
        m.reward = uint128(num(json, f, "reward"));
        m.runPayout = uint128(num(json, f, "runPayout"));
        m.runFees = uint128(num(json, f, "runFees"));
        m.runRoyalties = uint128(num(json, f, "runRoyalties"));
        m.runSlash = uint128(num(json, f, "runSlash"));
        m.votesHash = b32(json, f, "votesHash");
        m.postStateRoot = b32(json, f, "postStateRoot");
    }

    function vote(string memory json, string memory f) private pure returns (Vote memory m) {
        m.workerIdx = uint32(num(json, f, "workerIdx"));
        m.attempt = uint16(num(json, f, "attempt"));
        m.resultDigest = b32(json, f, "resultDigest");
        m.salt = b32(json, f, "salt");
        m.frameIndex = uint32(num(json, f, "frameIndex"));
        m.frameCount = uint32(num(json, f, "frameCount"));
        m.path = vm.parseJsonBytes32Array(json, string.concat(f, "path"));
        m.r = b32(json, f, "r");
        m.vs = b32(json, f, "vs");
    }

    // ---- reading values ----

    function read(string memory file) private view returns (string memory) {
        string memory path = string.concat(FOLDER, file);
        if (!vm.exists(path)) {
            revert(string.concat("common/vectors/", file, " is missing: the Rust tests write it"));
        }
        return vm.readFile(path);
    }

    function num(string memory json, string memory at, string memory field)
        private
        pure
        returns (uint256)
    {
        return vm.parseJsonUint(json, string.concat(at, field));
    }

    function b32(string memory json, string memory at, string memory field)
        private
        pure
        returns (bytes32)
    {
        return vm.parseJsonBytes32(json, string.concat(at, field));
    }

    function addr(string memory json, string memory at, string memory field)
        private
        pure
        returns (address)
    {
        return vm.parseJsonAddress(json, string.concat(at, field));
    }

    function same(string memory json, string memory at, string memory field, bytes32 actual)
        private
        pure
    {
        string memory key = string.concat(at, field);
        vm.assertEq(actual, vm.parseJsonBytes32(json, key), key);
    }

    function item(string memory list, uint256 i) private pure returns (string memory) {
        return string.concat(list, "[", vm.toString(i), "]");
    }

    function separator(string memory json) private pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Quorate"),
                keccak256("1"),
                num(json, ".domain.", "chainId"),
                addr(json, ".domain.", "contract")
            )
        );
    }

    function digest(string memory json, bytes32 structHash) private pure returns (bytes32) {
        return keccak256(abi.encodePacked("\x19\x01", separator(json), structHash));
    }
}
