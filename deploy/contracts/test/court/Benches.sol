// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Entry, Filing, FrameProof, Leaf, SignedSet, Step} from "../../src/court/Proofs.sol";
import {
    Assign,
    CommitAck,
    DealAccount,
    DealTerms,
    Header,
    RevealAck,
    WorkerAccount
} from "../../src/Types.sol";

/// @notice The benches' functions, so that tests need not compile the benches themselves. A bench is
/// only ever asked by the court, which is handed a whole call.
interface Benches {
    function step(Step calldata s) external view returns (uint32, uint32);
    function expiredStored(Step calldata s, RevealAck calldata ack, FrameProof calldata proof)
        external
        view
        returns (uint32, uint32);

    function twoHeaders(
        Header calldata a,
        bytes32[2] calldata sigA,
        Header calldata b,
        bytes32[2] calldata sigB
    ) external view returns (uint32, uint32);
    function twoSets(SignedSet calldata a, SignedSet calldata b)
        external
        view
        returns (uint32, uint32);
    function shortSet(Assign calldata assign, FrameProof calldata proof, SignedSet calldata signed)
        external
        view
        returns (uint32, uint32);
    function twoAssigns(
        Assign calldata a,
        FrameProof calldata proofA,
        Assign calldata b,
        FrameProof calldata proofB
    ) external view returns (uint32, uint32);
    function setDenied(
        Filing calldata filing,
        Leaf calldata leaf,
        bytes calldata votes,
        SignedSet calldata signed
    ) external view returns (uint32, uint32);
    function commitOmitted(
        Filing calldata filing,
        Leaf calldata leaf,
        bytes calldata votes,
        CommitAck calldata ack,
        FrameProof calldata proof
    ) external view returns (uint32, uint32);
    function revealOmitted(
        Filing calldata filing,
        Leaf calldata leaf,
        bytes calldata votes,
        RevealAck calldata ack,
        FrameProof calldata proof
    ) external view returns (uint32, uint32);
    function assignedLeaver(
        Filing calldata filing,
        Leaf calldata leaf,
        bytes calldata votes,
        DealTerms calldata terms,
        Assign calldata assign,
        FrameProof calldata proof
    ) external view returns (uint32, uint32);
    function closedEarly(
        Filing calldata filing,
        Leaf calldata leaf,
        bytes calldata votes,
        SignedSet calldata signed,
        uint32 workerIdx
    ) external view returns (uint32, uint32);
    function voteIgnored(
        Filing calldata filing,
        Leaf calldata leaf,
        bytes calldata votes,
        SignedSet calldata signed,
        uint32 workerIdx,
        bytes32 digest,
        bytes32 salt,
        FrameProof calldata proof,
        bytes32 before,
        Entry[] calldata entries
    ) external view returns (uint32, uint32);
    function demandIgnored(
        Filing calldata filing,
        Leaf calldata leaf,
        bytes calldata votes,
        Assign calldata assign,
        FrameProof calldata proof,
        bytes32 before,
        Entry[] calldata entries,
        SignedSet[] calldata answers
    ) external view returns (uint32, uint32);

    function totals(Filing calldata filing, Leaf calldata leaf)
        external
        view
        returns (uint32, uint32);
    function count(Filing calldata filing, uint32 place, bytes32 leaf, bytes32[16] calldata path)
        external
        view
        returns (uint32, uint32);
    function parent(Filing calldata filing, Filing calldata before)
        external
        view
        returns (uint32, uint32);
    function identity(
        Filing calldata filing,
        uint32 position,
        WorkerAccount calldata account,
        bytes32[20] calldata path
    ) external view returns (uint32, uint32);
    function dealPlace(
        Filing calldata filing,
        uint32 position,
        DealAccount calldata account,
        bytes32[20] calldata path
    ) external view returns (uint32, uint32);
    function unknownDeal(Filing calldata filing, Leaf calldata leaf)
        external
        view
        returns (uint32, uint32);
    function expiredEarly(Filing calldata filing, Leaf calldata leaf, DealTerms calldata terms)
        external
        view
        returns (uint32, uint32);
}
